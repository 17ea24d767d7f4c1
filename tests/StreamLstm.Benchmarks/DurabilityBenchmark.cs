using System.Diagnostics;
using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using StreamLstm.Connectors.Files;
using StreamLstm.Runtime;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Benchmarks;

/// <summary>
/// What durability costs: a file through the whole engine (journal, state log, outbox, result file), with every fsync a deployment has.
/// </summary>
internal static class DurabilityBenchmark
{
    private static readonly DateTimeOffset s_start = new(2026, 3, 2, 0, 0, 0, TimeSpan.Zero);

    /// <summary>The smallest state: H = 32, K = 4, one daily season of 96 quarter hours, a ring of a day, no week.</summary>
    internal static Profile Lean(int samplesPerFrame = 1) => new()
    {
        Name = "lean",
        SamplesPerFrame = samplesPerFrame,
        HiddenSize = 32,
        HorizonSteps = 4,
        Season = TimeSpan.FromDays(1),
        Tier = Tier.Lean,
        ForecastEvery = 16,
        Learning = false,
    };

    /// <summary>A profile as it comes, but for the number of samples per frame.</summary>
    internal static Profile Default(int samplesPerFrame = 1) => new() { Name = "default", SamplesPerFrame = samplesPerFrame };

    /// <param name="folder">Where state and results lie: a disk, or a file system in memory to see what the processor allows.</param>
    /// <param name="samplesPerFrame">1: a reading every quarter of an hour; 15: one a minute.</param>
    /// <param name="rate">Samples per second, evenly over the streams; 0 = as many as go.</param>
    public static async Task<FileRow> FilesAsync(Profile profile, string folder, int streams, int frames, int samplesPerFrame, int shards, int rate)
    {
        var path = Directory.CreateDirectory(Path.Combine(folder, "streamlstm-durability-" + Guid.NewGuid().ToString("N")[..8])).FullName;
        try
        {
            var csv = Path.Combine(path, "meters.csv");
            var step = profile.Interval / samplesPerFrame;
            WriteCsv(csv, streams, frames * samplesPerFrame, step, rate > 0 ? step / streams : TimeSpan.Zero);
            var disk = DiskProbe.Run(path);
            await using var files = new FileSink(new FileSinkSettings { Name = "results", Path = Path.Combine(path, "results.ndjson") }, TimeProvider.System, NullLogger<FileSink>.Instance);
            var results = (long)streams * frames;
            var sink = new TimingSink(files, results);
            using var meters = new Meters();
            using var durations = new Durations(meters);
            var settings = new EngineSettings { StateDirectory = Path.Combine(path, "state"), Profiles = [profile], Shards = shards, MaxStreamsPerPartition = streams };
            await using var engine = new Engine(settings, [sink], TimeProvider.System, NullLoggerFactory.Instance, meters) { Learning = profile.Learning };
            await engine.StartAsync();
            var speed = rate * step.TotalSeconds / streams;
            var source = new FileSource(new FileSourceSettings { Name = "meters", Path = csv, Speed = speed }, NullLogger<FileSource>.Instance);
            var allocated = GC.GetTotalAllocatedBytes();
            var usage = new Usage();
            var started = Stopwatch.GetTimestamp();
            await engine.RunAsync([source], untilDrained: true, CancellationToken.None);
            var elapsed = Stopwatch.GetElapsedTime(started, sink.LastAt).TotalSeconds;
            var (processor, written) = (usage.ProcessorSeconds, usage.BytesWritten);
            allocated = GC.GetTotalAllocatedBytes() - allocated;
            var samples = results * samplesPerFrame;
            if (sink.Results != results)
                throw new InvalidOperationException($"{sink.Results} results of {results}.");
            return new FileRow(
                profile.Name, samplesPerFrame, streams, shards, rate, samples, samples / elapsed, results / elapsed, sink.SecondHalfPerS * samplesPerFrame, samples / processor, 1e6 * processor / samples,
                (double)allocated / samples, (double)new FileInfo(Path.Combine(path, "results.ndjson")).Length / results, (double)written / samples, written / elapsed,
                durations.Of("streamlstm_journal_flush_duration_seconds").Length / elapsed, sink.Latency(0.5), sink.Latency(0.99), disk);
        }
        finally
        {
            Directory.Delete(path, recursive: true);
        }
    }

