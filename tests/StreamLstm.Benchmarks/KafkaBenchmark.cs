using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Confluent.Kafka;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Connectors.Kafka.Partitions;
using StreamLstm.Runtime;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Benchmarks;

/// <summary>
/// Kafka in, results out, exactly once, against the cluster given: throughput for several numbers of threads beside what the cluster does with
/// the same records and nothing in between, latency of committed results at half of that load, and how long a partition is without an owner.
/// A message holds the 16 readings of one minute of one stream; tier lean, 24 steps, a forecast with every fourth result.
/// </summary>
internal static class KafkaBenchmark
{
    private const int Partitions = 12;
    private const int ReadingsPerMessage = 16;

    /// <param name="part">throughput, processes, latency, hand-over or all.</param>
    /// <param name="load">Samples per second of the latency part; 0 = half of the best throughput measured before.</param>
    public static async Task<KafkaReport> RunAsync(string servers, int streams, int rounds, string part, int threads, double load)
    {
        bool Wants(string name) => part == "all" || part == name;
        var rows = new List<KafkaThroughput>();
        var run = Guid.NewGuid().ToString("N")[..8];
        var (read, written) = (0.0, 0.0);
        if (Wants("throughput") || Wants("processes"))
        {
            var input = await FillAsync(servers, $"b{run}.in", streams, rounds);
            (read, written) = Plain(servers, input, $"b{run}.plain");
            if (Wants("throughput"))
            {
                foreach (var n in new[] { 1, 2, 3 })
                    rows.Add(await ThroughputAsync(servers, input, $"b{run}.t{n}", n, streams, rounds));
            }

            if (Wants("processes"))
            {
                foreach (var n in new[] { 1, 2, 3 })
                    rows.Add(await ProcessesAsync(servers, input, $"b{run}.p{n}", n, (long)streams * rounds * ReadingsPerMessage));
            }
        }

        var best = rows.Where(r => r.Processes == 1).MaxBy(r => r.SamplesPerS);
        KafkaLatency? latency = null;
        if (Wants("latency"))
            latency = await LatencyAsync(servers, $"b{run}.latency", threads > 0 ? threads : best?.Threads ?? 2, load > 0 ? load : (best?.SamplesPerS ?? 600_000) / 2);
        var handOvers = new List<KafkaHandOver>();
        if (Wants("hand-over"))
        {
            foreach (var standbys in new[] { 0, 1 })
                handOvers.Add(await HandOverAsync(servers, $"b{run}.hand{standbys}", part == "all" ? 10_000 : streams, standbys));
        }

        return new KafkaReport(servers, streams, read, written, rows, latency, handOvers);
    }

    /// <summary>A worker process: reads until its input ends, telling how many samples it has taken, one line per change.</summary>
    public static async Task RunWorkerAsync(string servers, string topic, string group)
    {
        await using var worker = await Worker.StartAsync(Settings(servers, topic, group, 1));
        var told = -1L;
        // Whoever started it ends it by closing its input.
        var end = Task.Run(Console.In.ReadLine);
        while (!end.IsCompleted)
        {
            if (worker.Samples != told)
                Console.WriteLine(told = worker.Samples);
            await Task.Delay(10);
        }
    }

    private static KafkaPartitionSettings Settings(string servers, string topic, string group, int threads) => new()
    {
        Name = "meters",
        BootstrapServers = servers,
        Topics = [topic],
        GroupId = group,
        TopicPrefix = group,
        Threads = threads,
    };

    private static byte[] Message(long startMillis, int stream)
    {
        var text = new StringBuilder("{\"r\":[");
        for (var i = 0; i < ReadingsPerMessage; i++)
        {
            var value = 100 + (30 * Math.Sin((stream * 0.1) + (startMillis / 4e6))) + (stream * 7 % 11 * 0.1 * i);
            text.Append(CultureInfo.InvariantCulture, $"{(i == 0 ? "" : ",")}{{\"t\":{startMillis + (i * 3750)},\"v\":{value:F3}}}");
        }

        return Encoding.UTF8.GetBytes(text.Append("]}").ToString());
    }

    private static async Task<string> FillAsync(string servers, string topic, int streams, int rounds)
    {
        using (var topology = new KafkaTopology(Settings(servers, topic, topic + ".unused", 1)))
            await topology.InitialiseAsync(Partitions, -1);
        using var producer = Producer(servers);
        var start = Start(rounds);
        for (var round = 0; round < rounds; round++)
        {
            for (var s = 0; s < streams; s++)
                Produce(producer, topic, s, start + (round * 60_000L), start + (round * 60_000L) + 59_000);
        }

        producer.Flush(TimeSpan.FromSeconds(120));
        return topic;
    }

