using System.CommandLine;
using System.Text.Json.Nodes;
using StreamLstm.Core.Signals;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Worker.Configuration;

namespace StreamLstm.Worker.Commands;

/// <summary><c>check-config --config FILE</c>: the same validation as <c>run</c>, without connecting to anything.</summary>
internal sealed class CheckConfigCommand : Command
{
    private readonly Option<FileInfo> _config = new("--config") { Description = "Configuration file (JSON).", HelpName = "FILE", Required = true };
    private readonly Option<bool> _json = new("--json") { Description = "Print the outcome as one JSON object." };

    public CheckConfigCommand()
        : base("check-config", "Checks a configuration and lists every error.")
    {
        Add(_config);
        Add(_json);
        SetAction(Run);
    }

    private int Run(ParseResult parsed)
    {
        var file = parsed.GetValue(_config)!;
        var (settings, errors) = ConfigurationLoader.Load(file.FullName);
        if (parsed.GetValue(_json))
        {
            Console.WriteLine(new JsonObject { ["valid"] = settings is not null, ["errors"] = new JsonArray([.. errors.Select(e => (JsonNode)e)]) }.ToJsonString());
            return settings is null ? ExitCode.Usage : ExitCode.Ok;
        }

        if (settings is null)
            return Terminal.Refuse(errors, "See streamlstm config explain KEY.");
        if (settings.Profiles.Any(p => p.Signal != SignalKind.None))
            Terminal.Line(SignalCaveat.Text);
        Console.WriteLine($"{file} is valid: {settings.Profiles.Count} profiles, {settings.Sources.Count} sources, {settings.Sinks.Count} sinks.");
        return ExitCode.Ok;
    }
}

/// <summary><c>config explain KEY</c> and <c>config schema</c>.</summary>
internal sealed class ConfigCommand : Command
{
    private readonly Argument<string> _key = new("KEY") { Description = "For example Profiles:*:Interval or Sources:meters:Qos." };

    public ConfigCommand()
        : base("config", "What can be configured.")
    {
        var explain = new Command("explain", "Says what a key means, its default and range.") { _key };
        explain.SetAction(parsed =>
        {
            if (!ConfigurationSchema.TryExplain(parsed.GetValue(_key)!, out var text))
                return Terminal.Refuse([text], "See streamlstm config schema.");
            Console.WriteLine(text);
            return ExitCode.Ok;
        });
        var schema = new Command("schema", "Prints the JSON schema of the configuration file.");
        schema.SetAction(_ =>
        {
            Console.WriteLine(ConfigurationSchema.Json());
            return ExitCode.Ok;
        });
        Add(explain);
        Add(schema);
    }
}
