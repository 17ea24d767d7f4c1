namespace StreamLstm.Core.Forecasting;

/// <summary>Members of the expert mixture; the numbers index loss tables in the state record.</summary>
public enum Expert
{
    /// <summary>Adaptive double-seasonal Holt-Winters with an autoregressive correction.</summary>
    Seasonal = 0,

    /// <summary>The last value.</summary>
    Last = 1,

    /// <summary>The value one day before the target.</summary>
    Day = 2,

    /// <summary>The value one week before the target.</summary>
    Week = 3,

    /// <summary>The shared recurrent network.</summary>
    Recurrent = 4,

    /// <summary>Least squares on lags, the week-ago window and the calendar (rich tier).</summary>
    Linear = 5,

    /// <summary>Least squares on the latest deviations from the seasonal profile (rich tier).</summary>
    Deviation = 6,
}

/// <summary>Where in the local day and week a frame lies.</summary>
/// <param name="DayPhase">0 … m1−1.</param>
/// <param name="WeekPhase">0 … m2−1, Monday first.</param>
/// <param name="Path">Where the frames around it lie; null = they follow each other, and the same time of another day is whole days away.</param>
public readonly record struct FramePhase(int DayPhase, int WeekPhase, CalendarPath? Path = null);

/// <summary>
/// Everything about a class of series that is fixed: seasons, horizon, and the layout of the state record. A record is one run of
/// 4-byte words per series; its layout is a function of the plan alone, so a snapshot is a copy.
/// Letters: m1, m2 = frames per day and week; K = last horizon step; H = hidden size; M = experts; Q = quantiles; J = knots.
/// </summary>
public sealed class ForecastPlan
{
    /// <summary>M.</summary>
    public const int Experts = 7;

    /// <summary>Samples of the day-ago and week-ago windows, and of the seasonal forecast, that feed the network.</summary>
    internal const int WindowSamples = 8;

    /// <summary>Counters per knot: of losses, of the network's, of the linear experts'.</summary>
    internal const int LossCounts = 3;

    /// <summary>Most knots of a plan: tables by knot fit into one vector.</summary>
    internal const int MostKnots = 8;

    /// <summary>Most covariates of a series.</summary>
    public const int MostCovariates = 4;

    /// <summary>What one covariate contributes to the wide linear expert: its value, what is expected of it at three steps, and their squares.</summary>
    internal const int WideCovariateFeatures = 8;

    private const int CalendarInputs = 10;

    /// <summary>Longest input of the wide linear expert.</summary>
    private const int MostWideInputs = 64;

    /// <summary>Latest seasonal deviations among them.</summary>
    internal const int WideDeviations = 3;

    /// <summary>Constant, calendar, mean deviation and latest deviations.</summary>
    private const int WideFixed = 10 + WideDeviations;

    /// <summary>Input of the narrow linear expert.</summary>
    internal const int NarrowInputs = 16;

    /// <summary>Horizon steps the linear experts learn; between them their corrections to the seasonal profile are interpolated.</summary>
    private const int MostLinearSteps = 24;

