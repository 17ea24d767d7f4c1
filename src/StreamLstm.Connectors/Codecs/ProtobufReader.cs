using System.Buffers.Binary;

namespace StreamLstm.Connectors.Codecs;

/// <summary>
/// Reads the fields of one message of the Protocol Buffers wire format
/// (https://protobuf.dev/programming-guides/encoding/) in order. Damage ends the reading and sets <see cref="IsBroken"/>.
/// </summary>
internal ref struct ProtobufReader(ReadOnlySpan<byte> message)
{
    private ReadOnlySpan<byte> _rest = message;

    /// <summary>Number of the field read last.</summary>
    public int Field { get; private set; }

    /// <summary>Of a varint or fixed-width field: its bits.</summary>
    public ulong Bits { get; private set; }

    /// <summary>Of a length-delimited field.</summary>
    public ReadOnlySpan<byte> Bytes { get; private set; }

    public bool IsBroken { get; private set; }

    public readonly float Single => BitConverter.UInt32BitsToSingle((uint)Bits);

    public readonly double Double => BitConverter.UInt64BitsToDouble(Bits);

    public bool Read()
    {
        if (_rest.IsEmpty || IsBroken)
            return false;
        if (!TryVarint(out var tag) || tag >> 3 is 0 or > 536_870_911)
            return Break();
        Field = (int)(tag >> 3);
        Bytes = default;
        switch (tag & 7)
        {
            case 0:
                if (!TryVarint(out var varint))
                    return Break();
                Bits = varint;
                return true;
            case 1:
                if (_rest.Length < 8)
                    return Break();
                Bits = BinaryPrimitives.ReadUInt64LittleEndian(_rest);
                _rest = _rest[8..];
                return true;
            case 2:
                if (!TryVarint(out var length) || length > (ulong)_rest.Length)
                    return Break();
                Bytes = _rest[..(int)length];
                Bits = 0;
                _rest = _rest[(int)length..];
                return true;
            case 5:
                if (_rest.Length < 4)
                    return Break();
                Bits = BinaryPrimitives.ReadUInt32LittleEndian(_rest);
                _rest = _rest[4..];
                return true;
            default:
                return Break(); // groups are long gone, 6 and 7 don't exist
        }
    }

    private bool Break()
    {
        IsBroken = true;
        return false;
    }

    private bool TryVarint(out ulong value)
    {
        value = 0;
        for (var i = 0; i < 10 && i < _rest.Length; i++)
        {
            value |= (ulong)(_rest[i] & 0x7F) << (7 * i);
            if (_rest[i] < 0x80)
            {
                _rest = _rest[(i + 1)..];
                return true;
            }
        }

        return false;
    }
}
