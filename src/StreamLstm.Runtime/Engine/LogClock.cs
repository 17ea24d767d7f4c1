using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Runtime;

/// <summary>
/// The time that entries of the log are stamped with. It follows the wall clock, but never runs backward, nor stands still: when the wall
/// clock is set back, it goes on from where it was by the monotonic clock, a sixteenth slower, until the wall clock has caught up. So the
/// log's stamps ascend, what is measured in them (silence, lateness) goes on, and readings without a time of their own keep their
/// order. A step forward is followed at once: a machine that slept, or had no time yet, looks the same. Thread-safe.
/// </summary>
/// <param name="wall">Its wall clock may jump; its time stamps may not.</param>
internal sealed class LogClock(TimeProvider wall) : TimeProvider
{
    private const int Slower = 16;

    private readonly Lock _gate = new();
    private long _last = long.MinValue;

    // As it would be if nobody had set the wall clock back.
    private long _steady = long.MinValue;
    private long _stamp = wall.GetTimestamp();

    /// <summary>How far it is ahead of the wall clock, which was set back; zero when all is well.</summary>
    public TimeSpan Ahead
    {
        get
        {
            lock (_gate)
                return TimeSpan.FromMicroseconds(Math.Max(0, Now() - UnixMicros.Now(wall)));
        }
    }

    /// <summary>
    /// Microseconds by which the time of now may be later than it says: it slows down for a wall clock that may have been set to a wrong
    /// time, and then those who send are right.
    /// </summary>
    public long Slack
    {
        get
        {
            lock (_gate)
            {
                var now = Now();
                return _steady - now;
            }
        }
    }

    public override TimeZoneInfo LocalTimeZone => wall.LocalTimeZone;

    public override long TimestampFrequency => wall.TimestampFrequency;

    public override DateTimeOffset GetUtcNow()
    {
        lock (_gate)
            return UnixMicros.ToDateTimeOffset(Now());
    }

    public override long GetTimestamp() => wall.GetTimestamp();

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => wall.CreateTimer(callback, state, dueTime, period);

    /// <summary>The log has stamps up to this one already: it goes on from there.</summary>
    public void NoEarlierThan(long micros)
    {
        lock (_gate)
        {
            _last = Math.Max(Now(), micros);
            _steady = Math.Max(_steady, _last);
        }
    }

    private long Now()
    {
        var (now, stamp) = (UnixMicros.Now(wall), wall.GetTimestamp());
        if (_last == long.MinValue)
            _last = _steady = now;
        var passed = (long)wall.GetElapsedTime(_stamp, stamp).TotalMicroseconds;
        // Whole sixteenths only, so that often asked it isn't slower than that.
        if (passed < Slower && now <= _last)
            return _last;
        _stamp = stamp;
        _last = Math.Max(now, _last + (_last > now ? passed - (passed / Slower) : 0));
        _steady = Math.Max(_last, _steady + (_steady > now ? passed : 0));
        return _last;
    }
}
