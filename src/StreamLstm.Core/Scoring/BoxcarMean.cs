namespace StreamLstm.Core.Scoring;

/// <summary>MA_k: mean of the last k values, or of all while there are fewer.</summary>
/// <remarks>
/// Summed anew for every sample: a running sum would carry the rounding of one huge value for ever, and could turn negative.
/// </remarks>
internal static class BoxcarMean
{
    /// <summary>Words of state: the number of values seen, then a ring of them.</summary>
    /// <param name="width">k, a multiple of 4.</param>
    public static int StateLength(int width) => 1 + width;

    /// <param name="state">[1 + k], initially zero; its length is what k is read from.</param>
    /// <param name="x">Finite.</param>
    public static double Update(Span<double> state, double x)
    {
        var ring = state[1..];
        var seen = (long)state[0];
        ring[(int)(seen % ring.Length)] = x;
        state[0] = seen + 1;

        // Four partial sums hide the latency of addition; slots not yet written hold zero.
        double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (var i = 0; i + 3 < ring.Length; i += 4)
        {
            s0 += ring[i];
            s1 += ring[i + 1];
            s2 += ring[i + 2];
            s3 += ring[i + 3];
        }

        return (s0 + s1 + (s2 + s3)) / Math.Min(seen + 1, ring.Length);
    }
}
