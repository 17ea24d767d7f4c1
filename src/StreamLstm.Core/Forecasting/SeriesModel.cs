using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Scoring;

namespace StreamLstm.Core.Forecasting;

/// <summary>What made a frame anomalous.</summary>
public enum AnomalyKind : byte
{
    None,
    Spike,
    Dip,

    /// <summary>A deviation from the usual level that lasts: a step or a drift, which are not told apart.</summary>
    LevelShift,

    /// <summary>The same value for longer than this series ever showed.</summary>
    Stuck,

    /// <summary>No samples for longer than the gap limit.</summary>
    Stale,

    /// <summary>Errors to both sides that stay larger than they were.</summary>
    Variance,

    /// <summary>Channels that contradict each other.</summary>
    Relation,

    /// <summary>A beat of another form.</summary>
    Ectopic = 32,

    /// <summary>A beat of the usual form before its time.</summary>
    Premature,

    /// <summary>No beat for twice the usual interval.</summary>
    Pause,

    /// <summary>Intervals that vary much more than is usual.</summary>
    Irregular,

    /// <summary>Beats, or waves, that follow each other faster than is usual.</summary>
    RateHigh,

    /// <inheritdoc cref="RateHigh"/>
    RateLow,

    /// <summary>A lead or electrode without a signal that had one.</summary>
    LeadOff,

    /// <summary>Deflections of the recording, not of what is recorded.</summary>
    Artefact,

    /// <summary>Another distribution of power over the bands than is usual.</summary>
    StateChange,

    /// <summary>More power than is usual, in all channels and bands.</summary>
    PowerHigh,

    /// <inheritdoc cref="PowerHigh"/>
    PowerLow,
}

/// <summary>The verdict on one frame, in the units of the input; made before anything was learnt from it.</summary>
public readonly record struct FrameScore
{
    /// <summary>Whether a forecast for this frame had been issued.</summary>
    public bool HasForecast { get; init; }

    /// <summary>One-step median.</summary>
    public double Expected { get; init; }

    /// <summary>Alarm bounds at the chosen false-alarm rate.</summary>
    public double Lower { get; init; }

    public double Upper { get; init; }

    /// <summary>1 = threshold; 0 while there is no basis.</summary>
    public float Score { get; init; }

    public AnomalyKind Kind { get; init; }

    /// <summary>+1 above, −1 below what was expected.</summary>
    public int Direction { get; init; }

    public bool IsAnomaly => Score > 1;

    /// <summary>What the score is the largest of, before the alarm rule, 1 = threshold: position in the alarm bounds.</summary>
    public float Position { get; init; }

    /// <summary>Deviation to one side that lasts, by its own bound.</summary>
    public float Shift { get; init; }

    /// <summary>Errors to both sides that stay large, by their own bound.</summary>
    public float Spread { get; init; }

    /// <summary>How long the value has stood still, in the longest runs that are taken for ordinary; counts above 1.</summary>
    public float Stuck { get; init; }

    /// <summary>S/S* of the stream's own networks (tier solo); 0 in other tiers and while there is no basis.</summary>
    public float Solo { get; init; }
}

/// <summary>
/// One series' forecaster and scorer on a state record: score → calibrate → learn (<see cref="Observe"/>), then the network's inputs
/// (<see cref="WriteInputs"/>), then the next forecast (<see cref="Issue"/>). The order is a law: nothing is scored by a model that has
/// seen it. All arithmetic is in fixed order without platform functions, so the same frames give the same bits everywhere.
/// The mixture is that of a multiplicative-weights hedge (Freund and Schapire 1997) over the experts' discounted squared errors per
/// horizon; the intervals are adaptive-conformal quantile offsets (Gibbs and Candès 2021) on an error scale by horizon and hour.
/// Not thread-safe: one instance per shard, for its scratch.
/// </summary>
public sealed class SeriesModel
{
    // Word indices in the record's small sections.
    private const int IntCount = 0;
    private const int IntObserved = 1;
    private const int IntRun = 2;
    private const int IntLongestRun = 3;
    private const int IntRebaseAt = 4;
    private const int IntPreviousRun = 5;
    private const int IntImputed = 6;

    /// <summary>Frames in a row that lie far out.</summary>
    private const int IntFar = 7;

    /// <summary>Observed frames when the unit began to be learnt: those of a constant beginning say nothing about it.</summary>
    private const int IntUnitFrom = 8;
    private const int DblMean = 0;
    private const int DblVariance = 1;
    private const int DblOffset = 2;
    private const int DblScale = 3;
    private const int DblLast = 4;
    private const int FltLevel = 0;
    private const int FltSeasonalError = 1;
    private const int FltErrorProduct = 2;
    private const int FltErrorSquare = 3;

    /// <summary>ln of what all alarm bounds are multiplied by, so that the rate of alarms is the chosen one.</summary>
    private const int FltReserve = 5;

    /// <summary>Frames since the last alarm.</summary>
    private const int FltSinceAlarm = 6;

    /// <summary>Range that the values have shown; it shrinks slowly.</summary>
    private const int FltLow = 7;
    private const int FltHigh = 8;

    /// <summary>How far beyond the shown range a learnt expert's forecast is believed, in ranges; what a frame takes off the range.</summary>
    private const float RangeMargin = 0.5f;

    /// <summary>How far from the seasonal expert's, in units of the intervals (about a mean absolute error each).</summary>
    private const float LargestCorrection = 8;
    private const float RangeDecay = 2e-5f;

    private const float LevelRate = 0.002f;
    private const float DayRate = 0.08f;
    private const float WeekRate = 0.05f;
    private const float HedgeRate = 4;

    /// <summary>−ln of a weight that counts as none.</summary>
    private const float LeastWeight = 20;

    /// <summary>
    /// The hedge's rate is right as long as the mixture beats its members; where one of them is ahead, as on series that repeat exactly, the
    /// rate grows until it has nearly all the weight.
    /// </summary>
    private const float MostSharpness = 16;
    private const float SharpnessStep = 0.1f;
    private const float SharpnessLoss = 0.005f;
    private const float ToleratedLag = 0.02f;

    /// <summary>Step of the intervals' width by hour per visit of the hour, and what it forgets.</summary>
    private const float HourWidthRate = 0.06f;
    private const float HourWidthDecay = 0.001f;
    private const float MostHourWidth = 3;

    /// <summary>
    /// The median's offset is to find a lasting skew only: at the bounds' rate it runs after errors that overlapping horizons share,
    /// which cost 4 to 6 % of the squared error a day ahead and of the absolute error too.
    /// </summary>
    private const float MedianShare = 0.01f;
    private const float LossCap = 36;
    private const float MinimumScale = 1e-3f;
    private const int ProvenAfter = 24;
    private const int ShortestStuckRun = 8;

    /// <summary>Bases of frames before the slow score counts.</summary>
    private const int SlowBases = 5;

    /// <summary>
    /// What the bounds' factor is above the reserve after one basis of frames, falling with their number: unknown weekends, hours seen once or
    /// twice and tails guessed rather than measured make more than twice the chosen alarms otherwise.
    /// </summary>
    private const float EarlyMargin = 1.5f;

    private const float LargestZ = 1e4f;

    /// <summary>
    /// Units from the mean beyond which a value is taken for a fault and little is learnt from it. A day of such values is another series
    /// (another unit, another meter).
    /// </summary>
    private const double FarUnits = 64;
    private const double LargestRebase = 1e9;
    private const float LargestDeviation = 64;
    private const float LargestResidual = 1e3f;

    private readonly ForecastPlan _plan;
    private readonly AlarmRule _rule;
    private readonly float _logRatio;
    private readonly float _slowRatio;
    private readonly int _aheadKnot;
    private readonly int _bins;
    private readonly float[] _normalOffsets;
    private readonly float[] _calendar;
    private readonly float _lossRate;
    private readonly float _errorRate;
    private readonly float _hourRate;
    private readonly float _fastRate;
    private readonly int _basis;
    private readonly int _linearBasis;

    /// <summary>A quantity by knot in a vector.</summary>
    private const int Lanes = ForecastPlan.MostKnots;

    // Scratch of one Issue call, [K + 1] each; index = horizon step.
    private readonly float[] _seasonalPath;
    private readonly float[] _mixPath;
    private readonly float[] _expertPath;
    private readonly float[] _recurrentPath;
    private readonly float[] _scalePath;
    private readonly float[] _hourScales;
    private readonly float[][] _boundPaths;
    private readonly float[] _profilePath;
    private readonly float[] _linearPath;
    private readonly float[] _deviationPath;
    private readonly LinearExperts? _linear;
    private float[] _recurrentBase = [];
    private readonly int[] _hourOf;
    private readonly Vector256<float>[] _knotWeights = new Vector256<float>[ForecastPlan.Experts];

    // By knot, in lanes: which knot's value stands in a lane, and in the one after it; the lag of the day-before forecast.
    private readonly Vector256<int> _ownKnot;
    private readonly Vector256<int> _nextKnot;
    private readonly Vector256<int> _dayLag;
    private readonly Vector256<float> _isKnot;
    private readonly int[] _dayLags;
    private readonly int[] _weekLags;
    private readonly float[] _fields;

