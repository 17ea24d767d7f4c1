namespace StreamLstm.Runtime.Ingress;

/// <summary>An input that can't be used: why, where it came from, and its first bytes.</summary>
/// <param name="Reason">One of <see cref="DeadLetterReason"/>; also the metric label.</param>
/// <param name="Source">Name of the source in the configuration.</param>
/// <param name="Position">Where in the source: <c>topic</c>, <c>file:row</c>, <c>journal:position</c>.</param>
/// <param name="Detail">One sentence for a person.</param>
/// <param name="ArrivalMicros">Unix microseconds.</param>
/// <param name="Payload">At most <see cref="MaxPayloadBytes"/> bytes of the input.</param>
/// <param name="PayloadBytes">The input's full length.</param>
/// <param name="Stream">The stream's key if it was known.</param>
/// <param name="Headers">What the message had besides its payload (MQTT user properties, Kafka headers), as text; null = nothing.</param>
public sealed record DeadLetter(
    string Reason,
    string Source,
    string Position,
    string Detail,
    long ArrivalMicros,
    ReadOnlyMemory<byte> Payload,
    int PayloadBytes,
    string? Stream = null,
    IReadOnlyList<KeyValuePair<string, string>>? Headers = null)
{
    /// <summary>Further headers are left out, longer texts cut.</summary>
    public const int MaxHeaders = 32;

    public const int MaxHeaderChars = 256;

    /// <summary>Longer payloads are cut, so that a flood of bad input can't fill the disk with copies of itself.</summary>
    public const int MaxPayloadBytes = 2048;

    /// <summary>Copies the head of <paramref name="payload"/>; the caller's buffer may be reused.</summary>
    public static DeadLetter Create(string reason, string source, string position, string detail, long arrivalMicros, ReadOnlySpan<byte> payload, string? stream = null) =>
        new(reason, source, position, detail, arrivalMicros, payload[..Math.Min(payload.Length, MaxPayloadBytes)].ToArray(), payload.Length, stream);
}

/// <summary>The closed list of reasons, so that metrics stay bounded.</summary>
public static class DeadLetterReason
{
    /// <summary>Not the declared format (bad JSON, binary garbage, wrong column count).</summary>
    public const string Malformed = "malformed";

    /// <summary>A field that the binding needs is absent.</summary>
    public const string MissingField = "missing_field";

    /// <summary>A value that is not a finite number.</summary>
    public const string NotFinite = "not_finite";

    /// <summary>A timestamp that can't be read.</summary>
    public const string BadTime = "bad_time";

    /// <summary>Event time too far ahead of arrival.</summary>
    public const string Future = "future";

    /// <summary>Event time further back than the profile accepts.</summary>
    public const string TooOld = "too_old";

    /// <summary>Behind the stream's watermark.</summary>
    public const string Late = "late";

    /// <summary>A value that the broker kept from an unknown time.</summary>
    public const string Retained = "retained";

    /// <summary>The sender has gone, or speaks of metrics it hasn't introduced: its values aren't valid.</summary>
    public const string Stale = "stale";

    /// <summary>Payload longer than the source accepts, or with more samples.</summary>
    public const string Oversized = "oversized";

    /// <summary>Stream key empty or too long.</summary>
    public const string BadKey = "bad_key";

    /// <summary>A new stream beyond the partition's limit.</summary>
    public const string StreamLimit = "stream_limit";

    /// <summary>Matches no binding or no profile.</summary>
    public const string Unmatched = "unmatched";

    /// <summary>Number of values differs from the profile's channels.</summary>
    public const string ChannelCount = "channel_count";

    /// <summary>Outside the profile's valid physical range.</summary>
    public const string OutOfRange = "out_of_range";

    /// <summary>More samples in one interval than the profile accepts.</summary>
    public const string FrameOverflow = "frame_overflow";

    /// <summary>A signal's block whose rate isn't its profile's.</summary>
    public const string WrongRate = "wrong_rate";

    /// <summary>All of them, for metrics that exist before the first letter.</summary>
    public static IReadOnlyList<string> All { get; } =
    [
        Malformed, MissingField, NotFinite, BadTime, Future, TooOld, Late, Retained, Stale, Oversized, BadKey, StreamLimit, Unmatched, ChannelCount, OutOfRange, FrameOverflow, WrongRate,
    ];
}
