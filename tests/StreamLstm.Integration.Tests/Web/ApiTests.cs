using System.Net;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using StreamLstm.Worker.Api;

namespace StreamLstm.Integration.Tests.Web;

internal static class WebHostJson
{
    public static async Task<JsonElement> GetJsonAsync(this WebHost host, string path, HttpStatusCode expected = HttpStatusCode.OK)
    {
        using var response = await host.Client.GetAsync(path, TestContext.Current.CancellationToken);
        var body = await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.True(expected == response.StatusCode, $"{path}: {response.StatusCode} {body}");
        return JsonDocument.Parse(body).RootElement;
    }
}

public class ApiTests
{
    [Fact]
    public async Task Streams_are_listed_in_pages_with_search_and_recent_values()
    {
        await using var host = await WebHost.StartAsync();
        var ids = Enumerable.Range(0, 25).Select(i => $"nl/M-{i:00}").ToArray();
        await host.Engine.StepAsync(ids);
        await host.Engine.StepAsync(ids, [7]);

        var seen = new List<string>();
        string? after = null;
        do
        {
            var page = await host.GetJsonAsync($"/api/v1/streams?limit=10{(after is null ? "" : "&after=" + Uri.EscapeDataString(after))}");
            seen.AddRange(page.GetProperty("streams").EnumerateArray().Select(s => s.GetProperty("stream").GetString()!));
            after = page.GetProperty("next").GetString();
        }
        while (after is not null);
        Assert.Equal(ids, seen);

        var anomalous = await host.GetJsonAsync("/api/v1/streams?anomaly=true&recent=5");
        var one = Assert.Single(anomalous.GetProperty("streams").EnumerateArray());
        Assert.Equal("nl/M-07", one.GetProperty("stream").GetString());
        Assert.Equal("spike", one.GetProperty("type").GetString());
        Assert.Equal(2, one.GetProperty("recent").GetArrayLength());
        Assert.Equal(6, (await host.GetJsonAsync("/api/v1/streams?q=m-2&limit=6")).GetProperty("streams").GetArrayLength() + 1);
        Assert.Equal(400, (await host.GetJsonAsync("/api/v1/streams?limit=0", HttpStatusCode.BadRequest)).GetProperty("status").GetInt32());
    }

    [Theory]
    [InlineData("nl/M-42")]
    [InlineData("a%2Fb")]
    [InlineData("a b+c?d#e&f")]
    [InlineData("straße/ünï")]
    public async Task An_id_is_percent_encoded_and_decoded_once(string id)
    {
        await using var host = await WebHost.StartAsync();
        await host.Engine.StepAsync([id, "a/b"]);
        var path = "/api/v1/streams/" + Uri.EscapeDataString(id);
        Assert.Equal(id, (await host.GetJsonAsync(path)).GetProperty("stream").GetString());
        Assert.Equal(id, (await host.GetJsonAsync(path + "/forecast")).GetProperty("stream").GetString());
    }

    [Fact]
    public async Task A_stream_has_its_result_as_published_its_forecast_and_history()
    {
        await using var host = await WebHost.StartAsync();
        await host.Engine.StepAsync(["nl/M-42"]);
        await host.Engine.StepAsync(["nl/M-42"]);

        var stream = await host.GetJsonAsync("/api/v1/streams/nl%2FM-42");
        Assert.Equal(Encoding.UTF8.GetString(FakeEngine.Result("nl/M-42", 1).Json.Span), stream.GetProperty("latest").GetRawText());
        Assert.Equal(96, stream.GetProperty("forecast").GetProperty("values").GetArrayLength());
        Assert.Equal(2, stream.GetProperty("history").GetArrayLength());

        var forecast = await host.GetJsonAsync("/api/v1/streams/nl%2FM-42/forecast");
        Assert.Equal(7, forecast.GetProperty("model_version").GetInt32());
        Assert.Equal(900, forecast.GetProperty("forecast").GetProperty("step_s").GetInt32());
    }

    [Fact]
    public async Task State_and_reset_are_the_engines()
    {
        await using var host = await WebHost.StartAsync();
        Assert.Equal(0.5, (await host.GetJsonAsync("/api/v1/streams/nl%2FM-42/state")).GetProperty("hidden_state")[0].GetDouble());
        using var reset = await host.Client.PostAsync("/api/v1/streams/nl%2FM-42/reset", null, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.OK, reset.StatusCode);
        using var unknown = await host.Client.PostAsync("/api/v1/streams/x/reset", null, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.NotFound, unknown.StatusCode);
        Assert.Equal(["nl/M-42", "x"], host.Engine.Resets);
    }

