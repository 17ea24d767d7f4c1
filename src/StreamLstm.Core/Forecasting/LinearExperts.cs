namespace StreamLstm.Core.Forecasting;

/// <summary>
/// The linear members of the mixture (rich tier), on the section of a series' record that the plan sets aside for them. Both forecast
/// a correction to a base and are fitted by <see cref="RecursiveLeastSquares"/>:
/// the wide one corrects the current value from lags, the window a week before the targets and the calendar; the narrow one corrects
/// level and seasonal profile from the latest deviations from them.
/// Values enter relative to the slow level, and so free of the unit's offset; its scale is followed by <see cref="Rescale"/>.
/// Not thread-safe: one instance per shard, for its scratch.
/// </summary>
internal sealed class LinearExperts
{
    /// <summary>Calendar and constant, and then the covariates, come first in x: what hasn't the series' own unit.</summary>
    private const int WideUnitless = 9;
    private const int NarrowUnitless = 1;
    private const float LargestInput = 8;
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
        _corrections = new float[plan.LinearSteps.Length];
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
                season -= changes[(n - (++days * p.DayFrames)) % p.Horizon];
            _narrowTargets[s] = z - levels[(n - h) % p.Horizon] - season;
            _wideTargets[s] = z - record[p.Ring + ((n - h) % p.RingLength)];
        }

        _wide.Learn(Wide(record), n, _wideTargets);
        _narrow.Learn(Narrow(record), n, _narrowTargets);
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

    /// <summary>Forecasts from the current frame and takes it as an origin to learn from.</summary>
    /// <param name="record">The series' record, updated.</param>
    /// <param name="n">The current frame's number.</param>
    /// <param name="phase">Its phase.</param>
    /// <param name="observed">Whether its value was observed; nothing is learnt from imputed origins.</param>
    /// <param name="covariates">What the covariates contribute, [C, features].</param>
    /// <param name="profile">Level and seasonal profile at h = 1…K, at index h.</param>
    /// <param name="wide">Receives the wide expert's forecast for h = 1…K.</param>
    /// <param name="narrow">The narrow one's.</param>
    /// <returns>Whether each forecast is usable.</returns>
    public (bool Wide, bool Narrow) Issue(Span<float> record, int n, FramePhase phase, bool observed, ReadOnlySpan<float> covariates, ReadOnlySpan<float> profile, Span<float> wide, Span<float> narrow)
    {
        var p = _plan;
        var level = record[p.Scalars];
        var z = record[p.Ring + (n % p.RingLength)];
        WriteWide(record, n, phase, level, covariates, _wideInputs);
        WriteNarrow(record, n, _narrowInputs);
        record[p.LinearLevel + (n % p.Horizon)] = level;

        var hasWide = _wide.TryForecast(Wide(record), _wideInputs, _corrections);
        if (hasWide)
        {
            // Its base is the current value; the path is written as a correction to the profile, which is what may be interpolated.
            for (var s = 0; s < _corrections.Length; s++)
                _corrections[s] += z - profile[p.LinearSteps[s]];
            Interpolate(profile, wide);
        }

        var hasNarrow = _narrow.TryForecast(Narrow(record), _narrowInputs, _corrections);
        if (hasNarrow)
            Interpolate(profile, narrow);
        _wide.Push(Wide(record), n, _wideInputs, observed);
        _narrow.Push(Narrow(record), n, _narrowInputs, observed);
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
        _wide.Rescale(Wide(record), a, WideUnitless + p.CovariateInputs);
        _narrow.Rescale(Narrow(record), a, NarrowUnitless);
    }

    /// <summary>Profile plus correction, which is linear in h between the steps that are learnt.</summary>
    private void Interpolate(ReadOnlySpan<float> profile, Span<float> path)
    {
        var steps = _plan.LinearSteps;
        for (var s = 0; s < steps.Length; s++)
        {
            var h = steps[s];
            path[h] = profile[h] + _corrections[s];
            if (s == 0)
                continue;
            var from = steps[s - 1];
            var slope = (_corrections[s] - _corrections[s - 1]) / (h - from);
            for (var i = from + 1; i < h; i++)
                path[i] = profile[i] + (_corrections[s - 1] + ((i - from) * slope));
        }
    }

    private void WriteWide(ReadOnlySpan<float> record, int n, FramePhase phase, float level, ReadOnlySpan<float> covariates, Span<float> x)
    {
        var p = _plan;
        x.Clear();
        x[0] = 1;
        if (p.DayFrames > 0)
            _calendar.AsSpan(4 * phase.DayPhase, 4).CopyTo(x[1..]);
        if (p.WeekFrames > 0)
            _calendar.AsSpan((4 * p.DayFrames) + (4 * phase.WeekPhase), 4).CopyTo(x[5..]);
        covariates.CopyTo(x[WideUnitless..]);
        var at = WideUnitless + covariates.Length;
        x[at++] = Math.Clamp(record[p.LinearMean], -LargestInput, LargestInput);
        for (var k = 0; k < ForecastPlan.WideDeviations; k++)
            x[at++] = Deviation(record, n, k);
        foreach (var lag in p.LinearLags)
            x[at++] = lag <= n ? Math.Clamp(record[p.Ring + ((n - lag) % p.RingLength)] - level, -LargestInput, LargestInput) : 0;
    }

    private void WriteNarrow(ReadOnlySpan<float> record, int n, Span<float> x)
    {
        var p = _plan;
        x.Clear();
        x[0] = Constant;
        x[1] = Math.Clamp(record[p.LinearMean], -LargestInput, LargestInput);
        x[2] = Math.Clamp(record[p.LinearMean + 1], -LargestInput, LargestInput);
        var at = 3;
        foreach (var lag in p.LinearDeviationLags)
            x[at++] = Deviation(record, n, lag);
    }

    private float Deviation(ReadOnlySpan<float> record, int n, int lag) =>
        lag <= n ? Math.Clamp(record[_plan.LinearDeviation + ((n - lag) % _plan.LinearHistory)], -LargestInput, LargestInput) : 0;

    private Span<float> Wide(Span<float> record) => record[_plan.LinearWide.._plan.LinearNarrow];

    private Span<float> Narrow(Span<float> record) => record[_plan.LinearNarrow..(_plan.LinearLevel + _plan.LinearWords)];
}
