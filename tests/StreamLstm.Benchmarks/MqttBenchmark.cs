using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Connectors.Files;
using StreamLstm.Connectors.Mqtt;
using StreamLstm.Runtime;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Benchmarks;

/// <summary>
/// MQTT in, results out: a publisher in a process of its own, a real mosquitto, and the engine with source, journal, state log and
/// result file, all on this machine. QoS 1 from end to end.
/// </summary>
internal static class MqttBenchmark
{
    private const long IntervalMicros = 900_000_000;
    private static readonly long s_first = UnixMicros.From(new DateTimeOffset(2026, 3, 2, 0, 0, 0, TimeSpan.Zero));

    /// <param name="folder">Where state, results and the broker's files lie.</param>
    /// <param name="inFlight">mosquitto's <c>max_inflight_messages</c>; its default is 20.</param>
    /// <param name="samples">How many, where <paramref name="rate"/> is 0.</param>
    /// <param name="rate">Samples per second, 0 = as many as go.</param>
    /// <param name="warmUp">Seconds that are reported on their own: code is compiled, files begin.</param>
    /// <param name="seconds">How long it goes on after that at a rate.</param>
    public static async Task<MqttRow> RunAsync(Profile profile, string folder, int streams, int samples, int inFlight, int rate, int warmUp, int seconds)
    {
        if (rate > 0)
            samples = rate * (warmUp + seconds);
        var path = Directory.CreateDirectory(Path.Combine(folder, "streamlstm-mqtt-" + Guid.NewGuid().ToString("N")[..8])).FullName;
        var port = FreePort();
        Process? broker = null, publisher = null;
        try
        {
            var config = Path.Combine(path, "mosquitto.conf");
            await File.WriteAllTextAsync(config, $"""
                user {Environment.UserName}
                listener {port} 127.0.0.1
                allow_anonymous true
                persistence false
                max_inflight_messages {inFlight}
                max_queued_messages 0
                log_dest none

                """);
            broker = Process.Start(new ProcessStartInfo(File.Exists("/usr/sbin/mosquitto") ? "/usr/sbin/mosquitto" : "mosquitto", ["-c", config]))!;
            await UntilListeningAsync(port);
            var disk = DiskProbe.Run(path);
            await using var files = new FileSink(new FileSinkSettings { Name = "results", Path = Path.Combine(path, "results.ndjson") }, TimeProvider.System, NullLogger<FileSink>.Instance);
            var local = new ArrivalSink(streams, samples);
            using var meters = new Meters();
            using var durations = new Durations(meters);
            var settings = new EngineSettings { StateDirectory = Path.Combine(path, "state"), Profiles = [profile], Shards = 1, MaxStreamsPerPartition = streams };
            await using var engine = new Engine(settings, [files, local], TimeProvider.System, NullLoggerFactory.Instance, meters) { Learning = profile.Learning };
            await engine.StartAsync();
            var source = new MqttSource(new MqttSourceSettings { Name = "bus", Host = "127.0.0.1", Port = port, ClientId = "bench" }, Decoder(), NullLogger<MqttSource>.Instance);
            using var stop = new CancellationTokenSource();
            var running = engine.RunAsync([source], untilDrained: false, stop.Token);
            while (source.Status.State != SourceState.Connected)
                await Task.Delay(10);
            await Task.Delay(300);
            var sent = Path.Combine(path, "sent.bin");
            var usage = new Usage();
            publisher = Process.Start(new ProcessStartInfo(
                "dotnet",
                [typeof(MqttBenchmark).Assembly.Location, "durability", "--part", "publish", "--port", Text(port), "--streams", Text(streams), "--samples", Text(samples), "--rate", Text(rate), "--sent", sent]))!;
            await local.All.Task.WaitAsync(TimeSpan.FromMinutes(5));
            var processor = usage.ProcessorSeconds;
            await publisher.WaitForExitAsync();
            await stop.CancelAsync();
            await running;
            var flushes = durations.Of("streamlstm_journal_flush_duration_seconds").Length;
            return Row(await File.ReadAllBytesAsync(sent), local.At, warmUp) with
            {
                Profile = profile.Name,
                Streams = streams,
                MaxInflightMessages = inFlight,
                Rate = rate,
                SamplesPerSAndCore = samples / processor,
                JournalFlushesPerS = flushes / ((local.At.Max() - local.At.Min()) / 1e6),
                Disk = disk,
            };
        }
        finally
        {
            foreach (var process in (Process?[])[publisher, broker])
            {
                if (process is { HasExited: false })
                    process.Kill();
                process?.Dispose();
            }

            Directory.Delete(path, recursive: true);
        }
    }

