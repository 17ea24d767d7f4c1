namespace StreamLstm.Core.Numerics;

/// <summary>
/// Elementary functions in single precision with the same bits on every machine. The platform's own
/// (MathF.Exp, Tanh, Log, Sin) differ between C libraries, and a replayed log must give the bytes it gave before.
/// Everything here is IEEE addition, multiplication, division and fused multiply-add on minimax polynomials.
/// </summary>
/// <remarks>
/// Maximum errors, measured over every exponent against double precision (1 ulp = 2⁻²³ relative):
/// Exp2 1.1 ulp, Exp 1.1 ulp, Log 1.0 ulp, Tanh 2.5 ulp, Sigmoid 2.5 ulp for x ≥ −87, SinCosTurns 1.5e-7 absolute.
/// NaN in gives NaN out. <see cref="VectorElementary"/> holds the vector forms of those the kernels use.
/// </remarks>
public static class Elementary
{
    internal const float Log2E = 1.44269504f;

    // ln 2 = Ln2High + Ln2Low to 50 bits.
    internal const float Ln2High = 0.693147182f;
    internal const float Ln2Low = -1.90465421e-9f;

    // Adding and subtracting 1.5·2²³ rounds to the nearest integer, ties to even; the low bits of the sum hold that integer.
    internal const float RoundingMagic = 12582912f;

    // e^r − 1 ≈ r + r²·(P0 + P1·r + … + P4·r⁴) for |r| ≤ ln 2 / 2, error 3.4e-9 before rounding.
    internal const float P0 = 0.5f;
    internal const float P1 = 0.166665137f;
    internal const float P2 = 0.0416661873f;
    internal const float P3 = 0.00836959016f;
    internal const float P4 = 0.00139517058f;

    // Outside these a sigmoid is no longer representable as a normal number; tanh has long been ±1 at ±20.
    internal const float SigmoidLimit = 87f;
    internal const float TanhLimit = 20f;

    internal const float ExponentHigh = 129f;
    internal const float ExponentLow = -151f;

    /// <summary>2^x. Overflows to infinity at 128, underflows gradually to zero below −126.</summary>
    public static float Exp2(float x)
    {
        x = x > ExponentHigh ? ExponentHigh : x;
        x = x < ExponentLow ? ExponentLow : x;
        var n = Round(x);
        return ScaleWide(Expm1OfReduced((x - n) * Ln2High) + 1f, n);
    }

    /// <summary>e^x. Overflows to infinity above 88.72, underflows gradually to zero below −87.3.</summary>
    public static float Exp(float x)
    {
        x = x > ExponentHigh * Ln2High ? ExponentHigh * Ln2High : x;
        x = x < ExponentLow * Ln2High ? ExponentLow * Ln2High : x;
        var n = Round(x * Log2E);
        return ScaleWide(Expm1OfReduced(Reduce(x, n)) + 1f, n);
    }

    /// <summary>1 / (1 + e^−x), saturating at ±87 so that the result stays a normal number.</summary>
    public static float Sigmoid(float x)
    {
        x = x > SigmoidLimit ? SigmoidLimit : x;
        x = x < -SigmoidLimit ? -SigmoidLimit : x;
        var n = Round(x * -Log2E);
        var e = (Expm1OfReduced(Reduce(-x, n)) + 1f) * PowerOfTwo(n);
        return 1f / (1f + e);
    }

    /// <summary>tanh x; odd to the last bit, and accurate relative to x near zero.</summary>
    public static float Tanh(float x)
    {
        // With e = e^(−2|x|) − 1 in (−1, 0], tanh|x| = −e / (2 + e): no cancellation anywhere.
        var magnitude = MathF.Abs(x);
        magnitude = magnitude > TanhLimit ? TanhLimit : magnitude;
        var y = magnitude * -2f;
        var n = Round(y * Log2E);
        var s = PowerOfTwo(n);
        var e = MathF.FusedMultiplyAdd(Expm1OfReduced(Reduce(y, n)), s, s - 1f);
        return MathF.CopySign(e / (-2f - e), x);
    }

