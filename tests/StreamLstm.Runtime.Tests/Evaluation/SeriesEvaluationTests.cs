using StreamLstm.Core.Forecasting;
using StreamLstm.Runtime.Evaluation;

namespace StreamLstm.Runtime.Tests.Evaluation;

public sealed class SeriesEvaluationTests
{
    private const int Horizon = 6;
    private const int FirstOrigin = 100;

    [Fact]
    public void A_forecast_is_judged_when_its_target_arrives_and_not_before_the_warm_up_ends()
    {
        // The forecast for h steps ahead is wrong by exactly h.
        var evaluation = Run(120, t => 50 + t, (t, h) => 50 + t + h + h);
        foreach (var h in evaluation.ReportedSteps)
        {
            var step = evaluation.Sums(SeriesEvaluation.Model, h, mean: false);
            Assert.Equal(120 - FirstOrigin - h, step.Count);
            Assert.Equal(h, step.MeanAbsoluteError, 1e-9);
            Assert.Equal(h * h, step.MeanSquaredError, 1e-9);
        }

        var mean = evaluation.Sums(SeriesEvaluation.Model, Horizon, mean: true);
        var n = Enumerable.Range(1, Horizon).Select(h => 120 - FirstOrigin - h).ToArray();
        Assert.Equal(n.Sum(), mean.Count);
        Assert.Equal(n.Select((c, i) => c * (i + 1.0)).Sum() / n.Sum(), mean.MeanAbsoluteError, 1e-9);
    }

    [Fact]
    public void Every_method_is_judged_on_the_same_targets()
    {
        var evaluation = Run(400, t => t % 17 == 0 ? double.NaN : Math.Sin(t), (_, _) => 0);
        foreach (var h in evaluation.ReportedSteps)
            Assert.Single(evaluation.Methods.Select(m => evaluation.Sums(m, h, mean: true).Count).Distinct());
        Assert.Equal(
            [SeriesEvaluation.Model, SeriesEvaluation.Last, SeriesEvaluation.Day, SeriesEvaluation.Week, SeriesEvaluation.HoltWinters, SeriesEvaluation.Linear],
            evaluation.Methods);
    }

    [Fact]
    public void The_hours_of_the_day_add_up_to_the_whole()
    {
        var evaluation = Run(400, t => Math.Sin(t), (_, _) => 0);
        Assert.Equal(24, evaluation.Hours);
        foreach (var mean in new[] { false, true })
        {
            var whole = evaluation.Sums(SeriesEvaluation.Last, 4, mean);
            var hours = Enumerable.Range(0, 24).Select(hour => evaluation.Sums(SeriesEvaluation.Last, 4, mean, hour)).ToList();
            Assert.Equal(whole.Count, hours.Sum(h => h.Count));
            Assert.Equal(whole.MeanAbsoluteError, hours.Sum(h => h.Count * h.MeanAbsoluteError) / whole.Count, 1e-9);
        }

        // Target 130 is hour 10; only targets of that hour are in its sums.
        var alone = Run(400, t => t % 24 == 10 ? 1 : 0, (_, _) => 0);
        Assert.Equal(1, alone.Sums(SeriesEvaluation.Model, 4, true, 10).MeanAbsoluteError);
        Assert.Equal(0, alone.Sums(SeriesEvaluation.Model, 4, true, 11).MeanAbsoluteError);
    }

    [Fact]
    public void The_unit_of_mase_is_the_day_before_error_of_the_warm_up()
    {
        var evaluation = Run(300, t => t < FirstOrigin ? 2.0 * t : 7, (_, _) => 0);
        Assert.Equal(48, evaluation.Scale!.Value, 1e-9);
    }

    [Fact]
    public void A_forecast_that_later_values_would_improve_is_judged_as_it_was_issued()
    {
        // The buffer a forecast is handed over in is reused by the engine.
        var evaluation = Make();
        var buffer = new float[Horizon * 3];
        for (var t = 0; t < 130; t++)
        {
            Array.Fill(buffer, t);
            evaluation.OnFrame(t, t, double.NaN, buffer, NoExperts);
            Array.Fill(buffer, t + 1);
        }

        Assert.Equal(1, evaluation.Sums(SeriesEvaluation.Model, 1, false).MeanAbsoluteError);
    }

    [Fact]
    public void The_last_days_are_kept_for_charts()
    {
        var evaluation = Run(2000, t => t, (t, h) => t + h);
        var recent = evaluation.Recent.ToList();
        Assert.Equal(1999, recent[^1].Frame);
        Assert.True(recent.Count >= 4 * Horizon);
        Assert.NotEmpty(evaluation.Fans);
        Assert.All(evaluation.Fans, f => Assert.InRange(f.Origin, recent[0].Frame, 1999));
        Assert.NotEmpty(evaluation.Weeks);
    }

    private static float[] NoExperts { get; } = [.. Enumerable.Repeat(float.NaN, ForecastPlan.Experts * Horizon)];

    private static SeriesEvaluation Make() =>
        new(Horizon, [0.05, 0.5, 0.95], 24, FirstOrigin, frame => new FramePhase((int)(frame % 24), (int)(frame % 168)));

    private static SeriesEvaluation Run(int frames, Func<int, double> value, Func<int, int, double> forecast)
    {
        var evaluation = Make();
        for (var t = 0; t < frames; t++)
        {
            var quantiles = new float[Horizon * 3];
            for (var h = 1; h <= Horizon; h++)
                quantiles.AsSpan((h - 1) * 3, 3).Fill((float)forecast(t, h));
            evaluation.OnFrame(t, value(t), double.NaN, quantiles, NoExperts);
        }

        return evaluation;
    }
}
