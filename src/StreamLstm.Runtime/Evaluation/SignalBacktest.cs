using System.Diagnostics.Metrics;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Runtime.Evaluation;

/// <summary>A run of samples of one stream in time order.</summary>
/// <param name="Values">[n, channels].</param>
public readonly record struct SignalBlock(string Stream, long FirstMicros, int Rows, ReadOnlyMemory<double> Values);

/// <summary>What a backtest found for one signal.</summary>
/// <param name="Results">Beats or windows after the warm-up.</param>
/// <param name="Anomalous">Those with a score above 1.</param>
/// <param name="Detection">Null without labels.</param>
/// <param name="Scores">Time and score of every result, for rank measures.</param>
public sealed record SignalSeries(string Stream, double Seconds, int Results, int Anomalous, IReadOnlyList<DetectedEpisode> Episodes, DetectionQuality? Detection, IReadOnlyList<(long Time, float Score)> Scores);

/// <summary>
/// Replays signals through the production engine with a simulated clock, and judges the episodes against labels. A delay reaches to
/// the clock at which the episode's first result was issued, packets of a tenth of a second included.
/// </summary>
public sealed class SignalBacktest(Profile profile, double warmUp)
{
    /// <summary>An episode may begin this much after a fault's end and still belong to it: a beat is known by what follows it.</summary>
    public static readonly TimeSpan Tolerance = TimeSpan.FromSeconds(5);

    private const long DrainMicros = 10_000_000;

    /// <param name="blocks">In time order; values may be reused after each.</param>
    /// <param name="labels">Ground truth, or empty.</param>
    /// <param name="progress">Called with the number of samples so far.</param>
    public async Task<IReadOnlyList<SignalSeries>> RunAsync(
        IEnumerable<SignalBlock> blocks, IReadOnlyList<Label> labels, Action<long>? progress, ILoggerFactory loggers, IMeterFactory meters, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(labels);
        var sink = new Collector();
        var spans = new SortedDictionary<string, (long First, long End)>(StringComparer.Ordinal);
        var state = Directory.CreateTempSubdirectory("streamlstm-backtest-").FullName;
        try
        {
            var clock = new SimulatedClock(0);
            var settings = new EngineSettings { StateDirectory = state, Profiles = [profile with { Select = "*" }] };
            await using var engine = new Engine(settings, [sink], clock, loggers, meters);
            await engine.StartAsync();
            await engine.RunAsync([new Feed(blocks, 1e6 / profile.Rate, engine, clock, spans, progress)], untilDrained: true, cancellationToken);
            cancellationToken.ThrowIfCancellationRequested();
        }
        finally
        {
            Directory.Delete(state, recursive: true);
        }

        return [.. spans.Select(s => Judge(s.Key, s.Value.First, s.Value.End, labels, sink))];
    }

    private SignalSeries Judge(string stream, long first, long end, IReadOnlyList<Label> labels, Collector sink)
    {
        var from = first + (long)(warmUp * (end - first));
        (long Time, float Score)[] scores = [.. sink.Scores.GetValueOrDefault(stream, []).Where(s => s.Time >= from)];
        DetectedEpisode[] episodes = [.. sink.Episodes.Values.Where(e => e.Stream == stream && e.Start >= from)];
        var quality = labels.Count == 0 ? null : DetectionQuality.Of(
            [.. labels.Where(l => l.Stream == stream && l.Start >= from)], episodes, (long)Tolerance.TotalMicroseconds, (end - from) / 1e6 / 86_400, 0);
        return new SignalSeries(stream, (end - from) / 1e6, scores.Length, scores.Count(s => s.Score > 1), episodes, quality, scores);
    }

    private sealed class Feed(IEnumerable<SignalBlock> blocks, double step, Engine engine, SimulatedClock clock, SortedDictionary<string, (long First, long End)> spans, Action<long>? progress) : ISampleSource
    {
        public string Name => "backtest";

        public SourceStatus Status { get; private set; } = new(SourceState.Connected, null);

        public async Task RunAsync(IIngress ingress, CancellationToken stopping)
        {
            var batch = new SampleBatch();
            var drained = long.MinValue;
            long samples = 0;
            foreach (var block in blocks)
            {
                var end = block.FirstMicros + (long)(block.Rows * step);
                clock.AdvanceTo(end);
                spans[block.Stream] = spans.TryGetValue(block.Stream, out var span) ? (span.First, Math.Max(span.End, end)) : (block.FirstMicros, end);
                batch.AddBlock(System.Text.Encoding.UTF8.GetBytes(block.Stream), block.FirstMicros, step, clock.NowMicros, block.Rows, block.Values.Span);
                samples += block.Rows;
                if (end - drained < DrainMicros && batch.Count < 20_000)
                    continue;
                drained = end;
                await FlushAsync(batch, ingress, stopping);
                progress?.Invoke(samples);
            }

            await FlushAsync(batch, ingress, stopping);
            Status = new SourceStatus(SourceState.Completed, null);
        }

        private async Task FlushAsync(SampleBatch batch, IIngress ingress, CancellationToken stopping)
        {
            await ingress.AppendAsync(batch, stopping);
            batch.Clear();
            await engine.DrainAsync(stopping);
        }
    }

    private sealed class Collector : IResultSink
    {
        private readonly Dictionary<string, long> _issued = new(StringComparer.Ordinal);

        public Dictionary<string, DetectedEpisode> Episodes { get; } = new(StringComparer.Ordinal);

        public Dictionary<string, List<(long Time, float Score)>> Scores { get; } = new(StringComparer.Ordinal);

        public string Name => "backtest";

        public string? NotReady => null;

        public ValueTask OpenAsync(SinkMark durable, CancellationToken cancellationToken) => ValueTask.CompletedTask;

        public ValueTask<SinkMark> PublishAsync(long commit, IReadOnlyList<OutputRecord> records, CancellationToken cancellationToken)
        {
            foreach (var record in records)
            {
                if (record.Kind == OutputKind.Episode)
                {
                    var (id, episode) = EpisodeReader.Read(record.Json.Span);
                    Episodes[id] = episode with { Known = _issued[id] };
                }
                else if (record.Kind == OutputKind.Result)
                {
                    using var result = JsonDocument.Parse(record.Json);
                    if (!Scores.TryGetValue(record.Stream, out var scores))
                        Scores[record.Stream] = scores = [];
                    scores.Add((record.TimeMicros, result.RootElement.GetProperty("anomaly_score").GetSingle()));
                    if (result.RootElement.GetProperty("episode").GetString() is { } id)
                        _issued.TryAdd(id, UnixMicros.From(result.RootElement.GetProperty("issued_at").GetDateTimeOffset()));
                }
            }

            return ValueTask.FromResult(new SinkMark(commit, 0));
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
