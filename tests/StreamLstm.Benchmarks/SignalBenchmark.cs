using System.Buffers.Text;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Core.Signals;
using StreamLstm.Runtime;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Benchmarks;

/// <summary>
/// Electrocardiograms of two leads at 360 Hz in packets of a tenth of a second. <c>monitor</c>: the arithmetic alone on one core. <c>flood</c>: packets
/// through journal, engine, state log and sink as fast as they go. <c>paced</c>: so many streams in real time, each with its own phase; the
/// latency is from the arrival stamp of a packet that completes a beat to the beat's result at the sink, after its commit.
/// </summary>
internal static class SignalBenchmark
{
    private const int Rate = 360;
    private const int Leads = 2;
    private const int PacketRows = 36;
    private const int PacketsPerSecond = Rate / PacketRows;
    private const int LoopPackets = 400;
    private const double WarmUpSeconds = 15;

    public static async Task<SignalReport> RunAsync(int streams, double seconds)
    {
        var packets = Packets();
        var monitor = Monitor(packets);
        var flood = await EngineAsync(packets, streams, seconds: 0, packetCount: 150);
        var paced = await EngineAsync(packets, streams, seconds, (int)((WarmUpSeconds + seconds) * PacketsPerSecond));
        return new SignalReport(Machine.Processor, monitor, flood, paced);
    }

    /// <summary>Forty seconds of beats at 75 per minute, some of them early and wide, with noise: [packet][n, leads].</summary>
    private static double[][] Packets()
    {
        var random = new Random(1);
        var signal = new double[LoopPackets * PacketRows * Leads];
        for (var k = 0; k < LoopPackets * PacketRows; k++)
        {
            var t = k / (double)Rate;
            var beat = (int)(t / 0.8);
            var v = 0.0;
            for (var b = beat - 1; b <= beat + 1; b++)
            {
                var wide = b % 25 == 9;
                var at = (b * 0.8) + 0.4 - (wide ? 0.25 : 0);
                v += wide ? (1.4 * Bump(t - at, 0.045)) - (0.5 * Bump(t - at - 0.13, 0.06)) : Bump(t - at, 0.011) + (0.2 * Bump(t - at - 0.26, 0.045));
            }

            signal[k * Leads] = Math.Round(v + (0.02 * random.NextDouble()), 3);
            signal[(k * Leads) + 1] = Math.Round((-0.6 * v) + (0.03 * random.NextDouble()), 3);
        }

        return [.. Enumerable.Range(0, LoopPackets).Select(p => signal.AsSpan(p * PacketRows * Leads, PacketRows * Leads).ToArray())];
        static double Bump(double t, double width) => Math.Exp(-0.5 * t * t / (width * width));
    }

    private static MonitorResult Monitor(double[][] packets)
    {
        const int monitors = 64;
        EcgWatch[] watches = [.. Enumerable.Range(0, monitors).Select(_ => new EcgWatch(Rate, Leads))];
        float[][] floats = [.. packets.Select(p => p.Select(v => (float)v).ToArray())];
        var count = new Count();
        long Run(int from, int to)
        {
            var allocated = GC.GetAllocatedBytesForCurrentThread();
            for (var p = from; p < to; p++)
            {
                foreach (var watch in watches)
                {
                    var packet = floats[p % LoopPackets];
                    for (var k = 0; k < packet.Length; k += Leads)
                        watch.Push(packet.AsSpan(k, Leads), count);
                }
            }

            return GC.GetAllocatedBytesForCurrentThread() - allocated;
        }

        Run(0, 2 * LoopPackets);
        var started = Stopwatch.GetTimestamp();
        var bytes = Run(0, 4 * LoopPackets);
        var elapsed = Stopwatch.GetElapsedTime(started).TotalSeconds;
        var samples = 4L * LoopPackets * PacketRows * Leads * monitors;
        return new MonitorResult(samples / elapsed, bytes / (double)samples);
    }

