using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using StreamLstm.Integration.Tests.Crash;

namespace StreamLstm.Integration.Tests.Faults;

/// <summary>The wall clock of a real worker is set forward and back by hours and days, while it runs and while it is dead.</summary>
[Trait("Category", "Faults")]
public sealed class ClockStepTests : IDisposable
{
    private WorkerProcess? _worker;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose() => _worker?.Dispose();

    [Fact]
    public async Task Whatever_the_wall_clock_does_samples_are_acknowledged_commits_go_on_and_results_are_those_of_the_log()
    {
        using var harness = new CrashHarness(1);
        // Readings carry no time: what happens to the clock happens to them.
        var profile = new JsonObject { ["Interval"] = "1s", ["SamplesPerFrame"] = 0, ["MaxWait"] = "1s", ["MaxGapFrames"] = 2, ["HorizonSteps"] = 8, ["Tier"] = "lean" };
        var config = harness.Configure("run", new JsonObject { ["web"] = new JsonObject { ["Type"] = "http" } }, profile);
        using var http = new HttpClient { BaseAddress = new Uri(MeterFeed.UrlOf(config)), Timeout = TimeSpan.FromSeconds(10) };
        using var feed = new MeterFeed(MeterFeed.UrlOf(config));
        var faults = new FaultyIo(harness.Folder);
        var sent = 0;
        foreach (var (off, thenKill) in new[] { (TimeSpan.Zero, false), (TimeSpan.FromHours(3), false), (TimeSpan.FromHours(-21), true), (TimeSpan.FromDays(-2), false), (TimeSpan.FromDays(1), true), (TimeSpan.FromHours(-1), false), (TimeSpan.FromHours(1), true) })
            await LiveAsync(off, thenKill);

        feed.Dispose();
        await CrashHarness.FinishAsync(config, untilDrained: false, () => Task.Delay(2500, Cancel));
        var accounted = 0;
        foreach (var line in File.ReadLines(harness.Results))
        {
            using var record = JsonDocument.Parse(line);
            Assert.False(record.RootElement.TryGetProperty("reason", out var reason), $"A dead letter: {reason}");
            if (record.RootElement.TryGetProperty("y", out var y) && y.ValueKind == JsonValueKind.Number)
                accounted++;
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"{sent} posts, {accounted} frames with values");
        // Posts are four a second, frames one.
        Assert.InRange(accounted, sent / 8, sent);
        Assert.Null(CrashHarness.Difference(harness.Results, await harness.ReplayAsync("replay", profile)));

        async Task LiveAsync(TimeSpan off, bool thenKill)
        {
            _worker ??= await StartAsync();
            faults.SetClock(off);
            await Task.Delay(300, Cancel);
            var commits = (await feed.HistogramAsync("streamlstm_commit_duration_seconds")).Count;
            var cpu = Cpu(_worker.Id);
            var started = Stopwatch.StartNew();
            for (var i = 0; i < 12; i++, sent++)
            {
                var took = Stopwatch.StartNew();
                using var body = new StringContent(string.Create(CultureInfo.InvariantCulture, $"{{\"stream\":\"clockless\",\"value\":{500 + (sent % 7)}}}\n"), Encoding.UTF8, "application/x-ndjson");
                using var answer = await http.PostAsync(new Uri("/api/v1/ingest", UriKind.Relative), body, Cancel);
                Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
                Assert.True(took.Elapsed < TimeSpan.FromSeconds(3), $"An acknowledgement took {took.Elapsed} with the clock at {off}.");
                await Task.Delay(250, Cancel);
            }

            Assert.True((await feed.HistogramAsync("streamlstm_commit_duration_seconds")).Count >= commits + 8, $"Commits stood still with the clock at {off}.");
            Assert.Equal(HttpStatusCode.OK, await feed.StatusAsync("/readyz"));
            Assert.Equal(HttpStatusCode.OK, await feed.StatusAsync("/healthz"));
            Assert.True(Cpu(_worker.Id) - cpu < started.Elapsed * 0.9, $"The worker was busy with the clock at {off}: {Cpu(_worker.Id) - cpu} in {started.Elapsed}.");
            if (!thenKill)
                return;
            await _worker.KillAsync();
            _worker.Dispose();
            _worker = null;
        }

        async Task<WorkerProcess> StartAsync()
        {
            var worker = WorkerProcess.Start(faults.Environment, "run", "--config", config);
            await worker.UntilLogAsync("Serving", TimeSpan.FromSeconds(30));
            return worker;
        }
    }

    /// <summary>Processor time used so far: fields 14 and 15 after the name, in hundredths of a second.</summary>
    private static TimeSpan Cpu(int process)
    {
        var fields = File.ReadAllText($"/proc/{process}/stat").Split(") ")[1].Split(' ');
        return TimeSpan.FromSeconds((long.Parse(fields[11], CultureInfo.InvariantCulture) + long.Parse(fields[12], CultureInfo.InvariantCulture)) / 100.0);
    }
}
