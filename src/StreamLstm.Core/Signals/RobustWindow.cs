namespace StreamLstm.Core.Signals;

/// <summary>
/// The last values of a feature and where a new one stands among them: (x − median) / (1.4826 · median absolute deviation + floor)
/// (Rousseeuw and Croux 1993 for the constant). State: <c>[count, next, values…]</c> in the caller's words.
/// </summary>
internal static class RobustWindow
{
    private const float ToDeviation = 1.4826f;

    public static int Length(int capacity) => capacity + 2;

    /// <summary>Number of values held.</summary>
    public static int Count(ReadOnlySpan<float> window) => (int)window[0];

    public static void Push(Span<float> window, float value)
    {
        var capacity = window.Length - 2;
        var next = (int)window[1];
        window[2 + next] = value;
        window[1] = (next + 1) % capacity;
        window[0] = Math.Min(window[0] + 1, capacity);
    }

    /// <summary>Median and median absolute deviation (scaled to a Gaussian's deviation) of the latest <paramref name="latest"/> values; zeros while there are none.</summary>
    /// <param name="scratch">At least the window's capacity.</param>
    public static (float Median, float Deviation) Describe(ReadOnlySpan<float> window, int latest, Span<float> scratch)
    {
        var capacity = window.Length - 2;
        var n = Math.Min(Count(window), latest);
        if (n == 0)
            return default;
        var values = scratch[..n];
        for (var i = 0; i < n; i++)
            values[i] = window[2 + (((int)window[1] - 1 - i + (2 * capacity)) % capacity)];
        values.Sort();
        var median = Middle(values);
        for (var i = 0; i < n; i++)
            values[i] = MathF.Abs(values[i] - median);
        values.Sort();
        return (median, ToDeviation * Middle(values));
    }

    private static float Middle(ReadOnlySpan<float> sorted) => (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
}
