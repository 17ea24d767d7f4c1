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

    /// <summary>Beyond this a double's decimals are no longer exact.</summary>
    private const double LargestScaled = 9e15;

    private static readonly double[] s_powers = [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

    private readonly byte[] _date = new byte[DateLength];
    private readonly byte[] _last = new byte[32];
    private long _day = long.MinValue;
    private long _lastMicros = long.MinValue;
    private int _lastLength;

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

        // Most readings have a few decimals. The quotient is rounded correctly, so such a number reads back as the value, and no shorter one does.
        const int most = 4;
        if (v != 0 && Math.Abs(v) < LargestScaled / 1e4)
        {
            for (var decimals = 0; decimals <= most; decimals++)
            {
                var scaled = Math.Round(v * s_powers[decimals]);
                if (scaled / s_powers[decimals] != v)
                    continue;
                Scaled(w, (long)scaled, decimals);
                return;
            }
        }

        v.TryFormat(w.GetSpan(32), out var n, default, CultureInfo.InvariantCulture);
        w.Advance(n);
    }

    /// <summary>Decimals that tell a hundred thousandth of a width; negative where there is no such width.</summary>
    public static int DecimalsFor(double width)
    {
        const double parts = 1e5;
        if (!(width > 0) || !double.IsFinite(width))
            return -1;
        var decimals = 0;
        while (decimals < s_powers.Length && width * s_powers[decimals] < parts)
            decimals++;
        return decimals < s_powers.Length ? decimals : -1;
    }

    /// <summary>The number rounded to a count of decimals, without zeros at its end; as it is where that isn't possible; null where there is none.</summary>
    public static void Rounded(ByteWriter w, double v, int decimals)
    {
        if (decimals < 0 || !(Math.Abs(v * s_powers[decimals]) < LargestScaled))
        {
            NumberOrNull(w, v);
            return;
        }

        var scaled = (long)Math.Round(v * s_powers[decimals]);
        while (decimals > 0 && scaled % 10 == 0)
        {
            scaled /= 10;
            decimals--;
        }

        Scaled(w, scaled, decimals);
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

    /// <summary>A time without quotes: seconds, and microseconds where there are any. Times often come again: the last one is kept.</summary>
    public void Time(ByteWriter w, long micros)
    {
        if (micros != _lastMicros)
        {
            _lastLength = Write(_last, micros);
            _lastMicros = micros;
        }

        w.Bytes(_last.AsSpan(0, _lastLength));
    }

    private int Write(Span<byte> text, long micros)
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
        return n;
    }

    /// <summary>scaled · 10^−decimals.</summary>
    private static void Scaled(ByteWriter w, long scaled, int decimals)
    {
        var text = w.GetSpan(32);
        var n = 0;
        if (scaled < 0)
        {
            text[n++] = (byte)'-';
            scaled = -scaled;
        }

        var (whole, fraction) = Math.DivRem(scaled, (long)s_powers[decimals]);
        whole.TryFormat(text[n..], out var digits, default, CultureInfo.InvariantCulture);
        n += digits;
        if (decimals > 0)
        {
            text[n++] = (byte)'.';
            Digits(text[n..], fraction, decimals);
            n += decimals;
        }

        w.Advance(n);
    }

    private static void Digits(Span<byte> text, long v, int digits)
    {
        for (var i = digits - 1; i >= 0; i--, v /= 10)
            text[i] = (byte)('0' + (v % 10));
    }
}
