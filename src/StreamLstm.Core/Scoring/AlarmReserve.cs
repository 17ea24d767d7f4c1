namespace StreamLstm.Core.Scoring;

/// <summary>
/// Bounds are calibrated frame by frame, but what is promised is a rate of alarms, and alarms come in clusters or from tails heavier than
/// assumed. The reserve, ln of a factor on all bounds, is stochastic approximation (Robbins and Monro 1951) of the factor at which alarms
/// begin at the chosen rate.
/// </summary>
public static class AlarmReserve
{
    /// <summary>Ordinary frames that end an alarm: anomalous ones closer together belong to it.</summary>
    public const int QuietFrames = 4;

    /// <summary>Start and limits: 1.16, .8 and 2. Bounds learnt from few frames are too narrow; streams full of faults are not to be taken for normal ones.</summary>
    public const float First = 0.15f;
    private const float Least = -0.223f;
    private const float Most = 0.693f;

    /// <summary>What one alarm adds; ordinary frames take it back at the chosen rate.</summary>
    private const float Step = 0.1f;

    public static void Learn(ref float reserve, ref float sinceAlarm, bool anomaly, double falseAlarmsPerFrame)
    {
        var begins = anomaly && sinceAlarm >= QuietFrames;
        sinceAlarm = anomaly ? 0 : Math.Min(sinceAlarm + 1, QuietFrames);
        reserve = Math.Clamp(reserve + (Step * ((begins ? 1 : 0) - (float)falseAlarmsPerFrame)), Least, Most);
    }
}
