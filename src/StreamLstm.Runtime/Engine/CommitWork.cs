using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime;

/// <summary>
/// A batch on its way from the journal to the sinks, with the memory for all that becomes of it. Counted: the commit loop holds it
/// once, every sink that has yet to publish it once more; then it is used for another batch.
/// </summary>
internal sealed class CommitWork(OutboxMemory owner, int shards)
{
    private int _holders = 1;

    public LogBatch Batch { get; } = new();

    public long Sequence { get; set; }

    /// <summary>One per shard.</summary>
    public ShardOutput[] Made { get; } = [.. Enumerable.Range(0, shards).Select(_ => new ShardOutput())];

    /// <summary>What the sinks get, in the log's order; points into <see cref="Made"/>.</summary>
    public List<OutputRecord> Outputs { get; } = [];

    /// <summary>The outlook table after the batch, encoded, if the batch changed it.</summary>
    public byte[]? Outlooks { get; set; }

    /// <summary>Scratch for dead letters.</summary>
    public ByteWriter Letters { get; } = new();

    /// <summary>Bytes of results.</summary>
    public long Bytes => Made.Sum(m => (long)m.Json.Length);

    /// <summary>What it counts for while sinks hold it.</summary>
    public long Reserved { get; set; }

    public void Retain() => Interlocked.Increment(ref _holders);

    public void Release()
    {
        if (Interlocked.Decrement(ref _holders) == 0)
            owner.Return(this);
    }

    public void Renew()
    {
        _holders = 1;
        Batch.Clear();
        Outputs.Clear();
        Outlooks = null;
        foreach (var made in Made)
            made.Clear();
    }
}

/// <summary>Bounds what waits for the sinks, by bytes: a sink that is away holds the engine up before it takes all memory.</summary>
internal sealed class OutboxMemory(long limit)
{
    private const int Spare = 4;
    private static readonly TimeSpan s_turn = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    // In turn, so that none keeps the room for a peak of long ago.
    private readonly Queue<CommitWork> _free = new();
    private readonly SemaphoreSlim _returned = new(0, 1);
    private long _reserved;

    public CommitWork Rent(int shards)
    {
        lock (_gate)
        {
            if (_free.TryDequeue(out var work))
                return work;
        }

        return new CommitWork(this, shards);
    }

    /// <summary>Waits at most a second for room; one piece of work always has it.</summary>
    public async ValueTask<bool> ReserveAsync(CommitWork work, CancellationToken cancellationToken)
    {
        if (TryReserve(work))
            return true;
        await _returned.WaitAsync(s_turn, cancellationToken);
        return TryReserve(work);
    }

    public void Return(CommitWork work)
    {
        work.Renew();
        lock (_gate)
        {
            _reserved -= work.Reserved;
            work.Reserved = 0;
            // After an outage there is more than is ever needed at once.
            if (_free.Count < Spare)
                _free.Enqueue(work);
            if (_returned.CurrentCount == 0)
                _returned.Release();
        }
    }

    private bool TryReserve(CommitWork work)
    {
        var bytes = work.Bytes;
        lock (_gate)
        {
            if (_reserved > 0 && _reserved + bytes > limit)
                return false;
            _reserved += bytes;
            work.Reserved = bytes;
            return true;
        }
    }
}
