using System.Runtime.Intrinsics;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Recurrent.Kernels;

/// <summary>How many bits the kernels compute at once. Every width gives the same result bits.</summary>
internal static class KernelWidth
{
    /// <summary>512, 256 or 128, to compute narrower than the machine could: for tests and comparisons.</summary>
    public const string Variable = "STREAMLSTM_SIMD";

    /// <summary>The widest this machine has, best first: half the width is half the speed.</summary>
    public static VectorWidth Widest =>
        System.Runtime.Intrinsics.X86.Avx512F.IsSupported && Vector512.IsHardwareAccelerated ? VectorWidth.Bits512
        : Vector256.IsHardwareAccelerated ? VectorWidth.Bits256
        : VectorWidth.Bits128;

    /// <summary><see cref="Widest"/>, or what <see cref="Variable"/> asks for.</summary>
    public static VectorWidth Chosen { get; } = Choose(Environment.GetEnvironmentVariable(Variable));

    public static VectorWidth Choose(string? wish)
    {
        var width = wish switch
        {
            null or "" => Widest,
            "512" => VectorWidth.Bits512,
            "256" => VectorWidth.Bits256,
            "128" => VectorWidth.Bits128,
            _ => throw new ArgumentException($"{Variable} must be 512, 256 or 128, not '{wish}'."),
        };
        Require(width);
        return width;
    }

    public static void Require(VectorWidth width)
    {
        Simd.RequireFusedMultiplyAdd();
        if (width > Widest)
        {
            throw new PlatformNotSupportedException($"This processor computes in {Widest} at most, not {width}.");
        }
    }
}
