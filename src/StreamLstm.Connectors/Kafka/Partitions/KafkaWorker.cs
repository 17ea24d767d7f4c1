using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Confluent.Kafka;
using Microsoft.Extensions.Logging;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Partitioned;

namespace StreamLstm.Connectors.Kafka.Partitions;

/// <summary>
/// One thread with its consumer, its transactional producer and the partitions the group gives it. It gathers records, and when a commit
/// is due lets every partition make its outputs and state and writes all of it with the offsets in one transaction. No transaction is
/// open while the consumer is polled, so a rebalance never meets one: what was gathered is simply left to the next owner.
/// Handlers run on this thread, inside <see cref="IConsumer{TKey,TValue}.Consume(TimeSpan)"/>.
/// </summary>
internal sealed partial class KafkaWorker : IPartitionHost
{
    private const int MostEntries = 20_000;
    private const int MostAttempts = 6;
    private const long MostBytes = 32 << 20;

    /// <summary>Once is not enough: what resumes a partition may still be on its way when the first question is asked.</summary>
    private const int Wakes = 2;

    private static readonly TimeSpan PollWait = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan Request = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan TickEvery = TimeSpan.FromMilliseconds(100);

    /// <summary>After an outage records may wait that a tick must not overtake.</summary>
    private static readonly TimeSpan TickGrace = TimeSpan.FromSeconds(10);

    /// <summary>The end of a partition, as a time.</summary>
    private static readonly Timestamp s_newest = new(-1, TimestampType.CreateTime);

    private static readonly PartitionStatistics Nothing = new(0, 0, 0, new Dictionary<string, int>(), []);

    private readonly KafkaPartitionSettings _settings;
    private readonly KafkaPartitionConfig _config;
    private readonly string _instance;
    private readonly int _index;
    private readonly string _id;
    private readonly IPayloadDecoder _decoder;
    private readonly PartitionFactory _factory;
    private readonly KafkaModels _models;
    private readonly KafkaStandby _standby;
    private readonly IReadOnlyDictionary<string, int> _partitionsOf;
    private readonly Func<IReadOnlyList<OutputRecord>, ValueTask> _view;
    private readonly TimeProvider _clock;
    private readonly ILogger _logger;
    private readonly Dictionary<TopicPartition, Owned> _owned = [];
    private readonly Dictionary<TopicPartition, (PartitionCore Core, long Until)> _warm = [];
    private readonly ConcurrentQueue<Action> _questions = new();
    private readonly List<OutputRecord> _outputs = [];
    private readonly List<(TopicPartition Partition, PartitionCore Core, PartitionOutput Output)> _made = [];
    private readonly TopicPartition _elected;
    private KafkaTrainer? _trainer;
    private IConsumer<byte[], byte[]> _consumer = null!;
    private IProducer<byte[], byte[]> _producer = null!;
    private KafkaRestorer _restorer = null!;
    private CancellationToken _stopping;
    private long _gatheringSince;
    private long _gatheredBytes;
    private int _gathered;
    private int _wakes;
    private bool _leaving;
    private long _newestStamp;
    private long _lastTick;
    private long _notReadyUntil;
    private PartitionStatistics _statistics = Nothing;

    public KafkaWorker(
        KafkaPartitionSettings settings,
        KafkaPartitionConfig config,
        int index,
        string instance,
        IPayloadDecoder decoder,
        PartitionFactory factory,
        KafkaModels models,
        KafkaStandby standby,
        IReadOnlyDictionary<string, int> partitionsOf,
        Func<IReadOnlyList<OutputRecord>, ValueTask> view,
        TimeProvider clock,
        ILogger logger)
    {
        (_settings, _config, _decoder, _factory, _models, _standby, _partitionsOf, _view, _clock, _logger) = (settings, config, decoder, factory, models, standby, partitionsOf, view, clock, logger);
        _elected = new TopicPartition(settings.Topics[0], 0);
        (_instance, _index) = (instance, index);
        _id = string.Create(CultureInfo.InvariantCulture, $"{instance}-{index}");
        Connection = new KafkaConnection(settings, logger);
    }

