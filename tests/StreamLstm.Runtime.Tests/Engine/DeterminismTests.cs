using System.Globalization;
using System.Text.Json;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;

namespace StreamLstm.Runtime.Tests.Engine;

public sealed class DeterminismTests : IDisposable
{
    private const int Steps = 420;
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task The_same_journal_gives_the_same_bytes_on_any_number_of_shards_and_in_any_batches()
    {
        var live = new SinkFile();
        var clock = new ManualTimeProvider(Fleet.Start);
        await using (var engine = await RunningEngine.StartAsync(Fleet.Settings(_folder["live"]) with { Shards = 2 }, clock, new RecordingSink(live)))
        {
            await FeedAsync(engine, clock, 0, Steps);
            await engine.StopAsync();
        }

        var expected = Flat(live);
        AssertNotTrivial(expected);
        foreach (var (shards, batch) in new[] { (1, 20_000), (2, 1), (4, 20_000), (3, 17) })
        {
            var state = _folder[$"replay-{shards}-{batch}"];
            TemporaryFolder.Copy(Path.Combine(_folder["live"], "journal"), Path.Combine(state, "journal"));
            TemporaryFolder.Copy(Path.Combine(_folder["live"], "models"), Path.Combine(state, "models"));
            var replayed = await RunningEngine.ReplayAsync(Fleet.Settings(state) with { Shards = shards, MaxBatchEntries = batch }, Fleet.Start.AddDays(-1));
            AssertSame(expected, Flat(replayed), $"{shards} shards, batches of {batch}");
        }
    }

    /// <summary>
    /// Crashes by copying the state folder while the engine runs: first the state log, then the journal, then the models, each at most as
    /// new as the next; of the sink's file, what belongs to commits that the copy has. A tiny segment size brings compactions in as well.
    /// </summary>
    [Theory]
    [InlineData(1, 64 << 20)]
    [InlineData(2, 20_000)]
    [InlineData(3, 200_000)]
    public async Task However_often_it_crashes_the_output_is_that_of_an_uninterrupted_run(int seed, long segmentBytes)
    {
        var random = new Random(seed);
        var file = new SinkFile();
        var state = _folder["0"];
        var crashes = 0;
        var redelivered = 0;
        for (var until = 0; until < Steps; crashes++)
        {
            // Of its own in every life: what follows a crash comes at its own time again.
            var clock = new ManualTimeProvider(Fleet.Start);
            var settings = Fleet.Settings(state) with { StateSegmentBytes = segmentBytes, Shards = 1 + random.Next(4), MaxBatchEntries = random.Next(2) == 0 ? 3 : 20_000 };
            await using var engine = await RunningEngine.StartAsync(settings, clock, new RecordingSink(file));
            var fed = engine.Ingress.Position("feed") is { } position ? int.Parse(position, CultureInfo.InvariantCulture) : 0;
            // The first stretch is long enough for a first model.
            until = Math.Min(Steps, fed + (fed == 0 ? 230 : random.Next(5, 60)));
            var crashAt = Fleet.Start + (random.Next(fed, until) * Fleet.Step);
            var feeding = FeedAsync(engine, clock, fed, until);
            if (until == Steps)
            {
                await feeding;
                await engine.StopAsync();
                AssertRedelivered(file, ref redelivered);
                continue;
            }

            await engine.UntilAsync(() => feeding.IsCompleted || (until > 230 && clock.GetUtcNow() >= crashAt));
            var copy = _folder[(crashes + 1).ToString(CultureInfo.InvariantCulture)];
            // The outlooks twice: the file of the copied commit may come or go meanwhile.
            foreach (var part in new[] { "outlooks", "state", "journal", "models", "outlooks" })
                TemporaryFolder.Copy(Path.Combine(state, part), Path.Combine(copy, part));
            var sinkThen = file.Copy(LastCommit(copy));
            await feeding;
            await engine.StopAsync();
            AssertRedelivered(file, ref redelivered);
            file = sinkThen;
            state = copy;
        }

        Assert.True(crashes > 5);
        Assert.True(redelivered > 0, "Nothing was published twice.");
        AssertNotTrivial(Flat(file));
        if (segmentBytes < 64 << 20)
            Assert.False(File.Exists(Path.Combine(state, "state", "00000000000000000000.log")), "Nothing was compacted.");
        var replay = _folder["replay"];
        TemporaryFolder.Copy(Path.Combine(state, "journal"), Path.Combine(replay, "journal"));
        TemporaryFolder.Copy(Path.Combine(state, "models"), Path.Combine(replay, "models"));
        AssertSame(Flat(await RunningEngine.ReplayAsync(Fleet.Settings(replay), Fleet.Start.AddDays(-1))), Flat(file), "crashed run");
    }

