using System.Globalization;
using System.Text;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Integration.Tests.Codecs;

/// <summary>Runs messages through a decoder and writes samples as <c>stream time value unit kind</c>.</summary>
internal sealed class Decoding(BindingDecoder decoder)
{
    public const string Arrival = "2026-11-21T06:00:00Z";

    public Decoding(params IEnumerable<BindingSettings> bindings)
        : this(new BindingDecoder(bindings))
    {
    }

    public BindingDecoder Decoder => decoder;

    /// <summary>Of the last message.</summary>
    public IReadOnlyList<DeadLetter> Letters { get; private set; } = [];

    public IEnumerable<string> Reasons => Letters.Select(l => l.Reason);

    public static Decoding Preset(string name) => new(Presets.Find(name));

    public string[] Decode(string topic, string payload, string key = "", string arrival = Arrival, bool retained = false, params (string Name, string Value)[] headers) =>
        Decode(topic, Encoding.UTF8.GetBytes(payload), key, arrival, retained, headers);

    public string[] Decode(string topic, byte[] payload, string key = "", string arrival = Arrival, bool retained = false, params (string Name, string Value)[] headers)
    {
        var batch = new SampleBatch();
        var trace = new DecodeTrace();
        decoder.Decode(
            new SourceMessage
            {
                Source = "test",
                Topic = topic,
                Payload = payload,
                Key = Encoding.UTF8.GetBytes(key),
                ArrivalMicros = Micros(arrival),
                Position = topic,
                Retained = retained,
                Headers = [.. headers.Select(h => new MessageHeader(h.Name, Encoding.UTF8.GetBytes(h.Value)))],
            },
            batch,
            trace);
        Letters = batch.DeadLetters.ToArray();
        return [.. Enumerable.Range(0, batch.Count).Select(i => Sample(batch, trace, i))];
    }

    public static long Micros(string iso) => UnixMicros.From(DateTimeOffset.Parse(iso, CultureInfo.InvariantCulture));

    private static string Sample(SampleBatch batch, DecodeTrace trace, int i)
    {
        var time = UnixMicros.ToDateTimeOffset(batch.EventTime(i)).ToString("yyyy-MM-ddTHH:mm:ss.FFFFFF'Z'", CultureInfo.InvariantCulture);
        var values = string.Join(',', batch.Values(i).ToArray().Select(v => v.ToString(CultureInfo.InvariantCulture)));
        var unit = trace.Samples[i].Unit;
        return $"{Encoding.UTF8.GetString(batch.Key(i))} {time} {values} {(unit.Length == 0 ? "-" : unit)} {trace.Samples[i].Kind.ToString().ToLowerInvariant()}";
    }
}

/// <summary>Writes the few protobuf forms a Sparkplug payload needs.</summary>
internal sealed class ProtobufWriter
{
    private readonly List<byte> _bytes = [];

    public byte[] Bytes => [.. _bytes];

    public ProtobufWriter Varint(int field, ulong value)
    {
        Raw(((ulong)field << 3) | 0);
        Raw(value);
        return this;
    }

    public ProtobufWriter Double(int field, double value)
    {
        Raw(((ulong)field << 3) | 1);
        _bytes.AddRange(BitConverter.GetBytes(value));
        return this;
    }

    public ProtobufWriter Float(int field, float value)
    {
        Raw(((ulong)field << 3) | 5);
        _bytes.AddRange(BitConverter.GetBytes(value));
        return this;
    }

    public ProtobufWriter Text(int field, string value) => Block(field, Encoding.UTF8.GetBytes(value));

    public ProtobufWriter Block(int field, Action<ProtobufWriter> write)
    {
        var inner = new ProtobufWriter();
        write(inner);
        return Block(field, inner.Bytes);
    }

    private ProtobufWriter Block(int field, byte[] content)
    {
        Raw(((ulong)field << 3) | 2);
        Raw((ulong)content.Length);
        _bytes.AddRange(content);
        return this;
    }

    private void Raw(ulong value)
    {
        for (; value >= 0x80; value >>= 7)
            _bytes.Add((byte)(value | 0x80));
        _bytes.Add((byte)value);
    }
}
