using System.CommandLine;
using StreamLstm.Connectors.Files;
using StreamLstm.Core.Forecasting;
using StreamLstm.Runtime.Calendars;
using StreamLstm.Runtime.Evaluation;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Worker.Configuration;

namespace StreamLstm.Worker.Commands;

/// <summary>Options of evaluations that say which calendar the series live by.</summary>
internal sealed class CalendarOptions
{
    private readonly Option<string?> _zone = new("--zone") { Description = "Zone of the series' days, and of times without an offset; UTC without it.", HelpName = "ZONE" };
    private readonly Option<string[]> _holidays = new("--holidays") { Description = "Regions whose public holidays are like Sundays, such as AU-VIC.", AllowMultipleArgumentsPerToken = true, HelpName = "REGION" };
    private readonly Option<string?> _file = new("--holiday-file") { Description = "CSV date,region,name with further holidays.", HelpName = "FILE" };

    public Option[] All => [_zone, _holidays, _file];

    /// <returns>Zone and holidays; what is wrong is added to the errors.</returns>
    public (TimeZoneInfo Zone, HolidayCalendar? Holidays) Read(ParseResult parsed, List<string> errors, bool configured = false)
    {
        var given = parsed.GetValue(_zone);
        var zone = TimeZoneInfo.Utc;
        if (given is not null && !TimeZoneInfo.TryFindSystemTimeZoneById(given, out zone!))
            errors.Add($"--zone {given}: a time zone such as Europe/Amsterdam.");
        var found = new List<string>();
        var holidays = HolidayFile.Read(parsed.GetValue(_holidays) ?? [], parsed.GetValue(_file), found);
        errors.AddRange(found.Select(e => $"--holidays: {e}"));
        if (configured && (given is not null || holidays is not null))
            errors.Add("--zone and --holidays can't be used with --config.");
        return (zone ?? TimeZoneInfo.Utc, holidays);
    }
}

/// <summary>The readings of one or more files in time order, for evaluation.</summary>
internal sealed record SeriesFiles(IReadOnlyList<BacktestRow> Rows, TimeSpan Interval, int Rejects, TabularShape Shape)
{
    /// <exception cref="InvalidDataException">A file isn't a table of series.</exception>
    public static SeriesFiles Read(IEnumerable<FileInfo> files, string[]? columns, TimeZoneInfo zone, string[]? covariates = null)
    {
        columns = columns is { Length: > 0 } && covariates is not null ? [.. columns, .. covariates.Except(columns)] : columns;
        var rows = new List<BacktestRow>();
        var rejects = 0;
        var interval = TimeSpan.Zero;
        TabularShape? shape = null;
        foreach (var file in files)
        {
            var options = new TabularOptions { TimeZone = zone, ValueColumns = columns is { Length: > 0 } ? columns : null };
            try
            {
                using (var sniff = TabularReader.Open(file.FullName, options))
                    interval = TabularReader.SniffInterval(sniff.Read()) ?? interval;
                using var reader = TabularReader.Open(file.FullName, options);
                shape = reader.Shape;
                foreach (var row in reader.Read(_ => rejects++))
                    rows.Add(new BacktestRow(row.Stream, row.TimeMicros, row.Value));
            }
            catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
            {
                throw new InvalidDataException($"{file}: {e.Message}", e);
            }
        }

        // A stable sort: equal times keep the order of the file.
        var ordered = rows.Select((r, i) => (r, i)).OrderBy(x => x.r.TimeMicros).ThenBy(x => x.i).Select(x => x.r).ToList();
        return new SeriesFiles(covariates is { Length: > 0 } ? Join(ordered, covariates) : ordered, interval, rejects, shape!);
    }

    /// <summary>What is wrong with the covariates asked for.</summary>
    public static IEnumerable<string> CovariateErrors(string[]? covariates, bool configured)
    {
        if (covariates is not { Length: > 0 })
            yield break;
        if (covariates.Length > ForecastPlan.MostCovariates)
            yield return $"--covariates: at most {ForecastPlan.MostCovariates}, {covariates.Length} are given.";
        if (configured)
            yield return "--covariates can't be used with --config.";
    }

    /// <summary>Puts what the covariates' series read at a time beside the readings of the others; NaN where one read nothing.</summary>
    /// <exception cref="InvalidDataException">There is no such series.</exception>
    private static List<BacktestRow> Join(List<BacktestRow> rows, string[] covariates)
    {
        var byTime = covariates.Select(_ => new Dictionary<long, double>()).ToArray();
        foreach (var row in rows)
        {
            if (Array.IndexOf(covariates, row.Stream) is >= 0 and var c)
                byTime[c][row.TimeMicros] = row.Value;
        }

        for (var c = 0; c < covariates.Length; c++)
        {
            if (byTime[c].Count == 0)
                throw new InvalidDataException($"no readings of the covariate '{covariates[c]}'; series are {string.Join(", ", rows.Select(r => r.Stream).Distinct().Take(20))}.");
        }

        return [.. rows.Where(r => !covariates.Contains(r.Stream)).Select(r => r with { Covariates = [.. byTime.Select(b => b.TryGetValue(r.TimeMicros, out var v) ? v : double.NaN)] })];
    }

    /// <summary>
    /// What a user would have configured: one season ahead (two days at hourly or coarser grids), frames close with their reading. More quantiles
    /// than a service needs, for the sake of the CRPS. Where the interval has no day, the season is that of the first series, found in the
    /// leading share of the readings that isn't judged.
    /// </summary>
    public Profile ProfileFor(double warmUp, string[]? covariates)
    {
        var profile = ProfileFor(Interval, covariates);
        if (profile.HasDay || Rows.Count == 0)
            return profile;
        var first = Rows[0].Stream;
        var rows = Rows.Where(r => r.Stream == first).ToList();
        return SeasonsCommand.Of(rows.Take((int)(warmUp * rows.Count)), Interval) is { } found
            ? profile with { Season = Interval * found.Frames, HorizonSteps = Math.Clamp(found.Frames, 48, 288) }
            : profile;
    }

    /// <summary>The same for a grid alone.</summary>
    public static Profile ProfileFor(TimeSpan interval, string[]? covariates = null)
    {
        var profile = new Profile { Name = "backtest", Interval = interval, Channels = ["value", .. covariates ?? []], Covariates = covariates ?? [], SamplesPerFrame = 1, MaxGapFrames = 4, Quantiles = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95] };
        var day = profile.DayFrames;
        return profile with { HorizonSteps = day == 0 ? 48 : Math.Clamp(day, 48, 288) };
    }
}
