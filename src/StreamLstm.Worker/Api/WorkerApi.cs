using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Microsoft.AspNetCore.Http.Features;

using StreamLstm.Worker.Page;

namespace StreamLstm.Worker.Api;

/// <summary>The routes under <c>/api/v1</c>, described by <c>openapi.json</c>.</summary>
internal sealed class WorkerApi(RecentResults live, IWorkerStatus status, HttpIngestSource? ingest, CancellationToken stopping)
{
    private const string Prefix = "/api/v1";
    private static readonly TimeSpan StatusInterval = TimeSpan.FromSeconds(1);

    public void Map(WebApplication app)
    {
        app.MapGet(Prefix + "/streams", ListAsync);
        app.MapGet(Prefix + "/streams/{id}", OneAsync);
        app.MapGet(Prefix + "/streams/{id}/forecast", ForecastAsync);
        app.MapGet(Prefix + "/streams/{id}/state", StateAsync);
        app.MapPost(Prefix + "/streams/{id}/reset", ResetAsync);
        app.MapGet(Prefix + "/episodes", EpisodesAsync);
        app.MapGet(Prefix + "/events", EventsAsync);
        if (ingest is not null)
            app.MapPost(Prefix + "/ingest", ingest.HandleAsync);
        app.MapGet("/openapi/v1.json", context => EmbeddedFiles.ServeAsync(context, "openapi.json"));
        app.MapGet("/healthz", HealthAsync);
        app.MapGet("/readyz", ReadyAsync);
    }

    /// <summary>
    /// The id as the client sent it, decoded once. The route value won't do: the server has decoded it already, except <c>%2F</c>, so
    /// that <c>a%2Fb</c> and <c>a%252Fb</c> look the same in it.
    /// </summary>
    private static string StreamId(HttpContext context)
    {
        var target = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        var query = target.IndexOf('?', StringComparison.Ordinal);
        var path = query < 0 ? target : target[..query];
        const string Before = "/streams/";
        var start = path.IndexOf(Before, StringComparison.OrdinalIgnoreCase) + Before.Length;
        var end = path.IndexOf('/', start);
        return Uri.UnescapeDataString(end < 0 ? path[start..] : path[start..end]);
    }

    private static Task UnknownStream(HttpContext context, string id) => Problem.WriteAsync(context, StatusCodes.Status404NotFound,
        $"No stream '{id}' is known. Ids are percent-encoded: 'a/b' is a%2Fb.");

    private Task ListAsync(HttpContext context)
    {
        var query = context.Request.Query;
        if (!TryInt(query["limit"], 100, 1, 1000, out var limit) || !TryInt(query["recent"], 0, 0, 256, out var recent))
            return BadNumber(context, "limit must be 1 to 1000, recent 0 to 256.");

        var keys = live.SortedKeys();
        var after = query["after"].ToString();
        var search = query["q"].ToString();
        var onlyAnomalous = query["anomaly"] == "true";
        var i = 0;
        if (after.Length > 0)
        {
            i = Array.BinarySearch(keys, after, StringComparer.Ordinal);
            i = i < 0 ? ~i : i + 1;
        }

        context.Response.ContentType = "application/json";
        using var json = new Utf8JsonWriter(context.Response.BodyWriter, Json.Writer);
        json.WriteStartObject();
        json.WriteStartArray("streams"u8);
        string? last = null, next = null;
        for (var n = 0; i < keys.Length; i++)
        {
            if (live.Find(keys[i]) is not { } view || !view.Stream.Contains(search, StringComparison.OrdinalIgnoreCase))
                continue;
            lock (view.Gate)
            {
                if (onlyAnomalous && !view.Latest.Anomaly)
                    continue;
                if (n++ == limit)
                {
                    next = last;
                    break;
                }

                last = view.Stream;
                json.WriteStartObject();
                json.WriteString("stream"u8, view.Stream);
                json.WriteString("profile"u8, view.Profile);
                WritePoint(json, view, view.Latest);
                if (recent > 0)
                {
                    // For several channels the line is the first one's.
                    json.WriteStartArray("recent"u8);
                    for (var j = Math.Max(0, view.HistoryCount - recent); j < view.HistoryCount; j++)
                    {
                        var point = view.History_NeedsLock(j);
                        var y = point.ChannelValues is { } values ? values[0] : point.Y;
                        if (double.IsFinite(y))
                            json.WriteNumberValue(y);
                        else
                            json.WriteNullValue();
                    }

                    json.WriteEndArray();
                }

                json.WriteEndObject();
            }
        }

        json.WriteEndArray();
        json.WriteString("next"u8, next);
        json.WriteNumber("total"u8, keys.Length);
        json.WriteNumber("results_not_kept"u8, live.ResultsNotKept);
        json.WriteEndObject();
        return Task.CompletedTask;
    }

