using System.Diagnostics;
using System.Text;
using StreamLstm.Connectors.Kafka;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using static StreamLstm.Integration.Tests.Kafka.KafkaTests;

namespace StreamLstm.Integration.Tests.Kafka;

/// <summary>Clusters that go away and come back; always on a mock cluster of their own.</summary>
[Trait("Category", "Kafka")]
public sealed class KafkaOutageTests : IDisposable
{
    private readonly KafkaCluster _cluster = KafkaCluster.Mock();

    public void Dispose() => _cluster.Dispose();

    [Fact]
    public async Task Source_and_sink_say_why_they_wait_and_go_on_when_the_cluster_comes_back()
    {
        await _cluster.CreateExactTopicAsync("in", 2);
        await _cluster.CreateExactTopicAsync("out.results", 2);
        await ProduceAsync(_cluster, "in", 0, 10);
        _cluster.SetDown();

        var ingress = new GatedIngress();
        await using var running = new RunningSource(Quick("in"), ingress);
        await using var sink = new KafkaSink(
            new KafkaSinkSettings { Name = "results", BootstrapServers = _cluster.BootstrapServers, TopicPrefix = "out", Client = QuickReconnect }, new ListLogger<KafkaSink>());
        Assert.NotNull(sink.NotReady);
        await sink.OpenAsync(default, TestContext.Current.CancellationToken);
        await UntilAsync(() => running.Source.Status.Detail?.Contains("refused", StringComparison.Ordinal) == true, () => running.Source.Status.ToString());
        await UntilAsync(() => sink.NotReady?.Contains("refused", StringComparison.Ordinal) == true, () => sink.NotReady ?? "ready");
        Assert.Equal(SourceState.Connecting, running.Source.Status.State);
        var publishing = sink.PublishAsync(1, [Result("a")], TestContext.Current.CancellationToken).AsTask();
        Assert.False(publishing.IsCompleted);

        _cluster.SetUp();
        Assert.Equal(new SinkMark(1, 0), await publishing.WaitAsync(Patience, TestContext.Current.CancellationToken));
        await UntilAsync(() => ingress.Samples.Count >= 10, () => running.Logger.Text);
        await UntilAsync(() => running.Source.Status == new SourceStatus(SourceState.Connected, null), () => running.Source.Status.ToString());
        await UntilAsync(() => sink.NotReady is null, () => sink.NotReady!);

        _cluster.SetDown();
        await UntilAsync(() => running.Source.Status.State == SourceState.Connecting);
        await UntilAsync(() => sink.NotReady is not null);
        publishing = sink.PublishAsync(2, [Result("b")], TestContext.Current.CancellationToken).AsTask();
        _cluster.SetUp();
        await publishing.WaitAsync(Patience, TestContext.Current.CancellationToken);
        await ProduceAsync(_cluster, "in", 10, 20);
        await UntilAsync(() => ingress.Samples.ToHashSet().Count >= 20, () => running.Logger.Text);
        Assert.Equal(Samples(0, 20).Order(), ingress.Samples.Distinct().Order());
        await UntilAsync(() => running.Source.Status.State == SourceState.Connected, () => running.Source.Status.ToString());
        await UntilAsync(() => sink.NotReady is null, () => sink.NotReady!);
    }

    [Fact]
    public async Task Stopping_does_not_wait_for_an_absent_cluster()
    {
        await _cluster.CreateExactTopicAsync("in", 2);
        await ProduceAsync(_cluster, "in", 0, 10);
        var ingress = new GatedIngress();
        var running = new RunningSource(Quick("in"), ingress);
        await using var sink = new KafkaSink(
            new KafkaSinkSettings { Name = "results", BootstrapServers = _cluster.BootstrapServers, TopicPrefix = "out" }, new ListLogger<KafkaSink>());
        await sink.OpenAsync(default, TestContext.Current.CancellationToken);
        await UntilAsync(() => ingress.Samples.Count >= 10);
        _cluster.SetDown();
        await UntilAsync(() => running.Source.Status.State == SourceState.Connecting);
        using var stop = new CancellationTokenSource();
        var publishing = sink.PublishAsync(1, [Result("a")], stop.Token).AsTask();

        var watch = Stopwatch.StartNew();
        await running.DisposeAsync();
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => publishing);
        await sink.DisposeAsync();

        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(10), $"{watch.Elapsed}");
    }

    private static Dictionary<string, string> QuickReconnect => new() { ["reconnect.backoff.max.ms"] = "500" };

    private static OutputRecord Result(string stream) => new(OutputKind.Result, stream, 0, 0, Encoding.UTF8.GetBytes("{}"));

    private KafkaSourceSettings Quick(string topic) => Source(_cluster, topic) with { Client = QuickReconnect };
}
