using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using StreamLstm.Core.Forecasting;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Runtime.Evaluation;

/// <summary>What a backtest found for one series.</summary>
public sealed record BacktestSeries(string Stream, SeriesEvaluation Evaluation, DetectionQuality? Detection);

/// <summary>One forecast step that met its target, for the predictions file.</summary>
public delegate void PredictionHandler(string stream, long issuedAtMicros, long targetMicros, int h, ReadOnlySpan<float> quantiles);

/// <summary>
/// Replays readings through the production engine and judges every forecast when its targets arrive, beside the baselines'.
/// </summary>
public sealed class Backtest(Profile profile, double warmUp, bool learnAfterWarmUp, ulong seed)
{
    /// <param name="rows">Readings in time order.</param>
    /// <param name="labels">Ground truth, or empty.</param>
    /// <param name="progress">Called with the share done.</param>
    public async Task<IReadOnlyList<BacktestSeries>> RunAsync(
        IReadOnlyList<BacktestRow> rows, IReadOnlyList<Label> labels, PredictionHandler? predictions, Action<double>? progress,
        ILoggerFactory loggers, IMeterFactory meters, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(rows);
        ArgumentNullException.ThrowIfNull(labels);
        var interval = (long)profile.Interval.TotalMicroseconds;
        var observer = new Observer(profile, interval, rows, warmUp, predictions);
        var episodes = new EpisodeCollector();
        await Replay.RunAsync(profile, seed, rows, observer, [episodes], learnAfterWarmUp ? double.MaxValue : warmUp, progress, loggers, meters, cancellationToken);
        return [.. observer.Series.Select(s => new BacktestSeries(s.Key, s.Value, labels.Count == 0 ? null : Detect(s.Key, s.Value, labels, episodes, interval, observer)))];
    }

    private DetectionQuality Detect(string stream, SeriesEvaluation evaluation, IReadOnlyList<Label> labels, EpisodeCollector episodes, long interval, Observer observer)
    {
        var from = observer.FirstOrigin(stream) * interval;
        return DetectionQuality.Of(
            [.. labels.Where(l => l.Stream == stream && l.Start >= from)],
            [.. episodes.Episodes.Where(e => e.Stream == stream && e.Start >= from)],
            interval * 8,
            evaluation.Frames * (1 - warmUp) * profile.Interval.TotalDays,
            interval);
    }

    private sealed class Observer : IFrameObserver
    {
        private readonly Dictionary<string, long> _firstOrigin = new(StringComparer.Ordinal);
        private readonly PredictionHandler? _predictions;
        private readonly long _interval;
        private readonly int _quantiles;

        public Observer(Profile profile, long interval, IReadOnlyList<BacktestRow> rows, double warmUp, PredictionHandler? predictions)
        {
            _predictions = predictions;
            _interval = interval;
            _quantiles = profile.Quantiles.Count;
            var calendar = Replay.Calendar(profile);
            foreach (var group in rows.GroupBy(r => r.Stream, StringComparer.Ordinal))
            {
                var first = group.Min(r => r.TimeMicros) / interval;
                var last = group.Max(r => r.TimeMicros) / interval;
                var origin = first + (long)(warmUp * (last - first + 1));
                _firstOrigin[group.Key] = origin;
                Series[group.Key] = new SeriesEvaluation(profile.HorizonSteps, profile.Quantiles, profile.DayFrames, origin, calendar);
            }
        }

        public SortedDictionary<string, SeriesEvaluation> Series { get; } = new(StringComparer.Ordinal);

        public long FirstOrigin(string stream) => _firstOrigin[stream];

        public void OnFrame(string stream, int channel, long frame, double value, in FrameScore score, ReadOnlySpan<float> forecast, ReadOnlySpan<float> experts)
        {
            if (channel > 0)
                return;
            var evaluation = Series[stream];
            evaluation.OnFrame(frame, value, score.HasForecast ? score.Expected : double.NaN, forecast, experts);
            if (_predictions is null || frame < _firstOrigin[stream])
                return;
            for (var h = 1; h <= forecast.Length / _quantiles; h++)
                _predictions(stream, (frame + 1) * _interval, (frame + h) * _interval, h, forecast.Slice((h - 1) * _quantiles, _quantiles));
        }
    }

    private sealed class EpisodeCollector : IResultSink
    {
        private readonly Dictionary<string, DetectedEpisode> _episodes = new(StringComparer.Ordinal);

        public IEnumerable<DetectedEpisode> Episodes => _episodes.Values;

        public string Name => "episodes";

        public string? NotReady => null;

        public ValueTask OpenAsync(SinkMark durable, CancellationToken cancellationToken) => ValueTask.CompletedTask;

        public ValueTask<SinkMark> PublishAsync(long commit, IReadOnlyList<OutputRecord> records, CancellationToken cancellationToken)
        {
            foreach (var record in records)
            {
                if (record.Kind != OutputKind.Episode)
                    continue;
                var (id, episode) = EpisodeReader.Read(record.Json.Span);
                _episodes[id] = episode;
            }

            return ValueTask.FromResult(new SinkMark(commit, 0));
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}

/// <summary>Reads episode JSON back, for evaluation.</summary>
public static class EpisodeReader
{
    /// <summary>Id and span; an episode that is still open ends at the end of time.</summary>
    public static (string Id, DetectedEpisode Episode) Read(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json);
        using var document = JsonDocument.ParseValue(ref reader);
        var e = document.RootElement;
        var end = e.GetProperty("end").ValueKind == JsonValueKind.Null ? long.MaxValue : Micros(e, "end");
        return (e.GetProperty("episode").GetString()!, new DetectedEpisode(e.GetProperty("stream").GetString()!, Micros(e, "start"), end, e.GetProperty("type").GetString()!));
    }

    private static long Micros(JsonElement e, string name) =>
        UnixMicros.From(DateTimeOffset.Parse(e.GetProperty(name).GetString()!, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal));
}
