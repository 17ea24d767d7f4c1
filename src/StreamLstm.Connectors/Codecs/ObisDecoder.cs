using System.Globalization;
using System.Text;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Codecs;

/// <summary>
/// A P1 telegram (NEN-EN-IEC 62056-21 mode D with the object ids of IEC 62056-61, as in the "Dutch Smart Meter Requirements P1
/// companion standard" 5.0.2): <c>/ident</c>, lines <c>id(group)(group)…</c>, <c>!</c>, and since version 4 a CRC16 of everything up to
/// and with the <c>!</c>. The value is in the last group, its unit after <c>*</c>.
/// </summary>
internal static class ObisDecoder
{
    public static bool Decode(ref Record record)
    {
        if (!record.Fulfils())
            return false;
        var payload = record.Message.Payload;
        var start = payload.IndexOf((byte)'/');
        var end = start < 0 ? -1 : payload[start..].IndexOf("\n!"u8);
        if (end < 0)
        {
            record.Reject(DeadLetterReason.Malformed, start < 0 ? "The payload has no / with which a telegram begins." : "The telegram has no line with ! at its end.", null);
            return true;
        }

        var telegram = payload.Slice(start, end + 2);
        var crc = TimestampParser.Trim(payload[(start + end + 2)..]);
        if (!crc.IsEmpty && !HasCrc(ref record, telegram, crc))
            return true;
        Lines(ref record, telegram[..^1]);
        return true;
    }

    /// <summary>CRC16 of the telegram: polynomial x¹⁶ + x¹⁵ + x² + 1, least significant bit first, start 0.</summary>
    public static ushort Crc(ReadOnlySpan<byte> telegram)
    {
        uint crc = 0;
        foreach (var b in telegram)
        {
            crc ^= b;
            for (var bit = 0; bit < 8; bit++)
                crc = (crc & 1) != 0 ? (crc >> 1) ^ 0xA001 : crc >> 1;
        }

        return (ushort)crc;
    }

    private static bool HasCrc(ref Record record, ReadOnlySpan<byte> telegram, ReadOnlySpan<byte> crc)
    {
        if (crc.Length == 4 && ushort.TryParse(crc, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var given) && given == Crc(telegram))
            return true;
        record.Reject(DeadLetterReason.Malformed, $"The telegram's CRC is {Encoding.ASCII.GetString(crc[..Math.Min(crc.Length, 8)])}, but its text gives {Crc(telegram):X4}: it was damaged on its way.", null);
        return false;
    }

    private static void Lines(ref Record record, ReadOnlySpan<byte> telegram)
    {
        var binding = record.Binding;
        if (binding.TimePlace == TimePlace.Obis)
        {
            if (Find(telegram, binding.TimeObis) is { IsEmpty: false } time ? !record.TryTime(time) : !record.TryAbsent())
                return;
        }
        else if (!record.TryTime())
        {
            return;
        }

        record.Begin();
        var values = binding.Values;
        while (!telegram.IsEmpty)
        {
            var line = NextLine(ref telegram);
            var open = line.IndexOf((byte)'(');
            if (open <= 0 || line[^1] != ')')
                continue;
            var id = line[..open];
            var raw = line[(line.LastIndexOf((byte)'(') + 1)..^1];
            for (var i = 0; i < values.Length; i++)
            {
                // Without a unit it is a text, a date or a counter of events.
                if (values[i].TakesAny ? !raw.Contains((byte)'*') || binding.Names(id) : !id.SequenceEqual(values[i].AtUtf8))
                    continue;
                record.Star = id;
                record.Take(values[i], i, raw);
            }
        }

        record.Write();
    }

    /// <summary>First group of the line with an id; empty if there is none.</summary>
    private static ReadOnlySpan<byte> Find(ReadOnlySpan<byte> telegram, ReadOnlySpan<byte> id)
    {
        while (!telegram.IsEmpty)
        {
            var line = NextLine(ref telegram);
            var open = line.IndexOf((byte)'(');
            var close = line.IndexOf((byte)')');
            if (open > 0 && close > open && line[..open].SequenceEqual(id))
                return line[(open + 1)..close];
        }

        return default;
    }

    private static ReadOnlySpan<byte> NextLine(scoped ref ReadOnlySpan<byte> text)
    {
        var end = text.IndexOf((byte)'\n');
        var line = end < 0 ? text : text[..end];
        text = end < 0 ? default : text[(end + 1)..];
        return line.Trim(" \t\r"u8);
    }
}
