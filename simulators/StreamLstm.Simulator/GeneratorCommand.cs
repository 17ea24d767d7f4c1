using System.CommandLine;
using StreamLstm.Simulation;

namespace StreamLstm.Simulator;

/// <summary>What the generating verbs share: streams, seed, time, faults and labels.</summary>
internal abstract class GeneratorCommand : Verb
{
    private readonly Option<string?> _streams;
    private readonly Option<string?> _seed = Named("--seed", "S", "The same seed gives the same data. Default 1.");
    private readonly Option<string?> _start = Named("--start", "ISO|now", "Time of the first samples; now = the interval or second that is running. Default 2026-01-05T00:00:00Z, a Monday.");
    private readonly Option<string?> _duration = Named("--duration", "DURATION", "Simulated time to generate, such as 2d. Default: until interrupted; needed for an unpaced file.");
    private readonly Option<string?> _faults = Named("--faults", "FILE", "CSV with the faults to inject: stream,start,end,type[,size].");
    private readonly Option<string?> _faultRate;
    private readonly Option<string?> _faultTypes;
    private readonly Option<string?> _labels = Named("--labels", "FILE", "Write the injected faults as CSV: stream,start,end,type.");
    private readonly SimulationOptions _defaults;
    private readonly (string Unit, double PerDay) _rateUnit;

    /// <param name="rateUnit">What --fault-rate counts by, and how many of them a day has.</param>
    protected GeneratorCommand(
        string name, string description, SimulationOptions defaults, string streams, (string Unit, double PerDay) rateUnit,
        IReadOnlyList<FaultKind> kinds, TimeProvider clock)
        : base(name, description)
    {
        (_defaults, _rateUnit, Clock) = (defaults, rateUnit, clock);
        _streams = Named("--streams", "N", $"Number of streams{streams}. Default {defaults.Streams}.");
        _faultRate = Named("--fault-rate", "R", $"Mean number of random faults per stream and {rateUnit.Unit}. Default 0.");
        _faultTypes = Named("--fault-types", "LIST", $"Types of random faults, with commas. Default all: {string.Join(',', kinds.Select(kind => kind.Type))}.");
        foreach (Option<string?> option in new[] { _streams, _seed, _start, _duration, _faults, _faultRate, _faultTypes, _labels })
        {
            Add(option);
        }
    }

    public override IReadOnlyList<string> Check(ParseResult parsed) => Read(parsed).Errors;

    protected TimeProvider Clock { get; }

    /// <summary>Adds what is peculiar to the verb. Values must be usable even where an error was found.</summary>
    protected abstract SimulationOptions ReadOwn(OptionReader options, SimulationOptions common);

    protected abstract StreamSimulator Create(SimulationOptions simulation);

    /// <summary>What "now" is rounded down to.</summary>
    protected abstract TimeSpan Step(SimulationOptions simulation);

    /// <summary>Frames that are generated and sent together.</summary>
    protected virtual int PacketFrames(SimulationOptions simulation) => 1;

    /// <summary>Called before the first frame.</summary>
    protected virtual void Begin(ParseResult parsed, StreamSimulator simulator, SimulationOptions simulation)
    {
    }

    /// <summary>Called after the last frame, or the interruption.</summary>
    protected virtual void End()
    {
    }

    /// <summary>Adds the samples of the simulator's next frames, as they arrive.</summary>
    protected virtual void Generate(StreamSimulator simulator, int frames, List<Sample> samples)
    {
        int channels = simulator.Channels.Count;
        var values = new double[simulator.StreamKeys.Count * channels];
        for (; frames > 0; frames--)
        {
            DateTimeOffset time = simulator.FrameTime(simulator.FrameIndex);
            simulator.Next(values);
            for (int i = 0; i < simulator.StreamKeys.Count; i++)
            {
                if (channels > 1)
                {
                    samples.Add(new Sample(simulator.StreamKeys[i], time, double.NaN, values[(i * channels)..((i + 1) * channels)]));
                }
                else if (!double.IsNaN(values[i]))
                {
                    samples.Add(new Sample(simulator.StreamKeys[i], time, values[i]));
                }
            }
        }
    }