    /// <param name="plan">Of the records.</param>
    /// <param name="rule">Which deviations may raise an alarm; all without one.</param>
    public SeriesModel(ForecastPlan plan, AlarmRule rule = default)
    {
        ArgumentNullException.ThrowIfNull(plan);
        _plan = plan;
        _rule = rule;
        // A third of the alarm budget for each side of the one-step residual; the slow score has the rest.
        _logRatio = TailCalibrator.LogRatio(plan.FalseAlarmsPerFrame / 3);
        _slowRatio = SlowScore.LogRatio(plan.FalseAlarmsPerFrame);
        _aheadKnot = Array.FindLastIndex(plan.Knots, h => h <= 24);
        _bins = 2 * plan.HourBins;
        _normalOffsets = [.. plan.Quantiles.Select(q => 1.2533141f * NormalQuantile(q))];
        _seasonalPath = new float[plan.PathLength];
        _mixPath = new float[plan.PathLength];
        _expertPath = new float[plan.PathLength];
        _recurrentPath = new float[plan.PathLength];
        _scalePath = new float[plan.PathLength];
        _hourScales = new float[(plan.HourBins * Lanes) + 1];
        _boundPaths = [.. plan.Quantiles.Select(_ => new float[plan.PathLength])];
        _profilePath = new float[plan.PathLength];
        _linearPath = new float[plan.PathLength];
        _deviationPath = new float[plan.PathLength];
        _hourOf = [.. Enumerable.Range(0, Math.Max(1, plan.DayFrames)).Select(d => Lanes * HourBin(new FramePhase(d, 0)))];
        _dayLags = [.. plan.Knots.Select(h => ForecastPlan.SeasonLag(plan.DayFrames, h))];
        _weekLags = [.. plan.Knots.Select(h => ForecastPlan.SeasonLag(plan.WeekFrames, h))];
        _fields = new float[(plan.PendingStride + 3) * Lanes];
        _isKnot = Vector256.LessThan(Vector256<int>.Indices, Vector256.Create(plan.Knots.Length)).AsSingle();
        int Lane(int i) => Math.Min(i, plan.Knots.Length - 1);
        _ownKnot = Vector256.Create([.. Enumerable.Range(0, ForecastPlan.MostKnots).Select(Lane)]);
        _nextKnot = Vector256.Create([.. Enumerable.Range(1, ForecastPlan.MostKnots).Select(Lane)]);
        _dayLag = Vector256.Create([.. Enumerable.Range(0, ForecastPlan.MostKnots).Select(i => ForecastPlan.SeasonLag(plan.DayFrames, plan.Knots[Lane(i)]))]);
        var week = plan.WeekFrames > 0 ? plan.WeekFrames : 7 * Math.Max(plan.DayFrames, 24);
        _lossRate = 0.693147f / (2 * week);
        _errorRate = 0.693147f / (2 * week);
        _fastRate = 1f / Math.Max(plan.DayFrames, 24);
        _hourRate = 0.0483f * plan.HourBins / Math.Max(plan.DayFrames, plan.HourBins);
        _basis = Math.Max(48, plan.DayFrames);
        _linearBasis = Math.Max(2 * plan.WideInputs, plan.DayFrames);
        _calendar = new float[4 * Math.Max(1, plan.DayFrames) + (4 * Math.Max(1, plan.WeekFrames))];
        FillCalendar(_calendar.AsSpan(0, 4 * plan.DayFrames), plan.DayFrames);
        FillCalendar(_calendar.AsSpan(4 * plan.DayFrames, 4 * plan.WeekFrames), plan.WeekFrames);
        _linear = plan.HasLinear ? new LinearExperts(plan, _calendar) : null;
    }

    public ForecastPlan Plan => _plan;

    /// <summary>Whether the linear experts' weights stay as they are: for comparing with learning. Not part of any record.</summary>
    public bool HoldsWeights { get; set; }

    /// <summary>Prepares an all-zero record of <see cref="ForecastPlan.RecordWords"/> words.</summary>
    public void Initialise(Span<float> record)
    {
        record.Clear();
        var p = _plan;
        Doubles(record)[DblScale] = 1;
        Integers(record)[IntRebaseAt] = 2;
        record.Slice(p.Loss, p.Knots.Length * ForecastPlan.Experts).Fill(1);
        record.Slice(p.HourWidth, p.Knots.Length * p.HourBins).Fill(1);
        record.Slice(p.MixLoss, p.Knots.Length).Fill(1);
        record.Slice(p.Sharpness, p.Knots.Length).Fill(1);
        record.Slice(p.ErrorMean, p.Knots.Length).Fill(0.5f);
        record.Slice(p.ErrorFast, p.Knots.Length).Fill(1);
        record.Slice(p.HourError, p.Knots.Length * p.HourBins).Fill(0.5f);
        for (var i = 0; i < p.Quantiles.Length; i++)
            record.Slice(p.Offsets + (i * p.Knots.Length), p.Knots.Length).Fill(_normalOffsets[i]);
        _linear?.Initialise(record);
        ForgetPending(record);
        // Deviations are measured in mean absolute errors: a Gaussian's 95 % level of |x| on one side is 2.06 of them.
        TailCalibrator.Initialise(Tail(record, 0), 2.1f, 0.9f);
        TailCalibrator.Initialise(Tail(record, 1), 2.1f, 0.9f);
        SlowScore.Initialise(Slow(record));
        record[p.Scalars + FltReserve] = AlarmReserve.First;
        record[p.Scalars + FltSinceAlarm] = AlarmReserve.QuietFrames;
    }

    /// <summary>Frames observed (not imputed) so far.</summary>
    public int Observed(ReadOnlySpan<float> record) => MemoryMarshal.Cast<float, int>(record.Slice(_plan.Integers, 16))[IntObserved];

    /// <summary>Recurrent state h [H] inside the record.</summary>
    public Span<float> HiddenState(Span<float> record) => record.Slice(_plan.HiddenAt, _plan.Hidden);

    /// <summary>Recurrent state c [H] inside the record.</summary>
    public Span<float> CellState(Span<float> record) => record.Slice(_plan.CellAt, _plan.Hidden);

    /// <summary>Standard deviation in use: what one normalised unit is worth in the input's unit.</summary>
    public double Scale(Span<float> record) => Doubles(record)[DblScale];

    /// <summary>
    /// Asks for a record to be brought near, while another is worked on: with thousands of streams every record comes from main memory, and
    /// its parts are read in an order that the processor doesn't foresee.
    /// </summary>
    /// <param name="next">The record that comes after the one that is worked on now, or empty.</param>
    /// <param name="beyond">The one after that, or empty.</param>
    public unsafe void Prefetch(ReadOnlySpan<float> next, ReadOnlySpan<float> beyond)
    {
        if (!Sse.IsSupported || next.IsEmpty)
            return;
        var words = next.Length;
        if (_linear is not null)
        {
            // The linear experts' part is asked for piece by piece while this record's is worked on: all at once is more than can be under way.
            words = _plan.LinearWide;
            _linear.Expect(next, MemoryMarshal.Cast<float, int>(next.Slice(_plan.Integers, 16))[IntCount]);
            fixed (float* start = beyond)
            {
                if (beyond.Length > 0)
                    Sse.Prefetch0(start + _plan.Integers);
            }
        }

        fixed (float* start = next)
        {
            for (var i = 0; i < words; i += 16)
                Sse.Prefetch1(start + i);
        }
    }

    /// <summary>Scores the frame, then learns from it. NaN = missing: the frame takes the forecast's value and nothing is learnt.</summary>
    /// <param name="record">State record, updated.</param>
    /// <param name="value">The frame's value in the input's unit, or NaN.</param>
    /// <param name="phase">Where the frame lies in the local day and week.</param>
    /// <param name="skill">Sums for the live skill metric, or null.</param>
    public FrameScore Observe(Span<float> record, double value, FramePhase phase, SkillSums? skill)
    {
        var p = _plan;
        var d = Doubles(record);
        var ints = Integers(record);
        var n = ints[IntCount];
        var missing = double.IsNaN(value);
        if (ints[IntObserved] == 0)
        {
            if (missing)
                return default;
            d[DblMean] = d[DblOffset] = value;
            d[DblScale] = Math.Max(Math.Abs(value) * 0.1, 1e-9);
            d[DblLast] = double.NaN;
        }

        var z = missing ? float.NaN : Math.Clamp((float)((value - d[DblOffset]) / d[DblScale]), -LargestZ, LargestZ);
        var bin = HourBin(phase);
        var score = Score(record, value, z, phase, bin, out var residual);
        if (missing)
        {
            var expected = record[p.PendingBounds + p.MedianIndex];
            z = float.IsNaN(expected) ? (n > 0 ? At(record, 1) : 0) : expected;
            record[p.Scalars + FltSeasonalError] *= Phi(record);
            _linear?.Note(record, n, z - record[p.Scalars + FltLevel] - SeasonAt(record, phase), 0);
        }
        else
        {
            var far = IsFar(d, ints, value);
            ints[IntFar] = far ? ints[IntFar] + 1 : 0;
            if (ints[IntFar] >= Math.Max(24, p.DayFrames))
            {
                Initialise(record);
                Observe(record, value, phase, null);
                return score;
            }

            if (far && d[DblVariance] <= 1e-18 * d[DblMean] * d[DblMean])
            {
                // Constant so far: this is the first that is known of its unit.
                Rebase(record, d[DblOffset], 0.5 * Math.Abs(value - d[DblOffset]));
                ints[IntUnitFrom] = ints[IntObserved];
                SlowScore.Initialise(Slow(record));
                ints[IntRebaseAt] = 2;
                z = (float)((value - d[DblOffset]) / d[DblScale]);
                far = false;
            }

            // What lasts is held by the slow score alone: the forecast has to follow it, or all bounds grow with its errors.
            var held = far || (score.IsAnomaly && (score.Kind == AnomalyKind.Stuck || score.Position > 1));
            Calibrate(record, z, bin, phase.Path, skill);
            if (!far && !HoldsWeights)
                _linear?.Learn(record, n, z, SeasonAt(record, phase));
            LearnSeason(record, z, phase, held);
            LearnBounds(record, Math.Clamp(residual, -LargestResidual, LargestResidual), score.HasForecast);
            SlowScore.Learn(
                Slow(record), _bins, BaselineBin(phase, bin), z, held || score.Kind == AnomalyKind.LevelShift, SlowCounts(ints) ? Math.Max(score.Shift, score.Spread) > 1 : null, 2 * _basis, _slowRatio, p.FalseAlarmsPerFrame);
            LearnRun(ints);
            if (ints[IntObserved] >= _basis)
                AlarmReserve.Learn(ref record[p.Scalars + FltReserve], ref record[p.Scalars + FltSinceAlarm], score.Position > 1 || score.Kind == AnomalyKind.Stuck, 2 * p.FalseAlarmsPerFrame / 3);
            if (!far)
                LearnRange(ref record[p.Scalars + FltLow], ref record[p.Scalars + FltHigh], z, ints[IntObserved]);
        }

        record[p.Ring + (n % p.RingLength)] = z;
        ints[IntCount] = n + 1;
        ints[IntImputed] = missing ? 1 : 0;
        if (!missing)
        {
            ints[IntObserved]++;
            LearnScale(record, value);
        }

        return score;
    }

