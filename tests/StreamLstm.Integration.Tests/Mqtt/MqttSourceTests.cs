using System.Text;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Connectors.Mqtt;
using StreamLstm.Integration.Tests.Codecs;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Integration.Tests.Mqtt;

[Trait("Category", "Broker")]
public class MqttSourceTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Samples_are_appended_and_bad_payloads_become_dead_letters_at_their_topic()
    {
        await using var broker = await MosquittoServer.StartAsync();
        await broker.PublishAsync("m/kept", "7", retain: true);
        await using var run = new Run(broker, new NumberDecoder("m/#"));
        await run.ConnectedAsync();
        await broker.PublishAsync("m/1", "1.5");
        await broker.PublishAsync("m/2", "x");
        await broker.PublishAsync("m/1", "2.5", qos: 0);
        await Eventually.HoldsAsync(() => run.Ingress.Samples.Count == 3, "three samples");

        Assert.Equal(["m/kept=7", "m/1=1.5", "m/1=2.5"], run.Ingress.Samples);
        Assert.Equal(["m/kept"], run.Decoder.Retained);
        var letter = Assert.Single(run.Ingress.DeadLetters);
        Assert.Equal(("malformed", "home", "m/2", 1), (letter.Reason, letter.Source, letter.Position, letter.PayloadBytes));
    }

    [Fact]
    public async Task Nothing_is_acknowledged_before_the_append_has_completed()
    {
        await using var broker = await MosquittoServer.StartAsync();
        await using (var run = new Run(broker, new NumberDecoder("m/#")))
        {
            await run.ConnectedAsync();
            run.Ingress.Hold();
            await broker.PublishAsync("m/1", "1");
            await broker.PublishAsync("m/1", "2");
            await Eventually.HoldsAsync(() => run.Ingress.Entered > 0, "the append has begun");
        }

        await using (var again = new Run(broker, new NumberDecoder("m/#")))
        {
            await Eventually.HoldsAsync(() => again.Ingress.Samples.Count == 2, "both come again");
            Assert.Equal(["m/1=1", "m/1=2"], again.Ingress.Samples);
            // The acknowledgement follows the append; a later message proves that the source has passed that point.
            await broker.PublishAsync("m/1", "3");
            await Eventually.HoldsAsync(() => again.Ingress.Samples.Count == 3, "the third");
        }

        await using var last = new Run(broker, new NumberDecoder("m/#"));
        await last.ConnectedAsync();
        await broker.PublishAsync("m/1", "4");
        await Eventually.HoldsAsync(() => last.Ingress.Samples.Contains("m/1=4"), "the fourth");
        Assert.DoesNotContain("m/1=1", last.Ingress.Samples);
        Assert.DoesNotContain("m/1=2", last.Ingress.Samples);
    }

    [Fact]
    public async Task An_append_that_outlives_its_connection_is_not_acknowledged_on_the_next_one()
    {
        await using var broker = await MosquittoServer.StartAsync();
        await using var relay = new Relay(broker.Port);
        await using var run = new Run(broker, new NumberDecoder("m/#"), s => s with { Port = relay.Port });
        await run.ConnectedAsync();
        run.Ingress.Hold();
        await broker.PublishAsync("m/1", "1");
        await Eventually.HoldsAsync(() => run.Ingress.Entered == 1, "the append has begun");

        relay.Cut();
        await Eventually.HoldsAsync(() => run.Source.Status.State == SourceState.Connecting, "the loss is noticed");
        await run.ConnectedAsync();
        run.Ingress.Release();
        await Eventually.HoldsAsync(() => run.Ingress.Samples.Count == 2, "the same message twice");
        Assert.Equal(["m/1=1", "m/1=1"], run.Ingress.Samples);
    }

    [Fact]
    public async Task A_broker_that_comes_late_is_waited_for_and_the_outage_logged_once()
    {
        await using var broker = MosquittoServer.Create();
        await using var run = new Run(broker, new NumberDecoder("m/#"));
        await Eventually.HoldsAsync(() => run.Source.Status.Detail?.StartsWith("connection refused") == true, "the status says why");
        Assert.Equal(SourceState.Connecting, run.Source.Status.State);
        await Task.Delay(1000, Cancel);
        await broker.StartAgainAsync();
        await run.ConnectedAsync();
        await broker.PublishAsync("m/1", "1");
        await Eventually.HoldsAsync(() => !run.Ingress.Samples.IsEmpty, "the sample");
        Assert.Equal((1, 1), (run.Logger.Count(301), run.Logger.Count(300)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task After_a_broker_restart_the_source_is_subscribed_again(bool persistence)
    {
        await using var broker = await MosquittoServer.StartAsync(persistence: persistence);
        await using var run = new Run(broker, new NumberDecoder("m/#"));
        await run.ConnectedAsync();
        await broker.PublishAsync("m/1", "1");
        await Eventually.HoldsAsync(() => run.Ingress.Samples.Count == 1, "the first sample");

        await broker.StopAsync();
        await Eventually.HoldsAsync(() => run.Source.Status.State == SourceState.Connecting, "the loss is noticed");
        await broker.StartAgainAsync();
        await run.ConnectedAsync();
        await broker.PublishAsync("m/1", "2");
        await Eventually.HoldsAsync(() => run.Ingress.Samples.Contains("m/1=2"), "the second sample");
    }

    [Theory]
    [InlineData(2_000)]
    [InlineData(900_000)]
    public async Task An_oversized_message_becomes_a_dead_letter_and_stops_nobody(int bytes)
    {
        await using var broker = await MosquittoServer.StartAsync();
        await using var run = new Run(broker, new NumberDecoder("m/#"), s => s with { MaxPayloadBytes = 1000 });
        await run.ConnectedAsync();
        await broker.PublishAsync("m/1", "1");
        await using (var publisher = new MqttClient(new MqttClientOptions { Host = "127.0.0.1", Port = broker.Port, ClientId = "p" }, TimeProvider.System))
        {
            await publisher.ConnectAsync(Cancel);
            await publisher.PublishAsync("m/big", new byte[bytes], 1, retain: false, Cancel);
        }

        await broker.PublishAsync("m/1", "2");
        await Eventually.HoldsAsync(() => run.Ingress.Samples.Count == 2, "both samples");
        var letter = Assert.Single(run.Ingress.DeadLetters);
        Assert.Equal(("oversized", "m/big", bytes), (letter.Reason, letter.Position, letter.PayloadBytes));
        Assert.True(letter.Payload.Length is > 0 and <= DeadLetter.MaxPayloadBytes);
        Assert.Equal(0, run.Logger.Count(301));
    }

    [Fact]
    public async Task A_broken_ingress_ends_the_run_with_its_error()
    {
        await using var broker = await MosquittoServer.StartAsync();
        await broker.PublishAsync("m/1", "1", retain: true);
        var source = NewSource(broker, new NumberDecoder("m/#"), new ListLogger<MqttSource>());
        var e = await Assert.ThrowsAsync<InvalidOperationException>(() => source.RunAsync(new BrokenIngress(), Cancel));
        Assert.Equal("disk full", e.Message);
    }

    [Fact]
    public void Settings_that_cannot_work_are_refused_with_an_explanation()
    {
        var settings = new MqttSourceSettings { Name = "home", Host = "127.0.0.1" };
        MqttSource Create(MqttSourceSettings s, params string[] filters) => new(s, new NumberDecoder(filters), new ListLogger<MqttSource>());
        Assert.Contains("shared subscription '$share/g/m'", Assert.Throws<ArgumentException>(() => Create(settings, "a", "$share/g/m")).Message);
        Assert.Contains("'a/+/c' and 'a/b/+' have topics in common", Assert.Throws<ArgumentException>(() => Create(settings, "a/+/c", "x", "a/b/+")).Message);
        Assert.Contains("no bindings", Assert.Throws<ArgumentException>(() => Create(settings)).Message);
        Assert.Contains("Qos must be 0, 1 or 2", Assert.Throws<ArgumentException>(() => Create(settings with { Qos = 3 }, "a")).Message);
        Assert.DoesNotContain("secret", (settings with { Username = "u", Password = "secret" }).ToString());
    }

    private static MqttSource NewSource(MosquittoServer broker, IPayloadDecoder decoder, ListLogger<MqttSource> logger, Func<MqttSourceSettings, MqttSourceSettings>? change = null)
    {
        var settings = new MqttSourceSettings { Name = "home", Host = "127.0.0.1", Port = broker.Port, ClientId = "source" };
        return new MqttSource(change?.Invoke(settings) ?? settings, decoder, logger);
    }

    /// <summary>A running source; disposal stops it, without acknowledging what is under way.</summary>
    [Fact]
    public async Task A_Sparkplug_node_that_speaks_without_a_birth_is_asked_for_it_once()
    {
        await using var broker = await MosquittoServer.StartAsync();
        await broker.SubscribeAsync("node", "spBv1.0/plant/NCMD/#");
        var ingress = new FakeIngress();
        using var stop = new CancellationTokenSource();
        var source = NewSource(broker, new BindingDecoder(Presets.Find("sparkplug")), new ListLogger<MqttSource>());
        var run = source.RunAsync(ingress, stop.Token);
        await Eventually.HoldsAsync(() => source.Status.State == SourceState.Connected, "connected");
        // seq = 7 and a metric by alias: text is what mosquitto's client can send, and these bytes are ASCII.
        var data = Encoding.ASCII.GetString(new ProtobufWriter().Block(2, m => m.Varint(2, 9).Varint(3, 1).Varint(4, 10)).Varint(3, 7).Bytes);
        await broker.PublishAsync("spBv1.0/plant/NDATA/gw", data, qos: 0);
        await broker.PublishAsync("spBv1.0/plant/NDATA/gw", data, qos: 0);
        // The payload has a line feed in it.
        var asked = string.Join('\n', await broker.ReceiveAsync("node", "spBv1.0/plant/NCMD/#", 1));
        Assert.StartsWith("spBv1.0/plant/NCMD/gw", asked, StringComparison.Ordinal);
        Assert.Contains("Node Control/Rebirth", asked, StringComparison.Ordinal);
        await stop.CancelAsync();
        await run;
    }

    private sealed class Run : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly Task _task;

        public Run(MosquittoServer broker, NumberDecoder decoder, Func<MqttSourceSettings, MqttSourceSettings>? change = null)
        {
            Decoder = decoder;
            Source = NewSource(broker, decoder, Logger, change);
            _task = Source.RunAsync(Ingress, _stop.Token);
        }

        public NumberDecoder Decoder { get; }

        public FakeIngress Ingress { get; } = new();

        public ListLogger<MqttSource> Logger { get; } = new();

        public MqttSource Source { get; }

        public Task ConnectedAsync() => Eventually.HoldsAsync(() => Source.Status.State == SourceState.Connected, "connected");

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _task;
            _stop.Dispose();
        }
    }

    private sealed class BrokenIngress : IIngress
    {
        public TimeProvider Clock => TimeProvider.System;

        public ValueTask AppendAsync(SampleBatch batch, CancellationToken cancellationToken) => throw new InvalidOperationException("disk full");

        public string? Position(string source) => null;
    }
}
