using System.Diagnostics;
using System.Text.RegularExpressions;
using YamlDotNet.RepresentationModel;

namespace StreamLstm.Integration.Tests.Deploy;

/// <summary>The repository's <c>deploy</c> folder, and the tools that judge it.</summary>
internal static partial class DeployFolder
{
    public static string Root { get; } = FindRoot();

    public static string Repository => Path.GetDirectoryName(Root)!;

    public static string Compose => Path.Combine(Root, "compose");

    public static string WorkerSettings => Path.Combine(Compose, "streamlstm", "appsettings.json");

    public static string KafkaWorkerSettings => Path.Combine(Compose, "streamlstm", "appsettings.kafka.json");

    public static string Dashboard => Path.Combine(Compose, "grafana", "dashboards", "streamlstm.json");

    public static YamlMappingNode Yaml(params string[] path)
    {
        using var reader = File.OpenText(Path.Combine([Root, .. path]));
        var stream = new YamlStream();
        stream.Load(reader);
        return (YamlMappingNode)Assert.Single(stream.Documents).RootNode;
    }

    public static YamlMappingNode Services() => (YamlMappingNode)Yaml("compose", "compose.yaml")["services"];

    public static string Text(YamlNode node) => ((YamlScalarNode)node).Value!;

    public static YamlNode? Find(YamlNode mapping, string key) => ((YamlMappingNode)mapping).Children.TryGetValue(new YamlScalarNode(key), out var found) ? found : null;

    /// <summary>The worker's environment in compose, with <c>${NAME:?…}</c> replaced.</summary>
    public static Dictionary<string, string> WorkerEnvironment(string token) =>
        ((YamlMappingNode)Services()["worker"]["environment"]).ToDictionary(e => Text(e.Key), e => Variable().Replace(Text(e.Value), token));

    /// <summary>Alert and recording rules.</summary>
    public static IEnumerable<(string Name, string Expression, bool Alert)> Rules() =>
        from @group in (YamlSequenceNode)Yaml("compose", "prometheus", "alerts.yml")["groups"]
        from rule in (YamlSequenceNode)@group["rules"]
        let alert = Find(rule, "alert")
        select (Text(alert ?? rule["record"]), Text(rule["expr"]), alert is not null);

    /// <summary>Runs a tool to its end, which it must reach in 20 s.</summary>
    public static async Task<(int ExitCode, string Output)> RunAsync(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        var output = process.StandardOutput.ReadToEndAsync(limit.Token);
        var error = process.StandardError.ReadToEndAsync(limit.Token);
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            throw;
        }

        return (process.ExitCode, await output + await error);
    }

    /// <summary>The built <c>streamlstm</c> for a command that ends by itself.</summary>
    public static Task<(int ExitCode, string Output)> WorkerAsync(params string[] arguments) =>
        RunAsync("dotnet", [Path.Combine(AppContext.BaseDirectory, "streamlstm.dll"), .. arguments]);

    /// <param name="package">What to install where the program is absent.</param>
    public static string Tool(string program, string package) => TryTool(program)
        ?? throw new InvalidOperationException($"These tests need '{program}': install the package {package}.");

    public static string? TryTool(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Append("/usr/bin").Append("/usr/sbin")
            .Select(folder => Path.Combine(folder, program)).FirstOrDefault(File.Exists);

    private static string FindRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            var path = Path.Combine(folder.FullName, "deploy", "Dockerfile");
            if (File.Exists(path))
                return Path.GetDirectoryName(path)!;
        }

        throw new InvalidOperationException("The tests don't run inside the repository.");
    }

    [GeneratedRegex(@"\$\{[A-Z_]+:\?[^}]*\}")]
    private static partial Regex Variable();
}
