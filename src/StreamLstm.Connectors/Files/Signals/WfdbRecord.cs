using System.Buffers.Binary;
using System.Globalization;

namespace StreamLstm.Connectors.Files.Signals;

/// <summary>One signal line of a WFDB header.</summary>
/// <param name="File">Name of the file that holds the signal.</param>
/// <param name="Format">16, 212 or 80.</param>
/// <param name="ByteOffset">Bytes before the first sample.</param>
/// <param name="Gain">Units of the converter per physical unit.</param>
/// <param name="Baseline">Converter's value of zero physical units.</param>
/// <param name="Unit">Physical unit.</param>
/// <param name="Name">Description, or <c>signal N</c>.</param>
public sealed record WfdbSignal(string File, int Format, long ByteOffset, double Gain, double Baseline, string Unit, string Name);

/// <summary>One annotation: its sample number and its code's mnemonic, see <see cref="WfdbRecord.ReadAnnotations"/>.</summary>
public readonly record struct WfdbAnnotation(long Sample, string Symbol);

/// <summary>
/// A record of the WaveForm DataBase format: header (<c>.hea</c>), signal files in formats 16, 212 and 80, annotations in MIT format.
/// Layouts after the WFDB Applications Guide, header(5), signal(5) and annot(5). What isn't understood is refused by
/// <see cref="InvalidDataException"/> with the file's name; nothing is guessed.
/// </summary>
public sealed class WfdbRecord
{
    private const int MaxSignals = 64;
    private const int MaxHeaderBytes = 1 << 20;

    // Mnemonics of annot(5) by code; null = not assigned.
    private static readonly string?[] s_symbols =
    [
        " ", "N", "L", "R", "a", "V", "F", "J", "A", "S", "E", "j", "/", "Q", "~", null, "|", null, "s", "T", "*", "D", "\"", "=", "p", "B", "^", "t", "+",
        "u", "?", "!", "[", "]", "e", "n", "@", "x", "f", "(", ")", "r",
    ];

    private readonly string _folder;

    private WfdbRecord(string folder, string name, double rate, long samples, DateTimeOffset? start, IReadOnlyList<WfdbSignal> signals)
    {
        Start = start;
        _folder = folder;
        Name = name;
        Rate = rate;
        Samples = samples;
        Signals = signals;
    }

    public string Name { get; }

    /// <summary>Samples per second and signal.</summary>
    public double Rate { get; }

    /// <summary>Samples per signal; 0 = as many as the file holds.</summary>
    public long Samples { get; }

    /// <summary>Base date and time, if both are said. They have no zone; here they are taken for UTC.</summary>
    public DateTimeOffset? Start { get; }

    public IReadOnlyList<WfdbSignal> Signals { get; }

    /// <summary>Reads a header.</summary>
    /// <param name="path">The <c>.hea</c> file.</param>
    /// <exception cref="InvalidDataException">The header is malformed, or uses what isn't supported: several segments, other formats, several samples per frame.</exception>
    public static WfdbRecord Open(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (new FileInfo(path).Length > MaxHeaderBytes)
            throw Bad(path, "a header of more than a megabyte");
        var lines = File.ReadLines(path).Select(l => l.Trim()).Where(l => l.Length > 0 && l[0] != '#').ToArray();
        if (lines.Length == 0)
            throw Bad(path, "no record line");
        var first = Fields(lines[0]);
        if (first[0].Contains('/', StringComparison.Ordinal))
            throw Bad(path, "a record of several segments is not supported");
        if (first.Length < 2 || !int.TryParse(first[1], NumberStyles.None, CultureInfo.InvariantCulture, out var count) || count is < 1 or > MaxSignals)
            throw Bad(path, $"the number of signals must be 1 to {MaxSignals}");

        // fs[/counter frequency[(base)]], 250 if not said.
        var rate = first.Length < 3 ? 250 : Number(first[2].Split('/', '(')[0]) ?? throw Bad(path, "the sampling frequency is not a number");
        if (rate is <= 0 or > 1e6)
            throw Bad(path, "the sampling frequency must be above 0 and at most 1000000 Hz");
        var samples = 0L;
        if (first.Length > 3 && (!long.TryParse(first[3], NumberStyles.None, CultureInfo.InvariantCulture, out samples) || samples < 0))
            throw Bad(path, "the number of samples is not a number");
        if (lines.Length < count + 1)
            throw Bad(path, $"{count} signals are announced, {lines.Length - 1} described");
        var signals = new WfdbSignal[count];
        for (var i = 0; i < count; i++)
            signals[i] = Signal(path, Fields(lines[i + 1]), i);
        if (signals.Any(s => s.File != signals[0].File || s.Format != signals[0].Format || s.ByteOffset != signals[0].ByteOffset))
            throw Bad(path, "signals in several files or formats are not supported");
        return new WfdbRecord(Path.GetDirectoryName(Path.GetFullPath(path))!, first[0], rate, samples, BaseTime(path, first), signals);
    }

