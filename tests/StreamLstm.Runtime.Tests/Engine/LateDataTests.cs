using System.Text.Json.Nodes;
using FsCheck.Fluent;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent;
using StreamLstm.Runtime.Alignment;
using StreamLstm.Runtime.Episodes;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Models;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Tests.Engine;

/// <summary>What comes late, but inside the repair horizon, leaves no trace in the stream's state.</summary>
public sealed class LateDataTests : IDisposable
{
    private const long Quarter = 900_000_000;
    private static readonly DateTimeOffset Start = Fleet.Start;

    private static readonly Profile Plain = new()
    {
        Name = "plain",
        HiddenSize = 4,
        HorizonSteps = 4,
        MaxGapFrames = 2,
        SamplesPerFrame = 1,
        Learning = false,
        Season = TimeSpan.FromHours(6),
        Tier = Tier.Lean,
        RepairHorizon = TimeSpan.FromHours(6),
        ValidMin = -10_000,
        ValidMax = 1_000_000,
    };

    private readonly TemporaryFolder _folder = new();
    private int _runs;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    /// <summary>One thing that happens: a sample, or (Values null) a model version coming into service.</summary>
    private sealed record Entry(long Time, long Arrival, double[]? Values, int Version = 0);

    [Fact]
    public void After_the_repair_the_state_is_bitwise_that_of_the_data_in_order() => Property.Holds(Gen.Choose(1, 1_000_000), seed =>
    {
        var (profile, late) = Scenario(seed);
        var inOrder = late.Where(e => e.Values is not null).OrderBy(e => e.Time).ThenBy(e => e.Arrival).ToList();
        foreach (var activation in late.Where(e => e.Values is null))
            inOrder.Insert(inOrder.FindLastIndex(e => e.Time <= activation.Time) + 1, activation);
        Assert.NotEqual(inOrder, late);
        var (expectedState, expected) = RunAsync(profile, inOrder, 1).GetAwaiter().GetResult();
        foreach (var batch in new[] { 1, 7, 20_000 })
        {
            var (state, published) = RunAsync(profile, late, batch).GetAwaiter().GetResult();
            Assert.Equal(expectedState, state);
            AssertSameResults(expected, published);
            AssertSameEpisodes(expected, published);
        }
    }, tries: 40);

    [Fact]
    public async Task A_late_sample_revises_its_interval_and_what_followed_and_only_the_newest_result_carries_a_forecast()
    {
        var log = InOrder(40);
        var late = log[20] with { Arrival = log[30].Arrival + 1 };
        log.RemoveAt(20);
        log.Insert(30, late);
        var (_, published) = await RunAsync(Plain, log, 1);
        var revised = Results(published).Where(r => r["revision"]!.GetValue<int>() == 1).ToList();
        Assert.Equal(Enumerable.Range(20, 11), revised.Select(r => Frame(r)));
        Assert.False(revised[0]["imputed"]!.GetValue<bool>());
        Assert.Equal(log.Single(e => e.Time == late.Time).Values![0], revised[0]["y"]!.GetValue<double>());
        Assert.All(revised.SkipLast(1), r => Assert.Null(r["forecast"]));
        Assert.NotNull(revised[^1]["forecast"]);
        Assert.DoesNotContain(published, p => p.Kind == OutputKind.DeadLetter);
        // What stands before the gap is as it was, and not said twice.
        Assert.Equal(40 + 11, Results(published).Count());
    }

    [Fact]
    public async Task What_is_later_than_the_horizon_is_a_dead_letter_that_says_so()
    {
        var log = InOrder(60);
        log.Insert(50, log[20] with { Values = [1], Arrival = log[49].Arrival });
        log.RemoveAt(20);
        var (_, published) = await RunAsync(Plain, log, 1);
        var letter = Assert.Single(published, p => p.Kind == OutputKind.DeadLetter);
        Assert.Contains("\"late\"", letter.Json, StringComparison.Ordinal);
        Assert.Contains("repair horizon", letter.Json, StringComparison.Ordinal);
        Assert.All(Results(published), r => Assert.Equal(0, r["revision"]!.GetValue<int>()));
    }

