namespace StreamLstm.Simulation;

/// <summary>What an <see cref="EegSimulator"/> generates.</summary>
public sealed record EegSimulationOptions : SignalSimulationOptions
{
    public EegSimulationOptions()
    {
        Streams = 1;
        Rate = 256;
        Channels = ["Fp1", "Fp2", "C3", "C4", "O1", "O2"];
    }

    /// <summary>Frequency of the alpha rhythm in Hz, 7.5 to 12.5. Default: each person's own, 9 to 11.</summary>
    public double? AlphaHz { get; init; }

    /// <summary>Exponent χ of the background's power 1/f^χ, .5 to 2. Default: each person's own, .9 to 1.5.</summary>
    public double? Exponent { get; init; }
}
