using System.Buffers.Binary;
using System.Buffers.Text;
using System.Text;
using System.Text.Json;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Codecs;

/// <summary>Many samples at a constant rate in one payload: arrays, texts of numbers, and binary.</summary>
internal static class FrameDecoder
{
    /// <summary>NaN if the unit isn't one of time.</summary>
    public static double MicrosPer(ReadOnlySpan<byte> unit) => unit switch
    {
        _ when unit.SequenceEqual("s"u8) => 1e6,
        _ when unit.SequenceEqual("ms"u8) => 1e3,
        _ when unit.SequenceEqual("us"u8) || unit.SequenceEqual("µs"u8) => 1,
        _ when unit.SequenceEqual("ns"u8) => 1e-3,
        _ => double.NaN,
    };

    /// <summary>The record's slots and time are set.</summary>
    public static void Json(ref Record record)
    {
        var value = record.Binding.Values[0];
        var frame = record.Binding.Frame!;
        var slot = record.Element[value.Slot];
        if (!slot.IsPresent)
        {
            record.Reject(DeadLetterReason.MissingField, $"The samples {value.At} are absent.", null);
            return;
        }

        var tokens = frame.Settings.Layout == FrameLayout.Tokens;
        if (slot.Type != (tokens ? JsonTokenType.String : JsonTokenType.StartArray) || slot.Escaped)
        {
            record.Reject(DeadLetterReason.Malformed, $"The samples {value.At} are not {(tokens ? "a text of numbers" : "an array")}.", null);
            return;
        }

        if (!TryStep(ref record, out var step) || !TryLabels(ref record, out var labels))
            return;
        int count, channels;
        if (tokens)
        {
            channels = 0;
            if (!TryTokens(ref record, record.Raw(slot), out count))
                return;
        }
        else if (!TryArray(ref record, record.Raw(slot), out count, out channels))
        {
            return;
        }

        if (channels == 0)
            channels = labels > 0 ? labels : IsThere(ref record, frame.Dimensions) ? (int)Number(ref record, frame.Dimensions) : 1;
        Write(ref record, count, channels, labels, step, planar: frame.Settings.Layout == FrameLayout.Channels);
    }

    public static bool Binary(ref Record record)
    {
        if (!record.Fulfils())
            return false;
        var frame = record.Binding.Frame!;
        var payload = record.Message.Payload;
        var size = record.Binding.Format == PayloadFormat.Int16 ? sizeof(short) : sizeof(float);
        var channels = frame.Labels.Length > 0 ? frame.Labels.Length : frame.Dimensions.IsGiven ? (int)frame.Dimensions.Literal : 1;
        var bytes = payload.Length - frame.Settings.HeaderBytes;
        if (bytes <= 0 || bytes % (size * channels) != 0)
        {
            record.Reject(DeadLetterReason.Malformed, $"The payload has {payload.Length} bytes: not a header of {frame.Settings.HeaderBytes} and then a multiple of {size * channels}.", null);
            return true;
        }

        if (record.Binding.TimePlace == TimePlace.Bytes)
        {
            Span<byte> text = stackalloc byte[20];
            Utf8Formatter.TryFormat(BinaryPrimitives.ReadInt64LittleEndian(payload[record.Binding.TimeIndex..]), text, out var n);
            if (!record.TryTime(text[..n]))
                return true;
        }
        else if (!record.TryTime())
        {
            return true;
        }

        if (!TryStep(ref record, out var step))
            return true;
        var count = bytes / size;
        if (!record.HasRoom(count))
            return true;
        record.Begin();
        var samples = record.Scratch.Frame(count)[..count];
        var data = payload[frame.Settings.HeaderBytes..];
        if (size == sizeof(short))
        {
            for (var i = 0; i < samples.Length; i++)
                samples[i] = BinaryPrimitives.ReadInt16LittleEndian(data[(2 * i)..]);
        }
        else
        {
            for (var i = 0; i < samples.Length; i++)
                samples[i] = BinaryPrimitives.ReadSingleLittleEndian(data[(4 * i)..]);
        }

        Write(ref record, count, channels, frame.Labels.Length, step, planar: frame.Settings.Layout == FrameLayout.Channels);
        return true;
    }

