using Confluent.Kafka;
using Microsoft.Extensions.Logging;
using StreamLstm.Runtime.Output;

namespace StreamLstm.Connectors.Kafka;

/// <summary>
/// Publishes to <c>&lt;prefix&gt;.results</c>, <c>.episodes</c> and <c>.deadletters</c>, keyed by stream with the partitioner of
/// Kafka's own clients, so that a stream's records stay in order in one partition.
/// </summary>
public sealed partial class KafkaSink : IResultSink
{
    private static readonly TimeSpan RefusedPause = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan QueueFullPause = TimeSpan.FromMilliseconds(20);

    private readonly KafkaSinkSettings _settings;
    private readonly ILogger<KafkaSink> _logger;
    private readonly TimeProvider _clock;
    private readonly KafkaConnection _connection;
    private readonly ProducerConfig _config;
    private readonly string _results;
    private readonly string _episodes;
    private readonly string _deadLetters;
    private IProducer<string, ReadOnlyMemory<byte>>? _producer;
    private volatile string? _refused;

    /// <param name="clock">For pauses. Null = the system's.</param>
    /// <exception cref="ArgumentException">The settings can't work; the message says why.</exception>
    /// <exception cref="KafkaLibraryException">librdkafka is missing or too old.</exception>
    public KafkaSink(KafkaSinkSettings settings, ILogger<KafkaSink> logger, TimeProvider? clock = null)
    {
        ArgumentNullException.ThrowIfNull(settings);
        if (!KafkaTopic.IsLegal(settings.TopicPrefix + ".deadletters"))
            throw new ArgumentException($"Sink '{settings.Name}': TopicPrefix must consist of letters, digits, '.', '_' and '-', at most 237 of them.");
        KafkaNative.Load();

        _settings = settings;
        _logger = logger;
        _clock = clock ?? TimeProvider.System;
        _connection = new KafkaConnection(settings, logger);
        _results = settings.TopicPrefix + ".results";
        _episodes = settings.TopicPrefix + ".episodes";
        _deadLetters = settings.TopicPrefix + ".deadletters";
        var defaults = new ProducerConfig
        {
            // Native memory for records that wait; the default is 1 GB.
            QueueBufferingMaxKbytes = 64 * 1024,
        };
        _config = settings.Over(defaults, "enable.idempotence", "acks", "request.required.acks", "message.timeout.ms", "delivery.timeout.ms", "partitioner");
        _config.EnableIdempotence = true;
        _config.Partitioner = Partitioner.Murmur2Random;

        // For ever: a record given up would be lost, as its commit is long done.
        _config.MessageTimeoutMs = 0;
        _config.DeliveryReportFields = "none";
    }

    public string Name => _settings.Name;

    public string? NotReady => _connection.NotReady ?? _refused;

    public ValueTask OpenAsync(SinkMark durable, CancellationToken cancellationToken)
    {
        _producer = Build();
        return ValueTask.CompletedTask;
    }

    public async ValueTask<SinkMark> PublishAsync(long commit, IReadOnlyList<OutputRecord> records, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(records);
        if (_producer is null)
            throw new InvalidOperationException($"Sink '{Name}' is not open.");
        while (records.Count > 0)
        {
            var failed = await SendAsync(records, cancellationToken);
            _refused = failed.Count > 0 ? failed[0].Reason : null;
            if (failed.Count == 0)
                break;

            // A missing topic, an access rule or a quota: someone must act at the cluster, meanwhile nothing is skipped.
            Log.Refused(_logger, Name, failed.Count, failed[0].Reason);
            if (failed.Exists(f => f.IsFatal))
            {
                _producer.Dispose();
                _producer = Build();
            }

            await Task.Delay(RefusedPause, _clock, cancellationToken);
            records = failed.ConvertAll(f => f.Record);
        }

        return new SinkMark(commit, 0);
    }

    public ValueTask DisposeAsync()
    {
        _producer?.Dispose();
        _producer = null;
        return ValueTask.CompletedTask;
    }

