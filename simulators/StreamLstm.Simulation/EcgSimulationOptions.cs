namespace StreamLstm.Simulation;

/// <summary>What an <see cref="EcgSimulator"/> generates.</summary>
public sealed record EcgSimulationOptions : SignalSimulationOptions
{
    public EcgSimulationOptions()
    {
        Streams = 1;
        Rate = 360;
        Channels = ["II", "V5"];
    }

    /// <summary>Mean heart rate in beats per minute, 30 to 180. Default: each person's own, 55 to 85.</summary>
    public double? HeartRate { get; init; }

    /// <summary>Standard deviation of the sinus rhythm's intervals in seconds, 0 to .1. Default: each person's own, .025 to .06.</summary>
    public double? IntervalDeviation { get; init; }

    /// <summary>Power of the intervals' variation around .1 Hz over that around .25 Hz. Default: each person's own, .5 to 3.</summary>
    public double? LfHfRatio { get; init; }
}
