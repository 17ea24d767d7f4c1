using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Files.Signals;

/// <summary>Signals of one rate in a file: one stream with a channel each.</summary>
public sealed record SignalTrack(string Stream, double Rate, IReadOnlyList<string> Channels);

/// <summary>A run of samples of one track.</summary>
/// <param name="FirstMicros">Unix microseconds of the first.</param>
/// <param name="Values">[n, channels], NaN = missing; only valid until the next run.</param>
public readonly record struct SignalRun(int Track, long FirstMicros, int Rows, ReadOnlyMemory<double> Values);

/// <summary>
/// The signals of a WFDB record or an EDF file as runs of about a tenth of a second (WFDB) or a data record (EDF). A stream is called after the
/// file, and after its rate (<c>NAME@100Hz</c>) if an EDF file has several.
/// </summary>
public sealed class SignalFile
{
    private const double RunSeconds = 0.1;

    /// <summary>Start of a record that says none.</summary>
    private static readonly DateTimeOffset s_unknownStart = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    private readonly WfdbRecord? _wfdb;
    private readonly EdfRecord? _edf;
    private readonly int[][] _groups;

    private SignalFile(WfdbRecord? wfdb, EdfRecord? edf, int[][] groups, IReadOnlyList<SignalTrack> tracks) =>
        (_wfdb, _edf, _groups, Tracks) = (wfdb, edf, groups, tracks);

    public IReadOnlyList<SignalTrack> Tracks { get; }

    public static bool Is(string path) => IsWfdb(path) || Path.GetExtension(path).Equals(".edf", StringComparison.OrdinalIgnoreCase);

    /// <exception cref="InvalidDataException">The file is malformed, or has no signal.</exception>
    public static SignalFile Open(string path)
    {
        var name = Path.GetFileNameWithoutExtension(path);
        if (IsWfdb(path))
        {
            var wfdb = WfdbRecord.Open(path);
            return new SignalFile(wfdb, null, [], [new SignalTrack(name, wfdb.Rate, [.. wfdb.Signals.Select(s => s.Name)])]);
        }

        var edf = EdfRecord.Open(path);
        int[][] groups = [.. edf.Signals.Select((signal, i) => (signal.SamplesPerRecord, i)).GroupBy(s => s.SamplesPerRecord, s => s.i).Select(group => group.ToArray())];
        if (groups.Length == 0)
            throw new InvalidDataException($"{path}: the file has annotations only, no signal.");
        return new SignalFile(null, edf, groups, [.. groups.Select(group =>
        {
            var rate = edf.Signals[group[0]].SamplesPerRecord / edf.RecordSeconds;
            return new SignalTrack(groups.Length == 1 ? name : name + FormattableString.Invariant($"@{rate:G6}Hz"), rate, [.. group.Select(i => edf.Signals[i].Label)]);
        })]);
    }

    /// <summary>In the order of time.</summary>
    /// <exception cref="InvalidDataException">The file is damaged; runs before the damage have been returned.</exception>
    public IEnumerable<SignalRun> Read() => _wfdb is not null ? ReadWfdb(_wfdb) : ReadEdf(_edf!);

    private static bool IsWfdb(string path) => Path.GetExtension(path).Equals(".hea", StringComparison.OrdinalIgnoreCase);

    private static IEnumerable<SignalRun> ReadWfdb(WfdbRecord record)
    {
        var channels = record.Signals.Count;
        var most = (int)Math.Ceiling(record.Rate * RunSeconds);
        var values = new double[most * channels];
        var rows = 0;
        long done = 0;
        foreach (var sample in record.ReadSamples())
        {
            sample.AsSpan(0, channels).CopyTo(values.AsSpan(rows * channels));
            if (++rows < most)
                continue;
            yield return new SignalRun(0, At(record.Start ?? s_unknownStart, done / record.Rate), rows, values);
            done += rows;
            rows = 0;
        }

        if (rows > 0)
            yield return new SignalRun(0, At(record.Start ?? s_unknownStart, done / record.Rate), rows, values.AsMemory(0, rows * channels));
    }

    private IEnumerable<SignalRun> ReadEdf(EdfRecord record)
    {
        double[][] values = [.. _groups.Select(group => new double[group.Length * record.Signals[group[0]].SamplesPerRecord])];
        foreach (var block in record.Read())
        {
            for (var g = 0; g < _groups.Length; g++)
            {
                var group = _groups[g];
                var rows = record.Signals[group[0]].SamplesPerRecord;
                for (var c = 0; c < group.Length; c++)
                {
                    for (var k = 0; k < rows; k++)
                        values[g][(k * group.Length) + c] = block.Values[group[c]][k];
                }

                yield return new SignalRun(g, At(record.Start, block.Onset), rows, values[g]);
            }
        }
    }

    private static long At(DateTimeOffset start, double seconds)
    {
        var ticks = start.UtcTicks + (seconds * TimeSpan.TicksPerSecond);
        return ticks >= 0 && ticks < DateTimeOffset.MaxValue.UtcTicks
            ? UnixMicros.From(start) + (long)Math.Round(seconds * 1e6)
            : throw new InvalidDataException(FormattableString.Invariant($"{seconds} s after {start:O} is not a time."));
    }
}
