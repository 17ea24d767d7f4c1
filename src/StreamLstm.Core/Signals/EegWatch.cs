using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Signals;

/// <summary>
/// A finding per second of an electroencephalogram: the log power of four bands, channel by channel, against the stream's own last two minutes.
/// What is far outside in one or a few channels is an artefact; in most of them, more or less power than is usual; what moves together over
/// several seconds, a change of state. Amplitudes are clipped at a multiple of what is usual and a window's power is the median of its
/// parts', so that a single deflection says little about a band.
/// </summary>
public sealed class EegWatch : SignalMonitor
{
    /// <summary>Hz.</summary>
    public const double LowestRate = 100;

    /// <summary>Hz.</summary>
    public const double HighestRate = 1000;

    public const int MostChannels = 64;

    /// <summary>Windows before there is a score.</summary>
    public const int WarmUpWindows = 20;

    private const double TargetRate = 128;
    private const int Bands = 4;
    private const int Alpha = 2;
    private const int Parts = 8;
    private const int Slow = 120;
    private const int Fast = 4;
    private const float BandFloor = 0.25f;
    private const float ChannelThreshold = 6;
    private const float PowerThreshold = 4;
    private const float ChangeFloor = 0.15f;
    private const float ChangeThreshold = 5;
    private const float ClipTimes = 8;
    private const double BaselineSeconds = 2;
    private const float FactScore = 1.25f;
    private const float MostScore = 10;
    private const float PowerFloor = 1e-6f;

    private static readonly double[] s_edges = [1, 4, 8, 13, 30];

    // Where things lie in the numbers: common ones, then per channel.
    private const int Inputs = 0;
    private const int Steps = 1;
    private const int Windows = 2;
    private const int Common = 3;
    private const int Started = 0;
    private const int Held = 1;
    private const int Sum = 2;
    private const int Still = 3;
    private const int Baseline = 4;
    private const int Clip = 5;
    private const int State = 6;
    private const int Filters = 7;
    private const int Peak = Filters + (Bands * 4);
    private const int PerChannel = Peak + 1;

    private readonly int _channels;
    private readonly int _decimation;
    private readonly int _part;
    private readonly double _rate;
    private readonly double _follow;
    private readonly Biquad[] _low = new Biquad[Bands];
    private readonly Biquad[] _high = new Biquad[Bands];
    private readonly double[] _numbers;
    private readonly double[] _parts;
    private readonly float[] _words;
    private readonly float[] _recent;
    private readonly float[] _scratch = new float[Slow];
    private readonly float[] _z;
    private readonly float[] _deviation;
    private readonly float[] _column;
    private readonly float[] _log = new float[Bands];
    private readonly ChannelFinding[] _findings;

