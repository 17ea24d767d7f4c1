using System.Globalization;
using System.Text.Json;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Journal;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Sharding;

namespace StreamLstm.Runtime.Tests.Engine;

/// <summary>The wall clock is set by hours and days under a running engine and between two lives of it.</summary>
[Trait("Category", "Faults")]
public sealed class ClockJumpTests : IDisposable
{
    private static readonly DateTimeOffset Start = Fleet.Start;
    private static readonly Profile Plain = new() { Name = "plain", HiddenSize = 4, HorizonSteps = 4, MaxGapFrames = 2, SamplesPerFrame = 1, Learning = false, MaxWait = TimeSpan.FromMinutes(5) };
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_logs_clock_never_runs_backward_follows_steps_forward_and_catches_up_after_steps_back()
    {
        var random = new Random(3);
        for (var run = 0; run < 200; run++)
        {
            var wall = new JumpingClock(Start);
            var clock = new LogClock(wall);
            var last = clock.GetUtcNow();
            for (var step = 0; step < 200; step++)
            {
                if (random.Next(10) == 0)
                    wall.Step(TimeSpan.FromSeconds(random.Next(-100_000, 100_000)));
                var passed = TimeSpan.FromTicks(random.Next(0, 100_000_000));
                wall.Advance(passed);
                var now = clock.GetUtcNow();
                Assert.True(now >= last && now >= wall.GetUtcNow().AddTicks(-10), $"{last:O} {now:O} {wall.GetUtcNow():O}");
                // It never stands still, and behind a wall clock that was set back it isn't faster than time.
                Assert.True(now - last >= (passed * 0.937) - TimeSpan.FromMicroseconds(2));
                if (now > wall.GetUtcNow())
                    Assert.True(now - last <= passed);
                last = now;
            }

            var behind = clock.Ahead;
            wall.Advance(behind * 16);
            Assert.Equal(wall.GetUtcNow(), clock.GetUtcNow(), TimeSpan.FromMilliseconds(1));
        }
    }

    [Theory]
    [InlineData(-3)]
    [InlineData(-24)]
    public async Task A_clock_that_is_set_back_costs_no_sample_and_silence_is_still_noticed(int hours)
    {
        var clock = new JumpingClock(Start);
        var file = new SinkFile();
        await using var engine = await StartAsync("state", clock, file);
        await FeedAsync(engine, clock, 0, 20);
        clock.Step(TimeSpan.FromHours(hours));
        // Meters with clocks of their own go on as they were: by ours they are hours ahead now.
        await FeedAsync(engine, clock, 20, 60);
        await engine.UntilAsync(() => Results(file).Count >= 3 * 60);
        Assert.Equal(Frames(0, 60), Times(file, r => r.GetProperty("y").ValueKind == JsonValueKind.Number));
        Assert.DoesNotContain(file.Records, r => r.Kind == OutputKind.DeadLetter);
        Assert.DoesNotContain(Results(file), r => r.GetProperty("type").GetString() == "stale");

        // Silence of two frames and what is waited for, though the wall clock says it is earlier than the last sample.
        clock.Advance(TimeSpan.FromMinutes(45));
        await engine.UntilAsync(() => Results(file).Count(r => r.GetProperty("imputed").GetBoolean()) > 0);
        await engine.StopAsync();
        await AssertReplayAsync("state", file);
    }

    [Fact]
    public async Task A_clock_a_day_ahead_that_is_set_right_again_makes_no_stream_stale_twice_and_no_storm_of_ticks()
    {
        var clock = new JumpingClock(Start);
        var file = new SinkFile();
        var ticks = 0;
        await using (var engine = await StartAsync("state", clock, file))
        {
            await FeedAsync(engine, clock, 0, 20);
            clock.Step(TimeSpan.FromDays(1));
            // As after a sleep of a day: everything seems to have been silent.
            await engine.UntilAsync(() => Results(file).Count(r => r.GetProperty("type").GetString() == "stale") == 3);
            await FeedAsync(engine, clock, 20, 40);
            clock.Step(TimeSpan.FromDays(-1));
            await FeedAsync(engine, clock, 40, 80);
            await Task.Delay(1500, Stop);
            await engine.StopAsync();
        }

        // Every sample is in a result, or in a dead letter as its interval had been closed.
        var late = file.Records.Count(r => r.Kind == OutputKind.DeadLetter);
        Assert.All(file.Records.Where(r => r.Kind == OutputKind.DeadLetter), r => Assert.Contains("\"late\"", r.Json, StringComparison.Ordinal));
        Assert.Equal(3 * 80, Times(file, r => r.GetProperty("y").ValueKind == JsonValueKind.Number).Count + late);
        Assert.InRange(late, 0, 3 * 3);
        Assert.Equal(3, Results(file).Count(r => r.GetProperty("type").GetString() == "stale"));
        await AssertReplayAsync("state", file);
        await using (var journal = new Runtime.Journal.Journal(Path.Combine(_folder["state"], "journal"), TimeProvider.System, new JournalSettings()))
        {
            var batch = new LogBatch();
            for (var at = journal.Start; journal.ReadInto(batch, at, 100); at = batch.Next, batch.Clear())
                ticks += batch.Kind.Count(k => k == EntryKind.Tick);
        }

        Assert.InRange(ticks, 1, 3 * 20);
    }

