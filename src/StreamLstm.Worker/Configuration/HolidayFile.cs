using StreamLstm.Runtime.Calendars;

namespace StreamLstm.Worker.Configuration;

/// <summary>Reads the file beside a list of regions.</summary>
internal static class HolidayFile
{
    private const int MostBytes = 16 << 20;

    /// <param name="regions">Of the rules or the file.</param>
    /// <param name="path">CSV <c>date,region,name</c>; null = none.</param>
    /// <param name="errors">Receives one sentence per error.</param>
    public static HolidayCalendar? Read(IReadOnlyList<string> regions, string? path, List<string> errors)
    {
        string[]? lines = null;
        if (path is not null)
        {
            try
            {
                if (new FileInfo(path) is { Exists: true, Length: > MostBytes } large)
                {
                    errors.Add($"{path} has {large.Length} bytes, more than {MostBytes}.");
                    return null;
                }

                lines = File.ReadAllLines(path);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
            {
                errors.Add($"it can't be read: {e.Message}");
                return null;
            }
        }

        return HolidayCalendar.Create(regions, lines, errors);
    }
}
