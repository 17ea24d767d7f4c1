using System.CommandLine;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging.Abstractions;
using StreamLstm.Core.Forecasting;
using StreamLstm.Runtime.Evaluation;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Worker.Configuration;
using StreamLstm.Worker.Reports;

namespace StreamLstm.Worker.Commands;

/// <summary><c>backtest FILE…</c>: prequential replay of files through the production path, against baselines.</summary>
internal sealed class BacktestCommand : Command
{
    private readonly Argument<FileInfo[]> _files = new("FILE") { Description = "CSV, TSV or NDJSON, plain or .gz, in wide or long form; with --signal also WFDB (.hea) and EDF (.edf).", Arity = ArgumentArity.OneOrMore };
    private readonly Option<string?> _profile = new("--profile") { Description = "Profile of the configuration to use.", HelpName = "NAME" };
    private readonly Option<FileInfo?> _config = new("--config") { Description = "Configuration with the profile; without it one is made from the file's interval.", HelpName = "FILE" };
    private readonly Option<double> _warmup = new("--warmup") { Description = "Leading share of the frames that warms up and isn't judged.", DefaultValueFactory = _ => 0.25 };
    private readonly Option<string> _learning = new("--learning") { Description = "on: weights keep learning; off: all weights are frozen after the warm-up (level, seasons, hedge and intervals go on).", DefaultValueFactory = _ => "on", HelpName = "on|off" };
    private readonly Option<FileInfo?> _labels = new("--labels") { Description = "Ground truth, CSV stream,start,end,type.", HelpName = "FILE" };
    private readonly Option<FileInfo?> _json = new("--json") { Description = "Write the metrics as JSON.", HelpName = "OUT" };
    private readonly Option<FileInfo?> _predictions = new("--predictions") { Description = "Write every judged forecast as CSV.", HelpName = "OUT.csv" };
    private readonly Option<FileInfo?> _report = new("--report") { Description = "Write a report with charts, one HTML file.", HelpName = "OUT.html" };
    private readonly Option<ulong> _seed = new("--seed") { Description = "Seed of the network.", DefaultValueFactory = _ => 1 };
    private readonly Option<string[]> _covariates = new("--covariates") { Description = "Columns that are inputs of the others' forecasts, at most four.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<string[]> _known = new("--known") { Description = "Covariates whose future the forecasts may read, as --vintage says.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<string> _vintage = new("--vintage") { Description = "What is known of it: actual = the file's own values, which is an upper bound; day-old = yesterday's, issued once a day.", DefaultValueFactory = _ => "actual", HelpName = "actual|day-old" };
    private readonly Option<string[]> _columns = new("--columns") { Description = "Value columns to use; all numeric ones without it.", AllowMultipleArgumentsPerToken = true };

    private readonly CalendarOptions _calendar = new();
    private readonly Option<string?> _signal = new("--signal") { Description = "The files are signals: results per heart beat (ecg) or second (eeg), judged by --labels; no forecasts.", HelpName = "ecg|eeg" };

    public BacktestCommand()
        : base("backtest", "Replays files through the engine and judges every forecast when its target arrives.")
    {
        foreach (Symbol symbol in (Symbol[])[_files, _profile, _config, _warmup, _learning, _labels, _json, _predictions, _report, _seed, _columns, _covariates, _known, _vintage, _signal, .. _calendar.All])
        {
            if (symbol is Argument argument)
                Add(argument);
            else
                Add((Option)symbol);
        }

        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken stopping)
    {
        var errors = new List<string>();
        var files = parsed.GetValue(_files)!;
        foreach (var file in files)
        {
            if (!file.Exists)
                errors.Add($"There is no file '{file}'.");
        }

        var warmup = parsed.GetValue(_warmup);
        if (warmup is not (> 0 and < 1))
            errors.Add(string.Create(CultureInfo.InvariantCulture, $"--warmup {warmup}: a share between 0 and 1, both excluded."));
        var learning = parsed.GetValue(_learning)!;
        if (learning is not ("on" or "off"))
            errors.Add($"--learning {learning}: on or off.");
        var labels = new List<Label>();
        if (parsed.GetValue(_labels) is { } labelFile)
            errors.AddRange(LabelReader.Read(labelFile, labels));
        var configured = Configured(parsed, errors);
        var (zone, holidays) = _calendar.Read(parsed, errors, configured is not null);
        var signal = configured?.Signal ?? SignalKind.None;
        if (parsed.GetValue(_signal) is { } kind && (!Enum.TryParse(kind, ignoreCase: true, out signal) || signal == SignalKind.None || (configured is not null && configured.Signal != signal)))
            errors.Add($"--signal {kind}: ecg or eeg, and what the profile is if one is given.");
        if (signal != SignalKind.None)
            return errors.Count > 0 ? Terminal.Refuse(errors, "See streamlstm backtest --help.") : await SignalBacktestRun.RunAsync(files, signal, configured, warmup, labels, parsed.GetValue(_json), stopping);
        if (configured is { Channels.Count: > 1 })
            errors.Add($"Profile {configured.Name} has {configured.Channels.Count} channels; a backtest reads every column as a stream of its own.");
        errors.AddRange(SeriesFiles.CovariateErrors(parsed.GetValue(_covariates), configured is not null));
        var known = parsed.GetValue(_known) ?? [];
        if (known.Except(parsed.GetValue(_covariates) ?? []).Any())
            errors.Add($"--known: only columns named by --covariates; {string.Join(", ", known.Except(parsed.GetValue(_covariates) ?? []))} isn't.");
        if (parsed.GetValue(_vintage) is not ("actual" or "day-old"))
            errors.Add($"--vintage {parsed.GetValue(_vintage)}: actual or day-old.");
        if (errors.Count > 0)
            return Terminal.Refuse(errors, "See streamlstm backtest --help.");

        SeriesFiles data;
        try
        {
            data = SeriesFiles.Read(files, parsed.GetValue(_columns), configured?.Zone ?? zone, parsed.GetValue(_covariates));
        }
        catch (InvalidDataException e)
        {
            return Terminal.Refuse([e.Message], "See streamlstm backtest --help.");
        }

        var ordered = data.Rows;
        if (ordered.Count < 16 || (configured is null && data.Interval <= TimeSpan.Zero))
            return Terminal.Refuse([$"{ordered.Count} usable readings are too few for a backtest."], "See streamlstm backtest --help.");
        var profile = configured ?? data.ProfileFor(parsed.GetValue(_warmup), parsed.GetValue(_covariates)) with { Zone = zone, Holidays = holidays };
        if (known.Length > 0)
            profile = profile with { Outlooks = known.ToDictionary(c => c, c => (parsed.GetValue(_vintage) == "actual" ? OutlookVintages.Actual : OutlookVintages.DayOld) + c) };
        if (known.Length > 0 && parsed.GetValue(_vintage) == "actual")
            Terminal.Line($"Forecasts read the true future of {string.Join(", ", known)}: what they gain by it is an upper bound.");
        var elsewhere = labels.Select(l => l.Stream).Except(ordered.Select(r => r.Stream), StringComparer.Ordinal).Count();
        if (elsewhere > 0)
            Terminal.Line($"{elsewhere} of the labelled streams are not in the data.");
        if (data.Rejects > 0)
            Terminal.Line($"{data.Rejects} cells can't be used and are treated as missing.");
        var backtest = new Backtest(profile, warmup, learning == "on", parsed.GetValue(_seed));
        using var meters = new SilentMeterFactory();
        await using var predictions = parsed.GetValue(_predictions) is { } predictionFile ? new PredictionFile(predictionFile.FullName, profile, ordered) : null;
        var series = await Terminal.ProgressAsync(
            $"Backtest of {ordered.Count} readings",
            progress => backtest.RunAsync(ordered, labels, predictions is null ? null : predictions.Write, progress, NullLoggerFactory.Instance, meters, stopping));

        Print(series);
        if (parsed.GetValue(_json) is { } jsonFile)
            await File.WriteAllTextAsync(jsonFile.FullName, ToJson(series).ToJsonString(new JsonSerializerOptions { WriteIndented = true }) + "\n", stopping);
        if (parsed.GetValue(_report) is { } reportFile)
            await File.WriteAllTextAsync(reportFile.FullName, new BacktestReport(profile, series).Render(), stopping);
        return ExitCode.Ok;
    }

    private Profile? Configured(ParseResult parsed, List<string> errors)
    {
        var name = parsed.GetValue(_profile);
        if (parsed.GetValue(_config) is not { } config)
        {
            if (name is not null)
                errors.Add("--profile needs --config.");
            return null;
        }

        var (settings, problems) = ConfigurationLoader.Load(config.FullName);
        errors.AddRange(problems);
        if (settings is null)
            return null;
        if (name is null && settings.Profiles.Count == 1)
            return settings.Profiles.First();
        var profile = settings.Profiles.FirstOrDefault(p => p.Name == name);
        if (profile is null)
            errors.Add($"--profile {name ?? "(none)"}: one of {string.Join(", ", settings.Profiles.Select(p => p.Name))}.");
        return profile;
    }

    private static void Print(IReadOnlyList<BacktestSeries> series)
    {
        foreach (var s in series)
        {
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{s.Stream}: {s.Evaluation.Frames} frames"));
            var level = s.Evaluation.Grid.Intervals is [var widest, ..] ? $"{100 * widest.Level:0}" : "";
            Console.WriteLine($"    h  scope  method                      n        MSE       RMSE        MAE   MAPE %   MASE       CRPS  cover{level,-2}    width{level,-2}  Winkler{level,-2}");
            foreach (var h in s.Evaluation.ReportedSteps)
            {
                foreach (var mean in h == 1 ? [false] : new[] { false, true })
                {
                    foreach (var method in s.Evaluation.Methods)
                    {
                        var m = s.Evaluation.Sums(method, h, mean);
                        if (m.Count == 0)
                            continue;
                        var line = string.Create(
                            CultureInfo.InvariantCulture,
                            $"{h,5}  {(mean ? "mean" : "step"),-5}  {method,-20} {m.Count,8} {m.MeanSquaredError,10:G5} {m.RootMeanSquaredError,10:G5} {m.MeanAbsoluteError,10:G5} {Terminal.Number(m.MeanAbsolutePercentageError, "F2"),8} {Terminal.Number(m.MeanAbsoluteError / s.Evaluation.Scale, "F3"),6} {m.ContinuousRankedProbabilityScore,10:G5}");
                        if (m.Probabilistic && level.Length > 0)
                            line += string.Create(CultureInfo.InvariantCulture, $" {m.Coverage(0),8:F3} {m.Width(0),10:G5} {m.Winkler(0),10:G5}");
                        Console.WriteLine(line);
                    }
                }
            }

            if (s.Detection is { } d)
                Console.WriteLine($"  detection: precision {Terminal.Number(d.Precision)}, recall {Terminal.Number(d.Recall)}, delay {Terminal.Number(d.DelaySeconds, "0")} s, false per day {Terminal.Number(d.FalsePerDay)}");
        }

        if (Pooled(series) is { } all)
            PrintDetection(all, "the end of the frame that told of it");
    }

    /// <param name="known">What a delay reaches to.</param>
    internal static void PrintDetection(DetectionQuality all, string known)
    {
        Console.WriteLine($"detection, all streams; faults by their own type, alarms by theirs; delay = median from the fault's start to {known}");
        Console.WriteLine("type            faults  found  recall   delay s  alarms  right  precision  false per stream and day");
        foreach (var (type, t) in all.ByType.Append(new KeyValuePair<string, DetectionTally>("all", all)))
            Console.WriteLine($"{type,-14} {t.Faults,7} {t.Found,6} {Terminal.Number(t.Recall),7} {Terminal.Number(t.DelaySeconds, t.DelaySeconds < 60 ? "0.0" : "0"),9} {t.Episodes,7} {t.Right,6} {Terminal.Number(t.Precision),10} {Terminal.Number(t.FalsePerDay),8}");
    }

    private static DetectionQuality? Pooled(IReadOnlyList<BacktestSeries> series) =>
        Pool(series.Select(s => s.Detection));

    /// <summary>Null if none was judged.</summary>
    internal static DetectionQuality? Pool(IEnumerable<DetectionQuality?> series)
    {
        DetectionQuality[] judged = [.. series.OfType<DetectionQuality>()];
        return judged.Length > 0 ? DetectionQuality.Pool(judged) : null;
    }

    private static JsonObject ToJson(IReadOnlyList<BacktestSeries> all)
    {
        var series = new JsonArray();
        foreach (var s in all)
        {
            var metrics = new JsonArray();
            var hours = new JsonArray();
            var experts = new JsonArray();
            foreach (var h in s.Evaluation.ReportedSteps)
            {
                foreach (var mean in new[] { false, true })
                {
                    AddExperts(s.Evaluation, h, mean, experts);
                    foreach (var method in s.Evaluation.Methods)
                    {
                        if (Metrics(s.Evaluation, method, h, mean, null) is { } whole)
                            metrics.Add(whole);
                        for (var hour = 0; s.Evaluation.Hours > 1 && hour < s.Evaluation.Hours; hour++)
                        {
                            if (Metrics(s.Evaluation, method, h, mean, hour) is { } part)
                                hours.Add(part);
                        }
                    }
                }
            }

            series.Add(new JsonObject
            {
                ["stream"] = s.Stream,
                ["frames"] = s.Evaluation.Frames,
                ["metrics"] = metrics,
                ["hours"] = hours,
                ["experts"] = experts,
                ["detection"] = s.Detection is { } d ? Detection(d) : null,
            });
        }

        var result = new JsonObject { ["series"] = series };
        if (Pooled(all) is { } pooled)
            result["detection"] = Detection(pooled);
        return result;
    }

    internal static JsonObject Detection(DetectionQuality quality)
    {
        static JsonObject Figures(DetectionTally t) => new()
        {
            ["precision"] = t.Precision,
            ["recall"] = t.Recall,
            ["false_per_day"] = t.FalsePerDay,
            ["delay_s"] = t.DelaySeconds,
            ["faults"] = t.Faults,
            ["found"] = t.Found,
            ["episodes"] = t.Episodes,
            ["right"] = t.Right,
        };
        var result = Figures(quality);
        result["by_type"] = new JsonObject(quality.ByType.Select(t => new KeyValuePair<string, JsonNode?>(t.Key, Figures(t.Value))));
        return result;
    }

    /// <summary>The members of the mixture, each with the mixture's error on the same targets.</summary>
    private static void AddExperts(SeriesEvaluation evaluation, int h, bool mean, JsonArray experts)
    {
        foreach (var expert in Enum.GetValues<Expert>())
        {
            if (evaluation.ExpertErrors(expert, h, mean) is not var (count, own, model))
                continue;
            experts.Add(new JsonObject
            {
                ["expert"] = expert.ToString().ToLowerInvariant(),
                ["h"] = h,
                ["scope"] = mean ? "mean" : "step",
                ["n"] = count,
                ["mse"] = own,
                ["streamlstm_mse"] = model,
            });
        }
    }

    private static JsonObject? Metrics(SeriesEvaluation evaluation, string method, int h, bool mean, int? hour)
    {
        var m = evaluation.Sums(method, h, mean, hour);
        if (m.Count == 0)
            return null;
        var result = new JsonObject
        {
            ["method"] = method,
            ["h"] = h,
            ["scope"] = mean ? "mean" : "step",
            ["n"] = m.Count,
            ["mse"] = m.MeanSquaredError,
            ["rmse"] = m.RootMeanSquaredError,
            ["mae"] = m.MeanAbsoluteError,
            ["mape"] = m.MeanAbsolutePercentageError,
            ["mase"] = m.MeanAbsoluteError / evaluation.Scale,
            ["pinball"] = m.Pinball,
            ["crps"] = m.ContinuousRankedProbabilityScore,
            ["coverage"] = ByLevel(m, m.Coverage),
            ["width"] = ByLevel(m, m.Width),
            ["winkler"] = ByLevel(m, m.Winkler),
        };
        if (hour is { } part)
            result["hour"] = part * 24 / evaluation.Hours;
        return result;
    }

    /// <summary>Central intervals by their level, as <c>{"0.9": …}</c>; empty for point methods.</summary>
    private static JsonObject ByLevel(ErrorSums sums, Func<int, double> measure)
    {
        var result = new JsonObject();
        for (var i = 0; sums.Probabilistic && i < sums.Grid.Intervals.Count; i++)
            result[sums.Grid.Intervals[i].Level.ToString(CultureInfo.InvariantCulture)] = measure(i);
        return result;
    }

    /// <summary>Writes <c>stream,issued_at,target,h,method,q,value,y</c>.</summary>
    private sealed class PredictionFile : IAsyncDisposable
    {
        private readonly StreamWriter _writer;
        private readonly IReadOnlyList<double> _levels;
        private readonly Dictionary<(string, long), double> _actual = [];
        private readonly long _interval;

        public PredictionFile(string path, Profile profile, IReadOnlyList<BacktestRow> rows)
        {
            _levels = profile.Quantiles;
            _interval = (long)profile.Interval.TotalMicroseconds;
            foreach (var row in rows)
                _actual[(row.Stream, row.TimeMicros / _interval)] = row.Value;
            _writer = new StreamWriter(path);
            _writer.WriteLine("stream,issued_at,target,h,method,q,value,y");
        }

        public void Write(string stream, long issuedAt, long target, int h, ReadOnlySpan<float> quantiles)
        {
            var y = _actual.TryGetValue((stream, target / _interval), out var actual) ? actual.ToString("R", CultureInfo.InvariantCulture) : "";
            var name = stream.Contains(',', StringComparison.Ordinal) ? $"\"{stream}\"" : stream;
            for (var i = 0; i < quantiles.Length; i++)
            {
                _writer.WriteLine(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{name},{UnixMicros.ToDateTimeOffset(issuedAt):yyyy-MM-ddTHH:mm:ssZ},{UnixMicros.ToDateTimeOffset(target):yyyy-MM-ddTHH:mm:ssZ},{h},{SeriesEvaluation.Model},{_levels[i]},{quantiles[i]:R},{y}"));
            }
        }

        public ValueTask DisposeAsync() => _writer.DisposeAsync();
    }
}

/// <summary>Meters that nobody listens to.</summary>
internal sealed class SilentMeterFactory : IMeterFactory
{
    private readonly List<Meter> _meters = [];

    public Meter Create(MeterOptions options)
    {
        var meter = new Meter(options);
        _meters.Add(meter);
        return meter;
    }

    public void Dispose()
    {
        foreach (var meter in _meters)
            meter.Dispose();
    }
}