    /// <param name="seconds">Measured time of a paced run; 0 = as fast as it goes.</param>
    private static async Task<EngineResult> EngineAsync(double[][] packets, int streams, double seconds, int packetCount)
    {
        var state = Directory.CreateTempSubdirectory("streamlstm-signals-").FullName;
        try
        {
            using var meters = new Meters();
            var sink = new LatencySink();
            var settings = new EngineSettings
            {
                StateDirectory = state,
                Profiles = [new Profile { Name = "ecg", Signal = SignalKind.Ecg, Rate = Rate, Channels = ["I", "II"], MaxWait = TimeSpan.FromMinutes(10) }],
                Shards = Environment.ProcessorCount,
            };
            await using var engine = new Engine(settings, [sink], TimeProvider.System, NullLoggerFactory.Instance, meters);
            await engine.StartAsync();
            var source = new PacketSource(packets, streams, packetCount, seconds > 0, sink);
            await engine.RunAsync([source], untilDrained: true, CancellationToken.None);
            var latencies = sink.Latencies;
            latencies.Sort();
            var samples = (double)source.MeasuredPackets * PacketRows * Leads;
            return new EngineResult(
                streams, samples / source.MeasuredSeconds, source.MeasuredProcessorSeconds / source.MeasuredSeconds, sink.Results,
                Milliseconds(latencies, 0.5), Milliseconds(latencies, 0.99), Milliseconds(latencies, 0.999), latencies.Count > 0 ? latencies[^1] / 1e3 : 0, source.BehindSeconds);
        }
        finally
        {
            Directory.Delete(state, recursive: true);
        }
    }

    private static double Milliseconds(List<long> sorted, double share) => sorted.Count == 0 ? 0 : sorted[(int)(share * (sorted.Count - 1))] / 1e3;

    /// <summary>Decodes JSON frames as a broker connector would.</summary>
    private sealed class PacketSource(double[][] packets, int streams, int count, bool paced, LatencySink sink) : ISampleSource
    {
        private const int Phases = 20;

        public string Name => "memory";

        public SourceStatus Status { get; private set; } = new(SourceState.Connected, null);

        public long MeasuredPackets { get; private set; }

        public double MeasuredSeconds { get; private set; }

        public double MeasuredProcessorSeconds { get; private set; }

        /// <summary>How far the last packet came behind its time.</summary>
        public double BehindSeconds { get; private set; }

        public async Task RunAsync(IIngress ingress, CancellationToken stopping)
        {
            var preset = Presets.Find("ecg-frame/json")[0];
            var decoder = new BindingDecoder([preset with { Stream = "{bed}" }], DecodeLimits.Default);
            string[] topics = [.. Enumerable.Range(0, streams).Select(i => FormattableString.Invariant($"ecg/bed-{i:D5}/frame"))];
            byte[][] payloads = [.. packets.Select(Payload)];
            var batch = new SampleBatch();
            var clock = Stopwatch.StartNew();
            var begin = UnixMicros.Now(ingress.Clock) - (paced ? 0 : count * 100_000L);
            var process = Process.GetCurrentProcess();
            var (measuredFrom, processor) = (0.0, TimeSpan.Zero);
            for (var p = 0; p < count; p++)
            {
                if (measuredFrom == 0 && (!paced ? p == count / 5 : p >= WarmUpSeconds * PacketsPerSecond))
                {
                    process.Refresh();
                    (measuredFrom, processor, MeasuredPackets) = (clock.Elapsed.TotalSeconds, process.TotalProcessorTime, 0);
                    sink.Measuring = true;
                }

                for (var phase = 0; phase < Phases; phase++)
                {
                    // A packet is due when its last sample is.
                    var due = ((p + 1) * 0.1) + (phase * 0.1 / Phases);
                    if (paced && due > clock.Elapsed.TotalSeconds)
                        await Task.Delay(TimeSpan.FromSeconds(due - clock.Elapsed.TotalSeconds), stopping);
                    BehindSeconds = clock.Elapsed.TotalSeconds - due;
                    var arrival = UnixMicros.Now(ingress.Clock);
                    for (var s = phase; s < streams; s += Phases)
                    {
                        var first = begin + (p * 100_000L) + (phase * 100_000L / Phases);
                        var payload = payloads[(p + s) % LoopPackets];
                        Utf8Formatter.TryFormat(first / 1000, payload.AsSpan(6), out _);
                        decoder.Decode(new SourceMessage { Source = Name, Topic = topics[s], Payload = payload, ArrivalMicros = arrival, Position = "" }, batch);
                        MeasuredPackets++;
                    }

                    await ingress.AppendAsync(batch, stopping);
                    if (batch.DeadLetters.Count > 0)
                        throw new InvalidOperationException(batch.DeadLetters[0].Detail);
                    batch.Clear();
                }
            }

            // The rest of the engine's work is part of it.
            process.Refresh();
            MeasuredSeconds = clock.Elapsed.TotalSeconds - measuredFrom;
            MeasuredProcessorSeconds = (process.TotalProcessorTime - processor).TotalSeconds;
            sink.Measuring = false;
            Status = new SourceStatus(SourceState.Completed, null);
        }

