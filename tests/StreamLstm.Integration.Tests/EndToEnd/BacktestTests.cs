using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using StreamLstm.Integration.Tests.Crash;
using StreamLstm.Integration.Tests.Simulation;

namespace StreamLstm.Integration.Tests.EndToEnd;

/// <summary><c>backtest</c> and <c>benchmark online</c> as a user runs them.</summary>
[Trait("Category", "E2E")]
public sealed class BacktestTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("streamlstm-backtest-test-");

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public async Task A_backtest_compares_with_every_baseline_and_reports_by_stream_and_hour()
    {
        var file = await WriteAsync("two.csv", "time,east,west", 28 * 24, (t, random) => [Load(t, random), 3 * Load(t + 5, random)]);
        var json = Path.Combine(_folder.FullName, "out.json");
        var html = Path.Combine(_folder.FullName, "out.html");
        using var backtest = WorkerProcess.Start("backtest", file, "--json", json, "--report", html);
        Assert.True(await backtest.WaitAsync(TimeSpan.FromSeconds(60)) == 0, backtest.Log);

        var series = JsonNode.Parse(await File.ReadAllTextAsync(json, Cancel))!["series"]!.AsArray();
        Assert.Equal(["east", "west"], series.Select(s => s!["stream"]!.GetValue<string>()));
        foreach (var s in series)
        {
            Assert.Equal(28 * 24, s!["frames"]!.GetValue<int>());
            Assert.Null(s["detection"]);
            var metrics = s["metrics"]!.AsArray();
            foreach (var method in new[] { "streamlstm", "last", "seasonal_naive_day", "seasonal_naive_week", "holt_winters", "linear" })
            {
                var day = metrics.Single(m => (string)m!["method"]! == method && (int)m["h"]! == 24 && (string)m["scope"]! == "mean")!;
                foreach (var measure in new[] { "mse", "mae", "mape", "mase", "pinball", "rmse", "crps" })
                    Assert.True((double)day[measure]! > 0, $"{method} {measure}");
                Assert.Equal(method == "streamlstm", day["coverage"]!.AsObject().ContainsKey("0.9"));
            }

            var own = metrics.First(m => (string)m!["method"]! == "streamlstm")!;
            Assert.InRange((double)own["coverage"]!["0.9"]!, 0.7, 1);
            Assert.True((double)own["winkler"]!["0.9"]! >= (double)own["width"]!["0.9"]!);
            Assert.Equal(Enumerable.Range(0, 24), s["hours"]!.AsArray().Select(m => (int)m!["hour"]!).Distinct().Order());
        }

        var report = await File.ReadAllTextAsync(html, Cancel);
        Assert.Contains("<svg", report, StringComparison.Ordinal);
        Assert.Contains("<h2>west</h2>", report, StringComparison.Ordinal);
        foreach (var outside in new[] { "http://", "https://", "<script", "<link", "@import", "url(", " src=", "NaN" })
            Assert.DoesNotContain(outside, report, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task The_online_benchmark_scales_by_the_train_part_and_judges_only_whole_forecasts_of_the_test_part()
    {
        // Channel b is a, a thousand times as large: z-scored, the baselines' errors are the same as with a alone.
        var frames = 40 * 24;
        var one = await WriteAsync("one.csv", "time,a", frames, (t, random) => [Load(t, random)]);
        var two = await WriteAsync("two.csv", "time,a,b", frames, (t, random) => Load(t, random) is var v ? [v, 1000 * v] : []);
        var a = await BenchmarkAsync(one);
        var b = await BenchmarkAsync(two);
        Assert.Equal("one", (string)a["dataset"]!);
        Assert.Equal(6 * 3, a["rows"]!.AsArray().Count);
        Assert.All(a["rows"]!.AsArray(), r => Assert.Equal(["method", "h", "mse", "mae", "seed"], r!.AsObject().Select(p => p.Key)));
        Assert.All(a["rows"]!.AsArray(), r => Assert.Equal(7, (int)r!["seed"]!));
        var values = (await File.ReadAllLinesAsync(one, Cancel)).Skip(1).Select(l => double.Parse(l.Split(',')[1], CultureInfo.InvariantCulture)).ToArray();
        foreach (var h in new[] { 1, 24, 48 })
        {
            // By definition: origins from the last frame before the test part to the last with all its targets in it.
            var train = values[..(frames / 5)];
            var variance = train.Average(v => Math.Pow(v - train.Average(), 2));
            var squares = Enumerable.Range((frames / 4) - 1, frames - h - (frames / 4) + 1).SelectMany(o => Enumerable.Range(1, h).Select(s => Math.Pow(values[o + s] - values[o], 2)));
            Assert.Equal(squares.Average() / variance, Mse(a, "last", h), 1e-5);
            Assert.Equal(Mse(a, "last", h), Mse(b, "last", h), 1e-5);
            Assert.Equal(Mse(a, "linear", h), Mse(b, "linear", h), 1e-4);
        }

        Assert.True(Mse(a, "streamlstm", 24) < Mse(a, "last", 24));
    }

    [Fact]
    public async Task Labels_of_the_simulator_give_a_report_by_type_of_fault()
    {
        var (data, labels, json) = (Path.Combine(_folder.FullName, "load.ndjson.gz"), Path.Combine(_folder.FullName, "labels.csv"), Path.Combine(_folder.FullName, "out.json"));
        var (exit, _, error) = await SimulatorProcess.RunAsync(
            "load", "--streams", "12", "--duration", "42d", "--interval", "30m", "--fault-rate", "0.25", "--fault-types", "spike,level_shift,dropout,theft", "--seed", "3", "--to", "file:" + data, "--labels", labels);
        Assert.True(exit == 0, error);
        await File.AppendAllTextAsync(labels, "nobody,2026-02-01T00:00:00Z,2026-02-02T00:00:00Z,spike\n", Cancel);
        using var backtest = WorkerProcess.Start("backtest", data, "--labels", labels, "--warmup", "0.5", "--json", json);
        Assert.True(await backtest.WaitAsync(TimeSpan.FromSeconds(120)) == 0, backtest.Log);

        var report = JsonNode.Parse(await File.ReadAllTextAsync(json, Cancel))!;
        var detection = report["detection"]!;
        var types = detection["by_type"]!.AsObject();
        var judged = (await File.ReadAllLinesAsync(labels, Cancel)).Skip(1).Select(l => l.Split(',')).Where(l => l[0] != "nobody" && string.CompareOrdinal(l[1], "2026-01-26T00:00:00Z") >= 0).ToArray();
        foreach (var type in new[] { "spike", "level_shift", "dropout", "theft" })
        {
            Assert.Equal(judged.Count(l => l[3] == type), (int)types[type]!["faults"]!);
            Assert.True((int)types[type]!["faults"]! > 3, type);
        }

        // What stands out by four deviations or goes silent must be found, and soon.
        Assert.InRange((double)types["spike"]!["recall"]!, 0.5, 1);
        Assert.InRange((double)types["dropout"]!["recall"]!, 0.8, 1);
        Assert.InRange((double)types["spike"]!["delay_s"]!, 0, 2 * 3600);
        Assert.InRange((double)detection["precision"]!, 0.3, 1);
        Assert.InRange((double)detection["false_per_day"]!, 0, 0.5);
        Assert.Equal((int)detection["episodes"]!, types.Sum(t => (int)t.Value!["episodes"]!));
        Assert.Equal((int)detection["found"]!, report["series"]!.AsArray().Sum(s => (int)s!["detection"]!["found"]!));
        foreach (var text in new[] { "detection, all streams", "theft", "1 of the labelled streams are not in the data" })
            Assert.Contains(text, backtest.Log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_that_is_too_short_is_refused()
    {
        var file = await WriteAsync("short.csv", "time,a", 40, (t, random) => [Load(t, random)]);
        using var benchmark = WorkerProcess.Start("benchmark", "online", file);
        Assert.Equal(2, await benchmark.WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.Contains("too few", benchmark.Log, StringComparison.Ordinal);
    }

    private async Task<JsonObject> BenchmarkAsync(string file)
    {
        var json = file + ".json";
        using var benchmark = WorkerProcess.Start("benchmark", "online", file, "--json", json, "--seed", "7");
        Assert.True(await benchmark.WaitAsync(TimeSpan.FromSeconds(60)) == 0, benchmark.Log);
        return JsonNode.Parse(await File.ReadAllTextAsync(json, Cancel))!.AsObject();
    }

    private static double Mse(JsonObject result, string method, int h) =>
        (double)result["rows"]!.AsArray().Single(r => (string)r!["method"]! == method && (int)r["h"]! == h)!["mse"]!;

    private async Task<string> WriteAsync(string name, string header, int frames, Func<int, Random, double[]> values)
    {
        var random = new Random(5);
        var text = new StringBuilder(header).Append('\n');
        var start = new DateTime(2026, 1, 5, 0, 0, 0, DateTimeKind.Utc);
        for (var t = 0; t < frames; t++)
            text.Append(CultureInfo.InvariantCulture, $"{start.AddHours(t):yyyy-MM-ddTHH:mm:ssZ},{string.Join(',', values(t, random).Select(v => v.ToString("R", CultureInfo.InvariantCulture)))}\n");
        var file = Path.Combine(_folder.FullName, name);
        await File.WriteAllTextAsync(file, text.ToString(), Cancel);
        return file;
    }

    private static double Load(int t, Random random) => 100 + (30 * Math.Sin(2 * Math.PI * t / 24)) - (t / 24 % 7 >= 5 ? 15 : 0) + (4 * random.NextDouble());
}