    /// <summary>
    /// Bridges frames for which nothing is known (a gap longer than the limit): history is filled with the seasonal expectation, open
    /// forecasts are dropped, the recurrent state is cleared so that it re-warms.
    /// </summary>
    /// <param name="record">State record, updated.</param>
    /// <param name="frames">How many frames are missing.</param>
    /// <param name="firstFrame">Number of the first missing frame.</param>
    /// <param name="phaseOf">Phase of a frame.</param>
    public void Bridge(Span<float> record, long frames, long firstFrame, Func<long, FramePhase> phaseOf)
    {
        ArgumentNullException.ThrowIfNull(phaseOf);
        var p = _plan;
        var ints = Integers(record);
        if (ints[IntObserved] == 0)
            return;
        // Only the last RingLength frames leave a trace; whole turns of the ring are skipped so that its phase stays right.
        var skip = frames > p.RingLength ? frames - p.RingLength : 0;
        for (var k = skip; k < frames; k++)
        {
            var phase = phaseOf(firstFrame + k);
            var n = ints[IntCount];
            record[p.Ring + (n % p.RingLength)] = record[p.Scalars + FltLevel] + SeasonAt(record, phase);
            ints[IntCount] = n + 1;
        }

        record[p.Scalars + FltSeasonalError] = 0;
        HiddenState(record).Clear();
        CellState(record).Clear();
        SlowScore.Forget(Slow(record));
        _linear?.Bridge(record);
        ForgetPending(record);
        ints[IntRun] = 0;
        Doubles(record)[DblLast] = double.NaN;
    }

    /// <summary>
    /// What this series contributes to others whose covariate it is: its value, for each part of the horizon the mean of what is known of its future,
    /// and what is known at three steps; where nothing is known, what the seasonal expert expects there (of a part, in its middle). In its own
    /// normalised units, clipped to ±8, each with its square (demand rises with heat and with cold).
    /// </summary>
    /// <param name="record">The covariate's record, after its frame was observed.</param>
    /// <param name="phase">Phase of the frame.</param>
    /// <param name="features">Receives two values for now and for each of <see cref="ForecastPlan.CovariateForesight"/>.</param>
    /// <param name="known">What is known in advance, [<see cref="ForecastPlan.CovariateForesight"/>] in its own unit, NaN = nothing; or empty.</param>
    public void WriteCovariate(Span<float> record, FramePhase phase, Span<float> features, ReadOnlySpan<double> known = default)
    {
        if (Integers(record)[IntCount] == 0)
        {
            features.Clear();
            return;
        }

        var phi = Phi(record);
        var (parts, steps) = (_plan.CovariateParts, _plan.CovariateSteps);
        Write(features, 0, At(record, 1));
        for (var i = 0; i < parts.Count + steps.Count; i++)
        {
            var step = i >= parts.Count ? steps[i - parts.Count] : ((i == 0 ? 0 : parts[i - 1]) + parts[i] + 1) / 2;
            Write(features, i + 1, known.Length > 0 && double.IsFinite(known[i]) ? (float)((known[i] - Doubles(record)[DblOffset]) / Doubles(record)[DblScale]) : SeasonalForecast(record, phase, step, phi));
        }

        static void Write(Span<float> features, int i, float v)
        {
            v = Math.Clamp(v, -8, 8);
            features[2 * i] = v;
            features[(2 * i) + 1] = 0.5f * v * v;
        }
    }

    /// <summary>
    /// Prepares the forecast from the current frame: the linear experts' share of it, kept in the record, and the network's inputs [I]; differences are
    /// relative to the frame, clipped to ±8.
    /// </summary>
    /// <param name="covariates">What the covariates contribute, [C, features].</param>
    public void WriteInputs(Span<float> record, FramePhase phase, bool imputed, ReadOnlySpan<float> covariates, Span<float> inputs)
    {
        var p = _plan;
        var ints = Integers(record);
        if (ints[IntCount] > 0)
            _linear?.Forecast(record, ints[IntCount] - 1, phase, ints[IntImputed] == 0, covariates);
        var z = At(record, 1);
        var at = 0;
        inputs[at++] = z;
        inputs[at++] = 2 * (z - Lag(record, 1, z));
        at = WriteSeasonInputs(record, p.DayFrames, z, inputs, at);
        at = WriteSeasonInputs(record, p.WeekFrames, z, inputs, at);
        // The seasonal forecast at the window's steps, φ^h step by step.
        var phi = Phi(record);
        var error = record[p.Scalars + FltSeasonalError];
        var level = record[p.Scalars + FltLevel];
        var (reached, stride, fade) = (0, 0, 1f);
        foreach (var h in p.Window)
        {
            if (h - reached != stride)
            {
                stride = h - reached;
                fade = Power(phi, stride);
            }

            reached = h;
            error *= fade;
            inputs[at++] = level + SeasonAhead(record, phase, h) + error - z;
        }

        var calendar = inputs.Slice(at, 10);
        calendar.Clear();
        if (p.DayFrames > 0)
            _calendar.AsSpan(4 * phase.DayPhase, 4).CopyTo(calendar);
        if (p.WeekFrames > 0)
        {
            _calendar.AsSpan((4 * p.DayFrames) + (4 * phase.WeekPhase), 4).CopyTo(calendar[4..]);
            calendar[8] = IsWeekend(phase.WeekPhase) ? 1 : 0;
            calendar[9] = IsWeekend(phase.Path is { } path ? path.WeekPhase[p.DayFrames] : (phase.WeekPhase + p.DayFrames) % p.WeekFrames) ? 1 : 0;
        }

        at += 10;
        inputs[at++] = imputed ? 0 : 1;
        covariates.CopyTo(inputs[at..]);
        at += covariates.Length;
        var clipped = inputs[..at];
        var v = 0;
        for (; v + Lanes <= at; v += Lanes)
            Vector256.Max(Vector256.Min(Vector256.Create(clipped[v..]), Vector256.Create(8f)), Vector256.Create(-8f)).CopyTo(clipped[v..]);
        for (; v < at; v++)
            clipped[v] = Math.Clamp(clipped[v], -8, 8);
    }