    /// <summary>The samples are in the scratch; turns them into samples of streams.</summary>
    /// <param name="planar">All samples of a channel together, instead of all of an instant.</param>
    private static void Write(ref Record record, int count, int channels, int labels, double step, bool planar)
    {
        var binding = record.Binding;
        if (labels > 0 && labels != channels)
        {
            record.Reject(DeadLetterReason.Malformed, $"The frame has {channels} channels, but {labels} labels.", null);
            return;
        }

        if (count == 0 || channels < 1 || channels > BindingDecoder.MaxChannels || count % channels != 0)
        {
            record.Reject(DeadLetterReason.Malformed, $"The frame has {count} samples, which don't make {channels} channels of the same length.", null);
            return;
        }

        var n = count / channels;
        var span = (n - 1) * step;
        var first = binding.Frame!.Settings.Anchor == FrameAnchor.First ? record.Time : record.Time - span;
        if (!(span < TimeSpan.MicrosecondsPerDay) || !record.TryTime((long)(first + span)))
        {
            if (!(span < TimeSpan.MicrosecondsPerDay))
                record.Reject(DeadLetterReason.Malformed, "The frame is longer than a day.", null);
            return;
        }

        var samples = record.Scratch.Frame(count)[..count];
        var value = binding.Values[0];
        if (!TryConvert(ref record, value, samples, out var unit))
            return;
        if (!binding.StreamPerChannel)
        {
            Rows(ref record, samples, channels, first, step, planar, value, unit);
            return;
        }

        for (var c = 0; c < channels; c++)
        {
            record.Channel = Label(ref record, c, labels);
            var run = planar ? samples.Slice(c * n, n) : samples[c..];
            record.AddRun(record.Key(value), first, step, run, planar ? 1 : channels, value, unit);
        }
    }

    /// <summary>Without {ch} an instant is one sample with a value per channel.</summary>
    private static void Rows(ref Record record, ReadOnlySpan<double> samples, int channels, double first, double step, bool planar, CompiledValue value, string unit)
    {
        var key = record.Key(value);
        if (channels == 1)
        {
            record.AddRun(key, first, step, samples, 1, value, unit);
            return;
        }

        var n = samples.Length / channels;
        if (n > 1 && !record.IsTraced)
        {
            var rows = samples;
            if (planar)
            {
                var turned = record.Scratch.Block(samples.Length);
                for (var c = 0; c < channels; c++)
                {
                    for (var k = 0; k < n; k++)
                        turned[(k * channels) + c] = samples[(c * n) + k];
                }

                rows = turned;
            }

            record.AddFrame(key, first, step, n, rows);
            return;
        }

        var row = record.Scratch.Values(channels);
        for (var k = 0; k < n && !record.IsFull; k++)
        {
            for (var c = 0; c < channels; c++)
                row[c] = samples[planar ? (c * n) + k : (k * channels) + c];
            if (row.ContainsAnyExcept(double.NaN))
                record.Add(key, (long)(first + (k * step) + 0.5), row, value, unit);
        }
    }

    /// <summary>Origin and factor, then scale, offset and unit of the value; false = nothing is left, and rejected.</summary>
    private static bool TryConvert(ref Record record, CompiledValue value, Span<double> samples, out string unit)
    {
        var frame = record.Binding.Frame!;
        unit = value.Unit?.Unit ?? "";
        var conversion = value.Unit;
        if (value.UnitSlot >= 0 && record.Element[value.UnitSlot] is { Type: JsonTokenType.String } slot)
        {
            var text = record.Text(slot);
            conversion = UnitConversion.Find(text);
            unit = conversion?.Unit ?? Encoding.UTF8.GetString(text);
        }

        var factor = IsThere(ref record, frame.Scale) ? Number(ref record, frame.Scale) : 1;
        var origin = IsThere(ref record, frame.Origin) ? Number(ref record, frame.Origin) : 0;
        if (!double.IsFinite(factor) || !double.IsFinite(origin))
        {
            record.Reject(DeadLetterReason.NotFinite, "The frame's scale or origin is not a number.", null);
            return false;
        }

        if (factor != 1 || origin != 0 || value.Scale != 1 || value.Offset != 0)
        {
            foreach (ref var sample in samples)
                sample = ((origin + (factor * sample)) * value.Scale) + value.Offset;
        }

        if (conversion is not null)
        {
            foreach (ref var sample in samples)
                sample = conversion.Convert(sample);
        }

        var usable = false;
        foreach (ref var sample in samples)
        {
            if (double.IsFinite(sample))
                usable = true;
            else
                sample = double.NaN;
        }

        if (!usable)
            record.Reject(DeadLetterReason.NotFinite, "No sample of the frame is a number.", null);
        return usable;
    }

