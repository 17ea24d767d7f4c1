using System.Runtime.InteropServices;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Storage;
using StreamLstm.Runtime.Training;

namespace StreamLstm.Runtime.Sharding;

/// <summary>What one shard made of a batch. Reused: the shard fills it, then it belongs to the commit until the sinks have its outputs.</summary>
internal sealed class ShardOutput
{
    private long[] _places = [];
    private int[] _order = [];

    public List<PendingOutput> Outputs { get; } = [];

    /// <summary>The JSON bytes that <see cref="Outputs"/> point into.</summary>
    public ByteWriter Json { get; } = new();

    /// <summary>Encoded state of the touched streams, see <see cref="Shard"/>.</summary>
    public ByteWriter State { get; } = new();

    public int StateCount { get; set; }

    /// <summary>
    /// One per state record: 0 for a snapshot, the number of frames since the snapshot for entries (ascending, below the profile's
    /// <see cref="ProfileRuntime.SnapshotEvery"/>), <see cref="Shard.HeaderSlot"/> for entries without frames. A later record of a
    /// slot replaces an earlier one, so that slots are keys of a compacted log.
    /// </summary>
    public List<byte> StateSlots { get; } = [];

    /// <summary>Clocks of the shard's partitions after the batch.</summary>
    public List<(int Partition, long Clock)> Clocks { get; } = [];

    /// <summary>The commit with the stream snapshot written longest ago, this one's included; null without streams.</summary>
    public long? OldestSnapshot { get; set; }

    public List<TrainingRow> TrainingRows { get; } = [];

    public OutcomeCounts Outcomes { get; } = new();

    public long Frames { get; set; }

    public long Results { get; set; }

    /// <summary>Indices of the outputs in the log's order, after <see cref="Order"/>.</summary>
    public ReadOnlySpan<int> Ordered => _order.AsSpan(0, Outputs.Count);

    /// <summary>The i-th output in the log's order.</summary>
    public ref readonly PendingOutput Next(int i) => ref CollectionsMarshal.AsSpan(Outputs)[_order[i]];

    /// <summary>Sorts by place in the log: the order doesn't depend on batches and waves.</summary>
    public void Order()
    {
        const int subBits = 20;
        var outputs = CollectionsMarshal.AsSpan(Outputs);
        if (_order.Length < outputs.Length)
            (_order, _places) = (new int[outputs.Length * 2], new long[outputs.Length * 2]);
        var (first, largestSub) = (long.MaxValue, 0);
        for (var i = 0; i < outputs.Length; i++)
        {
            _order[i] = i;
            first = Math.Min(first, outputs[i].Lsn);
            largestSub = Math.Max(largestSub, outputs[i].Sub);
        }

        var order = _order.AsSpan(0, outputs.Length);
        if (largestSub >= 1 << subBits)
        {
            order.Sort((a, b) => PendingOutput.Compare(Outputs[a], Outputs[b]));
            return;
        }

        var places = _places.AsSpan(0, outputs.Length);
        for (var i = 0; i < outputs.Length; i++)
            places[i] = ((outputs[i].Lsn - first) << subBits) | (uint)outputs[i].Sub;
        places.Sort(order);
    }

    public void Clear()
    {
        Outputs.Clear();
        Json.Clear();
        State.Clear();
        StateCount = 0;
        StateSlots.Clear();
        Clocks.Clear();
        TrainingRows.Clear();
        Outcomes.Clear();
        OldestSnapshot = null;
        Frames = Results = 0;
    }
}

/// <summary>An output and its place in the total order (Lsn, Sub), which depends on the log alone.</summary>
internal readonly record struct PendingOutput(long Lsn, int Sub, OutputKind Kind, string Stream, long TimeMicros, int Start, int Length, int Revision, bool Newest)
{
    public static int Compare(in PendingOutput a, in PendingOutput b) => a.Lsn != b.Lsn ? a.Lsn.CompareTo(b.Lsn) : a.Sub.CompareTo(b.Sub);
}

/// <summary>Samples by outcome, for the metrics.</summary>
internal sealed class OutcomeCounts
{
    public long Accepted { get; set; }

    public long Duplicate { get; set; }

    public long Late { get; set; }

    /// <summary>Late, but inside the repair horizon.</summary>
    public long Repaired { get; set; }

    /// <summary>Results and episodes issued again.</summary>
    public long Revisions { get; set; }

    public long Rejected { get; set; }

    public long Dip { get; set; }

    public long Imputed { get; set; }

    public long Stale { get; set; }

    public void Clear() => Accepted = Duplicate = Late = Repaired = Revisions = Rejected = Dip = Imputed = Stale = 0;

    public void AddTo(OutcomeCounts o)
    {
        o.Accepted += Accepted;
        o.Duplicate += Duplicate;
        o.Late += Late;
        o.Repaired += Repaired;
        o.Revisions += Revisions;
        o.Rejected += Rejected;
        o.Dip += Dip;
        o.Imputed += Imputed;
        o.Stale += Stale;
    }
}
