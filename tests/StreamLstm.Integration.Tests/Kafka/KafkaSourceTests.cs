using System.Globalization;
using System.Text;
using Confluent.Kafka;
using Microsoft.Extensions.Logging.Abstractions;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Connectors.Kafka;
using StreamLstm.Integration.Tests.Simulation;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Simulation;
using static StreamLstm.Integration.Tests.Kafka.KafkaTests;

namespace StreamLstm.Integration.Tests.Kafka;

[Trait("Category", "Kafka")]
public sealed class KafkaSourceTests(KafkaCluster cluster) : IClassFixture<KafkaCluster>
{
    [Fact]
    public async Task What_the_simulator_sends_arrives_as_samples_in_the_order_of_each_stream()
    {
        var topic = await cluster.CreateTopicAsync("meters", 4);
        (int exit, _, string error) = await SimulatorProcess.RunAsync(
            "load", "--streams", "6", "--duration", "1d", "--speed", "0", "--to", $"kafka://{cluster.BootstrapServers}/{topic}");
        Assert.True(exit == 0, error);

        var ingress = new GatedIngress();
        await using (new RunningSource(Source(cluster, topic), ingress))
            await UntilAsync(() => ingress.Samples.Count >= 6 * 96, () => $"{ingress.Samples.Count} samples.");

        var simulator = new LoadSimulator(new LoadSimulationOptions { Streams = 6 });
        for (var s = 0; s < 6; s++)
        {
            var (stream, index) = (simulator.StreamKeys[s], s);
            Assert.Equal(
                Enumerable.Range(0, 96).Select(f => (stream, UnixMicros.From(simulator.FrameTime(f)), simulator.Value(index, f))),
                ingress.Samples.Where(sample => sample.Stream == stream));
        }

        Assert.Empty(ingress.DeadLetters);
    }

    [Fact]
    public async Task Headers_are_attributes_of_events_and_the_records_time_stamp_is_the_time_of_what_has_none()
    {
        var topic = await cluster.CreateTopicAsync("events", 1);
        var stamp = UnixMicros.From(TimeProvider.System.GetUtcNow().AddHours(-3)) / 1000 * 1000;
        var event1 = new Headers { { "ce_specversion", "1.0"u8.ToArray() }, { "ce_source", "/meters/7"u8.ToArray() }, { "ce_time", "2026-01-05T00:00:00Z"u8.ToArray() } };
        var event2 = new Headers { { "ce_specversion", "1.0"u8.ToArray() }, { "ce_source", "/meters/8"u8.ToArray() } };
        using (var producer = Producer(cluster))
        {
            foreach (var headers in new[] { event1, event2 })
                await producer.ProduceAsync(topic, new Message<string, string> { Key = "k", Value = """{"power":41.5}""", Headers = headers, Timestamp = new Timestamp(stamp / 1000, TimestampType.CreateTime) }, TestContext.Current.CancellationToken);
        }

        var ingress = new GatedIngress();
        await using (new RunningSource(Source(cluster, topic), ingress, new BindingDecoder(Presets.Find("cloudevents"))))
            await UntilAsync(() => ingress.Samples.Count >= 2, () => $"{ingress.Samples.Count} samples, {ingress.DeadLetters.Count} dead letters.");
        Assert.Equal([("/meters/7/power", Codecs.Decoding.Micros("2026-01-05T00:00:00Z"), 41.5), ("/meters/8/power", stamp, 41.5)], ingress.Samples);
    }

