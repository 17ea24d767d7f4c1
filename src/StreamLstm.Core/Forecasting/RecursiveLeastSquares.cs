using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Forecasting;

/// <summary>
/// Multi-horizon recursive least squares: one regressor x_o per origin o, one target per horizon step, one inverse correlation matrix P
/// for all steps (Haykin, Adaptive Filter Theory, ch. 10):
/// <code>
/// k_o = P x_o / (λ + x_oᵀ P x_o),   P ← (P − k_o x_oᵀ P) / λ
/// at frame t, for every step h:   W_h ← W_h + k_{t−h} (y_{t,h} − W_h x_{t−h})
/// </code>
/// The gain depends on regressors alone, so keeping k_o and x_o until their targets have arrived makes the delayed update the exact
/// recursion. P is updated as P − u uᵀ with u = P x/√(λ + xᵀPx): products commute, so it stays symmetric to the last bit; and it is not
/// inflated by 1/λ while its trace is above a limit, or directions that are never excited would grow without end.
/// State: <c>[P d×d | W S×d | x K×d | k K×d]</c>, d padded to whole blocks of 16 lanes. Sums over d run in 16 lanes, folded by halves:
/// the same bits at any vector width.
/// </summary>
internal sealed class RecursiveLeastSquares
{
    private const int Lanes = 16;

    /// <summary>Errors beyond this many units come from broken input; far above anything a clip of ordinary errors would touch.</summary>
    private const float LargestError = 32;

    private const float LargestForecast = 1e4f;

    private readonly int _features;
    private readonly int _d;
    private readonly int _delay;
    private readonly int[] _steps;
    private readonly float _forgetting;
    private readonly float _prior;
    private readonly float _traceLimit;
    private readonly VectorWidth _width;
    private readonly float[] _px;

    /// <param name="features">Length of x before padding.</param>
    /// <param name="delay">K: frames an origin waits for its last target.</param>
    /// <param name="steps">Horizon steps [S] that are learnt, ascending, at most K.</param>
    /// <param name="forgetting">λ per frame.</param>
    /// <param name="prior">P starts as this times the unit matrix.</param>
    /// <param name="traceLimit">c: no inflation while tr P &gt; c·d·prior.</param>
    /// <param name="width">Vector width; any gives the same bits.</param>
    public RecursiveLeastSquares(int features, int delay, int[] steps, float forgetting, float prior, float traceLimit, VectorWidth? width = null)
    {
        _features = features;
        _d = Padded(features);
        _delay = delay;
        _steps = steps;
        _forgetting = forgetting;
        _prior = prior;
        _traceLimit = traceLimit * features * prior;
        _width = width ?? Simd.Widest;
        _px = new float[_d];
    }

    /// <summary>Words of x, and of a row of every matrix.</summary>
    public int RowWords => _d;

    public int StepCount => _steps.Length;

    public static int Padded(int features) => (features + Lanes - 1) / Lanes * Lanes;

    /// <summary>Words of state for these sizes.</summary>
    public static int WordsFor(int features, int delay, int steps) => Padded(features) * (Padded(features) + steps + (2 * delay));

    public void Initialise(Span<float> state)
    {
        state.Clear();
        ResetInverse(state);
    }

    /// <summary>Learns from the targets that arrive with a frame.</summary>
    /// <param name="state">State, updated.</param>
    /// <param name="frame">The frame's number; origins are <c>frame − h</c>.</param>
    /// <param name="targets">[S], the target of step h for the origin h frames ago; NaN = unknown.</param>
    public void Learn(Span<float> state, int frame, ReadOnlySpan<float> targets)
    {
        switch (_width)
        {
            case VectorWidth.Bits512:
                Learn<Simd512, Vector512<float>>(state, frame, targets);
                break;
            case VectorWidth.Bits256:
                Learn<Simd256, Vector256<float>>(state, frame, targets);
                break;
            default:
                Learn<Simd128, Vector128<float>>(state, frame, targets);
                break;
        }
    }