    private static long Start(int rounds) => (TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds() / 60_000 * 60_000) - ((rounds + 10) * 60_000L);

    private static IProducer<byte[], byte[]> Producer(string servers) => new ProducerBuilder<byte[], byte[]>(new ProducerConfig
    {
        BootstrapServers = servers,
        EnableDeliveryReports = false,
        LingerMs = 5,
        QueueBufferingMaxMessages = 1_000_000,
        QueueBufferingMaxKbytes = 512 * 1024,
        Partitioner = Confluent.Kafka.Partitioner.Murmur2Random,
    }).SetLogHandler((_, _) => { }).Build();

    private static void Produce(IProducer<byte[], byte[]> producer, string topic, int stream, long at, long stamp)
    {
        var message = new Message<byte[], byte[]> { Key = Encoding.UTF8.GetBytes(FormattableString.Invariant($"m{stream:D6}")), Value = Message(at, stream), Timestamp = new Timestamp(stamp, TimestampType.CreateTime) };
        while (true)
        {
            try
            {
                producer.Produce(topic, message);
                return;
            }
            catch (ProduceException<byte[], byte[]> e) when (e.Error.Code == ErrorCode.Local_QueueFull)
            {
                producer.Poll(TimeSpan.FromMilliseconds(5));
            }
        }
    }

    /// <summary>The cluster alone: read everything; write as many records of a result's size, with a state record beside each.</summary>
    private static (double ReadPerS, double WrittenPerS) Plain(string servers, string topic, string other)
    {
        using var consumer = new ConsumerBuilder<byte[], byte[]>(new ConsumerConfig { BootstrapServers = servers, GroupId = other, EnablePartitionEof = true, EnableAutoCommit = false, ConsumeResultFields = "none" })
            .SetLogHandler((_, _) => { }).Build();
        consumer.Assign(Enumerable.Range(0, Partitions).Select(p => new TopicPartitionOffset(topic, p, Offset.Beginning)));
        var started = Stopwatch.GetTimestamp();
        var (read, ends) = (0L, 0);
        while (ends < Partitions)
        {
            if (consumer.Consume(TimeSpan.FromSeconds(10)) is not { } record)
                break;
            if (record.IsPartitionEOF)
                ends++;
            else
                read++;
        }

        var perS = read * ReadingsPerMessage / Stopwatch.GetElapsedTime(started).TotalSeconds;
        using (var topology = new KafkaTopology(Settings(servers, topic, other, 1)))
            topology.InitialiseAsync(Partitions, -1).GetAwaiter().GetResult();
        using var producer = Producer(servers);
        var (result, state) = (new byte[700], new byte[300]);
        started = Stopwatch.GetTimestamp();
        for (var i = 0; i < read / 4; i++)
        {
            foreach (var (to, value) in new[] { (other + ".results", result), (other + ".state", state) })
            {
                while (true)
                {
                    try
                    {
                        producer.Produce(to, new Message<byte[], byte[]> { Key = BitConverter.GetBytes(i), Value = value });
                        break;
                    }
                    catch (ProduceException<byte[], byte[]> e) when (e.Error.Code == ErrorCode.Local_QueueFull)
                    {
                        producer.Poll(TimeSpan.FromMilliseconds(5));
                    }
                }
            }
        }

        producer.Flush(TimeSpan.FromSeconds(120));
        return (perS, read / 4 * ReadingsPerMessage / Stopwatch.GetElapsedTime(started).TotalSeconds);
    }

    private static async Task<KafkaThroughput> ThroughputAsync(string servers, string topic, string group, int threads, int streams, int rounds)
    {
        await using var worker = await Worker.StartAsync(Settings(servers, topic, group, threads));
        var total = (long)streams * rounds * ReadingsPerMessage;
        // The first round makes every stream and its first snapshot.
        await worker.UntilAsync(total / rounds * 2);
        var (from, started, cpu) = (worker.Samples, Stopwatch.GetTimestamp(), Environment.CpuUsage.TotalTime);
        await worker.UntilAsync(total);
        var elapsed = Stopwatch.GetElapsedTime(started).TotalSeconds;
        var used = (Environment.CpuUsage.TotalTime - cpu).TotalSeconds;
        var perS = (worker.Samples - from) / elapsed;
        return new KafkaThroughput(threads, perS, used / elapsed, perS / (used / elapsed));
    }

