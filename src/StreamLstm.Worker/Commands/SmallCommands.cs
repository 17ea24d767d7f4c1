using System.CommandLine;
using System.Reflection;
using System.Text.Json.Nodes;

namespace StreamLstm.Worker.Commands;

/// <summary><c>version</c>.</summary>
internal sealed class VersionCommand : Command
{
    private readonly Option<bool> _json = new("--json") { Description = "Print as one JSON object." };

    public VersionCommand()
        : base("version", "Prints version and runtime.")
    {
        Add(_json);
        SetAction(parsed =>
        {
            var version = typeof(VersionCommand).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";
            Console.WriteLine(parsed.GetValue(_json)
                ? new JsonObject { ["version"] = version, ["runtime"] = Environment.Version.ToString() }.ToJsonString()
                : $"streamlstm {version} on .NET {Environment.Version}");
            return ExitCode.Ok;
        });
    }
}

/// <summary><c>healthcheck</c>: for containers without a shell; 0 if the worker at the address is ready.</summary>
internal sealed class HealthcheckCommand : Command
{
    private readonly Option<Uri> _url = WorkerClient.UrlOption();
    private readonly Option<bool> _live = new("--live") { Description = "Ask /healthz (alive) instead of /readyz (ready)." };

    public HealthcheckCommand()
        : base("healthcheck", "Asks a running worker whether it is ready.")
    {
        Add(_url);
        Add(_live);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken stopping)
    {
        var address = new Uri(parsed.GetValue(_url)!, parsed.GetValue(_live) ? "/healthz" : "/readyz");
        using var client = new HttpClient { Timeout = TimeSpan.FromSeconds(5) };
        try
        {
            using var response = await client.GetAsync(address, stopping);
            Console.WriteLine(await response.Content.ReadAsStringAsync(stopping));
            return response.IsSuccessStatusCode ? ExitCode.Ok : ExitCode.Failed;
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !stopping.IsCancellationRequested)
        {
            Terminal.Line($"error: {address}: {e.Message}");
            return ExitCode.Failed;
        }
    }
}
