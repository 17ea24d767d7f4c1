using System.Text;
using StreamLstm.Connectors.Mqtt;
using StreamLstm.Runtime.Output;

namespace StreamLstm.Integration.Tests.Mqtt;

[Trait("Category", "Broker")]
public class MqttSinkTests
{
    private const string Forecast = """{"start":"2024-01-01T00:15:00Z","step_s":900,"quantiles":[0.5],"values":[[1.5]]}""";

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Each_kind_goes_to_its_topic_and_forecasts_are_retained()
    {
        await using var broker = await MosquittoServer.StartAsync();
        await broker.SubscribeAsync("watcher", "out/#");
        await using var sink = NewSink(broker);
        await sink.OpenAsync(default, Cancel);
        var result = $$"""{"schema":1,"stream":"nl/a+b","y":1,"issued_at":"2024-01-01T00:15:01Z","forecast":{{Forecast}}}""";
        var mark = await sink.PublishAsync(
            7,
            [
                Record(OutputKind.Result, "nl/a+b", result),
                Record(OutputKind.Result, "plain", """{"stream":"plain","forecast":null}"""),
                Record(OutputKind.Episode, "nl/a+b", """{"id":"e"}"""),
                Record(OutputKind.DeadLetter, "home", """{"reason":"malformed"}"""),
            ],
            Cancel);
        Assert.Equal(new SinkMark(7, 0), mark);
        Assert.Null(sink.NotReady);

        var forecast = $$"""{"schema":1,"stream":"nl/a+b","issued_at":"2024-01-01T00:15:01Z","forecast":{{Forecast}}}""";
        var seen = (await broker.ReceiveAsync("watcher", "out/#", 6)).ToHashSet();
        Assert.Equal(
            new HashSet<string>
            {
                "out/status online",
                "out/nl/a%2Bb/result " + result,
                "out/nl/a%2Bb/forecast " + forecast,
                """out/plain/result {"stream":"plain","forecast":null}""",
                """out/nl/a%2Bb/episode {"id":"e"}""",
                """out/deadletter {"reason":"malformed"}""",
            },
            seen);

        Assert.Equal(
            new HashSet<string> { "out/status online", "out/nl/a%2Bb/forecast " + forecast },
            (await broker.ReceiveRetainedAsync("out/#", 2)).ToHashSet());
    }