    [Fact]
    public async Task A_backlog_that_explains_a_silence_withdraws_its_episode()
    {
        var log = InOrder(60);
        var now = log[40].Arrival;
        // Eight intervals are missing when the stream goes on; they arrive together, ten intervals later.
        for (var i = 30; i < 38; i++)
            log[i] = log[i] with { Arrival = now + i };
        var (_, published) = await RunAsync(Plain, [.. log.OrderBy(e => e.Arrival)], 1);
        var episodes = published.Where(p => p.Kind == OutputKind.Episode).Select(p => JsonNode.Parse(p.Json)!).Where(e => e["type"]!.GetValue<string>() == "stale").ToList();
        Assert.Equal("withdrawn", episodes[^1]["state"]!.GetValue<string>());
        Assert.True(episodes[^1]["revision"]!.GetValue<int>() > 0);
        Assert.Single(episodes.Select(e => e["episode"]!.GetValue<string>()).Distinct());
        Assert.All(Latest(published).Values, r => Assert.False(r["imputed"]!.GetValue<bool>()));
    }

    [Fact]
    public async Task A_repetition_changes_nothing_and_a_correction_revises()
    {
        var log = InOrder(40);
        log.Insert(35, log[30] with { Arrival = log[34].Arrival });
        log.Insert(36, log[31] with { Values = [99], Arrival = log[34].Arrival });
        var (_, published) = await RunAsync(Plain, log, 1);
        var revised = Results(published).Where(r => r["revision"]!.GetValue<int>() == 1).ToList();
        Assert.Equal(31, Frame(revised[0]));
        Assert.Equal(99, revised[0]["y"]!.GetValue<double>());
    }

    [Fact]
    public async Task One_sample_too_many_for_a_complete_interval_is_a_dead_letter_and_repairs_nothing()
    {
        var log = InOrder(40);
        log.Insert(35, log[30] with { Time = log[30].Time + 1, Arrival = log[34].Arrival });
        var (_, published) = await RunAsync(Plain, log, 1);
        Assert.Contains("complete without it", Assert.Single(published, p => p.Kind == OutputKind.DeadLetter).Json, StringComparison.Ordinal);
        Assert.Equal(40, Results(published).Count());
    }

    [Fact]
    public async Task A_crowd_of_late_streams_is_repaired_at_the_partitions_pace()
    {
        // Streams of one partition whose backlog arrives in the same second: each repair waits for the frames of the one before.
        var keys = Enumerable.Range(0, 4000).Select(i => $"k{i}").Where(k => VirtualPartition.Of(System.Text.Encoding.UTF8.GetBytes(k)) == 5).Take(40).ToList();
        var log = new List<(string Key, Entry Entry)>();
        foreach (var entry in InOrder(40))
        {
            foreach (var key in keys)
                log.Add((key, entry.Time == UnixMicros.From(Start) + (20 * Quarter) ? entry with { Arrival = UnixMicros.From(Start) + (38 * Quarter) + 2_000_000 } : entry));
        }

        // Time goes on by a tenth of a second per sample of another stream there.
        var other = Enumerable.Range(4000, 4000).Select(i => $"k{i}").First(k => VirtualPartition.Of(System.Text.Encoding.UTF8.GetBytes(k)) == 5);
        for (var i = 0; i < 100; i++)
            log.Add((other, new Entry(UnixMicros.From(Start) + (38 * Quarter) + 2_000_001 + (i * 100_000), UnixMicros.From(Start) + (38 * Quarter) + 2_000_001 + (i * 100_000), [1])));
        var (_, published) = await RunAsync(Plain, [.. log.OrderBy(l => l.Entry.Arrival)], 1);
        var repairedAt = published.Where(p => p.Kind == OutputKind.Result && p.Json.Contains("\"revision\":1", StringComparison.Ordinal))
            .GroupBy(p => p.Stream).Select(g => JsonNode.Parse(g.First().Json)!["issued_at"]!.GetValue<string>()).ToList();
        Assert.Equal(keys.Count, repairedAt.Count);
        Assert.True(repairedAt.Distinct().Count() > 4, $"{repairedAt.Distinct().Count()} moments");
    }

    private static List<Entry> InOrder(int frames) =>
        [.. Enumerable.Range(0, frames).Select(i => new Entry(UnixMicros.From(Start) + (i * Quarter), UnixMicros.From(Start) + (i * Quarter) + 1_000_000, [20 + (5 * Math.Sin(i / 4.0)) + (i % 7 * 0.1)]))];