    /// <summary>Reads the signals, sample by sample; the given array is reused.</summary>
    /// <returns>[signals] physical values; NaN where the format marks a missing sample.</returns>
    /// <exception cref="InvalidDataException">The signal file is shorter than the header says.</exception>
    public IEnumerable<double[]> ReadSamples()
    {
        var signals = Signals.ToArray();
        var format = signals[0].Format;
        var path = Path.Combine(_folder, signals[0].File);
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 1 << 16);
        stream.Seek(Math.Min(signals[0].ByteOffset, stream.Length), SeekOrigin.Begin);
        var values = new double[signals.Length];
        var buffer = new byte[3];
        var half = false;
        for (long n = 0; Samples == 0 || n < Samples; n++)
        {
            for (var i = 0; i < signals.Length; i++)
            {
                int? raw;
                switch (format)
                {
                    case 16:
                        raw = Fill(stream, buffer, 2) ? BinaryPrimitives.ReadInt16LittleEndian(buffer) : null;
                        break;
                    case 80:
                        raw = Fill(stream, buffer, 1) ? buffer[0] - 128 : null;
                        break;
                    default:
                        // Two 12-bit samples in three bytes; a last odd one has two.
                        if (half)
                            raw = stream.Read(buffer, 2, 1) == 1 ? Signed12(buffer[2] | ((buffer[1] & 0xF0) << 4)) : null;
                        else
                            raw = Fill(stream, buffer, 2) ? Signed12(buffer[0] | ((buffer[1] & 0x0F) << 8)) : null;
                        half = !half;
                        break;
                }

                if (raw is not { } value)
                {
                    if (Samples > 0)
                        throw Bad(path, $"it ends after {n} of {Samples} samples");
                    yield break;
                }

                var missing = format switch { 16 => short.MinValue, 80 => sbyte.MinValue, _ => -2048 };
                values[i] = value == missing ? double.NaN : (value - signals[i].Baseline) / signals[i].Gain;
            }

            yield return values;
        }
    }

    /// <summary>Reads an annotation file of MIT format: the time since the last annotation and a code in 16 bits, see annot(5).</summary>
    /// <exception cref="InvalidDataException">The file ends within an annotation, or runs backwards beyond its beginning.</exception>
    public static IReadOnlyList<WfdbAnnotation> ReadAnnotations(string path)
    {
        const int skip = 59;
        const int number = 60;
        const int auxiliary = 63;
        var bytes = File.ReadAllBytes(path);
        var list = new List<WfdbAnnotation>();
        var at = 0L;
        var i = 0;
        while (i + 1 < bytes.Length)
        {
            var word = BinaryPrimitives.ReadUInt16LittleEndian(bytes.AsSpan(i));
            i += 2;
            var code = word >> 10;
            var rest = word & 0x3FF;
            if (word == 0)
                return list;
            switch (code)
            {
                case skip:
                    if (i + 4 > bytes.Length)
                        throw Bad(path, "it ends within a skip");
                    // The high half comes first (PDP-11 order).
                    at += (BinaryPrimitives.ReadInt16LittleEndian(bytes.AsSpan(i)) << 16) | BinaryPrimitives.ReadUInt16LittleEndian(bytes.AsSpan(i + 2));
                    i += 4;
                    break;
                case >= number and < auxiliary:
                    break;
                case auxiliary:
                    i += rest + (rest & 1);
                    if (i > bytes.Length)
                        throw Bad(path, "it ends within an annotation's text");
                    break;
                default:
                    at += rest;
                    if (at < 0)
                        throw Bad(path, "an annotation lies before the record");
                    if (code < s_symbols.Length && s_symbols[code] is { } symbol)
                        list.Add(new WfdbAnnotation(at, symbol));
                    break;
            }
        }

        throw Bad(path, "it lacks its end mark");
    }

    private static DateTimeOffset? BaseTime(string path, string[] first)
    {
        if (first.Length < 6)
            return null;
        if (!DateTime.TryParseExact(
            $"{first[4]} {first[5]}", ["H:m:s d/M/yyyy", "H:m:s.FFFFFFF d/M/yyyy"], CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal, out var start))
            throw Bad(path, $"'{first[4]} {first[5]}' is not a base time and date as HH:MM:SS DD/MM/YYYY");
        return start;
    }

    private static WfdbSignal Signal(string path, string[] f, int index)
    {
        if (f.Length < 2)
            throw Bad(path, $"signal {index}: file and format are needed");
        // A name with a folder could leave the record's own.
        if (f[0] != Path.GetFileName(f[0]) || f[0] is "-" or "." or "..")
            throw Bad(path, $"signal {index}: '{f[0]}' is not the name of a file beside the header");
        var digits = f[1].TakeWhile(char.IsAsciiDigit).Count();
        if (!int.TryParse(f[1].AsSpan(0, digits), CultureInfo.InvariantCulture, out var format) || format is not (16 or 212 or 80))
            throw Bad(path, $"signal {index}: format {f[1]} is not 16, 212 or 80");
        var offset = 0L;
        if (digits < f[1].Length && (f[1][digits] != '+' || !long.TryParse(f[1].AsSpan(digits + 1), NumberStyles.None, CultureInfo.InvariantCulture, out offset)))
            throw Bad(path, $"signal {index}: several samples per frame or a skew ({f[1]}) are not supported");

        // gain[(baseline)][/unit]; a gain of 0 or none means 200 per millivolt.
        var zero = f.Length > 4 ? Number(f[4]) ?? throw Bad(path, $"signal {index}: ADC zero is not a number") : 0;
        var (gain, baseline, unit) = (200d, zero, "mV");
        if (f.Length > 2)
        {
            var parts = f[2].Split('/', 2);
            if (parts.Length == 2)
                unit = parts[1];
            var open = parts[0].IndexOf('(', StringComparison.Ordinal);
            var text = open < 0 ? parts[0] : parts[0][..open];
            gain = Number(text) ?? throw Bad(path, $"signal {index}: gain '{f[2]}' is not a number");
            if (gain == 0)
                gain = 200;
            if (open >= 0)
                baseline = Number(parts[0][(open + 1)..].TrimEnd(')')) ?? throw Bad(path, $"signal {index}: baseline '{f[2]}' is not a number");
        }

        return new WfdbSignal(f[0], format, offset, gain, baseline, unit, f.Length > 8 ? string.Join(' ', f[8..]) : $"signal {index}");
    }

    private static string[] Fields(string line) => line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);

    private static double? Number(string text) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var v) && double.IsFinite(v) ? v : null;

    private static bool Fill(FileStream stream, byte[] buffer, int n)
    {
        // The buffer's third byte belongs to format 212.
        return stream.ReadAtLeast(buffer.AsSpan(0, n), n, throwOnEndOfStream: false) == n;
    }

    private static int Signed12(int v) => v > 2047 ? v - 4096 : v;

    private static InvalidDataException Bad(string path, string what) => new($"{path}: {what}.");
}
