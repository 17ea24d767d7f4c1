using System.Globalization;
using StreamLstm.Runtime.Evaluation;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Worker.Commands;

/// <summary>Reads ground truth: CSV with header <c>stream,start,end,type</c>, ISO 8601 times.</summary>
internal static class LabelReader
{
    /// <summary>Adds the labels; returns what is wrong with the file.</summary>
    public static IReadOnlyList<string> Read(FileInfo file, List<Label> labels)
    {
        if (!file.Exists)
            return [$"There is no file '{file}'."];
        var errors = new List<string>();
        var row = 0;
        foreach (var line in File.ReadLines(file.FullName))
        {
            row++;
            var cells = line.Split(',');
            if (row == 1)
            {
                if (!line.StartsWith("stream,start,end,type", StringComparison.Ordinal))
                    return [$"{file}: the header must be stream,start,end,type."];
                continue;
            }

            if (line.Length == 0)
                continue;
            if (cells.Length < 4 || !Time(cells[1], out var start) || !Time(cells[2], out var end) || end <= start)
                errors.Add($"{file}:{row}: '{line}' is not stream,start,end,type with start before end.");
            else
                labels.Add(new Label(cells[0], UnixMicros.From(start), UnixMicros.From(end), cells[3]));
        }

        return errors;
    }

    private static bool Time(string text, out DateTimeOffset time) =>
        DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out time);
}
