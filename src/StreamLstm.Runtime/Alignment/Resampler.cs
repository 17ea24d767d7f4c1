using System.Runtime.InteropServices;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Alignment;

/// <summary>
/// Makes one interval's value per channel from the readings in and around it.
/// <list type="bullet">
/// <item>A gauge's mean is weighted with the time each reading lasted, up to the next one. A profile with <c>Hold</c> (feeds that report
/// changes only) lets the last reading last that long into later intervals; without it the first reading also stands for the part of
/// its interval before it.</item>
/// <item>A register's curve is taken as straight between two readings, so each interval gets the increase that falls into it, and
/// nothing counted is lost or doubled: Σ value · coverage over the intervals + <see cref="LastReading.Unplaced"/> = what the register counted.</item>
/// </list>
/// An interval of which less than half is covered is missing. Holds no stream's state: that is a <see cref="LastReading"/> per channel.
/// </summary>
internal sealed class Resampler
{
    private const long None = long.MinValue;
    private const double MicrosPerHour = 3.6e9;

    private readonly Profile _profile;
    private readonly long _interval;
    private readonly long _hold;
    private readonly long _maxGap;

    public Resampler(Profile profile)
    {
        _profile = profile;
        _interval = (long)profile.Interval.TotalMicroseconds;
        _hold = (long)profile.Hold.TotalMicroseconds;
        _maxGap = (profile.MaxGapFrames + 1) * _interval;
    }

    private enum Step
    {
        Rise,
        Reset,
        Rollover,
        Ignored,
        Implausible,
        Gap,
    }

    /// <summary>Whether a reading of a register is a small fall that will be ignored; of profiles with one channel.</summary>
    public bool IsDip(ReadOnlySpan<LastReading> channels, Bucket bucket, int at, double value, List<Bucket> open)
    {
        var i = open.IndexOf(bucket);
        var previous = at > 0 ? bucket.Values[at - 1] : i > 0 && open[i - 1].Values.Count > 0 ? open[i - 1].Values[^1] : channels[0].Value;
        return IsNoise(previous, value) && !IsRollover(previous, value);
    }

    /// <summary>
    /// Values [D] of one interval, NaN = missing. Intervals are closed in order; <paramref name="open"/> holds the readings of this one
    /// (first, if it has any) and of later ones.
    /// </summary>
    /// <param name="channels">[D]: the latest reading before the interval, moved on.</param>
    /// <param name="known">Event time up to which readings are complete; a register's later ones are not looked at.</param>
    /// <param name="coverage">[D]: the part of the interval that the readings tell something about, 0 … 1.</param>
    public FrameFlags Close(Span<LastReading> channels, long frame, List<Bucket> open, long known, Span<double> values, Span<double> coverage)
    {
        var own = open.Count > 0 && open[0].Frame == frame ? open[0] : null;
        var flags = own is { Faulty: true } ? FrameFlags.SensorFault : FrameFlags.None;
        for (var c = 0; c < values.Length; c++)
        {
            flags |= _profile.Counter
                ? Register(channels, c, frame * _interval, own, open, known, out values[c], out coverage[c])
                : Gauge(channels, c, frame * _interval, own, out values[c], out coverage[c]);
        }

        return flags;
    }

    /// <summary>
    /// Whether all that an interval needs is known: of a register also the first reading after it, for every channel that has been read
    /// lately enough to be shared out with it.
    /// </summary>
    public bool IsReady(ReadOnlySpan<LastReading> channels, long frame, List<Bucket> open, long known)
    {
        var end = (frame + 1) * _interval;
        if (known < end)
            return false;
        for (var c = 0; _profile.Counter && c < channels.Length; c++)
        {
            var (before, closed) = (channels[c], false);
            foreach (var bucket in CollectionsMarshal.AsSpan(open))
            {
                for (var i = 0; i < bucket.Times.Count && bucket.Times[i] <= known && !closed; i++)
                {
                    var (t, v) = (bucket.Times[i], bucket.Values[(i * channels.Length) + c]);
                    if (double.IsNaN(v) || (before.Time != None && Judge(before, t, v) == Step.Ignored))
                        continue;
                    closed = t >= end;
                    (before.Time, before.Value) = (t, v);
                }
            }

            if (!closed && before.Time != None && known - before.Time <= _maxGap)
                return false;
        }

        return true;
    }

