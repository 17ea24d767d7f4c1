using System.Globalization;
using System.Text.Json;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Tests.Engine;

namespace StreamLstm.Runtime.Tests.Signals;

public sealed class SignalDeterminismTests : IDisposable
{
    private const int Steps = 1600;
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task The_same_journal_gives_the_same_beats_on_any_number_of_shards_and_in_any_batches()
    {
        var live = new SinkFile();
        var clock = new ManualTimeProvider(Ward.Start);
        await using (var engine = await RunningEngine.StartAsync(Ward.Settings(_folder["live"]) with { Shards = 2 }, clock, new RecordingSink(live)))
        {
            await FeedAsync(engine, clock, live, 0, Steps);
            await engine.StopAsync();
        }

        var expected = Flat(live.Records);
        AssertNotTrivial(expected);
        foreach (var (shards, batch) in new[] { (1, 20_000), (3, 1), (4, 17) })
        {
            var state = _folder[$"replay-{shards}"];
            TemporaryFolder.Copy(Path.Combine(_folder["live"], "journal"), Path.Combine(state, "journal"));
            var replayed = await RunningEngine.ReplayAsync(Ward.Settings(state) with { Shards = shards, MaxBatchEntries = batch }, Ward.Start.AddDays(-1));
            AssertSame(expected, Flat(replayed), $"{shards} shards, batches of {batch}");
        }
    }

    /// <summary>As for series: crashes by copying the state folder while the engine runs, the log of commits first.</summary>
    [Theory]
    [InlineData(1, 64 << 20)]
    [InlineData(2, 60_000)]
    public async Task However_often_it_crashes_the_beats_are_those_of_an_uninterrupted_run(int seed, long segmentBytes)
    {
        var random = new Random(seed);
        var file = new SinkFile();
        var state = _folder["0"];
        var crashes = 0;
        for (var until = 0; until < Steps; crashes++)
        {
            // Of its own in every life: what follows a crash comes at its own time again.
            var clock = new ManualTimeProvider(Ward.Start);
            var settings = Ward.Settings(state) with { StateSegmentBytes = segmentBytes, Shards = 1 + random.Next(4), MaxBatchEntries = random.Next(2) == 0 ? 3 : 20_000 };
            await using var engine = await RunningEngine.StartAsync(settings, clock, new RecordingSink(file));
            var fed = engine.Ingress.Position("feed") is { } position ? int.Parse(position, CultureInfo.InvariantCulture) : 0;
            until = Math.Min(Steps, fed + random.Next(60, 260));
            var crashAt = Ward.Start.AddSeconds(random.Next(fed, until) / 10.0);
            var feeding = FeedAsync(engine, clock, file, fed, until);
            if (until == Steps)
            {
                await feeding;
                await engine.StopAsync();
                continue;
            }

            await engine.UntilAsync(() => feeding.IsCompleted || clock.GetUtcNow() >= crashAt);
            var copy = _folder[(crashes + 1).ToString(CultureInfo.InvariantCulture)];
            foreach (var part in new[] { "state", "journal" })
                TemporaryFolder.Copy(Path.Combine(state, part), Path.Combine(copy, part));
            var sinkThen = file.Copy(LastCommit(copy));
            await feeding;
            await engine.StopAsync();
            file = sinkThen;
            state = copy;
        }

        Assert.True(crashes > 5);
        AssertNotTrivial(Flat(file.Records));
        if (segmentBytes < 64 << 20)
            Assert.False(File.Exists(Path.Combine(state, "state", "00000000000000000000.log")), "Nothing was compacted.");
        var replay = _folder["replay"];
        TemporaryFolder.Copy(Path.Combine(state, "journal"), Path.Combine(replay, "journal"));
        AssertSame(Flat(await RunningEngine.ReplayAsync(Ward.Settings(replay), Ward.Start.AddDays(-1))), Flat(file.Records), "crashed run");
    }

