namespace StreamLstm.Runtime.Evaluation;

/// <summary>Error sums of one method at one horizon step.</summary>
public sealed class ErrorSums(int quantiles)
{
    private readonly double[] _pinball = new double[quantiles];

    public long Count { get; private set; }

    public double Squared { get; private set; }

    public double Absolute { get; private set; }

    public double Percentage { get; private set; }

    public long PercentageCount { get; private set; }

    public long Covered { get; private set; }

    public double Width { get; private set; }

    public void Add(double forecast, double actual)
    {
        var e = forecast - actual;
        Count++;
        Squared += e * e;
        Absolute += Math.Abs(e);
        if (Math.Abs(actual) > 1e-9)
        {
            Percentage += Math.Abs(e / actual);
            PercentageCount++;
        }
    }

    /// <param name="levels">τ [Q].</param>
    /// <param name="values">Quantile forecasts [Q].</param>
    public void AddQuantiles(IReadOnlyList<double> levels, ReadOnlySpan<float> values, double actual)
    {
        for (var i = 0; i < values.Length; i++)
        {
            var e = actual - values[i];
            _pinball[i] += Math.Max(levels[i] * e, (levels[i] - 1) * e);
        }

        Width += values[^1] - values[0];
        if (actual >= values[0] && actual <= values[^1])
            Covered++;
    }

    public void AddTo(ErrorSums other)
    {
        ArgumentNullException.ThrowIfNull(other);
        other.Count += Count;
        other.Squared += Squared;
        other.Absolute += Absolute;
        other.Percentage += Percentage;
        other.PercentageCount += PercentageCount;
        other.Covered += Covered;
        other.Width += Width;
        for (var i = 0; i < _pinball.Length; i++)
            other._pinball[i] += _pinball[i];
    }

    /// <summary>Mean pinball loss over levels, or null for point methods.</summary>
    public double? Pinball => Count > 0 && Width > 0 ? _pinball.Average() / Count : null;

    public double? Coverage => Count > 0 && Width > 0 ? Covered / (double)Count : null;
}

/// <summary>
/// Prequential evaluation of one series: every forecast is kept until its targets arrive, then judged together with the baselines on
/// the same targets. Origins before the end of the warm-up don't count. Scope <c>step</c> = at step h, <c>mean</c> = steps 1…h.
/// </summary>
public sealed class SeriesEvaluation
{
    public const string Model = "streamlstm";
    public const string Last = "last";
    public const string Day = "seasonal_naive_day";
    public const string Week = "seasonal_naive_week";

    private readonly int _horizon;
    private readonly IReadOnlyList<double> _levels;
    private readonly int _median;
    private readonly int _day;
    private readonly long _firstOrigin;
    private readonly Dictionary<long, double> _history = [];
    private readonly (long Frame, float[] Values, double Origin)[] _pending;
    private readonly Dictionary<string, ErrorSums[]> _sums = [];
    private double _naiveAbsolute;
    private long _naiveCount;

    /// <param name="horizon">K.</param>
    /// <param name="levels">Quantile levels [Q].</param>
    /// <param name="dayFrames">m1, or 0.</param>
    /// <param name="firstOrigin">First frame whose forecast counts.</param>
    public SeriesEvaluation(int horizon, IReadOnlyList<double> levels, int dayFrames, long firstOrigin)
    {
        ArgumentNullException.ThrowIfNull(levels);
        _horizon = horizon;
        _levels = levels;
        _median = levels.ToList().IndexOf(0.5);
        _day = dayFrames;
        _firstOrigin = firstOrigin;
        _pending = new (long, float[], double)[horizon + 1];
        foreach (var method in dayFrames > 0 ? new[] { Model, Last, Day, Week } : [Model, Last])
            _sums[method] = [.. Enumerable.Range(0, horizon + 1).Select(_ => new ErrorSums(levels.Count))];
    }

    public long Frames { get; private set; }

    /// <summary>Horizon steps worth reporting: powers of two, whole days, and the last.</summary>
    public IEnumerable<int> ReportedSteps
    {
        get
        {
            var steps = new SortedSet<int> { 1, _horizon };
            for (var h = 2; h < _horizon; h *= 2)
                steps.Add(h);
            foreach (var h in new[] { 24, 48, 96 })
            {
                if (h < _horizon)
                    steps.Add(h);
            }

            if (_day > 0 && _day < _horizon)
                steps.Add(_day);
            return steps;
        }
    }

    public IEnumerable<string> Methods => _sums.Keys;

    /// <summary>Mean absolute error of the day-before forecast over the warm-up, the unit of MASE; null if there is none.</summary>
    public double? Scale => _naiveCount > 0 && _naiveAbsolute > 0 ? _naiveAbsolute / _naiveCount : null;

    public void OnFrame(long frame, double value, ReadOnlySpan<float> forecast)
    {
        Frames++;
        if (!double.IsNaN(value))
        {
            _history[frame] = value;
            if (frame <= _firstOrigin && _day > 0 && _history.TryGetValue(frame - _day, out var before))
            {
                _naiveAbsolute += Math.Abs(value - before);
                _naiveCount++;
            }

            for (var h = 1; h <= _horizon; h++)
                Judge(frame, value, h);
        }

        var slot = (int)(((frame % (_horizon + 1)) + _horizon + 1) % (_horizon + 1));
        _pending[slot] = (frame, forecast.ToArray(), value);
    }

    /// <summary>Sums of a method at step h, or over steps 1…h.</summary>
    public ErrorSums Sums(string method, int h, bool mean)
    {
        if (!mean)
            return _sums[method][h];
        var total = new ErrorSums(_levels.Count);
        for (var i = 1; i <= h; i++)
            _sums[method][i].AddTo(total);
        return total;
    }

    private void Judge(long frame, double value, int h)
    {
        var origin = frame - h;
        if (origin < _firstOrigin)
            return;
        var slot = (int)(((origin % (_horizon + 1)) + _horizon + 1) % (_horizon + 1));
        var (at, values, last) = _pending[slot];
        if (values is null || at != origin || values.Length == 0 || double.IsNaN(last))
            return;
        var day = double.NaN;
        var week = double.NaN;
        if (_day > 0)
        {
            day = Seasonal(origin, h, _day);
            week = Seasonal(origin, h, 7 * _day);
            // Every method is judged on the same targets or not at all.
            if (double.IsNaN(day) || double.IsNaN(week))
                return;
            _sums[Day][h].Add(day, value);
            _sums[Week][h].Add(week, value);
        }

        var q = _levels.Count;
        _sums[Last][h].Add(last, value);
        var sums = _sums[Model][h];
        sums.Add(values[((h - 1) * q) + _median], value);
        sums.AddQuantiles(_levels, values.AsSpan((h - 1) * q, q), value);
    }

    /// <summary>The latest known value a whole number of seasons before the target, looking at most three seasons further back for gaps.</summary>
    private double Seasonal(long origin, int h, int season)
    {
        var target = origin + h;
        var back = (long)((h + season - 1) / season) * season;
        for (var i = 0; i < 4; i++, back += season)
        {
            if (_history.TryGetValue(target - back, out var value))
                return value;
        }

        return double.NaN;
    }
}
