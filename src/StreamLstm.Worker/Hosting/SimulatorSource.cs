using System.Globalization;
using StreamLstm.Runtime;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Simulation;

namespace StreamLstm.Worker.Hosting;

/// <summary>How a simulated feed runs.</summary>
internal sealed record SimulatorSourceSettings
{
    public required string Name { get; init; }

    public required LoadSimulationOptions Load { get; init; }

    /// <summary>Frames after which the source is complete; long.MaxValue = never.</summary>
    public long Frames { get; init; } = long.MaxValue;

    /// <summary>Simulated seconds per real second; 0 = as fast as possible.</summary>
    public double Speed { get; init; }

    /// <summary>Frames that are fed as fast as they are digested, a day at a time, before the pace begins.</summary>
    public long HistoryFrames { get; init; }
}

/// <summary>
/// The load simulator as a source. A reading is the mean power of an interval, so it arrives at the interval's end. Its position is the
/// next frame, durable with each batch; values are a function of the seed and the frame, so a restart goes on as if nothing had happened.
/// </summary>
internal sealed class SimulatorSource(SimulatorSourceSettings settings, Engine engine, TimeProvider pace) : ISampleSource
{
    private SourceStatus _status = new(SourceState.Connecting, null);

    public string Name => settings.Name;

    public SourceStatus Status => Volatile.Read(ref _status);

    public LoadSimulator Simulator { get; } = new(settings.Load);

    /// <summary>Completes when the history has been digested and the paced feed begins.</summary>
    public Task Opened => _opened.Task;

    /// <summary>Share of the history digested.</summary>
    public double HistoryShare => settings.HistoryFrames == 0 ? 1 : Math.Min(1, Volatile.Read(ref _frame) / (double)settings.HistoryFrames);

    private readonly TaskCompletionSource _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _frame;

    public async Task RunAsync(IIngress ingress, CancellationToken stopping)
    {
        var frame = ingress.Position(Name) is { } position ? long.Parse(position, CultureInfo.InvariantCulture) : 0;
        Simulator.SkipTo(frame);
        (ingress.Clock as SimulatedClock)?.AdvanceTo(UnixMicros.From(Simulator.FrameTime(frame)));
        Volatile.Write(ref _status, new SourceStatus(SourceState.Connected, null));
        var batch = new SampleBatch();
        var values = new double[Simulator.StreamKeys.Count];
        var day = (long)(TimeSpan.FromDays(1) / settings.Load.Interval);
        while (frame < settings.HistoryFrames && frame < settings.Frames)
        {
            for (var end = Math.Min(Math.Min(frame + day, settings.HistoryFrames), settings.Frames); frame < end; frame++)
                Add(batch, values, frame, ingress.Clock);
            await FlushAsync(ingress, batch, frame, stopping);
            await engine.DrainAsync(stopping);
        }

        _opened.TrySetResult();
        var started = pace.GetTimestamp();
        var first = frame;
        while (frame < settings.Frames)
        {
            if (settings.Speed > 0)
            {
                var due = TimeSpan.FromSeconds((frame + 1 - first) * settings.Load.Interval.TotalSeconds / settings.Speed);
                if (due - pace.GetElapsedTime(started) is { Ticks: > 0 } wait)
                    await Task.Delay(wait, pace, stopping);
            }

            Add(batch, values, frame++, ingress.Clock);
            // Unpaced feeds are batched; paced ones go out frame by frame.
            if (settings.Speed > 0 || batch.Count >= 512 || frame == settings.Frames)
                await FlushAsync(ingress, batch, frame, stopping);
        }

        Volatile.Write(ref _status, new SourceStatus(SourceState.Completed, null));
    }

    private void Add(SampleBatch batch, double[] values, long frame, TimeProvider clock)
    {
        var time = UnixMicros.From(Simulator.FrameTime(frame));
        Simulator.Next(values);
        var arrival = clock is SimulatedClock ? UnixMicros.From(Simulator.FrameTime(frame + 1)) : UnixMicros.Now(clock);

        for (var i = 0; i < values.Length; i++)
        {
            if (!double.IsNaN(values[i]))
                batch.Add(Simulator.StreamKeys[i], time, arrival, values.AsSpan(i, 1));
        }
    }

    private async ValueTask FlushAsync(IIngress ingress, SampleBatch batch, long next, CancellationToken stopping)
    {
        batch.SetSourcePosition(Name, next.ToString(CultureInfo.InvariantCulture));
        await ingress.AppendAsync(batch, stopping);
        batch.Clear();
        // Only now: a clock ahead of the log would let silence close frames whose samples are on their way.
        (ingress.Clock as SimulatedClock)?.AdvanceTo(UnixMicros.From(Simulator.FrameTime(next)));
        Volatile.Write(ref _frame, next);
    }
}
