using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging.Abstractions;
using StreamLstm.Connectors.Files;
using StreamLstm.Runtime.Evaluation;

namespace StreamLstm.Worker.Commands;

/// <summary><c>benchmark</c>: public benchmarks in their own protocols.</summary>
internal sealed class BenchmarkCommand : Command
{
    public BenchmarkCommand()
        : base("benchmark", "Public benchmarks in their own protocols.")
    {
        Add(new BenchmarkOnlineCommand());
        Add(new BenchmarkForecastCommand());
        Add(new NabCommand());
        Add(new BenchmarkDetectionCommand());
        Add(new EcgCommand());
        Add(new EegCommand());
    }
}

/// <summary><c>benchmark online FILE</c>: the 20:5:75 protocol of online forecasting, without leakage.</summary>
internal sealed class BenchmarkOnlineCommand : Command
{
    private readonly Argument<FileInfo> _file = new("FILE") { Description = "Wide CSV, plain or .gz; every numeric column is a channel." };
    private readonly Option<FileInfo?> _json = new("--json") { Description = "Write the rows as JSON.", HelpName = "OUT" };
    private readonly Option<ulong> _seed = new("--seed") { Description = "Seed of the network.", DefaultValueFactory = _ => 1 };

    public BenchmarkOnlineCommand()
        : base("online", "Online forecasting, 20:5:75: 1, 24 and 48 steps ahead, z-scored by the train part.")
    {
        Add(_file);
        Add(_json);
        Add(_seed);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken stopping)
    {
        var file = parsed.GetValue(_file)!;
        if (!file.Exists)
            return Terminal.Refuse([$"There is no file '{file}'."], "See streamlstm benchmark online --help.");
        SeriesFiles data;
        try
        {
            data = SeriesFiles.Read([file], null, TimeZoneInfo.Utc);
        }
        catch (InvalidDataException e)
        {
            return Terminal.Refuse([e.Message], "See streamlstm benchmark online --help.");
        }

        if (data.Interval <= TimeSpan.Zero || Borders(data) is not { } borders || borders.End - borders.TestFrom < OnlineBenchmark.Horizons[^1])
            return Terminal.Refuse([$"{data.Rows.Count} usable readings are too few for the benchmark."], "See streamlstm benchmark online --help.");
        var seed = parsed.GetValue(_seed);
        var profile = SeriesFiles.ProfileFor(data.Interval) with { HorizonSteps = OnlineBenchmark.Horizons[^1] };
        var benchmark = new OnlineBenchmark(profile, borders, seed);
        var dataset = TabularReader.StreamNameOf(file.Name);
        using var meters = new SilentMeterFactory();
        var rows = await Terminal.ProgressAsync(
            $"Online benchmark on {dataset}",
            progress => benchmark.RunAsync(data.Rows, progress, NullLoggerFactory.Instance, meters, stopping));

        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{dataset}: train {borders.Train} frames, test {borders.TestFrom} to {borders.End}, seed {seed}"));
        Console.WriteLine("method                   h        MSE        MAE");
        foreach (var row in rows)
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{row.Method,-20} {row.H,5} {row.MeanSquaredError,10:F4} {row.MeanAbsoluteError,10:F4}"));
        if (parsed.GetValue(_json) is { } json)
            await File.WriteAllTextAsync(json.FullName, ToJson(dataset, rows, seed).ToJsonString(new JsonSerializerOptions { WriteIndented = true }) + "\n", stopping);
        return ExitCode.Ok;
    }

    /// <summary>
    /// Files of the ETT family (by their header): 4, 1 and 15 months of 30 days, which is 2880, 3600 and 14400 rows of an hour. Others:
    /// 20, 5 and 75 % of the frames.
    /// </summary>
    private static BenchmarkBorders? Borders(SeriesFiles data)
    {
        if (data.Rows.Count == 0)
            return null;
        var interval = (long)data.Interval.TotalMicroseconds;
        var frames = (data.Rows[^1].TimeMicros / interval) - (data.Rows[0].TimeMicros / interval) + 1;
        if (data.Shape.TimeColumn == "date" && data.Shape.ValueColumns is ["HUFL", ..])
        {
            var month = (long)(TimeSpan.FromDays(30) / data.Interval);
            return new BenchmarkBorders(4 * month, 5 * month, Math.Min(20 * month, frames));
        }

        return new BenchmarkBorders(frames / 5, frames / 4, frames);
    }

    private static JsonObject ToJson(string dataset, IEnumerable<BenchmarkRow> rows, ulong seed) => new()
    {
        ["dataset"] = dataset,
        ["rows"] = new JsonArray([.. rows.Select(r => new JsonObject
        {
            ["method"] = r.Method,
            ["h"] = r.H,
            ["mse"] = r.MeanSquaredError,
            ["mae"] = r.MeanAbsoluteError,
            ["seed"] = seed,
        })]),
    };
}
