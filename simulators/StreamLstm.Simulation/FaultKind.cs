namespace StreamLstm.Simulation;

/// <summary>A kind of fault or event, and what the random plan draws for it.</summary>
public sealed class FaultKind
{
    private readonly double _shortest, _longest;
    private readonly bool _inFrames;
    private readonly Func<double, double, double> _size;

    private FaultKind(string type, double shortest, double longest, bool inFrames, Func<double, double, double>? size)
    {
        Type = type;
        (_shortest, _longest, _inFrames, _size) = (shortest, longest, inFrames, size ?? ((_, _) => 0));
    }

    public string Type { get; }

    /// <summary>The middle of the sizes the random plan draws, for a plan that states none.</summary>
    public double TypicalSize => _size(0.5, 1);

    /// <param name="size">Size as a function of a uniform number in [0, 1) and a random sign; null = it has none.</param>
    internal static FaultKind OfFrames(string type, int shortest, int longest, Func<double, double, double>? size = null) =>
        new(type, shortest, longest, inFrames: true, size);

    /// <inheritdoc cref="OfFrames"/>
    internal static FaultKind OfTime(string type, TimeSpan shortest, TimeSpan longest, Func<double, double, double>? size = null) =>
        new(type, shortest.TotalDays, longest.TotalDays, inFrames: false, size);

    internal double MeanFrames(double framesPerDay) => (_shortest + _longest) / 2 * (_inFrames ? 1 : framesPerDay);

    /// <summary>Draws counters <c>draw</c> to <c>draw + 2</c>: length, size, sign.</summary>
    internal (long Frames, double Size) Draw(CounterRandom random, long draw, double framesPerDay)
    {
        long frames = _inFrames
            ? random.Integer(draw, (int)_shortest, (int)_longest)
            : Math.Max(1, (long)Math.Round(random.Uniform(draw, _shortest, _longest) * framesPerDay));
        return (frames, _size(random.Uniform(draw + 1), random.Uniform(draw + 2) < 0.5 ? -1 : 1));
    }
}
