using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using StreamLstm.Runtime.Models;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Training;

/// <summary>
/// Runs the trainers beside the engine: takes over the rows of committed frames, trains when a round is due, stores the new version, and
/// journals its activation; the engine meets it in the log like any other entry. Never holds up scoring: when it falls behind, rows are
/// dropped (they are history to learn from, not results).
/// </summary>
internal sealed partial class TrainingLoop
{
    private readonly ProfileTrainer[] _trainers;
    private readonly int[] _versions;
    private readonly ProfileRuntime[] _profiles;
    private readonly TrainingLog _log;
    private readonly ModelStore _models;
    private readonly Journal.Journal _journal;
    private readonly EngineMetrics _metrics;
    private readonly ILogger _logger;
    private readonly double _share;
    private readonly Channel<List<TrainingRow>> _rows;

    private long _offered;
    private long _handled;

    public TrainingLoop(ProfileRuntime[] profiles, ModelStore models, TrainingLog log, Journal.Journal journal, ulong seed, double share, EngineMetrics metrics, ILogger logger)
    {
        _rows = Channel.CreateBounded<List<TrainingRow>>(
            new BoundedChannelOptions(4096) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true },
            _ => Interlocked.Increment(ref _handled));
        _models = models;
        _profiles = profiles;
        _log = log;
        _share = share;
        _journal = journal;
        _metrics = metrics;
        _logger = logger;
        _trainers = [.. profiles.Select(p => new ProfileTrainer(p, seed, models.TrainerState(p.Name)))];
        _versions = [.. profiles.Select(p => models.Newest(p.Name))];
        if (log.Restore(_trainers) is { } damage)
            Log.HistoryDamaged(logger, damage);
    }

    public void Offer(List<TrainingRow> rows)
    {
        Interlocked.Increment(ref _offered);
        _ = _rows.Writer.TryWrite(rows);
    }

    /// <summary>Completes when all rows offered so far have been taken in and no round is due or under way.</summary>
    public async Task IdleAsync(CancellationToken cancellationToken)
    {
        while (Interlocked.Read(ref _handled) < Interlocked.Read(ref _offered))
        {
            cancellationToken.ThrowIfCancellationRequested();
            await Task.Delay(1, CancellationToken.None);
        }
    }

    public IEnumerable<Measurement<double>> Losses()
    {
        foreach (var trainer in _trainers)
        {
            if (float.IsFinite(trainer.LastLoss))
                yield return new Measurement<double>(trainer.LastLoss, new KeyValuePair<string, object?>("profile", trainer.Profile.Name));
        }
    }

    public async Task RunAsync(CancellationToken stop)
    {
        await foreach (var rows in _rows.Reader.ReadAllAsync(stop))
        {
            await WaitForRoomAsync(() => _log.Append(rows, _profiles), stop);
            foreach (var row in rows)
                _trainers[row.Profile].Add(row);
            for (var i = 0; i < _trainers.Length; i++)
            {
                if (_trainers[i].IsDue)
                    await RoundAsync(i, stop);
            }

            Interlocked.Increment(ref _handled);
        }
    }

    private async Task RoundAsync(int index, CancellationToken stop)
    {
        var trainer = _trainers[index];
        var name = trainer.Profile.Name;
        var started = Stopwatch.GetTimestamp();
        var round = trainer.Round(stop);
        await WaitForRoomAsync(() => _log.RoundDone(name), stop);
        if (round is not var (weights, state))
        {
            _metrics.Round(name, "skipped");
            return;
        }

        var version = ++_versions[index];
        await WaitForRoomAsync(() => _models.Save(name, version, weights, state), stop);
        await _journal.AppendActivationAsync(name, version, stop);
        var elapsed = Stopwatch.GetElapsedTime(started);
        _metrics.Round(name, "trained");
        _metrics.Promotion(name, "nudge");
        Log.Trained(_logger, name, version, trainer.LastLoss, elapsed.TotalMilliseconds);
        // Rows wait meanwhile; rounds are due by their number, so a rest changes when weights come, not what they are.
        if (_share < 1)
            await Task.Delay(elapsed * ((1 / _share) - 1), stop);
    }

    /// <summary>Training rests while the disk is full; the engine says so.</summary>
    private ValueTask WaitForRoomAsync(Action write, CancellationToken stop) => DiskSpace.WriteAsync(write, _log.Undo, static _ => { }, stop);

    private static partial class Log
    {
        [LoggerMessage(1102, LogLevel.Warning, "The training history is damaged and begins anew: {Damage}")]
        public static partial void HistoryDamaged(ILogger logger, string damage);

        [LoggerMessage(1101, LogLevel.Information, "Profile {Profile}: model version {Version}, training loss {Loss:F4}, {Milliseconds:F0} ms")]
        public static partial void Trained(ILogger logger, string profile, int version, float loss, double milliseconds);
    }
}
