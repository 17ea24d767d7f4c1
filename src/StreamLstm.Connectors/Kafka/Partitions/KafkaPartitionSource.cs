using Confluent.Kafka;
using Microsoft.Extensions.Logging;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Partitioned;

namespace StreamLstm.Connectors.Kafka.Partitions;

/// <summary>
/// Reads topics, models their streams and publishes results in one transaction per commit, together with the streams' state: exactly once
/// for consumers that read committed. Workers of one group share the partitions, and state follows them. The local journal has no part in it.
/// </summary>
public sealed partial class KafkaPartitionSource : ISampleSource
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(2);

    private readonly KafkaPartitionSettings _settings;
    private readonly KafkaPartitionConfig _config;
    private readonly IPayloadDecoder _decoder;
    private readonly PartitionFactory _factory;
    private readonly Func<IReadOnlyList<OutputRecord>, ValueTask> _view;
    private readonly ILogger<KafkaPartitionSource> _logger;
    private volatile string? _notReady;
    private volatile IReadOnlyList<KafkaWorker> _workers = [];

    /// <param name="view">Shown what has been committed.</param>
    /// <exception cref="ArgumentException">The settings can't work; the message says why.</exception>
    /// <exception cref="KafkaLibraryException">librdkafka is missing or too old.</exception>
    public KafkaPartitionSource(KafkaPartitionSettings settings, IPayloadDecoder decoder, PartitionFactory factory, Func<IReadOnlyList<OutputRecord>, ValueTask> view, ILogger<KafkaPartitionSource> logger)
    {
        ArgumentNullException.ThrowIfNull(settings);
        ArgumentNullException.ThrowIfNull(decoder);
        if (Problem(settings) is { } problem)
            throw new ArgumentException($"Source '{settings.Name}': {problem}");
        if (decoder.KeepsState)
            throw new ArgumentException($"Source '{settings.Name}': {StatefulBindings}");
        KafkaNative.Load();
        (_settings, _decoder, _factory, _view, _logger) = (settings, decoder, factory, view, logger);
        _config = new KafkaPartitionConfig(settings);
        _notReady = $"connecting to {settings.BootstrapServers}";
    }

    /// <summary>Why bindings can't be used here.</summary>
    public const string StatefulBindings =
        "Sparkplug bindings and bindings with Hold remember earlier messages, which a partition's state doesn't contain: use guarantee at_least_once, or write readings to the topic that stand for themselves.";

    public string Name => _settings.Name;

    public SourceStatus Status => (_notReady ?? _workers.Select(w => w.NotReady).FirstOrDefault(r => r is not null)) is { } reason
        ? new SourceStatus(SourceState.Connecting, reason)
        : new SourceStatus(SourceState.Connected, null);

    /// <summary>What is wrong with settings, or null.</summary>
    public static string? Problem(KafkaPartitionSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        if (settings.Topics.Count == 0 || settings.Topics.Any(string.IsNullOrWhiteSpace))
            return "Topics must name at least one topic.";
        if (settings.Topics.FirstOrDefault(t => t.StartsWith('^')) is { } pattern)
            return $"Topics must not contain the pattern {pattern}: each topic has state of its own, so they are named.";
        if (settings.GroupId.Length == 0)
            return "GroupId is empty.";
        if (settings.Topics.Select(settings.StateTopicOf).Distinct(StringComparer.Ordinal).Count() < settings.Topics.Count)
            return "StateTopic must contain {topic}, as several topics are read.";
        var names = settings.Topics.Select(settings.StateTopicOf).Append(settings.DeadLetters).ToList();
        return names.Find(n => !KafkaTopic.IsLegal(n)) is { } illegal ? $"'{illegal}' is not a legal topic name." : null;
    }

    public async Task RunAsync(IIngress ingress, CancellationToken stopping)
    {
        ArgumentNullException.ThrowIfNull(ingress);
        var partitions = await TopologyAsync(ingress.Clock, stopping);
        var instance = _settings.InstanceId ?? Guid.NewGuid().ToString("N")[..12];
        using var models = new KafkaModels(_settings, _config.Restore(), _factory, _logger);
        using var standby = new KafkaStandby(_settings, _config.Restore(), _factory, _config.Worker(instance), partitions.Values.Sum(), _logger);
        await standby.ForeseeAsync();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        _workers = [.. Enumerable.Range(0, _settings.Threads).Select(i => new KafkaWorker(_settings, _config, i, instance, _decoder, _factory, models, standby, partitions, _view, ingress.Clock, _logger))];
        _notReady = null;
        var running = _workers.Select(w => OnThread(w.Run, stop.Token)).Append(OnThread(standby.Run, stop.Token)).ToList();
        var following = FollowAsync(models, ingress.Clock, stop.Token);
        try
        {
            await Task.WhenAny([following, .. running]);
        }
        finally
        {
            await stop.CancelAsync();
            await Task.WhenAll([following, .. running]);
        }
    }

    /// <summary>Looks for new versions of the models, wherever they were trained.</summary>
    private async Task FollowAsync(KafkaModels models, TimeProvider clock, CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await Task.Run(() => models.CatchUp(stopping), CancellationToken.None);
                await Task.Delay(Pause, clock, stopping);
            }
            catch (KafkaException e)
            {
                Log.Unreachable(_logger, _settings.Name, e.Error.Reason);
                await Task.Delay(Pause, clock, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested)
            {
                return;
            }
        }
    }

    /// <summary>Waits for the cluster; topics that don't fit end the worker before it has read anything.</summary>
    private async Task<IReadOnlyDictionary<string, int>> TopologyAsync(TimeProvider clock, CancellationToken stopping)
    {
        using var topology = new KafkaTopology(_settings);
        while (true)
        {
            try
            {
                return await topology.CheckAsync();
            }
            catch (KafkaException e)
            {
                var reason = $"{topology.Trouble ?? e.Error.Reason} ({_settings.BootstrapServers})";
                if (_notReady != reason)
                    Log.Unreachable(_logger, _settings.Name, reason);
                _notReady = reason;
                await Task.Delay(Pause, clock, stopping);
            }
        }
    }

    // A consumer belongs to one thread from its creation to its disposal.
    private Task OnThread(Action<CancellationToken> run, CancellationToken stopping)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() =>
        {
            try
            {
                run(stopping);
                done.SetResult();
            }
            catch (Exception e)
            {
                done.SetException(e);
            }
        })
        {
            IsBackground = true,
            Name = $"kafka {Name}",
        };
        thread.Start();
        return done.Task;
    }

    private static partial class Log
    {
        [LoggerMessage(440, LogLevel.Warning, "{Name} waits for its cluster: {Reason}")]
        public static partial void Unreachable(ILogger logger, string name, string reason);
    }
}
