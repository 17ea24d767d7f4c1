using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Confluent.Kafka;
using Confluent.Kafka.Admin;
using StreamLstm.Connectors.Kafka.Partitions;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent;
using StreamLstm.Integration.Tests.Crash;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Sharding;

namespace StreamLstm.Integration.Tests.Kafka;

/// <summary>
/// Topics of its own on a cluster with transactions, readings to write to them, workers as processes, and what a consumer that reads
/// committed finds. librdkafka's mock cluster has no transactions (open and aborted ones are visible, their offsets aren't applied), so
/// these tests need <c>STREAMLSTM_TEST_KAFKA=host:port</c> and are skipped without it.
/// </summary>
internal sealed class TransactionalRig : IDisposable
{
    public const string Skipped =
        "needs a cluster with transactions: set STREAMLSTM_TEST_KAFKA=host:port (librdkafka's mock cluster shows open and aborted transactions and doesn't apply their offsets)";

    private static readonly TimeSpan Step = TimeSpan.FromMinutes(1);

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("streamlstm-kafka-");
    private readonly string _name = "x" + Guid.NewGuid().ToString("N")[..8];
    private readonly int _streams;
    private int _partitions;
    private readonly long _start;
    private IProducer<string, string> _producer;
    private readonly Dictionary<string, IConsumer<byte[], byte[]>> _groups = [];
    private int _workers;

    private TransactionalRig(string servers, int streams, int partitions)
    {
        (Servers, _streams, _partitions) = (servers, streams, partitions);
        Topic = _name + ".in";
        // Recent enough that no silence is noticed, however the test is delayed; not ahead of the clock, which clusters refuse.
        _start = (TimeProvider.System.GetUtcNow() - TimeSpan.FromDays(2)).ToUnixTimeMilliseconds() / 60_000 * 60_000;
        _producer = NewProducer();
    }

    public string Servers { get; }

    public string Topic { get; private set; }

    public string Folder => _folder.FullName;

    public DateTimeOffset TimeOf(int minute) => DateTimeOffset.FromUnixTimeMilliseconds(_start) + (minute * Step);

    /// <summary>What the workers have said, for failure messages.</summary>
    public List<WorkerProcess> Workers { get; } = [];

    public static async Task<TransactionalRig> CreateAsync(int streams = 36, int partitions = 12)
    {
        if (Environment.GetEnvironmentVariable("STREAMLSTM_TEST_KAFKA") is not { Length: > 0 } servers)
            Assert.Skip(Skipped);
        KafkaCluster.LoadLibrary();
        var rig = new TransactionalRig(Environment.GetEnvironmentVariable("STREAMLSTM_TEST_KAFKA")!, streams, partitions);
        await rig.InitialiseAsync("a");
        return rig;
    }

    /// <summary>The topics of one of several independent fleets over the same input.</summary>
    /// <param name="network">Whether there is a model.</param>
    public async Task InitialiseAsync(string fleet, bool network = true)
    {
        using var topology = new KafkaTopology(Settings(fleet));
        await topology.InitialiseAsync(_partitions, -1);
        await topology.CheckAsync();

        if (!network)
            return;
        // A network with arbitrary weights, so that its state counts as well; where nothing is learnt, it stays the same for all.
        var shape = new ProfileRuntime(0, new Profile { Name = "load", Interval = Step, Season = TimeSpan.FromMinutes(96), HorizonSteps = 4, HiddenSize = 8, Tier = Tier.Lean }).Shape;
        using var producer = RawProducer();
        await producer.ProduceAsync(Prefix(fleet) + ".models", KafkaModels.Weights("load", 1, 0, LstmForecasterWeights.Create(shape, 5).ToBytes()));
    }

    /// <summary>Another input topic.</summary>
    public async Task StartAnewAsync(string fleet)
    {
        Topic = _name + ".in2";
        await InitialiseAsync(fleet, network: false);
    }

