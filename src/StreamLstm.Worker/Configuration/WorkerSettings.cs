using StreamLstm.Connectors.Codecs;
using StreamLstm.Connectors.Files;
using StreamLstm.Connectors.Mqtt;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Worker.Configuration;

/// <summary>The whole configuration, validated; immutable.</summary>
public sealed record WorkerSettings
{
    public required StateSettings State { get; init; }

    public required EngineSettings Engine { get; init; }

    public required HttpSettings Http { get; init; }

    /// <summary>At least one, by name.</summary>
    public required IReadOnlyList<Profile> Profiles { get; init; }

    public required IReadOnlyList<SourceConfiguration> Sources { get; init; }

    public required IReadOnlyList<SinkConfiguration> Sinks { get; init; }

    public required MetricsSettings Metrics { get; init; }
}

public sealed record StateSettings(string Directory);

/// <param name="Shards">Threads that own partitions.</param>
/// <param name="MaxStreamsPartition">Streams a partition accepts; samples of further ones are dead letters.</param>
/// <param name="CommitInterval">Time between commits under load.</param>
/// <param name="JournalMaxBytes">Size of the journal at which sources wait for the engine.</param>
public sealed record EngineSettings(int Shards, int MaxStreamsPartition, TimeSpan CommitInterval, long JournalMaxBytes);

/// <param name="Url">Page, API, health and metrics.</param>
/// <param name="MetricsUrl">Health and metrics only; null = not served separately.</param>
public sealed record HttpSettings(Uri Url, Uri? MetricsUrl);

/// <param name="PerStream">Whether <c>y</c>, <c>yhat</c>, … are exposed per stream.</param>
/// <param name="MaxSeries">Above this many streams none is exposed.</param>
/// <param name="OutputPrefix">Before <c>y</c>, <c>yhat</c>, …; empty gives vmanomaly's names.</param>
public sealed record MetricsSettings(bool PerStream, int MaxSeries, string OutputPrefix);

public abstract record SourceConfiguration(string Name);

public sealed record MqttSourceConfiguration(string Name, MqttSourceSettings Settings, IReadOnlyList<BindingSettings> Bindings) : SourceConfiguration(Name);

public sealed record FileSourceConfiguration(string Name, FileSourceSettings Settings) : SourceConfiguration(Name);

/// <summary>Samples posted to <c>/api/v1/ingest</c>; at most one.</summary>
public sealed record HttpSourceConfiguration(string Name, int MaxBodyBytes, int MaxLineBytes) : SourceConfiguration(Name);

/// <param name="Kinds">What the sink gets; a sink without a filter of its own needs one in front.</param>
public abstract record SinkConfiguration(string Name, IReadOnlySet<OutputKind> Kinds);

public sealed record FileSinkConfiguration(string Name, IReadOnlySet<OutputKind> Kinds, FileSinkSettings Settings) : SinkConfiguration(Name, Kinds);

public sealed record StdoutSinkConfiguration(string Name, IReadOnlySet<OutputKind> Kinds) : SinkConfiguration(Name, Kinds);

public sealed record MqttSinkConfiguration(string Name, IReadOnlySet<OutputKind> Kinds, MqttSinkSettings Settings) : SinkConfiguration(Name, Kinds);
