using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using StreamLstm.Connectors.Files;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Codecs;

/// <summary>
/// Decodes messages by the bindings of a source. Of several bindings that match a topic, the one with the longest literal prefix
/// wins, then the name. Works on UTF-8 without allocating per sample; thread-safe.
/// <para>
/// A record whose values are partly absent gives those that are there: devices that report changes leave out what hasn't
/// changed. A retained message without a time of its own is skipped: its age is unknown.
/// </para>
/// </summary>
public sealed class BindingDecoder : IPayloadDecoder
{
    internal const int MaxCsvCells = 256;

    private const int MaxKeyBytes = 512;

    [ThreadStatic]
    private static Scratch? t_scratch;

    private readonly Binding[] _bindings;

    /// <exception cref="ArgumentException">A binding can't be compiled; <see cref="Check"/> tells beforehand.</exception>
    public BindingDecoder(IEnumerable<BindingSettings> bindings)
    {
        ArgumentNullException.ThrowIfNull(bindings);
        var problems = new List<BindingProblem>();
        var compiled = new List<Binding>();
        foreach (var settings in bindings)
        {
            if (Binding.Compile(settings, problems) is { } binding)
                compiled.Add(binding);
            if (problems.Count > 0)
                throw new ArgumentException($"Binding {settings.Name}: {problems[0].Key} {problems[0].Problem}.", nameof(bindings));
        }

        _bindings = [.. compiled.OrderByDescending(b => b.Topic.LiteralPrefix).ThenBy(b => b.Settings.Name, StringComparer.Ordinal)];
        Subscriptions = [.. _bindings.Select(b => b.Topic.Subscription).Distinct(StringComparer.Ordinal)];
    }

    public IReadOnlyList<string> Subscriptions { get; }

    /// <summary>Everything that is wrong with a binding; empty if it can be used.</summary>
    public static IReadOnlyList<BindingProblem> Check(BindingSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        var problems = new List<BindingProblem>();
        Binding.Compile(settings, problems);
        return problems;
    }

    public void Decode(in SourceMessage message, SampleBatch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        var scratch = t_scratch ??= new Scratch();
        var topic = scratch.Transcode(message.Topic);
        foreach (var binding in _bindings)
        {
            if (!binding.Topic.Match(topic, scratch.Captures))
                continue;
            if (message.Retained && binding.TimeSlot < 0)
                return;
            var record = new Record(binding, in message, topic, batch, scratch);
            switch (binding.Settings.Format)
            {
                case PayloadFormat.Json:
                    DecodeJson(ref record);
                    break;
                case PayloadFormat.Csv:
                    DecodeCsv(ref record);
                    break;
                default:
                    record.ReadText();
                    break;
            }

            return;
        }

        batch.AddDeadLetter(DeadLetter.Create(DeadLetterReason.Unmatched, message.Source, message.Position,
            $"No binding matches topic {message.Topic}.", message.ArrivalMicros, message.Payload));
    }

