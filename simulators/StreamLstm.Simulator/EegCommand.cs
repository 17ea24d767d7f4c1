using System.CommandLine;
using StreamLstm.Simulation;

namespace StreamLstm.Simulator;

/// <summary><c>eeg</c>: simulated electroencephalograms.</summary>
internal sealed class EegCommand : SignalCommand
{
    private readonly Option<string?> _alpha = Named("--alpha", "HZ", "Frequency of the alpha rhythm, 7.5 to 12.5. Default: each person's own, 9 to 11.");
    private readonly Option<string?> _exponent = Named("--exponent", "X", "The background's power falls with frequency to this power, .5 to 2. Default: each person's own, .9 to 1.5.");

    public EegCommand(TimeProvider clock)
        : base(
            "eeg", "Simulated electroencephalograms in µV, with labelled events and artefacts.", new EegSimulationOptions(), "--electrodes",
            EegSimulator.Electrodes, EegEvents.All, clock)
    {
        Add(_alpha);
        Add(_exponent);
    }

    protected override SimulationOptions ReadOwn(OptionReader options, SimulationOptions common) =>
        (EegSimulationOptions)base.ReadOwn(options, common) with
        {
            AlphaHz = options.Number(_alpha, 7.5, 12.5),
            Exponent = options.Number(_exponent, 0.5, 2),
        };

    protected override StreamSimulator Create(SimulationOptions simulation) => new EegSimulator((EegSimulationOptions)simulation);
}
