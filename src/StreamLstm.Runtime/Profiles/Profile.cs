using StreamLstm.Core.Scoring;

namespace StreamLstm.Runtime.Profiles;

/// <summary>How the samples inside one interval become one value.</summary>
public enum Aggregation
{
    Mean,
    Sum,
    Last,
    Min,
    Max,
}

/// <summary>What stands in a missing frame.</summary>
public enum GapPolicy
{
    /// <summary>The model's own forecast; nothing is learnt from it.</summary>
    Model,

    /// <summary>The value before, as if it had been read.</summary>
    Previous,

    /// <summary>Zero, as if it had been read: no message means that nothing was used.</summary>
    Zero,

    /// <summary>Nothing: the frame has no result.</summary>
    None,
}

/// <summary>How much each stream's state holds.</summary>
public enum Tier
{
    /// <summary>Seasonal and recurrent experts: 7 to 14 kilobytes per stream and channel.</summary>
    Lean,

    /// <summary>Linear experts besides: more accurate, 44 to 66 kilobytes per stream and channel at a horizon of 48 to 96 steps.</summary>
    Rich,

    /// <summary>All of rich, and a score by networks of the stream's own, trained as it goes: 1.4 megabytes per stream and channel besides.</summary>
    Solo,
}

/// <summary>What a profile's streams are, where they aren't series on a grid.</summary>
public enum SignalKind
{
    /// <summary>No signal: a series on a regular grid.</summary>
    None,

    /// <summary>An electrocardiogram; a result per beat.</summary>
    Ecg,

    /// <summary>An electroencephalogram; a result per window.</summary>
    Eeg,
}

/// <summary>
/// How a class of streams is read and modelled. Immutable; built by validated configuration.
/// </summary>
public sealed record Profile
{
    public required string Name { get; init; }

    /// <summary>Glob over stream keys: <c>*</c> any run of characters, <c>?</c> one. The longest literal prefix wins, then the name.</summary>
    public string Select { get; init; } = "*";

    /// <summary>Grid step; frames are anchored to the Unix epoch in UTC.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromMinutes(15);

    /// <summary>Channel names; a sample carries one value for each.</summary>
    public IReadOnlyList<string> Channels { get; init; } = ["value"];

    /// <summary>Channels whose values are inputs of the others' forecasts (weather, tariff), at most four.</summary>
    public IReadOnlyList<string> Covariates { get; init; } = [];

    /// <summary>Of a signal neither grid nor forecast apply: samples at <see cref="Rate"/> give results per beat or window.</summary>
    public SignalKind Signal { get; init; }

    /// <summary>Samples per second of a signal.</summary>
    public double Rate { get; init; }

    /// <summary>Of covariates that are known in advance, by channel the stream that tells their future; see <see cref="Outlooks.OutlookTable"/>.</summary>
    public IReadOnlyDictionary<string, string> Outlooks { get; init; } = System.Collections.Frozen.FrozenDictionary<string, string>.Empty;

    public Aggregation Aggregation { get; init; } = Aggregation.Mean;

    /// <summary>
    /// Values are readings of a cumulative register. Aggregation sum = its increase per interval, mean = its increase per hour (Wh → W);
    /// others make no sense.
    /// </summary>
    public bool Counter { get; init; }

    /// <summary>Number at which a register begins again from zero.</summary>
    public double? Rollover { get; init; }

    /// <summary>Largest increase per hour that is possible; a larger one means another register, which begins anew.</summary>
    public double MaxRate { get; init; } = double.PositiveInfinity;

    /// <summary>How long a gauge's reading lasts without another one: feeds that report changes only. Zero = only inside its interval.</summary>
    public TimeSpan Hold { get; init; }

    /// <summary>What stands in missing frames, up to <see cref="MaxGapFrames"/>.</summary>
    public GapPolicy Gaps { get; init; } = GapPolicy.Model;

    /// <summary>Physical limits of a value; outside it the sample is a dead letter and its frame carries the flag of a sensor fault.</summary>
    public double? ValidMin { get; init; }

