using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Recurrent.Kernels;

/// <summary>Sizes of L stacked LSTM or GRU layers (PyTorch's form) of H units on I inputs, without a head.</summary>
public readonly record struct StackedShape(int Inputs, int Hidden, int Layers, CellKind Cell = CellKind.Lstm)
{
    /// <summary>Largest <see cref="Inputs"/> and <see cref="Hidden"/>; keeps every length within an int.</summary>
    public const int MaxDimension = 2048;

    public const int MaxLayers = 8;

    /// <summary>Gates with weights of their own: 4 (i, f, g, o) or 3 (r, z, n).</summary>
    public int Gates => Cell == CellKind.Lstm ? 4 : 3;

    /// <summary>Parameters in PyTorch's flat order: per layer weight_ih, weight_hh, bias_ih, bias_hh.</summary>
    public int ParameterCount
    {
        get
        {
            var count = 0;
            for (var layer = 0; layer < Layers; layer++)
            {
                count += Gates * Hidden * ((layer == 0 ? Inputs : Hidden) + Hidden + 2);
            }

            return count;
        }
    }

    /// <summary>
    /// Floating-point operations of the matrix products of one step of one stream: 2 per weight.
    /// 8·H·(I + H) per LSTM layer, 6·H·(I + H) per GRU layer.
    /// </summary>
    public long StepFlops
    {
        get
        {
            long flops = 0;
            for (var layer = 0; layer < Layers; layer++)
            {
                flops += 2L * Gates * Hidden * ((layer == 0 ? Inputs : Hidden) + Hidden);
            }

            return flops;
        }
    }

    /// <summary>
    /// The same for one step of one sequence in training: forward, the weights' gradient, and the gradient with respect to
    /// h and to the input of every layer but the first (whose inputs are data).
    /// </summary>
    public long TrainingFlops => (3 * StepFlops) - (2L * Gates * Hidden * Inputs);

    internal void Validate(string argument)
    {
        if (Inputs is < 1 or > MaxDimension || Hidden is < 1 or > MaxDimension || Layers is < 1 or > MaxLayers
            || Cell is not (CellKind.Lstm or CellKind.Gru))
        {
            throw new ArgumentException(
                $"Inputs and Hidden must lie in 1…{MaxDimension}, Layers in 1…{MaxLayers}, Cell must be Lstm or Gru, got {this}.", argument);
        }
    }
}
