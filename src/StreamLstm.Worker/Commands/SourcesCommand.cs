using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Worker.Configuration;

namespace StreamLstm.Worker.Commands;

/// <summary><c>sources test</c>: what samples a payload gives, to find out whether a binding says what its author means.</summary>
internal sealed class SourcesCommand : Command
{
    private static readonly JsonSerializerOptions s_plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly Option<string> _preset = new("--preset") { Description = "A preset or a part of one, with its own defaults.", HelpName = "NAME" };
    private readonly Option<FileInfo> _config = new("--config") { Description = "Configuration file (JSON) with the binding.", HelpName = "FILE" };
    private readonly Option<string> _binding = new("--binding") { Description = "Name of the binding in the configuration.", HelpName = "NAME" };
    private readonly Option<string[]> _topic = new("--topic") { Description = "Topic of the message; several topics with as many payloads follow one another.", HelpName = "T", Required = true };
    private readonly Option<string[]> _payload = new("--payload") { Description = "@FILE, - for standard input, or the payload itself.", HelpName = "@FILE", Required = true };
    private readonly Option<string> _key = new("--key") { Description = "Key of the message (Kafka).", HelpName = "TEXT" };
    private readonly Option<string[]> _header = new("--header") { Description = "Header or MQTT 5 user property; may be repeated.", HelpName = "NAME=VALUE" };
    private readonly Option<string> _arrival = new("--arrival") { Description = "When the message arrives; by default now.", HelpName = "TIME" };
    private readonly Option<bool> _retained = new("--retained") { Description = "The broker had kept the message." };

    public SourcesCommand()
        : base("sources", "What sources make of their input.")
    {
        var test = new Command("test", "Prints the samples a payload gives, as JSON lines in normalised units, or why there are none.")
        {
            _preset, _config, _binding, _topic, _payload, _key, _header, _arrival, _retained,
        };
        test.SetAction(Run);
        Add(test);
    }

    private int Run(ParseResult parsed)
    {
        var errors = new List<string>();
        var (bindings, limits) = Bindings(parsed, errors);
        var topics = parsed.GetValue(_topic)!;
        var payloads = parsed.GetValue(_payload)!;
        if (topics.Length != payloads.Length)
            errors.Add($"There are {topics.Length} topics and {payloads.Length} payloads; each message needs one of either.");
        var headers = new List<MessageHeader>();
        foreach (var header in parsed.GetValue(_header) ?? [])
        {
            var cut = header.IndexOf('=', StringComparison.Ordinal);
            if (cut > 0)
                headers.Add(new(header[..cut], Encoding.UTF8.GetBytes(header[(cut + 1)..])));
            else
                errors.Add($"--header {header} isn't NAME=VALUE.");
        }

        var now = UnixMicros.Now(TimeProvider.System);
        var arrival = now;
        if (parsed.GetValue(_arrival) is { } text && !TimestampParser.TryParse(Encoding.UTF8.GetBytes(text), TimeZoneInfo.Utc, now, out arrival))
            errors.Add($"--arrival {text} isn't a time.");
        if (errors.Count > 0)
            return Terminal.Refuse(errors, "See streamlstm sources test --help.");

        var decoder = new BindingDecoder(bindings, limits);
        var rebirths = new List<string>();
        decoder.RebirthRequested += (group, node) => rebirths.Add($"{group}/{node}");
        var samples = 0;
        for (var i = 0; i < topics.Length; i++)
        {
            byte[] payload;
            try
            {
                payload = Read(payloads[i]);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                Terminal.Line("error: " + e.Message);
                return ExitCode.Failed;
            }

            var batch = new SampleBatch();
            var trace = new DecodeTrace();
            decoder.Decode(
                new SourceMessage
                {
                    Source = "test",
                    Topic = topics[i],
                    Payload = payload,
                    Key = Encoding.UTF8.GetBytes(parsed.GetValue(_key) ?? ""),
                    Headers = headers,
                    ArrivalMicros = arrival,
                    Position = topics[i],
                    Retained = parsed.GetValue(_retained),
                },
                batch,
                trace);
            Print(batch, trace);
            foreach (var letter in batch.DeadLetters)
                Terminal.Line($"{letter.Reason}: {letter.Detail}");
            if (batch.DeadLetters.Any(l => l.Reason == DeadLetterReason.Unmatched))
                Terminal.Line($"Topics that match: {string.Join(", ", bindings.Select(b => b.Match).Distinct())}.");
            if (batch.IsEmpty)
            {
                Terminal.Line(decoder.Counters.Filtered > 0
                    ? "The message is left alone: it doesn't fulfil the conditions of a binding, or has none of its values."
                    : "The message is left alone: its topic is excepted, or of no concern to the binding.");
            }

            samples += batch.Count;
        }

        foreach (var node in rebirths)
            Terminal.Line($"A rebirth of {node} is needed.");
        return samples > 0 ? ExitCode.Ok : ExitCode.Failed;
    }

