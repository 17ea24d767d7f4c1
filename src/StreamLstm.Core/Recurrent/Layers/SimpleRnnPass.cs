using System.Numerics;

namespace StreamLstm.Core.Recurrent.Layers;

/// <summary>h' = φ(W·x + U·h + b) (Elman 1990).</summary>
internal sealed class SimpleRnnPass<T>(RecurrentLayerOptions options, int index, int inputs, LayerSlots slots)
    : LayerPass<T>(options, index, inputs, slots)
    where T : unmanaged, IFloatingPointIeee754<T>
{
    protected override void StepForward(int t)
    {
        var gates = StepOf(Gates, t, Rows);
        GenericProduct.Accumulate(RecurrentInput(t), Units, 1, HiddenGates, Rows, gates, Rows, Batch, Units, Rows);
        ScalarFunctions.Apply(Options.Activation, gates);
        gates.CopyTo(StepOf(Hidden, t + 1, Units));
    }

    protected override void StepBackward(int t, Span<T> gradient)
    {
        var gates = StepOf(Gates, t, Rows);
        for (var i = 0; i < gates.Length; i++)
        {
            gates[i] = HiddenGradient[i] * ScalarFunctions.Slope(Options.Activation, gates[i]);
        }

        HiddenGradient.AsSpan(0, Batch * Units).Clear();
        GenericProduct.Accumulate(gates, Rows, 1, Of(Slots.WeightHh), Units, HiddenGradient, Units, Batch, Rows, Units);
        ThroughRecurrentMask(HiddenGradient.AsSpan(0, Batch * Units));
    }
}
