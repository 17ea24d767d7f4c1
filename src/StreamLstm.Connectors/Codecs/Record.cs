using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Codecs;

/// <summary>
/// One message on its way into the batch by one binding. A message may hold several records: a format's decoder sets what a record
/// consists of, then <see cref="Begin"/>, <see cref="Take(CompiledValue, int, ReadOnlySpan{byte})"/> for its values and
/// <see cref="Write"/>.
/// </summary>
internal ref struct Record(BindingDecoder decoder, Binding binding, in SourceMessage message, ReadOnlySpan<byte> topic, SampleBatch batch, DecodeScratch scratch, DecodeTrace? trace)
{
    /// <summary>Further rejected records of one payload are only counted in the last letter.</summary>
    private const int MaxLetters = 32;

    private readonly ReadOnlySpan<byte> _topic = topic;
    private readonly SourceMessage _message = message;
    private Span<double> _numbers;
    private int _present;
    private int _usable;
    private CompiledValue? _firstBad;
    private ReadOnlySpan<byte> _firstBadText;
    private string? _unit;
    private int _rejected;
    private int _samples;

    public readonly BindingDecoder Decoder => decoder;

    public readonly Binding Binding => binding;

    public readonly DecodeScratch Scratch => scratch;

    public readonly DecodeLimits Limits => decoder.Limits;

    public readonly SourceMessage Message => _message;

    public readonly ReadOnlySpan<byte> Topic => _topic;

    /// <summary>Slots from the root of the payload, from the element, and of a CloudEvent.</summary>
    public ReadOnlySpan<JsonSlot> Root { get; set; }

    public ReadOnlySpan<JsonSlot> Element { get; set; }

    public ReadOnlySpan<JsonSlot> Envelope { get; set; }

    /// <summary>What * stands for in a value's pointer, and in <c>Each</c>.</summary>
    public ReadOnlySpan<byte> Star { get; set; }

    public ReadOnlySpan<byte> EachStar { get; set; }

    /// <summary>Label of the channel.</summary>
    public ReadOnlySpan<byte> Channel { get; set; }

    /// <summary>Of a line: its measurement and its tags, as written.</summary>
    public ReadOnlySpan<byte> Measurement { get; set; }

    public ReadOnlySpan<byte> Tags { get; set; }

    /// <summary>Where values are held between messages; null = nowhere.</summary>
    public HeldValues? Held { get; set; } = binding.Held;

    public long Time { get; set; }

    /// <summary>Whether the message fulfils every condition; needs <see cref="Root"/> and what conditions speak of.</summary>
    /// <param name="onlyEnvelope">Conditions on the document are left out: there is none.</param>
    public readonly bool Fulfils(bool onlyEnvelope = false)
    {
        foreach (var condition in binding.Where)
        {
            if (!Holds(condition, onlyEnvelope))
                return false;
        }

        return true;
    }

    /// <summary>Finds the time of the record in its slots or headers; false = rejected.</summary>
    public bool TryTime()
    {
        if (binding.TimePlace == TimePlace.Arrival)
            return TryArrival();
        var operand = binding.TimeOperand!;
        ReadOnlySpan<byte> text;
        if (operand.Kind is OperandKind.Element or OperandKind.Root)
        {
            var slot = (operand.Kind == OperandKind.Root ? Root : Element)[operand.Index];
            if (!slot.IsPresent || (slot.Type == JsonTokenType.Null && binding.Settings.Time.Optional))
                return TryAbsent();
            text = Text(slot);
        }
        else
        {
            text = Resolve(operand, null);
            if (text.IsEmpty)
                return TryAbsent();
        }

        return TryTime(text);
    }

    /// <summary>The message has no time of its own.</summary>
    public bool TryArrival()
    {
        if (_message.Retained && binding.Settings.Retained != RetainedPolicy.Accept)
        {
            Reject(DeadLetterReason.Retained, "The broker kept the message from an earlier time, and it doesn't say which: its age is unknown.", null);
            return false;
        }

        Time = _message.ArrivalMicros;
        return _message.RecordMicros is not { } stamp || TryTime(stamp);
    }

    /// <summary>The place of the time is empty.</summary>
    public bool TryAbsent()
    {
        if (binding.Settings.Time.Optional)
            return TryArrival();
        Reject(DeadLetterReason.MissingField, $"The time {binding.Settings.Time.At} is absent.", null);
        return false;
    }

    public bool TryTime(scoped ReadOnlySpan<byte> text)
    {
        var time = binding.Settings.Time;
        return TryTime(text, time.Format);
    }

    public bool TryTime(scoped ReadOnlySpan<byte> text, TimestampFormat format)
    {
        if (!TimestampParser.TryParse(text, format, binding.Settings.Time.Zone, _message.ArrivalMicros, out var micros))
        {
            Reject(DeadLetterReason.BadTime, $"{(binding.Settings.Time.At == BindingTime.Arrival ? "The time" : binding.Settings.Time.At)} holds \"{Encoding.UTF8.GetString(text[..Math.Min(text.Length, 64)])}\", which is not a time of format {format.Name}.", null);
            return false;
        }

        return TryTime(micros);
    }

    public bool TryTime(long micros)
    {
        var time = binding.Settings.Time;
        if (micros > _message.ArrivalMicros + (time.MaxFuture.Ticks / TimeSpan.TicksPerMicrosecond))
        {
            Reject(DeadLetterReason.Future, $"The time {UnixMicros.ToDateTimeOffset(micros):O} is more than {time.MaxFuture} ahead of the arrival at {UnixMicros.ToDateTimeOffset(_message.ArrivalMicros):O}.", null);
            return false;
        }

        if (micros < _message.ArrivalMicros - (time.MaxAge.Ticks / TimeSpan.TicksPerMicrosecond))
        {
            Reject(DeadLetterReason.TooOld, $"The time {UnixMicros.ToDateTimeOffset(micros):O} is more than {time.MaxAge.TotalDays:0.##} days before the arrival at {UnixMicros.ToDateTimeOffset(_message.ArrivalMicros):O}.", null);
            return false;
        }

        Time = micros;
        return true;
    }

    public void Begin()
    {
        _numbers = scratch.Values(binding.Values.Length);
        _numbers.Fill(double.NaN);
        _present = 0;
        _usable = 0;
        _firstBad = null;
        _unit = null;
        Star = default;
    }

    /// <summary>Takes a value as written in the payload.</summary>
    /// <param name="index">Of the value in the binding.</param>
    public void Take(CompiledValue value, int index, scoped ReadOnlySpan<byte> raw)
    {
        if (!TryNumber(value, raw, out var number, out var unit))
        {
            // Something else than a number isn't meant by "everything".
            if (!value.TakesAny)
                Absent(value, index, raw);
        }
        else
        {
            _present++;
            Accept(value, index, number, unit);
        }
    }

    /// <summary>Takes a number that needs no reading, with the unit beside it or none.</summary>
    public void Take(CompiledValue value, int index, double number, scoped ReadOnlySpan<byte> unit)
    {
        if (double.IsFinite(number) && TryConvert(value, unit, true, ref number, out var unitName))
        {
            _present++;
            Accept(value, index, number, unitName);
        }
        else
        {
            Absent(value, index, "NaN"u8);
        }
    }

    /// <summary>A value is said to be missing, or is something else than a number.</summary>
    public void Absent(CompiledValue value, int index, scoped ReadOnlySpan<byte> word)
    {
        _present++;
        RejectValue(value, word);

        // Said to be unavailable, it isn't held either.
        if (binding.StreamPerValue)
            _numbers[index] = double.PositiveInfinity;
    }

    private void RejectValue(CompiledValue value, scoped ReadOnlySpan<byte> raw)
    {
        if (binding.StreamPerValue)
        {
            var key = Key(value);
            Reject(DeadLetterReason.NotFinite, NotFinite(value, raw), key.IsEmpty ? null : Encoding.UTF8.GetString(key));
        }
        else if (_firstBad is null)
        {
            _firstBad = value;
            _firstBadText = _message.Payload.Overlaps(raw, out var offset) ? _message.Payload.Slice(offset, raw.Length) : default;
        }
    }

    /// <summary>Ends a record: its channels become a sample, or it is rejected if nothing of it could be used.</summary>
    /// <param name="optional">Whether a record without any of the values is in order.</param>
    public void Write(bool optional = false)
    {
        var values = binding.Values;
        if (_present == 0 && !optional)
        {
            // That * stands for nothing this time is no fault: a device tells what has changed, a line what it has.
            if (Array.TrueForAll(values, static v => v.IsWildcard))
                return;

            Reject(DeadLetterReason.MissingField, values.Length == 1
                ? $"The value {values[0].At} is absent."
                : $"None of the values {string.Join(", ", values.Select(v => v.At))} is present.", null);
            return;
        }

        if (binding.StreamPerValue)
        {
            if (Held is not null)
                WriteHeld();
        }
        else if (_usable > 0)
        {
            var key = Key(null);
            if (Held is not null && !key.IsEmpty)
                Held.Exchange(key, Time, _numbers);
            Add(key, Time, _numbers, values[0], _unit);
        }
        else if (_firstBad is { } bad)
        {
            var key = Key(null);
            Reject(DeadLetterReason.NotFinite, NotFinite(bad, _firstBadText), key.IsEmpty ? null : Encoding.UTF8.GetString(key));
        }
    }

    /// <summary>Adds one sample under the key of a value, or of the record.</summary>
    public void Add(scoped ReadOnlySpan<byte> key, long time, scoped ReadOnlySpan<double> values, CompiledValue value, string? unit)
    {
        if (!IsKey(key) || !HasRoom(1))
            return;
        batch.Add(key, time, _message.ArrivalMicros, values);
        trace?.Add(unit ?? value.Unit?.Unit ?? "", value.Kind);
        _samples++;
    }

    /// <summary>Adds the samples of one channel at a constant rate; NaN = missing.</summary>
    /// <param name="stride">Distance of the channel's samples in <paramref name="samples"/>.</param>
    public void AddRun(scoped ReadOnlySpan<byte> key, double firstMicros, double stepMicros, scoped ReadOnlySpan<double> samples, int stride, CompiledValue value, string unit)
    {
        if (!IsKey(key) || !HasRoom(samples.Length / stride))
            return;
        var arrival = _message.ArrivalMicros;
        if (trace is null && samples.Length > stride)
        {
            var block = samples;
            if (stride > 1)
            {
                var run = Scratch.Block(samples.Length / stride + (samples.Length % stride > 0 ? 1 : 0));
                for (var k = 0; k < run.Length; k++)
                    run[k] = samples[k * stride];
                block = run;
            }

            AddBlock(key, firstMicros, stepMicros, block.Length, block);
            return;
        }

        var n = 0;
        for (int i = 0, k = 0; i < samples.Length; i += stride, k++)
        {
            if (double.IsNaN(samples[i]))
                continue;
            batch.Add(key, (long)(firstMicros + (k * stepMicros) + 0.5), arrival, samples.Slice(i, 1));
            trace?.Add(unit, value.Kind);
            n++;
        }

        _samples += n;
    }

    /// <summary>Adds a frame of several channels as one entry.</summary>
    /// <param name="values">[n, channels].</param>
    public void AddFrame(scoped ReadOnlySpan<byte> key, double firstMicros, double stepMicros, int rows, scoped ReadOnlySpan<double> values)
    {
        if (IsKey(key) && HasRoom(rows))
            AddBlock(key, firstMicros, stepMicros, rows, values);
    }

    /// <summary>Whether entries are told one sample at a time, for people.</summary>
    public readonly bool IsTraced => trace is not null;

    private void AddBlock(scoped ReadOnlySpan<byte> key, double firstMicros, double stepMicros, int rows, scoped ReadOnlySpan<double> values)
    {
        if (!values.ContainsAnyExcept(double.NaN))
            return;
        batch.AddBlock(key, (long)(firstMicros + 0.5), stepMicros, _message.ArrivalMicros, rows, values);
        _samples += rows;
    }

    /// <summary>Whether so many more samples are within the limit; otherwise the rest of the payload is rejected, once.</summary>
    public bool HasRoom(int samples)
    {
        if (_samples + samples <= decoder.Limits.MaxSamples)
            return true;
        if (!IsFull)
            Reject(DeadLetterReason.Oversized, $"The payload gives more than {decoder.Limits.MaxSamples} samples; the rest of it is left out.", null);
        IsFull = true;
        return false;
    }

    public bool IsFull { get; private set; }

    /// <summary>The message isn't one of those that hold values.</summary>
    public bool IsExcepted { get; set; }

    public void Reject(string reason, string detail, string? stream)
    {
        if (_rejected++ < MaxLetters)
            batch.AddDeadLetter(_message.ToDeadLetter(reason, $"Binding {binding.Settings.Name}: {detail}", stream));
    }

    /// <summary>After the last record of the message: whatever it was, it is counted.</summary>
    public readonly void End()
    {
        if (_samples + _rejected == 0)
        {
            if (IsExcepted)
                decoder.Counters.CountExcepted();
            else
                decoder.Counters.CountFiltered();
        }

        if (_rejected > MaxLetters)
            batch.AddDeadLetter(_message.ToDeadLetter(DeadLetterReason.Malformed, $"Binding {binding.Settings.Name}: {_rejected - MaxLetters} more records or values of this payload can't be used."));
    }

    /// <summary>The stream key in a buffer; empty if a part of the template has no text.</summary>
    public readonly ReadOnlySpan<byte> Key(CompiledValue? value)
    {
        var n = 0;
        foreach (var part in binding.Stream)
        {
            if (part.Kind == OperandKind.Field)
            {
                foreach (var piece in value!.Field)
                {
                    if (!Append(Resolve(piece, value), ref n))
                        return default;
                }
            }
            else if (!Append(Resolve(part, value), ref n))
            {
                return default;
            }
        }

        return scratch.Key.AsSpan(0, n);
    }

    /// <summary>The text of an operand; empty = there is none. Valid until the next call.</summary>
    public readonly ReadOnlySpan<byte> Resolve(Operand operand, CompiledValue? value)
    {
        switch (operand.Kind)
        {
            case OperandKind.Literal:
                return operand.Utf8;
            case OperandKind.Capture:
                return _topic[scratch.Captures[operand.Index]];
            case OperandKind.Topic:
                return _topic;
            case OperandKind.Key:
                return _message.Key;
            case OperandKind.Element:
                return Scalar(Element[operand.Index]);
            case OperandKind.Root:
                return Scalar(Root[operand.Index]);
            case OperandKind.Star:
                return value is { IsWildcard: true } ? Star : EachStar;
            case OperandKind.Channel:
                return Channel;
            case OperandKind.Header:
                return Header(operand.Utf8);
            case OperandKind.Attribute:
                return Attribute(operand);
            case OperandKind.Tag:
                return LineDecoder.Tag(Tags, operand.Utf8, scratch.Text);
            default:
                return LineDecoder.Unescape(Measurement, scratch.Text);
        }
    }

    public readonly ReadOnlySpan<byte> Header(scoped ReadOnlySpan<byte> name)
    {
        if (_message.Headers is not { } headers)
            return default;
        for (var i = 0; i < headers.Count; i++)
        {
            var header = headers[i];
            if (IsName(header.Name, name))
                return header.Value.Span;
        }

        return default;
    }

    /// <summary>The value's text, without quotes and escapes.</summary>
    public readonly ReadOnlySpan<byte> Text(JsonSlot slot) => Text(slot, scratch.Text);

    public readonly ReadOnlySpan<byte> Text(JsonSlot slot, byte[] buffer)
    {
        var raw = _message.Payload.Slice(slot.Start, slot.Length);
        if (!slot.Escaped || raw.Length > scratch.Unescape.Length - 2)
            return raw;
        scratch.Unescape[0] = (byte)'"';
        raw.CopyTo(scratch.Unescape.AsSpan(1));
        scratch.Unescape[raw.Length + 1] = (byte)'"';
        var reader = new Utf8JsonReader(scratch.Unescape.AsSpan(0, raw.Length + 2));
        reader.Read();
        if (buffer.Length >= raw.Length)
            return buffer.AsSpan(0, reader.CopyString(buffer));
        return Encoding.UTF8.GetBytes(reader.GetString()!);
    }

    public readonly ReadOnlySpan<byte> Raw(JsonSlot slot) => _message.Payload.Slice(slot.Start, slot.Length);

    private readonly ReadOnlySpan<byte> Scalar(JsonSlot slot) =>
        slot.Type is JsonTokenType.String or JsonTokenType.Number or JsonTokenType.True or JsonTokenType.False ? Text(slot) : default;

    // Kafka has ce_type, MQTT 5 plain type, and the structured form a member of the envelope.
    private readonly ReadOnlySpan<byte> Attribute(Operand operand)
    {
        if (!Envelope.IsEmpty && Envelope[operand.Index].IsPresent)
            return Scalar(Envelope[operand.Index]);
        Span<byte> name = stackalloc byte[3 + operand.Utf8.Length];
        "ce_"u8.CopyTo(name);
        operand.Utf8.CopyTo(name[3..]);
        var text = Header(name);
        return text.IsEmpty ? Header(operand.Utf8) : text;
    }

    private readonly bool Holds(Condition? condition, bool onlyEnvelope)
    {
        for (; condition is not null; condition = condition.Next)
        {
            bool holds;
            if (onlyEnvelope && condition.Operand.Kind == OperandKind.Root)
                return true;
            if (condition.Literal is { } literal)
                holds = Resolve(condition.Operand, null).SequenceEqual(literal);
            else if (condition.Operand.Kind == OperandKind.Root)
                holds = Root[condition.Operand.Index].IsPresent;
            else
                holds = !Resolve(condition.Operand, null).IsEmpty;
            if (holds != condition.Negated)
                return true;
        }

        return false;
    }

    private static bool IsName(string header, scoped ReadOnlySpan<byte> name)
    {
        // Names are ASCII in every protocol that has them, and differ in case between brokers.
        if (header.Length != name.Length)
            return false;
        return Ascii.EqualsIgnoreCase(name, header);
    }

    private readonly bool Append(ReadOnlySpan<byte> text, ref int n)
    {
        if (text.IsEmpty)
            return false;
        var take = Math.Min(text.Length, scratch.Key.Length - n);
        text[..take].CopyTo(scratch.Key.AsSpan(n));
        n += take;
        return true;
    }

    private bool TryNumber(CompiledValue value, scoped ReadOnlySpan<byte> raw, out double number, out string? unitName)
    {
        unitName = null;
        if (value.Kind == ValueKind.Time)
        {
            var text = raw.Length > 1 && raw[0] == '"' && raw[^1] == '"' ? raw[1..^1] : raw;
            var read = TimestampParser.TryParse(text, binding.Settings.Time.Format, binding.Settings.Time.Zone, _message.ArrivalMicros, out var micros);
            number = micros / 1e6;
            unitName = "s";
            return read;
        }

        return NumberParser.Parse(raw, out number, out var unit) == NumberResult.Ok
            && TryConvert(value, unit, binding.Format == PayloadFormat.Obis, ref number, out unitName);
    }

    /// <param name="passes">Whether a unit that isn't known passes through.</param>
    private readonly bool TryConvert(CompiledValue value, scoped ReadOnlySpan<byte> unit, bool passes, ref double number, out string? unitName)
    {
        unitName = null;
        number = (number * value.Scale) + value.Offset;
        var conversion = value.Unit;
        if (unit.IsEmpty && value.UnitSlot >= 0 && Element[value.UnitSlot] is { IsPresent: true } slot)
        {
            unit = Scalar(slot);
            passes = true;
        }

        if (!unit.IsEmpty && (conversion is null || !conversion.Is(unit)))
        {
            var found = UnitConversion.Find(unit);

            // A number of another quantity isn't this value, and 12ab no number at all.
            if (conversion is not null ? found is null || found.Unit != conversion.Unit : found is null && !passes)
                return false;
            conversion = found;
            unitName = trace is null ? null : found?.Unit ?? Encoding.UTF8.GetString(unit);
        }

        if (conversion is not null)
            number = conversion.Convert(number);
        return double.IsFinite(number);
    }

    private void Accept(CompiledValue value, int index, double number, string? unit)
    {
        if (binding.StreamPerValue)
        {
            var key = Key(value);
            if (Held is not null && !value.IsWildcard && !key.IsEmpty)
                Held.Exchange(key, Time, new Span<double>(ref number));
            Add(key, Time, new ReadOnlySpan<double>(in number), value, unit);
        }

        _unit ??= unit;
        _numbers[index] = number;
        _usable++;
    }

    private void WriteHeld()
    {
        for (var i = 0; i < binding.Values.Length; i++)
        {
            var value = binding.Values[i];
            if (value.IsWildcard || !double.IsNaN(_numbers[i]))
                continue;
            var key = Key(value);
            if (key.IsEmpty)
                continue;
            var number = double.NaN;
            Held!.Exchange(key, Time, new Span<double>(ref number));
            if (!double.IsNaN(number))
                Add(key, Time, new ReadOnlySpan<double>(in number), value, null);
        }
    }

    private bool IsKey(scoped ReadOnlySpan<byte> key)
    {
        // A part of the template was absent, or the whole is empty.
        if (key.IsEmpty)
            Reject(DeadLetterReason.BadKey, $"The stream template {binding.Settings.Stream} gives no key for this message.", null);
        else if (key.Length > decoder.Limits.MaxKeyBytes)
            Reject(DeadLetterReason.BadKey, $"The stream key is longer than {decoder.Limits.MaxKeyBytes} bytes.", null);
        else if (!Utf8.IsValid(key))
            Reject(DeadLetterReason.BadKey, "The stream key is not valid UTF-8.", null);
        else
            return true;
        return false;
    }

    private static string NotFinite(CompiledValue value, ReadOnlySpan<byte> raw) =>
        $"The value {value.Name} is \"{Encoding.UTF8.GetString(raw[..Math.Min(raw.Length, 64)])}\" instead of a number.";
}
