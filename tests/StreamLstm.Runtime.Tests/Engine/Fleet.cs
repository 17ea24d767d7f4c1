using StreamLstm.Core.Numerics;
using StreamLstm.Runtime.Calendars;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Runtime.Tests.Engine;

/// <summary>
/// A small fleet with everything in it that reality has: daily cycles with noise, holidays, days of 23 and 25 hours, gaps, some of which are filled hours later, late and repeated samples, spikes, a stream that
/// falls silent, one that is born later, bad values, unknown streams, several channels. Quarter-hourly; arrival = event time + 1 s.
/// </summary>
internal static class Fleet
{
    public static readonly DateTimeOffset Start = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    public static readonly IReadOnlyList<Profile> Profiles =
    [
        new() { Name = "single", Select = "s/*", HiddenSize = 8, HorizonSteps = 8, MaxGapFrames = 2, ValidMin = -1000, ValidMax = 1000, AllowedLateness = TimeSpan.FromMinutes(15), SamplesPerFrame = 1, RepairHorizon = TimeSpan.FromHours(5), Zone = Changing(), Holidays = HolidayCalendar.Create(["DE-BW"], ["2026-01-08,,Works outing"], []) },
        new() { Name = "multi", Select = "m/*", HiddenSize = 8, HorizonSteps = 8, MaxGapFrames = 2, Channels = ["a", "b", "c"], Covariates = ["c"], Outlooks = new Dictionary<string, string> { ["c"] = "outlook/c" }, Season = TimeSpan.FromHours(6), ForecastEvery = 4, Explain = true, RepairHorizon = TimeSpan.FromHours(6) },
    ];

    /// <summary>Clocks go forward on the third day, and back on the fourth.</summary>
    private static TimeZoneInfo Changing() => TimeZoneInfo.CreateCustomTimeZone(
        "test", TimeSpan.FromHours(1), "test", "test", "test",
        [TimeZoneInfo.AdjustmentRule.CreateAdjustmentRule(new DateTime(2000, 1, 1), new DateTime(2100, 1, 1), TimeSpan.FromHours(1),
            TimeZoneInfo.TransitionTime.CreateFixedDateRule(new DateTime(1, 1, 1, 2, 0, 0), 1, 7), TimeZoneInfo.TransitionTime.CreateFixedDateRule(new DateTime(1, 1, 1, 3, 0, 0), 1, 8))]);

    public static TimeSpan Step { get; } = TimeSpan.FromMinutes(15);

    public static EngineSettings Settings(string state) => new() { StateDirectory = state, Profiles = Profiles, KeepJournal = true };

    /// <summary>What the fleet sends in one quarter of an hour.</summary>
    public static SampleBatch Quarter(int step)
    {
        var batch = new SampleBatch();
        var time = UnixMicros.From(Start + (step * Step));
        var arrival = time + 1_000_000;
        for (var s = 0; s < 5; s++)
        {
            var random = new CounterRandom(7, (ulong)s);
            if (Missing(s, step))
                continue;
            batch.Add($"s/{s}", time, arrival, [Value(s, step)]);
            if (random.Below(40, (ulong)step) == 0)
                batch.Add($"s/{s}", time, arrival, [Value(s, step)]);
            if (random.Below(50, (ulong)step + 1_000_000) == 0)
                batch.Add($"s/{s}", time - (3 * 3_600_000_000L), arrival, [1]);
            if (random.Below(60, (ulong)step + 2_000_000) == 0)
                batch.Add($"s/{s}", time + 1, arrival, [5000]);
        }

        // Every two hours a new vintage of what channel c will be.
        for (var ahead = 0; ahead < 16 && step % 8 == 5; ahead++)
            batch.Add("outlook/c", time, arrival, [(time / 1e6) + (900 * ahead), Value(12, step + ahead) + (step % 3)]);
        // What was missing comes after all: single samples an hour and a half later, a backlog of seven at once, one channel by itself.
        if (step >= 6 && Missing(1, step - 6))
            batch.Add("s/1", time - (6 * 900_000_000L), arrival, [Value(1, step - 6)]);
        for (var back = 11; back > 4 && step % 96 == 72; back--)
            batch.Add("s/2", time - (back * 900_000_000L), arrival, [Value(2, step - back)]);
        batch.Add("m/0", time, arrival, [Value(10, step), step % 50 == 7 ? double.NaN : Value(11, step), step % 31 == 9 ? double.NaN : Value(12, step)]);
        if (step > 31 && step % 31 == 12)
            batch.Add("m/0", time - (3 * 900_000_000L), arrival, [double.NaN, double.NaN, Value(12, step - 3)]);
        if (step % 40 == 3)
            batch.Add("unknown", time, arrival, [1]);
        if (step % 45 == 4)
            batch.Add("m/0", time, arrival, [1, 2]);
        if (step % 55 == 5)
            batch.Add("s/bad", time, arrival, [double.PositiveInfinity]);
        return batch;
    }

    private static bool Missing(int s, int step) => s switch
    {
        1 => step % 37 == 11,
        2 => step % 96 is > 60 and < 68,
        3 => step is > 150 and < 260,
        4 => step < 120,
        _ => false,
    };

    private static double Value(int s, int step)
    {
        var day = Math.Sin(2 * Math.PI * ((step % 96) + (5 * s)) / 96);
        var noise = (new CounterRandom(3, (ulong)s).Below(2001, (ulong)step) - 1000) / 1000.0;
        var spike = step > 150 && step % 83 == s ? 12 : 0;
        return 20 + s + (5 * day) + (0.4 * noise) + spike;
    }
}
