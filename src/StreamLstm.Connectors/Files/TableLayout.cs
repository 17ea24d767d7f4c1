using System.Text;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Files;

/// <summary>The detected meaning of a delimited table: delimiter, header and the roles of its columns.</summary>
internal sealed class TableLayout
{
    // A column is what this share of its first values is: some bad cells don't change what a column means.
    private const double MostOf = 0.7;

    // Texts that no form of TimestampParser's "auto" covers; which one is meant shows only in many rows together.
    private static readonly string[] s_dateForms = ["d{0}M{0}yyyy", "M{0}d{0}yyyy", "yyyy{0}M{0}d", "d{0}M{0}yy", "M{0}d{0}yy"];
    private static readonly string[] s_timeForms = ["", " H:mm", " H:mm:ss", " H:mm:ss.FFFFFFF", " h:mm tt", " h:mm:ss tt"];

    private static readonly string[] s_timeNames = ["date", "time", "timestamp", "datetime", "ts", "ds", "utc", "when"];
    private static readonly string[] s_streamNames =
        ["stream", "id", "series", "meter", "sensor", "device", "channel", "name", "station", "household", "unique_id", "item_id", "tag", "signal"];

    public required byte Delimiter { get; init; }

    public required bool HasHeader { get; init; }

    public required string[] Header { get; init; }

    public required int Time { get; init; }

    public required TimestampFormat TimeFormat { get; init; }

    /// <summary>-1 if no column names the stream.</summary>
    public required int Stream { get; init; }

    public required int[] Values { get; init; }

    /// <exception cref="InvalidDataException">With a sentence for the user.</exception>
    public static TableLayout Detect(List<byte[]> lines, string name, TabularOptions options)
    {
        var delimiter = SniffDelimiter(lines);
        var table = lines.Select(l => Cells(l, delimiter)).ToList();
        var hasHeader = !table[0].Any(c => IsNumber(c, delimiter) || IsTime(c)) && table[0].Any(c => c.Length > 0);
        var width = hasHeader ? table[0].Length : table.Max(r => r.Length);
        var unnamed = Enumerable.Range(0, width).Where(c => hasHeader && table[0][c].Length == 0).ToHashSet();
        string[] header = [.. Enumerable.Range(0, width).Select(c => hasHeader && !unnamed.Contains(c) ? table[0][c] : $"column{c + 1}")];
        var rows = hasHeader ? table.Skip(1).ToList() : table;
        var columns = Enumerable.Range(0, width)
            .Select(c => rows.Where(r => r.Length > c).Select(r => r[c]).Where(v => !IsMissing(v, delimiter)).ToList()).ToList();

        var (time, format) = FindTime(name, header, columns, options, delimiter);
        bool Numeric(int c) => columns[c].Count > 0 && columns[c].Count(v => IsNumber(v, delimiter)) >= MostOf * columns[c].Count;
        var stream = options.StreamColumn is { } wanted ? IndexOf(header, wanted, name) : FindStream(header, columns, time, Numeric);
        return new TableLayout
        {
            Delimiter = delimiter,
            HasHeader = hasHeader,
            Header = header,
            Time = time,
            TimeFormat = format,
            Stream = stream,

            // A numeric column without a name is the row number that data frames write.
            Values = FindValues(name, header, time, stream, options, c => Numeric(c) && !unnamed.Contains(c)),
        };
    }

    private static byte SniffDelimiter(List<byte[]> lines)
    {
        byte best = (byte)',';
        var bestScore = 0;
        var cells = new Range[1024];
        foreach (var candidate in ",;\t"u8)
        {
            // The delimiter gives most rows the same number of cells as the first one, and more than one.
            var first = TabularReader.Split(lines[0], candidate, cells);
            if (first < 2)
                continue;
            var score = lines.Count(l => TabularReader.Split(l, candidate, cells) == first) * 1000 / lines.Count;
            if (score > bestScore)
            {
                best = candidate;
                bestScore = score;
            }
        }

        return best;
    }

