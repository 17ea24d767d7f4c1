using System.Text;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.StateLog;

/// <summary>Everything a commit states besides streams and outputs.</summary>
internal sealed class CommitHeader
{
    public long Sequence { get; set; }

    /// <summary>Journal position of the first entry that is not in this commit.</summary>
    public long JournalNext { get; set; }

    /// <summary>[64] partition clocks, Unix microseconds.</summary>
    public long[] Clocks { get; } = [.. Enumerable.Repeat(long.MinValue, VirtualPartition.Count)];

    public SortedDictionary<string, int> ActiveVersions { get; } = new(StringComparer.Ordinal);

    public SortedDictionary<string, string> SourcePositions { get; } = new(StringComparer.Ordinal);

    public SortedDictionary<string, SinkMark> SinkMarks { get; } = new(StringComparer.Ordinal);
}

/// <summary>
/// Commits on local disk: one record holds input position, clocks, versions, state of the touched streams and the results (the
/// outbox), so all of it becomes durable at once. Record:
/// <c>[kind u8 = 1][sequence i64][journal next i64][64 × clock i64][n × {profile, version i32}][n × {source, position}]
/// [n × {sink, commit i64, length i64}][n state records][n × {kind u8, stream, time i64, revision i32, json block}]</c>;
/// counts are i32, strings and blocks length-prefixed. Old segments are deleted once every stream has a newer snapshot and every
/// sink has their results.
/// </summary>
internal sealed class StateLog : IDisposable
{
    private const byte KindCommit = 1;

    /// <summary>Added to the kind of an output that isn't its stream's newest.</summary>
    private const byte NotNewest = 0x80;
    private readonly RecordLog _log;
    private readonly ByteWriter _record = new();
    private readonly List<(long Commit, long Position)> _restored = [];

    public StateLog(string directory, long segmentBytes) => _log = new RecordLog(directory, segmentBytes);

    public long Bytes => _log.Bytes;

    public long End => _log.End;

    /// <summary>Streams with snapshots before this position hold back the deletion of the oldest segment.</summary>
    public long? CompactBefore => _log.SecondSegmentStart;

    /// <summary>The commits that <see cref="Restore"/> read, oldest first, and where they lie.</summary>
    public IReadOnlyList<(long Commit, long Position)> RestoredCommits => _restored;

    /// <summary>Appends a commit and waits for the disk; returns its position.</summary>
    public long Commit(CommitHeader header, IReadOnlyList<ShardOutput> shards, IReadOnlyList<OutputRecord> outputs)
    {
        var w = _record;
        w.Clear();
        w.Byte(KindCommit);
        w.Int64(header.Sequence);
        w.Int64(header.JournalNext);
        foreach (var clock in header.Clocks)
            w.Int64(clock);
        w.Int32(header.ActiveVersions.Count);
        foreach (var (profile, version) in header.ActiveVersions)
        {
            w.String(profile);
            w.Int32(version);
        }

        w.Int32(header.SourcePositions.Count);
        foreach (var (source, read) in header.SourcePositions)
        {
            w.String(source);
            w.String(read);
        }

        w.Int32(header.SinkMarks.Count);
        foreach (var (sink, mark) in header.SinkMarks)
        {
            w.String(sink);
            w.Int64(mark.Commit);
            w.Int64(mark.Length);
        }

        w.Int32(shards.Count);
        foreach (var shard in shards)
        {
            w.Int32(shard.StateCount);
            w.Block(shard.State.Written);
        }

        w.Int32(outputs.Count);
        foreach (var output in outputs)
        {
            w.Byte((byte)((byte)output.Kind | (output.Newest ? 0 : NotNewest)));
            w.String(output.Stream);
            w.Int64(output.TimeMicros);
            w.Int32(output.Revision);
            w.Block(output.Json.Span);
        }

        var position = _log.Append(w.Written);
        _log.Flush();
        return position;
    }

