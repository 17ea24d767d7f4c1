namespace StreamLstm.Connectors.Codecs;

/// <summary>
/// Scans Influx line protocol: <c>measurement[,tag=value…] field=value[,field=value…] [time]</c>, with backslashes before blanks,
/// commas and equal signs in names, and field texts in double quotes
/// (https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/).
/// </summary>
public static class LineScanner
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
