using System.Collections.Immutable;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using StreamLstm.Core.Forecasting;
using StreamLstm.Runtime.Episodes;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Models;
using StreamLstm.Runtime.Outlooks;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Partitioned;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.StateLog;
using StreamLstm.Runtime.Storage;
using StreamLstm.Runtime.Training;

namespace StreamLstm.Runtime;

/// <summary>Numbers for status views; a copy, taken between batches.</summary>
public sealed record EngineStatistics(
    int Streams, int StaleStreams, IReadOnlyDictionary<string, int> EpisodesBySeverity, long StateBytes, long Samples, long Frames, long Results, double? NewestEventLagSeconds)
{
    public static EngineStatistics None { get; } = new(0, 0, new Dictionary<string, int>(), 0, 0, 0, 0, null);

    public int OpenEpisodes => EpisodesBySeverity.Values.Sum();
}

/// <summary>
/// The engine: reads the journal in order, hands each batch to the shards, commits what they made of it, and only then publishes and
/// releases the input. Whatever it does is a function of the journal; killing it anywhere loses and doubles nothing.
/// Life: <see cref="StartAsync"/> (lock, restore) → <see cref="RunAsync"/> until cancelled (stop sources, drain, snapshot, commit).
/// </summary>
public sealed partial class Engine : IAsyncDisposable
{
    private const int ManyStreams = 10_000;

    /// <summary>So many new streams leave hundreds of megabytes of empty heap behind; giving them back stops everything for a part of a second.</summary>
    private const int ManyBirths = 200_000;

    /// <summary>State that a commit is meant to hold at most, so that a fleet's beginning doesn't take more memory than its life.</summary>
    private const long MostStateBytes = 16 << 20;
    private static readonly TimeSpan TickEvery = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan TellOfClock = TimeSpan.FromSeconds(5);

    private readonly EngineSettings _settings;
    private readonly TimeProvider _clock;
    private readonly ILogger _logger;
    private readonly EngineMetrics _metrics;
    private readonly ProfileRuntime[] _profiles;
    private readonly IReadOnlyList<IResultSink> _sinks;
    private readonly List<SinkWorker> _workers = [];
    private readonly Dictionary<(string Source, string Reason), (long Count, long NextLog)> _bursts = [];
    private readonly SemaphoreSlim _shardGate = new(1, 1);
    private readonly long[] _tickedAt = new long[VirtualPartition.Count];
    private readonly CommitHeader _header = new();
    private readonly ResultWriter _writer = new();
    private readonly Channel<CommitWork> _commits = Channel.CreateBounded<CommitWork>(new BoundedChannelOptions(1) { SingleReader = true, SingleWriter = true });
    private readonly OutboxMemory _outbox;
    private IReadOnlyList<ISampleSource> _sources = [];
    private FileStream? _lock;
    private ModelStore _models = null!;
    private Journal.Journal _journal = null!;
    private readonly byte[][] _outlookStreams;
    private OutlookStore _outlooks = null!;
    private StateLog.StateLog _stateLog = null!;
    private TrainingLog _trainingLog = null!;
    private Shard[] _shards = [];
    private TrainingLoop? _training;
    private Task? _pump;
    private long _sequence;
    private long? _oldestSnapshot;
    private long _durableCommit;
    private string? _commitWaits;
    private bool _clockIsAhead;
    private long _committed;
    private long _samples;
    private long _framesTotal;
    private long _results;
    private long _newestEvent = long.MinValue;
    private long _lastTurn;
    private EngineStatistics _statistics = EngineStatistics.None;
    private int _streamsGivenBack;
    private ImmutableArray<PartitionFactory> _partitions = [];

    public Engine(EngineSettings settings, IReadOnlyList<IResultSink> sinks, TimeProvider clock, ILoggerFactory loggers, IMeterFactory meters)
    {
        ArgumentNullException.ThrowIfNull(settings);
        _settings = settings;
        _sinks = sinks;
        _outbox = new OutboxMemory(settings.OutboxBytes);
        // A simulated one only moves forward by itself, and tells nothing of what has passed.
        _clock = clock is SimulatedClock ? clock : new LogClock(clock);
        _logger = loggers.CreateLogger("StreamLstm.Engine");
        _profiles = [.. settings.Profiles.OrderBy(p => p.Name, StringComparer.Ordinal).Select((p, i) => new ProfileRuntime(i, p))];
        _outlookStreams = [.. OutlookTable.Streams(settings.Profiles).Select(Encoding.UTF8.GetBytes)];
        _metrics = new EngineMetrics(meters, this);
    }

    /// <summary>The durable entrance; valid after <see cref="StartAsync"/>.</summary>
    public IIngress Ingress => _journal;

    public bool Restored { get; private set; }

    /// <summary>Its sources are started, or have been.</summary>
    public bool Runs { get; private set; }

