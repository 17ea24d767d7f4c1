namespace StreamLstm.Simulation;

/// <summary>
/// What a <see cref="LoadSimulator"/> generates. Every fourth stream is a feeder, the others are households. Random faults
/// are by default those of a sensor (<see cref="Simulation.FaultTypes.Sensor"/>) and keep half a day of distance.
/// </summary>
public sealed record LoadSimulationOptions : SimulationOptions
{
    /// <summary>Length of a frame, above zero and at most one day. Default 15 minutes.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromMinutes(15);
}
