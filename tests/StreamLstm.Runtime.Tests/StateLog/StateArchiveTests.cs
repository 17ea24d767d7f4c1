using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.StateLog;
using StreamLstm.Runtime.Storage;
using StreamLstm.Runtime.Tests.Engine;

namespace StreamLstm.Runtime.Tests.StateLog;

/// <summary>A worker's state moves as one file, and the results go on as if nothing had happened.</summary>
public sealed class StateArchiveTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task After_a_move_the_results_are_those_of_a_worker_that_stayed_on_any_number_of_shards()
    {
        var stayed = new SinkFile();
        var moved = new SinkFile();
        var clock = new ManualTimeProvider(Fleet.Start);
        await RunAsync("here", stayed, clock, 0, 300);
        var file = _folder["moved.state"];
        Assert.True(StateArchive.Export(_folder["here"], file) > 3);
        Assert.Equal(StateArchive.Import(file, _folder["there"]), StateArchive.Import(file, _folder["elsewhere"]));
        foreach (var record in stayed.Records)
            moved.Add([record]);
        await RunAsync("here", stayed, clock, 300, 420);
        await RunAsync("there", moved, new ManualTimeProvider(Fleet.Start), 300, 420, shards: 3);
        Assert.True(stayed.Records.Count > 1000);
        Assert.Equal(stayed.Records.Select(Told), moved.Records.Select(Told));

        // A dead letter names its place in the journal, which is another one now.
        static string Told(Published record) => record.Kind == OutputKind.DeadLetter ? record.Json[..record.Json.IndexOf("\"position\"", StringComparison.Ordinal)] : record.Json;
    }

    [Fact]
    public async Task A_worker_that_died_after_committing_all_it_took_in_can_be_moved_with_the_frames_since_its_snapshots()
    {
        var file = new SinkFile();
        var after = new SinkFile();
        var clock = new ManualTimeProvider(Fleet.Start);
        var settings = Settings("here");
        await using (var engine = await RunningEngine.StartAsync(settings, clock, new RecordingSink(file)))
        {
            await FeedAsync(engine, clock, 0, 200);
            await engine.UntilAsync(() => engine.Engine.Statistics.Results > 0);
            foreach (var part in new[] { "state", "journal", "models", "training", "outlooks" })
                TemporaryFolder.Copy(Path.Combine(_folder["here"], part), Path.Combine(_folder["died"], part));
            StateArchive.Export(_folder["died"], _folder["died.state"], leaveUndelivered: true);
            StateArchive.Import(_folder["died.state"], _folder["there"]);
            var published = file.Records.Count;
            await FeedAsync(engine, clock, 200, 260);
            await engine.StopAsync();
            after.Add(file.Records.Take(published));
        }

        await using (var engine = await RunningEngine.StartAsync(settings with { StateDirectory = _folder["there"], Shards = 2 }, new ManualTimeProvider(Fleet.Start), new RecordingSink(new SinkFile(), "elsewhere")))
            Assert.True(engine.Engine.Statistics.Streams > 3);
        var (from, to) = (Fleet.Start + (200 * Fleet.Step), Fleet.Start + (255 * Fleet.Step));
        var there = new SinkFile();
        var second = new ManualTimeProvider(Fleet.Start);
        await using (var engine = await RunningEngine.StartAsync(settings with { StateDirectory = _folder["there"], Shards = 2 }, second, new RecordingSink(there, "elsewhere")))
        {
            await FeedAsync(engine, second, 200, 260);
            await engine.StopAsync();
        }

        Assert.True(Of(there).Count > 200);
        Assert.Equal(Of(file), Of(there));

        List<string> Of(SinkFile sink) => [.. sink.Records.Where(r => r.Kind == OutputKind.Result && r.Time > UnixMicros.From(from) && r.Time < UnixMicros.From(to)).Select(r => r.Json)];
    }

    [Fact]
    public async Task A_file_that_is_cut_or_damaged_anywhere_is_refused_and_leaves_no_folder()
    {
        await RunAsync("here", new SinkFile(), new ManualTimeProvider(Fleet.Start), 0, 40);
        var file = _folder["whole.state"];
        StateArchive.Export(_folder["here"], file);
        var bytes = await File.ReadAllBytesAsync(file, Stop);
        var random = new Random(5);
        var broken = _folder["broken.state"];
        for (var i = 0; i < 120; i++)
        {
            var copy = bytes.ToArray();
            if (i % 2 == 0)
                copy = copy[..random.Next(copy.Length)];
            else
                copy[i < 40 ? random.Next(60) : random.Next(copy.Length)] ^= (byte)(1 << random.Next(8));
            await File.WriteAllBytesAsync(broken, copy, Stop);
            Assert.Throws<CorruptLogException>(() => StateArchive.Import(broken, _folder["there"]));
            Assert.False(Directory.Exists(_folder["there"]));
        }
    }

    [Fact]
    public async Task What_would_lose_something_is_refused_with_what_to_do()
    {
        var file = _folder["some.state"];
        Assert.Contains("no state folder", Assert.Throws<InvalidOperationException>(() => StateArchive.Export(_folder["nothing"], file)).Message, StringComparison.Ordinal);
        await using (var engine = await RunningEngine.StartAsync(Fleet.Settings(_folder["here"]), new ManualTimeProvider(Fleet.Start), new RecordingSink(new SinkFile())))
        {
            Assert.Contains("in use", Assert.Throws<InvalidOperationException>(() => StateArchive.Export(_folder["here"], file)).Message, StringComparison.Ordinal);
            await engine.Ingress.AppendAsync(Fleet.Quarter(0), Stop);
            await engine.StopAsync();
        }

        using (var journal = new RecordLog(Path.Combine(_folder["here"], "journal"), 1 << 20))
        {
            journal.Append([2, 0, 0, 0, 0]);
            journal.Flush();
        }

        Assert.Contains("no commit contains", Assert.Throws<InvalidOperationException>(() => StateArchive.Export(_folder["here"], file)).Message, StringComparison.Ordinal);
        await using (var engine = await RunningEngine.StartAsync(Fleet.Settings(_folder["here"]), new ManualTimeProvider(Fleet.Start), new RecordingSink(new SinkFile())))
        {
            await engine.DrainAsync();
            await engine.StopAsync();
        }

        using (var log = new Runtime.StateLog.StateLog(Path.Combine(_folder["here"], "state"), 1 << 20))
        {
            var last = log.Read().Last().Header;
            last.Sequence++;
            log.Commit(last, [], [new OutputRecord(OutputKind.Result, "s", 0, 0, "{}"u8.ToArray())]);
        }

        Assert.Contains("start the worker until they have", Assert.Throws<InvalidOperationException>(() => StateArchive.Export(_folder["here"], file)).Message, StringComparison.Ordinal);
        StateArchive.Export(_folder["here"], file, leaveUndelivered: true);
        Assert.Contains("isn't empty", Assert.Throws<InvalidOperationException>(() => StateArchive.Import(file, _folder["here"])).Message, StringComparison.Ordinal);
        File.WriteAllText(file, "anything else");
        Assert.Contains("is no exported state", Assert.Throws<CorruptLogException>(() => StateArchive.Import(file, _folder["there"])).Message, StringComparison.Ordinal);
    }

    /// <summary>Without what comes at a time of its own (training rounds, ticks, repairs): these runs aren't replays of one log. Streams themselves learn.</summary>
    private EngineSettings Settings(string state)
    {
        var settings = Fleet.Settings(_folder[state]);
        return settings with { Profiles = [.. settings.Profiles.Select(p => p with { Learning = false, MaxWait = TimeSpan.FromDays(7), RepairHorizon = TimeSpan.Zero })] };
    }

    private async Task RunAsync(string state, SinkFile file, ManualTimeProvider clock, int from, int to, int shards = 1)
    {
        await using var engine = await RunningEngine.StartAsync(Settings(state) with { Shards = shards }, clock, new RecordingSink(file));
        await FeedAsync(engine, clock, from, to);
        await engine.StopAsync();
    }

    private static async Task FeedAsync(RunningEngine engine, ManualTimeProvider clock, int from, int to)
    {
        for (var step = from; step < to; step++)
        {
            clock.Set(Fleet.Start + (step * Fleet.Step) + TimeSpan.FromSeconds(1));
            await engine.Ingress.AppendAsync(Fleet.Quarter(step), Stop);
            await engine.DrainAsync();
        }
    }
}
