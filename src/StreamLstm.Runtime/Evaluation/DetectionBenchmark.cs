using System.Diagnostics.Metrics;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using StreamLstm.Core.Forecasting;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Runtime.Evaluation;

/// <summary>How well scores tell labelled frames from others, frame by frame: no credit for a whole segment by one hit in it.</summary>
/// <param name="Method"><c>streamlstm</c> (its threshold is 1), <c>pca_error</c>, <c>last_value</c>.</param>
/// <param name="Auprc">Average precision.</param>
/// <param name="BestF1">At the threshold that is best on the same labels: an upper limit, alike for all methods.</param>
/// <param name="F1">At threshold 1, null where a method has none.</param>
public sealed record DetectionRow(string Method, double? Auprc, double? BestF1, double? F1);

/// <summary>
/// One stream of D channels with a label per frame: the engine's score in one pass against the error of a principal-component
/// reconstruction and the change from the last value, both standardised on the frames before the judged ones.
/// </summary>
/// <param name="seed">Of the network.</param>
public sealed class DetectionBenchmark(Profile profile, ulong seed)
{
    /// <summary>Share of the variance that the components keep; a single channel is embedded by its latest values.</summary>
    private const double Kept = 0.9;
    private const int Embedding = 16;

    /// <param name="rows">Frames in order, all of the same number of values.</param>
    /// <param name="startMicros">Time of the first.</param>
    /// <param name="labels">Whether a frame is anomalous; read for judged ones only.</param>
    /// <param name="from">First judged frame.</param>
    public async Task<IReadOnlyList<DetectionRow>> RunAsync(
        IReadOnlyList<double[]> rows, long startMicros, IReadOnlyList<bool> labels, int from, Action<double>? progress, ILoggerFactory loggers, IMeterFactory meters, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(rows);
        ArgumentNullException.ThrowIfNull(labels);
        var interval = (long)profile.Interval.TotalMicroseconds;
        var start = startMicros / interval * interval;
        var samples = rows.Select((r, i) => new BacktestRow("stream", start + (i * interval), r[0], r.Length > 1 ? r[1..] : null)).ToList();
        var scores = new ScoreCollector(start, interval, rows.Count);
        await Replay.RunAsync(profile, seed, samples, new NoObserver(), [scores], double.MaxValue, progress, loggers, meters, cancellationToken);
        var standard = Standardised(rows, from);
        return
        [
            Judge("streamlstm", scores.Scores, labels, from, 1),
            Judge("pca_error", PcaErrors(rows[0].Length > 1 ? standard : Embedded(standard), from), labels, from, null),
            Judge("last_value", [.. standard.Select((z, t) => t == 0 ? 0 : Math.Sqrt(z.Zip(standard[t - 1], (a, b) => (a - b) * (a - b)).Average()))], labels, from, null),
        ];
    }

    public static DetectionRow Judge(string method, IReadOnlyList<double> scores, IReadOnlyList<bool> labels, int from, double? threshold)
    {
        ArgumentNullException.ThrowIfNull(scores);
        ArgumentNullException.ThrowIfNull(labels);
        List<double> positives = [], negatives = [];
        for (var t = from; t < scores.Count; t++)
            (labels[t] ? positives : negatives).Add(scores[t]);
        return new DetectionRow(
            method, RankMetrics.AveragePrecision(positives, negatives), RankMetrics.BestF1(positives, negatives), threshold is { } at ? RankMetrics.F1(positives, negatives, Math.BitIncrement(at)) : null);
    }

    /// <summary>Columns by mean and deviation before the judged part; what stands still there is left out.</summary>
    private static double[][] Standardised(IReadOnlyList<double[]> rows, int before)
    {
        var d = rows[0].Length;
        var mean = new double[d];
        var deviation = new double[d];
        for (var c = 0; c < d; c++)
        {
            var column = rows.Take(before).Select(r => r[c]).Where(double.IsFinite).DefaultIfEmpty(0).ToArray();
            mean[c] = column.Average();
            deviation[c] = Math.Sqrt(column.Average(v => (v - mean[c]) * (v - mean[c])));
        }

        int[] moving = [.. Enumerable.Range(0, d).Where(c => deviation[c] > 1e-9)];
        return [.. rows.Select(r => moving.Select(c => double.IsFinite(r[c]) ? (r[c] - mean[c]) / deviation[c] : 0).DefaultIfEmpty(0).ToArray())];
    }

