using Microsoft.Win32.SafeHandles;
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

    /// <summary>Where the commit's outputs lie in the state log, or −1 if it has none. What a crash left of another attempt isn't meant.</summary>
    public long OutputsAt { get; set; } = -1;

    /// <summary>[64] partition clocks, Unix microseconds.</summary>
    public long[] Clocks { get; } = [.. Enumerable.Repeat(long.MinValue, VirtualPartition.Count)];

    public SortedDictionary<string, int> ActiveVersions { get; } = new(StringComparer.Ordinal);

    public SortedDictionary<string, string> SourcePositions { get; } = new(StringComparer.Ordinal);

    public SortedDictionary<string, SinkMark> SinkMarks { get; } = new(StringComparer.Ordinal);
}

/// <summary>One commit as it was read back.</summary>
/// <param name="States">Per shard of that time how many streams, and their encoded states; valid until the next but one is read.</param>
internal readonly record struct StoredCommit(CommitHeader Header, IReadOnlyList<(int Count, ReadOnlyMemory<byte> Bytes)> States);

/// <summary>
/// Commits on local disk. A commit is two records, flushed together: first the results (the outbox), if there are any, then input
/// position, clocks, versions and the state of the touched streams. The log is cut at the first record that isn't whole, so the second
/// never stands without the first; alone, the first counts for nothing. A restore passes over the results.
/// <list type="bullet">
/// <item>outputs: <c>[kind u8 = 2][version u8][sequence i64][n × {kind u8, stream, time i64, revision i32, json block}]</c></item>
/// <item>commit: <c>[kind u8 = 1][version u8][sequence i64][journal next i64][position of the outputs i64][64 × clock i64][n × {profile, version i32}][n × {source,
/// position}][n × {sink, commit i64, length i64}][n × {count i32, state records block}]</c></item>
/// </list>
/// The i-th of n blocks of state has streams of partitions ≡ i mod n. Counts are i32, strings and blocks length-prefixed. Commits are numbered without gaps. Old segments are deleted once every stream has
/// a newer snapshot and every sink has their results.
/// </summary>
internal sealed class StateLog : IDisposable
{
    private const byte KindCommit = 1;
    private const byte KindOutputs = 2;
    private const byte Version = 2;

    /// <summary>Added to the kind of an output that isn't its stream's newest.</summary>
    private const byte NotNewest = 0x80;

    private readonly RecordLog _log;
    private readonly ByteWriter _record = new();
    private readonly Lock _gate = new();
    private readonly List<(long Commit, long Position)> _commits = [];

    public StateLog(string directory, long segmentBytes, Action<SafeFileHandle>? sync = null, WriteAt? write = null) => _log = new RecordLog(directory, segmentBytes, sync, write);

    public long Bytes => _log.Bytes;

    public long End => _log.End;

    /// <summary>Streams with snapshots in commits before this one hold back the deletion of the oldest segment; null if there is only one.</summary>
    public long? CompactBefore
    {
        get
        {
            if (_log.SecondSegmentStart is not { } start)
                return null;
            lock (_gate)
            {
                foreach (var (commit, position) in _commits)
                {
                    if (position >= start)
                        return commit;
                }
            }

            return null;
        }
    }

    /// <summary>The oldest commit that can be read back, or null for an empty log.</summary>
    public long? OldestCommit
    {
        get
        {
            lock (_gate)
                return _commits.Count > 0 ? _commits[0].Commit : null;
        }
    }

    /// <summary>Appends a commit and waits for the disk.</summary>
    public void Commit(CommitHeader header, IReadOnlyList<ShardOutput> shards, IReadOnlyList<OutputRecord> outputs)
    {
        header.OutputsAt = outputs.Count > 0 ? StageOutputs(header.Sequence, outputs) : -1;
        var w = _record;
        w.Clear();
        WriteHeader(w, header);
        w.Int32(shards.Count);
        foreach (var shard in shards)
        {
            w.Int32(shard.StateCount);
            w.Block(shard.State.Written);
        }

        var staged = _log.Stage(w.Written);
        _log.Flush();
        lock (_gate)
            _commits.Add((header.Sequence, header.OutputsAt < 0 ? staged : header.OutputsAt));
    }

    /// <summary>Takes back what a commit that failed for want of room has left.</summary>
    public void Undo() => _log.Undo();

    /// <summary>Every commit, oldest first; may be read more than once.</summary>
    public IEnumerable<StoredCommit> Read()
    {
        // Two, so that a commit can be worked on while the next is read.
        var (buffer, other) = (new byte[1 << 20], new byte[1 << 20]);
        var position = _log.Start;
        var last = 0L;
        lock (_gate)
            _commits.Clear();
        while (_log.TryReadKind(position, out var kind, out var next))
        {
            if (kind == KindOutputs)
            {
                position = next;
                continue;
            }

            if (!_log.TryRead(position, ref buffer, out var length, out next))
                throw new CorruptLogException($"The commit at position {position} has gone.");
            var (header, states) = ReadCommit(buffer.AsMemory(0, length), position);
            if (last != 0 && header.Sequence != last + 1)
                throw new CorruptLogException($"Commit {header.Sequence} at position {position} follows commit {last}: what lies between is damaged.");
            last = header.Sequence;
            lock (_gate)
                _commits.Add((last, header.OutputsAt < _log.Start ? position : header.OutputsAt));
            yield return new StoredCommit(header, states);
            (buffer, other) = (other, buffer);
            position = next;
        }
    }