    [Theory]
    [InlineData(24, 0, 0, "")]
    [InlineData(0, 24, 9, "late")]
    [InlineData(0, -24, 90, "future")]
    public async Task A_clock_that_is_set_between_a_crash_and_the_restart_changes_nothing_of_what_was_and_loses_nothing(int first, int then, int letters, string reason)
    {
        // Set right it costs nothing. A day ahead, all seem to have been silent for a day; a day behind, nobody can know how long the worker
        // was away, and what is ahead of it goes where it can be taken from again.
        var clock = new JumpingClock(Start);
        clock.Step(TimeSpan.FromHours(first));
        var file = new SinkFile();
        await using (var engine = await StartAsync("state", clock, file))
        {
            await FeedAsync(engine, clock, 0, 30);
            await engine.DrainAsync();
            foreach (var part in new[] { "state", "journal" })
                TemporaryFolder.Copy(Path.Combine(_folder["state"], part), Path.Combine(_folder["crashed"], part));
            await engine.StopAsync();
        }

        var before = file.Records.Count(r => r.Kind == OutputKind.Result);
        clock.Step(TimeSpan.FromHours(then - first));
        long committed;
        using (var log = new Runtime.StateLog.StateLog(Path.Combine(_folder["crashed"], "state"), 64 << 20))
            committed = log.Read().Last().Header.Sequence;
        var after = file.Copy(committed);
        await using (var engine = await StartAsync("crashed", clock, after))
        {
            await FeedAsync(engine, clock, 30, 60);
            await engine.StopAsync();
        }

        Assert.Equal(file.Records.Select(r => r.Json), after.Records.Take(before).Select(r => r.Json));
        var late = after.Records.Count(r => r.Kind == OutputKind.DeadLetter);
        Assert.Equal(3 * 60, Times(after, r => r.GetProperty("y").ValueKind == JsonValueKind.Number).Count + late);
        Assert.InRange(late, 0, letters);
        Assert.All(after.Records.Where(r => r.Kind == OutputKind.DeadLetter), r => Assert.Contains($"\"{reason}\"", r.Json, StringComparison.Ordinal));
        await AssertReplayAsync("crashed", after);
    }

    private Task<RunningEngine> StartAsync(string state, TimeProvider clock, SinkFile file) =>
        RunningEngine.StartAsync(new EngineSettings { StateDirectory = _folder[state], Profiles = [Plain], KeepJournal = true }, clock, new RecordingSink(file));

    /// <summary>Three meters whose event times are their own; stamped by the engine's clock, as every source does it.</summary>
    private static async Task FeedAsync(RunningEngine engine, JumpingClock clock, int from, int to)
    {
        for (var frame = from; frame < to; frame++)
        {
            var batch = new SampleBatch();
            for (var meter = 0; meter < 3; meter++)
                batch.Add(string.Create(CultureInfo.InvariantCulture, $"m{meter}"), UnixMicros.From(At(frame)), UnixMicros.Now(engine.Ingress.Clock), [10 + frame + meter]);
            await engine.Ingress.AppendAsync(batch, Stop);
            await engine.DrainAsync();
            clock.Advance(Fleet.Step);
        }
    }

    private async Task AssertReplayAsync(string state, SinkFile file)
    {
        TemporaryFolder.Copy(Path.Combine(_folder[state], "journal"), Path.Combine(_folder["replay"], "journal"));
        var replayed = await RunningEngine.ReplayAsync(new EngineSettings { StateDirectory = _folder["replay"], Profiles = [Plain], Shards = 2 }, Start.AddDays(-10));
        Assert.Equal(replayed.Select(r => r.Json), file.Records.Select(r => r.Json));
    }

    private static DateTimeOffset At(int frame) => Start + (frame * Fleet.Step);

    private static List<DateTimeOffset> Frames(int from, int to) => [.. Enumerable.Range(from, to - from).SelectMany(f => Enumerable.Repeat(At(f), 3))];

    private static List<JsonElement> Results(SinkFile file) => [.. file.Records.Where(r => r.Kind == OutputKind.Result).Select(r => JsonDocument.Parse(r.Json).RootElement)];

    private static List<DateTimeOffset> Times(SinkFile file, Func<JsonElement, bool> which) => [.. Results(file).Where(which).Select(r => r.GetProperty("time").GetDateTimeOffset()).Order()];
}
