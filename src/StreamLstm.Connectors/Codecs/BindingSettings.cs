namespace StreamLstm.Connectors.Codecs;

public enum PayloadFormat
{
    Json,

    /// <summary>The whole payload is one number.</summary>
    Text,

    /// <summary>Numbers by position, one record per line.</summary>
    Csv,

    /// <summary>Influx line protocol: each line is a record with tags, fields and a time of its own.</summary>
    Influx,

    /// <summary>Sparkplug B: births name metrics, data refers to them by alias.</summary>
    Sparkplug,

    /// <summary>A P1 telegram of a smart meter: lines of an OBIS id and values in parentheses, then a CRC.</summary>
    Obis,

    /// <summary>JSON behind a schema registry's magic byte and schema id.</summary>
    JsonSr,

    /// <summary>A CloudEvent, structured or binary; pointers are relative to its data.</summary>
    CloudEvents,

    /// <summary>Samples as little-endian 16-bit integers.</summary>
    Int16,

    /// <summary>Samples as little-endian 32-bit floats.</summary>
    Float32,
}

/// <summary>What a value is, for people and for <c>sources test</c>; the profile's <c>Counter</c> and <c>Aggregation</c> decide how it is treated.</summary>
public enum ValueKind
{
    Gauge,

    /// <summary>A register that only rises, until it is reset.</summary>
    Counter,

    /// <summary>An amount since the previous message.</summary>
    Delta,

    /// <summary>A time as the binding's <c>Time</c> writes it, taken in Unix seconds: when a value that is known in advance will be.</summary>
    Time,
}

/// <summary>What becomes of messages that the broker kept from an earlier time.</summary>
public enum RetainedPolicy
{
    /// <summary>Used if they say their time; else their age is unknown and they are dead letters.</summary>
    Auto,

    /// <summary>Used, with the arrival as their time if they have none.</summary>
    Accept,

    /// <summary>Dead letters.</summary>
    Drop,
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

    /// <summary>Patterns of topics that are left alone although they match; <c>#</c> may stand anywhere in them.</summary>
    public IReadOnlyList<string> Except { get; init; } = [];

    public PayloadFormat Format { get; init; }

    /// <summary>
    /// Conditions, all of which a message must fulfil: <c>/pointer=literal</c>, <c>/pointer</c> (is there), <c>!/pointer</c> (is
    /// absent); alternatives have <c>|</c> between them. Instead of a pointer also <c>$h:header</c>, <c>ce:attribute</c>, <c>tag:name</c>, <c>measurement</c>.
    /// </summary>
    public IReadOnlyList<string> Where { get; init; } = [];

    /// <summary>
    /// Stream key: text with <c>{capture}</c>, <c>{topic}</c>, <c>{field}</c> (the value's field), <c>{*}</c> (what <c>*</c> stands
    /// for in the value's pointer or in <see cref="Each"/>), <c>{ch}</c> (channel of a frame), <c>{/pointer}</c> (text in the payload;
    /// <c>{^/pointer}</c> from the root when <see cref="Each"/> is set), <c>{$key}</c> (message key), <c>{$h:header}</c>,
    /// <c>{ce:attribute}</c>, <c>{tag:name}</c> and <c>{measurement}</c>.
    /// </summary>
    public required string Stream { get; init; }

    public BindingTime Time { get; init; } = new();

    /// <summary>
    /// Values by name. With <c>{field}</c> in <see cref="Stream"/> each is a stream of its own; otherwise all are channels of one
    /// sample, in ordinal order of their names.
    /// </summary>
    public IReadOnlyDictionary<string, BindingValue> Values { get; init; } = new Dictionary<string, BindingValue>();

    /// <summary>
    /// Pointer to an array or object each of whose members is a record, such as <c>/readings/*</c> or <c>/params/em:*</c>; other
    /// pointers are then relative to it.
    /// </summary>
    public string? Each { get; init; }

    /// <summary>Set if the value holds many samples at a constant rate.</summary>
    public BindingFrame? Frame { get; init; }

    /// <summary>
    /// How long a value that a later message of its stream leaves out counts as unchanged; zero = it is missing. Ended at once by a
    /// Sparkplug death.
    /// </summary>
    public TimeSpan Hold { get; init; }

    public RetainedPolicy Retained { get; init; }
}

public sealed record BindingTime
{
    public const string Arrival = "arrival";

    /// <summary>Clocks run ahead a little; the journal accepts no more either.</summary>
    public static readonly TimeSpan DefaultMaxFuture = TimeSpan.FromMinutes(5);

    /// <summary>Keeps out the 1970 of devices that don't know their time yet.</summary>
    public static readonly TimeSpan DefaultMaxAge = TimeSpan.FromDays(10_950);

