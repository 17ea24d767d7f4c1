using System.Text;

namespace StreamLstm.Connectors.Codecs;

/// <summary>Buffers of one thread, reused from message to message.</summary>
internal sealed class DecodeScratch
{
    [ThreadStatic]
    private static DecodeScratch? t_instance;

    private byte[] _topic = new byte[512];
    private string? _lastTopic;
    private int _topicBytes;
    private JsonSlot[] _envelope = new JsonSlot[8];
    private JsonSlot[] _root = new JsonSlot[16];
    private JsonSlot[] _element = new JsonSlot[16];
    private double[] _values = new double[16];
    private double[] _frame = new double[256];
    private double[] _block = new double[256];

    public static DecodeScratch OfThread => t_instance ??= new();

    public Range[] Captures { get; } = new Range[TopicPattern.MaxCaptures];

    /// <summary>Captures of patterns that are only tried.</summary>
    public Range[] OtherCaptures { get; } = new Range[TopicPattern.MaxCaptures];

    public JsonHits Hits { get; } = new();

    /// <summary>Somewhat more than the longest key shows that one is too long.</summary>
    public byte[] Key { get; } = new byte[BindingDecoder.MaxKeyBytes + 1];

    public byte[] Text { get; } = new byte[BindingDecoder.MaxKeyBytes + 1];

    public byte[] Unescape { get; } = new byte[(6 * BindingDecoder.MaxKeyBytes) + 2];

    public byte[] Star { get; } = new byte[BindingDecoder.MaxKeyBytes + 1];

    public byte[] EachStar { get; } = new byte[BindingDecoder.MaxKeyBytes + 1];

    public byte[] Channel { get; } = new byte[BindingDecoder.MaxKeyBytes + 1];

    public Range[] Cells { get; } = new Range[BindingDecoder.MaxCsvCells];

    public JsonSlot[] Labels { get; } = new JsonSlot[BindingDecoder.MaxChannels];

    /// <summary>The topic as UTF-8; feeds of one topic find it there from the message before.</summary>
    public ReadOnlySpan<byte> Transcode(string topic)
    {
        if (!ReferenceEquals(topic, _lastTopic))
        {
            var most = Encoding.UTF8.GetMaxByteCount(topic.Length);
            if (_topic.Length < most)
                _topic = new byte[most];
            _topicBytes = Encoding.UTF8.GetBytes(topic, _topic);
            _lastTopic = topic;
        }

        return _topic.AsSpan(0, _topicBytes);
    }

    public Span<JsonSlot> Envelope(int count) => Cleared(ref _envelope, count);

    public Span<JsonSlot> Root(int count) => Cleared(ref _root, count);

    public Span<JsonSlot> Element(int count) => Cleared(ref _element, count);

    public Span<double> Values(int count)
    {
        if (_values.Length < count)
            _values = new double[count];
        return _values.AsSpan(0, count);
    }

    /// <summary>Room for the samples of a frame; what is in it stays when it grows.</summary>
    public Span<double> Frame(int count)
    {
        if (_frame.Length < count)
            Array.Resize(ref _frame, Math.Max(count, _frame.Length * 2));
        return _frame;
    }

    /// <summary>Room for samples in another order than a frame's.</summary>
    public Span<double> Block(int count)
    {
        if (_block.Length < count)
            _block = new double[Math.Max(count, _block.Length * 2)];
        return _block.AsSpan(0, count);
    }

    private static Span<JsonSlot> Cleared(ref JsonSlot[] slots, int count)
    {
        if (slots.Length < count)
            slots = new JsonSlot[count];
        slots.AsSpan(0, count).Clear();
        return slots.AsSpan(0, count);
    }
}
