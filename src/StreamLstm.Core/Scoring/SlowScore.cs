using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Scoring;

/// <summary>The slow score's parts, each in units of its own bound: 1 = threshold.</summary>
/// <param name="Shift">Of the smoothed deviation from what is usual at this hour, to one side: a step or a drift.</param>
/// <param name="Side">+1 above, −1 below.</param>
/// <param name="Spread">Of the smoothed magnitude of the errors one step and up to 24 steps ahead: deviations to both sides, another rhythm.</param>
internal readonly record struct SlowParts(float Shift, int Side, float Spread)
{
    public float Score => Math.Max(Shift, Spread);
}

/// <summary>One statistic of the slow score as it stands.</summary>
public readonly record struct SlowStatistic(string Name, float Value, float Bound);

/// <summary>
/// S/S* of the live engine: four smoothed statistics, each by a bound of its own that is held at a share of the chosen false-alarm
/// rate. The level they are measured from is this class's own and follows slowly, for an adapting forecaster takes a lasting fault for
/// the new normal within hours. Smoothed statistics exceed a bound for many frames in a row, so bounds are learnt from the largest value
/// of each block of frames (peaks over threshold need independent peaks). An alarm is over for good only when the score has fallen to
/// half its bound: what a fault leaves behind in the averages is no second alarm. Constant cost and memory.
/// </summary>
internal static class SlowScore
{
    /// <summary>Frames over which deviations and errors are smoothed, exponentially.</summary>
    private const float ShiftWidth = 24;
    private const float OneStepWidth = 48;
    private const float AheadWidth = 24;

    /// <summary>Most a single frame counts, in usual deviations and in usual errors: a spike is the interval's business.</summary>
    private const float MostDeviation = 6;
    private const float MostError = 5;

    /// <summary>Share of its difference by which a frame moves what is usual at its hour.</summary>
    private const float UsualRate = 0.02f;

    /// <summary>Frames of an hour after which its usual value is half believed.</summary>
    private const float RipeAfter = 8;

    /// <summary>Frames of an hour after which a wild one no longer moves it freely, and how far one does then, in usual deviations.</summary>
    private const int FreeFrames = 8;
    private const float MostMove = 8;

    /// <summary>Frames per block.</summary>
    private const int Block = 48;

    /// <summary>
    /// Each statistic's share of the chosen rate. Their sum is above 1, as the tail of a smoothed statistic falls faster than the
    /// exponential that bounds are computed with; what comes of it is held by the reserve. Found on
    /// simulated homes.
    /// </summary>
    private const double Share = 2.0 / 3;

    /// <summary>Score below which an alarm is over.</summary>
    private const float Rearmed = 0.5f;

    private const int Statistics = 4;

    // Word indices.
    private const int Above = 0;
    private const int Below = 1;
    private const int OneStep = 2;
    private const int Ahead = 3;
    private const int Maxima = Statistics;
    private const int Tails = Maxima + Statistics;
    private const int InBlock = Tails + (Statistics * TailCalibrator.Words);
    private const int Alarm = InBlock + 1;
    private const int Deviation = InBlock + 2;
    private const int DeviationCount = InBlock + 3;
    private const int Held = InBlock + 4;
    private const int Reserve = InBlock + 5;
    private const int SinceAlarm = InBlock + 6;
    private const int Bins = InBlock + 7;

    // What the word Alarm says: none; a frame before raised one; that one ended, but what it left behind is still there.
    private const float Armed = 0;
    private const float Raised = 1;
    private const float Spent = 2;

    /// <summary>Words of state for so many bins of hours and kinds of day.</summary>
    public static int Words(int bins) => Bins + (3 * bins);

    /// <summary>For <see cref="TailCalibrator.Bound"/>, of a block's largest value.</summary>
    public static float LogRatio(double falseAlarmsPerFrame) => TailCalibrator.LogRatio(Math.Min(Share * Block * falseAlarmsPerFrame, 0.04));

    public static void Initialise(Span<float> state)
    {
        state.Clear();
        for (var i = 0; i < Statistics; i++)
            TailCalibrator.Initialise(Tail(state, i), i <= Below ? 1.2f : 1.8f, 0.4f);
        state[Reserve] = AlarmReserve.First;
        state[SinceAlarm] = AlarmReserve.QuietFrames;
        Forget(state);
    }

    /// <summary>After a gap nothing is known of a deviation that lasts.</summary>
    public static void Forget(Span<float> state)
    {
        state[Above] = state[Below] = 0;
        state[OneStep] = state[Ahead] = 1;
    }

    /// <summary>Smoothed deviation to the side of the larger one, in units of the series.</summary>
    public static float ShiftSize(ReadOnlySpan<float> state) => Math.Abs(state[Above]) * state[Deviation];

    /// <summary>Smoothed one-step error in usual errors.</summary>
    public static float ErrorSize(ReadOnlySpan<float> state) => state[OneStep];

