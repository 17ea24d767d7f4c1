using System.Globalization;

namespace StreamLstm.Simulation;

/// <summary>
/// Electric loads of households and feeders in one region, with labelled faults. A value is a pure function of
/// (options, stream, frame): any frame can be reached without stepping there, and a stream does not depend on how many
/// others there are. One instance serves one thread.
/// </summary>
public sealed class LoadSimulator
{
    private static readonly TimeSpan LongestSpan = TimeSpan.FromMinutes(30);

    private readonly LoadSimulationOptions _options;
    private readonly string[] _keys;
    private readonly LoadModel[] _models;
    private readonly FaultPlan[]? _plans;
    private readonly double[] _sigmas;
    private readonly Region _region;
    private readonly Moment[] _moments;
    private long _momentsFrame = long.MinValue;

    public LoadSimulator(LoadSimulationOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Streams, 1, nameof(options.Streams));
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(options.Interval, TimeSpan.Zero, nameof(options.Interval));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.Interval, TimeSpan.FromDays(1), nameof(options.Interval));
        if (!double.IsFinite(options.FaultsPerStreamDay) || options.FaultsPerStreamDay < 0)
        {
            throw new ArgumentOutOfRangeException(
                nameof(options), options.FaultsPerStreamDay, "The number of faults per stream and day must not be negative.");
        }

        _options = options;
        var random = new CounterRandom(options.Seed);
        _region = new Region(random.Branch(1));
        _moments = new Moment[(int)Math.Ceiling(options.Interval / LongestSpan)];
        _keys = new string[options.Streams];
        _models = new LoadModel[options.Streams];
        _sigmas = new double[options.Streams];
        for (int i = 0; i < options.Streams; i++)
        {
            bool feeder = i % 4 == 3;
            int number = feeder ? (i / 4) + 1 : i - (i / 4) + 1;
            _keys[i] = options.KeyPrefix + (feeder
                ? "feeder-" + number.ToString("D2", CultureInfo.InvariantCulture)
                : "house-" + number.ToString("D4", CultureInfo.InvariantCulture));
            CounterRandom own = random.Branch(2).Branch((ulong)i);
            _models[i] = feeder ? new Feeder(own) : new Household(own);
        }

        if (options.Faults is { } faults)
        {
            _plans = GivenPlans(faults);
        }
        else if (options.FaultsPerStreamDay > 0)
        {
            double framesPerDay = TimeSpan.FromDays(1) / options.Interval;
            long first = Math.Max(0, options.FaultsFrom is { } from ? FrameAtOrAfter(from) : 0);
            _plans = [.. Enumerable.Range(0, options.Streams).Select(i => new FaultPlan(
                random.Branch(3).Branch((ulong)i), options.FaultsPerStreamDay, framesPerDay, first))];
        }
    }

    public IReadOnlyList<string> StreamKeys => _keys;

    /// <summary>The frame that <see cref="Next"/> generates next.</summary>
    public long FrameIndex { get; private set; }

    /// <summary>Start of a frame; its mean power is known <see cref="LoadSimulationOptions.Interval"/> later.</summary>
    public DateTimeOffset FrameTime(long frame) => new(_options.Start.UtcTicks + (frame * _options.Interval.Ticks), TimeSpan.Zero);

    /// <summary>Goes to a frame, forwards or backwards; the values that follow are those of stepping there.</summary>
    public void SkipTo(long frame)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(frame);
        FrameIndex = frame;
    }

    /// <summary>Generates one frame and goes on to the next.</summary>
    /// <param name="values">[streams], output: mean power of the frame in W; NaN where no sample is sent.</param>
    public void Next(Span<double> values)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(values.Length, _keys.Length, nameof(values));
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = Value(i, FrameIndex);
        }

        FrameIndex++;
    }

    /// <summary>Mean power in W of a stream in a frame, faults included.</summary>
    public double Value(int stream, long frame)
    {
        double value = CleanValue(stream, frame);
        if (_plans is null)
        {
            return value;
        }

        foreach (PlannedFault fault in _plans[stream].Overlapping(frame, frame + 1))
        {
            value = fault.Type switch
            {
                FaultTypes.Spike or FaultTypes.LevelShift => value + (fault.Size * ResidualSigma(stream)),
                FaultTypes.Dip => value - (fault.Size * ResidualSigma(stream)),
                FaultTypes.Drift => value + (fault.Size * (frame - fault.First + 1) * ResidualSigma(stream)),
                FaultTypes.Stuck => LastBefore(stream, fault.First),
                FaultTypes.Scale => value * fault.Size,
                _ => double.NaN,
            };
        }

        return Quantise(value, _models[stream].Quantum);
    }

    /// <summary>Mean power in W as it would be without faults.</summary>
    public double CleanValue(int stream, long frame)
    {
        double sum = 0;
        ReadOnlySpan<Moment> moments = MomentsOf(frame);
        foreach (ref readonly Moment moment in moments)
        {
            sum += _models[stream].Watts(moment);
        }

        return Quantise(sum / moments.Length, _models[stream].Quantum);
    }

    /// <summary>Labels of the faults that touch frames from ≤ f &lt; to, ordered by start, then by stream.</summary>
    public IReadOnlyList<FaultLabel> Faults(long fromFrame, long toFrame)
    {
        if (_plans is null)
        {
            return [];
        }

        var labels = new List<FaultLabel>();
        for (int i = 0; i < _plans.Length; i++)
        {
            foreach (PlannedFault fault in _plans[i].Overlapping(fromFrame, toFrame))
            {
                labels.Add(new FaultLabel(_keys[i], FrameTime(fault.First), FrameTime(fault.End), fault.Type, fault.Size));
            }
        }

        // A stable sort keeps the order of streams among equal starts.
        return [.. labels.OrderBy(label => label.Start)];
    }

    /// <summary>
    /// Standard deviation in W of the stream's fault-free values around their own mean by hour and kind of day, over
    /// the first four weeks: the unit of fault sizes. At least one step of the meter's resolution.
    /// </summary>
    public double ResidualSigma(int stream)
    {
        if (_sigmas[stream] == 0)
        {
            _sigmas[stream] = Math.Max(_models[stream].Quantum, MeasureSigma(stream));
        }

        return _sigmas[stream];
    }

    private double MeasureSigma(int stream)
    {
        const int Days = 28, Cells = 48;
        long stride = Math.Max(1, TimeSpan.FromHours(1).Ticks / _options.Interval.Ticks);
        long frames = TimeSpan.FromDays(Days).Ticks / _options.Interval.Ticks;
        Span<double> count = stackalloc double[Cells], sum = stackalloc double[Cells], squares = stackalloc double[Cells];
        for (long frame = 0; frame < frames; frame += stride)
        {
            double value = CleanValue(stream, frame);
            Moment moment = MomentsOf(frame)[0];
            int cell = Math.Min(23, (int)moment.Hour) + (moment.FreeDay ? 24 : 0);
            count[cell]++;
            sum[cell] += value;
            squares[cell] += value * value;
        }

        double total = 0, freedom = 0;
        for (int cell = 0; cell < Cells; cell++)
        {
            if (count[cell] > 1)
            {
                total += squares[cell] - (sum[cell] * sum[cell] / count[cell]);
                freedom += count[cell] - 1;
            }
        }

        return freedom > 0 ? Math.Sqrt(Math.Max(0, total) / freedom) : 0;
    }

    /// <summary>The last value sent before a frame, or the true one where a given plan has a dropout there.</summary>
    private double LastBefore(int stream, long frame)
    {
        double value = Value(stream, frame - 1);
        return double.IsNaN(value) ? CleanValue(stream, frame - 1) : value;
    }

    private ReadOnlySpan<Moment> MomentsOf(long frame)
    {
        if (frame != _momentsFrame)
        {
            double seconds = _options.Interval.TotalSeconds / _moments.Length;
            double start = (FrameTime(frame) - DateTimeOffset.UnixEpoch).TotalSeconds;
            for (int i = 0; i < _moments.Length; i++)
            {
                _moments[i] = _region.At(start + (i * seconds), seconds);
            }

            _momentsFrame = frame;
        }

        return _moments;
    }

    private FaultPlan[] GivenPlans(IReadOnlyList<FaultLabel> faults)
    {
        var errors = new List<string>();
        Dictionary<string, int> index = _keys.Select((key, i) => (key, i)).ToDictionary(pair => pair.key, pair => pair.i);
        var planned = new List<PlannedFault>[_keys.Length];
        foreach (FaultLabel fault in faults)
        {
            if (!index.TryGetValue(fault.Stream, out int stream))
            {
                errors.Add($"there is no stream '{fault.Stream}'");
            }
            else if (!FaultTypes.All.Contains(fault.Type))
            {
                errors.Add($"'{fault.Type}' is not a fault type ({string.Join(", ", FaultTypes.All)})");
            }
            else if (fault.End <= fault.Start)
            {
                errors.Add(string.Create(CultureInfo.InvariantCulture, $"the {fault.Type} of {fault.Stream} at {fault.Start:O} ends before it starts"));
            }
            else if (!double.IsFinite(fault.Size))
            {
                errors.Add(string.Create(CultureInfo.InvariantCulture, $"the {fault.Type} of {fault.Stream} at {fault.Start:O} has no finite size"));
            }
            else
            {
                (planned[stream] ??= []).Add(new PlannedFault(
                    FrameAtOrAfter(fault.Start), FrameAtOrAfter(fault.End), fault.Type, fault.Size));
            }
        }

        if (errors.Count > 0)
        {
            throw new ArgumentException("The fault plan is not usable: " + string.Join("; ", errors) + ".", nameof(faults));
        }

        return [.. planned.Select(list => new FaultPlan(list ?? []))];
    }

    private long FrameAtOrAfter(DateTimeOffset time)
    {
        long ticks = time.UtcTicks - _options.Start.UtcTicks;
        long frame = ticks / _options.Interval.Ticks;
        return frame * _options.Interval.Ticks < ticks ? frame + 1 : frame;
    }

    /// <summary>Rounds to the meter's resolution; adding 0 turns −0 into 0.</summary>
    private static double Quantise(double watts, double quantum) => (Math.Round(watts / quantum) * quantum) + 0.0;
}
