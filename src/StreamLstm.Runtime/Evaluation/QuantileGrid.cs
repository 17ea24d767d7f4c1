namespace StreamLstm.Runtime.Evaluation;

/// <summary>
/// The levels a forecast gives quantiles for, and what can be measured with them.
/// </summary>
public sealed class QuantileGrid
{
    /// <param name="levels">τ [Q], ascending, with .5 among them.</param>
    public QuantileGrid(IReadOnlyList<double> levels)
    {
        ArgumentNullException.ThrowIfNull(levels);
        Levels = levels;
        Median = levels.ToList().IndexOf(0.5);
        var intervals = new List<(int, int, double)>();
        for (var i = 0; i < levels.Count / 2; i++)
        {
            for (var j = levels.Count - 1; j > i; j--)
            {
                if (Math.Abs(levels[i] + levels[j] - 1) < 1e-9)
                    intervals.Add((i, j, Math.Round(levels[j] - levels[i], 9)));
            }
        }

        Intervals = intervals;
        CrpsAbove = new double[levels.Count];
        CrpsBelow = new double[levels.Count];
        for (var i = 0; i < levels.Count; i++)
        {
            var from = i == 0 ? 0 : (levels[i - 1] + levels[i]) / 2;
            var to = i == levels.Count - 1 ? 1 : (levels[i] + levels[i + 1]) / 2;
            CrpsAbove[i] = (to * to) - (from * from);
            CrpsBelow[i] = ((1 - from) * (1 - from)) - ((1 - to) * (1 - to));
        }
    }

    /// <summary>τ [Q].</summary>
    public IReadOnlyList<double> Levels { get; }

    public int Median { get; }

    /// <summary>Central prediction intervals: pairs of levels α/2 and 1 − α/2, the widest first; Level = 1 − α.</summary>
    public IReadOnlyList<(int Low, int High, double Level)> Intervals { get; }

    /// <summary>
    /// [Q]: CRPS = 2 ∫ pinball(τ) dτ over (0, 1), where each quantile stands for the τ nearest to its level: weights of |y − q| for
    /// targets above the quantile. Exact for the discrete distribution so described, hence for a point forecast (its absolute error).
    /// </summary>
    public double[] CrpsAbove { get; }

    /// <summary>[Q]: the same for targets below the quantile.</summary>
    public double[] CrpsBelow { get; }
}
