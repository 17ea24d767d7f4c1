using Confluent.Kafka;
using StreamLstm.Integration.Tests.Crash;
using StreamLstm.Integration.Tests.Kafka;
using StreamLstm.Integration.Tests.Simulation;
using StreamLstm.Worker.Configuration;
using YamlDotNet.RepresentationModel;

namespace StreamLstm.Integration.Tests.Deploy;

/// <summary>The compose example over Kafka, as processes against a test cluster.</summary>
[Trait("Category", "Kafka")]
public sealed class KafkaExampleTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("streamlstm-compose-kafka-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public async Task The_worker_reads_what_the_simulator_writes_and_publishes_results()
    {
        var services = (YamlMappingNode)DeployFolder.Yaml("compose", "compose.kafka.yaml")["services"];
        using var cluster = KafkaCluster.Mock();
        var create = DeployFolder.Text(services["kafka-topics"]["command"][0]);
        var (settings, errors) = ConfigurationLoader.Load(DeployFolder.KafkaWorkerSettings, "/nowhere", []);
        Assert.Empty(errors);
        foreach (var topic in new[] { "meters.readings", "streamlstm.results", "streamlstm.episodes" })
        {
            Assert.Contains($" {topic}", create, StringComparison.Ordinal);
            await cluster.CreateExactTopicAsync(topic, 8);
        }

        var url = new Uri($"http://127.0.0.1:{WorkerProcess.FreePort()}");
        using var worker = WorkerProcess.Start(
            new Dictionary<string, string>
            {
                ["StreamLstm__State__Directory"] = Path.Combine(_folder.FullName, "state"),
                ["StreamLstm__Http__Url"] = url.ToString(),
                ["StreamLstm__Http__MetricsUrl"] = $"http://127.0.0.1:{WorkerProcess.FreePort()}",
                ["StreamLstm__Sources__meters__BootstrapServers"] = cluster.BootstrapServers,
                ["StreamLstm__Sinks__bus__BootstrapServers"] = cluster.BootstrapServers,
            },
            "run", "--config", DeployFolder.KafkaWorkerSettings);
        var arguments = ((YamlSequenceNode)services["simulator"]["command"]).Select(DeployFolder.Text).ToList();
        Assert.Contains($"--to=kafka://{Assert.IsType<KafkaSourceConfiguration>(Assert.Single(settings!.Sources)).Settings.BootstrapServers}/meters.readings", arguments);
        using var simulator = SimulatorProcess.Start([.. arguments.Select(a => a.Replace("kafka:19092", cluster.BootstrapServers, StringComparison.Ordinal))]);
        try
        {
            using var http = new HttpClient();
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(25));
            var metrics = "";
            while (Value(metrics, "streamlstm_samples_total{outcome=\"accepted\"}") < 48)
            {
                await Task.Delay(100, TestContext.Current.CancellationToken);
                if (limit.IsCancellationRequested || worker.HasExited)
                    Assert.Fail(worker.Log + metrics);
                try
                {
                    metrics = await http.GetStringAsync(new Uri(url, "/metrics"), limit.Token);
                }
                catch (Exception e) when (e is HttpRequestException or OperationCanceledException)
                {
                    metrics = "Not answering yet: " + e.Message;
                }
            }

            Assert.Contains("streamlstm_source_connected{source=\"meters\"} 1", metrics, StringComparison.Ordinal);
            using var consumer = new ConsumerBuilder<string, string>(new ConsumerConfig { BootstrapServers = cluster.BootstrapServers, GroupId = "witness" }).Build();
            consumer.Assign(Enumerable.Range(0, 8).Select(p => new TopicPartitionOffset("streamlstm.results", p, Offset.Beginning)));
            var result = consumer.Consume(TimeSpan.FromSeconds(15));
            Assert.Contains($"\"stream\":\"{result?.Message.Key}\"", result?.Message.Value ?? "", StringComparison.Ordinal);
            consumer.Close();
        }
        finally
        {
            simulator.Kill();
        }

        Assert.Equal(0, await worker.TerminateAsync(TimeSpan.FromSeconds(20)));
    }

    private static double Value(string metrics, string series) =>
        metrics.Split('\n').FirstOrDefault(l => l.StartsWith(series + " ", StringComparison.Ordinal)) is { } line
            ? double.Parse(line[(series.Length + 1)..], System.Globalization.CultureInfo.InvariantCulture)
            : 0;
}
