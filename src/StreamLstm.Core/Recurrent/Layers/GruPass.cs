using System.Numerics;

namespace StreamLstm.Core.Recurrent.Layers;

/// <summary>
/// r = σ(W_r·x + U_r·h + b_r), z = σ(W_z·x + U_z·h + b_z), h' = (1 − z)⊙n + z⊙h, where
/// n = φ(W_n·x + b_n + r⊙(U_n·h + b_hn)) with reset after the product (PyTorch, cuDNN, Keras's reset_after), and
/// n = φ(W_n·x + b_n + U_n·(r⊙h)) with reset before it (Cho et al. 2014; Keras's reset_after=false).
/// </summary>
internal sealed class GruPass<T>(RecurrentLayerOptions options, int index, int inputs, LayerSlots slots)
    : LayerPass<T>(options, index, inputs, slots)
    where T : unmanaged, IFloatingPointIeee754<T>
{
    // [T, B, H]. Reset after: U_n·h + b_hn, then ∂/∂ of it. Reset before: r⊙h.
    private T[] _candidate = [];
    private T[] _carried = [];          // [B, H]: the part of ∂/∂h that passes by the recurrent product
    private T[] _recurrentGradient = []; // [B, H]: the part that passes through it
    private T[] _candidateGradient = []; // [B, H]: ∂/∂(r⊙h)

    protected override void Begin(ReadOnlySpan<T> cell) => _candidate = AtLeast(_candidate, (long)Steps * Batch * Units);

    protected override void BeginBackward()
    {
        _carried = AtLeast(_carried, (long)Batch * Units);
        _recurrentGradient = AtLeast(_recurrentGradient, (long)Batch * Units);
        _candidateGradient = AtLeast(_candidateGradient, (long)Batch * Units);
    }

    protected override void StepForward(int t)
    {
        var gates = StepOf(Gates, t, Rows);
        var before = StepOf(Hidden, t, Units);
        var after = StepOf(Hidden, t + 1, Units);
        var candidate = StepOf(_candidate, t, Units);
        var seen = RecurrentInput(t)[..(Batch * Units)];
        GenericProduct.Accumulate(seen, Units, 1, HiddenGates, Rows, gates, Rows, Batch, Units, 2 * Units);
        for (var b = 0; b < Batch; b++)
        {
            ScalarFunctions.Apply(Options.RecurrentActivation, gates.Slice(b * Rows, 2 * Units));
        }

        var candidateWeights = HiddenGates.AsSpan(2 * Units);
        if (Options.ResetAfter)
        {
            candidate.Clear();
            if (Slots.RecurrentBias is { } bias)
            {
                for (var b = 0; b < Batch; b++)
                {
                    Of(bias).CopyTo(candidate[(b * Units)..]);
                }
            }

            GenericProduct.Accumulate(seen, Units, 1, candidateWeights, Rows, candidate, Units, Batch, Units, Units);
            for (var b = 0; b < Batch; b++)
            {
                var z = gates.Slice(b * Rows, Rows);
                for (var u = 0; u < Units; u++)
                {
                    z[(2 * Units) + u] += z[u] * candidate[(b * Units) + u];
                }
            }
        }
        else
        {
            for (var b = 0; b < Batch; b++)
            {
                for (var u = 0; u < Units; u++)
                {
                    candidate[(b * Units) + u] = gates[(b * Rows) + u] * seen[(b * Units) + u];
                }
            }

            GenericProduct.Accumulate(candidate, Units, 1, candidateWeights, Rows, gates[(2 * Units)..], Rows, Batch, Units, Units);
        }

        for (var b = 0; b < Batch; b++)
        {
            var z = gates.Slice(b * Rows, Rows);
            ScalarFunctions.Apply(Options.Activation, z[(2 * Units)..]);
            for (var u = 0; u < Units; u++)
            {
                var (update, n) = (z[Units + u], z[(2 * Units) + u]);
                after[(b * Units) + u] = ((T.One - update) * n) + (update * before[(b * Units) + u]);
            }
        }
    }

    protected override void StepBackward(int t, Span<T> gradient)
    {
        var gates = StepOf(Gates, t, Rows);
        var before = StepOf(Hidden, t, Units);
        var candidate = StepOf(_candidate, t, Units);
        var seen = RecurrentInput(t)[..(Batch * Units)];
        var weights = Of(Slots.WeightHh);
        var candidateWeights = weights[(2 * Units * Units)..];
        var through = _recurrentGradient.AsSpan(0, Batch * Units);
        var (phi, sigma) = (Options.Activation, Options.RecurrentActivation);
        through.Clear();

        // n and z first; r's gradient needs ∂/∂ of what r multiplies.
        for (var b = 0; b < Batch; b++)
        {
            var z = gates.Slice(b * Rows, Rows);
            for (var u = 0; u < Units; u++)
            {
                var at = (b * Units) + u;
                var (update, n, dh) = (z[Units + u], z[(2 * Units) + u], HiddenGradient[at]);
                _carried[at] = dh * update;
                z[Units + u] = dh * (before[at] - n) * ScalarFunctions.Slope(sigma, update);
                z[(2 * Units) + u] = dh * (T.One - update) * ScalarFunctions.Slope(phi, n);
            }
        }

        if (Options.ResetAfter)
        {
            for (var b = 0; b < Batch; b++)
            {
                var z = gates.Slice(b * Rows, Rows);
                for (var u = 0; u < Units; u++)
                {
                    var at = (b * Units) + u;
                    var (reset, dn) = (z[u], z[(2 * Units) + u]);
                    z[u] = dn * candidate[at] * ScalarFunctions.Slope(sigma, reset);
                    candidate[at] = dn * reset;
                }
            }

            GenericProduct.Accumulate(candidate, Units, 1, candidateWeights, Units, through, Units, Batch, Units, Units);
        }
        else
        {
            var product = _candidateGradient.AsSpan(0, Batch * Units);
            product.Clear();
            GenericProduct.Accumulate(gates[(2 * Units)..], Rows, 1, candidateWeights, Units, product, Units, Batch, Units, Units);
            for (var b = 0; b < Batch; b++)
            {
                var z = gates.Slice(b * Rows, Rows);
                for (var u = 0; u < Units; u++)
                {
                    var at = (b * Units) + u;
                    var reset = z[u];
                    z[u] = product[at] * seen[at] * ScalarFunctions.Slope(sigma, reset);
                    through[at] = product[at] * reset;
                }
            }
        }

        GenericProduct.Accumulate(gates, Rows, 1, weights, Units, through, Units, Batch, 2 * Units, Units);
        ThroughRecurrentMask(through);
        for (var i = 0; i < through.Length; i++)
        {
            HiddenGradient[i] = _carried[i] + through[i];
        }
    }

    protected override void RecurrentWeightGradient(Span<T> hiddenGates, Span<T> gradient)
    {
        var all = Steps * Batch;
        var seen = RecurrentInput(0);
        GenericProduct.Accumulate(seen, 1, Units, Gates, Rows, hiddenGates, Rows, Units, all, 2 * Units);
        if (!Options.ResetAfter)
        {
            GenericProduct.Accumulate(
                _candidate, 1, Units, Gates.AsSpan(2 * Units), Rows, hiddenGates[(2 * Units)..], Rows, Units, all, Units);
            return;
        }

        GenericProduct.Accumulate(seen, 1, Units, _candidate, Units, hiddenGates[(2 * Units)..], Rows, Units, all, Units);
        if (Slots.RecurrentBias is { } bias)
        {
            GenericProduct.AddRows(_candidate.AsSpan(0, all * Units), all, Units, In(gradient, bias));
        }
    }
}
