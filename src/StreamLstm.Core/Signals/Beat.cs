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
public readonly record struct Beat(long Sample, float RrSeconds, float Morphology, float Prematurity, float Shape, float Score, int WorstLead, int LeadsOn);
