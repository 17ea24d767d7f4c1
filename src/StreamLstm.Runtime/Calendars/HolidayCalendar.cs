using System.Globalization;

namespace StreamLstm.Runtime.Calendars;

/// <summary>Days that aren't working days, by year: from <see cref="HolidayRules"/>, a file, or both. Immutable.</summary>
public sealed class HolidayCalendar
{
    /// <summary>Most lines of a file.</summary>
    public const int MostLines = 100_000;

    /// <summary>Name of a day in a file that isn't a holiday, whatever the rules say.</summary>
    public const string None = "-";

    private readonly List<(string Region, HolidayRules Rules)> _rules = [];
    private readonly ILookup<int, (DateOnly Date, string Region, string Name)> _listed;

    private HolidayCalendar(IEnumerable<string> regions, IEnumerable<(DateOnly, string, string)> listed)
    {
        foreach (var region in regions)
        {
            if (HolidayRules.For(region) is { } rules)
                _rules.Add((region, rules));
        }

        _listed = listed.ToLookup(x => x.Item1.Year);
    }

    /// <summary>Regions and the lines of a file, <c>date,region,name</c>; either may be missing.</summary>
    /// <param name="regions">Of the rules or of the file; none = all lines of the file.</param>
    /// <param name="errors">Receives whatever is wrong, one sentence each.</param>
    /// <returns>Null if there is nothing, or something is wrong.</returns>
    public static HolidayCalendar? Create(IReadOnlyList<string> regions, IReadOnlyList<string>? lines, ICollection<string> errors)
    {
        ArgumentNullException.ThrowIfNull(regions);
        ArgumentNullException.ThrowIfNull(errors);
        var before = errors.Count;
        var listed = new List<(DateOnly Date, string Region, string Name)>();
        if (lines is { Count: > MostLines })
            errors.Add($"{lines.Count} lines are more than {MostLines}.");
        for (var i = 0; i < Math.Min(lines?.Count ?? 0, MostLines) && errors.Count < before + 20; i++)
        {
            var line = lines![i].Trim('\uFEFF', ' ', '\t', '\r');
            if (line.Length == 0 || line[0] == '#' || (i == 0 && line.StartsWith("date", StringComparison.OrdinalIgnoreCase)))
                continue;
            var parts = line.Split(',', 3, StringSplitOptions.TrimEntries);
            if (parts.Length < 3)
                errors.Add($"line {i + 1} is \"{line}\": allowed is date,region,name.");
            else if (!DateOnly.TryParseExact(parts[0], "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out var date))
                errors.Add($"line {i + 1}: \"{parts[0]}\" isn't a date such as 2026-12-25.");
            else
                listed.Add((date, parts[1], parts[2].Trim('"')));
        }

        var known = listed.Select(l => l.Region).Where(r => r.Length > 0).ToHashSet(StringComparer.OrdinalIgnoreCase);
        foreach (var region in regions.Where(r => HolidayRules.For(r) is null && !known.Contains(r)))
            errors.Add($"there are no rules for region \"{region}\"{(lines is null ? "" : " and no lines in the file")}; rules are for {string.Join(", ", HolidayRules.Regions)}.");
        if (errors.Count > before || (regions.Count == 0 && lines is null))
            return null;
        return new HolidayCalendar(regions, listed.Where(l => regions.Count == 0 || l.Region.Length == 0 || regions.Contains(l.Region, StringComparer.OrdinalIgnoreCase)));
    }

    /// <summary>A year's holidays in order, each date once.</summary>
    public IReadOnlyList<(DateOnly Date, string Region, string Name)> Of(int year)
    {
        var days = new SortedDictionary<DateOnly, (string Region, string Name)>();
        foreach (var (region, rules) in _rules)
        {
            foreach (var (date, name) in rules.Of(year))
                days.TryAdd(date, (region, name));
        }

        foreach (var (date, region, name) in _listed[year])
        {
            if (name == None)
                days.Remove(date);
            else
                days[date] = (region, name);
        }

        return [.. days.Select(d => (d.Key, d.Value.Region, d.Value.Name))];
    }
}