    private static void DecodeJson(ref Record record)
    {
        var binding = record.Binding;
        var payload = record.Message.Payload;
        try
        {
            var reader = new Utf8JsonReader(payload);
            reader.Read();
            var root = record.Scratch.Root(binding.Root.Count);
            binding.Root.Read(ref reader, 0, root);

            // Text after the document makes it malformed, which only reading on shows.
            while (reader.Read())
            {
            }

            if (binding.EachSlot < 0)
            {
                record.ReadJson(root, root);
                return;
            }

            var each = root[binding.EachSlot];
            if (each.Type is not (JsonTokenType.StartArray or JsonTokenType.StartObject))
            {
                if (each.IsPresent)
                    record.Reject(DeadLetterReason.Malformed, $"{binding.Settings.Each} is not an array.", null);
                else
                    record.Reject(DeadLetterReason.MissingField, $"{binding.Settings.Each} is absent.", null);
                return;
            }

            var elements = new Utf8JsonReader(payload.Slice(each.Start, each.Length));
            elements.Read();
            while (elements.Read() && elements.TokenType is not (JsonTokenType.EndArray or JsonTokenType.EndObject))
            {
                if (elements.TokenType == JsonTokenType.PropertyName)
                    continue;
                var slots = record.Scratch.Element(binding.Element.Count);
                binding.Element.Read(ref elements, each.Start, slots);
                record.ReadJson(root, slots);
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: text that isn't valid UTF-8 or half a surrogate pair, seen only when it is unescaped.
            record.Reject(DeadLetterReason.Malformed, payload.IsEmpty ? "The payload is empty." : $"The payload is not valid JSON: {e.Message}", null);
        }
    }

    private static void DecodeCsv(ref Record record)
    {
        var rest = record.Message.Payload;
        if (TimestampParser.Trim(rest).IsEmpty)
        {
            record.Reject(DeadLetterReason.Malformed, "The payload is empty.", null);
            return;
        }

        Span<Range> cells = stackalloc Range[MaxCsvCells];
        while (!rest.IsEmpty)
        {
            var end = rest.IndexOf((byte)'\n');
            var line = TimestampParser.Trim(end < 0 ? rest : rest[..end]);
            rest = end < 0 ? default : rest[(end + 1)..];
            if (line.IsEmpty)
                continue;
            var delimiter = line.IndexOfAny(",;\t"u8) is >= 0 and var i ? line[i] : (byte)',';
            var n = TabularReader.Split(line, delimiter, cells);
            if (n < 0)
                record.Reject(DeadLetterReason.Malformed, "The payload has an open quote.", null);
            else
                record.ReadCsv(line, cells[..n]);
        }
    }

    /// <summary>Buffers of one thread, reused from message to message.</summary>
    private sealed class Scratch
    {
        private byte[] _topic = new byte[512];
        private JsonSlot[] _root = new JsonSlot[16];
        private JsonSlot[] _element = new JsonSlot[16];

        public Range[] Captures { get; } = new Range[TopicPattern.MaxCaptures];

        /// <summary>One byte more than a key may have shows that it is too long.</summary>
        public byte[] Key { get; } = new byte[MaxKeyBytes + 1];

        public byte[] Text { get; } = new byte[MaxKeyBytes + 1];

        public double[] Values { get; private set; } = new double[16];

        public ReadOnlySpan<byte> Transcode(string topic)
        {
            var most = Encoding.UTF8.GetMaxByteCount(topic.Length);
            if (_topic.Length < most)
                _topic = new byte[most];
            return _topic.AsSpan(0, Encoding.UTF8.GetBytes(topic, _topic));
        }

        public Span<JsonSlot> Root(int count) => Cleared(ref _root, count);

        public Span<JsonSlot> Element(int count) => Cleared(ref _element, count);

        public Span<double> Channels(int count)
        {
            if (Values.Length < count)
                Values = new double[count];
            return Values.AsSpan(0, count);
        }

        private static Span<JsonSlot> Cleared(ref JsonSlot[] slots, int count)
        {
            if (slots.Length < count)
                slots = new JsonSlot[count];
            slots.AsSpan(0, count).Clear();
            return slots.AsSpan(0, count);
        }
    }

    /// <summary>One message on its way into the batch; a message may hold several records.</summary>
    private readonly ref struct Record(Binding binding, in SourceMessage message, ReadOnlySpan<byte> topic, SampleBatch batch, Scratch scratch)
    {
        private readonly ReadOnlySpan<byte> _topic = topic;
        private readonly SourceMessage _message = message;

        public Binding Binding => binding;

        public Scratch Scratch => scratch;

        public SourceMessage Message => _message;

        public void ReadText()
        {
            var text = _message.Payload;
            Write(default, default, default, default, text, _message.ArrivalMicros);
        }

        public void ReadCsv(ReadOnlySpan<byte> line, ReadOnlySpan<Range> cells)
        {
            var time = _message.ArrivalMicros;
            if (binding.TimeSlot >= 0)
            {
                if (binding.TimeSlot >= cells.Length)
                {
                    Reject(DeadLetterReason.MissingField, $"The payload has {cells.Length} columns, none with index {binding.Settings.Time.At} for the time.", null);
                    return;
                }

                if (!TryTime(TabularReader.Unquote(line[cells[binding.TimeSlot]], scratch.Text), out time))
                    return;
            }

            Write(default, default, cells, line, default, time);
        }

        public void ReadJson(ReadOnlySpan<JsonSlot> root, ReadOnlySpan<JsonSlot> slots)
        {
            var time = _message.ArrivalMicros;
            if (binding.TimeSlot >= 0)
            {
                var slot = (binding.TimeFromRoot ? root : slots)[binding.TimeSlot];
                if (!slot.IsPresent)
                {
                    Reject(DeadLetterReason.MissingField, $"The time {binding.Settings.Time.At} is absent.", null);
                    return;
                }

                if (!TryTime(Text(slot), out time))
                    return;
            }

            Write(root, slots, default, default, default, time);
        }

        public void Reject(string reason, string detail, string? stream) =>
            batch.AddDeadLetter(DeadLetter.Create(reason, _message.Source, _message.Position, $"Binding {binding.Settings.Name}: {detail}", _message.ArrivalMicros, _message.Payload, stream));

        private bool TryTime(ReadOnlySpan<byte> text, out long micros)
        {
            var time = binding.Settings.Time;
            if (TimestampParser.TryParse(text, time.Format, time.Zone, _message.ArrivalMicros, out micros))
                return true;
            Reject(DeadLetterReason.BadTime, $"{time.At} holds \"{Encoding.UTF8.GetString(text)}\", which is not a time of format {time.Format.Name}.", null);
            return false;
        }

        private void Write(ReadOnlySpan<JsonSlot> root, ReadOnlySpan<JsonSlot> slots, ReadOnlySpan<Range> cells, ReadOnlySpan<byte> line, ReadOnlySpan<byte> text, long time)
        {
            // First all values, then the keys: a key is only built for what will be written.
            var values = binding.Values;
            var numbers = scratch.Channels(values.Length);
            int present = 0, usable = 0;
            CompiledValue? firstBad = null;
            var firstBadText = default(ReadOnlySpan<byte>);
            for (var i = 0; i < values.Length; i++)
            {
                var value = values[i];
                numbers[i] = double.NaN;
                scoped ReadOnlySpan<byte> raw;
                if (binding.Settings.Format == PayloadFormat.Json)
                {
                    var slot = slots[value.Slot];
                    if (!slot.IsPresent)
                        continue;
                    raw = _message.Payload.Slice(slot.Start, slot.Length);
                }
                else if (binding.Settings.Format == PayloadFormat.Csv)
                {
                    if (value.Slot >= cells.Length)
                        continue;
                    raw = line[cells[value.Slot]];
                }
                else
                {
                    raw = text;
                }

                present++;
                if (NumberParser.Parse(raw, out var number) == NumberResult.Ok && double.IsFinite(number = (number * value.Scale) + value.Offset))
                {
                    numbers[i] = number;
                    usable++;
                }
                else if (binding.StreamPerValue)
                {
                    var bad = Key(root, slots, value) is var k && k.IsEmpty ? null : Encoding.UTF8.GetString(k);
                    Reject(DeadLetterReason.NotFinite, NotFinite(value, raw), bad);
                }
                else
                {
                    firstBad ??= value;
                    if (firstBad == value)
                        firstBadText = _message.Payload.Overlaps(raw, out var offset) ? _message.Payload.Slice(offset, raw.Length) : default;
                }
            }

            if (present == 0)
            {
                Reject(DeadLetterReason.MissingField, values.Length == 1
                    ? $"The value {values[0].At} is absent."
                    : $"None of the values {string.Join(", ", values.Select(v => v.At))} is present.", null);
                return;
            }

            if (binding.StreamPerValue)
            {
                for (var i = 0; i < values.Length; i++)
                {
                    if (!double.IsNaN(numbers[i]))
                        Add(Key(root, slots, values[i]), time, numbers.Slice(i, 1));
                }
            }
            else if (usable > 0)
            {
                Add(Key(root, slots, null), time, numbers);
            }
            else
            {
                var key = Key(root, slots, null);
                Reject(DeadLetterReason.NotFinite, NotFinite(firstBad!, firstBadText), key.IsEmpty ? null : Encoding.UTF8.GetString(key));
            }
        }

        private static string NotFinite(CompiledValue value, ReadOnlySpan<byte> raw) =>
            $"The value {value.Name} is \"{Encoding.UTF8.GetString(raw[..Math.Min(raw.Length, 64)])}\" instead of a number.";

        private void Add(ReadOnlySpan<byte> key, long time, ReadOnlySpan<double> values)
        {
            if (key.IsEmpty)
            {
                // A part of the template was absent, or the whole is empty.
                Reject(DeadLetterReason.BadKey, $"The stream template {binding.Settings.Stream} gives no key for this message.", null);
            }
            else if (key.Length > MaxKeyBytes)
            {
                Reject(DeadLetterReason.BadKey, $"The stream key is longer than {MaxKeyBytes} bytes.", null);
            }
            else if (!Utf8.IsValid(key))
            {
                Reject(DeadLetterReason.BadKey, "The stream key is not valid UTF-8.", null);
            }
            else
            {
                batch.Add(key, time, _message.ArrivalMicros, values);
            }
        }

        /// <summary>Empty if a part of the template has no text.</summary>
        private ReadOnlySpan<byte> Key(ReadOnlySpan<JsonSlot> root, ReadOnlySpan<JsonSlot> slots, CompiledValue? value)
        {
            var n = 0;
            foreach (var part in binding.Stream)
            {
                var text = part.Kind switch
                {
                    TemplatePart.Literal => part.Literal,
                    TemplatePart.Capture => _topic[scratch.Captures[part.Index]],
                    TemplatePart.Topic => _topic,
                    TemplatePart.Field => value!.NameUtf8,
                    TemplatePart.Key => _message.Key,
                    TemplatePart.Root => KeyText(root[part.Index]),
                    _ => KeyText(slots[part.Index]),
                };
                if (text.IsEmpty)
                    return default;
                var take = Math.Min(text.Length, scratch.Key.Length - n);
                text[..take].CopyTo(scratch.Key.AsSpan(n));
                n += take;
            }

            return scratch.Key.AsSpan(0, n);
        }

        private ReadOnlySpan<byte> KeyText(JsonSlot slot) =>
            slot.Type is JsonTokenType.String or JsonTokenType.Number or JsonTokenType.True or JsonTokenType.False ? Text(slot) : default;

        /// <summary>The value's text, without quotes and escapes.</summary>
        private ReadOnlySpan<byte> Text(JsonSlot slot)
        {
            var raw = _message.Payload.Slice(slot.Start, slot.Length);
            if (!slot.Escaped || raw.Length > scratch.Text.Length)
                return raw;
            var reader = new Utf8JsonReader(_message.Payload.Slice(slot.Start - 1, slot.Length + 2));
            reader.Read();
            return scratch.Text.AsSpan(0, reader.CopyString(scratch.Text));
        }
    }
}
