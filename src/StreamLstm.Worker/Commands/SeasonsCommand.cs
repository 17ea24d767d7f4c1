using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using StreamLstm.Core.Forecasting;
using StreamLstm.Runtime.Evaluation;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Worker.Commands;

/// <summary><c>seasons FILE…</c>: what repeats in the series of files, for a profile's <c>Season</c>.</summary>
internal sealed class SeasonsCommand : Command
{
    private readonly Argument<FileInfo[]> _files = new("FILE") { Description = "CSV, TSV or NDJSON, plain or .gz.", Arity = ArgumentArity.OneOrMore };
    private readonly Option<bool> _json = new("--json") { Description = "One JSON line per series." };

    public SeasonsCommand()
        : base("seasons", "Finds what repeats in the series of files: a value for a profile's Season.")
    {
        Add(_files);
        Add(_json);
        SetAction(Run);
    }

    private int Run(ParseResult parsed)
    {
        var files = parsed.GetValue(_files)!;
        var errors = files.Where(f => !f.Exists).Select(f => $"There is no file '{f}'.").ToList();
        if (errors.Count > 0)
            return Terminal.Refuse(errors, "See streamlstm seasons --help.");
        SeriesFiles data;
        try
        {
            data = SeriesFiles.Read(files, null, TimeZoneInfo.Utc);
        }
        catch (InvalidDataException e)
        {
            return Terminal.Refuse([e.Message], "See streamlstm seasons --help.");
        }

        if (data.Interval <= TimeSpan.Zero)
            return Terminal.Refuse([$"{data.Rows.Count} usable readings are too few."], "See streamlstm seasons --help.");
        foreach (var series in data.Rows.GroupBy(r => r.Stream, StringComparer.Ordinal).OrderBy(g => g.Key, StringComparer.Ordinal))
        {
            var found = Of(series, data.Interval);
            var length = found is { } f ? Configuration.Duration.Format(data.Interval * f.Frames) : "none";
            if (parsed.GetValue(_json))
            {
                Console.WriteLine(new JsonObject { ["stream"] = series.Key, ["season"] = length, ["frames"] = found?.Frames, ["autocorrelation"] = found?.Autocorrelation }.ToJsonString());
                continue;
            }

            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{series.Key,-32} {(found is { } s ? $"{length} ({s.Frames} frames, autocorrelation {s.Autocorrelation:F2})" : "no season")}"));
        }

        return ExitCode.Ok;
    }

    /// <summary>The season of one stream's readings on the grid; the last of an interval counts.</summary>
    internal static FoundSeason? Of(IEnumerable<BacktestRow> rows, TimeSpan interval)
    {
        // More would only take longer: three of the longest seasons fit ten times.
        const int most = 30 * Profile.MostSeasonFrames;
        var micros = (long)interval.TotalMicroseconds;
        var byFrame = rows.GroupBy(r => Math.DivRem(r.TimeMicros, micros).Quotient).ToDictionary(g => g.Key, g => g.Last().Value);
        if (byFrame.Count == 0)
            return null;
        var first = byFrame.Keys.Min();
        var values = new double[Math.Min(most, byFrame.Keys.Max() - first + 1)];
        for (var i = 0; i < values.Length; i++)
            values[i] = byFrame.TryGetValue(first + i, out var v) ? v : double.NaN;
        return SeasonFinder.Find(values, Profile.MostSeasonFrames);
    }
}
