using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace StreamLstm.Runtime.Storage;

/// <summary>A stored file that can't be trusted; the message names file and position.</summary>
public sealed class CorruptLogException(string message) : IOException(message);

/// <summary>
/// An append-only log of records in segment files: <c>[length u32][CRC-32C u32][payload]</c>, little-endian. A segment begins with
/// <c>"SLG1"</c>, a format version and the log position of its first record, and carries that position in its name. Positions are
/// byte offsets over all segments (without headers), so they never repeat. One writer; readers may read anything below the end
/// that the writer has announced.
/// A torn record at the very end (a crash during a write, zeros after a power cut) is cut off on opening; damage anywhere else is an
/// error. Records are never empty, because eight zero bytes would pass for an empty one.
/// </summary>
internal sealed class RecordLog : IDisposable
{
    private const int HeaderBytes = 16;
    private const int FrameBytes = 8;
    private const uint Version = 2;
    private static ReadOnlySpan<byte> Magic => "SLG1"u8;

    private readonly string _directory;
    private readonly long _segmentBytes;
    private readonly Lock _gate = new();
    private readonly SortedList<long, SafeFileHandle> _segments = [];
    private long _end;

    public RecordLog(string directory, long segmentBytes)
    {
        _directory = directory;
        _segmentBytes = segmentBytes;
        Directory.CreateDirectory(directory);
        foreach (var path in Directory.GetFiles(directory, "*.log"))
        {
            var start = ReadHeader(path, out var handle);
            if (handle is null)
            {
                // A crash between creating a segment and writing its header leaves a short file without records.
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

    /// <summary>Appends without waiting for the disk; returns the record's position.</summary>
    public long Append(ReadOnlySpan<byte> payload)
    {
        if (payload.IsEmpty)
            throw new ArgumentException("A record has at least one byte.", nameof(payload));
        var position = _end;
        SafeFileHandle handle;
        long start;
        lock (_gate)
        {
            start = _segments.GetKeyAtIndex(_segments.Count - 1);
            handle = _segments.GetValueAtIndex(_segments.Count - 1);
            if (position - start > 0 && position - start + payload.Length > _segmentBytes)
            {
                RandomAccess.FlushToDisk(handle);
                handle = AddSegment(position);
                start = position;
            }
        }

        Span<byte> frame = stackalloc byte[FrameBytes];
        BinaryPrimitives.WriteUInt32LittleEndian(frame, (uint)payload.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(frame[4..], Crc(payload));
        var offset = HeaderBytes + position - start;
        RandomAccess.Write(handle, frame, offset);
        RandomAccess.Write(handle, payload, offset + FrameBytes);
        Volatile.Write(ref _end, position + FrameBytes + payload.Length);
        return position;
    }

    /// <summary>Returns once everything appended is on stable storage.</summary>
    public void Flush()
    {
        SafeFileHandle handle;
        lock (_gate)
            handle = _segments.GetValueAtIndex(_segments.Count - 1);
        RandomAccess.FlushToDisk(handle);
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
        length = (int)BinaryPrimitives.ReadUInt32LittleEndian(frame);
        if (length <= 0 || position + FrameBytes + length > End)
            throw new CorruptLogException($"{_directory}: impossible record length {length} at position {position}.");
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

        if (Crc(buffer.AsSpan(0, length)) != BinaryPrimitives.ReadUInt32LittleEndian(frame[4..]))
            throw new CorruptLogException($"{_directory}: checksum mismatch at position {position}.");
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
    internal static uint Crc(ReadOnlySpan<byte> data)
    {
        var crc = uint.MaxValue;
        foreach (var word in MemoryMarshal.Cast<byte, ulong>(data[..(data.Length & ~7)]))
            crc = BitOperations.Crc32C(crc, word);
        foreach (var b in data[(data.Length & ~7)..])
            crc = BitOperations.Crc32C(crc, b);
        return ~crc;
    }

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

    private SafeFileHandle AddSegment(long start)
    {
        var handle = File.OpenHandle(SegmentPath(start), FileMode.Create, FileAccess.ReadWrite, FileShare.Read);
        Span<byte> header = stackalloc byte[HeaderBytes];
        Magic.CopyTo(header);
        BinaryPrimitives.WriteUInt32LittleEndian(header[4..], Version);
        BinaryPrimitives.WriteInt64LittleEndian(header[8..], start);
        RandomAccess.Write(handle, header, 0);
        RandomAccess.FlushToDisk(handle);
        DirectorySync.Flush(_directory);
        _segments.Add(start, handle);
        return handle;
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

        if (!header[..4].SequenceEqual(Magic))
            throw new CorruptLogException($"{path}: not a log segment.");
        var version = BinaryPrimitives.ReadUInt32LittleEndian(header[4..]);
        if (version != Version)
            throw new CorruptLogException($"{path}: format version {version}; this build reads version {Version}.");
        return BinaryPrimitives.ReadInt64LittleEndian(header[8..]);
    }

    private long RecoverTail()
    {
        var start = _segments.GetKeyAtIndex(_segments.Count - 1);
        var handle = _segments.GetValueAtIndex(_segments.Count - 1);
        var length = RandomAccess.GetLength(handle);
        long offset = HeaderBytes;
        var frame = new byte[FrameBytes];
        var buffer = new byte[64 * 1024];
        while (offset < length)
        {
            if (offset + FrameBytes > length)
                break;
            ReadFully(handle, frame, offset);
            var size = (long)BinaryPrimitives.ReadUInt32LittleEndian(frame);
            if (size == 0 || offset + FrameBytes + size > length)
            {
                if (IsFollowedByRecords(handle, offset, length))
                    throw new CorruptLogException($"{_directory}: impossible record length {size} at position {start + offset - HeaderBytes}, with records after it.");
                break;
            }

            if (buffer.Length < size)
                buffer = new byte[size];
            ReadFully(handle, buffer.AsSpan(0, (int)size), offset + FrameBytes);
            if (Crc(buffer.AsSpan(0, (int)size)) != BinaryPrimitives.ReadUInt32LittleEndian(frame.AsSpan(4)))
            {
                if (offset + FrameBytes + size < length && !IsZero(handle, offset + FrameBytes + size, length))
                    throw new CorruptLogException($"{_directory}: checksum mismatch at position {start + offset - HeaderBytes}, with records after it.");
                break;
            }

            offset += FrameBytes + size;
        }

        if (offset < length)
        {
            RandomAccess.SetLength(handle, offset);
            RandomAccess.FlushToDisk(handle);
        }

        return start + offset - HeaderBytes;
    }

    /// <summary>
    /// Tells a damaged length field from a torn write: after a torn write nothing readable follows, after damage the next record does,
    /// and from there the lengths lead exactly to the end of the file.
    /// </summary>
    private static bool IsFollowedByRecords(SafeFileHandle handle, long offset, long length)
    {
        var tail = new byte[length - offset];
        ReadFully(handle, tail, offset);
        for (var at = 1; at + FrameBytes < tail.Length; at++)
        {
            var next = at;
            while (next + FrameBytes < tail.Length && BinaryPrimitives.ReadUInt32LittleEndian(tail.AsSpan(next)) is > 0 and var size && size <= tail.Length - next - FrameBytes)
                next += FrameBytes + (int)size;
            if (next == tail.Length && Crc(tail.AsSpan(at + FrameBytes, BinaryPrimitives.ReadInt32LittleEndian(tail.AsSpan(at)))) == BinaryPrimitives.ReadUInt32LittleEndian(tail.AsSpan(at + 4)))
                return true;
        }

        return false;
    }

    private static bool IsZero(SafeFileHandle handle, long offset, long end)
    {
        var bytes = new byte[end - offset];
        ReadFully(handle, bytes, offset);
        return !bytes.AsSpan().ContainsAnyExcept((byte)0);
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
