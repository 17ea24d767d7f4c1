using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Recurrent;

/// <summary>The elementwise half of the cell, on the panel layout of <see cref="PackedWeights"/>. Lanes = units.</summary>
internal static class LstmCell
{
    /// <param name="gates">[rows, 4H padded]: z in, activated i, f, g, o out.</param>
    /// <param name="previousCell">[rows, H padded].</param>
    /// <param name="cell">[rows, H padded]: f∘c + i∘g; may be <paramref name="previousCell"/>.</param>
    /// <param name="cellTanh">[rows, H padded]: tanh c, kept for the backward pass.</param>
    /// <param name="hidden">[rows, H padded]: o∘tanh c.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Forward<TSimd, TVector>(
        Span<float> gates, ReadOnlySpan<float> previousCell, Span<float> cell, Span<float> cellTanh, Span<float> hidden, int elements)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        Require(gates.Length >= 4 * elements && previousCell.Length >= elements && cell.Length >= elements
            && cellTanh.Length >= elements && hidden.Length >= elements && elements % PackedWeights.Panel == 0);
        ref var z = ref MemoryMarshal.GetReference(gates);
        ref var before = ref MemoryMarshal.GetReference(previousCell);
        ref var after = ref MemoryMarshal.GetReference(cell);
        ref var tanh = ref MemoryMarshal.GetReference(cellTanh);
        ref var h = ref MemoryMarshal.GetReference(hidden);
        for (nint panel = 0; panel < elements; panel += PackedWeights.Panel)
        {
            ref var block = ref Unsafe.Add(ref z, 4 * panel);
            for (nint lane = 0; lane < PackedWeights.Panel; lane += TSimd.Width)
            {
                var i = VectorElementary.Sigmoid<TSimd, TVector>(TSimd.Load(ref block, lane));
                var f = VectorElementary.Sigmoid<TSimd, TVector>(TSimd.Load(ref block, PackedWeights.Panel + lane));
                var g = VectorElementary.Tanh<TSimd, TVector>(TSimd.Load(ref block, (2 * PackedWeights.Panel) + lane));
                var o = VectorElementary.Sigmoid<TSimd, TVector>(TSimd.Load(ref block, (3 * PackedWeights.Panel) + lane));
                var c = TSimd.MultiplyAdd(f, TSimd.Load(ref before, panel + lane), TSimd.Multiply(i, g));
                var t = VectorElementary.Tanh<TSimd, TVector>(c);
                TSimd.Store(i, ref block, lane);
                TSimd.Store(f, ref block, PackedWeights.Panel + lane);
                TSimd.Store(g, ref block, (2 * PackedWeights.Panel) + lane);
                TSimd.Store(o, ref block, (3 * PackedWeights.Panel) + lane);
                TSimd.Store(c, ref after, panel + lane);
                TSimd.Store(t, ref tanh, panel + lane);
                TSimd.Store(TSimd.Multiply(o, t), ref h, panel + lane);
            }
        }
    }

    /// <summary>
    /// From ∂/∂h and ∂/∂c of the step to ∂/∂z (over the gates) and ∂/∂c of the step before.
    /// </summary>
    /// <param name="gates">[rows, 4H padded]: activated gates in, ∂/∂z out.</param>
    /// <param name="previousCell">[rows, H padded]: c before the step.</param>
    /// <param name="cellTanh">[rows, H padded]: tanh c of the step.</param>
    /// <param name="hiddenGradient">[rows, H padded]: ∂/∂h.</param>
    /// <param name="cellGradient">[rows, H padded]: ∂/∂c arriving from the step after in, going to the step before out.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Backward<TSimd, TVector>(
        Span<float> gates, ReadOnlySpan<float> previousCell, ReadOnlySpan<float> cellTanh,
        ReadOnlySpan<float> hiddenGradient, Span<float> cellGradient, int elements)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        Require(gates.Length >= 4 * elements && previousCell.Length >= elements && cellTanh.Length >= elements
            && hiddenGradient.Length >= elements && cellGradient.Length >= elements && elements % PackedWeights.Panel == 0);
        ref var z = ref MemoryMarshal.GetReference(gates);
        ref var before = ref MemoryMarshal.GetReference(previousCell);
        ref var tanh = ref MemoryMarshal.GetReference(cellTanh);
        ref var hGradient = ref MemoryMarshal.GetReference(hiddenGradient);
        ref var cGradient = ref MemoryMarshal.GetReference(cellGradient);
        var one = TSimd.Broadcast(1f);
        for (nint panel = 0; panel < elements; panel += PackedWeights.Panel)
        {
            ref var block = ref Unsafe.Add(ref z, 4 * panel);
            for (nint lane = 0; lane < PackedWeights.Panel; lane += TSimd.Width)
            {
                var i = TSimd.Load(ref block, lane);
                var f = TSimd.Load(ref block, PackedWeights.Panel + lane);
                var g = TSimd.Load(ref block, (2 * PackedWeights.Panel) + lane);
                var o = TSimd.Load(ref block, (3 * PackedWeights.Panel) + lane);
                var t = TSimd.Load(ref tanh, panel + lane);
                var dh = TSimd.Load(ref hGradient, panel + lane);
                var dht = TSimd.Multiply(dh, t);

                // ∂/∂c = carried + ∂/∂h·o·(1 − tanh²c)
                var dc = TSimd.MultiplyAdd(
                    TSimd.Multiply(dh, o), TSimd.Subtract(one, TSimd.Multiply(t, t)), TSimd.Load(ref cGradient, panel + lane));
                var dci = TSimd.Multiply(dc, i);
                var dcf = TSimd.Multiply(dc, f);
                TSimd.Store(TSimd.Multiply(TSimd.Multiply(dci, g), TSimd.Subtract(one, i)), ref block, lane);
                TSimd.Store(
                    TSimd.Multiply(TSimd.Multiply(dcf, TSimd.Load(ref before, panel + lane)), TSimd.Subtract(one, f)),
                    ref block, PackedWeights.Panel + lane);
                TSimd.Store(
                    TSimd.Multiply(dci, TSimd.Subtract(one, TSimd.Multiply(g, g))), ref block, (2 * PackedWeights.Panel) + lane);
                TSimd.Store(
                    TSimd.Multiply(TSimd.Multiply(dht, o), TSimd.Subtract(one, o)), ref block, (3 * PackedWeights.Panel) + lane);
                TSimd.Store(dcf, ref cGradient, panel + lane);
            }
        }
    }

    private static void Require(bool extentsFit)
    {
        if (!extentsFit)
        {
            throw new InvalidOperationException("A buffer of the cell is shorter than its stated extents.");
        }
    }
}
