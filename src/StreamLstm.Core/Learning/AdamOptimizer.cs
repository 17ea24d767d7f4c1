using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Learning;

/// <summary>
/// Adam with bias correction (Kingma, Ba 2015) and decoupled weight decay (Loshchilov, Hutter 2019); β₁ = 0.9, ε = 1e-8.
/// </summary>
internal sealed class AdamOptimizer(int parameters, double beta2 = 0.999)
{
    private const double Beta1 = 0.9;
    private const float Epsilon = 1e-8f;

    private readonly AlignedArray _first = new(MatrixProduct.PadColumns(parameters));
    private readonly AlignedArray _second = new(MatrixProduct.PadColumns(parameters));

    /// <summary>Updates made.</summary>
    public long StepCount { get; set; }

    /// <summary>Running mean of the gradient.</summary>
    public Span<float> First => _first.Span;

    /// <summary>Running mean of the squared gradient.</summary>
    public Span<float> Second => _second.Span;

    /// <param name="weights">Padded with zeros to a multiple of 16, like <paramref name="gradient"/>.</param>
    /// <param name="gradientScale">What the gradient is multiplied by first (clipping).</param>
    public void Update<TSimd, TVector>(
        Span<float> weights, ReadOnlySpan<float> gradient, float gradientScale, float learningRate, float weightDecay)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        if (weights.Length != _first.Length || gradient.Length != _first.Length)
        {
            throw new InvalidOperationException("Weights, gradient and moments differ in length.");
        }

        StepCount++;
        var correction1 = 1.0 - Power(Beta1, StepCount);
        var correction2 = 1.0 - Power(beta2, StepCount);
        Apply<TSimd, TVector>(
            weights, gradient, gradientScale, (float)-(learningRate / correction1), (float)(1.0 / Math.Sqrt(correction2)), 1f - (learningRate * weightDecay));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Apply<TSimd, TVector>(
        Span<float> weights, ReadOnlySpan<float> gradient, float gradientScale, float step, float denominatorScale, float keep)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        ref var w = ref MemoryMarshal.GetReference(weights);
        ref var g = ref MemoryMarshal.GetReference(gradient);
        ref var m = ref MemoryMarshal.GetReference(First);
        ref var v = ref MemoryMarshal.GetReference(Second);
        var scale = TSimd.Broadcast(gradientScale);
        var keep1 = TSimd.Broadcast((float)Beta1);
        var keep2 = TSimd.Broadcast((float)beta2);
        var rest1 = TSimd.Broadcast((float)(1.0 - Beta1));
        var rest2 = TSimd.Broadcast((float)(1.0 - beta2));
        for (nint i = 0; i < weights.Length; i += TSimd.Width)
        {
            var gradientLane = TSimd.Multiply(TSimd.Load(ref g, i), scale);
            var first = TSimd.MultiplyAdd(keep1, TSimd.Load(ref m, i), TSimd.Multiply(rest1, gradientLane));
            var second = TSimd.MultiplyAdd(
                keep2, TSimd.Load(ref v, i), TSimd.Multiply(TSimd.Multiply(rest2, gradientLane), gradientLane));
            var denominator = TSimd.MultiplyAdd(
                TSimd.SquareRoot(second), TSimd.Broadcast(denominatorScale), TSimd.Broadcast(Epsilon));
            var kept = TSimd.Multiply(TSimd.Load(ref w, i), TSimd.Broadcast(keep));
            TSimd.Store(first, ref m, i);
            TSimd.Store(second, ref v, i);
            TSimd.Store(TSimd.MultiplyAdd(TSimd.Divide(first, denominator), TSimd.Broadcast(step), kept), ref w, i);
        }
    }

    /// <summary>x^n by squaring: the platform's own Pow differs between C libraries.</summary>
    private static double Power(double x, long n)
    {
        var result = 1.0;
        for (; n > 0; n >>= 1, x *= x)
        {
            if ((n & 1) != 0)
            {
                result *= x;
            }
        }

        return result;
    }
}
