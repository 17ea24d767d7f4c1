using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace StreamLstm.Benchmarks;

/// <summary>
/// What the core can do at most: fused multiply-adds at the machine's widest vectors on 16 independent sums, no memory.
/// </summary>
internal static class Peak
{
    private const int Sums = 16;
    private const int Turns = 250_000;

    /// <summary>FLOP/s of one burst of about a millisecond.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static double Measure()
    {
        var start = Stopwatch.GetTimestamp();
        var (sink, flops) = Vector512.IsHardwareAccelerated ? (Run512(Turns), Turns * Sums * 2.0 * 16) : (Run256(Turns), Turns * Sums * 2.0 * 8);
        var elapsed = Stopwatch.GetElapsedTime(start).TotalSeconds;
        return sink > 1e30f ? 0 : flops / elapsed;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static float Run512(int turns)
    {
        var a = Vector512.Create(0.999f);
        var b = Vector512.Create(0.001f);
        var s0 = Vector512.Create(0f);
        var s1 = Vector512.Create(1f);
        var s2 = Vector512.Create(2f);
        var s3 = Vector512.Create(3f);
        var s4 = Vector512.Create(4f);
        var s5 = Vector512.Create(5f);
        var s6 = Vector512.Create(6f);
        var s7 = Vector512.Create(7f);
        var s8 = Vector512.Create(8f);
        var s9 = Vector512.Create(9f);
        var s10 = Vector512.Create(10f);
        var s11 = Vector512.Create(11f);
        var s12 = Vector512.Create(12f);
        var s13 = Vector512.Create(13f);
        var s14 = Vector512.Create(14f);
        var s15 = Vector512.Create(15f);
        for (var turn = 0; turn < turns; turn++)
        {
            s0 = Vector512.FusedMultiplyAdd(s0, a, b);
            s1 = Vector512.FusedMultiplyAdd(s1, a, b);
            s2 = Vector512.FusedMultiplyAdd(s2, a, b);
            s3 = Vector512.FusedMultiplyAdd(s3, a, b);
            s4 = Vector512.FusedMultiplyAdd(s4, a, b);
            s5 = Vector512.FusedMultiplyAdd(s5, a, b);
            s6 = Vector512.FusedMultiplyAdd(s6, a, b);
            s7 = Vector512.FusedMultiplyAdd(s7, a, b);
            s8 = Vector512.FusedMultiplyAdd(s8, a, b);
            s9 = Vector512.FusedMultiplyAdd(s9, a, b);
            s10 = Vector512.FusedMultiplyAdd(s10, a, b);
            s11 = Vector512.FusedMultiplyAdd(s11, a, b);
            s12 = Vector512.FusedMultiplyAdd(s12, a, b);
            s13 = Vector512.FusedMultiplyAdd(s13, a, b);
            s14 = Vector512.FusedMultiplyAdd(s14, a, b);
            s15 = Vector512.FusedMultiplyAdd(s15, a, b);
        }

        return Vector512.Sum(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11 + s12 + s13 + s14 + s15);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static float Run256(int turns)
    {
        var a = Vector256.Create(0.999f);
        var b = Vector256.Create(0.001f);
        var s0 = Vector256.Create(0f);
        var s1 = Vector256.Create(1f);
        var s2 = Vector256.Create(2f);
        var s3 = Vector256.Create(3f);
        var s4 = Vector256.Create(4f);
        var s5 = Vector256.Create(5f);
        var s6 = Vector256.Create(6f);
        var s7 = Vector256.Create(7f);
        var s8 = Vector256.Create(8f);
        var s9 = Vector256.Create(9f);
        var s10 = Vector256.Create(10f);
        var s11 = Vector256.Create(11f);
        var s12 = Vector256.Create(12f);
        var s13 = Vector256.Create(13f);
        var s14 = Vector256.Create(14f);
        var s15 = Vector256.Create(15f);
        for (var turn = 0; turn < turns; turn++)
        {
            s0 = Vector256.FusedMultiplyAdd(s0, a, b);
            s1 = Vector256.FusedMultiplyAdd(s1, a, b);
            s2 = Vector256.FusedMultiplyAdd(s2, a, b);
            s3 = Vector256.FusedMultiplyAdd(s3, a, b);
            s4 = Vector256.FusedMultiplyAdd(s4, a, b);
            s5 = Vector256.FusedMultiplyAdd(s5, a, b);
            s6 = Vector256.FusedMultiplyAdd(s6, a, b);
            s7 = Vector256.FusedMultiplyAdd(s7, a, b);
            s8 = Vector256.FusedMultiplyAdd(s8, a, b);
            s9 = Vector256.FusedMultiplyAdd(s9, a, b);
            s10 = Vector256.FusedMultiplyAdd(s10, a, b);
            s11 = Vector256.FusedMultiplyAdd(s11, a, b);
            s12 = Vector256.FusedMultiplyAdd(s12, a, b);
            s13 = Vector256.FusedMultiplyAdd(s13, a, b);
            s14 = Vector256.FusedMultiplyAdd(s14, a, b);
            s15 = Vector256.FusedMultiplyAdd(s15, a, b);
        }

        return Vector256.Sum(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11 + s12 + s13 + s14 + s15);
    }
}
