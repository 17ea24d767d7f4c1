using System.Diagnostics;
using System.Globalization;

namespace StreamLstm.Benchmarks;

/// <summary>What this process has used since the start of a measurement: processor time, and bytes written to files and sockets.</summary>
internal sealed class Usage
{
    private readonly TimeSpan _processor = Processor();
    private readonly long _written = Written();

    public double ProcessorSeconds => (Processor() - _processor).TotalSeconds;

    /// <summary>0 where the system doesn't count.</summary>
    public long BytesWritten => Written() - _written;

    private static TimeSpan Processor()
    {
        using var process = Process.GetCurrentProcess();
        return process.TotalProcessorTime;
    }

    private static long Written()
    {
        const string counters = "/proc/self/io";
        const string name = "wchar: ";
        var line = File.Exists(counters) ? File.ReadLines(counters).FirstOrDefault(l => l.StartsWith(name, StringComparison.Ordinal)) : null;
        return line is null ? 0 : long.Parse(line.AsSpan(name.Length), CultureInfo.InvariantCulture);
    }
}
