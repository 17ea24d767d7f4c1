using System.Globalization;

namespace StreamLstm.Benchmarks;

/// <summary><c>durability --part NAME</c>: prints what one part of <see cref="DurabilityBenchmark"/> measured.</summary>
internal static class DurabilityCommand
{
    public static async Task<int> RunAsync(Dictionary<string, string> options, Action<object> write)
    {
        var folder = options.GetValueOrDefault("--folder", Path.GetTempPath());
        int Number(string name, int otherwise) => options.TryGetValue(name, out var text) ? int.Parse(text, CultureInfo.InvariantCulture) : otherwise;
        var part = options.GetValueOrDefault("--part", "files");
        switch (part)
        {
            case "files":
                var rows = new List<FileRow>();
                var perFrame = Number("--per-frame", 1);
                var profile = options.GetValueOrDefault("--profile", "lean") == "lean" ? DurabilityBenchmark.Lean(perFrame) : DurabilityBenchmark.Default(perFrame);
                var row = await DurabilityBenchmark.FilesAsync(profile, folder, Number("--streams", 10_000), Number("--frames", 100), perFrame, Number("--shards", 2));
                rows.Add(row);
                Console.WriteLine(FormattableString.Invariant(
                    $"{row.Profile} {row.SamplesPerFrame}/frame {row.Streams} streams {row.Shards} shards: {row.SamplesPerS:F0} samples/s, {row.ResultsPerS:F0} results/s, {row.CpuMicrosPerSample:F2} µs CPU and {row.BytesAllocatedPerSample:F0} B allocated per sample, {row.ResultBytesPerSample:F0} B of results"));
                write(rows);
                return 0;
            default:
                Console.Error.WriteLine($"unknown part {part}");
                return 2;
        }
    }
}
