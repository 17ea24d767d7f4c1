using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace StreamLstm.Core.Numerics;

/// <summary>
/// C = initial + A·B in single precision, the one matrix product of forward and backward passes.
/// </summary>
/// <remarks>
/// Every element is one chain of fused multiply-adds over k = 0, 1, …, in its own lane: k is never split and nothing is
/// summed across lanes. The result therefore does not depend on the number of rows, on the tile or on the vector width.
/// </remarks>
internal static class MatrixProduct
{
    /// <summary>Columns of B and C come in multiples of this, whatever the vector width.</summary>
    public const int ColumnMultiple = 16;

    public static int PadColumns(int columns) => (columns + ColumnMultiple - 1) / ColumnMultiple * ColumnMultiple;

    /// <param name="initial">What C starts from: [rows, columns] with row stride <paramref name="initialRow"/> (0 = one row for all).</param>
    /// <param name="a">[rows, inner]; element (r, k) at r·<paramref name="aRow"/> + k·<paramref name="aColumn"/>.</param>
    /// <param name="b">[inner, columns] with row stride <paramref name="bRow"/>.</param>
    /// <param name="c">[rows, columns] with row stride <paramref name="cRow"/>; may be <paramref name="initial"/> itself.</param>
    /// <param name="columns">A multiple of <see cref="ColumnMultiple"/>.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Compute<TSimd, TVector>(
        ReadOnlySpan<float> initial, int initialRow,
        ReadOnlySpan<float> a, int aRow, int aColumn,
        ReadOnlySpan<float> b, int bRow,
        Span<float> c, int cRow,
        int rows, int inner, int columns)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        if (rows <= 0 || columns <= 0)
        {
            return;
        }

        Require(columns % ColumnMultiple == 0 && bRow >= columns && cRow >= columns);
        Require(initial.Length >= ((rows - 1) * initialRow) + columns);
        Require(c.Length >= ((rows - 1) * cRow) + columns);
        Require(inner <= 0 || a.Length > ((rows - 1) * aRow) + ((inner - 1) * aColumn));
        Require(inner <= 0 || b.Length >= ((inner - 1) * bRow) + columns);

        ref var i0 = ref MemoryMarshal.GetReference(initial);
        ref var a0 = ref MemoryMarshal.GetReference(a);
        ref var b0 = ref MemoryMarshal.GetReference(b);
        ref var c0 = ref MemoryMarshal.GetReference(c);
        var width = TSimd.Width;
        var tiledRows = rows & ~3;

        // A block of columns of B stays in the first-level cache while all rows pass by.
        var column = 0;
        for (; column + (2 * width) <= columns && tiledRows > 0; column += 2 * width)
        {
            for (var row = 0; row < tiledRows; row += 4)
            {
                Tile4By2<TSimd, TVector>(
                    ref Unsafe.Add(ref i0, (row * initialRow) + column), initialRow,
                    ref Unsafe.Add(ref a0, row * aRow), aRow, aColumn,
                    ref Unsafe.Add(ref b0, column), bRow,
                    ref Unsafe.Add(ref c0, (row * cRow) + column), cRow, inner);
            }
        }

        for (; column < columns && tiledRows > 0; column += width)
        {
            for (var row = 0; row < tiledRows; row += 4)
            {
                Tile4By1<TSimd, TVector>(
                    ref Unsafe.Add(ref i0, (row * initialRow) + column), initialRow,
                    ref Unsafe.Add(ref a0, row * aRow), aRow, aColumn,
                    ref Unsafe.Add(ref b0, column), bRow,
                    ref Unsafe.Add(ref c0, (row * cRow) + column), cRow, inner);
            }
        }

        for (var row = tiledRows; row < rows; row++)
        {
            column = 0;
            for (; column + (4 * width) <= columns; column += 4 * width)
            {
                Tile1By4<TSimd, TVector>(
                    ref Unsafe.Add(ref i0, (row * initialRow) + column),
                    ref Unsafe.Add(ref a0, row * aRow), aColumn,
                    ref Unsafe.Add(ref b0, column), bRow,
                    ref Unsafe.Add(ref c0, (row * cRow) + column), inner);
            }

            for (; column < columns; column += width)
            {
                Tile1By1<TSimd, TVector>(
                    ref Unsafe.Add(ref i0, (row * initialRow) + column),
                    ref Unsafe.Add(ref a0, row * aRow), aColumn,
                    ref Unsafe.Add(ref b0, column), bRow,
                    ref Unsafe.Add(ref c0, (row * cRow) + column), inner);
            }
        }
    }

    /// <summary>target[columns] += Σ over rows of source, one chain of additions per lane in row order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddRows<TSimd, TVector>(ReadOnlySpan<float> source, int rows, int columns, Span<float> target)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        Require(columns % ColumnMultiple == 0 && source.Length >= rows * columns && target.Length >= columns);
        ref var s = ref MemoryMarshal.GetReference(source);
        ref var t = ref MemoryMarshal.GetReference(target);
        for (var column = 0; column < columns; column += TSimd.Width)
        {
            var sum = TSimd.Load(ref t, column);
            for (var row = 0; row < rows; row++)
            {
                sum = TSimd.Add(sum, TSimd.Load(ref s, (row * columns) + column));
            }

            TSimd.Store(sum, ref t, column);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile4By2<TSimd, TVector>(
        ref float initial, nint initialRow, ref float a, nint aRow, nint aColumn, ref float b, nint bRow, ref float c, nint cRow, int inner)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        nint second = TSimd.Width;
        var c00 = TSimd.Load(ref initial, 0);
        var c01 = TSimd.Load(ref initial, second);
        var c10 = TSimd.Load(ref initial, initialRow);
        var c11 = TSimd.Load(ref initial, initialRow + second);
        var c20 = TSimd.Load(ref initial, 2 * initialRow);
        var c21 = TSimd.Load(ref initial, (2 * initialRow) + second);
        var c30 = TSimd.Load(ref initial, 3 * initialRow);
        var c31 = TSimd.Load(ref initial, (3 * initialRow) + second);
        ref var a0 = ref a;
        ref var a1 = ref Unsafe.Add(ref a, aRow);
        ref var a2 = ref Unsafe.Add(ref a, 2 * aRow);
        ref var a3 = ref Unsafe.Add(ref a, 3 * aRow);
        for (var k = 0; k < inner; k++)
        {
            var b0 = TSimd.Load(ref b, 0);
            var b1 = TSimd.Load(ref b, second);
            var x = TSimd.Broadcast(a0);
            c00 = TSimd.MultiplyAdd(x, b0, c00);
            c01 = TSimd.MultiplyAdd(x, b1, c01);
            x = TSimd.Broadcast(a1);
            c10 = TSimd.MultiplyAdd(x, b0, c10);
            c11 = TSimd.MultiplyAdd(x, b1, c11);
            x = TSimd.Broadcast(a2);
            c20 = TSimd.MultiplyAdd(x, b0, c20);
            c21 = TSimd.MultiplyAdd(x, b1, c21);
            x = TSimd.Broadcast(a3);
            c30 = TSimd.MultiplyAdd(x, b0, c30);
            c31 = TSimd.MultiplyAdd(x, b1, c31);
            a0 = ref Unsafe.Add(ref a0, aColumn);
            a1 = ref Unsafe.Add(ref a1, aColumn);
            a2 = ref Unsafe.Add(ref a2, aColumn);
            a3 = ref Unsafe.Add(ref a3, aColumn);
            b = ref Unsafe.Add(ref b, bRow);
        }

        TSimd.Store(c00, ref c, 0);
        TSimd.Store(c01, ref c, second);
        TSimd.Store(c10, ref c, cRow);
        TSimd.Store(c11, ref c, cRow + second);
        TSimd.Store(c20, ref c, 2 * cRow);
        TSimd.Store(c21, ref c, (2 * cRow) + second);
        TSimd.Store(c30, ref c, 3 * cRow);
        TSimd.Store(c31, ref c, (3 * cRow) + second);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile4By1<TSimd, TVector>(
        ref float initial, nint initialRow, ref float a, nint aRow, nint aColumn, ref float b, nint bRow, ref float c, nint cRow, int inner)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        var c0 = TSimd.Load(ref initial, 0);
        var c1 = TSimd.Load(ref initial, initialRow);
        var c2 = TSimd.Load(ref initial, 2 * initialRow);
        var c3 = TSimd.Load(ref initial, 3 * initialRow);
        for (var k = 0; k < inner; k++)
        {
            var b0 = TSimd.Load(ref b, 0);
            c0 = TSimd.MultiplyAdd(TSimd.Broadcast(a), b0, c0);
            c1 = TSimd.MultiplyAdd(TSimd.Broadcast(Unsafe.Add(ref a, aRow)), b0, c1);
            c2 = TSimd.MultiplyAdd(TSimd.Broadcast(Unsafe.Add(ref a, 2 * aRow)), b0, c2);
            c3 = TSimd.MultiplyAdd(TSimd.Broadcast(Unsafe.Add(ref a, 3 * aRow)), b0, c3);
            a = ref Unsafe.Add(ref a, aColumn);
            b = ref Unsafe.Add(ref b, bRow);
        }

        TSimd.Store(c0, ref c, 0);
        TSimd.Store(c1, ref c, cRow);
        TSimd.Store(c2, ref c, 2 * cRow);
        TSimd.Store(c3, ref c, 3 * cRow);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile1By4<TSimd, TVector>(
        ref float initial, ref float a, nint aColumn, ref float b, nint bRow, ref float c, int inner)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        nint width = TSimd.Width;
        var c0 = TSimd.Load(ref initial, 0);
        var c1 = TSimd.Load(ref initial, width);
        var c2 = TSimd.Load(ref initial, 2 * width);
        var c3 = TSimd.Load(ref initial, 3 * width);
        for (var k = 0; k < inner; k++)
        {
            var x = TSimd.Broadcast(a);
            c0 = TSimd.MultiplyAdd(x, TSimd.Load(ref b, 0), c0);
            c1 = TSimd.MultiplyAdd(x, TSimd.Load(ref b, width), c1);
            c2 = TSimd.MultiplyAdd(x, TSimd.Load(ref b, 2 * width), c2);
            c3 = TSimd.MultiplyAdd(x, TSimd.Load(ref b, 3 * width), c3);
            a = ref Unsafe.Add(ref a, aColumn);
            b = ref Unsafe.Add(ref b, bRow);
        }

        TSimd.Store(c0, ref c, 0);
        TSimd.Store(c1, ref c, width);
        TSimd.Store(c2, ref c, 2 * width);
        TSimd.Store(c3, ref c, 3 * width);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile1By1<TSimd, TVector>(
        ref float initial, ref float a, nint aColumn, ref float b, nint bRow, ref float c, int inner)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        var sum = TSimd.Load(ref initial, 0);
        for (var k = 0; k < inner; k++)
        {
            sum = TSimd.MultiplyAdd(TSimd.Broadcast(a), TSimd.Load(ref b, 0), sum);
            a = ref Unsafe.Add(ref a, aColumn);
            b = ref Unsafe.Add(ref b, bRow);
        }

        TSimd.Store(sum, ref c, 0);
    }

    private static void Require(bool extentsFit)
    {
        if (!extentsFit)
        {
            throw new InvalidOperationException("A matrix of a product is shorter than its stated extents.");
        }
    }
}
