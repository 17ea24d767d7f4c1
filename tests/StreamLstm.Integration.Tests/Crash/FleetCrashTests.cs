using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using StreamLstm.Connectors.Mqtt;
using StreamLstm.Integration.Tests.Mqtt;

namespace StreamLstm.Integration.Tests.Crash;

/// <summary>
/// A fleet whose halves come over MQTT and HTTP at once, learning, with streams that fall silent for a while, killed again and again.
/// <c>STREAMLSTM_CRASH_STREAMS</c> and <c>STREAMLSTM_CRASH_FRAMES</c> set its size (24 × 120 without them), the variables of
/// <see cref="CrashHarness"/> the kills; 200, 500 and 30 make the long run.
/// </summary>
[Trait("Category", "Crash")]
public sealed class FleetCrashTests
{
    private static readonly DateTimeOffset s_start = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    private static int Streams => Number("STREAMLSTM_CRASH_STREAMS", 24);

    private static int Frames => Number("STREAMLSTM_CRASH_FRAMES", 120);

    // Samples come for as long as kills do: about two seconds each on an idle machine.
    private static TimeSpan Pace(CrashHarness harness) => TimeSpan.FromMilliseconds(Math.Max(100, harness.Kills * 2000.0 / Frames));

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Killing_a_worker_that_is_fed_over_mqtt_and_http_loses_no_sample_and_changes_no_byte()
    {
        using var harness = new CrashHarness(4);
        await using var broker = await MosquittoServer.StartAsync("max_queued_messages 0\nmax_inflight_messages 100", persistence: true);
        var bus = CrashHarness.MqttSource(broker.Port);
        bus["ClientId"] = "worker";
        // Ten times faster than the samples say: silence of two seconds closes frames, then one a second.
        var profile = new JsonObject { ["Interval"] = "1s", ["MaxWait"] = "200ms", ["MaxGapFrames"] = 2, ["HorizonSteps"] = 8, ["Tier"] = "lean" };
        var config = harness.Configure("run", new JsonObject { ["bus"] = bus, ["web"] = new JsonObject { ["Type"] = "http" } }, profile);
        var url = JsonNode.Parse(await File.ReadAllTextAsync(config, Cancel))!["StreamLstm"]!["Http"]!["Url"]!.GetValue<string>();
        // The session must exist before the first message: a broker queues only for sessions it knows.
        await using (var first = new MqttClient(new MqttClientOptions { Host = "127.0.0.1", Port = broker.Port, ClientId = "worker" }, TimeProvider.System))
        {
            await first.ConnectAsync(Cancel);
            await first.SubscribeAsync(["meters/+/reading"], 1, Cancel);
        }

        var feeding = Task.WhenAll(Task.Run(() => PublishAsync(broker.Port, Pace(harness)), Cancel), Task.Run(() => PostAsync(url, Pace(harness)), Cancel));
        await harness.KillAtWorkAsync(config, TimeSpan.FromSeconds(1.5));
        await CrashHarness.FinishAsync(config, untilDrained: false, async () =>
        {
            await feeding.WaitAsync(TimeSpan.FromMinutes(3), Cancel);
            // The broker's queue is read out, and every stream has been silent for long enough to be stale.
            await Task.Delay(TimeSpan.FromSeconds(8), Cancel);
        });

        var (observed, imputed, stale) = Account(harness.Results);
        TestContext.Current.TestOutputHelper?.WriteLine($"{Streams} streams x {Frames} frames, {harness.Kills} kills at work: {observed.Count} samples accounted for, {imputed} frames imputed, {stale} stale");
        foreach (var (stream, frame) in Published())
            Assert.True(observed.Contains((stream, frame)), $"The sample of {stream} for frame {frame} is neither in a result nor a dead letter.");
        Assert.True(imputed > 0 && stale > 0, "No tick closed a frame, so ticks were not tested.");
        Assert.Null(CrashHarness.Difference(harness.Results, await harness.ReplayAsync("one-shard", profile)));
        Assert.Null(CrashHarness.Difference(harness.Results, await harness.ReplayAsync("three-shards", profile, shards: 3)));
    }

