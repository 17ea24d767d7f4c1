using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace StreamLstm.Runtime.Storage;

internal delegate void WriteAt(SafeFileHandle file, ReadOnlySpan<byte> bytes, long offset);

/// <summary>A stored file that can't be trusted; the message names file and position.</summary>
public sealed class CorruptLogException(string message) : IOException(message);

/// <summary>
/// An append-only log of records in segment files: <c>[length u32][unsynced u32][CRC-32C of payload u32][CRC-32C of head u32][payload]</c>,
/// little-endian. A segment begins with <c>"SLG1"</c>, a format version and the log position of its first record, and carries that
/// position in its name. Positions are byte offsets over all segments (without headers), so they never repeat. One writer; readers may
/// read anything below the end that the writer has announced.
/// <para>
/// <c>unsynced</c> counts the bytes before the record that were not known to be on stable storage when it was written, so every record
/// tells how far the log was durable. The records after the last flush may reach the disk in any order and in parts: on opening, the
/// log is cut off at the first record that is not whole, unless a later one tells that this place had been durable. Then it is damage,
/// and an error. The checksum of a head covers the record's position too, so nothing read at a wrong place passes for a record.
/// </para>
/// After a failed write nothing is accepted any more until what came after the last flush is taken back with <see cref="Undo"/>. A failed
/// flush is never repeated: the system may have dropped what it couldn't write and call the next one a success. What came after the last
/// good flush is written anew when the log is opened again, as what is read back then may stand in memory alone.
/// </summary>
internal sealed class RecordLog : IDisposable
{
    private const int HeaderBytes = 16;
    private const int FrameBytes = 16;
    private const int HeadCrcAt = 12;
    private const int StagingBytes = 256 * 1024;
    private const uint Version = 4;
    private static ReadOnlySpan<byte> Magic => "SLG1"u8;

    private readonly string _directory;
    private readonly long _segmentBytes;
    private readonly Lock _gate = new();
    private readonly SortedList<long, SafeFileHandle> _segments = [];
    private readonly Action<SafeFileHandle> _sync;
    private readonly WriteAt _write;
    private readonly byte[] _staged = new byte[StagingBytes];
    private int _stagedBytes;
    private long _end;
    private long _written;
    private long _synced;
    private bool _failed;
    private bool _lost;

    /// <param name="directory">Holds nothing but this log.</param>
    /// <param name="segmentBytes">A segment that has reached this length is followed by another.</param>
    /// <param name="sync">Brings a file's content to stable storage; null = fsync.</param>
    /// <param name="write">Writes at an offset; null = as it is.</param>
    public RecordLog(string directory, long segmentBytes, Action<SafeFileHandle>? sync = null, WriteAt? write = null)
    {
        _directory = directory;
        _segmentBytes = segmentBytes;
        _sync = sync ?? StableStorage.Flush;
        _write = write ?? RandomAccess.Write;
        Directory.CreateDirectory(directory);
        foreach (var path in Directory.GetFiles(directory, "*.log"))
        {
            var start = ReadHeader(path, out var handle);
            if (handle is null)
            {
                // A crash between creating a segment and syncing its header leaves a file without records: short, or all zeros.
                File.Delete(path);
                continue;
            }

            _segments.Add(start, handle);
        }

        if (_segments.Count == 0)
        {
            _end = 0;
            AddSegment(0);
        }
        else
        {
            for (var i = 0; i + 1 < _segments.Count; i++)
            {
                var length = RandomAccess.GetLength(_segments.GetValueAtIndex(i)) - HeaderBytes;
                if (_segments.GetKeyAtIndex(i) + length != _segments.GetKeyAtIndex(i + 1))
                    throw new CorruptLogException($"{directory}: a segment is missing or short between positions {_segments.GetKeyAtIndex(i)} and {_segments.GetKeyAtIndex(i + 1)}.");
            }

            _end = RecoverTail();
        }

        _written = _end;
        _synced = _end;
    }

    /// <summary>Position of the oldest record.</summary>
    public long Start
    {
        get
        {
            lock (_gate)
                return _segments.GetKeyAtIndex(0);
        }
    }

    /// <summary>Position after the last appended record.</summary>
    public long End => Volatile.Read(ref _end);

    /// <summary>Bytes on disk.</summary>
    public long Bytes => End - Start;

    /// <summary>Position at which the second-oldest segment begins, or null if there is only one.</summary>
    public long? SecondSegmentStart
    {
        get
        {
            lock (_gate)
                return _segments.Count > 1 ? _segments.GetKeyAtIndex(1) : null;
        }
    }

    /// <summary>Appends without waiting for the disk; returns the record's position. It may be read at once.</summary>
    public long Append(ReadOnlySpan<byte> payload)
    {
        var position = Stage(payload);
        WriteStaged();
        return position;
    }

