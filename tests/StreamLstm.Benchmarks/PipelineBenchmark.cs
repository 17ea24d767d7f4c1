using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json.Serialization;
using Microsoft.Extensions.Logging.Abstractions;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Core.Recurrent.Kernels;
using StreamLstm.Runtime;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Benchmarks;

/// <summary>
/// Message bytes in, results out, with the parts in between that a deployment has.
/// <c>json→result</c>: decoder, durable journal, the whole engine (alignment, experts, scoring, result JSON, commits) and a sink
/// in memory, learning switched off. <c>json→hidden</c>: decoder, stream look-up, batches of 512, recurrent kernel; one thread,
/// nothing durable: what the kernels leave possible.
/// </summary>
internal static class PipelineBenchmark
{
    private const int Streams = 10_000;
    private const int EngineFrames = 4;
    private const long IntervalMicros = 900_000_000;

    public static async Task<PipelineReport> RunAsync() => new(
    [
        await EngineAsync(),
        Kernel(32, 1),
        Kernel(64, 2),
        Kernel(128, 2),
    ]);

    private static TimestampFormat Milliseconds =>
        TimestampFormat.TryCreate("unix_ms", out var format) ? format : throw new InvalidOperationException("unix_ms has gone.");

    private static BindingDecoder Decoder() => new(
    [
        new BindingSettings
        {
            Name = "load",
            Match = "meters/{id}",
            Stream = "{id}",
            Time = new BindingTime { At = "/t", Format = Milliseconds },
            Values = new Dictionary<string, BindingValue> { ["value"] = new() { At = "/v" } },
        },
    ]);

    private static byte[] Message(long timeMicros, int stream) => Encoding.UTF8.GetBytes(string.Create(
        CultureInfo.InvariantCulture, $$"""{"t":{{timeMicros / 1000}},"v":{{10 + Math.Sin((stream * 0.1) + (timeMicros / 1e10)):F4}}}"""));