    /// <summary>Takes a frame's regressor [d] as an origin; without <paramref name="learn"/> nothing will be learnt from it.</summary>
    public void Push(Span<float> state, int frame, ReadOnlySpan<float> x, bool learn)
    {
        var slot = frame % _delay;
        x.CopyTo(state.Slice(RegressorsAt + (slot * _d), _d));
        var gain = state.Slice(GainsAt + (slot * _d), _d);
        if (!learn)
        {
            gain.Clear();
            return;
        }

        switch (_width)
        {
            case VectorWidth.Bits512:
                Update<Simd512, Vector512<float>>(state, x, gain);
                break;
            case VectorWidth.Bits256:
                Update<Simd256, Vector256<float>>(state, x, gain);
                break;
            default:
                Update<Simd128, Vector128<float>>(state, x, gain);
                break;
        }
    }

    /// <summary>W x for every step [S]; false, with the state begun anew, if it is no usable number.</summary>
    public bool TryForecast(Span<float> state, ReadOnlySpan<float> x, Span<float> forecast)
    {
        switch (_width)
        {
            case VectorWidth.Bits512:
                Forecast<Simd512, Vector512<float>>(state, x, forecast);
                break;
            case VectorWidth.Bits256:
                Forecast<Simd256, Vector256<float>>(state, x, forecast);
                break;
            default:
                Forecast<Simd128, Vector128<float>>(state, x, forecast);
                break;
        }

        foreach (var f in forecast)
        {
            if (!(Math.Abs(f) <= LargestForecast))
            {
                Initialise(state);
                return false;
            }
        }

        return true;
    }

    /// <summary>Origins that still wait are not learnt from.</summary>
    public void ForgetOrigins(Span<float> state) => state.Slice(GainsAt, _delay * _d).Clear();

    /// <summary>
    /// Goes to another unit, in which targets are a times what they were and x_i is D_i = a or 1 times: W_i·a/D_i, k_i/D_i,
    /// P_ij/(D_i D_j) give the same forecasts, rescaled.
    /// </summary>
    /// <param name="state">State, updated.</param>
    /// <param name="a">New units per old one.</param>
    /// <param name="unitless">The first features, whose D is 1.</param>
    public void Rescale(Span<float> state, float a, int unitless)
    {
        for (var i = 0; i < _d; i++)
        {
            var row = state.Slice(i * _d, _d);
            for (var j = 0; j < _d; j++)
                row[j] = i < unitless ? (j < unitless ? row[j] : row[j] / a) : j < unitless ? row[j] / a : row[j] / (a * a);
        }

        for (var r = 0; r < _steps.Length; r++)
            Scale(state.Slice(WeightsAt + (r * _d), unitless), a);
        for (var r = 0; r < _delay; r++)
        {
            Scale(state.Slice(RegressorsAt + (r * _d) + unitless, _d - unitless), a);
            Scale(state.Slice(GainsAt + (r * _d) + unitless, _d - unitless), 1 / a);
        }

        for (var i = 0; i < _features; i++)
        {
            if (!(state[(i * _d) + i] <= 16 * _prior))
            {
                ResetInverse(state);
                return;
            }
        }
    }

    private int WeightsAt => _d * _d;

    private int RegressorsAt => WeightsAt + (_steps.Length * _d);

    private int GainsAt => RegressorsAt + (_delay * _d);

    private static void Scale(Span<float> values, float a)
    {
        foreach (ref var v in values)
            v *= a;
    }

