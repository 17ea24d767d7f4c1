using StreamLstm.Core.Forecasting;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Runtime.Calendars;

/// <summary>
/// Where a profile's frames lie in the local day and week. On most days frames follow each other; around changes of the zone's offset and
/// around holidays the phase brings a path that says where each one lies, and where the same time of another day is.
/// Not thread-safe: one per shard, for its cache. The answers depend on zone and holidays alone.
/// </summary>
internal sealed class LocalCalendar
{
    private const long MicrosPerSecond = 1_000_000;
    private const long MicrosPerDay = 86_400 * MicrosPerSecond;
    private const int Paths = 16;

    /// <summary>Outside these years clocks have their standard offset and there are no holidays.</summary>
    private const int FirstYear = 1900;
    private const int LastYear = 2200;

    /// <summary>Monday = 0.</summary>
    private const int Sunday = 6;

    private readonly ForecastPlan _plan;
    private readonly TimeZoneInfo _zone;
    private readonly HolidayCalendar? _holidays;
    private readonly long _interval;
    private readonly bool _hasDay;
    private readonly bool _alwaysPlain;
    private readonly CalendarPath?[] _paths = new CalendarPath?[Paths];
    private readonly long[] _pathOf = new long[Paths];
    private int _nextPath;

    // Of the loaded years: when the offset changed, and frames that are unlike those a day and a week before or after.
    private int _fromYear = int.MaxValue;
    private int _toYear = int.MinValue;
    private long[] _changeAt = [];
    private long[] _offsetAfter = [];
    private long _firstOffset;
    private (long From, long To)[] _special = [];
    private readonly HashSet<long> _holidayDays = [];

    // Frames between two special ones, far enough from both.
    private long _plainFrom = long.MaxValue;
    private long _plainTo = long.MinValue;
    private long _plainOffset;

    public LocalCalendar(ForecastPlan plan, Profile profile)
    {
        _plan = plan;
        _zone = profile.Zone;
        _interval = (long)profile.Interval.TotalMicroseconds;
        _hasDay = profile.HasDay;
        _holidays = plan.WeekFrames > 0 ? profile.Holidays : null;
        _alwaysPlain = _holidays is null && (_zone == TimeZoneInfo.Utc || !_zone.SupportsDaylightSavingTime && _zone.GetAdjustmentRules().Length == 0);
        _plainOffset = _alwaysPlain ? OffsetOf(_zone.BaseUtcOffset) : 0;
    }

    /// <summary>Local day and week phase of a frame; weeks begin on Monday. A path in it is to be used before the calendar is asked again.</summary>
    public FramePhase Phase(long frame)
    {
        var m1 = _plan.DayFrames;
        if (m1 == 0)
            return default;
        if (!_hasDay)
            return new FramePhase((int)(((frame % m1) + m1) % m1), 0);
        if (_alwaysPlain || (frame >= _plainFrom && frame <= _plainTo))
            return Plain(frame, _plainOffset);
        return Special(frame);
    }

    private FramePhase Special(long frame)
    {
        // Everything that a path of this frame can speak of.
        var (from, to) = (frame - _plan.RingLength, frame + _plan.PathReach);
        if (!Load(from, to))
            return Plain(frame, OffsetOf(_zone.BaseUtcOffset));
        var (low, high) = (Frame(YearStart(_fromYear)), Frame(YearStart(_toYear + 1)));
        foreach (var special in _special)
        {
            if (special.To < from)
            {
                low = Math.Max(low, special.To + 1);
                continue;
            }

            if (special.From > to)
            {
                high = Math.Min(high, special.From);
                break;
            }

            var path = PathOf(frame);
            return new FramePhase(path.DayPhase[0], path.WeekPhase[0], path);
        }

        (_plainFrom, _plainTo, _plainOffset) = (low + _plan.RingLength, high - _plan.PathReach - 1, Offset(frame * _interval));
        return Plain(frame, _plainOffset);
    }

    private FramePhase Plain(long frame, long offset)
    {
        var (day, inDay) = Split((frame * _interval) + offset);
        return new FramePhase(inDay, _plan.WeekFrames > 0 ? (Weekday(day) * _plan.DayFrames) + inDay : 0);
    }

    private CalendarPath PathOf(long frame)
    {
        var i = Array.IndexOf(_pathOf, frame);
        if (i >= 0 && _paths[i] is { } known)
            return known;
        i = _nextPath++ % Paths;
        var path = _paths[i] ??= new CalendarPath(_plan);
        _pathOf[i] = frame;
        for (var h = 0; h <= _plan.PathReach; h++)
        {
            var (day, inDay) = At(frame + h);
            path.DayPhase[h] = inDay;
            path.DayLag[h] = SeasonLag(frame + h, 1, h);
            if (_plan.WeekFrames == 0)
                continue;
            path.WeekPhase[h] = ((_holidayDays.Contains(day) ? Sunday : Weekday(day)) * _plan.DayFrames) + inDay;
            path.WeekLag[h] = SeasonLag(frame + h, 7, h);
        }

        for (var j = 0; j < _plan.Knots.Length; j++)
        {
            path.ArrivedDayLag[j] = SeasonLag(frame, 1, _plan.Knots[j]);
            path.ArrivedWeekLag[j] = _plan.WeekFrames > 0 ? SeasonLag(frame, 7, _plan.Knots[j]) : 0;
        }

        return path;
    }

