using System.Runtime.Intrinsics;

namespace StreamLstm.Core.Forecasting;

/// <summary>
/// The linear members of the mixture (rich tier), on the section of a series' record that the plan sets aside for them. Both forecast
/// a correction to a base and are fitted by <see cref="RecursiveLeastSquares"/>:
/// the wide one corrects the current value from lags, the window a week before the targets and the calendar; the narrow one corrects
/// level and seasonal profile from the latest deviations from them.
/// Values enter relative to the slow level, and so free of the unit's offset, within ±8; its scale is followed by <see cref="Rescale"/>.
/// Not thread-safe: one instance per shard, for its scratch.
/// </summary>
internal sealed class LinearExperts
{
    /// <summary>Calendar and constant, and then the covariates, come first in x: what hasn't the series' own unit.</summary>
    private const int WideUnitless = 9;
    private const int NarrowUnitless = 1;
    private const float Constant = 0.3f;

    // Time constants of forgetting, in days; the narrow expert's low trace limit is what keeps its few weights calm.
    private const float WideDays = 100;
    private const float NarrowDays = 200;
    private const float Prior = 0.1f;
    private const float WideTrace = 1;
    private const float NarrowTrace = 0.1f;

    private readonly ForecastPlan _plan;
    private readonly float[] _calendar;
    private readonly RecursiveLeastSquares _wide;
    private readonly RecursiveLeastSquares _narrow;
    private readonly float _dayRate;

    private readonly float[] _wideInputs;
    private readonly float[] _narrowInputs;
    private readonly float[] _wideTargets;
    private readonly float[] _narrowTargets;
    private readonly float[] _corrections;

    // Interpolation between learnt steps, for whole vectors of h: the step below the first lane's, how far above it each lane's is, and by how much.
    private readonly int[] _firstStep;
    private readonly Vector256<int>[] _stepAbove;
    private readonly float[] _fraction;
    private Ahead _ahead;

    /// <param name="plan">A plan with linear experts.</param>
    /// <param name="calendar">sin and cos of the day's and the week's turn and double turn: [m1, 4] then [m2, 4].</param>
    public LinearExperts(ForecastPlan plan, float[] calendar)
    {
        _plan = plan;
        _calendar = calendar;
        var memory = Math.Max(plan.DayFrames, 24);
        _wide = new RecursiveLeastSquares(plan.WideInputs, plan.Horizon, plan.LinearSteps, 1 - (1 / (WideDays * memory)), Prior, WideTrace);
        _narrow = new RecursiveLeastSquares(ForecastPlan.NarrowInputs, plan.Horizon, plan.LinearSteps, 1 - (1 / (NarrowDays * memory)), Prior, NarrowTrace);
        _dayRate = 1f / memory;
        _wideInputs = new float[_wide.RowWords];
        _narrowInputs = new float[_narrow.RowWords];
        _wideTargets = new float[plan.LinearSteps.Length];
        _narrowTargets = new float[plan.LinearSteps.Length];
        _corrections = new float[plan.LinearSteps.Length + Vector256<float>.Count + 1];
        _firstStep = new int[plan.PathLength / Vector256<float>.Count];
        _stepAbove = new Vector256<int>[_firstStep.Length];
        _fraction = new float[plan.PathLength];
        int Below(int h) => Math.Max(0, Array.FindLastIndex(plan.LinearSteps, s => s <= h));
        for (var v = 0; v < _firstStep.Length; v++)
        {
            var first = v * Vector256<float>.Count;
            _firstStep[v] = Below(first);
            _stepAbove[v] = Vector256.Create([.. Enumerable.Range(first, Vector256<float>.Count).Select(h => Math.Min(Vector256<float>.Count - 1, Below(h) - Below(first)))]);
            for (var h = Math.Max(1, first); h < Math.Min(plan.Horizon, first + Vector256<float>.Count); h++)
                _fraction[h] = (h - plan.LinearSteps[Below(h)]) / (float)(plan.LinearSteps[Below(h) + 1] - plan.LinearSteps[Below(h)]);
        }
    }

    /// <summary>The next series' record is to be brought near while this one is worked on. All that is kept is where it stands: it may move or be gone.</summary>
    public unsafe void Expect(ReadOnlySpan<float> record, int frames)
    {
        fixed (float* start = record)
            _ahead = new Ahead((nint)start, frames);
    }

    public void Initialise(Span<float> record)
    {
        record.Slice(_plan.LinearLevel, _plan.LinearWords).Clear();
        _wide.Initialise(Wide(record));
        _narrow.Initialise(Narrow(record));
    }

