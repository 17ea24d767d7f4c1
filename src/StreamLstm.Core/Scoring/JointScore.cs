namespace StreamLstm.Core.Scoring;

/// <summary>The joint score's parts, each in units of its own bound: 1 = threshold.</summary>
/// <param name="Channels">Root mean square of the channels' own scores.</param>
/// <param name="Relation">How far the values are from what the other channels say they should be.</param>
public readonly record struct JointParts(float Channels, float Relation)
{
    public float Score => Math.Max(Channels, Relation);
}

/// <summary>
/// One score over the channels of a stream. Channels that each stay within their bounds may still contradict each other: the values'
/// mean and covariance are learnt slowly, and r = ρ(R + ρI)⁻¹z of the standardised values z under their correlation R is what a
/// principal-component reconstruction leaves over, with soft instead of counted components (ridge). |r|, smoothed over a few frames, and
/// the root mean square of the channels' scores each have a bound, calibrated on blocks' largest values at half the chosen rate, and one
/// reserve. Constant cost and memory: O(D²) per frame. Frames far out hardly move what is learnt.
/// </summary>
public static class JointScore
{
    /// <summary>More channels than this have no relation score: its state grows with their square.</summary>
    public const int MostChannels = 64;

    /// <summary>ρ: variance, of 1, below which a direction counts as noise. Chosen on one of two server machines.</summary>
    private const double Ridge = 0.05;

    /// <summary>Frames over which |r| is smoothed, exponentially.</summary>
    private const double Width = 5;

    /// <summary>|r| beyond which a frame is held to be anomalous, in usual ones, and what such a frame's weight in learning is.</summary>
    private const double Far = 3;
    private const double FarWeight = 0.05;

    /// <summary>Frames between factorisations of the correlation.</summary>
    private const int FactorEvery = 64;

    private const int Block = 48;
    private const double Share = 0.5;
    private const float EarlyMargin = 1.5f;

    /// <summary>Least standard deviation that is one, as a share of the mean's size.</summary>
    private const double LeastDeviation = 1e-3;
    private const double MostDeviations = 1e3;

    /// <summary>Most a single channel's score counts: one that stands still for weeks isn't ever more anomalous.</summary>
    private const float MostStuck = 3;
    private const float MostScore = 30;

    // Double words.
    private const int Seen = 0;
    private const int Scored = 1;
    private const int Usual = 2;
    private const int Smoothed = 3;
    private const int Reserve = 4;
    private const int SinceAlarm = 5;
    private const int InBlock = 6;
    private const int Maxima = 7;
    private const int Tails = 9; // two tails of three single-precision words each, in three words
    private const int UsualChannels = 12;
    private const int Means = 13;

    /// <summary>Double words of state for D channels.</summary>
    public static int Length(int channels) => channels > MostChannels ? Means : Means + (2 * channels) + (channels * (channels + 1));

    /// <summary>For the bounds: of a block's largest value.</summary>
    public static float LogRatio(double falseAlarmsPerFrame) => TailCalibrator.LogRatio(Math.Min(Share * Block * falseAlarmsPerFrame, 0.04));

    public static void Initialise(Span<double> state)
    {
        state.Clear();
        state[Reserve] = AlarmReserve.First;
        state[SinceAlarm] = AlarmReserve.QuietFrames;
        TailCalibrator.Initialise(Tail(state, 0), 0.6f, 0.2f);
        TailCalibrator.Initialise(Tail(state, 1), 1.5f, 0.5f);
    }

    /// <summary>After a gap nothing is known of a contradiction that lasts.</summary>
    public static void Forget(Span<double> state) => state[Smoothed] = state[Usual];