    /// <summary>From when each process has its share until nearly all is read: the ends of their shares don't coincide.</summary>
    private static async Task<KafkaThroughput> ProcessesAsync(string servers, string topic, string group, int processes, long total)
    {
        using (var topology = new KafkaTopology(Settings(servers, topic, group, 1)))
            await topology.InitialiseAsync(Partitions, -1);
        var samples = new long[processes];
        var workers = new List<Process>();
        for (var i = 0; i < processes; i++)
        {
            var start = new ProcessStartInfo(Environment.ProcessPath!) { RedirectStandardInput = true, RedirectStandardOutput = true };
            foreach (var argument in (string[])[.. Environment.GetCommandLineArgs().Take(1).Where(a => Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet"), "kafka-worker", "--servers", servers, "--topic", topic, "--group", group])
                start.ArgumentList.Add(argument);
            var worker = Process.Start(start)!;
            var index = i;
            worker.OutputDataReceived += (_, line) =>
            {
                if (long.TryParse(line.Data, CultureInfo.InvariantCulture, out var n))
                    Volatile.Write(ref samples[index], n);
            };
            worker.BeginOutputReadLine();
            workers.Add(worker);
        }

        try
        {
            while (samples.Any(n => Volatile.Read(ref n) == 0))
                await Task.Delay(2);
            double Cpu() => workers.Sum(w =>
            {
                w.Refresh();
                return w.TotalProcessorTime.TotalSeconds;
            });
            var (from, started, cpu) = (samples.Sum(), Stopwatch.GetTimestamp(), Cpu());
            while (samples.Sum() < total * 0.95)
            {
                if (workers.Exists(w => w.HasExited))
                    throw new InvalidOperationException("A worker process has ended.");
                await Task.Delay(2);
            }

            var elapsed = Stopwatch.GetElapsedTime(started).TotalSeconds;
            var (perS, cores) = ((samples.Sum() - from) / elapsed, (Cpu() - cpu) / elapsed);
            return new KafkaThroughput(1, perS, cores, perS / cores, processes);
        }
        finally
        {
            foreach (var worker in workers)
            {
                if (!worker.HasExited)
                    worker.StandardInput.Close();
            }

            foreach (var worker in workers)
            {
                await worker.WaitForExitAsync();
                worker.Dispose();
            }
        }
    }

    /// <summary>From the record's time stamp to a consumer that reads committed.</summary>
    private static async Task<KafkaLatency> LatencyAsync(string servers, string name, int threads, double samplesPerS)
    {
        var topic = name + ".in";
        using (var topology = new KafkaTopology(Settings(servers, topic, name, 1)))
            await topology.InitialiseAsync(Partitions, -1);
        await using var worker = await Worker.StartAsync(Settings(servers, topic, name, threads));
        using var stop = new CancellationTokenSource();
        var latencies = new List<double>();
        var reading = Task.Run(() => Witness(servers, name + ".results", stop.Token, (_, json) => latencies.Add(Age(json))));
        using var producer = Producer(servers);
        var perMessage = ReadingsPerMessage / samplesPerS;
        var started = Stopwatch.GetTimestamp();
        var messages = (int)(12 / perMessage);
        var first = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds() / 60_000 * 60_000;
        var streams = 5000;
        var warm = 0;
        for (var i = 0; i < messages; i++)
        {
            while (Stopwatch.GetElapsedTime(started).TotalSeconds < i * perMessage)
                await Task.Delay(1);
            // Minutes of the past: what a reading is about doesn't matter, when it came does.
            Produce(producer, topic, i % streams, first - (((messages / streams) - (i / streams) + 2) * 60_000L), TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds());
            if (i == messages / 3)
                warm = latencies.Count;
        }

        producer.Flush(TimeSpan.FromSeconds(30));
        await Task.Delay(1500);
        await stop.CancelAsync();
        await reading;
        var sorted = latencies.Skip(warm).Order().ToArray();
        return new KafkaLatency(threads, samplesPerS, sorted.Length, sorted[sorted.Length / 2], sorted[(int)(sorted.Length * 0.99)], sorted[^1]);
    }

    private static double Age(byte[] json)
    {
        var now = TimeProvider.System.GetUtcNow();
        var reader = new Utf8JsonReader(json);
        while (reader.Read())
        {
            if (reader.TokenType == JsonTokenType.PropertyName && reader.ValueTextEquals("issued_at"u8))
            {
                reader.Read();
                return (now - reader.GetDateTimeOffset()).TotalMilliseconds;
            }
        }

        throw new InvalidOperationException("A result has no issued_at.");
    }

    /// <summary>Two partitions with some streams each and one worker; another joins and takes one of them; then leaves again.</summary>
    private static async Task<KafkaHandOver> HandOverAsync(string servers, string name, int streamsPerPartition, int standbys)
    {
        var topic = name + ".in";
        var settings = Settings(servers, topic, name, 1) with { KeepWarm = TimeSpan.Zero, Standbys = standbys };
        Worker.Restores.Clear();
        using (var topology = new KafkaTopology(settings))
            await topology.InitialiseAsync(2, -1);
        using var producer = Producer(servers);
        const int before = 8;
        var start = Start(30);
        for (var round = 0; round < before; round++)
        {
            for (var s = 0; s < 2 * streamsPerPartition; s++)
                Produce(producer, topic, s, start + (round * 60_000L), start + (round * 60_000L) + 59_000);
        }

        producer.Flush(TimeSpan.FromSeconds(120));
        await using var first = await Worker.StartAsync(settings);
        await first.UntilAsync((long)before * 2 * streamsPerPartition * ReadingsPerMessage);
        using var stop = new CancellationTokenSource();
        var seen = new ConcurrentQueue<(int Partition, long At)>();
        var reading = Task.Run(() => Witness(servers, name + ".results", stop.Token, (partition, _) => seen.Enqueue((partition, Stopwatch.GetTimestamp()))));
        var feeding = Task.Run(async () =>
        {
            for (var i = 0; !stop.IsCancellationRequested; i++)
            {
                var at = start + ((before + (i / (2 * streamsPerPartition))) * 60_000L);
                Produce(producer, topic, i % (2 * streamsPerPartition), at, at + 59_000);
                if (i % 4 == 3)
                    await Task.Delay(1);
            }
        });
        await Task.Delay(2000);
        var joined = Stopwatch.GetTimestamp();
        long left;
        await using (var second = await Worker.StartAsync(settings))
        {
            await second.UntilAsync(1);
            // Standbys are followed when the group has calmed down.
            await Task.Delay(standbys > 0 ? 8000 : 2000);
            left = Stopwatch.GetTimestamp();
        }

        await Task.Delay(4000);
        await stop.CancelAsync();
        await Task.WhenAll(reading, feeding);
        double Gap(Func<long, bool> when) => seen.GroupBy(s => s.Partition).Max(p => p.Zip(p.Skip(1)).Where(x => when(x.First.At)).Select(x => Stopwatch.GetElapsedTime(x.First.At, x.Second.At).TotalMilliseconds).DefaultIfEmpty(0).Max());
        return new KafkaHandOver(streamsPerPartition, standbys, Gap(at => at > joined - Stopwatch.Frequency && at < left - Stopwatch.Frequency), Gap(at => at >= left - Stopwatch.Frequency), [.. Worker.Restores.OrderBy(r => r.Ms)]);
    }

    private static void Witness(string servers, string topic, CancellationToken stop, Action<int, byte[]> take)
    {
        using var consumer = new ConsumerBuilder<byte[], byte[]>(new ConsumerConfig { BootstrapServers = servers, GroupId = topic + ".witness", IsolationLevel = IsolationLevel.ReadCommitted, FetchWaitMaxMs = 10, EnableAutoCommit = false })
            .SetLogHandler((_, _) => { }).Build();
        var partitions = 0;
        using (var admin = new AdminClientBuilder(new AdminClientConfig { BootstrapServers = servers }).SetLogHandler((_, _) => { }).Build())
            partitions = admin.GetMetadata(topic, TimeSpan.FromSeconds(10)).Topics[0].Partitions.Count;
        consumer.Assign(Enumerable.Range(0, partitions).Select(p => new TopicPartitionOffset(topic, p, Offset.End)));
        while (!stop.IsCancellationRequested)
        {
            if (consumer.Consume(TimeSpan.FromMilliseconds(50)) is { } record)
                take(record.Partition.Value, record.Message.Value);
        }
    }

    /// <summary>What <c>run</c> makes of such a source.</summary>
    private sealed class Worker : IAsyncDisposable
    {
        private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("streamlstm-kafka-bench-");
        private readonly Meters _meters = new();
        private readonly CancellationTokenSource _stop = new();
        private readonly Engine _engine;
        private Task _run = Task.CompletedTask;

        private Worker(KafkaPartitionSettings settings)
        {
            var profile = new Profile { Name = "load", Interval = TimeSpan.FromMinutes(1), SamplesPerFrame = ReadingsPerMessage, HorizonSteps = 24, ForecastEvery = 4, Tier = Tier.Lean, Season = TimeSpan.FromHours(1), MaxWait = TimeSpan.FromDays(7), Learning = false };
            _engine = new Engine(new EngineSettings { StateDirectory = _folder.FullName, Profiles = [profile] }, [], TimeProvider.System, NullLoggerFactory.Instance, _meters);
            Settings = settings;
        }

        public static ConcurrentBag<KafkaRestoreTime> Restores { get; } = [];

        public KafkaPartitionSettings Settings { get; }

        public long Samples => _engine.Statistics.Samples;

        public static async Task<Worker> StartAsync(KafkaPartitionSettings settings)
        {
            using (var topology = new KafkaTopology(settings))
                await topology.InitialiseAsync(Partitions, -1);
            var worker = new Worker(settings);
            await worker._engine.StartAsync();
            var decoder = new BindingDecoder(
            [
                new BindingSettings
                {
                    Name = "readings",
                    Match = settings.Topics[0],
                    Stream = "{$key}",
                    Each = "/r/*",
                    Time = new BindingTime { At = "/t", Format = TimestampFormat.TryCreate("unix_ms", out var format) ? format : throw new InvalidOperationException("unix_ms has gone.") },
                    Values = new Dictionary<string, BindingValue> { ["v"] = new() { At = "/v" } },
                },
            ]);
            var source = new KafkaPartitionSource(settings, decoder, worker._engine.Partitions("meters"), _ => ValueTask.CompletedTask, new RestoreTimes());
            worker._run = Task.Run(() => worker._engine.RunAsync([source], untilDrained: false, worker._stop.Token));
            return worker;
        }

        public async Task UntilAsync(long samples)
        {
            while (Samples < samples)
            {
                if (_run.IsCompleted)
                    await _run;
                await Task.Delay(2);
            }
        }

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _run;
            await _engine.DisposeAsync();
            _meters.Dispose();
            _stop.Dispose();
            _folder.Delete(recursive: true);
        }
    }

    /// <summary>Takes the durations of restores from what the source says of them.</summary>
    private sealed class RestoreTimes : ILogger<KafkaPartitionSource>
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (eventId.Id == 450 && state is IReadOnlyList<KeyValuePair<string, object?>> values && values.First(v => v.Key == "Streams").Value is > 0)
                Worker.Restores.Add(new KafkaRestoreTime((double)values.First(v => v.Key == "Milliseconds").Value!, (string)values.First(v => v.Key == "How").Value!));
            if (logLevel >= LogLevel.Warning)
                Console.Error.WriteLine(formatter(state, exception));
        }
    }