    /// <summary>Learns from a frame that has arrived, before it enters history and the seasonal profile.</summary>
    /// <param name="record">The series' record, updated.</param>
    /// <param name="n">The frame's number.</param>
    /// <param name="z">Its value.</param>
    /// <param name="season">Day and week profile at the frame.</param>
    public void Learn(Span<float> record, int n, float z, float season)
    {
        var p = _plan;
        var levels = record.Slice(p.LinearLevel, p.Horizon);
        var changes = record.Slice(p.LinearChange, p.Horizon);
        var days = 0;
        var (newest, newestValue) = (n % p.Horizon, n % p.RingLength);
        for (var s = 0; s < p.LinearSteps.Length; s++)
        {
            var h = p.LinearSteps[s];
            if (h > n)
            {
                _wideTargets[s] = _narrowTargets[s] = float.NaN;
                continue;
            }

            // The profile as it stood at the origin: what days in between have changed is taken back.
            while (p.DayFrames > 0 && (days + 1) * p.DayFrames < h)
                season -= changes[Back(newest, ++days * p.DayFrames, p.Horizon)];
            _narrowTargets[s] = z - levels[Back(newest, h, p.Horizon)] - season;
            _wideTargets[s] = z - record[p.Ring + Back(newestValue, h, p.RingLength)];
        }

        _wide.Learn(Wide(record), n, _wideTargets, AheadAt(p.LinearWide));
        _narrow.Learn(Narrow(record), n, _narrowTargets, AheadAt(p.LinearNarrow));
    }

    /// <summary>Keeps what the frame did to the seasonal profile, for <see cref="Learn"/> and the inputs.</summary>
    /// <param name="deviation">The frame's value less level and profile before it was learnt from.</param>
    /// <param name="change">What it changed in the day profile.</param>
    public void Note(Span<float> record, int n, float deviation, float change)
    {
        var p = _plan;
        record[p.LinearChange + (n % p.Horizon)] = change;
        record[p.LinearDeviation + (n % p.LinearHistory)] = deviation;
        ref var mean = ref record[p.LinearMean];
        mean += _dayRate * (deviation - mean);
        ref var slow = ref record[p.LinearMean + 1];
        slow += 0.25f * _dayRate * (deviation - slow);
    }

    /// <summary>
    /// Forecasts from the current frame, for <see cref="Read"/>, and takes it as an origin to learn from. Right after <see cref="Learn"/>, while the
    /// weights are near.
    /// </summary>
    /// <param name="record">The series' record, updated.</param>
    /// <param name="n">The current frame's number.</param>
    /// <param name="phase">Its phase.</param>
    /// <param name="observed">Whether its value was observed; nothing is learnt from imputed origins.</param>
    /// <param name="covariates">What the covariates contribute, [C, features].</param>
    public void Forecast(Span<float> record, int n, FramePhase phase, bool observed, ReadOnlySpan<float> covariates)
    {
        var p = _plan;
        var steps = p.LinearSteps.Length;
        var level = record[p.Scalars];
        WriteWide(record, n, phase, level, covariates, _wideInputs);
        WriteNarrow(record, n, _narrowInputs);
        record[p.LinearLevel + (n % p.Horizon)] = level;
        var wide = record.Slice(p.LinearForecast, steps);
        if (!_wide.TryForecast(Wide(record), _wideInputs, wide, AheadAt(p.LinearWide)))
            wide.Fill(float.NaN);
        var narrow = record.Slice(p.LinearForecast + steps, steps);
        if (!_narrow.TryForecast(Narrow(record), _narrowInputs, narrow, AheadAt(p.LinearNarrow)))
            narrow.Fill(float.NaN);
        _wide.Push(Wide(record), n, _wideInputs, observed, AheadAt(p.LinearWide));
        _narrow.Push(Narrow(record), n, _narrowInputs, observed, AheadAt(p.LinearNarrow));
        _ahead = default;
    }

    /// <summary>The latest forecasts.</summary>
    /// <param name="record">The series' record.</param>
    /// <param name="z">The current value.</param>
    /// <param name="profile">Level and seasonal profile at h = 1…K, at index h.</param>
    /// <param name="wide">Receives the wide expert's forecast for h = 1…K.</param>
    /// <param name="narrow">The narrow one's.</param>
    /// <returns>Whether each forecast is usable.</returns>
    public (bool Wide, bool Narrow) Read(ReadOnlySpan<float> record, float z, ReadOnlySpan<float> profile, Span<float> wide, Span<float> narrow)
    {
        var steps = _plan.LinearSteps;
        var corrections = record.Slice(_plan.LinearForecast, steps.Length);
        var hasWide = !float.IsNaN(corrections[0]);
        if (hasWide)
        {
            // Its base is the current value; the path is written as a correction to the profile, which is what may be interpolated.
            for (var s = 0; s < steps.Length; s++)
                _corrections[s] = corrections[s] + (z - profile[steps[s]]);
            Interpolate(profile, wide);
        }

        corrections = record.Slice(_plan.LinearForecast + steps.Length, steps.Length);
        var hasNarrow = !float.IsNaN(corrections[0]);
        if (hasNarrow)
        {
            corrections.CopyTo(_corrections);
            Interpolate(profile, narrow);
        }

        return (hasWide, hasNarrow);
    }

