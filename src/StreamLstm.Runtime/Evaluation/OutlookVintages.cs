using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Runtime.Evaluation;

/// <summary>Where a backtest's outlooks come from: the profile names one of these as the stream that tells a covariate's future.</summary>
public static class OutlookVintages
{
    /// <summary>The file's own values: a weather forecast without error, an upper bound.</summary>
    public const string Actual = "actual/";

    /// <summary>Yesterday's values at the same time of day, issued once a day: what everybody has.</summary>
    public const string DayOld = "day-old/";

    private const long Day = 86_400_000_000;

    /// <summary>Adds the vintage of each covariate that is issued with the row at <paramref name="from"/>, for all origins before <paramref name="until"/>.</summary>
    internal static void Add(SampleBatch batch, Profile profile, IReadOnlyList<BacktestRow> rows, int from, long until)
    {
        if (profile.Outlooks.Count == 0)
            return;
        var issued = rows[from].TimeMicros;
        var last = until + ((long)profile.Interval.TotalMicroseconds * profile.HorizonSteps);
        foreach (var (channel, stream) in profile.Outlooks)
        {
            var c = profile.Channels.ToList().IndexOf(channel) - 1;
            var days = stream.StartsWith(DayOld, StringComparison.Ordinal);
            var seen = long.MinValue;
            // Day-old values repeat the last whole day before the issue over the horizon.
            for (var i = days ? Back(rows, from, issued - Day) : from; i < rows.Count && rows[i].TimeMicros < (days ? issued : last); i++)
            {
                var time = rows[i].TimeMicros;
                if (time == seen || rows[i].Covariates is not { } values || !double.IsFinite(values[c]))
                    continue;
                seen = time;
                for (var t = days ? time + Day : time; t < last; t += days ? Day : long.MaxValue / 4)
                    batch.Add(stream, issued, issued, [t / 1e6, values[c]]);
            }
        }
    }

    private static int Back(IReadOnlyList<BacktestRow> rows, int from, long time)
    {
        while (from > 0 && rows[from - 1].TimeMicros >= time)
            from--;
        return from;
    }
}
