using System.Globalization;

namespace StreamLstm.Runtime.Calendars;

/// <summary>
/// Public holidays that can be computed. Rules of a region, separated by semicolons: <c>[years] day[weekend] name</c>.
/// Day = <c>MM-DD</c>, <c>easter±N</c>, <c>mon2-MM</c> (second Monday of a month), <c>monlast-MM</c>, <c>wed&lt;MM-DD</c> (last Wednesday before),
/// <c>YYYY-MM-DD</c> for one that was only once, <c>-YYYY-MM-DD</c> for one that was not. Years = <c>2014..</c>, <c>..2013</c>, <c>2018..2020</c>.
/// Weekend, what becomes of one that falls on it: <c>+</c> the next working day is free as well, <c>&gt;</c> the Monday is free instead, <c>~</c> also the Friday before a
/// Saturday or the Monday after a Sunday, <c>&lt;</c> of a Sunday the Saturday instead. <c>@X</c> = the rules of X too.
/// What governments decide year by year isn't here; a file can add it.
/// </summary>
public sealed class HolidayRules
{
    private const string Germany = "01-01 Neujahr; easter-2 Karfreitag; easter+1 Ostermontag; 05-01 Tag der Arbeit; easter+39 Christi Himmelfahrt; easter+50 Pfingstmontag; 10-03 Tag der Deutschen Einheit; 12-25 1. Weihnachtstag; 12-26 2. Weihnachtstag; 2017-10-31 Reformationstag";

    private static readonly Dictionary<string, string> s_texts = new(StringComparer.OrdinalIgnoreCase)
    {
        ["AU"] = "01-01+ New Year's Day; 01-26> Australia Day; easter-2 Good Friday; easter+1 Easter Monday; 04-25 Anzac Day; 12-25+ Christmas Day; 12-26+ Boxing Day; 2022-09-22 National Day of Mourning",
        ["AU-NSW"] = "@AU; easter-1 Easter Saturday; easter+0 Easter Sunday; mon2-06 King's Birthday; mon1-10 Labour Day",
        ["AU-VIC"] = "@AU; easter-1 Saturday before Easter Sunday; 2016.. easter+0 Easter Sunday; mon2-03 Labour Day; mon2-06 King's Birthday; tue1-11 Melbourne Cup Day",
        ["DE"] = Germany,
        ["DE-BB"] = "@DE; 10-31 Reformationstag",
        ["DE-BE"] = "@DE; 2019.. 03-08 Frauentag",
        ["DE-BW"] = "@DE; 01-06 Heilige Drei Könige; easter+60 Fronleichnam; 11-01 Allerheiligen",
        ["DE-BY"] = "@DE; 01-06 Heilige Drei Könige; easter+60 Fronleichnam; 08-15 Mariä Himmelfahrt; 11-01 Allerheiligen",
        ["DE-HB"] = "@DE; 2018.. 10-31 Reformationstag",
        ["DE-HE"] = "@DE; easter+60 Fronleichnam",
        ["DE-HH"] = "@DE; 2018.. 10-31 Reformationstag",
        ["DE-MV"] = "@DE; 2023.. 03-08 Frauentag; 10-31 Reformationstag",
        ["DE-NI"] = "@DE; 2018.. 10-31 Reformationstag",
        ["DE-NW"] = "@DE; easter+60 Fronleichnam; 11-01 Allerheiligen",
        ["DE-RP"] = "@DE; easter+60 Fronleichnam; 11-01 Allerheiligen",
        ["DE-SH"] = "@DE; 2018.. 10-31 Reformationstag",
        ["DE-SL"] = "@DE; easter+60 Fronleichnam; 08-15 Mariä Himmelfahrt; 11-01 Allerheiligen",
        ["DE-SN"] = "@DE; 10-31 Reformationstag; wed<11-23 Buß- und Bettag",
        ["DE-ST"] = "@DE; 01-06 Heilige Drei Könige; 10-31 Reformationstag",
        ["DE-TH"] = "@DE; 2019.. 09-20 Weltkindertag; 10-31 Reformationstag",
        ["FR"] = "01-01 Jour de l'an; easter+1 Lundi de Pâques; 05-01 Fête du Travail; 05-08 Victoire 1945; easter+39 Ascension; easter+50 Lundi de Pentecôte; 07-14 Fête nationale; 08-15 Assomption; 11-01 Toussaint; 11-11 Armistice; 12-25 Noël",
        ["GB"] = "01-01+ New Year's Day; easter-2 Good Friday; easter+1 Easter Monday; mon1-05 Early May bank holiday; monlast-05 Spring bank holiday; monlast-08 Summer bank holiday; 12-25+ Christmas Day; 12-26+ Boxing Day; "
            + "-2012-05-28; 2012-06-04 Spring bank holiday; 2012-06-05 Diamond Jubilee; -2020-05-04; 2020-05-08 Early May bank holiday; -2022-05-30; 2022-06-02 Spring bank holiday; 2022-06-03 Platinum Jubilee; 2022-09-19 State Funeral; 2023-05-08 Coronation",
        ["NL"] = "01-01 Nieuwjaarsdag; easter+1 Tweede paasdag; ..2013 04-30< Koninginnedag; 2014.. 04-27< Koningsdag; easter+39 Hemelvaartsdag; easter+50 Tweede pinksterdag; 12-25 Eerste kerstdag; 12-26 Tweede kerstdag",
        ["US"] = "01-01~ New Year's Day; mon3-01 Martin Luther King Jr. Day; mon3-02 Washington's Birthday; monlast-05 Memorial Day; 2021.. 06-19~ Juneteenth; 07-04~ Independence Day; mon1-09 Labor Day; mon2-10 Columbus Day; 11-11~ Veterans Day; thu4-11 Thanksgiving; 12-25~ Christmas Day",
    };

