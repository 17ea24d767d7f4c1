using System.Globalization;

namespace StreamLstm.Simulation;

/// <summary>
/// Electroencephalograms in µV against a common reference, one person per stream: a background with power 1/f^χ, the alpha rhythm of the
/// back of the head, a weaker beta rhythm of the front, and labelled events. It has to be stepped from its start; a person does not depend on
/// how many others there are. The background is a sum of first-order processes an octave apart, whose Lorentzian spectra add up to a power law
/// (van der Ziel 1950); the rhythms are second-order resonances driven by noise, so they wax and wane.
/// </summary>
public sealed class EegSimulator : StreamSimulator
{
    private readonly Person[] _persons;

    public EegSimulator(EegSimulationOptions options)
        : base(
            Checked(options), Keys(options), options.Channels, new FrameGrid(options.Start, options.Rate), EegEvents.All, EegEvents.All,
            TimeSpan.FromSeconds(10), new CounterRandom(options.Seed).Branch(3))
    {
        CounterRandom random = new CounterRandom(options.Seed).Branch(2);
        _persons = [.. Enumerable.Range(0, options.Streams).Select(i => new Person(this, i, options, random.Branch((ulong)i)))];
    }

    /// <summary>Every electrode there is, of the 10–20 system.</summary>
    public static IReadOnlyList<string> Electrodes { get; } = ["Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2"];

    /// <inheritdoc/>
    public override void Next(Span<double> values)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(values.Length, StreamKeys.Count * Channels.Count, nameof(values));
        for (int i = 0; i < _persons.Length; i++)
        {
            _persons[i].Sample(FrameIndex, values.Slice(i * Channels.Count, Channels.Count));
        }

