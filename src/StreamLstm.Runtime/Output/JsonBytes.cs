using System.Globalization;
using System.Text.Encodings.Web;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Output;

/// <summary>
/// Parts of JSON written straight into the buffer they are committed from: a result has twenty of them, and a general writer spends
/// more on its checks than on the bytes. Not thread-safe.
/// </summary>
internal sealed class JsonBytes
{
    private const long MicrosPerDay = 86_400_000_000;
    private const int DateLength = 10;

    private readonly byte[] _date = new byte[DateLength];
    private long _day = long.MinValue;

    /// <summary>A finite number, the shortest that reads back as the same.</summary>
    public static void Number(ByteWriter w, float v)
    {
        if (!float.IsFinite(v))
            throw new InvalidOperationException($"{v} has no place in JSON.");
        v.TryFormat(w.GetSpan(32), out var n, default, CultureInfo.InvariantCulture);
        w.Advance(n);
    }

    /// <summary>The shortest number that reads back as the same, or null where there is none.</summary>
    public static void NumberOrNull(ByteWriter w, double v)
    {
        if (!double.IsFinite(v))
        {
            w.Bytes("null"u8);
            return;
        }

        v.TryFormat(w.GetSpan(32), out var n, default, CultureInfo.InvariantCulture);
        w.Advance(n);
    }

    public static void Number(ByteWriter w, int v)
    {
        v.TryFormat(w.GetSpan(16), out var n, default, CultureInfo.InvariantCulture);
        w.Advance(n);
    }

    /// <summary>The inside of a string, without its quotes.</summary>
    public static void Escaped(ByteWriter w, ReadOnlySpan<byte> utf8)
    {
        if (!utf8.ContainsAnyExceptInRange((byte)' ', (byte)'~') && utf8.IndexOfAny((byte)'"', (byte)'\\') < 0)
        {
            w.Bytes(utf8);
            return;
        }

        var span = w.GetSpan(12 * utf8.Length);
        JavaScriptEncoder.UnsafeRelaxedJsonEscaping.EncodeUtf8(utf8, span, out _, out var n);
        w.Advance(n);
    }

    /// <summary>A time without quotes: seconds, and microseconds where there are any.</summary>
    public void Time(ByteWriter w, long micros)
    {
        var day = (micros / MicrosPerDay) - (micros % MicrosPerDay < 0 ? 1 : 0);
        if (day != _day)
        {
            UnixMicros.ToDateTimeOffset(day * MicrosPerDay).TryFormat(_date, out _, "yyyy-MM-dd", CultureInfo.InvariantCulture);
            _day = day;
        }

        var inDay = micros - (day * MicrosPerDay);
        var fraction = (int)(inDay % 1_000_000);
        var seconds = (int)(inDay / 1_000_000);
        var text = w.GetSpan(32);
        _date.CopyTo(text);
        text[10] = (byte)'T';
        Digits(text[11..], seconds / 3600, 2);
        text[13] = (byte)':';
        Digits(text[14..], seconds / 60 % 60, 2);
        text[16] = (byte)':';
        Digits(text[17..], seconds % 60, 2);
        var n = 19;
        if (fraction != 0)
        {
            text[n++] = (byte)'.';
            Digits(text[n..], fraction, 6);
            n += 6;
        }

        text[n++] = (byte)'Z';
        w.Advance(n);
    }

    private static void Digits(Span<byte> text, int v, int digits)
    {
        for (var i = digits - 1; i >= 0; i--, v /= 10)
            text[i] = (byte)('0' + (v % 10));
    }
}
