namespace StreamLstm.Runtime.Evaluation;

/// <summary>Measures of how well scores rank positives above negatives.</summary>
public static class RankMetrics
{
    /// <summary>Area under the ROC curve = P(positive scores higher) + ½ P(tie) (Hanley and McNeil 1982); null without both classes.</summary>
    public static double? Auroc(IReadOnlyList<double> positives, IReadOnlyList<double> negatives)
    {
        ArgumentNullException.ThrowIfNull(positives);
        ArgumentNullException.ThrowIfNull(negatives);
        if (positives.Count == 0 || negatives.Count == 0)
            return null;
        var all = positives.Select(s => (Score: s, Positive: true)).Concat(negatives.Select(s => (Score: s, Positive: false))).OrderBy(x => x.Score).ToArray();
        double below = 0, wins = 0;
        for (var i = 0; i < all.Length;)
        {
            double p = 0, n = 0;
            var score = all[i].Score;
            for (; i < all.Length && all[i].Score == score; i++)
            {
                if (all[i].Positive)
                    p++;
                else
                    n++;
            }

            wins += p * (below + (n / 2));
            below += n;
        }

        return wins / positives.Count / negatives.Count;
    }

    /// <summary>Mean precision at each positive, in descending order of score, ties taken together; null without positives.</summary>
    public static double? AveragePrecision(IReadOnlyList<double> positives, IReadOnlyList<double> negatives)
    {
        ArgumentNullException.ThrowIfNull(positives);
        ArgumentNullException.ThrowIfNull(negatives);
        if (positives.Count == 0)
            return null;
        var all = positives.Select(s => (Score: s, Positive: true)).Concat(negatives.Select(s => (Score: s, Positive: false))).OrderByDescending(x => x.Score).ToArray();
        double found = 0, sum = 0;
        for (var i = 0; i < all.Length;)
        {
            var p = 0;
            var score = all[i].Score;
            for (; i < all.Length && all[i].Score == score; i++)
            {
                if (all[i].Positive)
                    p++;
            }

            found += p;
            sum += p * found / i;
        }

        return sum / positives.Count;
    }

    /// <summary>F1 at the threshold where it is largest; null without positives.</summary>
    public static double? BestF1(IReadOnlyList<double> positives, IReadOnlyList<double> negatives)
    {
        ArgumentNullException.ThrowIfNull(positives);
        ArgumentNullException.ThrowIfNull(negatives);
        if (positives.Count == 0)
            return null;
        var all = positives.Select(s => (Score: s, Positive: true)).Concat(negatives.Select(s => (Score: s, Positive: false))).OrderByDescending(x => x.Score).ToArray();
        double hits = 0, best = 0;
        for (var i = 0; i < all.Length;)
        {
            var score = all[i].Score;
            for (; i < all.Length && all[i].Score == score; i++)
                hits += all[i].Positive ? 1 : 0;
            best = Math.Max(best, 2 * hits / (positives.Count + i));
        }

        return best;
    }

    /// <summary>F1 of "positive = score at least <paramref name="threshold"/>"; null without positives.</summary>
    public static double? F1(IReadOnlyList<double> positives, IReadOnlyList<double> negatives, double threshold)
    {
        ArgumentNullException.ThrowIfNull(positives);
        ArgumentNullException.ThrowIfNull(negatives);
        if (positives.Count == 0)
            return null;
        var hits = positives.Count(s => s >= threshold);
        var alarms = negatives.Count(s => s >= threshold);
        return 2d * hits / (positives.Count + hits + alarms);
    }
}
