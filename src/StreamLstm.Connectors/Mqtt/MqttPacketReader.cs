using System.Buffers.Binary;
using System.Text;
using System.Text.Unicode;
using StreamLstm.Connectors.Codecs;

namespace StreamLstm.Connectors.Mqtt;

/// <summary>Reads the fields of a packet in order; a field that isn't there whole is a protocol error.</summary>
internal ref struct MqttPacketReader(ReadOnlySpan<byte> body)
{
    private ReadOnlySpan<byte> _rest = body;

    public readonly int Remaining => _rest.Length;

    public ReadOnlySpan<byte> Take(int count)
    {
        if ((uint)count > (uint)_rest.Length)
            throw new MqttProtocolException("packet ends early");
        var taken = _rest[..count];
        _rest = _rest[count..];
        return taken;
    }

    public byte Byte() => Take(1)[0];

    public ushort UInt16() => BinaryPrimitives.ReadUInt16BigEndian(Take(2));

    public uint UInt32() => BinaryPrimitives.ReadUInt32BigEndian(Take(4));

    public ushort PacketId()
    {
        var id = UInt16();
        return id != 0 ? id : throw new MqttProtocolException("packet identifier 0");
    }

    /// <summary>Variable byte integer, section 1.5.5.</summary>
    public int VarInt()
    {
        var value = 0;
        for (var shift = 0; shift < 28; shift += 7)
        {
            var b = Byte();
            value |= (b & 0x7F) << shift;
            if ((b & 0x80) == 0)
                return value;
        }

        throw new MqttProtocolException("variable byte integer of more than four bytes");
    }

    public ReadOnlySpan<byte> Binary() => Take(UInt16());

    public string String()
    {
        var bytes = Binary();
        if (!Utf8.IsValid(bytes) || bytes.Contains((byte)0))
            throw new MqttProtocolException("string that is not UTF-8");
        return Encoding.UTF8.GetString(bytes);
    }

    public readonly void End()
    {
        if (_rest.Length != 0)
            throw new MqttProtocolException($"{_rest.Length} bytes after the end of a packet");
    }
}

/// <summary>The MQTT 5 properties this client acts on; the others are checked and passed over.</summary>
internal readonly record struct MqttProperties
{
    public ushort ReceiveMaximum { get; init; } = 65535;

    public byte MaximumQos { get; init; } = 2;

    public uint MaximumPacketSize { get; init; } = uint.MaxValue;

    public bool RetainAvailable { get; init; } = true;

    /// <summary>Seconds; null = as asked.</summary>
    public ushort? ServerKeepAlive { get; init; }

    public string? Reason { get; init; }

    public ushort? TopicAlias { get; init; }

    /// <summary>User properties and content type, if they are asked for; null = none.</summary>
    public List<MessageHeader>? Headers { get; init; }

    public MqttProperties()
    {
    }

    /// <param name="publish">Whether they are a message's: then it may have a topic alias, and user properties and content type are wanted.</param>
    public static MqttProperties Read(scoped ref MqttPacketReader reader, bool publish = false)
    {
        var result = new MqttProperties();
        var length = reader.VarInt();
        if (length == 0)
            return result;

        var r = new MqttPacketReader(reader.Take(length));
        ulong seen = 0;
        while (r.Remaining > 0)
        {
            var id = r.VarInt();
            // Only user properties and subscription identifiers may come more than once.
            if (id < 64 && id is not (0x26 or 0x0B))
            {
                if ((seen & (1UL << id)) != 0)
                    throw new MqttProtocolException($"property 0x{id:X2} twice");
                seen |= 1UL << id;
            }

            switch (id)
            {
                case 0x01 or 0x17 or 0x19 or 0x28 or 0x29 or 0x2A: // payload format, request flags, subscription features
                    r.Byte();
                    break;
                case 0x02 or 0x11 or 0x18: // expiries and delays, seconds
                    r.UInt32();
                    break;
                case 0x03 when publish:
                    result = result with { Headers = Add(result.Headers, "content-type", r.String()) };
                    break;
                case 0x03 or 0x08 or 0x12 or 0x15 or 0x1A or 0x1C: // content type, response topic, client id, method, response info, server
                    r.String();
                    break;
                case 0x09 or 0x16: // correlation and authentication data
                    r.Binary();
                    break;
                case 0x0B: // subscription identifier
                    r.VarInt();
                    break;
                case 0x13:
                    result = result with { ServerKeepAlive = r.UInt16() };
                    break;
                case 0x1F:
                    result = result with { Reason = r.String() };
                    break;
                case 0x21:
                    var receiveMaximum = r.UInt16();
                    if (receiveMaximum == 0)
                        throw new MqttProtocolException("receive maximum 0");
                    result = result with { ReceiveMaximum = receiveMaximum };
                    break;
                case 0x22: // topic alias maximum: this client sends none
                    r.UInt16();
                    break;
                case 0x23 when publish:
                    result = result with { TopicAlias = r.UInt16() };
                    break;
                case 0x24:
                    var qos = r.Byte();
                    if (qos > 1)
                        throw new MqttProtocolException($"maximum QoS {qos}");
                    result = result with { MaximumQos = qos };
                    break;
                case 0x25:
                    result = result with { RetainAvailable = r.Byte() != 0 };
                    break;
                case 0x26:
                    var name = r.String();
                    var text = r.String();
                    if (publish)
                        result = result with { Headers = Add(result.Headers, name, text) };
                    break;
                case 0x27:
                    var size = r.UInt32();
                    if (size == 0)
                        throw new MqttProtocolException("maximum packet size 0");
                    result = result with { MaximumPacketSize = size };
                    break;
                default:
                    throw new MqttProtocolException($"property 0x{id:X2}");
            }
        }

        return result;
    }

    private static List<MessageHeader> Add(List<MessageHeader>? list, string name, string value)
    {
        list ??= [];
        list.Add(new(name, Encoding.UTF8.GetBytes(value)));
        return list;
    }
}

