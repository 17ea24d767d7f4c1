using System.CommandLine;
using System.Globalization;
using System.IO.Compression;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging.Abstractions;
using StreamLstm.Runtime.Evaluation;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Worker.Commands;

/// <summary>
/// <c>benchmark detection FILE…</c>: frames labelled one by one, judged one by one. A file is one stream, every numeric column a channel.
/// </summary>
internal sealed class BenchmarkDetectionCommand : Command
{
    private readonly Argument<FileInfo[]> _files = new("FILE") { Description = "CSV with a header, plain or .gz, and a column label (0 or 1); timestamp (Unix seconds) and part (train or test) may be there.", Arity = ArgumentArity.OneOrMore };
    private readonly Option<FileInfo[]> _before = new("--before") { Description = "For each FILE, in order, one with the rows before it, without labels.", AllowMultipleArgumentsPerToken = true, HelpName = "FILE" };
    private readonly Option<string> _interval = new("--interval") { Description = "Time between rows where there is no timestamp.", DefaultValueFactory = _ => "1m" };
    private readonly Option<FileInfo?> _json = new("--json") { Description = "Write the rows as JSON.", HelpName = "OUT" };
    private readonly Option<ulong> _seed = new("--seed") { Description = "Seed.", DefaultValueFactory = _ => 1 };

    public BenchmarkDetectionCommand()
        : base("detection", "Point-wise detection of labelled anomalies, against a PCA-error and a last-value baseline. Judged: rows of part test, those after --before, or the second half.")
    {
        Add(_files);
        Add(_before);
        Add(_interval);
        Add(_json);
        Add(_seed);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken stopping)
    {
        const string help = "See streamlstm benchmark detection --help.";
        var files = parsed.GetValue(_files)!;
        var before = parsed.GetValue(_before) ?? [];
        List<string> errors = [.. files.Concat(before).Where(f => !f.Exists).Select(f => $"There is no file '{f}'.")];
        if (before.Length > 0 && before.Length != files.Length)
            errors.Add($"--before names {before.Length} files for {files.Length}.");
        if (!Configuration.Duration.TryParse(parsed.GetValue(_interval)!, out var interval) || interval < TimeSpan.FromSeconds(1))
            errors.Add($"--interval {parsed.GetValue(_interval)}: a duration of at least 1s, such as 5m.");
        if (errors.Count > 0)
            return Terminal.Refuse(errors, help);
        var report = new JsonArray();
        Console.WriteLine("file                                     method            AUPRC  F1 best  F1 at 1");
        for (var i = 0; i < files.Length; i++)
        {
            LabelledRows data;
            try
            {
                data = LabelledRows.Read(files[i], before.Length > 0 ? before[i] : null);
            }
            catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
            {
                return Terminal.Refuse([e.Message], help);
            }

            var profile = new Profile
            {
                Name = "detection",
                Interval = data.Interval ?? interval,
                Channels = data.Channels,
                SamplesPerFrame = 1,
                Tier = Tier.Lean,
                HorizonSteps = 24,
                ForecastEvery = 0,
                Learning = false,
            };
            using var meters = new SilentMeterFactory();
            var rows = await Terminal.ProgressAsync(
                $"Detection on {files[i].Name}",
                progress => new DetectionBenchmark(profile, parsed.GetValue(_seed)).RunAsync(data.Rows, data.StartMicros, data.Labels, data.JudgedFrom, progress, NullLoggerFactory.Instance, meters, stopping));
            foreach (var row in rows)
            {
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{files[i].Name,-40} {row.Method,-14} {row.Auprc,8:F3} {row.BestF1,8:F3} {row.F1,8:F3}"));
                report.Add(new JsonObject { ["file"] = files[i].Name, ["method"] = row.Method, ["auprc"] = row.Auprc, ["f1_best"] = row.BestF1, ["f1"] = row.F1 });
            }
        }

        if (parsed.GetValue(_json) is { } json)
            await File.WriteAllTextAsync(json.FullName, new JsonObject { ["rows"] = report }.ToJsonString(new JsonSerializerOptions { WriteIndented = true }) + "\n", stopping);
        return ExitCode.Ok;
    }

    /// <summary>Rows of one stream, with labels from the first judged one on.</summary>
    private sealed record LabelledRows(List<double[]> Rows, List<bool> Labels, IReadOnlyList<string> Channels, int JudgedFrom, long StartMicros, TimeSpan? Interval)
    {
        // Days begin at midnight where the file gives no time.
        private const long NoTime = 1_767_571_200;

        public static LabelledRows Read(FileInfo file, FileInfo? before)
        {
            var rows = new List<double[]>();
            var labels = new List<bool>();
            if (before is not null)
                Table(before, rows, labels, needsLabel: false);
            var first = rows.Count;
            var (channels, start, interval, test) = Table(file, rows, labels, needsLabel: true);
            if (rows.Exists(r => r.Length != channels.Count))
                throw new InvalidDataException($"{before} has other columns than {file}.");
            var from = before is not null ? first : test ?? rows.Count / 2;
            if (from < 100 || rows.Count - from < 100)
                throw new InvalidDataException($"{file}: {from} rows before the judged ones and {rows.Count - from} judged ones are too few.");
            return new LabelledRows(rows, labels, channels, from, (start ?? NoTime) * 1_000_000, interval);
        }

        private static (List<string> Channels, long? Start, TimeSpan? Interval, int? Test) Table(FileInfo file, List<double[]> rows, List<bool> labels, bool needsLabel)
        {
            using var stream = file.OpenRead();
            using var reader = new StreamReader(file.Name.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? new GZipStream(stream, CompressionMode.Decompress) : stream);
            var header = (reader.ReadLine() ?? "").Split(',');
            var (label, time, part) = (Array.IndexOf(header, "label"), Array.IndexOf(header, "timestamp"), Array.IndexOf(header, "part"));
            if (needsLabel && label < 0)
                throw new InvalidDataException($"{file}: there is no column label in {string.Join(", ", header.Take(20))}.");
            int[] columns = [.. Enumerable.Range(0, header.Length).Where(i => i != label && i != time && i != part)];
            long? start = null;
            TimeSpan? interval = null;
            int? test = null;
            for (var line = 2; reader.ReadLine() is { } text; line++)
            {
                var cells = text.Split(',');
                if (cells.Length != header.Length)
                    throw new InvalidDataException($"{file}, line {line}: {cells.Length} cells, the header has {header.Length}.");
                if (time >= 0)
                {
                    if (!long.TryParse(cells[time], NumberStyles.None, CultureInfo.InvariantCulture, out var at))
                        throw new InvalidDataException($"{file}, line {line}: '{cells[time]}' is not a time in Unix seconds.");
                    interval ??= start is { } s && at > s ? TimeSpan.FromSeconds(at - s) : null;
                    start ??= at;
                }

                if (part >= 0 && cells[part] == "test")
                    test ??= rows.Count;
                rows.Add([.. columns.Select(c => double.TryParse(cells[c], NumberStyles.Float, CultureInfo.InvariantCulture, out var v) && double.IsFinite(v) ? v : double.NaN)]);
                labels.Add(label >= 0 && cells[label] is not ("0" or "0.0" or ""));
            }

            return ([.. columns.Select(c => header[c])], start, interval, test);
        }
    }
}
