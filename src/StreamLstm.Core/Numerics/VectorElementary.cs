using System.Runtime.CompilerServices;

namespace StreamLstm.Core.Numerics;

/// <summary>Vector forms of <see cref="Elementary"/>: the same operations in the same order, so the same bits in every lane.</summary>
internal static class VectorElementary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Exp2<TSimd, TVector>(TVector x)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        x = TSimd.AtMost(x, TSimd.Broadcast(Elementary.ExponentHigh));
        x = TSimd.AtLeast(x, TSimd.Broadcast(Elementary.ExponentLow));
        var n = Round<TSimd, TVector>(x);
        var r = TSimd.Multiply(TSimd.Subtract(x, n), TSimd.Broadcast(Elementary.Ln2High));
        return ScaleWide<TSimd, TVector>(TSimd.Add(Expm1OfReduced<TSimd, TVector>(r), TSimd.Broadcast(1f)), n);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Exp<TSimd, TVector>(TVector x)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        x = TSimd.AtMost(x, TSimd.Broadcast(Elementary.ExponentHigh * Elementary.Ln2High));
        x = TSimd.AtLeast(x, TSimd.Broadcast(Elementary.ExponentLow * Elementary.Ln2High));
        var n = Round<TSimd, TVector>(TSimd.Multiply(x, TSimd.Broadcast(Elementary.Log2E)));
        var p = TSimd.Add(Expm1OfReduced<TSimd, TVector>(Reduce<TSimd, TVector>(x, n)), TSimd.Broadcast(1f));
        return ScaleWide<TSimd, TVector>(p, n);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Sigmoid<TSimd, TVector>(TVector x)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        x = TSimd.AtMost(x, TSimd.Broadcast(Elementary.SigmoidLimit));
        x = TSimd.AtLeast(x, TSimd.Broadcast(-Elementary.SigmoidLimit));
        var one = TSimd.Broadcast(1f);
        var magic = TSimd.Broadcast(Elementary.RoundingMagic);
        var sum = TSimd.Add(TSimd.Multiply(x, TSimd.Broadcast(-Elementary.Log2E)), magic);
        var n = TSimd.Subtract(sum, magic);
        var r = Reduce<TSimd, TVector>(TSimd.Subtract(TSimd.Broadcast(-0f), x), n);
        var e = TSimd.Multiply(TSimd.Add(Expm1OfReduced<TSimd, TVector>(r), one), TSimd.PowerOfTwo(sum));
        return TSimd.Divide(one, TSimd.Add(one, e));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Tanh<TSimd, TVector>(TVector x)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        var magnitude = TSimd.AtMost(TSimd.Abs(x), TSimd.Broadcast(Elementary.TanhLimit));
        var minusTwo = TSimd.Broadcast(-2f);
        var magic = TSimd.Broadcast(Elementary.RoundingMagic);
        var y = TSimd.Multiply(magnitude, minusTwo);
        var sum = TSimd.Add(TSimd.Multiply(y, TSimd.Broadcast(Elementary.Log2E)), magic);
        var s = TSimd.PowerOfTwo(sum);
        var r = Reduce<TSimd, TVector>(y, TSimd.Subtract(sum, magic));
        var e = TSimd.MultiplyAdd(Expm1OfReduced<TSimd, TVector>(r), s, TSimd.Subtract(s, TSimd.Broadcast(1f)));
        return TSimd.CopySign(TSimd.Divide(e, TSimd.Subtract(minusTwo, e)), x);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Round<TSimd, TVector>(TVector x)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        var magic = TSimd.Broadcast(Elementary.RoundingMagic);
        return TSimd.Subtract(TSimd.Add(x, magic), magic);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Reduce<TSimd, TVector>(TVector x, TVector n)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct =>
        TSimd.MultiplyAdd(n, TSimd.Broadcast(-Elementary.Ln2Low), TSimd.MultiplyAdd(n, TSimd.Broadcast(-Elementary.Ln2High), x));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Expm1OfReduced<TSimd, TVector>(TVector r)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        var p = TSimd.MultiplyAdd(TSimd.Broadcast(Elementary.P4), r, TSimd.Broadcast(Elementary.P3));
        p = TSimd.MultiplyAdd(p, r, TSimd.Broadcast(Elementary.P2));
        p = TSimd.MultiplyAdd(p, r, TSimd.Broadcast(Elementary.P1));
        p = TSimd.MultiplyAdd(p, r, TSimd.Broadcast(Elementary.P0));
        return TSimd.MultiplyAdd(p, TSimd.Multiply(r, r), r);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector ScaleWide<TSimd, TVector>(TVector x, TVector n)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        var magic = TSimd.Broadcast(Elementary.RoundingMagic);
        var half = Round<TSimd, TVector>(TSimd.Multiply(n, TSimd.Broadcast(0.5f)));
        var first = TSimd.PowerOfTwo(TSimd.Add(half, magic));
        var second = TSimd.PowerOfTwo(TSimd.Add(TSimd.Subtract(n, half), magic));
        return TSimd.Multiply(TSimd.Multiply(x, first), second);
    }
}
