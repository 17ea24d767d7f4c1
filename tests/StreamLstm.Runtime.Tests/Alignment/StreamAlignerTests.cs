using FsCheck;
using FsCheck.Fluent;
using StreamLstm.Runtime.Alignment;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Tests.Alignment;

public sealed class StreamAlignerTests
{
    private const long Second = 1_000_000;
    private const long Minute = 60 * Second;

    private static readonly Profile Simple = new() { Name = "simple", Interval = TimeSpan.FromMinutes(1), MaxGapFrames = 2, MaxWait = TimeSpan.FromMinutes(5) };

    /// <summary>Samples of one stream: seconds since the one before, value, and how much later than its turn it arrives.</summary>
    private static readonly Gen<Scenario> Scenarios =
        from samples in Gen.ArrayOf(
            from step in Gen.Frequency((8, Gen.Choose(1, 50)), (1, Gen.Choose(51, 400)))
            from value in Gen.Choose(-1_000_000, 1_000_000)
            from delay in Gen.Choose(0, 119)
            select (step, value, delay))
        from counter in Gen.Elements(false, true)
        from aggregation in counter ? Gen.Elements(Aggregation.Sum, Aggregation.Mean) : Gen.Elements(Enum.GetValues<Aggregation>())
        from start in Gen.Choose(-1000, 1000)
        select new Scenario(samples, aggregation, counter, start * Second);

    private sealed record Scenario((int Step, int Value, int Delay)[] Samples, Aggregation Aggregation, bool Counter, long Start)
    {
        public Profile Profile => Simple with { Aggregation = Aggregation, Counter = Counter, AllowedLateness = TimeSpan.FromSeconds(120) };

        /// <summary>In event-time order.</summary>
        public List<(long Time, double Value, long Arrival)> InOrder
        {
            get
            {
                var time = Start;
                var register = 0.0;
                var list = new List<(long, double, long)>();
                foreach (var (step, value, delay) in Samples)
                {
                    time += step * Second;
                    // A register mostly rises, sometimes dips and sometimes starts again.
                    register = value % 11 == 0 ? 0.1 * register : value % 7 == 0 ? 0.99 * register : register + Math.Abs(value / 7.0);
                    list.Add((time, Counter ? register : value / 7.0, time + (delay * Second)));
                }

                return list;
            }
        }

        public List<(long Time, double Value, long Arrival)> AsArrived => [.. InOrder.OrderBy(s => s.Arrival).ThenBy(s => s.Value)];
    }

    [Fact]
    public void The_arrival_order_inside_the_allowed_lateness_does_not_change_a_bit() => Property.Holds(Scenarios, scenario =>
    {
        var inOrder = Run(scenario.Profile, scenario.InOrder);
        var asArrived = Run(scenario.Profile, scenario.AsArrived);
        Assert.Equal(inOrder.Frames, asArrived.Frames);
    });

    [Fact]
    public void Nothing_inside_the_allowed_lateness_is_late() => Property.Holds(Scenarios, scenario =>
    {
        var aligner = new StreamAligner(scenario.Profile with { Counter = false });
        var recorder = new FrameRecorder();
        foreach (var (time, value, arrival) in scenario.AsArrived)
            Assert.Equal(SampleOutcome.Accepted, aligner.Add(time, arrival, [value], recorder));
    });

    [Fact]
    public void With_one_sample_a_frame_the_arrival_order_does_not_matter_either() => Property.Holds(Scenarios, scenario =>
    {
        var profile = Simple with { AllowedLateness = TimeSpan.FromMinutes(120), SamplesPerFrame = 1, MaxGapFrames = 1000 };
        var samples = scenario.Samples.Select((s, i) => (Time: (i * Minute) + (s.Step * 50_000L), Value: (double)s.Value, Arrival: (i + s.Delay) * Minute)).ToList();
        var asArrived = samples.OrderBy(s => s.Arrival).ToList();
        Assert.Equal(Run(profile, samples).Frames, Run(profile, asArrived).Frames);
    });

    [Fact]
    public void Frames_come_out_once_each_and_in_order_whatever_arrives() => Property.Holds(Scenarios, scenario =>
    {
        // Half the lateness that the samples need: some are late, and that may disturb nothing.
        var aligner = new StreamAligner(scenario.Profile with { AllowedLateness = TimeSpan.FromSeconds(60) });
        var recorder = new FrameRecorder();
        var newest = long.MinValue;
        foreach (var (time, value, arrival) in scenario.AsArrived)
        {
            aligner.Add(time, arrival, [value], recorder);
            Assert.True(aligner.NewestEventTime >= newest);
            newest = aligner.NewestEventTime;
            if (arrival % 5 == 0)
                aligner.OnTick(arrival, recorder);
        }

        for (var i = 1; i < recorder.Frames.Count; i++)
            Assert.Equal(recorder.Frames[i - 1].Frame + recorder.Frames[i - 1].Length, recorder.Frames[i].Frame);
    });

