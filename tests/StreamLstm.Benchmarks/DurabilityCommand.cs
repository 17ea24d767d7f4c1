using System.Globalization;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Benchmarks;

/// <summary><c>durability --part NAME</c>: prints what one part of <see cref="DurabilityBenchmark"/> measured.</summary>
internal static class DurabilityCommand
{
    public static async Task<int> RunAsync(Dictionary<string, string> options, Action<object> write)
    {
        var folder = options.GetValueOrDefault("--folder", Path.GetTempPath());
        int Number(string name, int otherwise) => options.TryGetValue(name, out var text) ? int.Parse(text, CultureInfo.InvariantCulture) : otherwise;
        Profile ProfileOf(int perFrame) => options.GetValueOrDefault("--profile", "lean") == "lean" ? DurabilityBenchmark.Lean(perFrame) : DurabilityBenchmark.Default(perFrame);
        var part = options.GetValueOrDefault("--part", "files");
        switch (part)
        {
            case "files":
                var perFrame = Number("--per-frame", 1);
                var row = await DurabilityBenchmark.FilesAsync(
                    ProfileOf(perFrame), folder, Number("--streams", 10_000), Number("--frames", 300), perFrame, Number("--shards", 2), Number("--rate", 0));
                Console.WriteLine(FormattableString.Invariant(
                    $"{row.Profile} {row.SamplesPerFrame}/frame {row.Streams} streams {row.Shards} shards{(row.Rate > 0 ? $" at {row.Rate}/s" : "")}: {row.SamplesPerS:F0} samples/s ({row.SecondHalfPerS:F0} in the second half), {row.ResultsPerS:F0} results/s, {row.SamplesPerSAndCore:F0} values/s per core ({row.CpuMicrosPerSample:F2} µs), {row.JournalFlushesPerS:F1} journal fsyncs/s, read to result in the file {row.P50Ms:F1} ms (median), {row.P99Ms:F1} (p99)"));
                Console.WriteLine(FormattableString.Invariant(
                    $"  {row.BytesAllocatedPerSample:F0} B allocated per sample, {row.BytesPerResult:F0} B per result, {row.BytesWrittenPerSample:F0} B written per sample = {row.BytesWrittenPerS / 1e6:F0} MB/s; the disk alone: {row.Disk}"));
                write(new[] { row });
                return 0;
            case "mqtt":
                var mqtt = await MqttBenchmark.RunAsync(
                    ProfileOf(1), folder, Number("--streams", 2000), Number("--samples", 600_000), Number("--inflight", 1000), Number("--rate", 0), Number("--warm-up", 5), Number("--seconds", 15));
                Console.WriteLine(FormattableString.Invariant(
                    $"mqtt {mqtt.Profile} {mqtt.Streams} streams, max_inflight_messages {mqtt.MaxInflightMessages}, rate {mqtt.Rate}: {mqtt.SamplesPerS:F0} samples/s, publication after {mqtt.P50Ms:F1} ms (median), {mqtt.P99Ms:F1} (p99), {mqtt.MaxMs:F1} (max); the {mqtt.WarmUpSeconds:F0} s before that {mqtt.ColdP50Ms:F1}, {mqtt.ColdP99Ms:F1}, {mqtt.ColdMaxMs:F1}"));
                Console.WriteLine(FormattableString.Invariant(
                    $"  {mqtt.SamplesPerSAndCore:F0} values/s per core of the worker, {mqtt.JournalFlushesPerS:F0} journal fsyncs/s; the disk alone: {mqtt.Disk}"));
                write(mqtt);
                return 0;
            case "publish":
                await MqttBenchmark.PublishAsync(Number("--port", 1883), Number("--streams", 2000), Number("--samples", 300_000), Number("--rate", 0), options["--sent"]);
                return 0;
            case "fleet":
                var fleet = await FleetBenchmark.RunAsync(folder, Number("--streams", 100_000), Number("--frames", 40), Number("--rate", 0));
                Console.WriteLine(FormattableString.Invariant(
                    $"fleet {fleet.Streams} streams x {fleet.Frames}, rate {fleet.Rate}: {fleet.SamplesPerS:F0} samples/s, {fleet.BytesUnderLoad / 1048576.0:F0} MiB resident under this load, {fleet.BytesRestored / 1048576.0:F0} MiB after a restore = {fleet.BytesPerStream:F0} B per stream, commit {fleet.CommitP50Ms:F1} / {fleet.CommitP99Ms:F1} / {fleet.CommitMaxMs:F1} ms, hand-over {fleet.WaitP99Ms:F1} / {fleet.WaitMaxMs:F1} ms (p99, max), state log {fleet.StateLogBytes / 1048576.0:F0} MiB, restore {fleet.RestoreAfterCrashS:F2} s after a crash, {fleet.RestoreAfterStopS:F2} s after a stop"));
                write(fleet);
                return 0;
            case "restore":
                await FleetBenchmark.RestoreAsync(options["--state"], Number("--streams", 1));
                return 0;
            case "journal":
                var journal = new List<JournalRow>();
                foreach (var (senders, size) in new[] { (1, 1), (1, 512), (16, 1), (16, 64), (64, 16), (1, 8192) })
                {
                    var one = await JournalBenchmark.RunAsync(folder, senders, size, Number("--seconds", 3));
                    journal.Add(one);
                    Console.WriteLine(FormattableString.Invariant(
                        $"journal {one.Senders} senders of {one.SamplesPerAppend}: {one.AppendsPerS:F0} appends/s, {one.SamplesPerS:F0} samples/s, {one.BytesPerS / 1048576:F1} MiB/s, answered after {one.P50Ms:F2} ms (median), {one.P99Ms:F2} (p99)"));
                }

                write(journal);
                return 0;
            default:
                Console.Error.WriteLine($"unknown part {part}");
                return 2;
        }
    }
}
