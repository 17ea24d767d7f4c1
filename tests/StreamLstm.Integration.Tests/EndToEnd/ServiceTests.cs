using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using StreamLstm.Integration.Tests.Crash;
using StreamLstm.Integration.Tests.Mqtt;
using StreamLstm.Integration.Tests.Simulation;

namespace StreamLstm.Integration.Tests.EndToEnd;

/// <summary>The real worker as its users meet it: process, broker, HTTP, files, exit codes.</summary>
[Trait("Category", "E2E")]
public sealed class ServiceTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("streamlstm-e2e-");
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(10) };
    private readonly int _port = WorkerProcess.FreePort();

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private string Results => Path.Combine(_folder.FullName, "results.ndjson");

    public void Dispose()
    {
        _http.Dispose();
        _folder.Delete(recursive: true);
    }

    [Fact]
    public async Task A_meter_file_replayed_through_a_broker_comes_out_as_results_forecasts_and_episodes_on_topics()
    {
        await using var broker = await MosquittoServer.StartAsync("max_queued_messages 0");
        var file = Path.Combine(_folder.FullName, "meter-7.csv");
        await WriteMeterAsync(file, days: 21);
        var config = Configure(
            new JsonObject { ["meters"] = CrashHarness.MqttSource(broker.Port) },
            new JsonObject { ["bus"] = new JsonObject { ["Type"] = "mqtt", ["Broker"] = $"mqtt://127.0.0.1:{broker.Port}", ["ClientId"] = "out" } });
        using var worker = WorkerProcess.Start("run", "--config", config);
        await UntilReadyAsync(worker);
        const string filter = "streamlstm/#";
        await broker.SubscribeAsync("witness", filter);
        var (exit, _, error) = await SimulatorProcess.RunAsync("replay", file, "--to", $"mqtt://127.0.0.1:{broker.Port}", "--speed", "0");
        Assert.True(exit == 0, error);
        await UntilAsync(async () => await Json("/api/v1/streams/meter-7") is not null, worker);
        await UntilAsync(() => Task.FromResult(CountResults() == 21 * 96), worker);
        await Task.Delay(500, Cancel);

        var messages = await broker.ReceiveAsync("witness", filter, (2 * 21 * 96) - 50);
        Assert.Contains(messages, m => m.StartsWith("streamlstm/meter-7/result {\"schema\":1,\"stream\":\"meter-7\"", StringComparison.Ordinal));
        var forecast = JsonNode.Parse(messages.Last(m => m.StartsWith("streamlstm/meter-7/forecast ", StringComparison.Ordinal))["streamlstm/meter-7/forecast ".Length..])!;
        Assert.Equal(96, forecast["forecast"]!["values"]!.AsArray().Count);
        Assert.Contains(messages, m => m.StartsWith("streamlstm/meter-7/episode ", StringComparison.Ordinal) && m.Contains("\"type\":\"spike\"", StringComparison.Ordinal));
        var metrics = await _http.GetStringAsync($"http://127.0.0.1:{_port}/metrics", Cancel);
        Assert.Contains("streamlstm_samples_total{outcome=\"accepted\"} 2016", metrics, StringComparison.Ordinal);
        Assert.Contains("anomaly_score{stream=\"meter-7\",profile=\"load\"}", metrics, StringComparison.Ordinal);
        Assert.Equal(0, await worker.TerminateAsync(TimeSpan.FromSeconds(30)));
    }

    [Fact]
    public async Task Bad_input_is_dead_lettered_with_reason_and_position_and_other_streams_do_not_notice()
    {
        await using var broker = await MosquittoServer.StartAsync();
        var config = Configure(
            new JsonObject { ["meters"] = CrashHarness.MqttSource(broker.Port), ["push"] = new JsonObject { ["Type"] = "http" } },
            [],
            new JsonObject { ["MaxStreamsPartition"] = 1 });
        using var worker = WorkerProcess.Start("run", "--config", config);
        await UntilReadyAsync(worker);
        var time = "2026-01-05T00:00:00Z";
        await broker.PublishAsync("meters/good/reading", $$"""{"time":"{{time}}","value":1}""");
        // Its place in the partition is taken before the crowd below comes by another way.
        await UntilAsync(() => Task.FromResult(Lines().Any(l => l.Contains("\"stream\":\"good\"", StringComparison.Ordinal))), worker);
        await broker.PublishAsync("meters/a/reading", "{\"time\":");
        await broker.PublishAsync("meters/b/reading", $$"""{"time":"{{time}}"}""");
        await broker.PublishAsync("meters/c/reading", $$"""{"time":"{{time}}","value":"NaN"}""");
        await broker.PublishAsync("meters/d/reading", """{"time":"2100-01-01T00:00:00Z","value":1}""");
        await broker.PublishAsync("meters/e/reading", """{"time":"yesterday","value":1}""");
        await broker.PublishAsync("meters/f/reading", "\u0001\u0002binary\u0003");
        var big = Path.Combine(_folder.FullName, "big");
        await File.WriteAllTextAsync(big, "{\"value\":\"" + new string('x', 1_100_000) + "\"}", Cancel);
        await PublishFileAsync(broker.Port, "meters/g/reading", big);
        // Over 64 streams at one per partition, some partition is asked for a second one.
        var many = new StringBuilder();
        for (var i = 0; i < 70; i++)
            many.Append(System.Globalization.CultureInfo.InvariantCulture, $"{{\"stream\":\"s{i}\",\"time\":\"{time}\",\"value\":1}}\n");
        many.Append("not json\n");
        using var response = await _http.PostAsync($"http://127.0.0.1:{_port}/api/v1/ingest", new StringContent(many.ToString(), Encoding.UTF8, "application/x-ndjson"), Cancel);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(1, JsonNode.Parse(await response.Content.ReadAsStringAsync(Cancel))!["rejected"]!.GetValue<int>());
        for (var i = 1; i < 5; i++)
            await broker.PublishAsync("meters/good/reading", $$"""{"time":"2026-01-05T0{{i}}:00:00Z","value":{{i}}}""");

        string[] expected = ["malformed", "missing_field", "not_finite", "future", "bad_time", "oversized", "stream_limit"];
        await UntilAsync(() => Task.FromResult(expected.All(reason => Lines().Any(l => l.Contains($"\"reason\":\"{reason}\"", StringComparison.Ordinal)))), worker);
        await UntilAsync(() => Task.FromResult(Lines().Count(l => l.Contains("\"stream\":\"good\",\"profile\"", StringComparison.Ordinal)) >= 5), worker);
        var letters = Lines().Where(l => l.Contains("\"reason\"", StringComparison.Ordinal)).Select(l => JsonNode.Parse(l)!).ToList();
        Assert.All(letters, l => Assert.NotEqual("", l["position"]!.GetValue<string>()));
        Assert.Contains(letters, l => l["reason"]!.GetValue<string>() == "malformed" && l["position"]!.GetValue<string>() == "meters/a/reading");
        Assert.Contains(letters, l => l["reason"]!.GetValue<string>() == "oversized" && l["payload_bytes"]!.GetValue<int>() > 1_000_000);
        var metrics = await _http.GetStringAsync($"http://127.0.0.1:{_port}/metrics", Cancel);
        Assert.Contains("streamlstm_dead_letters_total{reason=\"malformed\"} 3", metrics, StringComparison.Ordinal);
        // Said once per burst, not once per letter.
        Assert.True(worker.Log.Split('\n').Count(l => l.Contains("stream_limit", StringComparison.Ordinal)) <= 2, worker.Log);
        Assert.Equal(0, await worker.TerminateAsync(TimeSpan.FromSeconds(30)));
    }

    [Fact]
    public async Task Metrics_count_samples_that_came_too_late_and_results_that_late_ones_revised()
    {
        var config = Configure(new JsonObject { ["push"] = new JsonObject { ["Type"] = "http" } }, [], profile: new JsonObject { ["SamplesPerFrame"] = 1, ["RepairHorizon"] = "1h" });
        using var worker = WorkerProcess.Start("run", "--config", config);
        await UntilReadyAsync(worker);
        Assert.Contains("streamlstm_late_total 0\nstreamlstm_revisions_total 0", Two(await MetricsAsync()), StringComparison.Ordinal);
        // The third interval is missing when the next three come; then it comes, and one that is older than the horizon.
        foreach (var quarter in new[] { 20, 21, 23, 24, 25, 22, 1 })
        {
            var body = $"{{\"stream\":\"a\",\"time\":\"2026-01-05T{quarter / 4:00}:{15 * (quarter % 4):00}:00Z\",\"value\":{quarter}}}";
            using var response = await _http.PostAsync($"http://127.0.0.1:{_port}/api/v1/ingest", new StringContent(body, Encoding.UTF8, "application/x-ndjson"), Cancel);
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        }

        await UntilAsync(async () => !Two(await MetricsAsync()).EndsWith(" 0", StringComparison.Ordinal), worker);
        Assert.Equal("streamlstm_late_total 2\nstreamlstm_revisions_total 4", Two(await MetricsAsync()));
        Assert.Equal(4, Lines().Count(l => l.Contains("\"revision\":1,", StringComparison.Ordinal)));
        Assert.Contains("streamlstm_dead_letters_total{reason=\"late\"} 1", await MetricsAsync(), StringComparison.Ordinal);
        Assert.Equal(0, await worker.TerminateAsync(TimeSpan.FromSeconds(30)));

        Task<string> MetricsAsync() => _http.GetStringAsync($"http://127.0.0.1:{_port}/metrics", Cancel);
        static string Two(string metrics) => string.Join('\n', metrics.Split('\n').Where(l => l.StartsWith("streamlstm_late_total", StringComparison.Ordinal) || l.StartsWith("streamlstm_revisions_total", StringComparison.Ordinal)).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task A_broker_that_is_absent_at_start_is_named_by_readyz_and_found_when_it_comes()
    {
        await using var broker = MosquittoServer.Create();
        using var worker = WorkerProcess.Start("run", "--config", Configure(new JsonObject { ["meters"] = CrashHarness.MqttSource(broker.Port) }, []));
        await worker.UntilLogAsync("Serving", TimeSpan.FromSeconds(30));
        using (var response = await _http.GetAsync($"http://127.0.0.1:{_port}/readyz", Cancel))
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
            var part = JsonNode.Parse(await response.Content.ReadAsStringAsync(Cancel))!["parts"]!.AsArray().Single(p => p!["name"]!.GetValue<string>() == "source:meters");
            Assert.False(part!["ready"]!.GetValue<bool>());
            Assert.NotNull(part["detail"]);
        }

        using (var health = await _http.GetAsync($"http://127.0.0.1:{_port}/healthz", Cancel))
            Assert.Equal(HttpStatusCode.OK, health.StatusCode);
        await broker.StartAgainAsync();
        await UntilReadyAsync(worker);
        Assert.Equal(0, await worker.TerminateAsync(TimeSpan.FromSeconds(30)));
    }

    [Fact]
    public async Task A_second_signal_ends_a_stop_that_waits_for_a_sink_and_the_next_start_goes_on()
    {
        var nobody = WorkerProcess.FreePort();
        var config = Configure(
            new JsonObject { ["sim"] = new JsonObject { ["Type"] = "simulator", ["Streams"] = 200, ["Days"] = 300, ["Speed"] = 1e8 } },
            new JsonObject { ["away"] = new JsonObject { ["Type"] = "mqtt", ["Broker"] = $"mqtt://127.0.0.1:{nobody}" } });
        using (var worker = WorkerProcess.Start("run", "--config", config))
        {
            await worker.UntilLogAsync("no connection to", TimeSpan.FromSeconds(30));
            await Task.Delay(TimeSpan.FromSeconds(2), Cancel);
            await Assert.ThrowsAsync<TimeoutException>(() => worker.TerminateAsync(TimeSpan.FromSeconds(1.5), kill: false));
            Assert.Equal(1, await worker.TerminateAsync(TimeSpan.FromSeconds(10)));
            Assert.Contains("Stopped by a second signal", worker.Log, StringComparison.Ordinal);
        }

        using var again = WorkerProcess.Start("run", "--config", config);
        await again.UntilLogAsync("Serving", TimeSpan.FromSeconds(30));
        Assert.Contains("Restored", again.Log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_port_in_use_is_one_clear_line_and_exit_1()
    {
        using var listener = new TcpListener(IPAddress.Loopback, _port);
        listener.Start();
        using var worker = WorkerProcess.Start("run", "--config", Configure([], []));
        Assert.Equal(1, await worker.WaitAsync(TimeSpan.FromSeconds(30)));
        var errors = worker.Log.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Contains($"127.0.0.1:{_port}", Assert.Single(errors), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_wrong_configuration_is_refused_with_every_error_and_exit_2()
    {
        var config = Path.Combine(_folder.FullName, "wrong.json");
        await File.WriteAllTextAsync(config, """{"StreamLstm":{"Profiles":{"p":{"Interval":15,"Zone":"Mars/Base"}},"Sources":{"m":{"Type":"mqtt"}}}}""", Cancel);
        foreach (var verb in new[] { "run", "check-config" })
        {
            using var worker = WorkerProcess.Start(verb, "--config", config);
            Assert.Equal(2, await worker.WaitAsync(TimeSpan.FromSeconds(30)));
            foreach (var key in new[] { "Profiles:p:Interval", "Profiles:p:Zone", "Sources:m:Broker", "Sources:m:Bindings" })
                Assert.Contains($"error: StreamLstm:{key}", worker.Log, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_second_worker_on_the_same_state_folder_is_refused()
    {
        using var first = WorkerProcess.Start("run", "--config", Configure([], []));
        await first.UntilLogAsync("Serving", TimeSpan.FromSeconds(30));
        var other = new Dictionary<string, string> { ["StreamLstm__Http__Url"] = $"http://127.0.0.1:{WorkerProcess.FreePort()}" };
        using var second = WorkerProcess.Start(other, "run", "--config", Path.Combine(_folder.FullName, "run.json"));
        Assert.Equal(1, await second.WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.Contains("in use by another worker", second.Log, StringComparison.Ordinal);
        Assert.Equal(0, await first.TerminateAsync(TimeSpan.FromSeconds(30)));
    }

    [Fact]
    public async Task The_demo_serves_its_page_and_ends_by_itself_with_a_summary()
    {
        var summary = Path.Combine(_folder.FullName, "summary.json");
        using var demo = WorkerProcess.Start("demo", "--port", $"{_port}", "--duration", "20", "--summary", summary, "--seed", "7");
        await demo.UntilLogAsync("samples/s", TimeSpan.FromSeconds(60));
        var page = await _http.GetStringAsync($"http://127.0.0.1:{_port}/", Cancel);
        Assert.Contains("<title>", page, StringComparison.Ordinal);
        foreach (var path in new[] { "healthz", "readyz" })
        {
            using var response = await _http.GetAsync($"http://127.0.0.1:{_port}/{path}", Cancel);
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        }

        Assert.Equal(0, await PromtoolAsync(await _http.GetStringAsync($"http://127.0.0.1:{_port}/metrics", Cancel)));
        Assert.Equal(24, (await Json("/api/v1/streams?limit=100"))!["streams"]!.AsArray().Count);
        foreach (var (arguments, expected) in new (string[], string)[]
        {
            (["streams", "list"], "house-0001"), (["streams", "show", "house-0001"], "anomaly_score"), (["forecast", "feeder-01"], "q0.95"),
            (["episodes", "list"], "severity"), (["state", "show", "house-0001"], "recurrent"), (["healthcheck"], "\"ready\":true"),
        })
        {
            using var view = WorkerProcess.Start([.. arguments, "--url", $"http://127.0.0.1:{_port}"]);
            Assert.True(await view.WaitAsync(TimeSpan.FromSeconds(20)) == 0 && view.Log.Contains(expected, StringComparison.Ordinal), view.Log);
        }

        using (var unknown = WorkerProcess.Start("state", "show", "nobody", "--url", $"http://127.0.0.1:{_port}"))
            Assert.Equal(1, await unknown.WaitAsync(TimeSpan.FromSeconds(20)));
        Assert.Equal(0, await demo.WaitAsync(TimeSpan.FromSeconds(60)));
        var result = JsonNode.Parse(await File.ReadAllTextAsync(summary, Cancel))!.AsObject();
        Assert.Equal(["streams", "samples", "forecasts", "skill", "coverage90", "faults", "recall", "precision", "wall_s"], result.Select(p => p.Key));
        Assert.True(result["skill"]!.GetValue<double>() > 0, result.ToJsonString());
        Assert.InRange(result["coverage90"]!.GetValue<double>(), 0.75, 0.99);
    }

    [Fact]
    public async Task The_worked_example_of_a_parameter_summary_has_8320_parameters()
    {
        using var summary = WorkerProcess.Start("models", "summary", "--inputs", "32", "--units", "32");
        Assert.Equal(0, await summary.WaitAsync(TimeSpan.FromSeconds(20)));
        Assert.Contains("8,320", summary.Log, StringComparison.Ordinal);
        using var wrong = WorkerProcess.Start("models", "summary", "--cell", "perceptron");
        Assert.Equal(2, await wrong.WaitAsync(TimeSpan.FromSeconds(20)));
    }

    [Fact]
    public async Task A_backtest_prints_its_table_and_writes_the_documented_json_and_csv()
    {
        var file = Path.Combine(_folder.FullName, "meter.csv");
        await WriteMeterAsync(file, days: 30);
        var labels = Path.Combine(_folder.FullName, "labels.csv");
        await File.WriteAllTextAsync(labels, "stream,start,end,type\nmeter,2026-01-25T12:00:00Z,2026-01-25T12:15:00Z,spike\n", Cancel);
        var json = Path.Combine(_folder.FullName, "out.json");
        var csv = Path.Combine(_folder.FullName, "out.csv");
        using var backtest = WorkerProcess.Start("backtest", file, "--json", json, "--predictions", csv, "--labels", labels);
        Assert.True(await backtest.WaitAsync(TimeSpan.FromSeconds(90)) == 0, backtest.Log);
        var series = JsonNode.Parse(await File.ReadAllTextAsync(json, Cancel))!["series"]!.AsArray().Single()!;
        Assert.Equal(30 * 96, series["frames"]!.GetValue<long>());
        var metrics = series["metrics"]!.AsArray();
        Assert.Equal(["holt_winters", "last", "linear", "seasonal_naive_day", "seasonal_naive_week", "streamlstm"], metrics.Select(m => m!["method"]!.GetValue<string>()).Distinct().Order());
        double Mase(string method) => metrics.Single(m => m!["method"]!.GetValue<string>() == method && m["h"]!.GetValue<int>() == 96 && m["scope"]!.GetValue<string>() == "mean")!["mase"]!.GetValue<double>();
        Assert.True(Mase("streamlstm") < Mase("seasonal_naive_day"));
        Assert.InRange(metrics.First(m => m!["method"]!.GetValue<string>() == "streamlstm")!["coverage"]!["0.9"]!.GetValue<double>(), 0.8, 0.98);
        Assert.Equal(1, series["detection"]!["recall"]!.GetValue<double>());
        Assert.Equal("stream,issued_at,target,h,method,q,value,y", File.ReadLines(csv).First());
    }

    private static async Task PublishFileAsync(int port, string topic, string file)
    {
        using var process = Process.Start("mosquitto_pub", ["-h", "127.0.0.1", "-p", $"{port}", "-t", topic, "-q", "1", "-f", file]);
        await process.WaitForExitAsync(Cancel);
        Assert.Equal(0, process.ExitCode);
    }

    private static async Task<int> PromtoolAsync(string metrics)
    {
        using var process = Process.Start(new ProcessStartInfo("promtool", ["check", "metrics"]) { RedirectStandardInput = true, RedirectStandardError = true })!;
        await process.StandardInput.WriteAsync(metrics);
        process.StandardInput.Close();
        var error = await process.StandardError.ReadToEndAsync(Cancel);
        await process.WaitForExitAsync(Cancel);
        Assert.True(process.ExitCode == 0, error);
        return process.ExitCode;
    }

    /// <summary>A quarter-hourly meter with a daily shape and one unmistakable spike at noon of the third Sunday.</summary>
    private static async Task WriteMeterAsync(string path, int days)
    {
        var random = new Random(11);
        var start = new DateTimeOffset(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);
        var spike = new DateTimeOffset(2026, 1, 25, 12, 0, 0, TimeSpan.Zero);
        await using var writer = new StreamWriter(path);
        await writer.WriteLineAsync("time,value");
        for (var i = 0; i < days * 96; i++)
        {
            var t = start.AddMinutes(15 * i);
            var value = 800 + (300 * Math.Sin(Math.Tau * (i % 96) / 96.0)) + (60 * (random.NextDouble() + random.NextDouble() - 1)) + (t == spike ? 1500 : 0);
            await writer.WriteLineAsync(FormattableString.Invariant($"{t:yyyy-MM-ddTHH:mm:ssZ},{value:F1}"));
        }
    }

    private string Configure(JsonObject sources, JsonObject sinks, JsonObject? engine = null, JsonObject? profile = null)
    {
        sinks["archive"] = new JsonObject { ["Type"] = "file", ["Path"] = Results };
        var config = new JsonObject
        {
            ["StreamLstm"] = new JsonObject
            {
                ["State"] = new JsonObject { ["Directory"] = Path.Combine(_folder.FullName, "state") },
                ["Engine"] = engine ?? [],
                ["Http"] = new JsonObject { ["Url"] = $"http://127.0.0.1:{_port}" },
                ["Profiles"] = new JsonObject { ["load"] = profile ?? new JsonObject { ["SamplesPerFrame"] = 1 } },
                ["Sources"] = sources,
                ["Sinks"] = sinks,
            },
        };
        var path = Path.Combine(_folder.FullName, "run.json");
        File.WriteAllText(path, config.ToJsonString());
        return path;
    }

    private Task UntilReadyAsync(WorkerProcess worker) => UntilAsync(
        async () =>
        {
            try
            {
                using var response = await _http.GetAsync($"http://127.0.0.1:{_port}/readyz", Cancel);
                return response.StatusCode == HttpStatusCode.OK;
            }
            catch (HttpRequestException)
            {
                return false;
            }
        },
        worker);

    private async Task<JsonNode?> Json(string path)
    {
        using var response = await _http.GetAsync($"http://127.0.0.1:{_port}{path}", Cancel);
        return response.IsSuccessStatusCode ? JsonNode.Parse(await response.Content.ReadAsStringAsync(Cancel)) : null;
    }

    private string[] Lines()
    {
        if (!File.Exists(Results))
            return [];
        using var reader = new StreamReader(new FileStream(Results, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        return reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    private int CountResults() => Lines().Count(l => l.Contains("\"yhat\"", StringComparison.Ordinal));

    private static async Task UntilAsync(Func<Task<bool>> condition, WorkerProcess worker)
    {
        var started = Stopwatch.StartNew();
        while (!await condition())
        {
            Assert.True(started.Elapsed < TimeSpan.FromSeconds(30) && !worker.HasExited, "It did not come about within 30 s.\n" + worker.Log);
            await Task.Delay(100, Cancel);
        }
    }
}
