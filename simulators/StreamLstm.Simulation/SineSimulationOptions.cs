namespace StreamLstm.Simulation;

/// <summary>What a <see cref="SineSimulator"/> adds up.</summary>
public enum SineMixture
{
    /// <summary>A sine and white noise.</summary>
    Sine,

    /// <summary>A linear trend, two seasons (the second seven times as long), and white noise.</summary>
    Seasons,

    /// <summary>A sine and autocorrelated noise, which at random times go over to another level, half the amplitude and twice the noise, and back.</summary>
    Regimes,
}

/// <summary>
/// What a <see cref="SineSimulator"/> generates. Wherever faults are counted by or last for days, the period takes the day's place.
/// </summary>
public sealed record SineSimulationOptions : SimulationOptions
{
    public SineMixture Mixture { get; init; }

    /// <summary>Length of a frame, above zero and at most a quarter of the period. Default 15 minutes.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromMinutes(15);

    /// <summary>Period of the (first) season. Default one day.</summary>
    public TimeSpan Period { get; init; } = TimeSpan.FromDays(1);

    /// <summary>Standard deviation of the noise over the sine's amplitude, 0 to 10. Default .05.</summary>
    public double Noise { get; init; } = 0.05;
}
