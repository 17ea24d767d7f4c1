using StreamLstm.Core.Forecasting;
using StreamLstm.Runtime.Evaluation;

namespace StreamLstm.Runtime.Tests.Evaluation;

public sealed class BaselineTests
{
    private const int DayFrames = 24;
    private const int Horizon = 30;

    public static TheoryData<string> Names => [.. Baselines.For(DayFrames, Horizon).Select(b => b.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void What_comes_after_the_origin_changes_no_forecast(string name)
    {
        var (a, b) = (Make(name), Make(name));
        const int origin = 900;
        var (fromA, fromB) = (new float[Horizon], new float[Horizon]);
        for (var t = 0; t < 1000; t++)
        {
            if (t == 700)
            {
                a.EndWarmUp();
                b.EndWarmUp();
            }

            a.Observe(t, Phase(t), Load(t));
            b.Observe(t, Phase(t), t <= origin ? Load(t) : -1e6);
            if (t == origin)
                b.Forecast(fromB);
            if (t == origin)
                a.Forecast(fromA);
            if (t < 700 || t >= origin)
                continue;
            a.Forecast(fromA);
        }

        // Asking at every frame, or only once, and whatever follows: the same forecast.
        Assert.Equal(fromB, fromA);
        Assert.All(fromA, v => Assert.True(float.IsFinite(v)));
    }

    [Fact]
    public void The_seasonal_naive_forecast_repeats_the_latest_day_that_is_known()
    {
        var day = Make(SeriesEvaluation.Day);
        var week = Make(SeriesEvaluation.Week);
        var last = Make(SeriesEvaluation.Last);
        for (var t = 0; t < 200; t++)
        {
            foreach (var baseline in new[] { day, week, last })
                baseline.Observe(t, Phase(t), t == 180 ? double.NaN : t);
        }

        var path = new float[Horizon];
        day.Forecast(path);
        Assert.Equal(200 - 24, path[0]);
        // Hour 180 is missing: the same hour a day earlier. Beyond a day ahead: still the latest that is known.
        Assert.Equal(180 - 24, path[4]);
        Assert.Equal(224 - 48, path[24]);
        week.Forecast(path);
        Assert.Equal(200 - 168, path[0]);
        last.Forecast(path);
        Assert.All(path, v => Assert.Equal(199, v));
    }

    [Fact]
    public void A_weekly_forecast_without_a_week_of_history_falls_back_to_the_day_and_then_to_the_last_value()
    {
        var week = Make(SeriesEvaluation.Week);
        var path = new float[Horizon];
        for (var t = 0; t < 5; t++)
            week.Observe(t, Phase(t), t);
        week.Forecast(path);
        Assert.Equal(4, path[0]);
        for (var t = 5; t < 40; t++)
            week.Observe(t, Phase(t), t);
        week.Forecast(path);
        Assert.Equal(40 - 24, path[0]);
    }

    [Theory]
    [InlineData(SeriesEvaluation.HoltWinters, 1.4)]
    [InlineData(SeriesEvaluation.Linear, 2.1)]
    public void Fitted_baselines_come_near_the_noise_of_a_seasonal_series(string name, double limit)
    {
        var baseline = Make(name);
        var path = new float[Horizon];
        var (squared, count) = (0.0, 0);
        for (var t = 0; t < 2000; t++)
        {
            if (t == 1000)
                baseline.EndWarmUp();
            baseline.Observe(t, Phase(t), Load(t));
            if (t < 1000)
                continue;
            baseline.Forecast(path);
            for (var h = 1; h <= Horizon; h++, count++)
                squared += Math.Pow(path[h - 1] - Load(t + h), 2);
        }

        // The noise has variance 1. Yesterday's value would have twice that, and thirty where a weekend begins or ends.
        Assert.InRange(squared / count, 0.9, limit);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Bad_input_gives_finite_forecasts(string name)
    {
        foreach (var series in new Func<int, double>[]
        {
            _ => 5, t => t % 7 == 0 ? 3 : double.NaN, t => t == 800 ? 1e9 : Load(t), _ => 0, t => t < 750 ? double.NaN : 1, t => 1e-310 * (t % 3),
        })
        {
            var baseline = Make(name);
            var path = new float[Horizon];
            for (var t = 0; t < 1000; t++)
            {
                if (t == 700)
                    baseline.EndWarmUp();
                // A hole in the frames, too.
                if (t is > 850 and < 870)
                    continue;
                baseline.Observe(t, Phase(t), series(t));
            }

            baseline.Forecast(path);
            Assert.All(path, v => Assert.True(float.IsFinite(v)));
        }
    }

    [Fact]
    public void Nelder_mead_finds_the_bottom_of_rosenbrocks_valley()
    {
        var found = NelderMead.Minimise(p => Math.Pow(1 - p[0], 2) + (100 * Math.Pow(p[1] - (p[0] * p[0]), 2)), [-1.2, 1], 0.5, 1000, 1e-14);
        Assert.Equal(1, found[0], 1e-4);
        Assert.Equal(1, found[1], 1e-4);
    }

    private static IBaseline Make(string name) => Baselines.For(DayFrames, Horizon).Single(b => b.Name == name);

    private static FramePhase Phase(long t) => new((int)(t % DayFrames), (int)(t % (7 * DayFrames)));

    /// <summary>A daily wave, a lower weekend, and noise of deviation 1.</summary>
    private static double Load(int t)
    {
        var noise = Math.Sqrt(12) * (new Random(t).NextDouble() - 0.5);
        return 100 + (20 * Math.Sin(2 * Math.PI * t / DayFrames)) - (t / DayFrames % 7 >= 5 ? 10 : 0) + noise;
    }
}