    /// <summary>
    /// JSON pointer (<c>^/pointer</c> from the root), CSV index, OBIS id, byte offset of a 64-bit integer, <c>$h:header</c>,
    /// <c>ce:time</c>, or <c>arrival</c>: the record's time stamp on Kafka, else the arrival. Lines of Influx and metrics of Sparkplug
    /// have times of their own, which win.
    /// </summary>
    public string At { get; init; } = Arrival;

    public TimestampFormat Format { get; init; } = TimestampFormat.Auto;

    /// <summary>Zone of times without offset.</summary>
    public TimeZoneInfo Zone { get; init; } = TimeZoneInfo.Utc;

    /// <summary>A message without the time happened when it arrived; otherwise it is a dead letter.</summary>
    public bool Optional { get; init; }

    /// <summary>How far ahead of the arrival a time may be.</summary>
    public TimeSpan MaxFuture { get; init; } = DefaultMaxFuture;

    /// <summary>How far before the arrival a time may be.</summary>
    public TimeSpan MaxAge { get; init; } = DefaultMaxAge;
}

public sealed record BindingValue
{
    /// <summary>
    /// JSON pointer (RFC 6901; empty = the whole payload) in which one segment may be <c>*</c> or <c>prefix*</c>, CSV index, field of a
    /// line, metric or OBIS id (<c>*</c> = every one that is a number).
    /// </summary>
    public string At { get; init; } = "";

    /// <summary>What <c>{field}</c> stands for; may contain <c>{*}</c>. Null = the value's name, or what <c>*</c> stands for.</summary>
    public string? Field { get; init; }

    /// <summary>
    /// Unit in the payload, or a pointer to it. Multiples are converted (kW to W, kWh to Wh, mV to V); others pass through. A unit beside
    /// the number wins.
    /// </summary>
    public string? Unit { get; init; }

    public ValueKind Kind { get; init; }

    public double Scale { get; init; } = 1;

    /// <summary>Added after scaling, before the unit is converted.</summary>
    public double Offset { get; init; }
}

public enum FrameLayout
{
    /// <summary>One array per channel.</summary>
    Channels,

    /// <summary>One array per instant, with a number per channel.</summary>
    Rows,

    /// <summary>One array, the channels in turn.</summary>
    Flat,

    /// <summary>A text of numbers with blanks between them, the channels in turn; words stand for missing samples.</summary>
    Tokens,
}

public enum FrameAnchor
{
    First,
    Last,
}

/// <summary>A run of samples at a constant rate. Numbers are literals or JSON pointers.</summary>
public sealed record BindingFrame
{
    public FrameLayout Layout { get; init; }

    /// <summary>Samples per second and channel; either this or <see cref="Period"/>.</summary>
    public string? Rate { get; init; }

    /// <summary>Time between samples in <see cref="PeriodUnit"/>.</summary>
    public string? Period { get; init; }

    /// <summary><c>s</c>, <c>ms</c>, <c>us</c>, <c>ns</c> or a pointer to one.</summary>
    public string PeriodUnit { get; init; } = "ms";

    /// <summary>Names of the channels, with commas between them, or a pointer to an array of them; null = 0, 1, ….</summary>
    public string? Labels { get; init; }

    /// <summary>Which sample the time belongs to.</summary>
    public FrameAnchor Anchor { get; init; }

    /// <summary>Value = <see cref="Origin"/> + this × number.</summary>
    public string? Scale { get; init; }

    public string? Origin { get; init; }

    /// <summary>Channels of a flat or token frame without labels, a literal or pointer.</summary>
    public string? Dimensions { get; init; }

    /// <summary>Bytes before the first sample of a binary frame.</summary>
    public int HeaderBytes { get; init; }
}

/// <summary>What a decoder accepts at most, so that no payload costs more than its worth.</summary>
public sealed record DecodeLimits
{
    public static readonly DecodeLimits Default = new();

    /// <summary>Nesting of arrays and objects.</summary>
    public int MaxDepth { get; init; } = 64;

    public int MaxPayloadBytes { get; init; } = 1024 * 1024;

    /// <summary>Samples one payload may give; further ones are dead letters.</summary>
    public int MaxSamples { get; init; } = 100_000;

    /// <summary>Bytes of a stream key, at most the 512 that the journal takes.</summary>
    public int MaxKeyBytes { get; init; } = 512;
}

/// <summary>Why a binding can't be used.</summary>
/// <param name="Key">The setting within the binding, such as <c>Values:power:At</c>.</param>
/// <param name="Given">The value found there.</param>
/// <param name="Problem">What is wrong and what is allowed.</param>
public sealed record BindingProblem(string Key, string? Given, string Problem);
