using StreamLstm.Core.Signals;

namespace StreamLstm.Runtime.Evaluation;

/// <summary>
/// Beats found against annotated ones, by the classes of ANSI/AAMI EC57: N (N L R B e j), S (A a J S n), V (V E r), F, Q. A found beat belongs
/// to the nearest annotation within 150 ms, one to one. An annotated beat that wasn't found has score 0: what the detector misses counts
/// against the score.
/// </summary>
public sealed record BeatEvaluation(int Beats, int N, int V, double? AurocV, double? AurocAny, double? AveragePrecisionV, double? F1V, double Sensitivity, double PositivePredictivity)
{
    private const double ToleranceSeconds = 0.15;
    private const double Threshold = 1;

    /// <param name="truth">Sample and mnemonic of every annotation, ascending; what isn't a beat is ignored.</param>
    /// <param name="found">Beats, ascending.</param>
    /// <param name="rate">Samples per second.</param>
    /// <param name="warmUpSeconds">What lies before is left out on both sides.</param>
    public static BeatEvaluation Of(IEnumerable<(long Sample, string Symbol)> truth, IEnumerable<Beat> found, double rate, double warmUpSeconds)
    {
        ArgumentNullException.ThrowIfNull(truth);
        ArgumentNullException.ThrowIfNull(found);
        var tolerance = (long)(ToleranceSeconds * rate);
        var from = (long)(warmUpSeconds * rate);
        var annotated = truth.Select(t => (t.Sample, Class: ClassOf(t.Symbol))).Where(t => t.Class is not null && t.Sample >= from).ToArray();

        // A beat just before the border may belong to an annotation just behind it.
        var beats = found.Where(b => b.Sample >= from - tolerance).ToArray();
        var used = new bool[beats.Length];
        var scores = new Dictionary<char, List<double>> { ['N'] = [], ['S'] = [], ['V'] = [], ['F'] = [], ['Q'] = [] };
        var first = 0;
        var matched = 0;
        foreach (var (sample, kind) in annotated)
        {
            while (first < beats.Length && beats[first].Sample < sample - tolerance)
                first++;
            var nearest = -1;
            for (var i = first; i < beats.Length && beats[i].Sample <= sample + tolerance; i++)
            {
                if (!used[i] && (nearest < 0 || Math.Abs(beats[i].Sample - sample) < Math.Abs(beats[nearest].Sample - sample)))
                    nearest = i;
            }

            if (nearest >= 0)
            {
                used[nearest] = true;
                matched++;
            }

            scores[kind!.Value].Add(nearest < 0 ? 0 : beats[nearest].Score);
        }

        var counted = beats.Where((b, i) => used[i] || b.Sample >= from).Count();
        double[] any = [.. scores['S'], .. scores['V'], .. scores['F'], .. scores['Q']];
        return new BeatEvaluation(
            annotated.Length,
            scores['N'].Count,
            scores['V'].Count,
            RankMetrics.Auroc(scores['V'], scores['N']),
            RankMetrics.Auroc(any, scores['N']),
            RankMetrics.AveragePrecision(scores['V'], scores['N']),
            RankMetrics.F1(scores['V'], scores['N'], Threshold),
            annotated.Length == 0 ? 0 : matched / (double)annotated.Length,
            counted == 0 ? 0 : matched / (double)counted);
    }

    /// <returns>N, S, V, F or Q; null if the mnemonic isn't a beat's.</returns>
    public static char? ClassOf(string symbol) => symbol switch
    {
        "N" or "L" or "R" or "e" or "j" or "B" => 'N',
        "A" or "a" or "J" or "S" or "n" => 'S',
        "V" or "E" or "r" => 'V',
        "F" => 'F',
        "/" or "f" or "Q" or "?" => 'Q',
        _ => null,
    };
}