    /// <param name="stagger">Between two streams' readings, as meters' own clocks are; zero: all at once.</param>
    private static void WriteCsv(string path, int streams, int rows, TimeSpan step, TimeSpan stagger)
    {
        using var file = new StreamWriter(path, append: false, new UTF8Encoding(false), 1 << 20);
        file.Write("time,stream,value\n");
        for (var row = 0; row < rows; row++)
        {
            var time = Text(s_start + (row * step));
            for (var stream = 0; stream < streams; stream++)
            {
                if (stagger > TimeSpan.Zero)
                    time = Text(s_start + (row * step) + (stream * stagger));
                var value = 400 + (150 * Math.Sin((row * step.TotalDays * 2 * Math.PI) + (stream * 0.1))) + ((row * 31 + stream * 17) % 23);
                file.Write(time);
                file.Write(",meter-");
                file.Write(stream.ToString("D6", CultureInfo.InvariantCulture));
                file.Write(',');
                file.Write(value.ToString("F2", CultureInfo.InvariantCulture));
                file.Write('\n');
            }
        }

        string Text(DateTimeOffset time) => time.ToString(stagger > TimeSpan.Zero ? "yyyy-MM-ddTHH:mm:ss.fffZ" : "yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture);
    }

    /// <summary>Counts results, remembers when the last of them was in the sink, and how long some took from being read to there.</summary>
    private sealed class TimingSink(IResultSink inner, long expected) : IResultSink
    {
        private const int Every = 64;

        private readonly List<double> _latencies = [];
        private long _halfAt;
        private long _half;

        public string Name => inner.Name;

        public string? NotReady => inner.NotReady;

        public long Results { get; private set; }

        public long LastAt { get; private set; }

        /// <summary>Results per second once half of them are out: without what begins a run.</summary>
        public double SecondHalfPerS => (Results - _half) / Stopwatch.GetElapsedTime(_halfAt, LastAt).TotalSeconds;

        public ValueTask OpenAsync(SinkMark durable, CancellationToken cancellationToken) => inner.OpenAsync(durable, cancellationToken);

        public async ValueTask<SinkMark> PublishAsync(long commit, IReadOnlyList<OutputRecord> records, CancellationToken cancellationToken)
        {
            var mark = await inner.PublishAsync(commit, records, cancellationToken);
            LastAt = Stopwatch.GetTimestamp();
            var now = UnixMicros.Now(TimeProvider.System);
            foreach (var record in records)
            {
                if (record.Kind == OutputKind.Result && Results++ % Every == 0 && Results > expected / 2)
                    _latencies.Add((now - ArrivalOf(record.Json.Span)) / 1e3);
            }

            if (_halfAt == 0 && Results >= expected / 2)
                (_halfAt, _half) = (LastAt, Results);
            return mark;
        }

        public ValueTask DisposeAsync() => inner.DisposeAsync();

        /// <summary>Milliseconds, in the second half.</summary>
        public double Latency(double p)
        {
            _latencies.Sort();
            return _latencies[(int)(p * (_latencies.Count - 1))];
        }

        /// <summary>A frame that holds one sample is issued when that arrives.</summary>
        private static long ArrivalOf(ReadOnlySpan<byte> json)
        {
            var name = "\"issued_at\":\""u8;
            var text = json[(json.IndexOf(name) + name.Length)..];
            return UnixMicros.From(DateTimeOffset.Parse(Encoding.ASCII.GetString(text[..text.IndexOf((byte)'"')]), CultureInfo.InvariantCulture));
        }
    }
}

/// <param name="Rate">Samples per second that the file is read with; 0 = as many as go.</param>
/// <param name="SecondHalfPerS">Samples per second of the run's second half: without starting and compiling.</param>
/// <param name="SamplesPerSAndCore">Samples (here also values: one per sample) per second of processor time.</param>
/// <param name="BytesWrittenPerSample">Journal, state log and result file together.</param>
/// <param name="P50Ms">From a sample's being read to its result's being in the file, flushed; second half. Fed without a pace, that is the time in queues.</param>
/// <param name="Disk">What the disk does without the engine, just before.</param>
internal sealed record FileRow(
    string Profile, int SamplesPerFrame, int Streams, int Shards, int Rate, long Samples, double SamplesPerS, double ResultsPerS, double SecondHalfPerS, double SamplesPerSAndCore, double CpuMicrosPerSample,
    double BytesAllocatedPerSample, double BytesPerResult, double BytesWrittenPerSample, double BytesWrittenPerS, double JournalFlushesPerS, double P50Ms, double P99Ms, DiskRow Disk);
