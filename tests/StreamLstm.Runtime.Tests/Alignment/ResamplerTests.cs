using FsCheck.Fluent;
using StreamLstm.Runtime.Alignment;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Runtime.Tests.Alignment;

/// <summary>Quarter-hours of registers in Wh and of gauges in W; times in seconds.</summary>
public sealed class ResamplerTests
{
    private const long Second = 1_000_000;
    private const long Quarter = 900 * Second;

    private static readonly Profile Energy = new() { Name = "energy", Counter = true, Aggregation = Aggregation.Sum, MaxGapFrames = 4, AllowedLateness = TimeSpan.Zero };
    private static readonly Profile Power = new() { Name = "power", MaxGapFrames = 4 };

    [Fact]
    public void A_register_read_at_the_edges_gives_its_increase_to_the_interval_in_which_it_was_counted() =>
        Frames(Energy, [(0, 700), (900, 730), (1800, 790), (2700, 800)], (30, FrameFlags.None), (60, FrameFlags.None), (10, FrameFlags.None));

    [Fact]
    public void The_mean_of_a_register_is_its_increase_per_hour() =>
        Frames(Energy with { Aggregation = Aggregation.Mean }, [(0, 700), (900, 730), (1800, 790)], (120, FrameFlags.None), (240, FrameFlags.None));

    [Fact]
    public void Readings_off_the_edges_share_their_increase_by_time() =>
        Frames(Energy, [(-300, 0), (600, 90), (1500, 270), (2400, 270)], (60 + 60, FrameFlags.None), (120, FrameFlags.None));

    [Fact]
    public void The_first_interval_counts_from_its_first_reading_if_that_covers_half_of_it()
    {
        Frames(Energy, [(300, 0), (900, 60), (1800, 150)], (90, FrameFlags.Partial), (90, FrameFlags.None));
        var recorder = Run(Energy, [(600, 0), (900, 60), (1800, 150), (2700, 150)]);
        Assert.Equal("IOO", recorder.Pattern);
    }

    [Fact]
    public void A_register_that_starts_again_counts_from_zero() =>
        Frames(Energy, [(0, 8000), (900, 8100), (1800, 25), (2700, 75)], (100, FrameFlags.None), (25, FrameFlags.Reset), (50, FrameFlags.None));

    [Fact]
    public void A_register_that_passes_its_largest_number_goes_on() =>
        Frames(Energy with { Rollover = 10_000 }, [(0, 9970), (900, 9990), (1800, 15), (2700, 20)], (20, FrameFlags.None), (25, FrameFlags.Rollover), (5, FrameFlags.None));

    [Fact]
    public void Noise_downwards_changes_nothing() =>
        Frames(Energy, [(0, 1000), (900, 1100), (1300, 1099), (1800, 1180)], (100, FrameFlags.None), (80, FrameFlags.Dip));

    [Fact]
    public void A_jump_that_no_meter_can_make_is_another_meter()
    {
        var recorder = Run(Energy with { MaxRate = 10_000 }, [(0, 100), (900, 200), (1800, 50_000), (2700, 50_100), (3600, 50_100)]);
        Assert.Equal("OIOO", recorder.Pattern);
        Assert.Equal(FrameFlags.Implausible, recorder.Frames[1].Flags);
        Assert.Equal([100, 100, 0], recorder.Frames.Where(f => f.Kind == FrameKind.Observed).Select(f => f.Value()));
    }

    [Fact]
    public void A_negative_reading_is_ignored_and_said() =>
        Frames(Energy, [(0, 100), (900, 200), (1200, -5), (1800, 300)], (100, FrameFlags.None), (100, FrameFlags.Implausible));

    [Fact]
    public void A_short_gap_is_shared_out_and_a_long_one_is_not()
    {
        Frames(Energy, [(0, 0), (2700, 300), (3600, 400)], (100, FrameFlags.None), (100, FrameFlags.Held), (100, FrameFlags.Held), (100, FrameFlags.None));
        var aligner = new StreamAligner(Energy);
        var recorder = new FrameRecorder();
        foreach (var (t, v) in new (int, double)[] { (0, 0), (900, 100), (9900, 1100), (10_800, 1200), (11_700, 1200) })
            aligner.Add(t * Second, 0, [v], recorder);
        Assert.Equal("OIIIISB5OO", recorder.Pattern);
        Assert.Equal(FrameFlags.Gap, recorder.Frames[1].Flags);
        Assert.Equal(1000, aligner.Unplaced(0));
    }

