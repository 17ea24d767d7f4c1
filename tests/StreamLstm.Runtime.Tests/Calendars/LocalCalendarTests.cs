using StreamLstm.Core.Forecasting;
using StreamLstm.Runtime.Calendars;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Sharding;

namespace StreamLstm.Runtime.Tests.Calendars;

[Trait("Category", "Formats")]
public sealed class LocalCalendarTests
{
    public static TheoryData<string> Zones =>
    [
        "Europe/Amsterdam", "Europe/London", "America/New_York", "America/Sao_Paulo", "Australia/Melbourne", "Australia/Lord_Howe", "Asia/Tehran", "Africa/Casablanca", "Pacific/Apia", "Asia/Kolkata",
    ];

    [Theory]
    [MemberData(nameof(Zones))]
    public void Phases_are_those_of_the_local_clock_at_every_frame_around_every_transition(string zone)
    {
        foreach (var minutes in new[] { 15, 30, 60 })
        {
            var profile = Profile(zone, minutes);
            var plan = Plan(profile);
            var calendar = new LocalCalendar(plan, profile);
            var withPath = 0;
            // Every third hour of twelve years; near transitions every frame.
            for (var frame = Frame(profile, 2009); frame < Frame(profile, 2021);)
            {
                var phase = calendar.Phase(frame);
                var local = Local(profile, frame);
                Assert.True(Expected(plan, local) == (phase.DayPhase, phase.WeekPhase), $"{zone}, {local:O}: {phase.DayPhase}, {phase.WeekPhase}");
                for (var h = 0; h <= plan.PathReach && phase.Path is not null; h += 5)
                    Assert.Equal(Expected(plan, Local(profile, frame + h)), (phase.Path.DayPhase[h], phase.Path.WeekPhase[h]));
                // Without a path everything a season of frames away is at the same time of day.
                if (phase.Path is null)
                    Assert.All(new[] { -plan.RingLength + 1, plan.PathReach }, away => Assert.Equal(Local(profile, frame).Offset, Local(profile, frame + away).Offset));
                withPath += phase.Path is null ? 0 : 1;
                var near = Local(profile, frame).Offset != Local(profile, frame + (180 / minutes)).Offset;
                frame += near ? 1 : 180 / minutes;
            }

            Assert.Equal(zone == "Asia/Kolkata", withPath == 0);
        }
    }

    [Theory]
    [MemberData(nameof(Zones))]
    public void The_same_time_of_a_day_or_a_week_before_is_local_time_and_known_at_the_origin(string zone)
    {
        var profile = Profile(zone, 30);
        var plan = Plan(profile);
        var calendar = new LocalCalendar(plan, profile);
        var (checkedTimes, elsewhere) = (0, 0);
        for (var frame = Frame(profile, 2011) + 12_000L; frame < Frame(profile, 2013); frame += 5)
        {
            if (calendar.Phase(frame).Path is not { } path)
                continue;
            for (var h = 1; h <= plan.Horizon; h += 7)
            {
                Check(path.DayLag[h], 1, h);
                Check(path.WeekLag[h], 7, h);
            }

            for (var j = 0; j < plan.Knots.Length; j++)
            {
                Assert.True(calendar.Phase(frame - plan.Knots[j]).Path is not { } then || then.DayLag[plan.Knots[j]] == path.ArrivedDayLag[j], "What arrives is what was forecast.");
                path = calendar.Phase(frame).Path!;
            }

            void Check(int lag, int days, int h)
            {
                Assert.InRange(lag, Math.Max(1, h), plan.RingLength - 1);
                var (target, source) = (Local(profile, frame + h), Local(profile, frame + h - lag));
                checkedTimes++;
                // A date line that was crossed, or a time that the earlier day didn't have or that lies ahead of the origin.
                if (target.TimeOfDay != source.TimeOfDay || (target.Date - source.Date).Days % days != 0)
                    elsewhere++;
            }
        }

        Assert.True(zone is "Asia/Kolkata" || checkedTimes > 500);
        Assert.InRange(elsewhere, 0, checkedTimes / (zone == "Pacific/Apia" ? 2 : 40));
    }