    /// <summary>Reads every commit; returns the newest header, or null for an empty log.</summary>
    public CommitHeader? Restore(Dictionary<byte[], RestoredStream> streams)
    {
        CommitHeader? newest = null;
        // After a compaction the log may begin with entries of streams whose snapshot comes later in it; those are history.
        var withoutSnapshot = new Dictionary<byte[], long>(KeyComparer.Instance);
        var buffer = new byte[1 << 20];
        var position = _log.Start;
        _restored.Clear();
        while (_log.TryRead(position, ref buffer, out var length, out var next))
        {
            var r = new ByteReader(buffer.AsSpan(0, length));
            newest = ReadHeader(ref r, position);
            _restored.Add((newest.Sequence, position));
            var shards = r.Int32();
            for (var s = 0; s < shards; s++)
            {
                var n = r.Int32();
                ReadStreams(r.Block(), n, position, streams, withoutSnapshot);
            }

            position = next;
        }

        foreach (var (key, at) in withoutSnapshot)
        {
            if (!streams.ContainsKey(key))
                throw new CorruptLogException($"State entries of {Encoding.UTF8.GetString(key)} at position {at} have no snapshot.");
        }

        return newest;
    }

    /// <summary>
    /// The outputs of the restored commits after <paramref name="after"/>, oldest first. Begins at the first of them, since a compaction
    /// may delete what lies before it meanwhile.
    /// </summary>
    public IEnumerable<(long Commit, IReadOnlyList<OutputRecord> Outputs)> OutputsAfter(long after, long upTo)
    {
        var buffer = new byte[1 << 20];
        var first = _restored.FindIndex(c => c.Commit > after);
        if (first < 0)
            yield break;
        var position = _restored[first].Position;
        while (_log.TryRead(position, ref buffer, out var length, out var next))
        {
            var (sequence, outputs) = ReadOutputs(buffer.AsSpan(0, length), position, after);
            if (sequence > upTo)
                yield break;
            if (sequence > after)
                yield return (sequence, outputs);
            position = next;
        }
    }

    /// <summary>Deletes segments all of whose streams have newer snapshots and whose outputs every sink has.</summary>
    public void Compact(long oldestSnapshot, long deliveredPosition) => _log.TruncateBefore(Math.Min(oldestSnapshot, deliveredPosition));

    public void Dispose() => _log.Dispose();

    private static CommitHeader ReadHeader(ref ByteReader r, long position)
    {
        if (r.Byte() is var kind && kind != KindCommit)
            throw new CorruptLogException($"Unknown state record kind {kind} at position {position}.");
        var header = new CommitHeader { Sequence = r.Int64(), JournalNext = r.Int64() };
        for (var i = 0; i < header.Clocks.Length; i++)
            header.Clocks[i] = r.Int64();
        for (var n = r.Int32(); n > 0; n--)
            header.ActiveVersions[r.String()] = r.Int32();
        for (var n = r.Int32(); n > 0; n--)
            header.SourcePositions[r.String()] = r.String();
        for (var n = r.Int32(); n > 0; n--)
            header.SinkMarks[r.String()] = new SinkMark(r.Int64(), r.Int64());
        return header;
    }

    private static (long Sequence, IReadOnlyList<OutputRecord> Outputs) ReadOutputs(ReadOnlySpan<byte> record, long position, long after)
    {
        var r = new ByteReader(record);
        var header = ReadHeader(ref r, position);
        if (header.Sequence <= after)
            return (header.Sequence, []);
        for (var n = r.Int32(); n > 0; n--)
        {
            _ = r.Int32();
            _ = r.Block();
        }

        var outputs = new OutputRecord[r.Int32()];
        for (var i = 0; i < outputs.Length; i++)
        {
            var kind = r.Byte();
            outputs[i] = new OutputRecord((OutputKind)(kind & ~NotNewest), r.String(), r.Int64(), r.Int32(), r.Block().ToArray(), (kind & NotNewest) == 0);
        }

        return (header.Sequence, outputs);
    }

    /// <summary>Keeps, per stream, its latest snapshot and the entries after it, still encoded.</summary>
    private static void ReadStreams(ReadOnlySpan<byte> blob, int count, long position, Dictionary<byte[], RestoredStream> streams, Dictionary<byte[], long> withoutSnapshot)
    {
        var r = new ByteReader(blob);
        for (var i = 0; i < count; i++)
        {
            var kind = r.Byte();
            var key = r.Block().ToArray();
            var profile = r.String();
            var body = r.Block().ToArray();
            if (kind == Shard.SnapshotRecord)
            {
                streams[key] = new RestoredStream { Key = key, Profile = profile, Snapshot = body, SnapshotPosition = position };
            }
            else
            {
                if (streams.TryGetValue(key, out var stream))
                    stream.Entries.Add(body);
                else
                    withoutSnapshot.TryAdd(key, position);
            }
        }
    }
}