    private static (int Column, TimestampFormat Format) FindTime(string name, string[] header, List<List<string>> columns, TabularOptions options, byte delimiter)
    {
        if (options.TimeColumn is { } wanted)
        {
            var column = IndexOf(header, wanted, name);
            return (column, options.TimeFormat ?? DetectFormat(columns[column], options.TimeZone)
                ?? throw new InvalidDataException($"{name}: the format of the times in column {wanted} can't be told; give TimeFormat."));
        }

        for (var c = 0; c < header.Length; c++)
        {
            var values = columns[c];
            if (values.Count == 0)
                continue;
            if (options.TimeFormat is { } given)
            {
                if (Share(values, given, options.TimeZone) >= MostOf)
                    return (c, given);
                continue;
            }

            // Any number reads as Unix time, so a numeric column must also look like one: by its name or by its range.
            if (values.All(v => IsNumber(v, delimiter)) && !values.All(v => PlausibleUnix(v, NamesTime(header[c]) ? 1990 : 1999)))
                continue;
            if (DetectFormat(values, options.TimeZone) is { } format)
                return (c, format);
        }

        throw new InvalidDataException(options.TimeFormat is { } f
            ? $"{name}: no column holds times of format {f.Name}."
            : $"{name}: no column can be read as a time; name it with TimeColumn, or give TimeFormat if its dates are ambiguous. Columns: {string.Join(", ", header)}.");
    }

    // Read as Unix time, the digits of yyyyMMdd and yyyyMMddHHmm give years before 1990 and those of yyyyMMddHHmmss years after 2600.
    private static bool PlausibleUnix(string text, int firstYear) =>
        TryTime(text, TimestampFormat.Auto, TimeZoneInfo.Utc, out var micros)
        && UnixMicros.ToDateTimeOffset(micros).Year is var year && year >= firstYear && year < 2100;

    /// <summary>The format that reads the column; null if none does or if day and month can't be told apart.</summary>
    private static TimestampFormat? DetectFormat(List<string> values, TimeZoneInfo zone)
    {
        if (values.Count == 0 || Share(values, TimestampFormat.Auto, zone) >= MostOf)
            return TimestampFormat.Auto;

        TimestampFormat? best = null;
        var bestTravel = double.PositiveInfinity;
        var tie = false;
        foreach (var separator in (ReadOnlySpan<string>)["/", ".", "-"])
        {
            if (!values[0].Contains(separator, StringComparison.Ordinal))
                continue;
            foreach (var date in s_dateForms)
            {
                foreach (var time in s_timeForms)
                {
                    TimestampFormat.TryCreate(string.Format(System.Globalization.CultureInfo.InvariantCulture, date, separator) + time, out var format);
                    if (Share(values, format, zone) < MostOf)
                        continue;

                    // 1/2 then 2/2 may be a step of a day or of a month: the reading that travels less is the series' own.
                    var travel = Travel(values, format, zone);
                    if (travel < bestTravel)
                    {
                        best = format;
                        bestTravel = travel;
                        tie = false;
                    }
                    else if (travel == bestTravel && !SameTimes(values, best!, format, zone))
                    {
                        tie = true;
                    }
                }
            }
        }

        return tie ? null : best;
    }

    private static double Share(List<string> values, TimestampFormat format, TimeZoneInfo zone)
    {
        // The first value decides for most wrong formats.
        if (!TryTime(values[0], format, zone, out _) && (values.Count < 2 || !TryTime(values[1], format, zone, out _)))
            return 0;
        return values.Count(v => TryTime(v, format, zone, out _)) / (double)values.Count;
    }

    private static double Travel(List<string> values, TimestampFormat format, TimeZoneInfo zone)
    {
        double travel = 0;
        long? last = null;
        foreach (var value in values)
        {
            if (!TryTime(value, format, zone, out var time))
                continue;
            if (last is { } l)
                travel += Math.Abs((double)(time - l));
            last = time;
        }

        return travel;
    }