    /// <summary>What was cut off on opening has come again with the same commit and the same bytes.</summary>
    private static void AssertRedelivered(SinkFile file, ref int count)
    {
        var records = file.Records;
        foreach (var commit in file.Cut.GroupBy(r => r.Commit))
            Assert.Equal(commit, records.Where(r => r.Commit == commit.Key));
        count += file.Cut.Count;
    }

    private static long LastCommit(string state)
    {
        using var log = new Runtime.StateLog.StateLog(Path.Combine(state, "state"), 64 << 20);
        return log.Read().Select(c => c.Header.Sequence).LastOrDefault();
    }

    private static async Task FeedAsync(RunningEngine engine, ManualTimeProvider clock, int from, int to)
    {
        for (var step = from; step < to; step++)
        {
            clock.Set(Fleet.Start + (step * Fleet.Step) + TimeSpan.FromSeconds(1));
            var batch = Fleet.Quarter(step);
            batch.SetSourcePosition("feed", (step + 1).ToString(CultureInfo.InvariantCulture));
            await engine.Ingress.AppendAsync(batch, Stop);
            // The engine keeps pace roughly, so that silence and training come about while samples still come.
            if (step % 24 == 0)
                await engine.DrainAsync();
        }
    }

    private static IReadOnlyList<(OutputKind, string, long, string)> Flat(SinkFile file) => Flat(file.Records);

    private static IReadOnlyList<(OutputKind, string, long, string)> Flat(IReadOnlyList<Published> records) => [.. records.Select(r => (r.Kind, r.Stream, r.Time, r.Json))];

    private static void AssertSame(IReadOnlyList<(OutputKind, string, long, string)> expected, IReadOnlyList<(OutputKind, string, long, string)> actual, string what)
    {
        for (var i = 0; i < Math.Min(expected.Count, actual.Count); i++)
            Assert.True(expected[i] == actual[i], $"{what}: output {i} differs:\n{expected[i]}\n{actual[i]}");
        Assert.Equal(expected.Count, actual.Count);
    }

    private static void AssertNotTrivial(IReadOnlyList<(OutputKind Kind, string Stream, long Time, string Json)> outputs)
    {
        var results = outputs.Where(o => o.Kind == OutputKind.Result).Select(o => JsonDocument.Parse(o.Json).RootElement).ToList();
        Assert.True(results.Max(r => r.GetProperty("model_version").GetInt32()) >= 1, "No model came into service.");
        Assert.Contains(results, r => r.GetProperty("imputed").GetBoolean());
        Assert.Contains(results, r => r.GetProperty("type").GetString() == "stale");
        Assert.Contains(results, r => r.GetProperty("type").GetString() == "spike");
        Assert.Contains(outputs, o => o.Kind == OutputKind.Episode);
        Assert.Contains(outputs, o => o.Kind == OutputKind.Episode && o.Json.Contains("\"withdrawn\"", StringComparison.Ordinal));
        foreach (var stream in new[] { "s/1", "s/2", "m/0" })
            Assert.Contains(outputs, o => o.Kind == OutputKind.Result && o.Stream == stream && o.Json.Contains("\"revision\":1", StringComparison.Ordinal));
        var parts = results.Where(r => r.GetProperty("stream").GetString() == "m/0").SelectMany(r => r.GetProperty("channels").EnumerateObject()).Select(c => c.Value.GetProperty("parts")).ToList();
        Assert.True(parts.Exists(p => p.GetProperty("shift").GetDouble() > 0.05) && parts.Exists(p => p.GetProperty("spread").GetDouble() > 0.05), "The slow score doesn't count.");
        foreach (var reason in new[] { DeadLetterReason.Late, DeadLetterReason.OutOfRange, DeadLetterReason.Unmatched, DeadLetterReason.ChannelCount, DeadLetterReason.NotFinite })
            Assert.Contains(outputs, o => o.Kind == OutputKind.DeadLetter && o.Json.Contains($"\"{reason}\"", StringComparison.Ordinal));
    }
}