    /// <summary>The loop has turned within the last minute.</summary>
    public bool Alive => !Restored || Environment.TickCount64 - Volatile.Read(ref _lastTurn) < 60_000;

    public EngineStatistics Statistics => _partitions.Aggregate(_statistics, (sum, partitions) => partitions.AddTo(sum, _clock));

    public IReadOnlyList<ISampleSource> Sources => _sources;

    public IReadOnlyList<IResultSink> Sinks => _sinks;

    /// <summary>Whether the shared weights go on learning; per-stream parts always adapt.</summary>
    public bool Learning { get; set; } = true;

    /// <summary>
    /// Ends all learning of weights, shared ones and the linear experts', to compare with. Level, seasons, hedge and intervals, which are
    /// states, go on. Only while everything appended has been handled; not journalled: for evaluations, which are never resumed.
    /// </summary>
    internal void Freeze()
    {
        Learning = false;
        foreach (var shard in _shards)
            shard.HoldWeights();
    }

    /// <summary>Why nothing can be written to disk just now, or why sources wait; null when all is well.</summary>
    public string? StorageWaits => Volatile.Read(ref _commitWaits) ?? _journal?.Waits;

    internal int StorageIsShort => Restored && (Volatile.Read(ref _commitWaits) ?? _journal.DiskFull) is not null ? 1 : 0;

    internal long JournalBytes => _journal?.Bytes ?? 0;

    internal long JournalBacklogBytes => Restored ? Math.Max(0, _journal.Durable - Volatile.Read(ref _committed)) : 0;

