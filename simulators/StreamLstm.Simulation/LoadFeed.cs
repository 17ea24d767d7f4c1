namespace StreamLstm.Simulation;

/// <summary>What meters and their communication do to the loads they measure.</summary>
public sealed record LoadFeedOptions
{
    /// <summary>Largest error of a meter's clock. Clocks drift at their own rates and are set every one to seven days. Default 0.</summary>
    public TimeSpan ClockError { get; init; }

    /// <summary>Readings are of a cumulative register in Wh instead of the mean power in W. Default false.</summary>
    public bool Register { get; init; }

    /// <summary>Mean number of times per stream and day that a register starts again from zero. Default 0.</summary>
    public double ResetsPerStreamDay { get; init; }

    /// <summary>
    /// Mean number of outages per day of each concentrator, which passes on the readings of 12 streams; up to 2, as they keep half a day of
    /// distance. Default 0.
    /// </summary>
    public double OutagesPerDay { get; init; }
}

/// <summary>A reading as it arrives.</summary>
/// <param name="Stream">Index of the stream.</param>
/// <param name="Time">By the meter's clock: start of the interval of a mean power, moment of a register.</param>
/// <param name="Value">W, or Wh of a register.</param>
public readonly record struct LoadReading(int Stream, DateTimeOffset Time, double Value);

/// <summary>
/// The readings of a <see cref="LoadSimulator"/> in the order in which they arrive, frame by frame. Registers count what the (faulty) meter
/// measures and not what is fed in; they roll over after 99,999.999 kWh. Of an outage either all readings are lost, which is labelled, or they come
/// in one burst when it ends, which isn't, as nothing is missing then.
/// </summary>
public sealed class LoadFeed
{
    /// <summary>A concentrator's readings are lost.</summary>
    public const string Outage = "outage";

    public const int StreamsPerConcentrator = 12;

    /// <summary>Capacity of a register.</summary>
    public const double RolloverWattHours = 1e8;

    private const string Delay = "delay";

    private static readonly FaultKind[] s_outages =
        [FaultKind.OfTime(Outage, TimeSpan.FromHours(0.5), TimeSpan.FromHours(6)), FaultKind.OfTime(Delay, TimeSpan.FromHours(0.5), TimeSpan.FromHours(6))];

    private readonly LoadSimulator _simulator;
    private readonly LoadFeedOptions _options;
    private readonly CounterRandom _clocks, _resets;
    private readonly FaultPlan[] _outages;
    private readonly List<LoadReading>[] _waiting;
    private readonly double[] _values, _registers;
    private readonly double _framesPerDay;

    /// <param name="simulator">Steps with the feed from its present frame on.</param>
    /// <param name="seed">Of clocks, resets and outages.</param>
    public LoadFeed(LoadSimulator simulator, LoadFeedOptions options, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(simulator);
        ArgumentNullException.ThrowIfNull(options);
        if (options.ClockError < TimeSpan.Zero || options.ResetsPerStreamDay is not (>= 0 and <= 100) || options.OutagesPerDay is not (>= 0 and <= 2))
        {
            throw new ArgumentOutOfRangeException(nameof(options), "The clock error must not be negative; at most 100 resets and 2 outages a day.");
        }

        (_simulator, _options) = (simulator, options);
        CounterRandom random = new CounterRandom(seed).Branch(4);
        (_clocks, _resets) = (random.Branch(1), random.Branch(2));
        _framesPerDay = TimeSpan.FromDays(1) / (simulator.FrameTime(1) - simulator.FrameTime(0));
        int streams = simulator.StreamKeys.Count, concentrators = (streams + StreamsPerConcentrator - 1) / StreamsPerConcentrator;
        _values = new double[streams];
        _registers = [.. Enumerable.Range(0, streams).Select(i => Math.Round(random.Branch(3).Uniform(i, 0, RolloverWattHours)))];
        _waiting = [.. Enumerable.Range(0, concentrators).Select(_ => new List<LoadReading>())];
        _outages = options.OutagesPerDay > 0
            ? [.. Enumerable.Range(0, concentrators).Select(c => new FaultPlan(
                random.Branch(5).Branch((ulong)c), s_outages, options.OutagesPerDay, _framesPerDay, TimeSpan.FromDays(0.5), 0))]
            : [];
    }

    /// <summary>Adds the readings that arrive with the simulator's next frame: first those of outages that have ended.</summary>
    public void Next(List<LoadReading> readings)
    {
        long frame = _simulator.FrameIndex;
        DateTimeOffset time = _simulator.FrameTime(frame);
        _simulator.Next(_values);
        for (int c = 0; c < _waiting.Length; c++)
        {
            PlannedFault? outage = _outages.Length == 0 ? null : _outages[c].Overlapping(frame, frame + 1).Cast<PlannedFault?>().FirstOrDefault();
            if (outage is null && _waiting[c].Count > 0)
            {
                readings.AddRange(_waiting[c]);
                _waiting[c].Clear();
            }

            int end = Math.Min(_values.Length, (c + 1) * StreamsPerConcentrator);
            for (int i = c * StreamsPerConcentrator; i < end; i++)
            {
                if (Read(i, frame) is { } value && outage?.Type != Outage)
                {
                    (outage is null ? readings : _waiting[c]).Add(new LoadReading(i, time + ClockError(i, frame), value));
                }
            }
        }
    }

    /// <summary>Labels of the simulator's faults and of lost outages that touch frames from ≤ f &lt; to, ordered by start.</summary>
    public IReadOnlyList<FaultLabel> Faults(long fromFrame, long toFrame)
    {
        var labels = new List<FaultLabel>(_simulator.Faults(fromFrame, toFrame));
        for (int c = 0; c < _outages.Length; c++)
        {
            foreach (PlannedFault outage in _outages[c].Overlapping(fromFrame, toFrame).Where(fault => fault.Type == Outage))
            {
                labels.AddRange(_simulator.StreamKeys.Skip(c * StreamsPerConcentrator).Take(StreamsPerConcentrator).Select(key =>
                    new FaultLabel(key, _simulator.FrameTime(outage.First), _simulator.FrameTime(outage.End), Outage, 0)));
            }
        }

        return [.. labels.OrderBy(label => label.Start)];
    }

    /// <summary>How far a meter's clock is ahead, to the millisecond.</summary>
    public TimeSpan ClockError(int stream, long frame)
    {
        CounterRandom clock = _clocks.Branch((ulong)stream);
        double sinceSet = ((frame / _framesPerDay / clock.Integer(0, 1, 7)) + clock.Uniform(1)) % 1;
        return TimeSpan.FromMilliseconds(Math.Round(_options.ClockError.TotalMilliseconds * clock.Uniform(2, -1, 1) * sinceSet));
    }

    /// <summary>What the meter shows in a frame; null where it shows nothing.</summary>
    private double? Read(int stream, long frame)
    {
        double watts = _values[stream];
        if (!_options.Register)
        {
            return double.IsNaN(watts) ? null : watts;
        }

        if (_resets.Branch((ulong)stream).Uniform(frame) < _options.ResetsPerStreamDay / _framesPerDay)
        {
            _registers[stream] = 0;
        }

        // The register at the frame's start; a drop-out is one of the communication, and the meter goes on counting.
        double register = _registers[stream];
        double counted = double.IsNaN(watts) ? _simulator.CleanValue(stream, frame) : watts;
        _registers[stream] = (register + (Math.Max(0, counted) * 24 / _framesPerDay)) % RolloverWattHours;
        return double.IsNaN(watts) ? null : Math.Floor(register);
    }
}
