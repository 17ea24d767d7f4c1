namespace StreamLstm.Connectors.Codecs;

internal enum TimestampKind
{
    Auto,
    Unix,
    UnixMilliseconds,
    UnixMicroseconds,
    UnixNanoseconds,
    Iso8601,
    Dsmr,
    Custom,
}

/// <summary>How a timestamp is written. The words are those operators know from Telegraf.</summary>
public sealed class TimestampFormat
{
    private TimestampFormat(string name, TimestampKind kind)
    {
        Name = name;
        Kind = kind;
    }

    /// <summary>Numbers by magnitude, texts as ISO 8601 or DSMR.</summary>
    public static TimestampFormat Auto { get; } = new("auto", TimestampKind.Auto);

    /// <summary>The names that aren't .NET format strings.</summary>
    public static IReadOnlyList<string> Names { get; } = ["auto", "unix", "unix_ms", "unix_us", "unix_ns", "iso8601", "dsmr"];

    public string Name { get; }

    internal TimestampKind Kind { get; }

    /// <summary>
    /// Reads <c>auto</c>, <c>unix</c>, <c>unix_ms</c>, <c>unix_us</c>, <c>unix_ns</c>, <c>iso8601</c>, <c>dsmr</c>
    /// (<c>YYMMDDhhmmss</c> with S or W for summer or winter time) or a .NET custom format such as <c>dd/MM/yyyy HH:mm</c>.
    /// </summary>
    public static bool TryCreate(string? text, out TimestampFormat format)
    {
        format = text switch
        {
            null or "auto" => Auto,
            "unix" or "unix_s" => new(text, TimestampKind.Unix),
            "unix_ms" => new(text, TimestampKind.UnixMilliseconds),
            "unix_us" => new(text, TimestampKind.UnixMicroseconds),
            "unix_ns" => new(text, TimestampKind.UnixNanoseconds),
            "iso8601" => new(text, TimestampKind.Iso8601),
            "dsmr" => new(text, TimestampKind.Dsmr),
            _ => new(text, TimestampKind.Custom),
        };

        // A misspelt name such as "unixms" would otherwise be taken for a format that never matches.
        return format.Kind != TimestampKind.Custom || (text!.Contains('y') && text.Contains('M') && text.Contains('d'));
    }

    public override string ToString() => Name;
}
