using System.Buffers;
using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Confluent.Kafka;
using Microsoft.Extensions.Logging;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;

namespace StreamLstm.Connectors.Kafka;

/// <summary>Where samples of other sources go in bridge mode.</summary>
public sealed record KafkaBridgeSettings : KafkaSettings
{
    /// <summary>Topic that gets the samples, keyed by stream.</summary>
    public required string Topic { get; init; }

    /// <summary>First part of the topic <c>&lt;prefix&gt;.deadletters</c>.</summary>
    public string TopicPrefix { get; init; } = "streamlstm";
}

/// <summary>
/// An entrance that leads into Kafka: what is appended is durable there before its source acknowledges it. Readings are keyed by stream with
/// the partitioner of Kafka's own clients (<c>murmur2_random</c>), so that each stream is in one partition, in order, for a source with guarantee
/// <c>exactly_once</c> to read. A reading that arrives twice (MQTT QoS 1, a crash before the acknowledgement) is written twice, with the same time.
/// <para>
/// Record: <c>{"time":µs,"values":[…]}</c>, a packet of a signal <c>{"time":µs,"step_us":…,"rows":[[…],…]}</c>; null = missing. Time stamp = arrival.
/// </para>
/// </summary>
public sealed partial class KafkaBridge : IIngress, IDisposable
{
    private static readonly TimeSpan RefusedPause = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan QueueFullPause = TimeSpan.FromMilliseconds(20);

    private readonly KafkaBridgeSettings _settings;
    private readonly ILogger<KafkaBridge> _logger;
    private readonly KafkaConnection _connection;
    private readonly ConcurrentDictionary<string, string> _positions = new(StringComparer.Ordinal);
    private readonly string _deadLetters;
    private readonly ProducerConfig _config;
    private readonly Lock _gate = new();
    private IProducer<byte[], byte[]> _producer;
    private volatile string? _refused;
    private long _samples;

    /// <exception cref="ArgumentException">The settings can't work; the message says why.</exception>
    /// <exception cref="KafkaLibraryException">librdkafka is missing or too old.</exception>
    public KafkaBridge(KafkaBridgeSettings settings, ILogger<KafkaBridge> logger, TimeProvider? clock = null)
    {
        ArgumentNullException.ThrowIfNull(settings);
        if (!KafkaTopic.IsLegal(settings.Topic) || !KafkaTopic.IsLegal(settings.TopicPrefix + ".deadletters"))
            throw new ArgumentException($"{settings.Name}: Topic and TopicPrefix must consist of letters, digits, '.', '_' and '-'.");
        KafkaNative.Load();
        (_settings, _logger, Clock) = (settings, logger, clock ?? TimeProvider.System);
        _connection = new KafkaConnection(settings, logger);
        _deadLetters = settings.TopicPrefix + ".deadletters";
        _config = settings.Over(new ProducerConfig { QueueBufferingMaxKbytes = 64 * 1024, LingerMs = 2 }, "enable.idempotence", "acks", "request.required.acks", "message.timeout.ms", "delivery.timeout.ms", "partitioner");
        _config.EnableIdempotence = true;
        _config.Partitioner = Confluent.Kafka.Partitioner.Murmur2Random;
        // For ever: its source waits for the acknowledgement, and so does whoever sends.
        _config.MessageTimeoutMs = 0;
        _config.DeliveryReportFields = "none";
        _producer = Build();
    }

    public TimeProvider Clock { get; }

    /// <summary>Null when connected, else why not.</summary>
    public string? NotReady => _connection.NotReady ?? _refused;

    /// <summary>Samples that are durable in the topic.</summary>
    public long Samples => Interlocked.Read(ref _samples);

    /// <summary>Of this process only: what a source had not acknowledged before a crash, it takes in again.</summary>
    public string? Position(string source) => _positions.GetValueOrDefault(source);

    public async ValueTask AppendAsync(SampleBatch batch, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(batch);
        var records = new List<(string Topic, Message<byte[], byte[]> Message)>(batch.Count + batch.DeadLetters.Count);
        for (var i = 0; i < batch.Count; i++)
        {
            records.Add((_settings.Topic, new Message<byte[], byte[]>
            {
                Key = batch.Key(i).ToArray(),
                Value = Encode(batch, i),
                Timestamp = new Timestamp(UnixMicros.ToDateTimeOffset(batch.Arrival(i)).UtcDateTime),
            }));
        }

        foreach (var letter in batch.DeadLetters)
            records.Add((_deadLetters, new Message<byte[], byte[]> { Key = Encoding.UTF8.GetBytes(letter.Source), Value = DeadLetterJson.Of(letter) }));
        while (records.Count > 0)
        {
            records = await SendAsync(records, cancellationToken);
            if (records.Count > 0)
                await Task.Delay(RefusedPause, Clock, cancellationToken);
        }

        Interlocked.Add(ref _samples, batch.Count);
        if (batch is { SourceName: { } source, SourcePosition: { } position })
            _positions[source] = position;
    }

