using System.CommandLine;
using StreamLstm.Simulation;

namespace StreamLstm.Simulator;

/// <summary><c>sine</c>: classic mixtures with known parts.</summary>
internal sealed class SineCommand : GeneratorCommand
{
    private readonly Option<string?> _mixture = Named("--mixture", "NAME", "sine = a sine and noise; seasons = trend, two seasons and noise; regimes = switches between two regimes, visits to the second being labelled. Default sine.");
    private readonly Option<string?> _interval = Named("--interval", "DURATION", "Time between the samples of a stream. Default 15m.");
    private readonly Option<string?> _period = Named("--period", "DURATION", "Period of the sine, at least four intervals. Default 1d.");
    private readonly Option<string?> _noise = Named("--noise", "X", "Standard deviation of the noise over the amplitude, 0 to 10. Default .05.");

    public SineCommand(TimeProvider clock)
        : base(
            "sine", "Sines and classic mixtures, with labelled sensor faults.", new SineSimulationOptions { Streams = 4 }, "", ("period", 1),
            FaultTypes.Sensor, clock)
    {
        Add(_mixture);
        Add(_interval);
        Add(_period);
        Add(_noise);
    }

    protected override SimulationOptions ReadOwn(OptionReader options, SimulationOptions common)
    {
        var sine = (SineSimulationOptions)common;
        string mixture = options.Text(_mixture) ?? "sine";
        if (mixture is not ("sine" or "seasons" or "regimes"))
        {
            options.Errors.Add($"--mixture '{mixture}' is not sine, seasons or regimes.");
        }

        TimeSpan interval = options.Duration(_interval) ?? sine.Interval, period = options.Duration(_period) ?? sine.Period;
        if (interval > period / 4)
        {
            options.Errors.Add("--interval must be at most a quarter of --period.");
            (interval, period) = (sine.Interval, sine.Period);
        }

        return sine with
        {
            Mixture = mixture switch { "seasons" => SineMixture.Seasons, "regimes" => SineMixture.Regimes, _ => SineMixture.Sine },
            Interval = interval,
            Period = period,
            Noise = options.Number(_noise, 0, 10) ?? sine.Noise,
        };
    }

    protected override StreamSimulator Create(SimulationOptions simulation) => new SineSimulator((SineSimulationOptions)simulation);

    protected override TimeSpan Step(SimulationOptions simulation) => ((SineSimulationOptions)simulation).Interval;
}
