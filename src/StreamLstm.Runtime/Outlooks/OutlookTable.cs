using System.Text;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Outlooks;

/// <summary>
/// What is known in advance of covariates (a weather forecast, a tariff, days away): for every time the value of the newest vintage that
/// has arrived. One per partition; every partition sees the same entries of the log, at its own place in it, so a frame reads exactly what was known when it
/// was closed. An entry is a sample of the covariate's own stream: event time = when it was issued, values = [time it is for in Unix
/// seconds, value].
/// </summary>
internal sealed class OutlookTable
{
    /// <summary>A value holds until the next time that is known, but no longer than this.</summary>
    public const long HoldMicros = 6L * 3600 * 1_000_000;

    /// <summary>Times that lie this far before the newest vintage's issue are forgotten.</summary>
    private const long KeptMicros = 2L * 86_400 * 1_000_000;

    /// <summary>Times kept per covariate.</summary>
    public const int MostTimes = 20_000;

    private readonly Dictionary<byte[], Series> _series = new(KeyComparer.Instance);

    public OutlookTable(IEnumerable<ProfileRuntime> profiles)
    {
        foreach (var stream in Streams(profiles.Select(p => p.Profile)))
            _series.TryAdd(Encoding.UTF8.GetBytes(stream), new Series());
    }

    /// <summary>The streams that are covariates known in advance, in order.</summary>
    public static IEnumerable<string> Streams(IEnumerable<Profile> profiles) => profiles.SelectMany(p => p.Outlooks.Values).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal);

    /// <summary>Whether a stream is one of them.</summary>
    public bool Names(ReadOnlySpan<byte> key) => _series.Count > 0 && _series.GetAlternateLookup<ReadOnlySpan<byte>>().ContainsKey(key);

    /// <summary>Takes one value of a vintage in, unless a newer vintage has said something of that time. False if there is no room for another time.</summary>
    public bool Take(ReadOnlySpan<byte> key, long issued, long time, double value)
    {
        var series = _series.GetAlternateLookup<ReadOnlySpan<byte>>()[key];
        if (issued > series.Newest)
        {
            series.Newest = issued;
            var old = series.IndexAfter(issued - KeptMicros);
            series.Times.RemoveRange(0, old);
            series.Issued.RemoveRange(0, old);
            series.Values.RemoveRange(0, old);
        }

        var i = series.Times.BinarySearch(time);
        if (i >= 0)
        {
            if (issued >= series.Issued[i])
                (series.Issued[i], series.Values[i]) = (issued, value);
            return true;
        }

        if (series.Times.Count >= MostTimes)
            return false;
        series.Times.Insert(~i, time);
        series.Issued.Insert(~i, issued);
        series.Values.Insert(~i, value);
        return true;
    }

    /// <summary>What is known of a time now; NaN = nothing.</summary>
    public double At(byte[] key, long time)
    {
        var series = _series[key];
        var i = series.IndexAfter(time) - 1;
        return i >= 0 && time - series.Times[i] < HoldMicros ? series.Values[i] : double.NaN;
    }

    /// <summary>The mean of what is known at so many times, one interval apart; NaN = nothing is.</summary>
    public double Mean(byte[] key, long first, long interval, int count)
    {
        var series = _series[key];
        var next = series.IndexAfter(first);
        var (sum, known) = (0.0, 0);
        for (var time = first; count > 0; count--, time += interval)
        {
            while (next < series.Times.Count && series.Times[next] <= time)
                next++;
            if (next == 0 || time - series.Times[next - 1] >= HoldMicros)
                continue;
            sum += series.Values[next - 1];
            known++;
        }

        return known > 0 ? sum / known : double.NaN;
    }

    /// <summary><c>[n i32] n×{stream block, newest i64, m i32, m×{time i64, issued i64, value f64}}</c>, streams in order.</summary>
    public void Write(ByteWriter w)
    {
        w.Int32(_series.Count);
        foreach (var (key, series) in _series.OrderBy(s => s.Key, KeyComparer.Instance))
        {
            w.Block(key);
            w.Int64(series.Newest);
            w.Int32(series.Times.Count);
            for (var i = 0; i < series.Times.Count; i++)
            {
                w.Int64(series.Times[i]);
                w.Int64(series.Issued[i]);
                w.Double(series.Values[i]);
            }
        }
    }

    /// <summary>Streams that the configuration no longer names are passed over.</summary>
    public void Read(ref ByteReader r)
    {
        for (var n = r.Int32(); n > 0; n--)
        {
            var series = _series.GetValueOrDefault(r.Block().ToArray()) ?? new Series();
            series.Newest = r.Int64();
            for (var m = r.Int32(); m > 0; m--)
            {
                series.Times.Add(r.Int64());
                series.Issued.Add(r.Int64());
                series.Values.Add(r.Double());
            }
        }
    }

    private sealed class Series
    {
        public long Newest { get; set; } = long.MinValue;

        /// <summary>Unix microseconds, ascending.</summary>
        public List<long> Times { get; } = [];

        public List<long> Issued { get; } = [];

        public List<double> Values { get; } = [];

        public int IndexAfter(long time)
        {
            var i = Times.BinarySearch(time);
            return i >= 0 ? i + 1 : ~i;
        }
    }
}
