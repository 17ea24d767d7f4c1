using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Signals;

/// <summary>
/// A finding per heart beat: <see cref="EcgMonitor"/>'s score of the beat, beside what only several beats together show (a pause, another rate,
/// irregularity), each against the stream's own past. A pause and a lead without signal are told while they last, not with the next beat.
/// </summary>
public sealed class EcgWatch : SignalMonitor
{
    private const int RecentIntervals = 12;
    private const int SlowIntervals = 300;
    private const int LeastSlow = 60;
    private const int RefreshBeats = 8;
    private const int RateIntervals = 8;
    private const float RateLog = 0.35f;

    // Robust deviations of the shape from which on a beat is of another form, not only early.
    private const float OtherForm = 3;
    private const float LeastIrregular = 0.08f;
    private const float IrregularTimes = 3;
    private const float PauseTimes = 1.8f;
    private const float PauseSeconds = 2;
    private const double DetectorSeconds = 1;
    private const double RepeatSeconds = 5;
    private const float FactScore = 1.25f;

    // Where things lie in the further numbers.
    private const int Inputs = 0;
    private const int LastBeat = 1;
    private const int LastFinding = 2;
    private const int UsualRr = 3;
    private const int SlowLog = 4;
    private const int SlowChange = 5;
    private const int Intervals = 6;
    private const int LastLog = 7;
    private const int LeadList = 8;

    private readonly double _rate;
    private readonly int _leads;
    private readonly int _checkEvery;
    private readonly EcgMonitor _monitor;
    private readonly double[] _more;
    private readonly float[] _words;
    private readonly double[] _values;
    private readonly ChannelFinding[] _channels;
    private readonly float[] _scratch = new float[SlowIntervals];

    /// <param name="rate">Samples per second and lead, 100 to 1000.</param>
    /// <param name="leads">1 to 12.</param>
    public EcgWatch(double rate, int leads)
    {
        _rate = rate;
        _leads = leads;
        _checkEvery = (int)Math.Round(rate / 4);
        _monitor = new EcgMonitor(rate, leads);
        _more = new double[LeadList + leads];
        _words = new float[(2 * RobustWindow.Length(RecentIntervals)) + (2 * RobustWindow.Length(SlowIntervals))];
        _values = new double[leads];
        _channels = new ChannelFinding[leads];
        Reset();
    }

    public override Span<double> Numbers => _monitor.Numbers;

    public override Span<double> MoreNumbers => _more;

    public override Span<float> Words => _monitor.Words;

    public override Span<float> MoreWords => _words;

    public override long Samples => (long)_more[Inputs];

    private Span<float> RecentLogs => _words.AsSpan(0, RobustWindow.Length(RecentIntervals));

    private Span<float> RecentChanges => _words.AsSpan(RobustWindow.Length(RecentIntervals), RobustWindow.Length(RecentIntervals));

    private Span<float> SlowLogs => _words.AsSpan(2 * RobustWindow.Length(RecentIntervals), RobustWindow.Length(SlowIntervals));

    private Span<float> SlowChanges => _words.AsSpan((2 * RobustWindow.Length(RecentIntervals)) + RobustWindow.Length(SlowIntervals), RobustWindow.Length(SlowIntervals));

    public override void Reset()
    {
        _monitor.Reset();
        _more.AsSpan().Clear();
        _words.AsSpan().Clear();
        _more[LastBeat] = -1;
        _more[UsualRr] = double.NaN;
        _more[LastLog] = double.NaN;
    }

    public override void Break()
    {
        _monitor.Break();
        _more[LastBeat] = -1;
        _more[LastLog] = double.NaN;
    }

    public override void Push(ReadOnlySpan<float> values, ISignalReceiver receiver)
    {
        ArgumentNullException.ThrowIfNull(receiver);
        for (var i = 0; i < _leads; i++)
            _values[i] = values[i];
        _monitor.Add(_values);
        _more[Inputs]++;
        while (_monitor.TryTake(out var beat))
            OnBeat(beat, receiver);
        if (_more[Inputs] % _checkEvery == 0)
            Check(receiver);
    }

    private void OnBeat(in Beat beat, ISignalReceiver receiver)
    {
        var off = CountOff();
        var rr = beat.RrSeconds;
        var shape = Math.Clamp(beat.Shape, 0, EcgMonitor.MostDeviation);
        var early = Math.Clamp(beat.Prematurity, 0, EcgMonitor.MostDeviation);
        var (score, kind, direction) = (beat.Score, shape >= OtherForm ? AnomalyKind.Ectopic : AnomalyKind.Premature, early > 0 ? -1 : 0);
        var upper = double.NaN;
        if (!float.IsNaN(beat.UsualRrSeconds))
        {
            _more[UsualRr] = beat.UsualRrSeconds;
            upper = PauseAfter(beat.UsualRrSeconds);
            Take((float)(rr / upper), AnomalyKind.Pause, 1);
        }

        if (!float.IsNaN(rr))
            Rhythm(Elementary.Log(Math.Clamp(rr, 0.2f, 5)));
        if (RobustWindow.Count(SlowLogs) >= LeastSlow && RobustWindow.Count(RecentLogs) == RecentIntervals)
        {
            var ahead = (float)_more[SlowLog] - RobustWindow.Describe(RecentLogs, RateIntervals, _scratch).Median;
            Take(Math.Abs(ahead) / RateLog, ahead > 0 ? AnomalyKind.RateHigh : AnomalyKind.RateLow, ahead > 0 ? 1 : -1);
            var change = RobustWindow.Describe(RecentChanges, RecentIntervals, _scratch).Median;
            Take(change / Math.Max(LeastIrregular, IrregularTimes * (float)_more[SlowChange]), AnomalyKind.Irregular, 0);
        }

        if (off > 0 && score <= 1)
            (score, kind, direction) = (FactScore, AnomalyKind.LeadOff, 0);
        _more[LastBeat] = beat.Sample;
        _more[LastFinding] = _more[Inputs];
        Channels(kind == AnomalyKind.LeadOff, shape, early);
        receiver.OnFinding(
            new SignalFinding
            {
                Sample = beat.Sample,
                Value = rr,
                Expected = beat.UsualRrSeconds,
                Lower = beat.EarliestRrSeconds,
                Upper = upper,
                Score = score,
                Kind = score > 1 ? kind : AnomalyKind.None,
                Direction = score > 1 ? direction : 0,
                IsCold = float.IsNaN(beat.UsualRrSeconds),
                Off = off,
            },
            _channels);

        // The largest score names the kind; below the threshold the beat's own stands.
        void Take(float other, AnomalyKind otherKind, int otherDirection)
        {
            if (other > score && other > 1)
                (score, kind, direction) = (other, otherKind, otherDirection);
        }
    }