    /// <summary>Natural logarithm: −∞ at zero, NaN below.</summary>
    public static float Log(float x)
    {
        if (!(x > 0f) || x == float.PositiveInfinity)
        {
            return x == 0f ? float.NegativeInfinity : x > 0f ? x : float.NaN;
        }

        var exponent = 0;
        if (x < 1.17549435e-38f)
        {
            x *= 8388608f;
            exponent = -23;
        }

        // x = 2^n · (1 + f) with 1 + f in [√½, √2); log(1 + f) ≈ f − f²/2 + f³·Q(f), error 8e-10 relative.
        var bits = BitConverter.SingleToInt32Bits(x);
        var shifted = bits - 0x3f3504f3;
        exponent += shifted >> 23;
        var f = BitConverter.Int32BitsToSingle((shifted & 0x007fffff) + 0x3f3504f3) - 1f;
        var q = MathF.FusedMultiplyAdd(0.0674664304f, f, -0.116756566f);
        q = MathF.FusedMultiplyAdd(q, f, 0.118881635f);
        q = MathF.FusedMultiplyAdd(q, f, -0.124055885f);
        q = MathF.FusedMultiplyAdd(q, f, 0.142195523f);
        q = MathF.FusedMultiplyAdd(q, f, -0.166679963f);
        q = MathF.FusedMultiplyAdd(q, f, 0.200021192f);
        q = MathF.FusedMultiplyAdd(q, f, -0.250000089f);
        q = MathF.FusedMultiplyAdd(q, f, 0.333333135f);
        var f2 = f * f;
        float n = exponent;
        var tail = MathF.FusedMultiplyAdd(q * f, f2, MathF.FusedMultiplyAdd(f2, -0.5f, n * Ln2Low));
        return MathF.FusedMultiplyAdd(n, Ln2High, f + tail);
    }

    /// <summary>sin 2πx and cos 2πx of x turns; exact at quarter turns. Infinite x gives NaN.</summary>
    public static (float Sin, float Cos) SinCosTurns(float turns)
    {
        // Both reductions are exact: to a turn, then to an eighth either side of the nearest quarter.
        var x = turns - MathF.Round(turns);
        var quarter = MathF.Round(x * 4f);
        var r = MathF.FusedMultiplyAdd(quarter, -0.25f, x);
        var u = r * r;
        var p = MathF.FusedMultiplyAdd(41.4698868f, u, -76.6977768f);
        p = MathF.FusedMultiplyAdd(p, u, 81.6052017f);
        p = MathF.FusedMultiplyAdd(p, u, -41.3417015f);
        p = MathF.FusedMultiplyAdd(p, u, 6.28318548f);
        var sin = p * r;
        p = MathF.FusedMultiplyAdd(59.2459641f, u, -85.4437408f);
        p = MathF.FusedMultiplyAdd(p, u, 64.9393234f);
        p = MathF.FusedMultiplyAdd(p, u, -19.7392082f);
        var cos = MathF.FusedMultiplyAdd(p, u, 1f);
        return quarter switch
        {
            1f => (cos, -sin),
            -1f => (-cos, sin),
            2f or -2f => (-sin, -cos),
            _ => (sin, cos),
        };
    }

    private static float Round(float x) => (x + RoundingMagic) - RoundingMagic;

    private static float Reduce(float x, float n) =>
        MathF.FusedMultiplyAdd(n, -Ln2Low, MathF.FusedMultiplyAdd(n, -Ln2High, x));

    private static float Expm1OfReduced(float r)
    {
        var p = MathF.FusedMultiplyAdd(P4, r, P3);
        p = MathF.FusedMultiplyAdd(p, r, P2);
        p = MathF.FusedMultiplyAdd(p, r, P1);
        p = MathF.FusedMultiplyAdd(p, r, P0);
        return MathF.FusedMultiplyAdd(p, r * r, r);
    }

    /// <summary>2^n for an integral n in [−126, 127].</summary>
    private static float PowerOfTwo(float n) =>
        BitConverter.Int32BitsToSingle((BitConverter.SingleToInt32Bits(n + RoundingMagic) << 23) + 0x3f800000);

    /// <summary>x·2^n for an integral n in [−151, 129], in two exact factors of which only the last can round.</summary>
    private static float ScaleWide(float x, float n)
    {
        var half = Round(n * 0.5f);
        return x * PowerOfTwo(half) * PowerOfTwo(n - half);
    }
}
