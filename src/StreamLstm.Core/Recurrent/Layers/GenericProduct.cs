using System.Diagnostics;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace StreamLstm.Core.Recurrent.Layers;

/// <summary>
/// Matrix products for float and double. Lanes run over columns, and every element is one chain of fused multiply-adds over
/// the terms in their order, so neither the vector width nor the number of rows changes a bit.
/// </summary>
internal static class GenericProduct
{
    /// <summary>C[m, n] += Σₖ A[m, k]·B[k, n].</summary>
    /// <param name="a">A[m, k] at m·<paramref name="rowStride"/> + k·<paramref name="termStride"/>.</param>
    /// <param name="b">[terms, columns], rows <paramref name="bStride"/> apart.</param>
    /// <param name="c">[rows, columns], rows <paramref name="cStride"/> apart.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Accumulate<T>(
        ReadOnlySpan<T> a, int rowStride, int termStride, ReadOnlySpan<T> b, int bStride, Span<T> c, int cStride,
        int rows, int terms, int columns)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        if (rows == 0 || terms == 0 || columns == 0)
        {
            return;
        }

        if (a.Length <= ((rows - 1L) * rowStride) + ((terms - 1L) * termStride)
            || b.Length < ((terms - 1L) * bStride) + columns || c.Length < ((rows - 1L) * cStride) + columns)
        {
            throw new InvalidOperationException("A matrix is shorter than its stated extents.");
        }

        ref var a0 = ref MemoryMarshal.GetReference(a);
        ref var b0 = ref MemoryMarshal.GetReference(b);
        ref var c0 = ref MemoryMarshal.GetReference(c);
        var row = 0;
        for (; row + 4 <= rows; row += 4)
        {
            ref var aRow = ref Unsafe.Add(ref a0, (nint)row * rowStride);
            ref var cRow = ref Unsafe.Add(ref c0, (nint)row * cStride);
            var column = 0;
            for (; column + (2 * Vector<T>.Count) <= columns; column += 2 * Vector<T>.Count)
            {
                FourRows(ref aRow, rowStride, termStride, ref Unsafe.Add(ref b0, column), bStride, ref Unsafe.Add(ref cRow, column), cStride, terms);
            }

            for (var r = 0; r < 4; r++)
            {
                OneRow(
                    ref Unsafe.Add(ref aRow, (nint)r * rowStride), termStride, ref b0, bStride,
                    ref Unsafe.Add(ref cRow, (nint)r * cStride), terms, column, columns);
            }
        }

        for (; row < rows; row++)
        {
            OneRow(
                ref Unsafe.Add(ref a0, (nint)row * rowStride), termStride, ref b0, bStride,
                ref Unsafe.Add(ref c0, (nint)row * cStride), terms, 0, columns);
        }
    }

    /// <summary>target[n, m] += source[m, n].</summary>
    public static void AddTransposed<T>(ReadOnlySpan<T> source, int rows, int columns, Span<T> target)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        for (var m = 0; m < rows; m++)
        {
            var line = source.Slice(m * columns, columns);
            for (var n = 0; n < line.Length; n++)
            {
                target[(n * rows) + m] += line[n];
            }
        }
    }

    /// <summary>target[n] += Σₘ source[m, n].</summary>
    public static void AddRows<T>(ReadOnlySpan<T> source, int rows, int columns, Span<T> target)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        Debug.Assert(target.Length == columns, "a sum per column");
        for (var m = 0; m < rows; m++)
        {
            var line = source.Slice(m * columns, columns);
            for (var n = 0; n < line.Length; n++)
            {
                target[n] += line[n];
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourRows<T>(ref T a, nint rowStride, nint termStride, ref T b, nint bStride, ref T c, nint cStride, nint terms)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        nuint next = (nuint)Vector<T>.Count;
        ref var c1 = ref Unsafe.Add(ref c, cStride);
        ref var c2 = ref Unsafe.Add(ref c, 2 * cStride);
        ref var c3 = ref Unsafe.Add(ref c, 3 * cStride);
        var s00 = Vector.LoadUnsafe(ref c);
        var s01 = Vector.LoadUnsafe(ref c, next);
        var s10 = Vector.LoadUnsafe(ref c1);
        var s11 = Vector.LoadUnsafe(ref c1, next);
        var s20 = Vector.LoadUnsafe(ref c2);
        var s21 = Vector.LoadUnsafe(ref c2, next);
        var s30 = Vector.LoadUnsafe(ref c3);
        var s31 = Vector.LoadUnsafe(ref c3, next);
        for (nint k = 0; k < terms; k++)
        {
            var left = Vector.LoadUnsafe(ref b);
            var right = Vector.LoadUnsafe(ref b, next);
            var v = new Vector<T>(a);
            s00 = MultiplyAdd(v, left, s00);
            s01 = MultiplyAdd(v, right, s01);
            v = new Vector<T>(Unsafe.Add(ref a, rowStride));
            s10 = MultiplyAdd(v, left, s10);
            s11 = MultiplyAdd(v, right, s11);
            v = new Vector<T>(Unsafe.Add(ref a, 2 * rowStride));
            s20 = MultiplyAdd(v, left, s20);
            s21 = MultiplyAdd(v, right, s21);
            v = new Vector<T>(Unsafe.Add(ref a, 3 * rowStride));
            s30 = MultiplyAdd(v, left, s30);
            s31 = MultiplyAdd(v, right, s31);
            a = ref Unsafe.Add(ref a, termStride);
            b = ref Unsafe.Add(ref b, bStride);
        }

        s00.StoreUnsafe(ref c);
        s01.StoreUnsafe(ref c, next);
        s10.StoreUnsafe(ref c1);
        s11.StoreUnsafe(ref c1, next);
        s20.StoreUnsafe(ref c2);
        s21.StoreUnsafe(ref c2, next);
        s30.StoreUnsafe(ref c3);
        s31.StoreUnsafe(ref c3, next);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OneRow<T>(ref T a, nint termStride, ref T b, nint bStride, ref T c, nint terms, int column, int columns)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        for (; column + Vector<T>.Count <= columns; column += Vector<T>.Count)
        {
            ref var bColumn = ref Unsafe.Add(ref b, column);
            var sum = Vector.LoadUnsafe(ref c, (nuint)column);
            for (nint k = 0; k < terms; k++)
            {
                sum = MultiplyAdd(new Vector<T>(Unsafe.Add(ref a, k * termStride)), Vector.LoadUnsafe(ref Unsafe.Add(ref bColumn, k * bStride)), sum);
            }

            sum.StoreUnsafe(ref c, (nuint)column);
        }

        for (; column < columns; column++)
        {
            ref var bColumn = ref Unsafe.Add(ref b, column);
            var sum = Unsafe.Add(ref c, column);
            for (nint k = 0; k < terms; k++)
            {
                sum = T.FusedMultiplyAdd(Unsafe.Add(ref a, k * termStride), Unsafe.Add(ref bColumn, k * bStride), sum);
            }

            Unsafe.Add(ref c, column) = sum;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<T> MultiplyAdd<T>(Vector<T> a, Vector<T> b, Vector<T> c)
        where T : unmanaged, IFloatingPointIeee754<T> =>
        typeof(T) == typeof(float)
            ? Vector.FusedMultiplyAdd(a.As<T, float>(), b.As<T, float>(), c.As<T, float>()).As<float, T>()
            : Vector.FusedMultiplyAdd(a.As<T, double>(), b.As<T, double>(), c.As<T, double>()).As<double, T>();
}
