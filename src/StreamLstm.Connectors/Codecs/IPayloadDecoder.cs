using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Codecs;

/// <summary>One message as a broker delivered it; spans are valid only during the call.</summary>
public readonly ref struct SourceMessage
{
    public required string Source { get; init; }

    /// <summary>MQTT or Kafka topic, or the request path.</summary>
    public required string Topic { get; init; }

    public ReadOnlySpan<byte> Key { get; init; }

    public required ReadOnlySpan<byte> Payload { get; init; }

    /// <summary>Unix microseconds.</summary>
    public required long ArrivalMicros { get; init; }

    /// <summary>For dead letters: where in the source this message lies.</summary>
    public required string Position { get; init; }

    public bool Retained { get; init; }
}

/// <summary>Turns one message into samples, or into a dead letter with a reason; never throws for bad input.</summary>
public interface IPayloadDecoder
{
    /// <summary>MQTT subscription filters that cover every binding of the source.</summary>
    IReadOnlyList<string> Subscriptions { get; }

    void Decode(in SourceMessage message, SampleBatch batch);
}
