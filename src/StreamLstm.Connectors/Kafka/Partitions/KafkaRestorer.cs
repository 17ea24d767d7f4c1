using System.Diagnostics;
using System.Threading.Channels;
using Confluent.Kafka;
using Microsoft.Extensions.Logging;
using StreamLstm.Runtime.Partitioned;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Connectors.Kafka.Partitions;

/// <summary>One partition that is to be restored, and how it went.</summary>
internal sealed class KafkaRestore(TopicPartition partition, int of, PartitionCore? warm, StandbyState? standby)
{
    private int _done;

    public TopicPartition Partition { get; } = partition;

    public int Of { get; } = of;

    /// <summary>Its state as it was when it was given away; used if nothing has happened since.</summary>
    public PartitionCore? Warm { get; } = warm;

    /// <summary>Its state topic as far as it was followed.</summary>
    public StandbyState? Standby { get; } = standby;

    public PartitionCore? Core { get; private set; }

    /// <summary>Why it can't be restored.</summary>
    public string? Refused { get; private set; }

    public bool IsDone => Volatile.Read(ref _done) != 0;

    public bool IsCancelled { get; set; }

    public void Succeed(PartitionCore core)
    {
        Core = core;
        Volatile.Write(ref _done, 1);
    }

    public void Refuse(string reason)
    {
        Refused = reason;
        Volatile.Write(ref _done, 1);
    }
}

/// <summary>
/// Restores partitions one after the other on a thread of its own, while the owner goes on polling. Reads the group's offset (waiting
/// for transactions that hold one), then the state partition up to its read-committed end, and insists that both tell of the same position.
/// </summary>
internal sealed partial class KafkaRestorer : IDisposable
{
    /// <summary>
    /// How long offset and state may disagree: the parts of a transaction become visible one after the other, and one that nobody ends
    /// is ended by the cluster after <c>transaction.timeout.ms</c>.
    /// </summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan Request = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(100);

    private readonly KafkaPartitionSettings _settings;
    private readonly ConsumerConfig _config;
    private readonly PartitionFactory _factory;
    private readonly KafkaModels _models;
    private readonly bool _fromEnd;
    private readonly ILogger _logger;
    private readonly Channel<KafkaRestore> _queue = Channel.CreateBounded<KafkaRestore>(16_384);
    private readonly CancellationTokenSource _stop = new();
    private readonly Thread _thread;
    private IConsumer<byte[], byte[]>? _consumer;

    public KafkaRestorer(KafkaPartitionSettings settings, ConsumerConfig config, PartitionFactory factory, KafkaModels models, bool fromEnd, ILogger logger)
    {
        (_settings, _config, _factory, _models, _fromEnd, _logger) = (settings, config, factory, models, fromEnd, logger);
        _thread = new Thread(Run) { IsBackground = true, Name = $"kafka restore {settings.Name}" };
        _thread.Start();
    }

    public void Enqueue(KafkaRestore restore)
    {
        if (!_queue.Writer.TryWrite(restore))
            throw new InvalidOperationException("More partitions wait for their state than a worker can have.");
    }

    public void Dispose()
    {
        _queue.Writer.TryComplete();
        _stop.Cancel();
        _thread.Join();
        _stop.Dispose();
    }