    private void Rhythm(float log)
    {
        RobustWindow.Push(RecentLogs, log);
        RobustWindow.Push(SlowLogs, log);
        if (!double.IsNaN(_more[LastLog]))
        {
            var change = Math.Abs(log - (float)_more[LastLog]);
            RobustWindow.Push(RecentChanges, change);
            RobustWindow.Push(SlowChanges, change);
        }

        _more[LastLog] = log;
        _more[Intervals]++;
        if (_more[Intervals] % RefreshBeats != 0)
            return;
        _more[SlowLog] = RobustWindow.Describe(SlowLogs, SlowIntervals, _scratch).Median;
        _more[SlowChange] = RobustWindow.Describe(SlowChanges, SlowIntervals, _scratch).Median;
    }

    /// <summary>What there is to tell without a beat, four times a second.</summary>
    private void Check(ISignalReceiver receiver)
    {
        var now = _more[Inputs];
        var lost = false;
        var on = 0;
        for (var i = 0; i < _leads; i++)
        {
            // 0 = has never had a signal, 1 = has one, 2 = has lost it.
            var was = _more[LeadList + i];
            if (!_monitor.IsOff(i))
            {
                on++;
                _more[LeadList + i] = 1;
            }
            else if (was == 1)
            {
                lost = true;
                _more[LeadList + i] = 2;
            }
        }

        var off = CountOff();
        var quiet = (now - _more[LastFinding]) / _rate >= RepeatSeconds;
        if (lost || (off > 0 && on == 0 && quiet))
        {
            Tell(AnomalyKind.LeadOff, FactScore, 0);
            return;
        }

        if (on == 0 || _more[LastBeat] < 0 || _monitor.PendingBeats > 0)
            return;
        var bound = PauseAfter(_more[UsualRr]);
        var since = ((now - _more[LastBeat]) / _rate) - DetectorSeconds;
        if (since > bound && (_more[LastFinding] < _more[LastBeat] + ((bound + DetectorSeconds) * _rate) || quiet))
            Tell(AnomalyKind.Pause, Math.Max(FactScore, (float)(since / bound)), 1);

        void Tell(AnomalyKind kind, float score, int direction)
        {
            _more[LastFinding] = now;
            Channels(kind == AnomalyKind.LeadOff, 0, 0, shapes: false);
            receiver.OnFinding(
                new SignalFinding
                {
                    Sample = now - 0.5,
                    Value = double.NaN,
                    Expected = _more[UsualRr],
                    Lower = double.NaN,
                    Upper = double.IsNaN(_more[UsualRr]) ? double.NaN : PauseAfter(_more[UsualRr]),
                    Score = score,
                    Kind = kind,
                    Direction = direction,
                    IsCold = double.IsNaN(_more[UsualRr]),
                    Off = off,
                },
                _channels);
        }
    }

    private static double PauseAfter(double usual) => double.IsNaN(usual) ? PauseTimes * PauseSeconds : Math.Max(PauseSeconds, PauseTimes * usual);

    private int CountOff()
    {
        var off = 0;
        for (var i = 0; i < _leads; i++)
            off += _more[LeadList + i] == 2 && _monitor.IsOff(i) ? 1 : 0;
        return off;
    }

    /// <summary>Shares: the shape's part by lead, the rhythm's evenly over the leads that are on; of a lost lead, all by those lost.</summary>
    private void Channels(bool leadOff, float shape, float early, bool shapes = true)
    {
        var total = 0f;
        var on = 0;
        var off = 0;
        for (var i = 0; i < _leads; i++)
        {
            if (shapes)
                total += Math.Max(0, _monitor.Shapes[i].Deviation);
            on += _monitor.IsOff(i) ? 0 : 1;
            off += _more[LeadList + i] == 2 && _monitor.IsOff(i) ? 1 : 0;
        }

        // Without shape, or with nothing but shape: the other part has all of it.
        var byShape = shapes && total > 0 && shape + early > 0 ? shape / (shape + early) : 0;
        for (var i = 0; i < _leads; i++)
        {
            var isOff = _monitor.IsOff(i);
            var even = on == 0 ? 1f / _leads : isOff ? 0 : 1f / on;
            var lead = shapes ? _monitor.Shapes[i] : LeadShape.Unknown;
            _channels[i] = new ChannelFinding
            {
                Value = lead.Correlation,
                Expected = lead.Usual,
                Lower = lead.Least,
                Upper = double.NaN,
                Share = leadOff && off > 0
                    ? _more[LeadList + i] == 2 && isOff ? 1f / off : 0
                    : byShape > 0 ? (byShape * Math.Max(0, lead.Deviation) / total) + ((1 - byShape) * even) : even,
                IsOff = isOff,
            };
        }
    }
}