    [Fact]
    public async Task Offsets_are_committed_only_after_the_append_so_that_a_restart_reads_again()
    {
        var topic = await cluster.CreateTopicAsync("restart", 2);
        var settings = Source(cluster, topic);
        await ProduceAsync(cluster, topic, 0, 100);

        var stuck = new GatedIngress(open: false);
        await using (new RunningSource(settings, stuck))
            await UntilAsync(() => stuck.Begun > 0);
        Assert.Empty(stuck.Samples);
        Assert.Equal(0, Committed(cluster, topic, settings.GroupId, 2));

        var ingress = new GatedIngress();
        await using (var running = new RunningSource(settings, ingress))
            await UntilAsync(() => ingress.Samples.Count >= 100, () => $"{ingress.Samples.Count} samples.\n{running.Logger.Text}");
        Assert.Equal(Samples(0, 100).Order(), ingress.Samples.Order());
        Assert.Equal(100, Committed(cluster, topic, settings.GroupId, 2));

        await ProduceAsync(cluster, topic, 100, 103);
        var later = new GatedIngress();
        await using (new RunningSource(settings, later))
            await UntilAsync(() => later.Samples.Count >= 3, () => $"{later.Samples.Count} samples.");
        Assert.Equal(Samples(100, 103).Order(), later.Samples.Order());
    }

    [Fact]
    public async Task Offsets_are_committed_while_the_source_runs()
    {
        var topic = await cluster.CreateTopicAsync("running", 2);
        var settings = Source(cluster, topic);
        await ProduceAsync(cluster, topic, 0, 50);

        await using var running = new RunningSource(settings, new GatedIngress());

        await UntilAsync(() => Committed(cluster, topic, settings.GroupId, 2) == 50);
    }

    [Fact]
    public async Task A_long_append_neither_loses_the_membership_nor_records()
    {
        var topic = await cluster.CreateTopicAsync("slow", 4);
        var patience = Session(cluster) + TimeSpan.FromSeconds(0.5);
        var settings = Source(cluster, topic) with
        {
            Client = new Dictionary<string, string>(QuickGroup(cluster)) { ["max.poll.interval.ms"] = patience.TotalMilliseconds.ToString(CultureInfo.InvariantCulture) },
        };
        await ProduceAsync(cluster, topic, 0, 40);
        var ingress = new GatedIngress(open: false);
        await using var running = new RunningSource(settings, ingress);
        await UntilAsync(() => ingress.Begun > 0);
        await ProduceAsync(cluster, topic, 40, 1040);

        // Longer than the group waits for a member that doesn't poll.
        await Task.Delay(patience + TimeSpan.FromSeconds(1.5), TestContext.Current.CancellationToken);
        Assert.Equal(1, ingress.Begun);
        ingress.Open();

        await UntilAsync(() => ingress.Samples.Count >= 1040, () => $"{ingress.Samples.Count} samples.");
        Assert.DoesNotContain("lost", running.Logger.Text, StringComparison.Ordinal);
        foreach (var stream in Samples(0, 1040).GroupBy(s => s.Stream))
            Assert.Equal(stream, ingress.Samples.Where(s => s.Stream == stream.Key));
        await UntilAsync(() => Committed(cluster, topic, settings.GroupId, 4) == 1040);
    }

    [Theory]
    [InlineData("range")]
    [InlineData("cooperative-sticky")]
    public async Task Partitions_change_hands_after_the_running_append_without_loss(string strategy)
    {
        var topic = await cluster.CreateTopicAsync("hands", 4);
        var settings = Source(cluster, topic) with
        {
            Client = new Dictionary<string, string>(QuickGroup(cluster)) { ["partition.assignment.strategy"] = strategy },
        };
        await ProduceAsync(cluster, topic, 0, 40);
        var first = new GatedIngress(open: false);
        await using var one = new RunningSource(settings, first);
        await UntilAsync(() => first.Begun > 0);

        var second = new GatedIngress();
        await using var two = new RunningSource(settings, second);
        await Task.Delay(TimeSpan.FromSeconds(1.5), TestContext.Current.CancellationToken);
        Assert.Empty(second.Samples);
        first.Open();
        await UntilAsync(() => two.Logger.Text.Contains("owns 2 more", StringComparison.Ordinal), () => one.Logger.Text + "\n--\n" + two.Logger.Text);
        await ProduceAsync(cluster, topic, 40, 200);

        await UntilAsync(() => first.Samples.Count + second.Samples.Count >= 200, () => $"{first.Samples.Count} + {second.Samples.Count} samples.");
        Assert.NotEmpty(second.Samples);
        var all = first.Samples.Concat(second.Samples).ToList();
        Assert.Equal(Samples(0, 200).Order(), all.Distinct().Order());

        // A member that could commit before it gave its partitions back leaves nothing to be read twice. The mock cluster refuses
        // commits while a rebalance is under way, which brokers accept; the source then says that records come again.
        var log = one.Logger.Text + "\n--\n" + two.Logger.Text;
        if (!cluster.IsMock || (!log.Contains("may come again", StringComparison.Ordinal) && !log.Contains("no longer ours to store", StringComparison.Ordinal)))
            Assert.True(all.Count == 200, $"{all.Count} samples.\n{log}");
    }