    /// <summary>Appends a record that need not be readable before the next <see cref="Append"/> or <see cref="Flush"/>: many share one write.</summary>
    public long Stage(ReadOnlySpan<byte> payload)
    {
        if (payload.IsEmpty)
            throw new ArgumentException("A record has at least one byte.", nameof(payload));
        var position = _written + _stagedBytes;
        var start = LastStart();
        if (position - start > 0 && position - start + payload.Length > _segmentBytes)
        {
            Flush();
            lock (_gate)
                AddSegment(position);
        }

        if (_stagedBytes + FrameBytes + payload.Length > StagingBytes)
            WriteStaged();
        var head = _staged.AsSpan(_stagedBytes, FrameBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(head, (uint)payload.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(head[4..], checked((uint)(position - _synced)));
        BinaryPrimitives.WriteUInt32LittleEndian(head[8..], Crc(payload));
        BinaryPrimitives.WriteUInt32LittleEndian(head[HeadCrcAt..], HeadCrc(head, position));
        _stagedBytes += FrameBytes;
        if (FrameBytes + payload.Length <= StagingBytes)
        {
            payload.CopyTo(_staged.AsSpan(_stagedBytes));
            _stagedBytes += payload.Length;
        }
        else
        {
            Write(_staged.AsSpan(0, _stagedBytes), payload);
        }

        return position;
    }

    /// <summary>Returns once everything appended is on stable storage.</summary>
    public void Flush()
    {
        WriteStaged();
        if (_synced == _written)
            return;
        SafeFileHandle handle;
        lock (_gate)
            handle = _segments.GetValueAtIndex(_segments.Count - 1);
        _failed = _lost = true;
        Sync(handle);
        _failed = _lost = false;
        _synced = _written;
    }

    /// <summary>
    /// Takes back everything since the last successful flush, after a write that failed for want of room. Nobody may have read it.
    /// </summary>
    /// <param name="keepWritten">Only what wasn't written whole, for a log that is never flushed.</param>
    public void Undo(bool keepWritten = false)
    {
        if (_lost)
            throw Failed();
        var end = keepWritten ? _written : _synced;
        SafeFileHandle handle;
        long length;
        lock (_gate)
        {
            handle = _segments.GetValueAtIndex(_segments.Count - 1);
            length = HeaderBytes + end - _segments.GetKeyAtIndex(_segments.Count - 1);
        }

        RandomAccess.SetLength(handle, length);
        _stagedBytes = 0;
        _written = end;
        Volatile.Write(ref _end, end);
        _failed = false;
    }

    /// <summary>Reads the record at a position into <paramref name="buffer"/> (grown as needed); false at the end.</summary>
    public bool TryRead(long position, ref byte[] buffer, out int length, out long next)
    {
        length = 0;
        next = position;
        if (position >= End)
            return false;
        var (start, handle) = Segment(position);
        Span<byte> frame = stackalloc byte[FrameBytes];
        var offset = HeaderBytes + position - start;
        if (RandomAccess.Read(handle, frame, offset) < FrameBytes)
            throw new CorruptLogException($"{_directory}: no record at position {position}.");
        length = ReadHead(frame, position);
        if (buffer.Length < length)
            buffer = new byte[Math.Max(length, buffer.Length * 2)];
        var got = 0;
        while (got < length)
        {
            var n = RandomAccess.Read(handle, buffer.AsSpan(got, length - got), offset + FrameBytes + got);
            if (n == 0)
                throw new CorruptLogException($"{_directory}: record at position {position} ends early.");
            got += n;
        }

        if (Crc(buffer.AsSpan(0, length)) != BinaryPrimitives.ReadUInt32LittleEndian(frame[8..]))
            throw new CorruptLogException($"{_directory}: checksum mismatch at position {position}.");
        next = position + FrameBytes + length;
        return true;
    }

    /// <summary>
    /// First byte of the record at a position, and where the next begins, without reading the rest or proving it; false at the end. The
    /// head is proven, so the next position can be trusted, but the byte can't.
    /// </summary>
    public bool TryReadKind(long position, out byte kind, out long next)
    {
        kind = 0;
        next = position;
        if (position >= End)
            return false;
        var (start, handle) = Segment(position);
        Span<byte> frame = stackalloc byte[FrameBytes + 1];
        if (RandomAccess.Read(handle, frame, HeaderBytes + position - start) <= FrameBytes)
            throw new CorruptLogException($"{_directory}: no record at position {position}.");
        var length = ReadHead(frame, position);
        kind = frame[FrameBytes];
        next = position + FrameBytes + length;
        return true;
    }

    /// <summary>Deletes whole segments that lie before <paramref name="position"/>.</summary>
    public void TruncateBefore(long position)
    {
        lock (_gate)
        {
            while (_segments.Count > 1 && _segments.GetKeyAtIndex(1) <= position)
            {
                var start = _segments.GetKeyAtIndex(0);
                _segments.GetValueAtIndex(0).Dispose();
                _segments.RemoveAt(0);
                File.Delete(SegmentPath(start));
            }
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            foreach (var handle in _segments.Values)
                handle.Dispose();
            _segments.Clear();
        }
    }

    /// <summary>CRC-32C (Castagnoli), the polynomial that CPUs have an instruction for.</summary>
    /// <param name="before">The checksum of what comes before the data.</param>
    internal static uint Crc(ReadOnlySpan<byte> data, uint before = 0)
    {
        var crc = ~before;
        foreach (var word in MemoryMarshal.Cast<byte, ulong>(data[..(data.Length & ~7)]))
            crc = BitOperations.Crc32C(crc, word);
        foreach (var b in data[(data.Length & ~7)..])
            crc = BitOperations.Crc32C(crc, b);
        return ~crc;
    }

    /// <summary>Checksum of a record's position and the first twelve bytes of its head.</summary>
    private static uint HeadCrc(ReadOnlySpan<byte> head, long position)
    {
        var crc = BitOperations.Crc32C(uint.MaxValue, (ulong)position);
        crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(head));
        return ~BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt32LittleEndian(head[8..]));
    }

