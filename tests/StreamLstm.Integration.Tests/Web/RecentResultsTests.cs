using System.Text.Json;
using StreamLstm.Worker.Api;

namespace StreamLstm.Integration.Tests.Web;

public class RecentResultsTests
{
    [Fact]
    public async Task History_is_bounded_and_a_revision_replaces_its_interval()
    {
        await using var host = await WebHost.StartAsync(new RecentResultsOptions { HistoryLength = 8 });
        for (var i = 0; i < 20; i++)
            await host.Engine.StepAsync(["a"]);
        await host.Engine.PublishAsync(FakeEngine.Result("a", 15, revision: 1, anomaly: true));

        var stream = await host.GetJsonAsync("/api/v1/streams/a");
        var history = stream.GetProperty("history").EnumerateArray().ToList();
        Assert.Equal(Enumerable.Range(12, 8).Select(Iso), history.Select(p => p.GetProperty("time").GetString()));
        Assert.Equal([0, 0, 0, 1, 0, 0, 0, 0], history.Select(p => p.GetProperty("revision").GetInt32()));
        Assert.True(history[3].GetProperty("anomaly").GetBoolean());
        Assert.Equal(Iso(19), stream.GetProperty("latest").GetProperty("time").GetString());
    }

    [Fact]
    public async Task Late_intervals_go_to_their_place_and_those_older_than_the_history_are_left_out()
    {
        await using var host = await WebHost.StartAsync(new RecentResultsOptions { HistoryLength = 4 });
        foreach (var frame in new[] { 10, 11, 13, 14, 12, 3 })
            await host.Engine.PublishAsync(FakeEngine.Result("a", frame));

        var history = (await host.GetJsonAsync("/api/v1/streams/a")).GetProperty("history").EnumerateArray();
        Assert.Equal([Iso(11), Iso(12), Iso(13), Iso(14)], history.Select(p => p.GetProperty("time").GetString()));
    }

    [Fact]
    public async Task A_forecast_outlives_results_that_come_without_one()
    {
        await using var host = await WebHost.StartAsync();
        await host.Engine.PublishAsync(FakeEngine.Result("a", 0), FakeEngine.Result("a", 1, forecast: false), FakeEngine.Result("a", 2, forecast: false));
        Assert.Equal(Iso(1), (await host.GetJsonAsync("/api/v1/streams/a/forecast")).GetProperty("forecast").GetProperty("start").GetString());
        Assert.Equal(Iso(2), (await host.GetJsonAsync("/api/v1/streams/a")).GetProperty("latest").GetProperty("time").GetString());

        await host.Engine.PublishAsync(FakeEngine.Result("a", 3));
        Assert.Equal(Iso(4), (await host.GetJsonAsync("/api/v1/streams/a/forecast")).GetProperty("forecast").GetProperty("start").GetString());
    }

    [Fact]
    public async Task The_number_of_streams_is_bounded_and_only_some_keep_a_history()
    {
        await using var host = await WebHost.StartAsync(new RecentResultsOptions { MaxStreams = 3, MaxStreamsWithHistory = 2 });
        await host.Engine.StepAsync(["a", "b", "c", "d", "e"]);
        await host.Engine.StepAsync(["a", "b", "c", "d", "e"]);

        var list = await host.GetJsonAsync("/api/v1/streams");
        Assert.Equal(["a", "b", "c"], list.GetProperty("streams").EnumerateArray().Select(s => s.GetProperty("stream").GetString()));
        Assert.Equal(4, list.GetProperty("results_not_kept").GetInt64());
        Assert.Equal(2, (await host.GetJsonAsync("/api/v1/streams/b")).GetProperty("history").GetArrayLength());
        Assert.Equal(0, (await host.GetJsonAsync("/api/v1/streams/c")).GetProperty("history").GetArrayLength());
    }

