using StreamLstm.Connectors.Files;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Codecs;

/// <summary>A number as the whole payload, and numbers by position.</summary>
internal static class TextDecoder
{
    public static bool Text(ref Record record)
    {
        if (!record.Fulfils())
            return false;
        if (!record.TryTime())
            return true;
        record.Begin();
        record.Take(record.Binding.Values[0], 0, record.Message.Payload);
        record.Write();
        return true;
    }

    public static bool Csv(ref Record record)
    {
        if (!record.Fulfils())
            return false;
        var rest = record.Message.Payload;
        if (TimestampParser.Trim(rest).IsEmpty)
        {
            record.Reject(DeadLetterReason.Malformed, "The payload is empty.", null);
            return true;
        }

        var cells = record.Scratch.Cells;
        while (!rest.IsEmpty && !record.IsFull)
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
                Line(ref record, line, cells.AsSpan(0, n));
        }

        return true;
    }

    private static void Line(ref Record record, ReadOnlySpan<byte> line, ReadOnlySpan<Range> cells)
    {
        var binding = record.Binding;
        if (binding.TimePlace == TimePlace.Column)
        {
            if (binding.TimeIndex >= cells.Length)
            {
                if (!binding.Settings.Time.Optional)
                {
                    record.Reject(DeadLetterReason.MissingField, $"The payload has {cells.Length} columns, none with index {binding.Settings.Time.At} for the time.", null);
                    return;
                }

                if (!record.TryAbsent())
                    return;
            }
            else if (!record.TryTime(TabularReader.Unquote(line[cells[binding.TimeIndex]], record.Scratch.Text)))
            {
                return;
            }
        }
        else if (!record.TryTime())
        {
            return;
        }

        record.Begin();
        for (var i = 0; i < binding.Values.Length; i++)
        {
            var value = binding.Values[i];
            if (value.Slot < cells.Length)
                record.Take(value, i, line[cells[value.Slot]]);
        }

        record.Write();
    }
}