    /// <summary>A profile and its samples in the order of their arrival, some of them up to 20 intervals late.</summary>
    private static (Profile Profile, List<Entry> Log) Scenario(int seed)
    {
        var random = new CounterRandom((ulong)seed);
        var n = 0UL;
        int Below(int bound) => random.Below(bound, n++);
        var counter = Below(4) == 0;
        var channels = counter || Below(2) == 0 ? 1 : 2;
        var perFrame = 1 + Below(2);
        var profile = Plain with
        {
            Counter = counter,
            Aggregation = counter ? Aggregation.Sum : (Aggregation)Below(5),
            Channels = channels == 1 ? ["value"] : ["a", "b"],
            Covariates = channels == 1 ? [] : ["b"],
            SamplesPerFrame = Below(2) == 0 ? perFrame : 0,
            AllowedLateness = Below(2) == 0 ? TimeSpan.Zero : TimeSpan.FromMinutes(15),
            Hold = !counter && Below(3) == 0 ? TimeSpan.FromMinutes(40) : TimeSpan.Zero,
            Gaps = (GapPolicy)Below(4),
            Tier = Below(3) == 0 ? Tier.Rich : Tier.Lean,
            Zone = TimeZoneInfo.Utc,
        };
        const int frames = 150;
        var activation = 60 + Below(40);
        var log = new List<Entry>();
        var register = 0.0;
        var silentUntil = 0;
        for (var f = 0; f < frames; f++)
        {
            // Around an activation, and at the end, everything is there and in time.
            var calm = f > frames - 5 || (f >= activation - 4 && f <= activation + 1);
            if (!calm && f >= silentUntil && Below(25) == 0)
                silentUntil = f + 1 + Below(8);
            for (var s = 0; s < perFrame; s++)
            {
                register = Below(60) == 0 ? 0.1 * register : Below(40) == 0 ? 0.97 * register : register + Below(100);
                var values = new double[channels];
                for (var c = 0; c < channels; c++)
                    values[c] = counter ? register : 20 + (5 * Math.Sin((f + (4 * c)) / 4.0)) + (Below(100) / 50.0) + (Below(80) == 0 ? 30 : 0);
                if (channels == 2 && Below(10) == 0)
                    values[Below(2)] = double.NaN;
                if (Below(60) == 0)
                    values[0] = 5_000_000;
                if (!calm && f < silentUntil)
                    continue;
                var time = UnixMicros.From(Start) + (f * Quarter) + (s * Quarter / perFrame);
                var delay = !calm && f < frames - 8 && Below(6) == 0 ? 1 + Below(Math.Min(20, frames - 6 - f)) : 0;
                log.Add(new Entry(time, time + 1_000_000 + (delay * Quarter), values));
            }
        }

        log = [.. log.OrderBy(e => e.Arrival).ThenBy(e => e.Time)];
        var at = UnixMicros.From(Start) + (activation * Quarter) + (Quarter - 1);
        log.Insert(log.FindLastIndex(e => e.Time <= at && e.Arrival - e.Time < Quarter) + 1, new Entry(at, 0, null, 1));
        return (profile, log);
    }

    private Task<(byte[] State, IReadOnlyList<Published> Published)> RunAsync(Profile profile, List<Entry> log, int batch) => RunAsync(profile, [.. log.Select(e => ("s", e))], batch);

    private async Task<(byte[] State, IReadOnlyList<Published> Published)> RunAsync(Profile profile, List<(string Key, Entry Entry)> log, int batch)
    {
        var state = _folder[$"run-{_runs++}"];
        var runtime = new ProfileRuntime(0, profile);
        new ModelStore(Path.Combine(state, "models")).Save(profile.Name, 1, LstmForecasterWeights.Create(runtime.Shape, 5), []);
        File.Delete(Path.Combine(state, "models", profile.Name, "trainer.state"));
        var file = new SinkFile();
        // The clock stands before all data, so nothing closes by silence.
        var settings = new EngineSettings { StateDirectory = state, Profiles = [profile], MaxBatchEntries = batch };
        await using (var engine = await RunningEngine.StartAsync(settings, new ManualTimeProvider(Start.AddDays(-1)), new RecordingSink(file)))
        {
            var samples = new SampleBatch();
            foreach (var (key, entry) in log)
            {
                if (entry.Values is not null)
                {
                    samples.Add(key, entry.Time, entry.Arrival, entry.Values);
                    continue;
                }

                await engine.Ingress.AppendAsync(samples, Stop);
                samples.Clear();
                await ((Runtime.Journal.Journal)engine.Ingress).AppendActivationAsync(profile.Name, entry.Version, Stop);
            }

            await engine.Ingress.AppendAsync(samples, Stop);
            await engine.DrainAsync();
            await engine.StopAsync();
        }

        return (OwnState(state, runtime, log[0].Key), file.Records);
    }

