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

/// <summary>Numbers as devices write them: quoted or not, with blanks around, with a unit behind, or a word for "no value".</summary>
internal static class NumberParser
{
    private const int MaxUnitBytes = 16;

    // Powers of ten that a double holds exactly.
    private static readonly double[] s_powers =
        [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22];

    public static NumberResult Parse(ReadOnlySpan<byte> text, out double value)
    {
        var result = Parse(text, out value, out var unit);
        if (unit.IsEmpty)
            return result;
        value = double.NaN;
        return NumberResult.NotANumber;
    }

    /// <param name="unit">What follows the number, such as <c>kW</c>; part of <paramref name="text"/>.</param>
    public static NumberResult Parse(ReadOnlySpan<byte> text, out double value, out ReadOnlySpan<byte> unit)
    {
        unit = default;
        if (TryPlain(text, out value))
            return NumberResult.Ok;

        text = TimestampParser.Trim(text);
        if (text.Length >= 2 && text[0] == '"' && text[^1] == '"')
            text = TimestampParser.Trim(text[1..^1]);
        value = double.NaN;
        if (text.IsEmpty)
            return NumberResult.Missing;

        var digits = text[0] == '+' ? text[1..] : text;
        if (!digits.IsEmpty && (digits[0] is >= (byte)'0' and <= (byte)'9' or (byte)'-' or (byte)'.')
            && Utf8Parser.TryParse(digits, out double parsed, out var used) && (used == digits.Length || IsUnit(digits[used..])))
        {
            unit = digits[used..].TrimStart(" *"u8);
            if (double.IsFinite(parsed))
            {
                value = parsed;
                return NumberResult.Ok;
            }

            return NumberResult.Missing;
        }

        return IsMissingWord(text) ? NumberResult.Missing : NumberResult.NotANumber;
    }

    /// <summary>
    /// A decimal without exponent and of at most 15 digits, which the quotient of two exact doubles gives correctly rounded (W. D.
    /// Clinger, "How to read floating point numbers accurately", 1990). Anything else is left to the general parser.
    /// </summary>
    public static bool TryPlain(ReadOnlySpan<byte> text, out double value)
    {
        value = double.NaN;
        var i = 0;
        var negative = !text.IsEmpty && text[0] == '-';
        if (negative)
            i++;
        if (text.Length - i is < 1 or > 16)
            return false;
        ulong digits = 0;
        var point = -1;
        var first = i;
        for (; i < text.Length; i++)
        {
            var digit = (uint)(text[i] - '0');
            if (digit <= 9)
                digits = (digits * 10) + digit;
            else if (text[i] == '.' && point < 0)
                point = i;
            else
                return false;
        }

        var fraction = point < 0 ? 0 : text.Length - point - 1;
        if (text.Length - first - (point < 0 ? 0 : 1) is < 1 or > 15)
            return false;
        value = digits / s_powers[fraction];
        if (negative)
            value = -value;
        return true;
    }

    private static bool IsUnit(ReadOnlySpan<byte> rest)
    {
        rest = rest.TrimStart(" *"u8);
        if (rest.Length is 0 or > MaxUnitBytes || !(char.IsAsciiLetter((char)rest[0]) || rest[0] is (byte)'%' || rest[0] >= 0x80))
            return false;
        foreach (var c in rest)
        {
            if (c <= ' ' || c is (byte)'"')
                return false;
        }

        return true;
    }

    private static bool IsMissingWord(ReadOnlySpan<byte> text) =>
        text.Length <= 11 && (Is(text, "null"u8) || Is(text, "na"u8) || Is(text, "n/a"u8) || Is(text, "nan"u8) || Is(text, "none"u8)
        || Is(text, "unavailable"u8) || Is(text, "unknown"u8) || Is(text, "inf"u8) || Is(text, "-inf"u8) || Is(text, "infinity"u8)
        || Is(text, "-infinity"u8) || Is(text, "-nan"u8) || Is(text, "-"u8) || Is(text, "?"u8));

    private static bool Is(ReadOnlySpan<byte> text, ReadOnlySpan<byte> word) => Ascii.EqualsIgnoreCase(text, word);
}
