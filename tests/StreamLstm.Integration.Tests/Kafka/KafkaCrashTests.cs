using System.Diagnostics;
using System.Globalization;
using Confluent.Kafka;

namespace StreamLstm.Integration.Tests.Kafka;

/// <summary>A worker killed at arbitrary moments, many of them inside transactions; a consumer that reads committed can't tell.</summary>
[Trait("Category", "Kafka")]
[Trait("Category", "Faults")]
public sealed class KafkaCrashTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task However_often_the_worker_is_killed_committed_results_are_byte_for_byte_those_of_an_uninterrupted_run()
    {
        var kills = int.Parse(Environment.GetEnvironmentVariable("STREAMLSTM_CRASH_KILLS") ?? "30", CultureInfo.InvariantCulture);
        const int minutes = 1200;
        using var rig = await TransactionalRig.CreateAsync();
        var feed = Task.Run(() => rig.ProduceAsync(0, minutes, TimeSpan.FromMilliseconds(kills * 2400.0 / minutes)), Stop);
        var configuration = rig.WriteConfiguration("a", source => source["InstanceId"] = "crash-1");
        var random = new Random(7);
        for (var kill = 0; kill < kills; kill++)
        {
            var before = rig.Lag("a").Committed;
            var worker = rig.Start(configuration);
            // It must have got somewhere, or the kills would only prove that a start can be interrupted.
            var patience = Stopwatch.StartNew();
            while (rig.Lag("a").Committed <= before && !feed.IsCompleted)
            {
                Assert.True(patience.Elapsed < TimeSpan.FromSeconds(40) && !worker.HasExited, $"No progress before kill {kill}.\n{worker.Log}");
                await Task.Delay(20, Stop);
            }

            await Task.Delay(random.Next(0, 400), Stop);
            await worker.KillAsync();
        }

        await feed;
        var last = rig.Start(configuration);
        await rig.UntilReadAsync("a", TimeSpan.FromSeconds(60));
        Assert.Equal(0, await last.TerminateAsync(TimeSpan.FromSeconds(20)));

        var expected = await rig.UninterruptedAsync();
        var actual = rig.Outputs("a");
        Assert.True(expected.Count > 30_000, $"{expected.Count} outputs");
        Assert.Contains(expected, o => o.StartsWith(".episodes", StringComparison.Ordinal));
        Assert.Contains(expected, o => o.StartsWith(".deadletters", StringComparison.Ordinal) && o.Contains("\"late\"", StringComparison.Ordinal));
        Assert.All(expected.Where(o => o.StartsWith(".results", StringComparison.Ordinal)), o => Assert.Contains("\"model_version\":1", o, StringComparison.Ordinal));
        // Kills inside transactions leave records that only those see who don't ask for committed ones.
        var aborted = rig.Outputs("a", IsolationLevel.ReadUncommitted).Count - actual.Count;
        TestContext.Current.SendDiagnosticMessage($"{kills} kills, {actual.Count} committed outputs, {aborted} aborted ones");
        rig.AssertSame(expected, actual, $"{kills} kills");
        Assert.True(kills < 10 || aborted > 0, "No kill met a transaction.");
    }
}