    /// <summary>Issues the forecast from the current frame and keeps what later frames will be scored and calibrated against.</summary>
    /// <param name="record">State record, updated.</param>
    /// <param name="phase">Phase of the current frame.</param>
    /// <param name="recurrent">The network's outputs [K], corrections to <see cref="RecurrentBase"/>; empty if there is no network.</param>
    /// <param name="forecast">Receives [K, Q] in the input's unit, or empty if only the state is wanted.</param>
    /// <param name="experts">Receives every expert's forecast [M, K] in the input's unit, NaN where it has none; or empty.</param>
    public void Issue(Span<float> record, FramePhase phase, ReadOnlySpan<float> recurrent, Span<float> forecast, Span<float> experts = default)
    {
        var p = _plan;
        var k = p.Horizon;
        var q = p.Quantiles.Length;
        var n = Integers(record)[IntCount] - 1;
        var z = At(record, 1);
        SeasonalPath(record, phase);
        ScalePath(record, phase);
        // A linear expert whose forecast explodes is out of the mixture at once, before its losses could tell; one that only runs away is held.
        var (linear, deviation) = (n >= 0 ? _linear : null)?.Read(record, z, _profilePath, _linearPath, _deviationPath) ?? default;
        var grown = Integers(record)[IntObserved] >= _linearBasis;
        linear &= grown;
        deviation &= grown;
        var margin = RangeMargin * (record[p.Scalars + FltHigh] - record[p.Scalars + FltLow]);
        var (least, most) = (record[p.Scalars + FltLow] - margin, record[p.Scalars + FltHigh] + margin);
        if (linear)
            Hold(_linearPath, least, most);
        if (deviation)
            Hold(_deviationPath, least, most);
        KnotWeights(record, recurrent.Length > 0, linear, deviation, n + 1);
        Array.Clear(_mixPath);
        experts.Fill(float.NaN);
        Mix(record, Expert.Seasonal, _seasonalPath, experts);
        if (IsUsed(Expert.Last) || experts.Length > 0)
        {
            Array.Fill(_expertPath, z);
            Mix(record, Expert.Last, _expertPath, experts);
        }

        if (IsUsed(Expert.Day) || (experts.Length > 0 && p.DayFrames > 0))
        {
            NaivePath(record, p.DayFrames, phase.Path?.DayLag, z);
            Mix(record, Expert.Day, _expertPath, experts);
        }

        if (IsUsed(Expert.Week) || (experts.Length > 0 && p.WeekFrames > 0))
        {
            NaivePath(record, p.WeekFrames, phase.Path?.WeekLag, z);
            Mix(record, Expert.Week, _expertPath, experts);
        }

        // Where the narrow linear expert isn't usable yet the seasonal one stands in.
        _recurrentBase = deviation ? _deviationPath : _seasonalPath;
        if (recurrent.Length > 0)
        {
            var path = _recurrentPath.AsSpan(1, k);
            var corrected = _recurrentBase.AsSpan(1, k);
            var h = 0;
            for (; h + Lanes <= k; h += Lanes)
                (Vector256.Create(corrected[h..]) + Vector256.Create(recurrent[h..])).CopyTo(path[h..]);
            for (; h < k; h++)
                path[h] = corrected[h] + recurrent[h];
            Hold(_recurrentPath, least, most);
            Mix(record, Expert.Recurrent, _recurrentPath, experts);
        }

        if (linear)
            Mix(record, Expert.Linear, _linearPath, experts);
        if (deviation)
            Mix(record, Expert.Deviation, _deviationPath, experts);

        var d = Doubles(record);
        for (var i = 0; i < q; i++)
        {
            var bound = _boundPaths[i];
            var low = Spread(record, p.Offsets + (i * p.Knots.Length));
            var change = Vector256.ShuffleNative(low, _nextKnot) - low;
            for (var h = 0; h < bound.Length; h += Vector256<float>.Count)
            {
                var offset = Interpolated(low, change, h);
                var b = Vector256.Create(_mixPath, h) + (offset * Vector256.Create(_scalePath, h));
                // Quantiles must not cross: each is at least the one below it.
                (i == 0 ? b : Vector256.Max(b, Vector256.Create(_boundPaths[i - 1], h))).CopyTo(bound, h);
            }
        }

        if (forecast.Length > 0)
            Denormalise(d[DblOffset], d[DblScale], forecast);

        for (var j = 0; j < p.Knots.Length; j++)
        {
            var h = p.Knots[j];
            var slot = p.PendingSlot(j, n);
            record[p.PendingSeasonal + slot] = _seasonalPath[h];
            record[p.PendingRecurrent + slot] = recurrent.Length > 0 ? _recurrentPath[h] : float.NaN;
            record[p.PendingMix + slot] = _mixPath[h];
            for (var i = 0; i < q; i++)
                record[p.PendingBounds + slot + i] = _boundPaths[i][h];
            if (_linear is null)
                continue;
            record[p.PendingLinear + slot] = linear ? _linearPath[h] : float.NaN;
            record[p.PendingDeviation + slot] = deviation ? _deviationPath[h] : float.NaN;
        }
    }

    /// <summary>The quantity at steps h … h + 7, linear in h between knots. Element by element: any machine gives the same bits.</summary>
    private Vector256<float> Interpolated(Vector256<float> low, Vector256<float> change, int h)
    {
        var below = Vector256.Create(_plan.Below, h);
        return Vector256.ShuffleNative(low, below) + (Vector256.Create(_plan.Fraction, h) * Vector256.ShuffleNative(change, below));
    }

    /// <summary>Writes offset + unit·bound, in double, of every quantile as the forecast [K, Q].</summary>
    private void Denormalise(double offset, double unit, Span<float> forecast)
    {
        var q = _boundPaths.Length;
        var (offsets, units) = (Vector256.Create(offset), Vector256.Create(unit));
        for (var i = 0; i < q; i++)
        {
            var bound = _boundPaths[i].AsSpan(1, _plan.Horizon);
            var at = i;
            var h = 0;
            for (; h + 4 <= bound.Length; h += 4, at += 4 * q)
            {
                var (low, high) = Vector256.Widen(Vector256.Create(Vector128.Create(bound[h..]), default));
                var four = Vector256.Narrow(offsets + (units * low), high).GetLower();
                forecast[at] = four[0];
                forecast[at + q] = four[1];
                forecast[at + (2 * q)] = four[2];
                forecast[at + (3 * q)] = four[3];
            }

            for (; h < bound.Length; h++, at += q)
                forecast[at] = (float)(offset + (unit * bound[h]));
        }
    }

    /// <summary>
    /// What the network's outputs correct, for h = 1…K: another expert's forecast, in normalised units and relative to the current value.
    /// To be read right after <see cref="Issue"/>.
    /// </summary>
    public void RecurrentBase(ReadOnlySpan<float> record, Span<Half> path)
    {
        var z = At(record, 1);
        for (var h = 1; h <= path.Length; h++)
            path[h - 1] = (Half)Math.Clamp(_recurrentBase[h] - z, -60_000, 60_000);
    }

    /// <summary>
    /// What the latest forecast was made of, at the knots: the experts' weights, which sum to 1, and their forecasts. Their mean by weight
    /// plus <paramref name="medianOffsets"/> is the forecast's median.
    /// </summary>
    /// <param name="record">State record, between <see cref="Issue"/> and the next <see cref="Observe"/>.</param>
    /// <param name="weights">Receives [J, M].</param>
    /// <param name="values">Receives [J, M] in the input's unit; NaN where an expert has none.</param>
    /// <param name="medianOffsets">Receives [J] in the input's unit.</param>
    /// <param name="path">Of the phase that the forecast was issued with.</param>
    /// <returns>False if no forecast has been issued.</returns>
    public bool Explain(Span<float> record, Span<float> weights, Span<float> values, Span<float> medianOffsets, CalendarPath? path = null)
    {
        var p = _plan;
        var n = Integers(record)[IntCount] - 1;
        if (n < 0 || float.IsNaN(record[p.PendingMix]))
            return false;
        var z = At(record, 1);
        var d = Doubles(record);
        var linear = p.HasLinear && !float.IsNaN(record[p.PendingLinear]);
        var deviation = p.HasLinear && !float.IsNaN(record[p.PendingDeviation]);
        KnotWeights(record, !float.IsNaN(record[p.PendingRecurrent]), linear, deviation, n + 1);
        for (var i = 0; i < weights.Length; i++)
            weights[i] = _knotWeights[i % ForecastPlan.Experts][i / ForecastPlan.Experts];
        for (var j = 0; j < p.Knots.Length; j++)
        {
            var h = p.Knots[j];
            var slot = p.PendingSlot(j, n);
            var row = values.Slice(j * ForecastPlan.Experts, ForecastPlan.Experts);
            row[(int)Expert.Seasonal] = record[p.PendingSeasonal + slot];
            row[(int)Expert.Last] = z;
            row[(int)Expert.Day] = p.DayFrames > 0 ? Lag(record, (path?.DayLag[h] ?? ForecastPlan.SeasonLag(p.DayFrames, h)) - h, z) : float.NaN;
            row[(int)Expert.Week] = p.WeekFrames > 0 ? Lag(record, (path?.WeekLag[h] ?? ForecastPlan.SeasonLag(p.WeekFrames, h)) - h, z) : float.NaN;
            row[(int)Expert.Recurrent] = record[p.PendingRecurrent + slot];
            row[(int)Expert.Linear] = linear ? record[p.PendingLinear + slot] : float.NaN;
            row[(int)Expert.Deviation] = deviation ? record[p.PendingDeviation + slot] : float.NaN;
            foreach (ref var v in row)
                v = (float)(d[DblOffset] + (d[DblScale] * v));
            medianOffsets[j] = (float)(d[DblScale] * (record[p.PendingBounds + slot + p.MedianIndex] - record[p.PendingMix + slot]));
        }

        return true;
    }

