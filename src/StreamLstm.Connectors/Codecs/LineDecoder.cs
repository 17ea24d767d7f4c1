using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Codecs;

/// <summary>Lines as records: named fields, tags and measurement for the key, a time of their own.</summary>
internal static class LineDecoder
{
    private static readonly TimestampFormat s_nanoseconds = TimestampFormat.TryCreate("unix_ns", out var f) ? f : TimestampFormat.Auto;

    public static bool Decode(ref Record record)
    {
        var rest = record.Message.Payload;
        int lines = 0, filtered = 0;
        while (!rest.IsEmpty && !record.IsFull)
        {
            var line = LineScanner.NextLine(ref rest);
            if (line.IsEmpty || line[0] == '#')
                continue;
            lines++;
            if (!LineScanner.TrySplit(line, out var measurement, out var tags, out var fields, out var time))
            {
                record.Reject(DeadLetterReason.Malformed, $"Line {lines} isn't 'measurement[,tag=value] field=value [time]'.", null);
                continue;
            }

            record.Measurement = measurement;
            record.Tags = tags;
            if (record.Fulfils())
                Line(ref record, lines, fields, time);
            else
                filtered++;
        }

        if (lines == 0)
            record.Reject(DeadLetterReason.Malformed, "The payload is empty.", null);
        return lines == 0 || filtered < lines;
    }

    /// <summary>A tag's value, unescaped; empty if the line doesn't have it.</summary>
    public static ReadOnlySpan<byte> Tag(ReadOnlySpan<byte> tags, ReadOnlySpan<byte> name, byte[] buffer)
    {
        while (!tags.IsEmpty && LineScanner.TryNext(ref tags, quoted: false, out var tag, out var value))
        {
            if (tag.SequenceEqual(name) || (tag.Contains((byte)'\\') && Unescape(tag, buffer).SequenceEqual(name)))
                return Unescape(value, buffer);
        }

        return default;
    }

    public static ReadOnlySpan<byte> Unescape(ReadOnlySpan<byte> text, byte[] buffer)
    {
        if (!text.Contains((byte)'\\') || text.Length > buffer.Length)
            return text;
        var n = 0;
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] == '\\' && i + 1 < text.Length && text[i + 1] is (byte)',' or (byte)'=' or (byte)' ')
                i++;
            buffer[n++] = text[i];
        }

        return buffer.AsSpan(0, n);
    }

    private static void Line(ref Record record, int line, ReadOnlySpan<byte> fields, ReadOnlySpan<byte> time)
    {
        if (time.IsEmpty)
        {
            if (!record.TryTime())
                return;
        }
        else
        {
            var format = record.Binding.Settings.Time.Format;
            if (!record.TryTime(time, format == TimestampFormat.Auto ? s_nanoseconds : format))
                return;
        }

        record.Begin();
        var values = record.Binding.Values;
        while (!fields.IsEmpty)
        {
            if (!LineScanner.TryNext(ref fields, quoted: true, out var name, out var raw))
            {
                record.Reject(DeadLetterReason.Malformed, $"A field of line {line} isn't 'name=value'.", null);
                return;
            }

            name = Unescape(name, record.Scratch.Star);
            var index = -1;
            for (var i = 0; i < values.Length; i++)
            {
                if (name.SequenceEqual(values[i].AtUtf8))
                {
                    index = i;
                    break;
                }

                if (values[i].TakesAny)
                    index = i;
            }

            if (index < 0)
                continue;
            var value = values[index];
            if (value.TakesAny && LineScanner.IsWord(raw))
                continue;
            record.Star = name;
            record.Take(value, index, LineScanner.IsWord(raw) ? raw : LineScanner.Number(raw));
        }

        record.Write();
    }
}
