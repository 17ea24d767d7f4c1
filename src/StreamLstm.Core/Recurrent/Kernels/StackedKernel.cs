using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Recurrent.Kernels;

/// <summary>
/// Steps of stacked LSTM or GRU layers for many streams, states gathered from and scattered to <see cref="StateRecords"/>.
/// Holds scratch only: one per thread. A stream's result does not depend on which others share its batch.
/// </summary>
/// <remarks>
/// Six streams at a time go through all layers, so that everything between gather and scatter stays in the first-level
/// cache; meanwhile the records of the next six are prefetched.
/// </remarks>
public sealed unsafe class StackedKernel
{
    private const int TileRows = TileProduct.MostRows;

    private readonly PanelLayout _layout;
    private readonly VectorWidth _width;
    private readonly AlignedArray _gates;
    private readonly AlignedArray[] _rows;
    private readonly AlignedArray _output;
    private readonly LayerStep[] _plan;
    private readonly nint _columns;
    private readonly nint _hidden;
    private readonly int _recordLength;

    public StackedKernel(StackedShape shape)
        : this(shape, KernelWidth.Chosen)
    {
    }

    internal StackedKernel(StackedShape shape, VectorWidth width)
    {
        shape.Validate(nameof(shape));
        KernelWidth.Require(width);
        _width = width;
        _layout = new PanelLayout(shape);
        _gates = new AlignedArray(2 * TileRows * PanelLayout.GateBlocks);
        _rows = new AlignedArray[shape.Layers];
        for (var layer = 0; layer < shape.Layers; layer++)
        {
            _rows[layer] = new AlignedArray(TileRows * _layout.RowPitch(layer));
        }

        _output = new AlignedArray(TileRows * _layout.Columns);
        _columns = _layout.Columns;
        _hidden = shape.Hidden;
        _recordLength = _layout.RecordLength;
        _plan = new LayerStep[shape.Layers];
        for (var layer = 0; layer < shape.Layers; layer++)
        {
            var last = layer == shape.Layers - 1;
            _plan[layer] = new LayerStep
            {
                Rows = _rows[layer].Pointer + _layout.InputOffset(layer),
                Pitch = _layout.RowPitch(layer),
                InputRows = _layout.InputRows(layer),
                Weights = _layout.PanelOffset(layer, 0),
                PanelLength = _layout.PanelLength(layer),
                State = layer * _layout.LayerState,
                Copy = last ? _output.Pointer : _rows[layer + 1].Pointer,
                CopyPitch = last ? _layout.Columns : _layout.RowPitch(layer + 1),
            };
        }
    }

    public StackedShape Shape => _layout.Shape;

