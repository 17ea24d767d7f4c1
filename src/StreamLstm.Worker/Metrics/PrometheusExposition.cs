using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;
using Microsoft.Net.Http.Headers;
using StreamLstm.Worker.Api;

namespace StreamLstm.Worker.Metrics;

public sealed record PrometheusOptions
{
    /// <summary>Before the names of the per-stream gauges <c>y</c>, <c>yhat</c>, <c>yhat_lower</c>, <c>yhat_upper</c>, <c>anomaly_score</c>.</summary>
    public string PerStreamPrefix { get; init; } = "";

    /// <summary>With more series than this (five per stream and channel) the per-stream gauges are left out; 0 turns them off.</summary>
    public int MaxPerStreamSeries { get; init; } = 2_000;

    /// <summary>Series kept per instrument; measurements with further label values are counted in <c>streamlstm_series_dropped_total</c>.</summary>
    public int MaxSeriesPerInstrument { get; init; } = 2_000;
}

/// <summary>
/// Prometheus text format 0.0.4 and OpenMetrics 1.0 over <see cref="MeterListener"/>, for meters whose name starts with
/// <c>StreamLstm</c>. Names are written as the instruments have them, with their unit; <c>_total</c> is added to counters.
/// This folder is all there is between <c>System.Diagnostics.Metrics</c> and Prometheus, so that a library can replace it.
/// </summary>
public sealed class PrometheusExposition : IDisposable
{
    private const string TextType = "text/plain; version=0.0.4; charset=utf-8";
    private const string OpenMetricsType = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    private readonly PrometheusOptions _options;
    private readonly RecentResults? _live;
    private readonly WorkerMetrics _worker;
    private readonly ConcurrentDictionary<Instrument, MetricFamily> _families = new();
    private readonly MeterListener _listener = new();
    private readonly Lock _gate = new();
    private int _scrape;

