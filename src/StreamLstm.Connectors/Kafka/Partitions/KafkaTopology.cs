using Confluent.Kafka;
using Confluent.Kafka.Admin;

namespace StreamLstm.Connectors.Kafka.Partitions;

/// <summary>Topics that don't fit what is to be done with them; every problem, each with its remedy.</summary>
public sealed class KafkaTopologyException(IReadOnlyList<string> problems) : Exception(string.Join(' ', problems))
{
    public IReadOnlyList<string> Problems { get; } = problems;
}

/// <summary>The topics of a <see cref="KafkaPartitionSource"/>: checked at every start, created on request.</summary>
public sealed class KafkaTopology : IDisposable
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);

    private readonly KafkaPartitionSettings _settings;
    private readonly IAdminClient _admin;

    /// <exception cref="ArgumentException">The settings can't work; the message says why.</exception>
    /// <exception cref="KafkaLibraryException">librdkafka is missing or too old.</exception>
    public KafkaTopology(KafkaPartitionSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        KafkaNative.Load();
        _settings = settings;
        _admin = new AdminClientBuilder(settings.Admin()).SetLogHandler((_, _) => { }).SetErrorHandler((_, e) => Trouble = e.Code == ErrorCode.Local_AllBrokersDown ? Trouble : e.Reason).Build();
    }

    /// <summary>What the client last had to say of its connections: a certificate, a password; null if nothing.</summary>
    public string? Trouble { get; private set; }

    /// <summary>Partitions by input topic.</summary>
    /// <exception cref="KafkaTopologyException">Topics are missing or don't fit; the message says what to do.</exception>
    /// <exception cref="KafkaException">The cluster can't be asked.</exception>
    public async Task<IReadOnlyDictionary<string, int>> CheckAsync()
    {
        var known = Known();
        var problems = new List<string>();
        var inputs = new Dictionary<string, int>(StringComparer.Ordinal);
        var states = new List<string>();
        foreach (var topic in _settings.Topics)
        {
            var state = _settings.StateTopicOf(topic);
            if (!known.TryGetValue(topic, out var partitions))
            {
                problems.Add($"Topic {topic} doesn't exist: streamlstm kafka init creates it.");
                continue;
            }

            inputs[topic] = partitions;
            if (!known.TryGetValue(state, out var statePartitions))
                problems.Add($"State topic {state} doesn't exist: streamlstm kafka init creates it.");
            else if (statePartitions != partitions)
                problems.Add($"State topic {state} has {statePartitions} partitions, but {topic} has {partitions}: state lies in the partition of its number. Stop all workers of group {_settings.GroupId}, then run streamlstm kafka migrate.");
            else
                states.Add(state);
        }

        foreach (var output in Outputs().Append(_settings.Training).Append(_settings.Models))
        {
            if (!known.ContainsKey(output))
                problems.Add($"Topic {output} doesn't exist: streamlstm kafka init creates it.");
        }

        foreach (var single in new[] { _settings.Training, _settings.Models })
        {
            if (known.GetValueOrDefault(single, 1) != 1)
                problems.Add($"Topic {single} has {known[single]} partitions: it must have one, as its order matters.");
        }

        foreach (var state in states)
        {
            if (await CleanupPolicyAsync(state) is { } policy && policy != "compact")
                problems.Add($"State topic {state} has cleanup.policy={policy}, which would lose streams: it must be compact.");
        }

        return problems.Count == 0 ? inputs : throw new KafkaTopologyException(problems);
    }

    /// <summary>Creates what is missing, leaves the rest alone, and tells what was done.</summary>
    /// <param name="partitions">Of input topics that don't exist, and of results and episodes.</param>
    /// <param name="replication">Copies; −1 = the cluster's default.</param>
    public async Task<IReadOnlyList<string>> InitialiseAsync(int partitions, short replication)
    {
        var known = Known();
        var done = new List<string>();
        foreach (var topic in _settings.Topics)
        {
            if (!known.TryGetValue(topic, out var existing))
                done.Add(await CreateAsync(topic, existing = partitions, replication, []));
            if (!known.ContainsKey(_settings.StateTopicOf(topic)))
                done.Add(await CreateAsync(_settings.StateTopicOf(topic), existing, replication, StateSettings));
        }

        foreach (var output in Outputs())
        {
            if (!known.ContainsKey(output))
                done.Add(await CreateAsync(output, partitions, replication, []));
        }

        if (!known.ContainsKey(_settings.Training))
            done.Add(await CreateAsync(_settings.Training, 1, replication, TrainingSettings));
        if (!known.ContainsKey(_settings.Models))
            done.Add(await CreateAsync(_settings.Models, 1, replication, StateSettings));

        return done;
    }

    public void Dispose() => _admin.Dispose();

    /// <summary>
    /// Compacted every few minutes: the active segment never is, so segments are short; old values may stay a tenth of the whole at most.
    /// A snapshot of a stream with many channels is larger than the default of one megabyte.
    /// </summary>
    internal static Dictionary<string, string> StateSettings => new()
    {
        ["cleanup.policy"] = "compact",
        ["segment.ms"] = "600000",
        ["min.cleanable.dirty.ratio"] = "0.1",
        ["max.message.bytes"] = MaxStateBytes.ToString(System.Globalization.CultureInfo.InvariantCulture),
    };

    /// <summary>History to learn from: bounded, the oldest goes.</summary>
    private static Dictionary<string, string> TrainingSettings => new()
    {
        ["cleanup.policy"] = "delete",
        ["retention.ms"] = "-1",
        ["retention.bytes"] = "268435456",
        ["segment.bytes"] = "33554432",
        ["max.message.bytes"] = MaxStateBytes.ToString(System.Globalization.CultureInfo.InvariantCulture),
    };

    internal const int MaxStateBytes = 16 << 20;

    private IEnumerable<string> Outputs() => [_settings.Results, _settings.Episodes, _settings.DeadLetters];

    private Dictionary<string, int> Known()
    {
        var metadata = _admin.GetMetadata(Timeout);
        return metadata.Topics.Where(t => t.Error.Code == ErrorCode.NoError).ToDictionary(t => t.Topic, t => t.Partitions.Count, StringComparer.Ordinal);
    }

    /// <summary>Null where the cluster doesn't say, or not to us.</summary>
    private async Task<string?> CleanupPolicyAsync(string topic)
    {
        try
        {
            var described = await _admin.DescribeConfigsAsync([new ConfigResource { Type = ResourceType.Topic, Name = topic }], new DescribeConfigsOptions { RequestTimeout = Timeout });
            return described[0].Entries.TryGetValue("cleanup.policy", out var entry) ? entry.Value : null;
        }
        catch (KafkaException)
        {
            return null;
        }
    }

    private async Task<string> CreateAsync(string topic, int partitions, short replication, Dictionary<string, string> settings)
    {
        try
        {
            await _admin.CreateTopicsAsync([new TopicSpecification { Name = topic, NumPartitions = partitions, ReplicationFactor = replication, Configs = settings }], new CreateTopicsOptions { RequestTimeout = Timeout });
        }
        catch (CreateTopicsException e)
        {
            throw new KafkaTopologyException([$"Topic {topic} can't be created: {e.Results[0].Error.Reason}."]);
        }

        return $"{topic}: {partitions} partitions{string.Concat(settings.Select(s => $", {s.Key}={s.Value}"))}";
    }
}
