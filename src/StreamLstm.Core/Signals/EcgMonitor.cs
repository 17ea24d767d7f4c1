using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Signals;

/// <summary>
/// Scores an electrocardiogram beat by beat, unsupervised and in one pass: R peaks are found online (<see cref="QrsDetector"/>); each
/// beat is compared by correlation with the stream's usual form, the most frequent of a few that it has shown; and with its rhythm, by how
/// much earlier it came than the last dozen timely intervals suggest. The score is the sum of the two deviations, each against the stream's own
/// recent beats. All state is <see cref="Numbers"/> and <see cref="Words"/>, of constant size.
/// </summary>
public sealed class EcgMonitor
{
    /// <summary>Beats before there is a score.</summary>
    public const int WarmUpBeats = 20;

    /// <summary>Hz.</summary>
    public const double LowestRate = 100;

    /// <summary>Hz.</summary>
    public const double HighestRate = 1000;

    public const int MostLeads = 12;

    private const double TargetRate = 120;
    private const double RingSeconds = 5;
    private const double BeforeSeconds = 0.25;
    private const double AfterSeconds = 0.4;
    private const double ShiftSeconds = 0.04;
    private const int Pending = 8;
    private const int ShapeBeats = 300;
    private const int RhythmBeats = 100;
    private const int RecentBeats = 12;
    private const int Forms = 6;
    private const int FormBeats = 20;
    private const float FormGain = 0.1f;
    private const float WeightGain = 0.01f;
    private const float NearCorrelation = 0.8f;
    private const float EarlyLog = 0.1f;
    private const int MostEarlyRun = 8;
    private const float EarlyWeight = 0.25f;
    private const double FiducialSeconds = 0.15;
    private const double OffSeconds = 1;
    private const double MissingSeconds = 0.2;
    private const float DeviationFloor = 0.1f;
    private const float RhythmFloor = 0.05f;
    internal const float MostDeviation = 10;
    private const float Threshold = 5;

    // Where things lie in the numbers.
    private const int Inputs = 0;
    private const int Steps = 1;
    private const int LastR = 2;
    private const int Beats = 3;
    private const int EarlyRun = 4;
    private const int LastLog = 5;
    private const int PendingCount = 6;
    private const int PendingList = 7;
    private const int LeadList = PendingList + Pending;
    private const int PerLead = 11;
    private const int Started = 2;
    private const int Origin = 3;
    private const int Held = 4;
    private const int Still = 5;
    private const int Sum = 6;
    private const int Learned = 7;
    private const int LastForm = 8;
    private const int LastEarly = 9;
    private const int Missing = 10;

    private readonly int _leads;
    private readonly int _decimation;
    private readonly double _rate;
    private readonly int _ring;
    private readonly int _before;
    private readonly int _window;
    private readonly int _shift;
    private readonly QrsDetector _detector;
    private readonly Biquad _baseline;
    private readonly int _detectorAt;
    private readonly int _formsAt;
    private readonly int _shapeAt;
    private readonly int _rhythmAt;
    private readonly double[] _numbers;
    private readonly float[] _words;
    private readonly double[] _x;
    private readonly float[] _scratch = new float[ShapeBeats];
    private readonly float[] _segment;
    private readonly float[] _powers;
    private readonly float[] _centred;
    private readonly LeadShape[] _shapes;