    public KafkaConnection Connection { get; }

    public PartitionStatistics Statistics => Volatile.Read(ref _statistics);

    /// <summary>Null when connected and restored, else why not.</summary>
    public string? NotReady => Connection.NotReady ?? Volatile.Read(ref _notReady);

    private string? _notReady;

    /// <summary>Returns when stopped; throws when nothing that the worker could do would help.</summary>
    public void Run(CancellationToken stopping)
    {
        _stopping = stopping;
        _producer = BuildProducer();
        _consumer = new ConsumerBuilder<byte[], byte[]>(_config.Consumer(_instance, _index, _decoder.UsesHeaders))
            .SetErrorHandler((_, error) => Connection.OnError(error))
            .SetLogHandler((_, message) => Connection.OnLog(message))
            .SetStatisticsHandler((_, json) => Connection.OnConsumerStatistics(json))
            .SetPartitionsAssignedHandler((_, partitions) => OnAssigned(partitions))
            .SetPartitionsRevokedHandler((_, positions) => OnRevoked(positions.ConvertAll(p => p.TopicPartition)))
            .SetPartitionsLostHandler((_, positions) => OnLost(positions.ConvertAll(p => p.TopicPartition)))
            .Build();
        _restorer = new KafkaRestorer(_settings, _config.Restore(), _factory, _models, _config.FromEnd, _logger);
        _factory.Add(this);
        try
        {
            InitTransactions();
            _consumer.Subscribe(_settings.Topics);
            while (!stopping.IsCancellationRequested)
            {
                Gather();
                Settle();
                if (CommitIsDue())
                    Commit();
            }

            // What was gathered needn't be read again by the next process.
            if (Connection.NotReady is null)
                Commit();
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            Log.Stopped(_logger, _settings.Name, _id);
        }
        finally
        {
            Close();
        }
    }

    public Task<JsonObject?> DescribeAsync(byte[] stream, CancellationToken cancellationToken) => AskAsync(
        () =>
        {
            foreach (var (partition, owned) in _owned)
            {
                if (owned.Core?.Describe(stream) is { } found)
                {
                    found["topic"] = partition.Topic;
                    return found;
                }
            }

            return null;
        },
        cancellationToken);

    public Task<bool> ResetAsync(byte[] stream, CancellationToken cancellationToken) => AskAsync(
        () =>
        {
            foreach (var owned in _owned.Values)
            {
                if (owned.Core?.Reset(stream) == true)
                    return true;
            }

            return false;
        },
        cancellationToken);

    private async Task<T> AskAsync<T>(Func<T> question, CancellationToken cancellationToken)
    {
        var answer = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        _questions.Enqueue(() => answer.TrySetResult(question()));
        return await answer.Task.WaitAsync(Request, _clock, cancellationToken);
    }

    private void Close()
    {
        _leaving = true;
        _factory.Remove(this);
        _restorer.Dispose();
        _trainer?.Dispose();
        try
        {
            // Without a cluster, leaving the group would only wait for it.
            if (Connection.NotReady is null)
                _consumer.Close();
        }
        catch (KafkaException e)
        {
            Log.CloseFailed(_logger, _settings.Name, _id, e.Error.Reason);
        }

        _consumer.Dispose();
        _producer.Dispose();
    }

    /// <summary>Takes records until a commit is due or none is there.</summary>
    private void Gather()
    {
        var wait = _gathered > 0 ? Left() : PollWait;
        while (!CommitIsDue())
        {
            if (Poll(wait) is not { } record)
                return;
            Take(record);
            wait = TimeSpan.Zero;
        }
    }

    private TimeSpan Left()
    {
        var left = _settings.CommitInterval - Stopwatch.GetElapsedTime(_gatheringSince);
        return left < TimeSpan.Zero ? TimeSpan.Zero : left < PollWait ? left : PollWait;
    }

