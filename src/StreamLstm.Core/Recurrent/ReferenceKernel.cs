using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Recurrent;

/// <summary>
/// The clean, minimal, scalar step: the definition that <see cref="VectorKernel"/> must equal bit for bit.
/// </summary>
/// <remarks>
/// With z = Bias + WeightIh·x + WeightHh·h (Hochreiter, Schmidhuber 1997; Gers et al. 2000; gates as in PyTorch):
/// i = σ(z_i), f = σ(z_f), g = tanh(z_g), o = σ(z_o); c ← f∘c + i∘g; h ← o∘tanh c; y = HeadBias + SkipWeight·x + HeadWeight·h.
/// Each sum is one chain of fused multiply-adds: bias, inputs in order, hidden in order.
/// </remarks>
public static class ReferenceKernel
{
    /// <summary>Advances a batch by one step. Reject non-finite inputs before: they end in the state.</summary>
    /// <param name="weights">Parameters.</param>
    /// <param name="x">Inputs [B, I].</param>
    /// <param name="h">Hidden state [B, H], overwritten by the new one.</param>
    /// <param name="c">Cell state [B, H], overwritten by the new one.</param>
    /// <param name="y">Outputs [B, K]; empty when none are wanted.</param>
    /// <param name="batch">B.</param>
    public static void Step(LstmForecasterWeights weights, ReadOnlySpan<float> x, Span<float> h, Span<float> c, Span<float> y, int batch)
    {
        ArgumentNullException.ThrowIfNull(weights);
        var shape = weights.Shape;
        StepArguments.Check(shape, x, h, c, y, batch);
        Span<float> previous = shape.Hidden <= 256 ? stackalloc float[shape.Hidden] : new float[shape.Hidden];
        for (var row = 0; row < batch; row++)
        {
            var input = x.Slice(row * shape.Inputs, shape.Inputs);
            var hidden = h.Slice(row * shape.Hidden, shape.Hidden);
            var cell = c.Slice(row * shape.Hidden, shape.Hidden);
            hidden.CopyTo(previous);
            for (var unit = 0; unit < shape.Hidden; unit++)
            {
                var i = Elementary.Sigmoid(Gate(weights, unit, input, previous));
                var f = Elementary.Sigmoid(Gate(weights, shape.Hidden + unit, input, previous));
                var g = Elementary.Tanh(Gate(weights, (2 * shape.Hidden) + unit, input, previous));
                var o = Elementary.Sigmoid(Gate(weights, (3 * shape.Hidden) + unit, input, previous));
                cell[unit] = MathF.FusedMultiplyAdd(f, cell[unit], i * g);
                hidden[unit] = o * Elementary.Tanh(cell[unit]);
            }

            if (!y.IsEmpty)
            {
                var output = y.Slice(row * shape.Outputs, shape.Outputs);
                for (var k = 0; k < shape.Outputs; k++)
                {
                    var sum = Chain(weights.HeadBias[k], weights.SkipWeight.Slice(k * shape.Inputs, shape.Inputs), input);
                    output[k] = Chain(sum, weights.HeadWeight.Slice(k * shape.Hidden, shape.Hidden), hidden);
                }
            }
        }
    }

    private static float Gate(LstmForecasterWeights weights, int row, ReadOnlySpan<float> x, ReadOnlySpan<float> h)
    {
        var sum = Chain(weights.Bias[row], weights.WeightIh.Slice(row * x.Length, x.Length), x);
        return Chain(sum, weights.WeightHh.Slice(row * h.Length, h.Length), h);
    }

    private static float Chain(float sum, ReadOnlySpan<float> weights, ReadOnlySpan<float> values)
    {
        for (var k = 0; k < values.Length; k++)
        {
            sum = MathF.FusedMultiplyAdd(values[k], weights[k], sum);
        }

        return sum;
    }
}