    private static async Task<PipelineResult> EngineAsync()
    {
        var folder = Directory.CreateTempSubdirectory("streamlstm-pipeline-");
        try
        {
            var sink = new CountingSink();
            using var meters = new Meters();
            var settings = new EngineSettings
            {
                StateDirectory = folder.FullName,
                Profiles =
                [
                    new Profile { Name = "load", SamplesPerFrame = 1, HiddenSize = 32, HorizonSteps = 24, Learning = false },
                ],
                MaxStreamsPerPartition = 2 * Streams,
            };
            await using var engine = new Engine(settings, [sink], TimeProvider.System, NullLoggerFactory.Instance, meters);
            engine.Learning = false;
            await engine.StartAsync();
            await engine.RunAsync([new MessageSource()], untilDrained: true, CancellationToken.None);
            var samples = sink.Results - sink.FirstResults;
            return new PipelineResult(
                "json→result", 32, Streams, samples / Stopwatch.GetElapsedTime(sink.FirstAt, sink.LastAt).TotalSeconds);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static PipelineResult Kernel(int hidden, int layers)
    {
        const int batchSize = 512;
        var shape = new StackedShape(1, hidden, layers);
        var weights = StackedWeights.Create(shape, 1);
        var kernel = new StackedKernel(shape);
        var records = new StateRecords(shape, Streams);
        var decoder = Decoder();
        var batch = new SampleBatch();
        var topics = Enumerable.Range(0, Streams).Select(i => FormattableString.Invariant($"meters/m{i:D5}")).ToArray();
        var messages = Enumerable.Range(0, Streams).Select(i => Message(IntervalMicros, i)).ToArray();
        var lookup = new Dictionary<string, int>();
        for (var i = 0; i < Streams; i++)
        {
            lookup[FormattableString.Invariant($"m{i:D5}")] = i;
        }

        var slotOf = lookup.GetAlternateLookup<ReadOnlySpan<char>>();
        var slots = new int[batchSize];
        var inputs = new float[batchSize];
        Span<char> key = stackalloc char[512];
        long samples = 0;
        var started = Stopwatch.GetTimestamp();
        var position = 0;
        const double warmUp = 0.5;
        const double seconds = 2;
        var measuring = false;
        while (true)
        {
            batch.Clear();
            for (var i = 0; i < batchSize; i++)
            {
                // A stride coprime to the number of streams visits all of them in scattered order.
                position = (position + 3989) % Streams;
                decoder.Decode(
                    new SourceMessage { Source = "memory", Topic = topics[position], Payload = messages[position], ArrivalMicros = IntervalMicros, Position = "" },
                    batch);
            }

            for (var i = 0; i < batch.Count; i++)
            {
                var length = Encoding.UTF8.GetChars(batch.Key(i), key);
                slots[i] = slotOf[key[..length]];
                inputs[i] = (float)(batch.Values(i)[0] - 10);
            }

            kernel.Step(weights, records, slots.AsSpan(0, batch.Count), inputs.AsSpan(0, batch.Count));
            samples += batch.Count;
            var elapsed = Stopwatch.GetElapsedTime(started).TotalSeconds;
            if (!measuring && elapsed > warmUp)
            {
                (measuring, samples, started) = (true, 0, Stopwatch.GetTimestamp());
            }
            else if (measuring && elapsed > seconds)
            {
                return new PipelineResult("json→hidden", hidden, Streams, samples / elapsed);
            }
        }
    }

    /// <summary>Decodes prepared messages as a broker connector would, 512 to an append.</summary>
    private sealed class MessageSource : ISampleSource
    {
        public string Name => "memory";

        public SourceStatus Status { get; private set; } = new(SourceState.Connected, null);

        public async Task RunAsync(IIngress ingress, CancellationToken stopping)
        {
            var decoder = Decoder();
            var batch = new SampleBatch();
            var topics = Enumerable.Range(0, Streams).Select(i => FormattableString.Invariant($"meters/m{i:D5}")).ToArray();
            var now = UnixMicros.Now(ingress.Clock);
            var first = (now - (now % IntervalMicros)) - (EngineFrames * IntervalMicros);
            for (var frame = 0; frame < EngineFrames; frame++)
            {
                for (var stream = 0; stream < Streams; stream++)
                {
                    decoder.Decode(
                        new SourceMessage
                        {
                            Source = Name,
                            Topic = topics[stream],
                            Payload = Message(first + (frame * IntervalMicros), stream),
                            ArrivalMicros = now,
                            Position = "",
                        },
                        batch);
                    if (batch.Count == 512 || stream == Streams - 1)
                    {
                        await ingress.AppendAsync(batch, stopping);
                        batch.Clear();
                    }
                }
            }

            Status = new SourceStatus(SourceState.Completed, null);
        }
    }

    /// <summary>Counts; the first tenth is warm-up.</summary>
    private sealed class CountingSink : IResultSink
    {
        public string Name => "memory";

        public string? NotReady => null;

        public long Results { get; private set; }

        public long FirstResults { get; private set; }

        public long FirstAt { get; private set; }

        public long LastAt { get; private set; }

        public ValueTask OpenAsync(SinkMark durable, CancellationToken cancellationToken) => ValueTask.CompletedTask;

        public ValueTask<SinkMark> PublishAsync(long commit, IReadOnlyList<OutputRecord> records, CancellationToken cancellationToken)
        {
            Results += records.Count(record => record.Kind == OutputKind.Result);
            LastAt = Stopwatch.GetTimestamp();
            if (FirstAt == 0 && Results >= Streams * EngineFrames / 10)
            {
                (FirstAt, FirstResults) = (LastAt, Results);
            }

            return ValueTask.FromResult(new SinkMark(commit, 0));
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}

internal sealed record PipelineResult(string Path, [property: JsonPropertyName("H")] int H, int Streams, double SamplesPerS);

internal sealed record PipelineReport(IReadOnlyList<PipelineResult> Rows);
