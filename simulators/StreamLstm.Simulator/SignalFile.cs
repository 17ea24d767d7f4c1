using StreamLstm.Connectors.Files.Signals;

namespace StreamLstm.Simulator;

/// <summary>
/// The samples of a WFDB record or an EDF file in the order of their times. Signals of one rate are one stream, called after the file (and
/// its rate, <c>NAME@100Hz</c>, if the file has several), with a channel each; or, split, every signal is a stream <c>NAME/SIGNAL</c>.
/// </summary>
internal static class SignalFile
{
    /// <summary>Start of a record that says none.</summary>
    private static readonly DateTimeOffset s_unknownStart = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    public static bool Is(string path) => IsWfdb(path) || Path.GetExtension(path).Equals(".edf", StringComparison.OrdinalIgnoreCase);

    /// <exception cref="InvalidDataException">The file is malformed; samples before the fault have been returned.</exception>
    public static IEnumerable<Sample> Read(string path, bool split)
    {
        string name = Path.GetFileNameWithoutExtension(path);
        return IsWfdb(path) ? ReadWfdb(WfdbRecord.Open(path), name, split) : ReadEdf(EdfRecord.Open(path), name, split);
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

    private static IEnumerable<Sample> ReadEdf(EdfRecord record, string name, bool split)
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
        private readonly string _stream;
        private readonly string[]? _split;

        public Track(string name, bool split, string[] signals, string? rateName)
        {
            _stream = name + rateName;
            if (split)
            {
                // Labels need not be unique.
                _split = [.. signals.Select((signal, i) => $"{name}/{signal}" + (signals.Count(s => s == signal) > 1 ? FormattableString.Invariant($"#{i + 1}") : ""))];
            }
        }

        public IEnumerable<Sample> Samples(DateTimeOffset time, double[] values)
        {
            if (_split is not null)
            {
                for (int i = 0; i < values.Length; i++)
                {
                    yield return new Sample(_split[i], time, values[i]);
                }
            }
            else if (values.Length == 1)
            {
                yield return new Sample(_stream, time, values[0]);
            }
            else
            {
                yield return new Sample(_stream, time, double.NaN, [.. values]);
            }
        }
    }
}
