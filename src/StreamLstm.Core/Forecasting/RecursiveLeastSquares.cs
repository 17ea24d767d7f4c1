using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Forecasting;

/// <summary>Where the state stands that comes after this one, and the frame that it will learn from; address 0 = nowhere. Only ever a hint.</summary>
internal readonly record struct Ahead(nint Address, int Frame);

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
/// <para>
/// What a frame costs is how much of this is read and written. P is kept as 16×16 blocks on and below the diagonal. Origins are kept in 16 bits:
/// regressors in steps of 2⁻¹² (callers round them before use, so the recursion is exact for what they are), gains in 32,767ths of their largest.
/// </para>
/// State: <c>[P lower blocks | diagonal of P d | W S×d | gain units K | origins K×(x d, k d in 16 bits)]</c>, d padded to whole blocks of 16 lanes.
/// Sums over d run in 16 lanes, folded by halves: the same bits at any vector width.
/// </summary>
internal sealed class RecursiveLeastSquares
{
    private const int Lanes = 16;
    private const int BlockWords = Lanes * Lanes;

    /// <summary>Steps of a kept regressor per unit; it reaches from −8 to 8.</summary>
    private const float InputSteps = 4096;
    private const float LargestShort = 32767;

    /// <summary>Gains below this are none: their unit would be denormal.</summary>
    private const float LeastGain = 1e-30f;

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

