using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Recurrent.Kernels;

/// <summary>
/// What <see cref="StackedKernel"/> computes, one number at a time and in the same order: the text to read first, and the
/// witness the fast kernels must equal bit by bit.
/// </summary>
internal static class StackedReference
{
    /// <inheritdoc cref="StackedKernel.Step"/>
    public static void Step(StackedWeights weights, StateRecords records, ReadOnlySpan<int> slots, ReadOnlySpan<float> inputs)
    {
        var layout = weights.Layout;
        var shape = layout.Shape;
        var gates = new float[4];
        for (var b = 0; b < slots.Length; b++)
        {
            var x = inputs.Slice(b * shape.Inputs, shape.Inputs).ToArray();
            for (var layer = 0; layer < shape.Layers; layer++)
            {
                var hidden = records.Hidden(slots[b], layer);
                var before = hidden.ToArray();
                for (var unit = 0; unit < shape.Hidden; unit++)
                {
                    Gates(layout, weights.Scaled.Span, layer, unit, x, before, gates);
                    hidden[unit] = layout.IsLstm
                        ? Lstm(gates, ref records.Cell(slots[b], layer)[unit])
                        : Gru(gates, before[unit]);
                }

                x = hidden.ToArray();
            }
        }
    }

    /// <summary>
    /// The four pre-activations of a unit: bias, then inputs, then hidden units, one chain of fused multiply-adds each.
    /// </summary>
    public static void Gates(
        PanelLayout layout, ReadOnlySpan<float> weights, int layer, int unit, ReadOnlySpan<float> x, ReadOnlySpan<float> h, Span<float> gates)
    {
        var panel = weights.Slice(layout.PanelOffset(layer, unit / PanelLayout.Block), layout.PanelLength(layer))[(unit % PanelLayout.Block)..];
        var hiddenRows = PanelLayout.GateBlocks + (layout.InputRows(layer) * layout.RowLength);
        for (var block = 0; block < 4; block++)
        {
            var z = panel[block * PanelLayout.Block];
            for (var k = 0; k < x.Length && block < layout.Blocks; k++)
            {
                z = MathF.FusedMultiplyAdd(x[k], panel[PanelLayout.GateBlocks + (k * layout.RowLength) + (block * PanelLayout.Block)], z);
            }

            var hiddenBlock = block - layout.FirstHiddenBlock;
            for (var k = 0; k < h.Length && hiddenBlock >= 0; k++)
            {
                z = MathF.FusedMultiplyAdd(h[k], panel[hiddenRows + (k * layout.RowLength) + (hiddenBlock * PanelLayout.Block)], z);
            }

            gates[block] = z;
        }
    }

    /// <summary>2^x: x = n + r, |r| ≤ ½, a polynomial of degree 5 in r, times 2^n. x is limited to ±40 first.</summary>
    public static float Exponential(float x)
    {
        x = x > PanelMath.ExponentLimit ? PanelMath.ExponentLimit : x < -PanelMath.ExponentLimit ? -PanelMath.ExponentLimit : x;
        var shifted = x + Elementary.RoundingMagic;
        var r = x - (shifted - Elementary.RoundingMagic);
        var p = MathF.FusedMultiplyAdd(PanelMath.C5, r, PanelMath.C4);
        p = MathF.FusedMultiplyAdd(p, r, PanelMath.C3);
        p = MathF.FusedMultiplyAdd(p, r, PanelMath.C2);
        p = MathF.FusedMultiplyAdd(p, r, PanelMath.C1);
        p = MathF.FusedMultiplyAdd(p, r, 1f);
        return BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(p) + (BitConverter.SingleToInt32Bits(shifted) << 23));
    }

    // With i = 1/(1 + e_i), f = 1/(1 + e_f), g = (1 − e_g)/(1 + e_g) over one denominator, a cell takes two divisions.
    private static float Lstm(ReadOnlySpan<float> gates, ref float cell)
    {
        var i = Exponential(gates[0]);
        var f = Exponential(gates[1]);
        var g = Exponential(gates[2]);
        var o = Exponential(gates[3]);
        var a = (1f + i) * (1f + g);
        f = 1f + f;
        cell = MathF.FusedMultiplyAdd(cell, a, (1f - g) * f) / (a * f);
        var c = Exponential(cell * PanelLayout.TanhScale);
        return (1f - c) / ((1f + o) * (1f + c));
    }

    private static float Gru(ReadOnlySpan<float> gates, float hidden)
    {
        var r = Exponential(gates[1]);
        var z = Exponential(gates[2]);
        var n = Exponential(MathF.FusedMultiplyAdd(gates[3], 1f / (1f + r), gates[0]));
        return MathF.FusedMultiplyAdd(hidden, 1f + n, z * (1f - n)) / ((1f + z) * (1f + n));
    }
}
