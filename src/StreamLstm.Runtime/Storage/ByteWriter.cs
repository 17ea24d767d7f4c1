using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;

namespace StreamLstm.Runtime.Storage;

/// <summary>A growing little-endian buffer for log records. Reused; not thread-safe.</summary>
internal sealed class ByteWriter : IBufferWriter<byte>
{
    private const int SmallestTrimmed = 4 << 20;
    private byte[] _buffer = new byte[1024];

    public int Length { get; private set; }

    public ReadOnlySpan<byte> Written => _buffer.AsSpan(0, Length);

    public ReadOnlyMemory<byte> Memory(int start, int length) => _buffer.AsMemory(start, length);

    public void Clear()
    {
        // Room for a peak, such as ten thousand streams born in one commit, isn't kept for what comes every day. Cleared twice says nothing.
        if (_buffer.Length >= SmallestTrimmed && Length > 0 && Length < _buffer.Length / 4)
            _buffer = new byte[_buffer.Length / 4];
        Length = 0;
    }

    /// <summary>Takes back what was written after a length.</summary>
    public void Truncate(int length) => Length = length;

    /// <summary>Room for <paramref name="n"/> bytes, written once <see cref="Advance"/> says so.</summary>
    public Span<byte> GetSpan(int n = 0)
    {
        Grow(Math.Max(n, 256));
        return _buffer.AsSpan(Length);
    }

    public Memory<byte> GetMemory(int n = 0)
    {
        Grow(Math.Max(n, 256));
        return _buffer.AsMemory(Length);
    }

    public void Advance(int n) => Length += n;

    public void Byte(byte v) => Reserve(1)[0] = v;

    public void UInt16(ushort v) => BinaryPrimitives.WriteUInt16LittleEndian(Reserve(2), v);

    public void Int32(int v) => BinaryPrimitives.WriteInt32LittleEndian(Reserve(4), v);

    public void Int64(long v) => BinaryPrimitives.WriteInt64LittleEndian(Reserve(8), v);

    public void Double(double v) => BinaryPrimitives.WriteDoubleLittleEndian(Reserve(8), v);

    public void Bytes(ReadOnlySpan<byte> v) => v.CopyTo(Reserve(v.Length));

    /// <summary>A text of ASCII characters, without its length.</summary>
    public void Ascii(string v) => Encoding.ASCII.GetBytes(v, Reserve(v.Length));

    /// <summary>Length-prefixed bytes.</summary>
    public void Block(ReadOnlySpan<byte> v)
    {
        Int32(v.Length);
        Bytes(v);
    }

    public void String(string v)
    {
        Grow(4 + Encoding.UTF8.GetMaxByteCount(v.Length));
        var n = Encoding.UTF8.GetBytes(v, _buffer.AsSpan(Length + 4));
        Int32(n);
        Length += n;
    }

    public void Floats(ReadOnlySpan<float> v) => Bytes(MemoryMarshal.AsBytes(v));

    public void Halves(ReadOnlySpan<Half> v) => Bytes(MemoryMarshal.AsBytes(v));

    /// <summary>Overwrites an earlier byte.</summary>
    public void Patch(int at, byte v) => _buffer[at] = v;

    /// <summary>Overwrites an earlier Int32, for counts known only afterwards.</summary>
    public void PatchInt32(int at, int v) => BinaryPrimitives.WriteInt32LittleEndian(_buffer.AsSpan(at), v);

    private Span<byte> Reserve(int n)
    {
        Grow(n);
        var span = _buffer.AsSpan(Length, n);
        Length += n;
        return span;
    }

    private void Grow(int n)
    {
        if (Length + n > _buffer.Length)
            Array.Resize(ref _buffer, Math.Max(_buffer.Length * 2, Length + n));
    }
}

/// <summary>Reads what <see cref="ByteWriter"/> wrote; a record that ends early is an error, never a default.</summary>
internal ref struct ByteReader(ReadOnlySpan<byte> data)
{
    private readonly ReadOnlySpan<byte> _data = data;
    private int _at;

    public readonly int Position => _at;

    public readonly int Left => _data.Length - _at;

    public readonly bool AtEnd => _at == _data.Length;

    public byte Byte() => Take(1)[0];

    public ushort UInt16() => BinaryPrimitives.ReadUInt16LittleEndian(Take(2));

    public int Int32() => BinaryPrimitives.ReadInt32LittleEndian(Take(4));

    public long Int64() => BinaryPrimitives.ReadInt64LittleEndian(Take(8));

    public double Double() => BinaryPrimitives.ReadDoubleLittleEndian(Take(8));

    public ReadOnlySpan<byte> Block() => Take(Int32());

    public string String() => Encoding.UTF8.GetString(Block());

    public ReadOnlySpan<byte> Bytes(int n) => Take(n);

    public void Floats(Span<float> into) => Take(into.Length * 4).CopyTo(MemoryMarshal.AsBytes(into));

    public void Halves(Span<Half> into) => Take(into.Length * 2).CopyTo(MemoryMarshal.AsBytes(into));

    private ReadOnlySpan<byte> Take(int n)
    {
        if (n < 0 || _at + n > _data.Length)
            throw new CorruptLogException($"A record ends early: {n} bytes wanted at {_at} of {_data.Length}.");
        var span = _data.Slice(_at, n);
        _at += n;
        return span;
    }
}
