namespace StreamLstm.Simulation;

/// <summary>Faults of a sensor, whatever it measures. σ = standard deviation of the stream's residual around its usual course.</summary>
public static class FaultTypes
{
    /// <summary>Up by size·σ.</summary>
    public const string Spike = "spike";

    /// <summary>Down by size·σ.</summary>
    public const string Dip = "dip";

    /// <summary>Moved by size·σ.</summary>
    public const string LevelShift = "level_shift";

    /// <summary>Moved by size·σ more in every frame.</summary>
    public const string Drift = "drift";

    /// <summary>The last value before it.</summary>
    public const string Stuck = "stuck";

    /// <summary>No samples.</summary>
    public const string Dropout = "dropout";

    /// <summary>Multiplied by the size.</summary>
    public const string Scale = "scale";

    public static IReadOnlyList<FaultKind> Sensor { get; } =
    [
        FaultKind.OfFrames(Spike, 1, 2, (u, _) => 4 + (4 * u)),
        FaultKind.OfFrames(Dip, 1, 2, (u, _) => 4 + (4 * u)),
        FaultKind.OfTime(LevelShift, TimeSpan.FromDays(0.5), TimeSpan.FromDays(2), (u, sign) => sign * (2 + (2 * u))),
        FaultKind.OfFrames(Drift, 24, 96, (_, sign) => sign * 0.1),
        FaultKind.OfFrames(Stuck, 8, 32),
        FaultKind.OfFrames(Dropout, 6, 24),
        FaultKind.OfTime(Scale, TimeSpan.FromDays(0.5), TimeSpan.FromDays(1), (u, sign) => sign < 0 ? 0.5 : 1.5 + (0.5 * u)),
    ];

    /// <summary>A value with a sensor fault other than <see cref="Stuck"/>; NaN while there are no samples.</summary>
    /// <param name="sigma">The unit of sizes.</param>
    internal static double Apply(in PlannedFault fault, double value, long frame, double sigma) => fault.Type switch
    {
        Spike or LevelShift => value + (fault.Size * sigma),
        Dip => value - (fault.Size * sigma),
        Drift => value + (fault.Size * (frame - fault.First + 1) * sigma),
        Scale => value * fault.Size,
        _ => double.NaN,
    };
}