    private FrameScore Score(Span<float> record, double value, float z, FramePhase phase, int bin, out float residual)
    {
        var p = _plan;
        var d = Doubles(record);
        var ints = Integers(record);
        residual = float.NaN;
        var center = record[p.PendingBounds + p.MedianIndex];
        if (float.IsNaN(center))
            return default;

        var observed = ints[IntObserved];
        var scales = ErrorScales(record, bin);
        var scale = scales[0];
        var margin = Margin(record);
        var reserve = margin * Elementary.Exp(record[p.Scalars + FltReserve]);
        var expected = d[DblOffset] + (d[DblScale] * center);
        // Deviations too small to matter lie within the bounds.
        var leastDeviation = _rule.Least(expected);
        var least = (float)Math.Min(leastDeviation / d[DblScale] / scale, LargestZ * LargestZ);
        var up = Math.Max(reserve * TailCalibrator.Bound(Tail(record, 0), _logRatio), least);
        var down = Math.Max(reserve * TailCalibrator.Bound(Tail(record, 1), _logRatio), least);
        var score = new FrameScore
        {
            HasForecast = true,
            Expected = expected,
            Lower = d[DblOffset] + (d[DblScale] * (center - (down * scale))),
            Upper = d[DblOffset] + (d[DblScale] * (center + (up * scale))),
        };
        if (float.IsNaN(z))
            return score;

        residual = (z - center) / scale;
        var position = residual > 0 ? residual / up : -residual / down;
        var direction = residual > 0 ? 1 : -1;
        var kind = residual > 0 ? AnomalyKind.Spike : AnomalyKind.Dip;
        var best = Admitted(position, direction);

        var slow = Slow(record);
        var ahead = (z - record[p.PendingMix + p.PendingSlot(_aheadKnot, ints[IntCount])]) / scales[_aheadKnot];
        var parts = SlowScore.Update(slow, _bins, BaselineBin(phase, bin), z, residual, ahead, _slowRatio, margin, MinimumScale);
        // It takes some days until a lasting change can be told from an ordinary one.
        if (!SlowCounts(ints))
            parts = default;
        Consider(parts.Shift, parts.Side, AnomalyKind.LevelShift, d[DblScale] * SlowScore.ShiftSize(slow));
        Consider(parts.Spread, 0, AnomalyKind.Variance, d[DblScale] * scale * SlowScore.ErrorSize(slow));

        ints[IntRun] = value == d[DblLast] ? ints[IntRun] + 1 : 1;
        var stuck = ints[IntRun] / (float)Math.Max(ShortestStuckRun, (2 * ints[IntLongestRun]) + 1);
        if (stuck > 1 && stuck > best)
        {
            best = stuck;
            kind = AnomalyKind.Stuck;
            direction = 0;
        }

        return observed < _basis
            ? score
            : score with { Score = best, Kind = best > 1 ? kind : AnomalyKind.None, Direction = direction, Position = position, Shift = parts.Shift, Spread = parts.Spread, Stuck = stuck };

        void Consider(float part, int side, AnomalyKind why, double size)
        {
            var admitted = size >= leastDeviation ? Admitted(part, side) : Math.Min(part, 1);
            if (admitted <= best)
                return;
            best = admitted;
            kind = why;
            direction = side;
        }
    }

    private float Admitted(float score, int direction) => _rule.Admits(direction) ? score : Math.Min(score, 1);

    private bool SlowCounts(ReadOnlySpan<int> ints) => ints[IntObserved] - ints[IntUnitFrom] >= SlowBases * _basis;

    /// <summary>What all alarm bounds are multiplied by besides their reserve.</summary>
    private float Margin(Span<float> record) => 1 + (EarlyMargin * _basis / (Integers(record)[IntObserved] + 1));

    /// <summary>Where the slow score's statistics stand, and their bounds.</summary>
    public SlowStatistic[] ExplainScore(Span<float> record) => SlowScore.Describe(Slow(record), _slowRatio, Margin(record));

    /// <summary>
    /// Judges the forecasts whose target has arrived, one of each knot: the experts' losses, the hedge's sharpness, scale, width and offsets of the
    /// intervals. All knots at once, one in each lane.
    /// </summary>
    private void Calibrate(Span<float> record, float z, int bin, CalendarPath? path, SkillSums? skill)
    {
        var p = _plan;
        var q = p.Quantiles.Length;
        var knots = p.Knots.Length;
        var n = Integers(record)[IntCount];
        // By field and knot: the forecasts in the order they are kept in, then the naive ones.
        var fields = _fields;
        var (lastAt, dayAt, weekAt) = (p.PendingStride, p.PendingStride + 1, p.PendingStride + 2);
        var ring = record.Slice(p.Ring, p.RingLength);
        var newest = n % ring.Length;
        var (dayLags, weekLags) = path is null ? (_dayLags, _weekLags) : (path.ArrivedDayLag, path.ArrivedWeekLag);
        for (var j = 0; j < knots; j++)
        {
            var forecast = record.Slice(p.Pending + p.PendingSlot(j, n), p.PendingStride);
            for (var f = 0; f < forecast.Length; f++)
                fields[(f * Lanes) + j] = forecast[f];
            var h = p.Knots[j];
            fields[(lastAt * Lanes) + j] = h <= n ? ring[Back(newest, h, ring.Length)] : z;
            fields[(dayAt * Lanes) + j] = p.DayFrames > 0 && dayLags[j] <= n ? ring[Back(newest, dayLags[j], ring.Length)] : float.NaN;
            fields[(weekAt * Lanes) + j] = p.WeekFrames > 0 && weekLags[j] <= n ? ring[Back(newest, weekLags[j], ring.Length)] : float.NaN;
        }

        var mix = Field(0);
        var valid = Vector256.Equals(mix, mix) & _isKnot;
        if (skill is not null && Integers(record)[IntObserved] >= _basis)
        {
            for (var j = 0; j < knots; j++)
            {
                var (low, high) = (fields[(3 * Lanes) + j], fields[((2 + q) * Lanes) + j]);
                if (!float.IsNaN(mix[j]) && !float.IsNaN(fields[(dayAt * Lanes) + j]))
                    skill.Add(j, Math.Abs(z - fields[((3 + p.MedianIndex) * Lanes) + j]), Math.Abs(z - fields[(dayAt * Lanes) + j]), z >= low && z <= high);
            }
        }

        // Hedge losses.
        var value = Vector256.Create(z);
        var one = Vector256<float>.One;
        var most = Vector256.Create(1e6f);
        var count = Table(record, p.LossCount);
        Keep(record, p.LossCount, Vector256.Min(count + one, most), valid, count);
        var rate = Vector256.Max(one / (count + Vector256.Create(2f)), Vector256.Create(_lossRate));
        var least = Vector256.Create(float.MaxValue);
        LearnLoss(record, Expert.Seasonal, value - Field(1), rate, valid, ref least);
        LearnLoss(record, Expert.Last, value - Field(lastAt), rate, valid, ref least);
        LearnLoss(record, Expert.Day, value - Field(dayAt), rate, valid, ref least);
        LearnLoss(record, Expert.Week, value - Field(weekAt), rate, valid, ref least);
        var recurrent = Field(2);
        var hasRecurrent = Vector256.Equals(recurrent, recurrent) & valid;
        var ownCount = Table(record, p.LossCount + knots);
        Keep(record, p.LossCount + knots, Vector256.Min(ownCount + one, most), hasRecurrent, ownCount);
        LearnLoss(record, Expert.Recurrent, value - recurrent, Vector256.Max(one / (ownCount + Vector256.Create(2f)), Vector256.Create(_lossRate)), hasRecurrent, ref least);
        if (_linear is not null)
        {
            var (linear, deviation) = (Field(3 + q), Field(4 + q));
            var either = (Vector256.Equals(linear, linear) | Vector256.Equals(deviation, deviation)) & valid;
            ownCount = Table(record, p.LossCount + (2 * knots));
            Keep(record, p.LossCount + (2 * knots), Vector256.Min(ownCount + one, most), either, ownCount);
            var ownRate = Vector256.Max(one / (ownCount + Vector256.Create(2f)), Vector256.Create(_lossRate));
            LearnLoss(record, Expert.Linear, value - linear, ownRate, valid, ref least);
            LearnLoss(record, Expert.Deviation, value - deviation, ownRate, valid, ref least);
        }
        else
        {
            least = Vector256.Min(least, Vector256.Min(Table(record, p.Loss + ((int)Expert.Linear * knots)), Table(record, p.Loss + ((int)Expert.Deviation * knots))));
        }

        // The hedge's sharpness follows how far the mixture is behind its best member.
        var error = value - mix;
        var loss = Table(record, p.MixLoss);
        var newLoss = loss + (rate * (Vector256.Min(error * error, Vector256.Create(LossCap)) - loss));
        Keep(record, p.MixLoss, newLoss, valid, loss);
        var sharpness = Table(record, p.Sharpness);
        var behind = (newLoss / Vector256.Max(least, Vector256.Create(1e-9f))) - one;
        var change = Vector256.Min(Vector256.Max(behind - Vector256.Create(ToleratedLag), Vector256<float>.Zero), Vector256.Create(0.1f));
        var sharper = sharpness * (one + (Vector256.Create(SharpnessStep) * change) - Vector256.Create(SharpnessLoss));
        Keep(record, p.Sharpness, Vector256.Min(Vector256.Max(sharper, one), Vector256.Create(MostSharpness)), valid, sharpness);

        // Scale, width and offsets of the intervals.
        var scale = ErrorScales(record, bin);
        var capped = Vector256.Min(Vector256.Abs(error), Vector256.Create(12f) * scale);
        var mean = Table(record, p.ErrorMean);
        Keep(record, p.ErrorMean, mean + (Vector256.Max(one / (count + Vector256.Create(8f)), Vector256.Create(_errorRate)) * (capped - mean)), valid, mean);
        var hourCount = Table(record, p.HourCount + (bin * knots));
        var newHourCount = Vector256.Min(hourCount + one, most);
        Keep(record, p.HourCount + (bin * knots), newHourCount, valid, hourCount);
        var hour = Table(record, p.HourError + (bin * knots));
        Keep(record, p.HourError + (bin * knots), hour + (Vector256.Max(one / (newHourCount + one), Vector256.Create(_hourRate)) * (capped - hour)), valid, hour);
        var fast = Table(record, p.ErrorFast);
        Keep(record, p.ErrorFast, fast + (Vector256.Create(_fastRate) * ((capped / scale) - fast)), valid, fast);
        var outside = (Vector256.LessThan(value, Field(3)) | Vector256.GreaterThan(value, Field(2 + q))) & one;
        var expected = Vector256.Create(p.Quantiles[0] + 1 - p.Quantiles[q - 1]);
        var width = Table(record, p.HourWidth + (bin * knots));
        var newWidth = (width * (one + (Vector256.Create(HourWidthRate) * (outside - expected)))) + (Vector256.Create(HourWidthDecay) * (one - width));
        Keep(record, p.HourWidth + (bin * knots), Vector256.Min(Vector256.Max(newWidth, Vector256.Create(1 / MostHourWidth)), Vector256.Create(MostHourWidth)), valid, width);
        var step = Vector256.ConditionalSelect(Vector256.LessThan(count, Vector256.Create(200f)), Vector256.Create(0.04f), Vector256.Create(0.015f));
        for (var i = 0; i < q; i++)
        {
            var offset = Table(record, p.Offsets + (i * knots));
            var below = Vector256.LessThan(value, Field(3 + i)) & one;
            var share = i == p.MedianIndex ? Vector256.Create(MedianShare) * step : step;
            Keep(record, p.Offsets + (i * knots), offset + (share * (Vector256.Create(p.Quantiles[i]) - below)), valid, offset);
        }
    }