    /// <summary>Scores a frame by what was learnt from earlier ones, then learns from it.</summary>
    /// <param name="state">[<see cref="Length"/>].</param>
    /// <param name="values">[D]; NaN = missing, which says nothing.</param>
    /// <param name="scores">[D] the channels' own scores, as far as they count (<see cref="Counted"/>).</param>
    /// <param name="residuals">Receives r [D]; zero while there is no basis.</param>
    /// <param name="basis">Frames without which there is no score, and at least the frames of a day.</param>
    /// <param name="logRatio">From <see cref="LogRatio"/>.</param>
    /// <param name="falseAlarmsPerFrame">The chosen rate, for the reserve.</param>
    public static JointParts Update(Span<double> state, ReadOnlySpan<double> values, ReadOnlySpan<float> scores, Span<double> residuals, int basis, float logRatio, double falseAlarmsPerFrame)
    {
        var d = values.Length;
        var n = ++state[Seen];
        residuals.Clear();
        double sum = 0;
        foreach (var s in scores)
            sum += (double)s * s;
        var channels = (float)Math.Sqrt(sum / d);
        var relation = 0f;
        var rate = Math.Max(1 / n, 1.0 / (28 * basis));
        if (d <= MostChannels)
        {
            var weight = 1.0;
            if (state[Scored] > 0)
            {
                var r = Residual(state, values, residuals);
                var usual = state[Usual];
                if (n > 10 * d && n > 5 * basis && r > Far * usual)
                    weight = FarWeight;
                var seen = state[Scored]++;
                state[Usual] = usual + (Math.Max(1 / seen, 1.0 / (28 * basis)) * weight * (r - usual));
                state[Smoothed] += (r - state[Smoothed]) / Width;
                relation = (float)Math.Min(state[Smoothed] / Math.Max(state[Usual], 1e-9), 1e3);
            }

            Learn(state, values, weight * rate);
            if (n >= Math.Max(basis, 2 * d) && n % FactorEvery == 0)
            {
                Factor(state, d);
                state[Scored] = Math.Max(state[Scored], 1);
            }
        }

        var reserve = Numerics.Elementary.Exp((float)state[Reserve]);
        // The channels' own scores have such a margin already.
        var margin = 1 + (EarlyMargin * basis / (float)(n + 1));
        // A channel just at its own bound is no alarm of the stream.
        var single = (float)(1 / Math.Sqrt(d));
        var position = n < basis ? 0 : Position(channels, (float)state[UsualChannels], Math.Max(single, reserve * TailCalibrator.Bound(Tail(state, 0), logRatio)));
        var contradiction = n < 5 * basis || state[Scored] < 2 * basis ? 0 : Position(relation, 1, margin * reserve * TailCalibrator.Bound(Tail(state, 1), logRatio));
        state[UsualChannels] += rate * (Math.Min(channels, 1) - state[UsualChannels]);
        if (contradiction == 0)
            residuals.Clear();
        LearnBounds(state, n < basis ? 0 : channels, contradiction == 0 ? 0 : relation, logRatio);
        if (n >= basis)
        {
            var (logReserve, since) = ((float)state[Reserve], (float)state[SinceAlarm]);
            AlarmReserve.Learn(ref logReserve, ref since, position > 1 || contradiction > 1, falseAlarmsPerFrame);
            (state[Reserve], state[SinceAlarm]) = (logReserve, since);
        }

        return new JointParts(position, contradiction);
    }

    /// <summary>A channel's score as far as it counts among several.</summary>
    public static float Counted(float score, bool stuck) => Math.Min(score, stuck ? MostStuck : MostScore);

    /// <summary>0 at what is usual, 1 at the bound: the two parts differ in how far their usual values are from it.</summary>
    private static float Position(float value, float usual, float bound) => Math.Max(value - usual, 0) / Math.Max(bound - usual, 0.1f * bound);

    /// <summary>Standard deviation of a channel, for the size of its residual in the input's unit; 0 while unknown.</summary>
    public static double Deviation(ReadOnlySpan<double> state, int channel, int channels) => state[Means + channels + channel];

    private static void LearnBounds(Span<double> state, float channels, float relation, float logRatio)
    {
        var first = state[InBlock] == 0;
        state[Maxima] = first ? channels : Math.Max(state[Maxima], channels);
        state[Maxima + 1] = first ? relation : Math.Max(state[Maxima + 1], relation);
        if (++state[InBlock] < Block)
            return;
        state[InBlock] = 0;
        for (var i = 0; i < 2; i++)
        {
            if (state[Maxima + i] == 0)
                continue;
            var tail = Tail(state, i);
            var bound = TailCalibrator.Bound(tail, logRatio);
            TailCalibrator.Update(tail, Math.Min((float)state[Maxima + i], bound), bound);
        }
    }

