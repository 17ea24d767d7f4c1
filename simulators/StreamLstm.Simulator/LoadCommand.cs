using System.CommandLine;
using StreamLstm.Simulation;

namespace StreamLstm.Simulator;

/// <summary><c>load</c>: simulated households and feeders.</summary>
internal sealed class LoadCommand : GeneratorCommand
{
    private readonly Option<string?> _interval = Named("--interval", "DURATION", "Time between the samples of a stream, up to 1d. Default 15m.");
    private readonly Option<string?> _clockError = Named("--clock-error", "DURATION", "Largest error of the meters' clocks, which drift and are set every few days. Default none.");
    private readonly Option<bool> _register = new("--register") { Description = "Send a cumulative register in Wh, which rolls over after 99,999.999 kWh, instead of the mean power." };
    private readonly Option<string?> _resetRate = Named("--reset-rate", "R", "Mean number of times per stream and day that a register starts again from zero, up to 100. Default 0.");
    private readonly Option<string?> _outageRate = Named("--outage-rate", "R", "Mean number of communication outages per day and 12 streams, up to 2; half of them lose readings, half deliver them late. Default 0.");
    private readonly List<LoadReading> _readings = [];
    private LoadFeedOptions _feedOptions = new();
    private LoadFeed? _feed;

    public LoadCommand(TimeProvider clock)
        : base(
            "load", "Simulated households and feeders: mean power in watts, with labelled faults.", new LoadSimulationOptions(),
            ", three households to one feeder", ("day", 1), LoadFaults.All, clock)
    {
        foreach (Option option in new Option[] { _interval, _clockError, _register, _resetRate, _outageRate })
        {
            Add(option);
        }
    }

    protected override SimulationOptions ReadOwn(OptionReader options, SimulationOptions common)
    {
        TimeSpan interval = options.Duration(_interval) ?? TimeSpan.FromMinutes(15);
        if (interval > TimeSpan.FromDays(1))
        {
            options.Errors.Add("--interval must not be longer than a day.");
            interval = TimeSpan.FromDays(1);
        }

        _feedOptions = new LoadFeedOptions
        {
            ClockError = options.Duration(_clockError) ?? TimeSpan.Zero,
            Register = options.IsSet(_register),
            ResetsPerStreamDay = options.Number(_resetRate, 0, 100) ?? 0,
            OutagesPerDay = options.Number(_outageRate, 0, 2) ?? 0,
        };
        if (_feedOptions.ResetsPerStreamDay > 0 && !_feedOptions.Register)
        {
            options.Errors.Add("--reset-rate needs --register.");
        }

        return (LoadSimulationOptions)common with { Interval = interval };
    }

    protected override StreamSimulator Create(SimulationOptions simulation) => new LoadSimulator((LoadSimulationOptions)simulation);

    protected override TimeSpan Step(SimulationOptions simulation) => ((LoadSimulationOptions)simulation).Interval;

    protected override void Begin(ParseResult parsed, StreamSimulator simulator, SimulationOptions simulation) =>
        _feed = new LoadFeed((LoadSimulator)simulator, _feedOptions, simulation.Seed);

    protected override void Generate(StreamSimulator simulator, int frames, List<Sample> samples)
    {
        for (; frames > 0; frames--)
        {
            _readings.Clear();
            _feed!.Next(_readings);
            samples.AddRange(_readings.Select(reading => new Sample(simulator.StreamKeys[reading.Stream], reading.Time, reading.Value)));
        }
    }

    protected override IReadOnlyList<FaultLabel> Faults(StreamSimulator simulator, long from, long to) => _feed!.Faults(from, to);
}
