using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using StreamLstm.Integration.Tests.Mqtt;
using StreamLstm.Integration.Tests.Simulation;

namespace StreamLstm.Integration.Tests.Crash;

[Trait("Category", "Crash")]
public sealed class CrashEqualityTests
{
    private const int Streams = 12;
    private const int Days = 40;

    [Fact]
    public async Task Killing_the_worker_that_reads_the_simulator_changes_no_byte_and_losing_an_entry_does()
    {
        using var harness = new CrashHarness(1);
        var source = new JsonObject { ["sim"] = new JsonObject { ["Type"] = "simulator", ["Streams"] = Streams, ["Days"] = Days, ["Speed"] = 260_000, ["FaultsPerDay"] = 0.3 } };
        var config = harness.Configure("run", source);
        var struck = await harness.KillRepeatedlyAsync(config, () => true);
        await CrashHarness.FinishAsync(config, untilDrained: true);

        Assert.True(struck >= harness.Kills / 2, $"Only {struck} of {harness.Kills} kills struck a working process.");
        AssertComplete(harness.Results, perStream: Days * 96, dropouts: true);
        Assert.True(Versions(harness.Results) > 2, "The model never changed during the run, so activations were not tested.");
        Assert.Null(CrashHarness.Difference(harness.Results, await harness.ReplayAsync("one-shard")));
        Assert.Null(CrashHarness.Difference(harness.Results, await harness.ReplayAsync("four-shards", shards: 4)));
        Assert.NotNull(CrashHarness.Difference(harness.Results, await harness.ReplayAsync("sabotaged", sabotage: true)));
    }

    [Fact]
    public async Task Killing_the_worker_that_reads_a_file_changes_no_byte_although_silence_closes_frames_and_late_rows_repair_streams()
    {
        using var harness = new CrashHarness(2);
        var file = Path.Combine(harness.Folder, "meters.csv");
        await WriteFileAsync(file);
        // Frames wait for their samples for no longer than a restart takes, so ticks close some of them.
        var profile = new JsonObject { ["MaxWait"] = "200ms", ["SamplesPerFrame"] = 0, ["RepairHorizon"] = "6h", ["Zone"] = "Europe/Berlin", ["Holidays"] = "DE-BW" };
        var source = new JsonObject { ["file"] = new JsonObject { ["Type"] = "file", ["Path"] = file, ["Speed"] = 260_000 } };
        var config = harness.Configure("run", source, profile);
        var struck = await harness.KillRepeatedlyAsync(config, () => true);
        await CrashHarness.FinishAsync(config, untilDrained: true);

        Assert.True(struck >= harness.Kills / 2, $"Only {struck} of {harness.Kills} kills struck a working process.");
        Assert.True(Versions(harness.Results) > 2, "The model never changed during the run, so activations were not tested.");
        Assert.True(File.ReadLines(harness.Results).Count(l => l.Contains("\"revision\":1,", StringComparison.Ordinal)) > 1000, "Hardly anything was revised.");
        Assert.Null(CrashHarness.Difference(harness.Results, await harness.ReplayAsync("replay", profile)));
    }

