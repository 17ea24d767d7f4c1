using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging.Abstractions;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;

namespace StreamLstm.Runtime.Tests.Engine;

/// <summary>The real engine on a state folder, running until it is stopped.</summary>
internal sealed class RunningEngine : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly MeterFactory _meters = new();
    private readonly Task _run;

    private RunningEngine(Runtime.Engine engine, MeterFactory meters)
    {
        Engine = engine;
        _meters = meters;
        _run = engine.RunAsync([], untilDrained: false, _stop.Token);
    }

    public Runtime.Engine Engine { get; }

    public IIngress Ingress => Engine.Ingress;

    public Task Completion => _run;

    public static async Task<RunningEngine> StartAsync(EngineSettings settings, TimeProvider clock, params IReadOnlyList<IResultSink> sinks)
    {
        var meters = new MeterFactory();
        var engine = new Runtime.Engine(settings, sinks, clock, NullLoggerFactory.Instance, meters);
        try
        {
            await engine.StartAsync();
        }
        catch
        {
            await engine.DisposeAsync();
            meters.Dispose();
            throw;
        }

        return new RunningEngine(engine, meters);
    }

    /// <summary>Runs what the journal of the folder holds, stops gracefully, and returns what was published.</summary>
    public static async Task<IReadOnlyList<Published>> ReplayAsync(EngineSettings settings, DateTimeOffset now)
    {
        var file = new SinkFile();
        // The clock stands before all data: no tick is added to those in the journal.
        await using var engine = await StartAsync(settings with { Profiles = [.. settings.Profiles.Select(p => p with { Learning = false })] }, new ManualTimeProvider(now), new RecordingSink(file));
        await engine.DrainAsync();
        await engine.StopAsync();
        return file.Records;
    }

    public async Task AppendAsync(params IReadOnlyList<(string Stream, DateTimeOffset Time, double[] Values)> samples)
    {
        var batch = new SampleBatch();
        foreach (var (stream, time, values) in samples)
            batch.Add(stream, UnixMicros.From(time), UnixMicros.From(time), values);
        await Ingress.AppendAsync(batch, TestContext.Current.CancellationToken);
    }

    /// <summary>Waits until everything appended is committed, or for the engine's failure.</summary>
    public async Task DrainAsync()
    {
        var drained = Engine.DrainAsync(TestContext.Current.CancellationToken);
        await await Task.WhenAny(drained, _run);
        await drained;
    }

    /// <summary>A graceful stop.</summary>
    public async Task StopAsync()
    {
        await _stop.CancelAsync();
        await _run;
    }

    /// <summary>Waits for something that happens in its own time.</summary>
    public async Task UntilAsync(Func<bool> condition)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!condition())
        {
            if (_run.IsCompleted)
                await _run;
            Assert.False(limit.IsCancellationRequested, "What was awaited did not happen.");
            await Task.Delay(2, TestContext.Current.CancellationToken);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        try
        {
            await _run;
        }
        catch (Exception) when (_run.IsFaulted)
        {
            // The test has seen or will see it by what it asserts.
            Assert.NotNull(_run.Exception);
        }

        await Engine.DisposeAsync();
        _meters.Dispose();
        _stop.Dispose();
    }

    private sealed class MeterFactory : IMeterFactory
    {
        private readonly List<Meter> _meters = [];

        public Meter Create(MeterOptions options)
        {
            var meter = new Meter(options);
            _meters.Add(meter);
            return meter;
        }

        public void Dispose() => _meters.ForEach(m => m.Dispose());
    }
}
