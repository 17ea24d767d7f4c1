using System.Globalization;

namespace StreamLstm.Simulation;

/// <summary>
/// Electric loads of households and feeders in one region, with labelled faults. A value is a pure function of
/// (options, stream, frame): any frame can be reached without stepping there, and a stream does not depend on how many
/// others there are. One instance serves one thread.
/// </summary>
public sealed class LoadSimulator : StreamSimulator
{
    private static readonly TimeSpan LongestSpan = TimeSpan.FromMinutes(30);

    private readonly LoadSimulationOptions _options;
    private readonly LoadModel[] _models;
    private readonly double[] _sigmas;
    private readonly Region _region;
    private readonly Moment[] _moments;
    private long _momentsFrame = long.MinValue;

    public LoadSimulator(LoadSimulationOptions options)
        : base(
            Checked(options), Keys(options), [""], new FrameGrid(options.Start, options.Interval), LoadFaults.All, FaultTypes.Sensor,
            TimeSpan.FromDays(0.5), new CounterRandom(options.Seed).Branch(3))
    {
        _options = options;
        var random = new CounterRandom(options.Seed);
        _region = new Region(random.Branch(1));
        _moments = new Moment[(int)Math.Ceiling(options.Interval / LongestSpan)];
        _models = new LoadModel[options.Streams];
        _sigmas = new double[options.Streams];
        for (int i = 0; i < options.Streams; i++)
        {
            CounterRandom own = random.Branch(2).Branch((ulong)i);
            _models[i] = IsFeeder(i) ? new Feeder(own) : new Household(own);
        }
    }

    /// <summary>Goes to a frame, forwards or backwards; the values that follow are those of stepping there.</summary>
    public void SkipTo(long frame)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(frame);
        FrameIndex = frame;
    }

    /// <summary>Generates one frame and goes on to the next.</summary>
    /// <param name="values">[streams], output: mean power of the frame in W; NaN where no sample is sent.</param>
    public override void Next(Span<double> values)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(values.Length, StreamKeys.Count, nameof(values));
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
        foreach (PlannedFault fault in Planned(stream, frame, frame + 1))
        {
            value = fault.Type switch
            {
                LoadFaults.CtRatio => value * fault.Size,
                LoadFaults.Theft => value > 0 ? value * (1 - fault.Size) : value,
                LoadFaults.SwappedPhases => value * ((1.5 * fault.Size) - 0.5),
                LoadFaults.Schedule => CleanValue(stream, frame + (long)Math.Round(TimeSpan.FromHours(fault.Size) / _options.Interval)),
                FaultTypes.Stuck => LastBefore(stream, fault.First),
                _ => FaultTypes.Apply(fault, value, frame, ResidualSigma(stream)),
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

    private static LoadSimulationOptions Checked(LoadSimulationOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Streams, 1, nameof(options.Streams));
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(options.Interval, TimeSpan.Zero, nameof(options.Interval));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.Interval, TimeSpan.FromDays(1), nameof(options.Interval));
        return options;
    }

    private static bool IsFeeder(int stream) => stream % 4 == 3;

    private static string[] Keys(LoadSimulationOptions options) =>
    [
        .. Enumerable.Range(0, options.Streams).Select(i => options.KeyPrefix + (IsFeeder(i)
            ? "feeder-" + ((i / 4) + 1).ToString("D2", CultureInfo.InvariantCulture)
            : "house-" + (i - (i / 4) + 1).ToString("D4", CultureInfo.InvariantCulture))),
    ];

    /// <summary>Rounds to the meter's resolution; adding 0 turns −0 into 0.</summary>
    private static double Quantise(double watts, double quantum) => (Math.Round(watts / quantum) * quantum) + 0.0;
}