    private static bool SameTimes(List<string> values, TimestampFormat a, TimestampFormat b, TimeZoneInfo zone) =>
        values.All(v => TryTime(v, a, zone, out var x) == TryTime(v, b, zone, out var y) && x == y);

    private static bool TryTime(string text, TimestampFormat format, TimeZoneInfo zone, out long micros) =>
        TimestampParser.TryParse(Encoding.UTF8.GetBytes(text), format, zone, 0, out micros);

    private static int FindStream(string[] header, List<List<string>> columns, int time, Func<int, bool> numeric)
    {
        bool Repeats(int c) => columns[c].Count > 1 && columns[c].Distinct(StringComparer.Ordinal).Count() < columns[c].Count;
        for (var c = 0; c < header.Length; c++)
        {
            if (c != time && columns[c].Count > 0 && NamesStream(header[c]) && (!numeric(c) || Repeats(c)))
                return c;
        }

        // A text column left of the time names the stream, as in "LCLid,DateTime,KWH"; texts to the right are attributes
        // such as the kind of day.
        for (var c = 0; c < time; c++)
        {
            if (!numeric(c) && Repeats(c))
                return c;
        }

        return -1;
    }

    private static int[] FindValues(string name, string[] header, int time, int stream, TabularOptions options, Func<int, bool> numeric)
    {
        if (options.ValueColumns is { Count: > 0 } wanted)
            return [.. wanted.Select(w => IndexOf(header, w, name))];

        // Beside a column called "value" the others (label, quality, part) describe it.
        var value = Array.FindIndex(header, h => h.Trim().Equals("value", StringComparison.OrdinalIgnoreCase));
        if (value >= 0 && value != time && value != stream)
            return [value];

        int[] values = [.. Enumerable.Range(0, header.Length).Where(c => c != time && c != stream && numeric(c))];
        if (values.Length == 0)
            throw new InvalidDataException($"{name}: no column holds numbers; name one with ValueColumns. Columns: {string.Join(", ", header)}.");
        return values;
    }

    private static int IndexOf(string[] header, string wanted, string name)
    {
        var i = Array.FindIndex(header, h => h.Trim().Equals(wanted.Trim(), StringComparison.OrdinalIgnoreCase));
        return i >= 0 ? i : throw new InvalidDataException($"{name} has no column {wanted}; its columns are {string.Join(", ", header)}.");
    }

    private static bool NamesTime(string header)
    {
        var h = header.Trim();
        return s_timeNames.Any(n => h.Equals(n, StringComparison.OrdinalIgnoreCase))
            || h.Contains("time", StringComparison.OrdinalIgnoreCase) || h.Contains("date", StringComparison.OrdinalIgnoreCase);
    }

    private static bool NamesStream(string header)
    {
        var h = header.Trim();
        return s_streamNames.Any(n => h.Equals(n, StringComparison.OrdinalIgnoreCase))
            || h.EndsWith("_id", StringComparison.OrdinalIgnoreCase) || h.EndsWith("Id", StringComparison.Ordinal);
    }

    private static string[] Cells(byte[] line, byte delimiter)
    {
        var ranges = new Range[1024];
        var scratch = new byte[4096];
        var n = TabularReader.Split(line, delimiter, ranges);
        if (n < 0)
            return [];
        var cells = new string[n];
        for (var i = 0; i < n; i++)
            cells[i] = Encoding.UTF8.GetString(TabularReader.Unquote(line.AsSpan()[ranges[i]], scratch)).Trim();
        return cells;
    }

    private static bool IsNumber(string cell, byte delimiter) => TabularReader.ParseCell(Encoding.UTF8.GetBytes(cell), delimiter, out _) == NumberResult.Ok;

    private static bool IsMissing(string cell, byte delimiter) => TabularReader.ParseCell(Encoding.UTF8.GetBytes(cell), delimiter, out _) == NumberResult.Missing;

    private static bool IsTime(string cell) => TryTime(cell, TimestampFormat.Auto, TimeZoneInfo.Utc, out _);
}
