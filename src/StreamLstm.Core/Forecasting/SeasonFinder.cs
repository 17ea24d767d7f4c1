namespace StreamLstm.Core.Forecasting;

/// <summary>What repeats in a series.</summary>
/// <param name="Frames">Length of the season.</param>
/// <param name="Autocorrelation">At that lag, of the series without its trend; 1 = it repeats exactly.</param>
public readonly record struct FoundSeason(int Frames, double Autocorrelation);

/// <summary>
/// Finds the season of a series from its autocorrelation, whose hills lie at the season and its multiples (Vlachos, Yu and Castelli 2005,
/// "On periodicity detection and structural periodic similarity", from which the use of hills is taken; their periodogram isn't needed at these lengths).
/// The linear trend and the moving mean over the longest season are taken out first. Among the hills that matter the shortest is chosen that is nearly as high as the highest: multiples of a season
/// are hills too.
/// </summary>
public static class SeasonFinder
{
    /// <summary>A lower hill is taken for chance.</summary>
    private const double LeastCorrelation = 0.25;

    /// <summary>Share of the highest hill that is as good.</summary>
    private const double Nearly = 0.75;

    /// <summary>A season must have been seen this often.</summary>
    private const int Repeats = 3;

    /// <param name="values">Frames in order; NaN = missing.</param>
    /// <param name="mostFrames">Longest season looked for.</param>
    /// <returns>Null if nothing repeats.</returns>
    public static FoundSeason? Find(ReadOnlySpan<double> values, int mostFrames)
    {
        var most = Math.Min(mostFrames, values.Length / Repeats);
        if (most < 3 || !TryDetrend(values, most, out var x))
            return null;
        var correlation = new double[most + 2];
        for (var lag = 1; lag < correlation.Length; lag++)
            correlation[lag] = Correlation(x, lag);

        // Neighbours resemble each other without any season: hills count once the correlation has been down to nothing.
        var from = Array.FindIndex(correlation, 1, c => c <= 0);
        if (from < 0)
            return null;
        var highest = 0.0;
        for (var lag = from; lag <= most; lag++)
        {
            if (IsHill(correlation, lag))
                highest = Math.Max(highest, correlation[lag]);
        }

        for (var lag = from; lag <= most && highest >= LeastCorrelation; lag++)
        {
            if (!IsHill(correlation, lag) || correlation[lag] < Nearly * highest)
                continue;
            // The hill's top, under noise that makes little hills on its slope.
            var top = lag;
            for (var next = lag; next <= Math.Min(most, lag * 6 / 5); next++)
                top = correlation[next] > correlation[top] ? next : top;
            return new FoundSeason(top, correlation[top]);
        }

        return null;
    }

    private static bool IsHill(double[] correlation, int lag) => correlation[lag] > correlation[lag - 1] && correlation[lag] >= correlation[lag + 1];

    /// <summary>Values less their least-squares line and what of it moves slowly, at unit variance; missing ones stay NaN.</summary>
    private static bool TryDetrend(ReadOnlySpan<double> values, int window, out double[] x)
    {
        x = values.ToArray();
        double n = 0, meanT = 0, meanY = 0, tt = 0, ty = 0;
        for (var t = 0; t < x.Length; t++)
        {
            if (double.IsNaN(x[t]))
                continue;
            n++;
            var dt = t - meanT;
            meanT += dt / n;
            tt += dt * (t - meanT);
            var dy = x[t] - meanY;
            meanY += dy / n;
            ty += dt * (x[t] - meanY);
        }

        if (n < 2)
            return false;
        var slope = tt > 0 ? ty / tt : 0;
        var largest = 0.0;
        for (var t = 0; t < x.Length; t++)
        {
            largest = double.IsNaN(x[t]) ? largest : Math.Max(largest, Math.Abs(x[t]));
            x[t] -= meanY + (slope * (t - meanT));
        }

        SubtractMovingMean(x, window);
        var squares = x.Where(v => !double.IsNaN(v)).Sum(v => v * v);

        // What is left of a line is rounding.
        var deviation = Math.Sqrt(squares / n);
        if (!(deviation > 1e-9 * largest) || !double.IsFinite(deviation))
            return false;
        for (var t = 0; t < x.Length; t++)
            x[t] /= deviation;
        return true;
    }

    /// <summary>Less the mean of the frames within half a window on either side.</summary>
    private static void SubtractMovingMean(double[] x, int window)
    {
        var sums = new double[x.Length + 1];
        var counts = new int[x.Length + 1];
        for (var t = 0; t < x.Length; t++)
        {
            sums[t + 1] = sums[t] + (double.IsNaN(x[t]) ? 0 : x[t]);
            counts[t + 1] = counts[t] + (double.IsNaN(x[t]) ? 0 : 1);
        }

        for (var t = 0; t < x.Length; t++)
        {
            var from = Math.Max(0, t - (window / 2));
            var to = Math.Min(x.Length, t + (window / 2) + 1);
            if (counts[to] > counts[from])
                x[t] -= (sums[to] - sums[from]) / (counts[to] - counts[from]);
        }
    }

    /// <summary>Mean product of the pairs that are both known, over the mean square of their members.</summary>
    private static double Correlation(double[] x, int lag)
    {
        double product = 0, squares = 0;
        for (var t = lag; t < x.Length; t++)
        {
            var (a, b) = (x[t], x[t - lag]);
            if (double.IsNaN(a) || double.IsNaN(b))
                continue;
            product += a * b;
            squares += 0.5 * ((a * a) + (b * b));
        }

        return squares > 0 ? product / squares : 0;
    }
}