    /// <summary>Alignment, episode and series of a stream as the last commit has them, without the window that repairs come from.</summary>
    private static byte[] OwnState(string folder, ProfileRuntime profile, string key)
    {
        using var log = new Runtime.StateLog.StateLog(Path.Combine(folder, "state"), 64 << 20);
        var (kind, snapshot) = ((byte)0, Array.Empty<byte>());
        foreach (var commit in log.Read())
        {
            foreach (var (count, states) in commit.States)
            {
                var all = new ByteReader(states.Span);
                for (var i = 0; i < count; i++)
                {
                    var (k, name) = (all.Byte(), all.String());
                    _ = all.Block();
                    var body = all.Block();
                    if (name == key)
                        (kind, snapshot) = (k, body.ToArray());
                }
            }
        }

        Assert.Equal(Shard.SnapshotRecord, kind);
        var r = new ByteReader(snapshot);
        new StreamAligner(profile.Profile).Read(ref r);
        new EpisodeTracker().Read(ref r);
        _ = r.Int64();
        for (var c = 0; c < profile.Channels; c++)
            _ = r.Bytes(4 * r.Int32());
        return snapshot[..r.Position];
    }

    private static IEnumerable<JsonNode> Results(IEnumerable<Published> published) =>
        published.Where(p => p.Kind == OutputKind.Result).Select(p => JsonNode.Parse(p.Json)!);

    private static int Frame(JsonNode result) => (int)((result["time"]!.GetValue<DateTimeOffset>() - Start) / TimeSpan.FromMinutes(15));

    /// <summary>By interval the highest revision.</summary>
    private static SortedDictionary<int, JsonNode> Latest(IEnumerable<Published> published)
    {
        var latest = new SortedDictionary<int, JsonNode>();
        foreach (var result in Results(published))
        {
            var revision = latest.TryGetValue(Frame(result), out var known) ? known["revision"]!.GetValue<int>() + 1 : 0;
            Assert.Equal(revision, result["revision"]!.GetValue<int>());
            latest[Frame(result)] = result;
        }

        return latest;
    }

    private static void AssertSameResults(IReadOnlyList<Published> expected, IReadOnlyList<Published> actual)
    {
        static string Text(JsonNode result, bool newest)
        {
            foreach (var key in newest ? new[] { "revision", "issued_at" } : ["revision", "issued_at", "forecast"])
                result.AsObject().Remove(key);
            return result.ToJsonString();
        }

        var (a, b) = (Latest(expected), Latest(actual));
        foreach (var withdrawn in b.Where(r => r.Value["quality"]!.AsArray().Any(q => q!.GetValue<string>() == "withdrawn")).ToList())
            b.Remove(withdrawn.Key);
        Assert.Equal(a.Keys, b.Keys);
        foreach (var frame in a.Keys)
            Assert.Equal(Text(a[frame], frame == a.Keys.Last()), Text(b[frame], frame == a.Keys.Last()));
    }

    private static void AssertSameEpisodes(IReadOnlyList<Published> expected, IReadOnlyList<Published> actual)
    {
        static List<string> Last(IReadOnlyList<Published> published) =>
            [.. published.Where(p => p.Kind == OutputKind.Episode).Select(p => JsonNode.Parse(p.Json)!.AsObject()).GroupBy(e => e["episode"]!.GetValue<string>()).Select(g => g.Last())
                .Where(e => e["state"]!.GetValue<string>() != "withdrawn").Select(Text).Order(StringComparer.Ordinal)];
        static string Text(JsonObject episode)
        {
            episode.Remove("revision");
            return episode.ToJsonString();
        }

        Assert.Equal(Last(expected), Last(actual));
    }
}
