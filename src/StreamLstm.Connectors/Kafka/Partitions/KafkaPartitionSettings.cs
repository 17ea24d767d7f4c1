namespace StreamLstm.Connectors.Kafka.Partitions;

/// <summary>Topics that are read, modelled and answered inside transactions.</summary>
public sealed record KafkaPartitionSettings : KafkaSettings
{
    /// <summary>Names of topics; no patterns, as each has a state topic of its own.</summary>
    public required IReadOnlyList<string> Topics { get; init; }

    /// <summary>Workers with the same group share the partitions.</summary>
    public string GroupId { get; init; } = "streamlstm";

    /// <summary>First part of the topics <c>&lt;prefix&gt;.results</c>, <c>.episodes</c>, <c>.deadletters</c>, <c>.state</c>, <c>.training</c> and <c>.models</c>.</summary>
    public string TopicPrefix { get; init; } = "streamlstm";

    /// <summary>Compacted topic with the streams' state, with <c>{topic}</c> for the input's name; null = <c>&lt;prefix&gt;.state</c>.</summary>
    public string? StateTopic { get; init; }

    /// <summary>
    /// Name of this worker in the group, the same after a restart and no other's: its partitions then wait for it during
    /// <c>session.timeout.ms</c>, and what it left open is ended at once. Null = a new name at every start.
    /// </summary>
    public string? InstanceId { get; init; }

    /// <summary>Threads, each with a consumer, a producer and its share of the partitions.</summary>
    public int Threads { get; init; } = 1;

    /// <summary>How long records are gathered for one transaction; results can't be seen earlier.</summary>
    public TimeSpan CommitInterval { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>Streams a partition accepts; samples of further ones become dead letters.</summary>
    public int MaxStreamsPartition { get; init; } = 100_000;

    /// <summary>How long the state of partitions that were given away is kept, in case they come back.</summary>
    public TimeSpan KeepWarm { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>How many other workers follow the state of each partition, so that they can go on with it at once.</summary>
    public int Standbys { get; init; }

    internal string Results => TopicPrefix + ".results";

    internal string Episodes => TopicPrefix + ".episodes";

    internal string DeadLetters => TopicPrefix + ".deadletters";

    /// <summary>Rows that the shared models learn from.</summary>
    internal string Training => TopicPrefix + ".training";

    /// <summary>Versions of the shared models.</summary>
    internal string Models => TopicPrefix + ".models";

    internal string StateTopicOf(string topic) => (StateTopic ?? TopicPrefix + ".state").Replace("{topic}", topic, StringComparison.Ordinal);
}
