using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Alignment;

internal enum SampleOutcome
{
    Accepted,

    /// <summary>Same stream and event time as before; the last value wins while the interval is open.</summary>
    Duplicate,

    /// <summary>Its interval was already closed.</summary>
    Late,

    /// <summary>The interval holds as many samples as the profile accepts.</summary>
    Overflow,

    /// <summary>A register fell, but not as far as a reset does: the reading is ignored.</summary>
    Dip,
}

internal enum FrameKind : byte
{
    /// <summary>Made of samples.</summary>
    Observed = 0,

    /// <summary>Missing, short enough a gap for the model to fill.</summary>
    Imputed = 1,

    /// <summary>The first frame beyond the gap limit: the stream is stale.</summary>
    Stale = 2,

    /// <summary>A run of frames about which nothing is known, up to the return of a stale stream.</summary>
    Bridge = 3,
}

/// <summary>Receives closed frames in time order.</summary>
internal interface IFrameReceiver
{
    /// <param name="frame">Frame index: start = index · interval since the Unix epoch.</param>
    /// <param name="kind">How the frame came about.</param>
    /// <param name="length">1, or the number of frames of a bridge.</param>
    /// <param name="values">[D] for observed frames (NaN = channel missing), else empty.</param>
    void OnFrame(long frame, FrameKind kind, long length, ReadOnlySpan<double> values);
}

/// <summary>
/// Puts one stream's samples on its regular grid. Intervals are open until the watermark (newest event time − allowed lateness) passes
/// their end, or they hold the expected number of samples, or the stream stays silent for longer than its profile waits. Samples of an
/// open interval are kept and aggregated in time order, so the arrival order inside the allowed lateness can't change a bit.
/// Silence is measured in arrival time from the stream's own lag (arrival − event time), so replayed history isn't mistaken for silence.
/// </summary>
internal sealed class StreamAligner(Profile profile)
{
    private const int RecentTimes = 8;
    private const long None = long.MinValue;

    private readonly long _interval = (long)profile.Interval.TotalMicroseconds;
    private readonly List<Bucket> _open = [];
    private readonly long[] _recent = new long[RecentTimes];
    private readonly double[] _register = [.. Enumerable.Repeat(double.NaN, profile.Channels.Count)];
    private readonly double[] _frameValues = new double[profile.Channels.Count];
    private int _recentCount;
    private long _newest = None;
    private long _newestArrival;
    private long _lastClosed = None;
    private int _gap;

    private sealed class Bucket
    {
        public long Frame;
        public readonly List<long> Times = [];
        public readonly List<double> Values = [];
    }

    public bool IsStale { get; private set; }

    /// <summary>Event time of the newest sample, Unix microseconds, or long.MinValue.</summary>
    public long NewestEventTime => _newest;

    /// <summary>
    /// Arrival time at which silence closes the next frame, or long.MaxValue.
    /// </summary>
    public long Deadline
    {
        get
        {
            if (_newest == None || (IsStale && _open.Count == 0))
                return long.MaxValue;
            return _newestArrival + ((Next + 1) * _interval) - _newest + (long)profile.MaxWait.TotalMicroseconds;
        }
    }

    /// <summary>The frame to be closed next. A stale stream goes on with the first frame it has samples for; what lies between is one bridge.</summary>
    private long Next => _lastClosed == None || IsStale ? _open[0].Frame : _lastClosed + 1;

    public SampleOutcome Add(long eventTime, long arrival, ReadOnlySpan<double> values, IFrameReceiver receiver)
    {
        var frame = FloorDiv(eventTime, _interval);
        if (_lastClosed != None && frame <= _lastClosed)
            return SeenBefore(eventTime) ? SampleOutcome.Duplicate : SampleOutcome.Late;

        var bucket = Find(frame);
        var at = bucket.Times.BinarySearch(eventTime);
        var duplicate = at >= 0;
        if (!duplicate && bucket.Times.Count >= profile.MaxSamplesPerFrame)
            return SampleOutcome.Overflow;

        var dip = profile.Counter && values.Length == 1 && IsDip(Preceding(bucket, duplicate ? at : ~at), values[0]);
        if (duplicate)
        {
            for (var i = 0; i < values.Length; i++)
                bucket.Values[(at * values.Length) + i] = values[i];
        }
        else
        {
            bucket.Times.Insert(~at, eventTime);
            for (var i = 0; i < values.Length; i++)
                bucket.Values.Insert((~at * values.Length) + i, values[i]);
            _recent[_recentCount++ % RecentTimes] = eventTime;
        }

        if (eventTime >= _newest)
        {
            _newest = eventTime;
            _newestArrival = arrival;
        }

        Close(_newest - (long)profile.AllowedLateness.TotalMicroseconds, receiver);
        return duplicate ? SampleOutcome.Duplicate : dip ? SampleOutcome.Dip : SampleOutcome.Accepted;
    }

    /// <summary>Closes what has been silent for too long at the partition's clock.</summary>
    public void OnTick(long clock, IFrameReceiver receiver)
    {
        while (Deadline <= clock)
            CloseNext(Next, receiver);
    }

    public void Write(ByteWriter w)
    {
        w.Byte((byte)(IsStale ? 1 : 0));
        w.Int64(_newest);
        w.Int64(_newestArrival);
        w.Int64(_lastClosed);
        w.Int32(_gap);
        w.Int32(_recentCount);
        foreach (var t in _recent)
            w.Int64(t);
        w.Byte((byte)_register.Length);
        foreach (var v in _register)
            w.Double(v);
        w.Int32(_open.Count);
        foreach (var bucket in _open)
        {
            w.Int64(bucket.Frame);
            w.Int32(bucket.Times.Count);
            foreach (var t in bucket.Times)
                w.Int64(t);
            foreach (var v in bucket.Values)
                w.Double(v);
        }
    }