    /// <summary>What a household does at half past seven it does at half past seven, however many hours the day has.</summary>
    [Theory]
    [InlineData("Europe/Amsterdam", 2025, 3, 30)]
    [InlineData("Europe/Amsterdam", 2025, 10, 26)]
    [InlineData("Australia/Melbourne", 2013, 4, 7)]
    [InlineData("Australia/Melbourne", 2013, 10, 6)]
    public void Seasonal_experts_follow_the_clock_through_days_of_23_and_25_hours(string zone, int year, int month, int day)
    {
        var profile = Profile(zone, 30);
        var plan = Plan(profile);
        var model = new SeriesModel(plan);
        var calendar = new LocalCalendar(plan, profile);
        var record = new float[plan.RecordWords];
        model.Initialise(record);
        var change = new DateTimeOffset(year, month, day, 0, 0, 0, TimeSpan.Zero);
        var first = change.AddDays(-30).ToUnixTimeSeconds() / 1800;
        var inputs = new float[plan.Inputs];
        var experts = new float[ForecastPlan.Experts * plan.Horizon];
        var worst = new Dictionary<Expert, double>();
        var crossing = 0;
        for (var frame = first; frame < first + (48 * 45); frame++)
        {
            model.Observe(record, Usual(frame), calendar.Phase(frame), null);
            model.WriteInputs(record, calendar.Phase(frame), false, [], inputs);
            model.Issue(record, calendar.Phase(frame), [], new float[plan.Horizon * 3], experts);
            if (frame < first + (48 * 21))
                continue;
            crossing += Local(profile, frame).Offset != Local(profile, frame + plan.Horizon).Offset ? 1 : 0;
            foreach (var expert in new[] { Expert.Seasonal, Expert.Day, Expert.Week })
            {
                for (var h = 1; h <= plan.Horizon; h++)
                {
                    // At the last hour before a whole day, behind a day of 23 hours, yesterday's value is still to come: the day before has it.
                    var error = Math.Abs(experts[((int)expert * plan.Horizon) + h - 1] - Usual(frame + h));
                    // Half past two doesn't exist in spring; the seasonal profile learns it from other days.
                    if (Local(profile, frame + h).Hour is not (2 or 3))
                        worst[expert] = Math.Max(worst.GetValueOrDefault(expert), error);
                }
            }
        }

        Assert.InRange(crossing, 40, 60);
        Assert.Equal(3, worst.Count);
        // An hour's difference would be 26.
        Assert.All(worst, w => Assert.InRange(w.Value, 0, 1.5));

        double Usual(long frame)
        {
            var local = Local(profile, frame);
            return 100 + (100 * Math.Sin(2 * Math.PI * local.TimeOfDay.TotalDays)) + (local.DayOfWeek is DayOfWeek.Saturday or DayOfWeek.Sunday ? 0.2 : 0);
        }
    }

    [Fact]
    public void A_holiday_is_a_Sunday_of_its_week_at_the_frame_and_ahead_of_it()
    {
        var errors = new List<string>();
        var profile = Profile("Europe/Berlin", 60) with { Holidays = HolidayCalendar.Create(["DE"], null, errors) };
        var plan = Plan(profile);
        var calendar = new LocalCalendar(plan, profile);
        Assert.Empty(errors);
        for (var frame = Frame(profile, 2026); frame < Frame(profile, 2027); frame++)
        {
            var phase = calendar.Phase(frame);
            Assert.Equal(Weekday(frame), phase.WeekPhase / 24);
            Assert.Equal(Local(profile, frame).Hour, phase.WeekPhase % 24);
            for (var h = 0; h <= plan.PathReach; h += 11)
                Assert.Equal(Weekday(frame + h), phase.Path is { } path ? path.WeekPhase[h] / 24 : (phase.WeekPhase + h) % 168 / 24);
        }

        int Weekday(long frame)
        {
            var local = Local(profile, frame);
            return profile.Holidays!.Of(local.Year).Any(d => d.Date == DateOnly.FromDateTime(local.Date)) ? 6 : ((int)local.DayOfWeek + 6) % 7;
        }
    }

    [Fact]
    public void Asking_costs_no_memory_once_years_are_loaded()
    {
        var profile = Profile("Australia/Melbourne", 30) with { Holidays = HolidayCalendar.Create(["AU-VIC"], null, []) };
        var calendar = new LocalCalendar(Plan(profile), profile);
        var first = Frame(profile, 2013);
        var paths = 0;
        for (var pass = 0; pass < 2; pass++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            for (var frame = first; frame < first + 17_000; frame++)
                paths += calendar.Phase(frame).Path is null ? 0 : 1;
            if (pass == 1)
                Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
        }

        Assert.InRange(paths, 1000, 30_000);
    }

    [Theory]
    [InlineData(-100_000_000L)]
    [InlineData(500_000_000L)]
    public void Times_outside_all_calendars_have_phases_too(long frame) =>
        Assert.InRange(new LocalCalendar(Plan(Profile("Europe/Berlin", 15)), Profile("Europe/Berlin", 15)).Phase(frame).DayPhase, 0, 95);

    private static Profile Profile(string zone, int minutes) => new() { Name = "p", Zone = TimeZoneInfo.FindSystemTimeZoneById(zone), Interval = TimeSpan.FromMinutes(minutes), HorizonSteps = 1440 / minutes, Tier = Tier.Lean, HiddenSize = 4 };

    private static ForecastPlan Plan(Profile profile) => new ProfileRuntime(0, profile).Plan;

    private static long Frame(Profile profile, int year) => new DateTimeOffset(year, 1, 1, 0, 0, 0, TimeSpan.Zero).ToUnixTimeSeconds() / (long)profile.Interval.TotalSeconds;

    private static DateTimeOffset Local(Profile profile, long frame) => TimeZoneInfo.ConvertTime(UnixMicros.ToDateTimeOffset(frame * (long)profile.Interval.TotalMicroseconds), profile.Zone);

    private static (int Day, int Week) Expected(ForecastPlan plan, DateTimeOffset local)
    {
        var day = (int)(local.TimeOfDay.TotalSeconds * plan.DayFrames / 86_400);
        return (day, (((int)local.DayOfWeek + 6) % 7 * plan.DayFrames) + day);
    }
}
