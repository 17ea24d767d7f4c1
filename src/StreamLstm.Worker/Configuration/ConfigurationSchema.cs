using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace StreamLstm.Worker.Configuration;

/// <summary>The table for machines (JSON schema, for editors) and for people (explanations).</summary>
public static class ConfigurationSchema
{
    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>JSON schema (draft 2020-12) of a configuration file.</summary>
    public static string Json()
    {
        var root = Section();
        foreach (var key in ConfigurationTable.Keys)
        {
            var node = root;
            var path = key.Path.Split(':');
            foreach (var part in path[..^1])
                node = Child(node, part);
            if (path[^1] == "*")
                node["additionalProperties"] = Property(key);
            else
                node["properties"]!.AsObject()[path[^1]] = Property(key);
            if (key.Required && key.OnlyFor.Count == 0)
                (node["required"] ??= new JsonArray()).AsArray().Add(path[^1]);
        }

        return new JsonObject
        {
            ["$schema"] = "https://json-schema.org/draft/2020-12/schema",
            ["title"] = "StreamLstm configuration",
            ["type"] = "object",
            ["properties"] = new JsonObject { [ConfigurationTable.Root] = root },
            ["required"] = new JsonArray(ConfigurationTable.Root),
        }.ToJsonString(s_indented);
    }

    /// <summary>
    /// What a key means. Accepts <c>Profiles:load:Interval</c>, with <c>*</c> for the name, with the root section, with <c>.</c> or
    /// <c>__</c> between the parts; a section lists its keys.
    /// </summary>
    /// <returns>False if there is no such key; the text then says which one may have been meant.</returns>
    public static bool TryExplain(string key, out string text)
    {
        ArgumentNullException.ThrowIfNull(key);
        var parts = key.Replace("__", ":", StringComparison.Ordinal).Replace('.', ':').Split(':', StringSplitOptions.RemoveEmptyEntries);
        if (parts.Length > 0 && parts[0].Equals(ConfigurationTable.Root, StringComparison.OrdinalIgnoreCase))
            parts = parts[1..];

        var found = ConfigurationTable.Keys.Where(k => Matches(k.Path.Split(':'), parts)).ToList();
        if (found.Find(k => k.Path.Split(':').Length == parts.Length) is { } one)
        {
            text = Explain(one);
            return true;
        }

        if (found.Count > 0)
        {
            text = string.Join('\n', found.Select(k => $"{k.Path}  {k.Meaning}"));
            return true;
        }

        text = $"There is no key {key}{UnknownKeys.DidYouMean(string.Join(':', parts), ConfigurationTable.Keys.Select(k => k.Path))}";
        return false;
    }

    private static bool Matches(string[] path, string[] parts)
    {
        if (parts.Length > path.Length)
            return false;
        for (var i = 0; i < parts.Length; i++)
        {
            if (path[i] != "*" && !path[i].Equals(parts[i], StringComparison.OrdinalIgnoreCase))
                return false;
        }

        return true;
    }

    private static string Explain(ConfigurationKey key)
    {
        var text = new StringBuilder();
        text.Append(ConfigurationTable.Root).Append(':').AppendLine(key.Path);
        text.Append("  ").AppendLine(key.Meaning);
        text.Append("  allowed  ").AppendLine(key.Allowed);
        text.Append("  default  ").AppendLine(key.Required ? "none, must be given" : key.Default switch { null => "not set", "" => "empty", var d => d });
        if (key.OnlyFor.Count > 0)
            text.Append("  only for type ").AppendLine(string.Join(", ", key.OnlyFor));
        text.Append("  a change ").AppendLine(key.NeedsRestart ? "needs a restart" : "takes effect at once");
        text.Append("  in the environment ").Append(ConfigurationTable.Root).Append("__").Append(key.Path.Replace(":", "__", StringComparison.Ordinal));
        return text.ToString();
    }

    private static JsonObject Section() => new() { ["type"] = "object", ["properties"] = new JsonObject(), ["additionalProperties"] = false };

    private static JsonObject Child(JsonObject node, string part)
    {
        if (part == "*")
        {
            if (node["additionalProperties"] is JsonObject member)
                return member;
            member = Section();
            node["additionalProperties"] = member;
            return member;
        }

        var properties = node["properties"]!.AsObject();
        if (properties[part] is JsonObject existing)
            return existing;
        var section = Section();
        properties[part] = section;
        return section;
    }

    private static JsonObject Property(ConfigurationKey key)
    {
        var only = key.OnlyFor.Count > 0 ? $" Only for type {string.Join(", ", key.OnlyFor)}." : "";
        var rule = key.Rule is null ? "" : $" Allowed: {key.Allowed}.";
        var property = new JsonObject { ["description"] = key.Meaning + rule + only };
        switch (key.Type)
        {
            case ConfigurationType.Integer:
                property["type"] = "integer";
                break;
            case ConfigurationType.Number:
                property["type"] = "number";
                break;
            case ConfigurationType.Boolean:
                property["type"] = "boolean";
                break;
            case ConfigurationType.Duration:
                property["type"] = "string";
                property["pattern"] = "^[0-9]+(ms|s|m|h|d)$";
                break;
            case ConfigurationType.Choice:
                property["enum"] = new JsonArray([.. key.Choices.Select(c => (JsonNode)c)]);
                break;
            default:
                property["type"] = "string";
                break;
        }

        if (key.Type is ConfigurationType.Integer or ConfigurationType.Number)
        {
            if (key.Min is { } min)
                property["minimum"] = decimal.Parse(min, CultureInfo.InvariantCulture);
            if (key.Max is { } max)
                property["maximum"] = decimal.Parse(max, CultureInfo.InvariantCulture);
        }

        if (key.Default is { } d)
        {
            property["default"] = key.Type switch
            {
                ConfigurationType.Integer or ConfigurationType.Number => decimal.Parse(d, CultureInfo.InvariantCulture),
                ConfigurationType.Boolean => bool.Parse(d),
                _ => d,
            };
        }

        return property;
    }
}
