using System.Globalization;
using Confluent.Kafka;
using Confluent.Kafka.Admin;
using StreamLstm.Runtime.Partitioned;
using StreamLstm.Runtime.Sharding;

namespace StreamLstm.Connectors.Kafka.Partitions;

/// <summary>What is done to state and offsets while no worker of the group runs.</summary>
/// <exception cref="ArgumentException">The settings can't work; the message says why.</exception>
/// <exception cref="KafkaLibraryException">librdkafka is missing or too old.</exception>
public sealed class KafkaMaintenance : IDisposable
{
    private static readonly TimeSpan Request = TimeSpan.FromSeconds(20);

    private readonly KafkaPartitionSettings _settings;
    private readonly KafkaPartitionConfig _config;
    private readonly IConsumer<byte[], byte[]> _consumer;
    private readonly IAdminClient _admin;

    public KafkaMaintenance(KafkaPartitionSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        KafkaNative.Load();
        _settings = settings;
        _config = new KafkaPartitionConfig(settings);
        _consumer = new ConsumerBuilder<byte[], byte[]>(_config.Restore()).SetLogHandler((_, _) => { }).SetErrorHandler((_, _) => { }).Build();
        _admin = new AdminClientBuilder(settings.Admin()).SetLogHandler((_, _) => { }).SetErrorHandler((_, _) => { }).Build();
    }

    /// <summary>
    /// Sets the group's offsets to where the state stands, after they were changed or have expired; tells what it has changed.
    /// </summary>
    /// <exception cref="KafkaTopologyException">A worker is running.</exception>
    public IReadOnlyList<string> Align()
    {
        var offsets = new List<TopicPartitionOffset>();
        var done = new List<string>();
        foreach (var topic in _settings.Topics)
        {
            for (var p = 0; p < Partitions(topic); p++)
            {
                var partition = new TopicPartition(topic, p);
                var header = new PartitionRestore();
                ReadAll(new TopicPartition(_settings.StateTopicOf(topic), p), (key, value) => header.ApplyHeaderOnly(key, value ?? []));
                var group = Committed(partition);
                if (header.Position is not { } position || position == group)
                    continue;
                offsets.Add(new TopicPartitionOffset(partition, position));
                done.Add(string.Create(CultureInfo.InvariantCulture, $"{partition}: offset {(group is { } g ? g.ToString(CultureInfo.InvariantCulture) : "none")} -> {position}"));
            }
        }

        if (offsets.Count > 0)
            InGroup(() => _consumer.Commit(offsets));
        return done;
    }

    /// <summary>
    /// Moves state to the partitions that its records' keys have now that an input topic has more of them. Everything in the partitions
    /// of before must have been read; all moves are one transaction. After an interruption run it again before any worker starts.
    /// </summary>
    /// <exception cref="KafkaTopologyException">It can't be done; the message says why.</exception>
    public async Task<IReadOnlyList<string>> MigrateAsync()
    {
        var done = new List<string>();
        foreach (var topic in _settings.Topics)
        {
            var (state, after) = (_settings.StateTopicOf(topic), Partitions(topic));
            var before = Partitions(state);
            if (after < before)
                throw new KafkaTopologyException([$"{state} has {before} partitions, {topic} only {after}: topics can't have fewer partitions than before. Use new topics and a new group."]);
            RequireRead(topic, before);
            if (after > before)
            {
                await _admin.CreatePartitionsAsync([new PartitionsSpecification { Topic = state, IncreaseTo = after }], new CreatePartitionsOptions { RequestTimeout = Request });
                await UntilAsync(state, after);
            }

            done.Add(Move(topic, state, before, after));
        }

        return done;
    }

