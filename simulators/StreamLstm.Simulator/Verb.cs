using System.CommandLine;
using StreamLstm.Simulator.Targets;

namespace StreamLstm.Simulator;

/// <summary>What the verbs share: where samples go, how fast, and how the outcome is told.</summary>
internal abstract class Verb : Command
{
    protected Verb(string name, string description)
        : base(name, description)
    {
        Add(To);
        Add(Rate);
        Add(Speed);
        Add(Format);
        Add(Topic);
        Add(Json);
        SetAction((parsed, stopping) =>
        {
            string[] errors = [.. Check(parsed)];
            return errors.Length > 0 ? Task.FromResult(Refuse(errors, this)) : RunAsync(parsed, stopping);
        });
    }

    protected Option<string?> To { get; } = Named(
        "--to", "TARGET", "Where samples go: mqtt://[user:password@]host[:port][/prefix], mqtts://…, kafka://host[:port]/topic, http://host[:port], https://…, file:PATH (gzip if it ends in .gz), or - for standard output. Required.");

    protected Option<string?> Rate { get; } = Named("--rate", "X", "Messages per second, overall.");

    protected Option<string?> Speed { get; } = Named(
        "--speed", "X", "Simulated seconds per real second; 0 = as fast as possible. Default: 0 into a file or standard output, otherwise 1.");

    protected Option<string?> Format { get; } = Named("--format", "ndjson|csv", "Form of file and standard output. Default: csv if the file is named .csv or .csv.gz, otherwise ndjson.");

    protected Option<string?> Topic { get; } = Named("--topic", "TEMPLATE", "MQTT topic below the prefix; {stream} stands for the stream. Default meters/{stream}/reading.");

    protected Option<bool> Json { get; } = new("--json") { Description = "Print a summary as one JSON object on standard output at the end." };

    /// <summary>Everything that is wrong with the values of the options.</summary>
    public abstract IReadOnlyList<string> Check(ParseResult parsed);

    public static int Refuse(IReadOnlyList<string> errors, Command command)
    {
        foreach (string error in errors)
        {
            Console.Error.WriteLine("error: " + error);
        }

        Console.Error.WriteLine(command is Verb ? $"See streamlstm-sim {command.Name} --help." : "See streamlstm-sim --help.");
        return ExitCode.Usage;
    }

    protected static Option<string?> Named(string name, string value, string description) =>
        new(name) { HelpName = value, Description = description };

    protected abstract Task<int> RunAsync(ParseResult parsed, CancellationToken stopping);

    protected Delivery ReadDelivery(OptionReader options, bool json)
    {
        TargetAddress? target = null;
        if (options.Text(To) is not { } text)
        {
            if (!options.Has(To))
            {
                options.Errors.Add("--to is missing: mqtt://host, kafka://host/topic, http://host, file:PATH or -.");
            }
        }
        else if (!TargetAddress.TryParse(text, out target, out string? problem))
        {
            options.Errors.Add($"--to '{text}': {problem}");
        }

        double? rate = options.NotNegative(Rate), speed = options.NotNegative(Speed);
        if (rate is not null && speed is not null)
        {
            options.Errors.Add("--rate and --speed exclude each other.");
        }

        if (rate is 0)
        {
            options.Errors.Add("--rate must be above zero.");
        }

        string? format = options.Text(Format);
        if (format is not (null or "ndjson" or "csv"))
        {
            options.Errors.Add($"--format '{format}' is not ndjson or csv.");
        }

        if (format is not null && target is { IsStream: false })
        {
            options.Errors.Add("--format applies to file: and - only.");
        }

        string? topic = options.Text(Topic);
        if (topic is not null && (topic.Length == 0 || topic.AsSpan().ContainsAny('+', '#', '\0')))
        {
            options.Errors.Add($"--topic '{topic}' must be a topic without the wildcards + and #.");
        }

        if (topic is not null && target is { Kind: not TargetKind.Mqtt })
        {
            options.Errors.Add("--topic applies to mqtt:// only.");
        }

        if (json && target is { Kind: TargetKind.StandardOutput })
        {
            options.Errors.Add("--json and --to - would both write to standard output.");
        }

        bool csv = format is null
            ? target is { Kind: TargetKind.File, Path: { } path } && (path.EndsWith(".csv", StringComparison.OrdinalIgnoreCase) || path.EndsWith(".csv.gz", StringComparison.OrdinalIgnoreCase))
            : format == "csv";
        double pace = speed ?? (rate is null && target is { IsStream: false } ? 1 : 0);
        return new Delivery(target!, csv, topic ?? "meters/{stream}/reading", pace, rate ?? 0, json);
    }
}

/// <summary>How samples leave.</summary>
/// <param name="Speed">Simulated seconds per real second; 0 = not paced by time.</param>
/// <param name="Rate">Messages per second; 0 = not paced by count.</param>
internal sealed record Delivery(TargetAddress Target, bool Csv, string Topic, double Speed, double Rate, bool Json)
{
    public bool IsPaced => Speed > 0 || Rate > 0;
}
