namespace StreamLstm.Runtime.Evaluation;

/// <summary>A labelled fault: <c>[Start, End)</c>, Unix microseconds.</summary>
public readonly record struct Label(string Stream, long Start, long End, string Type);

/// <summary>A detected episode: <c>[Start, End)</c>, Unix microseconds.</summary>
/// <param name="Known">When it became known, if that isn't the end of its first frame.</param>
public readonly record struct DetectedEpisode(string Stream, long Start, long End, string Type, long? Known = null);

/// <summary>Counts of faults and episodes, and what follows from them.</summary>
/// <param name="Faults">Labelled faults.</param>
/// <param name="Found">Those that were found.</param>
/// <param name="Episodes">Detected episodes.</param>
/// <param name="Right">Those that belong to a fault.</param>
/// <param name="StreamDays">Observed time.</param>
/// <param name="Delays">Seconds from the start of each fault that was found to the end of the frame that told of it; 0 if an episode was under way.</param>
public record DetectionTally(int Faults, int Found, int Episodes, int Right, double StreamDays, IReadOnlyList<double> Delays)
{
    public double? Precision => Episodes > 0 ? Right / (double)Episodes : null;

    public double? Recall => Faults > 0 ? Found / (double)Faults : null;

    public double? FalsePerDay => StreamDays > 0 ? (Episodes - Right) / StreamDays : null;

    /// <summary>Median of the delays.</summary>
    public double? DelaySeconds
    {
        get
        {
            if (Delays.Count == 0)
                return null;
            double[] sorted = [.. Delays.Order()];
            return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
        }
    }

    /// <summary>The counts of several series or types as those of one.</summary>
    public static DetectionTally Pool(IReadOnlyList<DetectionTally> parts, double streamDays) => new(
        parts.Sum(p => p.Faults), parts.Sum(p => p.Found), parts.Sum(p => p.Episodes), parts.Sum(p => p.Right), streamDays, [.. parts.SelectMany(p => p.Delays)]);
}

/// <summary>
/// Episode-wise detection quality. A fault is found if an episode begins while it lasts or within the tolerance after its end (a release
/// is seen only afterwards), or is under way when it begins. An episode is right if it overlaps a fault so widened; an episode that
/// begins in the wake of a found fault (the model returning to normal) counts for that fault.
/// </summary>
/// <param name="All">Of all types together.</param>
/// <param name="ByType">
/// Faults by their own type and episodes by theirs: not every fault has a type of episode and the other way round, and an episode is right
/// whatever it takes the fault for.
/// </param>
public sealed record DetectionQuality(DetectionTally All, IReadOnlyDictionary<string, DetectionTally> ByType) : DetectionTally(All)
{
    /// <param name="labels">Ground truth.</param>
    /// <param name="episodes">What was detected.</param>
    /// <param name="toleranceMicros">How long after a fault's end an episode may still belong to it.</param>
    /// <param name="streamDays">Observed time, for the false-alarm rate.</param>
    /// <param name="frameMicros">Length of a frame: an episode that starts with a frame is known at its end.</param>
    public static DetectionQuality Of(IReadOnlyList<Label> labels, IReadOnlyList<DetectedEpisode> episodes, long toleranceMicros, double streamDays, long frameMicros)
    {
        ArgumentNullException.ThrowIfNull(labels);
        ArgumentNullException.ThrowIfNull(episodes);
        var byStream = episodes.GroupBy(e => e.Stream, StringComparer.Ordinal).ToDictionary(g => g.Key, g => g.ToList(), StringComparer.Ordinal);
        var right = new HashSet<DetectedEpisode>();
        var delays = new List<(string Type, double? Seconds)>();
        foreach (var label in labels)
        {
            var hits = byStream.GetValueOrDefault(label.Stream, []).Where(e => e.Start < label.End + toleranceMicros && e.End > label.Start).ToList();
            right.UnionWith(hits);
            delays.Add((label.Type, hits.Count == 0 ? null : hits.Min(e => e.Start < label.Start ? 0 : (e.Known ?? e.Start + frameMicros) - label.Start) / 1e6));
        }

        var byType = new SortedDictionary<string, DetectionTally>(StringComparer.Ordinal);
        foreach (var type in delays.Select(d => d.Type).Concat(episodes.Select(e => e.Type)).Distinct(StringComparer.Ordinal))
        {
            double?[] ofType = [.. delays.Where(d => d.Type == type).Select(d => d.Seconds)];
            double[] found = [.. ofType.OfType<double>()];
            byType[type] = new DetectionTally(ofType.Length, found.Length, episodes.Count(e => e.Type == type), right.Count(e => e.Type == type), streamDays, found);
        }

        return new DetectionQuality(DetectionTally.Pool([.. byType.Values], streamDays), byType);
    }

    /// <summary>Several series as one.</summary>
    public static DetectionQuality Pool(IReadOnlyList<DetectionQuality> series)
    {
        ArgumentNullException.ThrowIfNull(series);
        var days = series.Sum(s => s.StreamDays);
        var byType = new SortedDictionary<string, DetectionTally>(StringComparer.Ordinal);
        foreach (var type in series.SelectMany(s => s.ByType.Keys).Distinct(StringComparer.Ordinal))
            byType[type] = DetectionTally.Pool([.. series.Where(s => s.ByType.ContainsKey(type)).Select(s => s.ByType[type])], days);
        return new DetectionQuality(DetectionTally.Pool(series, days), byType);
    }
}