    /// <summary>One step of the streams in <paramref name="slots"/>.</summary>
    /// <param name="weights">Of the kernel's shape.</param>
    /// <param name="records">Of the kernel's shape; changed in place.</param>
    /// <param name="slots">[B], each slot at most once.</param>
    /// <param name="inputs">[B, I] row-major, finite: a NaN would not be seen to pass, limits swallow it.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Step(StackedWeights weights, StateRecords records, ReadOnlySpan<int> slots, ReadOnlySpan<float> inputs)
    {
        ArgumentNullException.ThrowIfNull(weights);
        ArgumentNullException.ThrowIfNull(records);
        if (weights.Shape != Shape || records.Shape != Shape)
        {
            throw new ArgumentException($"Weights of {weights.Shape} or records of {records.Shape} met a kernel of {Shape}.");
        }

        if (inputs.Length != slots.Length * Shape.Inputs)
        {
            throw new ArgumentException($"Expected {slots.Length} × {Shape.Inputs} inputs, got {inputs.Length}.", nameof(inputs));
        }

        for (var i = 0; i < slots.Length; i++)
        {
            if ((uint)slots[i] >= (uint)records.Slots)
            {
                records.RequireSlot(slots[i]);
            }
        }

        fixed (int* slot = slots)
        fixed (float* x = inputs)
        {
            switch (_width, _layout.IsLstm)
            {
                case (VectorWidth.Bits512, true):
                    Tiles<Lanes512, Vector512<float>, Lstm>(weights, records, slot, slots.Length, x);
                    break;
                case (VectorWidth.Bits512, false):
                    Tiles<Lanes512, Vector512<float>, Gru>(weights, records, slot, slots.Length, x);
                    break;
                case (VectorWidth.Bits256, true):
                    Tiles<Lanes256, Vector256<float>, Lstm>(weights, records, slot, slots.Length, x);
                    break;
                case (VectorWidth.Bits256, false):
                    Tiles<Lanes256, Vector256<float>, Gru>(weights, records, slot, slots.Length, x);
                    break;
                case (_, true):
                    Tiles<Lanes128, Vector128<float>, Lstm>(weights, records, slot, slots.Length, x);
                    break;
                default:
                    Tiles<Lanes128, Vector128<float>, Gru>(weights, records, slot, slots.Length, x);
                    break;
            }
        }

        // The kernels work on addresses into these.
        GC.KeepAlive(weights);
        GC.KeepAlive(records);
        GC.KeepAlive(this);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Tiles<TLanes, TVector, TCell>(StackedWeights weights, StateRecords records, int* slots, int count, float* x)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TCell : struct, ICell
    {
        var plan = _plan;
        var gates = _gates.Pointer;
        var states = records.Values.Pointer;
        var packed = weights.Scaled.Pointer;
        var columns = _columns;
        nint recordLength = _recordLength;
        var inputs = plan[0].InputRows;
        var hiddenRows = _hidden;
        var panels = (int)(columns / PanelLayout.Block);
        var current = stackalloc float*[TileRows];
        var next = stackalloc float*[TileRows];
        var rows = Math.Min(TileRows, count);
        for (var r = 0; r < rows; r++)
        {
            current[r] = states + (slots[r] * recordLength);
            for (nint line = 0; line < recordLength; line += PanelLayout.Block)
            {
                Prefetch(current + r, 1, line);
            }
        }

        while (count > 0)
        {
            slots += rows;
            count -= rows;
            var nextRows = Math.Min(TileRows, count);
            for (var r = 0; r < nextRows; r++)
            {
                next[r] = states + (slots[r] * recordLength);
            }

            var firstX = plan[0].Rows;
            for (var r = 0; r < rows; r++)
            {
                nint i = 0;
                for (; i + 4 <= inputs; i += 4)
                {
                    Vector128.Load(x + i).Store(firstX + i);
                }

                for (; i < inputs; i++)
                {
                    firstX[i] = x[i];
                }

                x += inputs;
                firstX += plan[0].Pitch;
            }

            for (var layer = 0; layer < plan.Length; layer++)
            {
                ref var step = ref plan[layer];
                var pitch = step.Pitch;
                var state = step.State;
                var target = step.Rows + step.InputRows;
                for (var r = 0; r < rows; r++, target += pitch)
                {
                    var hidden = current[r] + state;
                    for (nint column = 0; column < columns; column += TLanes.Width)
                    {
                        TLanes.Store(target + column, TLanes.Load(hidden + column));
                    }
                }

                var panel = packed + step.Weights;
                if (rows == 1)
                {
                    Row<TLanes, TVector, TCell>(
                        panel, step.PanelLength, panels, step.Rows, step.InputRows, hiddenRows, gates, current[0], state, columns, step.Copy);
                }
                else
                {
                    // A panel's cells run after the next panel's product: they need not wait for its last sums.
                    var fresh = gates;
                    var ready = gates + (TileRows * PanelLayout.GateBlocks);
                    for (nint column = 0; column <= columns; column += PanelLayout.Block)
                    {
                        if (column < columns)
                        {
                            Prefetch(next, nextRows, state + column);
                            if (TCell.IsLstm)
                            {
                                Prefetch(next, nextRows, state + columns + column);
                                GateProduct.LstmRows<TLanes, TVector>(rows, panel, step.Rows, pitch, step.InputRows + hiddenRows, fresh);
                            }
                            else
                            {
                                GateProduct.GruRows<TLanes, TVector>(rows, panel, step.Rows, pitch, step.InputRows, hiddenRows, fresh);
                            }

                            panel += step.PanelLength;
                        }

                        if (column > 0)
                        {
                            var previous = column - PanelLayout.Block;
                            PanelCells<TLanes, TVector, TCell>(
                                rows, ready, current, state + previous, columns, step.Copy + previous, step.CopyPitch);
                        }

                        var filled = fresh;
                        fresh = ready;
                        ready = filled;
                    }
                }
            }

            var swap = current;
            current = next;
            next = swap;
            rows = nextRows;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch(float** records, int rows, nint offset)
    {
        if (Sse.IsSupported)
        {
            for (var r = 0; r < rows; r++)
            {
                Sse.Prefetch0(records[r] + offset);
            }
        }
    }

    /// <summary>The cells of one panel, four rows at a time.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PanelCells<TLanes, TVector, TCell>(
        nint rows, float* gates, float** records, nint state, nint cell, float* copy, nint copyPitch)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TCell : struct, ICell
    {
        nint row = 0;
        for (; row + 4 <= rows; row += 4)
        {
            Cells<TLanes, TVector, TCell, N4>(row, gates, records, state, cell, copy, copyPitch);
        }

        switch (rows - row)
        {
            case 3:
                Cells<TLanes, TVector, TCell, N3>(row, gates, records, state, cell, copy, copyPitch);
                break;
            case 2:
                Cells<TLanes, TVector, TCell, N2>(row, gates, records, state, cell, copy, copyPitch);
                break;
            case 1:
                Cells<TLanes, TVector, TCell, N1>(row, gates, records, state, cell, copy, copyPitch);
                break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Cells<TLanes, TVector, TCell, TRows>(
        nint row, float* gates, float** records, nint state, nint cell, float* copy, nint copyPitch)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TCell : struct, ICell
        where TRows : struct, ICount
    {
        gates += row * PanelLayout.GateBlocks;
        if (TCell.IsLstm)
        {
            CellUpdate.Lstm<TLanes, TVector, TRows>(gates, records + row, state, state + cell, copy + (row * copyPitch), copyPitch);
        }
        else
        {
            CellUpdate.Gru<TLanes, TVector, TRows>(gates, records + row, state, copy + (row * copyPitch), copyPitch);
        }
    }

    /// <summary>One row of all panels of a layer, four panels at once.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Row<TLanes, TVector, TCell>(
        float* panel, nint panelLength, int panels, float* a, nint inputs, nint hidden, float* gates,
        float* record, nint state, nint cell, float* copy)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TCell : struct, ICell
    {
        var blocks = stackalloc float*[4];
        for (nint p = 0; p < panels;)
        {
            var left = panels - p;
            for (nint q = 0; q < 4; q++)
            {
                blocks[q] = record + (q * PanelLayout.Block);
            }

            var column = p * PanelLayout.Block;
            if (left >= 4)
            {
                RowGates<TLanes, TVector, TCell, N4>(panel, panelLength, a, inputs, hidden, gates);
                Cells<TLanes, TVector, TCell, N4>(0, gates, blocks, state + column, cell, copy + column, PanelLayout.Block);
                left = 4;
            }
            else if (left >= 2)
            {
                RowGates<TLanes, TVector, TCell, N2>(panel, panelLength, a, inputs, hidden, gates);
                Cells<TLanes, TVector, TCell, N2>(0, gates, blocks, state + column, cell, copy + column, PanelLayout.Block);
                left = 2;
            }
            else
            {
                RowGates<TLanes, TVector, TCell, N1>(panel, panelLength, a, inputs, hidden, gates);
                Cells<TLanes, TVector, TCell, N1>(0, gates, blocks, state + column, cell, copy + column, PanelLayout.Block);
            }

            p += left;
            panel += left * panelLength;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void RowGates<TLanes, TVector, TCell, TPanels>(
        float* panel, nint panelLength, float* a, nint inputs, nint hidden, float* gates)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TCell : struct, ICell
        where TPanels : struct, ICount
    {
        if (TCell.IsLstm)
        {
            GateProduct.LstmRow<TLanes, TVector, TPanels>(panel, panelLength, a, inputs + hidden, gates);
        }
        else
        {
            GateProduct.GruRow<TLanes, TVector, TPanels>(panel, panelLength, a, inputs, hidden, gates);
        }
    }
}

/// <summary>What a step needs to know of a layer.</summary>
internal unsafe struct LayerStep
{
    /// <summary>Scratch rows [x|h].</summary>
    public float* Rows;

    /// <summary>Distance of the scratch rows.</summary>
    public nint Pitch;

    /// <summary>Length of x.</summary>
    public nint InputRows;

    /// <summary>Offset of the first panel in the packed weights.</summary>
    public nint Weights;

    public nint PanelLength;

    /// <summary>Offset of the layer in a state record.</summary>
    public nint State;

    /// <summary>Where h goes besides: the next layer's x; above the last nobody reads it.</summary>
    public float* Copy;

    public nint CopyPitch;
}

/// <summary>The cell, known when the code is compiled.</summary>
internal interface ICell
{
    static abstract bool IsLstm { get; }
}

internal readonly struct Lstm : ICell
{
    public static bool IsLstm => true;
}

internal readonly struct Gru : ICell
{
    public static bool IsLstm => false;
}
