using System.Globalization;

namespace StreamLstm.Worker.Configuration;

/// <summary>
/// Durations are written with one unit: <c>250ms</c>, <c>30s</c>, <c>15m</c>, <c>24h</c>, <c>7d</c>. Bare numbers are refused, as
/// nobody can tell their unit (and .NET reads <c>24:00:00</c> as 24 days).
/// </summary>
public static class Duration
{
    private static readonly (string Unit, long Ticks)[] s_units =
    [
        ("ms", TimeSpan.TicksPerMillisecond), ("s", TimeSpan.TicksPerSecond), ("m", TimeSpan.TicksPerMinute),
        ("h", TimeSpan.TicksPerHour), ("d", TimeSpan.TicksPerDay),
    ];

    public static bool TryParse(string? text, out TimeSpan duration)
    {
        duration = default;
        if (text is null)
            return false;
        foreach (var (unit, ticks) in s_units)
        {
            if (!text.EndsWith(unit, StringComparison.Ordinal)
                || !long.TryParse(text.AsSpan(0, text.Length - unit.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var n))
                continue;
            if (n > TimeSpan.MaxValue.Ticks / ticks)
                return false;
            duration = TimeSpan.FromTicks(n * ticks);
            return true;
        }

        return false;
    }

    /// <summary>In the largest unit that divides it.</summary>
    public static string Format(TimeSpan duration)
    {
        for (var i = s_units.Length - 1; i > 0; i--)
        {
            if (duration.Ticks != 0 && duration.Ticks % s_units[i].Ticks == 0)
                return string.Create(CultureInfo.InvariantCulture, $"{duration.Ticks / s_units[i].Ticks}{s_units[i].Unit}");
        }

        return duration == TimeSpan.Zero ? "0s" : string.Create(CultureInfo.InvariantCulture, $"{duration.Ticks / TimeSpan.TicksPerMillisecond}ms");
    }
}
