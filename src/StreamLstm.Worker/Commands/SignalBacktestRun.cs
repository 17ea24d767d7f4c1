using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging.Abstractions;
using StreamLstm.Connectors.Files;
using StreamLstm.Connectors.Files.Signals;
using StreamLstm.Core.Signals;
using StreamLstm.Runtime.Evaluation;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Worker.Commands;

/// <summary><c>backtest FILE… --signal ecg|eeg</c>: signals through the engine, their episodes against labels.</summary>
internal static class SignalBacktestRun
{
    private const double BlockSeconds = 0.1;

    /// <param name="configured">A signal's profile, or null: made for the first file.</param>
    public static async Task<int> RunAsync(IReadOnlyList<FileInfo> files, SignalKind kind, Profile? configured, double warmUp, IReadOnlyList<Label> labels, FileInfo? json, CancellationToken stopping)
    {
        Terminal.Line(SignalCaveat.Text);
        const string help = "See streamlstm backtest --help.";
        var all = new List<SignalSeries>();
        using var meters = new SilentMeterFactory();
        foreach (var file in files)
        {
            try
            {
                var profile = configured ?? ProfileOf(file, kind);
                var backtest = new SignalBacktest(profile, warmUp);
                all.AddRange(await Terminal.ProgressAsync(
                    string.Create(CultureInfo.InvariantCulture, $"{file.Name}: {profile.Channels.Count} channels at {profile.Rate} Hz"),
                    _ => backtest.RunAsync(Blocks(file, profile), labels, null, NullLoggerFactory.Instance, meters, stopping)));
            }
            catch (InvalidDataException e)
            {
                return Terminal.Refuse([e.Message], help);
            }
        }

        if (all.Count == 0)
            return Terminal.Refuse(["There are no samples."], help);
        var elsewhere = labels.Select(l => l.Stream).Except(all.Select(s => s.Stream), StringComparer.Ordinal).Count();
        if (elsewhere > 0)
            Terminal.Line($"{elsewhere} of the labelled streams are not in the data.");
        Print(all);
        if (json is not null)
            await File.WriteAllTextAsync(json.FullName, ToJson(all).ToJsonString(new JsonSerializerOptions { WriteIndented = true }) + "\n", stopping);
        return ExitCode.Ok;
    }

    private static Profile ProfileOf(FileInfo file, SignalKind kind)
    {
        double rate;
        IReadOnlyList<string> channels;
        if (SignalFile.Is(file.FullName))
        {
            var track = SignalFile.Open(file.FullName).Tracks[0];
            (rate, channels) = (track.Rate, track.Channels);
        }
        else
        {
            (rate, channels) = Sniff(file);
        }

        var most = kind == SignalKind.Ecg ? EcgMonitor.MostLeads : EegWatch.MostChannels;
        if (rate is < EcgMonitor.LowestRate or > EcgMonitor.HighestRate || channels.Count > most)
            throw new InvalidDataException(string.Create(CultureInfo.InvariantCulture, $"{file}: {EcgMonitor.LowestRate} to {EcgMonitor.HighestRate} Hz and at most {most} channels are read, this has {rate} Hz and {channels.Count}."));
        return new Profile { Name = "backtest", Signal = kind, Rate = rate, Channels = channels };
    }

    private static (double Rate, IReadOnlyList<string> Channels) Sniff(FileInfo file)
    {
        const int rows = 2000;
        using var reader = TabularReader.Open(file.FullName);
        string? stream = null;
        long first = 0, last = 0;
        var n = 0;
        var channels = 1;
        foreach (var row in reader.Read().Take(rows * 64))
        {
            stream ??= row.Stream;
            if (row.Stream != stream)
                continue;
            (first, last, channels) = (n == 0 ? row.TimeMicros : first, row.TimeMicros, row.Channels?.Length ?? 1);
            if (++n == rows)
                break;
        }

        if (n < 2 || last <= first)
            throw new InvalidDataException($"{file}: there are too few samples to tell the rate.");
        return (Math.Round((n - 1) * 1e6 / (last - first), 2), [.. Enumerable.Range(1, channels).Select(c => c.ToString(CultureInfo.InvariantCulture))]);
    }

