using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Spectre.Console;
using StreamLstm.Runtime;
using StreamLstm.Runtime.Evaluation;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Simulation;
using StreamLstm.Worker.Configuration;
using StreamLstm.Worker.Hosting;
using Profile = StreamLstm.Runtime.Profiles.Profile;

namespace StreamLstm.Worker.Commands;

/// <summary><c>demo</c>: embedded simulator → full engine → live page, API, metrics.</summary>
internal sealed class DemoCommand : Command
{
    private const int HistoryDays = 28;
    private const int ShownDays = 2;
    private const double FaultsPerStreamDay = 0.4;

    // An episode may begin this many frames after a fault and still belong to it: the span of the slow deviation's mean.
    private const int ToleranceFrames = 12;

    private readonly Option<int> _streams = new("--streams") { Description = "Simulated meters.", DefaultValueFactory = _ => 24 };
    private readonly Option<double> _speed = new("--speed") { Description = "Simulated seconds per second.", DefaultValueFactory = _ => 3600 };
    private readonly Option<double?> _duration = new("--duration") { Description = "Seconds of live view after which the demo ends by itself with a summary.", HelpName = "S" };
    private readonly Option<int> _port = new("--port") { Description = "Port on 127.0.0.1; 0 = any free one.", DefaultValueFactory = _ => 8080 };
    private readonly Option<ulong> _seed = new("--seed") { Description = "The same seed gives the same meters and faults.", DefaultValueFactory = _ => 1 };
    private readonly Option<DirectoryInfo?> _state = new("--state") { Description = "Keep the state in this folder and go on from it; without it a temporary folder is used.", HelpName = "DIR" };
    private readonly Option<FileInfo?> _summary = new("--summary") { Description = "Write the summary as JSON.", HelpName = "OUT.json" };
    private readonly Option<bool> _json = new("--json") { Description = "Print the summary as one JSON object on standard output." };

    public DemoCommand()
        : base("demo", "Simulated meters, forecast and scored live; no broker, no account.")
    {
        foreach (var option in new Option[] { _streams, _speed, _duration, _port, _seed, _state, _summary, _json })
            Add(option);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken stopping)
    {
        var errors = new List<string>();
        var streams = parsed.GetValue(_streams);
        if (streams is < 1 or > 10_000)
            errors.Add($"--streams {streams}: 1 to 10000.");
        var speed = parsed.GetValue(_speed);
        if (speed is not (>= 1 and <= 1e6))
            errors.Add(string.Create(CultureInfo.InvariantCulture, $"--speed {speed}: 1 to 1000000."));
        var duration = parsed.GetValue(_duration);
        if (duration is not (null or (> 0 and < 1e7)))
            errors.Add(string.Create(CultureInfo.InvariantCulture, $"--duration {duration}: seconds above 0."));
        var port = parsed.GetValue(_port);
        if (port is < 0 or > 65535)
            errors.Add($"--port {port}: 0 to 65535.");
        if (errors.Count > 0)
            return Terminal.Refuse(errors, "See streamlstm demo --help.");

        var temporary = parsed.GetValue(_state) is null ? Directory.CreateTempSubdirectory("streamlstm-demo-").FullName : null;
        var started = Stopwatch.GetTimestamp();
        try
        {
            var state = temporary ?? parsed.GetValue(_state)!.FullName;
            var load = new LoadSimulationOptions { Streams = streams, Seed = parsed.GetValue(_seed), FaultsPerStreamDay = FaultsPerStreamDay };
            var open = load.Start.AddDays(HistoryDays);
            load = load with { FaultsFrom = open };
            var episodes = new EpisodeLog();
            var clock = new SimulatedClock(UnixMicros.From(load.Start));
            await using var host = new WorkerHost(
                new WorkerHostSettings
                {
                    Mode = "demo",
                    Engine = new EngineSettings
                    {
                        StateDirectory = state,
                        Profiles = [new Profile { Name = "load", Interval = load.Interval, SamplesPerFrame = 1, HorizonSteps = 96 }],
                        Seed = parsed.GetValue(_seed),
                        MuteBeforeMicros = UnixMicros.From(open.AddDays(-ShownDays)),
                    },
                    Http = new HttpSettings(new Uri($"http://127.0.0.1:{port}"), null, null),
                    Metrics = new MetricsSettings(true, 2000, ""),
                    Clock = clock,
                    LogLevel = LogLevel.Warning,
                },
                _ => [episodes]);
            await host.StartAsync();
            var source = new SimulatorSource(
                new SimulatorSourceSettings { Name = "simulator", Load = load, Speed = speed, HistoryFrames = HistoryDays * 96 }, host.Engine, TimeProvider.System);
            using var end = CancellationTokenSource.CreateLinkedTokenSource(stopping);
            var engine = host.Engine.RunAsync([source], untilDrained: false, end.Token);
            Terminal.Line($"Live page: {host.Url}   (API {host.Url}/api/v1/streams, metrics {host.Url}/metrics; Ctrl+C ends)");
            Terminal.Line($"{streams} simulated meters; replaying {HistoryDays} simulated days to warm up, then 1 s = {Terminal.Number(speed / 3600)} h …");
            var (openFrame, openedAt) = await OpenAsync(source, host, engine);
            var view = DemoView.RunAsync(host, episodes, duration, openedAt, end.Token);
            if (duration is { } seconds)
                await Task.WhenAny(engine, Task.Delay(TimeSpan.FromSeconds(seconds), stopping));
            else
                await Task.WhenAny(engine, Task.Delay(Timeout.Infinite, stopping));
            await end.CancelAsync();
            await engine;
            await view;
            var summary = Summary(host, source, episodes, openFrame, load, Stopwatch.GetElapsedTime(started).TotalSeconds);
            await ReportAsync(summary, parsed);
            return ExitCode.Ok;
        }
        catch (StartException e)
        {
            Terminal.Line("error: " + e.Message);
            return ExitCode.Failed;
        }
        finally
        {
            if (temporary is not null)
                Directory.Delete(temporary, recursive: true);
        }
    }