    [Theory]
    [InlineData("/api/v1/streams/none", HttpStatusCode.NotFound)]
    [InlineData("/api/v1/streams/none/forecast", HttpStatusCode.NotFound)]
    [InlineData("/api/v1/streams/none/state", HttpStatusCode.NotFound)]
    [InlineData("/api/v1/nothing", HttpStatusCode.NotFound)]
    [InlineData("/api/v1/ingest", HttpStatusCode.MethodNotAllowed)]
    [InlineData("/api/v1/episodes?limit=many", HttpStatusCode.BadRequest)]
    public async Task Errors_are_problem_documents(string path, HttpStatusCode expected)
    {
        await using var host = await WebHost.StartAsync();
        using var response = await host.Client.GetAsync(path, TestContext.Current.CancellationToken);
        Assert.Equal(expected, response.StatusCode);
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        var problem = JsonDocument.Parse(await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)).RootElement;
        Assert.Equal((int)expected, problem.GetProperty("status").GetInt32());
        Assert.NotEmpty(problem.GetProperty("title").GetString()!);
    }

    [Fact]
    public async Task Readiness_names_the_part_that_is_not_ready()
    {
        await using var host = await WebHost.StartAsync();
        Assert.True((await host.GetJsonAsync("/readyz")).GetProperty("ready").GetBoolean());
        Assert.True((await host.GetJsonAsync("/healthz")).GetProperty("alive").GetBoolean());

        host.Engine.Parts = [new("restore", true, null), new("sink:kafka", false, "no broker answers at localhost:9092")];
        host.Engine.NotAlive = "shard 1 has not turned for 60 s";
        var part = (await host.GetJsonAsync("/readyz", HttpStatusCode.ServiceUnavailable)).GetProperty("parts").EnumerateArray().Single(p => !p.GetProperty("ready").GetBoolean());
        Assert.Equal("sink:kafka", part.GetProperty("name").GetString());
        Assert.Equal("no broker answers at localhost:9092", part.GetProperty("detail").GetString());
        Assert.Equal("shard 1 has not turned for 60 s", (await host.GetJsonAsync("/healthz", HttpStatusCode.ServiceUnavailable)).GetProperty("reason").GetString());
    }

    [Fact]
    public async Task Events_carry_status_results_and_episodes_of_the_chosen_stream()
    {
        await using var host = await WebHost.StartAsync();
        using var response = await host.Client.GetAsync("/api/v1/events?stream=a", HttpCompletionOption.ResponseHeadersRead, TestContext.Current.CancellationToken);
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType?.MediaType);
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(TestContext.Current.CancellationToken));
        Assert.Equal("status", (await NextAsync(reader)).Name);

        await host.Engine.StepAsync(["b", "a"]);
        await host.Engine.PublishAsync(FakeEngine.Episode("b", "e1", 0, null), FakeEngine.Episode("a", "e2", 0, null));
        var events = new List<(string Name, JsonElement Data)>();
        while (events.Count < 2)
        {
            var e = await NextAsync(reader);
            if (e.Name != "status")
                events.Add(e);
        }

        Assert.Equal("result", events[0].Name);
        Assert.Equal("a", events[0].Data.GetProperty("stream").GetString());
        Assert.Equal("episode", events[1].Name);
        Assert.Equal("e2", events[1].Data.GetProperty("episode").GetString());
    }

    [Fact]
    public async Task An_open_event_stream_does_not_delay_the_stop()
    {
        await using var host = await WebHost.StartAsync();
        using var response = await host.Client.GetAsync("/api/v1/events", HttpCompletionOption.ResponseHeadersRead, TestContext.Current.CancellationToken);
        var stop = host.App.StopAsync(TestContext.Current.CancellationToken);
        Assert.Same(stop, await Task.WhenAny(stop, Task.Delay(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken)));
    }

    [Fact]
    public async Task Subscribers_are_limited_and_leave()
    {
        await using var host = await WebHost.StartAsync(new RecentResultsOptions { MaxSubscribers = 1 });
        using (await host.Client.GetAsync("/api/v1/events", HttpCompletionOption.ResponseHeadersRead, TestContext.Current.CancellationToken))
            await host.GetJsonAsync("/api/v1/events", HttpStatusCode.ServiceUnavailable);

        for (var attempt = 0; ; attempt++)
        {
            using var again = await host.Client.GetAsync("/api/v1/events", HttpCompletionOption.ResponseHeadersRead, TestContext.Current.CancellationToken);
            if (again.StatusCode == HttpStatusCode.OK)
                break;
            Assert.True(attempt < 100, "the place of a subscriber that left stays taken");
            await Task.Delay(50, TestContext.Current.CancellationToken);
        }
    }

    [Fact]
    public async Task The_description_lists_exactly_the_routes()
    {
        await using var host = await WebHost.StartAsync();
        var described = (await host.GetJsonAsync("/openapi/v1.json")).GetProperty("paths").EnumerateObject()
            .SelectMany(path => path.Value.EnumerateObject().Select(method => $"{method.Name.ToUpperInvariant()} {path.Name}"));
        var pages = new[] { "/favicon.svg", ".js", ".css", "/LICENSE" };
        var mapped = host.App.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
            .SelectMany(e => e.Metadata.GetRequiredMetadata<HttpMethodMetadata>().HttpMethods.Select(method => (method, path: e.RoutePattern.RawText!)))
            .Where(r => r.path != "/" && !pages.Any(p => r.path.EndsWith(p, StringComparison.Ordinal)))
            .Select(r => $"{r.method} {r.path}");
        Assert.Equal(mapped.Order(StringComparer.Ordinal), described.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task The_page_and_its_scripts_are_served_and_revalidated()
    {
        await using var host = await WebHost.StartAsync();
        foreach (var (path, type) in new[] { ("/", "text/html"), ("/main.js", "text/javascript"), ("/page.css", "text/css"), ("/charts/svg.js", "text/javascript") })
        {
            using var response = await host.Client.GetAsync(path, TestContext.Current.CancellationToken);
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            Assert.Equal(type, response.Content.Headers.ContentType?.MediaType);
            Assert.NotEmpty(await response.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken));
            using var again = new HttpRequestMessage(HttpMethod.Get, path);
            again.Headers.IfNoneMatch.Add(response.Headers.ETag!);
            using var unchanged = await host.Client.SendAsync(again, TestContext.Current.CancellationToken);
            Assert.Equal(HttpStatusCode.NotModified, unchanged.StatusCode);
        }
    }

    [Fact]
    public async Task A_page_of_another_origin_cannot_post()
    {
        await using var host = await WebHost.StartAsync();
        foreach (var (origin, expected) in new[] { ("https://evil.example", HttpStatusCode.Forbidden), ("null", HttpStatusCode.Forbidden), (host.Address.GetLeftPart(UriPartial.Authority), HttpStatusCode.OK) })
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/api/v1/ingest") { Content = new StringContent("power value=1\n", Encoding.UTF8, "text/plain") };
            request.Headers.Add("Origin", origin);
            using var response = await host.Client.SendAsync(request, TestContext.Current.CancellationToken);
            Assert.Equal(expected, response.StatusCode);
        }

        Assert.Single(host.Ingress.Samples);
    }

    [Fact]
    public async Task A_token_guards_page_and_api_but_not_health_and_metrics()
    {
        await using var host = await WebHost.StartAsync(token: "s3cret");
        foreach (var (path, bearer, expected) in new[]
        {
            ("/", null, HttpStatusCode.Unauthorized), ("/api/v1/streams", null, HttpStatusCode.Unauthorized), ("/api/v1/streams", "wrong", HttpStatusCode.Unauthorized),
            ("/api/v1/streams", "s3cret", HttpStatusCode.OK), ("/healthz", null, HttpStatusCode.OK), ("/metrics", null, HttpStatusCode.OK),
        })
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, path);
            if (bearer is not null)
                request.Headers.Authorization = new("Bearer", bearer);
            using var response = await host.Client.SendAsync(request, TestContext.Current.CancellationToken);
            Assert.Equal((path, expected), (path, response.StatusCode));
        }

        // As a browser does it: the redirect's cookie opens the rest.
        await host.Client.GetStringAsync("/?token=s3cret", TestContext.Current.CancellationToken);
        await host.GetJsonAsync("/api/v1/streams");
    }

    [Fact]
    public async Task A_foreign_name_for_the_loopback_address_is_refused()
    {
        await using var host = await WebHost.StartAsync();
        foreach (var (name, expected) in new[] { ("rebound.example", HttpStatusCode.Forbidden), ("localhost", HttpStatusCode.OK), ("127.0.0.1", HttpStatusCode.OK), ("[::1]", HttpStatusCode.OK) })
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/api/v1/streams");
            request.Headers.Host = name;
            using var response = await host.Client.SendAsync(request, TestContext.Current.CancellationToken);
            Assert.Equal((name, expected), (name, response.StatusCode));
        }
    }

    [Fact]
    public async Task The_management_port_serves_health_and_metrics_only()
    {
        using var probe = new System.Net.Sockets.TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        var port = ((IPEndPoint)probe.LocalEndpoint).Port;
        probe.Stop();
        await using var host = await WebHost.StartAsync(managementPort: port);
        foreach (var (path, expected) in new[] { ("/healthz", HttpStatusCode.OK), ("/metrics", HttpStatusCode.OK), ("/", HttpStatusCode.NotFound), ("/api/v1/streams", HttpStatusCode.NotFound) })
        {
            // The Host header names the other port: it must not matter.
            using var request = new HttpRequestMessage(HttpMethod.Get, $"http://127.0.0.1:{port}{path}");
            request.Headers.Host = host.Address.Authority;
            using var response = await host.Client.SendAsync(request, TestContext.Current.CancellationToken);
            Assert.Equal(expected, response.StatusCode);
        }
    }

    private static async Task<(string Name, JsonElement Data)> NextAsync(StreamReader reader)
    {
        var name = (await reader.ReadLineAsync(TestContext.Current.CancellationToken))!;
        var data = (await reader.ReadLineAsync(TestContext.Current.CancellationToken))!;
        Assert.Equal("", await reader.ReadLineAsync(TestContext.Current.CancellationToken));
        return (name["event: ".Length..], JsonDocument.Parse(data["data: ".Length..]).RootElement);
    }
}
