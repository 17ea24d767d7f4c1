using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Scoring;
using StreamLstm.Core.Tests.Forecasting;

namespace StreamLstm.Core.Tests.Scoring;

/// <summary>The slow score as part of a series' score: what interval bounds of a forecaster that adapts can't see.</summary>
public sealed class SlowScoreTests
{
    private const int At = 96 * 28;

    [Theory]
    [InlineData(2.0)]
    [InlineData(-2.0)]
    public void A_level_shift_within_the_alarm_bounds_is_found_within_half_a_day_and_named(double shift)
    {
        for (var seed = 30UL; seed < 36; seed++)
        {
            var values = SeriesRun.Seasonal(At + 48, 96, seed);
            for (var t = At; t < values.Length; t++)
                values[t] += shift;
            var scores = Run(values).Scores;
            Assert.True(scores[At].Upper - scores[At].Expected > Math.Abs(shift), "The shift lies outside the bounds.");
            Assert.True(scores[At..].Exists(s => s.Kind == AnomalyKind.LevelShift && s.Direction == Math.Sign(shift)), $"The score only reaches {scores[At..].Max(s => s.Shift)}.");
        }
    }

    [Fact]
    public void A_slow_drift_is_found()
    {
        for (var seed = 40UL; seed < 46; seed++)
        {
            var values = SeriesRun.Seasonal(At + 96, 96, seed);
            for (var t = At; t < values.Length; t++)
                values[t] += 0.05 * (t - At);
            var scores = Run(values).Scores[At..];
            Assert.True(scores.Exists(s => s.Kind == AnomalyKind.LevelShift && s.Direction == 1), $"The score only reaches {scores.Max(s => s.Shift)}.");
        }
    }

    [Fact]
    public void Errors_that_grow_to_both_sides_are_no_shift()
    {
        for (var seed = 50UL; seed < 56; seed++)
        {
            var scores = Run([.. SeriesRun.Noise(At + 96, seed).Select((e, t) => 100 + (t < At ? e : 4 * e))]).Scores;
            Assert.True(scores[At..].Exists(s => s.Spread > 1), $"The score only reaches {scores[At..].Max(s => s.Spread)}.");
            Assert.DoesNotContain(scores[(At - (96 * 7))..At], s => s.Kind == AnomalyKind.Variance);
        }
    }

    [Fact]
    public void A_shift_that_ends_is_one_alarm_and_its_end_no_second_one()
    {
        for (var seed = 60UL; seed < 66; seed++)
        {
            var values = SeriesRun.Seasonal(At + (96 * 6), 96, seed);
            for (var t = At; t < At + 96; t++)
                values[t] += 2.5;
            var slow = Run(values).Scores[At..].Select((s, i) => (Frame: i, Over: s.Kind is AnomalyKind.LevelShift or AnomalyKind.Variance)).Where(s => s.Over).Select(s => s.Frame).ToList();
            Assert.True(slow.Count > 0 && slow[0] < 48, "The shift isn't found.");
            Assert.True(slow[^1] < 96 + 48, $"An alarm {slow[^1] - 96} frames after the shift's end.");
        }
    }

    [Fact]
    public void Nothing_counts_before_there_is_a_basis()
    {
        var run = Run(SeriesRun.Seasonal(96 * 6, 96, 3));
        Assert.All(run.Scores[..95], s => Assert.Equal(0, s.Score));
        Assert.All(run.Scores[..(96 * 5)], s => Assert.Equal((0f, 0f), (s.Shift, s.Spread)));
        Assert.Contains(run.Scores[(96 * 5)..], s => s.Shift > 0 && s.Spread > 0);
    }

    [Theory]
    [InlineData(AlarmDirection.Both, 0, 0, true, true, true)]
    [InlineData(AlarmDirection.Above, 0, 0, true, false, false)]
    [InlineData(AlarmDirection.Below, 0, 0, false, true, true)]
    [InlineData(AlarmDirection.Both, 10, 0, true, true, false)]
    [InlineData(AlarmDirection.Both, 25, 0, false, false, false)]
    [InlineData(AlarmDirection.Both, 0, 0.05, true, true, false)]
    [InlineData(AlarmDirection.Both, 0, 0.25, false, false, false)]
    public void Deviations_the_rule_excludes_never_raise_an_alarm(AlarmDirection direction, double least, double relative, bool spike, bool dip, bool shift)
    {
        var values = SeriesRun.Seasonal(96 * 16, 96, 9);
        values[96 * 10] += 15;
        values[96 * 11] -= 15;
        for (var t = 96 * 12; t < values.Length; t++)
            values[t] -= 3;
        var scores = new SeriesRun(new SeriesModel(SeriesRun.Plan96(), new AlarmRule(direction, least, relative))).Add(values).Scores;
        Assert.Equal((spike, dip), (scores[96 * 10].IsAnomaly, scores[96 * 11].IsAnomaly));
        Assert.Equal(shift, scores[(96 * 12)..].Exists(s => s.Kind == AnomalyKind.LevelShift));
        foreach (var score in scores.Skip(1))
        {
            Assert.True(score.Upper - score.Expected >= 0.999 * Math.Max(least, relative * Math.Abs(score.Expected)), "An alarm bound is nearer than the least deviation.");
            Assert.True(!score.IsAnomaly || direction == AlarmDirection.Both || score.Direction == (direction == AlarmDirection.Above ? 1 : -1), $"An alarm in direction {score.Direction}.");
        }
    }

    [Fact]
    public void A_higher_sensitivity_gives_nearer_bounds_and_more_alarms()
    {
        var values = SeriesRun.Seasonal(96 * 28, 96, 11);
        var alarms = new List<int>();
        var widths = new List<double>();
        foreach (var rate in new[] { 1e-4, 1e-3, 1e-2 })
        {
            var scores = new SeriesRun(new SeriesModel(new ForecastPlan(96, 672, 4, 4, [0.05f, 0.5f, 0.95f], rate))).Add(values).Scores;
            alarms.Add(scores.Count(s => s.IsAnomaly));
            widths.Add(scores[^1].Upper - scores[^1].Lower);
        }

        Assert.True(alarms[0] <= alarms[1] && alarms[1] < alarms[2], string.Join(", ", alarms));
        Assert.True(widths[0] > widths[1] && widths[1] > widths[2], string.Join(", ", widths));
    }

    [Fact]
    public void Scoring_allocates_nothing()
    {
        var state = new float[SlowScore.Words(48)];
        SlowScore.Initialise(state);
        var ratio = SlowScore.LogRatio(1e-3);
        var random = new CounterRandom(5);
        Step(0);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var t = 1; t < 1000; t++)
            Step(t);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());

        void Step(int t)
        {
            var z = (float)random.Unit((ulong)t);
            SlowScore.Update(state, 48, t % 48, z, z, z, ratio, 1, 1e-3f);
            SlowScore.Learn(state, 48, t % 48, z, false, false, 96, ratio, 1e-3);
        }
    }

    private static SeriesRun Run(double[] values) => new SeriesRun(new SeriesModel(SeriesRun.Plan96())).Add(values);
}