    private Task OneAsync(HttpContext context)
    {
        var id = StreamId(context);
        if (live.Find(id) is not { } view)
            return UnknownStream(context, id);
        if (!TryInt(context.Request.Query["limit"], int.MaxValue, 0, int.MaxValue, out var limit))
            return BadNumber(context, "limit must be 0 or more.");

        context.Response.ContentType = "application/json";
        using var json = new Utf8JsonWriter(context.Response.BodyWriter, Json.Writer);
        lock (view.Gate)
        {
            json.WriteStartObject();
            json.WriteString("stream"u8, view.Stream);
            json.WriteString("profile"u8, view.Profile);
            json.WriteBoolean("provisional"u8, live.Provisional);
            json.WritePropertyName("latest"u8);
            json.WriteRawValue(view.LatestJson_NeedsLock, skipInputValidation: true);
            json.WritePropertyName("forecast"u8);
            WriteForecast(json, view.ForecastJson_NeedsLock);
            json.WriteStartArray("history"u8);
            for (var i = Math.Max(0, view.HistoryCount - limit); i < view.HistoryCount; i++)
            {
                json.WriteStartObject();
                WritePoint(json, view, view.History_NeedsLock(i));
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        return Task.CompletedTask;
    }

    private Task ForecastAsync(HttpContext context)
    {
        var id = StreamId(context);
        if (live.Find(id) is not { } view)
            return UnknownStream(context, id);
        byte[] result;
        lock (view.Gate)
            result = view.ForecastJson_NeedsLock.ToArray();
        if (result.Length == 0)
            return Problem.WriteAsync(context, StatusCodes.Status404NotFound, $"No forecast of '{id}' has been issued yet.");

        context.Response.ContentType = "application/json";
        using var json = new Utf8JsonWriter(context.Response.BodyWriter, Json.Writer);
        json.WriteStartObject();
        json.WriteString("stream"u8, view.Stream);
        using (var document = JsonDocument.Parse(result))
        {
            foreach (var name in (ReadOnlySpan<string>)["profile", "time", "issued_at", "model_version", "forecast"])
            {
                if (!document.RootElement.TryGetProperty(name, out var value))
                    continue;
                json.WritePropertyName(name);
                value.WriteTo(json);
            }
        }

        json.WriteEndObject();
        return Task.CompletedTask;
    }

    private Task StateAsync(HttpContext context)
    {
        var id = StreamId(context);
        return status.StreamState(id) is { } state
            ? context.Response.WriteAsJsonAsync(state, state.GetType(), Json.Serializer, context.RequestAborted)
            : UnknownStream(context, id);
    }

    private async Task ResetAsync(HttpContext context)
    {
        var id = StreamId(context);
        if (!await status.ResetAsync(id, context.RequestAborted))
        {
            await UnknownStream(context, id);
            return;
        }

        context.Response.ContentType = "application/json";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter, Json.Writer);
        json.WriteStartObject();
        json.WriteString("stream"u8, id);
        json.WriteBoolean("reset"u8, true);
        json.WriteEndObject();
    }

    private Task EpisodesAsync(HttpContext context)
    {
        var query = context.Request.Query;
        if (!TryInt(query["limit"], 100, 1, 500, out var limit))
            return BadNumber(context, "limit must be 1 to 500.");

        context.Response.ContentType = "application/json";
        using var json = new Utf8JsonWriter(context.Response.BodyWriter, Json.Writer);
        json.WriteStartObject();
        json.WriteStartArray("episodes"u8);
        foreach (var episode in live.Episodes(limit, Filter(query["stream"]), Filter(query["state"])))
            json.WriteRawValue(episode.Json, skipInputValidation: true);
        json.WriteEndArray();
        json.WriteEndObject();
        return Task.CompletedTask;
    }

    /// <summary>Server-sent events <c>result</c>, <c>episode</c> and, at once and every second, <c>status</c>.</summary>
    private async Task EventsAsync(HttpContext context)
    {
        using var subscription = live.Subscribe(Filter(context.Request.Query["stream"]));
        if (subscription is null)
        {
            context.Response.Headers.RetryAfter = "10";
            await Problem.WriteAsync(context, StatusCodes.Status503ServiceUnavailable, "Too many subscribers of the event stream.");
            return;
        }

        context.Response.ContentType = "text/event-stream";
        context.Response.Headers.CacheControl = "no-store";
        context.Response.Headers["X-Accel-Buffering"] = "no"; // nginx would hold events back
        // Otherwise an open page delays the worker's stop until the host's time-out.
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, stopping);
        using var timer = new PeriodicTimer(StatusInterval);
        try
        {
            Task<bool>? item = null, tick = null;
            await WriteEventAsync(context, "status", StatusJson(subscription), ended.Token);
            await context.Response.Body.FlushAsync(ended.Token);
            while (true)
            {
                item ??= subscription.Reader.WaitToReadAsync(ended.Token).AsTask();
                tick ??= timer.WaitForNextTickAsync(ended.Token).AsTask();
                await Task.WhenAny(item, tick);
                if (item.IsCompleted)
                {
                    if (!await item)
                        return;
                    item = null;
                    while (subscription.Reader.TryRead(out var e))
                        await WriteEventAsync(context, e.Name, e.Json, ended.Token);
                }

                if (tick.IsCompleted)
                {
                    await tick;
                    tick = null;
                    await WriteEventAsync(context, "status", StatusJson(subscription), ended.Token);
                }

                await context.Response.Body.FlushAsync(ended.Token);
            }
        }
        catch (OperationCanceledException) when (ended.IsCancellationRequested)
        {
            return; // the reader left, or the worker stops: both are how an event stream ends
        }
    }

