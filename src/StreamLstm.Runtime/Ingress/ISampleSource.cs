namespace StreamLstm.Runtime.Ingress;

public enum SourceState
{
    /// <summary>Not started, or trying to reach its broker.</summary>
    Connecting,

    Connected,

    /// <summary>A finite source has been read to its end.</summary>
    Completed,
}

/// <param name="State">Where the source stands.</param>
/// <param name="Detail">Why it isn't connected, for <c>/readyz</c> and the log; null when all is well.</param>
public sealed record SourceStatus(SourceState State, string? Detail);

/// <summary>
/// Brings samples in from outside. A source decodes, appends to the <see cref="IIngress"/>, and acknowledges to its own peer only
/// after <see cref="IIngress.AppendAsync"/> has completed. It retries its peer for ever with back-off; it throws only for a broken
/// invariant, which stops the host.
/// </summary>
public interface ISampleSource
{
    string Name { get; }

    SourceStatus Status { get; }

    Task RunAsync(IIngress ingress, CancellationToken stopping);
}

/// <summary>The durable entrance. Thread-safe.</summary>
public interface IIngress
{
    /// <summary>The clock for arrival stamps.</summary>
    TimeProvider Clock { get; }

    /// <summary>
    /// Makes the batch durable; when the task completes, its content survives a crash and its inputs may be acknowledged. Samples
    /// that fail the entrance checks (non-finite, future, bad key) become dead letters in the same append. Waits when the journal
    /// is ahead of the engine by more than its bound. The batch may be cleared and reused after completion.
    /// </summary>
    ValueTask AppendAsync(SampleBatch batch, CancellationToken cancellationToken);

    /// <summary>Why appends wait just now (the disk is full, the engine is too far behind), or null.</summary>
    string? Waits => null;

    /// <summary>The last durable position of a resumable source, or null if it has never been read.</summary>
    string? Position(string source);
}

/// <summary>Unix microseconds, the time unit of the log.</summary>
public static class UnixMicros
{
    public static long Now(TimeProvider clock)
    {
        ArgumentNullException.ThrowIfNull(clock);
        return From(clock.GetUtcNow());
    }

    public static long From(DateTimeOffset time) => (time.UtcTicks - DateTimeOffset.UnixEpoch.UtcTicks) / TimeSpan.TicksPerMicrosecond;

    public static DateTimeOffset ToDateTimeOffset(long micros) => DateTimeOffset.UnixEpoch.AddTicks(micros * TimeSpan.TicksPerMicrosecond);
}