    // Scratch: P x, the regressor and row sums by lane [d, 16], errors and their lane sums [S, 16]; aligned.
    private readonly AlignedArray _px;
    private readonly AlignedArray _x;
    private readonly AlignedArray _rowSums;
    private readonly AlignedArray _stepSums;
    private readonly float[] _errors;
    private readonly int[] _slots;

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
        _px = new AlignedArray(_d);
        _x = new AlignedArray(_d);
        _rowSums = new AlignedArray(_d * Lanes);
        _stepSums = new AlignedArray((steps.Length + 3) / 4 * 4 * Lanes);
        _errors = new float[(steps.Length + 3) / 4 * 4];
        _slots = new int[steps.Length];
    }

    /// <summary>Words of x.</summary>
    public int RowWords => _d;

    public int StepCount => _steps.Length;

    public static int Padded(int features) => (features + Lanes - 1) / Lanes * Lanes;

    /// <summary>Words of state for these sizes; whole cache lines.</summary>
    public static int WordsFor(int features, int delay, int steps)
    {
        var d = Padded(features);
        return InverseWords(d) + d + (steps * d) + Padded(delay) + (delay * d);
    }

    public void Initialise(Span<float> state)
    {
        state.Clear();
        ResetInverse(state);
    }

    /// <summary>Rounds a regressor to what origins are kept in. Everything that is given to <see cref="TryForecast"/> and <see cref="Push"/> went through here.</summary>
    public static void Round(Span<float> x)
    {
        ref var origin = ref MemoryMarshal.GetReference(x);
        for (var i = 0; i + 4 <= x.Length; i += 4)
            (Steps(Vector128.LoadUnsafe(ref origin, (nuint)i) * InputSteps) * (1 / InputSteps)).StoreUnsafe(ref origin, (nuint)i);
    }

    /// <summary>Learns from the targets that arrive with a frame.</summary>
    /// <param name="state">State, updated.</param>
    /// <param name="frame">The frame's number; origins are <c>frame − h</c>.</param>
    /// <param name="targets">[S], the target of step h for the origin h frames ago; NaN = unknown.</param>
    /// <param name="ahead">The state that comes next, whose weights are to be brought near meanwhile.</param>
    public void Learn(Span<float> state, int frame, ReadOnlySpan<float> targets, Ahead ahead = default)
    {
        switch (_width)
        {
            case VectorWidth.Bits512:
                Learn<Simd512, Vector512<float>>(state, frame, targets, ahead);
                break;
            case VectorWidth.Bits256:
                Learn<Simd256, Vector256<float>>(state, frame, targets, ahead);
                break;
            default:
                Learn<Simd128, Vector128<float>>(state, frame, targets, ahead);
                break;
        }
    }

    /// <summary>Takes a frame's rounded regressor [d] as an origin; without <paramref name="learn"/> nothing will be learnt from it.</summary>
    public void Push(Span<float> state, int frame, ReadOnlySpan<float> x, bool learn, Ahead ahead = default)
    {
        var slot = frame % _delay;
        var origin = Origin(state, slot);
        StoreShorts(x, InputSteps, origin[.._d]);
        var gain = origin[_d..];
        if (!learn)
        {
            state[UnitsAt + slot] = 0;
            gain.Clear();
            return;
        }

        x.CopyTo(_x.Span);
        var scale = _width switch
        {
            VectorWidth.Bits512 => Update<Simd512, Vector512<float>>(state, ahead),
            VectorWidth.Bits256 => Update<Simd256, Vector256<float>>(state, ahead),
            _ => Update<Simd128, Vector128<float>>(state, ahead),
        };
        state[UnitsAt + slot] = KeepGain(_px.Span, scale, gain);
    }

    /// <summary>W x for every step [S]; false, with the state begun anew, if it is no usable number.</summary>
    public bool TryForecast(Span<float> state, ReadOnlySpan<float> x, Span<float> forecast, Ahead ahead = default)
    {
        x.CopyTo(_x.Span);
        switch (_width)
        {
            case VectorWidth.Bits512:
                Forecast<Simd512, Vector512<float>>(state, ahead);
                break;
            case VectorWidth.Bits256:
                Forecast<Simd256, Vector256<float>>(state, ahead);
                break;
            default:
                Forecast<Simd128, Vector128<float>>(state, ahead);
                break;
        }

        FoldSteps(1);
        _errors.AsSpan(0, _steps.Length).CopyTo(forecast);
        foreach (var f in forecast[.._steps.Length])
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
    public void ForgetOrigins(Span<float> state) => state.Slice(UnitsAt, _delay).Clear();

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
            for (var j = 0; j < (i / Lanes * Lanes) + Lanes; j++)
                state[Element(i, j)] = Scaled(state[Element(i, j)], i, j);
            state[DiagonalAt + i] = Scaled(state[DiagonalAt + i], i, i);
        }

        float Scaled(float p, int i, int j) => i < unitless ? (j < unitless ? p : p / a) : j < unitless ? p / a : p / (a * a);
        for (var r = 0; r < _steps.Length; r++)
            Scale(state.Slice(WeightsAt + (r * _d), unitless), a);
        var row = _px.Span;
        for (var r = 0; r < _delay; r++)
        {
            var origin = Origin(state, r);
            for (var i = unitless; i < _d; i++)
                origin[i] = (short)Math.Clamp(MathF.Round(origin[i] * a), -LargestShort, LargestShort);
            ref var unit = ref state[UnitsAt + r];
            for (var i = 0; i < _d; i++)
                row[i] = origin[_d + i] * unit * (i < unitless ? 1 : 1 / a);
            unit = KeepGain(row, 1, origin[_d..]);
        }

        for (var i = 0; i < _features; i++)
        {
            if (!(state[DiagonalAt + i] <= 16 * _prior))
            {
                ResetInverse(state);
                return;
            }
        }
    }

    /// <summary>Where P_ij stands, for j up to the end of i's block on the diagonal.</summary>
    internal static int Element(int i, int j)
    {
        var (row, column) = (i / Lanes, j / Lanes);
        return (((row * (row + 1) / 2) + column) * BlockWords) + (i % Lanes * Lanes) + (j % Lanes);
    }

    private static int InverseWords(int d) => d / Lanes * ((d / Lanes) + 1) / 2 * BlockWords;

    private int DiagonalAt => InverseWords(_d);

    internal int WeightsAt => DiagonalAt + _d;

    private int UnitsAt => WeightsAt + (_steps.Length * _d);

    /// <summary>Everything before is floats, everything from here on 16-bit integers.</summary>
    internal int OriginsAt => UnitsAt + Padded(_delay);

    /// <summary>Regressor and gain of an origin, [2·d].</summary>
    private Span<short> Origin(Span<float> state, int slot) => MemoryMarshal.Cast<float, short>(state.Slice(OriginsAt + (slot * _d), _d));

    private static void Scale(Span<float> values, float a)
    {
        foreach (ref var v in values)
            v *= a;
    }

    private void ResetInverse(Span<float> state)
    {
        state[..WeightsAt].Clear();
        for (var i = 0; i < _features; i++)
            state[Element(i, i)] = state[DiagonalAt + i] = _prior;
    }

    /// <summary>Nearest integers, ties to even, within 16 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Steps(Vector128<float> v)
    {
        var magic = Vector128.Create(Elementary.RoundingMagic);
        v = Vector128.Max(Vector128.Min(v, Vector128.Create(LargestShort)), Vector128.Create(-LargestShort));
        return (v + magic) - magic;
    }

    private static void StoreShorts(ReadOnlySpan<float> values, float scale, Span<short> target)
    {
        ref var v = ref MemoryMarshal.GetReference(values);
        ref var t = ref MemoryMarshal.GetReference(target);
        for (nuint i = 0; i < (nuint)target.Length; i += 8)
        {
            var low = Vector128.ConvertToInt32(Steps(Vector128.LoadUnsafe(ref v, i) * scale));
            var high = Vector128.ConvertToInt32(Steps(Vector128.LoadUnsafe(ref v, i + 4) * scale));
            Vector128.Narrow(low, high).StoreUnsafe(ref t, i);
        }
    }

    /// <summary>Keeps scale·v as whole numbers of the unit that is returned.</summary>
    private static float KeepGain(ReadOnlySpan<float> v, float scale, Span<short> gain)
    {
        ref var origin = ref MemoryMarshal.GetReference(v);
        var most = Vector128<float>.Zero;
        for (nuint i = 0; i < (nuint)v.Length; i += 4)
            most = Vector128.Max(most, Vector128.Abs(Vector128.LoadUnsafe(ref origin, i)));
        var largest = Math.Abs(scale) * Math.Max(Math.Max(most[0], most[1]), Math.Max(most[2], most[3]));
        if (!(largest > LeastGain))
        {
            gain.Clear();
            return 0;
        }

        StoreShorts(v, scale * (LargestShort / largest), gain);
        return largest / LargestShort;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private unsafe void Learn<TSimd, TVector>(Span<float> state, int frame, ReadOnlySpan<float> targets, Ahead ahead)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        nint d = _d;
        var newest = frame % _delay;
        ref var weights = ref state[WeightsAt];
        ref var origins = ref Unsafe.As<float, short>(ref state[OriginsAt]);
        ref var sums = ref MemoryMarshal.GetReference(_stepSums.Span);
        var next = ahead.Address == 0 ? 0 : ahead.Address + (WeightsAt * sizeof(float));
        for (var s = 0; s < _steps.Length; s++)
        {
            var slot = newest - _steps[s];
            _slots[s] = slot < 0 ? slot + _delay : slot;
            ref var w = ref Unsafe.Add(ref weights, s * d);
            ref var x = ref Unsafe.Add(ref origins, _slots[s] * 2 * d);
            for (nint lane = 0; lane < Lanes; lane += TSimd.Width)
            {
                var sum = TSimd.Multiply(TSimd.Load(ref w, lane), TSimd.LoadShorts(ref x, lane));
                for (var i = lane + Lanes; i < d; i += Lanes)
                    sum = TSimd.MultiplyAdd(TSimd.Load(ref w, i), TSimd.LoadShorts(ref x, i), sum);
                TSimd.Store(sum, ref sums, (s * Lanes) + lane);
            }

            if (next != 0 && Sse.IsSupported)
            {
                for (nint i = 0; i < d; i += Lanes)
                    Sse.Prefetch1((void*)(next + (((s * d) + i) * sizeof(float))));
            }
        }

        FoldSteps(1 / InputSteps);
        ref var units = ref state[UnitsAt];
        for (var s = 0; s < _steps.Length; s++)
        {
            var error = Math.Clamp(targets[s] - _errors[s], -LargestError, LargestError) * Unsafe.Add(ref units, _slots[s]);
            if (float.IsNaN(error) || frame < _steps[s])
                continue;
            var e = TSimd.Broadcast(error);
            ref var w = ref Unsafe.Add(ref weights, s * d);
            ref var gain = ref Unsafe.Add(ref origins, ((_slots[s] * 2) + 1) * d);
            for (nint i = 0; i < d; i += TSimd.Width)
                TSimd.Store(TSimd.MultiplyAdd(TSimd.LoadShorts(ref gain, i), e, TSimd.Load(ref w, i)), ref w, i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private unsafe void Forecast<TSimd, TVector>(Span<float> state, Ahead ahead)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        nint d = _d;
        ref var weights = ref state[WeightsAt];
        ref var x = ref MemoryMarshal.GetReference(_x.Span);
        ref var sums = ref MemoryMarshal.GetReference(_stepSums.Span);
        var next = ahead.Address == 0 ? 0 : ahead.Address + (OriginsAt * sizeof(float));
        var newest = ahead.Frame % _delay;
        for (var s = 0; s < _steps.Length; s++)
        {
            ref var w = ref Unsafe.Add(ref weights, s * d);
            if (next != 0 && Sse.IsSupported)
            {
                var slot = newest - _steps[s];
                slot = slot < 0 ? slot + _delay : slot;
                for (nint i = 0; i < d; i += Lanes)
                    Sse.Prefetch1((void*)(next + (((slot * d) + i) * sizeof(float))));
            }

            for (nint lane = 0; lane < Lanes; lane += TSimd.Width)
            {
                var sum = TSimd.Multiply(TSimd.Load(ref w, lane), TSimd.Load(ref x, lane));
                for (var i = lane + Lanes; i < d; i += Lanes)
                    sum = TSimd.MultiplyAdd(TSimd.Load(ref w, i), TSimd.Load(ref x, i), sum);
                TSimd.Store(sum, ref sums, (s * Lanes) + lane);
            }
        }
    }

    /// <summary>Px becomes u, P the new P; returns what makes the gain of u.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private unsafe float Update<TSimd, TVector>(Span<float> state, Ahead ahead)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        nint d = _d;
        ref var p = ref state[0];
        ref var x = ref MemoryMarshal.GetReference(_x.Span);
        ref var px = ref MemoryMarshal.GetReference(_px.Span);
        ref var rowSums = ref MemoryMarshal.GetReference(_rowSums.Span);
        _px.Span.Clear();

        // A block B below the diagonal stands for its mirror image too: P x gets Bᵀ x of its rows, by lanes, and B x of its columns, as row sums.
        for (nint lane = 0; lane < Lanes; lane += TSimd.Width)
        {
            nint rowOfBlocks = 0;
            for (nint row = 0; row < d; row += Lanes)
            {
                for (nint r = row; r < row + Lanes; r += 4)
                {
                    var (x0, x1) = (TSimd.Broadcast(Unsafe.Add(ref x, r)), TSimd.Broadcast(Unsafe.Add(ref x, r + 1)));
                    var (x2, x3) = (TSimd.Broadcast(Unsafe.Add(ref x, r + 2)), TSimd.Broadcast(Unsafe.Add(ref x, r + 3)));
                    var (a0, a1, a2, a3) = (TSimd.Broadcast(0), TSimd.Broadcast(0), TSimd.Broadcast(0), TSimd.Broadcast(0));
                    var at = rowOfBlocks + ((r - row) * Lanes) + lane;
                    for (nint column = 0; column <= row; column += Lanes, at += BlockWords)
                    {
                        var (b0, b1) = (TSimd.Load(ref p, at), TSimd.Load(ref p, at + Lanes));
                        var (b2, b3) = (TSimd.Load(ref p, at + (2 * Lanes)), TSimd.Load(ref p, at + (3 * Lanes)));
                        var down = TSimd.Add(TSimd.MultiplyAdd(b1, x1, TSimd.Multiply(b0, x0)), TSimd.MultiplyAdd(b3, x3, TSimd.Multiply(b2, x2)));
                        TSimd.Store(TSimd.Add(TSimd.Load(ref px, column + lane), down), ref px, column + lane);
                        if (column == row)
                            break;
                        var across = TSimd.Load(ref x, column + lane);
                        a0 = TSimd.MultiplyAdd(b0, across, a0);
                        a1 = TSimd.MultiplyAdd(b1, across, a1);
                        a2 = TSimd.MultiplyAdd(b2, across, a2);
                        a3 = TSimd.MultiplyAdd(b3, across, a3);
                    }

                    TSimd.Store(a0, ref rowSums, (r * Lanes) + lane);
                    TSimd.Store(a1, ref rowSums, ((r + 1) * Lanes) + lane);
                    TSimd.Store(a2, ref rowSums, ((r + 2) * Lanes) + lane);
                    TSimd.Store(a3, ref rowSums, ((r + 3) * Lanes) + lane);
                }

                rowOfBlocks += ((row / Lanes) + 1) * BlockWords;
            }
        }

        for (nint r = Lanes; r < d; r += 4)
            (Vector128.LoadUnsafe(ref px, (nuint)r) + FoldFour(ref Unsafe.Add(ref rowSums, r * Lanes))).StoreUnsafe(ref px, (nuint)r);

        var quadratic = Dot(ref px, ref x);
        if (!(quadratic >= 0 && float.IsFinite(quadratic)))
        {
            // Rounding has cost P its definiteness: better to learn it again than to trust it.
            ResetInverse(state);
            return 0;
        }

        ref var diagonal = ref state[DiagonalAt];
        var total = Vector128<float>.Zero;
        for (nint i = 0; i < d; i += 4)
            total += Vector128.LoadUnsafe(ref diagonal, (nuint)i);
        var trace = (total[0] + total[2]) + (total[1] + total[3]);
        var scale = 1 / (_forgetting + quadratic);
        var root = MathF.Sqrt(scale);
        var grow = TSimd.Broadcast(trace < _traceLimit ? 1 / _forgetting : 1);
        var minusRoot = TSimd.Broadcast(-root);
        for (nint i = 0; i < d; i += TSimd.Width)
        {
            // px becomes −u, rowSums u.
            var y = TSimd.Load(ref px, i);
            var minus = TSimd.Multiply(y, minusRoot);
            var u = TSimd.Multiply(y, TSimd.Broadcast(root));
            TSimd.Store(TSimd.Multiply(grow, TSimd.MultiplyAdd(minus, u, TSimd.Load(ref diagonal, i))), ref diagonal, i);
            TSimd.Store(minus, ref px, i);
            TSimd.Store(u, ref rowSums, i);
        }

        for (nint lane = 0; lane < Lanes; lane += TSimd.Width)
        {
            nint at = lane;
            for (nint row = 0; row < d; row += Lanes)
            {
                for (nint column = 0; column <= row; column += Lanes)
                {
                    var u = TSimd.Load(ref rowSums, column + lane);
                    for (nint r = row; r < row + Lanes; r++, at += Lanes)
                    {
                        TSimd.Store(TSimd.Multiply(grow, TSimd.MultiplyAdd(TSimd.Broadcast(Unsafe.Add(ref px, r)), u, TSimd.Load(ref p, at))), ref p, at);
                        if (ahead.Address != 0 && Sse.IsSupported)
                            Sse.Prefetch1((void*)(ahead.Address + (at * sizeof(float))));
                    }
                }
            }
        }

        for (var i = 0; i < _features; i++)
        {
            if (!(Unsafe.Add(ref diagonal, i) > 0))
            {
                ResetInverse(state);
                break;
            }
        }

        // The gain is scale·P x, and −u is −√scale·P x.
        return -root;
    }

    /// <summary>What stands in the lane sums of every step, folded, times <paramref name="scale"/>, into <see cref="_errors"/>.</summary>
    private void FoldSteps(float scale)
    {
        ref var sums = ref MemoryMarshal.GetReference(_stepSums.Span);
        for (var s = 0; s < _errors.Length; s += 4)
            (FoldFour(ref Unsafe.Add(ref sums, s * Lanes)) * scale).StoreUnsafe(ref _errors[s]);
    }

    /// <summary>aᵀb over d, in the same lanes and order at any width.</summary>
    private float Dot(ref float a, ref float b)
    {
        var (s0, s1, s2, s3) = (Vector128<float>.Zero, Vector128<float>.Zero, Vector128<float>.Zero, Vector128<float>.Zero);
        for (nuint i = 0; i < (nuint)_d; i += Lanes)
        {
            s0 += Vector128.LoadUnsafe(ref a, i) * Vector128.LoadUnsafe(ref b, i);
            s1 += Vector128.LoadUnsafe(ref a, i + 4) * Vector128.LoadUnsafe(ref b, i + 4);
            s2 += Vector128.LoadUnsafe(ref a, i + 8) * Vector128.LoadUnsafe(ref b, i + 8);
            s3 += Vector128.LoadUnsafe(ref a, i + 12) * Vector128.LoadUnsafe(ref b, i + 12);
        }

        var four = (s0 + s2) + (s1 + s3);
        return (four[0] + four[2]) + (four[1] + four[3]);
    }

    /// <summary>Four rows of 16 lane sums, each folded by halves.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> FoldFour(ref float rows)
    {
        var (a, b) = (FoldToFour(ref rows), FoldToFour(ref Unsafe.Add(ref rows, Lanes)));
        var (c, d) = (FoldToFour(ref Unsafe.Add(ref rows, 2 * Lanes)), FoldToFour(ref Unsafe.Add(ref rows, 3 * Lanes)));
        if (!Sse.IsSupported)
            return Vector128.Create((a[0] + a[2]) + (a[1] + a[3]), (b[0] + b[2]) + (b[1] + b[3]), (c[0] + c[2]) + (c[1] + c[3]), (d[0] + d[2]) + (d[1] + d[3]));
        var ab = Sse.UnpackLow(a, b) + Sse.UnpackHigh(a, b);
        var cd = Sse.UnpackLow(c, d) + Sse.UnpackHigh(c, d);
        return Sse.MoveLowToHigh(ab, cd) + Sse.MoveHighToLow(cd, ab);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> FoldToFour(ref float lanes) =>
        (Vector128.LoadUnsafe(ref lanes) + Vector128.LoadUnsafe(ref lanes, 8)) + (Vector128.LoadUnsafe(ref lanes, 4) + Vector128.LoadUnsafe(ref lanes, 12));
}