    public KafkaPartitionSettings Settings(string fleet) => new()
    {
        Name = "meters",
        BootstrapServers = Servers,
        Topics = [Topic],
        GroupId = Group(fleet),
        TopicPrefix = Prefix(fleet),
        Client = KafkaCluster.Client,
    };

    /// <summary>More partitions for the input, as an operator would.</summary>
    public async Task GrowAsync(int partitions)
    {
        using var admin = new AdminClientBuilder(KafkaCluster.Secured(new AdminClientConfig { BootstrapServers = Servers })).Build();
        await admin.CreatePartitionsAsync(new[] { Topic, Prefix("a") + ".results", Prefix("a") + ".episodes", Prefix("a") + ".deadletters" }
            .Select(t => new PartitionsSpecification { Topic = t, IncreaseTo = partitions }));
        _partitions = partitions;
        await Task.Delay(500);
        // New clients know of them at once.
        foreach (var consumer in _groups.Values)
            consumer.Dispose();
        _groups.Clear();
        _producer.Dispose();
        _producer = NewProducer();
    }

    public string Group(string fleet) => $"{_name}.{fleet}";

    public string Prefix(string fleet) => $"{_name}.{fleet}";

    /// <param name="change">More keys of the source.</param>
    /// <param name="learning">Whether the shared model goes on learning; where bytes are compared, it must not.</param>
    public string WriteConfiguration(string fleet, Action<JsonObject>? change = null, string? state = null, bool learning = false)
    {
        var source = new JsonObject
        {
            ["Type"] = "kafka",
            ["BootstrapServers"] = Servers,
            ["Topics"] = Topic,
            ["GroupId"] = Group(fleet),
            ["TopicPrefix"] = Prefix(fleet),
            ["CommitInterval"] = "10ms",
            ["Client"] = new JsonObject { ["session.timeout.ms"] = "6000" },
            ["Bindings"] = new JsonObject
            {
                ["reading"] = new JsonObject
                {
                    ["Match"] = Topic,
                    ["Stream"] = "{$key}",
                    ["Time"] = new JsonObject { ["At"] = "/t" },
                    ["Values"] = new JsonObject { ["v"] = new JsonObject { ["At"] = "/v" } },
                },
            },
        };
        foreach (var (key, value) in KafkaCluster.Client)
            source["Client"]![key] = value;
        change?.Invoke(source);
        var number = Interlocked.Increment(ref _workers);
        var json = new JsonObject
        {
            ["StreamLstm"] = new JsonObject
            {
                ["State"] = new JsonObject { ["Directory"] = state ?? Path.Combine(_folder.FullName, $"state-{number}") },
                ["Http"] = new JsonObject { ["Url"] = $"http://127.0.0.1:{WorkerProcess.FreePort()}" },
                ["Sources"] = new JsonObject { ["meters"] = source },
                ["Profiles"] = new JsonObject
                {
                    ["load"] = new JsonObject
                    {
                        ["Select"] = "m/*",
                        ["Interval"] = "1m",
                        ["Season"] = "96m",
                        ["HorizonSteps"] = "4",
                        ["HiddenSize"] = "8",
                        ["Tier"] = "lean",
                        ["AllowedLateness"] = "1m",
                        ["MaxWait"] = "7d",
                        ["MaxGapFrames"] = "2",
                        ["Sensitivity"] = "20",
                        ["Learning"] = learning ? "true" : "false",
                    },
                },
            },
        };
        var path = Path.Combine(_folder.FullName, $"worker-{number}.json");
        File.WriteAllText(path, json.ToJsonString());
        return path;
    }

    public WorkerProcess Start(string configuration)
    {
        var worker = WorkerProcess.Start("run", "--config", configuration);
        Workers.Add(worker);
        return worker;
    }

