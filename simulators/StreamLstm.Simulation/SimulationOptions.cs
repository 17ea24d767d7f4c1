namespace StreamLstm.Simulation;

/// <summary>What every generator is told. Everything it produces is a function of its options.</summary>
public abstract record SimulationOptions
{
    /// <summary>Number of streams, from 1. Default 24.</summary>
    public int Streams { get; init; } = 24;

    public ulong Seed { get; init; } = 1;

    /// <summary>Start of frame 0. Default Monday 2026-01-05 00:00 UTC.</summary>
    public DateTimeOffset Start { get; init; } = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    /// <summary>
    /// Mean number of random faults per stream and day. Default 0: none. Faults keep a distance, which limits how many
    /// there can be.
    /// </summary>
    public double FaultsPerStreamDay { get; init; }

    /// <summary>No random fault begins earlier. Default: the start.</summary>
    public DateTimeOffset? FaultsFrom { get; init; }

    /// <summary>Types the random plan draws from. Default: the generator's own choice.</summary>
    public IReadOnlyList<string>? FaultTypes { get; init; }

    /// <summary>A given plan instead of a random one; its faults may overlap and then act one after the other.</summary>
    public IReadOnlyList<FaultLabel>? Faults { get; init; }

    /// <summary>Put before every stream key; does not change the values.</summary>
    public string KeyPrefix { get; init; } = "";
}
