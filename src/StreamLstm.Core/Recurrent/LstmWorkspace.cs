using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Recurrent;

/// <summary>
/// What <see cref="VectorKernel"/> needs besides the state: the weights packed for it, and scratch.
/// One per thread and weights version; <see cref="Load"/> changes the version in place.
/// </summary>
public sealed class LstmWorkspace
{
    /// <summary>Rows that pass through the scratch at a time: their gates stay in the first-level cache.</summary>
    internal const int BlockRows = 32;

    public LstmWorkspace(LstmForecasterWeights weights)
    {
        ArgumentNullException.ThrowIfNull(weights);
        Simd.RequireFusedMultiplyAdd();
        Packed = new PackedWeights(weights.Shape);
        Gates = new AlignedArray(BlockRows * Packed.GateColumns);
        Cell = new AlignedArray(BlockRows * Packed.HiddenColumns);
        CellTanh = new AlignedArray(BlockRows * Packed.HiddenColumns);
        Hidden = new AlignedArray(BlockRows * Packed.HiddenColumns);
        Output = new AlignedArray(BlockRows * Packed.OutputColumns);
        Weights = weights;
        Packed.Pack(weights.Values);
    }

    public LstmForecasterShape Shape => Packed.Shape;

    /// <summary>The version in use.</summary>
    public LstmForecasterWeights Weights { get; private set; }

    internal PackedWeights Packed { get; }

    internal AlignedArray Gates { get; }

    internal AlignedArray Cell { get; }

    internal AlignedArray CellTanh { get; }

    internal AlignedArray Hidden { get; }

    internal AlignedArray Output { get; }

    /// <summary>Takes other weights of the same shape into use, without allocating.</summary>
    public void Load(LstmForecasterWeights weights)
    {
        ArgumentNullException.ThrowIfNull(weights);
        if (weights.Shape != Shape)
        {
            throw new ArgumentException($"Expected weights of {Shape}, got {weights.Shape}.", nameof(weights));
        }

        Weights = weights;
        Packed.Pack(weights.Values);
    }
}
