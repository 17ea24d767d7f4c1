namespace StreamLstm.Core.Scoring;

/// <summary>Mean and variance with exponential forgetting; plain averages until the memory is full.</summary>
internal static class RunningMoments
{
    /// <summary>Words of state: mean, variance, number of values seen; initially zero.</summary>
    public const int StateLength = 3;

    /// <param name="state">[3].</param>
    /// <param name="x">Finite.</param>
    /// <param name="rate">1 / memory in samples.</param>
    public static void Update(Span<double> state, double x, double rate)
    {
        var n = ++state[2];
        var step = Math.Max(rate, 1 / n);
        var d = x - state[0];
        state[0] += step * d;
        state[1] = (1 - step) * (state[1] + (step * d * d));
    }

    public static double Deviation(ReadOnlySpan<double> state) => Math.Sqrt(state[1]);
}
