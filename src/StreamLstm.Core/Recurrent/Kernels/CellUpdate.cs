using System.Runtime.CompilerServices;

namespace StreamLstm.Core.Recurrent.Kernels;

/// <summary>Constants of 2^x; <see cref="StackedReference"/> says how they are used.</summary>
internal static class PanelMath
{
    /// <summary>2^±40: beyond, 1 + e no longer changes, and products of three such terms stay far from overflow.</summary>
    public const float ExponentLimit = 40f;

    // 2^r on [−½, ½], minimax in relative error, 2^0 = 1 exactly.
    public const float C1 = 0.69314700f;
    public const float C2 = 0.24022247f;
    public const float C3 = 0.05550711f;
    public const float C4 = 0.00967129f;
    public const float C5 = 0.00132694f;
}

/// <summary>The elementwise half of a step: pre-activations (exponents of two) to the new state, in place.</summary>
internal static unsafe class CellUpdate
{
    /// <summary>Four values of 2^x, interleaved so that they need not wait for each other.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Exponential<TLanes, TVector>(ref TVector a, ref TVector b, ref TVector c, ref TVector d)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        var ax = TLanes.Limit(a);
        var bx = TLanes.Limit(b);
        var cx = TLanes.Limit(c);
        var dx = TLanes.Limit(d);
        var an = TLanes.Round(ax);
        var bn = TLanes.Round(bx);
        var cn = TLanes.Round(cx);
        var dn = TLanes.Round(dx);
        var ar = TLanes.Fraction(ax, an);
        var br = TLanes.Fraction(bx, bn);
        var cr = TLanes.Fraction(cx, cn);
        var dr = TLanes.Fraction(dx, dn);
        var c4 = TLanes.Broadcast(PanelMath.C4);
        var c5 = TLanes.Broadcast(PanelMath.C5);
        a = TLanes.MultiplyAdd(c5, ar, c4);
        b = TLanes.MultiplyAdd(c5, br, c4);
        c = TLanes.MultiplyAdd(c5, cr, c4);
        d = TLanes.MultiplyAdd(c5, dr, c4);
        var c3 = TLanes.Broadcast(PanelMath.C3);
        a = TLanes.MultiplyAdd(a, ar, c3);
        b = TLanes.MultiplyAdd(b, br, c3);
        c = TLanes.MultiplyAdd(c, cr, c3);
        d = TLanes.MultiplyAdd(d, dr, c3);
        var c2 = TLanes.Broadcast(PanelMath.C2);
        a = TLanes.MultiplyAdd(a, ar, c2);
        b = TLanes.MultiplyAdd(b, br, c2);
        c = TLanes.MultiplyAdd(c, cr, c2);
        d = TLanes.MultiplyAdd(d, dr, c2);
        var c1 = TLanes.Broadcast(PanelMath.C1);
        a = TLanes.MultiplyAdd(a, ar, c1);
        b = TLanes.MultiplyAdd(b, br, c1);
        c = TLanes.MultiplyAdd(c, cr, c1);
        d = TLanes.MultiplyAdd(d, dr, c1);
        var c0 = TLanes.Broadcast(1f);
        a = TLanes.MultiplyAdd(a, ar, c0);
        b = TLanes.MultiplyAdd(b, br, c0);
        c = TLanes.MultiplyAdd(c, cr, c0);
        d = TLanes.MultiplyAdd(d, dr, c0);
        a = TLanes.Scale(a, an);
        b = TLanes.Scale(b, bn);
        c = TLanes.Scale(c, cn);
        d = TLanes.Scale(d, dn);
    }

    /// <summary>
    /// LSTM cells of up to four rows of one panel:
    /// c ← (c·A + (1 − e_g)(1 + e_f)) / (A(1 + e_f)), A = (1 + e_i)(1 + e_g); h ← (1 − e_c) / ((1 + e_o)(1 + e_c)).
    /// </summary>
    /// <param name="gates">[rows, 64].</param>
    /// <param name="records">State record of each row.</param>
    /// <param name="hidden">Offset of the panel's h in a record.</param>
    /// <param name="cell">Offset of its c.</param>
    /// <param name="copy">Where h goes besides, <paramref name="copyPitch"/> from row to row.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Lstm<TLanes, TVector, TRows>(
        float* gates, float** records, nint hidden, nint cell, float* copy, nint copyPitch)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TRows : struct, ICount
    {
        for (nint lane = 0; lane < PanelLayout.Block; lane += TLanes.Width)
        {
            var one = TLanes.Broadcast(1f);
            var c0 = one;
            var c1 = one;
            var c2 = one;
            var c3 = one;
            var o0 = one;
            var o1 = one;
            var o2 = one;
            var o3 = one;
            LstmCell<TLanes, TVector>(gates + lane, records[0] + cell + lane, ref c0, ref o0);
            if (TRows.Value > 1)
            {
                LstmCell<TLanes, TVector>(gates + (1 * PanelLayout.GateBlocks) + lane, records[1] + cell + lane, ref c1, ref o1);
            }

            if (TRows.Value > 2)
            {
                LstmCell<TLanes, TVector>(gates + (2 * PanelLayout.GateBlocks) + lane, records[2] + cell + lane, ref c2, ref o2);
            }

            if (TRows.Value > 3)
            {
                LstmCell<TLanes, TVector>(gates + (3 * PanelLayout.GateBlocks) + lane, records[3] + cell + lane, ref c3, ref o3);
            }

            var scale = TLanes.Broadcast(PanelLayout.TanhScale);
            c0 = TLanes.Multiply(c0, scale);
            c1 = TLanes.Multiply(c1, scale);
            c2 = TLanes.Multiply(c2, scale);
            c3 = TLanes.Multiply(c3, scale);
            Exponential<TLanes, TVector>(ref c0, ref c1, ref c2, ref c3);
            c0 = TLanes.Divide(TLanes.Subtract(one, c0), TLanes.Multiply(TLanes.Add(one, o0), TLanes.Add(one, c0)));
            c1 = TLanes.Divide(TLanes.Subtract(one, c1), TLanes.Multiply(TLanes.Add(one, o1), TLanes.Add(one, c1)));
            c2 = TLanes.Divide(TLanes.Subtract(one, c2), TLanes.Multiply(TLanes.Add(one, o2), TLanes.Add(one, c2)));
            c3 = TLanes.Divide(TLanes.Subtract(one, c3), TLanes.Multiply(TLanes.Add(one, o3), TLanes.Add(one, c3)));
            TLanes.Store(records[0] + hidden + lane, c0);
            TLanes.Store(copy + lane, c0);

            if (TRows.Value > 1)
            {
                TLanes.Store(records[1] + hidden + lane, c1);
                TLanes.Store(copy + copyPitch + lane, c1);
            }

            if (TRows.Value > 2)
            {
                TLanes.Store(records[2] + hidden + lane, c2);
                TLanes.Store(copy + (2 * copyPitch) + lane, c2);
            }

            if (TRows.Value > 3)
            {
                TLanes.Store(records[3] + hidden + lane, c3);
                TLanes.Store(copy + (3 * copyPitch) + lane, c3);
            }
        }
    }

    /// <summary>
    /// GRU cells of up to four rows of one panel: n = tanh(n_x + r∘n_h);
    /// h ← (e_z(1 − e_n) + h(1 + e_n)) / ((1 + e_z)(1 + e_n)), which is (1 − z)∘n + z∘h.
    /// </summary>
    /// <param name="gates">[rows, 64]: n_x, r, z, n_h.</param>
    /// <param name="records">State record of each row.</param>
    /// <param name="hidden">Offset of the panel's h in a record.</param>
    /// <param name="copy">Where h goes besides, <paramref name="copyPitch"/> from row to row.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Gru<TLanes, TVector, TRows>(float* gates, float** records, nint hidden, float* copy, nint copyPitch)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TRows : struct, ICount
    {
        for (nint lane = 0; lane < PanelLayout.Block; lane += TLanes.Width)
        {
            var one = TLanes.Broadcast(1f);
            var low = TLanes.Broadcast(-PanelMath.ExponentLimit);
            var z = gates + lane;
            var r0 = TLanes.Load(z + PanelLayout.Block);
            var z0 = TLanes.Max(TLanes.Load(z + (2 * PanelLayout.Block)), low);
            var r1 = TRows.Value > 1 ? TLanes.Load(z + PanelLayout.GateBlocks + PanelLayout.Block) : one;
            var z1 = TRows.Value > 1 ? TLanes.Max(TLanes.Load(z + PanelLayout.GateBlocks + (2 * PanelLayout.Block)), low) : one;
            var r2 = TRows.Value > 2 ? TLanes.Load(z + (2 * PanelLayout.GateBlocks) + PanelLayout.Block) : one;
            var z2 = TRows.Value > 2 ? TLanes.Max(TLanes.Load(z + (2 * PanelLayout.GateBlocks) + (2 * PanelLayout.Block)), low) : one;
            var r3 = TRows.Value > 3 ? TLanes.Load(z + (3 * PanelLayout.GateBlocks) + PanelLayout.Block) : one;
            var z3 = TRows.Value > 3 ? TLanes.Max(TLanes.Load(z + (3 * PanelLayout.GateBlocks) + (2 * PanelLayout.Block)), low) : one;
            Exponential<TLanes, TVector>(ref r0, ref z0, ref r1, ref z1);
            if (TRows.Value > 2)
            {
                Exponential<TLanes, TVector>(ref r2, ref z2, ref r3, ref z3);
            }

            var n0 = TLanes.MultiplyAdd(TLanes.Load(z + (3 * PanelLayout.Block)), TLanes.Divide(one, TLanes.Add(one, r0)), TLanes.Load(z));
            var n1 = TRows.Value > 1 ? TLanes.MultiplyAdd(TLanes.Load(z + PanelLayout.GateBlocks + (3 * PanelLayout.Block)), TLanes.Divide(one, TLanes.Add(one, r1)), TLanes.Load(z + PanelLayout.GateBlocks)) : one;
            var n2 = TRows.Value > 2 ? TLanes.MultiplyAdd(TLanes.Load(z + (2 * PanelLayout.GateBlocks) + (3 * PanelLayout.Block)), TLanes.Divide(one, TLanes.Add(one, r2)), TLanes.Load(z + (2 * PanelLayout.GateBlocks))) : one;
            var n3 = TRows.Value > 3 ? TLanes.MultiplyAdd(TLanes.Load(z + (3 * PanelLayout.GateBlocks) + (3 * PanelLayout.Block)), TLanes.Divide(one, TLanes.Add(one, r3)), TLanes.Load(z + (3 * PanelLayout.GateBlocks))) : one;
            Exponential<TLanes, TVector>(ref n0, ref n1, ref n2, ref n3);
            GruCell<TLanes, TVector>(z0, n0, records[0] + hidden + lane, copy + lane);
            if (TRows.Value > 1)
            {
                GruCell<TLanes, TVector>(z1, n1, records[1] + hidden + lane, copy + copyPitch + lane);
            }

            if (TRows.Value > 2)
            {
                GruCell<TLanes, TVector>(z2, n2, records[2] + hidden + lane, copy + (2 * copyPitch) + lane);
            }

            if (TRows.Value > 3)
            {
                GruCell<TLanes, TVector>(z3, n3, records[3] + hidden + lane, copy + (3 * copyPitch) + lane);
            }
        }
    }

    /// <summary>The gates of one cell: stores the new c, and leaves it and e_o.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void LstmCell<TLanes, TVector>(float* gates, float* cell, ref TVector c, ref TVector o)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        var i = TLanes.Load(gates);
        var f = TLanes.Load(gates + PanelLayout.Block);
        var g = TLanes.Load(gates + (2 * PanelLayout.Block));
        o = TLanes.Load(gates + (3 * PanelLayout.Block));
        Exponential<TLanes, TVector>(ref i, ref f, ref g, ref o);
        var one = TLanes.Broadcast(1f);
        var a = TLanes.Multiply(TLanes.Add(one, i), TLanes.Add(one, g));
        f = TLanes.Add(one, f);
        g = TLanes.Multiply(TLanes.Subtract(one, g), f);
        c = TLanes.Divide(TLanes.MultiplyAdd(TLanes.Load(cell), a, g), TLanes.Multiply(a, f));
        TLanes.Store(cell, c);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void GruCell<TLanes, TVector>(TVector z, TVector n, float* hidden, float* copy)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        var one = TLanes.Broadcast(1f);
        var b = TLanes.Add(one, n);
        var numerator = TLanes.MultiplyAdd(TLanes.Load(hidden), b, TLanes.Multiply(z, TLanes.Subtract(one, n)));
        var h = TLanes.Divide(numerator, TLanes.Multiply(TLanes.Add(one, z), b));
        TLanes.Store(hidden, h);
        TLanes.Store(copy, h);
    }
}
