using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using StreamLstm.Integration.Tests.Crash;

namespace StreamLstm.Integration.Tests.Faults;

/// <summary>Every fsync of a real worker takes between a tenth of a second and a whole one.</summary>
[Trait("Category", "Faults")]
public sealed class SlowDiskTests
{
    private const string Slow = "delay=100-1000";

    [Fact]
    public async Task With_flushes_of_up_to_a_second_senders_wait_for_the_disk_and_nothing_else_and_nothing_is_lost()
    {
        using var harness = new CrashHarness(1);
        var config = harness.Configure("run", new JsonObject { ["web"] = new JsonObject { ["Type"] = "http" } });
        var faults = new FaultyIo(harness.Folder, $"fsync:{harness.Folder}:1+:{Slow}");
        var frames = 0;
        // Four senders, each with meters of its own.
        var feeds = Enumerable.Range(0, 4).Select(i => new MeterFeed(MeterFeed.UrlOf(config), streams: 10, prefix: $"meter-{i}")).ToList();
        var feed = feeds[0];
        using (var worker = WorkerProcess.Start(faults.Environment, "run", "--config", config))
        {
            await worker.UntilLogAsync("Serving", TimeSpan.FromSeconds(60));
            var slowest = TimeSpan.Zero;
            var total = Stopwatch.StartNew();
            for (; total.Elapsed < TimeSpan.FromSeconds(12); frames++)
            {
                // Four requests at once share a flush, or the next one: none waits for more than two.
                var took = Stopwatch.StartNew();
                var answers = await Task.WhenAll(feeds.Select(f => f.PostAsync(frames)));
                slowest = took.Elapsed > slowest ? took.Elapsed : slowest;
                Assert.All(answers, a => Assert.Equal(HttpStatusCode.OK, a));
                Assert.Equal(HttpStatusCode.OK, await feed.StatusAsync("/readyz"));
            }

            TestContext.Current.TestOutputHelper?.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{4 * frames} requests, the slowest in {slowest.TotalSeconds:F1} s, {PeakMegabytes(worker.Id)} MB"));
            Assert.InRange(slowest, TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(4));
            // Each commit flushes once, and the histogram tells of it.
            var (sum, count) = await feed.HistogramAsync("streamlstm_commit_duration_seconds");
            Assert.True(count > 3 && sum / count is > 0.1 and < 2.5, $"{count} commits in {sum} s");
            Assert.Equal(HttpStatusCode.OK, await feed.StatusAsync("/healthz"));
            Assert.Equal(0, await worker.TerminateAsync(TimeSpan.FromSeconds(40)));
        }

        foreach (var sender in feeds)
        {
            sender.AssertComplete(harness.Results, Enumerable.Range(0, frames));
            sender.Dispose();
        }

        Assert.Null(CrashHarness.Difference(harness.Results, await harness.ReplayAsync("replay")));
    }

    /// <summary>Input that outruns a disk on which commits and publications are slow and the journal isn't.</summary>
    [Fact]
    public async Task A_backlog_behind_slow_commits_is_bounded_told_of_and_worked_off()
    {
        using var harness = new CrashHarness(1);
        var path = harness.Configure("run", new JsonObject { ["web"] = new JsonObject { ["Type"] = "http" } }, new JsonObject { ["Tier"] = "lean" });
        var config = JsonNode.Parse(await File.ReadAllTextAsync(path, TestContext.Current.CancellationToken))!;
        const long allowed = 16 << 20;
        config["StreamLstm"]!["Engine"]!["JournalMaxBytes"] = allowed;
        await File.WriteAllTextAsync(path, config.ToJsonString(), TestContext.Current.CancellationToken);
        var faults = new FaultyIo(harness.Folder, $"fsync:/state/state/:1+:{Slow}", $"fsync:results.ndjson:1+:{Slow}");
        var feeds = Enumerable.Range(0, 4).Select(i => (Meters: new MeterFeed(MeterFeed.UrlOf(path), streams: 2000, prefix: $"meter-{i}"), Acknowledged: new List<int>())).ToList();
        var feed = feeds[0].Meters;
        using (var worker = WorkerProcess.Start(faults.Environment, "run", "--config", path))
        {
            await worker.UntilLogAsync("Serving", TimeSpan.FromSeconds(60));
            var refused = false;
            var most = 0.0;
            var limit = Stopwatch.StartNew();
            for (var frame = 0; !refused && limit.Elapsed < TimeSpan.FromSeconds(90); frame++)
            {
                var answers = await Task.WhenAll(feeds.Select(f => f.Meters.PostAsync(frame)));
                for (var i = 0; i < answers.Length; i++)
                {
                    if (answers[i] == HttpStatusCode.OK)
                        feeds[i].Acknowledged.Add(frame);
                }

                refused = answers.Any(a => a == HttpStatusCode.ServiceUnavailable);
                most = Math.Max(most, await feed.MetricAsync("streamlstm_journal_backlog_bytes"));
            }

            var accepted = feeds.Sum(f => f.Acknowledged.Count);
            Assert.True(refused, $"{accepted} requests were accepted and none had to wait.");
            var (ready, detail) = await feed.PartAsync("storage");
            Assert.True(ready || detail!.Contains("not committed yet", StringComparison.Ordinal), detail);
            Assert.Equal(HttpStatusCode.OK, await feed.StatusAsync("/healthz"));
            var peak = PeakMegabytes(worker.Id);
            TestContext.Current.TestOutputHelper?.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{accepted} requests accepted, {most / 1e6:F0} MB waited, {peak} MB of memory"));
            // A request that was let in before the limit was reached may come on top, one per turn.
            Assert.InRange(most, allowed / 2, allowed + (8 * 2000 * 64));
            Assert.InRange(peak, 50, 800);
            await Mqtt.Eventually.HoldsAsync(async () => await feed.StatusAsync("/readyz") == HttpStatusCode.OK, "ready again once there is room");
            Assert.Equal(0, await worker.TerminateAsync(TimeSpan.FromSeconds(60)));
        }

        // What was accepted and not committed when it was told to stop is in the journal.
        await CrashHarness.FinishAsync(path, untilDrained: false, async () =>
        {
            await Mqtt.Eventually.HoldsAsync(async () => await feed.MetricAsync("streamlstm_journal_backlog_bytes") == 0, "everything is committed");
        });
        foreach (var (meters, acknowledged) in feeds)
        {
            meters.AssertComplete(harness.Results, acknowledged);
            meters.Dispose();
        }
    }

    /// <summary>The largest resident size so far.</summary>
    private static long PeakMegabytes(int process) =>
        long.Parse(File.ReadLines($"/proc/{process}/status").First(l => l.StartsWith("VmHWM:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) / 1024;
}
