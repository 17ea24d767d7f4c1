using System.Runtime.CompilerServices;
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

    /// <summary>No frame: the stream goes back to an earlier state; what follows repeats its frames with the late data.</summary>
    Rewind = 4,

    /// <summary>No frame: the repeated frames end here.</summary>
    Settle = 5,
}

/// <summary>Receives closed frames in time order.</summary>
internal interface IFrameReceiver
{
    /// <param name="frame">Frame index: start = index · interval since the Unix epoch.</param>
    /// <param name="kind">How the frame came about.</param>
    /// <param name="length">1, or the number of frames of a bridge.</param>
    /// <param name="values">[D] for observed frames (NaN = channel missing), else empty.</param>
    /// <param name="flags">What to know about the values.</param>
    void OnFrame(long frame, FrameKind kind, long length, ReadOnlySpan<double> values, FrameFlags flags);
}

/// <summary>
/// Puts one stream's samples on its regular grid. Intervals are open until the watermark (newest event time − allowed lateness) passes
/// their end, or they hold the expected number of samples, or the stream stays silent for longer than its profile waits. Samples of an
/// open interval are kept and aggregated in time order, so the arrival order inside the allowed lateness can't change a bit.
/// Silence is measured in arrival time from the stream's own lag (arrival − event time), so replayed history isn't mistaken for silence.
/// There are up to millions of them: one object, and no more for a stream of one channel without an open interval.
/// </summary>
internal sealed class StreamAligner
{
    private const int RecentTimes = 8;
    private const long None = long.MinValue;

    /// <summary>Of every stream without an open interval; nothing is ever put into it.</summary>
    private static readonly List<Bucket> s_nothingOpen = [];

    private readonly AlignerWorkspace _shared;
    private readonly LastReading[]? _many;
    private List<Bucket> _open = s_nothingOpen;
    private LastReading _one = LastReading.None;
    private Recent _recent;
    private long _newest = None;
    private long _newestArrival;
    private long _lastClosed = None;
    private int _gap;
    private byte _recentCount;

    public StreamAligner(AlignerWorkspace shared)
    {
        _shared = shared;
        var d = shared.Profile.Channels.Count;
        if (d == 1)
            return;
        _many = new LastReading[d];
        Array.Fill(_many, LastReading.None);
    }

    /// <summary>A stream by itself.</summary>
    public StreamAligner(Profile profile)
        : this(new AlignerWorkspace(profile))
    {
    }

    public bool IsStale { get; private set; }

    /// <summary>Event time of the newest sample, Unix microseconds, or long.MinValue.</summary>
    public long NewestEventTime => _newest;

    /// <summary>The frame that was closed last, or long.MinValue.</summary>
    public long LastClosed => _lastClosed;

    public long FrameOf(long eventTime) => FloorDiv(eventTime, _shared.Interval);

    /// <summary>
    /// Whether what was closed would be another if this sample had come in order: its interval is closed, or it is a register's reading
    /// before one that has closed a curve.
    /// </summary>
    public bool IsBehind(long eventTime) =>
        _lastClosed != None && (FrameOf(eventTime) <= _lastClosed || (_shared.Profile.Counter && eventTime < _newest - _shared.AllowedLateness));

    /// <summary>
    /// Arrival time at which silence closes the next frame, or long.MaxValue.
    /// </summary>
    public long Deadline
    {
        get
        {
            if (_newest == None || (IsStale && _open.Count == 0))
                return long.MaxValue;
            return _newestArrival + ((Next + 1) * _shared.Interval) - _newest + _shared.MaxWait;
        }
    }

    /// <summary>The frame to be closed next. A stale stream goes on with the first frame it has samples for; what lies between is one bridge.</summary>
    private long Next => _lastClosed == None || IsStale ? _open[0].Frame : _lastClosed + 1;

    /// <summary>What the register of a channel has counted that no frame contains.</summary>
    public double Unplaced(int channel) => Channels[channel].Unplaced;

    /// <summary>How much of the frame that is being closed the readings of a channel cover, 0 … 1; for its receiver.</summary>
    public double Coverage(int channel) => _shared.Coverage[channel];

    /// <summary>[D].</summary>
    private Span<LastReading> Channels => _many is null ? new Span<LastReading>(ref _one) : _many;

