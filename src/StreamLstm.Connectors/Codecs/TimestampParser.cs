using System.Buffers.Text;
using System.Globalization;
using System.Text;

namespace StreamLstm.Connectors.Codecs;

/// <summary>
/// Reads every form of timestamp the connectors meet, from UTF-8, into Unix microseconds. Allocation-free except
/// for .NET custom formats.
/// </summary>
public static class TimestampParser
{
    private const long MicrosPerSecond = 1_000_000;

    // Year 1 to 9999 in Unix seconds; whatever lies outside can't be an event's time and would overflow later arithmetic.
    private const long MinSeconds = -62_135_596_800;
    private const long MaxSeconds = 253_402_300_799;

    private const int MaxCustomLength = 64;

    /// <param name="text">UTF-8; surrounding blanks are ignored.</param>
    /// <param name="zone">Zone of a text without offset.</param>
    /// <param name="arrivalMicros">Chooses between the two instants of an ambiguous local time: the nearer one wins.</param>
    public static bool TryParse(ReadOnlySpan<byte> text, TimestampFormat format, TimeZoneInfo zone, long arrivalMicros, out long micros)
    {
        ArgumentNullException.ThrowIfNull(format);
        ArgumentNullException.ThrowIfNull(zone);
        text = Trim(text);
        micros = 0;
        if (text.IsEmpty)
            return false;

        return format.Kind switch
        {
            TimestampKind.Auto => LooksLikeNumber(text)
                ? TryParseUnix(text, unitMicros: 0, out micros)
                : TryParseIso(text, zone, arrivalMicros, out micros) || TryParseDsmr(text, zone, out micros),
            TimestampKind.Unix => TryParseUnix(text, MicrosPerSecond, out micros),
            TimestampKind.UnixMilliseconds => TryParseUnix(text, 1000, out micros),
            TimestampKind.UnixMicroseconds => TryParseUnix(text, 1, out micros),
            TimestampKind.UnixNanoseconds => TryParseUnix(text, -1000, out micros),
            TimestampKind.Iso8601 => TryParseIso(text, zone, arrivalMicros, out micros),
            TimestampKind.Dsmr => TryParseDsmr(text, zone, out micros),
            _ => TryParseCustom(text, format.Name, zone, arrivalMicros, out micros),
        };
    }

    /// <summary>The common case: <see cref="TimestampFormat.Auto"/>.</summary>
    public static bool TryParse(ReadOnlySpan<byte> text, TimeZoneInfo zone, long arrivalMicros, out long micros) =>
        TryParse(text, TimestampFormat.Auto, zone, arrivalMicros, out micros);

    /// <summary>
    /// Local wall-clock time to Unix microseconds. In the autumn overlap the candidate nearest to <paramref name="arrivalMicros"/>
    /// wins; a time inside the spring gap (or a day that a zone skipped) is shifted forward by the gap's length.
    /// <para>
    /// An instant belongs to the wall time if the offset that holds there leads to it. Offsets are at most 14 hours, so those that come
    /// into question hold a day before or a day after, or at what these lead to.
    /// </para>
    /// </summary>
    public static long FromLocal(DateTime local, TimeZoneInfo zone, long arrivalMicros)
    {
        ArgumentNullException.ThrowIfNull(zone);
        var wall = DateTime.SpecifyKind(local, DateTimeKind.Utc);
        var wallMicros = (wall.Ticks - DateTime.UnixEpoch.Ticks) / TimeSpan.TicksPerMicrosecond;
        if (!zone.SupportsDaylightSavingTime && zone.BaseUtcOffset == TimeSpan.Zero)
            return wallMicros;
        if (wall.Year is 1 or 9999)
            return wallMicros - Micros(zone.BaseUtcOffset);

        var before = zone.GetUtcOffset(wall.AddDays(-1));
        var after = zone.GetUtcOffset(wall.AddDays(1));
        var atBefore = zone.GetUtcOffset(wall - before);
        if (before == after && atBefore == before)
            return wallMicros - Micros(before);

        ReadOnlySpan<TimeSpan> offsets = [before, after, atBefore, zone.GetUtcOffset(wall - after)];
        var best = long.MaxValue;
        foreach (var offset in offsets)
        {
            var candidate = wallMicros - Micros(offset);
            if (zone.GetUtcOffset(wall - offset) != offset)
                continue;
            if (best == long.MaxValue || Distance(candidate, arrivalMicros) < Distance(best, arrivalMicros)
                || (Distance(candidate, arrivalMicros) == Distance(best, arrivalMicros) && candidate < best))
                best = candidate;
        }

        // No instant shows this time: the offset that held before the gap turns 02:30 into the instant that clocks show as 03:30.
        return best != long.MaxValue ? best : wallMicros - Micros(before);
    }

