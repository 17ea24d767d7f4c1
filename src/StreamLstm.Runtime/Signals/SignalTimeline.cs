using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Signals;

/// <summary>What becomes of a block.</summary>
internal enum BlockOutcome
{
    /// <summary>It goes to the monitor, now or after what it waits for.</summary>
    Accepted,

    /// <summary>Its time has been received before.</summary>
    Duplicate,

    /// <summary>Its time has been passed over as a gap.</summary>
    Late,
}

/// <summary>Takes the samples of one stream in the order of their time.</summary>
internal interface ISignalRun
{
    /// <param name="values">[n, channels].</param>
    void OnRun(ReadOnlySpan<float> values);

    /// <summary>So many samples are missing.</summary>
    void OnMissing(int samples);

    /// <summary>A gap too long to count samples in.</summary>
    void OnBreak();
}

/// <summary>
/// Turns a stream's packets into one run of samples at the nominal rate. Devices' clocks differ from it and their stamps are jittered: a packet
/// that begins within <see cref="ToleranceMicros"/> of where the last one ended follows it, and the time line gives way by a sixteenth of the
/// difference. A packet from further ahead waits for what lies between, at most the allowed lateness; then that is missing. What overlaps
/// received samples is cut off.
/// </summary>
internal sealed class SignalTimeline
{
    /// <summary>Longest gap whose samples are counted as missing; after a longer one the rhythm begins anew.</summary>
    public const double LongestGapSeconds = 5;

    private const int MostWaiting = 256;
    private const int GapsKept = 4;

    // What is pushed through before a break, so that beats before it are complete.
    private const double FlushSeconds = 3;

    private readonly int _channels;
    private readonly double _step;
    private readonly long _latenessMicros;
    private readonly List<(long First, float[] Values)> _waiting = [];
    private readonly long[] _gapFrom = new long[GapsKept];
    private readonly long[] _gapTo = new long[GapsKept];
    private bool _started;
    private long _begin;
    private long _samples;
    private long _anchorSample;
    private long _anchorMicros;
    private int _nextGap;

    public SignalTimeline(double rate, int channels, TimeSpan lateness)
    {
        _channels = channels;
        _step = 1e6 / rate;
        _latenessMicros = (long)lateness.TotalMicroseconds;
        ToleranceMicros = Math.Max(1.5 * _step, 25_000);
    }

    public double ToleranceMicros { get; }

    /// <summary>Time of a sample by its number; of numbers before the last break, as if there had been none.</summary>
    public long Time(double sample) => _anchorMicros + (long)Math.Round((sample - _anchorSample) * _step);

    /// <summary>Time after the last sample.</summary>
    public long End => Time(_samples);

    /// <summary>Packets that wait for what lies before them.</summary>
    public int Waiting => _waiting.Count;

    /// <param name="first">Time of the first sample.</param>
    /// <param name="values">[n, channels].</param>
    public BlockOutcome Add(long first, ReadOnlySpan<float> values, ISignalRun run)
    {
        if (!_started)
        {
            _started = true;
            _begin = first;
            _anchorMicros = first;
            _anchorSample = _samples;
        }

        var ahead = first - End;
        if (ahead < -ToleranceMicros)
            return Overlap(first, values, -ahead, run);
        if (ahead <= ToleranceMicros)
        {
            Follow(ahead, values, run);
            Release(run);
            return BlockOutcome.Accepted;
        }

        var at = _waiting.FindIndex(w => w.First >= first);
        if (at >= 0 && _waiting[at].First == first)
            return BlockOutcome.Duplicate;
        _waiting.Insert(at < 0 ? _waiting.Count : at, (first, values.ToArray()));
        Release(run);
        return BlockOutcome.Accepted;
    }

    /// <summary>Numbers the samples from 0 again.</summary>
    public void Restart()
    {
        _anchorMicros = End;
        _anchorSample = _samples = 0;
    }