    private bool CommitIsDue() =>
        _gathered > 0 && (_gathered >= MostEntries || _gatheredBytes >= MostBytes || Stopwatch.GetElapsedTime(_gatheringSince) >= _settings.CommitInterval);

    private ConsumeResult<byte[], byte[]>? Poll(TimeSpan wait)
    {
        try
        {
            return _consumer.Consume(wait);
        }
        catch (ConsumeException e) when (!e.Error.IsFatal)
        {
            Log.ConsumeFailed(_logger, _settings.Name, e.ConsumerRecord?.Topic, e.Error.Reason);
            return null;
        }
        catch (KafkaException e) when (e.Error.Code is ErrorCode.FencedInstanceId || e.Error.IsFatal)
        {
            throw new InvalidOperationException($"{_settings.Name}: the group refuses this worker ({e.Error.Reason}). Another one has the same InstanceId: give each its own.", e);
        }
    }

    private void Take(ConsumeResult<byte[], byte[]> record)
    {
        if (!_owned.TryGetValue(record.TopicPartition, out var owned))
            return;
        owned.AtEnd = record.IsPartitionEOF;
        // Before its state is there, and what was fetched before a seek: it comes again.
        if (record.IsPartitionEOF || owned.Core is not { } core || record.Offset.Value < core.Position)
            return;
        var before = core.Pending;
        var stamp = record.Message.Timestamp is { Type: not TimestampType.NotAvailable, UnixTimestampMs: > 0 and < 253_402_300_799_999 } s ? s.UnixTimestampMs * 1000 : (long?)null;
        if (record.Message.Value is { } payload)
        {
            _decoder.Decode(
                new SourceMessage
                {
                    Source = _settings.Name,
                    Topic = record.Topic,
                    Key = record.Message.Key,
                    Payload = payload,
                    // Arrival is when the record came to the log: the same however often it is read.
                    ArrivalMicros = stamp ?? Math.Max(0, core.Clock),
                    RecordMicros = stamp,
                    Headers = _decoder.UsesHeaders ? KafkaReader.HeadersOf(record.Message.Headers) : null,
                    Position = string.Create(CultureInfo.InvariantCulture, $"{record.Topic}[{record.Partition.Value}]@{record.Offset.Value}"),
                },
                core.Samples);
            _gatheredBytes += payload.Length;
        }

        core.Took(record.Offset.Value);
        _newestStamp = Math.Max(_newestStamp, stamp ?? 0);
        Note(Math.Max(1, core.Pending - before));
    }

    private void Note(int entries)
    {
        if (_gathered == 0)
            _gatheringSince = Stopwatch.GetTimestamp();
        _gathered += entries;
    }

    /// <summary>What happens between records: assignments, restored states, time, questions.</summary>
    private void Settle()
    {
        var restoring = 0;
        string? refused = null;
        foreach (var (partition, owned) in _owned)
        {
            if (owned.NeedsPause && TryPause(partition))
                owned.NeedsPause = false;
            if (owned.Restore is { IsDone: true } restore && restore.Core is { } core && TrySeek(partition, core.Position))
            {
                owned.Core = core;
                owned.Restore = null;
                owned.NeedsPause = false;
                _consumer.Resume([partition]);
                _wakes = Wakes;
            }

            if (owned.Restore is not { } pending)
                continue;
            if (pending.Refused is null)
                restoring++;
            else if (!owned.RefusalLogged)
                Log.Refused(_logger, _settings.Name, pending.Refused);
            owned.RefusalLogged = pending.Refused is not null;
            refused ??= pending.Refused;
        }

        if (_wakes > 0)
        {
            _wakes--;
            WakeFetchers();
        }

        while (_questions.TryDequeue(out var question))
        {
            question();
            if (_owned.Values.Any(o => o.Core is { IsDirty: true }) && _gathered == 0)
                Note(1);
        }

        Volatile.Write(ref _notReady, refused ?? (restoring > 0 ? $"restoring {restoring} partitions" : null));
        var now = Environment.TickCount64;
        if (Connection.NotReady is not null)
            _notReadyUntil = now + (long)TickGrace.TotalMilliseconds;
        if (now - _lastTick < TickEvery.TotalMilliseconds)
            return;
        _lastTick = now;
        Tick(now);
        Activate();
        Refresh();
        foreach (var (partition, warm) in _warm.Where(w => w.Value.Until < now).ToList())
            _warm.Remove(partition);
    }

