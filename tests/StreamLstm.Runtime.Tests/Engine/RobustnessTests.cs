using System.Globalization;
using System.Text.Json;
using FsCheck.Fluent;
using StreamLstm.Core.Numerics;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Runtime.Tests.Engine;

/// <summary>What feeds do to streams, and what their results are nevertheless.</summary>
[Trait("Category", "Formats")]
public sealed class RobustnessTests : IDisposable
{
    private static readonly DateTimeOffset Start = Fleet.Start;
    private readonly TemporaryFolder _folder = new();
    private int _runs;

    public void Dispose() => _folder.Dispose();

    /// <summary>
    /// Thirty hourly streams are alike and ordinary, but silent for a while after four weeks; where no message means zero, at an hour when nothing is used. Each may raise one false alarm a week; in the two days
    /// after the return that is 9 in all, and three times that is a storm.
    /// </summary>
    [Theory]
    [InlineData(GapPolicy.Model)]
    [InlineData(GapPolicy.Previous)]
    [InlineData(GapPolicy.Zero)]
    [InlineData(GapPolicy.None)]
    public async Task A_return_after_a_gap_of_any_length_raises_no_storm_of_false_alarms(GapPolicy policy)
    {
        const int streams = 30;
        const int before = 672 + 14;
        foreach (var gap in new[] { 3, 24, 100, 1000 })
        {
            var profile = new Profile { Name = "p", Interval = TimeSpan.FromHours(1), SamplesPerFrame = 1, HorizonSteps = 24, HiddenSize = 4, Tier = Tier.Lean, Learning = false, Gaps = policy, Sensitivity = 1 };
            var file = new SinkFile();
            await using (var engine = await StartAsync(profile, file))
            {
                for (var hour = 0; hour < before + gap + 48; hour++)
                {
                    if (hour >= before && hour < before + gap)
                        continue;
                    await engine.AppendAsync([.. Enumerable.Range(0, streams).Select(s => ($"s{s}", Start.AddHours(hour), new[] { policy == GapPolicy.Zero ? Used(s, hour) : Usual(s, hour) }))]);
                }

                await engine.StopAsync();
            }

            var after = file.Records.Where(r => r.Kind == OutputKind.Result).Select(r => JsonDocument.Parse(r.Json).RootElement)
                .Where(r => r.GetProperty("time").GetDateTimeOffset() >= Start.AddHours(before + gap)).ToList();
            Assert.Equal(48 * streams, after.Count);
            var alarms = after.Count(r => r.GetProperty("anomaly").GetBoolean());
            Assert.True(alarms <= 27, $"{alarms} alarms after a gap of {gap} hours: {string.Join(' ', after.Where(r => r.GetProperty("anomaly").GetBoolean()).GroupBy(r => r.GetProperty("type").GetString()).Select(g => $"{g.Count()} {g.Key}"))}.");
            // And the streams are heard again: none is stale, and every interval was expected.
            Assert.All(after, r => Assert.NotEqual("stale", r.GetProperty("type").GetString()));
            Assert.All(after.Where(r => r.GetProperty("time").GetDateTimeOffset() > Start.AddHours(before + gap)), r => Assert.Equal(JsonValueKind.Number, r.GetProperty("yhat").ValueKind));
        }
    }

    /// <summary>The other half of it: a fault right after a long gap is still one.</summary>
    [Fact]
    public async Task A_fault_soon_after_a_long_gap_is_still_found()
    {
        var profile = new Profile { Name = "p", Interval = TimeSpan.FromHours(1), SamplesPerFrame = 1, HorizonSteps = 24, HiddenSize = 4, Tier = Tier.Lean, Learning = false, Sensitivity = 1 };
        var file = new SinkFile();
        await using (var engine = await StartAsync(profile, file))
        {
            foreach (var hour in Enumerable.Range(0, 672).Concat(Enumerable.Range(972, 30)))
                await engine.AppendAsync([.. Enumerable.Range(0, 10).Select(s => ($"s{s}", Start.AddHours(hour), new[] { Usual(s, hour) + (hour == 990 ? 40 : 0) }))]);
            await engine.StopAsync();
        }

        Assert.True(file.Records.Count(r => r.Kind == OutputKind.Result && r.Json.Contains("\"anomaly\":true", StringComparison.Ordinal) && r.Time == UnixMicros.From(Start.AddHours(990))) >= 9);
    }

