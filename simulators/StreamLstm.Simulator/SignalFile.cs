using StreamLstm.Connectors.Files.Signals;
using StreamLstm.Simulation;

namespace StreamLstm.Simulator;

/// <summary>
/// The samples of a WFDB record or an EDF file in the order of their times. Signals of one rate are one stream, called after the file (and
/// its rate, <c>NAME@100Hz</c>, if the file has several), with a channel each; or, split, every signal is a stream <c>NAME/SIGNAL</c>.
/// </summary>
internal static class SignalFile
{
    private const double MomentSeconds = 0.001;

    /// <summary>Start of a record that says none.</summary>
    private static readonly DateTimeOffset s_unknownStart = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    public static bool Is(string path) => IsWfdb(path) || Path.GetExtension(path).Equals(".edf", StringComparison.OrdinalIgnoreCase);

    /// <param name="onLabel">Called with every annotation of an EDF+ file, for every stream, before the samples that it was stored with.</param>
    /// <exception cref="InvalidDataException">The file is malformed; samples before the fault have been returned.</exception>
    public static IEnumerable<Sample> Read(string path, bool split, Action<FaultLabel>? onLabel)
    {
        string name = Path.GetFileNameWithoutExtension(path);
        return IsWfdb(path) ? ReadWfdb(WfdbRecord.Open(path), name, split) : ReadEdf(EdfRecord.Open(path), name, split, onLabel);
    }

    private static bool IsWfdb(string path) => Path.GetExtension(path).Equals(".hea", StringComparison.OrdinalIgnoreCase);

    private static IEnumerable<Sample> ReadWfdb(WfdbRecord record, string name, bool split)
    {
        Track track = new(name, split, [.. record.Signals.Select(signal => signal.Name)], rateName: null);
        long n = 0;
        foreach (double[] values in record.ReadSamples())
        {
            DateTimeOffset time = At(record.Start ?? s_unknownStart, n++ / record.Rate);
            foreach (Sample sample in track.Samples(time, values))
            {
                yield return sample;
            }
        }
    }

    private static IEnumerable<Sample> ReadEdf(EdfRecord record, string name, bool split, Action<FaultLabel>? onLabel)
    {
        int[][] groups = [.. record.Signals.Select((signal, i) => (signal.SamplesPerRecord, i)).GroupBy(s => s.SamplesPerRecord, s => s.i).Select(group => group.ToArray())];
        if (groups.Length == 0)
        {
            throw new InvalidDataException($"{name}: the file has annotations only, no signal.");
        }

        Track[] tracks = [.. groups.Select(group => new Track(
            name, split, [.. group.Select(i => record.Signals[i].Label)],
            groups.Length == 1 ? null : FormattableString.Invariant($"@{record.Signals[group[0]].SamplesPerRecord / record.RecordSeconds:G6}Hz")))];
        var next = new int[groups.Length];
        foreach (EdfBlock block in record.Read())
        {
            foreach (EdfAnnotation annotation in onLabel is null ? [] : block.Annotations)
            {
                // Annotations without a duration mark a moment; a label has to last.
                DateTimeOffset start = At(record.Start, annotation.Onset), end = At(record.Start, annotation.Onset + Math.Max(annotation.Duration ?? 0, MomentSeconds));
                foreach (string stream in tracks.SelectMany(track => track.Streams))
                {
                    onLabel!(new FaultLabel(stream, start, end, annotation.Text, 0));
                }
            }

            Array.Clear(next);
            while (true)
            {
                // The group whose next sample is the earliest.
                int group = -1;
                double earliest = 1;
                for (int g = 0; g < groups.Length; g++)
                {
                    double share = next[g] / (double)record.Signals[groups[g][0]].SamplesPerRecord;
                    if (share < earliest)
                    {
                        (group, earliest) = (g, share);
                    }
                }

                if (group < 0)
                {
                    break;
                }

                double[] values = [.. groups[group].Select(i => block.Values[i][next[group]])];
                next[group]++;
                foreach (Sample sample in tracks[group].Samples(At(record.Start, block.Onset + (earliest * record.RecordSeconds)), values))
                {
                    yield return sample;
                }
            }
        }
    }

    private static DateTimeOffset At(DateTimeOffset start, double seconds)
    {
        double ticks = start.UtcTicks + (seconds * TimeSpan.TicksPerSecond);
        return ticks >= 0 && ticks < DateTimeOffset.MaxValue.UtcTicks
            ? new DateTimeOffset(start.UtcTicks + (long)Math.Round(seconds * TimeSpan.TicksPerSecond), TimeSpan.Zero)
            : throw new InvalidDataException(FormattableString.Invariant($"{seconds} s after {start:O} is not a time."));
    }

    /// <summary>Signals that are sampled together.</summary>
    private sealed class Track
    {
        private readonly bool _split;

        public Track(string name, bool split, string[] signals, string? rateName)
        {
            _split = split;

            // Names of signals need not be unique.
            Streams = split
                ? [.. signals.Select((signal, i) => $"{name}/{signal}" + (signals.Count(s => s == signal) > 1 ? FormattableString.Invariant($"#{i + 1}") : ""))]
                : [name + rateName];
        }

        public IReadOnlyList<string> Streams { get; }

        public IEnumerable<Sample> Samples(DateTimeOffset time, double[] values)
        {
            if (_split)
            {
                for (int i = 0; i < values.Length; i++)
                {
                    yield return new Sample(Streams[i], time, values[i]);
                }
            }
            else if (values.Length == 1)
            {
                yield return new Sample(Streams[0], time, values[0]);
            }
            else
            {
                yield return new Sample(Streams[0], time, double.NaN, [.. values]);
            }
        }
    }
}