    /// <summary>What the fleet of meters sends in some minutes: daily cycles, noise, gaps, late, repeated and bad readings.</summary>
    public async Task ProduceAsync(int from, int to, TimeSpan pause = default)
    {
        for (var minute = from; minute < to; minute++)
        {
            for (var s = 0; s < _streams; s++)
            {
                var random = new CounterRandom(11, (ulong)s);
                if (random.Below(30, (ulong)minute) == 0)
                    continue;
                var value = 100 + s + (40 * Math.Sin(2 * Math.PI * ((minute % 96) + s) / 96)) + (random.Below(1000, (ulong)minute + 1_000_000) / 100.0) + (random.Below(80, (ulong)minute + 2_000_000) == 0 ? 300 : 0);
                Send(s, minute, minute, value);
                if (random.Below(25, (ulong)minute + 3_000_000) == 0)
                    Send(s, minute - 1, minute, value + 1);
                if (random.Below(60, (ulong)minute + 4_000_000) == 0)
                    Send(s, minute - 9, minute, value);
                if (random.Below(90, (ulong)minute + 5_000_000) == 0)
                    _producer.Produce(Topic, new Message<string, string> { Key = $"m/{s}", Value = "not json", Timestamp = Stamp(minute) });
            }

            if (pause > TimeSpan.Zero)
                await Task.Delay(pause);
        }

        _producer.Flush(TimeSpan.FromSeconds(30));
    }

    /// <summary>What a worker of its own makes of the same input that nobody disturbs, in larger commits.</summary>
    public async Task<List<string>> UninterruptedAsync(bool network = true)
    {
        await InitialiseAsync("reference", network);
        var worker = Start(WriteConfiguration("reference", source => source["CommitInterval"] = "200ms"));
        await UntilReadAsync("reference", TimeSpan.FromSeconds(90));
        Assert.Equal(0, await worker.TerminateAsync(TimeSpan.FromSeconds(20)));
        return Outputs("reference");
    }

    /// <summary>Waits until the group has committed everything that was sent.</summary>
    public async Task UntilReadAsync(string fleet, TimeSpan limit)
    {
        var started = Stopwatch.StartNew();
        while (true)
        {
            var (committed, end) = Lag(fleet);
            if (committed >= end)
                return;
            if (started.Elapsed > limit)
                Assert.Fail($"{committed} of {end} records after {limit}.\n{Logs}");
            await Task.Delay(100);
        }
    }

    public string Logs => string.Join("\n---\n", Workers.Select(w => w.Log));

    public (long Committed, long End) Lag(string fleet)
    {
        // Asks about the group without joining it.
        if (!_groups.TryGetValue(fleet, out var consumer))
            _groups[fleet] = consumer = new ConsumerBuilder<byte[], byte[]>(KafkaCluster.Secured(new ConsumerConfig { BootstrapServers = Servers, GroupId = Group(fleet) })).SetLogHandler((_, _) => { }).Build();
        var partitions = Enumerable.Range(0, _partitions).Select(p => new TopicPartition(Topic, p)).ToList();
        long committed;
        try
        {
            committed = consumer.Committed(partitions, TimeSpan.FromSeconds(20)).Sum(o => o.Offset.IsSpecial ? 0 : o.Offset.Value);
        }
        catch (KafkaException e) when (e.Error.Code == ErrorCode.GroupIdNotFound)
        {
            committed = 0;
        }

        return (committed, partitions.Sum(p => consumer.QueryWatermarkOffsets(p, TimeSpan.FromSeconds(20)).High.Value));
    }

    /// <summary>All records of the fleet's results, episodes and dead letters; per key in their order.</summary>
    public List<string> Outputs(string fleet, IsolationLevel isolation = IsolationLevel.ReadCommitted) =>
        [.. new[] { ".results", ".episodes", ".deadletters" }.SelectMany(t => Read(Prefix(fleet) + t, isolation).Select(r => $"{t} {Encoding.UTF8.GetString(r.Message.Key)} {Encoding.UTF8.GetString(r.Message.Value)}"))];

