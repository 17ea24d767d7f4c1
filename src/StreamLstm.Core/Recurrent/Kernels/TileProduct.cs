using System.Runtime.CompilerServices;

namespace StreamLstm.Core.Recurrent.Kernels;

/// <summary>A number known when the code is compiled, so that branches on it vanish.</summary>
internal interface ICount
{
    static abstract int Value { get; }
}

internal readonly struct N0 : ICount
{
    public static int Value => 0;
}

internal readonly struct N1 : ICount
{
    public static int Value => 1;
}

internal readonly struct N2 : ICount
{
    public static int Value => 2;
}

internal readonly struct N3 : ICount
{
    public static int Value => 3;
}

internal readonly struct N4 : ICount
{
    public static int Value => 4;
}

internal readonly struct N5 : ICount
{
    public static int Value => 5;
}

internal readonly struct N6 : ICount
{
    public static int Value => 6;
}

/// <summary>
/// The matrix product all kernels share: C [rows, blocks of 16] = start + A·W, with up to 6 rows × 4 blocks of sums in registers.
/// Every output is one chain of fused multiply-adds over k in ascending order, in its own lane: the bits depend on
/// neither the tile nor the vector width.
/// </summary>
internal static unsafe class TileProduct
{
    public const int MostRows = 6;

    /// <param name="start">What the sums start from, <paramref name="startRow"/> floats from row to row (0: the same for all).</param>
    /// <param name="a">A[r, k] at a + r·aRow + k·aStep within a segment of <paramref name="count"/> k's.</param>
    /// <param name="w">W[k] at w + k·wStep, 16 floats per block.</param>
    /// <param name="c">C[r], written, or with <typeparamref name="TAdds"/> = 1 added to.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run<TLanes, TVector, TRows, TBlocks, TAdds>(
        float* start, nint startRow, float* a, nint aRow, nint aStep, nint count, nint segments, nint aSegment,
        float* w, nint wStep, float* c, nint cRow)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TRows : struct, ICount
        where TBlocks : struct, ICount
        where TAdds : struct, ICount
    {
        TVector s00 = default;
        TVector s01 = default;
        TVector s02 = default;
        TVector s03 = default;
        TVector s10 = default;
        TVector s11 = default;
        TVector s12 = default;
        TVector s13 = default;
        TVector s20 = default;
        TVector s21 = default;
        TVector s22 = default;
        TVector s23 = default;
        TVector s30 = default;
        TVector s31 = default;
        TVector s32 = default;
        TVector s33 = default;
        TVector s40 = default;
        TVector s41 = default;
        TVector s42 = default;
        TVector s43 = default;
        TVector s50 = default;
        TVector s51 = default;
        TVector s52 = default;
        TVector s53 = default;
        s00 = TLanes.Load(start);
        if (TBlocks.Value > 1) { s01 = TLanes.Load(start + PanelLayout.Block); }
        if (TBlocks.Value > 2) { s02 = TLanes.Load(start + (2 * PanelLayout.Block)); }
        if (TBlocks.Value > 3) { s03 = TLanes.Load(start + (3 * PanelLayout.Block)); }
        if (TRows.Value > 1)
        {
            s10 = TLanes.Load(start + startRow);
            if (TBlocks.Value > 1) { s11 = TLanes.Load(start + startRow + PanelLayout.Block); }
            if (TBlocks.Value > 2) { s12 = TLanes.Load(start + startRow + (2 * PanelLayout.Block)); }
            if (TBlocks.Value > 3) { s13 = TLanes.Load(start + startRow + (3 * PanelLayout.Block)); }
        }
        if (TRows.Value > 2)
        {
            s20 = TLanes.Load(start + (2 * startRow));
            if (TBlocks.Value > 1) { s21 = TLanes.Load(start + (2 * startRow) + PanelLayout.Block); }
            if (TBlocks.Value > 2) { s22 = TLanes.Load(start + (2 * startRow) + (2 * PanelLayout.Block)); }
            if (TBlocks.Value > 3) { s23 = TLanes.Load(start + (2 * startRow) + (3 * PanelLayout.Block)); }
        }
        if (TRows.Value > 3)
        {
            s30 = TLanes.Load(start + (3 * startRow));
            if (TBlocks.Value > 1) { s31 = TLanes.Load(start + (3 * startRow) + PanelLayout.Block); }
            if (TBlocks.Value > 2) { s32 = TLanes.Load(start + (3 * startRow) + (2 * PanelLayout.Block)); }
            if (TBlocks.Value > 3) { s33 = TLanes.Load(start + (3 * startRow) + (3 * PanelLayout.Block)); }
        }
        if (TRows.Value > 4)
        {
            s40 = TLanes.Load(start + (4 * startRow));
            if (TBlocks.Value > 1) { s41 = TLanes.Load(start + (4 * startRow) + PanelLayout.Block); }
            if (TBlocks.Value > 2) { s42 = TLanes.Load(start + (4 * startRow) + (2 * PanelLayout.Block)); }
            if (TBlocks.Value > 3) { s43 = TLanes.Load(start + (4 * startRow) + (3 * PanelLayout.Block)); }
        }
        if (TRows.Value > 5)
        {
            s50 = TLanes.Load(start + (5 * startRow));
            if (TBlocks.Value > 1) { s51 = TLanes.Load(start + (5 * startRow) + PanelLayout.Block); }
            if (TBlocks.Value > 2) { s52 = TLanes.Load(start + (5 * startRow) + (2 * PanelLayout.Block)); }
            if (TBlocks.Value > 3) { s53 = TLanes.Load(start + (5 * startRow) + (3 * PanelLayout.Block)); }
        }
        for (; segments > 0; segments--)
        {
            var a0 = a;
            var a1 = a + aRow;
            var a2 = a + (2 * aRow);
            var a3 = a + (3 * aRow);
            var a4 = a + (4 * aRow);
            var a5 = a + (5 * aRow);
            nint offset = 0;
            for (var k = count; k > 0; k--)
            {
                var w0 = TLanes.Load(w);
                var w1 = TBlocks.Value > 1 ? TLanes.Load(w + PanelLayout.Block) : default;
                var w2 = TBlocks.Value > 2 ? TLanes.Load(w + (2 * PanelLayout.Block)) : default;
                var w3 = TBlocks.Value > 3 ? TLanes.Load(w + (3 * PanelLayout.Block)) : default;
                var x0 = TLanes.Broadcast(a0[offset]);
                s00 = TLanes.MultiplyAdd(x0, w0, s00);
                if (TBlocks.Value > 1) { s01 = TLanes.MultiplyAdd(x0, w1, s01); }
                if (TBlocks.Value > 2) { s02 = TLanes.MultiplyAdd(x0, w2, s02); }
                if (TBlocks.Value > 3) { s03 = TLanes.MultiplyAdd(x0, w3, s03); }
                if (TRows.Value > 1)
                {
                    var x1 = TLanes.Broadcast(a1[offset]);
                    s10 = TLanes.MultiplyAdd(x1, w0, s10);
                    if (TBlocks.Value > 1) { s11 = TLanes.MultiplyAdd(x1, w1, s11); }
                    if (TBlocks.Value > 2) { s12 = TLanes.MultiplyAdd(x1, w2, s12); }
                    if (TBlocks.Value > 3) { s13 = TLanes.MultiplyAdd(x1, w3, s13); }
                }

                if (TRows.Value > 2)
                {
                    var x2 = TLanes.Broadcast(a2[offset]);
                    s20 = TLanes.MultiplyAdd(x2, w0, s20);
                    if (TBlocks.Value > 1) { s21 = TLanes.MultiplyAdd(x2, w1, s21); }
                    if (TBlocks.Value > 2) { s22 = TLanes.MultiplyAdd(x2, w2, s22); }
                    if (TBlocks.Value > 3) { s23 = TLanes.MultiplyAdd(x2, w3, s23); }
                }

                if (TRows.Value > 3)
                {
                    var x3 = TLanes.Broadcast(a3[offset]);
                    s30 = TLanes.MultiplyAdd(x3, w0, s30);
                    if (TBlocks.Value > 1) { s31 = TLanes.MultiplyAdd(x3, w1, s31); }
                    if (TBlocks.Value > 2) { s32 = TLanes.MultiplyAdd(x3, w2, s32); }
                    if (TBlocks.Value > 3) { s33 = TLanes.MultiplyAdd(x3, w3, s33); }
                }

                if (TRows.Value > 4)
                {
                    var x4 = TLanes.Broadcast(a4[offset]);
                    s40 = TLanes.MultiplyAdd(x4, w0, s40);
                    if (TBlocks.Value > 1) { s41 = TLanes.MultiplyAdd(x4, w1, s41); }
                    if (TBlocks.Value > 2) { s42 = TLanes.MultiplyAdd(x4, w2, s42); }
                    if (TBlocks.Value > 3) { s43 = TLanes.MultiplyAdd(x4, w3, s43); }
                }

                if (TRows.Value > 5)
                {
                    var x5 = TLanes.Broadcast(a5[offset]);
                    s50 = TLanes.MultiplyAdd(x5, w0, s50);
                    if (TBlocks.Value > 1) { s51 = TLanes.MultiplyAdd(x5, w1, s51); }
                    if (TBlocks.Value > 2) { s52 = TLanes.MultiplyAdd(x5, w2, s52); }
                    if (TBlocks.Value > 3) { s53 = TLanes.MultiplyAdd(x5, w3, s53); }
                }

                offset += aStep;
                w += wStep;
            }

            a += aSegment;
        }

        Put<TLanes, TVector, TAdds>(c, s00);
        if (TBlocks.Value > 1) { Put<TLanes, TVector, TAdds>(c + PanelLayout.Block, s01); }
        if (TBlocks.Value > 2) { Put<TLanes, TVector, TAdds>(c + (2 * PanelLayout.Block), s02); }
        if (TBlocks.Value > 3) { Put<TLanes, TVector, TAdds>(c + (3 * PanelLayout.Block), s03); }
        if (TRows.Value > 1)
        {
            Put<TLanes, TVector, TAdds>(c + cRow, s10);
            if (TBlocks.Value > 1) { Put<TLanes, TVector, TAdds>(c + cRow + PanelLayout.Block, s11); }
            if (TBlocks.Value > 2) { Put<TLanes, TVector, TAdds>(c + cRow + (2 * PanelLayout.Block), s12); }
            if (TBlocks.Value > 3) { Put<TLanes, TVector, TAdds>(c + cRow + (3 * PanelLayout.Block), s13); }
        }
        if (TRows.Value > 2)
        {
            Put<TLanes, TVector, TAdds>(c + (2 * cRow), s20);
            if (TBlocks.Value > 1) { Put<TLanes, TVector, TAdds>(c + (2 * cRow) + PanelLayout.Block, s21); }
            if (TBlocks.Value > 2) { Put<TLanes, TVector, TAdds>(c + (2 * cRow) + (2 * PanelLayout.Block), s22); }
            if (TBlocks.Value > 3) { Put<TLanes, TVector, TAdds>(c + (2 * cRow) + (3 * PanelLayout.Block), s23); }
        }
        if (TRows.Value > 3)
        {
            Put<TLanes, TVector, TAdds>(c + (3 * cRow), s30);
            if (TBlocks.Value > 1) { Put<TLanes, TVector, TAdds>(c + (3 * cRow) + PanelLayout.Block, s31); }
            if (TBlocks.Value > 2) { Put<TLanes, TVector, TAdds>(c + (3 * cRow) + (2 * PanelLayout.Block), s32); }
            if (TBlocks.Value > 3) { Put<TLanes, TVector, TAdds>(c + (3 * cRow) + (3 * PanelLayout.Block), s33); }
        }
        if (TRows.Value > 4)
        {
            Put<TLanes, TVector, TAdds>(c + (4 * cRow), s40);
            if (TBlocks.Value > 1) { Put<TLanes, TVector, TAdds>(c + (4 * cRow) + PanelLayout.Block, s41); }
            if (TBlocks.Value > 2) { Put<TLanes, TVector, TAdds>(c + (4 * cRow) + (2 * PanelLayout.Block), s42); }
            if (TBlocks.Value > 3) { Put<TLanes, TVector, TAdds>(c + (4 * cRow) + (3 * PanelLayout.Block), s43); }
        }
        if (TRows.Value > 5)
        {
            Put<TLanes, TVector, TAdds>(c + (5 * cRow), s50);
            if (TBlocks.Value > 1) { Put<TLanes, TVector, TAdds>(c + (5 * cRow) + PanelLayout.Block, s51); }
            if (TBlocks.Value > 2) { Put<TLanes, TVector, TAdds>(c + (5 * cRow) + (2 * PanelLayout.Block), s52); }
            if (TBlocks.Value > 3) { Put<TLanes, TVector, TAdds>(c + (5 * cRow) + (3 * PanelLayout.Block), s53); }
        }
    }

    /// <summary><see cref="Run"/> for any number of rows, in tiles as large as the registers hold.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows<TLanes, TVector, TBlocks, TAdds>(
        nint rows, float* start, nint startRow, float* a, nint aRow, nint aStep, nint count, nint segments, nint aSegment,
        float* w, nint wStep, float* c, nint cRow)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TBlocks : struct, ICount
        where TAdds : struct, ICount
    {
        while (rows > 0)
        {
            var take = NextRows<TLanes, TVector>(rows);
            for (nint lane = 0; lane < PanelLayout.Block; lane += TLanes.Width)
            {
                switch (take)
                {
                    case 6:
                        Run<TLanes, TVector, N6, TBlocks, TAdds>(
                            start + lane, startRow, a, aRow, aStep, count, segments, aSegment, w + lane, wStep, c + lane, cRow);
                        break;
                    case 5:
                        Run<TLanes, TVector, N5, TBlocks, TAdds>(
                            start + lane, startRow, a, aRow, aStep, count, segments, aSegment, w + lane, wStep, c + lane, cRow);
                        break;
                    case 4:
                        Run<TLanes, TVector, N4, TBlocks, TAdds>(
                            start + lane, startRow, a, aRow, aStep, count, segments, aSegment, w + lane, wStep, c + lane, cRow);
                        break;
                    case 3:
                        Run<TLanes, TVector, N3, TBlocks, TAdds>(
                            start + lane, startRow, a, aRow, aStep, count, segments, aSegment, w + lane, wStep, c + lane, cRow);
                        break;
                    case 2:
                        Run<TLanes, TVector, N2, TBlocks, TAdds>(
                            start + lane, startRow, a, aRow, aStep, count, segments, aSegment, w + lane, wStep, c + lane, cRow);
                        break;
                    default:
                        Run<TLanes, TVector, N1, TBlocks, TAdds>(
                            start + lane, startRow, a, aRow, aStep, count, segments, aSegment, w + lane, wStep, c + lane, cRow);
                        break;
                }
            }

            rows -= take;
            start += take * startRow;
            a += take * aRow;
            c += take * cRow;
        }
    }

    /// <summary>How many of the remaining rows to take next: sixes, and no lonely row after them where that is avoidable.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int NextRows<TLanes, TVector>(nint remaining)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct =>
        !TLanes.HasManyRegisters ? (int)Math.Min(3, remaining)
        : remaining <= MostRows ? (int)remaining
        : remaining is 7 or 8 ? 4
        : remaining is 9 or 10 ? 5
        : MostRows;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put<TLanes, TVector, TAdds>(float* target, TVector value)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TAdds : struct, ICount
    {
        TLanes.Store(target, TAdds.Value == 1 ? TLanes.Add(TLanes.Load(target), value) : value);
    }
}
