using System.CommandLine;
using System.Text.Json.Nodes;

namespace StreamLstm.Worker.Commands;

/// <summary>Asks a running worker's API.</summary>
internal static class WorkerClient
{
    public static Option<Uri> UrlOption() => new("--url")
    {
        Description = "Address of the worker.",
        DefaultValueFactory = _ => new Uri("http://127.0.0.1:8080"),
        CustomParser = result =>
        {
            var given = result.Tokens.Count > 0 ? result.Tokens[0].Value : "";
            if (Uri.TryCreate(given, UriKind.Absolute, out var url) && url.Scheme is "http" or "https")
                return url;
            result.AddError($"--url {given}: it must look like http://127.0.0.1:8080.");
            return null;
        },
    };

    /// <summary>Sends one request and prints the answer: as it is with <paramref name="json"/>, otherwise through <paramref name="print"/>.</summary>
    public static async Task<int> AskAsync(Uri worker, HttpMethod method, string path, bool json, Action<JsonNode> print, CancellationToken stopping)
    {
        var address = new Uri(worker, path);
        using var client = new HttpClient { Timeout = TimeSpan.FromSeconds(15) };
        using var request = new HttpRequestMessage(method, address);
        // The same variable that configures the worker's token serves its clients.
        if (Environment.GetEnvironmentVariable("StreamLstm__Http__Token") is { Length: > 0 } token)
            request.Headers.Authorization = new("Bearer", token);
        try
        {
            using var response = await client.SendAsync(request, stopping);
            var body = await response.Content.ReadAsStringAsync(stopping);
            if (!response.IsSuccessStatusCode)
            {
                Terminal.Line($"error: {address}: {(int)response.StatusCode} {Detail(body)}");
                return ExitCode.Failed;
            }

            if (json)
                Console.WriteLine(body);
            else
                print(JsonNode.Parse(body.Length > 0 ? body : "{}")!);
            return ExitCode.Ok;
        }
        catch (Exception e) when (e is HttpRequestException || (e is TaskCanceledException && !stopping.IsCancellationRequested))
        {
            Terminal.Line($"error: {address}: {e.Message}");
            return ExitCode.Failed;
        }
    }

    public static string Text(JsonNode? node) => node?.ToString() ?? "-";

    private static string Detail(string body)
    {
        try
        {
            var problem = JsonNode.Parse(body);
            return problem?["detail"]?.ToString() ?? problem?["title"]?.ToString() ?? "";
        }
        catch (System.Text.Json.JsonException)
        {
            return body.Length > 200 ? body[..200] : body;
        }
    }
}