    private static long Micros(TimeSpan span) => span.Ticks / TimeSpan.TicksPerMicrosecond;

    private static ulong Distance(long a, long b) => a > b ? (ulong)a - (ulong)b : (ulong)b - (ulong)a;

    internal static ReadOnlySpan<byte> Trim(ReadOnlySpan<byte> text) => text.Trim(" \t\r\n"u8);

    private static bool LooksLikeNumber(ReadOnlySpan<byte> text)
    {
        var digits = 0;
        for (var i = 0; i < text.Length; i++)
        {
            var c = text[i];
            if (IsDigit(c))
                digits++;
            else if (!(c is (byte)'-' or (byte)'+' && (i == 0 || text[i - 1] is (byte)'e' or (byte)'E'))
                && c is not ((byte)'.' or (byte)'e' or (byte)'E'))
                return false;
        }

        return digits > 0;
    }

    // unitMicros: microseconds per unit, -1000 for nanoseconds, 0 = decided by magnitude.
    private static bool TryParseUnix(ReadOnlySpan<byte> text, long unitMicros, out long micros)
    {
        micros = 0;
        var negative = text[0] == '-';
        var digits = text[0] is (byte)'-' or (byte)'+' ? text[1..] : text;
        long whole = 0;
        var i = 0;
        for (; i < digits.Length && IsDigit(digits[i]); i++)
        {
            if (whole > (long.MaxValue - 9) / 10)
                return false;
            whole = (whole * 10) + (digits[i] - '0');
        }

        if (i == 0)
            return false;

        // Digits after the point as millionths: float seconds keep their microseconds, which a double would round.
        long millionths = 0;
        if (i < digits.Length && digits[i] == '.')
        {
            i++;
            var weight = 100_000L;
            for (; i < digits.Length && IsDigit(digits[i]); i++, weight /= 10)
                millionths += (digits[i] - '0') * weight;
        }

        if (i < digits.Length)
        {
            if (!Utf8Parser.TryParse(text, out double value, out var used) || used != text.Length || !double.IsFinite(value) || Math.Abs(value) > 9e18)
                return false;
            negative = value < 0;
            value = Math.Abs(value);
            whole = (long)value;
            millionths = (long)Math.Round((value - whole) * 1e6);
        }

        if (unitMicros == 0)
            unitMicros = whole < 100_000_000_000 ? MicrosPerSecond : whole < 100_000_000_000_000 ? 1000 : whole < 100_000_000_000_000_000 ? 1 : -1000;

        if (unitMicros < 0)
            micros = whole / 1000;
        else if (whole > MaxSeconds * MicrosPerSecond / unitMicros)
            return false;
        else
            micros = (whole * unitMicros) + (millionths * unitMicros / MicrosPerSecond);

        if (negative)
            micros = -micros;
        return micros >= MinSeconds * MicrosPerSecond && micros <= MaxSeconds * MicrosPerSecond;
    }