    public double? ValidMax { get; init; }

    /// <summary>Zone of the calendar features.</summary>
    public TimeZoneInfo Zone { get; init; } = TimeZoneInfo.Utc;

    /// <summary>Days that are like Sundays in the week; null = none. Only with a week (<see cref="HasDay"/>, intervals of 5 minutes or more).</summary>
    public Calendars.HolidayCalendar? Holidays { get; init; }

    /// <summary>How far behind the newest event time of its stream a sample may come.</summary>
    public TimeSpan AllowedLateness { get; init; } = TimeSpan.Zero;

    /// <summary>
    /// How far behind its newest closed interval a stream takes late samples in, by going back and repeating what followed; zero = they
    /// are dead letters. Costs two more copies of the stream's state and its samples of twice this span.
    /// </summary>
    public TimeSpan RepairHorizon { get; init; }

    /// <summary>Longest <see cref="RepairHorizon"/> in frames.</summary>
    public const int MostRepairFrames = 2880;

    /// <summary>An interval is closed as soon as it holds this many samples; 0 = unknown, it is closed by the watermark.</summary>
    public int SamplesPerFrame { get; init; }

    /// <summary>More samples than this in one interval are dead letters.</summary>
    public int MaxSamplesPerFrame { get; init; } = 10_000;

    /// <summary>How long after an interval's end, in arrival time, a silent stream's frame is closed without it.</summary>
    public TimeSpan MaxWait { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Longest gap, in frames, that the model fills with its own forecast; a longer one makes the stream stale.</summary>
    public int MaxGapFrames { get; init; } = 4;

    /// <summary>K: last step of the forecast.</summary>
    public int HorizonSteps { get; init; } = 96;

    public Tier Tier { get; init; } = Tier.Rich;

    /// <summary>Ascending, containing 0.5.</summary>
    public IReadOnlyList<double> Quantiles { get; init; } = [0.05, 0.5, 0.95];

    /// <summary>H: units of the recurrent expert.</summary>
    public int HiddenSize { get; init; } = 32;

    /// <summary>Expected false alarms per stream and week.</summary>
    public double Sensitivity { get; init; } = 0.25;

    /// <summary>Deviations on the other side of the expected value raise no alarm.</summary>
    public AlarmDirection Direction { get; init; }

    /// <summary>Smaller deviations raise no alarm; in the values' unit.</summary>
    public double MinDeviation { get; init; }

    /// <summary>Deviations that are a smaller share of the expected value raise no alarm.</summary>
    public double MinRelativeDeviation { get; init; }

    internal AlarmRule AlarmRule => new(Direction, MinDeviation, MinRelativeDeviation);

    /// <summary>Issue a forecast with every n-th frame's result; 0 = never.</summary>
    public int ForecastEvery { get; init; } = 1;

    /// <summary>Add to every result what its score is the largest of, and to every forecast the experts' weights and forecasts.</summary>
    public bool Explain { get; init; }

    /// <summary>Whether the shared weights keep learning.</summary>
    public bool Learning { get; init; } = true;

    /// <summary>Longest season in frames.</summary>
    public const int MostSeasonFrames = 1440;

    /// <summary>What repeats: null = the day, and the week where frames aren't too short; zero = nothing; else its length, from the Unix epoch on.</summary>
    public TimeSpan? Season { get; init; }

    /// <summary>Whether the season is the local day, so that hours and weekdays mean something.</summary>
    public bool HasDay => Season is null && DayFrames > 0;

    /// <summary>
    /// Frames per season. Without one given: per day, or 0 if a day isn't a whole number of at least two frames (then there is no season).
    /// </summary>
    public int DayFrames => Season is { } season
        ? (int)(season.Ticks / Interval.Ticks)
        : Interval <= TimeSpan.FromHours(12) && TimeSpan.TicksPerDay % Interval.Ticks == 0 && Interval >= TimeSpan.FromMinutes(1)
            ? (int)(TimeSpan.TicksPerDay / Interval.Ticks) : 0;
}
