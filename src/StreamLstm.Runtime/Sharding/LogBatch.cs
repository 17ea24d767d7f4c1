using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Runtime.Sharding;

internal enum EntryKind : byte
{
    Sample = 1,

    /// <summary>Time passed in one partition.</summary>
    Tick = 2,

    /// <summary>A model version takes effect for a profile, in every partition.</summary>
    Activate = 3,

    /// <summary>A stream's model state is cleared by request.</summary>
    Reset = 4,
}

/// <summary>
/// A run of log entries on its way to the shards. An entry's <c>Lsn</c> (record position + index in the record) is its unique,
/// ascending place in the log; everything that is decided or emitted because of an entry is ordered by it.
/// </summary>
/// <param name="single">All entries are of one partition, whatever their keys hash to.</param>
internal sealed class LogBatch(bool single = false)
{
    private readonly List<int>[] _byPartition = [.. Enumerable.Range(0, single ? 1 : VirtualPartition.Count).Select(_ => new List<int>())];

    public List<long> Lsn { get; } = [];

    public List<EntryKind> Kind { get; } = [];

    public List<long> Clock { get; } = [];

    public List<int> SampleIndex { get; } = [];

    public List<(string Profile, int Version)> Activations { get; } = [];

    /// <summary>Samples' keys, times and values.</summary>
    public SampleBatch Samples { get; } = new();

    public List<(long Lsn, DeadLetter Letter)> DeadLetters { get; } = [];

    public Dictionary<string, string> SourcePositions { get; } = [];

    /// <summary>Log position after the batch.</summary>
    public long Next { get; set; }

    /// <summary>Streams whose latest snapshot lies before this state-log position write a new one with this batch's commit.</summary>
    public long SnapshotBefore { get; set; }

    public int Count => Lsn.Count;

    /// <summary>Names an entry's place in the log for people.</summary>
    public Func<long, string> DescribePosition { get; init; } = static lsn => FormattableString.Invariant($"journal:{lsn}");

    /// <summary>Streams whose samples concern every partition.</summary>
    public HashSet<byte[]> Broadcast { get; } = new(KeyComparer.Instance);

    /// <summary>Whether the batch has such samples.</summary>
    public bool HasBroadcast { get; private set; }

    /// <summary>Entries of one partition, in log order, broadcasts included.</summary>
    public IReadOnlyList<int> Entries(int partition) => _byPartition[partition];

    public void AddSample(long lsn, ReadOnlySpan<byte> key, long eventTime, long arrival, ReadOnlySpan<double> values)
    {
        if (Broadcast.Count > 0 && Broadcast.GetAlternateLookup<ReadOnlySpan<byte>>().Contains(key))
        {
            HasBroadcast = true;
            foreach (var entries in _byPartition)
                entries.Add(Count);
        }
        else
        {
            _byPartition[IndexOf(key)].Add(Count);
        }

        SampleIndex.Add(Samples.Count);
        Samples.Add(key, eventTime, arrival, values);
        Add(lsn, EntryKind.Sample, arrival);
    }

    /// <summary>Makes an entry of a sample that was decoded into <see cref="Samples"/>.</summary>
    public void AddDecoded(long lsn, int sample)
    {
        _byPartition[IndexOf(Samples.Key(sample))].Add(Count);
        SampleIndex.Add(sample);
        Add(lsn, EntryKind.Sample, Samples.Arrival(sample));
    }

    public void AddBlock(long lsn, ReadOnlySpan<byte> key, long first, double step, long arrival, int rows, ReadOnlySpan<double> values)
    {
        _byPartition[IndexOf(key)].Add(Count);
        SampleIndex.Add(Samples.Count);
        Samples.AddBlock(key, first, step, arrival, rows, values);
        Add(lsn, EntryKind.Sample, arrival);
    }

    public void AddTick(long lsn, int partition, long clock)
    {
        _byPartition[partition].Add(Count);
        SampleIndex.Add(-1);
        Add(lsn, EntryKind.Tick, clock);
    }

    public void AddActivation(long lsn, string profile, int version)
    {
        foreach (var entries in _byPartition)
            entries.Add(Count);
        SampleIndex.Add(Activations.Count);
        Activations.Add((profile, version));
        Add(lsn, EntryKind.Activate, long.MinValue);
    }

    public void AddReset(long lsn, ReadOnlySpan<byte> key, long clock)
    {
        _byPartition[IndexOf(key)].Add(Count);
        SampleIndex.Add(Samples.Count);
        Samples.Add(key, 0, clock, []);
        Add(lsn, EntryKind.Reset, clock);
    }

    public void Clear()
    {
        Lsn.Clear();
        Kind.Clear();
        Clock.Clear();
        SampleIndex.Clear();
        Activations.Clear();
        Samples.Clear();
        DeadLetters.Clear();
        SourcePositions.Clear();
        foreach (var entries in _byPartition)
            entries.Clear();
        SnapshotBefore = 0;
        HasBroadcast = false;
    }

    private int IndexOf(ReadOnlySpan<byte> key) => single ? 0 : VirtualPartition.Of(key);

    private void Add(long lsn, EntryKind kind, long clock)
    {
        Lsn.Add(lsn);
        Kind.Add(kind);
        Clock.Add(clock);
    }
}
