using StreamLstm.Core.Forecasting;

namespace StreamLstm.Runtime.Evaluation;

/// <summary>A frame of the report's charts: what was observed and what had been expected one step before.</summary>
public readonly record struct RecentFrame(long Frame, double Value, double Expected);

/// <summary>A whole forecast of the report's charts. Values are [K, Q].</summary>
public sealed record RecentForecast(long Origin, float[] Values);

/// <summary>Absolute errors of the targets in one week, over all steps.</summary>
public sealed record WeekErrors(long Week, long Count, IReadOnlyList<double> MeanAbsoluteErrors);

/// <summary>
/// Prequential evaluation of one series: every forecast is kept until its targets arrive, then judged together with the baselines' on
/// the same targets. Origins before the end of the warm-up don't count. Scope <c>step</c> = at step h, <c>mean</c> = steps 1…h.
/// </summary>
public sealed class SeriesEvaluation
{
    public const string Model = "streamlstm";
    public const string Last = "last";
    public const string Day = "seasonal_naive_day";
    public const string Week = "seasonal_naive_week";
    public const string HoltWinters = "holt_winters";
    public const string Linear = "linear";

    private readonly int _horizon;
    private readonly int _day;
    private readonly long _firstOrigin;
    private readonly Func<long, FramePhase> _phase;
    private readonly IBaseline[] _baselines;
    private readonly FrameRing _history;
    private readonly PendingForecasts _pending;

    // Sums by method, band and hour of the target. Band 2i is what lies between the reported steps i − 1 and i, band 2i + 1 reported step i.
    private readonly ErrorSums?[][][] _sums;
    private readonly int[] _band;

    // By expert and band: targets for which it had a forecast, its squared errors, the model's on the same targets.
    private readonly (long Count, double Expert, double Model)[,] _experts;
    private readonly SortedDictionary<long, (long Count, double[] Absolute)> _weeks = [];
    private readonly Queue<RecentFrame> _recent = new();
    private readonly Queue<RecentForecast> _fans = new();
    private readonly int _recentLength;
    private bool _judging;
    private double _naiveAbsolute;
    private long _naiveCount;

    /// <param name="horizon">K.</param>
    /// <param name="levels">Quantile levels [Q].</param>
    /// <param name="dayFrames">m1, or 0.</param>
    /// <param name="firstOrigin">First frame whose forecast counts.</param>
    /// <param name="phase">Where a frame lies in the local day and week.</param>
    public SeriesEvaluation(int horizon, IReadOnlyList<double> levels, int dayFrames, long firstOrigin, Func<long, FramePhase> phase)
    {
        ArgumentNullException.ThrowIfNull(levels);
        _horizon = horizon;
        _day = dayFrames;
        _firstOrigin = firstOrigin;
        _phase = phase;
        Grid = new QuantileGrid(levels);
        Hours = dayFrames > 0 ? Math.Min(24, dayFrames) : 1;
        _baselines = Baselines.For(dayFrames, horizon);
        _history = new FrameRing(Math.Max(1, dayFrames) + 1);
        _pending = new PendingForecasts(_baselines, horizon, levels.Count);
        Methods = [Model, .. _baselines.Select(b => b.Name)];
        ReportedSteps = Reported(horizon, dayFrames);
        _band = new int[horizon + 1];
        for (var (h, i) = (1, 0); h <= horizon; h++)
        {
            _band[h] = 2 * i;
            if (h == ReportedSteps[i])
            {
                _band[h]++;
                i++;
            }
        }

        _experts = new (long, double, double)[ForecastPlan.Experts, 2 * ReportedSteps.Count];
        _sums = [.. Methods.Select(_ => Enumerable.Range(0, 2 * ReportedSteps.Count).Select(_ => new ErrorSums?[Hours]).ToArray())];
        _recentLength = Math.Clamp(4 * Math.Max(horizon, dayFrames), 96, 1200);
    }

    public long Frames { get; private set; }

    /// <summary>Horizon steps worth reporting: powers of two, whole days, and the last.</summary>
    public IReadOnlyList<int> ReportedSteps { get; }

    /// <summary>StreamLstm first, then the baselines.</summary>
    public IReadOnlyList<string> Methods { get; }

    public QuantileGrid Grid { get; }

    /// <summary>Parts of the day that are told apart: 24, or 1 without a daily season.</summary>
    public int Hours { get; }

    /// <summary>Mean absolute error of the day-before forecast over the warm-up, the unit of MASE; null if there is none.</summary>
    public double? Scale => _naiveCount > 0 && _naiveAbsolute > 0 ? _naiveAbsolute / _naiveCount : null;

