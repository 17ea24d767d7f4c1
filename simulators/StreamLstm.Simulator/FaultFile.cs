using System.Globalization;
using StreamLstm.Simulation;

namespace StreamLstm.Simulator;

/// <summary>A fault plan written by a person: <c>stream,start,end,type[,size]</c> with a header row.</summary>
internal static class FaultFile
{
    /// <summary>Reads every usable row and adds one error, with its line number, for each other one.</summary>
    public static IReadOnlyList<FaultLabel> Read(string path, IReadOnlySet<string> streams, IReadOnlyList<FaultKind> kinds, List<string> errors)
    {
        string[] lines;
        try
        {
            lines = File.ReadAllLines(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            errors.Add($"--faults: {e.Message}");
            return [];
        }

        string header = lines.Length == 0 ? "" : lines[0].Replace(" ", "", StringComparison.Ordinal);
        if (header is not ("stream,start,end,type" or "stream,start,end,type,size"))
        {
            errors.Add($"{path}:1: the header must be stream,start,end,type or stream,start,end,type,size.");
            return [];
        }

        var faults = new List<FaultLabel>();
        for (int i = 1; i < lines.Length; i++)
        {
            if (string.IsNullOrWhiteSpace(lines[i]))
            {
                continue;
            }

            string[] cells = lines[i].Split(',', StringSplitOptions.TrimEntries);
            if (ReadRow(cells, streams, kinds, out FaultLabel? fault) is { } problem)
            {
                errors.Add(string.Create(CultureInfo.InvariantCulture, $"{path}:{i + 1}: {problem}"));
            }
            else
            {
                faults.Add(fault!);
            }
        }

        return faults;
    }

    private static string? ReadRow(string[] cells, IReadOnlySet<string> streams, IReadOnlyList<FaultKind> kinds, out FaultLabel? fault)
    {
        fault = null;
        if (cells.Length is not (4 or 5))
        {
            return $"{cells.Length} cells instead of 4 or 5.";
        }

        if (!streams.Contains(cells[0]))
        {
            return $"there is no stream '{cells[0]}'.";
        }

        if (!OptionReader.TryTime(cells[1], out DateTimeOffset start) || !OptionReader.TryTime(cells[2], out DateTimeOffset end))
        {
            return "start and end must be ISO 8601 times.";
        }

        if (end <= start)
        {
            return "the end is not after the start.";
        }

        if (kinds.FirstOrDefault(kind => kind.Type == cells[3]) is not { } kind)
        {
            return $"'{cells[3]}' is not one of {string.Join(", ", kinds.Select(known => known.Type))}.";
        }

        double size = kind.TypicalSize;
        if (cells.Length == 5 && cells[4].Length > 0
            && !(double.TryParse(cells[4], NumberStyles.Float, CultureInfo.InvariantCulture, out size) && double.IsFinite(size)))
        {
            return $"size '{cells[4]}' is not a number.";
        }

        fault = new FaultLabel(cells[0], start, end, cells[3], size);
        return null;
    }
}
