using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Codecs;

/// <summary>
/// Scans Influx line protocol: <c>measurement[,tag=value…] field=value[,field=value…] [time]</c>, with backslashes before blanks,
/// commas and equal signs in names, and field texts in double quotes
/// (https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/).
/// </summary>
public static class LineProtocol
{
    /// <summary>Cuts the next line off; a quoted text may contain line ends. Without blanks around it.</summary>
    public static ReadOnlySpan<byte> NextLine(scoped ref ReadOnlySpan<byte> rest)
    {
        var end = rest.IndexOf((byte)'\n');

        // Only fields can hold quotes, and an odd number before the line end says that a text goes on.
        if (end >= 0 && rest[..end].Contains((byte)'"'))
            end = EndOfQuoted(rest);
        var line = end < 0 ? rest : rest[..end];
        rest = end < 0 ? default : rest[(end + 1)..];
        return line.Trim(" \t\r"u8);
    }

    /// <summary>Splits a line into its parts; false if there is no field section.</summary>
    /// <param name="tags">Without the leading comma.</param>
    public static bool TrySplit(ReadOnlySpan<byte> line, out ReadOnlySpan<byte> measurement, out ReadOnlySpan<byte> tags, out ReadOnlySpan<byte> fields, out ReadOnlySpan<byte> time)
    {
        measurement = tags = fields = time = default;
        var seriesEnd = IndexOf(line, (byte)' ', quoted: false);
        if (seriesEnd <= 0)
            return false;
        var series = line[..seriesEnd];
        var comma = IndexOf(series, (byte)',', quoted: false);
        measurement = comma < 0 ? series : series[..comma];
        tags = comma < 0 ? default : series[(comma + 1)..];
        var rest = line[(seriesEnd + 1)..].TrimStart((byte)' ');
        var fieldsEnd = IndexOf(rest, (byte)' ', quoted: true);
        fields = fieldsEnd < 0 ? rest : rest[..fieldsEnd];
        time = fieldsEnd < 0 ? default : rest[(fieldsEnd + 1)..].Trim((byte)' ');
        return !measurement.IsEmpty && !fields.IsEmpty;
    }

    /// <summary>Cuts the next <c>name=value</c> off; false if it isn't one.</summary>
    public static bool TryNext(scoped ref ReadOnlySpan<byte> rest, bool quoted, out ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        var equals = IndexOf(rest, (byte)'=', quoted: false);
        name = value = default;
        if (equals <= 0)
            return false;
        name = rest[..equals];
        rest = rest[(equals + 1)..];
        var end = IndexOf(rest, (byte)',', quoted);
        value = end < 0 ? rest : rest[..end];
        rest = end < 0 ? default : rest[(end + 1)..];
        return !value.IsEmpty && IndexOf(name, (byte)',', quoted: false) < 0;
    }

    /// <summary>Index of the first <paramref name="c"/> that is neither escaped nor, if asked, inside double quotes; −1 if none.</summary>
    public static int IndexOf(ReadOnlySpan<byte> text, byte c, bool quoted)
    {
        var at = text.IndexOf(c);
        if (at < 0)
            return -1;

        // Nearly always nothing before it is special.
        var head = text[..at];
        if (quoted ? !head.ContainsAny((byte)'\\', (byte)'"') : !head.Contains((byte)'\\'))
            return at;
        var inside = false;
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] == '\\')
                i++;
            else if (quoted && text[i] == '"')
                inside = !inside;
            else if (text[i] == c && !inside)
                return i;
        }

        return -1;
    }

    /// <summary>Number of a field: an integer's <c>i</c> or <c>u</c> left out.</summary>
    public static ReadOnlySpan<byte> Number(ReadOnlySpan<byte> value) => value[^1] is (byte)'i' or (byte)'u' ? value[..^1] : value;

    /// <summary>Whether a field is a text or a boolean.</summary>
    public static bool IsWord(ReadOnlySpan<byte> value) => value[0] is (byte)'"' or (byte)'t' or (byte)'T' or (byte)'f' or (byte)'F';

    private static int EndOfQuoted(ReadOnlySpan<byte> text)
    {
        var inside = false;
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] == '\\')
                i++;
            else if (text[i] == '"')
                inside = !inside;
            else if (text[i] == '\n' && !inside)
                return i;
        }

        // A quote that never closes must not swallow the lines behind it.
        return inside ? text.IndexOf((byte)'\n') : -1;
    }
}

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
            var line = LineProtocol.NextLine(ref rest);
            if (line.IsEmpty || line[0] == '#')
                continue;
            lines++;
            if (!LineProtocol.TrySplit(line, out var measurement, out var tags, out var fields, out var time))
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
        while (!tags.IsEmpty && LineProtocol.TryNext(ref tags, quoted: false, out var tag, out var value))
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
            if (!record.TryArrival())
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
            if (!LineProtocol.TryNext(ref fields, quoted: true, out var name, out var raw))
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
            if (value.TakesAny && LineProtocol.IsWord(raw))
                continue;
            record.Star = name;
            record.Take(value, index, LineProtocol.IsWord(raw) ? raw : LineProtocol.Number(raw));
        }

        record.Write();
    }
}
