using System.Diagnostics;

namespace StreamLstm.Benchmarks;

/// <summary>
/// What a folder's disk does just now, without the engine: one file written front to back with a flush after every 4 MiB (about a commit), and small
/// appends flushed one by one. Disks are shared and differ by the hour: a figure of the engine on a disk means little without it.
/// </summary>
internal static class DiskProbe
{
    private const int Chunk = 4 << 20;

    public static DiskRow Run(string folder, long bytes = 128L << 20, int flushes = 200)
    {
        var path = Path.Combine(folder, "streamlstm-probe-" + Guid.NewGuid().ToString("N")[..8]);
        try
        {
            using var file = File.OpenHandle(path, FileMode.Create, FileAccess.Write);
            var content = new byte[Chunk];
            Random.Shared.NextBytes(content);
            var started = Stopwatch.GetTimestamp();
            long at = 0;
            for (; at < bytes; at += Chunk)
            {
                RandomAccess.Write(file, content, at);
                RandomAccess.FlushToDisk(file);
            }

            var perSecond = at / Stopwatch.GetElapsedTime(started).TotalSeconds;
            var milliseconds = new double[flushes];
            for (var i = 0; i < flushes; i++, at += 4096)
            {
                started = Stopwatch.GetTimestamp();
                RandomAccess.Write(file, content.AsSpan(0, 4096), at);
                RandomAccess.FlushToDisk(file);
                milliseconds[i] = Stopwatch.GetElapsedTime(started).TotalMilliseconds;
            }

            Array.Sort(milliseconds);
            return new DiskRow(perSecond, milliseconds[flushes / 2], milliseconds[flushes * 99 / 100]);
        }
        finally
        {
            File.Delete(path);
        }
    }
}

/// <param name="BytesPerS">Written and flushed, one stream.</param>
/// <param name="FlushP50Ms">Of 4 KiB appended and flushed.</param>
internal sealed record DiskRow(double BytesPerS, double FlushP50Ms, double FlushP99Ms)
{
    public override string ToString() => FormattableString.Invariant($"{BytesPerS / 1e6:F0} MB/s in one flushed stream, a flush of 4 KiB takes {FlushP50Ms:F2} ms (median), {FlushP99Ms:F2} (p99)");
}