    /// <summary>The length of the record at a position.</summary>
    private int ReadHead(ReadOnlySpan<byte> frame, long position)
    {
        if (BinaryPrimitives.ReadUInt32LittleEndian(frame[HeadCrcAt..]) != HeadCrc(frame, position))
            throw new CorruptLogException($"{_directory}: damaged record head at position {position}.");
        var length = (int)BinaryPrimitives.ReadUInt32LittleEndian(frame);
        if (length <= 0 || position + FrameBytes + length > End)
            throw new CorruptLogException($"{_directory}: impossible record length {length} at position {position}.");
        return length;
    }

    private long LastStart()
    {
        lock (_gate)
            return _segments.GetKeyAtIndex(_segments.Count - 1);
    }

    private void WriteStaged()
    {
        if (_stagedBytes > 0 || _failed)
            Write(_staged.AsSpan(0, _stagedBytes), []);
    }

    private void Write(ReadOnlySpan<byte> staged, ReadOnlySpan<byte> more)
    {
        if (_failed)
            throw Failed();
        SafeFileHandle handle;
        long offset;
        lock (_gate)
        {
            handle = _segments.GetValueAtIndex(_segments.Count - 1);
            offset = HeaderBytes + _written - _segments.GetKeyAtIndex(_segments.Count - 1);
        }

        _failed = true;
        _write(handle, staged, offset);
        if (!more.IsEmpty)
            _write(handle, more, offset + staged.Length);
        _failed = false;
        _stagedBytes = 0;
        _written += staged.Length + more.Length;
        Volatile.Write(ref _end, _written);
    }

    private IOException Failed() => new($"{_directory}: an earlier write or flush failed; nothing is written until the log is opened again.");

    private void Sync(SafeFileHandle handle) => StableStorage.Flush(handle, _directory, _sync);

    private (long Start, SafeFileHandle Handle) Segment(long position)
    {
        lock (_gate)
        {
            for (var i = _segments.Count - 1; i >= 0; i--)
            {
                if (_segments.GetKeyAtIndex(i) <= position)
                    return (_segments.GetKeyAtIndex(i), _segments.GetValueAtIndex(i));
            }
        }

        throw new CorruptLogException($"{_directory}: position {position} was deleted; the oldest is {Start}.");
    }

    private void AddSegment(long start)
    {
        var handle = File.OpenHandle(SegmentPath(start), FileMode.Create, FileAccess.ReadWrite, FileShare.Read);
        Span<byte> header = stackalloc byte[HeaderBytes];
        Magic.CopyTo(header);
        BinaryPrimitives.WriteUInt32LittleEndian(header[4..], Version);
        BinaryPrimitives.WriteInt64LittleEndian(header[8..], start);
        _write(handle, header, 0);
        Sync(handle);
        DirectorySync.Flush(_directory);
        _segments.Add(start, handle);
    }

    private string SegmentPath(long start) => Path.Combine(_directory, start.ToString("D20", CultureInfo.InvariantCulture) + ".log");

    private static long ReadHeader(string path, out SafeFileHandle? handle)
    {
        handle = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.Read);
        Span<byte> header = stackalloc byte[HeaderBytes];
        if (RandomAccess.Read(handle, header, 0) < HeaderBytes)
        {
            handle.Dispose();
            handle = null;
            return 0;
        }

        if (!header.ContainsAnyExcept((byte)0) && IsZero(handle, HeaderBytes, RandomAccess.GetLength(handle)))
        {
            handle.Dispose();
            handle = null;
            return 0;
        }

