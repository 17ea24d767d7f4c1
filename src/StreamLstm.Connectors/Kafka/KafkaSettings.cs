using Confluent.Kafka;

namespace StreamLstm.Connectors.Kafka;

/// <summary>How to reach a cluster; shared by source and sink.</summary>
public abstract record KafkaSettings
{
    /// <summary>The name in the configuration.</summary>
    public required string Name { get; init; }

    /// <summary><c>host:port</c>, several separated by commas.</summary>
    public required string BootstrapServers { get; init; }

    /// <summary>
    /// Settings passed to librdkafka as they are, such as <c>security.protocol</c>, <c>sasl.username</c>, <c>ssl.ca.location</c>;
    /// they win over the defaults here. Never logged.
    /// </summary>
    public IReadOnlyDictionary<string, string> Client { get; init; } = new Dictionary<string, string>();

    /// <summary>Never the client settings, which may hold secrets.</summary>
    public sealed override string ToString() => $"{Name} at {BootstrapServers}";

    /// <summary>Applies <see cref="Client"/> over the defaults; what the guarantee rests on can't be set there.</summary>
    /// <exception cref="ArgumentException">A client setting is reserved.</exception>
    internal TConfig Over<TConfig>(TConfig defaults, params ReadOnlySpan<string> reserved)
        where TConfig : ClientConfig
    {
        if (BootstrapServers.Length == 0)
            throw new ArgumentException($"{Name}: BootstrapServers is empty.");
        foreach (var (key, value) in Client)
        {
            if (key is "bootstrap.servers" or "metadata.broker.list" or "statistics.interval.ms" || reserved.Contains(key))
                throw new ArgumentException($"{Name}: Client must not contain '{key}', which is set here.");
            defaults.Set(key, value);
        }

        defaults.BootstrapServers = BootstrapServers;
        defaults.StatisticsIntervalMs = StatisticsMillis;
        return defaults;
    }

    /// <summary>For clients that ask about topics.</summary>
    internal AdminClientConfig Admin()
    {
        var config = Over(new AdminClientConfig());
        config.StatisticsIntervalMs = 0;
        return config;
    }

    /// <summary>How soon a lost or regained connection shows.</summary>
    private const int StatisticsMillis = 1000;
}

public sealed record KafkaSourceSettings : KafkaSettings
{
    /// <summary>Topic names; one that starts with <c>^</c> is a regular expression.</summary>
    public required IReadOnlyList<string> Topics { get; init; }

    /// <summary>Names the position in the topics; another group starts anew.</summary>
    public string GroupId { get; init; } = "streamlstm";
}

public sealed record KafkaSinkSettings : KafkaSettings
{
    /// <summary>First part of the topics <c>&lt;prefix&gt;.results</c>, <c>.episodes</c> and <c>.deadletters</c>.</summary>
    public string TopicPrefix { get; init; } = "streamlstm";
}
