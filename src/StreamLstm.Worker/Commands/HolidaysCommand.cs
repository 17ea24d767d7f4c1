using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using StreamLstm.Runtime.Calendars;
using StreamLstm.Worker.Configuration;

namespace StreamLstm.Worker.Commands;

/// <summary><c>holidays [REGION…]</c>: the days that a profile's <c>Holidays</c> and <c>HolidayFile</c> mean.</summary>
internal sealed class HolidaysCommand : Command
{
    private readonly Argument<string[]> _regions = new("REGION") { Description = "Regions, such as DE-BY; without any and without --file, the regions that have rules.", Arity = ArgumentArity.ZeroOrMore };
    private readonly Option<int?> _year = new("--year") { Description = "First year; this one without it." };
    private readonly Option<int> _years = new("--years") { Description = "How many years.", DefaultValueFactory = _ => 1 };
    private readonly Option<string?> _file = new("--file") { Description = "CSV date,region,name.", HelpName = "FILE" };
    private readonly Option<bool> _json = new("--json") { Description = "One JSON line per day." };

    public HolidaysCommand()
        : base("holidays", "Lists public holidays: by rules, from a file, or both, as a profile's Holidays and HolidayFile mean them.")
    {
        Add(_regions);
        foreach (var option in new Option[] { _year, _years, _file, _json })
            Add(option);
        SetAction(Run);
    }

    private int Run(ParseResult parsed)
    {
        var regions = parsed.GetValue(_regions) ?? [];
        if (regions.Length == 0 && parsed.GetValue(_file) is null)
        {
            foreach (var region in HolidayRules.Regions)
                Console.WriteLine(region);
            return ExitCode.Ok;
        }

        var errors = new List<string>();
        var holidays = HolidayFile.Read(regions, parsed.GetValue(_file), errors);
        var year = parsed.GetValue(_year) ?? TimeProvider.System.GetUtcNow().Year;
        var years = parsed.GetValue(_years);
        if (year is < 1900 or > 2200)
            errors.Add($"--year {year}: 1900 to 2200.");
        if (years is < 1 or > 300)
            errors.Add($"--years {years}: 1 to 300.");
        if (errors.Count > 0 || holidays is null)
            return Terminal.Refuse(errors, "See streamlstm holidays --help.");
        for (var y = year; y < year + years; y++)
        {
            foreach (var (date, region, name) in holidays.Of(y))
            {
                Console.WriteLine(parsed.GetValue(_json)
                    ? new JsonObject { ["date"] = date.ToString("O", CultureInfo.InvariantCulture), ["region"] = region, ["name"] = name }.ToJsonString()
                    : string.Create(CultureInfo.InvariantCulture, $"{date:yyyy-MM-dd},{region},{name}"));
            }
        }

        return ExitCode.Ok;
    }
}
