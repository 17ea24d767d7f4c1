using System.Text;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Partitioned;

/// <summary>
/// Takes in a partition's changelog, record by record in its order, and keeps what counts: per stream the latest snapshot and the
/// entries after it, still encoded. <see cref="Into"/> makes a core of it at any time; the log may go on afterwards.
/// </summary>
public sealed class PartitionRestore
{
    private readonly Dictionary<byte[], RestoredStream> _streams = new(KeyComparer.Instance);

    /// <summary>Entries whose snapshot was compacted away because a newer one follows later in the log.</summary>
    private readonly HashSet<byte[]> _withoutSnapshot = new(KeyComparer.Instance);

    private readonly List<(string, int)> _active = [];
    private long _clock = long.MinValue;

    /// <summary>Next position of the input as of the newest header; null = the changelog has none.</summary>
    public long? Position { get; private set; }

    /// <summary>Number of the newest commit, 0 without any.</summary>
    public long Sequence { get; private set; }

    public int Streams => _streams.Count;

    /// <summary>Size of the snapshots and entries that are held.</summary>
    public long Bytes { get; private set; }

    /// <exception cref="CorruptLogException">The record is not of this program; the message says what is wrong, not where.</exception>
    public void Apply(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, bool tombstone)
    {
        if (IsHeader(key))
        {
            ApplyHeader(value, tombstone);
            return;
        }

        if (key.Length < 2)
            throw new CorruptLogException($"A state record has a key of {key.Length} bytes.");
        var stream = key[..^1];
        if (tombstone)
        {
            // A stream is deleted by its snapshot's tombstone; those of its entries may come before or after it.
            if (key[^1] == 0)
            {
                if (_streams.Remove(stream.ToArray(), out var deleted))
                    Bytes -= Size(deleted);
                _withoutSnapshot.Remove(stream.ToArray());
            }

            return;
        }

        var r = new ByteReader(value);
        if (r.Byte() is var version && version != PartitionCore.FormatVersion)
            throw new CorruptLogException($"A state record of stream {Encoding.UTF8.GetString(stream)} has format {version}; this program reads {PartitionCore.FormatVersion}.");
        var kind = r.Byte();
        var profile = r.String();
        var body = value[r.Position..].ToArray();
        if (kind is not (Shard.SnapshotRecord or Shard.EntriesRecord) || (kind == Shard.SnapshotRecord) != (key[^1] == 0))
            throw new CorruptLogException($"A state record of stream {Encoding.UTF8.GetString(stream)} has kind {kind} in slot {key[^1]}.");
        var lookup = _streams.GetAlternateLookup<ReadOnlySpan<byte>>();
        if (kind == Shard.SnapshotRecord)
        {
            var owned = stream.ToArray();
            if (_streams.TryGetValue(owned, out var before))
                Bytes -= Size(before);
            _streams[owned] = new RestoredStream { Key = owned, Profile = profile, Snapshot = body };
            Bytes += body.Length;
            _withoutSnapshot.Remove(owned);
        }
        else if (lookup.TryGetValue(stream, out var known))
        {
            Bytes += known.Add(key[^1], body);
        }
        else
        {
            _withoutSnapshot.Add(stream.ToArray());
        }
    }

    /// <summary>Puts everything taken in into a fresh core.</summary>
    /// <exception cref="CorruptLogException">The state doesn't fit the configuration, or part of it is missing.</exception>
    public void Into(PartitionCore core)
    {
        ArgumentNullException.ThrowIfNull(core);
        if (_withoutSnapshot.Count > 0)
            throw new CorruptLogException($"State entries of stream {Encoding.UTF8.GetString(_withoutSnapshot.First())} have no snapshot: the topic must be compacted, not deleted from.");
        core.Restore(Sequence, Position ?? 0, _clock, _active, _streams.Values.OrderBy(s => s.Key, KeyComparer.Instance));
    }

    /// <summary>Whether a record is a partition's header.</summary>
    public static bool IsHeader(ReadOnlySpan<byte> key) => key.SequenceEqual(PartitionCore.HeaderKey);

    public static byte[] HeaderKey() => [.. PartitionCore.HeaderKey];

    /// <summary>The partition clock that a header tells, Unix microseconds.</summary>
    public static long ClockOf(ReadOnlySpan<byte> header)
    {
        var read = new PartitionRestore();
        read.ApplyHeader(header, tombstone: false);
        return read._clock;
    }

    /// <summary>A header with the clock and the versions of another one for a partition that nobody has read.</summary>
    public static byte[] HeaderAt(ReadOnlySpan<byte> header, long position)
    {
        _ = ClockOf(header);
        var made = header.ToArray();
        System.Buffers.Binary.BinaryPrimitives.WriteInt64LittleEndian(made.AsSpan(1), 1);
        System.Buffers.Binary.BinaryPrimitives.WriteInt64LittleEndian(made.AsSpan(9), position);
        return made;
    }

    /// <summary>Reads nothing but headers: for whoever wants to know how far a partition has come.</summary>
    public void ApplyHeaderOnly(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value)
    {
        if (IsHeader(key))
            ApplyHeader(value, tombstone: value.IsEmpty);
    }

    private static long Size(RestoredStream stream) => stream.Snapshot.Length + stream.Entries.Sum(e => (long)e.Length);

    private void ApplyHeader(ReadOnlySpan<byte> value, bool tombstone)
    {
        if (tombstone)
            throw new CorruptLogException("The partition's header was deleted.");
        var r = new ByteReader(value);
        if (r.Byte() is var version && version != PartitionCore.FormatVersion)
            throw new CorruptLogException($"The partition's header has format {version}; this program reads {PartitionCore.FormatVersion}.");
        Sequence = r.Int64();
        Position = r.Int64();
        _clock = r.Int64();
        _active.Clear();
        for (var n = r.Int32(); n > 0; n--)
            _active.Add((r.String(), r.Int32()));
    }
}
