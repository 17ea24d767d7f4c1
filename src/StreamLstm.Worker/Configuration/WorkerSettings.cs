using StreamLstm.Connectors.Codecs;
using StreamLstm.Connectors.Files;
using StreamLstm.Connectors.Kafka;
using StreamLstm.Connectors.Kafka.Partitions;
using StreamLstm.Connectors.Mqtt;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Worker.Configuration;

/// <summary>The whole configuration, validated; immutable.</summary>
public sealed record WorkerSettings
{
    public required StateSettings State { get; init; }

    public required EngineConfiguration Engine { get; init; }

    public required HttpSettings Http { get; init; }

    /// <summary>At least one, by name.</summary>
    public required IReadOnlyList<Profile> Profiles { get; init; }

    public required IReadOnlyList<SourceConfiguration> Sources { get; init; }

    public required IReadOnlyList<SinkConfiguration> Sinks { get; init; }

    public required MetricsSettings Metrics { get; init; }

    /// <summary>Set if samples are passed on to Kafka instead of being modelled.</summary>
    public KafkaBridgeSettings? Bridge { get; init; }
}

public sealed record StateSettings(string Directory);

/// <param name="Shards">Threads that own partitions.</param>
/// <param name="MaxStreamsPartition">Streams a partition accepts; samples of further ones are dead letters.</param>
/// <param name="MaxSoloStreamsPartition">The same of tier solo.</param>
/// <param name="JournalMaxBytes">Size of the journal at which sources wait for the engine.</param>
/// <param name="StateSegmentBytes">Size at which the state log begins another file.</param>
/// <param name="KeepJournal">Committed segments are kept.</param>
/// <param name="Seed">Of weights and training windows.</param>
/// <param name="TrainingShare">Most of one core that training takes.</param>
public sealed record EngineConfiguration(int Shards, int MaxStreamsPartition, int MaxSoloStreamsPartition, long JournalMaxBytes, long StateSegmentBytes, bool KeepJournal, ulong Seed, double TrainingShare);

/// <param name="Url">Page, API, health and metrics.</param>
/// <param name="MetricsUrl">Health and metrics only; null = not served separately.</param>
/// <param name="Token">Asked for by page and API; null = none.</param>
public sealed record HttpSettings(Uri Url, Uri? MetricsUrl, string? Token);

/// <param name="PerStream">Whether <c>y</c>, <c>yhat</c>, … are exposed per stream.</param>
/// <param name="MaxSeries">Above this many streams none is exposed.</param>
/// <param name="OutputPrefix">Before <c>y</c>, <c>yhat</c>, …; empty gives vmanomaly's names.</param>
public sealed record MetricsSettings(bool PerStream, int MaxSeries, string OutputPrefix);

public abstract record SourceConfiguration(string Name);

public sealed record MqttSourceConfiguration(string Name, MqttSourceSettings Settings, IReadOnlyList<BindingSettings> Bindings, DecodeLimits Limits) : SourceConfiguration(Name);

public sealed record KafkaSourceConfiguration(string Name, KafkaSourceSettings Settings, IReadOnlyList<BindingSettings> Bindings, DecodeLimits Limits) : SourceConfiguration(Name);

/// <summary>Guarantee exactly_once: results leave inside the source's transactions.</summary>
public sealed record KafkaPartitionSourceConfiguration(string Name, KafkaPartitionSettings Settings, IReadOnlyList<BindingSettings> Bindings, DecodeLimits Limits) : SourceConfiguration(Name);

public sealed record FileSourceConfiguration(string Name, FileSourceSettings Settings) : SourceConfiguration(Name);

/// <param name="Days">0 = without end.</param>
/// <param name="Speed">Simulated seconds per second; 0 = as fast as possible.</param>
public sealed record SimulatorSourceConfiguration(string Name, int Streams, ulong Seed, TimeSpan Interval, int Days, double FaultsPerDay, double Speed) : SourceConfiguration(Name);

/// <summary>Samples posted to <c>/api/v1/ingest</c>; at most one.</summary>
public sealed record HttpSourceConfiguration(string Name, int MaxBodyBytes, int MaxLineBytes) : SourceConfiguration(Name);

/// <param name="Kinds">What the sink gets; a sink without a filter of its own needs one in front.</param>
public abstract record SinkConfiguration(string Name, IReadOnlySet<OutputKind> Kinds);

public sealed record FileSinkConfiguration(string Name, IReadOnlySet<OutputKind> Kinds, FileSinkSettings Settings) : SinkConfiguration(Name, Kinds);

public sealed record StdoutSinkConfiguration(string Name, IReadOnlySet<OutputKind> Kinds) : SinkConfiguration(Name, Kinds);

public sealed record MqttSinkConfiguration(string Name, IReadOnlySet<OutputKind> Kinds, MqttSinkSettings Settings) : SinkConfiguration(Name, Kinds);

public sealed record KafkaSinkConfiguration(string Name, IReadOnlySet<OutputKind> Kinds, KafkaSinkSettings Settings) : SinkConfiguration(Name, Kinds);
