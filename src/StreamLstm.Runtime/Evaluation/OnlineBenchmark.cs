using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;
using StreamLstm.Core.Forecasting;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Runtime.Evaluation;

/// <summary>Frames, counted from the first: [0, Train) gives the scale, [0, TestFrom) warms up, targets are in [TestFrom, End).</summary>
public readonly record struct BenchmarkBorders(long Train, long TestFrom, long End);

/// <summary>Mean squared and absolute error of one method at horizon h, in squared and plain standard deviations of the train part.</summary>
public sealed record BenchmarkRow(string Method, int H, double MeanSquaredError, double MeanAbsoluteError, long Count);

/// <summary>
/// The protocol of the online forecasting literature (FSNet, Pham et al. 2022; OneNet, Wen et al. 2023) without its leak: parameters may
/// change at every step, but only through targets that have arrived. A forecast counts at horizon h if all of its targets 1…h are in the
/// test part; errors are averaged over channels, steps 1…h and origins, each channel scaled by mean and standard deviation of its
/// train part.
/// </summary>
public sealed class OnlineBenchmark(Profile profile, BenchmarkBorders borders, ulong seed)
{
    /// <summary>Horizons judged.</summary>
    public static IReadOnlyList<int> Horizons { get; } = [1, 24, 48];

    /// <param name="rows">Readings in time order, one stream per channel.</param>
    /// <param name="progress">Called with the share done.</param>
    public async Task<IReadOnlyList<BenchmarkRow>> RunAsync(
        IReadOnlyList<BacktestRow> rows, Action<double>? progress, ILoggerFactory loggers, IMeterFactory meters, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(rows);
        var interval = (long)profile.Interval.TotalMicroseconds;
        var first = rows.Min(r => r.TimeMicros) / interval;
        var judged = rows.Where(r => r.TimeMicros / interval < first + borders.End).ToList();
        var observer = new Observer(profile, first, borders);
        await Replay.RunAsync(profile, seed, judged, observer, [], double.MaxValue, progress, loggers, meters, cancellationToken);
        return observer.Rows();
    }

    private sealed class Observer(Profile profile, long first, BenchmarkBorders borders) : IFrameObserver
    {
        private readonly SortedDictionary<string, ChannelEvaluation> _channels = new(StringComparer.Ordinal);
        private readonly Func<long, FramePhase> _phase = Replay.Calendar(profile);

        public void OnFrame(string stream, int channel, long frame, double value, in FrameScore score, ReadOnlySpan<float> forecast, ReadOnlySpan<float> experts)
        {
            if (!_channels.TryGetValue(stream, out var evaluation))
                _channels[stream] = evaluation = new ChannelEvaluation(profile, borders);
            evaluation.OnFrame(frame - first, _phase(frame), value, forecast, experts);
        }

        public IReadOnlyList<BenchmarkRow> Rows()
        {
            var rows = new List<BenchmarkRow>();
            var methods = _channels.Values.First().Methods;
            for (var m = 0; m < methods.Count; m++)
            {
                for (var j = 0; j < Horizons.Count; j++)
                {
                    var cells = _channels.Values.Select(c => c.Sums[m, j]).ToList();
                    var count = cells.Sum(c => c.Count);
                    if (count > 0)
                        rows.Add(new BenchmarkRow(methods[m], Horizons[j], cells.Sum(c => c.Squared) / count, cells.Sum(c => c.Absolute) / count, count));
                }
            }

            return rows;
        }
    }

    /// <summary>One channel's errors. Frames count from the file's first.</summary>
    private sealed class ChannelEvaluation
    {
        private readonly BenchmarkBorders _borders;
        private readonly IBaseline[] _baselines;
        private readonly PendingForecasts _pending;
        private readonly int _median;
        private bool _judging;
        private long _count;
        private double _mean;
        private double _squares;

        public ChannelEvaluation(Profile profile, BenchmarkBorders borders)
        {
            _borders = borders;
            _median = profile.Quantiles.ToList().IndexOf(0.5);
            _baselines = Baselines.For(profile.DayFrames, profile.HorizonSteps);
            _pending = new PendingForecasts(_baselines, profile.HorizonSteps, profile.Quantiles.Count);
            Methods = [SeriesEvaluation.Model, .. _baselines.Select(b => b.Name)];
            Sums = new (long, double, double)[Methods.Count, Horizons.Count];
        }

        public IReadOnlyList<string> Methods { get; }

        public (long Count, double Squared, double Absolute)[,] Sums { get; }

        public void OnFrame(long frame, FramePhase phase, double value, ReadOnlySpan<float> forecast, ReadOnlySpan<float> experts)
        {
            if (!double.IsNaN(value))
            {
                if (frame < _borders.Train)
                    LearnScale(value);
                if (frame >= _borders.TestFrom && frame < _borders.End)
                    Judge(frame, value);
            }

            // The first origin is the last frame before the test part.
            if (!_judging && frame >= _borders.TestFrom - 1)
            {
                _judging = true;
                foreach (var baseline in _baselines)
                    baseline.EndWarmUp();
            }

            foreach (var baseline in _baselines)
                baseline.Observe(frame, phase, value);
            if (_judging && forecast.Length > 0)
                _pending.Issue(frame, forecast, experts);
        }

        private void Judge(long frame, double value)
        {
            // A constant train part has no scale; its unit is the value's own.
            var deviation = _count > 0 && _squares > 0 ? Math.Sqrt(_squares / _count) : 1;
            for (var step = 1; step <= Horizons[^1]; step++)
            {
                var origin = frame - step;
                if (!_pending.TryGet(origin, step, out var quantiles, out var points))
                    continue;
                for (var j = 0; j < Horizons.Count; j++)
                {
                    if (step > Horizons[j] || origin + Horizons[j] >= _borders.End)
                        continue;
                    Add(0, j, (value - quantiles[_median]) / deviation);
                    for (var m = 0; m < points.Length; m++)
                        Add(m + 1, j, (value - points[m]) / deviation);
                }
            }
        }

        private void Add(int method, int horizon, double e)
        {
            ref var cell = ref Sums[method, horizon];
            cell = (cell.Count + 1, cell.Squared + (e * e), cell.Absolute + Math.Abs(e));
        }

        /// <summary>Running mean and sum of squared deviations (Welford 1962).</summary>
        private void LearnScale(double value)
        {
            _count++;
            var before = value - _mean;
            _mean += before / _count;
            _squares += before * (value - _mean);
        }
    }
}