    /// <summary>Rows that follow each other at the rate, a tenth of a second at a time.</summary>
    private static IEnumerable<SignalBlock> Blocks(FileInfo file, Profile profile)
    {
        if (SignalFile.Is(file.FullName))
        {
            var signals = SignalFile.Open(file.FullName);
            foreach (var run in signals.Read())
            {
                if (signals.Tracks[run.Track].Rate == profile.Rate)
                    yield return new SignalBlock(signals.Tracks[run.Track].Stream, run.FirstMicros, run.Rows, run.Values);
            }

            yield break;
        }

        var step = 1e6 / profile.Rate;
        var most = (int)Math.Ceiling(profile.Rate * BlockSeconds);
        var open = new Dictionary<string, Open>(StringComparer.Ordinal);
        using var reader = TabularReader.Open(file.FullName);
        foreach (var row in reader.Read())
        {
            if (!open.TryGetValue(row.Stream, out var block))
                open.Add(row.Stream, block = new Open(new double[most * profile.Channels.Count]));
            if (block.Rows > 0 && (block.Rows == most || Math.Abs(row.TimeMicros - block.First - (block.Rows * step)) > 0.6 * step))
            {
                yield return new SignalBlock(row.Stream, block.First, block.Rows, block.Values.AsMemory(0, block.Rows * profile.Channels.Count));
                block.Rows = 0;
            }

            if (block.Rows == 0)
                block.First = row.TimeMicros;
            var values = block.Values.AsSpan(block.Rows++ * profile.Channels.Count, profile.Channels.Count);
            if (row.Channels is null)
                values[0] = row.Value;
            else if (row.Channels.Length == values.Length)
                row.Channels.CopyTo(values);
            else
                throw new InvalidDataException($"{file}:{row.Row}: {row.Channels.Length} values, expected {values.Length}.");
        }

        foreach (var (stream, block) in open)
            yield return new SignalBlock(stream, block.First, block.Rows, block.Values.AsMemory(0, block.Rows * profile.Channels.Count));
    }

    private static void Print(IReadOnlyList<SignalSeries> all)
    {
        foreach (var s in all)
        {
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{s.Stream}: {s.Results} results in {s.Seconds:0} s, {s.Anomalous} anomalous, {s.Episodes.Count} episodes: {string.Join(", ", s.Episodes.CountBy(e => e.Type).OrderByDescending(t => t.Value).Select(t => $"{t.Value} {t.Key}"))}"));
        }

        if (BacktestCommand.Pool(all.Select(s => s.Detection)) is { } pooled)
            BacktestCommand.PrintDetection(pooled, "when the result that told of it was issued");
    }

    private static JsonObject ToJson(IReadOnlyList<SignalSeries> all)
    {
        var result = new JsonObject
        {
            ["series"] = new JsonArray([.. all.Select(s => new JsonObject
            {
                ["stream"] = s.Stream,
                ["frames"] = s.Results,
                ["seconds"] = s.Seconds,
                ["anomalous"] = s.Anomalous,
                ["episodes"] = new JsonObject(s.Episodes.CountBy(e => e.Type).OrderBy(t => t.Key, StringComparer.Ordinal).Select(t => new KeyValuePair<string, JsonNode?>(t.Key, t.Value))),
                ["metrics"] = new JsonArray(),
                ["detection"] = s.Detection is { } d ? BacktestCommand.Detection(d) : null,
            })]),
        };
        if (BacktestCommand.Pool(all.Select(s => s.Detection)) is { } pooled)
            result["detection"] = BacktestCommand.Detection(pooled);
        return result;
    }

    private sealed class Open(double[] values)
    {
        public double[] Values { get; } = values;

        public long First { get; set; }

        public int Rows { get; set; }
    }
}
