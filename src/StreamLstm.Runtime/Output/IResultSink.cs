namespace StreamLstm.Runtime.Output;

public enum OutputKind : byte
{
    Result = 1,
    Episode = 2,
    DeadLetter = 3,
}

/// <summary>
/// One committed record for the outside. <see cref="Json"/> is final: redelivery after a crash sends the same bytes. Consumers
/// de-duplicate by (<see cref="Stream"/>, <see cref="TimeMicros"/>, <see cref="Revision"/>).
/// </summary>
/// <param name="Stream">Stream key; for dead letters the source name.</param>
/// <param name="TimeMicros">Frame start, Unix microseconds.</param>
/// <param name="Revision">How often it has been issued again, changed by late data.</param>
/// <param name="Json">One UTF-8 JSON object without line end.</param>
/// <param name="Newest">False for results of intervals behind the stream's newest one: they don't take its place where only the latest is kept.</param>
public readonly record struct OutputRecord(OutputKind Kind, string Stream, long TimeMicros, int Revision, ReadOnlyMemory<byte> Json, bool Newest = true);

/// <summary>Where a sink stands: everything up to and including <see cref="Commit"/> has been handed over.</summary>
/// <param name="Commit">Sequence number of the commit.</param>
/// <param name="Length">For file sinks the length in bytes at that point, else 0.</param>
public readonly record struct SinkMark(long Commit, long Length);

/// <summary>
/// Publishes committed records. Called by one thread at a time, in commit order. On start, <see cref="OpenAsync"/> receives the
/// last mark that became durable; later commits are then published again (a file sink first truncates to the mark's length).
/// </summary>
public interface IResultSink : IAsyncDisposable
{
    string Name { get; }

    /// <summary>Null when connected, else why not.</summary>
    string? NotReady { get; }

    ValueTask OpenAsync(SinkMark durable, CancellationToken cancellationToken);

    /// <summary>
    /// Hands the records of one commit over; waits for as long as the peer is away (back-pressure), retrying with back-off. Returns
    /// the mark that may be made durable. The records and their bytes are the caller's again afterwards: what is kept is copied.
    /// </summary>
    ValueTask<SinkMark> PublishAsync(long commit, IReadOnlyList<OutputRecord> records, CancellationToken cancellationToken);
}
