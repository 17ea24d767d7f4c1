using System.Collections.Concurrent;
using System.Globalization;
using Confluent.Kafka;
using Microsoft.Extensions.Logging;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Kafka;

/// <summary>
/// One run of a <see cref="KafkaSource"/>: the consumer and all that only its thread may touch. Rebalance, error and statistics
/// handlers run on this thread as well, inside <see cref="Poll"/> and inside closing.
/// <para>
/// Offsets move through three places: <c>_reading</c> (in the batch), librdkafka's store (appended), and the group (committed).
/// </para>
/// </summary>
internal sealed partial class KafkaReader
{
    /// <summary>Enough to share one fsync among many records, little enough to keep the batch in cache.</summary>
    private const int MaxBatchRecords = 512;

    private static readonly TimeSpan PollWait = TimeSpan.FromMilliseconds(100);

    /// <summary>An append that takes longer is waited for while polling, so that the group doesn't give this member up.</summary>
    private static readonly TimeSpan AppendPatience = TimeSpan.FromSeconds(1);

    /// <summary>How long partitions are held back from their next owner to finish what was read of them.</summary>
    private static readonly TimeSpan RevokePatience = TimeSpan.FromSeconds(30);

    private readonly KafkaSourceSettings _settings;
    private readonly IPayloadDecoder _decoder;
    private readonly KafkaConnection _connection;
    private readonly ConcurrentDictionary<string, string> _topicProblems;
    private readonly IIngress _ingress;
    private readonly TimeProvider _clock;
    private readonly ILogger _logger;
    private readonly IConsumer<byte[], byte[]> _consumer;

    private readonly SampleBatch _batch = new();
    private readonly Dictionary<TopicPartition, long> _reading = [];

    /// <summary>Records that came while an append was under way, one or two per partition.</summary>
    private readonly Queue<ConsumeResult<byte[], byte[]>> _carried = new();

    private readonly HashSet<TopicPartition> _paused = [];

    private CancellationToken _stopping;
    private Task? _append;
    private long _arrival;
    private int _records;
    private readonly Dictionary<TopicPartition, long> _durable = [];
    private bool _closing;

    /// <exception cref="ArgumentException">librdkafka refuses a setting.</exception>
    public KafkaReader(
        KafkaSourceSettings settings,
        ConsumerConfig config,
        IPayloadDecoder decoder,
        KafkaConnection connection,
        ConcurrentDictionary<string, string> topicProblems,
        IIngress ingress,
        TimeProvider clock,
        ILogger logger)
    {
        (_settings, _decoder, _connection, _topicProblems, _ingress, _clock, _logger) = (settings, decoder, connection, topicProblems, ingress, clock, logger);
        _consumer = new ConsumerBuilder<byte[], byte[]>(config)
            .SetErrorHandler((_, error) => connection.OnError(error))
            .SetLogHandler((_, message) => connection.OnLog(message))
            .SetStatisticsHandler((_, json) => connection.OnConsumerStatistics(json))
            .SetPartitionsAssignedHandler((_, partitions) => OnAssigned(partitions))
            .SetPartitionsRevokedHandler((_, positions) => OnRevoked(positions.ConvertAll(p => p.TopicPartition)))
            .SetPartitionsLostHandler((_, positions) => OnLost(positions.ConvertAll(p => p.TopicPartition)))
            .Build();
    }