    private static bool TryStep(ref Record record, out double micros)
    {
        var frame = record.Binding.Frame!;
        if (frame.Rate.IsGiven)
        {
            micros = 1e6 / Number(ref record, frame.Rate);
        }
        else
        {
            var unit = frame.PeriodUnitSlot >= 0
                ? record.Element[frame.PeriodUnitSlot] is { IsPresent: true } slot ? MicrosPer(record.Text(slot)) : double.NaN
                : MicrosPer(Encoding.UTF8.GetBytes(frame.Settings.PeriodUnit));
            micros = Number(ref record, frame.Period) * unit;
        }

        if (double.IsFinite(micros) && micros > 0)
            return true;
        record.Reject(DeadLetterReason.MissingField, $"The frame's {(frame.Rate.IsGiven ? $"rate {frame.Settings.Rate}" : $"period {frame.Settings.Period}")} is absent or not a positive number.", null);
        return false;
    }

    private static bool IsThere(ref Record record, FrameNumber number) => number.Slot >= 0 ? record.Element[number.Slot].IsPresent : number.IsGiven;

    /// <summary>NaN if it isn't there or no number.</summary>
    private static double Number(ref Record record, FrameNumber number)
    {
        if (number.Slot < 0)
            return number.Literal;
        var slot = record.Element[number.Slot];
        return slot.IsPresent && NumberParser.Parse(record.Raw(slot), out var value) == NumberResult.Ok ? value : double.NaN;
    }

