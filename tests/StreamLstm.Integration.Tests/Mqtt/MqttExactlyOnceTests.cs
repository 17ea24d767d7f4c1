using System.Globalization;
using System.Text;
using StreamLstm.Connectors.Mqtt;
using StreamLstm.Integration.Tests.Crash;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Journal;
using StreamLstm.Runtime.Sharding;

namespace StreamLstm.Integration.Tests.Mqtt;

/// <summary>The source's side of QoS 2, step by step, against a broker played by the test.</summary>
[Trait("Category", "Faults")]
public class MqttExactlyOnceTests
{
    private static readonly byte[] NewSession = [0, 0, 0];
    private static readonly byte[] OldSession = [1, 0, 0];

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Pubrec_follows_the_append_and_pubcomp_the_durable_removal_of_the_id()
    {
        using var broker = new FakeBroker();
        var ingress = new FakeIngress();
        await using var run = new Run(broker, ingress);
        using var peer = await SubscribedAsync(broker, NewSession);
        ingress.Hold();
        await peer.SendAsync(Publish(7, "1"), Cancel);
        var answer = peer.ReadAsync(Cancel);
        await Eventually.HoldsAsync(() => ingress.Entered == 1, "the append has begun");
        await Task.Delay(100, Cancel);
        Assert.False(answer.IsCompleted);
        ingress.Release();
        Assert.Equal("PubRec 0007", Text(await answer));
        Assert.EndsWith(" 7", ingress.Position("home"));

        ingress.Hold();
        await peer.SendAsync(Release(7), Cancel);
        answer = peer.ReadAsync(Cancel);
        await Eventually.HoldsAsync(() => ingress.Entered == 2, "the second append has begun");
        await Task.Delay(100, Cancel);
        Assert.False(answer.IsCompleted);
        ingress.Release();
        Assert.Equal("PubComp 0007", Text(await answer));
        Assert.EndsWith(" ", ingress.Position("home"));

        // The id is free for another message.
        await peer.SendAsync(Publish(7, "2"), Cancel);
        Assert.Equal("PubRec 0007", Text(await peer.ReadAsync(Cancel)));
        Assert.Equal(["m=1", "m=2"], ingress.Samples);
    }

    [Theory]
    [InlineData("1")]
    [InlineData("not a number")]
    [InlineData("a payload that is longer than this source accepts, which is a hundred bytes and a few more for good measure")]
    public async Task What_comes_again_after_a_crash_is_acknowledged_and_not_taken_in(string payload)
    {
        using var broker = new FakeBroker();
        var before = new FakeIngress();
        await using (new Run(broker, before))
        {
            using var peer = await SubscribedAsync(broker, NewSession);
            await peer.SendAsync(Publish(7, payload), Cancel);
            await Eventually.HoldsAsync(() => before.Samples.Count + before.DeadLetters.Count == 1, "the message or its dead letter");
        }

        var after = new FakeIngress { Positions = before.Positions };
        await using var run = new Run(broker, after);
        using var again = await SubscribedAsync(broker, OldSession);
        await again.SendAsync([.. Publish(7, payload, duplicate: true), .. Publish(8, "2")], Cancel);
        Assert.Equal("PubRec 0007", Text(await again.ReadAsync(Cancel)));
        Assert.Equal("PubRec 0008", Text(await again.ReadAsync(Cancel)));
        Assert.Equal(["m=2"], after.Samples);
        Assert.Empty(after.DeadLetters);
        await again.SendAsync([.. Release(7), .. Publish(7, "3")], Cancel);
        Assert.Equal("PubComp 0007", Text(await again.ReadAsync(Cancel)));
        Assert.Equal("PubRec 0007", Text(await again.ReadAsync(Cancel)));
        Assert.Equal(["m=2", "m=3"], after.Samples);
    }

    [Fact]
    public async Task A_new_session_forgets_the_ids_before_it_is_subscribed()
    {
        using var broker = new FakeBroker();
        var ingress = new FakeIngress();
        ingress.Positions["home"] = $"source@mqtt://127.0.0.1:{broker.Port} 1-20";
        await using var run = new Run(broker, ingress);
        using var peer = await broker.AcceptAsync(NewSession, Cancel);
        Assert.Equal(MqttPacketType.Subscribe, (await peer.ReadAsync(Cancel)).Type);
        Assert.EndsWith(" ", ingress.Position("home"));
        await peer.SendAsync(Publish(7, "1", duplicate: true), Cancel);
        Assert.Equal("PubRec 0007", Text(await peer.ReadAsync(Cancel)));
        Assert.Equal(["m=1"], ingress.Samples);
    }