    /// <summary>Silence closes frames only where everything that was sent has been read.</summary>
    private void Tick(long now)
    {
        if (now < _notReadyUntil)
            return;
        var clock = UnixMicros.Now(_clock);
        foreach (var owned in _owned.Values)
        {
            if (owned is not { AtEnd: true, Core: { } core } || core.NextDeadline > clock || core.IsTicking)
                continue;
            core.Tick(clock);
            Note(1);
        }
    }

    /// <summary>Each partition puts a new version into service at a commit of its own; the owner of the elected one trains.</summary>
    private void Activate()
    {
        foreach (var core in _owned.Values.Select(o => o.Core))
        {
            if (core is null)
                continue;
            foreach (var profile in _factory.Profiles)
            {
                if (_factory.NewestModel(profile) is var newest && newest <= core.ActiveVersion(profile))
                    continue;
                core.Activate(profile, newest);
                Note(1);
            }
        }

        var trains = _factory.Teaches && _owned.GetValueOrDefault(_elected)?.Core is not null;
        if (trains && _trainer is null)
        {
            _trainer = new KafkaTrainer(_settings, _config, _factory, _models, _logger);
        }
        else if (!trains && _trainer is not null)
        {
            _trainer.Dispose();
            _trainer = null;
        }
    }

    private void Refresh()
    {
        var cores = _owned.Where(o => o.Value.Core is not null).ToList();
        var episodes = new Dictionary<string, int>();
        foreach (var (severity, n) in cores.SelectMany(c => c.Value.Core!.OpenEpisodes()))
            episodes[severity] = episodes.GetValueOrDefault(severity) + n;
        var lags = new List<PartitionLag>();
        foreach (var (partition, owned) in cores)
        {
            // The local copy of the last fetch: no question to the cluster.
            if (_consumer.GetWatermarkOffsets(partition) is { High.IsSpecial: false } ends)
                lags.Add(new PartitionLag(partition.Topic, partition.Partition.Value, Math.Max(0, ends.High.Value - owned.Core!.Position)));
        }

        Volatile.Write(ref _statistics, new PartitionStatistics(
            cores.Sum(c => c.Value.Core!.Streams), cores.Sum(c => c.Value.Core!.StaleStreams), cores.Sum(c => c.Value.Core!.StateBytes), episodes, lags));
    }

    private bool TryPause(TopicPartition partition)
    {
        try
        {
            _consumer.Pause([partition]);
            return true;
        }
        catch (KafkaException e) when (!e.Error.IsFatal)
        {
            // Not quite assigned yet, or no longer: the next turn tells.
            return false;
        }
    }

    private bool TrySeek(TopicPartition partition, long position)
    {
        try
        {
            _consumer.Seek(new TopicPartitionOffset(partition, position));
            return true;
        }
        catch (KafkaException e) when (!e.Error.IsFatal)
        {
            // Erroneous state: the assignment takes effect a moment later.
            return false;
        }
    }

    /// <summary>
    /// Where partitions are resumed, by us or by librdkafka after any rebalance, it tells the thread that fetches them nothing: if it has nothing
    /// else to do, it finds out up to a second later. A question to the same brokers wakes it.
    /// </summary>
    private void WakeFetchers()
    {
        var running = _owned.Where(o => o.Value.Core is not null).Select(o => new TopicPartitionTimestamp(o.Key, s_newest)).ToList();
        if (running.Count == 0)
            return;
        try
        {
            _consumer.OffsetsForTimes(running, Request);
        }
        catch (KafkaException e) when (!e.Error.IsFatal)
        {
            // Then they wake by themselves.
            Log.Retrying(_logger, _settings.Name, _id, e.Error.Reason);
        }
    }

