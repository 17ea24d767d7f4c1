using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using StreamLstm.Runtime;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;

namespace StreamLstm.Benchmarks;

/// <summary>What a number of lean streams costs: memory, commits, a restore after a crash and one after a graceful stop.</summary>
internal static class FleetBenchmark
{
    /// <param name="frames">Frames per stream; with 40 every stream has snapshots, and entries after them.</param>
    /// <param name="rate">Samples per second, 0 = as many as go.</param>
    public static async Task<FleetRow> RunAsync(string folder, int streams, int frames, int rate)
    {
        var path = Directory.CreateDirectory(Path.Combine(folder, "streamlstm-fleet-" + Guid.NewGuid().ToString("N")[..8])).FullName;
        try
        {
            var state = Path.Combine(path, "state");
            var crashed = Path.Combine(path, "crashed");
            double perSecond;
            double[] commits, handOvers;
            long memory;
            using (var meters = new Meters())
            using (var durations = new Durations(meters))
            await using (var engine = NewEngine(state, streams, meters))
            {
                await engine.StartAsync();
                var feed = new FleetSource(streams, frames, rate);
                using var stop = new CancellationTokenSource();
                var started = Stopwatch.GetTimestamp();
                var running = engine.RunAsync([feed], untilDrained: false, stop.Token);
                while (feed.Status.State != SourceState.Completed)
                {
                    if (running.IsCompleted)
                        await running;
                    await Task.Delay(20);
                }

                await engine.DrainAsync(CancellationToken.None);
                perSecond = (double)streams * frames / Stopwatch.GetElapsedTime(started).TotalSeconds;
                memory = ResidentBytes();
                commits = durations.Of("streamlstm_commit_duration_seconds");
                handOvers = durations.Of("streamlstm_commit_wait_seconds");
                // Nothing moves any more: the folder is what a crash now would leave.
                CopyFolder(state, crashed);
                await stop.CancelAsync();
                await running;
            }

            var stateBytes = Directory.GetFiles(Path.Combine(crashed, "state")).Sum(f => new FileInfo(f).Length);
            var (afterCrash, restored) = await InAnotherProcessAsync(crashed, streams);
            var (afterStop, _) = await InAnotherProcessAsync(state, streams);
            return new FleetRow(
                streams, frames, rate, perSecond, memory, restored, (double)restored / streams, Percentile(commits, 0.5), Percentile(commits, 0.99), commits.Length > 0 ? commits[^1] : 0,
                Percentile(handOvers, 0.99), handOvers.Length > 0 ? handOvers[^1] : 0, stateBytes, afterCrash, afterStop);
        }
        finally
        {
            Directory.Delete(path, recursive: true);
        }
    }

    private static Engine NewEngine(string state, int streams, Meters meters) => new(
        new EngineSettings { StateDirectory = state, Profiles = [DurabilityBenchmark.Lean()], Shards = 2, MaxStreamsPerPartition = streams },
        [new NoSink()], TimeProvider.System, NullLoggerFactory.Instance, meters)
    { Learning = false };

    /// <summary>A restore as a worker does it: a fresh process, nothing compiled yet. Gives seconds and resident bytes.</summary>
    private static async Task<(double Seconds, long Bytes)> InAnotherProcessAsync(string state, int streams)
    {
        using var process = Process.Start(new ProcessStartInfo(
            "dotnet",
            [typeof(FleetBenchmark).Assembly.Location, "durability", "--part", "restore", "--state", state, "--streams", streams.ToString(CultureInfo.InvariantCulture)])
        { RedirectStandardOutput = true })!;
        var output = (await process.StandardOutput.ReadToEndAsync()).Split(' ');
        await process.WaitForExitAsync();
        return (double.Parse(output[0], CultureInfo.InvariantCulture), long.Parse(output[1], CultureInfo.InvariantCulture));
    }

