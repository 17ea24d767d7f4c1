using System.Globalization;

namespace StreamLstm.Simulation;

/// <summary>
/// Classic mixtures with known parts, and sensor faults in units of the noise's standard deviation. A value is a pure function of
/// (options, stream, frame).
/// </summary>
public sealed class SineSimulator : StreamSimulator
{
    /// <summary>A visit to the second regime.</summary>
    public const string Regime = "regime";

    private const int SeasonRatio = 7;

    private static readonly FaultKind[] s_visits = [FaultKind.OfTime(Regime, TimeSpan.FromDays(1), TimeSpan.FromDays(4))];

    private readonly SineSimulationOptions _options;
    private readonly Parts[] _parts;
    private readonly FaultPlan[] _visits;
    private readonly double _framesPerPeriod;

    public SineSimulator(SineSimulationOptions options)
        : base(
            Checked(options), Keys(options), [""], new FrameGrid(options.Start, options.Interval), FaultTypes.Sensor, FaultTypes.Sensor,
            TimeSpan.FromDays(0.5), new CounterRandom(options.Seed).Branch(3), options.Period / options.Interval)
    {
        _options = options;
        _framesPerPeriod = options.Period / options.Interval;
        CounterRandom random = new CounterRandom(options.Seed).Branch(2);
        _parts = [.. Enumerable.Range(0, options.Streams).Select(i => new Parts(random.Branch((ulong)i)))];
        _visits = options.Mixture == SineMixture.Regimes
            ? [.. Enumerable.Range(0, options.Streams).Select(i => new FaultPlan(
                random.Branch((ulong)i).Branch(9), s_visits, 1.0 / SeasonRatio, _framesPerPeriod, TimeSpan.FromDays(1), (long)_framesPerPeriod))]
            : [];
    }

    /// <inheritdoc/>
    public override void Next(Span<double> values)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(values.Length, StreamKeys.Count, nameof(values));
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = Value(i, FrameIndex);
        }

        FrameIndex++;
    }

    public double Value(int stream, long frame)
    {
        double value = CleanValue(stream, frame);
        foreach (PlannedFault fault in Planned(stream, frame, frame + 1))
        {
            value = fault.Type == FaultTypes.Stuck
                ? CleanValue(stream, fault.First - 1)
                : FaultTypes.Apply(fault, value, frame, Sigma(stream));
        }

        return value;
    }

    /// <summary>The value without faults; visits to the second regime are part of it.</summary>
    public double CleanValue(int stream, long frame)
    {
        Parts parts = _parts[stream];
        double sigma = _options.Noise * parts.Amplitude;
        double periods = frame / _framesPerPeriod;
        double sine = parts.Amplitude * Math.Sin((2 * Math.PI * periods) + parts.Phase);
        switch (_options.Mixture)
        {
            case SineMixture.Seasons:
                double slow = parts.SlowAmplitude * Math.Sin((2 * Math.PI * periods / SeasonRatio) + parts.SlowPhase);
                return parts.Level + (parts.TrendPerPeriod * periods) + sine + slow + (sigma * parts.Noise.Normal(frame));
            case SineMixture.Regimes:
                bool second = _visits[stream].Overlapping(frame, frame + 1).Any();
                double noise = sigma * parts.Correlated.At(frame);
                return second ? parts.Level + (1.5 * parts.Amplitude) + (0.5 * sine) + (2 * noise) : parts.Level + sine + noise;
            default:
                return parts.Level + sine + (sigma * parts.Noise.Normal(frame));
        }
    }

    /// <summary>Standard deviation of the noise: the unit of fault sizes. A hundredth of the amplitude where there is none.</summary>
    public double Sigma(int stream) => _parts[stream].Amplitude * (_options.Noise > 0 ? _options.Noise : 0.01);

    private protected override IEnumerable<PlannedFault> Actual(int stream, long from, long to) =>
        _visits.Length == 0 ? base.Actual(stream, from, to) : base.Actual(stream, from, to).Concat(_visits[stream].Overlapping(from, to));

    private static SineSimulationOptions Checked(SineSimulationOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Streams, 1, nameof(options.Streams));
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(options.Interval, TimeSpan.Zero, nameof(options.Interval));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.Interval, options.Period / 4, nameof(options.Interval));
        if (options.Noise is not (>= 0 and <= 10))
        {
            throw new ArgumentOutOfRangeException(nameof(options), options.Noise, "The noise must be 0 to 10 amplitudes.");
        }

        return options;
    }

    private static string[] Keys(SineSimulationOptions options) =>
    [
        .. Enumerable.Range(1, options.Streams).Select(i =>
            options.KeyPrefix + options.Mixture.ToString().ToLowerInvariant() + "-" + i.ToString("D2", CultureInfo.InvariantCulture)),
    ];

    private sealed class Parts
    {
        public Parts(CounterRandom random)
        {
            CounterRandom traits = random.Branch(1);
            Level = traits.Uniform(0, 50, 150);
            Amplitude = traits.Uniform(1, 0.1, 0.4) * Level;
            SlowAmplitude = traits.Uniform(2, 0.3, 0.7) * Amplitude;
            Phase = traits.Uniform(3, 0, 2 * Math.PI);
            SlowPhase = traits.Uniform(4, 0, 2 * Math.PI);
            TrendPerPeriod = traits.Uniform(5, 0.005, 0.02) * Amplitude * (traits.Uniform(6) < 0.5 ? -1 : 1);
            Noise = random.Branch(2);
            Correlated = new CorrelatedNoise(random.Branch(3), 1, 0.8);
        }

        public double Level { get; }

        public double Amplitude { get; }

        public double SlowAmplitude { get; }

        public double Phase { get; }

        public double SlowPhase { get; }

        public double TrendPerPeriod { get; }

        public CounterRandom Noise { get; }

        public CorrelatedNoise Correlated { get; }
    }
}