    private static readonly string[] s_weekdays = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

    private readonly List<Rule> _rules = [];
    private readonly HashSet<DateOnly> _not = [];

    private HolidayRules(string text) => Add(text);

    /// <summary>Regions that have rules, in order.</summary>
    public static IEnumerable<string> Regions => s_texts.Keys.Order(StringComparer.Ordinal);

    public static HolidayRules? For(string region) => s_texts.TryGetValue(region, out var text) ? new HolidayRules(text) : null;

    /// <summary>A year's holidays in order.</summary>
    public IEnumerable<(DateOnly Date, string Name)> Of(int year) =>
        // A substitute may lie in the year before its day.
        Days(year).Concat(Days(year + 1)).Where(d => d.Key.Year == year).OrderBy(d => d.Key).Select(d => (d.Key, d.Value));

    /// <summary>Western Easter Sunday: the anonymous Gregorian algorithm (Nature, 1876), as in Meeus, Astronomical Algorithms.</summary>
    public static DateOnly Easter(int year)
    {
        var (a, b, c) = (year % 19, year / 100, year % 100);
        var (d, e, f) = (b / 4, b % 4, (b + 8) / 25);
        var h = ((19 * a) + b - d - ((b - f + 1) / 3) + 15) % 30;
        var l = (32 + (2 * e) + (2 * (c / 4)) - h - (c % 4)) % 7;
        var m = (a + (11 * h) + (22 * l)) / 451;
        var n = h + l - (7 * m) + 114;
        return new DateOnly(year, n / 31, (n % 31) + 1);
    }

    private Dictionary<DateOnly, string> Days(int year)
    {
        var own = _rules.Where(r => year >= r.From && year <= r.To).Select(r => (Rule: r, Date: r.Day(year))).Where(d => !_not.Contains(d.Date)).OrderBy(d => d.Date).ToList();
        var days = new Dictionary<DateOnly, string>();
        foreach (var (rule, date) in own)
            days.TryAdd(rule.OnWeekend == '>' && IsWeekend(date) ? NextWorkday(date) : rule.OnWeekend == '<' && date.DayOfWeek == DayOfWeek.Sunday ? date.AddDays(-1) : date, rule.Name);
        foreach (var (rule, date) in own)
        {
            if (!IsWeekend(date) || rule.OnWeekend is not ('+' or '~'))
                continue;
            var also = rule.OnWeekend == '~' && date.DayOfWeek == DayOfWeek.Saturday ? date.AddDays(-1) : NextWorkday(date);
            while (rule.OnWeekend == '+' && days.ContainsKey(also))
                also = NextWorkday(also);
            days.TryAdd(also, rule.Name);
        }

        return days;
    }

    private static bool IsWeekend(DateOnly date) => date.DayOfWeek is DayOfWeek.Saturday or DayOfWeek.Sunday;

    private static DateOnly NextWorkday(DateOnly date)
    {
        do
            date = date.AddDays(1);
        while (IsWeekend(date));
        return date;
    }

    private void Add(string text)
    {
        foreach (var word in text.Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (word[0] == '@')
            {
                Add(s_texts[word[1..]]);
            }
            else if (word[0] == '-')
            {
                _not.Add(DateOnly.ParseExact(word[1..], "yyyy-MM-dd", CultureInfo.InvariantCulture));
            }
            else
            {
                var parts = word.Split(' ', 2);
                var (from, to) = (int.MinValue, int.MaxValue);
                if (parts[0].Contains("..", StringComparison.Ordinal))
                {
                    var years = parts[0].Split("..");
                    from = years[0].Length > 0 ? Number(years[0]) : from;
                    to = years[1].Length > 0 ? Number(years[1]) : to;
                    parts = parts[1].Split(' ', 2);
                }

                var onWeekend = parts[0][^1] is var last && "+>~<".Contains(last, StringComparison.Ordinal) ? last : '\0';
                var day = onWeekend == '\0' ? parts[0] : parts[0][..^1];
                if (day.Length == 10 && char.IsAsciiDigit(day[0]))
                    (from, to, day) = (Number(day[..4]), Number(day[..4]), day[5..]);
                _rules.Add(new Rule(from, to, DayOf(day), onWeekend, parts[1]));
            }
        }
    }

    private static Func<int, DateOnly> DayOf(string day)
    {
        if (day.StartsWith("easter", StringComparison.Ordinal))
        {
            var after = Number(day[6..]);
            return year => Easter(year).AddDays(after);
        }

        if (char.IsAsciiDigit(day[0]))
        {
            var (month, number) = (Number(day[..2]), Number(day[3..]));
            return year => new DateOnly(year, month, number);
        }

        var weekday = (DayOfWeek)Array.IndexOf(s_weekdays, day[..3]);
        if (day[3] == '<')
        {
            var (month, number) = (Number(day[4..6]), Number(day[7..]));
            return year => LastBefore(new DateOnly(year, month, number), weekday);
        }

        var inMonth = Number(day[^2..]);
        if (day[3..].StartsWith("last", StringComparison.Ordinal))
            return year => LastBefore(new DateOnly(year, inMonth, 1).AddMonths(1), weekday);
        var nth = Number(day[3..4]);
        return year => LastBefore(new DateOnly(year, inMonth, 1).AddDays(7), weekday).AddDays(7 * (nth - 1));
    }

    private static DateOnly LastBefore(DateOnly date, DayOfWeek weekday)
    {
        do
            date = date.AddDays(-1);
        while (date.DayOfWeek != weekday);
        return date;
    }

    private static int Number(string text) => int.Parse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);

    private sealed record Rule(int From, int To, Func<int, DateOnly> Day, char OnWeekend, string Name);
}