    /// <summary>Labels of what touches frames from ≤ f &lt; to, once they have been generated.</summary>
    protected virtual IReadOnlyList<FaultLabel> Faults(StreamSimulator simulator, long from, long to) => simulator.Faults(from, to);

    protected override async Task<int> RunAsync(ParseResult parsed, CancellationToken stopping)
    {
        Settings settings = Read(parsed);
        StreamSimulator simulator = Create(settings.Simulation);
        return await Session.RunAsync(
            Name, settings.Delivery, settings.Frames is { } n ? n * (double)settings.Simulation.Streams : null, Clock,
            (session, token) => GenerateAsync(parsed, simulator, settings, session, token), stopping);
    }

    private async Task GenerateAsync(ParseResult parsed, StreamSimulator simulator, Settings settings, Session session, CancellationToken stopping)
    {
        using LabelFile? labels = settings.Labels is { } path ? new LabelFile(path) : null;
        int packet = PacketFrames(settings.Simulation);
        long frames = settings.Frames ?? long.MaxValue;
        var samples = new List<Sample>();
        session.Packet = packet == 1 ? TimeSpan.Zero : simulator.FrameTime(packet) - simulator.FrameTime(0);
        try
        {
            Begin(parsed, simulator, settings.Simulation);
            while (simulator.FrameIndex < frames)
            {
                long frame = simulator.FrameIndex;
                int count = (int)Math.Min(packet, frames - frame);
                samples.Clear();
                Generate(simulator, count, samples);
                session.Skipped += ((long)count * simulator.StreamKeys.Count) - samples.Count;
                DateTimeOffset time = simulator.FrameTime(frame);
                foreach (FaultLabel label in Faults(simulator, frame, frame + count))
                {
                    // Each fault once: when it begins, or if a given plan began it before the first frame.
                    if (frame == 0 || label.Start >= time)
                    {
                        labels?.Add(label);
                        session.Faults++;
                    }
                }

                labels?.Flush();
                foreach (Sample sample in samples)
                {
                    await session.SendAsync(sample, stopping);
                }
            }
        }
        finally
        {
            End();
        }
    }

    private Settings Read(ParseResult parsed)
    {
        var options = new OptionReader(parsed);
        Delivery delivery = ReadDelivery(options, parsed.GetValue(Json));
        SimulationOptions simulation = ReadOwn(options, _defaults with
        {
            Streams = (int)options.Whole(_streams, _defaults.Streams, 1, 1_000_000),
            Seed = options.Seed(_seed),
        });

        // Times and kinds of faults don't depend on the number of streams.
        StreamSimulator plain = Create(simulation with { Streams = 1 });
        string[] known = [.. plain.FaultKinds.Select(kind => kind.Type)];
        string[] types = known;
        if (options.Text(_faultTypes) is { } list)
        {
            types = list.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
            foreach (string type in types.Except(known))
            {
                options.Errors.Add($"--fault-types: '{type}' is not one of {string.Join(", ", known)}.");
            }

            types = types.Intersect(known).ToArray() is { Length: > 0 } usable ? usable : known;
        }

        simulation = simulation with { FaultsPerStreamDay = (options.NotNegative(_faultRate) ?? 0) * _rateUnit.PerDay, FaultTypes = types };
        if (options.Text(_start) == "now")
        {
            long now = Clock.GetUtcNow().UtcTicks;
            simulation = simulation with { Start = new DateTimeOffset(now - (now % Step(simulation).Ticks), TimeSpan.Zero) };
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
            duration = null;
        }

        if (options.Text(_faults) is { } path)
        {
            if (options.Text(_faultRate) is not null)
            {
                options.Errors.Add("--faults and --fault-rate exclude each other.");
            }

            HashSet<string> keys = Create(simulation with { FaultsPerStreamDay = 0 }).StreamKeys.ToHashSet(StringComparer.Ordinal);
            simulation = simulation with { Faults = FaultFile.Read(path, keys, plain.FaultKinds, options.Errors) };
        }

        long? frames = duration is { } length ? plain.FrameAtOrAfter(plain.FrameTime(0) + length) : null;
        return new Settings(simulation, delivery, frames, options.Text(_labels), options.Errors);
    }

    private sealed record Settings(
        SimulationOptions Simulation, Delivery Delivery, long? Frames, string? Labels, IReadOnlyList<string> Errors);
}