    public List<ConsumeResult<byte[], byte[]>> Read(string topic, IsolationLevel isolation = IsolationLevel.ReadCommitted, int? partitions = null)
    {
        var count = partitions ?? _partitions;
        using var consumer = new ConsumerBuilder<byte[], byte[]>(KafkaCluster.Secured(new ConsumerConfig
        {
            BootstrapServers = Servers,
            GroupId = _name + "-witness",
            IsolationLevel = isolation,
            EnablePartitionEof = true,
            EnableAutoCommit = false,
        })).SetLogHandler((_, _) => { }).Build();
        consumer.Assign(Enumerable.Range(0, count).Select(p => new TopicPartitionOffset(topic, p, Offset.Beginning)));
        var read = new List<ConsumeResult<byte[], byte[]>>();
        var ends = new HashSet<int>();
        while (ends.Count < count)
        {
            if (consumer.Consume(TimeSpan.FromSeconds(20)) is not { } record)
                throw new TimeoutException($"{topic} doesn't end.");
            if (record.IsPartitionEOF)
                ends.Add(record.Partition.Value);
            else
                read.Add(record);
        }

        // Order holds within a partition, and so within a key; which partition came first means nothing.
        return [.. read.OrderBy(r => r.Partition.Value).ThenBy(r => r.Offset.Value)];
    }

    public IProducer<byte[], byte[]> RawProducer(string? transactionalId = null) => new ProducerBuilder<byte[], byte[]>(KafkaCluster.Secured(new ProducerConfig { BootstrapServers = Servers, TransactionalId = transactionalId })).SetLogHandler((_, _) => { }).Build();

    /// <summary>One after the other per key: streams with as many dead letters as the engine has share a key.</summary>
    public void AssertSame(List<string> expected, List<string> actual, string because)
    {
        var (a, b) = (PerKey(expected), PerKey(actual));
        Assert.True(a.Keys.ToHashSet().SetEquals(b.Keys), because);
        foreach (var (key, lines) in a)
        {
            if (lines.SequenceEqual(b[key]))
                continue;
            var at = lines.Zip(b[key]).TakeWhile(p => p.First == p.Second).Count();
            string Around(List<string> all) => string.Join('\n', all.Skip(Math.Max(0, at - 2)).Take(5).Select(l => l[..Math.Min(l.Length, 220)]));
            Assert.Fail($"{because}: {key} differs from its record {at} on ({lines.Count} expected, {b[key].Count} actual).\nExpected:\n{Around(lines)}\nActual:\n{Around(b[key])}\n{Logs}");
        }
    }

    private static Dictionary<string, List<string>> PerKey(List<string> outputs) => outputs
        .GroupBy(o => string.Join(' ', o.Split(' ', 3).Take(2)))
        .ToDictionary(
            g => g.Key,
            // Dead letters are keyed by their source, so several partitions write to one: their order among each other means nothing.
            g => g.Key.StartsWith(".deadletters", StringComparison.Ordinal) ? [.. g.Order(StringComparer.Ordinal)] : g.ToList());

    public void Dispose()
    {
        foreach (var worker in Workers)
            worker.Dispose();
        foreach (var consumer in _groups.Values)
            consumer.Dispose();
        _producer.Dispose();
        _folder.Delete(recursive: true);
    }

    private void Send(int stream, int minute, int arrival, double value) => _producer.Produce(
        Topic,
        new Message<string, string>
        {
            Key = $"m/{stream}",
            Value = string.Create(CultureInfo.InvariantCulture, $"{{\"t\":{_start + (minute * (long)Step.TotalMilliseconds)},\"v\":{value:F2}}}"),
            Timestamp = Stamp(arrival),
        });

    private IProducer<string, string> NewProducer() =>
        new ProducerBuilder<string, string>(KafkaCluster.Secured(new ProducerConfig { BootstrapServers = Servers, EnableIdempotence = true, LingerMs = 1, Partitioner = Partitioner.Murmur2Random })).SetLogHandler((_, _) => { }).Build();

    private Timestamp Stamp(int minute) => new(_start + (minute * (long)Step.TotalMilliseconds) + 1000, TimestampType.CreateTime);
}
