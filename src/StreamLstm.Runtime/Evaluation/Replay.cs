using System.Diagnostics.Metrics;
using System.Globalization;
using Microsoft.Extensions.Logging;
using StreamLstm.Core.Forecasting;
using StreamLstm.Runtime.Calendars;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Sharding;

namespace StreamLstm.Runtime.Evaluation;

/// <summary>One reading of a series in a backtest.</summary>
/// <param name="Covariates">What the profile's further channels read at that time; null without any.</param>
public readonly record struct BacktestRow(string Stream, long TimeMicros, double Value, double[]? Covariates = null);

/// <summary>
/// Replays readings through the production engine (journal, alignment, scoring, learning, state log) in a temporary state folder, with
/// a simulated clock. A day at a time is fed and drained, so training takes effect at the same place in every run.
/// </summary>
internal static class Replay
{
    /// <param name="rows">Readings in time order.</param>
    /// <param name="observer">Sees every frame and forecast.</param>
    /// <param name="learnUntil">Share of the rows after which no weights are learnt any more; 1 and more: never.</param>
    /// <param name="progress">Called with the share done.</param>
    public static async Task RunAsync(
        Profile profile, ulong seed, IReadOnlyList<BacktestRow> rows, IFrameObserver observer, IReadOnlyList<IResultSink> sinks, double learnUntil,
        Action<double>? progress, ILoggerFactory loggers, IMeterFactory meters, CancellationToken cancellationToken)
    {
        var state = Directory.CreateTempSubdirectory("streamlstm-backtest-").FullName;
        try
        {
            var settings = new EngineSettings { StateDirectory = state, Profiles = [profile with { Select = "*" }], Seed = seed, Observer = observer };
            await RunAsync(settings, rows, sinks, learnUntil, progress, loggers, meters, cancellationToken);
        }
        finally
        {
            Directory.Delete(state, recursive: true);
        }
    }

    /// <summary>The same in the settings' state folder; one that an earlier run has left goes on where it ended.</summary>
    internal static async Task RunAsync(
        EngineSettings settings, IReadOnlyList<BacktestRow> rows, IReadOnlyList<IResultSink> sinks, double learnUntil,
        Action<double>? progress, ILoggerFactory loggers, IMeterFactory meters, CancellationToken cancellationToken)
    {
        var clock = new SimulatedClock(rows.Count > 0 ? rows[0].TimeMicros : 0);
        await using var engine = new Engine(settings, sinks, clock, loggers, meters);
        await engine.StartAsync();
        var feed = new Feed(settings.Profiles[0], rows, engine, clock, (long)TimeSpan.FromDays(1).TotalMicroseconds, progress, learnUntil);
        await engine.RunAsync([feed], untilDrained: true, cancellationToken);
        cancellationToken.ThrowIfCancellationRequested();
    }

    /// <summary>Local day and week phase of the profile's frames, of the week too where the model itself has no weekly season.</summary>
    public static Func<long, FramePhase> Calendar(Profile profile)
    {
        var runtime = new ProfileRuntime(0, profile);
        var calendar = new LocalCalendar(runtime.Plan, profile);
        var day = runtime.Plan.DayFrames;
        if (!profile.HasDay || runtime.Plan.WeekFrames > 0)
            return calendar.Phase;
        return frame =>
        {
            var phase = calendar.Phase(frame).DayPhase;
            // Days since Monday, 1970-01-05; the local day begins where its phase is 0.
            var days = (long)Math.Round((frame - phase) / (double)day) - 4;
            return new FramePhase(phase, (int)((((days % 7) + 7) % 7 * day) + phase));
        };
    }

    /// <summary>Pushes the readings, one day at a time.</summary>
    private sealed class Feed(Profile profile, IReadOnlyList<BacktestRow> rows, Engine engine, SimulatedClock clock, long chunk, Action<double>? progress, double learnUntil) : ISampleSource
    {
        public string Name => "backtest";

        public SourceStatus Status { get; private set; } = new(SourceState.Connected, null);

        public async Task RunAsync(IIngress ingress, CancellationToken stopping)
        {
            var batch = new SampleBatch();
            var i = ingress.Position(Name) is { } read ? int.Parse(read, CultureInfo.InvariantCulture) : 0;
            if (i > 0)
                clock.AdvanceTo(rows[i - 1].TimeMicros);
            while (i < rows.Count)
            {
                if (engine.Learning && i >= learnUntil * rows.Count)
                    engine.Freeze();
                var end = rows[i].TimeMicros + chunk;
                OutlookVintages.Add(batch, profile, rows, i, end);
                for (; i < rows.Count && rows[i].TimeMicros < end && batch.Count < 50_000; i++)
                {
                    var row = rows[i];
                    batch.Add(row.Stream, row.TimeMicros, row.TimeMicros, row.Covariates is null ? [row.Value] : [row.Value, .. row.Covariates]);
                }

                batch.SetSourcePosition(Name, i.ToString(CultureInfo.InvariantCulture));
                await ingress.AppendAsync(batch, stopping);
                batch.Clear();
                clock.AdvanceTo(rows[i - 1].TimeMicros);
                await engine.DrainAsync(stopping);
                progress?.Invoke(i / (double)rows.Count);
            }

            Status = new SourceStatus(SourceState.Completed, null);
        }
    }
}