    // yyyy-MM-dd[(T| )HH:mm[:ss[(.|,)f…]][ ](Z|±HH[[:]mm])]
    private static bool TryParseIso(ReadOnlySpan<byte> t, TimeZoneInfo zone, long arrivalMicros, out long micros)
    {
        micros = 0;
        if (t.Length < 10 || t[4] != '-' || t[7] != '-'
            || !Digits(t[..4], out var year) || !Digits(t.Slice(5, 2), out var month) || !Digits(t.Slice(8, 2), out var day))
            return false;

        int hour = 0, minute = 0, second = 0;
        long ticks = 0;
        var i = 10;
        if (t.Length > 10)
        {
            if (t.Length < 16 || t[10] is not ((byte)'T' or (byte)'t' or (byte)' ') || t[13] != ':'
                || !Digits(t.Slice(11, 2), out hour) || !Digits(t.Slice(14, 2), out minute))
                return false;
            i = 16;
            if (i < t.Length && t[i] == ':')
            {
                if (t.Length < 19 || !Digits(t.Slice(17, 2), out second))
                    return false;
                i = 19;
                if (i < t.Length && t[i] is (byte)'.' or (byte)',')
                {
                    i++;
                    var start = i;
                    var weight = TimeSpan.TicksPerSecond / 10;
                    for (; i < t.Length && IsDigit(t[i]); i++, weight /= 10)
                        ticks += (t[i] - '0') * weight;
                    if (i == start)
                        return false;
                }
            }
        }

        // ISO 8601 allows 24:00 for the end of a day; some metering exports use it.
        var nextDay = hour == 24 && minute == 0 && second == 0 && ticks == 0;
        if (nextDay)
            hour = 0;
        if (year < 1 || month is < 1 or > 12 || day < 1 || day > DateTime.DaysInMonth(year, month) || hour > 23 || minute > 59 || second > 59)
            return false;
        if (year == 9999 && month == 12 && day == 31)
            return false;

        var local = new DateTime(year, month, day, hour, minute, second, DateTimeKind.Unspecified).AddTicks(ticks);
        if (nextDay)
            local = local.AddDays(1);

        if (i < t.Length && t[i] == ' ')
            i++;
        var rest = t[i..];
        if (rest.IsEmpty)
        {
            micros = FromLocal(local, zone, arrivalMicros);
            return true;
        }

        var wall = (local.Ticks - DateTime.UnixEpoch.Ticks) / TimeSpan.TicksPerMicrosecond;
        if (rest.Length == 1 && rest[0] is (byte)'Z' or (byte)'z')
        {
            micros = wall;
            return true;
        }

        if (rest.Length < 3 || rest[0] is not ((byte)'+' or (byte)'-') || !Digits(rest.Slice(1, 2), out var offsetHours))
            return false;
        var offsetMinutes = 0;
        var tail = rest[3..];
        if (!tail.IsEmpty && tail[0] == ':')
            tail = tail[1..];
        else if (tail.IsEmpty && rest.Length != 3)
            return false;
        if (!tail.IsEmpty && (tail.Length != 2 || !Digits(tail, out offsetMinutes)))
            return false;
        if (offsetHours > 18 || offsetMinutes > 59)
            return false;
        var offset = ((offsetHours * 60L) + offsetMinutes) * 60 * MicrosPerSecond;
        micros = rest[0] == '+' ? wall - offset : wall + offset;
        return true;
    }

    // DSMR P1: YYMMDDhhmmss and S (summer) or W (winter): standard offset of the zone, plus one hour in summer. Never ambiguous.
    private static bool TryParseDsmr(ReadOnlySpan<byte> t, TimeZoneInfo zone, out long micros)
    {
        micros = 0;
        if (t.Length != 13 || t[12] is not ((byte)'S' or (byte)'W')
            || !Digits(t[..2], out var year) || !Digits(t.Slice(2, 2), out var month) || !Digits(t.Slice(4, 2), out var day)
            || !Digits(t.Slice(6, 2), out var hour) || !Digits(t.Slice(8, 2), out var minute) || !Digits(t.Slice(10, 2), out var second))
            return false;
        if (month is < 1 or > 12 || day < 1 || day > DateTime.DaysInMonth(2000 + year, month) || hour > 23 || minute > 59 || second > 59)
            return false;
        var local = new DateTime(2000 + year, month, day, hour, minute, second, DateTimeKind.Unspecified);
        var offset = zone.BaseUtcOffset + (t[12] == 'S' ? TimeSpan.FromHours(1) : TimeSpan.Zero);
        micros = ((local - offset).Ticks - DateTime.UnixEpoch.Ticks) / TimeSpan.TicksPerMicrosecond;
        return true;
    }

    private static bool TryParseCustom(ReadOnlySpan<byte> text, string format, TimeZoneInfo zone, long arrivalMicros, out long micros)
    {
        micros = 0;
        Span<char> chars = stackalloc char[MaxCustomLength];
        if (text.Length > MaxCustomLength || !Encoding.UTF8.TryGetChars(text, chars, out var n))
            return false;

        if (format.Contains('z', StringComparison.Ordinal) || format.Contains('K', StringComparison.Ordinal))
        {
            if (!DateTimeOffset.TryParseExact(chars[..n], format, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var absolute))
                return false;
            micros = (absolute.UtcTicks - DateTime.UnixEpoch.Ticks) / TimeSpan.TicksPerMicrosecond;
            return true;
        }

        if (!DateTime.TryParseExact(chars[..n], format, CultureInfo.InvariantCulture, DateTimeStyles.None, out var local))
            return false;
        micros = FromLocal(local, zone, arrivalMicros);
        return true;
    }

    private static bool IsDigit(byte c) => (uint)(c - '0') <= 9;

    private static bool Digits(ReadOnlySpan<byte> text, out int value)
    {
        value = 0;
        foreach (var c in text)
        {
            if (!IsDigit(c))
                return false;
            value = (value * 10) + (c - '0');
        }

        return true;
    }
}
