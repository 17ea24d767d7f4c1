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

    // Of a channel's window: the log power of the bands, their total's, the log of the largest deflection, and the step of the level (slow
    // potentials, to which eye movements belong) from the window before.
    private const int Total = Bands;
    private const int Deflection = Bands + 1;
    private const int Level = Bands + 2;
    private const int Features = Bands + 3;

    // What a change of state is looked for in: the bands, and the level.
    private const int Aspects = Bands + 1;
    private const int Parts = 8;
    private const int Slow = 120;
    private const int Fast = 2;
    private const int Before = 4;
    private const int Ring = Fast + Before;
    private const float BandFloor = 0.25f;
    private const float DeflectionFloor = 0.1f;
    private const float MostDeviation = 6;
    private const float DeflectionThreshold = 3.5f;
    private const float PowerThreshold = 4;
    private const float ChangeFloor = 0.1f;
    private const float ChangeThreshold = 4;
    private const float ClipTimes = 10;
    private const double BaselineSeconds = 2;
    private const float FactScore = 1.25f;

    // Anomalous windows don't belong to what is usual, unless there is nothing else for so long.
    private const int MostAnomalousRun = 60;
    private const float MostScore = 10;
    private const float PowerFloor = 1e-6f;

    private static readonly double[] s_edges = [1, 4, 8, 13, 30];

    // Where things lie in the numbers: common ones, then per channel.
    private const int Inputs = 0;
    private const int Steps = 1;
    private const int Windows = 2;
    private const int AnomalousRun = 3;
    private const int Common = 4;
    private const int Started = 0;
    private const int Held = 1;
    private const int Sum = 2;
    private const int Still = 3;
    private const int Baseline = 4;
    private const int Clip = 5;
    private const int State = 6;
    private const int LastLevel = 7;
    private const int Filters = 8;
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
    private readonly float[] _x;
    private readonly float[] _z;
    private readonly float[] _distance = new float[Aspects];
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
        _parts = new double[channels * Aspects * Parts];
        _words = new float[channels * Features * RobustWindow.Length(Slow)];
        for (var i = 0; i < channels; i++)
            Channel(i)[LastLevel] = double.NaN;
        _recent = new float[(Aspects * RobustWindow.Length(Slow)) + (channels * Bands * Ring)];
        _x = new float[channels * Features];
        _z = new float[channels * Features];
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
        for (var i = 0; i < _channels; i++)
            Channel(i)[LastLevel] = double.NaN;
    }

    public override void Break()
    {
        // The fast means must not span the gap.
        _recent.AsSpan(Aspects * RobustWindow.Length(Slow)).Clear();
        for (var i = 0; i < _channels; i++)
            Channel(i)[LastLevel] = double.NaN;
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
                    c[LastLevel] = double.NaN;
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
            Filter(Channel(i), _parts.AsSpan(i * Aspects * Parts, Aspects * Parts), at);
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
        c[Peak] = Math.Max(c[Peak], Math.Abs(x));
        if (c[Clip] > 0)
            x = Math.Clamp(x, -c[Clip], c[Clip]);
        c[Baseline] += _follow * x;
        parts[(Bands * Parts) + at] += v;
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
            var power = Across(Total);
            Take(Math.Abs(power) / PowerThreshold, power > 0 ? AnomalyKind.PowerHigh : AnomalyKind.PowerLow, Math.Sign(power));
            var worst = 0f;
            for (var i = 0; i < _channels; i++)
                worst = Math.Max(worst, _deviation[i]);
            if (score <= 1)
                Take(worst / DeflectionThreshold, AnomalyKind.Artefact, 1);
        }

        for (var b = 0; b < Aspects && on > 0 && !cold; b++)
        {
            var (distance, sign) = b < Bands ? Distance(b, on) : LevelDistance(on);
            var slow = SlowOf(b);
            if (RobustWindow.Count(slow) >= WarmUpWindows)
            {
                var (median, deviation) = RobustWindow.Describe(slow, Slow, _scratch);
                var change = (distance - median) / (deviation + ChangeFloor) / ChangeThreshold;
                if (change > score && score <= 1)
                {
                    Take(change, AnomalyKind.StateChange, sign);
                    shareByBand = b;
                }
            }

            _distance[b] = distance;
        }

        Learn(score > 1, cold);

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

    /// <summary>Log powers of one channel's window, and as deviations from its usual ones.</summary>
    private void Window(int i, Span<double> c, bool cold, out double share, out double usualShare)
    {
        var total = 0f;
        for (var b = 0; b < Bands; b++)
        {
            var power = (float)(Median(_parts.AsSpan((i * Aspects * Parts) + (b * Parts), Parts)) / _part);
            total += power;
            _log[b] = Elementary.Log(power + PowerFloor);
        }

        var logTotal = Elementary.Log(total + PowerFloor);
        share = _log[Alpha] - logTotal;
        usualShare = 0;
        var level = Median(_parts.AsSpan((i * Aspects * Parts) + (Bands * Parts), Parts)) / _part;
        var step = double.IsNaN(c[LastLevel]) ? 0 : level - c[LastLevel];
        c[LastLevel] = level;
        for (var b = 0; b < Features; b++)
        {
            var x = b switch
            {
                Total => logTotal,
                Deflection => Elementary.Log((float)c[Peak] + PowerFloor),
                Level => (float)step,
                _ => _log[b],
            };
            var floor = b switch
            {
                Deflection => DeflectionFloor,
                Level => BandFloor * (float)(c[Clip] / ClipTimes) + PowerFloor,
                _ => BandFloor,
            };
            var slow = _words.AsSpan(((i * Features) + b) * RobustWindow.Length(Slow), RobustWindow.Length(Slow));
            var (median, deviation) = RobustWindow.Describe(slow, Slow, _scratch);
            var z = cold ? 0 : Math.Clamp((x - median) / (deviation + floor), -MostDeviation, MostDeviation);
            _z[(i * Features) + b] = z;
            if (b == Alpha)
                usualShare += median;
            if (b == Total)
            {
                usualShare -= median;
                var bound = PowerThreshold * (deviation + floor);
                _findings[i] = new ChannelFinding { Value = ToDecibel(x), Expected = cold ? double.NaN : ToDecibel(median), Lower = cold ? double.NaN : ToDecibel(median - bound), Upper = cold ? double.NaN : ToDecibel(median + bound) };
            }

            _x[(i * Features) + b] = x;
        }

        _deviation[i] = Math.Max(0, _z[(i * Features) + Deflection]);
        c[Peak] = 0;
        c[Clip] = cold ? 0 : ClipTimes * Math.Sqrt(Elementary.Exp(RobustWindow.Describe(_words.AsSpan(((i * Features) + Total) * RobustWindow.Length(Slow), RobustWindow.Length(Slow)), Slow, _scratch).Median));
    }

    private void Learn(bool anomalous, bool cold)
    {
        _numbers[AnomalousRun] = anomalous ? _numbers[AnomalousRun] + 1 : 0;
        if (anomalous && _numbers[AnomalousRun] <= MostAnomalousRun)
            return;
        for (var i = 0; i < _channels; i++)
        {
            for (var b = 0; b < Features && !_findings[i].IsOff; b++)
                RobustWindow.Push(_words.AsSpan(((i * Features) + b) * RobustWindow.Length(Slow), RobustWindow.Length(Slow)), _x[(i * Features) + b]);
        }

        for (var b = 0; b < Aspects && !cold; b++)
            RobustWindow.Push(SlowOf(b), _distance[b]);
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
            : _findings[i].IsOff ? 0 : band >= 0 ? Math.Abs(_z[(i * Features) + (band < Bands ? band : Level)]) : _deviation[i];
    }

    /// <summary>Median over the channels that are on.</summary>
    private float Across(int band)
    {
        var n = 0;
        for (var i = 0; i < _channels; i++)
        {
            if (!_findings[i].IsOff)
                _column[n++] = _z[(i * Features) + band];
        }

        var values = _column.AsSpan(0, n);
        values.Sort();
        return n == 0 ? 0 : (values[(n - 1) / 2] + values[n / 2]) / 2;
    }

    private Span<double> Channel(int i) => _numbers.AsSpan(Common + (i * PerChannel), PerChannel);

    private Span<float> SlowOf(int band) => _recent.AsSpan(band * RobustWindow.Length(Slow), RobustWindow.Length(Slow));

    /// <summary>
    /// How far the last windows lie from those before them: root mean square over the channels of the difference of the means, and its sign.
    /// </summary>
    private (float Distance, int Sign) Distance(int band, int on)
    {
        var at = (int)(_numbers[Windows] % Ring);
        var square = 0f;
        var sum = 0f;
        for (var i = 0; i < _channels; i++)
        {
            var ring = _recent.AsSpan((Aspects * RobustWindow.Length(Slow)) + (((i * Bands) + band) * Ring), Ring);
            ring[at] = _findings[i].IsOff ? 0 : _z[(i * Features) + band];
            float now = 0, before = 0;
            for (var k = 0; k < Ring; k++)
            {
                if (k < Fast)
                    now += ring[(at - k + Ring) % Ring] / Fast;
                else
                    before += ring[(at - k + Ring) % Ring] / Before;
            }

            square += (now - before) * (now - before);
            sum += now - before;
        }

        return (MathF.Sqrt(square / on), Math.Sign(sum));
    }

    /// <summary>How far the level has moved in one window: root mean square over the channels.</summary>
    private (float Distance, int Sign) LevelDistance(int on)
    {
        var square = 0f;
        var sum = 0f;
        for (var i = 0; i < _channels; i++)
        {
            var z = _findings[i].IsOff ? 0 : _z[(i * Features) + Level];
            square += z * z;
            sum += z;
        }

        return (MathF.Sqrt(square / on), Math.Sign(sum));
    }

    private static double ToDecibel(float log) => 4.342944819 * log;

    private static double Median(Span<double> parts)
    {
        Span<double> sorted = stackalloc double[Parts];
        parts.CopyTo(sorted);
        sorted.Sort();
        return (sorted[(Parts / 2) - 1] + sorted[Parts / 2]) / 2;
    }
}
