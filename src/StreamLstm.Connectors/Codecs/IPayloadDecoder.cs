using System.Text;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Codecs;

/// <summary>A Kafka header or an MQTT 5 user property.</summary>
public readonly record struct MessageHeader(string Name, ReadOnlyMemory<byte> Value);

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

    /// <summary>The broker's own time stamp of the message in Unix microseconds; null = it has none.</summary>
    public long? RecordMicros { get; init; }

    /// <summary>For dead letters: where in the source this message lies.</summary>
    public required string Position { get; init; }

    public bool Retained { get; init; }

    public IReadOnlyList<MessageHeader>? Headers { get; init; }

    /// <summary>The message as one that can't be used, with its headers.</summary>
    public DeadLetter ToDeadLetter(string reason, string detail, string? stream = null)
    {
        var letter = DeadLetter.Create(reason, Source, Position, detail, ArrivalMicros, Payload, stream);
        return Headers is { Count: > 0 } headers ? letter with { Headers = [.. headers.Take(DeadLetter.MaxHeaders).Select(Text)] } : letter;

        static KeyValuePair<string, string> Text(MessageHeader header)
        {
            var (name, value) = (header.Name, Encoding.UTF8.GetString(header.Value.Span));
            return new(Cut(name), Cut(value));
        }

        static string Cut(string text) => text.Length <= DeadLetter.MaxHeaderChars ? text : text[..DeadLetter.MaxHeaderChars];
    }
}

/// <summary>Turns one message into samples, or into a dead letter with a reason; never throws for bad input.</summary>
public interface IPayloadDecoder
{
    /// <summary>MQTT subscription filters that cover every binding of the source.</summary>
    IReadOnlyList<string> Subscriptions { get; }

    /// <summary>Whether headers need to be read from the broker.</summary>
    bool UsesHeaders => false;

    /// <summary>Whether what a message gives depends on earlier ones.</summary>
    bool KeepsState => false;

    void Decode(in SourceMessage message, SampleBatch batch);
}