    [Fact]
    public async Task A_full_view_gives_the_place_of_an_idle_stream_to_a_new_one()
    {
        var clock = new SteppedClock();
        await using var live = new RecentResults(new RecentResultsOptions { MaxStreams = 2, IdleAfter = TimeSpan.FromMinutes(10) }, clock);
        await live.PublishAsync(1, [FakeEngine.Result("old", 0), FakeEngine.Result("busy", 0)], TestContext.Current.CancellationToken);
        clock.Advance(TimeSpan.FromMinutes(11));
        await live.PublishAsync(2, [FakeEngine.Result("busy", 1), FakeEngine.Result("new", 1)], TestContext.Current.CancellationToken);

        Assert.Equal(2, live.Count);
        Assert.Equal(0, live.ResultsNotKept);
    }

    [Fact]
    public async Task A_slow_subscriber_loses_the_oldest_events_and_never_holds_the_publisher_up()
    {
        await using var host = await WebHost.StartAsync();
        using var response = await host.Client.GetAsync("/api/v1/events", HttpCompletionOption.ResponseHeadersRead, TestContext.Current.CancellationToken);
        // Nothing is read: the socket's buffers fill, then the subscription's, and publishing goes on.
        for (var i = 0; i < 4000; i++)
            await host.Engine.StepAsync(["a"]);

        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(TestContext.Current.CancellationToken));
        var (dropped, statuses) = (0L, 0);
        while (dropped == 0 && statuses < 10 && await reader.ReadLineAsync(TestContext.Current.CancellationToken) is { } line)
        {
            if (!line.StartsWith("data: {\"mode\"", StringComparison.Ordinal))
                continue;
            statuses++;
            dropped = JsonDocument.Parse(line[6..]).RootElement.GetProperty("dropped").GetInt64();
        }

        Assert.True(dropped > 0);
    }

    [Fact]
    public async Task Episodes_are_updated_in_place_and_listed_newest_first()
    {
        await using var host = await WebHost.StartAsync(new RecentResultsOptions { MaxEpisodes = 3 });
        for (var i = 0; i < 5; i++)
            await host.Engine.PublishAsync(FakeEngine.Episode(i % 2 == 0 ? "a" : "b", $"e{i}", i, null));
        await host.Engine.PublishAsync(FakeEngine.Episode("b", "e3", 3, 4));

        Assert.Equal(["e4", "e3", "e2"], await IdsAsync(""));
        Assert.Equal(["e3"], await IdsAsync("?state=closed"));
        Assert.Equal(["e4", "e2"], await IdsAsync("?stream=a"));
        Assert.Equal(["e4"], await IdsAsync("?limit=1"));

        async Task<List<string?>> IdsAsync(string query) =>
            [.. (await host.GetJsonAsync("/api/v1/episodes" + query)).GetProperty("episodes").EnumerateArray().Select(e => e.GetProperty("episode").GetString())];
    }

    [Fact]
    public async Task Several_channels_are_kept_by_name()
    {
        await using var host = await WebHost.StartAsync();
        for (var i = 0; i < 3; i++)
            await host.Engine.PublishAsync(FakeEngine.TwoLeads("ecg", i));

        var history = (await host.GetJsonAsync("/api/v1/streams/ecg")).GetProperty("history").EnumerateArray().ToList();
        Assert.Equal(3, history.Count);
        foreach (var point in history)
        {
            var lead = point.GetProperty("channels").GetProperty("II");
            Assert.Equal(10, lead.GetProperty("y").GetDouble() - lead.GetProperty("yhat").GetDouble(), 1e-6);
            Assert.NotEqual(lead.GetProperty("y").GetDouble(), point.GetProperty("channels").GetProperty("I").GetProperty("y").GetDouble());
        }

        Assert.Equal(JsonValueKind.Null, history[0].GetProperty("y").ValueKind);
    }

    private static string Iso(int frame) => Runtime.Ingress.UnixMicros.ToDateTimeOffset(FakeEngine.Time(frame)).ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", System.Globalization.CultureInfo.InvariantCulture);

    private sealed class SteppedClock : TimeProvider
    {
        private long _ticks = 1;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => _ticks;

        public void Advance(TimeSpan by) => _ticks += by.Ticks;
    }
}