    private void OnAssigned(List<TopicPartition> partitions)
    {
        Connection.Up();
        Log.Assigned(_logger, _settings.Name, _id, partitions.Count, string.Join(", ", partitions));
        // What a rebalance brings while this worker leaves goes back at once; its restorer is gone.
        if (_leaving)
            return;
        foreach (var partition in partitions)
        {
            var warm = _warm.Remove(partition, out var kept) ? kept.Core : null;
            _owned[partition] = new Owned { NeedsPause = true };
            Restore(partition, warm, _standby.Take(partition));
        }

        _standby.Poke();
        _wakes = Wakes;
    }

    private void OnRevoked(List<TopicPartition> partitions)
    {
        foreach (var partition in partitions)
        {
            if (!_owned.Remove(partition, out var owned))
                continue;
            if (owned.Restore is { } restore)
                restore.IsCancelled = true;
            if (owned.Core is not { } core)
                continue;
            core.Forget();
            if (_settings.KeepWarm > TimeSpan.Zero)
                _warm[partition] = (core, Environment.TickCount64 + (long)_settings.KeepWarm.TotalMilliseconds);
        }

        _standby.Release(partitions);
        _wakes = Wakes;
        _gathered = _owned.Values.Sum(o => o.Core?.Pending ?? 0);
        Log.Revoked(_logger, _settings.Name, _id, partitions.Count, string.Join(", ", partitions));
    }

    private void OnLost(List<TopicPartition> partitions)
    {
        Log.Lost(_logger, _settings.Name, _id, partitions.Count, string.Join(", ", partitions));
        OnRevoked(partitions);
    }

    private void Restore(TopicPartition partition, PartitionCore? warm = null, StandbyState? standby = null)
    {
        var owned = _owned[partition];
        owned.Core = null;
        owned.Restore = new KafkaRestore(partition, _partitionsOf.GetValueOrDefault(partition.Topic, 1), warm, standby);
        _restorer.Enqueue(owned.Restore);
    }

    private void Commit()
    {
        var dirty = _owned.Where(o => o.Value.Core is { IsDirty: true }).Select(o => (Partition: o.Key, Core: o.Value.Core!)).ToList();
        (_gathered, _gatheredBytes) = (0, 0);
        if (dirty.Count == 0)
            return;
        _outputs.Clear();
        _made.Clear();
        foreach (var (partition, core) in dirty)
        {
            var started = Stopwatch.GetTimestamp();
            var output = core.Process();
            _factory.RecordStep(Stopwatch.GetElapsedTime(started));
            _made.Add((partition, core, output));
            _outputs.AddRange(output.Outputs);
        }

        if (!Transact(dirty.ConvertAll(d => d.Partition)))
            return;
        foreach (var (_, core, output) in _made)
        {
            _factory.Account(output, core.NewestEvent);
            core.Committed();
        }

        if (_newestStamp > 0)
            _factory.RecordEndToEnd(TimeSpan.FromMicroseconds(UnixMicros.Now(_clock) - _newestStamp));
        _newestStamp = 0;
        // The page shows what is committed, nothing earlier.
        _view(_outputs).AsTask().GetAwaiter().GetResult();
    }

