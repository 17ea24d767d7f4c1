namespace StreamLstm.Core.Scoring;

/// <summary>What is usual at this time of day: one running mean for each of 48 half hours, UTC.</summary>
internal static class TimeOfDayBaseline
{
    /// <summary>Words of state: 48 means, 48 counts; initially zero.</summary>
    public const int StateLength = 2 * Bins;

    internal const long DayMicros = 86_400_000_000;

    private const int Bins = 48;
    private const double LeastRate = 0.05;

    /// <summary>x less the baseline as it was before x, which x then moves at the rate max(.05, 1/n).</summary>
    /// <param name="state">[96].</param>
    /// <param name="timeMicros">Microseconds since 1970, UTC.</param>
    /// <param name="x">Finite.</param>
    /// <param name="fallback">Baseline of a half hour that is still empty.</param>
    public static double Residual(Span<double> state, long timeMicros, double x, double fallback)
    {
        var bin = (int)(SinceMidnight(timeMicros) / (DayMicros / Bins));
        ref var mean = ref state[bin];
        ref var count = ref state[Bins + bin];
        var residual = x - (count > 0 ? mean : fallback);
        count++;
        mean += Math.Max(LeastRate, 1 / count) * (x - mean);
        return residual;
    }

    private static long SinceMidnight(long timeMicros)
    {
        var rest = timeMicros % DayMicros;
        return rest < 0 ? rest + DayMicros : rest;
    }
}