    [Fact]
    public async Task What_late_data_changed_behind_the_newest_result_does_not_take_its_place()
    {
        await using var broker = await MosquittoServer.StartAsync();
        await broker.SubscribeAsync("watcher", "out/s/#");
        await using var sink = NewSink(broker, retainResults: true);
        await sink.OpenAsync(default, Cancel);
        var newest = $$"""{"schema":1,"stream":"s","time":"t2","issued_at":"i","forecast":{{Forecast}}}""";
        var older = $$"""{"schema":1,"stream":"s","time":"t1","revision":1,"issued_at":"i","forecast":{{Forecast}}}""";
        await sink.PublishAsync(1, [Record(OutputKind.Result, "s", newest), Record(OutputKind.Result, "s", older) with { Newest = false }], Cancel);
        Assert.Equal(3, (await broker.ReceiveAsync("watcher", "out/s/#", 3)).Length);
        var kept = await broker.ReceiveRetainedAsync("out/s/#", 2);
        Assert.Contains("out/s/result " + newest, kept);
        Assert.DoesNotContain(kept, k => k.Contains("t1", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Status_is_offline_after_a_goodbye()
    {
        await using var broker = await MosquittoServer.StartAsync();
        await broker.SubscribeAsync("watcher", "out/status");
        var sink = NewSink(broker);
        await sink.OpenAsync(default, Cancel);
        await Eventually.HoldsAsync(() => sink.NotReady is null, "connected");
        await sink.DisposeAsync();
        Assert.Equal(["out/status online", "out/status offline"], await broker.ReceiveAsync("watcher", "out/status", 2));
    }

    [Fact]
    public async Task Status_is_offline_by_the_will_after_a_silent_death()
    {
        await using var broker = await MosquittoServer.StartAsync();
        await broker.SubscribeAsync("watcher", "out/status");
        await using var relay = new Relay(broker.Port);
        await using var sink = NewSink(broker, port: relay.Port);
        await sink.OpenAsync(default, Cancel);
        await Eventually.HoldsAsync(() => sink.NotReady is null, "connected");
        relay.Cut();
        Assert.Equal(
            ["out/status online", "out/status offline", "out/status online"],
            await broker.ReceiveAsync("watcher", "out/status", 3));
    }

    [Fact]
    public async Task Publishing_waits_for_an_absent_broker_and_survives_its_restart()
    {
        await using var broker = MosquittoServer.Create(persistence: true);
        var logger = new ListLogger<MqttSink>();
        await using var sink = NewSink(broker, logger);
        await sink.OpenAsync(default, Cancel);
        var first = sink.PublishAsync(1, [Record(OutputKind.Episode, "s", "1")], Cancel).AsTask();
        await Eventually.HoldsAsync(() => sink.NotReady?.StartsWith("connection refused") == true, "the sink says why it waits");
        Assert.False(first.IsCompleted);

        await broker.StartAgainAsync();
        Assert.Equal(1, (await first.WaitAsync(Cancel)).Commit);
        await broker.SubscribeAsync("watcher", "out/+/episode");
        await broker.StopAsync();
        var second = sink.PublishAsync(2, [.. Enumerable.Range(0, 1000).Select(i => Record(OutputKind.Episode, "s", $"{i}"))], Cancel).AsTask();
        await Eventually.HoldsAsync(() => sink.NotReady is not null, "the loss is noticed");
        Assert.False(second.IsCompleted);
        await broker.StartAgainAsync();
        Assert.Equal(2, (await second.WaitAsync(Cancel)).Commit);
        Assert.Equal(Enumerable.Range(0, 1000).Select(i => $"out/s/episode {i}"), await broker.ReceiveAsync("watcher", "out/+/episode", 1000));
        Assert.Equal(2, logger.Count(301));
    }

    [Fact]
    public void The_forecast_is_cut_out_of_the_result_as_it_stands()
    {
        bool Try(string json, out string forecast)
        {
            var found = MqttSink.TryGetForecast(Record(OutputKind.Result, "ä", json), out var bytes);
            forecast = Encoding.UTF8.GetString(bytes.Span);
            return found;
        }

        Assert.True(Try("""{"channels":{"forecast":{"no":1}},"forecast":{"a":[1.50,{"b":null}]},"issued_at":"t","stream":"\u00e4"}""", out var forecast));
        Assert.Equal("""{"schema":1,"stream":"\u00e4","issued_at":"t","forecast":{"a":[1.50,{"b":null}]}}""", forecast);
        Assert.True(Try("""{"forecast":{}}""", out forecast));
        Assert.Equal("""{"schema":1,"stream":"\u00E4","issued_at":null,"forecast":{}}""", forecast);
        Assert.False(Try("""{"forecast":null}""", out _));
        Assert.False(Try("""{"channels":{"forecast":{}}}""", out _));
        Assert.False(Try("{}", out _));
    }

    [Fact]
    public void Settings_that_cannot_work_are_refused()
    {
        var settings = new MqttSinkSettings { Name = "out", Host = "127.0.0.1" };
        foreach (var bad in new[] { settings with { Qos = 3 }, settings with { Prefix = "" }, settings with { Prefix = "a/#" }, settings with { Prefix = "a/" } })
            Assert.Throws<ArgumentException>(() => new MqttSink(bad, new ListLogger<MqttSink>()));
    }

    private static MqttSink NewSink(MosquittoServer broker, ListLogger<MqttSink>? logger = null, int? port = null, bool retainResults = false) =>
        new(new MqttSinkSettings { Name = "out", Host = "127.0.0.1", Port = port ?? broker.Port, ClientId = "sink", Prefix = "out", RetainResults = retainResults }, logger ?? new ListLogger<MqttSink>());

    private static OutputRecord Record(OutputKind kind, string stream, string json) => new(kind, stream, 0, 0, Encoding.UTF8.GetBytes(json));
}
