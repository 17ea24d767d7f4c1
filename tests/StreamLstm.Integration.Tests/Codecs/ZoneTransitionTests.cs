using System.Text;
using StreamLstm.Connectors.Codecs;

namespace StreamLstm.Integration.Tests.Codecs;

/// <summary>Wall-clock times around every change of a zone's offset from 1970 to 2037, against the zone's own UTC offsets.</summary>
[Trait("Category", "Formats")]
public sealed class ZoneTransitionTests
{
    private static readonly DateTime s_from = new(1970, 1, 2, 0, 0, 0, DateTimeKind.Utc);
    private static readonly DateTime s_to = new(2037, 12, 30, 0, 0, 0, DateTimeKind.Utc);

    /// <summary>Hour, half-hour and two-hour changes, changes at midnight, standard time that moved, and a day that was skipped.</summary>
    public static TheoryData<string> Zones =>
    [
        "Europe/Amsterdam", "Europe/Dublin", "America/New_York", "America/Sao_Paulo", "America/Caracas", "Australia/Lord_Howe", "Antarctica/Troll",
        "Pacific/Apia", "Africa/Casablanca", "Asia/Tehran", "Asia/Gaza",
    ];

    [Theory]
    [MemberData(nameof(Zones))]
    public void Every_instant_around_a_transition_comes_back_from_its_wall_time(string id)
    {
        var zone = TimeZoneInfo.FindSystemTimeZoneById(id);
        var transitions = Transitions(zone);
        Assert.True(transitions.Count >= 2, $"{id} has {transitions.Count} transitions.");
        foreach (var transition in transitions)
        {
            for (var minutes = -26 * 60.0; minutes <= 26 * 60; minutes += 7.5)
            {
                var instant = transition.AddMinutes(minutes);
                var wall = DateTime.SpecifyKind(instant + zone.GetUtcOffset(instant), DateTimeKind.Unspecified);
                Assert.Equal(Micros(instant), TimestampParser.FromLocal(wall, zone, Micros(instant.AddSeconds(40))));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Zones))]
    public void Wall_times_that_never_were_move_forward_by_the_length_of_the_gap(string id)
    {
        var zone = TimeZoneInfo.FindSystemTimeZoneById(id);
        var gaps = 0;
        foreach (var transition in Transitions(zone))
        {
            var before = zone.GetUtcOffset(transition.AddSeconds(-1));
            var after = zone.GetUtcOffset(transition);
            if (after <= before)
                continue;
            gaps++;
            for (var into = TimeSpan.Zero; into < after - before; into += TimeSpan.FromMinutes(10))
            {
                var wall = DateTime.SpecifyKind(transition + before + into, DateTimeKind.Unspecified);
                var instant = transition + into;
                Assert.Equal(Micros(instant), TimestampParser.FromLocal(wall, zone, Micros(instant)));
                Assert.Equal(wall + (after - before), DateTime.SpecifyKind(instant + zone.GetUtcOffset(instant), DateTimeKind.Unspecified));
            }
        }

        Assert.True(gaps > 0, $"{id} has no gap.");
    }

    [Theory]
    [MemberData(nameof(Zones))]
    public void Of_two_instants_with_the_same_wall_time_the_one_nearer_to_the_arrival_is_meant(string id)
    {
        var zone = TimeZoneInfo.FindSystemTimeZoneById(id);
        var overlaps = 0;
        foreach (var transition in Transitions(zone))
        {
            var length = zone.GetUtcOffset(transition.AddSeconds(-1)) - zone.GetUtcOffset(transition);
            if (length <= TimeSpan.Zero)
                continue;
            overlaps++;
            for (var into = TimeSpan.Zero; into < length; into += TimeSpan.FromMinutes(10))
            {
                var second = transition + into;
                var first = second - length;
                var wall = DateTime.SpecifyKind(second + zone.GetUtcOffset(second), DateTimeKind.Unspecified);
                Assert.Equal(Micros(first), TimestampParser.FromLocal(wall, zone, Micros(first.AddHours(-5))));
                Assert.Equal(Micros(second), TimestampParser.FromLocal(wall, zone, Micros(second.AddHours(5))));
            }
        }

        Assert.True(overlaps > 0, $"{id} has no overlap.");
    }

    [Theory]
    [InlineData("2011-12-30T12:00:00", "2011-12-30T22:00:00Z")]
    [InlineData("2011-12-30T00:00:00", "2011-12-30T10:00:00Z")]
    [InlineData("2011-12-29T23:59:59", "2011-12-30T09:59:59Z")]
    [InlineData("2011-12-31T00:00:00", "2011-12-30T10:00:00Z")]
    public void The_day_that_Samoa_skipped_becomes_the_day_after(string wall, string expected)
    {
        var zone = TimeZoneInfo.FindSystemTimeZoneById("Pacific/Apia");
        Assert.True(TimestampParser.TryParse(Encoding.UTF8.GetBytes(wall), zone, 0, out var micros));
        Assert.Equal(Decoding.Micros(expected), micros);
    }

    [Theory]
    [InlineData("0001-01-01T00:00:00")]
    [InlineData("9999-12-30T23:59:59")]
    public void The_ends_of_the_calendar_are_no_trap(string wall) =>
        Assert.True(TimestampParser.TryParse(Encoding.UTF8.GetBytes(wall), TimeZoneInfo.FindSystemTimeZoneById("Europe/Amsterdam"), 0, out _));

    private static List<DateTime> Transitions(TimeZoneInfo zone)
    {
        var found = new List<DateTime>();
        var offset = zone.GetUtcOffset(s_from);
        for (var t = s_from; t < s_to; t = t.AddHours(6))
        {
            var next = zone.GetUtcOffset(t.AddHours(6));
            if (next == offset)
                continue;
            var (low, high) = (t, t.AddHours(6));
            while (high - low > TimeSpan.FromSeconds(1))
            {
                var middle = low.AddSeconds(Math.Floor((high - low).TotalSeconds / 2));
                if (zone.GetUtcOffset(middle) == offset)
                    low = middle;
                else
                    high = middle;
            }

            found.Add(high);
            offset = next;
        }

        return found;
    }

    private static long Micros(DateTime utc) => (utc.Ticks - DateTime.UnixEpoch.Ticks) / TimeSpan.TicksPerMicrosecond;
}