    /// <summary>Waits for the history to be digested; live skill counts from there.</summary>
    private static async Task<(long Frame, long Timestamp)> OpenAsync(SimulatorSource source, WorkerHost host, Task engine)
    {
        await Terminal.ProgressAsync("Warming up", async report =>
        {
            while (!source.Opened.IsCompleted)
            {
                if (engine.IsCompleted)
                    await engine;
                report(source.HistoryShare);
                await Task.WhenAny(source.Opened, engine, Task.Delay(100));
            }

            report(1);
            return 0;
        });
        await host.Engine.ResetSkillAsync();
        return (source.Simulator.FrameIndex, Stopwatch.GetTimestamp());
    }

    private static DemoSummary Summary(WorkerHost host, SimulatorSource source, EpisodeLog episodes, long openFrame, LoadSimulationOptions load, double wall)
    {
        var endFrame = source.Simulator.FrameIndex;
        var interval = (long)load.Interval.TotalMicroseconds;
        var open = UnixMicros.From(source.Simulator.FrameTime(openFrame));
        var end = UnixMicros.From(source.Simulator.FrameTime(endFrame));
        // A fault counts once it has ended or lasted as long as the slowest statistic looks back: before that nobody could have found it.
        var labels = source.Simulator.Faults(openFrame, endFrame)
            .Select(f => new Label(f.Stream, UnixMicros.From(f.Start), UnixMicros.From(f.End), f.Type))
            .Where(l => l.Start >= open && (l.End <= end || l.Start + (ToleranceFrames * interval) <= end))
            .ToList();
        // Episodes during a fault too young to count are neither right nor wrong.
        var young = source.Simulator.Faults(openFrame, endFrame)
            .Select(f => (f.Stream, Start: UnixMicros.From(f.Start)))
            .Where(f => f.Start >= open && !labels.Any(l => l.Stream == f.Stream && l.Start == f.Start))
            .ToList();
        var detected = episodes.All.Where(e => e.Start >= open && !young.Any(y => y.Stream == e.Stream && e.Start >= y.Start)).ToList();
        var days = (endFrame - openFrame) * load.Interval.TotalDays * load.Streams;
        var quality = DetectionQuality.Of(labels, detected, ToleranceFrames * interval, days, interval);
        var (skill, coverage) = host.Engine.TotalSkill();
        var s = host.Engine.Statistics;
        return new DemoSummary(s.Streams, s.Samples, s.Frames, skill, coverage, quality, wall);
    }

    private async Task ReportAsync(DemoSummary summary, ParseResult parsed)
    {
        var q = summary.Detection;
        var json = new JsonObject
        {
            ["streams"] = summary.Streams,
            ["samples"] = summary.Samples,
            ["forecasts"] = summary.Forecasts,
            ["skill"] = summary.Skill,
            ["coverage90"] = summary.Coverage,
            ["faults"] = q.Faults,
            ["recall"] = q.Recall,
            ["precision"] = q.Precision,
            ["wall_s"] = Math.Round(summary.WallSeconds, 1),
        };
        if (parsed.GetValue(_summary) is { } file)
            await File.WriteAllTextAsync(file.FullName, json.ToJsonString(new JsonSerializerOptions { WriteIndented = true }) + "\n");
        if (parsed.GetValue(_json))
        {
            Console.WriteLine(json.ToJsonString());
            return;
        }

        Console.WriteLine($"streams {summary.Streams}, samples {summary.Samples}, forecasts {summary.Forecasts}, {Terminal.Number(summary.WallSeconds, "0.0")} s");
        Console.WriteLine($"skill against the seasonal naive forecast {Terminal.Number(summary.Skill)} (1 − MAE/MAE, same targets), 90 % interval covers {Terminal.Number(summary.Coverage)}");
        Console.WriteLine($"faults {q.Faults}, recall {Terminal.Number(q.Recall)}, precision {Terminal.Number(q.Precision)}, false alarms per stream and day {Terminal.Number(q.FalsePerDay)}");
        foreach (var (type, tally) in q.ByType.Where(t => t.Value.Faults > 0))
            Console.WriteLine($"  {type,-12} {tally.Found} of {tally.Faults}");
    }