    /// <summary>L += rate·(min(e², cap) − L) where the expert said something; <paramref name="least"/> follows the least loss.</summary>
    private void LearnLoss(Span<float> record, Expert expert, Vector256<float> error, Vector256<float> rate, Vector256<float> valid, ref Vector256<float> least)
    {
        var at = _plan.Loss + ((int)expert * _plan.Knots.Length);
        var loss = Table(record, at);
        var learnt = Vector256.ConditionalSelect(valid & Vector256.Equals(error, error), loss + (rate * (Vector256.Min(error * error, Vector256.Create(LossCap)) - loss)), loss);
        learnt.CopyTo(record[at..]);
        least = Vector256.Min(least, learnt);
    }

    private Vector256<float> Field(int f) => Vector256.Create(_fields, f * Lanes);

    /// <summary>
    /// A table by knot; lanes beyond the knots hold what comes after it, and are written back as they were: what was read is kept before anything
    /// else is.
    /// </summary>
    private static Vector256<float> Table(ReadOnlySpan<float> record, int at) => Vector256.Create(record[at..]);

    private static void Keep(Span<float> record, int at, Vector256<float> value, Vector256<float> where, Vector256<float> otherwise) =>
        Vector256.ConditionalSelect(where, value, otherwise).CopyTo(record[at..]);

    /// <summary>Where in a ring the entry stands that is <paramref name="lag"/> before one at <paramref name="newest"/>; at most a turn.</summary>
    private static int Back(int newest, int lag, int length) => newest - lag + (lag > newest ? length : 0);

    private void LearnSeason(Span<float> record, float z, FramePhase phase, bool anomaly)
    {
        var p = _plan;
        var observed = Integers(record)[IntObserved];
        ref var level = ref record[p.Scalars + FltLevel];
        ref var previous = ref record[p.Scalars + FltSeasonalError];
        ref var product = ref record[p.Scalars + FltErrorProduct];
        ref var square = ref record[p.Scalars + FltErrorSquare];
        var error = z - level - SeasonAt(record, phase);
        var deviation = Math.Clamp(error, -LargestDeviation, LargestDeviation);
        var dayChange = 0f;
        if (anomaly)
        {
            // An anomaly moves the expectation only as far as an ordinary error would.
            var limit = 3 * record[p.ErrorMean];
            error = Math.Clamp(error, -limit, limit);
        }

        product = (0.995f * product) + (error * previous);
        square = (0.995f * square) + (previous * previous);
        previous = error;
        level += Math.Max(LevelRate, 1f / (observed + 1)) * error;
        if (p.DayFrames > 0)
        {
            var days = observed / p.DayFrames;
            dayChange = Math.Max(DayRate, 1f / (days + 1)) * error;
            record[p.DaySeason + phase.DayPhase] += dayChange;
        }

        if (p.WeekFrames > 0 && observed >= p.WeekFrames)
        {
            var weeks = observed / p.WeekFrames;
            record[p.WeekSeason + phase.WeekPhase] += Math.Max(WeekRate, 0.5f / weeks) * error;
        }

        _linear?.Note(record, Integers(record)[IntCount], deviation, dayChange);
    }

    private void LearnBounds(Span<float> record, float residual, bool scored)
    {
        if (!scored)
            return;
        var up = Tail(record, 0);
        var down = Tail(record, 1);
        TailCalibrator.Update(up, Math.Max(residual, 0), TailCalibrator.Bound(up, _logRatio));
        TailCalibrator.Update(down, Math.Max(-residual, 0), TailCalibrator.Bound(down, _logRatio));
    }

    private static void LearnRange(ref float low, ref float high, float z, int observed)
    {
        if (observed == 0)
            low = high = z;
        var shrink = 0.5f * RangeDecay * (high - low);
        low = Math.Min(low + shrink, z);
        high = Math.Max(high - shrink, z);
    }

    private static void LearnRun(Span<int> ints)
    {
        var run = ints[IntRun];
        // The longest run is learnt when it has ended; a run that raised the alarm counts only as far as the alarm.
        if (run == 1 && ints[IntPreviousRun] > 0)
            ints[IntLongestRun] = Math.Max(ints[IntLongestRun], Math.Min(ints[IntPreviousRun], Math.Max(ShortestStuckRun, (2 * ints[IntLongestRun]) + 1)));
        ints[IntPreviousRun] = run;
    }

    private void LearnScale(Span<float> record, double value)
    {
        var d = Doubles(record);
        var ints = Integers(record);
        var observed = ints[IntObserved] - ints[IntUnitFrom];
        d[DblLast] = value;
        var season = Math.Max(_plan.DayFrames, 24);
        // Bounded influence: a wild value may not blow up the unit everything else is measured in.
        var reach = 8 * d[DblScale];
        var bounded = observed > 24 ? Math.Clamp(value, d[DblMean] - reach, d[DblMean] + reach) : value;
        var rate = Math.Max(1.0 / observed, 1.0 / (28.0 * season));
        var delta = bounded - d[DblMean];
        d[DblMean] += rate * delta;
        d[DblVariance] = (1 - rate) * (d[DblVariance] + (rate * delta * delta));
        // Solar power begins at night: a unit that the first day outgrows is replaced at once, or all that is learnt meanwhile is learnt from clipped values.
        var outgrown = observed <= 2 * season && d[DblVariance] > 4 * d[DblScale] * d[DblScale];
        if (observed < ints[IntRebaseAt] && !outgrown)
            return;
        ints[IntRebaseAt] = Math.Min(observed * 2, observed + (7 * season));
        var scale = Math.Max(Math.Sqrt(d[DblVariance]), LeastScale(d));
        // Small changes aren't worth a rebase: every one rounds the whole record.
        if (observed > 4 * season && Math.Abs(scale - d[DblScale]) < 0.05 * d[DblScale] && Math.Abs(d[DblMean] - d[DblOffset]) < 0.25 * d[DblScale])
            return;
        Rebase(record, d[DblMean], scale);
    }

    private static bool IsFar(Span<double> d, Span<int> ints, double value) => ints[IntObserved] > 0 && Math.Abs(value - d[DblOffset]) > FarUnits * d[DblScale];

    /// <summary>The unit of a series that hardly changes: so large that the narrowest band still has a width in single precision.</summary>
    private static double LeastScale(Span<double> d) => Math.Max(1e-3 * Math.Abs(d[DblMean]), 1e-9);

    /// <summary>Moves the whole record to a new unit: z′ = (z·σ + μ − μ′)/σ′. Values shift and scale, differences only scale, losses scale squared.</summary>
    private void Rebase(Span<float> record, double offset, double scale)
    {
        var p = _plan;
        var d = Doubles(record);
        // Beyond these nothing of the record means anything any more; it only has to stay finite.
        var a = (float)Math.Min(d[DblScale] / scale, LargestRebase);
        var b = (float)Math.Clamp((d[DblOffset] - offset) / scale, -LargestRebase, LargestRebase);
        d[DblOffset] = offset;
        d[DblScale] = scale;
        Affine(record.Slice(p.Ring, p.RingLength), a, b);
        Affine(record.Slice(p.Pending, p.PendingLength * p.PendingStride), a, b);
        SlowScore.Rescale(Slow(record), _bins, a, b);
        Affine(record.Slice(p.Scalars + FltLevel, 1), a, b);
        Affine(record.Slice(p.Scalars + FltLow, 2), a, b);
        Affine(record.Slice(p.DaySeason, Math.Max(1, p.DayFrames)), a, 0);
        Affine(record.Slice(p.WeekSeason, Math.Max(1, p.WeekFrames)), a, 0);
        Affine(record.Slice(p.ErrorMean, p.Knots.Length), a, 0);
        Affine(record.Slice(p.HourError, p.Knots.Length * p.HourBins), a, 0);
        Affine(record.Slice(p.Loss, p.Knots.Length * ForecastPlan.Experts), a * a, 0);
        Affine(record.Slice(p.MixLoss, p.Knots.Length), a * a, 0);
        _linear?.Rescale(record, a, b);
        record[p.Scalars + FltSeasonalError] *= a;
        record[p.Scalars + FltErrorProduct] *= a * a;
        record[p.Scalars + FltErrorSquare] *= a * a;
    }

    private static void Affine(Span<float> values, float a, float b)
    {
        foreach (ref var v in values)
            v = Math.Clamp((a * v) + b, -LargestZ * LargestZ, LargestZ * LargestZ);
    }

