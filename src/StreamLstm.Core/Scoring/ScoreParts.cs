namespace StreamLstm.Core.Scoring;

/// <summary>The weighted novelties of one sample, all in the same unit: the largest one is the score, and says why.</summary>
/// <param name="Value">Of the value itself: a spike, a new level.</param>
/// <param name="Seasonal">Of the deviation from the time of day's usual value over the last 24 samples.</param>
/// <param name="OneStep">Of the one-step forecast's error over the last 48 samples.</param>
/// <param name="Ahead">Of the 24-step forecast's error over the last 24 samples.</param>
/// <param name="LogError">Of the logarithm of the one-step error: also when a stream becomes unusually easy to forecast.</param>
public readonly record struct ScoreParts(double Value, double Seasonal, double OneStep, double Ahead, double LogError)
{
    /// <summary>S; an alarm is due from <see cref="CollectiveScore.Threshold"/>.</summary>
    public double Score => Math.Max(Math.Max(Math.Max(Value, Seasonal), Math.Max(OneStep, Ahead)), LogError);
}
