namespace StreamLstm.Simulation;

/// <summary>What can happen to a heart and to its recording.</summary>
public static class EcgEvents
{
    /// <summary>A ventricular beat: early, wide, without a P wave, and with a full compensatory pause.</summary>
    public const string Pvc = "pvc";

    /// <summary>An atrial beat: early, of the usual form but for its P wave; the rhythm starts again from it.</summary>
    public const string Apc = "apc";

    /// <summary>Atrial fibrillation at size beats per minute: irregular intervals, fibrillation waves in place of P waves.</summary>
    public const string AtrialFibrillation = "af";

    /// <summary>Sinus rhythm of size beats per minute.</summary>
    public const string Bradycardia = "bradycardia";

    /// <inheritdoc cref="Bradycardia"/>
    public const string Tachycardia = "tachycardia";

    /// <summary>No beats.</summary>
    public const string Asystole = "asystole";

    /// <summary>One lead lies at the amplifier's rail of ±5 mV, the sign being the size's.</summary>
    public const string LeadOff = "lead_off";

    /// <summary>A slow oscillation of size mV on all leads.</summary>
    public const string BaselineWander = "baseline_wander";

    /// <summary>An oscillation of size mV at the mains' frequency.</summary>
    public const string MainsHum = "mains_hum";

    /// <summary>Irregular deflections of about size mV at 1 to 8 Hz.</summary>
    public const string Motion = "motion";

    public static IReadOnlyList<FaultKind> All { get; } =
    [
        FaultKind.OfTime(Pvc, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1)),
        FaultKind.OfTime(Apc, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1)),
        FaultKind.OfTime(AtrialFibrillation, TimeSpan.FromSeconds(30), TimeSpan.FromSeconds(120), (u, _) => 90 + (50 * u)),
        FaultKind.OfTime(Bradycardia, TimeSpan.FromSeconds(20), TimeSpan.FromSeconds(60), (u, _) => 32 + (10 * u)),
        FaultKind.OfTime(Tachycardia, TimeSpan.FromSeconds(20), TimeSpan.FromSeconds(60), (u, _) => 130 + (40 * u)),
        FaultKind.OfTime(Asystole, TimeSpan.FromSeconds(4), TimeSpan.FromSeconds(10)),
        FaultKind.OfTime(LeadOff, TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(20), (_, sign) => sign),
        FaultKind.OfTime(BaselineWander, TimeSpan.FromSeconds(10), TimeSpan.FromSeconds(40), (u, _) => 0.5 + (0.7 * u)),
        FaultKind.OfTime(MainsHum, TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(30), (u, _) => 0.1 + (0.3 * u)),
        FaultKind.OfTime(Motion, TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(10), (u, _) => 0.5 + u),
    ];
}

/// <summary>A generated beat.</summary>
/// <param name="Time">Time of its R peak.</param>
/// <param name="Type">N = sinus or conducted, V = ventricular, A = atrial.</param>
public readonly record struct EcgBeat(string Stream, DateTimeOffset Time, char Type);
