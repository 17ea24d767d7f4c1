using System.Buffers;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;

namespace StreamLstm.Simulator.Targets;

/// <summary>NDJSON batches to a worker's <c>/api/v1/ingest</c>, one after the other, in order.</summary>
internal sealed class HttpTarget : ISampleTarget
{
    private const int BatchSamples = 1000;

    private readonly HttpClient _client = new() { Timeout = TimeSpan.FromSeconds(30) };
    private readonly Uri _ingest;
    private readonly TimeProvider _clock;
    private readonly ArrayBufferWriter<byte> _batch = new(128 * 1024);
    private readonly Utf8JsonWriter _json;
    private int _samples;

    public HttpTarget(Uri server, TimeProvider clock)
    {
        _ingest = new Uri(server.GetLeftPart(UriPartial.Path).TrimEnd('/') + "/api/v1/ingest");
        _clock = clock;
        _json = new Utf8JsonWriter(_batch);
    }

    public ValueTask SendAsync(in Sample sample, CancellationToken stopping)
    {
        sample.WriteTo(_json, withStream: true);
        _json.Flush();
        _json.Reset();
        _batch.Write("\n"u8);
        return ++_samples >= BatchSamples ? FlushAsync(stopping) : ValueTask.CompletedTask;
    }

    /// <summary>A repeated batch is harmless: the receiver tells duplicates by stream and time.</summary>
    public async ValueTask FlushAsync(CancellationToken stopping)
    {
        if (_samples == 0)
        {
            return;
        }

        var backOff = new BackOff();
        while (await PostAsync(stopping) is { Problem: { } problem } failed)
        {
            TimeSpan wait = backOff.Next(failed.Wait)
                ?? throw new DeliveryException($"{_ingest}: {problem}; given up after {BackOff.MaxAttempts} attempts.");
            await Console.Error.WriteLineAsync($"{_ingest}: {problem}; trying again.");
            await Task.Delay(wait, _clock, stopping);
        }

        _batch.ResetWrittenCount();
        _samples = 0;
    }

    public async ValueTask DisposeAsync()
    {
        await _json.DisposeAsync();
        _client.Dispose();
    }

    /// <summary>Null = accepted; otherwise a passing problem and how long the server asks to wait.</summary>
    private async Task<(string? Problem, TimeSpan? Wait)> PostAsync(CancellationToken stopping)
    {
        try
        {
            using var content = new ReadOnlyMemoryContent(_batch.WrittenMemory);
            content.Headers.ContentType = new MediaTypeHeaderValue("application/x-ndjson");
            using HttpResponseMessage response = await _client.PostAsync(_ingest, content, stopping);
            if (response.IsSuccessStatusCode)
            {
                return (null, null);
            }

            string status = string.Create(CultureInfo.InvariantCulture, $"{(int)response.StatusCode} {response.ReasonPhrase}");
            if (response.StatusCode is HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests || (int)response.StatusCode >= 500)
            {
                return (status, response.Headers.RetryAfter?.Delta);
            }

            string body = await response.Content.ReadAsStringAsync(stopping);
            throw new DeliveryException($"{_ingest}: {status} {body[..Math.Min(body.Length, 300)]}".TrimEnd());
        }
        catch (HttpRequestException e)
        {
            return (e.Message, null);
        }
        catch (TaskCanceledException) when (!stopping.IsCancellationRequested)
        {
            return ("no answer in time", null);
        }
    }
}