        /// <summary><c>{"ts":…13 digits…,"fs":360,"leads":[…],"mv":[[…],[…]]}</c></summary>
        private static byte[] Payload(double[] packet)
        {
            var leads = Enumerable.Range(0, Leads).Select(l => "[" + string.Join(',', Enumerable.Range(0, PacketRows).Select(k => packet[(k * Leads) + l].ToString(CultureInfo.InvariantCulture))) + "]");
            return Encoding.UTF8.GetBytes($"{{\"ts\":1700000000000,\"fs\":{Rate},\"leads\":[\"I\",\"II\"],\"mv\":[{string.Join(',', leads)}]}}");
        }
    }

    private sealed class LatencySink : IResultSink
    {
        private bool _measuring;

        public string Name => "memory";

        public string? NotReady => null;

        public bool Measuring
        {
            get => Volatile.Read(ref _measuring);
            set => Volatile.Write(ref _measuring, value);
        }

        public long Results { get; private set; }

        /// <summary>Microseconds.</summary>
        public List<long> Latencies { get; } = [];

        public ValueTask OpenAsync(SinkMark durable, CancellationToken cancellationToken) => ValueTask.CompletedTask;

        public ValueTask<SinkMark> PublishAsync(long commit, IReadOnlyList<OutputRecord> records, CancellationToken cancellationToken)
        {
            if (!Measuring)
                return ValueTask.FromResult(new SinkMark(commit, 0));
            var now = UnixMicros.Now(TimeProvider.System);
            foreach (var record in records)
            {
                if (record.Kind == OutputKind.DeadLetter)
                    throw new InvalidOperationException(Encoding.UTF8.GetString(record.Json.Span));
                if (record.Kind != OutputKind.Result)
                    continue;
                Results++;
                Latencies.Add(now - IssuedAt(record.Json.Span));
            }

            return ValueTask.FromResult(new SinkMark(commit, 0));
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;

        private static long IssuedAt(ReadOnlySpan<byte> json)
        {
            var at = json.LastIndexOf("\"issued_at\":\""u8) + 13;
            var end = json[at..].IndexOf((byte)'"');
            var text = Encoding.UTF8.GetString(json.Slice(at, end));
            return UnixMicros.From(DateTimeOffset.Parse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal));
        }
    }

    private sealed class Count : ISignalReceiver
    {
        public long Findings { get; private set; }

        public void OnFinding(in SignalFinding finding, ReadOnlySpan<ChannelFinding> channels) => Findings++;
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

/// <param name="SamplesPerS">Values of all leads, one core.</param>
internal sealed record MonitorResult(double SamplesPerS, double BytesPerSample);

/// <param name="SamplesPerS">Values of all leads.</param>
/// <param name="Cores">Processor time over time, decoding and benchmark included.</param>
/// <param name="BehindSeconds">How late the last packet was handed in; more than a tenth means that the load doesn't fit.</param>
internal sealed record EngineResult(int Streams, double SamplesPerS, double Cores, long Results, double MsP50, double MsP99, double MsP999, double MsMax, double BehindSeconds);

internal sealed record SignalReport(string Cpu, MonitorResult Monitor, EngineResult Flood, EngineResult Paced);
