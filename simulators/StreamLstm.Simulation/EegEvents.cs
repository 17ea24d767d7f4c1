namespace StreamLstm.Simulation;

/// <summary>What can happen in an electroencephalogram and to its recording.</summary>
public static class EegEvents
{
    /// <summary>The eyes open: the alpha rhythm loses the share size of its amplitude.</summary>
    public const string AlphaBlock = "alpha_block";

    /// <summary>An eye blink of size µV at the forehead.</summary>
    public const string Blink = "blink";

    /// <summary>Generalised spike-and-wave discharges, 3.3 falling to 2.7 per second, waves of size µV.</summary>
    public const string SpikeWave = "spike_wave";

    /// <summary>Bursts between stretches of less than 10 µV.</summary>
    public const string BurstSuppression = "burst_suppression";

    /// <summary>One electrode jumps by size µV and comes back exponentially.</summary>
    public const string ElectrodePop = "electrode_pop";

    public static IReadOnlyList<FaultKind> All { get; } =
    [
        FaultKind.OfTime(AlphaBlock, TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(15), (u, _) => 0.7 + (0.25 * u)),
        FaultKind.OfTime(Blink, TimeSpan.FromSeconds(0.6), TimeSpan.FromSeconds(0.6), (u, _) => 80 + (120 * u)),
        FaultKind.OfTime(SpikeWave, TimeSpan.FromSeconds(4), TimeSpan.FromSeconds(15), (u, _) => 120 + (130 * u)),
        FaultKind.OfTime(BurstSuppression, TimeSpan.FromSeconds(20), TimeSpan.FromSeconds(60)),
        FaultKind.OfTime(ElectrodePop, TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(2), (u, sign) => sign * (150 + (150 * u))),
    ];
}