    /// <summary>Locks the state folder and restores: afterwards the engine stands exactly where its last commit left it.</summary>
    public async Task StartAsync()
    {
        var started = Stopwatch.GetTimestamp();
        Directory.CreateDirectory(_settings.StateDirectory);
        var lockPath = Path.Combine(_settings.StateDirectory, "lock");
        try
        {
            _lock = new FileStream(lockPath, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e)
        {
            throw new InvalidOperationException($"The state folder {_settings.StateDirectory} is in use by another worker ({e.Message}).", e);
        }

        _models = new ModelStore(Path.Combine(_settings.StateDirectory, "models"));
        _trainingLog = new TrainingLog(Path.Combine(_settings.StateDirectory, "training"));
        _stateLog = new StateLog.StateLog(Path.Combine(_settings.StateDirectory, "state"), _settings.StateSegmentBytes);
        _outlooks = new OutlookStore(Path.Combine(_settings.StateDirectory, "outlooks"));
        _journal = new Journal.Journal(Path.Combine(_settings.StateDirectory, "journal"), _clock, _settings.Journal) { OnWaits = JournalWaits, OnFlush = _metrics.JournalFlushDuration.Record };
        _shards = [.. Enumerable.Range(0, _settings.Shards).Select(i => new Shard(i, _settings.Shards, _settings, _profiles, _models))];
        var streams = 0;
        if (await RestoreShardsAsync() is var (header, restored))
        {
            Adopt(header);
            streams = restored;
            if (_outlooks.Load(_committed) is { } outlooks)
            {
                await OnShardsAsync(shard =>
                {
                    shard.RestoreOutlooks(outlooks);
                    return true;
                });
            }
        }
        else
        {
            _committed = _journal.Start;
            _header.JournalNext = _committed;
        }

        if (_journal.Durable < _committed)
            throw new Storage.CorruptLogException($"The journal ends at {_journal.Durable}, before the committed position {_committed}. Restore the journal folder that belongs to this state.");
        _journal.ReplayPositions(_committed);
        foreach (var sink in _sinks)
        {
            var worker = new SinkWorker(sink, _header.SinkMarks.GetValueOrDefault(sink.Name));
            _workers.Add(worker);
            worker.Start(_stateLog, _header.Sequence);
        }

        _training = new TrainingLoop(_profiles, _models, _trainingLog, _journal, _settings.Seed, _settings.TrainingShare, _metrics, _logger);
        await RefreshStatisticsAsync();
        Restored = true;
        Volatile.Write(ref _lastTurn, Environment.TickCount64);
        _metrics.RestoreDuration.Record(Stopwatch.GetElapsedTime(started).TotalSeconds);
        Log.Started(_logger, streams, _header.Sequence, Stopwatch.GetElapsedTime(started).TotalMilliseconds);
    }

    /// <summary>For a source that keeps state with its broker instead of in the journal; after <see cref="StartAsync"/>.</summary>
    /// <param name="source">Its name: the models it learns are its own.</param>
    public PartitionFactory Partitions(string source)
    {
        var made = new PartitionFactory(_settings, _profiles, new ModelStore(Path.Combine(_settings.StateDirectory, "models-" + source)), _metrics, NoteDeadLetter);
        ImmutableInterlocked.Update(ref _partitions, (all, x) => all.Add(x), made);
        return made;
    }

    /// <summary>
    /// Runs sources and the engine loop. Returns after a graceful stop: sources stopped, journal drained, everything snapshotted and
    /// committed. Throws if an invariant broke: the host must end with an error.
    /// </summary>
    /// <param name="sources">Where samples come from.</param>
    /// <param name="untilDrained">End by itself once every source has completed and its samples are committed.</param>
    /// <param name="stopping">Begins the graceful stop.</param>
    public async Task RunAsync(IReadOnlyList<ISampleSource> sources, bool untilDrained, CancellationToken stopping)
    {
        _sources = sources;
        Runs = true;
        using var sourcesStop = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        using var loopStop = new CancellationTokenSource();
        var loopsEnd = loopStop.Token;
        var pump = Task.Run(() => RunLoopsAsync(loopsEnd), CancellationToken.None);
        Volatile.Write(ref _pump, pump);
        var ticker = Task.Run(() => TickAsync(sourcesStop.Token), CancellationToken.None);
        var training = Task.Run(() => _training!.RunAsync(sourcesStop.Token), CancellationToken.None);
        var running = sources.Select(s => Task.Run(() => RunSourceAsync(s, sourcesStop.Token), CancellationToken.None)).ToList();
        var watched = new List<Task> { pump, ticker, training, _journal.Failed };
        watched.AddRange(_workers.Select(w => w.Completion));
        watched.AddRange(running);
        try
        {
            while (!stopping.IsCancellationRequested)
            {
                if (untilDrained && running.All(r => r.IsCompletedSuccessfully))
                    break;
                var stop = Task.Delay(Timeout.Infinite, stopping);
                var first = await Task.WhenAny([stop, .. watched]);
                // The loops end by the same token: whichever is seen first, it is the graceful stop.
                if (first == stop || stopping.IsCancellationRequested)
                    break;
                await first;
                if (first == pump || first == ticker || first == _journal.Failed)
                    throw new InvalidOperationException("An engine loop ended by itself.");
                watched.Remove(first);
            }

            await sourcesStop.CancelAsync();
            // What isn't acknowledged is sent again; nobody waits for room any more.
            _journal.StopWaiting();
            await WhenAllQuietly([.. running, ticker, training]);
            var drained = DrainPumpAsync(pump);
            await Task.WhenAny(drained, Task.Delay(Timeout.Infinite, stopping));
            // A sink that is away holds the pump up; when asked to stop, the rest of the journal is left to the next process.
            if (stopping.IsCancellationRequested)
                await Task.WhenAny(drained, Task.Delay(_settings.StopTimeout, CancellationToken.None));
            await loopStop.CancelAsync();
            await WhenAllQuietly([pump]);
            await StopGracefullyAsync();
        }
        finally
        {
            await sourcesStop.CancelAsync();
            await loopStop.CancelAsync();
        }
    }

    /// <summary>Waits until everything that is durable in the journal has been committed, delivered to the trainers, and learnt from.</summary>
    public async Task DrainAsync(CancellationToken cancellationToken)
    {
        do
        {
            while (Volatile.Read(ref _committed) < _journal.Durable)
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (_journal.Failed.IsFaulted)
                    await _journal.Failed;
                if (Volatile.Read(ref _pump) is { IsCompleted: true } ended)
                {
                    // Nobody commits any more: with its reason if it failed, else because the engine was stopped.
                    await ended;
                    throw new InvalidOperationException("The engine has stopped; the rest of the journal is left to the next start.");
                }

                await Task.Delay(1, CancellationToken.None);
            }

            await _training!.IdleAsync(cancellationToken);
        }
        while (Volatile.Read(ref _committed) < _journal.Durable);
    }

    /// <summary>Skill and coverage count from here on.</summary>
    public async Task ResetSkillAsync() => await OnShardsAsync(shard =>
    {
        for (var p = 0; p < _profiles.Length; p++)
            shard.Skill(p).Clear();
        return true;
    });

    /// <summary>Live skill over all horizons and profiles, and coverage of the outer quantiles.</summary>
    public (double? Skill, double? Coverage) TotalSkill()
    {
        double? skill = null;
        double? coverage = null;
        foreach (var profile in _profiles)
        {
            var sums = Sums(profile);
            skill ??= sums.TotalSkill;
            coverage ??= sums.TotalCoverage;
        }

        return (skill, coverage);
    }

    /// <summary>A person's view of one stream's state, or null if there is no such stream.</summary>
    public async Task<JsonObject?> DescribeStreamAsync(string stream)
    {
        var key = Encoding.UTF8.GetBytes(stream);
        var found = await OnShardsAsync(shard => shard.Describe(key));
        if (found.FirstOrDefault(f => f is not null) is { } own)
            return own;
        foreach (var partitions in _partitions)
        {
            if (await partitions.DescribeAsync(stream) is { } other)
                return other;
        }

        return null;
    }

