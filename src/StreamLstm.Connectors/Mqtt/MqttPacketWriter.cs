using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace StreamLstm.Connectors.Mqtt;

/// <summary>The packets a client sends, appended to a buffer.</summary>
internal static class MqttPacketWriter
{
    public static void Connect(ArrayBufferWriter<byte> target, MqttClientOptions options, MqttVersion version)
    {
        var body = new ArrayBufferWriter<byte>(256);
        String(body, "MQTT");
        Byte(body, (byte)version);

        var flags = options.CleanStart ? 0x02 : 0;
        if (options.Will is { } w)
            flags |= 0x04 | (w.Qos << 3) | (w.Retain ? 0x20 : 0);
        if (options.Password is not null)
            flags |= 0x40;
        if (options.Username is not null)
            flags |= 0x80;
        Byte(body, (byte)flags);
        UInt16(body, (ushort)options.KeepAlive.TotalSeconds);

        if (version == MqttVersion.V5)
        {
            // No maximum packet size is announced: the broker would then drop longer messages without a trace, whereas this client
            // reports them as oversized.
            Byte(body, 5 + 3 + 3);
            Byte(body, 0x11);
            UInt32(body, (uint)Math.Clamp(options.SessionExpiry.TotalSeconds, 0, uint.MaxValue));
            Byte(body, 0x21);
            UInt16(body, (ushort)options.ReceiveMaximum);
            Byte(body, 0x22);
            UInt16(body, MqttTopicAliases.Maximum);
        }

        String(body, options.ClientId);
        if (options.Will is { } will)
        {
            if (version == MqttVersion.V5)
                Byte(body, 0);
            String(body, will.Topic);
            Binary(body, will.Payload.Span);
        }

        if (options.Username is not null)
            String(body, options.Username);
        if (options.Password is not null)
            String(body, options.Password);

        Header(target, (byte)MqttPacketType.Connect << 4, body.WrittenCount);
        target.Write(body.WrittenSpan);
    }

    /// <summary>Bytes of the PUBLISH packet that <see cref="Publish"/> writes.</summary>
    public static long PublishBytes(int topicBytes, int payloadBytes, int qos, MqttVersion version)
    {
        var remaining = PublishRemaining(topicBytes, payloadBytes, qos, version);
        return 1 + VarIntBytes(remaining) + remaining;
    }

    /// <param name="packetId">Written for QoS 1 and 2.</param>
    public static void Publish(
        ArrayBufferWriter<byte> target, ReadOnlySpan<byte> topic, ReadOnlySpan<byte> payload, int qos, bool retain, bool duplicate, ushort packetId, MqttVersion version)
    {
        var flags = (qos << 1) | (retain ? 1 : 0) | (duplicate ? 8 : 0);
        Header(target, (byte)(((byte)MqttPacketType.Publish << 4) | flags), (int)PublishRemaining(topic.Length, payload.Length, qos, version));
        Binary(target, topic);
        if (qos > 0)
            UInt16(target, packetId);
        if (version == MqttVersion.V5)
            Byte(target, 0);
        target.Write(payload);
    }

    /// <param name="type">PUBACK, PUBREC, PUBREL or PUBCOMP.</param>
    public static void Ack(ArrayBufferWriter<byte> target, MqttPacketType type, ushort packetId)
    {
        // The short form, remaining length 2, means success in both versions.
        var span = target.GetSpan(4);
        span[0] = (byte)(((int)type << 4) | (type == MqttPacketType.PubRel ? 2 : 0));
        span[1] = 2;
        BinaryPrimitives.WriteUInt16BigEndian(span[2..], packetId);
        target.Advance(4);
    }

    /// <param name="retainHandling">MQTT 5 option, section 3.8.3.1: 1 = retained messages only for a subscription that is new.</param>
    public static void Subscribe(ArrayBufferWriter<byte> target, ushort packetId, IReadOnlyList<string> filters, int qos, int retainHandling, MqttVersion version)
    {
        var body = new ArrayBufferWriter<byte>(256);
        UInt16(body, packetId);
        if (version == MqttVersion.V5)
            Byte(body, 0);
        foreach (var filter in filters)
        {
            String(body, filter);
            Byte(body, (byte)(version == MqttVersion.V5 ? qos | (retainHandling << 4) : qos));
        }

        Header(target, ((byte)MqttPacketType.Subscribe << 4) | 0x02, body.WrittenCount);
        target.Write(body.WrittenSpan);
    }

    public static void PingReq(ArrayBufferWriter<byte> target) => Header(target, (byte)MqttPacketType.PingReq << 4, 0);

    /// <param name="reasonCode">Sent in version 5 only, and only when it isn't success.</param>
    public static void Disconnect(ArrayBufferWriter<byte> target, byte reasonCode, MqttVersion version)
    {
        var withCode = version == MqttVersion.V5 && reasonCode != MqttReason.Success;
        Header(target, (byte)MqttPacketType.Disconnect << 4, withCode ? 1 : 0);
        if (withCode)
            Byte(target, reasonCode);
    }

    private static long PublishRemaining(int topicBytes, int payloadBytes, int qos, MqttVersion version) =>
        2L + topicBytes + (qos > 0 ? 2 : 0) + (version == MqttVersion.V5 ? 1 : 0) + payloadBytes;

    private static int VarIntBytes(long value) => value < 128 ? 1 : value < 16_384 ? 2 : value < 2_097_152 ? 3 : 4;

    private static void Header(ArrayBufferWriter<byte> target, byte first, int remaining)
    {
        var span = target.GetSpan(5);
        span[0] = first;
        var n = 1;
        do
        {
            var b = (byte)(remaining & 0x7F);
            remaining >>= 7;
            span[n++] = (byte)(remaining > 0 ? b | 0x80 : b);
        }
        while (remaining > 0);
        target.Advance(n);
    }

    private static void Byte(ArrayBufferWriter<byte> target, byte value)
    {
        target.GetSpan(1)[0] = value;
        target.Advance(1);
    }

    private static void UInt16(ArrayBufferWriter<byte> target, ushort value)
    {
        BinaryPrimitives.WriteUInt16BigEndian(target.GetSpan(2), value);
        target.Advance(2);
    }

    private static void UInt32(ArrayBufferWriter<byte> target, uint value)
    {
        BinaryPrimitives.WriteUInt32BigEndian(target.GetSpan(4), value);
        target.Advance(4);
    }

    private static void Binary(ArrayBufferWriter<byte> target, ReadOnlySpan<byte> value)
    {
        if (value.Length > ushort.MaxValue)
            throw new ArgumentException("An MQTT string or binary field holds at most 65,535 bytes.");
        UInt16(target, (ushort)value.Length);
        target.Write(value);
    }

    private static void String(ArrayBufferWriter<byte> target, string value) => Binary(target, Encoding.UTF8.GetBytes(value));
}
