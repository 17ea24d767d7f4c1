using System.CommandLine;
using System.Globalization;

namespace StreamLstm.Simulator;

/// <summary>
/// Turns the options' texts into values and collects what is wrong with them, so that a user reads every mistake at once.
/// A reader returns its fallback where there is an error.
/// </summary>
internal sealed class OptionReader(ParseResult parsed)
{
    public List<string> Errors { get; } = [];

    /// <summary>True if the option stands on the command line, with a usable value or not.</summary>
    public bool Has(Option<string?> option) => parsed.GetResult(option) is not null;

    public bool IsSet(Option<bool> option) => parsed.GetValue(option);

    public string? Text(Option<string?> option) =>
        parsed.GetResult(option) is { } result && !result.Errors.Any() ? parsed.GetValue(option) : null;

    public long Whole(Option<string?> option, long fallback, long low, long high)
    {
        if (Text(option) is not { } text)
        {
            return fallback;
        }

        if (long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value) && value >= low && value <= high)
        {
            return value;
        }

        return Wrong(option, text, string.Create(CultureInfo.InvariantCulture, $"a whole number from {low} to {high}"), fallback);
    }

    public ulong Seed(Option<string?> option)
    {
        if (Text(option) is not { } text)
        {
            return 1;
        }

        return ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong value)
            ? value
            : Wrong(option, text, "a whole number from 0 to 18446744073709551615", 1UL);
    }

    public double? NotNegative(Option<string?> option)
    {
        if (Text(option) is not { } text)
        {
            return null;
        }

        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && double.IsFinite(value) && value >= 0
            ? value
            : Wrong(option, text, "a number of 0 or more", (double?)null);
    }

    public double? Number(Option<string?> option, double low, double high)
    {
        if (Text(option) is not { } text)
        {
            return null;
        }

        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && value >= low && value <= high
            ? value
            : Wrong(option, text, string.Create(CultureInfo.InvariantCulture, $"a number from {low} to {high}"), (double?)null);
    }

    /// <summary>A duration with its unit: <c>500ms</c>, <c>10s</c>, <c>15m</c>, <c>24h</c>, <c>7d</c>.</summary>
    public TimeSpan? Duration(Option<string?> option)
    {
        if (Text(option) is not { } text)
        {
            return null;
        }

        foreach ((string unit, long ticks) in new[]
        {
            ("ms", TimeSpan.TicksPerMillisecond), ("s", TimeSpan.TicksPerSecond), ("m", TimeSpan.TicksPerMinute),
            ("h", TimeSpan.TicksPerHour), ("d", TimeSpan.TicksPerDay),
        })
        {
            if (text.EndsWith(unit, StringComparison.Ordinal)
                && double.TryParse(text.AsSpan(0, text.Length - unit.Length), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number)
                && number > 0 && number * ticks is >= 1 and < 1e18)
            {
                return TimeSpan.FromTicks((long)Math.Round(number * ticks));
            }
        }

        return Wrong(option, text, "a duration with its unit, such as 30s, 15m, 24h or 7d", (TimeSpan?)null);
    }

    public DateTimeOffset? Time(Option<string?> option)
    {
        if (Text(option) is not { } text)
        {
            return null;
        }

        return TryTime(text, out DateTimeOffset time)
            ? time
            : Wrong(option, text, "a time such as 2026-01-05 or 2026-01-05T06:00:00Z", (DateTimeOffset?)null);
    }

    /// <summary>ISO 8601; without an offset it is UTC.</summary>
    public static bool TryTime(string text, out DateTimeOffset time) =>
        DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal, out time)
        && char.IsAsciiDigit(text[0]) && text.Length >= 10 && text[4] == '-';

    private T Wrong<T>(Option<string?> option, string text, string wanted, T fallback)
    {
        Errors.Add($"{option.Name} '{text}' is not {wanted}.");
        return fallback;
    }
}