/// <param name="ReasonCode">MQTT 5 code; a 3.1.1 return code is translated.</param>
internal readonly record struct MqttConnAck(bool SessionPresent, byte ReasonCode, MqttProperties Properties);

/// <summary>Acknowledgement of one packet id; <paramref name="Reason"/> is the broker's text if it gave one.</summary>
internal readonly record struct MqttAck(ushort PacketId, byte ReasonCode, string? Reason);

/// <summary>The packets a client receives. Every method throws <see cref="MqttProtocolException"/> for malformed input, and nothing else.</summary>
internal static class MqttPackets
{
    public static MqttConnAck ConnAck(in MqttFrame frame, MqttVersion version)
    {
        RequireFlags(frame, 0);
        var r = new MqttPacketReader(frame.Body.Span);
        var flags = r.Byte();
        if (flags > 1)
            throw new MqttProtocolException("reserved flags in CONNACK");
        var code = r.Byte();

        // A broker that speaks only 3.1.1 answers a version 5 CONNECT in its own format, without properties.
        if (version == MqttVersion.V311 || (r.Remaining == 0 && code is > 0 and <= 5))
        {
            r.End();
            return new MqttConnAck(flags == 1, MqttReason.FromReturnCode(code), new MqttProperties());
        }

        var properties = r.Remaining == 0 ? new MqttProperties() : MqttProperties.Read(ref r);
        r.End();
        return new MqttConnAck(flags == 1, code, properties);
    }