    /// <summary>
    /// The outputs of the commits after <paramref name="after"/> that <see cref="Read"/> found, oldest first. Begins at the first of
    /// them, since a compaction may delete what lies before it meanwhile.
    /// </summary>
    public IEnumerable<(long Commit, IReadOnlyList<OutputRecord> Outputs)> OutputsAfter(long after, long upTo)
    {
        long position;
        lock (_gate)
        {
            var first = _commits.FindIndex(c => c.Commit > after);
            if (first < 0 || _commits[first].Commit > upTo)
                return [];
            position = _commits[first].Position;
        }

        return OutputsFrom(position, upTo);
    }

    /// <summary>Deletes whole segments before the commits given: every stream has a snapshot in the first or later, every sink has what lies before the second.</summary>
    public void Compact(long oldestSnapshot, long undelivered)
    {
        lock (_gate)
        {
            var keep = Math.Min(oldestSnapshot, undelivered);
            var position = _commits.Find(c => c.Commit >= keep) is { Commit: > 0 } first ? first.Position : _commits[^1].Position;
            _log.TruncateBefore(position);
            _commits.RemoveRange(0, Math.Max(0, _commits.FindIndex(c => c.Position >= _log.Start)));
        }
    }

    public void Dispose() => _log.Dispose();

    private long StageOutputs(long sequence, IReadOnlyList<OutputRecord> outputs)
    {
        var w = _record;
        w.Clear();
        w.Byte(KindOutputs);
        w.Byte(Version);
        w.Int64(sequence);
        w.Int32(outputs.Count);
        for (var i = 0; i < outputs.Count; i++)
        {
            var output = outputs[i];
            w.Byte((byte)((byte)output.Kind | (output.Newest ? 0 : NotNewest)));
            w.String(output.Stream);
            w.Int64(output.TimeMicros);
            w.Int32(output.Revision);
            w.Block(output.Json.Span);
        }

        return _log.Stage(w.Written);
    }

    private IEnumerable<(long Commit, IReadOnlyList<OutputRecord> Outputs)> OutputsFrom(long position, long upTo)
    {
        var buffer = new byte[1 << 20];
        IReadOnlyList<OutputRecord> outputs = [];
        var outputsAt = -1L;
        while (_log.TryRead(position, ref buffer, out var length, out var next))
        {
            if (buffer[0] == KindOutputs)
            {
                (outputsAt, outputs) = (position, ReadOutputs(buffer.AsSpan(0, length), position));
            }
            else
            {
                var header = HeaderOf(buffer.AsSpan(0, length), position);
                if (header.Sequence > upTo)
                    yield break;
                yield return (header.Sequence, header.OutputsAt == outputsAt ? outputs : []);
            }

            position = next;
        }
    }

    private static void CheckVersion(byte version, string what, long position)
    {
        if (version != Version)
            throw new CorruptLogException($"{what} at position {position} of the state log has format version {version}; this build reads version {Version}.");
    }

    private static (CommitHeader Header, List<(int Count, ReadOnlyMemory<byte> Bytes)> States) ReadCommit(ReadOnlyMemory<byte> record, long position)
    {
        var r = new ByteReader(record.Span);
        var header = ReadHeader(ref r, position);
        var states = new List<(int, ReadOnlyMemory<byte>)>();
        for (var n = r.Int32(); n > 0; n--)
        {
            var count = r.Int32();
            var bytes = r.Block();
            states.Add((count, record.Slice(r.Position - bytes.Length, bytes.Length)));
        }

        return (header, states);
    }

    private static CommitHeader HeaderOf(ReadOnlySpan<byte> record, long position)
    {
        var r = new ByteReader(record);
        return ReadHeader(ref r, position);
    }

    internal static void WriteHeader(ByteWriter w, CommitHeader header)
    {
        w.Byte(KindCommit);
        w.Byte(Version);
        w.Int64(header.Sequence);
        w.Int64(header.JournalNext);
        w.Int64(header.OutputsAt);
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
    }

    internal static CommitHeader ReadHeader(ref ByteReader r, long position)
    {
        if (r.Byte() is var kind && kind != KindCommit)
            throw new CorruptLogException($"Unknown state record kind {kind} at position {position}.");
        CheckVersion(r.Byte(), "The commit", position);
        var header = new CommitHeader { Sequence = r.Int64(), JournalNext = r.Int64(), OutputsAt = r.Int64() };
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

    private static OutputRecord[] ReadOutputs(ReadOnlySpan<byte> record, long position)
    {
        var r = new ByteReader(record);
        _ = r.Byte();
        CheckVersion(r.Byte(), "The outbox record", position);
        _ = r.Int64();
        var outputs = new OutputRecord[r.Int32()];
        for (var i = 0; i < outputs.Length; i++)
        {
            var kind = r.Byte();
            outputs[i] = new OutputRecord((OutputKind)(kind & ~NotNewest), r.String(), r.Int64(), r.Int32(), r.Block().ToArray(), (kind & NotNewest) == 0);
        }

        return outputs;
    }
}
