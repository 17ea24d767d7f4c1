using System.CommandLine;
using StreamLstm.Simulation;

namespace StreamLstm.Simulator;

/// <summary><c>load</c>: simulated households and feeders.</summary>
internal sealed class LoadCommand : Verb
{
    private readonly TimeProvider _clock;
    private readonly Option<string?> _streams = Named("--streams", "N", "Number of streams, three households to one feeder. Default 24.");
    private readonly Option<string?> _seed = Named("--seed", "S", "The same seed gives the same data. Default 1.");
    private readonly Option<string?> _interval = Named("--interval", "DURATION", "Time between the samples of a stream, up to 1d. Default 15m.");
    private readonly Option<string?> _start = Named("--start", "ISO|now", "Time of the first samples; now = the interval that is running. Default 2026-01-05T00:00:00Z, a Monday.");
    private readonly Option<string?> _duration = Named("--duration", "DURATION", "Simulated time to generate, such as 2d. Default: until interrupted; needed for an unpaced file.");
    private readonly Option<string?> _faults = Named("--faults", "FILE", "CSV with the faults to inject: stream,start,end,type[,size].");
    private readonly Option<string?> _faultRate = Named("--fault-rate", "R", "Mean number of random faults per stream and day. Default 0.");
    private readonly Option<string?> _labels = Named("--labels", "FILE", "Write the injected faults as CSV: stream,start,end,type.");

    public LoadCommand(TimeProvider clock)
        : base("load", "Simulated households and feeders: mean power in watts, with labelled faults.")
    {
        _clock = clock;
        foreach (Option<string?> option in new[] { _streams, _seed, _interval, _start, _duration, _faults, _faultRate, _labels })
        {
            Add(option);
        }
    }

    public override IReadOnlyList<string> Check(ParseResult parsed) => Read(parsed).Errors;

    protected override async Task<int> RunAsync(ParseResult parsed, CancellationToken stopping)
    {
        Settings settings = Read(parsed);
        var simulator = new LoadSimulator(settings.Simulation);
        return await Session.RunAsync(
            "load", settings.Delivery, settings.Frames is { } n ? n * (double)settings.Simulation.Streams : null, _clock,
            (session, token) => GenerateAsync(simulator, settings, session, token), stopping);
    }

    private static async Task GenerateAsync(LoadSimulator simulator, Settings settings, Session session, CancellationToken stopping)
    {
        using LabelFile? labels = settings.Labels is { } path ? new LabelFile(path) : null;
        var values = new double[simulator.StreamKeys.Count];
        while (simulator.FrameIndex < (settings.Frames ?? long.MaxValue))
        {
            long frame = simulator.FrameIndex;
            DateTimeOffset time = simulator.FrameTime(frame);
            simulator.Next(values);
            foreach (FaultLabel label in simulator.Faults(frame, frame + 1))
            {
                // Each fault once: when it begins, or if a given plan began it before the first frame.
                if (frame == 0 || label.Start == time)
                {
                    labels?.Add(label);
                    session.Faults++;
                }
            }

            labels?.Flush();
            for (int i = 0; i < values.Length; i++)
            {
                if (double.IsNaN(values[i]))
                {
                    session.Skipped++;
                }
                else
                {
                    await session.SendAsync(new Sample(simulator.StreamKeys[i], time, values[i]), stopping);
                }
            }
        }
    }

    private Settings Read(ParseResult parsed)
    {
        var options = new OptionReader(parsed);
        Delivery delivery = ReadDelivery(options, parsed.GetValue(Json));
        TimeSpan interval = options.Duration(_interval) ?? TimeSpan.FromMinutes(15);
        if (interval > TimeSpan.FromDays(1))
        {
            options.Errors.Add("--interval must not be longer than a day.");
            interval = TimeSpan.FromDays(1);
        }

        var simulation = new LoadSimulationOptions
        {
            Streams = (int)options.Whole(_streams, 24, 1, 1_000_000),
            Seed = options.Seed(_seed),
            Interval = interval,
            FaultsPerStreamDay = options.NotNegative(_faultRate) ?? 0,
        };
        if (options.Text(_start) == "now")
        {
            long now = _clock.GetUtcNow().UtcTicks;
            simulation = simulation with { Start = new DateTimeOffset(now - (now % interval.Ticks), TimeSpan.Zero) };
        }
        else if (options.Time(_start) is { } start)
        {
            if (start.Year is < 1900 or > 9900)
            {
                options.Errors.Add("--start must lie between the years 1900 and 9900.");
                start = simulation.Start;
            }

            simulation = simulation with { Start = start };
        }

        TimeSpan? duration = options.Duration(_duration);
        if (duration is null && delivery.Target is { IsStream: true } && !delivery.IsPaced)
        {
            options.Errors.Add("--duration is needed for a file or standard output, unless --speed or --rate paces it.");
        }

        if (duration > DateTimeOffset.MaxValue - simulation.Start)
        {
            options.Errors.Add("--duration goes beyond the year 9999.");
        }

        if (options.Text(_faults) is { } path)
        {
            if (options.Text(_faultRate) is not null)
            {
                options.Errors.Add("--faults and --fault-rate exclude each other.");
            }

            var keys = new LoadSimulator(simulation with { FaultsPerStreamDay = 0 }).StreamKeys.ToHashSet(StringComparer.Ordinal);
            simulation = simulation with { Faults = FaultFile.Read(path, keys, options.Errors) };
        }

        long? frames = duration is { } length ? (long)Math.Ceiling(length / interval) : null;
        return new Settings(simulation, delivery, frames, options.Text(_labels), options.Errors);
    }

    private sealed record Settings(
        LoadSimulationOptions Simulation, Delivery Delivery, long? Frames, string? Labels, IReadOnlyList<string> Errors);
}
