using System.Buffers.Text;
using System.Text;

namespace StreamLstm.Connectors.Codecs;

internal enum NumberResult
{
    Ok,

    /// <summary>Empty or a word that stands for "no value".</summary>
    Missing,

    /// <summary>Neither a number nor such a word.</summary>
    NotANumber,
}

/// <summary>Numbers as devices write them: quoted or not, with blanks around, or a word for "no value".</summary>
internal static class NumberParser
{
    public static NumberResult Parse(ReadOnlySpan<byte> text, out double value)
    {
        text = TimestampParser.Trim(text);
        if (text.Length >= 2 && text[0] == '"' && text[^1] == '"')
            text = TimestampParser.Trim(text[1..^1]);
        value = double.NaN;
        if (text.IsEmpty)
            return NumberResult.Missing;

        var digits = text[0] == '+' ? text[1..] : text;
        if (!digits.IsEmpty && (digits[0] is >= (byte)'0' and <= (byte)'9' or (byte)'-' or (byte)'.')
            && Utf8Parser.TryParse(digits, out double parsed, out var used) && used == digits.Length)
        {
            if (double.IsFinite(parsed))
            {
                value = parsed;
                return NumberResult.Ok;
            }

            return NumberResult.Missing;
        }

        return IsMissingWord(text) ? NumberResult.Missing : NumberResult.NotANumber;
    }

    private static bool IsMissingWord(ReadOnlySpan<byte> text) =>
        text.Length <= 11 && (Is(text, "null"u8) || Is(text, "na"u8) || Is(text, "n/a"u8) || Is(text, "nan"u8) || Is(text, "none"u8)
        || Is(text, "unavailable"u8) || Is(text, "unknown"u8) || Is(text, "inf"u8) || Is(text, "-inf"u8) || Is(text, "infinity"u8)
        || Is(text, "-infinity"u8) || Is(text, "-nan"u8) || Is(text, "-"u8) || Is(text, "?"u8));

    private static bool Is(ReadOnlySpan<byte> text, ReadOnlySpan<byte> word) => Ascii.EqualsIgnoreCase(text, word);
}
