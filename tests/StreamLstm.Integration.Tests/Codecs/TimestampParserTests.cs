using System.Globalization;
using System.Text;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Integration.Tests.Codecs;

public sealed class TimestampParserTests
{
    private static readonly TimeZoneInfo s_amsterdam = TimeZoneInfo.FindSystemTimeZoneById("Europe/Amsterdam");

    [Theory]
    [InlineData("1736604020", "2025-01-11T14:00:20Z")]
    [InlineData("1736604020.06", "2025-01-11T14:00:20.06Z")]
    [InlineData("1736604020.123456", "2025-01-11T14:00:20.123456Z")]
    [InlineData("1.73660402E9", "2025-01-11T14:00:20Z")]
    [InlineData("1736604020123", "2025-01-11T14:00:20.123Z")]
    [InlineData("1736604020123456", "2025-01-11T14:00:20.123456Z")]
    [InlineData("1736604020123456789", "2025-01-11T14:00:20.123456Z")]
    [InlineData("0", "1970-01-01T00:00:00Z")]
    [InlineData("-1", "1969-12-31T23:59:59Z")]
    [InlineData("2018-02-15T17:37:10", "2018-02-15T17:37:10Z")]
    [InlineData("2018-02-15T17:37:10Z", "2018-02-15T17:37:10Z")]
    [InlineData("2018-02-15t17:37z", "2018-02-15T17:37:00Z")]
    [InlineData("2019-03-01T16:32:45.941+01:00", "2019-03-01T15:32:45.941Z")]
    [InlineData("2019-03-01T16:32:45-0530", "2019-03-01T22:02:45Z")]
    [InlineData("2019-03-01 16:32:45 +01", "2019-03-01T15:32:45Z")]
    [InlineData("2017-10-01T23:20:30.920969123Z", "2017-10-01T23:20:30.920969Z")]
    [InlineData("2012-10-12 00:30:00.0000000", "2012-10-12T00:30:00Z")]
    [InlineData("2018-01-01 24:00:00", "2018-01-02T00:00:00Z")]
    [InlineData(" 2018-01-01 ", "2018-01-01T00:00:00Z")]
    [InlineData("101209113020W", "2010-12-09T11:30:20Z")]
    public void Every_common_form_is_read_without_being_told_its_format(string text, string expected)
    {
        Assert.True(TimestampParser.TryParse(Encoding.UTF8.GetBytes(text), TimeZoneInfo.Utc, 0, out var micros));
        Assert.Equal(Micros(expected), micros);
    }

    [Theory]
    [InlineData("")]
    [InlineData("-")]
    [InlineData("abc")]
    [InlineData("1e400")]
    [InlineData("99999999999999999999")]
    [InlineData("2018-13-01")]
    [InlineData("2018-02-30T00:00:00Z")]
    [InlineData("2018-02-15T25:00:00Z")]
    [InlineData("2018-02-15T17:37:10X")]
    [InlineData("2018-02-15T17:37:10.")]
    [InlineData("2018-02-15T17:37:10+1")]
    [InlineData("2018-02-15T17")]
    [InlineData("15/02/2018 17:37")]
    [InlineData("1.2.3")]
    public void What_is_not_a_time_is_refused(string text) =>
        Assert.False(TimestampParser.TryParse(Encoding.UTF8.GetBytes(text), TimeZoneInfo.Utc, 0, out _));

    [Theory]
    [InlineData("unix", "1736604020123", false, null)]
    [InlineData("unix_ms", "5000", true, "1970-01-01T00:00:05Z")]
    [InlineData("unix_us", "5000000", true, "1970-01-01T00:00:05Z")]
    [InlineData("unix_ns", "5000000000", true, "1970-01-01T00:00:05Z")]
    [InlineData("dd/MM/yyyy HH:mm", "02/01/2018 00:15", true, "2018-01-02T00:15:00Z")]
    [InlineData("M/d/yy H:mm", "1/13/17 0:10", true, "2017-01-13T00:10:00Z")]
    [InlineData("yyyyMMdd HHmm zzz", "20180102 0015 +02:00", true, "2018-01-01T22:15:00Z")]
    [InlineData("iso8601", "1736604020", false, null)]
    public void An_explicit_format_wins_over_guessing(string format, string text, bool ok, string? expected)
    {
        Assert.True(TimestampFormat.TryCreate(format, out var f));
        Assert.Equal(ok, TimestampParser.TryParse(Encoding.UTF8.GetBytes(text), f, TimeZoneInfo.Utc, 0, out var micros));
        if (expected is not null)
            Assert.Equal(Micros(expected), micros);
    }

    [Theory]
    [InlineData("unixms")]
    [InlineData("ISO")]
    [InlineData("HH:mm")]
    public void A_format_that_can_never_give_a_date_is_refused(string format) => Assert.False(TimestampFormat.TryCreate(format, out _));

    [Theory]
    [InlineData("2024-01-15T12:00:00", "2024-01-15T11:00:00Z")]
    [InlineData("2024-07-15T12:00:00", "2024-07-15T10:00:00Z")]
    [InlineData("2024-03-31T02:30:00", "2024-03-31T01:30:00Z")]
    [InlineData("240715120000S", "2024-07-15T10:00:00Z")]
    [InlineData("240115120000W", "2024-01-15T11:00:00Z")]
    public void Local_times_follow_their_zone_and_a_time_in_the_spring_gap_moves_forward(string text, string expected)
    {
        Assert.True(TimestampParser.TryParse(Encoding.UTF8.GetBytes(text), s_amsterdam, 0, out var micros));
        Assert.Equal(Micros(expected), micros);
    }

    [Theory]
    [InlineData("2024-10-27T00:31:00Z", "2024-10-27T00:30:00Z")]
    [InlineData("2024-10-27T01:31:00Z", "2024-10-27T01:30:00Z")]
    public void A_time_that_occurs_twice_in_autumn_is_the_one_nearest_to_its_arrival(string arrival, string expected)
    {
        Assert.True(TimestampParser.TryParse("2024-10-27T02:30:00"u8, s_amsterdam, Micros(arrival), out var micros));
        Assert.Equal(Micros(expected), micros);
    }

    [Fact]
    public void Every_quarter_hour_of_a_year_comes_back_from_its_local_text()
    {
        var t = new DateTimeOffset(2024, 1, 1, 0, 0, 0, TimeSpan.Zero);
        for (; t.Year == 2024; t = t.AddMinutes(15))
        {
            var text = TimeZoneInfo.ConvertTime(t, s_amsterdam).ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture);
            Assert.True(TimestampParser.TryParse(Encoding.UTF8.GetBytes(text), s_amsterdam, UnixMicros.From(t), out var micros));
            Assert.Equal(UnixMicros.From(t), micros);
        }
    }

    [Fact]
    public void Common_forms_allocate_nothing()
    {
        byte[][] texts = [.. new[] { "1736604020.06", "1736604020123", "2019-03-01T16:32:45.941+01:00", "2012-10-12 00:30:00" }.Select(Encoding.UTF8.GetBytes)];
        foreach (var text in texts)
            TimestampParser.TryParse(text, s_amsterdam, 0, out _);
        var before = GC.GetAllocatedBytesForCurrentThread();
        foreach (var text in texts)
            TimestampParser.TryParse(text, s_amsterdam, 0, out _);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private static long Micros(string iso) => UnixMicros.From(DateTimeOffset.Parse(iso, CultureInfo.InvariantCulture));
}