    private sealed class Meters : IMeterFactory
    {
        private readonly List<Meter> _meters = [];

        public Meter Create(MeterOptions options)
        {
            var meter = new Meter(options);
            _meters.Add(meter);
            return meter;
        }

        public void Dispose() => _meters.ForEach(meter => meter.Dispose());
    }
}

/// <param name="CoresUsed">By the workers' processes, without the cluster.</param>
internal sealed record KafkaThroughput(int Threads, double SamplesPerS, double CoresUsed, double SamplesPerSAndCore, int Processes = 1);

internal sealed record KafkaLatency(int Threads, double SamplesPerS, int Results, double P50Ms, double P99Ms, double MaxMs);

internal sealed record KafkaRestoreTime(double Ms, string How);

/// <param name="Standbys">Setting of both workers.</param>
/// <param name="JoinGapMs">Longest time without a committed result of a results partition when a second worker takes it over.</param>
/// <param name="LeaveGapMs">The same when that worker leaves.</param>
/// <param name="Restores">Each restore of a partition with streams.</param>
internal sealed record KafkaHandOver(int Streams, int Standbys, double JoinGapMs, double LeaveGapMs, IReadOnlyList<KafkaRestoreTime> Restores);

/// <param name="ReadSamplesPerS">The cluster alone, reading the same records.</param>
/// <param name="WriteSamplesPerS">The cluster alone, writing records of a result's and a state entry's size.</param>
internal sealed record KafkaReport(string Servers, int Streams, double ReadSamplesPerS, double WriteSamplesPerS, IReadOnlyList<KafkaThroughput> Throughput, KafkaLatency? Latency, IReadOnlyList<KafkaHandOver> HandOvers);
