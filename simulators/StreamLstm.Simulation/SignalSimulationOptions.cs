namespace StreamLstm.Simulation;

/// <summary>What the generators of physiological signals have in common: one stream per person, one channel per lead or electrode.</summary>
public abstract record SignalSimulationOptions : SimulationOptions
{
    /// <summary>Samples per second.</summary>
    public double Rate { get; init; }

    /// <summary>Names of the channels.</summary>
    public IReadOnlyList<string> Channels { get; init; } = [];

    /// <summary>Frequency of the mains in Hz. Default 50.</summary>
    public double MainsHz { get; init; } = 50;
}