    /// <summary>The last days, for charts.</summary>
    public IEnumerable<RecentFrame> Recent => _recent;

    /// <summary>Forecasts one horizon apart whose targets are among <see cref="Recent"/>.</summary>
    public IEnumerable<RecentForecast> Fans => _fans;

    /// <summary>How errors went over time; the order of <see cref="Methods"/>.</summary>
    public IEnumerable<WeekErrors> Weeks => _weeks.Select(w => new WeekErrors(w.Key, w.Value.Count, [.. w.Value.Absolute.Select(a => a / w.Value.Count)]));

    /// <summary>Frames ascend; frames may be left out.</summary>
    /// <param name="value">NaN if it is missing.</param>
    /// <param name="expected">What had been forecast one step before, or NaN.</param>
    /// <param name="forecast">[K, Q] issued after the frame; empty if there is none.</param>
    /// <param name="experts">[M, K], the members' own forecasts; NaN where one has none.</param>
    public void OnFrame(long frame, double value, double expected, ReadOnlySpan<float> forecast, ReadOnlySpan<float> experts)
    {
        Frames++;
        var phase = _phase(frame);
        if (!double.IsNaN(value))
        {
            if (_day > 0 && frame < _firstOrigin && _history.Get(frame - _day) is var before && !double.IsNaN(before))
            {
                _naiveAbsolute += Math.Abs(value - before);
                _naiveCount++;
            }

            _history.Put(frame, value);
            Judge(frame, phase, value);
        }

        if (!_judging && frame >= _firstOrigin)
        {
            _judging = true;
            foreach (var baseline in _baselines)
                baseline.EndWarmUp();
        }

        foreach (var baseline in _baselines)
            baseline.Observe(frame, phase, value);
        if (_judging && forecast.Length > 0)
            _pending.Issue(frame, forecast, experts);
        Remember(frame, value, expected, forecast);
    }

    /// <summary>Sums of a method at step h, or over steps 1…h; over the whole day, or for targets in one hour of it.</summary>
    public ErrorSums Sums(string method, int h, bool mean, int? hour = null)
    {
        var total = new ErrorSums(Grid, method == Model);
        var step = ReportedSteps.ToList().IndexOf(h);
        ArgumentOutOfRangeException.ThrowIfNegative(step, nameof(h));
        var sums = _sums[Methods.ToList().IndexOf(method)];
        for (var band = mean ? 0 : (2 * step) + 1; band <= (2 * step) + 1; band++)
        {
            for (var i = hour ?? 0; i < (hour + 1 ?? Hours); i++)
                sums[band][i]?.AddTo(total);
        }

        return total;
    }

    /// <summary>
    /// Mean squared error of one member of the mixture at step h, or over steps 1…h, and the mixture's on the same targets; null if it never
    /// had a forecast.
    /// </summary>
    public (long Count, double Expert, double Model)? ExpertErrors(Expert expert, int h, bool mean)
    {
        var step = ReportedSteps.ToList().IndexOf(h);
        ArgumentOutOfRangeException.ThrowIfNegative(step, nameof(h));
        var total = (Count: 0L, Expert: 0.0, Model: 0.0);
        for (var band = mean ? 0 : (2 * step) + 1; band <= (2 * step) + 1; band++)
        {
            var cell = _experts[(int)expert, band];
            total = (total.Count + cell.Count, total.Expert + cell.Expert, total.Model + cell.Model);
        }

        return total.Count == 0 ? null : (total.Count, total.Expert / total.Count, total.Model / total.Count);
    }

    private static List<int> Reported(int horizon, int day)
    {
        var steps = new SortedSet<int> { 1, horizon };
        for (var h = 2; h < horizon; h *= 2)
            steps.Add(h);
        steps.UnionWith(new[] { 24, 48, 96, day }.Where(h => h > 0 && h < horizon));
        return [.. steps];
    }

    private void Judge(long frame, FramePhase phase, double value)
    {
        var hour = _day > 0 ? phase.DayPhase * Hours / _day : 0;
        var week = _day > 0 ? Math.DivRem(frame, 7L * _day).Quotient : Math.DivRem(frame, 1000L).Quotient;
        double[]? absolute = null;
        var targets = 0;
        for (var h = 1; h <= _horizon; h++)
        {
            // Every method is judged on the same targets or not at all.
            if (!_pending.TryGet(frame - h, h, out var quantiles, out var points))
                continue;
            if (absolute is null)
                absolute = _weeks.TryGetValue(week, out var sum) ? sum.Absolute : new double[Methods.Count];
            targets++;
            var band = _band[h];
            (_sums[0][band][hour] ??= new ErrorSums(Grid, true)).Add(quantiles, value);
            absolute[0] += Math.Abs(value - quantiles[Grid.Median]);
            JudgeExperts(frame, h, band, value, value - quantiles[Grid.Median]);
            for (var m = 0; m < points.Length; m++)
            {
                (_sums[m + 1][band][hour] ??= new ErrorSums(Grid, false)).Add(points[m], value);
                absolute[m + 1] += Math.Abs(value - points[m]);
            }
        }

        if (absolute is not null)
            _weeks[week] = ((_weeks.TryGetValue(week, out var known) ? known.Count : 0) + targets, absolute);
    }