    /// <param name="values">[D]; NaN = the channel is missing.</param>
    /// <param name="faulty">Whether a value lay outside the valid range (and is missing now): frames of such readings are imputed, but not stale.</param>
    public SampleOutcome Add(long eventTime, long arrival, ReadOnlySpan<double> values, IFrameReceiver receiver, bool faulty = false)
    {
        var frame = FloorDiv(eventTime, _shared.Interval);
        if (_lastClosed != None && frame <= _lastClosed)
            return SeenBefore(eventTime) ? SampleOutcome.Duplicate : SampleOutcome.Late;

        var bucket = Find(frame);
        var at = bucket.Times.BinarySearch(eventTime);
        var duplicate = at >= 0;
        if (!duplicate && bucket.Times.Count >= _shared.Profile.MaxSamplesPerFrame)
            return SampleOutcome.Overflow;

        var dip = _shared.Profile.Counter && values.Length == 1 && _shared.Resampler.IsDip(Channels, bucket, duplicate ? at : ~at, values[0], _open);
        bucket.Faulty |= faulty;
        if (faulty && !values.ContainsAnyExcept(double.NaN))
        {
            // Nothing to keep: the interval stays open for a reading that makes sense.
        }
        else if (duplicate)
        {
            // A value takes the place of a value; a channel that is missing takes none away.
            for (var i = 0; i < values.Length; i++)
            {
                if (!double.IsNaN(values[i]))
                    bucket.Values[(at * values.Length) + i] = values[i];
            }
        }
        else
        {
            bucket.Times.Insert(~at, eventTime);
            for (var i = 0; i < values.Length; i++)
                bucket.Values.Insert((~at * values.Length) + i, values[i]);
            Remember(eventTime);
        }

        if (eventTime >= _newest)
        {
            _newest = eventTime;
            _newestArrival = arrival;
        }

        Close(_newest - _shared.AllowedLateness, receiver);
        return duplicate ? SampleOutcome.Duplicate : dip ? SampleOutcome.Dip : SampleOutcome.Accepted;
    }

    /// <summary>Closes what has been silent for too long at the partition's clock.</summary>
    public void OnTick(long clock, IFrameReceiver receiver)
    {
        while (Deadline <= clock)
            CloseNext(Next, long.MaxValue, receiver);
    }

    public void Write(ByteWriter w) => Write(w, _newest, _newestArrival, _recentCount, _open);

    /// <summary>
    /// The state as it is without the samples of intervals still open: a function of the frames closed so far and their samples, whatever
    /// else has arrived. Read back, and given the later samples in order, it goes on as if they had come so.
    /// </summary>
    public void WriteClosed(ByteWriter w)
    {
        var known = 0;
        while (known < _recentCount && _lastClosed != None && FloorDiv(_recent[known], _shared.Interval) <= _lastClosed)
            known++;
        Write(w, None, 0, known, []);
    }