    /// <summary>Returns when stopped; throws when the append fails or the group refuses this member for good.</summary>
    public void Run(CancellationToken stopping)
    {
        _stopping = stopping;
        try
        {
            _consumer.Subscribe(_settings.Topics);
            while (!stopping.IsCancellationRequested)
            {
                Fill();
                Append();
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            Log.Stopped(_logger, _settings.Name, _records);
        }
        finally
        {
            try
            {
                Leave();
            }
            finally
            {
                _consumer.Dispose();
            }
        }
    }

    private void Leave()
    {
        // Closing commits what is stored and leaves the group; without a cluster it would only wait for it.
        _closing = true;
        if (_connection.NotReady is null)
            _consumer.Close();
    }

    /// <summary>Takes what is there, or waits a little for the first record.</summary>
    private void Fill()
    {
        while (_append is null && _records < MaxBatchRecords)
        {
            if (!_carried.TryDequeue(out var record))
                record = Poll(_records == 0 ? PollWait : TimeSpan.Zero);
            if (record is null)
                return;

            // A revocation inside the poll may have begun the append; then the batch is not ours at the moment.
            if (_append is null)
                Take(record);
            else
                _carried.Enqueue(record);
        }
    }

    private void Take(ConsumeResult<byte[], byte[]> record)
    {
        if (_records++ == 0)
            _arrival = UnixMicros.Now(_ingress.Clock);
        var offset = record.Offset.Value;
        _reading[record.TopicPartition] = offset + 1;

        // Without a value it is a tombstone: its key was deleted, there is nothing to read.
        if (record.Message.Value is not { } payload)
            return;
        _decoder.Decode(
            new SourceMessage
            {
                Source = _settings.Name,
                Topic = record.Topic,
                Key = record.Message.Key,
                Payload = payload,
                ArrivalMicros = _arrival,
                RecordMicros = record.Message.Timestamp is { Type: not TimestampType.NotAvailable, UnixTimestampMs: > 0 and < 253_402_300_799_999 } stamp ? stamp.UnixTimestampMs * 1000 : null,
                Headers = _decoder.UsesHeaders ? HeadersOf(record.Message.Headers) : null,
                Position = string.Create(CultureInfo.InvariantCulture, $"{record.Topic}[{record.Partition.Value}]@{offset}"),
            },
            _batch);
    }

    internal static List<MessageHeader>? HeadersOf(Headers? headers)
    {
        if (headers is not { Count: > 0 })
            return null;
        var list = new List<MessageHeader>(headers.Count);
        foreach (var header in headers)
        {
            if (header.GetValueBytes() is { } value)
                list.Add(new(header.Key, value));
        }

        return list;
    }

    private void Append()
    {
        if (_records == 0)
            return;
        _append ??= BeginAppend();
        if (!IsOver(_append, AppendPatience))
            PollDuring(_append);
        FinishAppend();
    }

    private Task BeginAppend() => _batch.IsEmpty ? Task.CompletedTask : _ingress.AppendAsync(_batch, _stopping).AsTask();

    private static bool IsOver(Task append, TimeSpan patience) => append.IsCompleted || Task.WaitAny([append], patience) == 0;

    /// <summary>Does nothing if a revocation has finished it already.</summary>
    private void FinishAppend()
    {
        if (_append is not { } append)
            return;
        append.GetAwaiter().GetResult();
        foreach (var (partition, next) in _reading)
            Store(partition, next);
        _reading.Clear();
        _batch.Clear();
        _records = 0;
        _append = null;
    }

    /// <summary>Paused partitions deliver nothing, yet polling keeps the membership and serves rebalances.</summary>
    private void PollDuring(Task append)
    {
        Log.BackPressure(_logger, _settings.Name, _records);
        Pause(_consumer.Assignment);
        while (!append.IsCompleted)
        {
            if (Poll(PollWait) is { } record)
            {
                // Of a partition that was assigned in the meantime.
                _carried.Enqueue(record);
                Pause([record.TopicPartition]);
            }
        }

        Resume([.. _paused]);
    }

    private void Pause(List<TopicPartition> partitions)
    {
        _consumer.Pause(partitions);
        _paused.UnionWith(partitions);
    }

    private void Resume(List<TopicPartition> partitions)
    {
        _consumer.Resume(partitions);
        _paused.ExceptWith(partitions);
    }

    private ConsumeResult<byte[], byte[]>? Poll(TimeSpan wait)
    {
        try
        {
            return _consumer.Consume(wait);
        }
        catch (ConsumeException e) when (!e.Error.IsFatal)
        {
            // The consumer goes on by itself; a topic that doesn't exist yet or may not be read is worth telling.
            var topic = e.ConsumerRecord?.Topic;
            Log.ConsumeFailed(_logger, _settings.Name, topic, e.Error.Reason);
            if (!string.IsNullOrEmpty(topic) && e.Error.IsBrokerError)
                _topicProblems[topic] = $"topic '{topic}': {e.Error.Reason}";
            return null;
        }
    }

    /// <summary>
    /// Hands the offset to librdkafka, which commits it in the background: a commit of our own would hold up this thread, and with
    /// it everything the client tells us, for as long as the cluster is away.
    /// </summary>
    private void Store(TopicPartition partition, long next)
    {
        try
        {
            _consumer.StoreOffset(new TopicPartitionOffset(partition, next));
            _durable[partition] = next;
        }
        catch (KafkaException e) when (e.Error.Code == ErrorCode.Local_State)
        {
            // Given back in the meantime: its next owner reads these records again.
            Log.StoreFailed(_logger, _settings.Name, partition.ToString(), e.Error.Reason);
        }
    }

    /// <summary>
    /// Before partitions are given back: the next owner begins where this one's durable part ends. By offset and waited for, since a
    /// commit in the background may still be on its way when the next owner asks.
    /// </summary>
    private void Commit(List<TopicPartition> partitions)
    {
        var offsets = partitions.Where(_durable.ContainsKey).Select(p => new TopicPartitionOffset(p, _durable[p])).ToList();
        if (offsets.Count == 0)
            return;
        try
        {
            _consumer.Commit(offsets);
        }
        catch (KafkaException e) when (!e.Error.IsFatal)
        {
            Log.CommitFailed(_logger, _settings.Name, e.Error.Reason);
        }
    }

    private void OnAssigned(List<TopicPartition> partitions)
    {
        _topicProblems.Clear();
        _connection.Up();
        Log.Assigned(_logger, _settings.Name, partitions.Count, string.Join(", ", partitions));
    }

    private void OnRevoked(List<TopicPartition> partitions)
    {
        if (!_closing)
        {
            if (_records > 0)
            {
                _append ??= BeginAppend();
                if (IsOver(_append, RevokePatience))
                    FinishAppend();
            }

            Commit(partitions);
        }

        Forget(partitions);
        Log.Revoked(_logger, _settings.Name, partitions.Count, string.Join(", ", partitions));
    }

    /// <summary>Someone else may own them already: a commit now could move the group's offset backwards.</summary>
    private void OnLost(List<TopicPartition> partitions)
    {
        Forget(partitions);
        Log.Lost(_logger, _settings.Name, partitions.Count, string.Join(", ", partitions));
    }

    private void Forget(List<TopicPartition> partitions)
    {
        // librdkafka remembers a pause over the loss of a partition: it would stay silent should it come back.
        Resume(partitions.FindAll(_paused.Contains));
        foreach (var partition in partitions)
        {
            _reading.Remove(partition);
            _durable.Remove(partition);
        }

        for (var n = _carried.Count; n > 0; n--)
        {
            var record = _carried.Dequeue();
            if (!partitions.Contains(record.TopicPartition))
                _carried.Enqueue(record);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(410, LogLevel.Information, "{Name} owns {Count} more partitions: {Partitions}")]
        public static partial void Assigned(ILogger logger, string name, int count, string partitions);

        [LoggerMessage(411, LogLevel.Information, "{Name} has given back {Count} partitions: {Partitions}")]
        public static partial void Revoked(ILogger logger, string name, int count, string partitions);

        [LoggerMessage(412, LogLevel.Warning, "{Name} has lost {Count} partitions without a chance to commit: {Partitions}. What was read of them may come again")]
        public static partial void Lost(ILogger logger, string name, int count, string partitions);

        [LoggerMessage(413, LogLevel.Warning, "{Name}: reading {Topic} failed: {Reason}")]
        public static partial void ConsumeFailed(ILogger logger, string name, string? topic, string reason);

        [LoggerMessage(414, LogLevel.Warning, "{Name}: the commit of offsets failed: {Reason}. Their records may come again")]
        public static partial void CommitFailed(ILogger logger, string name, string reason);

        [LoggerMessage(417, LogLevel.Debug, "{Name}: the offset of {Partition} is no longer ours to store: {Reason}")]
        public static partial void StoreFailed(ILogger logger, string name, string partition, string reason);

        [LoggerMessage(415, LogLevel.Debug, "{Name} pauses its partitions: {Records} records wait for the journal")]
        public static partial void BackPressure(ILogger logger, string name, int records);

        [LoggerMessage(416, LogLevel.Debug, "{Name} stopped while {Records} records were on their way; they come again")]
        public static partial void Stopped(ILogger logger, string name, int records);
    }
}
