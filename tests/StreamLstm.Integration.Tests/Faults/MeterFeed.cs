using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace StreamLstm.Integration.Tests.Faults;

/// <summary>Meters that post a reading each per frame, and know which were acknowledged.</summary>
internal sealed class MeterFeed(string url, int streams = 40, string prefix = "meter") : IDisposable
{
    public static readonly DateTimeOffset Start = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(10) };

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public static string UrlOf(string config) => JsonNode.Parse(File.ReadAllText(config))!["StreamLstm"]!["Http"]!["Url"]!.GetValue<string>();

    public void Dispose() => _http.Dispose();

    /// <summary>Null = no answer.</summary>
    public async Task<HttpStatusCode?> PostAsync(int frame)
    {
        var lines = string.Concat(Enumerable.Range(0, streams).Select(stream => string.Create(
            CultureInfo.InvariantCulture, $"{{\"stream\":\"{Name(stream)}\",\"time\":\"{Start.AddMinutes(15 * frame):yyyy-MM-ddTHH:mm:ssZ}\",\"value\":{Value(stream, frame)}}}\n")));
        using var body = new StringContent(lines, Encoding.UTF8, "application/x-ndjson");
        try
        {
            using var response = await _http.PostAsync(new Uri(url + "/api/v1/ingest"), body, Cancel);
            return response.StatusCode;
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !Cancel.IsCancellationRequested)
        {
            return null;
        }
    }

    public async Task<HttpStatusCode> StatusAsync(string path)
    {
        using var response = await _http.GetAsync(new Uri(url + path), Cancel);
        return response.StatusCode;
    }

    public Task<string> GetAsync(string path) => _http.GetStringAsync(new Uri(url + path), Cancel);

    /// <summary>What <c>/readyz</c> says of a part, and whether it is ready.</summary>
    public async Task<(bool Ready, string? Detail)> PartAsync(string name)
    {
        using var response = await _http.GetAsync(new Uri(url + "/readyz"), Cancel);
        var part = JsonNode.Parse(await response.Content.ReadAsStringAsync(Cancel))!["parts"]!.AsArray().Single(p => p!["name"]!.GetValue<string>() == name)!;
        return (part["ready"]!.GetValue<bool>(), part["detail"]?.GetValue<string>());
    }

    /// <summary>The sum and the number of a histogram's observations.</summary>
    public async Task<(double Sum, double Count)> HistogramAsync(string name)
    {
        var lines = (await GetAsync("/metrics")).Split('\n');
        return (Of("_sum"), Of("_count"));

        double Of(string suffix) => lines.Where(l => l.StartsWith(name + suffix, StringComparison.Ordinal)).Sum(l => double.Parse(l[(l.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture));
    }

    public async Task<double> MetricAsync(string name) => (await GetAsync("/metrics")).Split('\n')
        .Where(l => l.StartsWith(name + " ", StringComparison.Ordinal) || l.StartsWith(name + "{", StringComparison.Ordinal)).Sum(l => double.Parse(l[(l.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture));

    /// <summary>Every acknowledged reading has its result, once; of those that were refused there may be one too.</summary>
    public void AssertComplete(string results, IEnumerable<int> acknowledged)
    {
        var seen = new Dictionary<(string, DateTimeOffset), double>();
        foreach (var line in File.ReadLines(results))
        {
            using var record = JsonDocument.Parse(line);
            if (record.RootElement.TryGetProperty("yhat", out _) && record.RootElement.GetProperty("y").ValueKind == JsonValueKind.Number)
            {
                Assert.True(
                    seen.TryAdd((record.RootElement.GetProperty("stream").GetString()!, record.RootElement.GetProperty("time").GetDateTimeOffset()), record.RootElement.GetProperty("y").GetDouble()),
                    $"Twice: {line[..120]}");
            }
        }

        foreach (var frame in acknowledged)
        {
            for (var stream = 0; stream < streams; stream++)
            {
                Assert.True(seen.TryGetValue((Name(stream), Start.AddMinutes(15 * frame)), out var y), $"{Name(stream)} has no result for frame {frame}, which was acknowledged.");
                Assert.Equal(Value(stream, frame), y);
            }
        }
    }

    private string Name(int stream) => string.Create(CultureInfo.InvariantCulture, $"{prefix}-{stream:D3}");

    private static double Value(int stream, int frame) => 500 + stream + (frame % 96);
}
