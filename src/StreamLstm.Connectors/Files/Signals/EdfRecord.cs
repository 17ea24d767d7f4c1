using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace StreamLstm.Connectors.Files.Signals;

/// <summary>One ordinary signal of an EDF file.</summary>
/// <param name="Label">What was measured and where, such as <c>EEG Fpz-Cz</c>.</param>
/// <param name="Unit">Physical unit.</param>
/// <param name="SamplesPerRecord">Samples in every data record.</param>
/// <param name="Gain">Physical units per digital one.</param>
/// <param name="Offset">Physical value of digital zero.</param>
public sealed record EdfSignal(string Label, string Unit, int SamplesPerRecord, double Gain, double Offset);

/// <summary>One annotation.</summary>
/// <param name="Onset">Seconds since the file's start.</param>
/// <param name="Duration">Seconds, null if not said.</param>
public readonly record struct EdfAnnotation(double Onset, double? Duration, string Text);

/// <summary>One data record.</summary>
/// <param name="Onset">Seconds between the file's start and the record's first samples.</param>
/// <param name="Values">[signals][samples per record] physical values; the arrays are reused for the next record.</param>
public sealed record EdfBlock(double Onset, IReadOnlyList<double[]> Values, IReadOnlyList<EdfAnnotation> Annotations);

/// <summary>
/// A file of the European Data Format or of EDF+, continuous or discontinuous, with its time-stamped annotations lists. Layout after Kemp et al.,
/// Electroenceph. Clin. Neurophysiol. 82, 1992, and Kemp and Olivan, Clin. Neurophysiol. 114, 2003. What isn't understood is refused by
/// <see cref="InvalidDataException"/> with the file's name; nothing is guessed.
/// </summary>
public sealed class EdfRecord
{
    private const int MaxSignals = 512;
    private const int MaxRecordSamples = 1 << 24;
    private const int FixedHeaderBytes = 256;
    private const string AnnotationLabel = "EDF Annotations";

    // Recorders write times with limited decimals.
    private const double TimeTolerance = 0.001;

    private readonly string _path;
    private readonly Column[] _columns;

    private EdfRecord(string path, DateTimeOffset start, bool plus, bool continuous, double recordSeconds, long records, Column[] columns)
    {
        _path = path;
        _columns = columns;
        (Start, IsPlus, IsContinuous, RecordSeconds, Records) = (start, plus, continuous, recordSeconds, records);
        Signals = [.. columns.Where(c => c.Signal is not null).Select(c => c.Signal!)];
    }

    /// <summary>Local time of the recording, which the format gives no zone for; here it is taken for UTC.</summary>
    public DateTimeOffset Start { get; }

    /// <summary>True for EDF+.</summary>
    public bool IsPlus { get; }

    /// <summary>False if there may be gaps between data records (EDF+D).</summary>
    public bool IsContinuous { get; }

    /// <summary>Duration of a data record in seconds.</summary>
    public double RecordSeconds { get; }

    /// <summary>Number of data records.</summary>
    public long Records { get; }

    /// <summary>Ordinary signals, without the annotations; those of a file that isn't EDF+ have no meaning and are left out.</summary>
    public IReadOnlyList<EdfSignal> Signals { get; }

    private int RecordBytes => 2 * _columns.Sum(c => c.Samples);

    private int HeaderBytes => FixedHeaderBytes * (_columns.Length + 1);

    /// <summary>Reads a header.</summary>
    /// <exception cref="InvalidDataException">The header is malformed, or of another format, such as BDF.</exception>
    public static EdfRecord Open(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        var head = new HeaderReader(path, stream, FixedHeaderBytes);
        var version = head.Text(8);
        if (version.Length > 0 && version[0] == '\u00FF')
            throw Bad(path, "BDF (24 bits per sample) is not supported");
        if (version != "0")
            throw Bad(path, "it doesn't begin with version 0 of EDF");
        head.Skip(80 + 80);
        var start = ReadStart(path, head.Text(8), head.Text(8));
        var headerBytes = head.Whole(8, "number of header bytes");
        var reserved = head.Text(44);
        var plus = reserved.StartsWith("EDF+", StringComparison.Ordinal);
        if (plus && !(reserved.StartsWith("EDF+C", StringComparison.Ordinal) || reserved.StartsWith("EDF+D", StringComparison.Ordinal)))
            throw Bad(path, $"'{reserved}' is neither EDF+C nor EDF+D");
        var records = head.Whole(8, "number of data records");
        var seconds = head.Number(8, "duration of a data record");
        var count = head.Whole(4, "number of signals");
        if (count is < 1 or > MaxSignals)
            throw Bad(path, $"the number of signals must be 1 to {MaxSignals}");
        if (headerBytes != FixedHeaderBytes * (count + 1))
            throw Bad(path, $"a header of {headerBytes} bytes doesn't fit {count} signals");
        var columns = ReadColumns(path, new HeaderReader(path, stream, FixedHeaderBytes * (int)count), (int)count);
        if (columns.Sum(c => (long)c.Samples) > MaxRecordSamples)
            throw Bad(path, $"a data record of more than {MaxRecordSamples} samples");
        if (seconds is not (>= 0 and < 1e6) || (seconds == 0 && columns.Any(c => c.Signal is not null)))
            throw Bad(path, "the duration of a data record must be above 0 s (0 for annotations only) and below 1000000 s");
        if (plus && columns.All(c => c.Signal is not null))
            throw Bad(path, $"EDF+ without '{AnnotationLabel}' doesn't say when its data records start");

        // −1 while the recording is under way: as many as are there.
        var recordBytes = 2L * columns.Sum(c => c.Samples);
        if (records == -1)
            records = (stream.Length - stream.Position) / recordBytes;
        if (records < 0)
            throw Bad(path, "the number of data records must be -1 or more");
        return new EdfRecord(path, start, plus, !reserved.StartsWith("EDF+D", StringComparison.Ordinal), seconds, records, columns);
    }

