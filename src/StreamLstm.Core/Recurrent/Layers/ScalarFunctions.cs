using System.Numerics;
using System.Runtime.CompilerServices;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Recurrent.Layers;

/// <summary>
/// Elementary functions for float and double. Single precision is <see cref="Elementary"/>, with the same bits everywhere;
/// double precision is the platform's and serves to check the former, never a forecast.
/// </summary>
internal static class ScalarFunctions
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Exp<T>(T x)
        where T : unmanaged, IFloatingPointIeee754<T> =>
        typeof(T) == typeof(float) ? Unsafe.BitCast<float, T>(Elementary.Exp(Unsafe.BitCast<T, float>(x))) : T.Exp(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Log<T>(T x)
        where T : unmanaged, IFloatingPointIeee754<T> =>
        typeof(T) == typeof(float) ? Unsafe.BitCast<float, T>(Elementary.Log(Unsafe.BitCast<T, float>(x))) : T.Log(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Tanh<T>(T x)
        where T : unmanaged, IFloatingPointIeee754<T> =>
        typeof(T) == typeof(float) ? Unsafe.BitCast<float, T>(Elementary.Tanh(Unsafe.BitCast<T, float>(x))) : T.Tanh(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Sigmoid<T>(T x)
        where T : unmanaged, IFloatingPointIeee754<T> =>
        typeof(T) == typeof(float)
            ? Unsafe.BitCast<float, T>(Elementary.Sigmoid(Unsafe.BitCast<T, float>(x)))
            : T.One / (T.One + T.Exp(-x));

    /// <summary>log(1 + e^x) ≥ 0, without overflow.</summary>
    public static T Softplus<T>(T x)
        where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Max(x, T.Zero) + Log(T.One + Exp(-T.Abs(x)));

    public static void Apply<T>(Activation activation, Span<T> values)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = Apply(activation, values[i]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Apply<T>(Activation activation, T x)
        where T : unmanaged, IFloatingPointIeee754<T> => activation switch
        {
            Activation.Tanh => Tanh(x),
            Activation.Sigmoid => Sigmoid(x),
            Activation.HardSigmoid => T.Clamp((x / T.CreateChecked(6)) + T.CreateChecked(0.5), T.Zero, T.One),
            Activation.Relu => T.Max(x, T.Zero),
            _ => x,
        };

    /// <summary>The derivative, from the function's own value; at a kink that of the flat side.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Slope<T>(Activation activation, T y)
        where T : unmanaged, IFloatingPointIeee754<T> => activation switch
        {
            Activation.Tanh => T.One - (y * y),
            Activation.Sigmoid => y * (T.One - y),
            Activation.HardSigmoid => y > T.Zero && y < T.One ? T.One / T.CreateChecked(6) : T.Zero,
            Activation.Relu => y > T.Zero ? T.One : T.Zero,
            _ => T.One,
        };
}