    private void Write(ByteWriter w, long newest, long newestArrival, int recent, List<Bucket> open)
    {
        w.Byte((byte)(IsStale ? 1 : 0));
        w.Int64(newest);
        w.Int64(newestArrival);
        w.Int64(_lastClosed);
        w.Int32(_gap);
        w.Int32(recent);
        for (var i = 0; i < RecentTimes; i++)
            w.Int64(i < recent ? _recent[i] : 0);
        Resampler.Write(Channels, w);
        foreach (ref readonly var channel in Channels)
            w.Double(channel.Framed);
        w.Int32(open.Count);
        foreach (var bucket in open)
        {
            w.Int64(bucket.Frame);
            w.Byte((byte)(bucket.Faulty ? 1 : 0));
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
        _recentCount = (byte)Math.Clamp(r.Int32(), 0, RecentTimes);
        for (var i = 0; i < RecentTimes; i++)
            _recent[i] = r.Int64();
        _recent[.._recentCount].Sort();
        _shared.Resampler.Read(Channels, ref r);
        foreach (ref var channel in Channels)
            channel.Framed = r.Double();
        while (_open.Count > 0)
            CloseFirst();
        var buckets = r.Int32();
        for (var b = 0; b < buckets; b++)
        {
            var bucket = Find(r.Int64());
            bucket.Faulty = r.Byte() != 0;
            var n = r.Int32();
            for (var i = 0; i < n; i++)
                bucket.Times.Add(r.Int64());
            for (var i = 0; i < n * Channels.Length; i++)
                bucket.Values.Add(r.Double());
        }
    }

    private void Close(long watermark, IFrameReceiver receiver)
    {
        while (_open.Count > 0)
        {
            var first = _open[0];
            var next = Next;
            var passed = _shared.Resampler.IsReady(Channels, next, _open, watermark);
            // At the beginning, and on the return of a stale stream, an earlier frame may still come inside the allowed lateness.
            var begun = (_lastClosed != None && !IsStale) || _shared.Profile.AllowedLateness == TimeSpan.Zero;
            // A register's interval needs the first reading after it, however many it holds.
            var complete = begun && !_shared.Profile.Counter && first.Frame == next && _shared.Profile.SamplesPerFrame > 0 && first.Times.Count >= _shared.Profile.SamplesPerFrame;
            if (!passed && !complete)
                return;
            CloseNext(next, watermark, receiver);
        }
    }

    private void CloseNext(long next, long known, IFrameReceiver receiver)
    {
        var flags = _shared.Resampler.Close(Channels, next, _open, known, _shared.FrameValues, _shared.Coverage);
        var own = _open.Count > 0 && _open[0].Frame == next;
        if (own)
            CloseFirst();
        var observed = false;
        var frameValues = _shared.FrameValues;
        for (var c = 0; c < frameValues.Length; c++)
        {
            if (double.IsNaN(frameValues[c]))
                continue;
            Channels[c].Framed = frameValues[c];
            observed = true;
        }

        var faulty = (flags & FrameFlags.SensorFault) != 0;
        if (IsStale && (observed || own) && next > _lastClosed + 1)
            receiver.OnFrame(_lastClosed + 1, FrameKind.Bridge, next - _lastClosed - 1, [], FrameFlags.None);
        if (observed)
        {
            (_gap, IsStale, _lastClosed) = (0, false, next);
            receiver.OnFrame(next, FrameKind.Observed, 1, frameValues, flags);
            return;
        }

        // The first frame of a register, and one whose readings are all missing, comes from a stream that is there.
        if (own)
            IsStale = false;
        _lastClosed = next;
        if (_gap < _shared.Profile.MaxGapFrames || own)
        {
            _gap = Math.Min(_gap + 1, _shared.Profile.MaxGapFrames);
            Fill(next, faulty ? GapPolicy.Model : _shared.Profile.Gaps, flags, receiver);
            return;
        }

        IsStale = true;
        receiver.OnFrame(next, FrameKind.Stale, 1, [], flags);
    }

    private void Fill(long frame, GapPolicy policy, FrameFlags flags, IFrameReceiver receiver)
    {
        var values = _shared.FrameValues.AsSpan();
        for (var c = 0; c < values.Length; c++)
            values[c] = policy == GapPolicy.Zero ? 0 : Channels[c].Framed;
        switch (policy)
        {
            case GapPolicy.Previous when !values.ContainsAnyExcept(double.NaN):
            case GapPolicy.Model:
                receiver.OnFrame(frame, FrameKind.Imputed, 1, [], flags);
                break;
            case GapPolicy.Previous:
            case GapPolicy.Zero:
                receiver.OnFrame(frame, FrameKind.Observed, 1, values, flags | FrameFlags.Filled);
                break;
            default:
                receiver.OnFrame(frame, FrameKind.Bridge, 1, [], flags);
                break;
        }
    }

    private void CloseFirst()
    {
        _shared.Return(_open[0]);
        _open.RemoveAt(0);
        if (_open.Count > 0)
            return;
        _shared.Return(_open);
        _open = s_nothingOpen;
    }

    private Bucket Find(long frame)
    {
        var i = _open.Count;
        while (i > 0 && _open[i - 1].Frame > frame)
            i--;
        if (i > 0 && _open[i - 1].Frame == frame)
            return _open[i - 1];
        if (_open == s_nothingOpen)
            _open = _shared.RentList();
        var bucket = _shared.RentBucket(frame);
        _open.Insert(i, bucket);
        return bucket;
    }

    private bool SeenBefore(long eventTime) => _recent[.._recentCount].Contains(eventTime);

    /// <summary>The newest event times, ascending: which ones they are doesn't depend on the order of arrival.</summary>
    private void Remember(long eventTime)
    {
        Span<long> recent = _recent;
        if (_recentCount == RecentTimes)
        {
            if (eventTime < recent[0])
                return;
            recent[1..].CopyTo(recent);
            _recentCount--;
        }

        var i = (int)_recentCount++;
        for (; i > 0 && recent[i - 1] > eventTime; i--)
            recent[i] = recent[i - 1];
        recent[i] = eventTime;
    }

    private static long FloorDiv(long a, long b) => (a / b) - (a % b < 0 ? 1 : 0);

    [InlineArray(RecentTimes)]
    private struct Recent
    {
        private long _first;
    }
}
