namespace StreamLstm.Connectors.Codecs;

public enum PayloadFormat
{
    Json,

    /// <summary>The whole payload is one number.</summary>
    Text,

    /// <summary>Numbers by position, one record per line.</summary>
    Csv,
}

/// <summary>How messages of one kind become samples.</summary>
public sealed record BindingSettings
{
    public required string Name { get; init; }

    /// <summary>
    /// Topic pattern: <c>{name}</c> captures one level or a part of one, <c>{name...}</c> one or more levels, <c>+</c> is one level,
    /// <c>#</c> the rest. Levels are separated by <c>/</c>, or by <c>.</c> if the pattern has no <c>/</c>.
    /// </summary>
    public required string Match { get; init; }

    public PayloadFormat Format { get; init; }

    /// <summary>
    /// Stream key: text with <c>{capture}</c>, <c>{topic}</c>, <c>{field}</c> (the value's name), <c>{/pointer}</c> (text in the
    /// payload; <c>{^/pointer}</c> from the root when <see cref="Each"/> is set) and <c>{$key}</c> (message key).
    /// </summary>
    public required string Stream { get; init; }

    public BindingTime Time { get; init; } = new();

    /// <summary>
    /// Values by name. With <c>{field}</c> in <see cref="Stream"/> each is a stream of its own; otherwise all are channels of one
    /// sample, in ordinal order of their names.
    /// </summary>
    public IReadOnlyDictionary<string, BindingValue> Values { get; init; } = new Dictionary<string, BindingValue>();

    /// <summary>Pointer to an array (or object) each of whose elements is a record; other pointers are then relative to it.</summary>
    public string? Each { get; init; }
}

public sealed record BindingTime
{
    public const string Arrival = "arrival";

    /// <summary>JSON pointer, CSV index, or <c>arrival</c>.</summary>
    public string At { get; init; } = Arrival;

    public TimestampFormat Format { get; init; } = TimestampFormat.Auto;

    /// <summary>Zone of times without offset.</summary>
    public TimeZoneInfo Zone { get; init; } = TimeZoneInfo.Utc;
}

public sealed record BindingValue
{
    /// <summary>JSON pointer (RFC 6901; empty = the whole payload) or CSV index.</summary>
    public string At { get; init; } = "";

    public double Scale { get; init; } = 1;

    /// <summary>Added after scaling.</summary>
    public double Offset { get; init; }
}

/// <summary>Why a binding can't be used.</summary>
/// <param name="Key">The setting within the binding, such as <c>Values:power:At</c>.</param>
/// <param name="Given">The value found there.</param>
/// <param name="Problem">What is wrong and what is allowed.</param>
public sealed record BindingProblem(string Key, string? Given, string Problem);
