using System.Numerics;
using System.Runtime.InteropServices;
using StreamLstm.Core.Forecasting;

namespace StreamLstm.Runtime.Evaluation;

/// <summary>
/// Online multi-horizon recursive least squares in double precision. Features: constant, current value, differences to it of the lags of
/// a day and of a window a week before the targets, two harmonics each of day and week. One covariance serves all steps; a step's weights
/// are updated when its target arrives, with the gain kept from the origin, which is exact under the delay. Values are normalised by
/// the warm-up's mean and deviation.
/// </summary>
internal sealed class LinearBaseline : IBaseline
{
    private const double Forgetting = 0.9998;

    private readonly int _day;
    private readonly int _horizon;
    private readonly int[] _lags;
    private readonly int[] _week;
    private readonly int _features;
    private readonly FrameRing _history;
    private readonly List<(long Frame, FramePhase Phase, double Value)> _warmUp = [];

    // Weights [K][d], covariance [d][d]; gains and features of the last K origins [K][d].
    private readonly double[][] _weights;
    private readonly double[][] _covariance;
    private readonly double[][] _gains;
    private readonly double[][] _inputs;
    private readonly double[] _bases;
    private readonly long[] _origins;
    private readonly double[] _projected;
    private bool _running;
    private double _mean;
    private double _deviation = 1;
    private long _frame = long.MinValue;
    private double _last = double.NaN;

    /// <param name="dayFrames">m1, or 0.</param>
    /// <param name="horizon">K.</param>
    public LinearBaseline(int dayFrames, int horizon)
    {
        _day = dayFrames;
        _horizon = horizon;
        _lags = dayFrames switch
        {
            0 => [.. Enumerable.Range(1, 24)],
            <= 48 => [.. Enumerable.Range(1, dayFrames + 1)],
            // Finer grids: the newest lags, then one in so many, and those around the same time yesterday.
            _ => [.. Enumerable.Range(1, 12).Concat(Enumerable.Range(1, 24).Select(i => i * dayFrames / 24)).Concat([dayFrames - 1, dayFrames + 1]).Distinct().Order()],
        };
        var window = Math.Min(horizon, dayFrames);
        var stride = Math.Max(1, (window + 47) / 48);
        _week = dayFrames > 0 ? [.. Enumerable.Range(1, window).Where(h => h % stride == 0).Select(h => (7 * dayFrames) - h)] : [];
        _features = 2 + _lags.Length + _week.Length + (dayFrames > 0 ? 8 : 0);
        _history = new FrameRing((dayFrames > 0 ? 7 * dayFrames : 24) + 2);
        _weights = Rows(horizon);
        _covariance = Rows(_features);
        for (var i = 0; i < _features; i++)
            _covariance[i][i] = 1;
        _gains = Rows(horizon);
        _inputs = Rows(horizon);
        _bases = new double[horizon];
        _origins = new long[horizon];
        Array.Fill(_origins, long.MinValue);
        _projected = new double[_features];
    }

    public string Name => SeriesEvaluation.Linear;

    public void Observe(long frame, FramePhase phase, double value)
    {
        if (_running)
            Learn(frame, phase, value);
        else
            _warmUp.Add((frame, phase, value));
    }

    public void EndWarmUp()
    {
        var known = _warmUp.Select(w => w.Value).Where(v => !double.IsNaN(v)).ToArray();
        if (known.Length > 0)
        {
            _mean = known.Average();
            _deviation = Math.Sqrt(known.Average(v => (v - _mean) * (v - _mean)));
            if (_deviation < 1e-9 * Math.Max(1, Math.Abs(_mean)))
                _deviation = 1;
        }

        _running = true;
        foreach (var (frame, phase, value) in _warmUp)
            Learn(frame, phase, value);
        _warmUp.Clear();
        _warmUp.TrimExcess();
    }

    public void Forecast(Span<float> path)
    {
        path.Fill(float.NaN);
        if (_frame == long.MinValue || _origins[Slot(_frame)] != _frame)
            return;
        var slot = Slot(_frame);
        for (var h = 1; h <= path.Length; h++)
        {
            var z = _bases[slot] + Dot(_weights[h - 1], _inputs[slot]);
            path[h - 1] = (float)(((double.IsFinite(z) ? z : _last) * _deviation) + _mean);
        }
    }