    /// <summary>Scores a frame; nothing but the averages changes.</summary>
    /// <param name="state">[<see cref="Words"/>].</param>
    /// <param name="bins">Number of bins.</param>
    /// <param name="bin">The frame's.</param>
    /// <param name="z">The frame's value.</param>
    /// <param name="oneStep">Error of the forecast one step ahead, in usual errors.</param>
    /// <param name="ahead">The same of the forecast up to 24 steps ahead; NaN if there is none.</param>
    /// <param name="logRatio">From <see cref="LogRatio"/>.</param>
    /// <param name="margin">What all bounds are multiplied by besides the reserve.</param>
    /// <param name="least">Least deviation that is worth telling from none.</param>
    public static SlowParts Update(Span<float> state, int bins, int bin, float z, float oneStep, float ahead, float logRatio, float margin, float least)
    {
        var reserve = margin * Factor(state);
        var seen = state[Bins + (2 * bins) + bin];
        var usual = ((4 * state[Deviation]) + (seen * state[Bins + bins + bin])) / (4 + seen);
        var deviation = Math.Clamp((z - state[Bins + bin]) / Math.Max(usual, least), -MostDeviation, MostDeviation) * (seen / (seen + RipeAfter));
        state[Above] += (deviation - state[Above]) / ShiftWidth;
        state[Below] = -state[Above];
        state[OneStep] += (Math.Min(Math.Abs(oneStep), MostError) - state[OneStep]) / OneStepWidth;
        if (!float.IsNaN(ahead))
            state[Ahead] += (Math.Min(Math.Abs(ahead), MostError) - state[Ahead]) / AheadWidth;
        var first = state[InBlock] == 0;
        for (var i = 0; i < Statistics; i++)
            state[Maxima + i] = first ? state[i] : Math.Max(state[Maxima + i], state[i]);
        state[InBlock]++;

        var side = state[Above] > 0 ? Above : Below;
        var shift = Position(state, side, logRatio, reserve);
        var spread = Math.Max(Position(state, OneStep, logRatio, reserve), Position(state, Ahead, logRatio, reserve));
        var score = Math.Max(shift, spread);
        if (score < Rearmed)
            state[Alarm] = Armed;
        if (state[Alarm] == Spent)
            (shift, spread) = (Math.Min(shift, 1), Math.Min(spread, 1));
        else if (score > 1)
            state[Alarm] = Raised;
        else if (state[Alarm] == Raised)
            state[Alarm] = Spent;
        return new SlowParts(shift, side == Above ? 1 : -1, spread);
    }

    /// <summary>Learns what is usual at the frame's hour, and at the end of a block the bounds.</summary>
    /// <param name="held">Whether the frame is anomalous: it then moves nothing further than a usual one would.</param>
    /// <param name="alarm">What <see cref="Update"/> found, for the reserve; null while it doesn't count.</param>
    /// <param name="mostHeld">Anomalous frames in a row after which they are the new normal, however far from the old one.</param>
    public static void Learn(Span<float> state, int bins, int bin, float z, bool held, bool? alarm, int mostHeld, float logRatio, double falseAlarmsPerFrame)
    {
        // A third of the chosen rate; the interval has the rest and a reserve of its own, so that shifts do not make it blind to spikes.
        if (alarm is { } raised)
            AlarmReserve.Learn(ref state[Reserve], ref state[SinceAlarm], raised, falseAlarmsPerFrame / 3);
        ref var heldFrames = ref state[Held];
        heldFrames = Math.Clamp(heldFrames + (held ? 1 : -1), 0, mostHeld);
        var adopted = heldFrames >= mostHeld;
        ref var mean = ref state[Bins + bin];
        ref var usual = ref state[Bins + bins + bin];
        ref var seen = ref state[Bins + (2 * bins) + bin];
        seen = Math.Min(seen + 1, 1e6f);
        var deviation = z - mean;
        if (held && !adopted && seen > FreeFrames)
            deviation = Math.Clamp(deviation, -usual, usual);
        else if (!adopted && seen > FreeFrames)
            deviation = Math.Clamp(deviation, -MostMove * state[Deviation], MostMove * state[Deviation]);
        mean += Math.Max(UsualRate, 1 / seen) * deviation;
        if (seen > 1)
        {
            var magnitude = Math.Abs(deviation);
            usual += Math.Max(UsualRate, 1 / (seen - 1)) * (magnitude - usual);
            state[DeviationCount] = Math.Min(state[DeviationCount] + 1, 1e6f);
            state[Deviation] += Math.Max(UsualRate / bins, 1 / state[DeviationCount]) * (magnitude - state[Deviation]);
        }

        if (state[InBlock] < Block)
            return;
        state[InBlock] = 0;
        for (var i = 0; i < Statistics; i++)
        {
            var tail = Tail(state, i);
            var bound = TailCalibrator.Bound(tail, logRatio);
            // A fault may raise its bound, so that it isn't one for ever, but no further than one more ordinary peak.
            TailCalibrator.Update(tail, Math.Clamp(state[Maxima + i], 0, bound), bound);
        }
    }

    /// <summary>Converts the state to another unit of the series: values to a·z + b, differences to a·d.</summary>
    public static void Rescale(Span<float> state, int bins, float a, float b)
    {
        foreach (ref var mean in state.Slice(Bins, bins))
            mean = Bounded((a * mean) + b);
        foreach (ref var usual in state.Slice(Bins + bins, bins))
            usual = Bounded(a * usual);
        state[Deviation] = Bounded(a * state[Deviation]);
    }

    /// <summary>The statistics and their bounds.</summary>
    public static SlowStatistic[] Describe(Span<float> state, float logRatio, float margin)
    {
        var reserve = margin * Factor(state);
        string[] names = ["shift_above", "shift_below", "one_step_error", "ahead_error"];
        var described = new SlowStatistic[Statistics];
        for (var i = 0; i < Statistics; i++)
            described[i] = new SlowStatistic(names[i], state[i], reserve * TailCalibrator.Bound(Tail(state, i), logRatio));
        return described;
    }

    private static float Position(Span<float> state, int i, float logRatio, float reserve) =>
        Math.Max(state[i], 0) / (reserve * TailCalibrator.Bound(Tail(state, i), logRatio));

    private static float Factor(ReadOnlySpan<float> state) => Elementary.Exp(state[Reserve]);

    private static float Bounded(float v) => Math.Clamp(v, -1e8f, 1e8f);

    private static Span<float> Tail(Span<float> state, int i) => state.Slice(Tails + (i * TailCalibrator.Words), TailCalibrator.Words);
}