    private void JudgeExperts(long frame, int h, int band, double value, double modelError)
    {
        var experts = _pending.Experts(frame - h, h);
        for (var m = 0; m < experts.Length; m++)
        {
            if (float.IsNaN(experts[m]))
                continue;
            ref var cell = ref _experts[m, band];
            var e = value - experts[m];
            cell = (cell.Count + 1, cell.Expert + (e * e), cell.Model + (modelError * modelError));
        }
    }

    private void Remember(long frame, double value, double expected, ReadOnlySpan<float> forecast)
    {
        _recent.Enqueue(new RecentFrame(frame, value, expected));
        while (_recent.Count > _recentLength)
            _recent.Dequeue();
        if (forecast.Length > 0 && (frame + 1) % _horizon == 0)
            _fans.Enqueue(new RecentForecast(frame, forecast.ToArray()));
        while (_fans.Count > 0 && _fans.Peek().Origin < _recent.Peek().Frame)
            _fans.Dequeue();
    }
}

/// <summary>Forecasts of all methods whose targets have not all arrived, in a ring of K + 1 origins.</summary>
internal sealed class PendingForecasts
{
    private readonly IBaseline[] _baselines;
    private readonly int _horizon;
    private readonly int _quantiles;
    private readonly long[] _origins;
    private readonly float[][] _model;

    // [origin][K][M]: what belongs to one target lies together.
    private readonly float[][] _points;

    // [origin][K][experts].
    private readonly float[][] _experts;
    private readonly float[] _path;

    public PendingForecasts(IBaseline[] baselines, int horizon, int quantiles)
    {
        _baselines = baselines;
        _horizon = horizon;
        _quantiles = quantiles;
        _origins = new long[horizon + 1];
        Array.Fill(_origins, long.MinValue);
        _model = [.. _origins.Select(_ => new float[horizon * quantiles])];
        _points = [.. _origins.Select(_ => new float[horizon * baselines.Length])];
        _experts = [.. _origins.Select(_ => new float[horizon * ForecastPlan.Experts])];
        _path = new float[horizon];
    }

    public void Issue(long origin, ReadOnlySpan<float> forecast, ReadOnlySpan<float> experts)
    {
        var slot = Slot(origin);
        _origins[slot] = origin;
        forecast.CopyTo(_model[slot]);
        for (var m = 0; m < ForecastPlan.Experts; m++)
        {
            for (var k = 0; k < _horizon; k++)
                _experts[slot][(k * ForecastPlan.Experts) + m] = experts[(m * _horizon) + k];
        }

        for (var m = 0; m < _baselines.Length; m++)
        {
            _baselines[m].Forecast(_path);
            for (var k = 0; k < _horizon; k++)
                _points[slot][(k * _baselines.Length) + m] = _path[k];
        }
    }

    /// <param name="quantiles">[Q] of the model.</param>
    /// <param name="points">[M] of the baselines.</param>
    /// <returns>False if no forecast was issued then, or a method has none.</returns>
    public bool TryGet(long origin, int h, out ReadOnlySpan<float> quantiles, out ReadOnlySpan<float> points)
    {
        var slot = Slot(origin);
        quantiles = _model[slot].AsSpan((h - 1) * _quantiles, _quantiles);
        points = _points[slot].AsSpan((h - 1) * _baselines.Length, _baselines.Length);
        if (_origins[slot] != origin || float.IsNaN(quantiles[0]))
            return false;
        foreach (var point in points)
        {
            if (float.IsNaN(point))
                return false;
        }

        return true;
    }

    /// <summary>The members' forecasts [M] of a step that <see cref="TryGet"/> has found.</summary>
    public ReadOnlySpan<float> Experts(long origin, int h) => _experts[Slot(origin)].AsSpan((h - 1) * ForecastPlan.Experts, ForecastPlan.Experts);

    private int Slot(long origin) => (int)(((origin % (_horizon + 1)) + _horizon + 1) % (_horizon + 1));
}