    private (IReadOnlyList<BindingSettings> Bindings, DecodeLimits Limits) Bindings(ParseResult parsed, List<string> errors)
    {
        if (parsed.GetValue(_preset) is { } preset)
        {
            if (parsed.GetValue(_config) is not null || parsed.GetValue(_binding) is not null)
                errors.Add("--preset stands alone; a preset of a configuration is tested through its binding.");
            var found = Presets.Find(preset);
            if (found.Count == 0)
                errors.Add($"There is no preset {preset}; there are {string.Join(", ", Presets.Names.Where(n => !n.Contains('/', StringComparison.Ordinal)))}.");
            return (found, DecodeLimits.Default);
        }

        if (parsed.GetValue(_config) is not { } file || parsed.GetValue(_binding) is not { } name)
        {
            errors.Add("Either --preset, or --config and --binding are needed.");
            return ([], DecodeLimits.Default);
        }

        var (settings, problems) = ConfigurationLoader.Load(file.FullName);
        errors.AddRange(problems);
        if (settings is null)
            return ([], DecodeLimits.Default);
        var sources = settings.Sources.Select(s => s switch
        {
            MqttSourceConfiguration mqtt => (mqtt.Bindings, mqtt.Limits),
            KafkaSourceConfiguration kafka => (kafka.Bindings, kafka.Limits),
            KafkaPartitionSourceConfiguration kafka => (kafka.Bindings, kafka.Limits),
            _ => ([], DecodeLimits.Default),
        }).ToList();
        var all = sources.Select(s => ((IReadOnlyList<BindingSettings>)[.. s.Bindings.Where(b => b.Name == name || b.Name.StartsWith(name + "/", StringComparison.Ordinal))], s.Limits)).Where(s => s.Item1.Count > 0).ToList();
        if (all.Count == 1)
            return all[0];
        errors.Add(all.Count > 1 ? $"Several sources have a binding {name}; rename one." : $"{file} has no binding {name}; it has {string.Join(", ", sources.SelectMany(s => s.Bindings).Select(b => b.Name))}.");
        return ([], DecodeLimits.Default);
    }

    private static byte[] Read(string payload)
    {
        if (payload.StartsWith('@'))
            return File.ReadAllBytes(payload[1..]);
        if (payload != "-")
            return Encoding.UTF8.GetBytes(payload);
        using var input = Console.OpenStandardInput();
        using var bytes = new MemoryStream();
        input.CopyTo(bytes);
        return bytes.ToArray();
    }

    private static void Print(SampleBatch batch, DecodeTrace trace)
    {
        for (var i = 0; i < batch.Count; i++)
        {
            var values = batch.Values(i);
            var (unit, kind) = trace.Samples[i];
            var line = new JsonObject
            {
                ["stream"] = Encoding.UTF8.GetString(batch.Key(i)),
                ["time"] = UnixMicros.ToDateTimeOffset(batch.EventTime(i)).ToString("yyyy-MM-ddTHH:mm:ss.FFFFFF'Z'", CultureInfo.InvariantCulture),
                ["value"] = values.Length == 1 ? values[0] : new JsonArray([.. values.ToArray().Select(v => double.IsNaN(v) ? null : (JsonNode)v)]),
                ["unit"] = unit,
                ["kind"] = kind.ToString().ToLowerInvariant(),
            };
            Console.WriteLine(line.ToJsonString(s_plain));
        }
    }
}
