using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using StreamLstm.Connectors.Mqtt;
using StreamLstm.Integration.Tests.Crash;
using StreamLstm.Integration.Tests.Mqtt;

namespace StreamLstm.Integration.Tests.Faults;

/// <summary>
/// The broker goes away under a whole worker that reads from it, publishes to it and has other sources and sinks besides; 4 s, or as
/// <c>STREAMLSTM_OUTAGE_SECONDS</c> says.
/// </summary>
[Trait("Category", "Faults")]
public sealed class BrokerOutageTests
{
    private const int Meters = 20;

    private static int Outage => int.TryParse(Environment.GetEnvironmentVariable("STREAMLSTM_OUTAGE_SECONDS"), out var n) ? n : 4;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task While_the_broker_is_away_the_worker_says_so_and_goes_on_and_afterwards_nothing_is_missing_on_either_side(int qos)
    {
        using var harness = new CrashHarness(1);
        await using var broker = await MosquittoServer.StartAsync("max_queued_messages 0\nmax_inflight_messages 200", persistence: true);
        var bus = CrashHarness.MqttSource(broker.Port);
        bus["ClientId"] = "worker";
        bus["Qos"] = qos;
        var path = harness.Configure("run", new JsonObject { ["bus"] = bus, ["web"] = new JsonObject { ["Type"] = "http" } }, new JsonObject { ["Tier"] = "lean" });
        var config = JsonNode.Parse(await File.ReadAllTextAsync(path, Cancel))!;
        config["StreamLstm"]!["Sinks"]!["out"] = new JsonObject { ["Type"] = "mqtt", ["Broker"] = $"mqtt://127.0.0.1:{broker.Port}", ["ClientId"] = "worker-out", ["Qos"] = qos };
        await File.WriteAllTextAsync(path, config.ToJsonString(), Cancel);

        await using var watcher = new Watcher(broker.Port);
        await watcher.ConnectedAsync();
        using var feed = new MeterFeed(MeterFeed.UrlOf(path), streams: 200);
        using var worker = WorkerProcess.Start("run", "--config", path);
        await worker.UntilLogAsync("Serving", TimeSpan.FromSeconds(30));
        await UntilAsync(async () => await feed.StatusAsync("/readyz") == HttpStatusCode.OK, worker, "ready at first");
        using var publishing = new CancellationTokenSource();
        var published = PublishAsync(broker.Port, qos, publishing.Token);
        var posted = 0;
        for (; posted < 10; posted++)
            Assert.Equal(HttpStatusCode.OK, await feed.PostAsync(posted));
        await Task.Delay(500, Cancel);

        await broker.StopAsync();
        await UntilAsync(async () => await feed.StatusAsync("/readyz") == HttpStatusCode.ServiceUnavailable, worker, "readyz tells of the outage");
        var away = Stopwatch.StartNew();
        while (away.Elapsed < TimeSpan.FromSeconds(Outage))
        {
            // Who comes another way is served.
            Assert.Equal(HttpStatusCode.OK, await feed.PostAsync(posted++));
            Assert.Equal(HttpStatusCode.OK, await feed.StatusAsync("/healthz"));
            foreach (var part in new[] { "source:bus", "sink:out" })
            {
                var (ready, detail) = await feed.PartAsync(part);
                Assert.False(ready, part);
                Assert.Contains("127.0.0.1", detail, StringComparison.Ordinal);
            }

            foreach (var part in new[] { "storage", "source:web", "sink:archive" })
                Assert.True((await feed.PartAsync(part)).Ready, part);
            Assert.Equal(0, await feed.MetricAsync("streamlstm_source_connected{source=\"bus\"}"));
            await Task.Delay(100, Cancel);
        }

        await broker.StartAgainAsync();
        await UntilAsync(async () => await feed.StatusAsync("/readyz") == HttpStatusCode.OK, worker, "ready again");
        await Task.Delay(1000, Cancel);
        await publishing.CancelAsync();
        var readings = await published;
        var expected = (readings * Meters) + (posted * 200);
        await UntilAsync(() => Task.FromResult(Results(harness.Results).Count >= expected && watcher.Results.Count >= expected), worker, $"{expected} results; {watcher.Results.Count} seen");
        var peak = long.Parse(File.ReadLines($"/proc/{worker.Id}/status").First(l => l.StartsWith("VmHWM:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) / 1024;
        Assert.Equal(0, await worker.TerminateAsync(TimeSpan.FromSeconds(30)));

        TestContext.Current.TestOutputHelper?.WriteLine($"{Outage} s away, {expected} results, {watcher.Seen - watcher.Results.Count} of them twice over MQTT, {peak} MB of memory");
        Assert.InRange(peak, 50, 600);
        // Nothing is missing, and what came twice came with the same bytes.
        var archive = Results(harness.Results);
        Assert.Equal(expected, archive.Count);
        Assert.Equal(archive.OrderBy(r => r.Key), watcher.Results.OrderBy(r => r.Key));
        for (var meter = 0; meter < Meters; meter++)
        {
            for (var frame = 0; frame < readings; frame++)
                Assert.True(archive.ContainsKey((Name(meter), MeterFeed.Start.AddMinutes(15 * frame))), $"{Name(meter)}, frame {frame}");
        }

        feed.AssertComplete(harness.Results, Enumerable.Range(0, posted));
    }

    private static string Name(int meter) => string.Create(CultureInfo.InvariantCulture, $"m-{meter:D2}");

    private static async Task UntilAsync(Func<Task<bool>> condition, WorkerProcess worker, string what)
    {
        var limit = Stopwatch.StartNew();
        while (!await condition())
        {
            Assert.False(worker.HasExited, worker.Log);
            Assert.True(limit.Elapsed < TimeSpan.FromSeconds(60), $"Not within a minute: {what}\n{worker.Log}");
            await Task.Delay(50, Cancel);
        }
    }

    /// <summary>A frame of all meters every 50 ms until told to stop; what the broker hasn't acknowledged is sent again. Returns the number of frames.</summary>
    private static async Task<int> PublishAsync(int port, int qos, CancellationToken stop)
    {
        await using var devices = new Reconnecting(port, "devices", static (_, _) => Task.CompletedTask);
        var underWay = new List<Task>();
        var frame = 0;
        for (; !stop.IsCancellationRequested; frame++)
        {
            for (var meter = 0; meter < Meters; meter++)
            {
                var reading = string.Create(CultureInfo.InvariantCulture, $"{{\"time\":\"{MeterFeed.Start.AddMinutes(15 * frame):yyyy-MM-ddTHH:mm:ssZ}\",\"value\":{500 + meter + (frame % 96)}}}");
                underWay.Add(devices.Client.PublishAsync($"meters/{Name(meter)}/reading", Encoding.UTF8.GetBytes(reading), qos, retain: false, Cancel));
            }

            await Task.Delay(50, Cancel);
        }

        await Task.WhenAll(underWay).WaitAsync(TimeSpan.FromSeconds(40), Cancel);
        return frame;
    }

    private static Dictionary<(string Stream, DateTimeOffset Time), string> Results(string path)
    {
        var results = new Dictionary<(string, DateTimeOffset), string>();
        if (!File.Exists(path))
            return results;
        using var reader = new StreamReader(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete));
        while (reader.ReadLine() is { } line)
        {
            // The last line may be under way.
            if (line.Contains("\"yhat\"", StringComparison.Ordinal) && line.EndsWith('}'))
                Assert.True(results.TryAdd(KeyOf(line), line), $"Twice: {line[..120]}");
        }

        return results;
    }

    private static (string Stream, DateTimeOffset Time) KeyOf(string line)
    {
        using var record = JsonDocument.Parse(line);
        return (record.RootElement.GetProperty("stream").GetString()!, record.RootElement.GetProperty("time").GetDateTimeOffset());
    }

    private class Reconnecting : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly TaskCompletionSource _connected = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly Task _connecting;

        public Reconnecting(int port, string id, Func<MqttClient, CancellationToken, Task> setUp)
        {
            Client = new MqttClient(new MqttClientOptions { Host = "127.0.0.1", Port = port, ClientId = id, MaxInFlight = 100 }, TimeProvider.System);
            _connecting = ConnectAsync(setUp);
        }

        public MqttClient Client { get; }

        public Task ConnectedAsync() => _connected.Task.WaitAsync(TimeSpan.FromSeconds(20), Cancel);

        public virtual async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _connecting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await Client.DisposeAsync();
            _stop.Dispose();
        }

        private async Task ConnectAsync(Func<MqttClient, CancellationToken, Task> setUp)
        {
            while (!_stop.IsCancellationRequested)
            {
                try
                {
                    var connection = await Client.ConnectAsync(_stop.Token);
                    await setUp(Client, _stop.Token);
                    _connected.TrySetResult();
                    await connection.Closed.WaitAsync(_stop.Token);
                    await Client.DisconnectAsync();
                }
                catch (MqttException)
                {
                    await Task.Delay(50, _stop.Token);
                }
            }
        }
    }

    /// <summary>Reads the published results as any consumer would: by a session that outlives its connection, de-duplicating by stream and time.</summary>
    private sealed class Watcher : Reconnecting
    {
        private readonly Task _reading;

        public Watcher(int port)
            : base(port, "watcher", async (client, stop) => await client.SubscribeAsync(["streamlstm/+/result"], 1, stop)) => _reading = Task.Run(ReadAsync, Cancel);

        public ConcurrentDictionary<(string Stream, DateTimeOffset Time), string> Results { get; } = new();

        public int Seen { get; private set; }

        public override async ValueTask DisposeAsync()
        {
            await base.DisposeAsync();
            await _reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        private async Task ReadAsync()
        {
            await foreach (var message in Client.Messages.ReadAllAsync(Cancel))
            {
                var line = Encoding.UTF8.GetString(message.Payload.Span);
                Seen++;
                Assert.Equal(line, Results.GetOrAdd(KeyOf(line), line));
                await Client.AckAsync([message]);
            }
        }
    }
}