    private void ResetInverse(Span<float> state)
    {
        state[..(_d * _d)].Clear();
        for (var i = 0; i < _features; i++)
            state[(i * _d) + i] = _prior;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Learn<TSimd, TVector>(Span<float> state, int frame, ReadOnlySpan<float> targets)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        ref var weights = ref state[WeightsAt];
        ref var regressors = ref state[RegressorsAt];
        ref var gains = ref state[GainsAt];
        for (var s = 0; s < _steps.Length; s++, weights = ref Unsafe.Add(ref weights, _d))
        {
            var target = targets[s];
            if (float.IsNaN(target))
                continue;
            var slot = frame - _steps[s];
            if (slot < 0)
                continue;
            nint at = slot % _delay * _d;
            var error = Math.Clamp(target - Dot<TSimd, TVector>(ref weights, ref Unsafe.Add(ref regressors, at)), -LargestError, LargestError);
            var e = TSimd.Broadcast(error);
            ref var gain = ref Unsafe.Add(ref gains, at);
            for (nint i = 0; i < _d; i += TSimd.Width)
                TSimd.Store(TSimd.MultiplyAdd(TSimd.Load(ref gain, i), e, TSimd.Load(ref weights, i)), ref weights, i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Forecast<TSimd, TVector>(Span<float> state, ReadOnlySpan<float> x, Span<float> forecast)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        ref var weights = ref state[WeightsAt];
        ref var regressor = ref MemoryMarshal.GetReference(x);
        for (var s = 0; s < _steps.Length; s++, weights = ref Unsafe.Add(ref weights, _d))
            forecast[s] = Dot<TSimd, TVector>(ref weights, ref regressor);
    }

    /// <summary>Gain and new P of one regressor.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Update<TSimd, TVector>(Span<float> state, ReadOnlySpan<float> x, Span<float> gain)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        var d = _d;
        ref var p = ref state[0];
        ref var px = ref _px[0];
        // P x as a sum of P's rows (= columns) times x_i: lanes are independent sums in the order of i. Four chains hide the latency of one.
        for (nint j = 0; j < d; j += TSimd.Width)
        {
            var (s0, s1, s2, s3) = (TSimd.Broadcast(0), TSimd.Broadcast(0), TSimd.Broadcast(0), TSimd.Broadcast(0));
            for (var i = 0; i < d; i += 4)
            {
                var row = (i * d) + j;
                s0 = TSimd.MultiplyAdd(TSimd.Load(ref p, row), TSimd.Broadcast(x[i]), s0);
                s1 = TSimd.MultiplyAdd(TSimd.Load(ref p, row + d), TSimd.Broadcast(x[i + 1]), s1);
                s2 = TSimd.MultiplyAdd(TSimd.Load(ref p, row + (2 * d)), TSimd.Broadcast(x[i + 2]), s2);
                s3 = TSimd.MultiplyAdd(TSimd.Load(ref p, row + (3 * d)), TSimd.Broadcast(x[i + 3]), s3);
            }

            TSimd.Store(TSimd.Add(TSimd.Add(s0, s1), TSimd.Add(s2, s3)), ref px, j);
        }

        var quadratic = Dot<TSimd, TVector>(ref px, ref MemoryMarshal.GetReference(x));
        if (!(quadratic >= 0 && float.IsFinite(quadratic)))
        {
            // Rounding has cost P its definiteness: better to learn it again than to trust it.
            ResetInverse(state);
            gain.Clear();
            return;
        }

        var trace = 0f;
        for (var i = 0; i < _features; i++)
            trace += state[(i * d) + i];
        var scale = 1 / (_forgetting + quadratic);
        var root = MathF.Sqrt(scale);
        var inflation = trace < _traceLimit ? 1 / _forgetting : 1;
        var grow = TSimd.Broadcast(inflation);
        for (var j = 0; j < d; j++)
        {
            gain[j] = _px[j] * scale;
            _px[j] *= root;
        }

        for (var i = 0; i < d; i++)
        {
            var u = TSimd.Broadcast(-_px[i]);
            nint row = i * d;
            for (nint j = 0; j < d; j += TSimd.Width)
                TSimd.Store(TSimd.Multiply(grow, TSimd.MultiplyAdd(u, TSimd.Load(ref px, j), TSimd.Load(ref p, row + j))), ref p, row + j);
        }

        for (var i = 0; i < _features; i++)
        {
            if (!(state[(i * d) + i] > 0))
            {
                ResetInverse(state);
                return;
            }
        }
    }

    /// <summary>aᵀb over d: 16 lane sums, then lanes folded by halves.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private float Dot<TSimd, TVector>(ref float a, ref float b)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        Unsafe.SkipInit(out LaneSums sums);
        ref var lanes = ref Unsafe.As<LaneSums, float>(ref sums);
        for (nint lane = 0; lane < Lanes; lane += TSimd.Width)
        {
            var sum = TSimd.Multiply(TSimd.Load(ref a, lane), TSimd.Load(ref b, lane));
            for (var i = lane + Lanes; i < _d; i += Lanes)
                sum = TSimd.MultiplyAdd(TSimd.Load(ref a, i), TSimd.Load(ref b, i), sum);
            TSimd.Store(sum, ref lanes, lane);
        }

        var four = (Vector128.LoadUnsafe(ref lanes) + Vector128.LoadUnsafe(ref lanes, 8)) + (Vector128.LoadUnsafe(ref lanes, 4) + Vector128.LoadUnsafe(ref lanes, 12));
        return (four[0] + four[2]) + (four[1] + four[3]);
    }

    [InlineArray(Lanes)]
    private struct LaneSums
    {
        private float _first;
    }
}