    private static int Number(string variable, int otherwise) => int.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out var n) ? n : otherwise;

    /// <summary>Every fifth stream is silent for forty frames, four seconds, at a time of its own.</summary>
    private static bool IsSilent(int stream, int frame) => stream % 5 == 0 && frame >= 20 + (stream % 40) && frame < 60 + (stream % 40);

    private static string Name(int stream) => string.Create(CultureInfo.InvariantCulture, $"meter-{stream:D3}");

    private static string Sample(int stream, int frame) => string.Create(
        CultureInfo.InvariantCulture,
        $"\"time\":\"{s_start.AddSeconds(frame):yyyy-MM-ddTHH:mm:ssZ}\",\"value\":{500 + (200 * Math.Sin((frame * 0.2) + stream)) + (((frame * 31) + (stream * 17)) % 23):F2}");

    private static IEnumerable<(string Stream, int Frame)> Published() =>
        from frame in Enumerable.Range(0, Frames)
        from stream in Enumerable.Range(0, Streams)
        where !IsSilent(stream, frame)
        select (Name(stream), frame);

    private static async Task PublishAsync(int port, TimeSpan step)
    {
        await using var client = new MqttClient(new MqttClientOptions { Host = "127.0.0.1", Port = port, ClientId = "publisher" }, TimeProvider.System);
        await client.ConnectAsync(Cancel);
        for (var frame = 0; frame < Frames; frame++)
        {
            var pace = Task.Delay(step, Cancel);
            await Task.WhenAll(Enumerable.Range(0, Streams).Where(s => s % 2 == 0 && !IsSilent(s, frame)).Select(stream =>
                client.PublishAsync($"meters/{Name(stream)}/reading", Encoding.UTF8.GetBytes("{" + Sample(stream, frame) + "}"), qos: 1, retain: false, Cancel)));
            await pace;
        }
    }

    /// <summary>Sends a frame again until it is answered with 200.</summary>
    private static async Task PostAsync(string url, TimeSpan step)
    {
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(5) };
        for (var frame = 0; frame < Frames; frame++)
        {
            var pace = Task.Delay(step, Cancel);
            var lines = string.Concat(Enumerable.Range(0, Streams).Where(s => s % 2 == 1 && !IsSilent(s, frame)).Select(s => $$"""{"stream":"{{Name(s)}}",{{Sample(s, frame)}}}""" + "\n"));
            while (true)
            {
                Cancel.ThrowIfCancellationRequested();
                try
                {
                    using var body = new StringContent(lines, Encoding.UTF8, "application/x-ndjson");
                    using var response = await http.PostAsync(new Uri(url + "/api/v1/ingest"), body, Cancel);
                    if (response.StatusCode == HttpStatusCode.OK)
                        break;
                }
                catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !Cancel.IsCancellationRequested)
                {
                    // Killed, or not there yet: what wasn't answered is sent again.
                    Assert.NotNull(e.Message);
                }

                await Task.Delay(50, Cancel);
            }

            await pace;
        }
    }

    /// <summary>Samples that results were made of or that were refused as too late, and frames without any.</summary>
    private static (HashSet<(string Stream, int Frame)> Samples, int Imputed, int Stale) Account(string results)
    {
        var samples = new HashSet<(string, int)>();
        var (imputed, stale) = (0, 0);
        var seen = new HashSet<(string, int)>();
        foreach (var line in File.ReadLines(results))
        {
            using var record = JsonDocument.Parse(line);
            var root = record.RootElement;
            if (root.TryGetProperty("reason", out var reason))
            {
                Assert.Equal("late", reason.GetString());
                var payload = Encoding.UTF8.GetString(root.GetProperty("payload_base64").GetBytesFromBase64());
                samples.Add((root.GetProperty("stream").GetString()!, Frame(DateTimeOffset.Parse(payload.Split(' ')[0], CultureInfo.InvariantCulture))));
                continue;
            }

            if (!root.TryGetProperty("yhat", out _))
                continue;
            var at = (root.GetProperty("stream").GetString()!, Frame(root.GetProperty("time").GetDateTimeOffset()));
            Assert.True(seen.Add(at), $"Twice: {line[..120]}");
            if (root.GetProperty("y").ValueKind == JsonValueKind.Number)
                samples.Add(at);
            else if (root.GetProperty("imputed").GetBoolean())
                imputed++;
            else
                stale++;
        }

        return (samples, imputed, stale);
    }

    private static int Frame(DateTimeOffset time) => (int)(time - s_start).TotalSeconds;
}
