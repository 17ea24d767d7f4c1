using System.Diagnostics;
using Confluent.Kafka;
using Microsoft.Extensions.Logging;
using StreamLstm.Runtime.Partitioned;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Connectors.Kafka.Partitions;

/// <summary>
/// The one trainer of a source's shared models, run by the worker that owns the first partition of the first topic, on a thread of its own.
/// It reads the training topic and writes a version with its state in one transaction; a trainer elsewhere that still believes itself to be the one
/// is fenced by the transactional id. Workers put a version into service at a commit of their own.
/// </summary>
internal sealed partial class KafkaTrainer : IDisposable
{
    private static readonly TimeSpan Request = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(200);

    private readonly KafkaPartitionSettings _settings;
    private readonly KafkaPartitionConfig _config;
    private readonly PartitionFactory _factory;
    private readonly KafkaModels _models;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _stop = new();
    private readonly Thread _thread;

    public KafkaTrainer(KafkaPartitionSettings settings, KafkaPartitionConfig config, PartitionFactory factory, KafkaModels models, ILogger logger)
    {
        (_settings, _config, _factory, _models, _logger) = (settings, config, factory, models, logger);
        _thread = new Thread(Run) { IsBackground = true, Name = $"kafka trainer {settings.Name}" };
        _thread.Start();
    }

    public void Dispose()
    {
        _stop.Cancel();
        _thread.Join();
        _stop.Dispose();
    }

    private void Run()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                Train();
            }
            catch (OperationCanceledException) when (_stop.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e) when (e is KafkaException or CorruptLogException)
            {
                // Fenced, the cluster away, or a foreign record: results don't wait for it.
                Log.Interrupted(_logger, _settings.Name, e.Message);
                _stop.Token.WaitHandle.WaitOne(Request);
            }
        }
    }

    private void Train()
    {
        using var producer = new ProducerBuilder<byte[], byte[]>(_config.Producer("trainer")).SetLogHandler((_, _) => { }).SetErrorHandler((_, _) => { }).Build();
        producer.InitTransactions(Request * 4);
        // After the id is ours nobody else writes a version.
        _models.CatchUp(_stop.Token);
        var (states, rounds) = _models.History();
        var trainer = _factory.CreateTrainer(states, rounds);
        using var consumer = new ConsumerBuilder<byte[], byte[]>(_config.Restore()).SetLogHandler((_, _) => { }).SetErrorHandler((_, _) => { }).Build();
        consumer.Assign(new TopicPartitionOffset(_settings.Training, 0, Offset.Beginning));
        while (!_stop.IsCancellationRequested)
        {
            if (consumer.Consume(Poll) is not { IsPartitionEOF: false } record)
                continue;
            trainer.Apply(record.Offset.Value, record.Message.Value ?? []);
            while (trainer.Due is { } profile)
                Round(producer, trainer, profile);
        }
    }

    private void Round(IProducer<byte[], byte[]> producer, SharedTrainer trainer, string profile)
    {
        var started = Stopwatch.GetTimestamp();
        var made = trainer.Round(profile, _stop.Token);
        _factory.RecordRound(profile, made is not null);
        if (made is null)
            return;
        var version = _models.NextVersion(profile);
        producer.BeginTransaction();
        producer.Produce(_settings.Models, KafkaModels.Weights(profile, version, trainer.Next, made.Weights));
        producer.Produce(_settings.Models, KafkaModels.State(profile, made.TrainerState));
        producer.CommitTransaction(Request * 4);
        _models.CatchUp(_stop.Token);
        var elapsed = Stopwatch.GetElapsedTime(started);
        Log.Trained(_logger, _settings.Name, profile, version, made.Loss, elapsed.TotalMilliseconds);
        // Rows wait meanwhile; rounds are due by their number, so a rest changes when weights come, not what they are.
        if (_factory.TrainingShare < 1)
            _stop.Token.WaitHandle.WaitOne(elapsed * ((1 / _factory.TrainingShare) - 1));
    }

    private static partial class Log
    {
        [LoggerMessage(465, LogLevel.Information, "{Name}: profile {Profile} has model version {Version}, training loss {Loss:F4}, {Milliseconds:F0} ms")]
        public static partial void Trained(ILogger logger, string name, string profile, int version, float loss, double milliseconds);

        [LoggerMessage(466, LogLevel.Warning, "{Name}: training is interrupted and begins anew: {Reason}")]
        public static partial void Interrupted(ILogger logger, string name, string reason);
    }
}