    /// <summary>
    /// Gives a group that has never read the state of a local worker: each stream's in the partition that its key has. The input is then
    /// read from its beginning, so it should hold what came after the worker was stopped.
    /// </summary>
    /// <exception cref="KafkaTopologyException">It can't be done; the message says why.</exception>
    public string Import(LocalState local)
    {
        ArgumentNullException.ThrowIfNull(local);
        if (_settings.Topics.Count != 1)
            throw new KafkaTopologyException(["State can be imported for one input topic only."]);
        var (topic, state) = (_settings.Topics[0], _settings.StateTopicOf(_settings.Topics[0]));
        var n = Partitions(topic);
        for (var p = 0; p < n; p++)
        {
            var ends = _consumer.QueryWatermarkOffsets(new TopicPartition(state, p), Request);
            if (ends.High.Value > 0 || Committed(new TopicPartition(topic, p)) is not null)
                throw new KafkaTopologyException([$"{state} has state already, or the group {_settings.GroupId} has read: import into new topics and a new group."]);
        }

        using var producer = OpenTransaction("import");
        var offsets = new List<TopicPartitionOffset>();
        for (var p = 0; p < n; p++)
        {
            var begin = _consumer.QueryWatermarkOffsets(new TopicPartition(topic, p), Request).Low.Value;
            foreach (var record in local.Partition(p, n, begin))
                Produce(producer, new TopicPartition(state, p), record.Key, record.Value);
            offsets.Add(new TopicPartitionOffset(topic, p, begin));
        }

        foreach (var (profile, version, weights) in local.Models)
        {
            var message = KafkaModels.Weights(profile, version, 0, weights);
            Produce(producer, new TopicPartition(_settings.Models, 0), message.Key, message.Value);
        }

        InGroup(() => producer.SendOffsetsToTransaction(offsets, _consumer.ConsumerGroupMetadata, Request));
        producer.CommitTransaction(TimeSpan.FromMinutes(10));
        return string.Create(CultureInfo.InvariantCulture, $"{state}: {local.Streams} streams in {n} partitions");
    }

    public void Dispose()
    {
        _consumer.Dispose();
        _admin.Dispose();
    }

    private string Move(string topic, string state, int before, int after)
    {
        using var producer = OpenTransaction("migrate");
        var (moved, newest) = (0, (Header: (byte[]?)null, Clock: long.MinValue));
        for (var p = 0; p < after; p++)
        {
            // As compacted: the last value of every key, in the order of the log.
            var latest = new Dictionary<string, byte[]?>(StringComparer.Ordinal);
            var order = new List<(string Name, byte[] Key)>();
            ReadAll(new TopicPartition(state, p), (key, value) =>
            {
                var name = Convert.ToHexString(key);
                latest[name] = value;
                order.Add((name, key));
            });
            order.Reverse();
            var records = order.DistinctBy(r => r.Name).Reverse().Where(r => latest[r.Name] is not null).ToList();
            foreach (var stream in records.Where(r => !PartitionRestore.IsHeader(r.Key)).GroupBy(r => r.Name[..^2]))
            {
                var to = VirtualPartition.KafkaPartition(stream.First().Key.AsSpan()[..^1], after);
                if (to == p)
                    continue;
                foreach (var (name, key) in stream)
                    Produce(producer, new TopicPartition(state, to), key, latest[name]);
                // The snapshot's tombstone last: entries without a snapshot would be an error.
                foreach (var (_, key) in stream.OrderByDescending(r => r.Key[^1]))
                    Produce(producer, new TopicPartition(state, p), key, null);
                moved++;
            }

            if (records.Find(r => PartitionRestore.IsHeader(r.Key)) is { Key: not null } header && PartitionRestore.ClockOf(latest[header.Name]!) is var clock && clock > newest.Clock)
                newest = (latest[header.Name], clock);
        }

        var offsets = new List<TopicPartitionOffset>();
        for (var p = before; p < after && newest.Header is not null; p++)
        {
            var begin = _consumer.QueryWatermarkOffsets(new TopicPartition(topic, p), Request).Low.Value;
            Produce(producer, new TopicPartition(state, p), PartitionRestore.HeaderKey(), PartitionRestore.HeaderAt(newest.Header, begin));
            offsets.Add(new TopicPartitionOffset(topic, p, begin));
        }

        if (offsets.Count > 0)
            InGroup(() => producer.SendOffsetsToTransaction(offsets, _consumer.ConsumerGroupMetadata, Request));
        producer.CommitTransaction(TimeSpan.FromMinutes(10));
        return string.Create(CultureInfo.InvariantCulture, $"{state}: {before} -> {after} partitions, {moved} streams moved");
    }