    /// <param name="live">Where the per-stream gauges come from; null for none.</param>
    public PrometheusExposition(PrometheusOptions options, RecentResults? live)
    {
        ArgumentNullException.ThrowIfNull(options);
        _options = options;
        _live = live;
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            // A second worker in the same process (as in tests) has process metrics of its own.
            var others = instrument.Meter.Scope is PrometheusExposition && instrument.Meter.Scope != this;
            if (instrument.Meter.Name.StartsWith("StreamLstm", StringComparison.Ordinal) && !others)
                listener.EnableMeasurementEvents(instrument, _families.GetOrAdd(instrument, i => new MetricFamily(i, _options.MaxSeriesPerInstrument)));
        };
        _listener.MeasurementsCompleted = (instrument, _) => _families.TryRemove(instrument, out MetricFamily? _);
        _listener.SetMeasurementEventCallback<double>((_, v, tags, state) => Record(v, tags, state));
        _listener.SetMeasurementEventCallback<float>((_, v, tags, state) => Record(v, tags, state));
        _listener.SetMeasurementEventCallback<long>((_, v, tags, state) => Record(v, tags, state));
        _listener.SetMeasurementEventCallback<int>((_, v, tags, state) => Record(v, tags, state));
        _listener.Start();
        _worker = new WorkerMetrics(this, () => _families.Values.Sum(family => family.Dropped));
    }

    public void Dispose()
    {
        _listener.Dispose();
        _worker.Dispose();
    }

    internal async Task HandleAsync(HttpContext context)
    {
        var openMetrics = MediaTypeHeaderValue.TryParseList(context.Request.Headers.Accept, out var accepted)
            && accepted.Where(a => (a.Quality ?? 1) > 0).MaxBy(a => a.Quality ?? 1)?.MediaType.Value == "application/openmetrics-text";
        context.Response.ContentType = openMetrics ? OpenMetricsType : TextType;
        await context.Response.WriteAsync(Write(openMetrics), context.RequestAborted);
    }

    internal string Write(bool openMetrics)
    {
        var text = new StringBuilder(16 * 1024);
        lock (_gate)
        {
            _scrape++;
            foreach (var family in _families.Values)
                family.Scrape = _scrape;
            _listener.RecordObservableInstruments();

            // Instruments of one name, created by several meters, are one family to Prometheus.
            foreach (var group in _families.Values.GroupBy(family => family.Name).OrderBy(group => group.Key, StringComparer.Ordinal))
            {
                var first = group.First();
                var series = group.Where(family => family.Type == first.Type).SelectMany(family => family.Current()).DistinctBy(one => one.Labels).ToList();
                if (series.Count == 0)
                    continue;
                Header(text, openMetrics, first.Name, first.Type, first.Unit, first.Help);
                foreach (var one in series)
                    one.Write(text, first, openMetrics);
            }
        }

        PerStream(text, openMetrics);
        if (openMetrics)
            text.Append("# EOF\n");
        return text.ToString();
    }

    private static void Record(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags, object? family) => ((MetricFamily)family!).Record(value, tags);

    private static void Header(StringBuilder text, bool openMetrics, string name, MetricType type, string? unit, string help)
    {
        // In OpenMetrics a family is named without _total; in the older format a counter's family and sample have the same name.
        var family = type == MetricType.Counter && !openMetrics ? name + "_total" : name;
        text.Append("# HELP ").Append(family).Append(' ').Append(help.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal)).Append('\n');
        text.Append("# TYPE ").Append(family).Append(' ').Append(type switch { MetricType.Counter => "counter", MetricType.Histogram => "histogram", _ => "gauge" }).Append('\n');
        if (openMetrics && unit is not null && name.EndsWith("_" + unit, StringComparison.Ordinal))
            text.Append("# UNIT ").Append(family).Append(' ').Append(unit).Append('\n');
    }

    private void PerStream(StringBuilder text, bool openMetrics)
    {
        if (_live is null || _options.MaxPerStreamSeries == 0)
            return;
        var rows = new List<(string Labels, double Y, double Yhat, double Lower, double Upper, double Score)>();
        var keys = _live.SortedKeys();
        if (keys.Length * 5 > _options.MaxPerStreamSeries)
            return;
        foreach (var key in keys)
        {
            if (_live.Find(key) is not { } view)
                continue;
            lock (view.Gate)
            {
                var labels = MetricFamily.Labels([new("stream", view.Stream), new("profile", view.Profile)]);
                var latest = view.Latest;
                rows.Add((labels, latest.Y, latest.Yhat, latest.Lower, latest.Upper, latest.Score));
                if (latest.ChannelValues is not { } values)
                    continue;
                for (var d = 0; d < values.Length / StreamView.ValuesPerChannel; d++)
                {
                    var v = values.AsSpan(d * StreamView.ValuesPerChannel);
                    rows.Add((labels + "," + MetricFamily.Labels([new("channel", view.Channels[d])]), v[0], v[1], v[2], v[3], double.NaN));
                }
            }
        }

        if (rows.Count * 5 > _options.MaxPerStreamSeries)
            return;
        Gauge("y", "Observed value of the stream's latest interval.", row => row.Y);
        Gauge("yhat", "Expected value of the latest interval, one step ahead.", row => row.Yhat);
        Gauge("yhat_lower", "Lower alarm bound of the latest interval.", row => row.Lower);
        Gauge("yhat_upper", "Upper alarm bound of the latest interval.", row => row.Upper);
        Gauge("anomaly_score", "Anomaly score of the latest interval; above 1 is anomalous.", row => row.Score);

        void Gauge(string name, string help, Func<(string Labels, double Y, double Yhat, double Lower, double Upper, double Score), double> value)
        {
            var head = false;
            foreach (var row in rows)
            {
                if (!double.IsFinite(value(row)))
                    continue;
                if (!head)
                    Header(text, openMetrics, _options.PerStreamPrefix + name, MetricType.Gauge, null, help);
                head = true;
                text.Append(_options.PerStreamPrefix).Append(name).Append('{').Append(row.Labels).Append("} ").Append(value(row).ToString("R", CultureInfo.InvariantCulture)).Append('\n');
            }
        }
    }
}
