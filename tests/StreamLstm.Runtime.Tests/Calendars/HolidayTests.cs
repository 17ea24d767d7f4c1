using StreamLstm.Runtime.Calendars;

namespace StreamLstm.Runtime.Tests.Calendars;

public sealed class HolidayTests
{
    [Theory]
    [InlineData("1818-03-22")]
    [InlineData("1943-04-25")]
    [InlineData("1981-04-19")]
    [InlineData("2000-04-23")]
    [InlineData("2008-03-23")]
    [InlineData("2011-04-24")]
    [InlineData("2016-03-27")]
    [InlineData("2024-03-31")]
    [InlineData("2025-04-20")]
    [InlineData("2026-04-05")]
    [InlineData("2038-04-25")]
    [InlineData("2076-04-19")]
    public void Easter_is_on_its_Sunday(string date)
    {
        var expected = DateOnly.Parse(date, System.Globalization.CultureInfo.InvariantCulture);
        Assert.Equal(expected, HolidayRules.Easter(expected.Year));
        Assert.Equal(DayOfWeek.Sunday, expected.DayOfWeek);
    }

    /// <summary>As the states, the government of the United Kingdom, the Office of Personnel Management and the French and German laws have published them.</summary>
    [Theory]
    [InlineData("AU-VIC", 2012, "01-01 01-02 01-26 03-12 04-06 04-07 04-09 04-25 06-11 11-06 12-25 12-26")]
    [InlineData("AU-VIC", 2013, "01-01 01-28 03-11 03-29 03-30 04-01 04-25 06-10 11-05 12-25 12-26")]
    [InlineData("AU-VIC", 2021, "01-01 01-26 03-08 04-02 04-03 04-04 04-05 04-25 06-14 11-02 12-25 12-26 12-27 12-28")]
    [InlineData("AU-VIC", 2022, "01-01 01-03 01-26 03-14 04-15 04-16 04-17 04-18 04-25 06-13 09-22 11-01 12-25 12-26 12-27")]
    [InlineData("AU-NSW", 2023, "01-01 01-02 01-26 04-07 04-08 04-09 04-10 04-25 06-12 10-02 12-25 12-26")]
    [InlineData("GB", 2012, "01-01 01-02 04-06 04-09 05-07 06-04 06-05 08-27 12-25 12-26")]
    [InlineData("GB", 2020, "01-01 04-10 04-13 05-08 05-25 08-31 12-25 12-26 12-28")]
    [InlineData("GB", 2021, "01-01 04-02 04-05 05-03 05-31 08-30 12-25 12-26 12-27 12-28")]
    [InlineData("GB", 2022, "01-01 01-03 04-15 04-18 05-02 06-02 06-03 08-29 09-19 12-25 12-26 12-27")]
    [InlineData("GB", 2023, "01-01 01-02 04-07 04-10 05-01 05-08 05-29 08-28 12-25 12-26")]
    [InlineData("DE", 2017, "01-01 04-14 04-17 05-01 05-25 06-05 10-03 10-31 12-25 12-26")]
    [InlineData("DE-BY", 2024, "01-01 01-06 03-29 04-01 05-01 05-09 05-20 05-30 08-15 10-03 11-01 12-25 12-26")]
    [InlineData("DE-SN", 2025, "01-01 04-18 04-21 05-01 05-29 06-09 10-03 10-31 11-19 12-25 12-26")]
    [InlineData("DE-BE", 2018, "01-01 03-30 04-02 05-01 05-10 05-21 10-03 12-25 12-26")]
    [InlineData("FR", 2024, "01-01 04-01 05-01 05-08 05-09 05-20 07-14 08-15 11-01 11-11 12-25")]
    [InlineData("FR", 2025, "01-01 04-21 05-01 05-08 05-29 06-09 07-14 08-15 11-01 11-11 12-25")]
    [InlineData("NL", 2013, "01-01 04-01 04-30 05-09 05-20 12-25 12-26")]
    [InlineData("NL", 2014, "01-01 04-21 04-26 05-29 06-09 12-25 12-26")]
    [InlineData("US", 2010, "01-01 01-18 02-15 05-31 07-04 07-05 09-06 10-11 11-11 11-25 12-24 12-25 12-31")]
    [InlineData("US", 2020, "01-01 01-20 02-17 05-25 07-03 07-04 09-07 10-12 11-11 11-26 12-25")]
    [InlineData("US", 2021, "01-01 01-18 02-15 05-31 06-18 06-19 07-04 07-05 09-06 10-11 11-11 11-25 12-24 12-25 12-31")]
    [InlineData("US", 2023, "01-01 01-02 01-16 02-20 05-29 06-19 07-04 09-04 10-09 11-10 11-11 11-23 12-25")]
    public void Rules_give_the_published_dates(string region, int year, string dates)
    {
        var holidays = Of([region], null).Of(year);
        Assert.Equal(dates.Split(' '), holidays.Select(h => h.Date.ToString("MM-dd", System.Globalization.CultureInfo.InvariantCulture)));
        Assert.All(holidays, h => Assert.True(h.Region == region && h.Name.Length > 2));
    }