    /// <summary>
    /// Writes what was made, in as many attempts as it takes: after a successful abort the same content is as good as before, since only a
    /// poll could give a partition away, and a commit counts only in the group's present generation. Where it can't be known whether
    /// something was committed, and where the group has gone on without this worker, the partitions are restored.
    /// </summary>
    private bool Transact(List<TopicPartition> partitions)
    {
        var started = Stopwatch.GetTimestamp();
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                _producer.BeginTransaction();
                foreach (var (partition, _, output) in _made)
                    Write(partition, output);
                var offsets = _made.ConvertAll(m => new TopicPartitionOffset(m.Partition, m.Core.Position));
                Retry(() => _producer.SendOffsetsToTransaction(offsets, _consumer.ConsumerGroupMetadata, Request));
                Retry(() => _producer.CommitTransaction(Request));
                _factory.RecordCommit(Stopwatch.GetElapsedTime(started));
                return true;
            }
            catch (KafkaTxnRequiresAbortException e) when (attempt < MostAttempts && e.Error.Code is not (ErrorCode.UnknownMemberId or ErrorCode.FencedInstanceId) && TryAbort())
            {
                Log.Again(_logger, _settings.Name, _id, attempt, e.Error.Reason);
                _stopping.WaitHandle.WaitOne(50 * attempt);
            }
            catch (KafkaException e)
            {
                RollBack(e, partitions);
                return false;
            }
        }
    }

    private bool TryAbort()
    {
        try
        {
            Retry(() => _producer.AbortTransaction(Request));
            return true;
        }
        catch (KafkaException)
        {
            return false;
        }
    }

    private void Write(TopicPartition partition, PartitionOutput output)
    {
        foreach (var record in output.Outputs)
        {
            var topic = record.Kind switch
            {
                OutputKind.Result => _settings.Results,
                OutputKind.Episode => _settings.Episodes,
                _ => _settings.DeadLetters,
            };
            try
            {
                Produce(new TopicPartition(topic, Partition.Any), Encoding.UTF8.GetBytes(record.Stream), KafkaBytes.Whole(record.Json));
            }
            catch (ProduceException<byte[], byte[]> e) when (e.Error.Code is ErrorCode.MsgSizeTooLarge or ErrorCode.InvalidMsgSize)
            {
                // Waiting would hold the partition for ever.
                Log.RecordRefused(_logger, _settings.Name, topic, record.Json.Length, e.Error.Reason);
            }
        }

        if (output.Training is { } rows)
            Produce(new TopicPartition(_settings.Training, 0), Encoding.UTF8.GetBytes(partition.Topic), rows);
        var state = new TopicPartition(_settings.StateTopicOf(partition.Topic), partition.Partition);
        foreach (var record in output.State)
            Produce(state, record.Key, record.Value);
    }

    private void Produce(TopicPartition to, byte[] key, byte[] value)
    {
        var message = new Message<byte[], byte[]> { Key = key, Value = value };
        while (true)
        {
            try
            {
                _producer.Produce(to, message);
                return;
            }
            catch (ProduceException<byte[], byte[]> e) when (e.Error.Code == ErrorCode.Local_QueueFull)
            {
                _stopping.ThrowIfCancellationRequested();
                _stopping.WaitHandle.WaitOne(1);
            }
        }
    }

    /// <summary>The same call again, as the library asks for, until it is answered; a stop gives up and leaves the end to the cluster.</summary>
    private void Retry(Action call)
    {
        var since = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                call();
                return;
            }
            catch (KafkaRetriableException e)
            {
                Log.Retrying(_logger, _settings.Name, _id, e.Error.Reason);
                if (_stopping.IsCancellationRequested && Stopwatch.GetElapsedTime(since) > Request)
                    throw new OperationCanceledException(_stopping);
                _stopping.WaitHandle.WaitOne(20);
            }
        }
    }

    /// <summary>Nothing of the transaction counts: its partitions go back to what the topic says.</summary>
    private void RollBack(KafkaException reason, List<TopicPartition> partitions)
    {
        Log.Aborted(_logger, _settings.Name, _id, partitions.Count, reason.Error.Reason);
        try
        {
            if (reason is KafkaTxnRequiresAbortException or ProduceException<byte[], byte[]> { Error.IsFatal: false })
                Retry(() => _producer.AbortTransaction(Request));
            else
                RenewProducer();
        }
        catch (KafkaException)
        {
            RenewProducer();
        }

        foreach (var partition in partitions)
        {
            if (!_owned.TryGetValue(partition, out var owned))
                continue;
            owned.AtEnd = false;
            owned.NeedsPause = true;
            Restore(partition);
        }
    }

    /// <summary>Fenced, or its transaction's time was over: with the same id a new one ends what the old one left.</summary>
    private void RenewProducer()
    {
        _producer.Dispose();
        _producer = BuildProducer();
        InitTransactions();
    }

    private void InitTransactions()
    {
        while (true)
        {
            _stopping.ThrowIfCancellationRequested();
            try
            {
                _producer.InitTransactions(Request);
                return;
            }
            catch (KafkaException e) when (!e.Error.IsFatal)
            {
                Log.Retrying(_logger, _settings.Name, _id, e.Error.Reason);
                _stopping.WaitHandle.WaitOne(200);
            }
            catch (KafkaException e)
            {
                throw new InvalidOperationException($"{_settings.Name}: the cluster refuses transactions of '{_config.TransactionalId(_id)}' ({e.Error.Reason}).", e);
            }
        }
    }

    private IProducer<byte[], byte[]> BuildProducer() => new ProducerBuilder<byte[], byte[]>(_config.Producer(_id))
        .SetErrorHandler((_, error) =>
        {
            if (!error.IsFatal)
                Connection.OnError(error);
        })
        .SetLogHandler((_, message) => Connection.OnLog(message))
        .Build();

    private sealed class Owned
    {
        /// <summary>Null until the state is there.</summary>
        public PartitionCore? Core { get; set; }

        public KafkaRestore? Restore { get; set; }

        public bool NeedsPause { get; set; }

        public bool RefusalLogged { get; set; }

        /// <summary>The last that came from the partition was its end.</summary>
        public bool AtEnd { get; set; }
    }

    private static partial class Log
    {
        [LoggerMessage(430, LogLevel.Information, "{Name} ({Id}) owns {Count} more partitions: {Partitions}")]
        public static partial void Assigned(ILogger logger, string name, string id, int count, string partitions);

        [LoggerMessage(431, LogLevel.Information, "{Name} ({Id}) has given back {Count} partitions: {Partitions}")]
        public static partial void Revoked(ILogger logger, string name, string id, int count, string partitions);

        [LoggerMessage(432, LogLevel.Warning, "{Name} ({Id}) has lost {Count} partitions to others: {Partitions}. Nothing uncommitted of them counts")]
        public static partial void Lost(ILogger logger, string name, string id, int count, string partitions);

        [LoggerMessage(433, LogLevel.Warning, "{Name}: reading {Topic} failed: {Reason}")]
        public static partial void ConsumeFailed(ILogger logger, string name, string? topic, string reason);

        [LoggerMessage(434, LogLevel.Warning, "{Name} ({Id}): a transaction over {Count} partitions was given up, and they are restored: {Reason}")]
        public static partial void Aborted(ILogger logger, string name, string id, int count, string reason);

        [LoggerMessage(441, LogLevel.Information, "{Name} ({Id}): attempt {Attempt} at a transaction was aborted and is repeated: {Reason}")]
        public static partial void Again(ILogger logger, string name, string id, int attempt, string reason);

        [LoggerMessage(435, LogLevel.Debug, "{Name} ({Id}) tries again: {Reason}")]
        public static partial void Retrying(ILogger logger, string name, string id, string reason);

        [LoggerMessage(436, LogLevel.Error, "{Name} leaves a partition alone: {Reason}")]
        public static partial void Refused(ILogger logger, string name, string reason);

        [LoggerMessage(437, LogLevel.Error, "{Name} skips a record of {Bytes} bytes for {Topic}, which is too large: {Reason}")]
        public static partial void RecordRefused(ILogger logger, string name, string topic, int bytes, string reason);

        [LoggerMessage(438, LogLevel.Debug, "{Name} ({Id}) stopped while a transaction was under way")]
        public static partial void Stopped(ILogger logger, string name, string id);

        [LoggerMessage(439, LogLevel.Debug, "{Name} ({Id}): leaving the group failed: {Reason}")]
        public static partial void CloseFailed(ILogger logger, string name, string id, string reason);
    }
}
