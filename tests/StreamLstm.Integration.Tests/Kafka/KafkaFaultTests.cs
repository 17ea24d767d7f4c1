using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Confluent.Kafka;
using Confluent.Kafka.Admin;
using StreamLstm.Connectors.Kafka.Partitions;
using StreamLstm.Integration.Tests.Crash;

namespace StreamLstm.Integration.Tests.Kafka;

/// <summary>What can go wrong beside crashes and rebalances.</summary>
[Trait("Category", "Kafka")]
[Trait("Category", "Faults")]
public sealed class KafkaFaultTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_fenced_producer_is_renewed_and_its_transactions_leave_no_trace()
    {
        using var rig = await TransactionalRig.CreateAsync(streams: 24);
        var worker = rig.Start(rig.WriteConfiguration("a", source => source["InstanceId"] = "fenced"));
        await worker.UntilLogAsync("restored in", TimeSpan.FromSeconds(40));
        var feed = Task.Run(() => rig.ProduceAsync(0, 400, TimeSpan.FromMilliseconds(25)), Stop);
        for (var i = 0; i < 8; i++)
        {
            await Task.Delay(900, Stop);
            // As a worker that was started twice would, or a cluster whose patience with a transaction is over.
            using var other = rig.RawProducer($"{rig.Group("a")}-fenced-0");
            other.InitTransactions(TimeSpan.FromSeconds(10));
        }

        await feed;
        await rig.UntilReadAsync("a", TimeSpan.FromSeconds(60));
        Assert.Equal(0, await worker.TerminateAsync(TimeSpan.FromSeconds(20)));
        Assert.True(Occurrences(worker.Log, "was given up, and they are restored") >= 3, worker.Log);
        rig.AssertSame(await rig.UninterruptedAsync(), rig.Outputs("a"), "fenced");
    }

    [Fact]
    public async Task A_frozen_worker_loses_its_partitions_and_takes_them_up_again()
    {
        using var rig = await TransactionalRig.CreateAsync(streams: 24);
        var worker = rig.Start(rig.WriteConfiguration("a", source => source["Client"]!["max.poll.interval.ms"] = "6000"));
        await worker.UntilLogAsync("restored in", TimeSpan.FromSeconds(40));
        var feed = Task.Run(() => rig.ProduceAsync(0, 400, TimeSpan.FromMilliseconds(40)), Stop);
        await Task.Delay(1500, Stop);
        using (var stop = Process.Start("kill", ["-STOP", worker.Id.ToString(CultureInfo.InvariantCulture)]))
            await stop.WaitForExitAsync(Stop);
        await Task.Delay(9000, Stop);
        using (var go = Process.Start("kill", ["-CONT", worker.Id.ToString(CultureInfo.InvariantCulture)]))
            await go.WaitForExitAsync(Stop);

        await feed;
        await rig.UntilReadAsync("a", TimeSpan.FromSeconds(60));
        Assert.Equal(0, await worker.TerminateAsync(TimeSpan.FromSeconds(20)));
        rig.AssertSame(await rig.UninterruptedAsync(), rig.Outputs("a"), "frozen");
    }

    [Fact]
    public async Task A_foreign_record_in_the_changelog_keeps_one_partition_from_its_state_and_no_other()
    {
        using var rig = await TransactionalRig.CreateAsync(streams: 24, partitions: 4);
        await rig.ProduceAsync(0, 20);
        var configuration = rig.WriteConfiguration("a");
        var worker = rig.Start(configuration);
        await rig.UntilReadAsync("a", TimeSpan.FromSeconds(40));
        Assert.Equal(0, await worker.TerminateAsync(TimeSpan.FromSeconds(20)));
        using (var producer = rig.RawProducer())
            await producer.ProduceAsync(new TopicPartition(rig.Prefix("a") + ".state", 2), new Message<byte[], byte[]> { Key = "someone"u8.ToArray(), Value = "else"u8.ToArray() }, Stop);

        await rig.ProduceAsync(20, 40);
        var again = rig.Start(configuration);
        await again.UntilLogAsync("leaves a partition alone", TimeSpan.FromSeconds(40));
        Assert.Contains(rig.Prefix("a") + ".state [[2]]@", again.Log, StringComparison.Ordinal);
        // Three of four go on.
        var (committed, end) = rig.Lag("a");
        var patience = Stopwatch.StartNew();
        while (end - committed > (end / 3) && patience.Elapsed < TimeSpan.FromSeconds(30))
        {
            await Task.Delay(100, Stop);
            (committed, end) = rig.Lag("a");
        }

        Assert.InRange(end - committed, 1, end / 3);
        Assert.Equal(0, await again.TerminateAsync(TimeSpan.FromSeconds(20)));
    }

    [Fact]
    public async Task Offsets_that_disagree_with_the_state_are_refused_until_they_are_aligned()
    {
        using var rig = await TransactionalRig.CreateAsync(streams: 24, partitions: 2);
        await rig.ProduceAsync(0, 30);
        var configuration = rig.WriteConfiguration("a");
        var worker = rig.Start(configuration);
        await rig.UntilReadAsync("a", TimeSpan.FromSeconds(40));

        using (var maintenance = new KafkaMaintenance(rig.Settings("a")))
        {
            // The group is busy, so nothing but a look is allowed.
            Assert.Empty(maintenance.Align());
        }

        Assert.Equal(0, await worker.TerminateAsync(TimeSpan.FromSeconds(20)));
        using (var meddler = new ConsumerBuilder<byte[], byte[]>(KafkaCluster.Secured(new ConsumerConfig { BootstrapServers = rig.Servers, GroupId = rig.Group("a") })).Build())
            meddler.Commit([new TopicPartitionOffset(rig.Topic, 1, 5)]);

        await rig.ProduceAsync(30, 60);
        var refused = rig.Start(configuration);
        await refused.UntilLogAsync("stands at offset 5, but the state", TimeSpan.FromSeconds(60));
        Assert.Contains("kafka align", refused.Log, StringComparison.Ordinal);
        Assert.Equal(0, await refused.TerminateAsync(TimeSpan.FromSeconds(20)));

        var align = WorkerProcess.Start("kafka", "align", "--config", configuration);
        rig.Workers.Add(align);
        Assert.Equal(0, await align.WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.Contains("offset 5 -> ", align.Log, StringComparison.Ordinal);
        var last = rig.Start(configuration);
        await rig.UntilReadAsync("a", TimeSpan.FromSeconds(40));
        Assert.Equal(0, await last.TerminateAsync(TimeSpan.FromSeconds(20)));
        rig.AssertSame(await rig.UninterruptedAsync(), rig.Outputs("a"), "aligned");
    }

    [Fact]
    public async Task Missing_topics_and_unequal_partitions_end_the_worker_with_a_remedy()
    {
        using var rig = await TransactionalRig.CreateAsync(partitions: 4);
        using (var admin = new AdminClientBuilder(KafkaCluster.Secured(new AdminClientConfig { BootstrapServers = rig.Servers })).Build())
            await admin.CreateTopicsAsync([new TopicSpecification { Name = rig.Prefix("b") + ".state", NumPartitions = 3, ReplicationFactor = 1 }]);

        var worker = rig.Start(rig.WriteConfiguration("b"));

        Assert.Equal(1, await worker.WaitAsync(TimeSpan.FromSeconds(40)));
        Assert.Contains("has 3 partitions, but", worker.Log, StringComparison.Ordinal);
        Assert.Contains("kafka migrate", worker.Log, StringComparison.Ordinal);
        Assert.Contains($"Topic {rig.Prefix("b")}.results doesn't exist: streamlstm kafka init creates it.", worker.Log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task State_follows_its_streams_when_the_topic_gets_more_partitions()
    {
        using var rig = await TransactionalRig.CreateAsync(streams: 30, partitions: 4);
        await rig.ProduceAsync(0, 60);
        var configuration = rig.WriteConfiguration("a");
        var worker = rig.Start(configuration);
        await rig.UntilReadAsync("a", TimeSpan.FromSeconds(40));
        Assert.Equal(0, await worker.TerminateAsync(TimeSpan.FromSeconds(20)));

        await rig.GrowAsync(10);
        var migrate = WorkerProcess.Start("kafka", "migrate", "--config", configuration);
        rig.Workers.Add(migrate);
        Assert.Equal(0, await migrate.WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.Matches(@"4 -> 10 partitions, \d\d streams moved", migrate.Log);
        await rig.ProduceAsync(60, 120);
        var after = rig.Start(configuration);
        await rig.UntilReadAsync("a", TimeSpan.FromSeconds(40));
        Assert.Equal(0, await after.TerminateAsync(TimeSpan.FromSeconds(20)));

        // Every stream went on where it was: no frame twice, and no second beginning, which would be a frame that nobody expected.
        var results = rig.Read(rig.Prefix("a") + ".results").Select(r => JsonDocument.Parse(r.Message.Value).RootElement).GroupBy(r => r.GetProperty("stream").GetString()!).ToList();
        Assert.Equal(30, results.Count);
        foreach (var stream in results)
        {
            var frames = stream.OrderBy(r => r.GetProperty("time").GetDateTimeOffset()).ToList();
            Assert.True(frames.Count > 100, $"{stream.Key}: {frames.Count}");
            Assert.Equal(frames.Count, frames.DistinctBy(r => r.GetProperty("time").GetDateTimeOffset()).Count());
            Assert.All(frames.Skip(40), r => Assert.Equal(JsonValueKind.Number, r.GetProperty("yhat").ValueKind));
        }
    }

    [Fact]
    public async Task A_local_workers_state_goes_on_in_a_fleet_as_if_nothing_had_happened()
    {
        using var rig = await TransactionalRig.CreateAsync(streams: 20, partitions: 4);
        // The same readings go through one worker from beginning to end, and half of them through a local one.
        await rig.ProduceAsync(0, 60);
        var local = rig.Start(rig.WriteConfiguration("local", source => source["Guarantee"] = "at_least_once", Path.Combine(rig.Folder, "local")));
        await rig.UntilReadAsync("local", TimeSpan.FromSeconds(40));
        Assert.Equal(0, await local.TerminateAsync(TimeSpan.FromSeconds(20)));
        await rig.ProduceAsync(60, 120);
        var whole = await rig.UninterruptedAsync(network: false);

        await rig.StartAnewAsync("c");
        await rig.ProduceAsync(60, 120);
        var configuration = rig.WriteConfiguration("c");
        var import = WorkerProcess.Start("kafka", "import", "--config", configuration, "--state", Path.Combine(rig.Folder, "local"));
        rig.Workers.Add(import);
        Assert.Equal(0, await import.WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.Contains("20 streams in 4 partitions", import.Log, StringComparison.Ordinal);
        var again = WorkerProcess.Start("kafka", "import", "--config", configuration, "--state", Path.Combine(rig.Folder, "local"));
        rig.Workers.Add(again);
        Assert.Equal(1, await again.WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.Contains("import into new topics and a new group", again.Log, StringComparison.Ordinal);

        var fleet = rig.Start(configuration);
        await rig.UntilReadAsync("c", TimeSpan.FromSeconds(40));
        Assert.Equal(0, await fleet.TerminateAsync(TimeSpan.FromSeconds(20)));
        // Without the network, which the local worker has none of, forecasts and scores are those of the whole run.
        var expected = Second(whole);
        Assert.True(expected.Count > 1000, $"{expected.Count}");
        Assert.Equal(expected, Second(rig.Outputs("c")).Where(x => expected.ContainsKey(x.Key)).ToDictionary(x => x.Key, x => x.Value));

        Dictionary<string, string> Second(List<string> outputs) => outputs.Where(o => o.StartsWith(".results", StringComparison.Ordinal))
            .Select(o => JsonDocument.Parse(o[(o.IndexOf('{', StringComparison.Ordinal))..]).RootElement)
            .Where(r => r.GetProperty("time").GetDateTimeOffset() >= rig.TimeOf(62))
            .ToDictionary(r => $"{r.GetProperty("stream")} {r.GetProperty("time")}", r => $"{r.GetProperty("y")} {r.GetProperty("yhat")} {r.GetProperty("yhat_upper")} {r.GetProperty("anomaly_score")}");
    }

    /// <summary>
    /// The command gets <c>stop</c> and <c>start</c> as its argument; for a broker that keeps its data. Away for longer than a
    /// transaction may last.
    /// </summary>
    [Fact]
    public async Task A_cluster_that_is_away_for_thirty_seconds_and_starts_again_costs_nothing()
    {
        if (Environment.GetEnvironmentVariable("STREAMLSTM_TEST_KAFKA_CONTROL") is not { Length: > 0 } control)
        {
            Assert.Skip("needs STREAMLSTM_TEST_KAFKA_CONTROL, a command that stops and starts the cluster");
            return;
        }

        using var rig = await TransactionalRig.CreateAsync(streams: 24);
        var workers = Enumerable.Range(0, 2).Select(_ => rig.Start(rig.WriteConfiguration("a"))).ToList();
        await Task.WhenAll(workers.Select(w => w.UntilLogAsync("restored in", TimeSpan.FromSeconds(40))));
        await rig.ProduceAsync(0, 100, TimeSpan.FromMilliseconds(20));
        var feed = Task.Run(() => rig.ProduceAsync(100, 300, TimeSpan.FromMilliseconds(20)), Stop);
        await Task.Delay(500, Stop);
        await RunAsync(control, "stop");
        await Task.Delay(TimeSpan.FromSeconds(30), Stop);
        Assert.All(workers, w => Assert.False(w.HasExited, w.Log));
        await RunAsync(control, "start");

        await feed;
        await rig.UntilReadAsync("a", TimeSpan.FromSeconds(90));
        foreach (var worker in workers)
            Assert.Equal(0, await worker.TerminateAsync(TimeSpan.FromSeconds(30)));
        rig.AssertSame(await rig.UninterruptedAsync(), rig.Outputs("a"), "away");
    }

    private static async Task RunAsync(string command, string argument)
    {
        using var process = Process.Start(command, [argument]);
        await process.WaitForExitAsync(Stop);
        Assert.Equal(0, process.ExitCode);
    }

    private static int Occurrences(string text, string part) => text.Split(part).Length - 1;
}