    /// <summary>Reads the data records in order.</summary>
    /// <exception cref="InvalidDataException">
    /// The file is shorter than the header says, an annotation is malformed, or the records' times contradict each other or the header.
    /// </exception>
    public IEnumerable<EdfBlock> Read()
    {
        using var stream = new FileStream(_path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 1 << 16);
        stream.Seek(HeaderBytes, SeekOrigin.Begin);
        var bytes = new byte[RecordBytes];
        double[][] values = [.. Signals.Select(s => new double[s.SamplesPerRecord])];
        double first = 0, end = double.NegativeInfinity;
        for (long n = 0; n < Records; n++)
        {
            if (stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false) < bytes.Length)
                throw Bad(_path, $"it ends within data record {n + 1} of {Records}");
            var annotations = new List<EdfAnnotation>();
            double? onset = IsPlus ? null : n * RecordSeconds;
            int at = 0, signal = 0;
            foreach (var column in _columns)
            {
                var part = bytes.AsSpan(at, 2 * column.Samples);
                at += part.Length;
                if (column.Signal is { } s)
                {
                    var target = values[signal++];
                    for (var i = 0; i < target.Length; i++)
                        target[i] = (BinaryPrimitives.ReadInt16LittleEndian(part[(2 * i)..]) * s.Gain) + s.Offset;
                }
                else if (IsPlus)
                {
                    // The first list of the first annotation signal says when the record starts.
                    ReadLists(part, n, annotations, ref onset);
                }
            }

            var start = onset ?? throw Bad(_path, $"data record {n + 1} doesn't say when it starts");
            if (n == 0)
                first = start;
            if (IsContinuous && Math.Abs(start - first - (n * RecordSeconds)) > TimeTolerance)
                throw Bad(_path, string.Create(CultureInfo.InvariantCulture, $"data record {n + 1} starts at {start} s and not at {first + (n * RecordSeconds)} s, though the file is said to be continuous"));
            if (start < end - TimeTolerance)
                throw Bad(_path, string.Create(CultureInfo.InvariantCulture, $"data record {n + 1} starts at {start} s, before the last one's end at {end} s"));
            end = start + RecordSeconds;
            yield return new EdfBlock(start, values, annotations);
        }
    }

    /// <summary>Every annotation of the file.</summary>
    /// <inheritdoc cref="Read" path="/exception"/>
    public IReadOnlyList<EdfAnnotation> ReadAnnotations() => [.. Read().SelectMany(block => block.Annotations)];

    /// <summary>
    /// Time-stamped annotations lists: <c>onset [0x15 duration] (0x14 text)… 0x14 0x00</c>, the rest filled with zeros. A record's first list
    /// begins with an empty text and holds the record's start.
    /// </summary>
    private void ReadLists(ReadOnlySpan<byte> part, long record, List<EdfAnnotation> annotations, ref double? start)
    {
        var first = start is null;
        while (part.Length > 0)
        {
            if (part[0] == 0)
            {
                part = part[1..];
                continue;
            }

            var length = part.IndexOf((byte)0);
            var list = length < 0 ? part : part[..length];
            var close = list.Length - 1;
            if (length < 0 || list[close] != 0x14)
                throw Bad(_path, $"an annotation in data record {record + 1} isn't closed");
            var stampEnd = list.IndexOf((byte)0x14);
            var stamp = Encoding.Latin1.GetString(list[..stampEnd]).Split('\u0015');
            if (stamp.Length > 2 || stamp[0].Length == 0 || stamp[0][0] is not ('+' or '-') || Number(stamp[0]) is not { } onset)
                throw Bad(_path, $"an annotation in data record {record + 1} begins with '{Printable(stamp[0])}' instead of a signed time");
            double? duration = null;
            if (stamp.Length == 2 && ((duration = Number(stamp[1])) is not >= 0 || !char.IsAsciiDigit(stamp[1][0])))
                throw Bad(_path, $"an annotation in data record {record + 1} has the duration '{Printable(stamp[1])}'");
            var texts = stampEnd == close ? [""] : Encoding.UTF8.GetString(list[(stampEnd + 1)..close]).Split('\u0014');
            if (first && start is null)
            {
                if (texts[0].Length > 0 || stamp.Length == 2)
                    throw Bad(_path, $"data record {record + 1} doesn't say when it starts");
                start = onset;
            }

            foreach (var text in texts)
            {
                if (text.Length > 0)
                    annotations.Add(new EdfAnnotation(onset, duration, text));
            }

            part = part[(length + 1)..];
        }
    }

    private static DateTimeOffset ReadStart(string path, string date, string time)
    {
        var (d, t) = (date.Split('.'), time.Split('.'));
        if (d.Length == 3 && t.Length == 3)
        {
            int[] n = [.. d.Concat(t).Select(x => x.Length == 2 && int.TryParse(x, NumberStyles.None, CultureInfo.InvariantCulture, out var v) ? v : -1)];

            // Two digits of the year: from 1985 to 2084.
            if (n.All(v => v >= 0) && n[0] > 0 && n[1] is > 0 and <= 12 && n[3] < 24 && n[4] < 60 && n[5] < 60)
            {
                var year = n[2] + (n[2] >= 85 ? 1900 : 2000);
                if (n[0] <= DateTime.DaysInMonth(year, n[1]))
                    return new DateTimeOffset(year, n[1], n[0], n[3], n[4], n[5], TimeSpan.Zero);
            }
        }

        throw Bad(path, $"'{Printable(date)} {Printable(time)}' is not a start as dd.mm.yy hh.mm.ss");
    }

    private static Column[] ReadColumns(string path, HeaderReader head, int count)
    {
        string[] Texts(int width) => [.. Enumerable.Range(0, count).Select(_ => head.Text(width))];
        double[] Numbers(int width, string what) => [.. Enumerable.Range(0, count).Select(i => head.Number(width, $"signal {i}: {what}"))];
        var labels = Texts(16);
        head.Skip(80 * count);
        var units = Texts(8);
        var (physicalMin, physicalMax) = (Texts(8), Texts(8));
        var (digitalMin, digitalMax) = (Numbers(8, "digital minimum"), Numbers(8, "digital maximum"));
        head.Skip(80 * count);
        var samples = Numbers(8, "number of samples per data record");
        var columns = new Column[count];
        for (var i = 0; i < count; i++)
        {
            if (samples[i] is not (>= 1 and <= MaxRecordSamples) || samples[i] != Math.Floor(samples[i]))
                throw Bad(path, $"signal {i}: the number of samples per data record must be 1 to {MaxRecordSamples}");
            if (labels[i] == AnnotationLabel)
            {
                columns[i] = new Column((int)samples[i], null);
                continue;
            }

            if (digitalMin[i] is not (>= short.MinValue and <= short.MaxValue) || digitalMax[i] is not (>= short.MinValue and <= short.MaxValue) || digitalMin[i] >= digitalMax[i])
                throw Bad(path, $"signal {i}: digital minimum and maximum must be ascending 16-bit numbers");
            if (Number(physicalMin[i]) is not { } low || Number(physicalMax[i]) is not { } high || low == high)
                throw Bad(path, $"signal {i}: physical minimum '{Printable(physicalMin[i])}' and maximum '{Printable(physicalMax[i])}' must be different numbers");
            var gain = (high - low) / (digitalMax[i] - digitalMin[i]);
            if (!double.IsFinite(gain))
                throw Bad(path, $"signal {i}: the physical range is too large");
            columns[i] = new Column((int)samples[i], new EdfSignal(labels[i].Length > 0 ? labels[i] : $"signal {i}", units[i], (int)samples[i], gain, low - (digitalMin[i] * gain)));
        }

        return columns;
    }

    private static double? Number(string text) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var v) && double.IsFinite(v) ? v : null;

    private static string Printable(string text) => string.Concat(text.Select(c => char.IsControl(c) ? '?' : c));

    private static InvalidDataException Bad(string path, string what) => new($"{path}: {what}.");

    private readonly record struct Column(int Samples, EdfSignal? Signal);

    /// <summary>Fields of fixed width. They should be ASCII but aren't always, and every byte counts: Latin-1.</summary>
    private sealed class HeaderReader
    {
        private readonly string _path, _text;
        private int _at;

        public HeaderReader(string path, Stream stream, int bytes)
        {
            var buffer = new byte[bytes];
            if (stream.ReadAtLeast(buffer, bytes, throwOnEndOfStream: false) < bytes)
                throw Bad(path, "it ends within the header");
            (_path, _text) = (path, Encoding.Latin1.GetString(buffer));
        }

        public string Text(int width) => _text.Substring((_at += width) - width, width).Trim(' ', '\0');

        public void Skip(int width) => _at += width;

        public double Number(int width, string what) =>
            Text(width) is var text && EdfRecord.Number(text) is { } value ? value : throw Bad(_path, $"{what}: '{Printable(text)}' is not a number");

        public long Whole(int width, string what) =>
            Number(width, what) is var value && value == Math.Floor(value) ? (long)value : throw Bad(_path, $"{what}: '{value}' is not a whole number");
    }
}