    /// <summary>Nothing more is to be expected: what waits is taken as it is.</summary>
    public void Flush(ISignalRun run)
    {
        while (_waiting.Count > 0)
            TakeWaiting(run);
    }

    public void Write(ByteWriter w)
    {
        w.Byte((byte)(_started ? 1 : 0));
        w.Int64(_begin);
        w.Int64(_samples);
        w.Int64(_anchorSample);
        w.Int64(_anchorMicros);
        w.Byte((byte)_nextGap);
        for (var i = 0; i < GapsKept; i++)
        {
            w.Int64(_gapFrom[i]);
            w.Int64(_gapTo[i]);
        }

        w.Int32(_waiting.Count);
        foreach (var (first, values) in _waiting)
        {
            w.Int64(first);
            w.Int32(values.Length);
            w.Floats(values);
        }
    }

    public void Read(ref ByteReader r)
    {
        _started = r.Byte() != 0;
        _begin = r.Int64();
        _samples = r.Int64();
        _anchorSample = r.Int64();
        _anchorMicros = r.Int64();
        _nextGap = r.Byte() % GapsKept;
        for (var i = 0; i < GapsKept; i++)
        {
            _gapFrom[i] = r.Int64();
            _gapTo[i] = r.Int64();
        }

        _waiting.Clear();
        for (var n = r.Int32(); n > 0; n--)
        {
            var first = r.Int64();
            var values = new float[r.Int32()];
            r.Floats(values);
            _waiting.Add((first, values));
        }
    }

    private BlockOutcome Overlap(long first, ReadOnlySpan<float> values, double behindMicros, ISignalRun run)
    {
        var cut = (int)Math.Min(int.MaxValue / _channels, Math.Round(behindMicros / _step));
        if (cut * (long)_channels < values.Length)
        {
            Follow(0, values[(cut * _channels)..], run);
            Release(run);
            return BlockOutcome.Accepted;
        }

        if (first < _begin - ToleranceMicros)
            return BlockOutcome.Late;
        var end = first + (long)(values.Length / _channels * _step);
        for (var i = 0; i < GapsKept; i++)
        {
            if (first < _gapTo[i] && end > _gapFrom[i])
                return BlockOutcome.Late;
        }

        return BlockOutcome.Duplicate;
    }

    private void Follow(double ahead, ReadOnlySpan<float> values, ISignalRun run)
    {
        _anchorMicros = End + (long)Math.Round(ahead / 16);
        _anchorSample = _samples;
        // Counted first: what the monitor finds while it takes the samples lies before their end.
        _samples += values.Length / _channels;
        run.OnRun(values);
    }

    private void Release(ISignalRun run)
    {
        while (_waiting.Count > 0)
        {
            var ahead = _waiting[0].First - End;
            if (ahead > ToleranceMicros && _waiting[^1].First - _waiting[0].First < _latenessMicros && _waiting.Count < MostWaiting)
                return;
            TakeWaiting(run);
        }
    }

    private void TakeWaiting(ISignalRun run)
    {
        var (first, values) = _waiting[0];
        _waiting.RemoveAt(0);
        var ahead = first - End;
        if (ahead < -ToleranceMicros)
        {
            Overlap(first, values, -ahead, run);
            return;
        }

        if (ahead <= ToleranceMicros)
        {
            Follow(ahead, values, run);
            return;
        }

        _gapFrom[_nextGap] = End;
        _gapTo[_nextGap] = first;
        _nextGap = (_nextGap + 1) % GapsKept;
        if (ahead <= LongestGapSeconds * 1e6)
        {
            Skip((int)Math.Round(ahead / _step), run);
            Follow(Math.Clamp(first - End, -ToleranceMicros, ToleranceMicros), values, run);
            return;
        }

        Skip((int)(FlushSeconds * 1e6 / _step), run);
        run.OnBreak();
        _anchorMicros = first;
        _anchorSample = _samples;
        Follow(0, values, run);
    }

    private void Skip(int samples, ISignalRun run)
    {
        _samples += samples;
        run.OnMissing(samples);
    }
}