    private static double[][] Embedded(double[][] z) =>
        [.. z.Select((_, t) => Enumerable.Range(0, Embedding).Select(k => z[Math.Max(0, t - k)][0]).ToArray())];

    /// <summary>Distance from the subspace of the principal components of the frames before.</summary>
    private static double[] PcaErrors(double[][] z, int before)
    {
        var d = z[0].Length;
        var covariance = new double[d, d];
        for (var t = 0; t < before; t++)
        {
            for (var i = 0; i < d; i++)
            {
                for (var j = 0; j < d; j++)
                    covariance[i, j] += z[t][i] * z[t][j] / before;
            }
        }

        var (values, vectors) = Eigen(covariance);
        var order = Enumerable.Range(0, d).OrderByDescending(i => values[i]).ToArray();
        var total = values.Sum();
        var kept = 0;
        for (var sum = 0.0; kept < d && sum < Kept * total; kept++)
            sum += values[order[kept]];
        return [.. z.Select(x =>
        {
            var rest = x.Sum(v => v * v);
            for (var m = 0; m < kept; m++)
            {
                var projection = 0.0;
                for (var i = 0; i < d; i++)
                    projection += x[i] * vectors[i, order[m]];
                rest -= projection * projection;
            }

            return Math.Sqrt(Math.Max(0, rest));
        })];
    }

    /// <summary>Cyclic Jacobi rotations (Golub and Van Loan, Matrix Computations, 8.5); the matrix is destroyed.</summary>
    private static (double[] Values, double[,] Vectors) Eigen(double[,] a)
    {
        var d = a.GetLength(0);
        var vectors = new double[d, d];
        for (var i = 0; i < d; i++)
            vectors[i, i] = 1;
        for (var sweep = 0; sweep < 30; sweep++)
        {
            for (var p = 0; p < d; p++)
            {
                for (var q = p + 1; q < d; q++)
                {
                    if (Math.Abs(a[p, q]) < 1e-12)
                        continue;
                    var theta = (a[q, q] - a[p, p]) / (2 * a[p, q]);
                    var tangent = (theta < 0 ? -1 : 1) / (Math.Abs(theta) + Math.Sqrt((theta * theta) + 1));
                    var cosine = 1 / Math.Sqrt((tangent * tangent) + 1);
                    var sine = tangent * cosine;
                    for (var k = 0; k < d; k++)
                        (a[k, p], a[k, q]) = ((cosine * a[k, p]) - (sine * a[k, q]), (sine * a[k, p]) + (cosine * a[k, q]));
                    for (var k = 0; k < d; k++)
                        (a[p, k], a[q, k]) = ((cosine * a[p, k]) - (sine * a[q, k]), (sine * a[p, k]) + (cosine * a[q, k]));
                    for (var k = 0; k < d; k++)
                        (vectors[k, p], vectors[k, q]) = ((cosine * vectors[k, p]) - (sine * vectors[k, q]), (sine * vectors[k, p]) + (cosine * vectors[k, q]));
                }
            }
        }

        return ([.. Enumerable.Range(0, d).Select(i => a[i, i])], vectors);
    }

    private sealed class NoObserver : IFrameObserver
    {
        public void OnFrame(string stream, int channel, long frame, double value, in FrameScore score, ReadOnlySpan<float> forecast, ReadOnlySpan<float> experts)
        {
        }
    }

    /// <summary>Reads the published scores back.</summary>
    private sealed class ScoreCollector(long start, long interval, int frames) : IResultSink
    {
        public double[] Scores { get; } = new double[frames];

        public string Name => "scores";

        public string? NotReady => null;

        public ValueTask OpenAsync(SinkMark durable, CancellationToken cancellationToken) => ValueTask.CompletedTask;

        public ValueTask<SinkMark> PublishAsync(long commit, IReadOnlyList<OutputRecord> records, CancellationToken cancellationToken)
        {
            foreach (var record in records)
            {
                if (record.Kind != OutputKind.Result)
                    continue;
                var reader = new Utf8JsonReader(record.Json.Span);
                while (reader.Read())
                {
                    if (reader.TokenType != JsonTokenType.PropertyName || !reader.ValueTextEquals("anomaly_score"u8))
                        continue;
                    reader.Read();
                    var frame = (record.TimeMicros - start) / interval;
                    if (frame >= 0 && frame < Scores.Length)
                        Scores[frame] = reader.GetDouble();
                    break;
                }
            }

            return ValueTask.FromResult(new SinkMark(commit, 0));
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