    [Fact]
    public void Writing_and_reading_at_any_point_changes_nothing() => Property.Holds(
        from scenario in Scenarios
        from at in Gen.Choose(0, 100)
        select (scenario, at),
        c =>
        {
            var samples = c.scenario.AsArrived;
            var cut = samples.Count * c.at / 100;
            var profile = c.scenario.Profile;
            var aligner = new StreamAligner(profile);
            var recorder = new FrameRecorder();
            foreach (var (time, value, arrival) in samples.Take(cut))
                aligner.Add(time, arrival, [value], recorder);
            aligner = Copy(aligner, profile);
            foreach (var (time, value, arrival) in samples.Skip(cut))
                aligner.Add(time, arrival, [value], recorder);
            Flush(aligner, samples, recorder);
            Assert.Equal(Run(profile, samples).Frames, recorder.Frames);
        });

    [Theory]
    [InlineData(Aggregation.Mean, 2.3333333333333335)]
    [InlineData(Aggregation.Sum, 6)]
    [InlineData(Aggregation.Last, 3)]
    [InlineData(Aggregation.Min, 1)]
    [InlineData(Aggregation.Max, 3)]
    public void Samples_of_an_interval_are_aggregated(Aggregation aggregation, double expected)
    {
        var recorder = Run(Simple with { Aggregation = aggregation }, [(10 * Second, 2, 0), (20 * Second, 1, 0), (30 * Second, 3, 0)]);
        Assert.Equal(expected, recorder.Frames[0].Value());
    }

    [Fact]
    public void A_sample_on_the_edge_belongs_to_the_interval_it_begins()
    {
        var recorder = Run(Simple, [(0, 1, 0), (Minute - 1, 3, 0), (Minute, 10, 0)]);
        Assert.Equal([1 + (2.0 / Minute), 10], recorder.Frames.Take(2).Select(f => f.Value()));
    }

    [Fact]
    public void Times_before_the_epoch_lie_in_the_interval_below()
    {
        var recorder = Run(Simple, [(-1, 1, 0), (0, 2, 0)]);
        Assert.Equal([-1, 0], recorder.Frames.Take(2).Select(f => f.Frame));
    }

    [Fact]
    public void A_missing_channel_is_left_out_of_the_aggregate()
    {
        var profile = Simple with { Channels = ["a", "b"] };
        var aligner = new StreamAligner(profile);
        var recorder = new FrameRecorder();
        aligner.Add(0, 0, [1, double.NaN], recorder);
        aligner.Add(10 * Second, 0, [3, double.NaN], recorder);
        aligner.Add(Minute, 0, [double.NaN, 5], recorder);
        aligner.Add(2 * Minute, 0, [0, 0], recorder);
        Assert.Equal([Bits(1 + (2 * 50 / 60.0), double.NaN), Bits(double.NaN, 5)], recorder.Frames.Select(f => f.Bits));
    }

    [Fact]
    public void The_last_of_two_samples_with_the_same_time_wins_while_the_interval_is_open()
    {
        var aligner = new StreamAligner(Simple);
        var recorder = new FrameRecorder();
        Assert.Equal(SampleOutcome.Accepted, aligner.Add(10 * Second, 0, [1], recorder));
        Assert.Equal(SampleOutcome.Duplicate, aligner.Add(10 * Second, 0, [7], recorder));
        aligner.Add(Minute, 0, [0], recorder);
        Assert.Equal(7, Assert.Single(recorder.Frames).Value());
    }

    [Fact]
    public void After_the_interval_is_closed_a_repeated_sample_is_a_duplicate_and_a_new_one_is_late()
    {
        var aligner = new StreamAligner(Simple);
        var recorder = new FrameRecorder();
        aligner.Add(10 * Second, 0, [1], recorder);
        aligner.Add(Minute, 0, [2], recorder);
        Assert.Equal(SampleOutcome.Duplicate, aligner.Add(10 * Second, 0, [1], recorder));
        Assert.Equal(SampleOutcome.Late, aligner.Add(11 * Second, 0, [1], recorder));
        Assert.Single(recorder.Frames);
    }