    private void Learn(long frame, FramePhase phase, double value)
    {
        var z = (value - _mean) / _deviation;
        if (double.IsNaN(z))
        {
            // A stand-in, so that later lags exist: the day before, else the last value. Nothing is learnt from it.
            var before = _day > 0 ? _history.Get(frame - _day) : double.NaN;
            z = double.IsNaN(before) ? _last : before;
        }
        else
        {
            for (var h = 1; h <= _horizon; h++)
            {
                var origin = Slot(frame - h);
                if (_origins[origin] == frame - h)
                    AddScaled(_gains[origin], z - _bases[origin] - Dot(_weights[h - 1], _inputs[origin]), _weights[h - 1]);
            }

            _last = z;
        }

        _frame = frame;
        if (double.IsNaN(z))
            return;
        _history.Put(frame, z);
        var slot = Slot(frame);
        _origins[slot] = frame;
        _bases[slot] = z;
        WriteInputs(frame, phase, z, _inputs[slot]);
        UpdateCovariance(_inputs[slot], _gains[slot]);
    }

    private void WriteInputs(long frame, FramePhase phase, double z, double[] x)
    {
        var at = 0;
        x[at++] = 1;
        x[at++] = z;
        foreach (var lag in _lags)
            x[at++] = Difference(frame - lag, z);
        foreach (var lag in _week)
            x[at++] = Difference(frame - lag, z);
        if (_day == 0)
            return;
        var day = 2 * Math.PI * phase.DayPhase / _day;
        var week = 2 * Math.PI * phase.WeekPhase / (7 * _day);
        for (var k = 1; k <= 2; k++)
        {
            x[at++] = Math.Sin(k * day);
            x[at++] = Math.Cos(k * day);
            x[at++] = Math.Sin(k * week);
            x[at++] = Math.Cos(k * week);
        }
    }

    private double Difference(long frame, double z) => _history.Get(frame) is var value && double.IsNaN(value) ? 0 : value - z;

    /// <summary>k = Px / (λ + xᵀPx); P ← (P − k·(Px)ᵀ)/λ, without the inflation while P is as large as at the start.</summary>
    private void UpdateCovariance(double[] x, double[] gain)
    {
        var trace = 0.0;
        for (var i = 0; i < _features; i++)
        {
            _projected[i] = Dot(_covariance[i], x);
            trace += _covariance[i][i];
        }

        var scale = 1 / (Forgetting + Dot(_projected, x));
        var inflation = trace > _features ? 1 : 1 / Forgetting;
        for (var i = 0; i < _features; i++)
        {
            gain[i] = _projected[i] * scale;
            var row = _covariance[i];
            // The lower triangle, mirrored: rounding must not make P asymmetric.
            for (var j = 0; j <= i; j++)
                row[j] = _covariance[j][i] = inflation * (row[j] - (gain[i] * _projected[j]));
        }
    }

    private int Slot(long frame) => (int)(((frame % _horizon) + _horizon) % _horizon);

    private double[][] Rows(int count) => [.. Enumerable.Range(0, count).Select(_ => new double[_features])];

    private static double Dot(double[] a, double[] b)
    {
        var x = MemoryMarshal.Cast<double, Vector<double>>(a.AsSpan());
        var y = MemoryMarshal.Cast<double, Vector<double>>(b.AsSpan());
        var sum = Vector<double>.Zero;
        for (var i = 0; i < x.Length; i++)
            sum += x[i] * y[i];
        var total = Vector.Sum(sum);
        for (var i = x.Length * Vector<double>.Count; i < a.Length; i++)
            total += a[i] * b[i];
        return total;
    }

    private static void AddScaled(double[] a, double factor, double[] target)
    {
        var x = MemoryMarshal.Cast<double, Vector<double>>(a.AsSpan());
        var y = MemoryMarshal.Cast<double, Vector<double>>(target.AsSpan());
        for (var i = 0; i < x.Length; i++)
            y[i] += x[i] * factor;
        for (var i = x.Length * Vector<double>.Count; i < a.Length; i++)
            target[i] += a[i] * factor;
    }
}
