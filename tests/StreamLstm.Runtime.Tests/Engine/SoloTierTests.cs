using System.Globalization;
using System.Text.Json;
using StreamLstm.Core.Numerics;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Sharding;

namespace StreamLstm.Runtime.Tests.Engine;

public sealed class SoloTierTests : IDisposable
{
    private const int Steps = 900;
    private const int Noisy = 840;

    private static readonly Profile s_profile = new() { Name = "few", Tier = Tier.Solo, HiddenSize = 8, HorizonSteps = 4, SamplesPerFrame = 1, Explain = true, ForecastEvery = 0, Learning = false };

    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Networks_of_a_streams_own_score_it_after_a_quiet_start_and_a_crash_changes_no_byte()
    {
        var whole = new SinkFile();
        var clock = new ManualTimeProvider(Fleet.Start);
        await using (var engine = await RunningEngine.StartAsync(Settings("whole"), clock, new RecordingSink(whole)))
        {
            await FeedAsync(engine, clock, Steps);
            await engine.StopAsync();
        }

        var expected = Results(whole);
        Assert.Equal(2 * Steps, expected.Count);
        var solo = expected.Values.Select(json => JsonDocument.Parse(json).RootElement).Where(r => r.GetProperty("parts").TryGetProperty("solo", out _)).ToList();
        Assert.NotEmpty(solo);
        Assert.All(solo, r => Assert.True(r.GetProperty("time").GetDateTimeOffset() >= Fleet.Start + (SoloState.QuietFrames * Fleet.Step)));
        Assert.Contains(solo, r => r.GetProperty("anomaly").GetBoolean() && r.GetProperty("time").GetDateTimeOffset() >= Fleet.Start + (Noisy * Fleet.Step)
            && r.GetProperty("anomaly_score").GetSingle() == r.GetProperty("parts").GetProperty("solo").GetSingle());

        var crashed = new SinkFile();
        var state = "0";
        clock = new ManualTimeProvider(Fleet.Start);
        foreach (var until in new[] { 5, 310, 777, 861, Steps })
        {
            await using var engine = await RunningEngine.StartAsync(Settings(state) with { Shards = 1 + (until % 3), MaxBatchEntries = 1 + (until % 40) }, clock, new RecordingSink(crashed));
            await FeedAsync(engine, clock, until);
            if (until == Steps)
            {
                await engine.StopAsync();
                break;
            }

            // A crash: what lies in the folder at this moment is all that the next worker has.
            var next = until.ToString(CultureInfo.InvariantCulture);
            foreach (var part in new[] { "state", "journal", "models" })
                TemporaryFolder.Copy(Path.Combine(_folder[state], part), Path.Combine(_folder[next], part));
            state = next;
        }

        Assert.Equal(expected, Results(crashed));
    }

    [Fact]
    public async Task Streams_beyond_the_limit_of_their_partition_are_dead_letters()
    {
        var file = new SinkFile();
        var keys = Enumerable.Range(0, 1000).Select(i => "k" + i.ToString(CultureInfo.InvariantCulture)).ToList();
        var beyond = keys.Skip(1).First(k => VirtualPartition.Of(System.Text.Encoding.UTF8.GetBytes(k)) == VirtualPartition.Of(System.Text.Encoding.UTF8.GetBytes(keys[0])));
        await using var engine = await RunningEngine.StartAsync(Settings("limit") with { MaxSoloStreamsPerPartition = 1 }, new ManualTimeProvider(Fleet.Start), new RecordingSink(file));
        var batch = new SampleBatch();
        foreach (var key in new[] { keys[0], beyond })
            batch.Add(key, UnixMicros.From(Fleet.Start), UnixMicros.From(Fleet.Start), [1]);
        await engine.Ingress.AppendAsync(batch, Stop);
        await engine.StopAsync();
        var letter = JsonDocument.Parse(Assert.Single(file.Records, r => r.Kind == OutputKind.DeadLetter).Json).RootElement;
        Assert.Equal((DeadLetterReason.StreamLimit, beyond), (letter.GetProperty("reason").GetString(), letter.GetProperty("stream").GetString()));
    }

    private EngineSettings Settings(string state) => new() { StateDirectory = _folder[state], Profiles = [s_profile], KeepJournal = true };

    private static async Task FeedAsync(RunningEngine engine, ManualTimeProvider clock, int until)
    {
        for (var step = engine.Ingress.Position("feed") is { } fed ? int.Parse(fed, CultureInfo.InvariantCulture) : 0; step < until; step++)
        {
            var time = Fleet.Start + (step * Fleet.Step);
            clock.Set(time + TimeSpan.FromSeconds(1));
            var batch = new SampleBatch();
            for (var s = 0; s < 2; s++)
                batch.Add($"s/{s}", UnixMicros.From(time), UnixMicros.From(time) + 1_000_000, [Value(s, step)]);
            batch.SetSourcePosition("feed", (step + 1).ToString(CultureInfo.InvariantCulture));
            await engine.Ingress.AppendAsync(batch, Stop);
            if (step % 50 == 0)
                await engine.DrainAsync();
        }

        await engine.DrainAsync();
    }

    /// <summary>A daily cycle whose noise of the first stream grows tenfold late.</summary>
    private static double Value(int s, int step)
    {
        var noise = (new CounterRandom(3, (ulong)s).Below(2001, (ulong)step) - 1000) / 1000.0;
        return 20 + (5 * Math.Sin(2 * Math.PI * ((step % 96) + (5 * s)) / 96)) + (s == 0 && step >= Noisy ? 5 * noise : 0.5 * noise);
    }

    /// <summary>By stream and time; what is delivered twice must be the same.</summary>
    private static Dictionary<(string, long), string> Results(SinkFile file)
    {
        var results = new Dictionary<(string, long), string>();
        foreach (var record in file.Records.Where(r => r.Kind == OutputKind.Result))
        {
            if (!results.TryAdd((record.Stream, record.Time), record.Json))
                Assert.Equal(results[(record.Stream, record.Time)], record.Json);
        }

        return results;
    }
}
