using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Confluent.Kafka;
using StreamLstm.Connectors.Kafka;
using StreamLstm.Integration.Tests.Crash;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Worker.Configuration;

namespace StreamLstm.Integration.Tests.Kafka;

/// <summary>MQTT and HTTP into a topic; on the mock cluster, which honours all of it.</summary>
[Trait("Category", "Kafka")]
public sealed class KafkaBridgeTests : IDisposable
{
    private readonly KafkaCluster _cluster = KafkaCluster.Mock();
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("streamlstm-bridge-");

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _cluster.Dispose();
        _folder.Delete(recursive: true);
    }

    [Fact]
    public async Task Samples_lie_in_the_partition_of_their_stream_with_all_their_values_and_dead_letters_beside_them()
    {
        await _cluster.CreateExactTopicAsync("readings", 4);
        await _cluster.CreateExactTopicAsync("p.deadletters", 4);
        using var bridge = new KafkaBridge(Settings(), new ListLogger<KafkaBridge>());
        var batch = new SampleBatch();
        for (var s = 0; s < 20; s++)
            batch.Add($"m/{s}", 1_767_571_200_000_000, 1_767_571_201_000_000, [s, double.NaN, 0.5]);
        batch.AddBlock("ecg"u8, 1_767_571_200_000_000, 8000, 1_767_571_201_000_000, 2, [1, 2, 3, double.NaN]);
        batch.AddDeadLetter(DeadLetter.Create(DeadLetterReason.Malformed, "home", "a/b", "Bad.", 1, "{"u8));
        batch.SetSourcePosition("home", "7");
        await bridge.AppendAsync(batch, Stop);

        Assert.Equal((21L, "7"), (bridge.Samples, bridge.Position("home")));
        var records = Read("readings", 21);
        foreach (var record in records)
            Assert.Equal(VirtualPartition.KafkaPartition(record.Message.Key, 4), record.Partition.Value);
        var one = Assert.Single(records, r => Encoding.UTF8.GetString(r.Message.Key) == "m/7");
        Assert.Equal(("""{"time":1767571200000000,"values":[7,null,0.5]}""", 1_767_571_201_000), (Encoding.UTF8.GetString(one.Message.Value), one.Message.Timestamp.UnixTimestampMs));
        var packet = Assert.Single(records, r => Encoding.UTF8.GetString(r.Message.Key) == "ecg");
        Assert.Equal("""{"time":1767571200000000,"step_us":8000,"rows":[[1,2],[3,null]]}""", Encoding.UTF8.GetString(packet.Message.Value));
        Assert.Contains("\"reason\":\"malformed\"", Encoding.UTF8.GetString(Assert.Single(Read("p.deadletters", 1)).Message.Value), StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_append_is_over_when_the_cluster_has_it_and_not_before()
    {
        await _cluster.CreateExactTopicAsync("readings", 4);
        using var bridge = new KafkaBridge(Settings() with { Client = new Dictionary<string, string> { ["reconnect.backoff.max.ms"] = "300" } }, new ListLogger<KafkaBridge>());
        _cluster.SetDown();
        var batch = new SampleBatch();
        batch.Add("m", 1, 1, [1]);
        var append = bridge.AppendAsync(batch, Stop).AsTask();
        await Task.Delay(1500, Stop);
        Assert.False(append.IsCompleted);
        Assert.NotNull(bridge.NotReady);

        _cluster.SetUp();
        await append.WaitAsync(TimeSpan.FromSeconds(20), Stop);
        Assert.Single(Read("readings", 1));
    }

    [Fact]
    public async Task A_worker_with_a_bridge_answers_posts_when_their_samples_are_in_the_topic()
    {
        await _cluster.CreateExactTopicAsync("readings", 4);
        await _cluster.CreateExactTopicAsync("streamlstm.deadletters", 4);
        var url = $"http://127.0.0.1:{WorkerProcess.FreePort()}";
        var path = Path.Combine(_folder.FullName, "bridge.json");
        await File.WriteAllTextAsync(path, new JsonObject
        {
            ["StreamLstm"] = new JsonObject
            {
                ["State"] = new JsonObject { ["Directory"] = Path.Combine(_folder.FullName, "state") },
                ["Http"] = new JsonObject { ["Url"] = url },
                ["Sources"] = new JsonObject { ["http"] = new JsonObject { ["Type"] = "http" } },
                ["Bridge"] = new JsonObject { ["BootstrapServers"] = _cluster.BootstrapServers, ["Topic"] = "readings" },
            },
        }.ToJsonString(), Stop);
        using var worker = WorkerProcess.Start("run", "--config", path);
        await worker.UntilLogAsync("Serving", TimeSpan.FromSeconds(30));
        using var http = new HttpClient();
        using var body = new StringContent("{\"stream\":\"m/1\",\"time\":\"2026-01-05T00:00:00Z\",\"value\":41.5}\nnot json\n", Encoding.UTF8, "application/x-ndjson");
        var response = await http.PostAsync(new Uri(url + "/api/v1/ingest"), body, Stop);

        Assert.True(response.StatusCode is HttpStatusCode.OK or HttpStatusCode.Accepted or HttpStatusCode.MultiStatus or HttpStatusCode.BadRequest, $"{response.StatusCode}\n{worker.Log}");
        Assert.Equal("""{"time":1767571200000000,"values":[41.5]}""", Encoding.UTF8.GetString(Assert.Single(Read("readings", 1)).Message.Value));
        Assert.Contains("streamlstm_bridged_samples_total 1", await http.GetStringAsync(new Uri(url + "/metrics"), Stop), StringComparison.Ordinal);
        Assert.Equal(0, await worker.TerminateAsync(TimeSpan.FromSeconds(20)));
    }

    [Fact]
    public void A_bridge_passes_on_mqtt_and_http_only_and_needs_a_topic()
    {
        var path = Path.Combine(_folder.FullName, "wrong.json");
        File.WriteAllText(path, """{"StreamLstm":{"Sources":{"f":{"Type":"file","Path":"x.csv"}},"Sinks":{"o":{"Type":"stdout"}},"Bridge":{"Topic":"a b"}}}""");

        var errors = ConfigurationLoader.Load(path, "/nowhere", []).Errors;

        Assert.Equal(4, errors.Count);
        Assert.Contains(errors, e => e.Contains("Bridge:BootstrapServers", StringComparison.Ordinal));
        Assert.Contains(errors, e => e.Contains("name of a topic", StringComparison.Ordinal));
        Assert.Contains(errors, e => e.Contains("neither mqtt nor http", StringComparison.Ordinal));
        Assert.Contains(errors, e => e.Contains("nothing would reach them", StringComparison.Ordinal));
    }

    private KafkaBridgeSettings Settings() => new() { Name = "bridge", BootstrapServers = _cluster.BootstrapServers, Topic = "readings", TopicPrefix = "p" };

    private List<ConsumeResult<byte[], byte[]>> Read(string topic, int count)
    {
        using var consumer = new ConsumerBuilder<byte[], byte[]>(new ConsumerConfig { BootstrapServers = _cluster.BootstrapServers, GroupId = "witness" }).Build();
        consumer.Assign(Enumerable.Range(0, 4).Select(p => new TopicPartitionOffset(topic, p, Offset.Beginning)));
        var read = new List<ConsumeResult<byte[], byte[]>>();
        while (read.Count < count)
            read.Add(consumer.Consume(TimeSpan.FromSeconds(15)) ?? throw new TimeoutException($"{read.Count} of {count} records in {topic}."));
        return read;
    }
}
