namespace StreamLstm.Connectors.Mqtt;

/// <summary>The upper four bits of a packet's first byte.</summary>
internal enum MqttPacketType : byte
{
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

/// <param name="Header">Type and flags.</param>
/// <param name="Body">What follows the length field; of an oversized PUBLISH only the head. Valid until the next fill.</param>
/// <param name="Length">The packet's remaining length as it says.</param>
internal readonly record struct MqttFrame(byte Header, ReadOnlyMemory<byte> Body, int Length)
{
    public MqttPacketType Type => (MqttPacketType)(Header >> 4);

    public int Flags => Header & 0x0F;

    public bool IsCut => Body.Length < Length;
}

/// <summary>
/// Cuts the byte stream into packets. The buffer is one contiguous array that never grows beyond the largest packet accepted: of a
/// longer PUBLISH the head is handed out and the rest passes by unbuffered; any other packet of that length is a protocol error.
/// </summary>
internal sealed class MqttFrameReader(int maxPayloadBytes)
{
    /// <summary>Largest value of the four-byte length field.</summary>
    public const int MaxRemainingLength = 268_435_455;

    /// <summary>
    /// Topic (at most 65,537 bytes), packet id, 64 KiB of properties, and the head of the payload. Packets up to this much longer
    /// than the payload limit are whole, so that topic and packet id of a cut one are always there.
    /// </summary>
    public const int HeadBytes = 2 + 65_535 + 2 + 4 + 65_536 + MqttMessage.OversizedHeadBytes;

    private const int MinFree = 4096;

    private readonly long _maxWholeBytes = (long)maxPayloadBytes + HeadBytes;
    private byte[] _buffer = new byte[64 * 1024];
    private int _start;
    private int _end;
    private int _needed;
    private int _skip;

    /// <summary>Room for the next bytes of the stream; frames handed out before become invalid.</summary>
    public Memory<byte> GetMemory()
    {
        if (_start > 0 && (_start == _end || _start + Math.Max(_needed, _end - _start + MinFree) > _buffer.Length))
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            _end -= _start;
            _start = 0;
        }

        if (_buffer.Length < _start + _needed || _buffer.Length == _end)
        {
            var capacity = (int)Math.Min(Math.Max((long)_buffer.Length * 2, _needed + MinFree), _maxWholeBytes + MinFree + 5);
            Array.Resize(ref _buffer, Math.Max(capacity, _start + _needed + MinFree));
        }

        return _buffer.AsMemory(_end);
    }

    public void Advance(int count) => _end += count;

    /// <summary>False when more bytes are needed.</summary>
    /// <exception cref="MqttProtocolException">What follows can't be a packet.</exception>
    public bool TryRead(out MqttFrame frame)
    {
        frame = default;
        var skipped = Math.Min(_skip, _end - _start);
        _start += skipped;
        _skip -= skipped;
        _needed = 0;

        var bytes = _buffer.AsSpan(_start, _end - _start);
        if (_skip > 0 || bytes.Length < 2)
            return false;

        var length = 0;
        var header = 1;
        byte b;
        do
        {
            if (header == 5)
                throw new MqttProtocolException("length field of more than four bytes");
            if (header == bytes.Length)
                return false;
            b = bytes[header];
            length |= (b & 0x7F) << (7 * (header - 1));
            header++;
        }
        while ((b & 0x80) != 0);

        var keep = length;
        if (length > _maxWholeBytes)
        {
            if (bytes[0] >> 4 != (int)MqttPacketType.Publish)
                throw new MqttProtocolException($"packet type {bytes[0] >> 4} of {length} bytes");
            keep = HeadBytes;
        }

        if (bytes.Length - header < keep)
        {
            _needed = header + keep;
            return false;
        }

        frame = new MqttFrame(bytes[0], _buffer.AsMemory(_start + header, keep), length);
        _start += header + keep;
        _skip = length - keep;
        return true;
    }
}
