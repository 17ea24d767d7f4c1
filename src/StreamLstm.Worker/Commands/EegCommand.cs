using System.CommandLine;
using System.Globalization;
using System.IO.Compression;
using System.Text.Json;
using System.Text.Json.Nodes;
using StreamLstm.Core.Signals;
using StreamLstm.Runtime.Evaluation;

namespace StreamLstm.Worker.Commands;

/// <summary><c>benchmark eeg --file F</c>: windows of a labelled recording against the plain band power.</summary>
internal sealed class EegCommand : Command
{
    private const double WarmUpSeconds = 5;
    private const double AlarmSeconds = 3;

    private readonly Option<FileInfo> _file = new("--file") { Description = "ARFF (plain or .gz): numeric channels, the last column is the state (0 or 1).", Required = true, HelpName = "FILE" };
    private readonly Option<double> _rate = new("--rate") { Description = "Samples per second.", DefaultValueFactory = _ => 128 };
    private readonly Option<FileInfo?> _json = new("--json") { Description = "Write the figures as JSON.", HelpName = "OUT" };

    public EegCommand()
        : base("eeg", "Scores windows of a recording with labelled states (eyes closed = 1) and flags its changes. Research only.")
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
        if (rate is not (>= EegMonitor.LowestRate and <= EegMonitor.HighestRate))
            return Terminal.Refuse([$"--rate {rate.ToString(CultureInfo.InvariantCulture)}: it must be {EegMonitor.LowestRate} to {EegMonitor.HighestRate} Hz."], help);
        try
        {
            var rows = Read(file);
            var monitor = new EegMonitor(rate, rows[0].Length - 1);
            List<double> alphaOn = [], alphaOff = [], rhythmOn = [], rhythmOff = [];
            var changes = Enumerable.Range(1, rows.Count - 1).Where(i => rows[i][^1] != rows[i - 1][^1]).ToArray();
            var flags = new List<long>();
            var above = false;
            var scored = long.MaxValue;
            for (var i = 0; i < rows.Count; i++)
            {
                stopping.ThrowIfCancellationRequested();
                if (monitor.Push(rows[i].AsSpan(0, rows[i].Length - 1)) is not { } window || i < WarmUpSeconds * rate)
                    continue;
                (rows[i][^1] > 0 ? alphaOn : alphaOff).Add(window.Alpha);
                (rows[i][^1] > 0 ? rhythmOn : rhythmOff).Add(window.Rhythm);
                if (window.Change > 0)
                    scored = Math.Min(scored, i);
                if (window.Change >= 1 && !above)
                    flags.Add(i);
                above = window.Change >= 1;
            }

            var judged = changes.Where(c => c >= scored).ToArray();
            var flagged = judged.Count(c => flags.Any(f => f >= c && f <= c + (AlarmSeconds * rate)));
            var stray = flags.Count(f => !changes.Any(c => f >= c && f <= c + (AlarmSeconds * rate)));
            var (alpha, rhythm) = (RankMetrics.Auroc(alphaOn, alphaOff), RankMetrics.Auroc(rhythmOn, rhythmOff));
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{alphaOn.Count + alphaOff.Count} windows; AUROC of state 1: alpha power (baseline) {alpha:F3}, alpha less beta {rhythm:F3}; {flagged} of {judged.Length} changes flagged within {AlarmSeconds:F0} s, {stray} flags besides"));
            if (parsed.GetValue(_json) is { } json)
            {
                var report = new JsonObject { ["windows"] = alphaOn.Count + alphaOff.Count, ["auroc_band_power"] = alpha, ["auroc_rhythm"] = rhythm, ["changes"] = judged.Length, ["flagged"] = flagged, ["false_flags"] = stray };
                await File.WriteAllTextAsync(json.FullName, report.ToJsonString(new JsonSerializerOptions { WriteIndented = true }) + "\n", stopping);
            }

            return ExitCode.Ok;
        }
        catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            Terminal.Line("error: " + e.Message);
            return ExitCode.Failed;
        }
    }

    private static List<double[]> Read(FileInfo file)
    {
        using var raw = file.OpenRead();
        using Stream stream = file.Name.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? new GZipStream(raw, CompressionMode.Decompress) : raw;
        using var reader = new StreamReader(stream);
        var rows = new List<double[]>();
        var number = 0;
        while (reader.ReadLine() is { } line)
        {
            number++;
            if (line.Length == 0 || line[0] is '@' or '%')
                continue;
            var values = line.Split(',').Select(f => double.TryParse(f, CultureInfo.InvariantCulture, out var v) ? v : double.NaN).ToArray();
            if (values.Length < 2 || values.Length - 1 > EegMonitor.MostChannels || (rows.Count > 0 && values.Length != rows[0].Length) || values[^1] is not (0 or 1))
                throw new InvalidDataException($"{file}, line {number}: not a row of 1 to {EegMonitor.MostChannels} channels and a state 0 or 1.");
            rows.Add(values);
        }

        return rows.Count > 1 ? rows : throw new InvalidDataException($"{file}: no rows.");
    }
}