    /// <param name="rate">Input samples per second and channel, 100 to 1000; decimated by a whole factor to about 128.</param>
    /// <param name="channels">1 to 64.</param>
    public EegWatch(double rate, int channels)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(rate, LowestRate);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rate, HighestRate);
        ArgumentOutOfRangeException.ThrowIfLessThan(channels, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(channels, MostChannels);
        _channels = channels;
        _decimation = Math.Max(1, (int)Math.Round(rate / TargetRate));
        _rate = rate / _decimation;
        _part = (int)Math.Round(_rate / Parts);
        _follow = 1 / (BaselineSeconds * _rate);
        for (var b = 0; b < Bands; b++)
        {
            _high[b] = Biquad.HighPass(s_edges[b], _rate);
            _low[b] = Biquad.LowPass(s_edges[b + 1], _rate);
        }

        _numbers = new double[Common + (channels * PerChannel)];
        _parts = new double[channels * Bands * Parts];
        _words = new float[channels * (Bands + 1) * RobustWindow.Length(Slow)];
        _recent = new float[Bands * (RobustWindow.Length(Fast) + RobustWindow.Length(Slow)) + RobustWindow.Length(Slow)];
        _z = new float[channels * (Bands + 1)];
        _deviation = new float[channels];
        _column = new float[channels];
        _findings = new ChannelFinding[channels];
    }

    public override Span<double> Numbers => _numbers;

    public override Span<double> MoreNumbers => _parts;

    public override Span<float> Words => _words;

    public override Span<float> MoreWords => _recent;

    public override long Samples => (long)_numbers[Inputs];

    public override void Reset()
    {
        _numbers.AsSpan().Clear();
        _parts.AsSpan().Clear();
        _words.AsSpan().Clear();
        _recent.AsSpan().Clear();
    }

    public override void Break()
    {
        // The power bands know no order beyond a window; only the fast means must not span the gap.
        for (var b = 0; b < Bands; b++)
            RecentOf(b).Clear();
    }

    public override void Push(ReadOnlySpan<float> values, ISignalReceiver receiver)
    {
        ArgumentNullException.ThrowIfNull(receiver);
        for (var i = 0; i < _channels; i++)
        {
            var c = Channel(i);
            double v = values[i];
            if (double.IsFinite(v))
            {
                // Where nothing was, the level is unknown: the first value is the new one.
                if (c[Started] == 0 || c[Still] > _rate * _decimation)
                {
                    c[Started] = 1;
                    c[Baseline] = v;
                }

                c[Still] = v == c[Held] ? c[Still] + 1 : 0;
                c[Held] = v;
            }
            else
            {
                c[Still]++;
            }

            c[Sum] += c[Held];
        }

        _numbers[Inputs]++;
        if (_numbers[Inputs] % _decimation != 0)
            return;
        var at = (int)(_numbers[Steps] / _part);
        for (var i = 0; i < _channels; i++)
            Filter(Channel(i), _parts.AsSpan(i * Bands * Parts, Bands * Parts), at);
        _numbers[Steps]++;
        if (_numbers[Steps] < Parts * _part)
            return;
        _numbers[Steps] = 0;
        OnWindow(receiver);
        _parts.AsSpan().Clear();
    }

    private void Filter(Span<double> c, Span<double> parts, int at)
    {
        var v = c[Sum] / _decimation;
        c[Sum] = 0;
        if (c[Started] == 0)
            return;
        var x = v - c[Baseline];
        if (c[Clip] > 0)
            x = Math.Clamp(x, -c[Clip], c[Clip]);
        c[Baseline] += _follow * x;
        c[Peak] = Math.Max(c[Peak], Math.Abs(x));
        for (var b = 0; b < Bands; b++)
        {
            var state = c.Slice(Filters + (4 * b), 4);
            var y = _low[b].Step(_high[b].Step(x, state[..2]), state[2..]);
            parts[(b * Parts) + at] += y * y;
        }
    }

    private void OnWindow(ISignalReceiver receiver)
    {
        var count = _numbers[Windows]++;
        var on = 0;
        var off = 0;
        var lost = false;
        var alpha = 0d;
        var usualAlpha = 0d;
        var cold = count < WarmUpWindows;
        for (var i = 0; i < _channels; i++)
        {
            var c = Channel(i);
            var isOff = c[Started] == 0 || c[Still] > _rate * _decimation;
            if (isOff)
            {
                lost |= c[State] == 1;
                if (c[State] == 1)
                    c[State] = 2;
                off += c[State] == 2 ? 1 : 0;
                _findings[i] = new ChannelFinding { Value = double.NaN, Expected = double.NaN, Lower = double.NaN, Upper = double.NaN, IsOff = true };
                _deviation[i] = 0;
                continue;
            }

            c[State] = 1;
            Window(i, c, cold, out var share, out var usual);
            alpha += share;
            usualAlpha += usual;
            on++;
        }

        var score = 0f;
        var kind = AnomalyKind.None;
        var direction = 0;
        var shareByBand = -1;
        if (on > 0 && !cold)
        {
            // One channel far out is the electrode's doing; most of them together are the head's.
            var worst = 0f;
            for (var i = 0; i < _channels; i++)
                worst = Math.Max(worst, _deviation[i]);
            var power = Across(Bands);
            Take(Math.Abs(power) / PowerThreshold, power > 0 ? AnomalyKind.PowerHigh : AnomalyKind.PowerLow, Math.Sign(power));
            if (score <= 1)
                Take(worst / ChannelThreshold, AnomalyKind.Artefact, 0);
        }

        for (var b = 0; b < Bands && on > 0 && !cold; b++)
        {
            // Artefacts last one window: they neither make a state nor belong to what is usual.
            var fast = RecentOf(b);
            RobustWindow.Push(fast, Across(b));
            if (RobustWindow.Count(fast) < Fast)
                continue;
            var mean = RobustWindow.Describe(fast, Fast, _scratch).Median;
            var slow = SlowOf(b);
            if (RobustWindow.Count(slow) >= WarmUpWindows)
            {
                var (median, deviation) = RobustWindow.Describe(slow, Slow, _scratch);
                var change = (mean - median) / (deviation + ChangeFloor);
                if (Math.Abs(change) / ChangeThreshold > score)
                    shareByBand = b;
                Take(Math.Abs(change) / ChangeThreshold, AnomalyKind.StateChange, Math.Sign(change));
            }

            RobustWindow.Push(slow, mean);
        }

        if ((lost || off > 0) && score <= 1)
            (score, kind, direction) = (FactScore, AnomalyKind.LeadOff, 0);
        Shares(kind == AnomalyKind.LeadOff, kind == AnomalyKind.StateChange ? shareByBand : -1, on, off);
        receiver.OnFinding(
            new SignalFinding
            {
                Sample = _numbers[Inputs] - ((Parts * _part * _decimation) / 2.0),
                Value = on > 0 ? alpha / on : double.NaN,
                Expected = on > 0 && !cold ? usualAlpha / on : double.NaN,
                Lower = double.NaN,
                Upper = double.NaN,
                Score = Math.Min(score, MostScore),
                Kind = score > 1 ? kind : AnomalyKind.None,
                Direction = score > 1 ? direction : 0,
                IsCold = cold,
                Off = off,
            },
            _findings);

        void Take(float other, AnomalyKind otherKind, int otherDirection)
        {
            if (other > score)
                (score, kind, direction) = (other, otherKind, otherDirection);
        }
    }

    /// <summary>Log powers of one channel's window, as deviations from its usual ones; then they belong to what is usual.</summary>
    private void Window(int i, Span<double> c, bool cold, out double share, out double usualShare)
    {
        var total = 0f;
        for (var b = 0; b < Bands; b++)
        {
            var power = (float)(Median(_parts.AsSpan((i * Bands * Parts) + (b * Parts), Parts)) / _part);
            total += power;
            _log[b] = Elementary.Log(power + PowerFloor);
        }

        var logTotal = Elementary.Log(total + PowerFloor);
        share = _log[Alpha] - logTotal;
        usualShare = 0;
        var square = 0f;
        for (var b = 0; b <= Bands; b++)
        {
            var x = b < Bands ? _log[b] : logTotal;
            var slow = _words.AsSpan(((i * (Bands + 1)) + b) * RobustWindow.Length(Slow), RobustWindow.Length(Slow));
            var (median, deviation) = RobustWindow.Describe(slow, Slow, _scratch);
            var z = cold ? 0 : (x - median) / (deviation + BandFloor);
            _z[(i * (Bands + 1)) + b] = z;
            if (b < Bands)
                square = Math.Max(square, Math.Abs(z));
            if (b == Alpha)
                usualShare += median;
            if (b == Bands)
            {
                usualShare -= median;
                var bound = PowerThreshold * (deviation + BandFloor);
                _findings[i] = new ChannelFinding { Value = ToDecibel(x), Expected = cold ? double.NaN : ToDecibel(median), Lower = cold ? double.NaN : ToDecibel(median - bound), Upper = cold ? double.NaN : ToDecibel(median + bound) };
            }

            // Two deviations at most: what is far out shows that something happened, not what is usual.
            RobustWindow.Push(slow, cold ? x : median + (Math.Clamp(z, -ChannelThreshold, ChannelThreshold) * (deviation + BandFloor)));
        }

        _deviation[i] = square;
        c[Clip] = cold ? 0 : ClipTimes * Math.Sqrt(Elementary.Exp(RobustWindow.Describe(_words.AsSpan(((i * (Bands + 1)) + Bands) * RobustWindow.Length(Slow), RobustWindow.Length(Slow)), Slow, _scratch).Median));
        c[Peak] = 0;
    }

    private void Shares(bool leadOff, int band, int on, int off)
    {
        var total = 0f;
        for (var i = 0; i < _channels; i++)
            total += Part(i);
        for (var i = 0; i < _channels; i++)
        {
            var even = on == 0 ? 1f / _channels : _findings[i].IsOff ? 0 : 1f / on;
            _findings[i] = _findings[i] with { Share = total > 0 ? Part(i) / total : even };
        }

        float Part(int i) => leadOff && off > 0
            ? Channel(i)[State] == 2 && _findings[i].IsOff ? 1 : 0
            : _findings[i].IsOff ? 0 : band >= 0 ? Math.Abs(_z[(i * (Bands + 1)) + band]) : _deviation[i];
    }

    /// <summary>Median over the channels that are on.</summary>
    private float Across(int band)
    {
        var n = 0;
        for (var i = 0; i < _channels; i++)
        {
            if (!_findings[i].IsOff)
                _column[n++] = _z[(i * (Bands + 1)) + band];
        }

        var values = _column.AsSpan(0, n);
        values.Sort();
        return n == 0 ? 0 : (values[(n - 1) / 2] + values[n / 2]) / 2;
    }

    private Span<double> Channel(int i) => _numbers.AsSpan(Common + (i * PerChannel), PerChannel);

    private Span<float> RecentOf(int band) => _recent.AsSpan(band * RobustWindow.Length(Fast), RobustWindow.Length(Fast));

    private Span<float> SlowOf(int band) => _recent.AsSpan((Bands * RobustWindow.Length(Fast)) + (band * RobustWindow.Length(Slow)), RobustWindow.Length(Slow));

    private static double ToDecibel(float log) => 4.342944819 * log;

    private static double Median(Span<double> parts)
    {
        Span<double> sorted = stackalloc double[Parts];
        parts.CopyTo(sorted);
        sorted.Sort();
        return (sorted[(Parts / 2) - 1] + sorted[Parts / 2]) / 2;
    }
}