    [Fact]
    public async Task Unreadable_records_become_dead_letters_that_say_where_they_lie_and_tombstones_are_passed_over()
    {
        var topic = await cluster.CreateTopicAsync("bad", 1);
        using (var producer = Producer(cluster))
        {
            await producer.ProduceAsync(topic, new Message<string, string> { Key = "m", Value = "{\"time\":1767571200,\"value\":1}" }, TestContext.Current.CancellationToken);
            await producer.ProduceAsync(topic, new Message<string, string> { Key = "m", Value = null! }, TestContext.Current.CancellationToken);
            await producer.ProduceAsync(topic, new Message<string, string> { Key = "m", Value = "not json" }, TestContext.Current.CancellationToken);
        }

        var ingress = new GatedIngress();
        await using (new RunningSource(Source(cluster, topic), ingress))
            await UntilAsync(() => ingress.DeadLetters.Count > 0);

        Assert.Single(ingress.Samples);
        var letter = Assert.Single(ingress.DeadLetters);
        Assert.Equal((DeadLetterReason.Malformed, "grid", topic + "[0]@2", "not json"), (letter.Reason, letter.Source, letter.Position, Encoding.UTF8.GetString(letter.Payload.Span)));
        Assert.Equal(3, Committed(cluster, topic, topic + "-group", 1));
    }

    [Fact]
    public async Task A_failing_append_ends_the_run()
    {
        var topic = await cluster.CreateTopicAsync("broken", 1);
        await ProduceAsync(cluster, topic, 0, 1);
        var source = new KafkaSource(Source(cluster, topic), Decoder(), NullLogger<KafkaSource>.Instance);

        var failure = await Assert.ThrowsAsync<IOException>(() => source.RunAsync(new FullDisk(), TestContext.Current.CancellationToken).WaitAsync(Patience, TestContext.Current.CancellationToken));

        Assert.Equal("No space left.", failure.Message);
        Assert.Equal(0, Committed(cluster, topic, topic + "-group", 1));
    }

    [Fact]
    public async Task Secrets_appear_neither_in_the_log_nor_in_the_settings_text()
    {
        var topic = await cluster.CreateTopicAsync("secret", 1);
        var settings = Source(cluster, topic) with
        {
            Client = new Dictionary<string, string> { ["sasl.username"] = "meter-reader", ["sasl.password"] = "hunter2", ["debug"] = "all" },
        };
        var running = new RunningSource(settings, new GatedIngress());
        await using (running)
            await UntilAsync(() => running.Source.Status.State == SourceState.Connected);

        Assert.DoesNotContain("hunter2", running.Logger.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", settings.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("meter-reader", settings.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("enable.auto.commit")]
    [InlineData("bootstrap.servers")]
    [InlineData("group.id")]
    public void Client_settings_that_the_guarantee_rests_on_are_refused(string key)
    {
        var settings = Source(cluster, "t") with { Client = new Dictionary<string, string> { [key] = "hunter2" } };

        var refused = Assert.Throws<ArgumentException>(() => new KafkaSource(settings, Decoder(), NullLogger<KafkaSource>.Instance));

        Assert.Contains(key, refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", refused.Message, StringComparison.Ordinal);
    }

    private sealed class FullDisk : IIngress
    {
        public TimeProvider Clock => TimeProvider.System;

        public ValueTask AppendAsync(SampleBatch batch, CancellationToken cancellationToken) => ValueTask.FromException(new IOException("No space left."));

        public string? Position(string source) => null;
    }
}
