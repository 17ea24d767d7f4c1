using System.Diagnostics;
using System.Globalization;
using StreamLstm.Runtime;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Worker.Api;

namespace StreamLstm.Worker.Hosting;

/// <summary>What the HTTP face and the console show of the engine.</summary>
/// <param name="caveat">Shown on the page before all else, or null.</param>
internal sealed class EngineStatus(Engine engine, string mode, SimulatedClock? clock, string? caveat) : IWorkerStatus
{
    private readonly Lock _gate = new();
    private long _lastSamples;
    private long _lastAt = Stopwatch.GetTimestamp();
    private double _rate;

    public string? NotAlive => engine.Alive ? null : "The engine loop has not turned for a minute.";

    public IReadOnlyList<PartStatus> Parts
    {
        get
        {
            var parts = new List<PartStatus> { new("restore", engine.Restored, engine.Restored ? null : "The state is being restored.") };
            // Before it runs it has no sources to tell of.
            if (engine.Restored && !engine.Runs)
                parts.Add(new PartStatus("engine", false, "The sources are not started yet."));
            var waits = engine.StorageWaits;
            parts.Add(new PartStatus("storage", waits is null, waits));
            foreach (var source in engine.Sources)
            {
                var status = source.Status;
                parts.Add(new PartStatus("source:" + source.Name, status.State != SourceState.Connecting, status.Detail));
            }

            foreach (var sink in engine.Sinks)
                parts.Add(new PartStatus("sink:" + sink.Name, sink.NotReady is null, sink.NotReady));
            return parts;
        }
    }

    public WorkerSummary Summary
    {
        get
        {
            var s = engine.Statistics;
            var (skill, coverage) = engine.Restored ? engine.TotalSkill() : (null, null);
            return new WorkerSummary
            {
                Mode = mode,
                SimulatedClock = clock?.GetUtcNow().ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture),
                Caveat = caveat,
                Streams = s.Streams,
                SamplesTotal = s.Samples,
                SamplesPerSecond = Rate(s.Samples),
                ResultsTotal = s.Results,
                Skill = skill,
                Coverage90 = coverage,
            };
        }
    }

    public object? StreamState(string id) => engine.DescribeStreamAsync(id).GetAwaiter().GetResult();

    public async ValueTask<bool> ResetAsync(string id, CancellationToken cancellationToken) => await engine.ResetStreamAsync(id, cancellationToken);

    private double Rate(long samples)
    {
        lock (_gate)
        {
            var elapsed = Stopwatch.GetElapsedTime(_lastAt).TotalSeconds;
            if (elapsed >= 1)
            {
                _rate = (samples - _lastSamples) / elapsed;
                _lastSamples = samples;
                _lastAt = Stopwatch.GetTimestamp();
            }

            return _rate;
        }
    }
}