    [Theory]
    [InlineData(1, "OIO")]
    [InlineData(2, "OIIO")]
    [InlineData(3, "OIISO")]
    [InlineData(4, "OIISB1O")]
    [InlineData(5, "OIISB2O")]
    [InlineData(100_000_000, "OIISB99999997O")]
    public void A_gap_is_imputed_up_to_the_limit_then_stale_then_bridged(int missing, string pattern)
    {
        var aligner = new StreamAligner(Simple);
        var recorder = new FrameRecorder();
        aligner.Add(0, 0, [1], recorder);
        aligner.Add((missing + 1) * Minute, 0, [2], recorder);
        aligner.Add((missing + 2) * Minute, 0, [2], recorder);
        Assert.Equal(pattern, recorder.Pattern);
        Assert.False(aligner.IsStale);
    }

    [Fact]
    public void Without_a_gap_limit_the_first_missing_frame_is_stale()
    {
        var recorder = Run(Simple with { MaxGapFrames = 0 }, [(0, 1, 0), (3 * Minute, 1, 0)]);
        Assert.StartsWith("OSB1O", recorder.Pattern, StringComparison.Ordinal);
    }

    [Fact]
    public void Gaps_are_counted_anew_after_each_observed_frame()
    {
        var recorder = Run(Simple, [(0, 1, 0), (3 * Minute, 1, 0), (6 * Minute, 1, 0)]);
        Assert.StartsWith("OIIOIIO", recorder.Pattern, StringComparison.Ordinal);
    }

    [Fact]
    public void An_interval_with_the_expected_number_of_samples_is_closed_at_once()
    {
        var aligner = new StreamAligner(Simple with { SamplesPerFrame = 2 });
        var recorder = new FrameRecorder();
        aligner.Add(0, 0, [1], recorder);
        Assert.Empty(recorder.Frames);
        aligner.Add(30 * Second, 0, [3], recorder);
        Assert.Equal(2, Assert.Single(recorder.Frames).Value());
        Assert.Equal(SampleOutcome.Late, aligner.Add(40 * Second, 0, [3], recorder));
    }

    [Fact]
    public void A_repeated_sample_does_not_count_towards_the_expected_number()
    {
        var aligner = new StreamAligner(Simple with { SamplesPerFrame = 2 });
        var recorder = new FrameRecorder();
        aligner.Add(0, 0, [1], recorder);
        aligner.Add(0, 0, [1], recorder);
        Assert.Empty(recorder.Frames);
    }

    [Fact]
    public void More_samples_than_the_interval_may_hold_are_refused_and_the_frame_stays_right()
    {
        var aligner = new StreamAligner(Simple with { MaxSamplesPerFrame = 2, Aggregation = Aggregation.Sum });
        var recorder = new FrameRecorder();
        aligner.Add(1, 0, [1], recorder);
        aligner.Add(2, 0, [1], recorder);
        Assert.Equal(SampleOutcome.Overflow, aligner.Add(3, 0, [1], recorder));
        Assert.Equal(SampleOutcome.Duplicate, aligner.Add(2, 0, [5], recorder));
        aligner.Add(Minute, 0, [1], recorder);
        Assert.Equal(6, recorder.Frames[0].Value());
    }

    [Fact]
    public void A_small_fall_of_a_register_is_ignored_and_said()
    {
        var aligner = new StreamAligner(Register);
        var recorder = new FrameRecorder();
        aligner.Add(0, 0, [1000], recorder);
        aligner.Add(Minute, 0, [1010], recorder);
        Assert.Equal(SampleOutcome.Dip, aligner.Add(2 * Minute, 0, [1009], recorder));
        Assert.Equal(SampleOutcome.Accepted, aligner.Add(3 * Minute, 0, [1012], recorder));
        aligner.Add(4 * Minute, 0, [1012], recorder);
        Assert.Equal([10, 1, 1, 0], recorder.Frames.Select(f => f.Value()));
        Assert.Equal(FrameFlags.Dip, recorder.Frames[2].Flags);
    }

    [Fact]
    public void A_sample_with_a_faulty_value_makes_its_frame_a_sensor_fault_and_never_a_stale_stream()
    {
        var aligner = new StreamAligner(Simple);
        var recorder = new FrameRecorder();
        aligner.Add(0, 0, [1], recorder);
        for (var i = 1; i < 20; i++)
            aligner.Add(i * Minute, 0, [double.NaN], recorder, faulty: true);
        aligner.Add(20 * Minute, 0, [2], recorder);
        aligner.Add(21 * Minute, 0, [2], recorder);
        Assert.Equal("O" + new string('I', 19) + "O", recorder.Pattern);
        Assert.All(recorder.Frames[1..20], f => Assert.Equal(FrameFlags.SensorFault, f.Flags));
    }

