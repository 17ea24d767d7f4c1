using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Scoring;

/// <summary>
/// Keeps the alarm bound of one non-negative deviation statistic at a chosen exceedance probability, online and in constant
/// memory: the 95 % level u is tracked by stochastic approximation (Robbins and Monro 1951), the excess over it is taken as
/// exponential with mean β (peaks over threshold with shape 0, Pickands 1975), so that
/// P(x &gt; u + β·ln(.05/p)) = p.
/// </summary>
internal static class TailCalibrator
{
    /// <summary>Words of state: u, β, count.</summary>
    public const int Words = 3;

    private const float TailShare = 0.05f;
    private const float LevelStep = 0.02f;
    private const float PriorExcesses = 10;

    /// <param name="state">[3] words.</param>
    /// <param name="level">Prior of u in units of the statistic.</param>
    /// <param name="excess">Prior of β.</param>
    public static void Initialise(Span<float> state, float level, float excess)
    {
        state[0] = level;
        state[1] = excess;
        state[2] = 0;
    }

    /// <summary>ln(.05/p), computed once per plan.</summary>
    public static float LogRatio(double probability) => Elementary.Log((float)(TailShare / probability));

    public static float Bound(ReadOnlySpan<float> state, float logRatio) => state[0] + (state[1] * logRatio);

    /// <summary>Learns from one observation; what lies far outside the bound counts only as far as the bound, so that an anomaly can't widen it at once.</summary>
    public static void Update(Span<float> state, float x, float bound)
    {
        var n = ++state[2];
        x = Math.Min(x, 1.5f * bound);
        // Larger steps while the prior still dominates; the step is relative to β, the local scale of the tail.
        var step = LevelStep * Math.Max(1, 8 - (n / 64)) * state[1] * 2;
        state[0] = Math.Max(0.05f, state[0] + (step * ((x > state[0] ? 1 : 0) - TailShare)));
        if (x > state[0])
        {
            var rate = 1 / Math.Min(200, PriorExcesses + (n * TailShare));
            state[1] += rate * (x - state[0] - state[1]);
        }

        state[1] = Math.Max(state[1], 0.05f * state[0]);
    }
}
