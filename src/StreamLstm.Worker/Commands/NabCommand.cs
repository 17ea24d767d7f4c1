using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using StreamLstm.Connectors.Files;
using StreamLstm.Core.Scoring;

namespace StreamLstm.Worker.Commands;

/// <summary>
/// <c>benchmark nab</c>: scores the files of the Numenta Anomaly Benchmark (Lavin and Ahmad 2015) in one pass each and writes
/// them in its results format, alarms at 0.5.
/// </summary>
internal sealed class NabCommand : Command
{
    private const string Detector = "streamlstm";

    // One alarm tells of a change; the samples after it would only repeat it.
    private const int QuietSamples = 75;

    private static readonly string[] s_extensions = [".csv", ".csv.gz"];

    private readonly Option<DirectoryInfo> _data = new("--data") { Description = "NAB's data folder: folders of CSV files (plain or .gz) with timestamp,value.", Required = true, HelpName = "DIR" };
    private readonly Option<DirectoryInfo> _out = new("--out") { Description = "Where streamlstm/<folder>/streamlstm_<file>.csv are written.", Required = true, HelpName = "DIR" };
    private readonly Option<ulong> _seed = new("--seed") { Description = "Seed of the networks.", DefaultValueFactory = _ => 1 };

    public NabCommand()
        : base("nab", "Scores the Numenta Anomaly Benchmark and writes its results format; alarms at 0.5.")
    {
        Add(_data);
        Add(_out);
        Add(_seed);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken stopping)
    {
        var data = parsed.GetValue(_data)!;
        var target = Path.Combine(parsed.GetValue(_out)!.FullName, Detector);
        var seed = parsed.GetValue(_seed);
        const string help = "See streamlstm benchmark nab --help.";
        if (!data.Exists)
            return Terminal.Refuse([$"There is no folder '{data}'."], help);
        var files = data.EnumerateDirectories()
            .SelectMany(folder => folder.EnumerateFiles())
            .Where(file => s_extensions.Any(e => file.Name.EndsWith(e, StringComparison.OrdinalIgnoreCase)))
            .OrderBy(file => file.FullName, StringComparer.Ordinal)
            .ToList();
        if (files.Count == 0)
            return Terminal.Refuse([$"'{data}' has no folder with CSV files."], help);

        try
        {
            var windows = ReadWindows(data);
            var done = 0;
            var alarms = await Terminal.ProgressAsync($"NAB, {files.Count} files", async progress =>
            {
                var sum = 0;
                await Parallel.ForEachAsync(files, stopping, (file, stop) =>
                {
                    Interlocked.Add(ref sum, Score(file, target, windows, seed, stop));
                    progress(Interlocked.Increment(ref done) / (double)files.Count);
                    return ValueTask.CompletedTask;
                });
                return sum;
            });
            Terminal.Line(string.Create(CultureInfo.InvariantCulture, $"{files.Count} files, {alarms} alarms (clean beginnings that NAB ignores included): {target}"));
            return ExitCode.Ok;
        }
        catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException or JsonException)
        {
            Terminal.Line("error: " + e.Message);
            return ExitCode.Failed;
        }
    }

    /// <summary>Windows of NAB's <c>combined_windows.json</c>, if it lies in the data folder or where NAB keeps it.</summary>
    private static Dictionary<string, string[][]> ReadWindows(DirectoryInfo data)
    {
        const string name = "combined_windows.json";
        var parent = data.Parent?.FullName ?? data.FullName;
        foreach (var path in (string[])[Path.Combine(data.FullName, name), Path.Combine(parent, "labels", name), Path.Combine(parent, name)])
        {
            if (File.Exists(path))
                return JsonSerializer.Deserialize<Dictionary<string, string[][]>>(File.ReadAllText(path)) ?? [];
        }

        return [];
    }

    private static int Score(FileInfo file, string target, Dictionary<string, string[][]> windows, ulong seed, CancellationToken stopping)
    {
        var folder = file.Directory!.Name;
        var name = TabularReader.StreamNameOf(file.Name) + ".csv";
        var spans = windows.GetValueOrDefault($"{folder}/{name}", []).Select(w => (Start: Micros(w[0]), End: Micros(w[1]))).ToArray();
        Directory.CreateDirectory(Path.Combine(target, folder));
        using var reader = TabularReader.Open(file.FullName, new TabularOptions { TimeColumn = "timestamp", ValueColumns = ["value"] });
        using var writer = new StreamWriter(Path.Combine(target, folder, $"{Detector}_{name}")) { NewLine = "\n" };
        writer.WriteLine("timestamp,value,anomaly_score,label");

        var workspace = new SoloWorkspace();
        var numbers = new double[SoloScorer.NumbersLength];
        var words = new float[SoloScorer.WordsLength];
        SoloScorer.Initialise(numbers, words, seed);
        var alarms = 0;
        var quiet = 0;
        foreach (var row in reader.Read(reject => throw new InvalidDataException($"{file}, row {reject.Row}: {reject.Detail}")))
        {
            stopping.ThrowIfCancellationRequested();
            var score = SoloScorer.Update(workspace, numbers, words, row.TimeMicros, row.Value).Score / CollectiveScore.Threshold;
            if (quiet > 0)
            {
                quiet--;
                score = 0;
            }
            else if (score >= 1)
            {
                quiet = QuietSamples;
                alarms++;
            }

            var label = spans.Any(s => row.TimeMicros >= s.Start && row.TimeMicros <= s.End) ? 1 : 0;
            writer.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{DateTimeOffset.UnixEpoch.AddTicks(row.TimeMicros * TimeSpan.TicksPerMicrosecond):yyyy-MM-dd HH:mm:ss},{row.Value:R},{score / (1 + score):R},{label}"));
        }

        return alarms;
    }

    private static long Micros(string time) =>
        DateTimeOffset.TryParse(time, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var at)
            ? (at.UtcTicks - DateTimeOffset.UnixEpoch.Ticks) / TimeSpan.TicksPerMicrosecond
            : throw new InvalidDataException($"'{time}' in the windows is not a time.");
}