        if (!header[..4].SequenceEqual(Magic))
            throw new CorruptLogException($"{path}: not a log segment.");
        var version = BinaryPrimitives.ReadUInt32LittleEndian(header[4..]);
        if (version != Version)
            throw new CorruptLogException($"{path}: format version {version}; this build reads version {Version}.");
        var start = BinaryPrimitives.ReadInt64LittleEndian(header[8..]);
        if (Path.GetFileNameWithoutExtension(path) != start.ToString("D20", CultureInfo.InvariantCulture))
            throw new CorruptLogException($"{path}: begins with position {start}, which is not its name.");
        return start;
    }

    private long RecoverTail()
    {
        var start = _segments.GetKeyAtIndex(_segments.Count - 1);
        var handle = _segments.GetValueAtIndex(_segments.Count - 1);
        var length = RandomAccess.GetLength(handle);
        long offset = HeaderBytes;
        var durable = start;
        var frame = new byte[FrameBytes];
        var buffer = new byte[64 * 1024];
        while (offset + FrameBytes <= length)
        {
            ReadFully(handle, frame, offset);
            var size = (long)BinaryPrimitives.ReadUInt32LittleEndian(frame);
            if (BinaryPrimitives.ReadUInt32LittleEndian(frame.AsSpan(HeadCrcAt)) != HeadCrc(frame, start + offset - HeaderBytes) || size > length - offset - FrameBytes)
                break;
            if (buffer.Length < size)
                buffer = new byte[size];
            ReadFully(handle, buffer.AsSpan(0, (int)size), offset + FrameBytes);
            if (Crc(buffer.AsSpan(0, (int)size)) != BinaryPrimitives.ReadUInt32LittleEndian(frame.AsSpan(8)))
                break;
            durable = Math.Max(durable, start + offset - HeaderBytes - BinaryPrimitives.ReadUInt32LittleEndian(frame.AsSpan(4)));
            offset += FrameBytes + size;
        }

        var end = start + offset - HeaderBytes;
        if (offset < length)
        {
            if (FindWitness(handle, start, offset, length) is { } witness)
                throw new CorruptLogException($"{_directory}: damaged record at position {end}, which had been durable when the record at position {witness} was written.");
            RandomAccess.SetLength(handle, offset);
        }

        // A killed process, or a failed flush, may have left whole records that only memory holds, perhaps as if they were on the disk
        // already: written once more, they are durable after this flush.
        Rewrite(handle, durable == start ? 0 : HeaderBytes + durable - start, offset, buffer);
        Sync(handle);
        return end;
    }

    private void Rewrite(SafeFileHandle handle, long from, long end, byte[] buffer)
    {
        while (from < end)
        {
            var part = buffer.AsSpan(0, (int)Math.Min(buffer.Length, end - from));
            ReadFully(handle, part, from);
            _write(handle, part, from);
            from += part.Length;
        }
    }

    /// <summary>
    /// Position of a record behind the first one that is not whole, written when that place was durable already; null if there is none.
    /// Every byte may begin one, since the lengths that lead there can't be trusted.
    /// </summary>
    private static long? FindWitness(SafeFileHandle handle, long start, long offset, long length)
    {
        var broken = start + offset - HeaderBytes;
        var window = new byte[(int)Math.Min(1 << 20, length - offset)];
        for (var from = offset; from + FrameBytes <= length;)
        {
            var n = (int)Math.Min(window.Length, length - from);
            ReadFully(handle, window.AsSpan(0, n), from);
            for (var at = 0; at + FrameBytes <= n; at++)
            {
                var head = window.AsSpan(at, FrameBytes);
                var position = start + from + at - HeaderBytes;
                var durable = position - BinaryPrimitives.ReadUInt32LittleEndian(head[4..]);
                if (durable > broken && BinaryPrimitives.ReadUInt32LittleEndian(head) > 0 && BinaryPrimitives.ReadUInt32LittleEndian(head[HeadCrcAt..]) == HeadCrc(head, position))
                    return position;
            }

            if (from + n == length)
                break;
            from += n - FrameBytes + 1;
        }

        return null;
    }

    private static bool IsZero(SafeFileHandle handle, long offset, long end)
    {
        var bytes = new byte[64 * 1024];
        for (; offset < end; offset += bytes.Length)
        {
            var part = bytes.AsSpan(0, (int)Math.Min(bytes.Length, end - offset));
            ReadFully(handle, part, offset);
            if (part.ContainsAnyExcept((byte)0))
                return false;
        }

        return true;
    }

    private static void ReadFully(SafeFileHandle handle, Span<byte> into, long offset)
    {
        while (into.Length > 0)
        {
            var n = RandomAccess.Read(handle, into, offset);
            if (n == 0)
                throw new EndOfStreamException("A log segment became shorter while it was read.");
            into = into[n..];
            offset += n;
        }
    }
}
