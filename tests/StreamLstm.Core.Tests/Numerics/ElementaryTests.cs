using System.Runtime.Intrinsics;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Tests.Numerics;

public class ElementaryTests(ITestOutputHelper output)
{
    // A prime number of bit patterns apart: some two million arguments of every exponent and sign.
    private const uint Stride = 2003;

    [Fact]
    public void Exp2_is_within_its_stated_error() => AssertUlps(1.1, Elementary.Exp2, x => Math.Pow(2, x), -126, 128);

    [Fact]
    public void Exp_is_within_its_stated_error() => AssertUlps(1.1, Elementary.Exp, Math.Exp, -87.3, 88.72);

    [Fact]
    public void Log_is_within_its_stated_error() => AssertUlps(1.0, Elementary.Log, Math.Log, 0, float.MaxValue);

    [Fact]
    public void Tanh_is_within_its_stated_error() => AssertUlps(2.5, Elementary.Tanh, Math.Tanh, float.MinValue, float.MaxValue);

    [Fact]
    public void Sigmoid_is_within_its_stated_error() => AssertUlps(2.5, Elementary.Sigmoid, x => 1 / (1 + Math.Exp(-x)), -87, float.MaxValue);

    [Fact]
    public void Sine_and_cosine_of_turns_are_within_their_stated_error()
    {
        var worst = 0.0;
        for (var i = -4_000_000; i <= 4_000_000; i++)
        {
            var x = i * 3.1e-6f;
            var angle = 2 * Math.PI * (x - Math.Round((double)x));
            var (sin, cos) = Elementary.SinCosTurns(x);
            worst = Math.Max(worst, Math.Max(Math.Abs(sin - Math.Sin(angle)), Math.Abs(cos - Math.Cos(angle))));
        }

        output.WriteLine($"{worst:0.0e+0}");
        Assert.True(worst <= 1.5e-7, $"{worst}");
    }

    [Fact]
    public void Quarter_turns_are_exact()
    {
        Assert.Equal((0f, 1f), Elementary.SinCosTurns(3f));
        Assert.Equal((1f, 0f), Elementary.SinCosTurns(-0.75f));
        Assert.Equal((-1f, 0f), Elementary.SinCosTurns(7.75f));
        Assert.Equal((0f, -1f), Elementary.SinCosTurns(1.5f));
        Assert.Equal((0f, 1f), Elementary.SinCosTurns(1e9f));
    }

    [Fact]
    public void Ends_of_the_domains_are_as_documented()
    {
        Assert.Equal(float.PositiveInfinity, Elementary.Exp(float.PositiveInfinity));
        Assert.Equal(float.PositiveInfinity, Elementary.Exp2(128f));
        Assert.Equal(0f, Elementary.Exp(float.NegativeInfinity));
        Assert.Equal(0f, Elementary.Exp2(-1000f));
        Assert.Equal(float.Epsilon, Elementary.Exp2(-149f));
        Assert.Equal(1f, Elementary.Sigmoid(float.PositiveInfinity));
        Assert.InRange(Elementary.Sigmoid(float.NegativeInfinity), 1.2e-38f, 2e-38f);
        Assert.Equal(1f, Elementary.Tanh(float.PositiveInfinity));
        Assert.Equal(-1f, Elementary.Tanh(float.NegativeInfinity));
        Assert.Equal(float.NegativeInfinity, Elementary.Log(0f));
        Assert.Equal(float.PositiveInfinity, Elementary.Log(float.PositiveInfinity));
        Assert.True(float.IsNaN(Elementary.Log(-1f)));
        Assert.InRange(Elementary.Log(float.Epsilon), -103.27893f, -103.27892f);
        Assert.True(float.IsNaN(Elementary.SinCosTurns(float.PositiveInfinity).Sin));
    }

    [Fact]
    public void Nan_in_gives_nan_out()
    {
        Assert.True(float.IsNaN(Elementary.Exp2(float.NaN)));
        Assert.True(float.IsNaN(Elementary.Exp(float.NaN)));
        Assert.True(float.IsNaN(Elementary.Sigmoid(float.NaN)));
        Assert.True(float.IsNaN(Elementary.Tanh(float.NaN)));
        Assert.True(float.IsNaN(Elementary.Log(float.NaN)));
        Assert.True(float.IsNaN(Elementary.SinCosTurns(float.NaN).Sin));
        Assert.True(float.IsNaN(Elementary.SinCosTurns(float.NaN).Cos));
    }

    [Fact]
    public void Vector_forms_have_the_bits_of_the_scalar_ones_at_512_bits() => AssertVectorBits<Simd512, Vector512<float>>();

    [Fact]
    public void Vector_forms_have_the_bits_of_the_scalar_ones_at_256_bits() => AssertVectorBits<Simd256, Vector256<float>>();

    [Fact]
    public void Vector_forms_have_the_bits_of_the_scalar_ones_at_128_bits() => AssertVectorBits<Simd128, Vector128<float>>();

    private void AssertUlps(double allowed, Func<float, float> function, Func<double, double> exact, double low, double high)
    {
        var worst = 0.0;
        var at = 0f;
        for (ulong bits = 0; bits <= uint.MaxValue; bits += Stride)
        {
            var x = BitConverter.UInt32BitsToSingle((uint)bits);
            if (!float.IsFinite(x) || x <= low || x >= high)
            {
                continue;
            }

            var expected = exact(x);
            var magnitude = (float)Math.Abs(expected);
            if (magnitude < 1.2e-38f || !float.IsFinite(magnitude))
            {
                continue;
            }

            var ulp = (double)MathF.BitIncrement(magnitude) - magnitude;
            var error = Math.Abs(function(x) - expected) / ulp;
            if (!(error <= worst))
            {
                (worst, at) = (error, x);
            }
        }

        output.WriteLine($"{worst:0.00} ulp at {at:r}");
        Assert.True(worst <= allowed, $"{worst} ulp at {at:r}");
    }

    private static void AssertVectorBits<TSimd, TVector>()
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        var x = new float[TSimd.Width];
        var result = new float[TSimd.Width];
        for (ulong bits = 0; bits + (16 * 4 * Stride) <= uint.MaxValue; bits += (ulong)TSimd.Width * 4 * Stride)
        {
            for (var lane = 0; lane < x.Length; lane++)
            {
                x[lane] = BitConverter.UInt32BitsToSingle((uint)(bits + ((ulong)lane * 4 * Stride)));
            }

            var vector = TSimd.Load(ref x[0], 0);
            Check(VectorElementary.Exp2<TSimd, TVector>(vector), Elementary.Exp2);
            Check(VectorElementary.Exp<TSimd, TVector>(vector), Elementary.Exp);
            Check(VectorElementary.Sigmoid<TSimd, TVector>(vector), Elementary.Sigmoid);
            Check(VectorElementary.Tanh<TSimd, TVector>(vector), Elementary.Tanh);
        }

        void Check(TVector actual, Func<float, float> scalar)
        {
            TSimd.Store(actual, ref result[0], 0);
            for (var lane = 0; lane < x.Length; lane++)
            {
                var expected = scalar(x[lane]);
                if (BitConverter.SingleToInt32Bits(expected) != BitConverter.SingleToInt32Bits(result[lane])
                    && !(float.IsNaN(expected) && float.IsNaN(result[lane])))
                {
                    Assert.Fail($"{scalar.Method.Name}({x[lane]:r}) is {expected:r}, lane {lane} holds {result[lane]:r}");
                }
            }
        }
    }
}