    [Fact]
    public async Task Shares_of_a_beat_add_up_to_one_and_a_lost_lead_has_all_of_its_episode()
    {
        var live = new SinkFile();
        var clock = new ManualTimeProvider(Ward.Start);
        await using var engine = await RunningEngine.StartAsync(Ward.Settings(_folder["live"]), clock, new RecordingSink(live));
        await FeedAsync(engine, clock, live, 0, 800);
        await engine.StopAsync();
        var results = Flat(live.Records).Where(o => o.Kind == OutputKind.Result && o.Stream.StartsWith("bed", StringComparison.Ordinal)).Select(o => JsonDocument.Parse(o.Json).RootElement).ToList();
        Assert.All(results, r => Assert.Equal(1, r.GetProperty("channels").EnumerateObject().Sum(c => c.Value.GetProperty("share").GetDouble()), 1e-5));
        var first = results.First(r => r.GetProperty("type").GetString() == "lead_off" && r.GetProperty("stream").GetString() == "bed-1");
        Assert.Equal(1, first.GetProperty("channels").GetProperty("I").GetProperty("share").GetDouble());
        var lost = first.GetProperty("time").GetDateTimeOffset() - Ward.Start;
        Assert.InRange(lost.TotalSeconds, 60, 62);
    }

    private static long LastCommit(string state)
    {
        using var log = new Runtime.StateLog.StateLog(Path.Combine(state, "state"), 64 << 20);
        return log.Read().Select(c => c.Header.Sequence).LastOrDefault();
    }

    private static async Task FeedAsync(RunningEngine engine, ManualTimeProvider clock, SinkFile sink, int from, int to)
    {
        for (var step = from; step < to; step++)
        {
            clock.Set(Ward.Start.AddSeconds((step / 10.0) + 0.12));
            var batch = Ward.Tenth(step);
            batch.SetSourcePosition("feed", (step + 1).ToString(CultureInfo.InvariantCulture));
            await engine.Ingress.AppendAsync(batch, Stop);
            if (step % 25 == 0)
                await engine.DrainAsync();
            // Silence (bed-2, until step 1200) is noticed by a timer that runs in real time; a life that begins within it waits for what a crash took.
            if (step == 1100 || (step == from && step is > 1100 and < 1200))
                await engine.UntilAsync(() => sink.Records.Any(r => r.Json.Contains("\"stale\"", StringComparison.Ordinal)));
        }
    }

    private static IReadOnlyList<(OutputKind Kind, string Stream, long Time, string Json)> Flat(IReadOnlyList<Published> records) => [.. records.Select(r => (r.Kind, r.Stream, r.Time, r.Json))];

    private static void AssertSame(IReadOnlyList<(OutputKind, string, long, string)> expected, IReadOnlyList<(OutputKind, string, long, string)> actual, string what)
    {
        for (var i = 0; i < Math.Min(expected.Count, actual.Count); i++)
            Assert.True(expected[i] == actual[i], $"{what}: output {i} differs:\n{expected[i]}\n{actual[i]}");
        Assert.Equal(expected.Count, actual.Count);
    }

    private static void AssertNotTrivial(IReadOnlyList<(OutputKind Kind, string Stream, long Time, string Json)> outputs)
    {
        var results = outputs.Where(o => o.Kind == OutputKind.Result).Select(o => JsonDocument.Parse(o.Json).RootElement).ToList();
        foreach (var type in new[] { "ectopic", "pause", "lead_off", "stale", "state_change", "artefact" })
            Assert.True(results.Any(r => r.GetProperty("type").GetString() == type), $"There is no result of type {type}; there are {string.Join(", ", results.Select(r => r.GetProperty("type").GetString()).Distinct())}.");
        Assert.Equal(outputs.Count(o => o.Kind == OutputKind.Result), outputs.Where(o => o.Kind == OutputKind.Result).Select(o => (o.Stream, o.Time)).Distinct().Count());
        Assert.Contains(outputs, o => o.Kind == OutputKind.Episode && o.Json.Contains("\"closed\"", StringComparison.Ordinal));
        Assert.Contains(results, r => r.GetProperty("profile").GetString() == "meter");
        foreach (var reason in new[] { DeadLetterReason.Late, DeadLetterReason.WrongRate, DeadLetterReason.ChannelCount })
            Assert.True(outputs.Any(o => o.Kind == OutputKind.DeadLetter && o.Json.Contains($"\"{reason}\"", StringComparison.Ordinal)), $"There is no dead letter of reason {reason}.");
    }
}