    [Fact]
    public async Task Killing_the_worker_that_reads_a_broker_loses_no_message_and_changes_no_byte()
    {
        using var harness = new CrashHarness(3);
        await using var broker = await MosquittoServer.StartAsync("max_queued_messages 0\nmax_inflight_messages 100", persistence: true);
        var source = new JsonObject { ["bus"] = CrashHarness.MqttSource(broker.Port) };
        var config = harness.Configure("run", source);
        // The session must exist before the first message: a broker queues only for sessions it knows.
        using (var first = WorkerProcess.Start("run", "--config", config))
        {
            await first.UntilLogAsync("onnected", TimeSpan.FromSeconds(20));
            await Task.Delay(300, TestContext.Current.CancellationToken);
            await first.KillAsync();
        }

        var publisher = SimulatorProcess.Start(
            "load", "--streams", $"{Streams}", "--seed", "5", "--duration", $"{Days}d", "--speed", "190000", "--to", $"mqtt://127.0.0.1:{broker.Port}");
        var published = SimulatorProcess.FinishAsync(publisher);
        var struck = await harness.KillRepeatedlyAsync(config, () => true);
        var (exit, _, error) = await published;
        Assert.True(exit == 0, error);
        const int expected = Streams * Days * 96;
        await CrashHarness.FinishAsync(config, untilDrained: false, async () =>
        {
            var deadline = DateTime.UtcNow.AddSeconds(60);
            while (CountResults(harness.Results) < expected && DateTime.UtcNow < deadline)
                await Task.Delay(200, TestContext.Current.CancellationToken);
        });

        Assert.True(struck >= harness.Kills / 2, $"Only {struck} of {harness.Kills} kills struck a working process.");
        AssertComplete(harness.Results, perStream: Days * 96, dropouts: false);
        Assert.Null(CrashHarness.Difference(harness.Results, await harness.ReplayAsync("replay")));
    }

    private static void AssertComplete(string results, int perStream, bool dropouts)
    {
        var seen = new Dictionary<string, HashSet<string>>(StringComparer.Ordinal);
        foreach (var line in File.ReadLines(results))
        {
            if (!line.Contains("\"yhat\"", StringComparison.Ordinal))
                continue;
            using var result = JsonDocument.Parse(line);
            var stream = result.RootElement.GetProperty("stream").GetString()!;
            seen.TryAdd(stream, []);
            Assert.True(seen[stream].Add(result.RootElement.GetProperty("time").GetString()!), $"Twice: {line[..120]}");
        }

        Assert.Equal(Streams, seen.Count);
        foreach (var (stream, times) in seen)
        {
            // A dropout longer than the gap limit leaves frames without a result; nothing else may.
            if (dropouts)
                Assert.InRange(times.Count, perStream * 8 / 10, perStream);
            else
                Assert.True(times.Count == perStream, $"{stream}: {times.Count} of {perStream} frames have a result.");
        }
    }

    private static int Versions(string results) =>
        File.ReadLines(results).Select(l => l.IndexOf("\"model_version\":", StringComparison.Ordinal) is >= 0 and var at ? l.Substring(at + 16, 4) : "").Distinct(StringComparer.Ordinal).Count();

    private static int CountResults(string results)
    {
        if (!File.Exists(results))
            return 0;
        using var reader = new StreamReader(new FileStream(results, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        var n = 0;
        while (reader.ReadLine() is { } line)
            n += line.Contains("\"yhat\"", StringComparison.Ordinal) ? 1 : 0;
        return n;
    }

    /// <summary>A wide table with gaps, an unusable cell, a daily shape, and rows that come two hours late.</summary>
    private static async Task WriteFileAsync(string path)
    {
        await using var writer = new StreamWriter(path);
        await writer.WriteLineAsync("time," + string.Join(',', Enumerable.Range(0, Streams).Select(s => $"meter-{s}")));
        var start = new DateTimeOffset(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);
        var random = new Random(7);
        var late = new Queue<(int Row, string Line)>();
        for (var i = 0; i < Days * 96; i++)
        {
            var row = new List<string> { start.AddMinutes(15 * i).ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture) };
            for (var s = 0; s < Streams; s++)
            {
                var value = 500 + (200 * Math.Sin(Math.Tau * ((i % 96) / 96.0 + (s * 0.1)))) + (40 * random.NextDouble());
                row.Add(random.Next(200) == 0 ? "" : i == 500 && s == 3 ? "broken" : value.ToString("F1", CultureInfo.InvariantCulture));
            }

            if (i % 60 is 30 or 31)
                late.Enqueue((i, string.Join(',', row)));
            else
                await writer.WriteLineAsync(string.Join(',', row));
            while (late.TryPeek(out var next) && next.Row + 8 <= i)
                await writer.WriteLineAsync(late.Dequeue().Line);
        }
    }
}
