namespace StreamLstm.Simulation;

/// <summary>What all streams of the region share at one moment: calendar, sun and weather.</summary>
/// <param name="Start">Start of the averaged span, seconds since the Unix epoch.</param>
/// <param name="Seconds">Length of the span.</param>
/// <param name="Day">Days since the Unix epoch.</param>
/// <param name="Hour">Hour of the day at the middle of the span, 0…24.</param>
/// <param name="Winter">Annual shape: 1 in mid-January, −1 in mid-July.</param>
/// <param name="Sun">Sine of the sun's elevation, 0 at night.</param>
/// <param name="Clearness">Share of the clear-sky radiation that reaches the ground, 0…1.</param>
internal readonly record struct Moment(
    double Start, double Seconds, long Day, double Hour, bool FreeDay, bool FreeDayBefore, double Winter, double Sun,
    double TemperatureCelsius, double Clearness)
{
    public double Middle => Start + (Seconds / 2);

    /// <summary>Mean share of this span during which something runs that starts and ends at the given seconds.</summary>
    public double Share(double start, double end) =>
        Math.Max(0, Math.Min(Start + Seconds, end) - Math.Max(Start, start)) / Seconds;
}

/// <summary>
/// One region in central Europe. Its local time is UTC and has no daylight saving, so the daily pattern stays where it is
/// in the published times.
/// </summary>
internal sealed class Region(CounterRandom random)
{
    public const double SecondsPerDay = 86400;

    private const double LatitudeRadians = 47 * Math.PI / 180;
    private const double DaysPerYear = 365.2425;

    private readonly CorrelatedNoise _front = new(random.Branch(1), 6 * 3600, 0.9);
    private readonly CorrelatedNoise _cloudiness = new(random.Branch(2), 6 * 3600, 0.75);
    private readonly CorrelatedNoise _clouds = new(random.Branch(3), 3600, 0.6);

    public Moment At(double start, double seconds)
    {
        double middle = start + (seconds / 2);
        double day = Math.Floor(middle / SecondsPerDay);
        double hour = (middle - (day * SecondsPerDay)) / 3600;
        double winter = Math.Cos(2 * Math.PI * ((middle / SecondsPerDay / DaysPerYear) - (15 / DaysPerYear)));

        // Declination in radians, lowest at the winter solstice; hour angle zero at noon.
        double declination = -0.409 * Math.Cos(2 * Math.PI * ((middle / SecondsPerDay) + 10) / DaysPerYear);
        double sun = Math.Max(0,
            (Math.Sin(LatitudeRadians) * Math.Sin(declination))
            + (Math.Cos(LatitudeRadians) * Math.Cos(declination) * Math.Cos(2 * Math.PI * (hour - 12) / 24)));
        double clearness = Math.Clamp(
            0.62 - (0.1 * winter) + (0.28 * _cloudiness.At(middle)) + (0.12 * _clouds.At(middle)), 0.07, 1);
        double temperature = 10.5 - (9.5 * winter)
            + ((3.2 - (1.4 * winter)) * Math.Cos(2 * Math.PI * (hour - 15) / 24))
            + (3.5 * _front.At(middle));
        return new Moment(
            start, seconds, (long)day, hour, IsFreeDay((long)day), IsFreeDay((long)day - 1), winter, sun, temperature, clearness);
    }

    /// <summary>Saturdays, Sundays and a few fixed public holidays.</summary>
    public static bool IsFreeDay(long day)
    {
        DateTime date = DateTime.UnixEpoch.AddDays(day);
        return date.DayOfWeek is DayOfWeek.Saturday or DayOfWeek.Sunday
            || (date.Month, date.Day) is (1, 1) or (5, 1) or (12, 24) or (12, 25) or (12, 26);
    }
}
