using System.CommandLine;
using StreamLstm.Simulation;

namespace StreamLstm.Simulator;

/// <summary><c>load</c>: simulated households and feeders.</summary>
internal sealed class LoadCommand : GeneratorCommand
{
    private readonly Option<string?> _interval = Named("--interval", "DURATION", "Time between the samples of a stream, up to 1d. Default 15m.");

    public LoadCommand(TimeProvider clock)
        : base(
            "load", "Simulated households and feeders: mean power in watts, with labelled faults.", new LoadSimulationOptions(),
            ", three households to one feeder", ("day", 1), LoadFaults.All, clock) => Add(_interval);

    protected override SimulationOptions ReadOwn(OptionReader options, SimulationOptions common)
    {
        TimeSpan interval = options.Duration(_interval) ?? TimeSpan.FromMinutes(15);
        if (interval > TimeSpan.FromDays(1))
        {
            options.Errors.Add("--interval must not be longer than a day.");
            interval = TimeSpan.FromDays(1);
        }

        return (LoadSimulationOptions)common with { Interval = interval };
    }

    protected override StreamSimulator Create(SimulationOptions simulation) => new LoadSimulator((LoadSimulationOptions)simulation);

    protected override TimeSpan Step(SimulationOptions simulation) => ((LoadSimulationOptions)simulation).Interval;
}
