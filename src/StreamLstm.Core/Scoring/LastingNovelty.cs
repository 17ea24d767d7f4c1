namespace StreamLstm.Core.Scoring;

/// <summary>
/// S of the live engine: how far smoothed error magnitudes lie above everything they have been, in units of the range they have shown,
/// the largest of three; and the smoothed deviation to one side. It differs from <see cref="CollectiveScore"/> in what a threshold held at
/// a rate of one in thousands needs: the range follows what lies above it slowly, so novelty grows with the size of a change and lasts
/// instead of being spent on its first step, and one wild error counts as a large ordinary one.
/// </summary>
internal static class LastingNovelty
{
    /// <summary>Words of state: shift, mean magnitude of deviations, then smoothed magnitude, low and high end of each part. All in the series' unit.</summary>
    public const int Words = 2 + (3 * PartWords);

    private const int PartWords = 3;

    /// <summary>Frames over which deviations and errors a day's length ahead are smoothed, and those one step ahead.</summary>
    private const float Width = 24;
    private const float OneStepWidth = 48;

    /// <summary>Most a single error counts, in mean magnitudes: four standard deviations of a Gaussian.</summary>
    private const float MostMagnitude = 5;

    /// <summary>Share of what lies above the range that a frame adds to it; share of the range that a frame takes off.</summary>
    private const float Expansion = 1 / 96f;
    private const float Decay = 3e-4f;

    /// <summary>Least width of a range, as a share of its high end.</summary>
    private const float LeastWidth = 0.25f;

    /// <summary>Frames after which ranges follow slowly: until then they are still being found.</summary>
    private const int Grown = 200;

    /// <summary>Frames after which S means something and may be calibrated: what a narrow range makes of ordinary errors says nothing about later ones.</summary>
    public const int Settled = 2 * Grown;

    public static float Shift(ReadOnlySpan<float> state) => state[0];

    /// <summary>Smoothed magnitude of the deviations.</summary>
    public static float Magnitude(ReadOnlySpan<float> state) => state[2];

    /// <summary>After a gap nothing is known of a deviation that lasts.</summary>
    public static void Forget(Span<float> state) => state[0] = 0;

    /// <param name="state">[<see cref="Words"/>], initially zero.</param>
    /// <param name="seasonal">The value less what is usual at this hour.</param>
    /// <param name="oneStep">Error of the forecast for this frame made one step ago, and what its magnitude is on average.</param>
    /// <param name="ahead">The same of the forecast made 24 steps ago; NaN if there is none.</param>
    /// <param name="seen">Frames seen before.</param>
    /// <param name="least">Width below which a range says nothing.</param>
    /// <returns>S ≥ 0.</returns>
    public static float Update(Span<float> state, float seasonal, float oneStep, float usualOneStep, float ahead, float usualAhead, int seen, float least)
    {
        var magnitude = Math.Abs(seasonal);
        ref var usual = ref state[1];
        var most = MostMagnitude * Math.Max(usual, least);
        // The mean follows over some days; early frames count fully.
        var rate = Math.Max(1f / (seen + 1), 1f / 2000);
        usual += rate * ((seen < Grown ? magnitude : Math.Min(magnitude, 2 * most)) - usual);
        state[0] += (Math.Clamp(seasonal, -most, most) - state[0]) / Width;
        var novelty = Part(state[2..5], Math.Min(magnitude, most), Width, seen, least);
        novelty = Math.Max(novelty, Part(state[5..8], Math.Min(Math.Abs(oneStep), MostMagnitude * usualOneStep), OneStepWidth, seen, least));
        return float.IsNaN(ahead) ? novelty : Math.Max(novelty, Part(state[8..11], Math.Min(Math.Abs(ahead), MostMagnitude * usualAhead), Width, seen, least));
    }

    private static float Part(Span<float> part, float magnitude, float width, int seen, float least)
    {
        ref var level = ref part[0];
        level += (magnitude - level) * Math.Max(1f / (seen + 1), 1 / width);
        var (low, high) = (part[1], part[2]);
        var range = high - low;
        var novelty = Math.Max(level - high, 0) / Math.Max(Math.Max(range, LeastWidth * high), least);
        var follow = seen < Grown ? 1 : Expansion;
        var shrink = 0.5f * Decay * range;
        part[1] = Math.Min(low + shrink, level);
        part[2] = high - shrink + (follow * Math.Max(level - high, 0));
        return novelty;
    }
}
