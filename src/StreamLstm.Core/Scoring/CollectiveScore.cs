using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Scoring;

/// <summary>
/// S: the largest of five weighted novelties. A spike is news in the value itself; a slow or collective change is news in a
/// smoothed error magnitude: of the time of day's usual value, of the forecast one step ahead, and of the one a day's length
/// (24 steps) ahead. Constant cost and memory per sample; the same constants for every stream.
/// </summary>
public static class CollectiveScore
{
    /// <summary>S at which an alarm is due.</summary>
    public const double Threshold = 0.008;

    /// <summary>Words of state.</summary>
    public const int StateLength = AheadWindowOffset + 1 + AheadWidth;

    private const int SeasonalWidth = 24;
    private const int OneStepWidth = 48;
    private const int AheadWidth = 24;

    // Errors of the longest horizon exist only after this many samples; no magnitude counts before its window is full of them.
    private const int LeadIn = 24;

    private const double ValueDecay = 1e-6;
    private const double MagnitudeDecay = 3e-4;
    private const double MagnitudeWeight = 0.12;
    private const double AheadWeight = 0.1;
    private const double LogWeight = 0.06;

    // Keeps log magnitudes of nearly perfect forecasts from making news of nothing.
    private const double LogFloorShare = 0.05;
    private const double LogFloor = 1e-9;

    private const int CountOffset = 0;
    private const int MeanOffset = 1;
    private const int ValueRange = 2;
    private const int SeasonalRange = ValueRange + RangeNovelty.StateLength;
    private const int OneStepRange = SeasonalRange + RangeNovelty.StateLength;
    private const int AheadRange = OneStepRange + RangeNovelty.StateLength;
    private const int LogRange = AheadRange + RangeNovelty.StateLength;
    private const int SeasonalWindowOffset = LogRange + RangeNovelty.StateLength;
    private const int OneStepWindowOffset = SeasonalWindowOffset + 1 + SeasonalWidth;
    private const int AheadWindowOffset = OneStepWindowOffset + 1 + OneStepWidth;

    public static void Initialise(Span<double> state)
    {
        state = state[..StateLength];
        state.Clear();
        for (var range = ValueRange; range <= LogRange; range += RangeNovelty.StateLength)
            RangeNovelty.Initialise(Range(state, range));
    }

    /// <param name="state">[<see cref="StateLength"/>].</param>
    /// <param name="value">The sample, finite.</param>
    /// <param name="seasonal">The sample less what is usual at this time of day.</param>
    /// <param name="oneStep">Error of the forecast made one step ago, in the sample's units; 0 while there is none.</param>
    /// <param name="ahead">Error of the forecast made 24 steps ago; 0 while there is none.</param>
    public static ScoreParts Update(Span<double> state, double value, double seasonal, double oneStep, double ahead)
    {
        state = state[..StateLength];
        var seen = (long)state[CountOffset];
        state[CountOffset] = seen + 1;

        var magnitude = Math.Abs(oneStep);
        ref var mean = ref state[MeanOffset];
        mean += (magnitude - mean) / (seen + 1);
        var seasonalLevel = BoxcarMean.Update(state.Slice(SeasonalWindowOffset, BoxcarMean.StateLength(SeasonalWidth)), Math.Abs(seasonal));
        var oneStepLevel = BoxcarMean.Update(state.Slice(OneStepWindowOffset, BoxcarMean.StateLength(OneStepWidth)), magnitude);
        var aheadLevel = BoxcarMean.Update(state.Slice(AheadWindowOffset, BoxcarMean.StateLength(AheadWidth)), Math.Abs(ahead));

        return new ScoreParts(
            RangeNovelty.Update(Range(state, ValueRange), value, ValueDecay),
            MagnitudeWeight * Magnitude(state, SeasonalRange, seasonalLevel, seen, SeasonalWidth),
            MagnitudeWeight * Magnitude(state, OneStepRange, oneStepLevel, seen, OneStepWidth),
            AheadWeight * Magnitude(state, AheadRange, aheadLevel, seen, AheadWidth),
            LogWeight * Magnitude(state, LogRange, Log(oneStepLevel + (LogFloorShare * mean) + LogFloor), seen, OneStepWidth));
    }

    private static double Magnitude(Span<double> state, int range, double level, long seen, int width) =>
        seen < width + LeadIn ? 0 : RangeNovelty.Update(Range(state, range), level, MagnitudeDecay);

    private static Span<double> Range(Span<double> state, int offset) => state.Slice(offset, RangeNovelty.StateLength);

    /// <summary>ln x over the whole range of double, to single precision of the mantissa's part.</summary>
    private static double Log(double x)
    {
        const double ln2 = 0.69314718055994531;
        var exponent = Math.ILogB(x);
        return (exponent * ln2) + Elementary.Log((float)Math.ScaleB(x, -exponent));
    }
}
