using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using StreamLstm.Connectors.Mqtt;
using StreamLstm.Integration.Tests.Crash;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Integration.Tests.Mqtt;

/// <summary>A real broker that goes away, a cable that is cut and a worker that is killed: nothing lost, with QoS 2 nothing twice.</summary>
[Trait("Category", "Faults")]
public class MqttFaultTests
{
    private const string Unlimited = "max_queued_messages 0";

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(1, MqttVersion.V5)]
    [InlineData(2, MqttVersion.V5)]
    [InlineData(2, MqttVersion.V311)]
    public async Task A_broker_with_persistence_that_restarts_under_load_costs_nothing(int qos, MqttVersion version)
    {
        await using var broker = await MosquittoServer.StartAsync(Unlimited, persistence: true);
        var ingress = new FakeIngress();
        await using var source = new Source(broker.Port, ingress, qos);
        await source.ConnectedAsync();
        await using var publisher = new Publisher(broker.Port, version);
        var publishing = publisher.PublishAsync(0, 3000, qos, pauseEvery: 100);
        var random = new Random(31);
        for (var restart = 0; restart < 3; restart++)
        {
            await Task.Delay(random.Next(100, 400), Cancel);
            await broker.StopAsync();
            await Task.Delay(random.Next(50, 300), Cancel);
            await broker.StartAgainAsync();
        }

        await publishing.WaitAsync(Cancel);
        await AssertAllAsync(ingress, 3000, qos);
    }

    [Theory]
    [InlineData(1, true)]
    [InlineData(1, false)]
    [InlineData(2, true)]
    [InlineData(2, false)]
    public async Task Publishers_that_queue_while_the_broker_is_away_for_seconds_lose_nothing(int qos, bool persistence)
    {
        await using var broker = await MosquittoServer.StartAsync(Unlimited, persistence: persistence);
        var ingress = new FakeIngress();
        await using var source = new Source(broker.Port, ingress, qos);
        await source.ConnectedAsync();
        await using (var early = new Publisher(broker.Port, MqttVersion.V5))
            await early.PublishAsync(0, 200, qos);
        await Eventually.HoldsAsync(() => ingress.Samples.Count >= 200, "what was published before");

        await broker.StopAsync();
        await Eventually.HoldsAsync(() => source.State == SourceState.Connecting, "the loss is noticed");
        await Task.Delay(3000, Cancel);
        await broker.StartAgainAsync();
        // Without persistence the broker knows no subscription until the source is back: what comes earlier is not for anybody.
        await source.ConnectedAsync();
        await using var late = new Publisher(broker.Port, MqttVersion.V5);
        await late.PublishAsync(200, 400, qos);
        await AssertAllAsync(ingress, 600, qos);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_cable_that_is_cut_again_and_again_costs_nothing(int qos)
    {
        await using var broker = await MosquittoServer.StartAsync(Unlimited + "\nmax_inflight_messages 100");
        await using var sourceCable = new Relay(broker.Port);
        await using var publisherCable = new Relay(broker.Port);
        var ingress = new FakeIngress();
        await using var source = new Source(sourceCable.Port, ingress, qos);
        await source.ConnectedAsync();
        await using var publisher = new Publisher(publisherCable.Port, MqttVersion.V5);
        var publishing = publisher.PublishAsync(0, 4000, qos, pauseEvery: 50);
        var random = new Random(17);
        for (var cut = 0; cut < 6; cut++)
        {
            await Task.Delay(random.Next(50, 350), Cancel);
            (cut % 2 == 0 ? sourceCable : publisherCable).Cut();
        }

        await publishing.WaitAsync(Cancel);
        await AssertAllAsync(ingress, 4000, qos);
    }

    [Fact]
    public async Task A_worker_that_is_killed_again_and_again_has_every_message_of_qos_2_in_its_journal_once()
    {
        using var harness = new CrashHarness(1);
        await using var broker = await MosquittoServer.StartAsync(Unlimited + "\nmax_inflight_messages 50", persistence: true);
        var bus = CrashHarness.MqttSource(broker.Port);
        bus["Qos"] = 2;
        bus["ClientId"] = "worker";
        var config = harness.Configure("run", new JsonObject { ["bus"] = bus });
        // The session must exist before the first message: a broker queues only for sessions it knows.
        await using (var first = new MqttClient(new MqttClientOptions { Host = "127.0.0.1", Port = broker.Port, ClientId = "worker" }, TimeProvider.System))
        {
            await first.ConnectAsync(Cancel);
            await first.SubscribeAsync(["meters/+/reading"], 2, Cancel);
        }

        const int messages = 6000;
        await using var publisher = new Publisher(broker.Port, MqttVersion.V5);
        var start = new DateTimeOffset(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);
        var publishing = publisher.PublishAsync(
            0,
            messages,
            2,
            pauseEvery: 10,
            i => ($"meters/{i % 4}/reading", $$"""{"time":"{{start.AddSeconds(i).ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture)}}","value":{{i}}}"""));
        var random = new Random(5);
        for (var kill = 0; kill < 3; kill++)
        {
            using var worker = WorkerProcess.Start("run", "--config", config);
            await worker.UntilLogAsync("is connected to", TimeSpan.FromSeconds(20));
            await Task.Delay(random.Next(50, 600), Cancel);
            await worker.KillAsync();
        }

        using (var worker = WorkerProcess.Start("run", "--config", config))
        {
            await publishing.WaitAsync(Cancel);
            await worker.UntilLogAsync("is connected to", TimeSpan.FromSeconds(20));
            // The last message stands for all: a session delivers in order.
            var last = Path.Combine(harness.Folder, "state", "journal");
            await Eventually.HoldsAsync(() => JournalHolds(last, messages - 1), "the last message");
            await worker.KillAsync();
        }

        var samples = await MqttExactlyOnceTests.SamplesAsync(Path.Combine(harness.Folder, "state", "journal"));
        var expected = Enumerable.Range(0, messages).Select(i => $"{i % 4}={i}").ToHashSet();
        Assert.Empty(expected.Except(samples));
        Assert.Equal(messages, samples.Count);
    }

    private static bool JournalHolds(string folder, int value)
    {
        var needle = BitConverter.GetBytes((double)value);
        foreach (var file in Directory.GetFiles(folder))
        {
            using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            var bytes = new byte[stream.Length];
            stream.ReadExactly(bytes);
            if (bytes.AsSpan().IndexOf(needle) >= 0)
                return true;
        }

        return false;
    }

    /// <summary>Everything arrived; with QoS 2 once, also after a while in which a repetition could still come.</summary>
    private static async Task AssertAllAsync(FakeIngress ingress, int count, int qos)
    {
        var expected = Enumerable.Range(0, count).Select(i => $"m/{i % 4}={i}").ToHashSet();
        await Eventually.HoldsAsync(() => ingress.Samples.Count >= count && expected.IsSubsetOf(ingress.Samples), $"{count} samples");
        await Task.Delay(300, Cancel);
        if (qos == 2)
            Assert.Equal(count, ingress.Samples.Count);
        Assert.Empty(ingress.DeadLetters);
    }

    private sealed class Source : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly MqttSource _source;
        private readonly Task _task;

        public Source(int port, FakeIngress ingress, int qos)
        {
            var settings = new MqttSourceSettings { Name = "home", Host = "127.0.0.1", Port = port, ClientId = "source", Qos = qos };
            _source = new MqttSource(settings, new NumberDecoder("m/#"), new ListLogger<MqttSource>());
            _task = _source.RunAsync(ingress, _stop.Token);
        }

        public SourceState State => _source.Status.State;

        public Task ConnectedAsync() => Eventually.HoldsAsync(() => State == SourceState.Connected, "connected");

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _task;
            _stop.Dispose();
        }
    }

    /// <summary>Publishes numbers; connects again for ever, as a device does.</summary>
    private sealed class Publisher : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly MqttClient _client;
        private readonly Task _connecting;

        public Publisher(int port, MqttVersion version)
        {
            _client = new MqttClient(new MqttClientOptions { Host = "127.0.0.1", Port = port, ClientId = "publisher", Version = version, MaxInFlight = 20 }, TimeProvider.System);
            _connecting = ConnectAsync();
        }

        public async Task PublishAsync(int first, int count, int qos, int pauseEvery = 0, Func<int, (string Topic, string Payload)>? message = null)
        {
            var underWay = new List<Task>();
            for (var i = first; i < first + count; i++)
            {
                var (topic, payload) = message?.Invoke(i) ?? ($"m/{i % 4}", i.ToString(CultureInfo.InvariantCulture));
                underWay.Add(_client.PublishAsync(topic, Encoding.UTF8.GetBytes(payload), qos, retain: false, _stop.Token));
                if (pauseEvery > 0 && i % pauseEvery == 0)
                    await Task.Delay(20);
            }

            await Task.WhenAll(underWay);
        }

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _connecting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await _client.DisposeAsync();
            _stop.Dispose();
        }

        private async Task ConnectAsync()
        {
            while (!_stop.IsCancellationRequested)
            {
                try
                {
                    await (await _client.ConnectAsync(_stop.Token)).Closed.WaitAsync(_stop.Token);
                }
                catch (MqttException)
                {
                    await Task.Delay(50, _stop.Token);
                }
            }
        }
    }
}
