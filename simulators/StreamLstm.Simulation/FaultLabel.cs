namespace StreamLstm.Simulation;

/// <summary>One injected fault: the ground truth for detection.</summary>
/// <param name="Start">First affected time.</param>
/// <param name="End">First time after it that is unaffected again.</param>
/// <param name="Type">One of <see cref="FaultTypes"/>.</param>
/// <param name="Size">
/// In units of the stream's seasonal-residual σ: height of a <c>spike</c> (up) or <c>dip</c> (down), signed height of a
/// <c>level_shift</c>, signed slope per frame of a <c>drift</c>. Factor of a <c>scale</c>. Not used by <c>stuck</c> and
/// <c>dropout</c> (0).
/// </param>
public sealed record FaultLabel(string Stream, DateTimeOffset Start, DateTimeOffset End, string Type, double Size);

/// <summary>The kinds of faults the generators inject.</summary>
public static class FaultTypes
{
    public const string Spike = "spike";
    public const string Dip = "dip";
    public const string LevelShift = "level_shift";
    public const string Drift = "drift";
    public const string Stuck = "stuck";
    public const string Dropout = "dropout";
    public const string Scale = "scale";

    public static IReadOnlyList<string> All { get; } = [Spike, Dip, LevelShift, Drift, Stuck, Dropout, Scale];

    /// <summary>The middle of the sizes the random plan draws, for a plan that states none.</summary>
    public static double TypicalSize(string type) => type switch
    {
        Spike or Dip => 6,
        LevelShift => 3,
        Drift => 0.1,
        Scale => 1.75,
        _ => 0,
    };
}
