using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Tests.Forecasting;

public sealed class RecursiveLeastSquaresTests
{
    private const int Features = 5;
    private const int Delay = 6;
    private static readonly int[] s_steps = [1, 2, 3, 6];

    [Theory]
    [InlineData(1f, Features)]
    [InlineData(0.98f, Features)]
    [InlineData(0.99f, 37)]
    [InlineData(1f, 64)]
    public void Every_steps_weights_solve_the_discounted_least_squares_problem_over_the_origins_whose_targets_have_arrived(float forgetting, int features)
    {
        const int frames = 300;
        const float prior = 0.5f;
        var rls = new RecursiveLeastSquares(features, Delay, s_steps, forgetting, prior, 1e9f);
        var state = new float[RecursiveLeastSquares.WordsFor(features, Delay, s_steps.Length)];
        rls.Initialise(state);
        var (x, y) = Problem(frames, rls.RowWords, features);
        for (var t = 0; t < frames; t++)
        {
            rls.Learn(state, t, TargetsAt(y, t));
            rls.Push(state, t, x[t], learn: true);
        }

        for (var s = 0; s < s_steps.Length; s++)
        {
            var expected = Batch(x, y, s, frames - s_steps[s], forgetting, prior, features);
            for (var i = 0; i < features; i++)
            {
                var unit = new float[rls.RowWords];
                unit[i] = 1;
                var weights = new float[s_steps.Length];
                Assert.True(rls.TryForecast(state, unit, weights));
                Assert.Equal(expected[i], weights[s], 2e-4);
            }
        }
    }

    [Fact]
    public void Any_vector_width_gives_the_same_bits()
    {
        var states = new List<float[]>();
        foreach (var width in Enum.GetValues<VectorWidth>().Where(w => w <= Simd.Widest))
        {
            var rls = new RecursiveLeastSquares(37, Delay, s_steps, 0.99f, 1, 1, width);
            var state = new float[RecursiveLeastSquares.WordsFor(37, Delay, s_steps.Length)];
            rls.Initialise(state);
            var (x, y) = Problem(60, rls.RowWords, 37);
            for (var t = 0; t < 60; t++)
            {
                rls.Learn(state, t, TargetsAt(y, t));
                rls.Push(state, t, x[t], learn: true);
            }

            var forecast = new float[s_steps.Length];
            rls.TryForecast(state, x[0], forecast);
            states.Add([.. state, .. forecast]);
        }

        Assert.All(states, s => Assert.Equal(states[0], s));
    }

    [Fact]
    public void In_another_unit_forecasts_are_the_same_in_that_unit()
    {
        const float a = 1.7f;
        const int unitless = 2;
        var rls = new RecursiveLeastSquares(Features, Delay, s_steps, 0.99f, 1, 1);
        var state = new float[RecursiveLeastSquares.WordsFor(Features, Delay, s_steps.Length)];
        rls.Initialise(state);
        var (x, y) = Problem(300, rls.RowWords);
        var other = new float[state.Length];
        for (var t = 0; t < 300; t++)
        {
            if (t == 150)
            {
                state.CopyTo(other, 0);
                rls.Rescale(other, a, unitless);
            }

            var (before, after) = (new float[s_steps.Length], new float[s_steps.Length]);
            rls.Learn(state, t, TargetsAt(y, t));
            rls.TryForecast(state, x[t], before);
            rls.Push(state, t, x[t], learn: true);
            if (t < 150)
                continue;
            var scaled = x[t].Select((v, i) => i < unitless ? v : a * v).ToArray();
            RecursiveLeastSquares.Round(scaled);
            rls.Learn(other, t, [.. TargetsAt(y, t).Select(v => a * v)]);
            rls.TryForecast(other, scaled, after);
            rls.Push(other, t, scaled, learn: true);
            for (var s = 0; s < s_steps.Length; s++)
                Assert.Equal(a * before[s], after[s], 1e-3);
        }
    }

