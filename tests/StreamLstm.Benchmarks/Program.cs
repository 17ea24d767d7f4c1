using System.Globalization;
using System.Text.Json;
using StreamLstm.Benchmarks;

var options = new Dictionary<string, string>();
for (var i = 1; i + 1 < args.Length; i += 2)
{
    options[args[i]] = args[i + 1];
}

switch (args.FirstOrDefault())
{
    case "kernels":
        {
            var report = KernelBenchmark.Run(
                options.GetValueOrDefault("--filter", ""), double.Parse(options.GetValueOrDefault("--seconds", "26"), CultureInfo.InvariantCulture));
            Write(report);
            Console.WriteLine(FormattableString.Invariant($"{report.Cpu}, FMA peak of one core {report.PeakGflops:F1} GFLOP/s"));
            Console.WriteLine("kind  cell width    I    H  L    B   T    M steps/s  GFLOP/s  % peak  bytes/step");
            foreach (var row in report.Rows)
            {
                Console.WriteLine(FormattableString.Invariant(
                    $"{row.Kind,-5} {row.Cell,-4} {row.Width,5} {row.I,4} {row.H,4} {row.L,2} {row.B,4} {row.T,3} {row.StepsPerS / 1e6,12:F4} {row.GflopPerS,8:F1} {row.PercentOfPeak,7:F1} {row.BytesPerStep,11:F2}"));
            }

            return report.Rows.Any(row => row.BytesPerStep > 0) ? 1 : 0;
        }

    case "pipeline":
        {
            var report = await PipelineBenchmark.RunAsync();
            Write(report);
            foreach (var row in report.Rows)
            {
                Console.WriteLine(FormattableString.Invariant($"{row.Path,-12} H={row.H,-4} {row.Streams} streams {row.SamplesPerS,12:F0} samples/s"));
            }

            return 0;
        }

    case "forecast":
        {
            var report = ForecastBenchmark.Run(double.Parse(options.GetValueOrDefault("--seconds", "6"), CultureInfo.InvariantCulture));
            Write(report);
            Console.WriteLine(report.Cpu);
            Console.WriteLine("tier   µs/frame  bytes/frame  block p99 µs  with training  update µs");
            foreach (var row in report.Rows)
            {
                Console.WriteLine(FormattableString.Invariant(
                    $"{row.Tier,-5} {row.Microseconds,9:F2} {row.BytesPerFrame,12:F2} {row.BlockP99,13:F0} {row.BlockP99Training,14:F0} {row.TrainingMicroseconds,10:F0}"));
            }

            foreach (var state in report.States)
            {
                Console.WriteLine(FormattableString.Invariant($"{state.Tier} m1={state.DayFrames} m2={state.WeekFrames} K={state.Horizon}: {state.Bytes} bytes; {string.Join(", ", state.Components.Select(c => $"{c.Key} {c.Value}"))}"));
            }

            return report.Rows.Any(row => row.BytesPerFrame > 0) ? 1 : 0;
        }

    case "scoring":
        {
            var report = ScoringBenchmark.Run(double.Parse(options.GetValueOrDefault("--seconds", "8"), CultureInfo.InvariantCulture));
            Write(report);
            Console.WriteLine(report.Cpu);
            Console.WriteLine("part     D  µs/frame and channel  bytes");
            foreach (var row in report.Rows)
            {
                Console.WriteLine(FormattableString.Invariant($"{row.Part,-7} {row.D,2} {row.Microseconds,21:F3} {row.BytesPerFrame,6:F3}"));
            }

            return report.Rows.Any(row => row.BytesPerFrame > 0.001) ? 1 : 0;
        }

    case "decode":
        {
            var report = DecodeBenchmark.Run(
                options.GetValueOrDefault("--filter", ""), double.Parse(options.GetValueOrDefault("--seconds", "2"), CultureInfo.InvariantCulture));
            Write(report);
            Console.WriteLine(report.Cpu);
            Console.WriteLine("path           payload bytes  samples  M samples/s  bytes/sample");
            foreach (var row in report.Rows)
            {
                Console.WriteLine(FormattableString.Invariant(
                    $"{row.Path,-14} {row.PayloadBytes,13} {row.SamplesPerMessage,8} {row.SamplesPerS / 1e6,12:F2} {row.BytesPerSample,13:F3}"));
            }

            return report.Rows.Any(row => row.BytesPerSample > 0.01) ? 1 : 0;
        }

    case "durability":
        return await DurabilityCommand.RunAsync(options, Write);

    case "kafka":
        {
            var report = await KafkaBenchmark.RunAsync(
                options.GetValueOrDefault("--servers", "127.0.0.1:9092"),
                int.Parse(options.GetValueOrDefault("--streams", "10000"), CultureInfo.InvariantCulture),
                int.Parse(options.GetValueOrDefault("--rounds", "20"), CultureInfo.InvariantCulture),
                options.GetValueOrDefault("--part", "all"),
                int.Parse(options.GetValueOrDefault("--threads", "0"), CultureInfo.InvariantCulture),
                double.Parse(options.GetValueOrDefault("--load", "0"), CultureInfo.InvariantCulture));
            Write(report);
            if (report.ReadSamplesPerS > 0)
                Console.WriteLine(FormattableString.Invariant($"cluster alone: reads {report.ReadSamplesPerS:F0}, writes {report.WriteSamplesPerS:F0} samples/s"));
            foreach (var row in report.Throughput)
                Console.WriteLine(FormattableString.Invariant($"{row.Processes} processes of {row.Threads} threads: {row.SamplesPerS:F0} samples/s with {row.CoresUsed:F2} cores, {row.SamplesPerSAndCore:F0} per core"));
            if (report.Latency is { } latency)
                Console.WriteLine(FormattableString.Invariant($"latency with {latency.Threads} threads at {latency.SamplesPerS:F0} samples/s: p50 {latency.P50Ms:F0}, p99 {latency.P99Ms:F0}, max {latency.MaxMs:F0} ms over {latency.Results} results"));
            foreach (var h in report.HandOvers)
                Console.WriteLine(FormattableString.Invariant($"hand-over of a partition with {h.Streams} streams, {h.Standbys} standbys: {h.JoinGapMs:F0} ms without a result at joining, {h.LeaveGapMs:F0} ms at leaving; restores {string.Join(", ", h.Restores.Select(r => FormattableString.Invariant($"{r.Ms:F0} ms {r.How}")))}"));
            return 0;
        }

    case "kafka-worker":
        await KafkaBenchmark.RunWorkerAsync(options["--servers"], options["--topic"], options["--group"]);
        return 0;

    case "signals":
        {
            var report = await SignalBenchmark.RunAsync(
                int.Parse(options.GetValueOrDefault("--streams", "1000"), CultureInfo.InvariantCulture), double.Parse(options.GetValueOrDefault("--seconds", "30"), CultureInfo.InvariantCulture));
            Write(report);
            Console.WriteLine(report.Cpu);
            Console.WriteLine(FormattableString.Invariant($"monitor alone, one core: {report.Monitor.SamplesPerS / 1e6:F2} M samples/s, {report.Monitor.BytesPerSample:F3} bytes per sample"));
            Console.WriteLine("        streams  samples/s  cores  results  latency p50 ms      p99    p99.9      max  behind s");
            foreach (var (name, row) in new[] { ("flood", report.Flood), ("paced", report.Paced) })
            {
                Console.WriteLine(FormattableString.Invariant(
                    $"{name} {row.Streams,9} {row.SamplesPerS,10:F0} {row.Cores,6:F2} {row.Results,8} {row.MsP50,15:F1} {row.MsP99,8:F1} {row.MsP999,8:F1} {row.MsMax,8:F1} {row.BehindSeconds,9:F3}"));
            }

            return report.Paced.MsP99 < 100 && report.Paced.BehindSeconds < 0.1 ? 0 : 1;
        }

    default:
        Console.Error.WriteLine("usage: decode [--json OUT] [--filter TEXT] [--seconds N] | kernels [--json OUT] [--filter TEXT] [--seconds N] | pipeline [--json OUT] | forecast [--json OUT] [--seconds N] | scoring [--json OUT] [--seconds N] | kafka [--servers HOST:PORT] [--part throughput|processes|latency|hand-over] [--streams N] [--rounds N] [--threads N] [--load SAMPLES/S] [--json OUT] | signals [--json OUT] [--streams N] [--seconds N] | durability [--part NAME] [--folder DIR] [--json OUT]");
        return 2;
}

void Write(object report)
{
    if (options.TryGetValue("--json", out var path))
    {
        File.WriteAllText(path, JsonSerializer.Serialize(report, new JsonSerializerOptions
        {
            PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
            WriteIndented = true,
            Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        }));
    }
}
