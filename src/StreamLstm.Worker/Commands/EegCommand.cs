using System.CommandLine;
using System.Globalization;
using System.IO.Compression;
using System.Text.Json;
using System.Text.Json.Nodes;
using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Signals;
using StreamLstm.Runtime.Evaluation;

namespace StreamLstm.Worker.Commands;

/// <summary><c>benchmark eeg FILE</c>: an electroencephalogram whose last column says the state, such as eyes closed.</summary>
internal sealed class EegCommand : Command
{
    private const double ChangeSeconds = 3;

    private readonly Argument<FileInfo> _file = new("FILE") { Description = "ARFF or CSV without times, plain or .gz: a column per electrode, the last one 0 or 1." };
    private readonly Option<double> _rate = new("--rate") { Description = "Samples per second.", DefaultValueFactory = _ => 128, HelpName = "HZ" };
    private readonly Option<FileInfo?> _json = new("--json") { Description = "Write the figures as JSON.", HelpName = "OUT" };

    public EegCommand()
        : base("eeg", "Finds changes of state in an EEG with known states, unsupervised, against the power of its alpha band. Research only.")
    {
        Add(_file);
        Add(_rate);
        Add(_json);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken stopping)
    {
        Terminal.Line(SignalCaveat.Text);
        const string help = "See streamlstm benchmark eeg --help.";
        var file = parsed.GetValue(_file)!;
        var rate = parsed.GetValue(_rate);
        if (!file.Exists)
            return Terminal.Refuse([$"There is no file '{file}'."], help);
        if (rate is < EegWatch.LowestRate or > EegWatch.HighestRate)
            return Terminal.Refuse([string.Create(CultureInfo.InvariantCulture, $"--rate {rate}: {EegWatch.LowestRate} to {EegWatch.HighestRate}.")], help);
        List<double[]> rows;
        try
        {
            rows = Read(file);
        }
        catch (InvalidDataException e)
        {
            return Terminal.Refuse([e.Message], help);
        }

        var channels = rows[0].Length - 1;
        if (channels is < 1 or > EegWatch.MostChannels)
            return Terminal.Refuse([$"{file}: {channels} electrodes; 1 to {EegWatch.MostChannels} are read."], help);
        var windows = Windows(rows, rate, channels, out var alpha);
        var state = Auroc(windows, w => w.Share);
        var power = Auroc(alpha, w => w.Share);
        long[] changes = [.. Enumerable.Range(1, rows.Count - 1).Where(i => rows[i][^1] != rows[i - 1][^1]).Select(i => (long)i)];
        var judged = windows.Where(w => !w.Cold).ToList();
        var from = judged.Count > 0 ? judged[0].Sample : rows.Count;
        var flagged = judged.Where(w => w.Kind == AnomalyKind.StateChange).ToList();
        var due = changes.Where(c => c >= from).ToList();
        var found = due.Count(c => flagged.Any(w => w.Sample >= c && w.Sample <= c + (ChangeSeconds * rate)));
        var right = flagged.Count(w => due.Any(c => w.Sample >= c && w.Sample <= c + (ChangeSeconds * rate)));
        var near = judged.Where(w => due.Any(c => w.Sample >= c && w.Sample <= c + (ChangeSeconds * rate))).Select(w => w.Score).ToList();
        var far = judged.Where(w => !due.Any(c => w.Sample >= c && w.Sample <= c + (ChangeSeconds * rate))).Select(w => w.Score).ToList();
        var change = RankMetrics.Auroc(near, far);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{rows.Count / rate:0} s, {channels} electrodes, {changes.Length} changes of state; {windows.Count} windows, of which the first {windows.Count - judged.Count} warm up"));
        Console.WriteLine($"AUROC of the state (1 against 0): share of alpha {Text(state)}; band-power baseline (8 to 13 Hz, mean over electrodes) {Text(power)}");
        Console.WriteLine($"AUROC of windows within {ChangeSeconds:0} s after a change against others, by score: {Text(change)}");
        Console.WriteLine($"changes after the warm-up {due.Count}, flagged within {ChangeSeconds:0} s {found}; windows flagged {flagged.Count}, of which {right} follow a change");
        if (parsed.GetValue(_json) is { } json)
        {
            var report = new JsonObject
            {
                ["seconds"] = rows.Count / rate,
                ["channels"] = channels,
                ["changes"] = due.Count,
                ["flagged"] = found,
                ["windows_flagged"] = flagged.Count,
                ["windows_right"] = right,
                ["auroc_state"] = state,
                ["auroc_state_band_power"] = power,
                ["auroc_change"] = change,
            };
            await File.WriteAllTextAsync(json.FullName, report.ToJsonString(new JsonSerializerOptions { WriteIndented = true }) + "\n", stopping);
        }

        return ExitCode.Ok;
    }