    public void Dispose() => _producer.Dispose();

    private static byte[] Encode(SampleBatch batch, int i)
    {
        var buffer = new ArrayBufferWriter<byte>(64 + (batch.Values(i).Length * 12));
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { SkipValidation = true }))
        {
            json.WriteStartObject();
            json.WriteNumber("time"u8, batch.EventTime(i));
            if (batch.StepMicros(i) > 0)
            {
                json.WriteNumber("step_us"u8, batch.StepMicros(i));
                json.WriteStartArray("rows"u8);
                for (var k = 0; k < batch.Rows(i); k++)
                    Write(json, batch.Values(i, k));
                json.WriteEndArray();
            }
            else
            {
                json.WritePropertyName("values"u8);
                Write(json, batch.Values(i));
            }

            json.WriteEndObject();
        }

        return buffer.WrittenSpan.ToArray();
    }

    private static void Write(Utf8JsonWriter json, ReadOnlySpan<double> values)
    {
        json.WriteStartArray();
        foreach (var v in values)
        {
            if (double.IsFinite(v))
                json.WriteNumberValue(v);
            else
                json.WriteNullValue();
        }

        json.WriteEndArray();
    }

    private IProducer<byte[], byte[]> Build() => new ProducerBuilder<byte[], byte[]>(_config)
        .SetErrorHandler((_, error) => _connection.OnError(error))
        .SetLogHandler((_, message) => _connection.OnLog(message))
        .SetStatisticsHandler((_, json) => _connection.OnProducerStatistics(json))
        .Build();

    /// <returns>What was not delivered, in the order given.</returns>
    private async Task<List<(string Topic, Message<byte[], byte[]> Message)>> SendAsync(List<(string Topic, Message<byte[], byte[]> Message)> records, CancellationToken cancellationToken)
    {
        var errors = new Error?[records.Count];
        var open = records.Count;
        var all = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var producer = _producer;
        void Report(int index, Error error)
        {
            if (error.IsError)
                errors[index] = error;
            if (Interlocked.Decrement(ref open) == 0)
                all.SetResult();
        }

        for (var i = 0; i < records.Count; i++)
        {
            var index = i;
            while (!TryProduce(producer, records[index].Topic, records[index].Message, error => Report(index, error)))
                await Task.Delay(QueueFullPause, Clock, cancellationToken);
        }

        await all.Task.WaitAsync(cancellationToken);
        var failed = new List<(string, Message<byte[], byte[]>)>();
        _refused = null;
        for (var i = 0; i < records.Count; i++)
        {
            if (errors[i] is not { } error)
                continue;
            if (error.Code is ErrorCode.MsgSizeTooLarge or ErrorCode.InvalidMsgSize or ErrorCode.InvalidRecord)
            {
                Log.RecordRefused(_logger, _settings.Name, records[i].Topic, records[i].Message.Value.Length, error.Reason);
                continue;
            }

            failed.Add(records[i]);
            _refused ??= string.Create(CultureInfo.InvariantCulture, $"topic '{records[i].Topic}': {error.Reason}");
            if (error.IsFatal)
                Renew(producer);
        }

        if (_refused is { } reason)
            Log.Refused(_logger, _settings.Name, failed.Count, reason);
        return failed;
    }

    private void Renew(IProducer<byte[], byte[]> broken)
    {
        lock (_gate)
        {
            if (!ReferenceEquals(_producer, broken))
                return;
            _producer = Build();
        }

        broken.Dispose();
    }

    /// <summary>False = librdkafka's queue is full.</summary>
    private static bool TryProduce(IProducer<byte[], byte[]> producer, string topic, Message<byte[], byte[]> message, Action<Error> report)
    {
        try
        {
            producer.Produce(topic, message, delivered => report(delivered.Error));
            return true;
        }
        catch (ProduceException<byte[], byte[]> e) when (e.Error.Code == ErrorCode.Local_QueueFull)
        {
            return false;
        }
        catch (ProduceException<byte[], byte[]> e)
        {
            report(e.Error);
            return true;
        }
    }

    private static partial class Log
    {
        [LoggerMessage(470, LogLevel.Error, "{Name} skips a record of {Bytes} bytes for {Topic}, which the cluster will never take: {Reason}")]
        public static partial void RecordRefused(ILogger logger, string name, string topic, int bytes, string reason);

        [LoggerMessage(471, LogLevel.Warning, "{Name} waits with {Count} records: {Reason}")]
        public static partial void Refused(ILogger logger, string name, int count, string reason);
    }
}

/// <summary>A source whose samples go into the bridge instead of the worker's journal.</summary>
public sealed class BridgedSource(ISampleSource inner, KafkaBridge bridge) : ISampleSource
{
    public string Name => inner.Name;

    public SourceStatus Status => bridge.NotReady is { } reason ? new SourceStatus(SourceState.Connecting, reason) : inner.Status;

    public Task RunAsync(IIngress ingress, CancellationToken stopping) => inner.RunAsync(bridge, stopping);
}
