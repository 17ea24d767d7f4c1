using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace StreamLstm.Core.Recurrent.Kernels;

/// <summary>
/// The elementwise half of training: as <see cref="CellUpdate"/>, but the activated gates are kept, and the way back.
/// All arrays are those of one panel: [B, 64] gates and [B, 16] cells without gaps, h in rows some pitch apart.
/// </summary>
internal static unsafe class TrainingCells
{
    /// <param name="gates">[B, 64]: exponents in, activated i, f, g, o out.</param>
    /// <param name="before">[B, 16]: c before the step.</param>
    /// <param name="after">[B, 16]: c after it.</param>
    /// <param name="tanh">[B, 16]: tanh c.</param>
    /// <param name="hidden">h after the step.</param>
    /// <param name="copy">h again, for the layer above.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void LstmForward<TLanes, TVector>(
        float* gates, float* before, float* after, float* tanh, float* hidden, nint hiddenPitch, float* copy, nint copyPitch, nint rows)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        nint row = 0;
        for (; row + 4 <= rows; row += 4)
        {
            Prefetch(gates + ((rows + row) * PanelLayout.GateBlocks), 4 * PanelLayout.GateBlocks);
            Prefetch(after + ((rows + row) * PanelLayout.Block), 4 * PanelLayout.Block);
            Prefetch(tanh + ((rows + row) * PanelLayout.Block), 4 * PanelLayout.Block);
            LstmRows<TLanes, TVector, N4>(
                gates + (row * PanelLayout.GateBlocks), before + (row * PanelLayout.Block), after + (row * PanelLayout.Block),
                tanh + (row * PanelLayout.Block), hidden + (row * hiddenPitch), hiddenPitch, copy + (row * copyPitch), copyPitch);
        }

        for (; row < rows; row++)
        {
            LstmRows<TLanes, TVector, N1>(
                gates + (row * PanelLayout.GateBlocks), before + (row * PanelLayout.Block), after + (row * PanelLayout.Block),
                tanh + (row * PanelLayout.Block), hidden + (row * hiddenPitch), hiddenPitch, copy + (row * copyPitch), copyPitch);
        }
    }

    /// <param name="gates">[B, 64]: n_x, r, z, n_h in, activated n, r, z and the untouched n_h out.</param>
    /// <param name="before">h before the step.</param>
    /// <param name="hidden">h after the step.</param>
    /// <param name="copy">h again, for the layer above.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void GruForward<TLanes, TVector>(
        float* gates, float* before, float* hidden, nint hiddenPitch, float* copy, nint copyPitch, nint rows)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        nint row = 0;
        for (; row + 4 <= rows; row += 4)
        {
            Prefetch(gates + ((rows + row) * PanelLayout.GateBlocks), 4 * PanelLayout.GateBlocks);
            GruRows<TLanes, TVector, N4>(
                gates + (row * PanelLayout.GateBlocks), before + (row * hiddenPitch), hidden + (row * hiddenPitch), hiddenPitch,
                copy + (row * copyPitch), copyPitch);
        }

        for (; row < rows; row++)
        {
            GruRows<TLanes, TVector, N1>(
                gates + (row * PanelLayout.GateBlocks), before + (row * hiddenPitch), hidden + (row * hiddenPitch), hiddenPitch,
                copy + (row * copyPitch), copyPitch);
        }
    }

    /// <summary>From ∂/∂h and ∂/∂c of the step to ∂/∂(pre-activations), over the gates, and ∂/∂c of the step before.</summary>
    /// <param name="gates">[B, 64]: activated i, f, g, o in, gradients out.</param>
    /// <param name="before">[B, 16]: c before the step.</param>
    /// <param name="tanh">[B, 16]: tanh c after it.</param>
    /// <param name="fromNext">∂/∂h by way of the next step, rows <paramref name="pitch"/> apart.</param>
    /// <param name="fromAbove">∂/∂h by way of the layer above or the loss, rows <paramref name="pitch"/> apart.</param>
    /// <param name="cell">[B, 16]: ∂/∂c by way of the next step in, of this step out.</param>
    /// <param name="bias">[64]: the sums over the batch are added to it.</param>
    /// <param name="nextGates">What the next call will take, to be prefetched.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void LstmBackward<TLanes, TVector>(
        float* gates, float* before, float* tanh, float* fromNext, float* fromAbove, nint pitch, float* cell, float* bias, nint rows,
        float* nextGates, float* nextBefore, float* nextTanh)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        var one = TLanes.Broadcast(1f);
        for (nint lane = 0; lane < PanelLayout.Block; lane += TLanes.Width)
        {
            var sumI = TLanes.Broadcast(0f);
            var sumF = sumI;
            var sumG = sumI;
            var sumO = sumI;
            var z = gates + lane;
            var upper = lane;
            var state = lane;
            for (nint row = 0; row < rows; row++)
            {
                if (lane == 0)
                {
                    Prefetch(nextGates + (row * PanelLayout.GateBlocks), PanelLayout.GateBlocks);
                    Prefetch(nextBefore + state, PanelLayout.Block);
                    Prefetch(nextTanh + state, PanelLayout.Block);
                }

                var i = TLanes.Load(z);
                var f = TLanes.Load(z + PanelLayout.Block);
                var g = TLanes.Load(z + (2 * PanelLayout.Block));
                var o = TLanes.Load(z + (3 * PanelLayout.Block));
                var t = TLanes.Load(tanh + state);
                var dh = TLanes.Add(TLanes.Load(fromNext + upper), TLanes.Load(fromAbove + upper));

                // ∂/∂c = carried + ∂/∂h·o·(1 − tanh²c)
                var dho = TLanes.Multiply(dh, o);
                var dc = TLanes.MultiplyAdd(dho, TLanes.Subtract(one, TLanes.Multiply(t, t)), TLanes.Load(cell + state));
                var dci = TLanes.Multiply(dc, i);
                var dcf = TLanes.Multiply(dc, f);
                TLanes.Store(cell + state, dcf);
                i = TLanes.Multiply(TLanes.Multiply(dci, g), TLanes.Subtract(one, i));
                f = TLanes.Multiply(TLanes.Multiply(dcf, TLanes.Load(before + state)), TLanes.Subtract(one, f));
                g = TLanes.Multiply(dci, TLanes.Subtract(one, TLanes.Multiply(g, g)));
                o = TLanes.Multiply(TLanes.Multiply(dho, t), TLanes.Subtract(one, o));
                TLanes.Store(z, i);
                TLanes.Store(z + PanelLayout.Block, f);
                TLanes.Store(z + (2 * PanelLayout.Block), g);
                TLanes.Store(z + (3 * PanelLayout.Block), o);
                sumI = TLanes.Add(sumI, i);
                sumF = TLanes.Add(sumF, f);
                sumG = TLanes.Add(sumG, g);
                sumO = TLanes.Add(sumO, o);
                z += PanelLayout.GateBlocks;
                upper += pitch;
                state += PanelLayout.Block;
            }

            AddBias<TLanes, TVector>(bias + lane, sumI, sumF, sumG, sumO);
        }
    }

    /// <summary>The same for the GRU; the direct share z·∂/∂h of the step before goes to <paramref name="fromNext"/>.</summary>
    /// <param name="gates">[B, 64]: n, r, z, n_h (an exponent still) in, gradients by n_x, r, z, n_h out.</param>
    /// <param name="before">h before the step, rows <paramref name="beforePitch"/> apart.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void GruBackward<TLanes, TVector>(
        float* gates, float* before, nint beforePitch, float* fromNext, float* fromAbove, nint pitch, float* bias, nint rows,
        float* nextGates)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        var one = TLanes.Broadcast(1f);
        var unscale = TLanes.Broadcast(1f / PanelLayout.TanhScale);
        for (nint lane = 0; lane < PanelLayout.Block; lane += TLanes.Width)
        {
            var sumN = TLanes.Broadcast(0f);
            var sumR = sumN;
            var sumZ = sumN;
            var sumM = sumN;
            var p = gates + lane;
            var upper = lane;
            var state = before + lane;
            for (nint row = 0; row < rows; row++)
            {
                if (lane == 0)
                {
                    Prefetch(nextGates + (row * PanelLayout.GateBlocks), PanelLayout.GateBlocks);
                }

                var n = TLanes.Load(p);
                var r = TLanes.Load(p + PanelLayout.Block);
                var z = TLanes.Load(p + (2 * PanelLayout.Block));
                var m = TLanes.Multiply(TLanes.Load(p + (3 * PanelLayout.Block)), unscale);
                var dh = TLanes.Add(TLanes.Load(fromNext + upper), TLanes.Load(fromAbove + upper));
                var dhz = TLanes.Multiply(dh, z);
                var keep = TLanes.Subtract(one, z);
                TLanes.Store(fromNext + upper, dhz);

                // ∂/∂n = ∂/∂h·(1 − z), ∂/∂z = ∂/∂h·(h − n), ∂/∂r = ∂/∂(r·n_h)·n_h
                z = TLanes.Multiply(TLanes.Multiply(dhz, TLanes.Subtract(TLanes.Load(state), n)), keep);
                n = TLanes.Multiply(TLanes.Multiply(dh, keep), TLanes.Subtract(one, TLanes.Multiply(n, n)));
                var nr = TLanes.Multiply(n, r);
                r = TLanes.Multiply(TLanes.Multiply(nr, m), TLanes.Subtract(one, r));
                TLanes.Store(p, n);
                TLanes.Store(p + PanelLayout.Block, r);
                TLanes.Store(p + (2 * PanelLayout.Block), z);
                TLanes.Store(p + (3 * PanelLayout.Block), nr);
                sumN = TLanes.Add(sumN, n);
                sumR = TLanes.Add(sumR, r);
                sumZ = TLanes.Add(sumZ, z);
                sumM = TLanes.Add(sumM, nr);
                p += PanelLayout.GateBlocks;
                upper += pitch;
                state += beforePitch;
            }

            AddBias<TLanes, TVector>(bias + lane, sumN, sumR, sumZ, sumM);
        }
    }

    /// <summary>
    /// What the next panel will read or write, towards the second-level cache: all steps together do not fit it, and the
    /// hardware does not foresee that time runs backwards.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch(float* address, int count)
    {
        if (Sse.IsSupported)
        {
            for (var i = 0; i < count; i += PanelLayout.Block)
            {
                Sse.Prefetch1(address + i);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddBias<TLanes, TVector>(float* bias, TVector a, TVector b, TVector c, TVector d)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        TLanes.Store(bias, TLanes.Add(TLanes.Load(bias), a));
        TLanes.Store(bias + PanelLayout.Block, TLanes.Add(TLanes.Load(bias + PanelLayout.Block), b));
        TLanes.Store(bias + (2 * PanelLayout.Block), TLanes.Add(TLanes.Load(bias + (2 * PanelLayout.Block)), c));
        TLanes.Store(bias + (3 * PanelLayout.Block), TLanes.Add(TLanes.Load(bias + (3 * PanelLayout.Block)), d));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void LstmRows<TLanes, TVector, TRows>(
        float* gates, float* before, float* after, float* tanh, float* hidden, nint hiddenPitch, float* copy, nint copyPitch)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TRows : struct, ICount
    {
        for (nint lane = 0; lane < PanelLayout.Block; lane += TLanes.Width)
        {
            var scale = TLanes.Broadcast(PanelLayout.TanhScale);
            var one = TLanes.Broadcast(1f);
            var o0 = one;
            var o1 = one;
            var o2 = one;
            var o3 = one;
            var c0 = LstmGates<TLanes, TVector>(gates + lane, before + lane, after + lane, ref o0);
            var c1 = TRows.Value > 1
                ? LstmGates<TLanes, TVector>(gates + PanelLayout.GateBlocks + lane, before + PanelLayout.Block + lane, after + PanelLayout.Block + lane, ref o1) : one;
            var c2 = TRows.Value > 2
                ? LstmGates<TLanes, TVector>(gates + (2 * PanelLayout.GateBlocks) + lane, before + (2 * PanelLayout.Block) + lane, after + (2 * PanelLayout.Block) + lane, ref o2) : one;
            var c3 = TRows.Value > 3
                ? LstmGates<TLanes, TVector>(gates + (3 * PanelLayout.GateBlocks) + lane, before + (3 * PanelLayout.Block) + lane, after + (3 * PanelLayout.Block) + lane, ref o3) : one;
            c0 = TLanes.Multiply(c0, scale);
            c1 = TLanes.Multiply(c1, scale);
            c2 = TLanes.Multiply(c2, scale);
            c3 = TLanes.Multiply(c3, scale);
            CellUpdate.Exponential<TLanes, TVector>(ref c0, ref c1, ref c2, ref c3);
            LstmOutput<TLanes, TVector>(c0, o0, gates + lane, tanh + lane, hidden + lane, copy + lane);
            if (TRows.Value > 1)
            {
                LstmOutput<TLanes, TVector>(
                    c1, o1, gates + PanelLayout.GateBlocks + lane, tanh + PanelLayout.Block + lane, hidden + hiddenPitch + lane, copy + copyPitch + lane);
            }

            if (TRows.Value > 2)
            {
                LstmOutput<TLanes, TVector>(
                    c2, o2, gates + (2 * PanelLayout.GateBlocks) + lane, tanh + (2 * PanelLayout.Block) + lane, hidden + (2 * hiddenPitch) + lane, copy + (2 * copyPitch) + lane);
            }

            if (TRows.Value > 3)
            {
                LstmOutput<TLanes, TVector>(
                    c3, o3, gates + (3 * PanelLayout.GateBlocks) + lane, tanh + (3 * PanelLayout.Block) + lane, hidden + (3 * hiddenPitch) + lane, copy + (3 * copyPitch) + lane);
            }
        }
    }

    /// <summary>One division for i, f and g together: 1/(ABC)·BC is 1/A. Stores them and c, returns c, leaves 1 + e_o.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector LstmGates<TLanes, TVector>(float* gates, float* before, float* after, ref TVector o)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        var i = TLanes.Load(gates);
        var f = TLanes.Load(gates + PanelLayout.Block);
        var g = TLanes.Load(gates + (2 * PanelLayout.Block));
        o = TLanes.Load(gates + (3 * PanelLayout.Block));
        CellUpdate.Exponential<TLanes, TVector>(ref i, ref f, ref g, ref o);
        var one = TLanes.Broadcast(1f);
        var difference = TLanes.Subtract(one, g);
        i = TLanes.Add(one, i);
        f = TLanes.Add(one, f);
        g = TLanes.Add(one, g);
        o = TLanes.Add(one, o);
        var a = TLanes.Multiply(i, g);
        var inverse = TLanes.Divide(one, TLanes.Multiply(a, f));
        var c = TLanes.Multiply(TLanes.MultiplyAdd(TLanes.Load(before), a, TLanes.Multiply(difference, f)), inverse);
        TLanes.Store(after, c);
        TLanes.Store(gates, TLanes.Multiply(TLanes.Multiply(f, g), inverse));
        TLanes.Store(gates + PanelLayout.Block, TLanes.Multiply(a, inverse));
        TLanes.Store(gates + (2 * PanelLayout.Block), TLanes.Multiply(TLanes.Multiply(difference, TLanes.Multiply(i, f)), inverse));
        return c;
    }

    /// <summary>o and tanh c by one division, and h = o·tanh c.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void LstmOutput<TLanes, TVector>(TVector c, TVector o, float* gates, float* tanh, float* hidden, float* copy)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        var one = TLanes.Broadcast(1f);
        var difference = TLanes.Subtract(one, c);
        c = TLanes.Add(one, c);
        var inverse = TLanes.Divide(one, TLanes.Multiply(o, c));
        var h = TLanes.Multiply(difference, inverse);
        TLanes.Store(gates + (3 * PanelLayout.Block), TLanes.Multiply(c, inverse));
        TLanes.Store(tanh, TLanes.Multiply(TLanes.Multiply(difference, o), inverse));
        TLanes.Store(hidden, h);
        TLanes.Store(copy, h);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void GruRows<TLanes, TVector, TRows>(
        float* gates, float* before, float* hidden, nint hiddenPitch, float* copy, nint copyPitch)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TRows : struct, ICount
    {
        for (nint lane = 0; lane < PanelLayout.Block; lane += TLanes.Width)
        {
            var one = TLanes.Broadcast(1f);
            var low = TLanes.Broadcast(-PanelMath.ExponentLimit);
            var p = gates + lane;
            var r0 = TLanes.Load(p + PanelLayout.Block);
            var z0 = TLanes.Max(TLanes.Load(p + (2 * PanelLayout.Block)), low);
            var r1 = TRows.Value > 1 ? TLanes.Load(p + PanelLayout.GateBlocks + PanelLayout.Block) : one;
            var z1 = TRows.Value > 1 ? TLanes.Max(TLanes.Load(p + PanelLayout.GateBlocks + (2 * PanelLayout.Block)), low) : one;
            var r2 = TRows.Value > 2 ? TLanes.Load(p + (2 * PanelLayout.GateBlocks) + PanelLayout.Block) : one;
            var z2 = TRows.Value > 2 ? TLanes.Max(TLanes.Load(p + (2 * PanelLayout.GateBlocks) + (2 * PanelLayout.Block)), low) : one;
            var r3 = TRows.Value > 3 ? TLanes.Load(p + (3 * PanelLayout.GateBlocks) + PanelLayout.Block) : one;
            var z3 = TRows.Value > 3 ? TLanes.Max(TLanes.Load(p + (3 * PanelLayout.GateBlocks) + (2 * PanelLayout.Block)), low) : one;
            CellUpdate.Exponential<TLanes, TVector>(ref r0, ref z0, ref r1, ref z1);
            if (TRows.Value > 2)
            {
                CellUpdate.Exponential<TLanes, TVector>(ref r2, ref z2, ref r3, ref z3);
            }

            var n0 = GruReset<TLanes, TVector>(r0, p);
            var n1 = TRows.Value > 1 ? GruReset<TLanes, TVector>(r1, p + PanelLayout.GateBlocks) : one;
            var n2 = TRows.Value > 2 ? GruReset<TLanes, TVector>(r2, p + (2 * PanelLayout.GateBlocks)) : one;
            var n3 = TRows.Value > 3 ? GruReset<TLanes, TVector>(r3, p + (3 * PanelLayout.GateBlocks)) : one;
            CellUpdate.Exponential<TLanes, TVector>(ref n0, ref n1, ref n2, ref n3);
            GruOutput<TLanes, TVector>(z0, n0, p, before + lane, hidden + lane, copy + lane);
            if (TRows.Value > 1)
            {
                GruOutput<TLanes, TVector>(z1, n1, p + PanelLayout.GateBlocks, before + hiddenPitch + lane, hidden + hiddenPitch + lane, copy + copyPitch + lane);
            }

            if (TRows.Value > 2)
            {
                GruOutput<TLanes, TVector>(z2, n2, p + (2 * PanelLayout.GateBlocks), before + (2 * hiddenPitch) + lane, hidden + (2 * hiddenPitch) + lane, copy + (2 * copyPitch) + lane);
            }

            if (TRows.Value > 3)
            {
                GruOutput<TLanes, TVector>(z3, n3, p + (3 * PanelLayout.GateBlocks), before + (3 * hiddenPitch) + lane, hidden + (3 * hiddenPitch) + lane, copy + (3 * copyPitch) + lane);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector GruReset<TLanes, TVector>(TVector r, float* gates)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        var one = TLanes.Broadcast(1f);
        r = TLanes.Divide(one, TLanes.Add(one, r));
        TLanes.Store(gates + PanelLayout.Block, r);
        return TLanes.MultiplyAdd(TLanes.Load(gates + (3 * PanelLayout.Block)), r, TLanes.Load(gates));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void GruOutput<TLanes, TVector>(TVector z, TVector n, float* gates, float* before, float* hidden, float* copy)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        var one = TLanes.Broadcast(1f);
        var a = TLanes.Add(one, z);
        var b = TLanes.Add(one, n);
        var difference = TLanes.Subtract(one, n);
        var inverse = TLanes.Divide(one, TLanes.Multiply(a, b));
        var h = TLanes.Multiply(TLanes.MultiplyAdd(TLanes.Load(before), b, TLanes.Multiply(z, difference)), inverse);
        TLanes.Store(gates, TLanes.Multiply(TLanes.Multiply(difference, a), inverse));
        TLanes.Store(gates + (2 * PanelLayout.Block), TLanes.Multiply(b, inverse));
        TLanes.Store(hidden, h);
        TLanes.Store(copy, h);
    }
}