    [Theory]
    [InlineData("twins")]
    [InlineData("zero")]
    [InlineData("constant")]
    [InlineData("huge step")]
    [InlineData("denormal")]
    [InlineData("one direction for long")]
    [InlineData("wild targets")]
    public void Whatever_comes_in_the_inverse_stays_symmetric_and_everything_finite(string name)
    {
        var random = new CounterRandom(9);
        var rls = new RecursiveLeastSquares(Features, Delay, s_steps, 0.99f, 1, 1);
        var d = rls.RowWords;
        var state = new float[RecursiveLeastSquares.WordsFor(Features, Delay, s_steps.Length)];
        rls.Initialise(state);
        var forecast = new float[s_steps.Length];
        for (var t = 0; t < 5000; t++)
        {
            var x = new float[d];
            for (var i = 0; i < Features; i++)
            {
                var r = (float)(random.Unit((ulong)((t * Features) + i)) - 0.5);
                x[i] = name switch
                {
                    "zero" => 0,
                    "constant" => 1,
                    "huge step" => t > 2000 ? r + 8 : r,
                    "denormal" => 1e-42f * i,
                    "one direction for long" => t is > 100 and < 4900 ? (i == 0 ? 1 : 0) : r,
                    _ => r,
                };
            }

            if (name == "twins")
                (x[1], x[2]) = (x[0], x[0]);
            var target = name switch { "wild targets" => t % 2 == 0 ? 1e30f : -1e30f, "huge step" when t > 2000 => 1e4f, _ => x[3] };
            RecursiveLeastSquares.Round(x);
            rls.Learn(state, t, [.. s_steps.Select(_ => target)]);
            rls.TryForecast(state, x, forecast);
            rls.Push(state, t, x, learn: true);
            Assert.All(forecast, v => Assert.True(float.IsFinite(v)));
        }

        Assert.All(state[..rls.OriginsAt], v => Assert.True(float.IsFinite(v)));
        for (var i = 0; i < d; i++)
        {
            for (var j = 0; j < i; j++)
                Assert.Equal(state[RecursiveLeastSquares.Element(i, j)], state[RecursiveLeastSquares.Element(j, i)]);
        }
    }

    [Fact]
    public void A_regressor_is_rounded_by_at_most_half_a_step_and_held_within_eight()
    {
        float[] x = [0, 1, -1, 0.1f, 7.9f, 8, -8, 1e9f, float.NegativeInfinity, 1e-42f, -0.3f, 3.14159f, 2, 4, -4, 0.00012f];
        var rounded = x.ToArray();
        RecursiveLeastSquares.Round(rounded);
        for (var i = 0; i < x.Length; i++)
            Assert.Equal(Math.Clamp(x[i], -8f, 8f), rounded[i], 0.5 / 4096 + (Math.Abs(x[i]) >= 8 ? 0.5 / 4096 : 0));
        var again = rounded.ToArray();
        RecursiveLeastSquares.Round(again);
        Assert.Equal(rounded, again);
    }

    [Fact]
    public void Weights_that_have_exploded_give_no_forecast_and_begin_anew()
    {
        var rls = new RecursiveLeastSquares(Features, Delay, s_steps, 0.99f, 1, 1);
        var state = new float[RecursiveLeastSquares.WordsFor(Features, Delay, s_steps.Length)];
        rls.Initialise(state);
        var fresh = state.ToArray();
        state[rls.WeightsAt] = float.PositiveInfinity;
        Assert.False(rls.TryForecast(state, new float[rls.RowWords], new float[s_steps.Length]));
        Assert.Equal(fresh, state);
    }

    private static float[] TargetsAt(float[][] y, int t) => [.. s_steps.Select((h, s) => t >= h ? y[t - h][s] : float.NaN)];

    /// <summary>Regressors x_t [d] and the targets y_t [S] of each origin.</summary>
    private static (float[][] X, float[][] Y) Problem(int frames, int d, int features = Features)
    {
        var random = new CounterRandom(3);
        var x = new float[frames][];
        var y = new float[frames][];
        for (var t = 0; t < frames; t++)
        {
            x[t] = new float[d];
            for (var i = 0; i < features; i++)
                x[t][i] = (float)(random.Unit((ulong)((t * 64) + i)) - 0.5);
            RecursiveLeastSquares.Round(x[t]);
            y[t] = [.. s_steps.Select((h, s) => (0.5f * h * x[t][0]) - (x[t][s] / h) + (0.1f * (float)random.Unit((ulong)((t * 64) + 50 + s))))];
        }

        return (x, y);
    }

    /// <summary>argmin_w Σ_o λ^(n−1−o) (y_o − wᵀx_o)² + λⁿ|w|²/prior by normal equations and Gauss elimination, in double precision.</summary>
    private static double[] Batch(float[][] x, float[][] y, int step, int n, double forgetting, double prior, int features)
    {
        // Gains of all origins pushed so far don't matter to this step: its own recursion ends at origin n−1.
        var a = new double[features, features + 1];
        for (var i = 0; i < features; i++)
        {
            a[i, i] = Math.Pow(forgetting, n) / prior;
            for (var o = 0; o < n; o++)
            {
                var w = Math.Pow(forgetting, n - 1 - o);
                for (var j = 0; j < features; j++)
                    a[i, j] += w * x[o][i] * x[o][j];
                a[i, features] += w * x[o][i] * y[o][step];
            }
        }

        for (var i = 0; i < features; i++)
        {
            for (var r = 0; r < features; r++)
            {
                if (r == i)
                    continue;
                var f = a[r, i] / a[i, i];
                for (var j = i; j <= features; j++)
                    a[r, j] -= f * a[i, j];
            }
        }

        return [.. Enumerable.Range(0, features).Select(i => a[i, features] / a[i, i])];
    }
}