    private static async ValueTask WriteEventAsync(HttpContext context, string name, ReadOnlyMemory<byte> json, CancellationToken cancellationToken)
    {
        var body = context.Response.BodyWriter;
        body.Write("event: "u8);
        body.Write(System.Text.Encoding.ASCII.GetBytes(name));
        body.Write("\ndata: "u8);
        body.Write(json.Span);
        body.Write("\n\n"u8);
        // Waits when the peer reads slowly; meanwhile the subscription drops its oldest events.
        await body.FlushAsync(cancellationToken);
    }

    private byte[] StatusJson(LiveSubscription subscription)
    {
        var summary = status.Summary;
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, Json.Writer))
        {
            json.WriteStartObject();
            json.WriteString("mode"u8, summary.Mode);
            json.WriteBoolean("ready"u8, status.Parts.All(part => part.Ready));
            json.WriteString("caveat"u8, summary.Caveat);
            json.WriteString("simulated_clock"u8, summary.SimulatedClock);
            json.WriteNumber("streams"u8, summary.Streams);
            json.WriteNumber("samples_total"u8, summary.SamplesTotal);
            json.Number("samples_per_s"u8, summary.SamplesPerSecond);
            json.WriteNumber("results_total"u8, summary.ResultsTotal);
            json.Number("skill"u8, summary.Skill);
            json.Number("coverage90"u8, summary.Coverage90);
            json.WriteBoolean("provisional"u8, live.Provisional);
            json.WriteNumber("dropped"u8, subscription.Dropped);
            json.WriteEndObject();
        }

        return buffer.ToArray();
    }

    private Task HealthAsync(HttpContext context)
    {
        var reason = status.NotAlive;
        context.Response.StatusCode = reason is null ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
        context.Response.ContentType = "application/json";
        using var json = new Utf8JsonWriter(context.Response.BodyWriter, Json.Writer);
        json.WriteStartObject();
        json.WriteBoolean("alive"u8, reason is null);
        if (reason is not null)
            json.WriteString("reason"u8, reason);
        json.WriteEndObject();
        return Task.CompletedTask;
    }

    private Task ReadyAsync(HttpContext context)
    {
        var parts = status.Parts;
        var ready = parts.All(part => part.Ready);
        context.Response.StatusCode = ready ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
        context.Response.ContentType = "application/json";
        using var json = new Utf8JsonWriter(context.Response.BodyWriter, Json.Writer);
        json.WriteStartObject();
        json.WriteBoolean("ready"u8, ready);
        json.WriteStartArray("parts"u8);
        foreach (var part in parts)
        {
            json.WriteStartObject();
            json.WriteString("name"u8, part.Name);
            json.WriteBoolean("ready"u8, part.Ready);
            json.WriteString("detail"u8, part.Detail);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
        return Task.CompletedTask;
    }

    private static void WritePoint(Utf8JsonWriter json, StreamView view, in ResultPoint point)
    {
        json.Time("time"u8, point.TimeMicros);
        json.WriteNumber("revision"u8, point.Revision);
        json.Number("y"u8, point.Y);
        json.Number("yhat"u8, point.Yhat);
        json.Number("yhat_lower"u8, point.Lower);
        json.Number("yhat_upper"u8, point.Upper);
        json.Number("anomaly_score"u8, point.Score);
        json.WriteBoolean("anomaly"u8, point.Anomaly);
        json.WriteString("type"u8, point.Type);
        json.WriteBoolean("imputed"u8, point.Imputed);
        if (point.ChannelValues is not { } values)
            return;
        json.WriteStartObject("channels"u8);
        for (var d = 0; d < Math.Min(view.Channels.Length, values.Length / StreamView.ValuesPerChannel); d++)
        {
            var v = values.AsSpan(d * StreamView.ValuesPerChannel, StreamView.ValuesPerChannel);
            json.WriteStartObject(view.Channels[d]);
            json.Number("y"u8, v[0]);
            json.Number("yhat"u8, v[1]);
            json.Number("yhat_lower"u8, v[2]);
            json.Number("yhat_upper"u8, v[3]);
            json.WriteEndObject();
        }

        json.WriteEndObject();
    }

    private static void WriteForecast(Utf8JsonWriter json, ReadOnlySpan<byte> result)
    {
        var reader = new Utf8JsonReader(result);
        while (!result.IsEmpty && reader.Read())
        {
            if (reader.TokenType != JsonTokenType.PropertyName || reader.CurrentDepth != 1 || !reader.ValueTextEquals("forecast"u8))
                continue;
            reader.Read();
            var start = (int)reader.TokenStartIndex;
            reader.Skip();
            json.WriteRawValue(result[start..(int)reader.BytesConsumed], skipInputValidation: true);
            return;
        }

        json.WriteNullValue();
    }

    private static string? Filter(string? text) => string.IsNullOrEmpty(text) ? null : text;

    private static bool TryInt(string? text, int otherwise, int min, int max, out int value)
    {
        value = otherwise;
        return string.IsNullOrEmpty(text) || (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value) && value >= min && value <= max);
    }

    private static Task BadNumber(HttpContext context, string detail) => Problem.WriteAsync(context, StatusCodes.Status400BadRequest, detail);
}
