using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;

namespace StreamLstm.Worker.Metrics;

internal enum MetricType
{
    Gauge,
    Counter,
    Histogram,
}

/// <summary>One instrument and its series, keyed by their rendered labels.</summary>
internal sealed class MetricFamily
{
    /// <summary>Seconds from 1 ms to 10 s, for histograms that advise no boundaries.</summary>
    private static readonly double[] DefaultBounds = [.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10];

    private readonly ConcurrentDictionary<string, MetricSeries> _series = new(StringComparer.Ordinal);
    private readonly int _maxSeries;
    private readonly bool _sets;
    private long _dropped;

    public MetricFamily(Instrument instrument, int maxSeries)
    {
        _maxSeries = maxSeries;
        Name = Clean(instrument.Name, colons: true);
        Help = string.IsNullOrEmpty(instrument.Description) ? Name.Replace('_', ' ') + "." : instrument.Description;
        Unit = instrument.Unit switch { "s" => "seconds", "By" => "bytes", "1" => "ratio", _ => null };
        IsObservable = instrument.IsObservable;
        Type = instrument switch
        {
            Histogram<double> or Histogram<float> or Histogram<long> or Histogram<int> => MetricType.Histogram,
            Counter<double> or Counter<float> or Counter<long> or Counter<int> => MetricType.Counter,
            ObservableCounter<double> or ObservableCounter<float> or ObservableCounter<long> or ObservableCounter<int> => MetricType.Counter,
            _ => MetricType.Gauge,
        };
        // An observable instrument reports its whole value, a gauge its new one; counters and up-down counters report what is added.
        _sets = IsObservable || instrument is Gauge<double> or Gauge<float> or Gauge<long> or Gauge<int>;
        Bounds = Type == MetricType.Histogram ? Advised(instrument) ?? DefaultBounds : [];
    }

    public string Name { get; }

    public string Help { get; }

    /// <summary>The unit's name in OpenMetrics, if it has one.</summary>
    public string? Unit { get; }

    public MetricType Type { get; }

    public double[] Bounds { get; }

    public long Dropped => Interlocked.Read(ref _dropped);

    /// <summary>Number of the running scrape; a series that an observable instrument no longer reports disappears.</summary>
    public int Scrape { get; set; }

    private bool IsObservable { get; }

    public IEnumerable<MetricSeries> Current()
    {
        foreach (var (labels, series) in _series)
        {
            if (IsObservable && series.Scrape != Scrape)
                _series.TryRemove(labels, out _);
        }

        return _series.Values.OrderBy(series => series.Labels, StringComparer.Ordinal);
    }

    public void Record(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        if (double.IsNaN(value))
            return; // "no value yet" of a gauge; NaN is never written
        var labels = Labels(tags);
        if (!_series.TryGetValue(labels, out var series))
        {
            if (_series.Count >= _maxSeries)
            {
                Interlocked.Increment(ref _dropped);
                return;
            }

            series = _series.GetOrAdd(labels, l => new MetricSeries(l, Bounds.Length + 1));
        }

        series.Record(value, this, _sets, IsObservable, Scrape);
    }

    public static string Labels(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        if (tags.IsEmpty)
            return "";
        var text = new StringBuilder(64);
        foreach (var (name, value) in tags)
        {
            if (text.Length > 0)
                text.Append(',');
            text.Append(Clean(name, colons: false)).Append("=\"");
            foreach (var c in Convert.ToString(value, CultureInfo.InvariantCulture) ?? "")
                _ = c switch { '\\' => text.Append("\\\\"), '"' => text.Append("\\\""), '\n' => text.Append("\\n"), _ => text.Append(c) };
            text.Append('"');
        }

        return text.ToString();
    }

    private static string Clean(string name, bool colons)
    {
        var text = new StringBuilder(name.Length);
        foreach (var c in name)
            text.Append(char.IsAsciiLetterOrDigit(c) || c == '_' || (colons && c == ':') ? c : '_');
        if (text.Length == 0 || char.IsAsciiDigit(text[0]))
            text.Insert(0, '_');
        return text.ToString();
    }

    private static double[]? Advised(Instrument instrument) => instrument switch
    {
        Histogram<double> h => h.Advice?.HistogramBucketBoundaries?.ToArray(),
        Histogram<float> h => h.Advice?.HistogramBucketBoundaries?.Select(b => (double)b).ToArray(),
        Histogram<long> h => h.Advice?.HistogramBucketBoundaries?.Select(b => (double)b).ToArray(),
        Histogram<int> h => h.Advice?.HistogramBucketBoundaries?.Select(b => (double)b).ToArray(),
        _ => null,
    };
}

/// <summary>The value, or the buckets, of one set of labels.</summary>
internal sealed class MetricSeries(string labels, int buckets)
{
    private readonly Lock _gate = new();
    private readonly long[] _counts = new long[buckets];
    private double _value; // of a histogram: the sum
    private long _count;

    public string Labels => labels;

    public int Scrape { get; private set; }

    public void Record(double value, MetricFamily family, bool sets, bool observable, int scrape)
    {
        lock (_gate)
        {
            if (family.Type == MetricType.Histogram)
            {
                // A bound belongs to its bucket (le): the first bound that isn't below the value.
                var i = Array.BinarySearch(family.Bounds, value);
                _counts[i < 0 ? ~i : i]++;
                _count++;
            }

            // Two observations of one scrape with equal labels add up, as those of the shards do.
            _value = sets && (!observable || Scrape != scrape) ? value : _value + value;
            Scrape = scrape;
        }
    }

    public void Write(StringBuilder text, MetricFamily family, bool openMetrics)
    {
        lock (_gate)
        {
            if (family.Type != MetricType.Histogram)
            {
                Sample(text, family.Name, family.Type == MetricType.Counter ? "_total" : "", labels, Number(_value));
                return;
            }

            var cumulative = 0L;
            for (var i = 0; i < _counts.Length; i++)
            {
                cumulative += _counts[i];
                var bound = i < family.Bounds.Length ? Number(family.Bounds[i]) : "+Inf";
                if (openMetrics && i < family.Bounds.Length && !bound.AsSpan().ContainsAny('.', 'E'))
                    bound += ".0"; // OpenMetrics' canonical form
                Sample(text, family.Name, "_bucket", $"{labels}{(labels.Length == 0 ? "" : ",")}le=\"{bound}\"", cumulative.ToString(CultureInfo.InvariantCulture));
            }

            Sample(text, family.Name, "_sum", labels, Number(_value));
            Sample(text, family.Name, "_count", labels, _count.ToString(CultureInfo.InvariantCulture));
        }
    }

    private static void Sample(StringBuilder text, string name, string suffix, string labels, string value)
    {
        text.Append(name).Append(suffix);
        if (labels.Length > 0)
            text.Append('{').Append(labels).Append('}');
        text.Append(' ').Append(value).Append('\n');
    }

    private static string Number(double value) =>
        double.IsPositiveInfinity(value) ? "+Inf" : double.IsNegativeInfinity(value) ? "-Inf" : value.ToString("R", CultureInfo.InvariantCulture);
}