    [Fact]
    public async Task A_duplicate_over_the_next_connection_is_taken_in_once_although_the_first_was_never_acknowledged()
    {
        using var broker = new FakeBroker();
        var ingress = new FakeIngress();
        await using var run = new Run(broker, ingress);
        ingress.Hold();
        using (var peer = await SubscribedAsync(broker, NewSession))
        {
            await peer.SendAsync(Publish(7, "1"), Cancel);
            await Eventually.HoldsAsync(() => ingress.Entered > 0, "the append has begun");
        }

        using var next = await SubscribedAsync(broker, OldSession);
        await next.SendAsync(Publish(7, "1", duplicate: true), Cancel);
        ingress.Release();
        Assert.Equal("PubRec 0007", Text(await next.ReadAsync(Cancel)));
        await next.SendAsync(Publish(7, "1", duplicate: true), Cancel);
        Assert.Equal("PubRec 0007", Text(await next.ReadAsync(Cancel)));
        Assert.Equal(["m=1"], ingress.Samples);
    }

    [Fact]
    public async Task A_duplicate_of_qos_1_is_taken_in_again_and_acknowledged()
    {
        using var broker = new FakeBroker();
        var ingress = new FakeIngress();
        await using var run = new Run(broker, ingress, qos: 1);
        using var peer = await SubscribedAsync(broker, NewSession);
        await peer.SendAsync([.. Publish(7, "1", qos: 1), .. Publish(7, "1", qos: 1, duplicate: true)], Cancel);
        Assert.Equal("PubAck 0007", Text(await peer.ReadAsync(Cancel)));
        Assert.Equal("PubAck 0007", Text(await peer.ReadAsync(Cancel)));
        Assert.Equal(["m=1", "m=1"], ingress.Samples);
        Assert.Empty(ingress.Positions);
    }

    [Fact]
    public async Task A_broker_that_grants_less_is_reported()
    {
        using var broker = new FakeBroker();
        await using var run = new Run(broker, new FakeIngress());
        using var peer = await SubscribedAsync(broker, NewSession, granted: 1);
        await Eventually.HoldsAsync(() => run.Logger.Count(304) == 1, "the warning");
    }