    /// <summary>Clears a stream's model state, as an entry of the log; false if there is no such stream.</summary>
    public async Task<bool> ResetStreamAsync(string stream, CancellationToken cancellationToken)
    {
        foreach (var partitions in _partitions)
        {
            if (await partitions.ResetAsync(stream, cancellationToken))
                return true;
        }

        if (await DescribeStreamAsync(stream) is null)
            return false;
        await _journal.AppendResetAsync(Encoding.UTF8.GetBytes(stream), cancellationToken);
        return true;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var shard in _shards)
        {
            try
            {
                await shard.DisposeAsync();
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                // The failure that stopped the shard has already been reported by the loop.
                Log.ShardFailed(_logger, e);
            }
        }

        if (_journal is not null)
        {
            try
            {
                await _journal.DisposeAsync();
            }
            catch (Exception e) when (e is IOException or OperationCanceledException)
            {
                Log.JournalFailed(_logger, e);
            }
        }

        _stateLog?.Dispose();
        _trainingLog?.Dispose();
        _writer.Dispose();
        _shardGate.Dispose();
        if (_lock is not null)
            await _lock.DisposeAsync();
    }

    internal IEnumerable<Measurement<long>> QueueDepths()
    {
        if (!Restored)
            yield break;
        foreach (var worker in _workers)
            yield return new Measurement<long>(worker.Queued, new KeyValuePair<string, object?>("stage", "sink_" + worker.Sink.Name));
    }

    internal IEnumerable<Measurement<long>> ConsumerLags() => _partitions.SelectMany(p => p.ConsumerLags());

    internal IEnumerable<Measurement<long>> StandbyLags() => _partitions.SelectMany(p => p.StandbyLags());

    internal long StandbyBytes() => _partitions.Sum(p => p.Standbys.Sum(s => s.Bytes));

    internal IEnumerable<Measurement<long>> ModelVersions()
    {
        foreach (var profile in _profiles)
        {
            int version;
            lock (_header)
                version = _header.ActiveVersions.GetValueOrDefault(profile.Name);
            version = _partitions.Aggregate(version, (newest, p) => Math.Max(newest, p.NewestModel(profile.Name)));
            yield return new Measurement<long>(version, new KeyValuePair<string, object?>("profile", profile.Name));
        }
    }

    internal IEnumerable<Measurement<double>> SkillRatios()
    {
        foreach (var profile in _profiles)
        {
            var sums = Sums(profile);
            for (var j = 0; j < sums.Knots; j++)
            {
                if (sums.Skill(j) is { } skill)
                    yield return new Measurement<double>(skill, new("profile", profile.Name), new("horizon", HorizonLabel(profile, j)));
            }
        }
    }

    internal IEnumerable<Measurement<double>> CoverageRatios()
    {
        foreach (var profile in _profiles)
        {
            var sums = Sums(profile);
            var level = profile.Profile.Quantiles[^1] - profile.Profile.Quantiles[0];
            for (var j = 0; j < sums.Knots; j++)
            {
                if (sums.Coverage(j) is { } coverage)
                {
                    yield return new Measurement<double>(
                        coverage, new("profile", profile.Name), new("level", Math.Round(level, 6).ToString(CultureInfo.InvariantCulture)), new("horizon", HorizonLabel(profile, j)));
                }
            }
        }
    }

    internal IEnumerable<Measurement<double>> TrainingLosses() => _training?.Losses() ?? [];

    internal IEnumerable<Measurement<int>> SourcesConnected() =>
        _sources.Select(s => new Measurement<int>(s.Status.State == SourceState.Connecting ? 0 : 1, new KeyValuePair<string, object?>("source", s.Name)));

    private static string HorizonLabel(ProfileRuntime profile, int knot) =>
        System.Xml.XmlConvert.ToString(profile.Profile.Interval * profile.Plan.Knots[knot]);

    private static async Task RunSourceAsync(ISampleSource source, IIngress ingress, CancellationToken stopping)
    {
        try
        {
            await source.RunAsync(ingress, stopping);
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // Asked to stop.
            return;
        }
    }

    private Task RunSourceAsync(ISampleSource source, CancellationToken stopping) => RunSourceAsync(source, _journal, stopping);

    private static async Task WhenAllQuietly(IReadOnlyList<Task> tasks)
    {
        foreach (var task in tasks)
        {
            try
            {
                await task;
            }
            catch (OperationCanceledException)
            {
                // Loops end by cancellation.
                continue;
            }
        }
    }

    private SkillSums Sums(ProfileRuntime profile)
    {
        var total = new SkillSums(profile.Plan.Knots.Length);
        foreach (var shard in _shards)
            shard.Skill(profile.Index).AddTo(total);
        return total;
    }

    private void Adopt(CommitHeader header)
    {
        _header.Sequence = _sequence = _durableCommit = header.Sequence;
        _header.JournalNext = _committed = header.JournalNext;
        header.Clocks.CopyTo(_header.Clocks, 0);
        (_clock as LogClock)?.NoEarlierThan(header.Clocks.Max());
        foreach (var (k, v) in header.ActiveVersions)
            _header.ActiveVersions[k] = v;
        foreach (var (k, v) in header.SourcePositions)
        {
            _header.SourcePositions[k] = v;
            _journal.SetPosition(k, v);
        }

        foreach (var (k, v) in header.SinkMarks)
            _header.SinkMarks[k] = v;
    }

    /// <summary>
    /// Goes through the state log twice: where every stream has its latest snapshot, then those and what came after them. Nothing is
    /// held in memory but the streams themselves. Null for an empty log.
    /// </summary>
    private async Task<(CommitHeader Header, int Streams)?> RestoreShardsAsync()
    {
        var newest = await OverCommitsAsync((shard, commit) => shard.FindSnapshots(commit));
        if (newest is null)
            return null;
        await OverCommitsAsync((shard, commit) => shard.Restore(commit));
        var active = newest.ActiveVersions.Select(v => (v.Key, v.Value)).ToList();
        var known = await OnShardsAsync(shard =>
        {
            for (var p = 0; p < VirtualPartition.Count; p++)
                shard.RestorePartition(p, newest.Clocks[p], active);
            return shard.EndRestore();
        });
        // What was read has become garbage, as much again as the streams take: given back before it is missed elsewhere.
        _streamsGivenBack = known.Sum();
        if (_streamsGivenBack >= ManyStreams)
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        return (newest, _streamsGivenBack);
    }

    /// <summary>Has every shard look at every commit of the state log, while the next one is read.</summary>
    /// <returns>The newest commit's header, or null for an empty log.</returns>
    private async Task<CommitHeader?> OverCommitsAsync(Action<Shard, StoredCommit> look)
    {
        CommitHeader? newest = null;
        var looking = Task.CompletedTask;
        try
        {
            foreach (var commit in _stateLog.Read())
            {
                await looking;
                newest = commit.Header;
                looking = OnShardsAsync(shard =>
                {
                    look(shard, commit);
                    return true;
                });
            }
        }
        finally
        {
            await looking;
        }

        return newest;
    }

    private async Task<T[]> OnShardsAsync<T>(Func<Shard, T> work)
    {
        await _shardGate.WaitAsync();
        try
        {
            return await InvokeAllAsync(work);
        }
        finally
        {
            _shardGate.Release();
        }
    }

    private async Task<T[]> InvokeAllAsync<T>(Func<Shard, T> work)
    {
        var pending = new Task<T>[_shards.Length];
        for (var i = 0; i < _shards.Length; i++)
            pending[i] = _shards[i].InvokeAsync(work).AsTask();
        return await Task.WhenAll(pending);
    }

    /// <summary>
    /// Two loops, so that the disk works while the shards do: one reads the journal and has batches processed, the other commits and
    /// publishes what became of them, in the same order. The second ends only when it has committed all that was processed.
    /// </summary>
    private async Task RunLoopsAsync(CancellationToken stop)
    {
        using var both = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var commits = CommitLoopAsync(stop);
        var pump = PumpAsync(both.Token);
        if (await Task.WhenAny(pump, commits) == commits)
            await both.CancelAsync();
        try
        {
            await pump;
            _commits.Writer.TryComplete();
        }
        catch (Exception e)
        {
            _commits.Writer.TryComplete(e is OperationCanceledException ? null : e);
            await commits;
            throw;
        }

        await commits;
    }

    private async Task PumpAsync(CancellationToken stop)
    {
        var position = _committed;
        var lastStatistics = 0L;
        // At first as if every entry were the birth of a stream, which writes its whole record.
        var stateBytesPerEntry = _profiles.Max(p => 4L * p.Plan.RecordWords * p.Channels);
        var work = RentWork();
        while (!stop.IsCancellationRequested)
        {
            Volatile.Write(ref _lastTurn, Environment.TickCount64);
            if (_journal.Durable <= position)
            {
                await _journal.WaitAsync(position, stop);
                continue;
            }

            if (!_journal.ReadInto(work.Batch, position, (int)Math.Clamp(MostStateBytes / stateBytesPerEntry, 1, _settings.MaxBatchEntries)))
                continue;
            await ProcessAsync(work, stop);
            stateBytesPerEntry = Math.Max(1, work.Made.Sum(m => (long)m.State.Length) / Math.Max(1, work.Batch.Count));
            position = work.Batch.Next;
            // Not cancellable: what the shards have processed must be committed before anything that builds on it.
            var finished = Stopwatch.GetTimestamp();
            while (!_commits.Writer.TryWrite(work))
            {
                if (!await _commits.Writer.WaitToWriteAsync(CancellationToken.None))
                    return;
            }

            _metrics.CommitWait.Record(Stopwatch.GetElapsedTime(finished).TotalSeconds);
            work = RentWork();
            if (Environment.TickCount64 - lastStatistics > 500)
            {
                lastStatistics = Environment.TickCount64;
                var streams = _statistics.Streams;
                await RefreshStatisticsAsync();
                if (_statistics.Streams == streams)
                    GiveBack(streams);
            }
        }
    }

    /// <summary>After a fleet was born, and no stream is any more, memory is what the streams take.</summary>
    private void GiveBack(int streams)
    {
        if (streams - _streamsGivenBack < Math.Max(ManyBirths, streams / 5))
            return;
        _streamsGivenBack = streams;
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
    }

    private CommitWork RentWork()
    {
        var work = _outbox.Rent(_shards.Length);
        // The set stays with the memory, which comes back.
        foreach (var stream in _outlookStreams)
            work.Batch.Broadcast.Add(stream);
        return work;
    }

    private async Task ProcessAsync(CommitWork work, CancellationToken stop)
    {
        await _shardGate.WaitAsync(stop);
        try
        {
            var started = Stopwatch.GetTimestamp();
            work.Batch.SnapshotBefore = _stateLog.CompactBefore ?? 0;
            work.Sequence = ++_sequence;
            var pending = new Task<ShardOutput>[_shards.Length];
            for (var i = 0; i < pending.Length; i++)
            {
                var output = work.Made[i];
                pending[i] = _shards[i].InvokeAsync(shard => shard.Process(work.Batch, output, work.Sequence)).AsTask();
            }

            await Task.WhenAll(pending);
            // Now, as the shards go on with the next batch while this one is committed; every partition has the same table.
            if (work.Batch.HasBroadcast)
                work.Outlooks = OutlookStore.Encode(_shards[0].Partitions.First().Outlooks);
            _metrics.StepDuration.Record(Stopwatch.GetElapsedTime(started).TotalSeconds);
        }
        finally
        {
            _shardGate.Release();
        }
    }

    private async Task CommitLoopAsync(CancellationToken stop)
    {
        try
        {
            await foreach (var work in _commits.Reader.ReadAllAsync(CancellationToken.None))
            {
                Merge(work);
                await CommitAsync(work, stop);
                await PublishAsync(work, stop);
                var rows = work.Made.SelectMany(m => m.TrainingRows).ToList();
                if (rows.Count > 0 && Learning)
                    _training!.Offer(rows);
                Account(work.Batch, work.Made);
                // Last, as whoever waits for it counts on everything before.
                Volatile.Write(ref _committed, work.Batch.Next);
                _journal.Release(work.Batch.Next, _settings.KeepJournal);
                work.Release();
            }
        }
        catch (Exception e)
        {
            _commits.Writer.TryComplete(e);
            throw;
        }
    }

    /// <summary>The outputs in the log's total order: the order doesn't depend on batches, waves or shards.</summary>
    private void Merge(CommitWork work)
    {
        var outputs = work.Outputs;
        var letters = work.Batch.DeadLetters;
        var next = new int[work.Made.Length];
        var letter = 0;
        while (true)
        {
            var (from, lsn) = (-1, long.MaxValue);
            for (var i = 0; i < next.Length; i++)
            {
                if (next[i] < work.Made[i].Ordered.Length && work.Made[i].Next(next[i]).Lsn is var candidate && candidate < lsn)
                    (from, lsn) = (i, candidate);
            }

            // An entry belongs to one shard alone, so that equal places can't meet here.
            for (; letter < letters.Count && letters[letter].Lsn < lsn; letter++)
                outputs.Add(ToOutput(work, letters[letter].Letter));
            if (from < 0)
                return;
            ref readonly var output = ref work.Made[from].Next(next[from]++);
            var isLetter = output.Kind == OutputKind.DeadLetter;
            outputs.Add(new OutputRecord(output.Kind, isLetter ? "engine" : output.Stream, output.TimeMicros, output.Revision, work.Made[from].Json.Memory(output.Start, output.Length), output.Newest));
            if (isLetter)
                NoteDeadLetter("engine", output.Stream, "");
        }
    }

    private OutputRecord ToOutput(CommitWork work, DeadLetter letter)
    {
        NoteDeadLetter(letter.Source, letter.Reason, letter.Detail);
        work.Letters.Clear();
        _writer.DeadLetter(work.Letters, letter);
        return new OutputRecord(OutputKind.DeadLetter, letter.Source, letter.ArrivalMicros, 0, work.Letters.Written.ToArray());
    }

    private async ValueTask CommitAsync(CommitWork work, CancellationToken stop)
    {
        var started = Stopwatch.GetTimestamp();
        lock (_header)
        {
            _header.Sequence = work.Sequence;
            _header.JournalNext = work.Batch.Next;
            foreach (var (profile, version) in work.Batch.Activations)
                _header.ActiveVersions[profile] = version;
        }

        foreach (var (source, read) in work.Batch.SourcePositions)
            _header.SourcePositions[source] = read;
        if (work.Outlooks is { } outlooks)
            await DiskSpace.WriteAsync(() => _outlooks.Save(work.Batch.Next, outlooks), static () => { }, CommitsWait, stop);
        await WriteCommitAsync(work.Made, work.Outputs, stop);
        if (work.Outlooks is not null)
            _outlooks.DeleteBefore(work.Batch.Next);
        _metrics.CommitDuration.Record(Stopwatch.GetElapsedTime(started).TotalSeconds);
    }

    /// <exception cref="OperationCanceledException">Told to stop while the disk was full: the commit hasn't happened.</exception>
    private async ValueTask WriteCommitAsync(IReadOnlyList<ShardOutput> made, IReadOnlyList<OutputRecord> outputs, CancellationToken stop)
    {
        foreach (var shard in made)
        {
            foreach (var (partition, clock) in shard.Clocks)
                _header.Clocks[partition] = clock;
        }

        foreach (var worker in _workers)
            _header.SinkMarks[worker.Sink.Name] = worker.Mark;
        await DiskSpace.WriteAsync(() => _stateLog.Commit(_header, made, outputs), _stateLog.Undo, CommitsWait, stop);
        _durableCommit = _header.Sequence;
        if (made.Count > 0)
            _oldestSnapshot = made.Min(m => m.OldestSnapshot);
        if (_stateLog.CompactBefore is null)
            return;
        // The marks just made durable, not the newer ones in memory: after a crash a sink is cut back to the former, and what follows
        // them must still be there to be delivered again.
        var delivered = _workers.Count == 0 ? _header.Sequence : _workers.Min(w => _header.SinkMarks[w.Sink.Name].Commit);
        _stateLog.Compact(_oldestSnapshot ?? _header.Sequence, delivered + 1);
    }

    private void JournalWaits(string? why, bool isFirst)
    {
        if (why is null)
            Log.JournalGoesOn(_logger);
        else if (isFirst)
            Log.JournalWaits(_logger, why);
    }

    private void CommitsWait(string? why)
    {
        // The loop stands for a reason that ends; it isn't dead.
        Volatile.Write(ref _lastTurn, Environment.TickCount64);
        if (why is not null && _commitWaits is null)
            Log.CommitsWait(_logger, why);
        else if (why is null)
            Log.CommitsGoOn(_logger);
        Volatile.Write(ref _commitWaits, why);
    }

    private async Task PublishAsync(CommitWork work, CancellationToken stop)
    {
        try
        {
            // A sink that is away isn't a reason to look dead.
            while (!await _outbox.ReserveAsync(work, stop))
                Volatile.Write(ref _lastTurn, Environment.TickCount64);
            foreach (var worker in _workers)
            {
                while (!await worker.TryEnqueueAsync(work, stop))
                    Volatile.Write(ref _lastTurn, Environment.TickCount64);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Committed is enough: whichever sink doesn't get it now gets it after the next start.
            return;
        }
    }

    private void Account(LogBatch batch, IReadOnlyList<ShardOutput> made)
    {
        var outcomes = new OutcomeCounts();
        foreach (var shard in made)
        {
            shard.Outcomes.AddTo(outcomes);
            Interlocked.Add(ref _framesTotal, shard.Frames);
            Interlocked.Add(ref _results, shard.Results);
        }

        Interlocked.Add(ref _samples, outcomes.Accepted + outcomes.Repaired);
        _metrics.Count(outcomes);
        var samples = batch.Samples;
        if (samples.Count == 0)
            return;
        for (var i = 0; i < samples.Count; i++)
            _newestEvent = Math.Max(_newestEvent, samples.LastEventTime(i));
        _metrics.EndToEnd.Record(Math.Max(0, (UnixMicros.Now(_clock) - samples.Arrival(samples.Count - 1)) / 1e6));
    }

    private async Task RefreshStatisticsAsync()
    {
        var parts = await OnShardsAsync(shard => (shard.Streams, shard.StaleStreams, Episodes: shard.OpenEpisodes(), shard.StateBytes));
        _statistics = new EngineStatistics(
            parts.Sum(p => p.Streams), parts.Sum(p => p.StaleStreams), EpisodeTracker.Severities.ToDictionary(s => s, s => parts.Sum(p => p.Episodes.GetValueOrDefault(s))), parts.Sum(p => p.StateBytes),
            Interlocked.Read(ref _samples), Interlocked.Read(ref _framesTotal), Interlocked.Read(ref _results),
            _newestEvent == long.MinValue ? null : (UnixMicros.Now(_clock) - _newestEvent) / 1e6);
    }

    /// <summary>Appends a tick entry for every partition in which silence may close a frame.</summary>
    private async Task TickAsync(CancellationToken stop)
    {
        var due = new List<(int, long)>();
        while (!stop.IsCancellationRequested)
        {
            await Task.Delay(TickEvery, stop);
            NoteClock();
            var now = UnixMicros.Now(_clock);
            due.Clear();
            var committed = Volatile.Read(ref _committed);
            foreach (var shard in _shards)
            {
                foreach (var partition in shard.Partitions)
                {
                    // One tick at a time: the next only after the last has taken effect.
                    if (partition.NextDeadline <= now && _tickedAt[partition.Id] <= committed)
                        due.Add((partition.Id, now));
                }
            }

            if (due.Count == 0)
                continue;
            await _journal.AppendTicksAsync(due, stop);
            foreach (var (partition, _) in due)
                _tickedAt[partition] = _journal.Durable;
        }
    }

    private void NoteClock()
    {
        var ahead = (_clock as LogClock)?.Ahead ?? TimeSpan.Zero;
        if (ahead >= TellOfClock && !_clockIsAhead)
            Log.ClockSetBack(_logger, ahead.TotalSeconds);
        _clockIsAhead = ahead > TimeSpan.Zero && (_clockIsAhead || ahead >= TellOfClock);
    }

    private async Task DrainPumpAsync(Task pump)
    {
        while (Volatile.Read(ref _committed) < _journal.Durable)
        {
            if (pump.IsCompleted)
                await pump;
            await Task.Delay(1);
        }
    }

    private async Task StopGracefullyAsync()
    {
        using var deadline = new CancellationTokenSource(_settings.StopTimeout, TimeProvider.System);
        if (_durableCommit != _sequence)
        {
            // The disk is full: the shards are ahead of what is durable, and nothing of them may be written.
            Log.StoppedShort(_logger, _sequence - _durableCommit);
            await Task.WhenAll(_workers.Select(w => w.StopAsync(deadline.Token)));
            return;
        }

        // A million streams at once would be more than a record can hold.
        var atOnce = (int)Math.Clamp((64L << 20) / _profiles.Max(p => 4L * p.Plan.RecordWords * p.Channels), 1, 100_000);
        ShardOutput[] made;
        do
        {
            lock (_header)
                _header.Sequence = ++_sequence;
            made = await OnShardsAsync(shard => shard.SnapshotAll(new ShardOutput(), _sequence, atOnce));
            await WriteCommitAsync(made, [], deadline.Token);
        }
        while (made.Any(m => m.StateCount > 0));

        await Task.WhenAll(_workers.Select(w => w.StopAsync(deadline.Token)));
        lock (_header)
            _header.Sequence = ++_sequence;
        await WriteCommitAsync([], [], deadline.Token);
        await RefreshStatisticsAsync();
        Log.Stopped(_logger, _header.Sequence);
    }

    private void NoteDeadLetter(string source, string reason, string detail)
    {
        _metrics.DeadLetter(reason);
        var key = (source, reason);
        var now = Environment.TickCount64;
        // Partitions of a broker have threads of their own.
        lock (_bursts)
        {
            var (count, next) = _bursts.GetValueOrDefault(key);
            count++;
            if (now >= next)
                Log.DeadLetters(_logger, count, source, reason, detail);
            _bursts[key] = now >= next ? (0, now + 10_000) : (count, next);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1001, LogLevel.Information, "Restored {Streams} streams at commit {Commit} in {Milliseconds:F0} ms")]
        public static partial void Started(ILogger logger, int streams, long commit, double milliseconds);

        [LoggerMessage(1002, LogLevel.Information, "Stopped cleanly at commit {Commit}")]
        public static partial void Stopped(ILogger logger, long commit);

        [LoggerMessage(1003, LogLevel.Warning, "{Count} dead letters from {Source}: {Reason}. {Detail}")]
        public static partial void DeadLetters(ILogger logger, long count, string source, string reason, string detail);

        [LoggerMessage(1004, LogLevel.Error, "A shard failed")]
        public static partial void ShardFailed(ILogger logger, Exception exception);

        [LoggerMessage(1006, LogLevel.Error, "No room to commit ({Reason}): nothing is acknowledged or published until there is")]
        public static partial void CommitsWait(ILogger logger, string reason);

        [LoggerMessage(1007, LogLevel.Information, "There is room again; commits go on")]
        public static partial void CommitsGoOn(ILogger logger);

        [LoggerMessage(1008, LogLevel.Error, "Stopped without room for the last {Batches} batches: the next start processes them again")]
        public static partial void StoppedShort(ILogger logger, long batches);

        [LoggerMessage(1009, LogLevel.Error, "No room for the journal ({Reason}): nothing is acknowledged until there is")]
        public static partial void JournalWaits(ILogger logger, string reason);

        [LoggerMessage(1010, LogLevel.Information, "There is room for the journal again")]
        public static partial void JournalGoesOn(ILogger logger);

        [LoggerMessage(1011, LogLevel.Warning, "The system's clock is {Seconds:F0} s behind the log's: it was set back. Stamps go on from where they were, a sixteenth slower, until it has caught up")]
        public static partial void ClockSetBack(ILogger logger, double seconds);

        [LoggerMessage(1005, LogLevel.Error, "The journal failed")]
        public static partial void JournalFailed(ILogger logger, Exception exception);
    }
}