    /// <summary>
    /// Keeps a learnt expert's path within the shown range, and within so many of the forecast's own errors of the seasonal path: between knots
    /// nobody would notice if it ran away. NaN becomes the lower limit.
    /// </summary>
    private void Hold(float[] path, float least, float most)
    {
        for (var h = 0; h < path.Length; h += Vector256<float>.Count)
        {
            var seasonal = Vector256.Create(_seasonalPath, h);
            var reach = LargestCorrection * Vector256.Create(_scalePath, h);
            var low = Vector256.Max(Vector256.Create(least), seasonal - reach);
            var high = Vector256.Min(Vector256.Create(most), seasonal + reach);
            var v = Vector256.Create(path, h);
            v = Vector256.ConditionalSelect(Vector256.GreaterThan(v, low), v, low);
            Vector256.ConditionalSelect(Vector256.LessThan(v, high), v, high).CopyTo(path, h);
        }
    }

    /// <summary>Weights ∝ exp(−η·(L/min L − 1)) of the experts that are usable; all knots at once, one in each lane.</summary>
    private void KnotWeights(ReadOnlySpan<float> record, bool hasRecurrent, bool hasLinear, bool hasDeviation, int frames)
    {
        var p = _plan;
        var knots = p.Knots.Length;
        var provenRecurrent = Vector256.GreaterThanOrEqual(Spread(record, p.LossCount + knots), Vector256.Create((float)ProvenAfter));
        var provenLinear = Vector256.GreaterThanOrEqual(Spread(record, p.LossCount + (2 * knots)), Vector256.Create((float)ProvenAfter));
        Span<Vector256<float>> usable =
        [
            Vector256<float>.AllBitsSet,
            Vector256<float>.AllBitsSet,
            p.DayFrames > 0 ? Vector256.GreaterThanOrEqual(Vector256.Create(frames), _dayLag).AsSingle() : default,
            p.WeekFrames > 0 && frames >= p.WeekFrames + p.DayFrames ? Vector256<float>.AllBitsSet : default,
            hasRecurrent ? provenRecurrent : default,
            hasLinear ? provenLinear : default,
            hasDeviation ? provenLinear : default,
        ];
        var least = Vector256.Create(float.MaxValue);
        for (var m = 0; m < ForecastPlan.Experts; m++)
            least = Vector256.ConditionalSelect(usable[m], Vector256.Min(least, Spread(record, p.Loss + (m * knots))), least);
        least = Vector256.Max(least, Vector256.Create(1e-9f));
        var rate = HedgeRate * Spread(record, p.Sharpness);
        var total = Vector256<float>.Zero;
        for (var m = 0; m < ForecastPlan.Experts; m++)
        {
            var exponent = rate * ((Spread(record, p.Loss + (m * knots)) / least) - Vector256<float>.One);
            usable[m] &= Vector256.LessThan(exponent, Vector256.Create(LeastWeight));
            var w = Vector256.EqualsAll(usable[m], Vector256<float>.Zero) ? Vector256<float>.Zero : VectorElementary.Exp<Simd256, Vector256<float>>(-exponent) & usable[m];
            _knotWeights[m] = w;
            total += w;
        }

        foreach (ref var w in _knotWeights.AsSpan())
            w /= total;
    }

    /// <summary>A table by knot in lanes; lanes beyond the knots repeat the last.</summary>
    private Vector256<float> Spread(ReadOnlySpan<float> record, int at) => Vector256.ShuffleNative(Vector256.Create(record[at..]), _ownKnot);

    private bool IsUsed(Expert expert) => !Vector256.EqualsAll(_knotWeights[(int)expert], Vector256<float>.Zero);

    /// <summary>Adds w(h)·path[h] to the mixture for h = 1…K; weights interpolate between knots.</summary>
    private void Mix(Span<float> record, Expert expert, float[] path, Span<float> experts)
    {
        var p = _plan;
        if (experts.Length > 0)
        {
            var d = Doubles(record);
            var own = experts.Slice((int)expert * p.Horizon, p.Horizon);
            for (var h = 1; h <= own.Length; h++)
                own[h - 1] = (float)(d[DblOffset] + (d[DblScale] * path[h]));
        }

        if (!IsUsed(expert))
            return;
        var low = _knotWeights[(int)expert];
        var change = Vector256.ShuffleNative(low, _nextKnot) - low;
        for (var h = 0; h < _mixPath.Length; h += Vector256<float>.Count)
            (Vector256.Create(_mixPath, h) + (Interpolated(low, change, h) * Vector256.Create(path, h))).CopyTo(_mixPath, h);
    }

    /// <summary>The seasonal expert's forecast for h = 1…K: level + day + week + φ^h·e.</summary>
    private void SeasonalPath(ReadOnlySpan<float> record, FramePhase phase)
    {
        var p = _plan;
        Array.Fill(_profilePath, record[p.Scalars + FltLevel]);
        if (phase.Path is not null)
        {
            for (var h = 1; h <= p.Horizon; h++)
                _profilePath[h] += SeasonAhead(record, phase, h);
        }
        else if (p.DayFrames > 0)
        {
            AddTurning(record.Slice(p.DaySeason, p.DayFrames), phase.DayPhase, _profilePath);
            if (p.WeekFrames > 0)
                AddTurning(record.Slice(p.WeekSeason, p.WeekFrames), phase.WeekPhase, _profilePath);
        }

        // φ^h for eight steps, and from each eight to the next.
        var phi = Phi(record);
        var (two, four) = (phi * phi, phi * phi * (phi * phi));
        var fade = Vector256.Create(1, phi, two, two * phi, four, four * phi, four * two, four * (two * phi)) * Vector256.Create(record[p.Scalars + FltSeasonalError]);
        var eight = Vector256.Create(four * four);
        for (var h = 0; h < _seasonalPath.Length; h += Lanes, fade *= eight)
            (Vector256.Create(_profilePath, h) + fade).CopyTo(_seasonalPath, h);
    }

    /// <summary>path[h] += season[phase + h], h = 1 …, around the season.</summary>
    private static void AddTurning(ReadOnlySpan<float> season, int phase, Span<float> path)
    {
        var at = phase + 1 == season.Length ? 0 : phase + 1;
        for (var h = 1; h < path.Length; at = 0)
        {
            var run = Math.Min(path.Length - h, season.Length - at);
            var from = season.Slice(at, run);
            var to = path.Slice(h, run);
            var i = 0;
            for (; i + Lanes <= run; i += Lanes)
                (Vector256.Create(to[i..]) + Vector256.Create(from[i..])).CopyTo(to[i..]);
            for (; i < run; i++)
                to[i] += from[i];
            h += run;
        }
    }

    /// <summary>The value a whole number of seasons before each target.</summary>
    /// <param name="lags">How far before, where it isn't a whole number of frames per season.</param>
    private void NaivePath(ReadOnlySpan<float> record, int season, int[]? lags, float z)
    {
        var n = MemoryMarshal.Cast<float, int>(record.Slice(_plan.Integers, 16))[IntCount];
        var ring = record.Slice(_plan.Ring, _plan.RingLength);
        var path = _expertPath;
        if (lags is not null)
        {
            var newest = (n - 1) % ring.Length;
            for (var h = 1; h <= _plan.Horizon; h++)
                path[h] = Past(ring, newest, lags[h] - h, n, z);
            return;
        }

        for (var start = 1; start < path.Length; start += season)
        {
            // Targets start … start+season−1 look back to the same run of the ring.
            var lag = ForecastPlan.SeasonLag(season, start);
            var end = Math.Min(path.Length, start + season);
            // Before the history begins there is only the current value.
            var h = start;
            for (; h < end && (lag - h >= n || lag - h >= ring.Length); h++)
                path[h] = z;
            for (var at = h < end ? (n - 1 - (lag - h)) % ring.Length : 0; h < end; at = 0)
            {
                var run = Math.Min(end - h, ring.Length - at);
                ring.Slice(at, run).CopyTo(path.AsSpan(h));
                h += run;
            }
        }
    }

    /// <summary>Unit of the intervals for h = 1…K by the target's hour, interpolated between knots.</summary>
    private void ScalePath(ReadOnlySpan<float> record, FramePhase phase)
    {
        var p = _plan;
        var knots = p.Knots.Length;
        var five = Vector256.Create(5f);
        var mean = five * Table(record, p.ErrorMean);
        var swing = Swing(Table(record, p.ErrorFast));
        for (var bin = 0; bin < p.HourBins; bin++)
        {
            var count = Table(record, p.HourCount + (bin * knots));
            var scale = (mean + (count * Table(record, p.HourError + (bin * knots)))) / (five + count) * swing;
            scale = Vector256.Max(Vector256.Create(MinimumScale), scale) * Table(record, p.HourWidth + (bin * knots));
            Vector256.ShuffleNative(scale, _ownKnot).CopyTo(_hourScales, bin * Lanes);
        }

        var day = phase.DayPhase;
        var days = phase.Path?.DayPhase;
        var (scales, hours, below, fraction, path) = (_hourScales, _hourOf, p.Below, p.Fraction, _scalePath);
        for (var h = 1; h <= p.Horizon; h++)
        {
            day = days is not null ? days[h] : day + 1 >= p.DayFrames ? 0 : day + 1;
            var at = hours[day] + below[h];
            var low = scales[at];
            path[h] = low + (fraction[h] * (scales[at + 1] - low));
        }
    }

