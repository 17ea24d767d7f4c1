using StreamLstm.Connectors.Codecs;

namespace StreamLstm.Connectors.Mqtt;

/// <summary>One received PUBLISH (or <see cref="IsRelease"/>). Its memory belongs to the reader.</summary>
public readonly record struct MqttMessage
{
    public required string Topic { get; init; }

    /// <summary>The payload, or the first <see cref="OversizedHeadBytes"/> bytes of one that was too long.</summary>
    public required ReadOnlyMemory<byte> Payload { get; init; }

    /// <summary>The payload's full length in bytes.</summary>
    public required int PayloadBytes { get; init; }

    public int Qos { get; init; }

    public bool Retained { get; init; }

    /// <summary>MQTT 5 user properties, and the content type as <c>content-type</c>; null = none.</summary>
    public IReadOnlyList<MessageHeader>? Headers { get; init; }

    /// <summary>The broker says that it may have sent this message before.</summary>
    public bool Duplicate { get; init; }

    /// <summary>The payload was longer than <see cref="MqttClientOptions.MaxPayloadBytes"/>; it must still be acknowledged.</summary>
    public bool IsOversized { get; init; }

    /// <summary>
    /// Not a message but PUBREL, the end of an earlier one of QoS 2: its packet id may be forgotten, and be used anew once this is
    /// acknowledged.
    /// </summary>
    public bool IsRelease { get; init; }

    /// <summary>0 for QoS 0.</summary>
    internal ushort PacketId { get; init; }

    /// <summary>Number of the connection it came over: packet ids mean nothing on another one.</summary>
    internal int Connection { get; init; }

    /// <summary>What is kept of an oversized payload.</summary>
    public const int OversizedHeadBytes = 2048;
}
