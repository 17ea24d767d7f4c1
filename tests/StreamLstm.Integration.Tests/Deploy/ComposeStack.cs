using System.Diagnostics;
using System.Text.Json.Nodes;
using StreamLstm.Integration.Tests.Crash;
using StreamLstm.Integration.Tests.Mqtt;
using StreamLstm.Integration.Tests.Simulation;

namespace StreamLstm.Integration.Tests.Deploy;

/// <summary>
/// The compose example without containers: mosquitto, worker, simulator and Prometheus as processes with the example's own files, in
/// which only addresses, folders and paces are replaced.
/// </summary>
public sealed class ComposeStack : IAsyncLifetime
{
    /// <summary>Simulated seconds per second: two days, which live skill needs, in four seconds.</summary>
    private const int Speed = 45_000;

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("streamlstm-compose-");
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(10) };
    private MosquittoServer? _broker;
    private WorkerProcess? _worker;
    private Process? _simulator;
    private Process? _prometheus;
    private Uri _prometheusUrl = new("http://127.0.0.1");

    internal Uri Url { get; private set; } = new("http://127.0.0.1");

    internal Uri MetricsUrl { get; private set; } = new("http://127.0.0.1");

    internal string Token => "a token for tests";

    public async ValueTask InitializeAsync()
    {
        // What follows the listener and the storage, which are this machine's.
        string[] own = ["listener", "allow_anonymous", "persistence", "persistence_location", "log_dest"];
        var settings = File.ReadLines(Path.Combine(DeployFolder.Compose, "mosquitto", "mosquitto.conf"))
            .Where(line => line.Length > 0 && line[0] != '#' && !own.Contains(line.Split(' ')[0]));
        _broker = await MosquittoServer.StartAsync(string.Join('\n', settings), persistence: true);
        await StartWorkerAsync();
        await StartPrometheusAsync();
        await _broker.PublishAsync("meters/house-0001/reading", "{");
        StartSimulator();
    }

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        foreach (var process in new[] { _simulator, _prometheus })
        {
            if (process is null)
                continue;
            if (!process.HasExited)
                process.Kill();
            await process.WaitForExitAsync();
            process.Dispose();
        }

        _worker?.Dispose();
        if (_broker is not null)
            await _broker.DisposeAsync();
        _folder.Delete(recursive: true);
    }

    internal Task<string> MetricsAsync() => _http.GetStringAsync(new Uri(MetricsUrl, "/metrics"));

    internal async Task<int> StatusAsync(Uri url, string? token = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, url);
        if (token is not null)
            request.Headers.Authorization = new("Bearer", token);
        using var response = await _http.SendAsync(request);
        return (int)response.StatusCode;
    }

    /// <summary>An answer of Prometheus' API; a query it refuses is an error.</summary>
    internal async Task<JsonNode> PrometheusAsync(string path)
    {
        using var response = await _http.GetAsync(new Uri(_prometheusUrl, path));
        var answer = JsonNode.Parse(await response.Content.ReadAsStringAsync())!;
        return (string?)answer["status"] == "success" ? answer["data"]! : throw new InvalidOperationException($"{path}: {answer["error"]}");
    }

    /// <returns>The series of an instant query.</returns>
    internal async Task<JsonArray> QueryAsync(string expression) =>
        (await PrometheusAsync("/api/v1/query?query=" + Uri.EscapeDataString(expression)))["result"]!.AsArray();

    private async Task StartWorkerAsync()
    {
        Url = new($"http://127.0.0.1:{WorkerProcess.FreePort()}");
        MetricsUrl = new($"http://127.0.0.1:{WorkerProcess.FreePort()}");
        var environment = DeployFolder.WorkerEnvironment(Token);
        environment["StreamLstm__State__Directory"] = Path.Combine(_folder.FullName, "state");
        environment["StreamLstm__Http__Url"] = Url.ToString();
        environment["StreamLstm__Http__MetricsUrl"] = MetricsUrl.ToString();
        environment["StreamLstm__Sources__meters__Broker"] = $"mqtt://127.0.0.1:{_broker!.Port}";
        environment["StreamLstm__Sinks__bus__Broker"] = $"mqtt://127.0.0.1:{_broker.Port}";
        _worker = WorkerProcess.Start(environment, "run", "--config", DeployFolder.WorkerSettings);
        await UntilAsync(async () => await StatusAsync(new Uri(Url, "/readyz")) == 200, () => _worker.Log);
    }

    private async Task StartPrometheusAsync()
    {
        var source = Path.Combine(DeployFolder.Compose, "prometheus");
        File.Copy(Path.Combine(source, "alerts.yml"), Path.Combine(_folder.FullName, "alerts.yml"));
        var config = await File.ReadAllTextAsync(Path.Combine(source, "prometheus.yml"));
        foreach (var (from, to) in new[] { ("worker:9464", MetricsUrl.Authority), ("scrape_interval: 5s", "scrape_interval: 1s"), ("evaluation_interval: 15s", "evaluation_interval: 1s") })
        {
            Assert.Contains(from, config, StringComparison.Ordinal);
            config = config.Replace(from, to, StringComparison.Ordinal);
        }

        var file = Path.Combine(_folder.FullName, "prometheus.yml");
        await File.WriteAllTextAsync(file, config);
        _prometheusUrl = new($"http://127.0.0.1:{WorkerProcess.FreePort()}");
        string[] arguments = [$"--config.file={file}", $"--storage.tsdb.path={Path.Combine(_folder.FullName, "tsdb")}", $"--web.listen-address={_prometheusUrl.Authority}", "--log.level=error"];
        _prometheus = Process.Start(DeployFolder.Tool("prometheus", "prometheus"), arguments);
        await UntilAsync(async () => await StatusAsync(new Uri(_prometheusUrl, "/-/ready")) == 200, () => "Prometheus doesn't start.");
    }

    private void StartSimulator()
    {
        var arguments = ((YamlDotNet.RepresentationModel.YamlSequenceNode)DeployFolder.Services()["simulator"]["command"]).Select(DeployFolder.Text)
            .Select(a => a.StartsWith("--to=", StringComparison.Ordinal) ? $"--to=mqtt://127.0.0.1:{_broker!.Port}" : a.StartsWith("--speed=", StringComparison.Ordinal) ? $"--speed={Speed}" : a);
        _simulator = SimulatorProcess.Start([.. arguments]);
        // Nobody reads what it says, but its pipes must not fill up.
        _simulator.BeginOutputReadLine();
        _simulator.BeginErrorReadLine();
    }

    private static async Task UntilAsync(Func<Task<bool>> condition, Func<string> explanation)
    {
        var started = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                if (await condition())
                    return;
            }
            catch (HttpRequestException) when (started.Elapsed < TimeSpan.FromSeconds(20))
            {
                // Not listening yet.
                await Task.Delay(50);
                continue;
            }

            if (started.Elapsed > TimeSpan.FromSeconds(20))
                throw new TimeoutException(explanation());
            await Task.Delay(50);
        }
    }
}
