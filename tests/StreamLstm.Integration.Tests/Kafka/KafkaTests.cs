using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using Confluent.Kafka;
using Microsoft.Extensions.Logging;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Connectors.Kafka;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Integration.Tests.Kafka;

/// <summary>Keeps what is appended; the test decides when an append completes.</summary>
internal sealed class GatedIngress : IIngress
{
    private readonly ConcurrentQueue<(string Stream, long Time, double Value)> _samples = new();
    private readonly ConcurrentQueue<DeadLetter> _deadLetters = new();
    private volatile TaskCompletionSource _gate = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _begun;

    public GatedIngress(bool open = true)
    {
        if (open)
            Open();
    }

    public TimeProvider Clock => TimeProvider.System;

    public IReadOnlyCollection<(string Stream, long Time, double Value)> Samples => _samples;

    public IReadOnlyCollection<DeadLetter> DeadLetters => _deadLetters;

    /// <summary>Appends that were called, complete or not.</summary>
    public int Begun => Volatile.Read(ref _begun);

    public void Open() => _gate.TrySetResult();

    public async ValueTask AppendAsync(SampleBatch batch, CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref _begun);
        await _gate.Task.WaitAsync(cancellationToken);
        for (var i = 0; i < batch.Count; i++)
            _samples.Enqueue((Encoding.UTF8.GetString(batch.Key(i)), batch.EventTime(i), batch.Values(i)[0]));
        foreach (var letter in batch.DeadLetters)
            _deadLetters.Enqueue(letter);
    }

    public string? Position(string source) => null;
}

internal sealed class ListLogger<T> : ILogger<T>
{
    private readonly ConcurrentQueue<string> _lines = new();

    public string Text => string.Join('\n', _lines);

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        _lines.Enqueue($"{logLevel}: {formatter(state, exception)}");
}

/// <summary>A source under test, stopped at the end of its scope.</summary>
internal sealed class RunningSource : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _run;

    public RunningSource(KafkaSourceSettings settings, IIngress ingress, BindingDecoder? decoder = null)
    {
        Source = new KafkaSource(settings, decoder ?? KafkaTests.Decoder(), Logger);
        _run = Source.RunAsync(ingress, _stop.Token);
    }

    public ListLogger<KafkaSource> Logger { get; } = new();

    public KafkaSource Source { get; }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _run.WaitAsync(KafkaTests.Patience);
        _stop.Dispose();
    }
}

internal static class KafkaTests
{
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>Brokers refuse a session below six seconds; the mock cluster doesn't, and lets a rebalance take as long as the session less a second.</summary>
    public static TimeSpan Session(KafkaCluster cluster) => TimeSpan.FromSeconds(cluster.IsMock ? 1.5 : 6);

    /// <summary>Client settings of a group that notices the loss of a member soon.</summary>
    public static Dictionary<string, string> QuickGroup(KafkaCluster cluster) => new()
    {
        ["session.timeout.ms"] = Session(cluster).TotalMilliseconds.ToString(CultureInfo.InvariantCulture),
        ["heartbeat.interval.ms"] = "200",
    };

    private static readonly DateTimeOffset Start = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    /// <summary>Values at /value, time at /time, the record's key as the stream.</summary>
    public static BindingDecoder Decoder() => new([
        new BindingSettings
        {
            Name = "meter",
            Match = "#",
            Stream = "{$key}",
            Time = new BindingTime { At = "/time" },
            Values = new Dictionary<string, BindingValue> { ["value"] = new() { At = "/value" } },
        },
    ]);

    public static KafkaSourceSettings Source(KafkaCluster cluster, string topic) => new()
    {
        Name = "grid",
        BootstrapServers = cluster.BootstrapServers,
        Topics = [topic],
        GroupId = topic + "-group",
        Client = QuickGroup(cluster),
    };

    public static IProducer<string, string> Producer(KafkaCluster cluster) =>
        new ProducerBuilder<string, string>(new ProducerConfig { BootstrapServers = cluster.BootstrapServers, LingerMs = 1 }).Build();

    /// <summary>Produces samples number <paramref name="from"/> up to <paramref name="to"/>, dealt over eight streams.</summary>
    public static async Task ProduceAsync(KafkaCluster cluster, string topic, int from, int to)
    {
        using var producer = Producer(cluster);
        await Task.WhenAll(Enumerable.Range(from, to - from).Select(i =>
        {
            var (stream, time, value) = Sample(i);
            var json = string.Create(CultureInfo.InvariantCulture, $"{{\"time\":{time / 1_000_000},\"value\":{value}}}");
            return producer.ProduceAsync(topic, new Message<string, string> { Key = stream, Value = json });
        })).WaitAsync(Patience);
    }

    public static (string Stream, long Time, double Value) Sample(int i) =>
        ($"meter-{i % 8}", UnixMicros.From(Start.AddMinutes(i)), i * 0.5);

    public static IEnumerable<(string Stream, long Time, double Value)> Samples(int from, int to) => Enumerable.Range(from, to - from).Select(Sample);

    /// <summary>Sum over the partitions of what the group has committed.</summary>
    public static long Committed(KafkaCluster cluster, string topic, string group, int partitions)
    {
        using var consumer = new ConsumerBuilder<byte[], byte[]>(new ConsumerConfig { BootstrapServers = cluster.BootstrapServers, GroupId = group }).Build();
        var all = Enumerable.Range(0, partitions).Select(p => new TopicPartition(topic, p));
        try
        {
            return consumer.Committed(all, Patience).Sum(p => Math.Max(0, p.Offset.Value));
        }
        catch (KafkaException e) when (e.Error.Code == ErrorCode.GroupIdNotFound)
        {
            // Nobody has joined yet.
            return 0;
        }
    }

    public static async Task UntilAsync(Func<bool> condition, Func<string>? what = null)
    {
        var started = TimeProvider.System.GetTimestamp();
        while (!condition())
        {
            if (TimeProvider.System.GetElapsedTime(started) >= Patience)
                Assert.Fail($"Waited in vain. {what?.Invoke()}");
            await Task.Delay(20, TestContext.Current.CancellationToken);
        }
    }
}