    private void Run()
    {
        try
        {
            while (_queue.Reader.WaitToReadAsync(_stop.Token).AsTask().GetAwaiter().GetResult())
            {
                while (_queue.Reader.TryRead(out var restore))
                {
                    if (!restore.IsCancelled)
                        Restore(restore);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The worker ends.
            return;
        }
        finally
        {
            _consumer?.Dispose();
        }
    }

    private void Restore(KafkaRestore restore)
    {
        var started = Stopwatch.GetTimestamp();
        var partition = restore.Partition;
        try
        {
            _consumer ??= new ConsumerBuilder<byte[], byte[]>(_config).SetLogHandler((_, _) => { }).SetErrorHandler((_, _) => { }).Build();
            var core = restore.Warm is { } warm && IsCurrent(warm, partition) ? warm : Read(restore, started);
            if (core is null)
                return;
            var elapsed = Stopwatch.GetElapsedTime(started);
            _factory.RecordRestore(elapsed);
            Log.Restored(_logger, _settings.Name, partition.ToString(), core.Streams, core.Position, elapsed.TotalMilliseconds, ReferenceEquals(core, restore.Warm) ? "kept warm" : restore.Standby is null ? "from the state topic" : "from standby");
            restore.Succeed(core);
        }
        catch (CorruptLogException e)
        {
            restore.Refuse(e.Message);
        }
    }

    /// <summary>Null = cancelled.</summary>
    private PartitionCore? Read(KafkaRestore restore, long started)
    {
        var partition = restore.Partition;
        var state = new TopicPartition(_settings.StateTopicOf(partition.Topic), partition.Partition);
        var (read, next) = restore.Standby is { } followed ? (followed.Read, followed.Next) : (new PartitionRestore(), 0L);
        while (true)
        {
            if (!Retry(restore, () => Committed(partition), out var committed) || !Retry(restore, () => Ends(state), out var ends))
                return null;
            // The topic was made anew.
            if (next > ends.High.Value)
                (read, next) = (new PartitionRestore(), 0L);
            if (!ReadTo(restore, state, ref next, ends, read))
                return null;
            if (read.Position == committed)
                break;
            if (Stopwatch.GetElapsedTime(started) > Patience)
            {
                restore.Refuse(Mismatch(partition, state, committed, read.Position));
                return null;
            }

            _stop.Token.WaitHandle.WaitOne(Poll);
        }

        // After the state's end was read: every version it speaks of is in the topic.
        if (!Retry(restore, CatchUpModels, out _))
            return null;
        var core = _factory.Create(partition.Topic, partition.Partition, restore.Of, _settings.MaxStreamsPartition);
        if (read.Position is not null)
            read.Into(core);
        if (!Retry(restore, () => Ends(partition), out var input))
            return null;
        if (read.Position is null)
            Begin(core, _fromEnd ? input.High.Value : input.Low.Value);
        else if (core.Position < input.Low.Value)
            Log.Expired(_logger, _settings.Name, partition.ToString(), input.Low.Value - core.Position, core.Position);
        return core;
    }

    /// <summary>A partition that nobody has read begins with the newest models.</summary>
    private void Begin(PartitionCore core, long position)
    {
        core.Begin(position);
        foreach (var profile in _factory.Profiles.Where(p => _factory.NewestModel(p) > 0))
            core.Activate(profile, _factory.NewestModel(profile));
    }

    private bool CatchUpModels()
    {
        _models.CatchUp(_stop.Token);
        return true;
    }

    private string Mismatch(TopicPartition partition, TopicPartition state, long? group, long? own)
    {
        var (a, b) = (group?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "none", own?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "none");
        return $"{partition}: the group {_settings.GroupId} stands at offset {a}, but the state in {state} at {b}. They are committed together, so one of them was changed or expired since. "
            + $"With all workers of the group stopped, streamlstm kafka align sets the group's offset to the state's; with a new GroupId and new state topics everything is read again.";
    }

    /// <summary>Nothing has been committed since: neither records nor time.</summary>
    private bool IsCurrent(PartitionCore warm, TopicPartition partition)
    {
        try
        {
            if (Committed(partition) != warm.Position)
                return false;
            var state = new TopicPartition(_settings.StateTopicOf(partition.Topic), partition.Partition);
            var ends = Ends(state);

            // The header is the last record of a commit, and the commit's marker follows it.
            var from = Math.Max(ends.Low.Value, ends.High.Value - 16);
            var tail = new PartitionRestore();
            _consumer!.Assign(new TopicPartitionOffset(state, from));
            var patience = Stopwatch.GetTimestamp();
            while (Stopwatch.GetElapsedTime(patience) < Request)
            {
                if (_consumer.Consume(Poll) is not { } record)
                    continue;
                if (record.IsPartitionEOF)
                    return tail.Position == warm.Position && tail.Sequence == warm.Sequence;
                tail.ApplyHeaderOnly(record.Message.Key, record.Message.Value ?? []);
            }
        }
        catch (KafkaException)
        {
            // The way through the topic has patience with the cluster; this one is only shorter.
            return false;
        }

        return false;
    }

    private bool ReadTo(KafkaRestore restore, TopicPartition state, ref long next, WatermarkOffsets ends, PartitionRestore read)
    {
        next = Math.Max(next, ends.Low.Value);
        if (next >= ends.High.Value)
            return true;
        _consumer!.Assign(new TopicPartitionOffset(state, next));
        while (!restore.IsCancelled && !_stop.IsCancellationRequested)
        {
            ConsumeResult<byte[], byte[]>? record;
            try
            {
                record = _consumer.Consume(Poll);
            }
            catch (ConsumeException e) when (!e.Error.IsFatal)
            {
                continue;
            }

            if (record is null)
                continue;
            next = record.Offset.Value + (record.IsPartitionEOF ? 0 : 1);
            if (!record.IsPartitionEOF)
                Apply(state, record, read);
            if (next >= ends.High.Value)
                return true;
        }

        return false;
    }

    private static void Apply(TopicPartition state, ConsumeResult<byte[], byte[]> record, PartitionRestore read)
    {
        try
        {
            read.Apply(record.Message.Key ?? [], record.Message.Value ?? [], tombstone: record.Message.Value is null);
        }
        catch (CorruptLogException e)
        {
            throw new CorruptLogException($"{state}@{record.Offset.Value}: {e.Message}");
        }
    }

    /// <summary>With isolation read_committed librdkafka asks for stable offsets: a transaction that is under way is waited for.</summary>
    private long? Committed(TopicPartition partition)
    {
        try
        {
            var committed = _consumer!.Committed([partition], Request)[0];
            return committed.Offset.IsSpecial ? null : committed.Offset.Value;
        }
        catch (KafkaException e) when (e.Error.Code == ErrorCode.GroupIdNotFound)
        {
            return null;
        }
    }

    private WatermarkOffsets Ends(TopicPartition partition) => _consumer!.QueryWatermarkOffsets(partition, Request);

    /// <summary>False = cancelled.</summary>
    private bool Retry<T>(KafkaRestore restore, Func<T> request, out T answer)
    {
        while (!restore.IsCancelled)
        {
            _stop.Token.ThrowIfCancellationRequested();
            try
            {
                answer = request();
                return true;
            }
            catch (KafkaException e) when (!e.Error.IsFatal)
            {
                Log.Waiting(_logger, _settings.Name, restore.Partition.ToString(), e.Error.Reason);
                _stop.Token.WaitHandle.WaitOne(Poll);
            }
        }

        answer = default!;
        return false;
    }

    private static partial class Log
    {
        [LoggerMessage(450, LogLevel.Information, "{Name}: {Partition} with {Streams} streams at offset {Offset} restored in {Milliseconds:F0} ms, {How}")]
        public static partial void Restored(ILogger logger, string name, string partition, int streams, long offset, double milliseconds, string how);

        [LoggerMessage(451, LogLevel.Debug, "{Name}: the state of {Partition} waits: {Reason}")]
        public static partial void Waiting(ILogger logger, string name, string partition, string reason);

        [LoggerMessage(452, LogLevel.Error, "{Name}: {Partition} has lost {Count} records from offset {Offset} on: the topic's retention was over before they were read")]
        public static partial void Expired(ILogger logger, string name, string partition, long count, long offset);
    }
}