    public static void Write(ReadOnlySpan<LastReading> channels, ByteWriter w)
    {
        w.Byte((byte)channels.Length);
        foreach (ref readonly var channel in channels)
        {
            w.Int64(channel.Time);
            w.Double(channel.Value);
            w.Double(channel.Unplaced);
        }
    }

    public void Read(Span<LastReading> channels, ref ByteReader r)
    {
        var d = r.Byte();
        if (d != channels.Length)
            throw new CorruptLogException($"Stored state has {d} channels; profile {_profile.Name} has {channels.Length}. Reset the state or restore the profile.");
        for (var c = 0; c < d; c++)
            (channels[c].Time, channels[c].Value, channels[c].Unplaced) = (r.Int64(), r.Double(), r.Double());
    }

    private FrameFlags Gauge(Span<LastReading> channels, int c, long start, Bucket? own, out double value, out double coverage)
    {
        var end = start + _interval;
        ref var channel = ref channels[c];
        var times = own is null ? default : CollectionsMarshal.AsSpan(own.Times);
        var readings = own is null ? default : CollectionsMarshal.AsSpan(own.Values);
        var d = channels.Length;

        var carried = channel.Time != None && _hold > 0 ? Math.Min(end, channel.Time + _hold) - start : 0;
        var mean = new WeightedMean();
        var (n, chosen, last) = (0, double.NaN, None);
        var lastValue = double.NaN;
        for (var i = 0; i <= times.Length; i++)
        {
            var t = i < times.Length ? times[i] : end;
            var v = i < times.Length ? readings[(i * d) + c] : 0;
            if (double.IsNaN(v))
                continue;

            // The reading before lasts up to this one (or to the interval's end).
            if (n > 0)
                mean.Add(lastValue, (_hold > 0 ? Math.Min(t, last + _hold) : t) - last);
            else if (carried > 0)
                mean.Add(channel.Value, Math.Min(t - start, carried));
            else if (i < times.Length && _hold == 0)
                mean.Add(v, t - start);
            if (i == times.Length)
                break;
            chosen = n++ == 0 ? v : _profile.Aggregation switch
            {
                Aggregation.Min => Math.Min(chosen, v),
                Aggregation.Max => Math.Max(chosen, v),
                Aggregation.Sum => chosen + v,
                _ => v,
            };
            (last, lastValue) = (t, v);
        }

        coverage = (double)mean.Weight / _interval;
        if (_profile.Aggregation == Aggregation.Mean)
            value = 2 * mean.Weight >= _interval ? mean.Value : double.NaN;
        else
            value = n > 0 ? chosen : _profile.Aggregation != Aggregation.Sum && 2 * carried >= _interval ? channel.Value : double.NaN;
        if (n > 0)
            (channel.Time, channel.Value) = (last, lastValue);
        if (double.IsNaN(value))
            return FrameFlags.None;
        return n == 0 ? FrameFlags.Held : coverage < 1 && _profile.Aggregation == Aggregation.Mean ? FrameFlags.Partial : FrameFlags.None;
    }