    /// <summary>A register that rises, starts again or is read by jittered clocks; some readings missing, some frames closed by silence.</summary>
    [Fact]
    public void What_the_intervals_and_the_gaps_hold_is_what_the_register_counted() => Property.Holds(
        Gen.ArrayOf(
            from seconds in Gen.Frequency((8, Gen.Choose(100, 1500)), (1, Gen.Choose(1501, 20_000)))
            from rise in Gen.Choose(0, 1_000_000)
            from kind in Gen.Choose(0, 19)
            select (seconds, rise, kind)),
        steps =>
        {
            var aligner = new StreamAligner(Energy);
            var sum = new Energies(aligner);
            var (time, register, counted) = (0L, 1e6, 0.0);
            aligner.Add(0, 0, [register], sum);
            foreach (var (seconds, rise, kind) in steps)
            {
                time += seconds * Second;
                var restart = Math.Min(register / 2, rise / 1e6);
                if (kind == 0)
                    (register, counted) = (restart, counted + restart);
                else
                    (register, counted) = (register + (rise / 7.0), counted + (rise / 7.0));
                if (kind == 1)
                    aligner.OnTick(time, sum);
                aligner.Add(time, time, [register], sum);
            }

            var last = time;
            aligner.OnTick(last + (1000 * Quarter), sum);
            var difference = counted - (sum.Total + aligner.Unplaced(0));
            Assert.True(Math.Abs(difference) <= 1e-6 * Math.Max(1, counted), $"{counted} counted, {sum.Total} in intervals, {aligner.Unplaced(0)} outside.");
        });

    [Fact]
    public void A_gauges_mean_is_weighted_with_the_time_its_values_last() =>
        Frames(Power, [(0, 100), (300, 400), (900, 10), (1800, 0)], ((300 * 100 + 600 * 400) / 900.0, FrameFlags.None), (10, FrameFlags.None));

    [Fact]
    public void Equal_readings_give_exactly_themselves() => Property.Holds(
        from times in Gen.ArrayOf(Gen.Choose(0, 899))
        from value in Gen.Choose(-1_000_000, 1_000_000)
        select (times, value / 7.0),
        c =>
        {
            if (c.times.Length == 0)
                return;
            var recorder = Run(Power, [.. c.times.Distinct().Order().Select(t => (t, c.Item2)), (900, 0)]);
            Assert.Equal(c.Item2, recorder.Frames[0].Value());
        });

    [Fact]
    public void A_mean_lies_between_the_readings() => Property.Holds(
        Gen.ArrayOf(from t in Gen.Choose(0, 899) from v in Gen.Choose(-1000, 1000) select (t, (double)v)),
        readings =>
        {
            if (readings.Length == 0)
                return;
            var points = readings.DistinctBy(r => r.t).OrderBy(r => r.t).ToList();
            var mean = Run(Power, [.. points, (900, 0)]).Frames[0].Value();
            Assert.InRange(mean, points.Min(p => p.Item2) - 1e-9, points.Max(p => p.Item2) + 1e-9);
        });

    [Fact]
    public void A_value_that_is_only_sent_when_it_changes_lasts()
    {
        var held = Power with { Hold = TimeSpan.FromHours(2) };
        Frames(held, [(0, 60), (450, 20), (3150, 80), (3600, 80)], (40, FrameFlags.None), (20, FrameFlags.Held), (20, FrameFlags.Held), (50, FrameFlags.None));
    }

    [Fact]
    public void Beyond_its_hold_a_value_says_nothing()
    {
        var aligner = new StreamAligner(Power with { Hold = TimeSpan.FromMinutes(20), MaxGapFrames = 1 });
        var recorder = new FrameRecorder();
        aligner.Add(0, 0, [5], recorder);
        aligner.OnTick(100 * Quarter, recorder);
        Assert.Equal("OIS", recorder.Pattern);
        Assert.Equal(5, recorder.Frames[0].Value());
    }

    [Theory]
    [InlineData(Aggregation.Last)]
    [InlineData(Aggregation.Min)]
    [InlineData(Aggregation.Max)]
    public void Other_aggregations_hold_as_well(Aggregation aggregation) =>
        Frames(Power with { Aggregation = aggregation, Hold = TimeSpan.FromHours(1) }, [(0, 5), (1800, 6), (2700, 7)], (5, FrameFlags.None), (5, FrameFlags.Held), (6, FrameFlags.None));

    private static void Frames(Profile profile, (int Time, double Value)[] readings, params (double Value, FrameFlags Flags)[] expected)
    {
        var frames = Run(profile, readings).Frames.Where(f => f.Frame >= 0).ToList();
        Assert.Equal(expected.Select(e => (Math.Round(e.Value, 9), e.Flags)), frames.Select(f => (Math.Round(f.Value(), 9), f.Flags)));
    }

    private static FrameRecorder Run(Profile profile, (int Time, double Value)[] readings)
    {
        var aligner = new StreamAligner(profile);
        var recorder = new FrameRecorder();
        foreach (var (time, value) in readings)
            aligner.Add(time * Second, time * Second, [value], recorder);
        return recorder;
    }

    /// <summary>Adds up intervals as far as their readings cover them: a partly covered one's value stands for its whole length.</summary>
    private sealed class Energies(StreamAligner aligner) : IFrameReceiver
    {
        public double Total { get; private set; }

        public void OnFrame(long frame, FrameKind kind, long length, ReadOnlySpan<double> values, FrameFlags flags)
        {
            if (kind == FrameKind.Observed)
                Total += values[0] * aligner.Coverage(0);
            Assert.InRange(aligner.Coverage(0), 0, 1);
        }
    }
}