    [Fact]
    public void Every_region_has_seven_to_twenty_holidays_in_every_year_and_all_in_order()
    {
        foreach (var region in HolidayRules.Regions)
        {
            var calendar = Of([region], null);
            for (var year = 1900; year <= 2200; year++)
            {
                var dates = calendar.Of(year).Select(h => h.Date).ToList();
                Assert.InRange(dates.Count, 7, 20);
                Assert.Equal(dates.Distinct().Order(), dates);
                Assert.All(dates, d => Assert.Equal(year, d.Year));
            }
        }
    }

    [Fact]
    public void A_file_adds_days_takes_some_out_and_has_regions_of_its_own()
    {
        string[] lines = ["date,region,name", "2026-09-25,AU-VIC,Friday before the AFL Grand Final", "2026-11-03,AU-VIC,-", "", "# works", "2026-07-01,,Inventory, all plants", "2026-07-02,plant-2,Closed"];
        Assert.Equal(["2026-07-01", "2026-09-25"], Dates(Of(["AU-VIC"], lines)).Intersect(["2026-07-01", "2026-07-02", "2026-09-25", "2026-11-03"]));
        Assert.Equal(["2026-07-01", "2026-07-02"], Dates(Of(["plant-2"], lines)));
        Assert.Equal(["2026-07-01", "2026-07-02", "2026-09-25"], Dates(Of([], lines)));
        Assert.Contains(Of([], lines).Of(2026), h => h.Name == "Inventory, all plants");
        Assert.Null(HolidayCalendar.Create([], null, []));
    }

    [Fact]
    public void Whatever_is_wrong_with_a_file_is_said_by_line()
    {
        var errors = new List<string>();
        Assert.Null(HolidayCalendar.Create(["DE-XX"], ["2026-02-30,DE,x", "2026-12-24", "24.12.2026,DE,Heiligabend"], errors));
        Assert.Equal(4, errors.Count);
        Assert.Equal("line 1: \"2026-02-30\" isn't a date such as 2026-12-25.", errors[0]);
        Assert.Equal("line 2 is \"2026-12-24\": allowed is date,region,name.", errors[1]);
        Assert.StartsWith("there are no rules for region \"DE-XX\" and no lines in the file; rules are for AU, ", errors[3], StringComparison.Ordinal);
    }

    private static IEnumerable<string> Dates(HolidayCalendar calendar) => calendar.Of(2026).Select(h => h.Date.ToString("O", System.Globalization.CultureInfo.InvariantCulture));

    private static HolidayCalendar Of(string[] regions, string[]? lines)
    {
        var errors = new List<string>();
        var calendar = HolidayCalendar.Create(regions, lines, errors);
        Assert.Empty(errors);
        return calendar!;
    }
}