    /// <summary>r = ρ(R + ρI)⁻¹z by the Cholesky factor; returns |r|.</summary>
    private static double Residual(ReadOnlySpan<double> state, ReadOnlySpan<double> values, Span<double> r)
    {
        var d = values.Length;
        var factor = state.Slice(Means + (2 * d) + (d * (d + 1) / 2), d * (d + 1) / 2);
        for (var i = 0; i < d; i++)
        {
            var deviation = state[Means + d + i];
            var z = deviation > 0 && !double.IsNaN(values[i]) ? Math.Clamp((values[i] - state[Means + i]) / deviation, -MostDeviations, MostDeviations) : 0;
            var row = factor.Slice(i * (i + 1) / 2, i + 1);
            for (var j = 0; j < i; j++)
                z -= row[j] * r[j];
            r[i] = z / row[i];
        }

        double square = 0;
        for (var i = d - 1; i >= 0; i--)
        {
            var row = factor.Slice(i * (i + 1) / 2, i + 1);
            r[i] /= row[i];
            for (var j = 0; j < i; j++)
                r[j] -= row[j] * r[i];
            r[i] *= Ridge;
            square += r[i] * r[i];
        }

        return Math.Sqrt(square);
    }

    /// <summary>Mean and covariance (lower triangle, by rows) with exponential forgetting; missing channels are left as they are.</summary>
    private static void Learn(Span<double> state, ReadOnlySpan<double> values, double rate)
    {
        var d = values.Length;
        Span<double> deviations = stackalloc double[d];
        for (var i = 0; i < d; i++)
        {
            var missing = double.IsNaN(values[i]);
            deviations[i] = missing ? double.NaN : Math.Clamp(values[i], -1e100, 1e100) - state[Means + i];
            if (!missing)
                state[Means + i] += rate * deviations[i];
        }

        var covariance = state.Slice(Means + (2 * d), d * (d + 1) / 2);
        var at = 0;
        for (var i = 0; i < d; i++)
        {
            var deviation = deviations[i];
            if (double.IsNaN(deviation))
            {
                at += i + 1;
                continue;
            }

            for (var j = 0; j <= i; j++, at++)
            {
                if (!double.IsNaN(deviations[j]))
                    covariance[at] = (1 - rate) * (covariance[at] + (rate * deviation * deviations[j]));
            }
        }
    }

    /// <summary>Cholesky factor of R + ρI, lower triangle by rows. A channel that stands still has no correlation and no residual.</summary>
    private static void Factor(Span<double> state, int d)
    {
        var covariance = state.Slice(Means + (2 * d), d * (d + 1) / 2);
        var factor = state.Slice(Means + (2 * d) + (d * (d + 1) / 2), d * (d + 1) / 2);
        var deviations = state.Slice(Means + d, d);
        for (var i = 0; i < d; i++)
        {
            var deviation = Math.Sqrt(covariance[(i * (i + 1) / 2) + i]);
            deviations[i] = deviation > (LeastDeviation * Math.Abs(state[Means + i])) + 1e-300 ? deviation : 0;
        }

        for (var i = 0; i < d; i++)
        {
            var row = factor.Slice(i * (i + 1) / 2, i + 1);
            for (var j = 0; j <= i; j++)
            {
                var q = deviations[i] > 0 && deviations[j] > 0 ? covariance[(i * (i + 1) / 2) + j] / (deviations[i] * deviations[j]) : i == j ? 1 : 0;
                var other = factor.Slice(j * (j + 1) / 2, j + 1);
                for (var k = 0; k < j; k++)
                    q -= row[k] * other[k];
                // Rounding and channels that were missing now and then may leave a matrix that isn't quite positive.
                row[j] = i == j ? Math.Sqrt(Math.Max(q + Ridge, 1e-6)) : q / other[j];
            }
        }
    }

    private static Span<float> Tail(Span<double> state, int i) =>
        System.Runtime.InteropServices.MemoryMarshal.Cast<double, float>(state.Slice(Tails, 3)).Slice(i * TailCalibrator.Words, TailCalibrator.Words);
}