    [Fact]
    public void Whatever_the_feed_does_every_number_in_every_result_is_finite_and_shares_sum_to_one() => Property.Holds(Gen.Choose(1, 1_000_000), seed =>
    {
        var random = new CounterRandom((ulong)seed);
        var n = 0UL;
        int Below(int bound) => random.Below(bound, n++);
        var channels = 1 + Below(3);
        var counter = Below(4) == 0;
        var profile = new Profile
        {
            Name = "p",
            HorizonSteps = 1 + Below(12),
            HiddenSize = 4,
            Channels = [.. Enumerable.Range(0, channels).Select(c => $"c{c}")],
            Covariates = channels > 1 && Below(2) == 0 ? ["c1"] : [],
            Counter = counter,
            Aggregation = counter ? Aggregation.Mean : (Aggregation)Below(5),
            Rollover = counter && Below(2) == 0 ? 1000 : null,
            Gaps = (GapPolicy)Below(4),
            MaxGapFrames = Below(6),
            Tier = Below(2) == 0 ? Tier.Lean : Tier.Rich,
            SamplesPerFrame = Below(3),
            AllowedLateness = TimeSpan.FromMinutes(5 * Below(4)),
            MaxWait = TimeSpan.FromMinutes(20),
            RepairHorizon = Below(2) == 0 ? TimeSpan.Zero : TimeSpan.FromHours(1 + Below(6)),
            Hold = counter || Below(2) == 0 ? TimeSpan.Zero : TimeSpan.FromHours(1),
            ValidMin = Below(2) == 0 ? -1e6 : null,
            Season = Below(2) == 0 ? TimeSpan.FromHours(3) : null,
            Zone = TimeZoneInfo.FindSystemTimeZoneById(Below(2) == 0 ? "UTC" : "Australia/Lord_Howe"),
            Explain = Below(2) == 0,
            Learning = false,
        };
        double[] extremes = [0, -0.0, 1e300, -1e300, double.MaxValue, double.MinValue, double.Epsilon, 1e-300, 1e38, 3.5e38, -1e7, 1, double.NaN];
        var file = new SinkFile();
        RunAsync().GetAwaiter().GetResult();

        async Task RunAsync()
        {
            await using var engine = await StartAsync(profile, file);
            var time = 0L;
            var register = 0.0;
            for (var i = 0; i < 250; i++)
            {
                // Seconds or minutes further; now and then hours, or back.
                time += Below(30) == 0 ? Below(40_000) : Below(25) == 0 ? -Below(9_000) : Below(1_500);
                register = Below(40) == 0 ? 0 : register + Below(50);
                var values = new double[channels];
                for (var c = 0; c < channels; c++)
                    values[c] = Below(12) == 0 ? extremes[Below(extremes.Length)] : Below(10) == 0 ? double.NaN : counter ? register : 10 + Math.Sin(time / 7000.0) + Below(3);
                if (values.All(double.IsNaN))
                    continue;
                await engine.AppendAsync(("s", Start.AddSeconds(time), values));
            }

            await engine.StopAsync();
        }

        var results = 0;
        foreach (var record in file.Records)
        {
            using var document = JsonDocument.Parse(record.Json);
            AssertFinite(document.RootElement, record.Json);
            results += record.Kind == OutputKind.Result ? 1 : 0;
            if (record.Kind == OutputKind.Result && channels > 1)
                Assert.Equal(1, document.RootElement.GetProperty("channels").EnumerateObject().Sum(c => c.Value.GetProperty("share").GetDouble()), 1e-4);
        }

        Assert.True(results > 20, $"{results} results");
    }, tries: 60);