    [Fact]
    public async Task A_copy_of_the_journal_taken_between_durability_and_acknowledgement_knows_the_message()
    {
        var folder = Directory.CreateTempSubdirectory("streamlstm-qos2-");
        try
        {
            using var broker = new FakeBroker();
            var (here, copy) = (Path.Combine(folder.FullName, "here"), Path.Combine(folder.FullName, "copy"));
            await using (var journal = new Journal(here, TimeProvider.System, new JournalSettings()))
            await using (new Run(broker, journal))
            {
                using var peer = await SubscribedAsync(broker, NewSession);
                await peer.SendAsync(Publish(7, "1"), Cancel);
                Assert.Equal("PubRec 0007", Text(await peer.ReadAsync(Cancel)));
                // The acknowledgement never reaches the broker: the copy stands for the folder after a power cut.
                Directory.CreateDirectory(copy);
                foreach (var file in Directory.GetFiles(here))
                    File.Copy(file, Path.Combine(copy, Path.GetFileName(file)));
            }

            await using (var journal = new Journal(copy, TimeProvider.System, new JournalSettings()))
            {
                journal.ReplayPositions(journal.Start);
                await using var run = new Run(broker, journal);
                using var peer = await SubscribedAsync(broker, OldSession);
                await peer.SendAsync([.. Publish(7, "1", duplicate: true), .. Publish(8, "2")], Cancel);
                Assert.Equal("PubRec 0007", Text(await peer.ReadAsync(Cancel)));
                Assert.Equal("PubRec 0008", Text(await peer.ReadAsync(Cancel)));
            }

            Assert.Equal(["m=1", "m=2"], await SamplesAsync(copy));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task A_worker_killed_between_durability_and_acknowledgement_takes_nothing_in_twice()
    {
        using var harness = new CrashHarness(1);
        using var broker = new FakeBroker();
        var source = CrashHarness.MqttSource(broker.Port);
        source["Qos"] = 2;
        var config = harness.Configure("run", new() { ["bus"] = source });
        const string topic = "meters/a/reading";
        static string Reading(int minute) => $$"""{"time":"2026-01-05T00:{{minute:00}}:00Z","value":{{minute}}}""";

        using (var worker = WorkerProcess.Start("run", "--config", config))
        {
            using var peer = await SubscribedAsync(broker, NewSession);
            await peer.SendAsync([.. Publish(1, Reading(1), topic: topic), .. Publish(2, Reading(2), topic: topic)], Cancel);
            Assert.Equal("PubRec 0001", Text(await peer.ReadAsync(Cancel)));
            Assert.Equal("PubRec 0002", Text(await peer.ReadAsync(Cancel)));
            await worker.KillAsync();
        }

        using (var worker = WorkerProcess.Start("run", "--config", config))
        {
            // The broker has heard of 1 and not of 2.
            using var peer = await SubscribedAsync(broker, OldSession);
            await peer.SendAsync([.. Release(1), .. Publish(2, Reading(2), duplicate: true, topic: topic), .. Publish(3, Reading(3), topic: topic)], Cancel);
            var answers = new[] { Text(await peer.ReadAsync(Cancel)), Text(await peer.ReadAsync(Cancel)), Text(await peer.ReadAsync(Cancel)) };
            Assert.Equal(["PubComp 0001", "PubRec 0002", "PubRec 0003"], answers);
            await worker.KillAsync();
        }

        using (var worker = WorkerProcess.Start("run", "--config", config))
        {
            using var peer = await SubscribedAsync(broker, OldSession);
            await peer.SendAsync([.. Release(2), .. Publish(3, Reading(3), duplicate: true, topic: topic), .. Publish(1, Reading(4), topic: topic)], Cancel);
            var answers = new[] { Text(await peer.ReadAsync(Cancel)), Text(await peer.ReadAsync(Cancel)), Text(await peer.ReadAsync(Cancel)) };
            Assert.Equal(["PubComp 0002", "PubRec 0003", "PubRec 0001"], answers);
            await worker.KillAsync();
        }

        Assert.Equal(["a=1", "a=2", "a=3", "a=4"], await SamplesAsync(Path.Combine(harness.Folder, "state", "journal")));
    }

    /// <summary>stream=value of every sample in a journal, in its order.</summary>
    internal static async Task<List<string>> SamplesAsync(string folder)
    {
        await using var journal = new Journal(folder, TimeProvider.System, new JournalSettings());
        var samples = new List<string>();
        var batch = new LogBatch();
        for (var at = journal.Start; journal.ReadInto(batch, at, 10_000); at = batch.Next, batch.Clear())
        {
            for (var i = 0; i < batch.Samples.Count; i++)
                samples.Add(string.Create(CultureInfo.InvariantCulture, $"{Encoding.UTF8.GetString(batch.Samples.Key(i))}={batch.Samples.Values(i)[0]}"));
        }

        return samples;
    }

    private static async Task<FakePeer> SubscribedAsync(FakeBroker broker, byte[] connAck, byte granted = 2)
    {
        var peer = await broker.AcceptAsync(connAck, Cancel);
        var subscribe = await peer.ReadAsync(Cancel);
        Assert.Equal(MqttPacketType.Subscribe, subscribe.Type);
        await peer.SendAsync([0x90, 4, subscribe.Body.Span[0], subscribe.Body.Span[1], 0, granted], Cancel);
        return peer;
    }

    private static byte[] Publish(ushort id, string payload, bool duplicate = false, int qos = 2, string topic = "m")
    {
        var target = new System.Buffers.ArrayBufferWriter<byte>();
        MqttPacketWriter.Publish(target, Encoding.UTF8.GetBytes(topic), Encoding.UTF8.GetBytes(payload), qos, retain: false, duplicate, id, MqttVersion.V5);
        return target.WrittenSpan.ToArray();
    }

    private static byte[] Release(byte id) => [0x62, 2, 0, id];

    private static string Text(MqttFrame frame) => $"{frame.Type} {Convert.ToHexString(frame.Body.Span)}";

    /// <summary>A running source; disposal stops it at once.</summary>
    private sealed class Run : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly Task _task;

        public Run(FakeBroker broker, IIngress ingress, int qos = 2)
        {
            var settings = new MqttSourceSettings { Name = "home", Host = "127.0.0.1", Port = broker.Port, ClientId = "source", Qos = qos, MaxPayloadBytes = 100 };
            _task = new MqttSource(settings, new NumberDecoder("m"), Logger).RunAsync(ingress, _stop.Token);
        }

        public ListLogger<MqttSource> Logger { get; } = new();

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _task;
            _stop.Dispose();
        }
    }
}
