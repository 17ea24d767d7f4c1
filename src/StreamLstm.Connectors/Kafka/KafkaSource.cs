using System.Collections.Concurrent;
using Confluent.Kafka;
using Microsoft.Extensions.Logging;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Kafka;

/// <summary>
/// Reads topics as a member of a consumer group, appends in batches, and commits offsets after the append: a record that was not
/// made durable is read again.
/// </summary>
public sealed class KafkaSource : ISampleSource
{
    private readonly KafkaSourceSettings _settings;
    private readonly IPayloadDecoder _decoder;
    private readonly ILogger<KafkaSource> _logger;
    private readonly TimeProvider _clock;
    private readonly KafkaConnection _connection;
    private readonly ConsumerConfig _config;

    /// <summary>What is wrong with single topics, by name.</summary>
    private readonly ConcurrentDictionary<string, string> _topicProblems = new(StringComparer.Ordinal);

    /// <param name="clock">For pauses; arrival stamps use the clock of the ingress. Null = the system's.</param>
    /// <exception cref="ArgumentException">The settings can't work; the message says why.</exception>
    /// <exception cref="KafkaLibraryException">librdkafka is missing or too old.</exception>
    public KafkaSource(KafkaSourceSettings settings, IPayloadDecoder decoder, ILogger<KafkaSource> logger, TimeProvider? clock = null)
    {
        ArgumentNullException.ThrowIfNull(settings);
        ArgumentNullException.ThrowIfNull(decoder);
        if (settings.Topics.Count == 0 || settings.Topics.Any(string.IsNullOrWhiteSpace))
            throw new ArgumentException($"Source '{settings.Name}': Topics must name at least one topic.");
        if (settings.GroupId.Length == 0)
            throw new ArgumentException($"Source '{settings.Name}': GroupId is empty.");
        KafkaNative.Load();

        _settings = settings;
        _decoder = decoder;
        _logger = logger;
        _clock = clock ?? TimeProvider.System;
        _connection = new KafkaConnection(settings, logger);
        var defaults = new ConsumerConfig
        {
            // A group's first start reads what is there; librdkafka's own default would skip it.
            AutoOffsetReset = AutoOffsetReset.Earliest,
            // Native memory for records fetched ahead; the default of 64 MB counts against a container's limit.
            QueuedMaxMessagesKbytes = 16 * 1024,
            QueuedMinMessages = 10_000,

            // How long fetching rests once that many wait; the default of a second would cap a partition at 10,000 records per second.
            FetchQueueBackoffMs = 20,
        };
        _config = settings.Over(defaults, "group.id", "enable.auto.commit", "auto.commit.interval.ms", "enable.auto.offset.store", "enable.partition.eof");
        _config.GroupId = settings.GroupId;
        // Only what is durable is stored, and what is stored is committed in the background.
        _config.EnableAutoCommit = true;
        _config.EnableAutoOffsetStore = false;
        _config.AutoCommitIntervalMs = 500;
        // The record's time stamp is the time of what has none of its own; headers cost an allocation each, so only who uses them gets them.
        _config.ConsumeResultFields = decoder.UsesHeaders ? "topic,timestamp,headers" : "topic,timestamp";
    }

    public string Name => _settings.Name;

    public SourceStatus Status => (_connection.NotReady ?? _topicProblems.Values.FirstOrDefault()) is { } reason
        ? new SourceStatus(SourceState.Connecting, reason)
        : new SourceStatus(SourceState.Connected, null);

    public Task RunAsync(IIngress ingress, CancellationToken stopping)
    {
        ArgumentNullException.ThrowIfNull(ingress);
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        // The consumer belongs to one thread from its creation to its disposal: closing it while another thread is inside a call
        // takes the process down, and a poll that comes too late takes it out of the group.
        var thread = new Thread(() =>
        {
            try
            {
                new KafkaReader(_settings, _config, _decoder, _connection, _topicProblems, ingress, _clock, _logger).Run(stopping);
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
}