    [Theory]
    [InlineData(GapPolicy.Previous, "OOOSB1O", 7)]
    [InlineData(GapPolicy.Zero, "OOOSB1O", 0)]
    [InlineData(GapPolicy.None, "OB1B1SB1O", double.NaN)]
    [InlineData(GapPolicy.Model, "OIISB1O", double.NaN)]
    public void A_gap_is_filled_as_the_profile_says(GapPolicy policy, string pattern, double value)
    {
        var recorder = Run(Simple with { Gaps = policy }, [(0, 7, 0), (5 * Minute, 8, 0)]);
        Assert.StartsWith(pattern, recorder.Pattern, StringComparison.Ordinal);
        if (!double.IsNaN(value))
            Assert.All(recorder.Frames[1..3], f => Assert.Equal((value, FrameFlags.Filled), (f.Value(), f.Flags)));
    }

    [Fact]
    public void A_silent_stream_is_closed_after_its_wait_imputed_and_then_stale()
    {
        var aligner = new StreamAligner(Simple);
        var recorder = new FrameRecorder();
        aligner.Add(30 * Second, 31 * Second, [1], recorder);
        // The interval's end, the stream's own lag of a second, and the wait of five minutes.
        var due = Minute + Second + (5 * Minute);
        Assert.Equal(due, aligner.Deadline);
        aligner.OnTick(due - 1, recorder);
        Assert.Empty(recorder.Frames);
        aligner.OnTick(due, recorder);
        Assert.Equal("O", recorder.Pattern);
        aligner.OnTick(due + Minute, recorder);
        Assert.Equal("OI", recorder.Pattern);
        aligner.OnTick(due + (60 * Minute), recorder);
        Assert.Equal("OIIS", recorder.Pattern);
        Assert.True(aligner.IsStale);
        Assert.Equal(long.MaxValue, aligner.Deadline);
        aligner.Add(120 * Minute, 120 * Minute, [1], recorder);
        aligner.Add(121 * Minute, 121 * Minute, [1], recorder);
        Assert.Equal("OIISB116O", recorder.Pattern);
    }

    [Fact]
    public void Replayed_history_is_not_mistaken_for_silence()
    {
        var aligner = new StreamAligner(Simple);
        var recorder = new FrameRecorder();
        var now = 1_000_000 * Minute;
        for (var i = 0; i < 50; i++)
        {
            // A year-old minute arrives every second.
            aligner.Add(i * Minute, now + (i * Second), [1], recorder);
            aligner.OnTick(now + (i * Second), recorder);
        }

        Assert.Equal(new string('O', 49), recorder.Pattern);
        Assert.Equal(now + (49 * Second) + Minute + (5 * Minute), aligner.Deadline);
    }

    [Fact]
    public void A_stream_without_samples_has_no_deadline() => Assert.Equal(long.MaxValue, new StreamAligner(Simple).Deadline);

    [Fact]
    public void State_of_another_number_of_channels_is_refused()
    {
        var writer = new ByteWriter();
        new StreamAligner(Simple).Write(writer);
        var other = new StreamAligner(Simple with { Channels = ["a", "b"] });
        Assert.Throws<CorruptLogException>(() =>
        {
            var reader = new ByteReader(writer.Written);
            other.Read(ref reader);
        });
    }

    private static Profile Register => Simple with { Counter = true, Aggregation = Aggregation.Sum };

    private static string Bits(params double[] values)
    {
        var recorder = new FrameRecorder();
        recorder.OnFrame(0, FrameKind.Observed, 1, values, FrameFlags.None);
        return recorder.Frames[0].Bits;
    }

    private static FrameRecorder Run(Profile profile, List<(long Time, double Value, long Arrival)> samples)
    {
        var aligner = new StreamAligner(profile);
        var recorder = new FrameRecorder();
        foreach (var (time, value, arrival) in samples)
            aligner.Add(time, arrival, [value], recorder);
        Flush(aligner, samples, recorder);
        return recorder;
    }

    /// <summary>Lets a much later sample close everything.</summary>
    private static void Flush(StreamAligner aligner, List<(long Time, double Value, long Arrival)> samples, FrameRecorder recorder)
    {
        if (samples.Count > 0)
            aligner.Add(samples.Max(s => s.Time) + (1000 * Minute), samples.Max(s => s.Arrival) + (1000 * Minute), [1], recorder);
    }

    private static StreamAligner Copy(StreamAligner aligner, Profile profile)
    {
        var writer = new ByteWriter();
        aligner.Write(writer);
        var copy = new StreamAligner(profile);
        var reader = new ByteReader(writer.Written);
        copy.Read(ref reader);
        Assert.True(reader.AtEnd);
        return copy;
    }
}