    public static async Task RestoreAsync(string state, int streams)
    {
        using var meters = new Meters();
        await using var engine = NewEngine(state, streams, meters);
        var started = Stopwatch.GetTimestamp();
        await engine.StartAsync();
        var seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        if (engine.Statistics.Streams != streams)
            throw new InvalidOperationException($"{engine.Statistics.Streams} streams of {streams} were restored.");
        Console.Write(FormattableString.Invariant($"{seconds} {ResidentBytes()}"));
    }

    private static double Percentile(double[] sorted, double p) => sorted.Length == 0 ? 0 : sorted[(int)(p * (sorted.Length - 1))];

    private static long ResidentBytes()
    {
        // What is garbage now belongs to the load just ended, not to the streams.
        GC.Collect();
        using var process = Process.GetCurrentProcess();
        return process.WorkingSet64;
    }

    private static void CopyFolder(string from, string to)
    {
        foreach (var folder in Directory.GetDirectories(from, "*", SearchOption.AllDirectories).Append(from))
            Directory.CreateDirectory(folder.Replace(from, to, StringComparison.Ordinal));
        foreach (var file in Directory.GetFiles(from, "*", SearchOption.AllDirectories).Where(f => Path.GetFileName(f) != "lock"))
            File.Copy(file, file.Replace(from, to, StringComparison.Ordinal));
    }

    private sealed class FleetSource(int streams, int frames, int rate) : ISampleSource
    {
        public string Name => "fleet";

        public SourceStatus Status { get; private set; } = new(SourceState.Connected, null);

        public async Task RunAsync(IIngress ingress, CancellationToken stopping)
        {
            const long interval = 900_000_000;
            // Written anew for every sample: a million keys would count as the engine's memory.
            var key = "meter-0000000"u8.ToArray();
            var first = UnixMicros.From(new DateTimeOffset(2026, 3, 2, 0, 0, 0, TimeSpan.Zero));
            var size = rate > 0 ? Math.Max(1, rate / 100) : 8192;
            var batch = new SampleBatch();
            var values = new double[1];
            var started = Stopwatch.GetTimestamp();
            var sent = 0L;
            for (var frame = 0; frame < frames; frame++)
            {
                for (var stream = 0; stream < streams; stream++)
                {
                    values[0] = 400 + (150 * Math.Sin((frame * 2 * Math.PI / 96) + (stream * 0.1))) + (((frame * 31) + (stream * 17)) % 23);
                    stream.TryFormat(key.AsSpan(6), out _, "D7", CultureInfo.InvariantCulture);
                    batch.Add(key, first + (frame * interval), UnixMicros.Now(ingress.Clock), values);
                    if (batch.Count < size && (frame < frames - 1 || stream < streams - 1))
                        continue;
                    sent += batch.Count;
                    await ingress.AppendAsync(batch, stopping);
                    batch.Clear();
                    if (rate > 0 && TimeSpan.FromSeconds((double)sent / rate) - Stopwatch.GetElapsedTime(started) is { Ticks: > 0 } wait)
                        await Task.Delay(wait, stopping);
                }
            }

            Status = new SourceStatus(SourceState.Completed, null);
        }
    }

    private sealed class NoSink : IResultSink
    {
        public string Name => "none";

        public string? NotReady => null;

        public ValueTask OpenAsync(SinkMark durable, CancellationToken cancellationToken) => ValueTask.CompletedTask;

        public ValueTask<SinkMark> PublishAsync(long commit, IReadOnlyList<OutputRecord> records, CancellationToken cancellationToken) => ValueTask.FromResult(new SinkMark(commit, 0));

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}

internal sealed record FleetRow(
    int Streams, int Frames, int Rate, double SamplesPerS, long BytesUnderLoad, long BytesRestored, double BytesPerStream, double CommitP50Ms, double CommitP99Ms, double CommitMaxMs, double WaitP99Ms, double WaitMaxMs,
    long StateLogBytes, double RestoreAfterCrashS, double RestoreAfterStopS);