    private FrameFlags Register(Span<LastReading> channels, int c, long start, Bucket? own, List<Bucket> open, long known, out double value, out double coverage)
    {
        var end = start + _interval;
        var d = channels.Length;
        ref var channel = ref channels[c];
        var (covered, placed, inside) = (0L, 0.0, 0);
        var flags = FrameFlags.None;
        var (done, closed) = (false, false);
        foreach (var bucket in CollectionsMarshal.AsSpan(open))
        {
            for (var i = 0; i < bucket.Times.Count && bucket.Times[i] <= known && !done; i++)
            {
                var v = bucket.Values[(i * d) + c];
                if (double.IsNaN(v))
                    continue;
                var t = bucket.Times[i];
                var within = bucket == own;
                inside += within ? 1 : 0;
                var step = channel.Time == None ? Step.Rise : Judge(channel, t, v);
                if (step == Step.Ignored)
                {
                    if (within)
                        flags |= v < 0 ? FrameFlags.Implausible : FrameFlags.Dip;
                    continue;
                }

                var overlap = channel.Time == None ? 0 : Math.Min(t, end) - Math.Max(channel.Time, start);
                var increase = channel.Time == None ? 0 : Increase(channel.Value, v);
                if (overlap > 0 && (within || step != Step.Gap))
                {
                    flags |= Flag(step);
                    if (step is Step.Rise or Step.Reset or Step.Rollover)
                    {
                        covered += overlap;
                        placed += increase * ((double)overlap / (t - channel.Time));
                    }
                }

                // The reading after the interval only closes its curve; it is taken up with its own interval.
                done = !within;
                closed = done && step != Step.Gap;
                if (within)
                {
                    if (step != Step.Implausible)
                        channel.Unplaced += increase;
                    (channel.Time, channel.Value) = (t, v);
                }
            }

            if (done)
                break;
        }

        // A reading too far on is as good as none, and may or may not be known by now.
        if (!closed && channel.Time != None)
            flags |= FrameFlags.Gap;
        coverage = (double)covered / _interval;
        value = double.NaN;
        if (covered == 0 || 2 * covered < _interval)
            return flags;
        channel.Unplaced -= placed;
        value = covered == _interval ? placed : placed / coverage;
        if (_profile.Aggregation == Aggregation.Mean)
            value *= MicrosPerHour / _interval;
        if (covered < _interval)
            flags |= FrameFlags.Partial;
        return inside == 0 ? flags | FrameFlags.Held : flags;
    }

    /// <summary>
    /// A fall below 90 % of the reading before is a reset, a smaller one is noise; a fall from the top tenth of the register's range to the
    /// lowest is its rollover.
    /// </summary>
    private Step Judge(in LastReading before, long time, double v)
    {
        if (v < 0)
            return Step.Ignored;
        var step = v >= before.Value ? Step.Rise : IsRollover(before.Value, v) ? Step.Rollover : IsNoise(before.Value, v) ? Step.Ignored : Step.Reset;
        if (step == Step.Ignored)
            return step;
        if (time - before.Time > _maxGap)
            return Step.Gap;
        var hours = (time - before.Time) / MicrosPerHour;
        return Increase(before.Value, v) > _profile.MaxRate * hours ? Step.Implausible : step;
    }

    private bool IsRollover(double before, double v) => _profile.Rollover is { } most && before > 0.9 * most && v < 0.1 * most;

    private static bool IsNoise(double before, double v) => v < before && v >= 0.9 * before;

    private double Increase(double before, double v) =>
        v >= before ? v - before : IsRollover(before, v) ? _profile.Rollover!.Value - before + v : v;

    private static FrameFlags Flag(Step step) => step switch
    {
        Step.Reset => FrameFlags.Reset,
        Step.Rollover => FrameFlags.Rollover,
        Step.Implausible => FrameFlags.Implausible,
        Step.Gap => FrameFlags.Gap,
        _ => FrameFlags.None,
    };

    /// <summary>Weighted about the first value, so that equal values give exactly themselves.</summary>
    private struct WeightedMean
    {
        private double _origin;
        private double _sum;

        public long Weight { get; private set; }

        public readonly double Value => _origin + (_sum / Weight);

        public void Add(double value, long weight)
        {
            if (weight <= 0)
                return;
            if (Weight == 0)
                _origin = value;
            _sum += (value - _origin) * weight;
            Weight += weight;
        }
    }
}