    private static double? Auroc(IReadOnlyList<Window> windows, Func<Window, double> value) =>
        RankMetrics.Auroc([.. windows.Where(w => w.State && !w.Cold).Select(value)], [.. windows.Where(w => !w.State && !w.Cold).Select(value)]);

    /// <param name="alpha">The baseline: plain power of the alpha band, in the same windows.</param>
    private static List<Window> Windows(List<double[]> rows, double rate, int channels, out List<Window> alpha)
    {
        var watch = new EegWatch(rate, channels);
        var findings = new Findings();
        var values = new float[channels];
        var powers = new PlainAlpha(rate, channels);
        foreach (var row in rows)
        {
            for (var c = 0; c < channels; c++)
                values[c] = (float)row[c];
            powers.Push(row);
            watch.Push(values, findings);
            if (findings.All.Count > powers.Count)
                powers.End();
        }

        var ends = new List<Window>();
        var length = findings.All.Count > 0 ? 2 * findings.All[0].Sample : 1;
        foreach (var f in findings.All)
        {
            // The state of most of the window.
            var (from, to) = ((int)(f.Sample - (length / 2)), (int)(f.Sample + (length / 2)));
            var ones = rows.Skip(from).Take(to - from).Count(r => r[^1] == 1);
            ends.Add(new Window(to, 2 * ones > to - from, f.Value, f.Score, f.Kind, f.IsCold));
        }

        alpha = [.. ends.Select((w, i) => w with { Share = powers[i] })];
        return ends;
    }

    private static List<double[]> Read(FileInfo file)
    {
        var rows = new List<double[]>();
        using Stream raw = file.OpenRead();
        using var stream = file.Name.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? new GZipStream(raw, CompressionMode.Decompress) : raw;
        using var reader = new StreamReader(stream);
        var line = 0;
        while (reader.ReadLine() is { } text)
        {
            line++;
            var cells = text.Split(',');
            if (text.Length == 0 || text[0] is '@' or '%' || (rows.Count == 0 && !double.TryParse(cells[0], CultureInfo.InvariantCulture, out _)))
                continue;
            var row = new double[cells.Length];
            for (var i = 0; i < cells.Length; i++)
            {
                if (!double.TryParse(cells[i], NumberStyles.Float, CultureInfo.InvariantCulture, out row[i]))
                    throw new InvalidDataException($"{file}:{line}: '{cells[i]}' is not a number.");
            }

            if (rows.Count > 0 && row.Length != rows[0].Length)
                throw new InvalidDataException($"{file}:{line}: {row.Length} columns, expected {rows[0].Length}.");
            rows.Add(row);
        }

        return rows.Count > 0 ? rows : throw new InvalidDataException($"{file}: there are no rows.");
    }

    private static string Text(double? value) => value is { } v ? v.ToString("F3", CultureInfo.InvariantCulture) : "-";

    /// <param name="Sample">Where it ends.</param>
    private readonly record struct Window(long Sample, bool State, double Share, double Score, AnomalyKind Kind, bool Cold);

    private sealed class Findings : ISignalReceiver
    {
        public List<SignalFinding> All { get; } = [];

        public void OnFinding(in SignalFinding finding, ReadOnlySpan<ChannelFinding> channels) => All.Add(finding);
    }

    /// <summary>Log of the mean square of the band from 8 to 13 Hz, mean over the electrodes, per window.</summary>
    private sealed class PlainAlpha(double rate, int channels)
    {
        private readonly BandFilter[] _filters = [.. Enumerable.Range(0, channels).Select(_ => new BandFilter(8, 13, rate))];
        private readonly double[] _sums = new double[channels];
        private readonly List<double> _windows = [];

        public int Count => _windows.Count;

        public double this[int i] => _windows[i];

        public void Push(double[] row)
        {
            for (var c = 0; c < channels; c++)
            {
                var y = _filters[c].Step(row[c]);
                _sums[c] += y * y;
            }
        }

        public void End()
        {
            _windows.Add(_sums.Average(s => Math.Log(s + 1e-9)));
            Array.Clear(_sums);
        }
    }
}