    /// <summary>s = (5·E + c·E_hour)/(5 + c) · clamp(fast, ¼, 4)^½ of every knot: mean absolute error, by hour once that hour has history.</summary>
    private Vector256<float> ErrorScales(ReadOnlySpan<float> record, int bin)
    {
        var p = _plan;
        var at = bin * p.Knots.Length;
        var five = Vector256.Create(5f);
        var count = Table(record, p.HourCount + at);
        var scale = ((five * Table(record, p.ErrorMean)) + (count * Table(record, p.HourError + at))) / (five + count);
        return Vector256.Max(Vector256.Create(MinimumScale), scale * Swing(Table(record, p.ErrorFast)));
    }

    /// <summary>What the last day's errors make of the scale.</summary>
    private static Vector256<float> Swing(Vector256<float> fast) => Vector256.Sqrt(Vector256.Min(Vector256.Max(fast, Vector256.Create(0.25f)), Vector256.Create(4f)));

    private float SeasonalForecast(ReadOnlySpan<float> record, FramePhase phase, int h, float phi) =>
        record[_plan.Scalars + FltLevel] + SeasonAhead(record, phase, h) + (Power(phi, h) * record[_plan.Scalars + FltSeasonalError]);

    /// <summary>φ^h by squaring: few, always the same multiplications.</summary>
    private static float Power(float phi, int h)
    {
        var result = 1f;
        var power = phi;
        for (var bits = h; bits > 0; bits >>= 1)
        {
            if ((bits & 1) != 0)
                result *= power;
            power *= power;
        }

        return result;
    }

    /// <summary>Day and week profile h frames on.</summary>
    private float SeasonAhead(ReadOnlySpan<float> record, FramePhase phase, int h)
    {
        var p = _plan;
        var (day, week) = phase.Path is { } path ? (path.DayPhase[h], path.WeekPhase[h]) : (phase.DayPhase + h, phase.WeekPhase + h);
        var season = 0f;
        if (p.DayFrames > 0)
            season = record[p.DaySeason + Turned(day, p.DayFrames)];
        return p.WeekFrames > 0 ? season + record[p.WeekSeason + Turned(week, p.WeekFrames)] : season;

        static int Turned(int phase, int season) => phase < season ? phase : phase < 2 * season ? phase - season : phase % season;
    }

    private float SeasonAt(ReadOnlySpan<float> record, FramePhase phase) =>
        (_plan.DayFrames > 0 ? record[_plan.DaySeason + phase.DayPhase] : 0) + (_plan.WeekFrames > 0 ? record[_plan.WeekSeason + phase.WeekPhase] : 0);

    /// <summary>First-order autocorrelation of the seasonal errors, in [0, .98].</summary>
    private float Phi(ReadOnlySpan<float> record) =>
        Math.Clamp(record[_plan.Scalars + FltErrorProduct] / (record[_plan.Scalars + FltErrorSquare] + 1e-3f), 0, 0.98f);

    private int WriteSeasonInputs(ReadOnlySpan<float> record, int season, float z, Span<float> inputs, int at)
    {
        if (season == 0)
            return at;
        var n = MemoryMarshal.Cast<float, int>(record.Slice(_plan.Integers, 16))[IntCount];
        var ring = record.Slice(_plan.Ring, _plan.RingLength);
        var newest = (n - 1) % ring.Length;
        inputs[at++] = z - Past(ring, newest, season, n, z);
        inputs[at++] = Past(ring, newest, season - 1, n, z) - z;
        foreach (var h in _plan.Window)
            inputs[at++] = 0.5f * (Past(ring, newest, season - h, n, z) - z);
        return at;
    }

    /// <summary>The value <paramref name="lag"/> frames before the newest, or the fallback where history is shorter.</summary>
    private static float Past(ReadOnlySpan<float> ring, int newest, int lag, int frames, float fallback) =>
        lag < frames && lag >= 0 && lag < ring.Length ? ring[Back(newest, lag, ring.Length)] : fallback;

    /// <summary>z of <paramref name="k"/> frames before the current one (k = 0 is the current), or the fallback when history is shorter.</summary>
    private float Lag(ReadOnlySpan<float> record, int k, float fallback)
    {
        var n = MemoryMarshal.Cast<float, int>(record.Slice(_plan.Integers, 16))[IntCount];
        return k < n && k >= 0 && k < _plan.RingLength ? At(record, k + 1) : fallback;
    }

    /// <summary>The k-th latest pushed value, k ≥ 1.</summary>
    private float At(ReadOnlySpan<float> record, int k)
    {
        var n = MemoryMarshal.Cast<float, int>(record.Slice(_plan.Integers, 16))[IntCount];
        return record[_plan.Ring + ((n - k) % _plan.RingLength)];
    }

    private int HourBin(FramePhase phase) => _plan.DayFrames > 0 ? (int)((long)phase.DayPhase * _plan.HourBins / _plan.DayFrames) : 0;

    private int BaselineBin(FramePhase phase, int hour) => hour + (IsWeekend(phase.WeekPhase) ? _plan.HourBins : 0);

    private bool IsWeekend(int weekPhase) => _plan.WeekFrames > 0 && weekPhase >= 5 * _plan.DayFrames;

    private void ForgetPending(Span<float> record)
    {
        var p = _plan;
        record.Slice(p.Pending, p.PendingLength * p.PendingStride).Fill(float.NaN);
    }

    private Span<float> Slow(Span<float> record) => record.Slice(_plan.Slow, SlowScore.Words(_bins));

    private Span<float> Tail(Span<float> record, int i) => record.Slice(_plan.Tails + (i * TailCalibrator.Words), TailCalibrator.Words);

    private Span<double> Doubles(Span<float> record) => MemoryMarshal.Cast<float, double>(record.Slice(_plan.Doubles, 16));

    private Span<int> Integers(Span<float> record) => MemoryMarshal.Cast<float, int>(record.Slice(_plan.Integers, 16));

    private static void FillCalendar(Span<float> table, int season)
    {
        for (var i = 0; i < season; i++)
        {
            var turn = i / (float)season;
            (table[4 * i], table[(4 * i) + 1]) = Elementary.SinCosTurns(turn);
            (table[(4 * i) + 2], table[(4 * i) + 3]) = Elementary.SinCosTurns(2 * turn);
        }
    }

    /// <summary>Φ⁻¹ by the rational approximation of Acklam (2003), relative error below 1.2e-9 in exact arithmetic.</summary>
    private static float NormalQuantile(double p)
    {
        if (p > 0.5)
            return -NormalQuantile(1 - p);
        if (p < 0.02425)
        {
            var t = Math.Sqrt(-2 * Elementary.Log((float)p));
            return (float)(((((((((((-7.784894002430293e-03 * t) - 3.223964580411365e-01) * t) - 2.400758277161838) * t) - 2.549732539343734) * t) + 4.374664141464968) * t) + 2.938163982698783)
                / ((((((((7.784695709041462e-03 * t) + 3.224671290700398e-01) * t) + 2.445134137142996) * t) + 3.754408661907416) * t) + 1));
        }

        var x = p - 0.5;
        var r = x * x;
        return (float)((((((((((((-3.969683028665376e+01 * r) + 2.209460984245205e+02) * r) - 2.759285104469687e+02) * r) + 1.383577518672690e+02) * r) - 3.066479806614716e+01) * r) + 2.506628277459239) * x)
            / ((((((((((-5.447609879822406e+01 * r) + 1.615858368580409e+02) * r) - 1.556989798598866e+02) * r) + 6.680131188771972e+01) * r) - 1.328068155288572e+01) * r) + 1));
    }
}

/// <summary>
/// Running sums for live skill and coverage, per knot horizon, in normalised units and over the same targets for the model and the
/// seasonal naive forecast (the value one day before).
/// </summary>
public sealed class SkillSums(int knots)
{
    private readonly double[] _model = new double[knots];
    private readonly double[] _naive = new double[knots];
    private readonly long[] _count = new long[knots];
    private readonly long[] _covered = new long[knots];

    public int Knots => _count.Length;

    public void Add(int knot, float modelError, float naiveError, bool covered)
    {
        _model[knot] += modelError;
        _naive[knot] += naiveError;
        _count[knot]++;
        if (covered)
            _covered[knot]++;
    }

    public long Count(int knot) => _count[knot];

    /// <summary>1 − MAE/MAE of the seasonal naive forecast, or null without targets.</summary>
    public double? Skill(int knot) => _naive[knot] > 0 ? 1 - (_model[knot] / _naive[knot]) : null;

    /// <summary>Share of targets inside the outer quantiles.</summary>
    public double? Coverage(int knot) => _count[knot] > 0 ? _covered[knot] / (double)_count[knot] : null;

    public void AddTo(SkillSums other)
    {
        ArgumentNullException.ThrowIfNull(other);
        for (var j = 0; j < _count.Length; j++)
        {
            other._model[j] += _model[j];
            other._naive[j] += _naive[j];
            other._count[j] += _count[j];
            other._covered[j] += _covered[j];
        }
    }

    public void Clear()
    {
        Array.Clear(_model);
        Array.Clear(_naive);
        Array.Clear(_count);
        Array.Clear(_covered);
    }

    /// <summary>Skill over all knots together.</summary>
    public double? TotalSkill => _naive.Sum() is > 0 and var naive ? 1 - (_model.Sum() / naive) : null;

    public double? TotalCoverage => _count.Sum() is > 0 and var count ? _covered.Sum() / (double)count : null;
}
