namespace StreamLstm.Runtime.Evaluation;

/// <summary>A labelled fault: <c>[Start, End)</c>, Unix microseconds.</summary>
public readonly record struct Label(string Stream, long Start, long End, string Type);

/// <summary>A detected episode: <c>[Start, End)</c>, Unix microseconds.</summary>
public readonly record struct DetectedEpisode(string Stream, long Start, long End, string Type);

/// <summary>
/// Episode-wise detection quality. A fault is found if an episode begins while it lasts or within the tolerance after its end (a release
/// is seen only afterwards), or is under way when it begins. An episode is right if it overlaps a fault so widened; an episode that
/// begins in the wake of a found fault (the model returning to normal) counts for that fault.
/// </summary>
public sealed record DetectionQuality(int Faults, int Found, int Episodes, int Right, double? Precision, double? Recall, double? FalsePerDay, IReadOnlyDictionary<string, (int Faults, int Found)> ByType)
{
    /// <param name="labels">Ground truth.</param>
    /// <param name="episodes">What was detected.</param>
    /// <param name="toleranceMicros">How long after a fault's end an episode may still belong to it.</param>
    /// <param name="streamDays">Observed time, for the false-alarm rate.</param>
    public static DetectionQuality Of(IReadOnlyList<Label> labels, IReadOnlyList<DetectedEpisode> episodes, long toleranceMicros, double streamDays)
    {
        ArgumentNullException.ThrowIfNull(labels);
        ArgumentNullException.ThrowIfNull(episodes);
        var byStream = episodes.GroupBy(e => e.Stream, StringComparer.Ordinal).ToDictionary(g => g.Key, g => g.ToList(), StringComparer.Ordinal);
        var right = new HashSet<DetectedEpisode>();
        var found = 0;
        var byType = new SortedDictionary<string, (int, int)>(StringComparer.Ordinal);
        foreach (var label in labels)
        {
            var hits = byStream.GetValueOrDefault(label.Stream, []).Where(e => e.Start < label.End + toleranceMicros && e.End > label.Start).ToList();
            right.UnionWith(hits);
            if (hits.Count > 0)
                found++;
            var (n, k) = byType.GetValueOrDefault(label.Type);
            byType[label.Type] = (n + 1, k + (hits.Count > 0 ? 1 : 0));
        }

        return new DetectionQuality(
            labels.Count, found, episodes.Count, right.Count,
            episodes.Count > 0 ? right.Count / (double)episodes.Count : null,
            labels.Count > 0 ? found / (double)labels.Count : null,
            streamDays > 0 ? (episodes.Count - right.Count) / streamDays : null,
            byType);
    }
}
