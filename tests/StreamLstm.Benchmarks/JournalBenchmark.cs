using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using StreamLstm.Runtime;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Benchmarks;

/// <summary>The journal alone: appends of a size, from a number of senders at once, each answered after the fsync.</summary>
internal static class JournalBenchmark
{
    public static async Task<JournalRow> RunAsync(string folder, int senders, int samplesPerAppend, double seconds)
    {
        var path = Directory.CreateDirectory(Path.Combine(folder, "streamlstm-journal-" + Guid.NewGuid().ToString("N")[..8])).FullName;
        try
        {
            using var meters = new Meters();
            // Not run: nothing reads what is appended.
            var settings = new EngineSettings { StateDirectory = path, Profiles = [DurabilityBenchmark.Lean()], Journal = new() { MaxBacklogBytes = long.MaxValue } };
            await using var engine = new Engine(settings, [], TimeProvider.System, NullLoggerFactory.Instance, meters);
            await engine.StartAsync();
            var latencies = new List<double>();
            var started = Stopwatch.GetTimestamp();
            await Task.WhenAll(Enumerable.Range(0, senders).Select(sender => Task.Run(async () =>
            {
                var own = new List<double>();
                var batch = new SampleBatch();
                for (var i = 0; i < samplesPerAppend; i++)
                    batch.Add($"meter-{sender:D3}-{i:D5}", UnixMicros.Now(TimeProvider.System), UnixMicros.Now(TimeProvider.System), [i]);
                while (Stopwatch.GetElapsedTime(started).TotalSeconds < seconds)
                {
                    var at = Stopwatch.GetTimestamp();
                    await engine.Ingress.AppendAsync(batch, CancellationToken.None);
                    own.Add(Stopwatch.GetElapsedTime(at).TotalMilliseconds);
                }

                lock (latencies)
                    latencies.AddRange(own);
            })));
            var elapsed = Stopwatch.GetElapsedTime(started).TotalSeconds;
            latencies.Sort();
            return new JournalRow(
                senders, samplesPerAppend, latencies.Count / elapsed, (double)latencies.Count * samplesPerAppend / elapsed, Directory.GetFiles(Path.Combine(path, "journal")).Sum(f => new FileInfo(f).Length) / elapsed,
                latencies[latencies.Count / 2], latencies[(int)(0.99 * (latencies.Count - 1))]);
        }
        finally
        {
            Directory.Delete(path, recursive: true);
        }
    }
}

internal sealed record JournalRow(int Senders, int SamplesPerAppend, double AppendsPerS, double SamplesPerS, double BytesPerS, double P50Ms, double P99Ms);
