using System.Globalization;

namespace StreamLstm.Simulation;

/// <summary>
/// Electrocardiograms in mV after <see cref="HeartModel"/>, one person per stream, with labelled events. It has to be stepped from its
/// start; a person does not depend on how many others there are. Events of the rhythm begin and end at beats, so their labels are
/// known once they have been generated.
/// </summary>
public sealed class EcgSimulator : StreamSimulator
{
    private readonly Person[] _persons;

    public EcgSimulator(EcgSimulationOptions options)
        : base(
            Checked(options), Keys(options), options.Channels, new FrameGrid(options.Start, options.Rate), EcgEvents.All, EcgEvents.All,
            TimeSpan.FromSeconds(15), new CounterRandom(options.Seed).Branch(3))
    {
        CounterRandom random = new CounterRandom(options.Seed).Branch(2);
        _persons = [.. Enumerable.Range(0, options.Streams).Select(i => new Person(this, i, options, random.Branch((ulong)i)))];
    }

    /// <summary>Every lead there is.</summary>
    public static IReadOnlyList<string> Leads { get; } = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];

    /// <summary>Called with every beat at its R peak.</summary>
    public Action<EcgBeat>? BeatGenerated { get; set; }

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

    private protected override IEnumerable<PlannedFault> Actual(int stream, long from, long to) =>
        base.Actual(stream, from, to).Where(fault => !Person.IsRhythm(fault.Type))
            .Concat(_persons[stream].Rhythm.Where(fault => fault.First < to && fault.End > from));

    private static EcgSimulationOptions Checked(EcgSimulationOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        SignalFrames.Check(options, Leads);
        if (options.HeartRate is not (null or (>= 30 and <= 180)) || options.IntervalDeviation is not (null or (>= 0 and <= 0.1)) || options.LfHfRatio is not (null or (> 0 and <= 100)))
        {
            throw new ArgumentOutOfRangeException(nameof(options), "The heart rate must be 30 to 180, its intervals' deviation 0 to .1 s, the ratio of powers above 0 and at most 100.");
        }

        return options;
    }

    private static string[] Keys(EcgSimulationOptions options) =>
        [.. Enumerable.Range(1, options.Streams).Select(i => options.KeyPrefix + "ecg-" + i.ToString("D2", CultureInfo.InvariantCulture))];

    /// <summary>One person's heart, electrodes and amplifier.</summary>
    private sealed class Person
    {
        private const double NoiseMillivolts = 0.008, StepsPerMillivolt = 200, RailMillivolts = 5;
        private const double LabelBefore = 0.12, LabelAfter = 0.48;

        private readonly EcgSimulator _simulator;
        private readonly int _stream, _substeps;
        private readonly CounterRandom _beats, _noise, _artefacts;
        private readonly string[] _channels, _independent;
        private readonly HeartModel _heart;
        private readonly SinusRhythm _sinus;
        private readonly SignalFrames _frames;
        private readonly double _rate, _mains, _fibrillationHz;
        private readonly double[] _clean;
        private readonly Dictionary<string, PlannedFault> _episodes = [];
        private double _time, _usual, _fibrillation, _pauseTo;
        private long _beat, _examined = -1;
        private BeatKind _kind, _coming;

        public Person(EcgSimulator simulator, int stream, EcgSimulationOptions options, CounterRandom random)
        {
            (_simulator, _stream, _rate, _mains) = (simulator, stream, options.Rate, options.MainsHz);
            (_beats, _noise, _artefacts) = (random.Branch(2), random.Branch(3), random.Branch(4));
            CounterRandom traits = random.Branch(1);
            _usual = 60 / (options.HeartRate ?? traits.Uniform(0, 55, 85));
            _sinus = new SinusRhythm(
                random.Branch(5), _usual, options.IntervalDeviation ?? traits.Uniform(1, 0.025, 0.06), options.LfHfRatio ?? 0.5 * Math.Pow(6, traits.Uniform(2)));
            _fibrillationHz = traits.Uniform(3, 5, 7);
            _channels = [.. options.Channels];
            _independent = [.. HeartModel.Independent.Where(lead => _channels.Contains(lead) || (lead is "I" or "II" && _channels.Any(IsLimb)))];
            _heart = new HeartModel(_independent, 0.25, traits.Uniform(4, 0.01, 0.05));
            _clean = new double[_independent.Length];
            _substeps = Math.Max(1, (int)Math.Ceiling(500 / options.Rate));
            _frames = new SignalFrames((from, to) => simulator.Planned(stream, from, to), (long)Math.Ceiling(options.Rate));

            // Somewhere in the first interval.
            _heart.Begin(_usual, _usual, BeatKind.Normal, BeatKind.Normal);
            Advance(traits.Uniform(5, 0.05, 0.95) * _usual);
            _time = 0;
        }

        /// <summary>The events of the rhythm as they came about, on frames.</summary>
        public List<PlannedFault> Rhythm { get; } = [];

        public static bool IsRhythm(string type) => type is EcgEvents.Pvc or EcgEvents.Apc or EcgEvents.AtrialFibrillation
            or EcgEvents.Bradycardia or EcgEvents.Tachycardia or EcgEvents.Asystole;

        /// <param name="values">[channels], output in mV.</param>
        public void Sample(long frame, Span<double> values)
        {
            if (frame > 0)
            {
                for (int i = 0; i < _substeps; i++)
                {
                    Advance(1 / (_rate * _substeps));
                }
            }

            // Fibrillation waves come and go within a second.
            double wanted = _kind == BeatKind.Fibrillating ? 1 : 0;
            _fibrillation += (wanted - _fibrillation) * Math.Min(1, 4 / _rate);
            double wave = _fibrillation * Fibrillation(_time);
            _heart.Leads.CopyTo(_clean);
            for (int i = 0; i < _clean.Length; i++)
            {
                _clean[i] += wave * (_independent[i] == "V1" ? 1.5 : _independent[i] is "II" or "V2" ? 1 : 0.5);
            }

            IReadOnlyList<PlannedFault> faults = _frames.At(frame);
            for (int channel = 0; channel < values.Length; channel++)
            {
                double value = Lead(_channels[channel]) + (NoiseMillivolts * _noise.Normal((frame * values.Length) + channel));
                foreach (PlannedFault fault in faults)
                {
                    value = Disturbed(value, fault, frame, channel, values.Length);
                }

                values[channel] = (Math.Round(Math.Clamp(value, -RailMillivolts, RailMillivolts) * StepsPerMillivolt) / StepsPerMillivolt) + 0.0;
            }
        }

        private static bool IsLimb(string lead) => lead is "III" or "aVR" or "aVL" or "aVF";

        /// <summary>Einthoven's and Goldberger's leads from I and II.</summary>
        private double Lead(string name) => name switch
        {
            "III" => Of("II") - Of("I"),
            "aVR" => -(Of("I") + Of("II")) / 2,
            "aVL" => Of("I") - (Of("II") / 2),
            "aVF" => Of("II") - (Of("I") / 2),
            _ => Of(name),
        };

        private double Of(string lead) => _clean[Array.IndexOf(_independent, lead)];

        private double Disturbed(double value, in PlannedFault fault, long frame, int channel, int channels)
        {
            CounterRandom random = _artefacts.Branch((ulong)fault.First);
            double seconds = (frame - fault.First) / _rate;
            double share = (frame - fault.First + 0.5) / (fault.End - fault.First);

            // In and out within a tenth of its time.
            double fade = Math.Min(1, 10 * Math.Min(share, 1 - share));
            double gain = random.Uniform(2 + channel, 0.5, 1);
            switch (fault.Type)
            {
                case EcgEvents.LeadOff:
                    return random.Integer(0, 0, channels - 1) == channel ? Math.CopySign(RailMillivolts, fault.Size) : value;
                case EcgEvents.BaselineWander:
                    return value + (fade * gain * fault.Size * Math.Sin(2 * Math.PI * random.Uniform(0, 0.15, 0.3) * seconds));
                case EcgEvents.MainsHum:
                    return value + (fade * gain * fault.Size * Math.Sin((2 * Math.PI * _mains * seconds) + random.Uniform(0, 0, 6)));
                case EcgEvents.Motion:
                    double sum = 0;
                    for (int i = 0; i < 8; i++)
                    {
                        long draw = 100 + (((channel * 8) + i) * 2);
                        sum += Math.Cos((2 * Math.PI * random.Uniform(draw, 1, 8) * seconds) + random.Uniform(draw + 1, 0, 2 * Math.PI));
                    }

                    return value + (fade * fault.Size * sum / 2);
                default:
                    return value;
            }
        }

        /// <summary>Sawtooth-like waves of changing rate and height.</summary>
        private double Fibrillation(double seconds)
        {
            if (_fibrillation < 0.001)
            {
                return 0;
            }

            double phase = (2 * Math.PI * _fibrillationHz * seconds) + (1.5 * Math.Sin(2 * Math.PI * 0.23 * seconds));
            double height = 0.05 * (1 + (0.3 * Math.Sin(2 * Math.PI * 0.37 * seconds)));
            return height * (Math.Sin(phase) + (0.4 * Math.Sin(2 * phase)));
        }

        private void Advance(double seconds)
        {
            while (seconds > 0)
            {
                double toBeat = _heart.ToNextBeat;
                double h = Math.Min(seconds, toBeat);
                _heart.Step(h);
                _time += h;
                seconds -= h;
                if (h >= toBeat)
                {
                    Beat();
                }
            }
        }

        /// <summary>An R peak is reached: decides when and how the next one comes.</summary>
        private void Beat()
        {
            _kind = _coming;
            _simulator.BeatGenerated?.Invoke(new EcgBeat(
                _simulator.StreamKeys[_stream], _simulator.FrameTime(0).AddSeconds(_time), _kind switch { BeatKind.Ventricular => 'V', BeatKind.Atrial => 'A', _ => 'N' }));
            long now = FrameAt(_time), since = _examined;
            _examined = now;
            double interval = _sinus.Interval(_time), usual = _sinus.Mean;
            double chance = _beats.Normal(3 * _beat), early = _beats.Uniform((3 * _beat) + 1, 0.58, 0.72);
            _beat++;
            BeatKind next = BeatKind.Normal;
            PlannedFault? ectopic = null, pause = null;
            foreach (PlannedFault fault in _simulator.Planned(_stream, since, now + 1))
            {
                switch (fault.Type)
                {
                    case EcgEvents.Pvc or EcgEvents.Apc when fault.First > since && fault.First <= now:
                        ectopic = fault;
                        break;
                    case EcgEvents.Asystole when fault.First > since && fault.First <= now:
                        pause = fault;
                        break;
                    case EcgEvents.AtrialFibrillation when IsNow(fault, now):
                        usual = 60 / fault.Size;
                        interval = Math.Max(0.32, usual * (1 + (0.22 * chance)));
                        next = BeatKind.Fibrillating;
                        Episode(fault, now);
                        break;
                    case EcgEvents.Bradycardia or EcgEvents.Tachycardia when IsNow(fault, now):
                        interval *= 60 / fault.Size / usual;
                        usual = 60 / fault.Size;
                        Episode(fault, now);
                        break;
                    default:
                        break;
                }
            }

            if (_kind == BeatKind.Ventricular)
            {
                // The sinus node went on in its own time; its beat in between found the ventricles unable to answer.
                interval = Math.Max(interval, _pauseTo - _time);
            }

            if (ectopic is { } premature)
            {
                _pauseTo = _time + (2 * interval);
                interval *= early;
                next = premature.Type == EcgEvents.Pvc ? BeatKind.Ventricular : BeatKind.Atrial;
                Rhythm.Add(premature with { First = FrameAt(_time + interval - LabelBefore), End = FrameAt(_time + interval + LabelAfter) });
            }
            else if (pause is { } asystole)
            {
                interval += (asystole.End - asystole.First) / _rate;
                Rhythm.Add(asystole with { First = now, End = FrameAt(_time + interval) });
            }

            // T waves adapt to a new rate over some beats.
            _usual += 0.3 * (usual - _usual);
            _coming = next;
            _heart.Begin(interval, Math.Min(_usual, interval * 1.3), _kind, next);
        }

        private static bool IsNow(in PlannedFault fault, long frame) => fault.First <= frame && fault.End > frame;

        /// <summary>Labels an episode from the beat that it begins with.</summary>
        private void Episode(in PlannedFault fault, long now)
        {
            if (!_episodes.TryGetValue(fault.Type, out PlannedFault known) || known != fault)
            {
                _episodes[fault.Type] = fault;
                Rhythm.Add(fault with { First = now });
            }
        }

        private long FrameAt(double seconds) => (long)Math.Ceiling(seconds * _rate);
    }
}