    public void Read(ref ByteReader r)
    {
        IsStale = r.Byte() != 0;
        _newest = r.Int64();
        _newestArrival = r.Int64();
        _lastClosed = r.Int64();
        _gap = r.Int32();
        _recentCount = r.Int32();
        for (var i = 0; i < RecentTimes; i++)
            _recent[i] = r.Int64();
        var d = r.Byte();
        if (d != _register.Length)
            throw new CorruptLogException($"Stored state has {d} channels; profile {profile.Name} has {_register.Length}. Reset the state or restore the profile.");
        for (var i = 0; i < d; i++)
            _register[i] = r.Double();
        _open.Clear();
        var buckets = r.Int32();
        for (var b = 0; b < buckets; b++)
        {
            var bucket = new Bucket { Frame = r.Int64() };
            var n = r.Int32();
            for (var i = 0; i < n; i++)
                bucket.Times.Add(r.Int64());
            for (var i = 0; i < n * d; i++)
                bucket.Values.Add(r.Double());
            _open.Add(bucket);
        }
    }

    private void Close(long watermark, IFrameReceiver receiver)
    {
        while (_open.Count > 0)
        {
            var first = _open[0];
            var next = Next;
            var passed = watermark >= (next + 1) * _interval;
            // At the beginning, and on the return of a stale stream, an earlier frame may still come inside the allowed lateness.
            var begun = (_lastClosed != None && !IsStale) || profile.AllowedLateness == TimeSpan.Zero;
            var complete = begun && first.Frame == next && profile.SamplesPerFrame > 0 && first.Times.Count >= profile.SamplesPerFrame;
            if (!passed && !complete)
                return;
            CloseNext(next, receiver);
        }
    }

    private void CloseNext(long next, IFrameReceiver receiver)
    {
        if (_open.Count > 0 && _open[0].Frame == next)
        {
            var bucket = _open[0];
            _open.RemoveAt(0);
            if (profile.Counter)
                Difference(bucket);
            if (IsStale && next > _lastClosed + 1)
                receiver.OnFrame(_lastClosed + 1, FrameKind.Bridge, next - _lastClosed - 1, []);
            _gap = 0;
            IsStale = false;
            _lastClosed = next;
            Aggregate(bucket, _frameValues);
            receiver.OnFrame(next, FrameKind.Observed, 1, _frameValues);
            return;
        }

        if (_gap < profile.MaxGapFrames)
        {
            _gap++;
            _lastClosed = next;
            receiver.OnFrame(next, FrameKind.Imputed, 1, []);
            return;
        }

        IsStale = true;
        _lastClosed = next;
        // What a register counted meanwhile can't be told from what it counts then: it begins anew.
        Array.Fill(_register, double.NaN);
        receiver.OnFrame(next, FrameKind.Stale, 1, []);
    }

    private Bucket Find(long frame)
    {
        var i = _open.Count;
        while (i > 0 && _open[i - 1].Frame > frame)
            i--;
        if (i > 0 && _open[i - 1].Frame == frame)
            return _open[i - 1];
        var bucket = new Bucket { Frame = frame };
        _open.Insert(i, bucket);
        return bucket;
    }

    private void Aggregate(Bucket bucket, Span<double> into)
    {
        var d = into.Length;
        for (var c = 0; c < d; c++)
        {
            var n = 0;
            var result = double.NaN;
            for (var i = 0; i < bucket.Times.Count; i++)
            {
                var v = bucket.Values[(i * d) + c];
                if (double.IsNaN(v))
                    continue;
                result = n++ == 0 ? v : profile.Aggregation switch
                {
                    Aggregation.Min => Math.Min(result, v),
                    Aggregation.Max => Math.Max(result, v),
                    Aggregation.Last => v,
                    _ => result + v,
                };
            }

            into[c] = profile.Aggregation == Aggregation.Mean && n > 0 ? result / n : result;
        }
    }

    /// <summary>
    /// Register readings → increases since the previous reading, in time order. A fall below 90 % of the previous reading is a reset (the
    /// new reading is the increase); a smaller fall is a dip that is ignored. The first reading has no increase, and the first one after
    /// missing frames counts one frame's share of it.
    /// </summary>
    private void Difference(Bucket bucket)
    {
        var d = _register.Length;
        for (var c = 0; c < d; c++)
        {
            var frames = _gap + 1;
            for (var i = 0; i < bucket.Times.Count; i++)
            {
                var v = bucket.Values[(i * d) + c];
                if (double.IsNaN(v))
                    continue;
                var previous = _register[c];
                if (IsDip(previous, v))
                {
                    bucket.Values[(i * d) + c] = double.NaN;
                    continue;
                }

                _register[c] = v;
                bucket.Values[(i * d) + c] = double.IsNaN(previous) ? double.NaN : (v < previous ? v : v - previous) / frames;
                frames = 1;
            }
        }
    }

    private static bool IsDip(double previous, double v) => v < previous && v >= 0.9 * previous;

    /// <summary>The reading before a place in a bucket of a register with one channel.</summary>
    private double Preceding(Bucket bucket, int at)
    {
        if (at > 0)
            return bucket.Values[at - 1];
        var i = _open.IndexOf(bucket);
        return i > 0 ? _open[i - 1].Values[^1] : _register[0];
    }

    private bool SeenBefore(long eventTime) => _recent.AsSpan(0, Math.Min(_recentCount, RecentTimes)).Contains(eventTime);

    private static long FloorDiv(long a, long b) => (a / b) - (a % b < 0 ? 1 : 0);
}
