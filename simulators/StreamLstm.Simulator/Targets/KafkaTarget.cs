using System.Buffers;
using System.Diagnostics;
using System.Text.Json;
using Confluent.Kafka;
using StreamLstm.Connectors.Kafka;

namespace StreamLstm.Simulator.Targets;

/// <summary>
/// One record per sample, keyed by stream and in order within it. librdkafka sends again by itself what was not
/// acknowledged.
/// </summary>
internal sealed class KafkaTarget : ISampleTarget
{
    /// <summary>As long as the other targets try in all.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(26);

    private static readonly TimeSpan QueueFullPause = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan ReachStep = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan FlushWait = TimeSpan.FromMilliseconds(100);

    private readonly IProducer<string, byte[]> _producer;
    private readonly string _server;
    private readonly string _topic;
    private readonly TimeProvider _clock;
    private readonly ArrayBufferWriter<byte> _value = new(256);
    private readonly Utf8JsonWriter _json;
    private volatile string? _failure;
    private volatile string? _problem;

    private KafkaTarget(Uri server, TimeProvider clock)
    {
        _topic = server.AbsolutePath.Trim('/');
        _server = $"{server.IdnHost}:{(server.Port > 0 ? server.Port : 9092)}";
        _clock = clock;
        _json = new Utf8JsonWriter(_value);
        var config = new ProducerConfig
        {
            BootstrapServers = _server,
            ClientId = "streamlstm-sim",
            EnableIdempotence = true,
            Partitioner = Partitioner.Murmur2Random,
            MessageTimeoutMs = (int)Patience.TotalMilliseconds,
            DeliveryReportFields = "none",
        };
        _producer = new ProducerBuilder<string, byte[]>(config)
            .SetErrorHandler((_, error) => Problem(error))
            .SetLogHandler((_, message) => Trace.WriteLine(message.Message))
            .Build();
    }

    /// <exception cref="DeliveryException">The cluster can't be reached, or librdkafka is missing.</exception>
    public static async Task<KafkaTarget> ConnectAsync(Uri server, TimeProvider clock, CancellationToken stopping)
    {
        try
        {
            KafkaNative.Load();
        }
        catch (KafkaLibraryException e)
        {
            throw new DeliveryException(e.Message, e);
        }

        var target = new KafkaTarget(server, clock);
        try
        {
            await Task.Run(() => target.Reach(stopping), CancellationToken.None);
            return target;
        }
        catch
        {
            await target.DisposeAsync();
            throw;
        }
    }

    public ValueTask SendAsync(in Sample sample, CancellationToken stopping)
    {
        _value.ResetWrittenCount();
        sample.WriteTo(_json, withStream: false);
        _json.Flush();
        _json.Reset();
        return ProduceAsync(new Message<string, byte[]> { Key = sample.Stream, Value = _value.WrittenSpan.ToArray() }, stopping);
    }

    public async ValueTask FlushAsync(CancellationToken stopping)
    {
        while (await Task.Run(() => _producer.Flush(FlushWait), stopping) > 0)
        {
            ThrowIfFailed();
            stopping.ThrowIfCancellationRequested();
        }

        ThrowIfFailed();
    }

    public async ValueTask DisposeAsync()
    {
        _producer.Dispose();
        await _json.DisposeAsync();
    }

    private async ValueTask ProduceAsync(Message<string, byte[]> message, CancellationToken stopping)
    {
        while (true)
        {
            ThrowIfFailed();
            try
            {
                _producer.Produce(_topic, message, Delivered);
                return;
            }
            catch (ProduceException<string, byte[]> e) when (e.Error.Code == ErrorCode.Local_QueueFull)
            {
                await Task.Delay(QueueFullPause, _clock, stopping);
            }
            catch (ProduceException<string, byte[]> e)
            {
                throw new DeliveryException($"kafka://{_server}/{_topic}: {e.Error.Reason}", e);
            }
        }
    }

    /// <summary>Asks for the topic, so that a wrong address shows before the first sample.</summary>
    private void Reach(CancellationToken stopping)
    {
        using IAdminClient admin = new DependentAdminClientBuilder(_producer.Handle).Build();
        long started = _clock.GetTimestamp();
        KafkaException? failure = null;
        while (_clock.GetElapsedTime(started) < Patience)
        {
            // In short steps, as the native call can't be interrupted and the producer must outlive it.
            stopping.ThrowIfCancellationRequested();
            try
            {
                _ = admin.GetMetadata(_topic, ReachStep);
                return;
            }
            catch (KafkaException e)
            {
                failure = e;
            }
        }

        throw new DeliveryException($"kafka://{_server}/{_topic}: {_problem ?? failure?.Error.Reason}; given up after {Patience.TotalSeconds} s.", failure);
    }

    private void Delivered(DeliveryReport<string, byte[]> report)
    {
        if (report.Error.IsError)
        {
            _failure ??= $"kafka://{_server}/{_topic}: {report.Error.Reason}";
        }
    }

    private void Problem(Error error)
    {
        if (error.Code == ErrorCode.Local_AllBrokersDown)
        {
            return;
        }

        if (Interlocked.Exchange(ref _problem, error.Reason) is null)
        {
            Console.Error.WriteLine($"kafka://{_server}: {error.Reason}; trying again.");
        }
    }

    private void ThrowIfFailed()
    {
        if (_failure is { } failure)
        {
            throw new DeliveryException(failure);
        }
    }
}