    /// <summary>After a gap nothing is known of what came between: origins before it aren't learnt from.</summary>
    public void Bridge(Span<float> record)
    {
        _wide.ForgetOrigins(Wide(record));
        _narrow.ForgetOrigins(Narrow(record));
        record[_plan.LinearChange.._plan.LinearWide].Clear();
    }

    /// <summary>Follows the record to another unit, z′ = a·z + b.</summary>
    public void Rescale(Span<float> record, float a, float b)
    {
        // The unit moves that far only in the first frames or when the series has become another one.
        if (!(a is > 0.05f and < 20))
        {
            Initialise(record);
            return;
        }

        var p = _plan;
        foreach (ref var level in record.Slice(p.LinearLevel, p.Horizon))
            level = (a * level) + b;
        foreach (ref var v in record[p.LinearChange..p.LinearWide])
            v *= a;
        _wide.Rescale(Wide(record), a, WideUnitless + (ForecastPlan.WideCovariateFeatures * p.Covariates));
        _narrow.Rescale(Narrow(record), a, NarrowUnitless);
    }

    /// <summary>Profile plus correction, which is linear in h between the steps that are learnt.</summary>
    private void Interpolate(ReadOnlySpan<float> profile, Span<float> path)
    {
        for (var v = 0; v < _firstStep.Length; v++)
        {
            var h = v * Vector256<float>.Count;
            var low = Vector256.ShuffleNative(Vector256.Create(_corrections, _firstStep[v]), _stepAbove[v]);
            var next = Vector256.ShuffleNative(Vector256.Create(_corrections, _firstStep[v] + 1), _stepAbove[v]);
            (Vector256.Create(profile[h..]) + (low + (Vector256.Create(_fraction, h) * (next - low)))).CopyTo(path[h..]);
        }
    }

    /// <summary>Where in a ring the entry stands that is <paramref name="lag"/> before one at <paramref name="newest"/>; at most a turn.</summary>
    private static int Back(int newest, int lag, int length) => newest - lag + (lag > newest ? length : 0);

    private Ahead AheadAt(int section) => _ahead.Address == 0 ? default : _ahead with { Address = _ahead.Address + (section * sizeof(float)) };

    private void WriteWide(ReadOnlySpan<float> record, int n, FramePhase phase, float level, ReadOnlySpan<float> covariates, Span<float> x)
    {
        var p = _plan;
        x.Clear();
        x[0] = 1;
        if (p.DayFrames > 0)
            _calendar.AsSpan(4 * phase.DayPhase, 4).CopyTo(x[1..]);
        if (p.WeekFrames > 0)
            _calendar.AsSpan((4 * p.DayFrames) + (4 * phase.WeekPhase), 4).CopyTo(x[5..]);
        var at = WideUnitless;
        // Of each the present, and the steps that stand last.
        for (var c = 0; c < covariates.Length; c += 2 * (1 + p.CovariateForesight))
        {
            covariates.Slice(c, 2).CopyTo(x[at..]);
            covariates.Slice(c + (2 * (1 + p.CovariateParts.Count)), 2 * p.CovariateSteps.Count).CopyTo(x[(at + 2)..]);
            at += ForecastPlan.WideCovariateFeatures;
        }

        x[at++] = record[p.LinearMean];
        for (var k = 0; k < ForecastPlan.WideDeviations; k++)
            x[at++] = Deviation(record, n, k);
        var ring = record.Slice(p.Ring, p.RingLength);
        var newest = n % p.RingLength;
        foreach (var lag in p.LinearLags)
            x[at++] = lag <= n ? ring[Back(newest, lag, ring.Length)] - level : 0;
        RecursiveLeastSquares.Round(x);
    }

    private void WriteNarrow(ReadOnlySpan<float> record, int n, Span<float> x)
    {
        var p = _plan;
        x.Clear();
        x[0] = Constant;
        x[1] = record[p.LinearMean];
        x[2] = record[p.LinearMean + 1];
        var at = 3;
        foreach (var lag in p.LinearDeviationLags)
            x[at++] = Deviation(record, n, lag);
        RecursiveLeastSquares.Round(x);
    }

    private float Deviation(ReadOnlySpan<float> record, int n, int lag) =>
        lag <= n ? record[_plan.LinearDeviation + ((n - lag) % _plan.LinearHistory)] : 0;

    private Span<float> Wide(Span<float> record) => record[_plan.LinearWide.._plan.LinearNarrow];

    private Span<float> Narrow(Span<float> record) => record[_plan.LinearNarrow..(_plan.LinearLevel + _plan.LinearWords)];
}
