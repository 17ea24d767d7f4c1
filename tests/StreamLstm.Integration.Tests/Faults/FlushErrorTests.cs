using System.Net;
using System.Text.Json.Nodes;
using StreamLstm.Integration.Tests.Crash;

namespace StreamLstm.Integration.Tests.Faults;

/// <summary>
/// One fsync of a real worker fails, the next would succeed again, as Linux has it. The law: a failed flush is never repeated as if all
/// were well. The worker ends, and what it had acknowledged is there.
/// </summary>
[Trait("Category", "Faults")]
public sealed class FlushErrorTests
{
    private const int InputOutput = 5;
    private const int NoSpace = 28;
    private const int ReadOnly = 30;

    [Theory]
    [InlineData("/state/journal/", InputOutput)]
    [InlineData("/state/journal/", NoSpace)]
    [InlineData("/state/journal/", ReadOnly)]
    [InlineData("/state/state/", InputOutput)]
    [InlineData("/state/state/", ReadOnly)]
    [InlineData("results.ndjson", InputOutput)]
    [InlineData("results.ndjson", NoSpace)]
    public async Task A_flush_that_fails_ends_the_worker_with_an_error_and_nothing_acknowledged_is_lost(string path, int error)
    {
        using var harness = new CrashHarness(1);
        var config = harness.Configure("run", new JsonObject { ["web"] = new JsonObject { ["Type"] = "http" } });
        using var feed = new MeterFeed(MeterFeed.UrlOf(config));
        var faults = new FaultyIo(harness.Folder, $"fsync:{path}:1:error={error}").Armed();
        var frame = 0;
        using (var worker = WorkerProcess.Start(faults.Environment, "run", "--config", config))
        {
            await worker.UntilLogAsync("Serving", TimeSpan.FromSeconds(30));
            for (; frame < 20; frame++)
                Assert.Equal(HttpStatusCode.OK, await feed.PostAsync(frame));
            faults.Arm();
            while (await feed.PostAsync(frame) == HttpStatusCode.OK)
                frame++;
            // As if nothing had happened it would go on, since every later flush succeeds.
            Assert.Equal(1, await worker.WaitAsync(TimeSpan.FromSeconds(20)));
            Assert.Contains("fsync failed", worker.Log, StringComparison.Ordinal);
            Assert.DoesNotContain("Stopped cleanly", worker.Log, StringComparison.Ordinal);
            Assert.Single(faults.Struck);
        }

        await CrashHarness.FinishAsync(config, untilDrained: false, async () =>
        {
            for (var until = frame + 20; frame < until; frame++)
                Assert.Equal(HttpStatusCode.OK, await feed.PostAsync(frame));
        });
        feed.AssertComplete(harness.Results, Enumerable.Range(0, frame));
        Assert.Null(CrashHarness.Difference(harness.Results, await harness.ReplayAsync("replay")));
    }
}
