using System.Globalization;
using System.IO.Compression;
using System.Text;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Files;

/// <summary>
/// Reads time series out of CSV, TSV and NDJSON files, plain or gzip, row by row. The meaning of the columns is found from the
/// header and the first rows unless <see cref="TabularOptions"/> names it. Three forms are known: <i>long</i> (a column names the
/// stream), <i>wide</i> (every numeric column is a stream) and <i>single</i> (one value column; the file's name is the stream).
/// Rows come as they lie in the file: unsorted and duplicate times are passed on.
/// </summary>
public sealed class TabularReader : IDisposable
{
    private const int SniffRows = 512;

    private readonly LineReader _lines;
    private readonly string _name;
    private readonly TabularOptions _options;
    private readonly Queue<byte[]> _sniffed = new();
    private readonly Dictionary<string, StreamEntry> _streams = new(StringComparer.Ordinal);
    private readonly Dictionary<string, StreamEntry>.AlternateLookup<ReadOnlySpan<char>> _lookup;
    private readonly byte[] _unquoted = new byte[4096];

    private bool _ndjson;
    private byte _delimiter;
    private int _timeColumn;
    private int _streamColumn = -1;
    private int[] _valueColumns = [];
    private string[] _valueNames = [];
    private StreamEntry[] _wideStreams = [];
    private TimestampFormat _timeFormat = TimestampFormat.Auto;
    private NdjsonRow? _json;
    private long _row;
    private Range[] _cells = [];

    /// <param name="name">The stream's name in the single form.</param>
    /// <exception cref="InvalidDataException">The table has no column that could be the time, or lacks a named one.</exception>
    public TabularReader(Stream stream, string name, TabularOptions? options = null)
        : this(stream, name, options, follow: false)
    {
    }

    internal TabularReader(Stream stream, string name, TabularOptions? options, bool follow)
    {
        ArgumentNullException.ThrowIfNull(stream);
        _lines = new LineReader(stream, follow);
        _name = name;
        _options = options ?? new TabularOptions();
        _lookup = _streams.GetAlternateLookup<ReadOnlySpan<char>>();
        try
        {
            Sniff();
        }
        catch
        {
            _lines.Dispose();
            throw;
        }
    }

    public TabularShape Shape { get; private set; } = null!;

    /// <summary>Opens a file; a name ending in <c>.gz</c> is read through gzip.</summary>
    public static TabularReader Open(string path, TabularOptions? options = null) => Open(path, options, follow: false);

    /// <summary>The file's name without folders and without extensions: <c>meters/a.csv.gz</c> → <c>a</c>.</summary>
    public static string StreamNameOf(string path)
    {
        var name = Path.GetFileName(path);
        foreach (var extension in (ReadOnlySpan<string>)[".gz", ".csv", ".tsv", ".txt", ".ndjson", ".jsonl", ".json"])
        {
            if (name.Length > extension.Length && name.EndsWith(extension, StringComparison.OrdinalIgnoreCase))
                name = name[..^extension.Length];
        }

        return name;
    }

    /// <summary>
    /// The commonest positive step between consecutive times of one stream, or null if there is none. Reads at most
    /// <paramref name="limit"/> rows.
    /// </summary>
    public static TimeSpan? SniffInterval(IEnumerable<TabularRow> rows, int limit = 100_000)
    {
        ArgumentNullException.ThrowIfNull(rows);
        var last = new Dictionary<string, long>(StringComparer.Ordinal);
        var counts = new Dictionary<long, int>();
        foreach (var row in rows.Take(limit))
        {
            if (last.TryGetValue(row.Stream, out var before) && row.TimeMicros > before)
                counts[row.TimeMicros - before] = counts.GetValueOrDefault(row.TimeMicros - before) + 1;
            last[row.Stream] = row.TimeMicros;
        }

        if (counts.Count == 0)
            return null;
        var best = counts.OrderByDescending(c => c.Value).ThenBy(c => c.Key).First();
        return TimeSpan.FromTicks(best.Key * TimeSpan.TicksPerMicrosecond);
    }

    /// <summary>Streams the rows once. Cells without a number and unreadable rows go to <paramref name="onReject"/>.</summary>
    public IEnumerable<TabularRow> Read(Action<TabularReject>? onReject = null)
    {
        var rows = new List<TabularRow>();
        while (ReadNext(rows, onReject))
        {
            foreach (var row in rows)
                yield return row;
        }
    }

    public void Dispose() => _lines.Dispose();