    /// <param name="aliases">Of the connection.</param>
    public static MqttMessage Publish(in MqttFrame frame, MqttVersion version, int maxPayloadBytes, int connection, MqttTopicAliases aliases)
    {
        var qos = (frame.Flags >> 1) & 3;
        if (qos > 2)
            throw new MqttProtocolException("PUBLISH with QoS 3");
        if (qos == 0 && (frame.Flags & 8) != 0)
            throw new MqttProtocolException("QoS 0 PUBLISH marked as duplicate");

        var r = new MqttPacketReader(frame.Body.Span);
        var topic = r.String();
        if (topic.AsSpan().ContainsAny('+', '#'))
            throw new MqttProtocolException("PUBLISH topic with a wildcard");
        var id = qos > 0 ? r.PacketId() : (ushort)0;

        var payloadBytes = r.Remaining + (frame.Length - frame.Body.Length);
        IReadOnlyList<MessageHeader>? headers = null;
        if (version == MqttVersion.V5)
        {
            if (!frame.IsCut)
            {
                var properties = MqttProperties.Read(ref r, publish: true);
                headers = properties.Headers;
                if (properties.TopicAlias is { } alias)
                    topic = aliases.Resolve(topic, alias);
                payloadBytes = r.Remaining;
            }
            else
            {
                // The head may end inside the properties of a cut packet; topic and packet id are all that is needed then.
                var whole = r;
                var before = r.Remaining;
                var properties = r.VarInt();
                payloadBytes -= before - r.Remaining + properties;
                if (payloadBytes < 0)
                    throw new MqttProtocolException("properties longer than the packet");
                if (properties <= r.Remaining && MqttProperties.Read(ref whole, publish: true).TopicAlias is { } alias)
                    topic = aliases.Resolve(topic, alias);
                r.Take(Math.Min(properties, r.Remaining));
            }
        }

        if (topic.Length == 0)
            throw new MqttProtocolException("PUBLISH without topic");
        var oversized = frame.IsCut || payloadBytes > maxPayloadBytes;
        var keep = oversized ? Math.Min(MqttMessage.OversizedHeadBytes, r.Remaining) : payloadBytes;
        return new MqttMessage
        {
            Topic = topic,
            Payload = r.Take(keep).ToArray(),
            PayloadBytes = payloadBytes,
            IsOversized = oversized,
            Qos = qos,
            Retained = (frame.Flags & 1) != 0,
            Headers = headers,
            Duplicate = (frame.Flags & 8) != 0,
            PacketId = id,
            Connection = connection,
        };
    }

    /// <summary>PUBACK, PUBREC, PUBREL and PUBCOMP.</summary>
    public static MqttAck Ack(in MqttFrame frame, MqttVersion version)
    {
        RequireFlags(frame, frame.Type == MqttPacketType.PubRel ? 2 : 0);
        var r = new MqttPacketReader(frame.Body.Span);
        var id = r.PacketId();
        var code = MqttReason.Success;
        string? reason = null;
        if (version == MqttVersion.V5 && r.Remaining > 0)
        {
            code = r.Byte();
            if (r.Remaining > 0)
                reason = MqttProperties.Read(ref r).Reason;
        }

        r.End();
        return new MqttAck(id, code, reason);
    }

    /// <returns>One code per filter, in the order of the SUBSCRIBE.</returns>
    public static (ushort PacketId, byte[] Codes) SubAck(in MqttFrame frame, MqttVersion version)
    {
        RequireFlags(frame, 0);
        var r = new MqttPacketReader(frame.Body.Span);
        var id = r.PacketId();
        if (version == MqttVersion.V5)
            MqttProperties.Read(ref r);
        if (r.Remaining == 0)
            throw new MqttProtocolException("SUBACK without codes");
        return (id, r.Take(r.Remaining).ToArray());
    }

    public static void PingResp(in MqttFrame frame)
    {
        RequireFlags(frame, 0);
        new MqttPacketReader(frame.Body.Span).End();
    }

    /// <returns>The broker's reason, as text.</returns>
    public static string Disconnect(in MqttFrame frame, MqttVersion version)
    {
        RequireFlags(frame, 0);
        if (version == MqttVersion.V311)
            throw new MqttProtocolException("DISCONNECT from a 3.1.1 broker");
        var r = new MqttPacketReader(frame.Body.Span);
        var code = r.Remaining > 0 ? r.Byte() : MqttReason.Success;
        var reason = r.Remaining > 0 ? MqttProperties.Read(ref r).Reason : null;
        r.End();
        return WithReason(MqttReason.Text(code), reason);
    }

    public static string WithReason(string text, string? brokersText) => string.IsNullOrEmpty(brokersText) ? text : $"{text} ({brokersText})";

    private static void RequireFlags(in MqttFrame frame, int flags)
    {
        if (frame.Flags != flags)
            throw new MqttProtocolException($"flags 0x{frame.Flags:X} in {frame.Type}");
    }
}
