using System.Numerics;

namespace StreamLstm.Core.Recurrent.Layers;

/// <summary>
/// i = σ(z_i + w_ci⊙c), f = σ(z_f + w_cf⊙c), g = φ(z_g), c' = f⊙c + i⊙g, o = σ(z_o + w_co⊙c'), h' = o⊙φ(c'),
/// where z = W·x + U·h + b. Without peepholes the w are zero (Hochreiter, Schmidhuber 1997; Gers, Schmidhuber 2000).
/// </summary>
internal sealed class LstmPass<T>(RecurrentLayerOptions options, int index, int inputs, LayerSlots slots)
    : LayerPass<T>(options, index, inputs, slots)
    where T : unmanaged, IFloatingPointIeee754<T>
{
    private T[] _cell = [];         // [T + 1, B, H], the first before the window
    private T[] _cellActivation = []; // [T, B, H], φ(c')
    private T[] _cellGradient = []; // [B, H]

    protected override void Begin(ReadOnlySpan<T> cell)
    {
        _cell = AtLeast(_cell, (Steps + 1L) * Batch * Units);
        _cellActivation = AtLeast(_cellActivation, (long)Steps * Batch * Units);
        cell.CopyTo(_cell);
    }

    protected override void End(Span<T> cell) => StepOf(_cell, Steps, Units).CopyTo(cell);

    protected override void BeginBackward()
    {
        _cellGradient = AtLeast(_cellGradient, (long)Batch * Units);
        Array.Clear(_cellGradient);
    }

    protected override void StepForward(int t)
    {
        var gates = StepOf(Gates, t, Rows);
        GenericProduct.Accumulate(RecurrentInput(t), Units, 1, HiddenGates, Rows, gates, Rows, Batch, Units, Rows);
        var (phi, sigma, peepholes) = (Options.Activation, Options.RecurrentActivation, Options.Peepholes);
        for (var b = 0; b < Batch; b++)
        {
            var z = gates.Slice(b * Rows, Rows);
            var before = _cell.AsSpan(((t * Batch) + b) * Units, Units);
            var after = _cell.AsSpan((((t + 1) * Batch) + b) * Units, Units);
            var activated = _cellActivation.AsSpan(((t * Batch) + b) * Units, Units);
            var h = Hidden.AsSpan((((t + 1) * Batch) + b) * Units, Units);
            var i = z[..Units];
            var f = z.Slice(Units, Units);
            var g = z.Slice(2 * Units, Units);
            var o = z.Slice(3 * Units, Units);
            if (peepholes)
            {
                AddProduct(i, Of(Slots.PeepholeI!.Value), before);
                AddProduct(f, Of(Slots.PeepholeF!.Value), before);
            }

            ScalarFunctions.Apply(sigma, i);
            ScalarFunctions.Apply(sigma, f);
            ScalarFunctions.Apply(phi, g);
            for (var u = 0; u < Units; u++)
            {
                after[u] = (f[u] * before[u]) + (i[u] * g[u]);
            }

            if (peepholes)
            {
                AddProduct(o, Of(Slots.PeepholeO!.Value), after);
            }

            ScalarFunctions.Apply(sigma, o);
            after.CopyTo(activated);
            ScalarFunctions.Apply(phi, activated);
            for (var u = 0; u < Units; u++)
            {
                h[u] = o[u] * activated[u];
            }
        }
    }

    protected override void StepBackward(int t, Span<T> gradient)
    {
        var gates = StepOf(Gates, t, Rows);
        for (var b = 0; b < Batch; b++)
        {
            var z = gates.Slice(b * Rows, Rows);
            var dh = HiddenGradient.AsSpan(b * Units, Units);
            var dc = _cellGradient.AsSpan(b * Units, Units);
            var before = _cell.AsSpan(((t * Batch) + b) * Units, Units);
            var after = _cell.AsSpan((((t + 1) * Batch) + b) * Units, Units);
            var activated = _cellActivation.AsSpan(((t * Batch) + b) * Units, Units);
            BackThroughGates(z, dh, dc, before, activated);
            if (Options.Peepholes)
            {
                BackThroughPeepholes(z, dc, before, after, gradient);
            }
        }

        HiddenGradient.AsSpan(0, Batch * Units).Clear();
        GenericProduct.Accumulate(gates, Rows, 1, Of(Slots.WeightHh), Units, HiddenGradient, Units, Batch, Rows, Units);
        ThroughRecurrentMask(HiddenGradient.AsSpan(0, Batch * Units));
    }

    private void BackThroughGates(Span<T> z, ReadOnlySpan<T> dh, Span<T> dc, ReadOnlySpan<T> before, ReadOnlySpan<T> activated)
    {
        var (phi, sigma) = (Options.Activation, Options.RecurrentActivation);
        var peephole = Options.Peepholes ? Of(Slots.PeepholeO!.Value) : default;
        for (var u = 0; u < Units; u++)
        {
            var (i, f, g, o) = (z[u], z[Units + u], z[(2 * Units) + u], z[(3 * Units) + u]);
            var outputGate = dh[u] * activated[u] * ScalarFunctions.Slope(sigma, o);
            var total = dc[u] + (dh[u] * o * ScalarFunctions.Slope(phi, activated[u]));
            if (!peephole.IsEmpty)
            {
                total += outputGate * peephole[u];
            }

            z[u] = total * g * ScalarFunctions.Slope(sigma, i);
            z[Units + u] = total * before[u] * ScalarFunctions.Slope(sigma, f);
            z[(2 * Units) + u] = total * i * ScalarFunctions.Slope(phi, g);
            z[(3 * Units) + u] = outputGate;
            dc[u] = total * f;
        }
    }

    private void BackThroughPeepholes(ReadOnlySpan<T> z, Span<T> dc, ReadOnlySpan<T> before, ReadOnlySpan<T> after, Span<T> gradient)
    {
        AddProduct(dc, Of(Slots.PeepholeI!.Value), z[..Units]);
        AddProduct(dc, Of(Slots.PeepholeF!.Value), z.Slice(Units, Units));
        AddProduct(In(gradient, Slots.PeepholeI.Value), z[..Units], before);
        AddProduct(In(gradient, Slots.PeepholeF.Value), z.Slice(Units, Units), before);
        AddProduct(In(gradient, Slots.PeepholeO!.Value), z[(3 * Units)..], after);
    }

    private static void AddProduct(Span<T> target, ReadOnlySpan<T> a, ReadOnlySpan<T> b)
    {
        for (var u = 0; u < target.Length; u++)
        {
            target[u] += a[u] * b[u];
        }
    }
}