    /// <summary>Frames back from a target to the same local time of a day, some whole seasons of days earlier, that is known h frames before the target.</summary>
    /// <param name="days">1, or 7 for a week.</param>
    private int SeasonLag(long target, int days, int h)
    {
        var season = days * _plan.DayFrames;
        var seasons = Math.Max(1, ForecastPlan.SeasonLag(season, h) / season);
        // Of a target a whole season ahead, behind a day of 23 hours, that time is yet to come.
        var lag = Lag(target, days * seasons);
        lag = lag >= h ? lag : Lag(target, days * (seasons + 1));
        return lag < _plan.RingLength ? lag : seasons * season;
    }

    /// <summary>Frames from a target back to the same local time so many days before. A time that a day doesn't have is the one an hour later.</summary>
    private int Lag(long target, int days)
    {
        var lag = days * _plan.DayFrames;
        var shift = (int)((Offset((target - lag) * _interval) - Offset(target * _interval)) / _interval);
        // Rings have room for an hour; a zone that changes sides of the date line keeps its days' length.
        return Math.Abs(shift) <= (_plan.DayFrames + 23) / 24 ? lag + shift : lag;
    }

    private (long Day, int InDay) At(long frame) => Split((frame * _interval) + Offset(frame * _interval));

    private (long Day, int InDay) Split(long localMicros)
    {
        var day = Floor(localMicros, MicrosPerDay);
        return (day, (int)((localMicros - (day * MicrosPerDay)) / MicrosPerSecond * _plan.DayFrames / 86_400));
    }

    /// <summary>1970-01-01 was a Thursday: three days after Monday.</summary>
    private static int Weekday(long day) => (int)((((day + 3) % 7) + 7) % 7);

    private long Offset(long micros)
    {
        var i = Array.BinarySearch(_changeAt, micros);
        i = i >= 0 ? i : ~i - 1;
        return i < 0 ? _firstOffset : _offsetAfter[i];
    }

    /// <summary>Sees to it that the years of these frames are loaded; false where there is no calendar.</summary>
    private bool Load(long fromFrame, long toFrame)
    {
        if (fromFrame * (double)_interval < YearStart(FirstYear + 2) || toFrame * (double)_interval > YearStart(LastYear - 2))
            return false;
        var (from, to) = (YearOf(fromFrame) - 1, YearOf(toFrame) + 1);
        if (from + 1 > _fromYear && to - 1 < _toYear)
            return true;
        (_fromYear, _toYear) = (Math.Min(from, _fromYear), Math.Max(to, _toYear));
        var changes = new List<(long At, long Offset)>();
        var special = new List<(long From, long To)>();
        _holidayDays.Clear();
        var (start, end) = (YearStart(_fromYear), YearStart(_toYear + 1));
        _firstOffset = OffsetAt(start);
        var offset = _firstOffset;
        for (var day = start; day < end; day += MicrosPerDay)
        {
            var next = OffsetAt(day + MicrosPerDay);
            if (next == offset)
                continue;
            // To the second.
            var (low, high) = (day, day + MicrosPerDay);
            while (high - low > MicrosPerSecond)
            {
                var middle = low + ((high - low) / 2 / MicrosPerSecond * MicrosPerSecond);
                (low, high) = OffsetAt(middle) == offset ? (middle, high) : (low, middle);
            }

            changes.Add((high, next));
            special.Add((Frame(high), Frame(high)));
            offset = next;
        }

        _changeAt = [.. changes.Select(c => c.At)];
        _offsetAfter = [.. changes.Select(c => c.Offset)];
        for (var year = _fromYear; _holidays is not null && year <= _toYear; year++)
        {
            foreach (var (date, _, _) in _holidays.Of(year))
            {
                var day = date.DayNumber - DateOnly.FromDateTime(DateTime.UnixEpoch).DayNumber;
                if (Weekday(day) == Sunday || !_holidayDays.Add(day))
                    continue;
                // The offset at noon is that of the day, to the hour or so that is added on both sides.
                var begin = (day * MicrosPerDay) - Offset((day * MicrosPerDay) + (MicrosPerDay / 2));
                special.Add((Frame(begin - (MicrosPerDay / 12)), Frame(begin + MicrosPerDay + (MicrosPerDay / 12))));
            }
        }

        special.Sort();
        _special = [.. special];
        (_plainFrom, _plainTo) = (long.MaxValue, long.MinValue);
        Array.Clear(_paths);
        return true;
    }

    private int YearOf(long frame) => UnixMicros.ToDateTimeOffset(frame * _interval).Year;

    private long Frame(long micros) => Floor(micros, _interval);

    private static long Floor(long a, long b) => (a / b) - (a % b < 0 ? 1 : 0);

    private static long YearStart(int year) => UnixMicros.From(new DateTimeOffset(year, 1, 1, 0, 0, 0, TimeSpan.Zero));

    private long OffsetAt(long micros) => OffsetOf(_zone.GetUtcOffset(UnixMicros.ToDateTimeOffset(micros).UtcDateTime));

    private static long OffsetOf(TimeSpan offset) => (long)offset.TotalSeconds * MicrosPerSecond;
}