    private IProducer<string, ReadOnlyMemory<byte>> Build() => new ProducerBuilder<string, ReadOnlyMemory<byte>>(_config)
        .SetValueSerializer(JsonBytes.Instance)
        .SetErrorHandler((_, error) => _connection.OnError(error))
        .SetLogHandler((_, message) => _connection.OnLog(message))
        .SetStatisticsHandler((_, json) => _connection.OnProducerStatistics(json))
        .Build();

    /// <summary>Hands all records over and waits for every delivery report.</summary>
    /// <returns>What was not delivered and may be another time, in the order given.</returns>
    private async Task<List<Failure>> SendAsync(IReadOnlyList<OutputRecord> records, CancellationToken cancellationToken)
    {
        var errors = new Error?[records.Count];
        var open = records.Count;
        var allReported = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        for (var i = 0; i < records.Count; i++)
        {
            var (topic, index) = (TopicOf(records[i].Kind), i);
            var message = new Message<string, ReadOnlyMemory<byte>> { Key = records[i].Stream, Value = records[i].Json };
            while (!TryProduce(topic, message, error => Report(index, error)))
                await Task.Delay(QueueFullPause, _clock, cancellationToken);
        }

        await allReported.Task.WaitAsync(cancellationToken);
        var failed = new List<Failure>();
        for (var i = 0; i < records.Count; i++)
        {
            if (errors[i] is not { } error)
                continue;
            var topic = TopicOf(records[i].Kind);
            if (IsPermanent(error.Code))
            {
                // Waiting would hold everything behind it for ever; the record stays available through the other outputs.
                Log.RecordRefused(_logger, Name, topic, records[i].Json.Length, error.Reason);
                continue;
            }

            failed.Add(new Failure(records[i], $"topic '{topic}': {error.Reason}", error.IsFatal));
        }

        return failed;

        void Report(int index, Error error)
        {
            if (error.IsError)
                errors[index] = error;
            if (Interlocked.Decrement(ref open) == 0)
                allReported.SetResult();
        }
    }

    /// <summary>False = librdkafka's queue is full.</summary>
    private bool TryProduce(string topic, Message<string, ReadOnlyMemory<byte>> message, Action<Error> report)
    {
        try
        {
            _producer!.Produce(topic, message, delivered => report(delivered.Error));
            return true;
        }
        catch (ProduceException<string, ReadOnlyMemory<byte>> e) when (e.Error.Code == ErrorCode.Local_QueueFull)
        {
            return false;
        }
        catch (ProduceException<string, ReadOnlyMemory<byte>> e)
        {
            report(e.Error);
            return true;
        }
    }

    private string TopicOf(OutputKind kind) => kind switch
    {
        OutputKind.Result => _results,
        OutputKind.Episode => _episodes,
        OutputKind.DeadLetter => _deadLetters,
        _ => throw new InvalidOperationException($"Output kind {kind} has no topic."),
    };

    /// <summary>Nothing at the cluster but its limits could make it take this record.</summary>
    private static bool IsPermanent(ErrorCode code) =>
        code is ErrorCode.MsgSizeTooLarge or ErrorCode.RecordListTooLarge or ErrorCode.InvalidMsgSize or ErrorCode.InvalidRecord;

    private readonly record struct Failure(OutputRecord Record, string Reason, bool IsFatal);

    private sealed class JsonBytes : ISerializer<ReadOnlyMemory<byte>>
    {
        public static readonly JsonBytes Instance = new();

        public byte[] Serialize(ReadOnlyMemory<byte> data, SerializationContext context) => KafkaBytes.Whole(data);
    }

    private static partial class Log
    {
        [LoggerMessage(420, LogLevel.Error, "{Name} skips a record of {Bytes} bytes for {Topic}, which the cluster will never take: {Reason}")]
        public static partial void RecordRefused(ILogger logger, string name, string topic, int bytes, string reason);

        [LoggerMessage(421, LogLevel.Warning, "{Name} waits with {Count} records: {Reason}")]
        public static partial void Refused(ILogger logger, string name, int count, string reason);
    }
}