    internal static TabularReader Open(string path, TabularOptions? options, bool follow)
    {
        Stream stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, 1 << 16, FileOptions.SequentialScan);
        if (path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase))
            stream = new GZipStream(stream, CompressionMode.Decompress);
        return new TabularReader(stream, StreamNameOf(path), options, follow);
    }

    /// <summary>Line number of the row read last.</summary>
    internal long Row => _row;

    /// <summary>Reads one line; <paramref name="rows"/> then holds its values (none for blank and rejected lines).</summary>
    /// <returns>False at the end of the file.</returns>
    internal bool ReadNext(List<TabularRow> rows, Action<TabularReject>? onReject)
    {
        rows.Clear();
        ReadOnlySpan<byte> line;
        if (_sniffed.TryDequeue(out var early))
            line = early;
        else if (!_lines.TryRead(out line))
            return false;
        _row++;
        if (TimestampParser.Trim(line).IsEmpty)
            return true;
        if (_ndjson)
            ReadJson(line, rows, onReject);
        else
            ReadCells(line, rows, onReject);
        return true;
    }

    private void ReadCells(ReadOnlySpan<byte> line, List<TabularRow> rows, Action<TabularReject>? onReject)
    {
        var n = Split(line, _delimiter, _cells);
        var needed = Math.Max(_timeColumn, _streamColumn);
        if (n < 0 || n <= needed)
        {
            onReject?.Invoke(new(_row, DeadLetterReason.Malformed,
                n < 0 ? "The row has an open quote." : $"The row has {n} cells, but the column of the {(needed == _timeColumn ? "time" : "stream")} is number {needed + 1}.", line.ToArray()));
            return;
        }

        StreamEntry? owner = null;
        if (_streamColumn >= 0)
        {
            var id = TimestampParser.Trim(Unquote(line[_cells[_streamColumn]]));
            if (id.IsEmpty)
            {
                onReject?.Invoke(new(_row, DeadLetterReason.BadKey, $"Column {Shape.StreamColumn} is empty.", line.ToArray()));
                return;
            }

            owner = Intern(id);
        }

        // The previous time of the same stream decides which pass through an ambiguous autumn hour this is.
        var clock = owner ?? _wideStreams[0];
        var timeText = Unquote(line[_cells[_timeColumn]]);
        if (!TimestampParser.TryParse(timeText, _timeFormat, _options.TimeZone, clock.LastMicros, out var time))
        {
            onReject?.Invoke(new(_row, DeadLetterReason.BadTime,
                $"Column {Shape.TimeColumn} holds \"{Encoding.UTF8.GetString(timeText)}\", which is not a time of format {_timeFormat.Name}.", line.ToArray(), owner?.Name));
            return;
        }

        clock.LastMicros = time;
        for (var i = 0; i < _valueColumns.Length; i++)
        {
            var stream = owner is null ? _wideStreams[i] : _valueColumns.Length == 1 ? owner : owner.Member(i, _valueNames[i]);
            var column = _valueColumns[i];
            if (column >= n)
            {
                onReject?.Invoke(new(_row, DeadLetterReason.MissingField, $"The row has {n} cells, none for column {_valueNames[i]}.", line.ToArray(), stream.Name));
                continue;
            }

            var cell = Unquote(line[_cells[column]]);
            if (ParseCell(cell, _delimiter, out var value) == NumberResult.Ok)
                rows.Add(new(stream.Name, time, value, _row));
            else
                onReject?.Invoke(new(_row, DeadLetterReason.NotFinite, $"Column {_valueNames[i]} holds \"{Encoding.UTF8.GetString(cell)}\" instead of a number.", line.ToArray(), stream.Name));
        }
    }

    private void ReadJson(ReadOnlySpan<byte> line, List<TabularRow> rows, Action<TabularReject>? onReject)
    {
        var json = _json!;
        var reason = json.Parse(line);
        if (reason is not null)
        {
            onReject?.Invoke(new(_row, reason, json.Detail, line.ToArray()));
            return;
        }

        var owner = json.Stream.IsEmpty ? _wideStreams[0] : Intern(json.Stream);
        if (!TimestampParser.TryParse(json.Time, _timeFormat, _options.TimeZone, owner.LastMicros, out var time))
        {
            onReject?.Invoke(new(_row, DeadLetterReason.BadTime, $"Property {Shape.TimeColumn} holds \"{Encoding.UTF8.GetString(json.Time)}\", which is not a time.", line.ToArray(), owner.Name));
            return;
        }

        owner.LastMicros = time;
        if (json.Values.Count > 1)
            rows.Add(new(owner.Name, time, json.Values[0], _row, [.. json.Values]));
        else
            rows.Add(new(owner.Name, time, json.Values[0], _row));
    }

    private StreamEntry Intern(ReadOnlySpan<byte> utf8)
    {
        Span<char> chars = stackalloc char[512];
        scoped ReadOnlySpan<char> name;
        if (utf8.Length <= chars.Length)
            name = chars[..Encoding.UTF8.GetChars(utf8, chars)];
        else
            name = Encoding.UTF8.GetString(utf8);
        if (!_lookup.TryGetValue(name, out var entry))
        {
            entry = new StreamEntry(name.ToString());
            _streams.Add(entry.Name, entry);
        }

        return entry;
    }

    private void Sniff()
    {
        while (_sniffed.Count < SniffRows && _lines.TryRead(out var line))
            _sniffed.Enqueue(line.ToArray());

        var sample = _sniffed.Where(l => !TimestampParser.Trim(l).IsEmpty).ToList();
        if (sample.Count == 0)
            throw new InvalidDataException($"{_name} is empty.");
        _timeFormat = _options.TimeFormat ?? TimestampFormat.Auto;
        _ndjson = TimestampParser.Trim(sample[0])[0] == '{';
        if (_ndjson)
        {
            _json = new NdjsonRow(_options);
            _wideStreams = [new StreamEntry(_name)];
            Shape = new TabularShape { Form = "ndjson", TimeColumn = _json.TimeName, TimeFormat = _timeFormat, StreamColumn = _json.StreamName, ValueColumns = _json.ValueNames };
            return;
        }

        var layout = TableLayout.Detect(sample, _name, _options);
        _delimiter = layout.Delimiter;
        _cells = new Range[layout.Header.Length + 64];
        _timeColumn = layout.Time;
        _timeFormat = layout.TimeFormat;
        _streamColumn = layout.Stream;
        _valueColumns = layout.Values;
        _valueNames = [.. layout.Values.Select(i => layout.Header[i])];
        _wideStreams = _valueColumns.Length == 1 ? [new StreamEntry(_name)] : [.. _valueNames.Select(n => new StreamEntry(n))];
        Shape = new TabularShape
        {
            Form = _streamColumn >= 0 ? "long" : _valueColumns.Length == 1 ? "single" : "wide",
            Delimiter = (char)_delimiter,
            TimeColumn = layout.Header[_timeColumn],
            TimeFormat = _timeFormat,
            StreamColumn = _streamColumn >= 0 ? layout.Header[_streamColumn] : null,
            ValueColumns = _valueNames,
        };

        if (layout.HasHeader)
        {
            // Everything up to the header, blank lines included.
            byte[] skipped;
            do
            {
                skipped = _sniffed.Dequeue();
                _row++;
            }
            while (TimestampParser.Trim(skipped).IsEmpty);
        }
    }

    /// <summary>Cell ranges of a line; -1 for an unclosed quote. Cells beyond the capacity are dropped.</summary>
    internal static int Split(ReadOnlySpan<byte> line, byte delimiter, Span<Range> cells)
    {
        var count = 0;
        var start = 0;
        while (count < cells.Length)
        {
            var i = start;
            while (i < line.Length && line[i] == ' ' && delimiter != ' ')
                i++;
            if (i < line.Length && line[i] == '"')
            {
                i++;
                while (true)
                {
                    var quote = line[i..].IndexOf((byte)'"');
                    if (quote < 0)
                        return -1;
                    i += quote + 1;
                    if (i >= line.Length || line[i] != '"')
                        break;
                    i++;
                }
            }

            var next = line[i..].IndexOf(delimiter);
            var end = next < 0 ? line.Length : i + next;
            cells[count++] = start..end;
            if (next < 0)
                break;
            start = end + 1;
        }

        return count;
    }

    internal static NumberResult ParseCell(ReadOnlySpan<byte> cell, byte delimiter, out double value)
    {
        // With ';' between cells a comma is a decimal comma.
        if (delimiter == ';' && cell.Length <= 32)
        {
            var comma = cell.IndexOf((byte)',');
            if (comma >= 0 && cell.IndexOf((byte)'.') < 0)
            {
                Span<byte> point = stackalloc byte[32];
                cell.CopyTo(point);
                point[comma] = (byte)'.';
                return NumberParser.Parse(point[..cell.Length], out value);
            }
        }

        return NumberParser.Parse(cell, out value);
    }

    private ReadOnlySpan<byte> Unquote(ReadOnlySpan<byte> cell) => Unquote(cell, _unquoted);

    internal static ReadOnlySpan<byte> Unquote(ReadOnlySpan<byte> cell, Span<byte> scratch)
    {
        var text = TimestampParser.Trim(cell);
        if (text.Length < 2 || text[0] != '"' || text[^1] != '"')
            return cell;
        text = text[1..^1];
        if (text.IndexOf("\"\""u8) < 0 || text.Length > scratch.Length)
            return text;
        var n = 0;
        for (var i = 0; i < text.Length; i++)
        {
            scratch[n++] = text[i];
            if (text[i] == '"')
                i++;
        }

        return scratch[..n];
    }

    private sealed class StreamEntry(string name)
    {
        private StreamEntry?[] _members = [];

        public string Name { get; } = name;

        public long LastMicros { get; set; } = long.MinValue;

        // Long form with several value columns: one stream per id and column.
        public StreamEntry Member(int column, string columnName)
        {
            if (_members.Length <= column)
                Array.Resize(ref _members, column + 1);
            return _members[column] ??= new StreamEntry(string.Create(CultureInfo.InvariantCulture, $"{Name}/{columnName}"));
        }
    }
}
