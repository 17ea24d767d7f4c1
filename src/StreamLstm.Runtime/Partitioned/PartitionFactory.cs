using StreamLstm.Runtime.Models;
using StreamLstm.Runtime.Sharding;

namespace StreamLstm.Runtime.Partitioned;

/// <summary>Makes the cores of a broker's partitions; what they share is immutable. Thread-safe.</summary>
public sealed class PartitionFactory
{
    private readonly EngineSettings _settings;
    private readonly ProfileRuntime[] _profiles;
    private readonly ModelStore _models;

    internal PartitionFactory(EngineSettings settings, ProfileRuntime[] profiles, ModelStore models)
    {
        _settings = settings;
        _profiles = profiles;
        _models = models;
    }

    /// <summary>A partition without any stream, to be read from its beginning or restored.</summary>
    /// <param name="topic">For people.</param>
    /// <param name="partition">Its number.</param>
    /// <param name="of">How many the topic has.</param>
    /// <param name="maxStreams">Samples of further streams are dead letters.</param>
    public PartitionCore Create(string topic, int partition, int of, int maxStreams) =>
        new(topic, partition, Shard.OfPartition(partition, of, teaches: false, _settings with { MaxStreamsPerPartition = maxStreams }, _profiles, _models), _profiles);
}
