using System.CommandLine;
using StreamLstm.Core.Signals;
using StreamLstm.Simulation;

namespace StreamLstm.Simulator;

/// <summary>What <c>ecg</c> and <c>eeg</c> share.</summary>
internal abstract class SignalCommand : GeneratorCommand
{
    private const double PacketsPerSecond = 10;

    private readonly Option<string?> _channels;
    private readonly Option<string?> _hertz;
    private readonly Option<string?> _mains = Named("--mains", "50|60", "Frequency of the mains in Hz. Default 50.");
    private readonly IReadOnlyList<string> _known;

    protected SignalCommand(
        string name, string description, SignalSimulationOptions defaults, string channelOption, IReadOnlyList<string> known,
        IReadOnlyList<FaultKind> kinds, TimeProvider clock)
        : base(name, description + " Research and simulation only, not a medical device.", defaults, ", one person each", ("hour", 24), kinds, clock)
    {
        _known = known;
        _channels = Named(channelOption, "LIST", $"Channels of a sample, out of {string.Join(',', known)}. Default {string.Join(',', defaults.Channels)}.");
        _hertz = Named("--hz", "N", FormattableString.Invariant($"Samples per second, 100 to 2000. Default {defaults.Rate}."));
        Add(_channels);
        Add(_hertz);
        Add(_mains);
    }

    protected override SimulationOptions ReadOwn(OptionReader options, SimulationOptions common)
    {
        var signal = (SignalSimulationOptions)common;
        signal = signal with { Rate = options.Number(_hertz, 100, 2000) ?? signal.Rate };
        if (options.Text(_mains) is { } mains)
        {
            if (mains is not ("50" or "60"))
            {
                options.Errors.Add($"--mains '{mains}' is not 50 or 60.");
            }

            signal = signal with { MainsHz = mains == "60" ? 60 : 50 };
        }

        // Half the rate carries no information: hum there would be nothing or a constant.
        if (signal.MainsHz >= signal.Rate / 2)
        {
            options.Errors.Add(FormattableString.Invariant($"--hz {signal.Rate} must be above twice the mains' {signal.MainsHz} Hz."));
            signal = signal with { Rate = 360 };
        }

        if (options.Text(_channels) is { } list)
        {
            string[] channels = list.Split(',', StringSplitOptions.TrimEntries);
            if (channels.Except(_known).Any() || channels.Distinct().Count() != channels.Length)
            {
                options.Errors.Add($"{_channels.Name} '{list}' are not different ones out of {string.Join(',', _known)}.");
            }
            else
            {
                signal = signal with { Channels = channels };
            }
        }

        return signal;
    }

    protected override TimeSpan Step(SimulationOptions simulation) => TimeSpan.FromSeconds(1);

    /// <summary>As devices do: a tenth of a second at a time.</summary>
    protected override int PacketFrames(SimulationOptions simulation) => (int)Math.Ceiling(((SignalSimulationOptions)simulation).Rate / PacketsPerSecond);

    protected override Task<int> RunAsync(ParseResult parsed, CancellationToken stopping)
    {
        Console.Error.WriteLine(SignalCaveat.Text);
        return base.RunAsync(parsed, stopping);
    }
}
