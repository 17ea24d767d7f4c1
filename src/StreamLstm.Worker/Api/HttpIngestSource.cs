using System.Buffers;
using System.IO.Compression;
using System.Text.Json;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Net.Http.Headers;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Worker.Api;

public sealed record HttpIngestOptions
{
    public string Name { get; init; } = "http";

    /// <summary>Longest body, compressed or not; more gets 413.</summary>
    public int MaxBodyBytes { get; init; } = 8 * 1024 * 1024;

    /// <summary>A longer line or object becomes a dead letter.</summary>
    public int MaxLineBytes { get; init; } = 256 * 1024;

    /// <summary>Requests decoded at once; further ones wait. Bounds memory to about this many bodies.</summary>
    public int MaxConcurrentRequests { get; init; } = 8;
}

/// <summary>
/// <c>POST /api/v1/ingest</c>. Replies 200 only when the samples are durable; a request is one append: all of its good lines or, if
/// the append fails, none.
/// </summary>
public sealed class HttpIngestSource : ISampleSource, IDisposable
{
    private readonly HttpIngestOptions _options;
    private readonly SemaphoreSlim _turns;
    private volatile IIngress? _ingress;

    public HttpIngestSource(HttpIngestOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        _options = options;
        _turns = new SemaphoreSlim(options.MaxConcurrentRequests);
    }

    public string Name => _options.Name;

    public SourceStatus Status => _ingress is null ? new(SourceState.Connecting, "not started") : new(SourceState.Connected, null);

    public async Task RunAsync(IIngress ingress, CancellationToken stopping)
    {
        ArgumentNullException.ThrowIfNull(ingress);
        var stopped = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var registration = stopping.Register(stopped.SetResult);
        _ingress = ingress;
        await stopped.Task;
        _ingress = null;
    }

    public void Dispose() => _turns.Dispose();

    internal async Task HandleAsync(HttpContext context)
    {
        var ingress = _ingress;
        if (ingress is null)
        {
            await Unavailable(context);
            return;
        }

        if (ingress.Waits is { } why)
        {
            // Better told at once than kept waiting until a time-out: who sends keeps what it has.
            context.Response.Headers.RetryAfter = "1";
            await Problem.WriteAsync(context, StatusCodes.Status503ServiceUnavailable, "No samples can be made durable just now. " + why);
            return;
        }

        if (!MediaTypeHeaderValue.TryParse(context.Request.ContentType, out var type) || Format(type) is not { } decode)
        {
            await Problem.WriteAsync(context, StatusCodes.Status415UnsupportedMediaType,
                "Content-Type must be application/x-ndjson, application/json, or text/plain (Influx line protocol).");
            return;
        }

        var encoding = context.Request.Headers.ContentEncoding.ToString();
        if (encoding is not ("" or "identity" or "gzip"))
        {
            await Problem.WriteAsync(context, StatusCodes.Status415UnsupportedMediaType, "Content-Encoding must be gzip or absent.");
            return;
        }

        if (!TryPrecision(context.Request.Query["precision"], out var precision))
        {
            await Problem.WriteAsync(context, StatusCodes.Status400BadRequest, "precision must be ns, us, ms or s.");
            return;
        }

        await _turns.WaitAsync(context.RequestAborted);
        try
        {
            var (body, length) = await ReadBodyAsync(context, encoding == "gzip");
            try
            {
                if (length > _options.MaxBodyBytes)
                {
                    await Problem.WriteAsync(context, StatusCodes.Status413PayloadTooLarge, $"A body may have at most {_options.MaxBodyBytes} bytes; send it in parts.");
                    return;
                }

                var batch = new SampleBatch();
                var decoder = new IngestDecoder(Name, batch, UnixMicros.Now(ingress.Clock), _options.MaxLineBytes);
                decode(decoder, body.AsSpan(0, length), precision);
                if (decoder.TooManyRejected)
                {
                    await Problem.WriteAsync(context, StatusCodes.Status400BadRequest,
                        $"More than {IngestDecoder.MaxRejected} lines can't be used; nothing was accepted. The first: line {decoder.Errors[0].Line}, {decoder.Errors[0].Detail}.");
                    return;
                }

                var accepted = batch.Count;
                if (!batch.IsEmpty)
                    await ingress.AppendAsync(batch, context.RequestAborted);
                await ReplyAsync(context, accepted, decoder);
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(body);
            }
        }
        catch (InvalidDataException)
        {
            await Problem.WriteAsync(context, StatusCodes.Status400BadRequest, "The body is not valid gzip.");
        }
        catch (OperationCanceledException) when (!context.RequestAborted.IsCancellationRequested)
        {
            await Unavailable(context); // the worker is stopping
        }
        finally
        {
            _turns.Release();
        }
    }

