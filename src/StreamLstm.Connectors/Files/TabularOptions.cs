using StreamLstm.Connectors.Codecs;

namespace StreamLstm.Connectors.Files;

/// <summary>What a table's columns mean; whatever is null is found out from the header and the first rows.</summary>
public sealed record TabularOptions
{
    /// <summary>Column (or NDJSON property) with the time.</summary>
    public string? TimeColumn { get; init; }

    /// <summary>Column (or NDJSON property) with the stream's name: the table is in long form.</summary>
    public string? StreamColumn { get; init; }

    /// <summary>Columns (or NDJSON properties) with values.</summary>
    public IReadOnlyList<string>? ValueColumns { get; init; }

    /// <summary>Zone of times without an offset.</summary>
    public TimeZoneInfo TimeZone { get; init; } = TimeZoneInfo.Utc;

    /// <summary>Null = detected.</summary>
    public TimestampFormat? TimeFormat { get; init; }
}

/// <summary>One value of one stream.</summary>
/// <param name="TimeMicros">Unix microseconds.</param>
/// <param name="Value">The value; the first one if the row has <paramref name="Channels"/>.</param>
/// <param name="Row">Line number in the file, from 1 (so a CSV header is row 1).</param>
/// <param name="Channels">All values of a row that carries several channels, NaN = missing; null for one value.</param>
public readonly record struct TabularRow(string Stream, long TimeMicros, double Value, long Row, double[]? Channels = null);

/// <summary>A row, or one cell of it, that can't be used.</summary>
/// <param name="Row">Line number in the file, from 1.</param>
/// <param name="Reason">One of <see cref="Runtime.Ingress.DeadLetterReason"/>.</param>
/// <param name="Detail">One sentence for a person.</param>
/// <param name="Line">The row as read.</param>
/// <param name="Stream">The stream's key if it was known.</param>
public sealed record TabularReject(long Row, string Reason, string Detail, ReadOnlyMemory<byte> Line, string? Stream = null);

/// <summary>How a table was understood; for logs and for people who wonder.</summary>
public sealed record TabularShape
{
    /// <summary><c>ndjson</c>, <c>long</c>, <c>wide</c> or <c>single</c>.</summary>
    public required string Form { get; init; }

    /// <summary>Null for NDJSON.</summary>
    public char? Delimiter { get; init; }

    public required string TimeColumn { get; init; }

    public required TimestampFormat TimeFormat { get; init; }

    public string? StreamColumn { get; init; }

    public IReadOnlyList<string> ValueColumns { get; init; } = [];
}
