using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging.Abstractions;
using StreamLstm.Core.Forecasting;
using StreamLstm.Runtime.Evaluation;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Worker.Commands;

/// <summary>
/// <c>benchmark forecast FILE…</c>: backtests files one by one, with learning and with weights frozen after the warm-up, and says for every series
/// whether the forecasts keep what they promise.
/// </summary>
internal sealed class BenchmarkForecastCommand : Command
{
    private readonly Argument<FileInfo[]> _files = new("FILE") { Description = "CSV, TSV or NDJSON, plain or .gz.", Arity = ArgumentArity.OneOrMore };
    private readonly Option<double> _warmup = new("--warmup") { Description = "Leading share of the frames that warms up and isn't judged.", DefaultValueFactory = _ => 0.25 };
    private readonly Option<string[]> _covariates = new("--covariates") { Description = "Columns that are inputs of the others' forecasts, at most four.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<string[]> _columns = new("--columns") { Description = "Value columns to use; all numeric ones without it.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<FileInfo?> _json = new("--json") { Description = "Write the rows as JSON.", HelpName = "OUT" };
    private readonly Option<ulong> _seed = new("--seed") { Description = "Seed of the network.", DefaultValueFactory = _ => 1 };
    private readonly Option<bool> _frozen = new("--frozen") { Description = "Run every file a second time with weights frozen after the warm-up.", DefaultValueFactory = _ => true };
    private readonly CalendarOptions _calendar = new();

    public BenchmarkForecastCommand()
        : base("forecast", "Backtests of files one by one: skill, the mixture against its members, coverage by hour, learning on and off.")
    {
        Add(_files);
        foreach (var option in new Option[] { _warmup, _columns, _covariates, _json, _seed, _frozen }.Concat(_calendar.All))
            Add(option);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken stopping)
    {
        var files = parsed.GetValue(_files)!;
        var warmup = parsed.GetValue(_warmup);
        var errors = files.Where(f => !f.Exists).Select(f => $"There is no file '{f}'.").ToList();
        if (warmup is not (> 0 and < 1))
            errors.Add(string.Create(CultureInfo.InvariantCulture, $"--warmup {warmup}: a share between 0 and 1, both excluded."));
        errors.AddRange(SeriesFiles.CovariateErrors(parsed.GetValue(_covariates), configured: false));
        var (zone, holidays) = _calendar.Read(parsed, errors);
        if (errors.Count > 0)
            return Terminal.Refuse(errors, "See streamlstm benchmark forecast --help.");
        var rows = new JsonArray();
        Console.WriteLine("file and series                           frames  skill day  skill 24  best expert     ratio 24  ratio K  cover90 24  worst h  cover90 K  MAPE 24  linear  frozen/learning");
        foreach (var file in files)
        {
            SeriesFiles data;
            try
            {
                data = SeriesFiles.Read([file], parsed.GetValue(_columns), zone, parsed.GetValue(_covariates));
            }
            catch (InvalidDataException e)
            {
                return Terminal.Refuse([e.Message], "See streamlstm benchmark forecast --help.");
            }

            if (data.Rows.Count < 16 || data.Interval <= TimeSpan.Zero)
                return Terminal.Refuse([$"{file}: {data.Rows.Count} usable readings are too few."], "See streamlstm benchmark forecast --help.");
            var profile = data.ProfileFor(warmup, parsed.GetValue(_covariates)) with { Zone = zone, Holidays = holidays };
            var learning = await BacktestAsync(file, data, profile, parsed, true, stopping);
            var frozen = parsed.GetValue(_frozen) ? await BacktestAsync(file, data, profile, parsed, false, stopping) : null;
            for (var i = 0; i < learning.Count; i++)
            {
                var row = Row(learning[i], frozen?[i]);
                row.Insert(0, "file", file.Name);
                rows.Add(row);
                Print(row);
            }
        }

        if (parsed.GetValue(_json) is { } json)
            await File.WriteAllTextAsync(json.FullName, new JsonObject { ["seed"] = parsed.GetValue(_seed), ["rows"] = rows }.ToJsonString(new JsonSerializerOptions { WriteIndented = true }) + "\n", stopping);
        return ExitCode.Ok;
    }

    private async Task<IReadOnlyList<BacktestSeries>> BacktestAsync(FileInfo file, SeriesFiles data, Profile profile, ParseResult parsed, bool learning, CancellationToken stopping)
    {
        var backtest = new Backtest(profile, parsed.GetValue(_warmup), learning, parsed.GetValue(_seed));
        using var meters = new SilentMeterFactory();
        return await Terminal.ProgressAsync(
            $"{file.Name}, {(learning ? "learning" : "frozen")}",
            progress => backtest.RunAsync(data.Rows, [], null, progress, NullLoggerFactory.Instance, meters, stopping));
    }

    private static JsonObject Row(BacktestSeries series, BacktestSeries? frozen)
    {
        var e = series.Evaluation;
        var far = e.ReportedSteps[^1];
        var day = e.ReportedSteps.Contains(24) ? 24 : far;
        var model = e.Sums(SeriesEvaluation.Model, far, true);
        var at = e.Sums(SeriesEvaluation.Model, day, false);
        var row = new JsonObject
        {
            ["series"] = series.Stream,
            ["frames"] = e.Frames,
            ["h"] = day,
            ["last_h"] = far,
            ["skill"] = Number(Skill(e, far, true)),
            ["skill_h"] = Number(Skill(e, day, true)),
            ["coverage90"] = Number(at.Count > 0 ? at.Coverage(0) : null),
            ["coverage90_worst_hour"] = Number(Enumerable.Range(0, e.Hours).Select(h => e.Sums(SeriesEvaluation.Model, day, false, h)).Where(s => s.Count >= 50).Select(s => (double?)s.Coverage(0)).DefaultIfEmpty(null).Min()),
            ["coverage90_last_h"] = Number(model.Count > 0 ? e.Sums(SeriesEvaluation.Model, far, false).Coverage(0) : null),
            ["mse"] = Number(model.Count > 0 ? model.MeanSquaredError : null),
            ["mae"] = Number(model.Count > 0 ? model.MeanAbsoluteError : null),
            ["mape"] = Number(model.MeanAbsolutePercentageError),
            ["mape_linear"] = Number(e.Sums(SeriesEvaluation.Linear, far, true).MeanAbsolutePercentageError),
        };
        Best(e, day, row, "h");
        Best(e, far, row, "last_h");
        foreach (var expert in Enum.GetValues<Expert>())
        {
            if (e.ExpertErrors(expert, far, true) is var (_, own, _))
                row["mse_" + expert.ToString().ToLowerInvariant()] = own;
        }

        if (frozen is not null)
            row["frozen_mse"] = Number(frozen.Evaluation.Sums(SeriesEvaluation.Model, far, true) is { Count: > 0 } f ? f.MeanSquaredError : null);
        return row;
    }

    /// <summary>1 − MAE/MAE of the better of the seasonal naive forecasts; of the last value for series without seasons.</summary>
    private static double? Skill(SeriesEvaluation e, int h, bool mean)
    {
        var naive = e.Methods.Where(m => m is SeriesEvaluation.Day or SeriesEvaluation.Week).DefaultIfEmpty(SeriesEvaluation.Last).Select(m => e.Sums(m, h, mean)).Where(s => s.Count > 0).ToList();
        return naive.Count == 0 ? null : 1 - (e.Sums(SeriesEvaluation.Model, h, mean).MeanAbsoluteError / naive.Min(s => s.MeanAbsoluteError));
    }

    /// <summary>The member with the least mean squared error over steps 1…h, and how the mixture compares on the same targets.</summary>
    private static void Best(SeriesEvaluation e, int h, JsonObject row, string suffix)
    {
        var best = Enum.GetValues<Expert>().Select(x => (Expert: x, Errors: e.ExpertErrors(x, h, true))).Where(x => x.Errors is not null).MinBy(x => x.Errors!.Value.Expert);
        row["best_expert_" + suffix] = best.Errors is null ? null : best.Expert.ToString().ToLowerInvariant();
        row["ratio_to_best_expert_" + suffix] = Number(best.Errors is var (_, own, model) && own > 0 ? model / own : null);
    }

    private static JsonNode? Number(double? v) => v is { } x && double.IsFinite(x) ? JsonValue.Create(x) : null;

    private static void Print(JsonObject row)
    {
        string Cell(string name, string format = "F3") => Terminal.Number((double?)row[name], format);
        var frozen = row["frozen_mse"] is { } f && (double?)row["mse"] is > 0 ? Terminal.Number((double)f / (double)row["mse"]!, "F3") : "-";
        Console.WriteLine(
            $"{$"{row["file"]} {row["series"]}",-40} {row["frames"],7} {Cell("skill"),10} {Cell("skill_h"),9}  {row["best_expert_last_h"],-12} {Cell("ratio_to_best_expert_h"),11} {Cell("ratio_to_best_expert_last_h"),8} {Cell("coverage90"),11} {Cell("coverage90_worst_hour"),8} {Cell("coverage90_last_h"),10} {Cell("mape", "F2"),8} {Cell("mape_linear", "F2"),7} {frozen,10}");
    }
}