    private sealed record DemoSummary(int Streams, long Samples, long Forecasts, double? Skill, double? Coverage, DetectionQuality Detection, double WallSeconds);
}

/// <summary>Keeps the episodes of a demo for its summary and its console.</summary>
internal sealed class EpisodeLog : IResultSink
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, DetectedEpisode> _episodes = new(StringComparer.Ordinal);

    public string Name => "episode-log";

    public string? NotReady => null;

    public IReadOnlyList<DetectedEpisode> All
    {
        get
        {
            lock (_gate)
                return [.. _episodes.Values];
        }
    }

    public ValueTask OpenAsync(SinkMark durable, CancellationToken cancellationToken) => ValueTask.CompletedTask;

    public ValueTask<SinkMark> PublishAsync(long commit, IReadOnlyList<OutputRecord> records, CancellationToken cancellationToken)
    {
        foreach (var record in records)
        {
            if (record.Kind != OutputKind.Episode)
                continue;
            var (id, episode) = EpisodeReader.Read(record.Json.Span);
            lock (_gate)
                _episodes[id] = episode;
        }

        return ValueTask.FromResult(new SinkMark(commit, 0));
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

/// <summary>The console's view of a running demo: a redrawn table on a terminal, a line every few seconds otherwise.</summary>
internal static class DemoView
{
    public static async Task RunAsync(WorkerHost host, EpisodeLog episodes, double? duration, long openedAt, CancellationToken stopping)
    {
        if (Terminal.IsLive)
        {
            await Terminal.Error.Live(Render(host, episodes, duration, openedAt)).StartAsync(async context =>
            {
                while (!stopping.IsCancellationRequested)
                {
                    context.UpdateTarget(Render(host, episodes, duration, openedAt));
                    await Task.Delay(500, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                }
            });
            return;
        }

        while (!stopping.IsCancellationRequested)
        {
            var s = host.Status.Summary;
            var latest = episodes.All.OrderByDescending(e => e.Start).Take(1).Select(e => $", latest {e.Type} on {e.Stream} at {Time(e.Start)}");
            Terminal.Line($"{s.SimulatedClock}  {Terminal.Number(s.SamplesPerSecond, "0")} samples/s  skill {Terminal.Number(s.Skill)}  coverage {Terminal.Number(s.Coverage90)}  episodes {episodes.All.Count}{string.Concat(latest)}");
            await Task.Delay(5000, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private static Table Render(WorkerHost host, EpisodeLog episodes, double? duration, long openedAt)
    {
        var s = host.Status.Summary;
        var elapsed = Stopwatch.GetElapsedTime(openedAt).TotalSeconds;
        var left = duration is { } d ? $", {Terminal.Number(Math.Max(0, d - elapsed), "0")} s left" : "";
        var table = new Table().Border(TableBorder.Rounded).Title(Markup.Escape($"StreamLstm demo  {s.SimulatedClock}{left}"));
        table.AddColumn("streams").AddColumn("samples/s").AddColumn("results").AddColumn("skill").AddColumn("coverage 90 %").AddColumn("open episodes");
        table.AddRow(
            s.Streams.ToString(CultureInfo.InvariantCulture), Terminal.Number(s.SamplesPerSecond, "0"), s.ResultsTotal.ToString(CultureInfo.InvariantCulture),
            Terminal.Number(s.Skill), Terminal.Number(s.Coverage90), host.Engine.Statistics.OpenEpisodes.ToString(CultureInfo.InvariantCulture));
        var latest = episodes.All.OrderByDescending(e => e.Start).Take(6).Select(e => $"{Time(e.Start)}  {e.Type,-12} {e.Stream}{(e.End == long.MaxValue ? "  open" : "")}");
        table.Caption(Markup.Escape(string.Join('\n', latest.DefaultIfEmpty("no anomalies yet"))));
        return table;
    }

    private static string Time(long micros) => UnixMicros.ToDateTimeOffset(micros).ToString("MM-dd HH:mm", CultureInfo.InvariantCulture);
}