    [Theory]
    [InlineData("missing")]
    [InlineData("late")]
    public async Task A_channel_that_is_missing_or_late_does_not_block_or_change_the_others(string what)
    {
        var profile = new Profile { Name = "p", Channels = ["a", "b"], SamplesPerFrame = what == "late" ? 0 : 1, HorizonSteps = 8, HiddenSize = 4, Learning = false, RepairHorizon = TimeSpan.FromHours(3) };
        var (whole, part) = (new SinkFile(), new SinkFile());
        await using (var engine = await StartAsync(profile, whole))
        {
            for (var i = 0; i < 300; i++)
                await engine.AppendAsync(("s", Time(i), [Usual(1, i), Usual(2, i)]));
            await engine.StopAsync();
        }

        await using (var engine = await StartAsync(profile, part))
        {
            for (var i = 0; i < 300; i++)
            {
                await engine.AppendAsync(("s", Time(i), [Usual(1, i), i is > 100 and < 250 ? double.NaN : Usual(2, i)]));
                // An hour later the other channel has its say.
                if (what == "late" && i - 4 is > 100 and < 250)
                    await engine.AppendAsync(("s", Time(i - 4), [double.NaN, Usual(2, i - 4)]));
            }

            await engine.StopAsync();
        }

        var (expected, actual) = (Latest(whole, "a"), Latest(part, "a"));
        Assert.Equal(what == "late" ? 299 : 300, expected.Count);
        Assert.Equal(expected, actual);
        // The channel itself is expected all along, and read where it came.
        var missing = Latest(part, "b").Where(b => b.Value.Contains("\"y\":null", StringComparison.Ordinal)).ToList();
        Assert.Equal(what == "late" ? 0 : 149, missing.Count);
        Assert.All(missing, b => Assert.DoesNotContain("\"yhat\":null", b.Value, StringComparison.Ordinal));

        DateTimeOffset Time(int i) => Start.AddMinutes(15 * i);
    }

    private static SortedDictionary<long, string> Latest(SinkFile file, string channel)
    {
        var latest = new SortedDictionary<long, string>();
        foreach (var record in file.Records.Where(r => r.Kind == OutputKind.Result))
        {
            using var document = JsonDocument.Parse(record.Json);
            var c = document.RootElement.GetProperty("channels").GetProperty(channel);
            latest[record.Time] = string.Join(',', c.EnumerateObject().Where(p => p.Name != "share").Select(p => $"\"{p.Name}\":{p.Value.GetRawText()}"));
        }

        return latest;
    }

    private static void AssertFinite(JsonElement e, string json)
    {
        switch (e.ValueKind)
        {
            case JsonValueKind.Number:
                Assert.True(double.IsFinite(e.GetDouble()), json);
                break;
            case JsonValueKind.Object:
                foreach (var p in e.EnumerateObject())
                    AssertFinite(p.Value, json);
                break;
            case JsonValueKind.Array:
                foreach (var item in e.EnumerateArray())
                    AssertFinite(item, json);
                break;
            default:
                Assert.False(e.ValueKind == JsonValueKind.String && e.GetString() is "NaN" or "Infinity" or "-Infinity", json);
                break;
        }
    }

    /// <summary>Something used by day only.</summary>
    private static double Used(int stream, int hour) => hour % 24 is > 0 and < 12 ? Usual(0, hour + (stream * 10_000 * 24)) : 0;

    private static double Usual(int stream, int hour)
    {
        var noise = Enumerable.Range(0, 12).Sum(i => new CounterRandom(11, (ulong)stream).Unit((ulong)((hour * 12) + i))) - 6;
        return 50 + stream + (10 * Math.Sin(2 * Math.PI * ((hour % 24) + stream) / 24)) + noise;
    }

    private Task<RunningEngine> StartAsync(Profile profile, SinkFile file) => RunningEngine.StartAsync(
        new EngineSettings { StateDirectory = _folder[$"run-{_runs++.ToString(CultureInfo.InvariantCulture)}"], Profiles = [profile], Shards = 1 }, new ManualTimeProvider(Start), new RecordingSink(file));
}