    private static Task Unavailable(HttpContext context)
    {
        context.Response.Headers.RetryAfter = "1";
        return Problem.WriteAsync(context, StatusCodes.Status503ServiceUnavailable, "The worker takes no samples yet, or is stopping.");
    }

    private delegate void Decode(IngestDecoder decoder, ReadOnlySpan<byte> body, TimestampFormat precision);

    private static Decode? Format(MediaTypeHeaderValue type) => type.MediaType.ToString().ToLowerInvariant() switch
    {
        "application/x-ndjson" or "application/ndjson" or "application/jsonl" => (d, body, _) => d.NdJson(body),
        "application/json" => (d, body, _) => d.Json(body),
        "text/plain" => (d, body, precision) => d.LineProtocol(body, precision),
        _ => null,
    };

    private static bool TryPrecision(string? text, out TimestampFormat precision) => TimestampFormat.TryCreate(
        text switch { null or "" or "ns" => "unix_ns", "us" => "unix_us", "ms" => "unix_ms", "s" => "unix", _ => "" }, out precision);

    /// <summary>A pooled buffer and the body's length, which is beyond the limit by one byte if the body is too long.</summary>
    private async Task<(byte[] Body, int Length)> ReadBodyAsync(HttpContext context, bool gzip)
    {
        var limit = _options.MaxBodyBytes + 1;
        if (context.Request.ContentLength > _options.MaxBodyBytes)
            return ([], limit);
        // The limit is ours, so that the answer is a problem document rather than a cut connection.
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } feature)
            feature.MaxRequestBodySize = null;

        await using var inflated = gzip ? new GZipStream(context.Request.Body, CompressionMode.Decompress, leaveOpen: true) : null;
        var stream = inflated ?? context.Request.Body;
        var buffer = ArrayPool<byte>.Shared.Rent((int)Math.Max(context.Request.ContentLength ?? 0, 16 * 1024));
        var length = 0;
        try
        {
            while (length < limit)
            {
                if (length == buffer.Length)
                {
                    var larger = ArrayPool<byte>.Shared.Rent(buffer.Length * 2);
                    buffer.AsSpan(0, length).CopyTo(larger);
                    ArrayPool<byte>.Shared.Return(buffer);
                    buffer = larger;
                }

                var n = await stream.ReadAsync(buffer.AsMemory(length, Math.Min(buffer.Length, limit) - length), context.RequestAborted);
                if (n == 0)
                    break;
                length += n;
            }
        }
        catch
        {
            ArrayPool<byte>.Shared.Return(buffer);
            throw;
        }

        return (buffer, length);
    }

    private static async Task ReplyAsync(HttpContext context, int accepted, IngestDecoder decoder)
    {
        context.Response.ContentType = "application/json";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter, Json.Writer);
        json.WriteStartObject();
        json.WriteNumber("accepted"u8, accepted);
        json.WriteNumber("rejected"u8, decoder.Rejected);
        json.WriteStartArray("errors"u8);
        foreach (var error in decoder.Errors)
        {
            json.WriteStartObject();
            json.WriteNumber("line"u8, error.Line);
            json.WriteString("reason"u8, error.Reason);
            json.WriteString("detail"u8, error.Detail);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }
}
