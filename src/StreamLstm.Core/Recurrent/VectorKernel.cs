using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Recurrent;

/// <summary>
/// The batched step of <see cref="ReferenceKernel"/> with hidden units (and outputs) in vector lanes.
/// Same bits for any batch size and vector width; allocates nothing.
/// </summary>
public static class VectorKernel
{
    /// <summary>Advances a batch by one step. Reject non-finite inputs before: they end in the state.</summary>
    /// <param name="workspace">Packed weights and scratch, used by one thread at a time.</param>
    /// <param name="x">Inputs [B, I].</param>
    /// <param name="h">Hidden state [B, H], overwritten by the new one.</param>
    /// <param name="c">Cell state [B, H], overwritten by the new one.</param>
    /// <param name="y">Outputs [B, K]; empty when none are wanted.</param>
    /// <param name="batch">B.</param>
    public static void Step(LstmWorkspace workspace, ReadOnlySpan<float> x, Span<float> h, Span<float> c, Span<float> y, int batch) =>
        Step(workspace, x, h, c, y, batch, Simd.Widest);

    internal static void Step(
        LstmWorkspace workspace, ReadOnlySpan<float> x, Span<float> h, Span<float> c, Span<float> y, int batch, VectorWidth width)
    {
        ArgumentNullException.ThrowIfNull(workspace);
        StepArguments.Check(workspace.Shape, x, h, c, y, batch);
        switch (width)
        {
            case VectorWidth.Bits512:
                Step<Simd512, Vector512<float>>(workspace, x, h, c, y, batch);
                break;
            case VectorWidth.Bits256:
                Step<Simd256, Vector256<float>>(workspace, x, h, c, y, batch);
                break;
            default:
                Step<Simd128, Vector128<float>>(workspace, x, h, c, y, batch);
                break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Step<TSimd, TVector>(
        LstmWorkspace workspace, ReadOnlySpan<float> x, Span<float> h, Span<float> c, Span<float> y, int batch)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        var packed = workspace.Packed;
        var (inputs, hidden, outputs) = packed.Shape;
        var (hiddenColumns, gateColumns, outputColumns) = (packed.HiddenColumns, packed.GateColumns, packed.OutputColumns);
        var gates = workspace.Gates.Span;
        var cell = workspace.Cell.Span;
        var newHidden = workspace.Hidden.Span;
        var output = workspace.Output.Span;
        for (var start = 0; start < batch; start += LstmWorkspace.BlockRows)
        {
            var rows = Math.Min(LstmWorkspace.BlockRows, batch - start);
            var blockX = x.Slice(start * inputs, rows * inputs);
            var blockH = h.Slice(start * hidden, rows * hidden);
            var blockC = c.Slice(start * hidden, rows * hidden);
            MatrixProduct.Compute<TSimd, TVector>(
                packed.GateBias, 0, blockX, inputs, 1, packed.InputGates, gateColumns, gates, gateColumns, rows, inputs, gateColumns);
            MatrixProduct.Compute<TSimd, TVector>(
                gates, gateColumns, blockH, hidden, 1, packed.HiddenGates, gateColumns, gates, gateColumns, rows, hidden, gateColumns);

            // The state has no padding, the scratch has: what lies in its padding is never copied back.
            CopyRows(blockC, hidden, cell, hiddenColumns, rows, hidden);
            LstmCell.Forward<TSimd, TVector>(gates, cell, cell, workspace.CellTanh.Span, newHidden, rows * hiddenColumns);
            CopyRows(cell, hiddenColumns, blockC, hidden, rows, hidden);
            CopyRows(newHidden, hiddenColumns, blockH, hidden, rows, hidden);
            if (y.IsEmpty)
            {
                continue;
            }

            MatrixProduct.Compute<TSimd, TVector>(
                packed.HeadBias, 0, blockX, inputs, 1, packed.InputHead, outputColumns, output, outputColumns, rows, inputs, outputColumns);
            MatrixProduct.Compute<TSimd, TVector>(
                output, outputColumns, blockH, hidden, 1, packed.HiddenHead, outputColumns, output, outputColumns, rows, hidden, outputColumns);
            CopyRows(output, outputColumns, y.Slice(start * outputs, rows * outputs), outputs, rows, outputs);
        }
    }

    private static void CopyRows(ReadOnlySpan<float> source, int sourceRow, Span<float> target, int targetRow, int rows, int columns)
    {
        for (var row = 0; row < rows; row++)
        {
            source.Slice(row * sourceRow, columns).CopyTo(target.Slice(row * targetRow, columns));
        }
    }
}