    private static bool TryLabels(ref Record record, out int count)
    {
        var frame = record.Binding.Frame!;
        count = frame.Labels.Length;
        if (frame.LabelsSlot < 0)
            return true;
        var slot = record.Element[frame.LabelsSlot];
        if (slot.Type != JsonTokenType.StartArray)
        {
            record.Reject(DeadLetterReason.MissingField, $"The labels {frame.Settings.Labels} are absent or not an array.", null);
            return false;
        }

        var reader = new Utf8JsonReader(record.Raw(slot));
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.String && count < BindingDecoder.MaxChannels)
            record.Scratch.Labels[count++] = new(JsonTokenType.String, slot.Start + (int)reader.TokenStartIndex + 1, reader.ValueSpan.Length, reader.ValueIsEscaped);
        if (reader.TokenType == JsonTokenType.EndArray)
            return true;
        record.Reject(DeadLetterReason.Malformed, $"The labels {frame.Settings.Labels} are not an array of at most {BindingDecoder.MaxChannels} texts.", null);
        return false;
    }

    private static ReadOnlySpan<byte> Label(scoped ref Record record, int channel, int labels)
    {
        var frame = record.Binding.Frame!;
        if (frame.Labels.Length > 0)
            return frame.Labels[channel];
        if (labels > 0)
            return record.Text(record.Scratch.Labels[channel], record.Scratch.Channel);
        Utf8Formatter.TryFormat(channel, record.Scratch.Channel, out var n);
        return record.Scratch.Channel.AsSpan(0, n);
    }

    private static bool TryTokens(ref Record record, ReadOnlySpan<byte> text, out int count)
    {
        count = 0;
        var samples = record.Scratch.Frame(256);
        while (true)
        {
            text = text.TrimStart(" \t\r\n"u8);
            if (text.IsEmpty)
                return true;
            var end = text.IndexOfAny(" \t\r\n"u8);
            var token = end < 0 ? text : text[..end];
            text = end < 0 ? default : text[end..];
            if (count == samples.Length)
            {
                if (!record.HasRoom(count + 1))
                    return false;
                samples = record.Scratch.Frame(count * 2);
            }

            // E, U and L stand for an error and for values beyond the detectable range.
            samples[count++] = NumberParser.Parse(token, out var value) == NumberResult.Ok ? value : double.NaN;
        }
    }

    /// <param name="channels">As the nesting says; 0 = it says nothing.</param>
    private static bool TryArray(ref Record record, ReadOnlySpan<byte> json, out int count, out int channels)
    {
        count = 0;
        channels = 0;
        var layout = record.Binding.Frame!.Settings.Layout;
        var samples = record.Scratch.Frame(256);
        var scanner = new ArrayScanner(json);
        int depth = 0, inner = 0, length = -1, begun = 0;
        while (true)
        {
            switch (scanner.Next(out var item))
            {
                case ArrayToken.Open:
                    depth++;
                    begun = count;
                    if (depth == 2 && layout != FrameLayout.Flat && (inner > 0 || count == 0))
                        break;
                    if (depth > 1)
                        return Refuse(ref record);
                    break;
                case ArrayToken.Close:
                    depth--;
                    if (depth == 0)
                    {
                        channels = inner == 0 ? layout == FrameLayout.Flat ? 0 : 1 : layout == FrameLayout.Channels ? inner : length;
                        return record.HasRoom(count);
                    }

                    inner++;
                    if (length < 0)
                        length = count - begun;
                    else if (length != count - begun)
                        return Refuse(ref record);
                    break;
                case ArrayToken.Item when depth == 2 || inner == 0:
                    if (count == samples.Length)
                    {
                        if (!record.HasRoom(count + 1))
                            return false;
                        samples = record.Scratch.Frame(count * 2);
                    }

                    switch (NumberParser.Parse(item, out var value))
                    {
                        case NumberResult.Ok:
                            samples[count++] = value;
                            break;
                        case NumberResult.Missing:
                            samples[count++] = double.NaN;
                            break;
                        default:
                            return Refuse(ref record);
                    }

                    break;
                default:
                    return Refuse(ref record);
            }
        }

        static bool Refuse(ref Record record)
        {
            record.Reject(DeadLetterReason.Malformed, $"The samples {record.Binding.Values[0].At} are not {record.Binding.Frame!.Settings.Layout switch { FrameLayout.Channels => "one array of numbers per channel, all of the same length", FrameLayout.Rows => "one array per instant with a number per channel", _ => "an array of numbers" }}.", null);
            return false;
        }
    }

    private enum ArrayToken
    {
        Open,
        Close,
        Item,
        Other,
    }

    /// <summary>Walks through arrays of JSON that a reader has found to be valid.</summary>
    private ref struct ArrayScanner(ReadOnlySpan<byte> json)
    {
        private readonly ReadOnlySpan<byte> _json = json;
        private int _at;

        public ArrayToken Next(out ReadOnlySpan<byte> item)
        {
            item = default;
            while (_at < _json.Length && _json[_at] is (byte)',' or (byte)' ' or (byte)'\n' or (byte)'\r' or (byte)'\t')
                _at++;
            if (_at >= _json.Length)
                return ArrayToken.Other;
            var start = _at++;
            switch (_json[start])
            {
                case (byte)'[':
                    return ArrayToken.Open;
                case (byte)']':
                    return ArrayToken.Close;
                case (byte)'{':
                    return ArrayToken.Other;
                case (byte)'"':
                    while (_at < _json.Length && _json[_at] != '"')
                        _at += _json[_at] == '\\' ? 2 : 1;
                    item = _json[(start + 1)..Math.Min(_at, _json.Length)];
                    _at++;
                    return ArrayToken.Item;
                default:
                    while (_at < _json.Length && _json[_at] is not ((byte)',' or (byte)']' or (byte)' ' or (byte)'\n' or (byte)'\r' or (byte)'\t'))
                        _at++;
                    item = _json[start.._at];
                    return ArrayToken.Item;
            }
        }
    }
}
