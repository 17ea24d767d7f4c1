using System.Diagnostics;
using System.Globalization;
using Confluent.Kafka;
using StreamLstm.Integration.Tests.Crash;

namespace StreamLstm.Integration.Tests.Kafka;

/// <summary>Workers of one group that join, leave, die and freeze while twelve partitions flow.</summary>
[Trait("Category", "Kafka")]
[Trait("Category", "Rebalance")]
public sealed class KafkaRebalanceTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Workers_that_join_leave_die_and_freeze_change_no_byte_and_no_frozen_ones_write_is_seen()
    {
        const int minutes = 1400;
        using var rig = await TransactionalRig.CreateAsync();
        var feed = Task.Run(() => rig.ProduceAsync(0, minutes, TimeSpan.FromMilliseconds(50)), Stop);
        var fleet = Enumerable.Range(0, 3).Select(_ => Join(rig)).ToList();
        await Task.WhenAll(fleet.Select(OwnsAsync));

        // Leaves in peace, and another comes in its place.
        Assert.True(await fleet[0].TerminateAsync(TimeSpan.FromSeconds(20)) == 0, fleet[0].Log);
        await Task.Delay(2000, Stop);
        fleet[0] = Join(rig);
        await OwnsAsync(fleet[0]);

        // Dies: the group notices after the session's time-out, and the cluster ends its transaction.
        await fleet[1].KillAsync();
        await Task.Delay(9000, Stop);
        fleet[1] = Join(rig);
        await OwnsAsync(fleet[1]);

        // Freezes for longer than the session, so that others go on with its partitions; then it wakes in the belief that it owns them.
        await SignalAsync(fleet[2], "STOP");
        await Task.Delay(10_000, Stop);
        var frozen = rig.Lag("a").Committed;
        await SignalAsync(fleet[2], "CONT");
        await Task.Delay(4000, Stop);
        Assert.False(fleet[2].HasExited, fleet[2].Log);

        // Two at once, one of them while partitions are on their way to a new one.
        await fleet[0].KillAsync();
        var late = Join(rig);
        await Task.Delay(1500, Stop);
        await SignalAsync(fleet[1], "STOP");
        await Task.Delay(8000, Stop);
        await SignalAsync(fleet[1], "CONT");

        await feed;
        await rig.UntilReadAsync("a", TimeSpan.FromSeconds(90));
        foreach (var worker in new[] { fleet[1], fleet[2], late })
            Assert.True(await worker.TerminateAsync(TimeSpan.FromSeconds(20)) == 0, worker.Log);
        Assert.True(frozen > 0);
        Assert.True(rig.Workers.Count(w => w.Log.Contains("restored in", StringComparison.Ordinal) && (w.Log.Contains("from the state topic", StringComparison.Ordinal) || w.Log.Contains("from standby", StringComparison.Ordinal))) >= 5, rig.Logs);

        var expected = await rig.UninterruptedAsync();
        var actual = rig.Outputs("a");
        var aborted = rig.Outputs("a", IsolationLevel.ReadUncommitted).Count - actual.Count;
        TestContext.Current.SendDiagnosticMessage(string.Create(CultureInfo.InvariantCulture, $"{actual.Count} committed outputs, {aborted} aborted ones, {rig.Workers.Sum(w => Count(w.Log, "restored in"))} hand-overs"));
        rig.AssertSame(expected, actual, "rebalances");
    }

    [Fact]
    public async Task A_partition_that_comes_back_before_anyone_committed_is_taken_up_from_memory()
    {
        using var rig = await TransactionalRig.CreateAsync(streams: 12, partitions: 4);
        await rig.ProduceAsync(0, 40);
        var first = Join(rig);
        await rig.UntilReadAsync("a", TimeSpan.FromSeconds(40));

        // With nothing to read, a second worker takes half of them and leaves again without a commit.
        var second = Join(rig);
        await OwnsAsync(second);
        Assert.Equal(0, await second.TerminateAsync(TimeSpan.FromSeconds(20)));
        await first.UntilLogAsync("kept warm", TimeSpan.FromSeconds(30));

        await rig.ProduceAsync(40, 80);
        await rig.UntilReadAsync("a", TimeSpan.FromSeconds(40));
        Assert.Equal(0, await first.TerminateAsync(TimeSpan.FromSeconds(20)));
        rig.AssertSame(await rig.UninterruptedAsync(), rig.Outputs("a"), "kept warm");
    }

    private static WorkerProcess Join(TransactionalRig rig) => rig.Start(rig.WriteConfiguration("a"));

    private static Task OwnsAsync(WorkerProcess worker) => worker.UntilLogAsync("restored in", TimeSpan.FromSeconds(40));

    private static int Count(string text, string part) => text.Split(part).Length - 1;

    private static async Task SignalAsync(WorkerProcess worker, string signal)
    {
        using var kill = Process.Start("kill", ["-" + signal, worker.Id.ToString(CultureInfo.InvariantCulture)]);
        await kill.WaitForExitAsync(Stop);
    }
}
