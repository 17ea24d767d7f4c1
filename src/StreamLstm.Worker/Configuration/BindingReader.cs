using StreamLstm.Connectors.Codecs;

namespace StreamLstm.Worker.Configuration;

/// <summary>Reads a source's bindings. A preset is what they begin with; every key that is given wins over it.</summary>
internal static class BindingReader
{
    // What would say something else for each part of a preset.
    private static readonly string[] s_ofOnePart = ["Match", "Format", "Where", "Each", "Values", "Frame"];

    public static List<BindingSettings> Read(ConfigurationNode source, List<string> errors)
    {
        var bindings = new List<BindingSettings>();
        foreach (var member in source.Members("Bindings"))
        {
            ConfigurationLoader.CheckName(member);
            var before = errors.Count;
            var preset = member.Choice("Preset") is { } name ? Presets.Find(name) : [];
            if (preset.Count > 1)
            {
                foreach (var key in s_ofOnePart.Where(member.Exists))
                    member.Error(key, null, $"can't be given beside a preset of several parts; use one of {string.Join(", ", preset.Select(p => p.Name))} instead.");
            }

            if (errors.Count > before)
                continue;
            IEnumerable<BindingSettings?> parts = preset;
            if (preset.Count == 0)
                parts = [null];
            foreach (var part in parts)
            {
                var binding = Read(member, part, preset.Count > 1);
                bindings.Add(binding);

                // Problems that follow from a missing or unreadable value would only repeat it.
                if (errors.Count > before)
                    break;
                foreach (var problem in BindingDecoder.Check(binding))
                    member.Error(problem.Key, problem.Given, problem.Problem + ".");
            }
        }

        if (!source.Members("Bindings").Any())
            source.Error("Bindings", null, "at least one binding is needed, which says what topics and payloads mean.");
        return bindings;
    }

    public static DecodeLimits Limits(ConfigurationNode source)
    {
        var node = source.Section("Limits");
        return new DecodeLimits
        {
            MaxPayloadBytes = node.Integer("PayloadBytes"),
            MaxDepth = node.Integer("Depth"),
            MaxSamples = node.Integer("Samples"),
            MaxKeyBytes = node.Integer("KeyBytes"),
        };
    }

    private static BindingSettings Read(ConfigurationNode node, BindingSettings? preset, bool isPart)
    {
        if (preset is null)
        {
            foreach (var key in (string[])["Match", "Stream"])
            {
                if (!node.Exists(key))
                    node.Error(key, null, "is needed without a Preset.");
            }
        }

        var values = Values(node);
        return new BindingSettings
        {
            Name = isPart ? $"{node.Name}/{preset!.Name[(preset.Name.IndexOf('/', StringComparison.Ordinal) + 1)..]}" : node.Name,
            Match = Given(node, "Match", preset, n => n.OptionalText("Match"), p => p.Match) ?? "",
            Except = Given(node, "Except", preset, n => n.List("Except"), p => p.Except) ?? [],
            Format = Given(node, "Format", preset, n => Choice(n, "Format", PayloadFormat.Json), p => p.Format),
            Where = Given(node, "Where", preset, n => n.List("Where"), p => p.Where) ?? [],
            Stream = Given(node, "Stream", preset, n => n.OptionalText("Stream"), p => p.Stream) ?? "",
            Each = Given(node, "Each", preset, n => n.OptionalText("Each"), p => p.Each),
            Time = Time(node.Section("Time"), preset?.Time),
            Values = values.Count > 0 || preset is null ? values : preset.Values,
            Frame = Frame(node, preset?.Frame),
            Hold = Given(node, "Hold", preset, n => n.Duration("Hold"), p => p.Hold),
            Retained = Given(node, "Retained", preset, n => Choice(n, "Retained", RetainedPolicy.Auto), p => p.Retained),
        };
    }

    private static BindingTime Time(ConfigurationNode node, BindingTime? preset) => new()
    {
        At = Given(node, "At", preset, n => n.Text("At"), p => p.At),
        Format = Given(node, "Format", preset, n => ConfigurationLoader.TimeFormat(n, "Format") ?? TimestampFormat.Auto, p => p.Format),
        Zone = Given(node, "Zone", preset, n => n.Zone("Zone"), p => p.Zone),
        Optional = Given(node, "Optional", preset, n => n.Boolean("Optional"), p => p.Optional),
        MaxFuture = Given(node, "MaxFuture", preset, n => n.Duration("MaxFuture"), p => p.MaxFuture),
        MaxAge = Given(node, "MaxAge", preset, n => n.Duration("MaxAge"), p => p.MaxAge),
    };

    private static Dictionary<string, BindingValue> Values(ConfigurationNode node) => node.Members("Values").ToDictionary(
        v => v.Name,
        v => new BindingValue
        {
            At = v.Text("At"),
            Field = v.OptionalText("Field"),
            Unit = v.OptionalText("Unit"),
            Kind = Choice(v, "Kind", ValueKind.Gauge),
            Scale = v.Number("Scale"),
            Offset = v.Number("Offset"),
        },
        StringComparer.Ordinal);

    private static BindingFrame? Frame(ConfigurationNode binding, BindingFrame? preset)
    {
        if (!binding.Exists("Frame"))
            return preset;
        var node = binding.Section("Frame");
        var period = node.Exists("Period");
        return new BindingFrame
        {
            Layout = Given(node, "Layout", preset, n => Choice(n, "Layout", FrameLayout.Channels), p => p.Layout),

            // Of rate and period the one that is given is meant, whatever the preset has.
            Rate = Given(node, "Rate", period ? null : preset, n => n.OptionalText("Rate"), p => p.Rate),
            Period = Given(node, "Period", node.Exists("Rate") ? null : preset, n => n.OptionalText("Period"), p => p.Period),
            PeriodUnit = Given(node, "PeriodUnit", preset, n => n.Text("PeriodUnit"), p => p.PeriodUnit),
            Labels = Given(node, "Labels", preset, n => n.OptionalText("Labels"), p => p.Labels),
            Anchor = Given(node, "Anchor", preset, n => Choice(n, "Anchor", FrameAnchor.First), p => p.Anchor),
            Scale = Given(node, "Scale", preset, n => n.OptionalText("Scale"), p => p.Scale),
            Origin = Given(node, "Origin", preset, n => n.OptionalText("Origin"), p => p.Origin),
            Dimensions = Given(node, "Dimensions", preset, n => n.OptionalText("Dimensions"), p => p.Dimensions),
            HeaderBytes = Given(node, "HeaderBytes", preset, n => n.Integer("HeaderBytes"), p => p.HeaderBytes),
        };
    }

    private static TValue Given<TPreset, TValue>(ConfigurationNode node, string key, TPreset? preset, Func<ConfigurationNode, TValue> read, Func<TPreset, TValue> from)
        where TPreset : class =>
        preset is null || node.Exists(key) ? read(node) : from(preset);

    private static T Choice<T>(ConfigurationNode node, string name, T standard)
        where T : struct, Enum =>
        node.Choice(name) is { } text && Enum.TryParse<T>(text.Replace("-", "", StringComparison.Ordinal), ignoreCase: true, out var value) ? value : standard;
}
