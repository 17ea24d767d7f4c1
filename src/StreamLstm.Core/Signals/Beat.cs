namespace StreamLstm.Core.Signals;

/// <summary>One heart beat and how unusual it is for its stream.</summary>
/// <param name="Sample">Index of its R peak (the largest deflection of the QRS complex) among the input samples.</param>
/// <param name="RrSeconds">Since the beat before; NaN for the first.</param>
/// <param name="Morphology">log(1 − largest correlation with the usual beat + 0.01), mean over the leads that are on; NaN before there is a usual beat.</param>
/// <param name="Prematurity">How early it came, in robust deviations of the log interval; 0 while unknown.</param>
/// <param name="Shape">How unlike the usual beat it is, in robust deviations of <paramref name="Morphology"/>; 0 while unknown.</param>
/// <param name="Score">1 = threshold; 0 while there is no basis.</param>
/// <param name="WorstLead">Lead that deviates most in shape.</param>
/// <param name="LeadsOn">Leads with a signal.</param>
public readonly record struct Beat(long Sample, float RrSeconds, float Morphology, float Prematurity, float Shape, float Score, int WorstLead, int LeadsOn)
{
    /// <summary>The interval that was to be expected; NaN while unknown.</summary>
    public float UsualRrSeconds { get; init; } = float.NaN;

    /// <summary>A shorter interval is an anomaly by itself; NaN while unknown.</summary>
    public float EarliestRrSeconds { get; init; } = float.NaN;
}

/// <summary>How one lead's beat compares with its usual form.</summary>
/// <param name="Correlation">Largest over small shifts; NaN while there is no usual form, or the lead is off.</param>
/// <param name="Usual">The median of recent beats of the usual form.</param>
/// <param name="Least">A smaller one is an anomaly by itself.</param>
/// <param name="Deviation">In robust deviations; 0 while unknown.</param>
public readonly record struct LeadShape(float Correlation, float Usual, float Least, float Deviation)
{
    public static LeadShape Unknown => new(float.NaN, float.NaN, float.NaN, 0);
}