        FrameIndex++;
    }

    private static EegSimulationOptions Checked(EegSimulationOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        SignalFrames.Check(options, Electrodes);
        if (options.AlphaHz is not (null or (>= 7.5 and <= 12.5)) || options.Exponent is not (null or (>= 0.5 and <= 2)))
        {
            throw new ArgumentOutOfRangeException(nameof(options), "The alpha rhythm must have 7.5 to 12.5 Hz, the background's exponent must be .5 to 2.");
        }

        return options;
    }

    private static string[] Keys(EegSimulationOptions options) =>
        [.. Enumerable.Range(1, options.Streams).Select(i => options.KeyPrefix + "eeg-" + i.ToString("D2", CultureInfo.InvariantCulture))];

    /// <summary>One person's head, electrodes and amplifier.</summary>
    private sealed class Person
    {
        private const double BackgroundMicrovolts = 12, AlphaMicrovolts = 18, BetaMicrovolts = 4, StepsPerMicrovolt = 10;

        private readonly double _rate;
        private readonly CounterRandom _noise, _events;
        private readonly Place[] _places;
        private readonly PowerLawNoise _common;
        private readonly PowerLawNoise[] _own;
        private readonly Resonance _alpha, _beta;
        private readonly SignalFrames _frames;
        private double _alphaGain = 1, _activity = 1;

        public Person(EegSimulator simulator, int stream, EegSimulationOptions options, CounterRandom random)
        {
            _rate = options.Rate;
            (_noise, _events) = (random.Branch(2), random.Branch(3));
            CounterRandom traits = random.Branch(1);
            double exponent = options.Exponent ?? traits.Uniform(0, 0.9, 1.5);
            _places = [.. options.Channels.Select(Place.Of)];
            _common = new PowerLawNoise(random.Branch(4), _rate, exponent);
            _own = [.. options.Channels.Select((channel, _) => new PowerLawNoise(random.Branch(100 + (ulong)Electrodes.ToList().IndexOf(channel)), _rate, exponent))];
            _alpha = new Resonance(random.Branch(5), _rate, options.AlphaHz ?? traits.Uniform(1, 9, 11), 1);
            _beta = new Resonance(random.Branch(6), _rate, traits.Uniform(2, 17, 24), 4);
            _frames = new SignalFrames((from, to) => simulator.Planned(stream, from, to), (long)Math.Ceiling(_rate));
        }

        /// <param name="values">[channels], output in µV.</param>
        public void Sample(long frame, Span<double> values)
        {
            IReadOnlyList<PlannedFault> faults = _frames.At(frame);
            double alphaGain = 1, activity = 1, discharge = 0, blink = 0;
            foreach (PlannedFault fault in faults)
            {
                double seconds = (frame - fault.First) / _rate;
                switch (fault.Type)
                {
                    case EegEvents.AlphaBlock:
                        alphaGain = 1 - fault.Size;
                        break;
                    case EegEvents.Blink:
                        // The lid closes, opens more slowly, and the amplifier's high pass swings back.
                        blink += fault.Size * (Bump(seconds, 0.16, 0.05) - (0.15 * Bump(seconds, 0.4, 0.08)));
                        break;
                    case EegEvents.SpikeWave:
                        discharge += fault.Size * Discharge(seconds, (fault.End - fault.First) / _rate);
                        break;
                    case EegEvents.BurstSuppression:
                        activity = IsBurst(fault, frame) ? 1.8 : 0.06;
                        break;
                    default:
                        break;
                }
            }

            // Rhythms and suppression come and go within a few tenths of a second.
            _alphaGain += (alphaGain - _alphaGain) * Math.Min(1, 4 / _rate);
            _activity += (activity - _activity) * Math.Min(1, 20 / _rate);
            double common = _common.Next(frame), alpha = _alphaGain * AlphaMicrovolts * _alpha.Next(frame), beta = BetaMicrovolts * _beta.Next(frame);
            for (int channel = 0; channel < values.Length; channel++)
            {
                ref readonly Place place = ref _places[channel];
                double brain = (BackgroundMicrovolts * Math.Sqrt(0.5) * (common + _own[channel].Next(frame))) + (place.Alpha * alpha) + (place.Beta * beta);
                double value = (_activity * brain) + (place.Discharge * discharge) + (place.Blink * blink)
                    + (0.3 * _noise.Normal((frame * values.Length) + channel));
                foreach (PlannedFault fault in faults)
                {
                    if (fault.Type == EegEvents.ElectrodePop && _events.Branch((ulong)fault.First).Integer(0, 0, values.Length - 1) == channel)
                    {
                        value += fault.Size * Math.Exp(-(frame - fault.First) / _rate / 0.4);
                    }
                }

                values[channel] = (Math.Round(value * StepsPerMicrovolt) / StepsPerMicrovolt) + 0.0;
            }
        }

        private static double Bump(double t, double centre, double width) => Math.Exp(-(t - centre) * (t - centre) / (2 * width * width));

        /// <summary>A sharp spike and a slow wave per turn; a little slower towards the end.</summary>
        private static double Discharge(double seconds, double length)
        {
            double turns = (3.3 * seconds) - (0.3 * seconds * seconds / length);
            double phase = turns - Math.Floor(turns);
            double fade = Math.Min(1, Math.Min(seconds, length - seconds) / 0.3);
            return fade * ((0.7 * Bump(phase, 0.12, 0.035)) - Math.Pow(Math.Sin(Math.PI * Math.Clamp((phase - 0.25) / 0.75, 0, 1)), 2));
        }

        /// <summary>It begins suppressed; stretches of 2 to 8 s alternate with bursts of .5 to 3 s.</summary>
        private bool IsBurst(in PlannedFault fault, long frame)
        {
            CounterRandom random = _events.Branch((ulong)fault.First);
            double left = (frame - fault.First) / _rate;
            for (long i = 0; ; i++)
            {
                left -= random.Uniform(2 * i, 2, 8);
                if (left < 0)
                {
                    return false;
                }

                left -= random.Uniform((2 * i) + 1, 0.5, 3);
                if (left < 0)
                {
                    return true;
                }
            }
        }

        /// <summary>How strongly an electrode sees each source.</summary>
        private readonly record struct Place(double Alpha, double Beta, double Discharge, double Blink)
        {
            public static Place Of(string electrode) => electrode[..^1] switch
            {
                "Fp" => new Place(0.2, 1, 1, 1),
                "F" => new Place(0.3, 1, 1, 0.4),
                "C" => new Place(0.45, 0.7, 0.8, 0.12),
                "P" => new Place(0.8, 0.4, 0.65, 0.04),
                _ => new Place(1, 0.3, 0.5, 0.02),
            };
        }
    }

    /// <summary>Noise of variance 1 with power 1/f^χ between .1 Hz and the Nyquist frequency; frames in order.</summary>
    private sealed class PowerLawNoise
    {
        private readonly CounterRandom _random;
        private readonly double[] _keep, _drive, _values;

        public PowerLawNoise(CounterRandom random, double rate, double exponent)
        {
            _random = random;
            int octaves = (int)Math.Ceiling(Math.Log2(rate / 2 / 0.1)) + 1;
            (_keep, _drive, _values) = (new double[octaves], new double[octaves], new double[octaves]);

            // Each corner frequency's variance falls by f^(1−χ), as does the power law's within an octave.
            double total = Enumerable.Range(0, octaves).Sum(i => Math.Pow(2, i * (1 - exponent)));
            for (int i = 0; i < octaves; i++)
            {
                _keep[i] = Math.Exp(-2 * Math.PI * 0.1 * Math.Pow(2, i) / rate);
                double deviation = Math.Sqrt(Math.Pow(2, i * (1 - exponent)) / total);
                _drive[i] = deviation * Math.Sqrt(1 - (_keep[i] * _keep[i]));
                _values[i] = deviation * random.Normal(-1 - i);
            }
        }

        public double Next(long frame)
        {
            double sum = 0;
            for (int i = 0; i < _values.Length; i++)
            {
                _values[i] = (_keep[i] * _values[i]) + (_drive[i] * _random.Normal((frame * _values.Length) + i));
                sum += _values[i];
            }

            return sum;
        }
    }

    /// <summary>A second-order autoregressive process of variance 1 around a frequency; frames in order.</summary>
    private sealed class Resonance
    {
        private readonly CounterRandom _random;
        private readonly double _first, _second, _drive;
        private double _last, _before;

        /// <param name="widthHz">Full width at half the power.</param>
        public Resonance(CounterRandom random, double rate, double hertz, double widthHz)
        {
            _random = random;
            double radius = Math.Exp(-Math.PI * widthHz / rate);
            (_first, _second) = (2 * radius * Math.Cos(2 * Math.PI * hertz / rate), -radius * radius);
            _drive = Math.Sqrt((1 + _second) * (((1 - _second) * (1 - _second)) - (_first * _first)) / (1 - _second));
        }

        public double Next(long frame)
        {
            double value = (_first * _last) + (_second * _before) + (_drive * _random.Normal(frame));
            (_before, _last) = (_last, value);
            return value;
        }
    }
}