    /// <summary>The publisher: sample i is of stream i mod streams; when each was handed to the client is written to a file.</summary>
    public static async Task PublishAsync(int port, int streams, int samples, int rate, string sentFile)
    {
        const int window = 1000;
        var client = new MqttClient(new MqttClientOptions { Host = "127.0.0.1", Port = port, ClientId = "bench-publisher", MaxInFlight = window }, TimeProvider.System);
        await client.ConnectAsync(CancellationToken.None);
        var topics = Enumerable.Range(0, streams).Select(i => FormattableString.Invariant($"meters/m{i:D6}")).ToArray();
        var sent = new byte[8 * samples];
        var underWay = new Queue<Task>(window);
        var started = Stopwatch.GetTimestamp();
        for (var i = 0; i < samples; i++)
        {
            if (rate > 0 && i % 16 == 0)
            {
                // Gathered into short bursts: a timer is coarser than the time between two samples.
                var due = TimeSpan.FromSeconds((double)i / rate) - Stopwatch.GetElapsedTime(started);
                if (due > TimeSpan.FromMilliseconds(1))
                    await Task.Delay(due);
            }

            while (underWay.Count >= window)
                await underWay.Dequeue();
            var frame = i / streams;
            var value = 400 + (150 * Math.Sin((frame * 2 * Math.PI / 96) + ((i % streams) * 0.1))) + (((frame * 31) + (i % streams * 17)) % 23);
            var payload = Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $$"""{"t":{{(s_first + (frame * IntervalMicros)) / 1000}},"v":{{value:F2}}}"""));
            BinaryPrimitives.WriteInt64LittleEndian(sent.AsSpan(8 * i), UnixMicros.Now(TimeProvider.System));
            underWay.Enqueue(client.PublishAsync(topics[i % streams], payload, qos: 1, retain: false, CancellationToken.None));
        }

        await Task.WhenAll(underWay);
        await client.DisposeAsync();
        await File.WriteAllBytesAsync(sentFile, sent);
    }

    private static MqttRow Row(byte[] sent, long[] at, int warmUp)
    {
        var sentAt = new long[at.Length];
        for (var i = 0; i < at.Length; i++)
            sentAt[i] = BinaryPrimitives.ReadInt64LittleEndian(sent.AsSpan(8 * i));
        var from = Array.FindIndex(sentAt, t => t >= sentAt[0] + (warmUp * 1_000_000L));
        if (from < 0 || from > at.Length * 3 / 4)
            throw new InvalidOperationException($"All was sent within {(sentAt[^1] - sentAt[0]) / 1e6:F1} s; too little is left after a warm-up of {warmUp} s.");
        var latencies = Enumerable.Range(0, at.Length).Select(i => (at[i] - sentAt[i]) / 1e3).ToArray();
        var cold = latencies[..from].Order().ToArray();
        var steady = latencies[from..].Order().ToArray();
        return new MqttRow
        {
            Samples = at.Length,
            WarmUpSeconds = warmUp,
            SamplesPerS = steady.Length / ((at.Max() - sentAt[from]) / 1e6),
            P50Ms = steady[steady.Length / 2],
            P99Ms = steady[steady.Length * 99 / 100],
            MaxMs = steady[^1],
            ColdP50Ms = cold[cold.Length / 2],
            ColdP99Ms = cold[cold.Length * 99 / 100],
            ColdMaxMs = cold[^1],
        };
    }

    private static BindingDecoder Decoder()
    {
        if (!TimestampFormat.TryCreate("unix_ms", out var milliseconds))
            throw new InvalidOperationException("unix_ms has gone.");
        return new BindingDecoder(
        [
            new BindingSettings
            {
                Name = "load",
                Match = "meters/{id}",
                Stream = "{id}",
                Time = new BindingTime { At = "/t", Format = milliseconds },
                Values = new Dictionary<string, BindingValue> { ["value"] = new() { At = "/v" } },
            },
        ]);
    }

    private static string Text(int n) => n.ToString(CultureInfo.InvariantCulture);

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static async Task UntilListeningAsync(int port)
    {
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                using var probe = new TcpClient();
                await probe.ConnectAsync(IPAddress.Loopback, port);
                return;
            }
            catch (SocketException) when (attempt < 100)
            {
                await Task.Delay(50);
            }
        }
    }

    /// <summary>When each sample's result was published here.</summary>
    private sealed class ArrivalSink(int streams, int samples) : IResultSink
    {
        private int _count;

        public string Name => "local";

        public string? NotReady => null;

        /// <summary>[samples] Unix microseconds.</summary>
        public long[] At { get; } = new long[samples];

        public TaskCompletionSource All { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public ValueTask OpenAsync(SinkMark durable, CancellationToken cancellationToken) => ValueTask.CompletedTask;

        public ValueTask<SinkMark> PublishAsync(long commit, IReadOnlyList<OutputRecord> records, CancellationToken cancellationToken)
        {
            var now = UnixMicros.Now(TimeProvider.System);
            foreach (var record in records)
            {
                if (record.Kind != OutputKind.Result)
                    continue;
                var stream = int.Parse(record.Stream.AsSpan(1), CultureInfo.InvariantCulture);
                At[((record.TimeMicros - s_first) / IntervalMicros * streams) + stream] = now;
                _count++;
            }

            if (_count == samples)
                All.TrySetResult();
            return ValueTask.FromResult(new SinkMark(commit, 0));
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}

internal sealed record MqttRow
{
    public string Profile { get; init; } = "";

    public int Streams { get; init; }

    public int MaxInflightMessages { get; init; }

    /// <summary>Samples per second that are sent; 0 = as many as go.</summary>
    public int Rate { get; init; }

    public int Samples { get; init; }

    public double SamplesPerS { get; init; }

    /// <summary>From handing the sample to the publisher's client to its result in a sink here, behind the commit.</summary>
    public double P50Ms { get; init; }

    public double P99Ms { get; init; }

    public double MaxMs { get; init; }

    /// <summary>The seconds before, of which the following three tell.</summary>
    public double WarmUpSeconds { get; init; }

    public double ColdP50Ms { get; init; }

    public double ColdP99Ms { get; init; }

    public double ColdMaxMs { get; init; }

    /// <summary>Samples, each of one value, per second of the worker's processor time; the broker and the publisher have their own.</summary>
    public double SamplesPerSAndCore { get; init; }

    public double JournalFlushesPerS { get; init; }

    public DiskRow? Disk { get; init; }
}
