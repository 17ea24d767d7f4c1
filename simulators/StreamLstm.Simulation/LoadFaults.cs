namespace StreamLstm.Simulation;

/// <summary>Faults of a meter's installation and of how it is used, besides those of <see cref="FaultTypes"/>.</summary>
public static class LoadFaults
{
    /// <summary>A wrong current-transformer ratio: multiplied by the size.</summary>
    public const string CtRatio = "ct_ratio";

    /// <summary>A share (size) of the consumption isn't measured, as with a bypass; what is fed in is.</summary>
    public const string Theft = "theft";

    /// <summary>
    /// The voltages of two phases are swapped against their currents. With a power factor near 1 each of these phases is read as
    /// cos 120° = −½ of its power, so the sum of all three is (1.5·size − .5) of the true one, size = share of the third phase.
    /// </summary>
    public const string SwappedPhases = "swapped_phases";

    /// <summary>An unusual schedule: the load of size hours later.</summary>
    public const string Schedule = "schedule";

    public static IReadOnlyList<FaultKind> All { get; } =
    [
        .. FaultTypes.Sensor,
        FaultKind.OfTime(CtRatio, TimeSpan.FromDays(1), TimeSpan.FromDays(2), (u, sign) => Math.Pow(u < 0.5 ? 2 : 4, sign)),
        FaultKind.OfTime(Theft, TimeSpan.FromDays(1), TimeSpan.FromDays(3), (u, _) => 0.3 + (0.5 * u)),
        FaultKind.OfTime(SwappedPhases, TimeSpan.FromDays(0.5), TimeSpan.FromDays(2), (u, _) => 0.2 + (0.3 * u)),
        FaultKind.OfTime(Schedule, TimeSpan.FromDays(1), TimeSpan.FromDays(2), (u, sign) => sign * (6 + (6 * u))),
    ];
}
