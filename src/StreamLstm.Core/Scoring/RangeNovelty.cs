namespace StreamLstm.Core.Scoring;

/// <summary>
/// ρ(x; δ): how far x lies outside everything seen, in units of the range seen. The range is drawn together about its midpoint
/// by 1 − δ per sample, so that what happened long ago becomes news again. No unit, no distribution, two words of state.
/// </summary>
public static class RangeNovelty
{
    /// <summary>Words of state: low and high end.</summary>
    public const int StateLength = 2;

    // A range may be arbitrarily narrow when something happens; beyond this "how much" says nothing.
    private const double Largest = 1e6;

    public static void Initialise(Span<double> state)
    {
        // No range yet: low end above high end.
        state[0] = double.PositiveInfinity;
        state[1] = double.NegativeInfinity;
    }

    /// <param name="state">[2].</param>
    /// <param name="x">Finite.</param>
    /// <param name="decay">δ per sample, in [0, 1).</param>
    /// <returns>0 inside the range, and as long as it has no width.</returns>
    public static double Update(Span<double> state, double x, double decay)
    {
        var (low, high) = (state[0], state[1]);
        if (!(low <= high))
        {
            state[0] = x;
            state[1] = x;
            return 0;
        }

        var range = high - low;
        var beyond = Math.Max(Math.Max(x - high, low - x), 0.0);
        var novelty = range > 0 ? Math.Min(beyond / range, Largest) : 0;
        var middle = 0.5 * (low + high);
        var half = 0.5 * range * (1 - decay);
        state[0] = Math.Min(middle - half, x);
        state[1] = Math.Max(middle + half, x);
        return novelty;
    }
}
