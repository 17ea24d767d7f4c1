using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using StreamLstm.Connectors.Files.Signals;
using StreamLstm.Core.Signals;
using StreamLstm.Runtime.Evaluation;

namespace StreamLstm.Worker.Commands;

/// <summary><c>benchmark ecg --records DIR</c>: beats of annotated WFDB records, scored unsupervised in one pass.</summary>
internal sealed class EcgCommand : Command
{
    private const double WarmUpSeconds = 300;

    private readonly Option<DirectoryInfo> _records = new("--records") { Description = "Folder of WFDB records: .hea, .dat and .atr.", Required = true, HelpName = "DIR" };
    private readonly Option<FileInfo?> _json = new("--json") { Description = "Write the figures as JSON.", HelpName = "OUT" };

    public EcgCommand()
        : base("ecg", "Finds and scores the beats of annotated ECG records, unsupervised; the first five minutes are left out. Research only.")
    {
        Add(_records);
        Add(_json);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken stopping)
    {
        Terminal.Line(SignalCaveat.Text);
        const string help = "See streamlstm benchmark ecg --help.";
        var folder = parsed.GetValue(_records)!;
        if (!folder.Exists)
            return Terminal.Refuse([$"There is no folder '{folder}'."], help);
        var headers = folder.EnumerateFiles("*.hea").Where(f => File.Exists(Path.ChangeExtension(f.FullName, ".atr"))).OrderBy(f => f.Name, StringComparer.Ordinal).ToArray();
        if (headers.Length == 0)
            return Terminal.Refuse([$"'{folder}' has no header (.hea) with annotations (.atr) beside it."], help);
        try
        {
            var rows = await Terminal.ProgressAsync($"ECG, {headers.Length} records", async progress =>
            {
                var results = new (string Record, BeatEvaluation Result)[headers.Length];
                var done = 0;
                await Parallel.ForAsync(0, headers.Length, stopping, (i, stop) =>
                {
                    results[i] = Score(headers[i].FullName, stop);
                    progress(Interlocked.Increment(ref done) / (double)headers.Length);
                    return ValueTask.CompletedTask;
                });
                return results;
            });
            Console.WriteLine("record  beats      N      V  AUROC V  AUROC any     AP V     F1 V     R Se    R PPV");
            foreach (var (record, r) in rows)
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{record,-6} {r.Beats,6} {r.N,6} {r.V,6} {Text(r.AurocV)} {Text(r.AurocAny),10} {Text(r.AveragePrecisionV)} {Text(r.F1V)} {Text(r.Sensitivity)} {Text(r.PositivePredictivity)}"));
            var mean = rows.Average(r => r.Result.AurocV);
            var (sensitivity, predictivity) = (rows.Average(r => r.Result.Sensitivity), rows.Average(r => r.Result.PositivePredictivity));
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"mean                        {Text(mean)} {Text(rows.Average(r => r.Result.AurocAny)),10} {Text(rows.Average(r => r.Result.AveragePrecisionV))} {Text(rows.Average(r => r.Result.F1V))} {Text(sensitivity)} {Text(predictivity)}"));
            if (parsed.GetValue(_json) is { } json)
            {
                var report = new JsonObject
                {
                    ["records"] = new JsonArray([.. rows.Select(r => new JsonObject
                    {
                        ["record"] = r.Record,
                        ["n"] = r.Result.N,
                        ["v"] = r.Result.V,
                        ["auroc_v"] = r.Result.AurocV,
                        ["auroc_any"] = r.Result.AurocAny,
                        ["ap_v"] = r.Result.AveragePrecisionV,
                        ["f1_v"] = r.Result.F1V,
                        ["rpeak_se"] = r.Result.Sensitivity,
                        ["rpeak_ppv"] = r.Result.PositivePredictivity,
                    })]),
                    ["mean_auroc_v"] = mean,
                    ["mean_rpeak_se"] = sensitivity,
                    ["mean_rpeak_ppv"] = predictivity,
                };
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

    private static (string Record, BeatEvaluation Result) Score(string header, CancellationToken stopping)
    {
        var record = WfdbRecord.Open(header);
        if (record.Rate is < EcgMonitor.LowestRate or > EcgMonitor.HighestRate || record.Signals.Count > EcgMonitor.MostLeads)
            throw new InvalidDataException($"{header}: {EcgMonitor.LowestRate} to {EcgMonitor.HighestRate} Hz and at most {EcgMonitor.MostLeads} leads are scored, this has {record.Rate} Hz and {record.Signals.Count}.");
        var annotations = WfdbRecord.ReadAnnotations(Path.ChangeExtension(header, ".atr"));
        var monitor = new EcgMonitor(record.Rate, record.Signals.Count);
        var beats = new List<Beat>();
        foreach (var values in record.ReadSamples())
        {
            stopping.ThrowIfCancellationRequested();
            monitor.Push(values, beats);
        }

        return (record.Name, BeatEvaluation.Of(annotations.Select(a => (a.Sample, a.Symbol)), beats, record.Rate, WarmUpSeconds));
    }

    private static string Text(double? value) => value is { } v ? v.ToString("F4", CultureInfo.InvariantCulture).PadLeft(8) : "       -";
}