    /// <param name="dayFrames">m1, or 0 for series without a daily season.</param>
    /// <param name="weekFrames">m2 = 7·m1, or 0 for none.</param>
    /// <param name="horizon">K ≥ 1.</param>
    /// <param name="hidden">H ≥ 1.</param>
    /// <param name="quantiles">Ascending levels in (0,1) with .5 among them.</param>
    /// <param name="falseAlarmsPerFrame">Chosen probability that a frame of an ordinary series raises an alarm.</param>
    /// <param name="linear">Whether the mixture has linear experts (rich tier).</param>
    /// <param name="covariates">Other series that the network and the wide linear expert read, 0 … 4.</param>
    public ForecastPlan(
        int dayFrames, int weekFrames, int horizon, int hidden, IReadOnlyList<double> quantiles, double falseAlarmsPerFrame, bool linear = false, int covariates = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(covariates);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(covariates, MostCovariates);
        ArgumentNullException.ThrowIfNull(quantiles);
        ArgumentOutOfRangeException.ThrowIfNegative(dayFrames);
        ArgumentOutOfRangeException.ThrowIfLessThan(horizon, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(hidden, 1);
        if (weekFrames != 0 && (dayFrames == 0 || weekFrames != 7 * dayFrames))
            throw new ArgumentException($"weekFrames must be 0 or 7·dayFrames = {7 * dayFrames}, given {weekFrames}.", nameof(weekFrames));
        if (falseAlarmsPerFrame is not (> 0 and < 0.05))
            throw new ArgumentOutOfRangeException(nameof(falseAlarmsPerFrame), falseAlarmsPerFrame, "Must lie in (0, 0.05).");

        DayFrames = dayFrames;
        WeekFrames = weekFrames;
        Horizon = horizon;
        Hidden = hidden;
        FalseAlarmsPerFrame = falseAlarmsPerFrame;
        Quantiles = [.. quantiles.Select(q => (float)q)];
        MedianIndex = Array.FindIndex(Quantiles, q => q == 0.5f);
        if (MedianIndex < 0)
            throw new ArgumentException("Quantiles must contain 0.5.", nameof(quantiles));
        for (var i = 0; i < Quantiles.Length; i++)
        {
            if (Quantiles[i] is not (> 0 and < 1) || (i > 0 && Quantiles[i] <= Quantiles[i - 1]))
                throw new ArgumentException("Quantiles must ascend inside (0, 1).", nameof(quantiles));
        }

        Knots = KnotsUpTo(horizon);
        System.Diagnostics.Debug.Assert(Knots.Length <= MostKnots, "Tables by knot fit into one vector.");
        PendingLength = Knots.Sum();
        KnotStart = new int[Knots.Length];
        for (var j = 1; j < Knots.Length; j++)
            KnotStart[j] = KnotStart[j - 1] + Knots[j - 1];

        // Interpolation between knots: step h lies between knots Below[h] and Below[h]+1 with weight Fraction[h] on the upper one.
        PathLength = (horizon + 8) / 8 * 8;
        Below = new int[PathLength];
        Fraction = new float[PathLength];
        for (var h = 1; h <= horizon; h++)
        {
            var j = 0;
            while (j + 1 < Knots.Length && Knots[j + 1] <= h)
                j++;
            Below[h] = j;
            Fraction[h] = j + 1 < Knots.Length ? (h - Knots[j]) / (float)(Knots[j + 1] - Knots[j]) : 0;
        }

        HourBins = dayFrames == 0 ? 1 : Math.Min(24, dayFrames);
        // The ring must reach from a target that arrives to every naive forecast of it: K back, and whole days and weeks beyond K.
        // A day may have 25 hours.
        RingLength = Math.Max(Math.Max(SeasonLag(weekFrames, horizon), SeasonLag(dayFrames, horizon)), Math.Max(horizon, 32)) + 1 + ((dayFrames + 23) / 24);
        Covariates = covariates;
        Window = BuildWindow(Reach);
        CovariateParts = BuildWindow(horizon);
        CovariateSteps = [Math.Max(1, Reach / 4), Math.Max(1, Reach / 2), Reach];
        Inputs = 2 + (dayFrames > 0 ? 2 + Window.Length : 0) + (weekFrames > 0 ? 2 + Window.Length : 0) + Window.Length + CalendarInputs + 1 + CovariateInputs;

        HasLinear = linear;
        LinearSteps = BuildLinearSteps();
        LinearLags = BuildLinearLags();
        LinearDeviationLags = BuildDeviationLags();
        LinearHistory = Math.Max(horizon, LinearDeviationLags[^1] + 1);

        var at = 0;
        var components = new List<(string, int)>();
        int Take(string component, int words)
        {
            var start = at;
            at += words;
            components.Add((component, 4 * words));
            return start;
        }

        Doubles = Take("unit", 2 * 8);
        Integers = Take("counters", 16);
        Scalars = Take("scalars", 16);
        HiddenAt = Take("h, c", hidden);
        CellAt = Take("h, c", hidden);
        Ring = Take("history ring", RingLength);
        DaySeason = Take("day profile", Math.Max(1, dayFrames));
        WeekSeason = Take("week profile", Math.Max(1, weekFrames));
        Loss = Take("hedge", Knots.Length * Experts);
        LossCount = Take("hedge", Knots.Length * LossCounts);
        // What belongs to one forecast lies together: it is read together when the target arrives.
        PendingStride = 3 + Quantiles.Length + (linear ? 2 : 0);
        Pending = Take("pending forecasts", PendingLength * PendingStride);
        PendingMix = Pending;
        PendingSeasonal = Pending + 1;
        PendingRecurrent = Pending + 2;
        PendingBounds = Pending + 3;
        PendingLinear = PendingBounds + Quantiles.Length;
        PendingDeviation = PendingLinear + 1;
        ErrorMean = Take("intervals", Knots.Length);
        ErrorFast = Take("intervals", Knots.Length);
        HourError = Take("intervals", Knots.Length * HourBins);
        HourCount = Take("intervals", Knots.Length * HourBins);
        HourWidth = Take("intervals", Knots.Length * HourBins);
        MixLoss = Take("hedge", Knots.Length);
        Sharpness = Take("hedge", Knots.Length);
        Offsets = Take("intervals", Knots.Length * Quantiles.Length);
        Tails = Take("scoring", 2 * Scoring.TailCalibrator.Words);
        Slow = Take("scoring", Scoring.SlowScore.Words(2 * HourBins));
        if (linear)
        {
            LinearForecast = Take("linear experts", 2 * LinearSteps.Length);
            LinearLevel = Take("linear experts", horizon);
            LinearChange = Take("linear experts", horizon);
            LinearDeviation = Take("linear experts", LinearHistory);
            LinearMean = Take("linear experts", 2);
            // Whole cache lines from here on; records begin on one.
            Take("padding", (16 - (at % 16)) % 16);
            LinearWide = Take("linear experts", RecursiveLeastSquares.WordsFor(WideInputs, horizon, LinearSteps.Length));
            LinearNarrow = Take("linear experts", RecursiveLeastSquares.WordsFor(NarrowInputs, horizon, LinearSteps.Length));
            LinearWords = at - LinearLevel;
        }

        RecordWords = (at + 15) / 16 * 16;
        components.Add(("padding", 4 * (RecordWords - at)));
        Components = [.. components.GroupBy(c => c.Item1).Select(c => (c.Key, c.Sum(x => x.Item2)))];
    }

    public int DayFrames { get; }

    public int WeekFrames { get; }

    /// <summary>K.</summary>
    public int Horizon { get; }

    /// <summary>H.</summary>
    public int Hidden { get; }

    /// <summary>I: inputs of the recurrent expert.</summary>
    public int Inputs { get; }

    public double FalseAlarmsPerFrame { get; }

    /// <summary>Whether the mixture has linear experts.</summary>
    public bool HasLinear { get; }

    public float[] Quantiles { get; }

    public int MedianIndex { get; }

    /// <summary>
    /// Horizon steps at which statistics are kept: 1, 2, 4, 8, 16, 24, 48, 96 (below K; without 16 beyond 96) and K; other steps interpolate. 24 and 48 are where
    /// forecasts are read most, and by hour of the day intervals are exact at knots only (in between 5 to 10 points less where days are rough).
    /// </summary>
    public int[] Knots { get; }

    /// <summary>
    /// Size of one state record in 4-byte words. With H = 32 and three quantiles: hourly frames and K = 48, 7 KB without and 43 KB with
    /// linear experts; quarter-hourly frames and K = 96, 14 and 66 KB. The linear part is 64·(41 + S + K) + 16·(17 + S + K) words for S
    /// learnt steps (at most 24), and little more.
    /// </summary>
    public int RecordWords { get; }

    /// <summary>What a record's bytes are for.</summary>
    public IReadOnlyList<(string Component, int Bytes)> Components { get; }

    /// <summary>Frames of history in a record.</summary>
    public int RingLength { get; }

    /// <summary>Bins of the time-of-day error statistics.</summary>
    public int HourBins { get; }

    /// <summary>C: series whose values are inputs of this one's forecast.</summary>
    public int Covariates { get; }

    /// <summary>Length of the covariates' contribution to the inputs.</summary>
    public int CovariateInputs => 2 * (1 + CovariateForesight) * Covariates;

    /// <summary>
    /// Parts of the horizon, by the steps they end with: the mean of a covariate's known or expected values over each is an input, so every step's
    /// vintage is read.
    /// </summary>
    public IReadOnlyList<int> CovariateParts { get; }

    /// <summary>Steps ahead at which a covariate's known or expected value itself is read.</summary>
    public IReadOnlyList<int> CovariateSteps { get; }

    /// <summary>Values of one covariate's future that are read: of <see cref="CovariateParts"/>, then of <see cref="CovariateSteps"/>.</summary>
    public int CovariateForesight => CovariateParts.Count + CovariateSteps.Count;

    /// <summary>How far ahead the windows of inputs look: K, at most a day.</summary>
    private int Reach => Math.Min(Horizon, DayFrames > 0 ? DayFrames : Horizon);

    /// <summary>Steps ahead of which a <see cref="CalendarPath"/> speaks.</summary>
    public int PathReach => Math.Max(Horizon, DayFrames);

    internal int PendingLength { get; }

    internal int[] KnotStart { get; }

    /// <summary>Offset of the forecast of knot j issued at frame n from the start of each pending quantity.</summary>
    internal int PendingSlot(int knot, int n) => (KnotStart[knot] + (n % Knots[knot])) * PendingStride;

    internal int[] Below { get; }

    internal float[] Fraction { get; }

    /// <summary>Length of arrays indexed by h = 1…K, so that they are whole vectors of eight; what lies outside 1…K means nothing.</summary>
    internal int PathLength { get; }

    /// <summary>Horizon steps whose day-ago, week-ago and seasonal values the network reads.</summary>
    internal int[] Window { get; }

    /// <summary>Length of the wide linear expert's input: constant, calendar, mean deviation, lags.</summary>
    internal int WideInputs => WideFixed + (WideCovariateFeatures * Covariates) + LinearLags.Length;

    /// <summary>Horizon steps that the linear experts learn [S].</summary>
    internal int[] LinearSteps { get; }

    /// <summary>Frames back of the values the wide linear expert reads.</summary>
    internal int[] LinearLags { get; }

    /// <summary>Frames back of the seasonal deviations the narrow linear expert reads.</summary>
    internal int[] LinearDeviationLags { get; }

    /// <summary>Deviations kept.</summary>
    internal int LinearHistory { get; }

    // Word offsets of the record's sections; shapes in words.
    internal int Doubles { get; }

    internal int Integers { get; }

    internal int Scalars { get; }

    internal int HiddenAt { get; }

    internal int CellAt { get; }

    internal int Ring { get; }

    internal int DaySeason { get; }

    internal int WeekSeason { get; }

    internal int Loss { get; }

    internal int LossCount { get; }

    /// <summary>Forecasts whose targets have not arrived: for knot j a ring of h_j, each of <see cref="PendingStride"/> words.</summary>
    internal int Pending { get; }

    internal int PendingStride { get; }

    internal int PendingSeasonal { get; }

    internal int PendingRecurrent { get; }

    internal int PendingMix { get; }

    internal int PendingBounds { get; }

    internal int ErrorMean { get; }

    internal int ErrorFast { get; }

    internal int HourError { get; }

    internal int HourCount { get; }

    /// <summary>What the width of the intervals is multiplied by, by the target's hour [J, hours].</summary>
    internal int HourWidth { get; }

    /// <summary>The mixture's own loss, to compare with its members' [J].</summary>
    internal int MixLoss { get; }

    /// <summary>Factor on the hedge's rate [J].</summary>
    internal int Sharpness { get; }

    internal int Offsets { get; }

    internal int Tails { get; }

    /// <summary>State of <see cref="Scoring.SlowScore"/>.</summary>
    internal int Slow { get; }

    internal int PendingLinear { get; }

    internal int PendingDeviation { get; }

    /// <summary>What the linear experts' latest forecasts add, [2, S]; NaN = nothing usable.</summary>
    internal int LinearForecast { get; }

    /// <summary>Start of the linear experts' own section: the level at each of the last K frames.</summary>
    internal int LinearLevel { get; }

    /// <summary>What each of the last K frames changed in the day profile.</summary>
    internal int LinearChange { get; }

    internal int LinearDeviation { get; }

    internal int LinearMean { get; }

    internal int LinearWide { get; }

    internal int LinearNarrow { get; }

    /// <summary>Words from <see cref="LinearLevel"/> to the end of the linear experts.</summary>
    internal int LinearWords { get; }

    /// <summary>The smallest whole number of seasons that reaches at least h frames back from the target.</summary>
    public static int SeasonLag(int season, int h) => season == 0 ? 0 : (h + season - 1) / season * season;

    private static int[] KnotsUpTo(int horizon)
    {
        var knots = new[] { 1, 2, 4, 8, 16, 24, 48, 96 }.Where(h => h < horizon).Append(horizon).ToList();
        if (knots.Count > MostKnots)
            knots.Remove(16);
        return [.. knots];
    }

    private static int[] BuildWindow(int reach)
    {
        var window = new SortedSet<int>();
        for (var i = 1; i <= WindowSamples; i++)
            window.Add(Math.Max(1, (int)((long)reach * i / WindowSamples)));
        return [.. window];
    }

    /// <summary>Every step up to 4, then evenly spread ones: twice as many gain nothing (README.md).</summary>
    private int[] BuildLinearSteps()
    {
        if (Horizon <= MostLinearSteps)
            return [.. Enumerable.Range(1, Horizon)];
        const int dense = 4;
        var steps = new SortedSet<int>(Enumerable.Range(1, dense));
        for (var i = 1; i <= MostLinearSteps - dense; i++)
            steps.Add(dense + (int)((long)(Horizon - dense) * i / (MostLinearSteps - dense)));
        return [.. steps];
    }

    /// <summary>
    /// The latest values, some over the day, those around one day ago, and a window a week before the targets: all of them where the
    /// frames are long enough, else a subset that keeps the input within <see cref="MostWideInputs"/>.
    /// </summary>
    private int[] BuildLinearLags()
    {
        var most = MostWideInputs - WideFixed - (WideCovariateFeatures * Covariates);
        var lags = new SortedSet<int>();
        void Add(int lag)
        {
            if (lag >= 0 && lag < RingLength && lags.Count < most)
                lags.Add(lag);
        }

        if (WeekFrames > 0)
        {
            var reach = Math.Min(Horizon, DayFrames);
            var window = Math.Min((most / 2) + 1, reach + 1);
            for (var i = 0; i < window; i++)
                Add(WeekFrames - (int)((long)reach * i / Math.Max(1, window - 1)));
        }

        if (DayFrames > 0)
        {
            Add(DayFrames - 1);
            Add(DayFrames);
            Add(DayFrames + 1);
        }

        for (var k = 0; k < 8; k++)
            Add(k);
        var rest = most - lags.Count;
        var far = DayFrames > 0 ? DayFrames : Math.Min(RingLength, 48);
        for (var i = 1; i <= rest; i++)
            Add(7 + (int)((long)(far - 7) * i / rest));
        return [.. lags];
    }

    private int[] BuildDeviationLags()
    {
        var lags = new SortedSet<int> { 0, 1, 2, 3, 4 };
        var day = DayFrames > 0 ? DayFrames : 24;
        foreach (var lag in new[] { day / 8, day / 4, day / 2, day * 3 / 4, day - 1, day, day + 1 })
            lags.Add(lag);
        return [.. lags.Take(NarrowInputs - 3)];
    }
}
