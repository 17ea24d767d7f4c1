using System.Runtime.CompilerServices;

namespace StreamLstm.Core.Recurrent.Kernels;

/// <summary>
/// Pre-activations of panels: gates = bias + W·[x|h], besides <see cref="TileProduct"/> the forms only a forward step needs.
/// </summary>
internal static unsafe class GateProduct
{
    /// <summary>
    /// One row, up to four LSTM panels at once: 16 independent sums, where one panel's four would wait for each other.
    /// </summary>
    /// <param name="panel">The first panel, biases first; the next ones follow <paramref name="panelLength"/> apart.</param>
    /// <param name="row">[x|h], <paramref name="count"/> long.</param>
    /// <param name="gates">[panels, 64].</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void LstmRow<TLanes, TVector, TPanels>(float* panel, nint panelLength, float* row, nint count, float* gates)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TPanels : struct, ICount
    {
        for (nint lane = 0; lane < PanelLayout.Block; lane += TLanes.Width)
        {
            var p0 = panel + lane;
            var p1 = TPanels.Value > 1 ? p0 + panelLength : p0;
            var p2 = TPanels.Value > 2 ? p1 + panelLength : p0;
            var p3 = TPanels.Value > 3 ? p2 + panelLength : p0;
            var s00 = TLanes.Load(p0);
            var s01 = TLanes.Load(p0 + PanelLayout.Block);
            var s02 = TLanes.Load(p0 + (2 * PanelLayout.Block));
            var s03 = TLanes.Load(p0 + (3 * PanelLayout.Block));
            var s10 = TLanes.Load(p1);
            var s11 = TLanes.Load(p1 + PanelLayout.Block);
            var s12 = TLanes.Load(p1 + (2 * PanelLayout.Block));
            var s13 = TLanes.Load(p1 + (3 * PanelLayout.Block));
            var s20 = TLanes.Load(p2);
            var s21 = TLanes.Load(p2 + PanelLayout.Block);
            var s22 = TLanes.Load(p2 + (2 * PanelLayout.Block));
            var s23 = TLanes.Load(p2 + (3 * PanelLayout.Block));
            var s30 = TLanes.Load(p3);
            var s31 = TLanes.Load(p3 + PanelLayout.Block);
            var s32 = TLanes.Load(p3 + (2 * PanelLayout.Block));
            var s33 = TLanes.Load(p3 + (3 * PanelLayout.Block));
            for (nint k = 0; k < count; k++)
            {
                var x = TLanes.Broadcast(row[k]);
                p0 += PanelLayout.GateBlocks;
                s00 = TLanes.MultiplyAdd(x, TLanes.Load(p0), s00);
                s01 = TLanes.MultiplyAdd(x, TLanes.Load(p0 + PanelLayout.Block), s01);
                s02 = TLanes.MultiplyAdd(x, TLanes.Load(p0 + (2 * PanelLayout.Block)), s02);
                s03 = TLanes.MultiplyAdd(x, TLanes.Load(p0 + (3 * PanelLayout.Block)), s03);

                if (TPanels.Value > 1)
                {
                    p1 += PanelLayout.GateBlocks;
                    s10 = TLanes.MultiplyAdd(x, TLanes.Load(p1), s10);
                    s11 = TLanes.MultiplyAdd(x, TLanes.Load(p1 + PanelLayout.Block), s11);
                    s12 = TLanes.MultiplyAdd(x, TLanes.Load(p1 + (2 * PanelLayout.Block)), s12);
                    s13 = TLanes.MultiplyAdd(x, TLanes.Load(p1 + (3 * PanelLayout.Block)), s13);
                }

                if (TPanels.Value > 2)
                {
                    p2 += PanelLayout.GateBlocks;
                    s20 = TLanes.MultiplyAdd(x, TLanes.Load(p2), s20);
                    s21 = TLanes.MultiplyAdd(x, TLanes.Load(p2 + PanelLayout.Block), s21);
                    s22 = TLanes.MultiplyAdd(x, TLanes.Load(p2 + (2 * PanelLayout.Block)), s22);
                    s23 = TLanes.MultiplyAdd(x, TLanes.Load(p2 + (3 * PanelLayout.Block)), s23);
                }

                if (TPanels.Value > 3)
                {
                    p3 += PanelLayout.GateBlocks;
                    s30 = TLanes.MultiplyAdd(x, TLanes.Load(p3), s30);
                    s31 = TLanes.MultiplyAdd(x, TLanes.Load(p3 + PanelLayout.Block), s31);
                    s32 = TLanes.MultiplyAdd(x, TLanes.Load(p3 + (2 * PanelLayout.Block)), s32);
                    s33 = TLanes.MultiplyAdd(x, TLanes.Load(p3 + (3 * PanelLayout.Block)), s33);
                }
            }

            var target = gates + lane;
            TLanes.Store(target, s00);
            TLanes.Store(target + PanelLayout.Block, s01);
            TLanes.Store(target + (2 * PanelLayout.Block), s02);
            TLanes.Store(target + (3 * PanelLayout.Block), s03);

            if (TPanels.Value > 1)
            {
                target += PanelLayout.GateBlocks;
                TLanes.Store(target, s10);
                TLanes.Store(target + PanelLayout.Block, s11);
                TLanes.Store(target + (2 * PanelLayout.Block), s12);
                TLanes.Store(target + (3 * PanelLayout.Block), s13);
            }

            if (TPanels.Value > 2)
            {
                target += PanelLayout.GateBlocks;
                TLanes.Store(target, s20);
                TLanes.Store(target + PanelLayout.Block, s21);
                TLanes.Store(target + (2 * PanelLayout.Block), s22);
                TLanes.Store(target + (3 * PanelLayout.Block), s23);
            }

            if (TPanels.Value > 3)
            {
                target += PanelLayout.GateBlocks;
                TLanes.Store(target, s30);
                TLanes.Store(target + PanelLayout.Block, s31);
                TLanes.Store(target + (2 * PanelLayout.Block), s32);
                TLanes.Store(target + (3 * PanelLayout.Block), s33);
            }
        }
    }

