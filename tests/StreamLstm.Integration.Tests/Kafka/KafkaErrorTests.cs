using System.Text.Json;
using System.Text.Json.Nodes;
using Confluent.Kafka;
using StreamLstm.Integration.Tests.Crash;
using static StreamLstm.Integration.Tests.Kafka.KafkaTests;

namespace StreamLstm.Integration.Tests.Kafka;

/// <summary>
/// A cluster that answers every twentieth request with an error, of those that a cluster in trouble gives, against a whole worker with
/// guarantee at_least_once. <c>STREAMLSTM_KAFKA_ERROR_RECORDS</c> sets the number of records (4000).
/// </summary>
[Trait("Category", "Kafka")]
public sealed class KafkaErrorTests : IDisposable
{
    private readonly KafkaCluster _cluster = KafkaCluster.Mock();

    // Protocol keys of requests, and errors of the protocol that pass. −195: the connection breaks.
    private static readonly (short Api, int[] Errors)[] s_errors =
    [
        (0, [6, 7, 19, 20, -195]),
        (1, [6, 3, 9, -195]),
        (2, [6, 7, -195]),
        (3, [-195]),
        (8, [14, 16, 7, -195]),
        (9, [14, 16, -195]),
        (10, [15, -195]),
        (11, [14, 16, -195]),
        (12, [16, 27, -195]),
        (14, [16, 27, -195]),
        (22, [14, 15, -195]),
    ];

    private static int Records => int.TryParse(Environment.GetEnvironmentVariable("STREAMLSTM_KAFKA_ERROR_RECORDS"), out var n) ? n : 4000;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose() => _cluster.Dispose();

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task With_every_twentieth_request_failing_no_record_is_lost_on_its_way_in_or_out(int seed)
    {
        using var harness = new CrashHarness(seed);
        var topic = await _cluster.CreateTopicAsync("meters", 4);
        foreach (var kind in new[] { "results", "episodes", "deadletters" })
            await _cluster.CreateExactTopicAsync($"p{seed}.{kind}", 3);
        var path = harness.Configure("run", Source(topic), new JsonObject { ["Interval"] = "8m", ["Tier"] = "lean", ["MaxWait"] = "7d" });
        var config = JsonNode.Parse(await File.ReadAllTextAsync(path, Cancel))!;
        config["StreamLstm"]!["Sinks"]!["out"] = new JsonObject { ["Type"] = "kafka", ["BootstrapServers"] = _cluster.BootstrapServers, ["TopicPrefix"] = $"p{seed}" };
        await File.WriteAllTextAsync(path, config.ToJsonString(), Cancel);

        _cluster.SetLatency(TimeSpan.FromMilliseconds(3));
        var random = new Random(seed);
        foreach (var (api, errors) in s_errors)
            _cluster.PushErrors(api, [.. Enumerable.Range(0, 2000).Select(_ => random.Next(20) == 0 ? errors[random.Next(errors.Length)] : 0)]);

        // What the sender has no acknowledgement for it sends again, in the same order.
        var producing = SendAsync(topic);
        using (var worker = WorkerProcess.Start("run", "--config", path))
        {
            await producing;
            await UntilAsync(() => Results(harness.Results).Count >= Records, () => $"{Results(harness.Results).Count} of {Records} results, dead letters {string.Join(' ', (File.Exists(harness.Results) ? File.ReadLines(harness.Results) : []).Where(l => l.Contains("\"reason\"", StringComparison.Ordinal)).Take(5))}.\n{worker.Log}");
            // In the middle of its errors it is killed, and goes on from its journal and the group's offsets.
            await worker.KillAsync();
        }

        using (var worker = WorkerProcess.Start("run", "--config", path))
        {
            await worker.UntilLogAsync("Serving", TimeSpan.FromSeconds(30));
            var seen = new HashSet<string>();
            await Task.Run(() => ReadAll($"p{seed}.results", seen, Records), Cancel);
            Assert.Equal(0, await worker.TerminateAsync(TimeSpan.FromSeconds(30)));
            var expected = Results(harness.Results);
            Assert.Equal(Records, expected.Count);
            Assert.Empty(expected.Except(seen));
            Assert.Empty(seen.Except(expected));
        }

        var samples = Samples(0, Records).Select(s => s.Stream).Distinct();
        Assert.Equal(samples.Order(), Results(harness.Results).Select(r => JsonDocument.Parse(r).RootElement.GetProperty("stream").GetString()!).Distinct().Order());
    }

    private async Task SendAsync(string topic)
    {
        using var producer = new ProducerBuilder<string, string>(new ProducerConfig { BootstrapServers = _cluster.BootstrapServers, LingerMs = 2, EnableIdempotence = true, MessageTimeoutMs = 0, RetryBackoffMs = 20 }).Build();
        var sent = new List<Task>();
        for (var i = 0; i < Records; i++)
        {
            var (stream, time, value) = Sample(i);
            sent.Add(producer.ProduceAsync(topic, new Message<string, string> { Key = stream, Value = FormattableString.Invariant($"{{\"time\":{time / 1_000_000},\"value\":{value}}}") }, Cancel));
            if (i % 20 == 0)
                await Task.Delay(5, Cancel);
        }

        await Task.WhenAll(sent);
    }

    /// <summary>Each record once, whatever came twice: with the same bytes.</summary>
    private void ReadAll(string topic, HashSet<string> into, int until)
    {
        using var consumer = new ConsumerBuilder<string, string>(new ConsumerConfig { BootstrapServers = _cluster.BootstrapServers, GroupId = "reader", EnableAutoCommit = false }).Build();
        consumer.Assign(Enumerable.Range(0, 3).Select(p => new TopicPartitionOffset(topic, p, Offset.Beginning)));
        var started = TimeProvider.System.GetTimestamp();
        while (into.Count < until)
        {
            Assert.True(TimeProvider.System.GetElapsedTime(started) < Patience, $"{into.Count} of {until} results in the topic.");
            if (consumer.Consume(TimeSpan.FromMilliseconds(200)) is { Message.Value: { } value })
                into.Add(value);
        }
    }

    private static HashSet<string> Results(string path)
    {
        if (!File.Exists(path))
            return [];
        using var reader = new StreamReader(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete));
        var lines = new HashSet<string>(StringComparer.Ordinal);
        while (reader.ReadLine() is { } line)
        {
            if (line.Contains("\"yhat\"", StringComparison.Ordinal) && line.EndsWith('}'))
                Assert.True(lines.Add(line), $"Twice: {line[..120]}");
        }

        return lines;
    }

    private JsonObject Source(string topic) => new()
    {
        ["meters"] = new JsonObject
        {
            ["Type"] = "kafka",
            ["Guarantee"] = "at_least_once",
            ["BootstrapServers"] = _cluster.BootstrapServers,
            ["Topics"] = topic,
            ["GroupId"] = topic + "-group",
            ["Client"] = new JsonObject { ["session.timeout.ms"] = "6000", ["heartbeat.interval.ms"] = "200" },
            ["Bindings"] = new JsonObject
            {
                ["reading"] = new JsonObject
                {
                    ["Match"] = topic,
                    ["Stream"] = "{$key}",
                    ["Time"] = new JsonObject { ["At"] = "/time", ["Format"] = "unix" },
                    ["Values"] = new JsonObject { ["v"] = new JsonObject { ["At"] = "/value" } },
                },
            },
        },
    };
}
