namespace StreamLstm.Runtime.Evaluation;

/// <summary>Error sums of one method over some set of targets, and the measures that follow from them.</summary>
/// <param name="grid">Levels of the method's quantiles; for a point method those that its point stands for.</param>
/// <param name="probabilistic">Whether quantiles are added too.</param>
public sealed class ErrorSums(QuantileGrid grid, bool probabilistic)
{
    private readonly double[] _pinball = new double[probabilistic ? grid.Levels.Count : 0];
    private readonly long[] _atOrBelow = new long[probabilistic ? grid.Levels.Count : 0];
    private readonly long[] _covered = new long[probabilistic ? grid.Intervals.Count : 0];
    private readonly double[] _width = new double[probabilistic ? grid.Intervals.Count : 0];
    private readonly double[] _winkler = new double[probabilistic ? grid.Intervals.Count : 0];
    private double _squared;
    private double _absolute;
    private double _under;
    private double _crps;
    private double _percentage;
    private long _percentageCount;

    public QuantileGrid Grid => grid;

    public bool Probabilistic => probabilistic;

    public long Count { get; private set; }

    public double MeanSquaredError => _squared / Count;

    public double RootMeanSquaredError => Math.Sqrt(MeanSquaredError);

    public double MeanAbsoluteError => _absolute / Count;

    /// <summary>In percent; null where percentages mean nothing (more than a hundredth of the targets is zero).</summary>
    public double? MeanAbsolutePercentageError => _percentageCount > 0.99 * Count ? 100 * _percentage / _percentageCount : null;

    /// <summary>Pinball loss max(τ(y − q), (τ − 1)(y − q)), mean over targets and levels; a point forecast stands for all its quantiles.</summary>
    public double Pinball
    {
        get
        {
            if (probabilistic)
                return _pinball.Average() / Count;
            var level = grid.Levels.Average();
            return ((level * _under) + ((1 - level) * (_absolute - _under))) / Count;
        }
    }

    /// <summary>Continuous ranked probability score (Matheson and Winkler 1976) from the quantiles; of a point forecast, its absolute error.</summary>
    public double ContinuousRankedProbabilityScore => probabilistic ? _crps / Count : MeanAbsoluteError;

    /// <summary>Share of targets inside <see cref="QuantileGrid.Intervals"/>[i], bounds included.</summary>
    public double Coverage(int i) => _covered[i] / (double)Count;

    /// <summary>Mean width of interval i.</summary>
    public double Width(int i) => _width[i] / Count;

    /// <summary>Interval score (Winkler 1972) of interval i: its width, plus 2/α times the distance of a target outside.</summary>
    public double Winkler(int i) => _winkler[i] / Count;

    /// <summary>Share of targets at or below quantile i; a calibrated forecast gives τ.</summary>
    public double AtOrBelow(int i) => _atOrBelow[i] / (double)Count;

    public void Add(double forecast, double actual)
    {
        var e = actual - forecast;
        Count++;
        _squared += e * e;
        _absolute += Math.Abs(e);
        _under += Math.Max(e, 0);
        if (Math.Abs(actual) > 1e-9)
        {
            _percentage += Math.Abs(e / actual);
            _percentageCount++;
        }
    }

    /// <summary>A forecast's quantiles; its median counts as the point forecast.</summary>
    /// <param name="values">[Q].</param>
    public void Add(ReadOnlySpan<float> values, double actual)
    {
        Add(values[grid.Median], actual);
        for (var i = 0; i < values.Length; i++)
        {
            var e = actual - values[i];
            var level = grid.Levels[i];
            _pinball[i] += Math.Max(level * e, (level - 1) * e);
            _crps += e > 0 ? grid.CrpsAbove[i] * e : grid.CrpsBelow[i] * -e;
            if (e <= 0)
                _atOrBelow[i]++;
        }

        for (var i = 0; i < _covered.Length; i++)
        {
            var (low, high, level) = grid.Intervals[i];
            var outside = Math.Max(0, Math.Max(values[low] - actual, actual - values[high]));
            _width[i] += values[high] - values[low];
            _winkler[i] += values[high] - values[low] + (2 / (1 - level) * outside);
            if (outside == 0)
                _covered[i]++;
        }
    }

    public void AddTo(ErrorSums other)
    {
        ArgumentNullException.ThrowIfNull(other);
        other.Count += Count;
        other._squared += _squared;
        other._absolute += _absolute;
        other._under += _under;
        other._crps += _crps;
        other._percentage += _percentage;
        other._percentageCount += _percentageCount;
        for (var i = 0; i < _pinball.Length; i++)
        {
            other._pinball[i] += _pinball[i];
            other._atOrBelow[i] += _atOrBelow[i];
        }

        for (var i = 0; i < _covered.Length; i++)
        {
            other._covered[i] += _covered[i];
            other._width[i] += _width[i];
            other._winkler[i] += _winkler[i];
        }
    }
}
