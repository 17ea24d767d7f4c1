using System.Globalization;
using Confluent.Kafka;

namespace StreamLstm.Connectors.Kafka.Partitions;

/// <summary>The settings of a worker's clients: ours, over them the user's, over both what the guarantee rests on.</summary>
internal sealed class KafkaPartitionConfig
{
    private static readonly string[] Reserved =
    [
        "group.id", "group.instance.id", "transactional.id", "enable.auto.commit", "auto.commit.interval.ms", "enable.auto.offset.store", "enable.partition.eof", "isolation.level",
        "enable.idempotence", "acks", "request.required.acks", "partitioner", "message.timeout.ms", "delivery.timeout.ms",
    ];

    private readonly KafkaPartitionSettings _settings;

    /// <exception cref="ArgumentException">A client setting is reserved or has an impossible value.</exception>
    public KafkaPartitionConfig(KafkaPartitionSettings settings)
    {
        _settings = settings;
        _ = Consumer("check", 0, headers: false);
        _ = Producer("check");
    }

    /// <summary>Where a group begins that has never read.</summary>
    public bool FromEnd => _settings.Client.GetValueOrDefault("auto.offset.reset") is "latest" or "end" or "largest";

    public string TransactionalId(string id) => $"{_settings.GroupId}-{id}";

    /// <summary>The client id that all threads of a worker have and no other worker.</summary>
    public string Worker(string instance) => _settings.Client.GetValueOrDefault("client.id") ?? $"streamlstm-{instance}";

    /// <param name="instance">The worker's name.</param>
    /// <param name="index">Which of its threads.</param>
    public ConsumerConfig Consumer(string instance, int index, bool headers)
    {
        var config = Consumers(new ConsumerConfig
        {
            ClientId = Worker(instance),
            // What isn't asked for needn't be fetched from the native library for every record.
            ConsumeResultFields = headers ? "headers,timestamp,topic" : "timestamp,topic",
            AutoOffsetReset = AutoOffsetReset.Earliest,
            // Partitions that stay are not interrupted by those that move.
            PartitionAssignmentStrategy = PartitionAssignmentStrategy.CooperativeSticky,
            // A rebalance reaches a member with its next heartbeat.
            HeartbeatIntervalMs = 300,
            SessionTimeoutMs = 15_000,
            QueuedMaxMessagesKbytes = 16 * 1024,
            QueuedMinMessages = 10_000,
            FetchQueueBackoffMs = 20,
            FetchWaitMaxMs = 50,
        });
        if (_settings.InstanceId is not null)
            config.GroupInstanceId = string.Create(CultureInfo.InvariantCulture, $"{instance}-{index}");
        return config;
    }

    /// <summary>For reading the state topic and the group's offsets; never joins the group.</summary>
    public ConsumerConfig Restore()
    {
        var config = Consumers(new ConsumerConfig { QueuedMaxMessagesKbytes = 64 * 1024, MaxPartitionFetchBytes = 8 << 20, FetchWaitMaxMs = 20, FetchQueueBackoffMs = 5 });
        config.AutoOffsetReset = AutoOffsetReset.Earliest;
        config.StatisticsIntervalMs = 0;
        config.ConsumeResultFields = "topic";
        return config;
    }

    public ProducerConfig Producer(string id)
    {
        var config = _settings.Over(
            new ProducerConfig
            {
                QueueBufferingMaxKbytes = 128 * 1024,
                QueueBufferingMaxMessages = 1_000_000,
                MessageMaxBytes = KafkaTopology.MaxStateBytes,
                // Longer than any commit takes; what a dead worker leaves open holds its partitions' next owner up as long.
                TransactionTimeoutMs = 15_000,
            },
            Reserved);
        config.EnableIdempotence = true;
        config.Acks = Acks.All;
        config.Partitioner = Partitioner.Murmur2Random;
        config.TransactionalId = TransactionalId(id);
        config.EnableDeliveryReports = false;
        config.StatisticsIntervalMs = 0;
        return config;
    }

    private ConsumerConfig Consumers(ConsumerConfig defaults)
    {
        var config = _settings.Over(defaults, Reserved);
        config.GroupId = _settings.GroupId;
        config.EnableAutoCommit = false;
        config.EnableAutoOffsetStore = false;
        config.EnablePartitionEof = true;
        // Also makes librdkafka ask for stable offsets.
        config.IsolationLevel = IsolationLevel.ReadCommitted;
        return config;
    }
}
