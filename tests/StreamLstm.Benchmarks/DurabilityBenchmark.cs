using System.Diagnostics;
using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using StreamLstm.Connectors.Files;
using StreamLstm.Runtime;
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
    public static async Task<FileRow> FilesAsync(Profile profile, string folder, int streams, int frames, int samplesPerFrame, int shards)
    {
        var path = Directory.CreateDirectory(Path.Combine(folder, "streamlstm-durability-" + Guid.NewGuid().ToString("N")[..8])).FullName;
        try
        {
            var csv = Path.Combine(path, "meters.csv");
            WriteCsv(csv, streams, frames * samplesPerFrame, profile.Interval / samplesPerFrame);
            await using var files = new FileSink(new FileSinkSettings { Name = "results", Path = Path.Combine(path, "results.ndjson") }, TimeProvider.System, NullLogger<FileSink>.Instance);
            var sink = new TimingSink(files);
            using var meters = new Meters();
            var settings = new EngineSettings { StateDirectory = Path.Combine(path, "state"), Profiles = [profile], Shards = shards, MaxStreamsPerPartition = streams };
            await using var engine = new Engine(settings, [sink], TimeProvider.System, NullLoggerFactory.Instance, meters) { Learning = profile.Learning };
            await engine.StartAsync();
            var source = new FileSource(new FileSourceSettings { Name = "meters", Path = csv }, NullLogger<FileSource>.Instance);
            var process = Process.GetCurrentProcess();
            var cpu = process.TotalProcessorTime;
            var allocated = GC.GetTotalAllocatedBytes();
            var started = Stopwatch.GetTimestamp();
            await engine.RunAsync([source], untilDrained: true, CancellationToken.None);
            var elapsed = Stopwatch.GetElapsedTime(started, sink.LastAt).TotalSeconds;
            allocated = GC.GetTotalAllocatedBytes() - allocated;
            process.Refresh();
            cpu = process.TotalProcessorTime - cpu;
            var samples = (long)streams * frames * samplesPerFrame;
            var results = (long)streams * frames;
            if (sink.Results != results)
                throw new InvalidOperationException($"{sink.Results} results of {results}.");
            return new FileRow(
                profile.Name, samplesPerFrame, streams, shards, samples, samples / elapsed, results / elapsed, cpu.TotalMicroseconds / samples, (double)allocated / samples,
                (double)new FileInfo(Path.Combine(path, "results.ndjson")).Length / samples);
        }
        finally
        {
            Directory.Delete(path, recursive: true);
        }
    }

    private static void WriteCsv(string path, int streams, int rows, TimeSpan step)
    {
        using var file = new StreamWriter(path, append: false, new UTF8Encoding(false), 1 << 20);
        file.Write("time,stream,value\n");
        for (var row = 0; row < rows; row++)
        {
            var time = (s_start + (row * step)).ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture);
            for (var stream = 0; stream < streams; stream++)
            {
                var value = 400 + (150 * Math.Sin((row * step.TotalDays * 2 * Math.PI) + (stream * 0.1))) + ((row * 31 + stream * 17) % 23);
                file.Write(time);
                file.Write(",meter-");
                file.Write(stream.ToString("D6", CultureInfo.InvariantCulture));
                file.Write(',');
                file.Write(value.ToString("F2", CultureInfo.InvariantCulture));
                file.Write('\n');
            }
        }
    }

    /// <summary>Counts results and remembers when the last of them was in the sink.</summary>
    private sealed class TimingSink(IResultSink inner) : IResultSink
    {
        public string Name => inner.Name;

        public string? NotReady => inner.NotReady;

        public long Results { get; private set; }

        public long LastAt { get; private set; }

        public ValueTask OpenAsync(SinkMark durable, CancellationToken cancellationToken) => inner.OpenAsync(durable, cancellationToken);

        public async ValueTask<SinkMark> PublishAsync(long commit, IReadOnlyList<OutputRecord> records, CancellationToken cancellationToken)
        {
            foreach (var record in records)
                Results += record.Kind == OutputKind.Result ? 1 : 0;
            var mark = await inner.PublishAsync(commit, records, cancellationToken);
            LastAt = Stopwatch.GetTimestamp();
            return mark;
        }

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}

internal sealed record FileRow(
    string Profile, int SamplesPerFrame, int Streams, int Shards, long Samples, double SamplesPerS, double ResultsPerS, double CpuMicrosPerSample, double BytesAllocatedPerSample, double ResultBytesPerSample);