    private IProducer<byte[], byte[]> OpenTransaction(string id)
    {
        var config = _config.Producer(id);
        config.TransactionTimeoutMs = 600_000;
        var producer = new ProducerBuilder<byte[], byte[]>(config).SetLogHandler((_, _) => { }).SetErrorHandler((_, _) => { }).Build();
        producer.InitTransactions(Request);
        producer.BeginTransaction();
        return producer;
    }

    private static void Produce(IProducer<byte[], byte[]> producer, TopicPartition to, byte[] key, byte[]? value)
    {
        while (true)
        {
            try
            {
                producer.Produce(to, new Message<byte[], byte[]> { Key = key, Value = value! });
                return;
            }
            catch (ProduceException<byte[], byte[]> e) when (e.Error.Code == ErrorCode.Local_QueueFull)
            {
                producer.Flush(TimeSpan.FromMilliseconds(100));
            }
        }
    }

    /// <summary>What is still to be read of a stream must not come after its state has gone elsewhere.</summary>
    private void RequireRead(string topic, int before)
    {
        var unread = 0L;
        for (var p = 0; p < before; p++)
        {
            var partition = new TopicPartition(topic, p);
            var ends = _consumer.QueryWatermarkOffsets(partition, Request);
            unread += ends.High.Value - Math.Min(ends.High.Value, Committed(partition) ?? ends.Low.Value);
        }

        if (unread > 0)
            throw new KafkaTopologyException([$"{unread} records of {topic} in the {before} partitions of before haven't been read: stop the producers, let the workers read to the end, stop them, then migrate."]);
    }

    private int Partitions(string topic)
    {
        var found = _admin.GetMetadata(topic, Request).Topics.Find(t => t.Topic == topic);
        return found is { Error.Code: ErrorCode.NoError, Partitions.Count: > 0 } ? found.Partitions.Count : throw new KafkaTopologyException([$"Topic {topic} doesn't exist: streamlstm kafka init creates it."]);
    }

    private async Task UntilAsync(string topic, int partitions)
    {
        for (var i = 0; i < 100 && Partitions(topic) < partitions; i++)
            await Task.Delay(100);
    }

    private long? Committed(TopicPartition partition)
    {
        try
        {
            var committed = _consumer.Committed([partition], Request)[0];
            return committed.Offset.IsSpecial ? null : committed.Offset.Value;
        }
        catch (KafkaException e) when (e.Error.Code == ErrorCode.GroupIdNotFound)
        {
            return null;
        }
    }

    private void InGroup(Action commit)
    {
        try
        {
            commit();
        }
        catch (KafkaException e) when (e.Error.Code is ErrorCode.UnknownMemberId or ErrorCode.IllegalGeneration or ErrorCode.RebalanceInProgress)
        {
            throw new KafkaTopologyException([$"Workers of group {_settings.GroupId} are running: stop them first ({e.Error.Reason})."]);
        }
    }

    private void ReadAll(TopicPartition partition, Action<byte[], byte[]?> take)
    {
        var ends = _consumer.QueryWatermarkOffsets(partition, Request);
        _consumer.Assign(new TopicPartitionOffset(partition, ends.Low));
        for (var next = ends.Low.Value; next < ends.High.Value;)
        {
            var record = _consumer.Consume(Request) ?? throw new KafkaTopologyException([$"{partition} can't be read to its end."]);
            next = record.Offset.Value + (record.IsPartitionEOF ? 0 : 1);
            if (!record.IsPartitionEOF)
                take(record.Message.Key ?? [], record.Message.Value);
        }

        _consumer.Unassign();
    }
}