    /// <summary>One row, up to four GRU panels at once.</summary>
    /// <param name="panel">The first panel, biases first; the next ones follow <paramref name="panelLength"/> apart.</param>
    /// <param name="row">[x|h], <paramref name="inputs"/> + <paramref name="hidden"/> long.</param>
    /// <param name="gates">[panels, 64]: n_x, r, z, n_h.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void GruRow<TLanes, TVector, TPanels>(
        float* panel, nint panelLength, float* row, nint inputs, nint hidden, float* gates)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TPanels : struct, ICount
    {
        for (nint lane = 0; lane < PanelLayout.Block; lane += TLanes.Width)
        {
            var p0 = panel + lane;
            var p1 = TPanels.Value > 1 ? p0 + panelLength : p0;
            var p2 = TPanels.Value > 2 ? p1 + panelLength : p0;
            var p3 = TPanels.Value > 3 ? p2 + panelLength : p0;
            var n0 = TLanes.Load(p0);
            var r0 = TLanes.Load(p0 + PanelLayout.Block);
            var z0 = TLanes.Load(p0 + (2 * PanelLayout.Block));
            var n1 = TLanes.Load(p1);
            var r1 = TLanes.Load(p1 + PanelLayout.Block);
            var z1 = TLanes.Load(p1 + (2 * PanelLayout.Block));
            var n2 = TLanes.Load(p2);
            var r2 = TLanes.Load(p2 + PanelLayout.Block);
            var z2 = TLanes.Load(p2 + (2 * PanelLayout.Block));
            var n3 = TLanes.Load(p3);
            var r3 = TLanes.Load(p3 + PanelLayout.Block);
            var z3 = TLanes.Load(p3 + (2 * PanelLayout.Block));
            var m0 = TLanes.Load(p0 + (3 * PanelLayout.Block));
            p0 += PanelLayout.GateBlocks;
            var m1 = TLanes.Load(p1 + (3 * PanelLayout.Block));
            p1 = TPanels.Value > 1 ? p0 + panelLength : p0;
            var m2 = TLanes.Load(p2 + (3 * PanelLayout.Block));
            p2 = TPanels.Value > 2 ? p1 + panelLength : p0;
            var m3 = TLanes.Load(p3 + (3 * PanelLayout.Block));
            p3 = TPanels.Value > 3 ? p2 + panelLength : p0;
            for (nint k = 0; k < inputs; k++)
            {
                var x = TLanes.Broadcast(row[k]);
                n0 = TLanes.MultiplyAdd(x, TLanes.Load(p0), n0);
                r0 = TLanes.MultiplyAdd(x, TLanes.Load(p0 + PanelLayout.Block), r0);
                z0 = TLanes.MultiplyAdd(x, TLanes.Load(p0 + (2 * PanelLayout.Block)), z0);
                p0 += 3 * PanelLayout.Block;

                if (TPanels.Value > 1)
                {
                    n1 = TLanes.MultiplyAdd(x, TLanes.Load(p1), n1);
                    r1 = TLanes.MultiplyAdd(x, TLanes.Load(p1 + PanelLayout.Block), r1);
                    z1 = TLanes.MultiplyAdd(x, TLanes.Load(p1 + (2 * PanelLayout.Block)), z1);
                    p1 += 3 * PanelLayout.Block;
                }

                if (TPanels.Value > 2)
                {
                    n2 = TLanes.MultiplyAdd(x, TLanes.Load(p2), n2);
                    r2 = TLanes.MultiplyAdd(x, TLanes.Load(p2 + PanelLayout.Block), r2);
                    z2 = TLanes.MultiplyAdd(x, TLanes.Load(p2 + (2 * PanelLayout.Block)), z2);
                    p2 += 3 * PanelLayout.Block;
                }

                if (TPanels.Value > 3)
                {
                    n3 = TLanes.MultiplyAdd(x, TLanes.Load(p3), n3);
                    r3 = TLanes.MultiplyAdd(x, TLanes.Load(p3 + PanelLayout.Block), r3);
                    z3 = TLanes.MultiplyAdd(x, TLanes.Load(p3 + (2 * PanelLayout.Block)), z3);
                    p3 += 3 * PanelLayout.Block;
                }
            }

            for (nint k = 0; k < hidden; k++)
            {
                var x = TLanes.Broadcast(row[inputs + k]);
                r0 = TLanes.MultiplyAdd(x, TLanes.Load(p0), r0);
                z0 = TLanes.MultiplyAdd(x, TLanes.Load(p0 + PanelLayout.Block), z0);
                m0 = TLanes.MultiplyAdd(x, TLanes.Load(p0 + (2 * PanelLayout.Block)), m0);
                p0 += 3 * PanelLayout.Block;

                if (TPanels.Value > 1)
                {
                    r1 = TLanes.MultiplyAdd(x, TLanes.Load(p1), r1);
                    z1 = TLanes.MultiplyAdd(x, TLanes.Load(p1 + PanelLayout.Block), z1);
                    m1 = TLanes.MultiplyAdd(x, TLanes.Load(p1 + (2 * PanelLayout.Block)), m1);
                    p1 += 3 * PanelLayout.Block;
                }

                if (TPanels.Value > 2)
                {
                    r2 = TLanes.MultiplyAdd(x, TLanes.Load(p2), r2);
                    z2 = TLanes.MultiplyAdd(x, TLanes.Load(p2 + PanelLayout.Block), z2);
                    m2 = TLanes.MultiplyAdd(x, TLanes.Load(p2 + (2 * PanelLayout.Block)), m2);
                    p2 += 3 * PanelLayout.Block;
                }

                if (TPanels.Value > 3)
                {
                    r3 = TLanes.MultiplyAdd(x, TLanes.Load(p3), r3);
                    z3 = TLanes.MultiplyAdd(x, TLanes.Load(p3 + PanelLayout.Block), z3);
                    m3 = TLanes.MultiplyAdd(x, TLanes.Load(p3 + (2 * PanelLayout.Block)), m3);
                    p3 += 3 * PanelLayout.Block;
                }
            }

            var target = gates + lane;
            TLanes.Store(target, n0);
            TLanes.Store(target + PanelLayout.Block, r0);
            TLanes.Store(target + (2 * PanelLayout.Block), z0);
            TLanes.Store(target + (3 * PanelLayout.Block), m0);

            if (TPanels.Value > 1)
            {
                target += PanelLayout.GateBlocks;
                TLanes.Store(target, n1);
                TLanes.Store(target + PanelLayout.Block, r1);
                TLanes.Store(target + (2 * PanelLayout.Block), z1);
                TLanes.Store(target + (3 * PanelLayout.Block), m1);
            }

            if (TPanels.Value > 2)
            {
                target += PanelLayout.GateBlocks;
                TLanes.Store(target, n2);
                TLanes.Store(target + PanelLayout.Block, r2);
                TLanes.Store(target + (2 * PanelLayout.Block), z2);
                TLanes.Store(target + (3 * PanelLayout.Block), m2);
            }

            if (TPanels.Value > 3)
            {
                target += PanelLayout.GateBlocks;
                TLanes.Store(target, n3);
                TLanes.Store(target + PanelLayout.Block, r3);
                TLanes.Store(target + (2 * PanelLayout.Block), z3);
                TLanes.Store(target + (3 * PanelLayout.Block), m3);
            }
        }
    }

    /// <summary>Up to six rows of one LSTM panel: 24 sums, four loads and six broadcasts per k.</summary>
    /// <param name="panel">Biases first.</param>
    /// <param name="rows">[x|h] rows, <paramref name="pitch"/> apart, <paramref name="count"/> long.</param>
    /// <param name="gates">[rows, 64]: i, f, g, o.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void LstmTile<TLanes, TVector, TRows>(float* panel, float* rows, nint pitch, nint count, float* gates)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TRows : struct, ICount
    {
        var a0 = rows;
        var a1 = rows + pitch;
        var a2 = rows + (2 * pitch);
        var a3 = rows + (3 * pitch);
        var a4 = rows + (4 * pitch);
        var a5 = rows + (5 * pitch);
        var i0 = TLanes.Load(panel);
        var f0 = TLanes.Load(panel + PanelLayout.Block);
        var g0 = TLanes.Load(panel + (2 * PanelLayout.Block));
        var o0 = TLanes.Load(panel + (3 * PanelLayout.Block));
        var i1 = i0;
        var f1 = f0;
        var g1 = g0;
        var o1 = o0;
        var i2 = i0;
        var f2 = f0;
        var g2 = g0;
        var o2 = o0;
        var i3 = i0;
        var f3 = f0;
        var g3 = g0;
        var o3 = o0;
        var i4 = i0;
        var f4 = f0;
        var g4 = g0;
        var o4 = o0;
        var i5 = i0;
        var f5 = f0;
        var g5 = g0;
        var o5 = o0;
        for (nint k = 0; k < count; k++)
        {
            panel += PanelLayout.GateBlocks;
            var w0 = TLanes.Load(panel);
            var w1 = TLanes.Load(panel + PanelLayout.Block);
            var w2 = TLanes.Load(panel + (2 * PanelLayout.Block));
            var w3 = TLanes.Load(panel + (3 * PanelLayout.Block));
            var x0 = TLanes.Broadcast(a0[k]);
            i0 = TLanes.MultiplyAdd(x0, w0, i0);
            f0 = TLanes.MultiplyAdd(x0, w1, f0);
            g0 = TLanes.MultiplyAdd(x0, w2, g0);
            o0 = TLanes.MultiplyAdd(x0, w3, o0);

            if (TRows.Value > 1)
            {
                var x1 = TLanes.Broadcast(a1[k]);
                i1 = TLanes.MultiplyAdd(x1, w0, i1);
                f1 = TLanes.MultiplyAdd(x1, w1, f1);
                g1 = TLanes.MultiplyAdd(x1, w2, g1);
                o1 = TLanes.MultiplyAdd(x1, w3, o1);
            }

            if (TRows.Value > 2)
            {
                var x2 = TLanes.Broadcast(a2[k]);
                i2 = TLanes.MultiplyAdd(x2, w0, i2);
                f2 = TLanes.MultiplyAdd(x2, w1, f2);
                g2 = TLanes.MultiplyAdd(x2, w2, g2);
                o2 = TLanes.MultiplyAdd(x2, w3, o2);
            }

            if (TRows.Value > 3)
            {
                var x3 = TLanes.Broadcast(a3[k]);
                i3 = TLanes.MultiplyAdd(x3, w0, i3);
                f3 = TLanes.MultiplyAdd(x3, w1, f3);
                g3 = TLanes.MultiplyAdd(x3, w2, g3);
                o3 = TLanes.MultiplyAdd(x3, w3, o3);
            }

            if (TRows.Value > 4)
            {
                var x4 = TLanes.Broadcast(a4[k]);
                i4 = TLanes.MultiplyAdd(x4, w0, i4);
                f4 = TLanes.MultiplyAdd(x4, w1, f4);
                g4 = TLanes.MultiplyAdd(x4, w2, g4);
                o4 = TLanes.MultiplyAdd(x4, w3, o4);
            }

            if (TRows.Value > 5)
            {
                var x5 = TLanes.Broadcast(a5[k]);
                i5 = TLanes.MultiplyAdd(x5, w0, i5);
                f5 = TLanes.MultiplyAdd(x5, w1, f5);
                g5 = TLanes.MultiplyAdd(x5, w2, g5);
                o5 = TLanes.MultiplyAdd(x5, w3, o5);
            }
        }

        TLanes.Store(gates, i0);
        TLanes.Store(gates + PanelLayout.Block, f0);
        TLanes.Store(gates + (2 * PanelLayout.Block), g0);
        TLanes.Store(gates + (3 * PanelLayout.Block), o0);

        if (TRows.Value > 1)
        {
            TLanes.Store(gates + PanelLayout.GateBlocks, i1);
            TLanes.Store(gates + PanelLayout.GateBlocks + PanelLayout.Block, f1);
            TLanes.Store(gates + PanelLayout.GateBlocks + (2 * PanelLayout.Block), g1);
            TLanes.Store(gates + PanelLayout.GateBlocks + (3 * PanelLayout.Block), o1);
        }

        if (TRows.Value > 2)
        {
            TLanes.Store(gates + (2 * PanelLayout.GateBlocks), i2);
            TLanes.Store(gates + (2 * PanelLayout.GateBlocks) + PanelLayout.Block, f2);
            TLanes.Store(gates + (2 * PanelLayout.GateBlocks) + (2 * PanelLayout.Block), g2);
            TLanes.Store(gates + (2 * PanelLayout.GateBlocks) + (3 * PanelLayout.Block), o2);
        }

        if (TRows.Value > 3)
        {
            TLanes.Store(gates + (3 * PanelLayout.GateBlocks), i3);
            TLanes.Store(gates + (3 * PanelLayout.GateBlocks) + PanelLayout.Block, f3);
            TLanes.Store(gates + (3 * PanelLayout.GateBlocks) + (2 * PanelLayout.Block), g3);
            TLanes.Store(gates + (3 * PanelLayout.GateBlocks) + (3 * PanelLayout.Block), o3);
        }

        if (TRows.Value > 4)
        {
            TLanes.Store(gates + (4 * PanelLayout.GateBlocks), i4);
            TLanes.Store(gates + (4 * PanelLayout.GateBlocks) + PanelLayout.Block, f4);
            TLanes.Store(gates + (4 * PanelLayout.GateBlocks) + (2 * PanelLayout.Block), g4);
            TLanes.Store(gates + (4 * PanelLayout.GateBlocks) + (3 * PanelLayout.Block), o4);
        }

        if (TRows.Value > 5)
        {
            TLanes.Store(gates + (5 * PanelLayout.GateBlocks), i5);
            TLanes.Store(gates + (5 * PanelLayout.GateBlocks) + PanelLayout.Block, f5);
            TLanes.Store(gates + (5 * PanelLayout.GateBlocks) + (2 * PanelLayout.Block), g5);
            TLanes.Store(gates + (5 * PanelLayout.GateBlocks) + (3 * PanelLayout.Block), o5);
        }
    }

    /// <summary>Up to six rows of one GRU panel.</summary>
    /// <param name="panel">Biases first.</param>
    /// <param name="rows">[x|h] rows, <paramref name="pitch"/> apart.</param>
    /// <param name="gates">[rows, 64]: n_x, r, z, n_h.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void GruTile<TLanes, TVector, TRows>(float* panel, float* rows, nint pitch, nint inputs, nint hidden, float* gates)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TRows : struct, ICount
    {
        var a0 = rows;
        var a1 = rows + pitch;
        var a2 = rows + (2 * pitch);
        var a3 = rows + (3 * pitch);
        var a4 = rows + (4 * pitch);
        var a5 = rows + (5 * pitch);
        var w = panel;
        var n0 = TLanes.Load(w);
        var r0 = TLanes.Load(w + PanelLayout.Block);
        var z0 = TLanes.Load(w + (2 * PanelLayout.Block));
        var n1 = n0;
        var r1 = r0;
        var z1 = z0;
        var n2 = n0;
        var r2 = r0;
        var z2 = z0;
        var n3 = n0;
        var r3 = r0;
        var z3 = z0;
        var n4 = n0;
        var r4 = r0;
        var z4 = z0;
        var n5 = n0;
        var r5 = r0;
        var z5 = z0;
        w += PanelLayout.GateBlocks;
        for (nint k = 0; k < inputs; k++)
        {
            var w0 = TLanes.Load(w);
            var w1 = TLanes.Load(w + PanelLayout.Block);
            var w2 = TLanes.Load(w + (2 * PanelLayout.Block));
            var x0 = TLanes.Broadcast(a0[k]);
            n0 = TLanes.MultiplyAdd(x0, w0, n0);
            r0 = TLanes.MultiplyAdd(x0, w1, r0);
            z0 = TLanes.MultiplyAdd(x0, w2, z0);
            if (TRows.Value > 1)
            {
                var x1 = TLanes.Broadcast(a1[k]);
                n1 = TLanes.MultiplyAdd(x1, w0, n1);
                r1 = TLanes.MultiplyAdd(x1, w1, r1);
                z1 = TLanes.MultiplyAdd(x1, w2, z1);
            }

            if (TRows.Value > 2)
            {
                var x2 = TLanes.Broadcast(a2[k]);
                n2 = TLanes.MultiplyAdd(x2, w0, n2);
                r2 = TLanes.MultiplyAdd(x2, w1, r2);
                z2 = TLanes.MultiplyAdd(x2, w2, z2);
            }

            if (TRows.Value > 3)
            {
                var x3 = TLanes.Broadcast(a3[k]);
                n3 = TLanes.MultiplyAdd(x3, w0, n3);
                r3 = TLanes.MultiplyAdd(x3, w1, r3);
                z3 = TLanes.MultiplyAdd(x3, w2, z3);
            }

            if (TRows.Value > 4)
            {
                var x4 = TLanes.Broadcast(a4[k]);
                n4 = TLanes.MultiplyAdd(x4, w0, n4);
                r4 = TLanes.MultiplyAdd(x4, w1, r4);
                z4 = TLanes.MultiplyAdd(x4, w2, z4);
            }

            if (TRows.Value > 5)
            {
                var x5 = TLanes.Broadcast(a5[k]);
                n5 = TLanes.MultiplyAdd(x5, w0, n5);
                r5 = TLanes.MultiplyAdd(x5, w1, r5);
                z5 = TLanes.MultiplyAdd(x5, w2, z5);
            }

            w += 3 * PanelLayout.Block;
        }

        TLanes.Store(gates, n0);
        if (TRows.Value > 1) { TLanes.Store(gates + PanelLayout.GateBlocks, n1); }
        if (TRows.Value > 2) { TLanes.Store(gates + (2 * PanelLayout.GateBlocks), n2); }
        if (TRows.Value > 3) { TLanes.Store(gates + (3 * PanelLayout.GateBlocks), n3); }
        if (TRows.Value > 4) { TLanes.Store(gates + (4 * PanelLayout.GateBlocks), n4); }
        if (TRows.Value > 5) { TLanes.Store(gates + (5 * PanelLayout.GateBlocks), n5); }

        // From here on n is n_h.
        n0 = TLanes.Load(panel + (3 * PanelLayout.Block));
        n1 = n0;
        n2 = n0;
        n3 = n0;
        n4 = n0;
        n5 = n0;
        for (nint k = inputs; k < inputs + hidden; k++)
        {
            var w0 = TLanes.Load(w);
            var w1 = TLanes.Load(w + PanelLayout.Block);
            var w2 = TLanes.Load(w + (2 * PanelLayout.Block));
            var x0 = TLanes.Broadcast(a0[k]);
            r0 = TLanes.MultiplyAdd(x0, w0, r0);
            z0 = TLanes.MultiplyAdd(x0, w1, z0);
            n0 = TLanes.MultiplyAdd(x0, w2, n0);
            if (TRows.Value > 1)
            {
                var x1 = TLanes.Broadcast(a1[k]);
                r1 = TLanes.MultiplyAdd(x1, w0, r1);
                z1 = TLanes.MultiplyAdd(x1, w1, z1);
                n1 = TLanes.MultiplyAdd(x1, w2, n1);
            }

            if (TRows.Value > 2)
            {
                var x2 = TLanes.Broadcast(a2[k]);
                r2 = TLanes.MultiplyAdd(x2, w0, r2);
                z2 = TLanes.MultiplyAdd(x2, w1, z2);
                n2 = TLanes.MultiplyAdd(x2, w2, n2);
            }

            if (TRows.Value > 3)
            {
                var x3 = TLanes.Broadcast(a3[k]);
                r3 = TLanes.MultiplyAdd(x3, w0, r3);
                z3 = TLanes.MultiplyAdd(x3, w1, z3);
                n3 = TLanes.MultiplyAdd(x3, w2, n3);
            }

            if (TRows.Value > 4)
            {
                var x4 = TLanes.Broadcast(a4[k]);
                r4 = TLanes.MultiplyAdd(x4, w0, r4);
                z4 = TLanes.MultiplyAdd(x4, w1, z4);
                n4 = TLanes.MultiplyAdd(x4, w2, n4);
            }

            if (TRows.Value > 5)
            {
                var x5 = TLanes.Broadcast(a5[k]);
                r5 = TLanes.MultiplyAdd(x5, w0, r5);
                z5 = TLanes.MultiplyAdd(x5, w1, z5);
                n5 = TLanes.MultiplyAdd(x5, w2, n5);
            }

            w += 3 * PanelLayout.Block;
        }

        TLanes.Store(gates + PanelLayout.Block, r0);
        if (TRows.Value > 1) { TLanes.Store(gates + PanelLayout.GateBlocks + PanelLayout.Block, r1); }
        if (TRows.Value > 2) { TLanes.Store(gates + (2 * PanelLayout.GateBlocks) + PanelLayout.Block, r2); }
        if (TRows.Value > 3) { TLanes.Store(gates + (3 * PanelLayout.GateBlocks) + PanelLayout.Block, r3); }
        if (TRows.Value > 4) { TLanes.Store(gates + (4 * PanelLayout.GateBlocks) + PanelLayout.Block, r4); }
        if (TRows.Value > 5) { TLanes.Store(gates + (5 * PanelLayout.GateBlocks) + PanelLayout.Block, r5); }
        TLanes.Store(gates + (2 * PanelLayout.Block), z0);
        if (TRows.Value > 1) { TLanes.Store(gates + PanelLayout.GateBlocks + (2 * PanelLayout.Block), z1); }
        if (TRows.Value > 2) { TLanes.Store(gates + (2 * PanelLayout.GateBlocks) + (2 * PanelLayout.Block), z2); }
        if (TRows.Value > 3) { TLanes.Store(gates + (3 * PanelLayout.GateBlocks) + (2 * PanelLayout.Block), z3); }
        if (TRows.Value > 4) { TLanes.Store(gates + (4 * PanelLayout.GateBlocks) + (2 * PanelLayout.Block), z4); }
        if (TRows.Value > 5) { TLanes.Store(gates + (5 * PanelLayout.GateBlocks) + (2 * PanelLayout.Block), z5); }
        TLanes.Store(gates + (3 * PanelLayout.Block), n0);
        if (TRows.Value > 1) { TLanes.Store(gates + PanelLayout.GateBlocks + (3 * PanelLayout.Block), n1); }
        if (TRows.Value > 2) { TLanes.Store(gates + (2 * PanelLayout.GateBlocks) + (3 * PanelLayout.Block), n2); }
        if (TRows.Value > 3) { TLanes.Store(gates + (3 * PanelLayout.GateBlocks) + (3 * PanelLayout.Block), n3); }
        if (TRows.Value > 4) { TLanes.Store(gates + (4 * PanelLayout.GateBlocks) + (3 * PanelLayout.Block), n4); }
        if (TRows.Value > 5) { TLanes.Store(gates + (5 * PanelLayout.GateBlocks) + (3 * PanelLayout.Block), n5); }
    }

    /// <summary>Any number of rows of one LSTM panel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void LstmRows<TLanes, TVector>(nint rows, float* panel, float* a, nint pitch, nint count, float* gates)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        while (rows > 0)
        {
            var take = TileProduct.NextRows<TLanes, TVector>(rows);
            for (nint lane = 0; lane < PanelLayout.Block; lane += TLanes.Width)
            {
                switch (take)
                {
                    case 6:
                        LstmTile<TLanes, TVector, N6>(panel + lane, a, pitch, count, gates + lane);
                        break;
                    case 5:
                        LstmTile<TLanes, TVector, N5>(panel + lane, a, pitch, count, gates + lane);
                        break;
                    case 4:
                        LstmTile<TLanes, TVector, N4>(panel + lane, a, pitch, count, gates + lane);
                        break;
                    case 3:
                        LstmTile<TLanes, TVector, N3>(panel + lane, a, pitch, count, gates + lane);
                        break;
                    case 2:
                        LstmTile<TLanes, TVector, N2>(panel + lane, a, pitch, count, gates + lane);
                        break;
                    default:
                        LstmTile<TLanes, TVector, N1>(panel + lane, a, pitch, count, gates + lane);
                        break;
                }
            }

            rows -= take;
            a += take * pitch;
            gates += take * PanelLayout.GateBlocks;
        }
    }

    /// <summary>Any number of rows of one GRU panel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void GruRows<TLanes, TVector>(nint rows, float* panel, float* a, nint pitch, nint inputs, nint hidden, float* gates)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        while (rows > 0)
        {
            var take = TileProduct.NextRows<TLanes, TVector>(rows);
            for (nint lane = 0; lane < PanelLayout.Block; lane += TLanes.Width)
            {
                switch (take)
                {
                    case 6:
                        GruTile<TLanes, TVector, N6>(panel + lane, a, pitch, inputs, hidden, gates + lane);
                        break;
                    case 5:
                        GruTile<TLanes, TVector, N5>(panel + lane, a, pitch, inputs, hidden, gates + lane);
                        break;
                    case 4:
                        GruTile<TLanes, TVector, N4>(panel + lane, a, pitch, inputs, hidden, gates + lane);
                        break;
                    case 3:
                        GruTile<TLanes, TVector, N3>(panel + lane, a, pitch, inputs, hidden, gates + lane);
                        break;
                    case 2:
                        GruTile<TLanes, TVector, N2>(panel + lane, a, pitch, inputs, hidden, gates + lane);
                        break;
                    default:
                        GruTile<TLanes, TVector, N1>(panel + lane, a, pitch, inputs, hidden, gates + lane);
                        break;
                }
            }

            rows -= take;
            a += take * pitch;
            gates += take * PanelLayout.GateBlocks;
        }
    }
}