    /// <param name="rate">Input samples per second and lead, 100 to 1000; decimated by a whole factor to about 120.</param>
    /// <param name="leads">1 to 12.</param>
    public EcgMonitor(double rate, int leads)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(rate, LowestRate);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rate, HighestRate);
        ArgumentOutOfRangeException.ThrowIfLessThan(leads, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(leads, MostLeads);
        _leads = leads;
        _decimation = Math.Max(1, (int)Math.Round(rate / TargetRate));
        _rate = rate / _decimation;
        _ring = (int)(RingSeconds * _rate);
        _before = (int)Math.Round(BeforeSeconds * _rate);
        _window = _before + (int)Math.Round(AfterSeconds * _rate) + 1;
        _shift = (int)Math.Round(ShiftSeconds * _rate);
        _detector = new QrsDetector(_rate, leads);
        _baseline = Biquad.HighPass(0.5, _rate);
        _detectorAt = LeadList + (leads * PerLead);
        _numbers = new double[_detectorAt + _detector.NumbersLength];
        _formsAt = _ring * leads;
        _shapeAt = _formsAt + (Forms * (_window + 1) * leads);
        _rhythmAt = _shapeAt + (RobustWindow.Length(ShapeBeats) * leads);
        _words = new float[_rhythmAt + RobustWindow.Length(RhythmBeats)];
        _x = new double[leads];
        _segment = new float[_window + (2 * _shift)];
        _powers = new float[(2 * _shift) + 1];
        _centred = new float[_window];
        _shapes = new LeadShape[leads];
        Reset();
    }

    /// <summary>Half of the durable state.</summary>
    public Span<double> Numbers => _numbers;

    /// <summary>The other half.</summary>
    public Span<float> Words => _words;

    /// <summary>Forgets everything.</summary>
    public void Reset()
    {
        _numbers.AsSpan().Clear();
        _words.AsSpan().Clear();
        _numbers[LastR] = -1;
        _numbers[LastLog] = double.NaN;
    }

    /// <summary>Of the latest beat that was taken, lead by lead.</summary>
    public ReadOnlySpan<LeadShape> Shapes => _shapes;

    /// <summary>Beats that were found and wait for their window's end.</summary>
    public int PendingBeats => (int)_numbers[PendingCount];

    /// <summary>Whether a lead has no signal: it never had one, or has been missing or unchanged for a second.</summary>
    public bool IsOff(int lead)
    {
        var state = _numbers.AsSpan(LeadList + (lead * PerLead), PerLead);
        return state[Started] == 0 || state[Still] > OffSeconds * _rate * _decimation;
    }

    /// <summary>Time has passed of which nothing is known: the next interval isn't one.</summary>
    public void Break()
    {
        _numbers[LastR] = -1;
        _numbers[LastLog] = double.NaN;
    }

    /// <summary>Takes one sample of every lead.</summary>
    /// <param name="values">[leads]; NaN = the lead is off.</param>
    /// <param name="beats">Beats that are complete now are added, in order; 0.5 to 3 seconds after their R peak.</param>
    public void Push(ReadOnlySpan<double> values, ICollection<Beat> beats)
    {
        ArgumentNullException.ThrowIfNull(beats);
        Add(values);
        while (TryTake(out var beat))
            beats.Add(beat);
    }

    /// <summary>Takes one sample of every lead; then beats may be there to be taken.</summary>
    /// <param name="values">[leads]; NaN = the lead is off.</param>
    public void Add(ReadOnlySpan<double> values)
    {
        var s = _numbers.AsSpan();
        for (var i = 0; i < _leads; i++)
        {
            var lead = s.Slice(LeadList + (i * PerLead), PerLead);
            var v = values[i];
            if (double.IsFinite(v))
            {
                // The first value is the origin, so that an offset doesn't ring through the filters; nor does a return from where nothing was.
                if (lead[Started] == 0)
                {
                    lead[Started] = 1;
                    lead[Origin] = v;
                }
                else if (v - lead[Origin] != lead[Held] && lead[Still] > (lead[Missing] > 0 ? MissingSeconds : OffSeconds) * _rate * _decimation)
                {
                    lead[Origin] = v - lead[Held];
                    lead[Still] = -1;
                }

                lead[Missing] = 0;
                v -= lead[Origin];
                lead[Still] = v == lead[Held] || lead[Still] < 0 ? lead[Still] + 1 : 0;
                lead[Held] = v;
            }
            else
            {
                // A lead that is off holds its last value: no slope, no beat.
                lead[Missing] = 1;
                lead[Still]++;
            }

            lead[Sum] += lead[Held];
        }

        s[Inputs]++;
        if (s[Inputs] % _decimation == 0)
            Step(s);
    }

    /// <summary>The next beat that is complete.</summary>
    public bool TryTake(out Beat beat)
    {
        var s = _numbers.AsSpan();
        if (!(s[PendingCount] > 0 && s[Steps] - 1 >= s[PendingList] + (_window - 1 - _before) + _shift))
        {
            beat = default;
            return false;
        }

        var r = (long)s[PendingList];
        s.Slice(PendingList + 1, Pending - 1).CopyTo(s.Slice(PendingList, Pending - 1));
        s[PendingCount]--;
        beat = Score(r, s);
        return true;
    }

    private void Step(Span<double> s)
    {
        var now = (long)s[Steps];
        s[Steps] = now + 1;
        for (var i = 0; i < _leads; i++)
        {
            var lead = s.Slice(LeadList + (i * PerLead), PerLead);
            _x[i] = lead[Sum] / _decimation;
            lead[Sum] = 0;
            _words[(i * _ring) + (int)(now % _ring)] = (float)_baseline.Step(_x[i], lead[..2]);
        }

        var peak = _detector.Step(_x, s[_detectorAt..]);
        if (peak >= 0 && s[PendingCount] < Pending)
        {
            s[PendingList + (int)s[PendingCount]] = Fiducial(peak, s);
            s[PendingCount]++;
        }
    }

    /// <summary>The energy's peak lies behind the R peak by the filters' delay; the largest deflection there is the beat's place.</summary>
    private long Fiducial(long peak, ReadOnlySpan<double> s)
    {
        var from = Math.Max(0, peak - (long)(FiducialSeconds * _rate));
        var best = peak;
        var most = -1f;
        for (var t = from; t <= peak; t++)
        {
            var height = 0f;
            for (var i = 0; i < _leads; i++)
                height += MathF.Abs(At(i, t));
            if (height > most)
            {
                most = height;
                best = t;
            }
        }

        return s[PendingCount] > 0 ? Math.Max(best, (long)s[PendingList + (int)s[PendingCount] - 1] + 1) : Math.Max(best, (long)s[LastR] + 1);
    }

    private Beat Score(long r, Span<double> s)
    {
        var count = (long)s[Beats];
        s[Beats] = count + 1;

        // Rhythm.
        var rr = s[LastR] < 0 ? float.NaN : (float)((r - s[LastR]) / _rate);
        s[LastR] = r;
        var early = 0f;
        var ahead = 0f;
        var lateAfter = false;
        var usualRr = float.NaN;
        var earliestRr = float.NaN;
        if (!float.IsNaN(rr))
        {
            var rhythm = _words.AsSpan(_rhythmAt, RobustWindow.Length(RhythmBeats));
            var x = Elementary.Log(Math.Clamp(rr, 0.2f, 3));
            if (RobustWindow.Count(rhythm) >= RecentBeats)
            {
                var usual = RobustWindow.Describe(rhythm, RecentBeats, _scratch).Median;
                var spread = RobustWindow.Describe(rhythm, RhythmBeats, _scratch).Deviation;
                ahead = usual - x;
                early = ahead / (spread + RhythmFloor);
                usualRr = Elementary.Exp(usual);
                earliestRr = Elementary.Exp(usual - (Threshold * (spread + RhythmFloor)));
            }

            // Early beats aren't the rhythm, unless there is nothing else: then the rate has risen.
            s[EarlyRun] = ahead > EarlyLog ? s[EarlyRun] + 1 : 0;
            if (ahead <= EarlyLog || s[EarlyRun] > MostEarlyRun)
                RobustWindow.Push(rhythm, x);
            lateAfter = !float.IsNaN((float)s[LastLog]) && x - (float)s[LastLog] > EarlyLog;
            s[LastLog] = x;
        }

        // Shape, lead by lead.
        var distance = 0f;
        var deviation = 0f;
        var worst = 0;
        var worstDeviation = float.NegativeInfinity;
        var on = 0;
        for (var i = 0; i < _leads; i++)
        {
            var lead = s.Slice(LeadList + (i * PerLead), PerLead);
            _shapes[i] = LeadShape.Unknown;
            if (IsOff(i) || r - _before - _shift < 0)
                continue;
            on++;
            var (log, z) = Shape(i, r, ahead > EarlyLog, lateAfter, lead);
            distance += log;
            deviation += z;
            if (z > worstDeviation)
            {
                worstDeviation = z;
                worst = i;
            }
        }

        var shape = on == 0 ? 0 : deviation / on;
        var score = count < WarmUpBeats ? 0 : (Math.Clamp(shape, 0, MostDeviation) + Math.Clamp(early, 0, MostDeviation)) / Threshold;
        return new Beat((r * _decimation) + (_decimation / 2), rr, on == 0 ? float.NaN : distance / on, early, shape, score, worst, on) { UsualRrSeconds = usualRr, EarliestRrSeconds = earliestRr };
    }

    /// <summary>Compares a lead's window with its usual beat, then lets the forms learn.</summary>
    private (float Log, float Deviation) Shape(int i, long r, bool early, bool lateAfter, Span<double> lead)
    {
        var forms = _words.AsSpan(_formsAt + (Forms * (_window + 1) * i), Forms * (_window + 1));
        var weights = forms[(Forms * _window)..];
        var usual = 0;
        var nearest = -1;
        var nearestCorrelation = -1f;
        var usualCorrelation = -1f;
        var nearestShift = 0;
        for (var k = 1; k < Forms; k++)
        {
            if (weights[k] > weights[usual])
                usual = k;
        }

        Cut(i, r);
        for (var k = 0; k < Forms; k++)
        {
            if (weights[k] == 0)
                continue;
            var (correlation, shift) = Correlate(forms.Slice(k * _window, _window));
            if (k == usual)
                usualCorrelation = correlation;
            if (correlation > nearestCorrelation)
            {
                nearestCorrelation = correlation;
                nearest = k;
                nearestShift = shift;
            }
        }

        // A long interval now says that the beat before was the early one.
        if (lateAfter && !(lead[LastEarly] > 0))
            weights[(int)lead[LastForm]] *= 1 - (WeightGain * (1 - EarlyWeight) / Math.Max(weights[(int)lead[LastForm]], WeightGain));
        var shapes = _words.AsSpan(_shapeAt + (i * RobustWindow.Length(ShapeBeats)), RobustWindow.Length(ShapeBeats));
        var log = 0f;
        var z = 0f;
        if (lead[Learned] >= FormBeats)
        {
            log = Elementary.Log(1.01f - usualCorrelation);
            if (RobustWindow.Count(shapes) >= WarmUpBeats)
            {
                var (median, scale) = RobustWindow.Describe(shapes, ShapeBeats, _scratch);
                z = (log - median) / (scale + DeviationFloor);
                _shapes[i] = new LeadShape(usualCorrelation, ToCorrelation(median), ToCorrelation(median + (Threshold * (scale + DeviationFloor))), z);
            }

            if (nearest == usual && !early)
                RobustWindow.Push(shapes, log);
        }

        lead[Learned]++;
        lead[LastForm] = Learn(forms, weights, nearest, nearestCorrelation, nearestShift, early);
        lead[LastEarly] = early ? 1 : 0;
        return (log, z);
    }

    /// <summary>
    /// The nearest form moves towards the beat, or, if none is near, the least frequent one is replaced. A form's weight is its share of
    /// the recent beats; early beats count less, because what is usual comes in time.
    /// </summary>
    private int Learn(Span<float> forms, Span<float> weights, int nearest, float correlation, int shift, bool early)
    {
        for (var k = 0; k < Forms; k++)
            weights[k] *= 1 - WeightGain;
        var gain = FormGain;
        if (correlation < NearCorrelation)
        {
            nearest = 0;
            for (var k = 1; k < Forms; k++)
            {
                if (weights[k] < weights[nearest])
                    nearest = k;
            }

            weights[nearest] = 0;
            shift = 0;
            gain = 1;
        }

        weights[nearest] += early ? WeightGain * EarlyWeight : WeightGain;
        var form = forms.Slice(nearest * _window, _window);
        var cut = _segment.AsSpan(_shift + shift, _window);
        for (var t = 0; t < _window; t++)
            form[t] += gain * (cut[t] - form[t]);
        return nearest;
    }

    /// <summary>Largest correlation of the segment with a form over small shifts.</summary>
    private (float Correlation, int Shift) Correlate(ReadOnlySpan<float> form)
    {
        var centre = Sum4(form) / _window;
        for (var t = 0; t < _window; t++)
            _centred[t] = form[t] - centre;
        var power = Dot(_centred, _centred);
        var best = -1f;
        var bestShift = 0;
        for (var shift = 0; shift <= 2 * _shift; shift++)
        {
            // The centred form sums to zero, so the segment's own mean plays no part in the product.
            var correlation = Dot(_segment.AsSpan(shift, _window), _centred) / (MathF.Sqrt(_powers[shift] * power) + 1e-9f);
            if (correlation > best)
            {
                best = correlation;
                bestShift = shift - _shift;
            }
        }

        return (best, bestShift);
    }

    /// <summary>The samples around a beat, once for all forms and shifts, with the power of every shifted window.</summary>
    private void Cut(int lead, long r)
    {
        var ring = _words.AsSpan(lead * _ring, _ring);
        var from = (int)((r - _before - _shift) % _ring);
        var first = Math.Min(_segment.Length, _ring - from);
        ring.Slice(from, first).CopyTo(_segment);
        ring[..(_segment.Length - first)].CopyTo(_segment.AsSpan(first));
        for (var shift = 0; shift < _powers.Length; shift++)
        {
            var window = _segment.AsSpan(shift, _window);
            var mean = Sum4(window) / _window;
            _powers[shift] = MathF.Max(0, Dot(window, window) - (_window * mean * mean));
        }
    }

    private float At(int lead, long step) => step < 0 ? 0 : _words[(lead * _ring) + (int)(step % _ring)];

    private static float ToCorrelation(float log) => 1.01f - Elementary.Exp(log);

    /// <summary>Four running sums whatever the machine's vectors, so that the bits are the same everywhere.</summary>
    private static float Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        var sum = Vector128<float>.Zero;
        var t = 0;
        ref var x = ref MemoryMarshal.GetReference(a);
        ref var y = ref MemoryMarshal.GetReference(b);
        for (; t + 4 <= a.Length; t += 4)
            sum += Vector128.LoadUnsafe(ref x, (nuint)t) * Vector128.LoadUnsafe(ref y, (nuint)t);
        var rest = sum.GetElement(0) + sum.GetElement(1) + (sum.GetElement(2) + sum.GetElement(3));
        for (; t < a.Length; t++)
            rest += a[t] * b[t];
        return rest;
    }

    /// <inheritdoc cref="Dot"/>
    private static float Sum4(ReadOnlySpan<float> a)
    {
        var sum = Vector128<float>.Zero;
        var t = 0;
        ref var x = ref MemoryMarshal.GetReference(a);
        for (; t + 4 <= a.Length; t += 4)
            sum += Vector128.LoadUnsafe(ref x, (nuint)t);
        var rest = sum.GetElement(0) + sum.GetElement(1) + (sum.GetElement(2) + sum.GetElement(3));
        for (; t < a.Length; t++)
            rest += a[t];
        return rest;
    }
}
