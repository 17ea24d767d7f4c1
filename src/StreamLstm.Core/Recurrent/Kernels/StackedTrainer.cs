using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using StreamLstm.Core.Learning;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Recurrent.Kernels;

/// <summary>What is to be made small, as a function of h of the last layer.</summary>
public interface IHiddenLoss
{
    /// <summary>
    /// Writes ∂ loss/∂h of step t. Called during the backward pass, for the last step first, while the step's h is still in
    /// the caches.
    /// </summary>
    /// <param name="step">t.</param>
    /// <param name="hidden">B rows of H, <see cref="StackedTrainer.HiddenPitch"/> apart.</param>
    /// <param name="gradient">
    /// B rows of H, <see cref="StackedTrainer.HiddenGradientPitch"/> apart, all to be written; the padding between them stays zero.
    /// </param>
    void Gradient(int step, ReadOnlySpan<float> hidden, Span<float> gradient);
}

/// <summary>
/// Truncated back-propagation through time for stacked LSTM or GRU layers, with Adam. Per block of sequences:
/// write <see cref="Inputs"/>, <see cref="Forward"/>, <see cref="Backward"/> with a loss on h; then <see cref="Update"/>.
/// </summary>
/// <remarks>
/// A block is at most <see cref="MaxBlock"/> sequences. A larger batch is several blocks before one update: its gradient is
/// the sum of the blocks' gradients in call order, so that its bits are the same wherever the blocks are computed.
/// Within a block every gradient is, per time step from the last to the first, one chain over the sequences; those are added up.
/// Sizes below: T steps, B sequences, P panels.
/// </remarks>
public sealed unsafe class StackedTrainer
{
    /// <summary>Sequences per block.</summary>
    public const int MaxBlock = 64;

    private readonly PanelLayout _layout;
    private readonly VectorWidth _width;
    private readonly AlignedArray _master;
    private readonly AlignedArray _scaled;
    private readonly AlignedArray _gradient;
    private readonly AlignedArray _blockGradient;
    private readonly AdamOptimizer _adam;
    private readonly AlignedArray _zeros = new(PanelLayout.GateBlocks);
    private readonly AlignedArray _hiddenGradient;
    private readonly AlignedArray _inputGradient;
    private readonly Layer[] _layers;
    private int _blocks;

    public StackedTrainer(StackedWeights weights, int steps, int batch)
        : this(weights, steps, batch, KernelWidth.Chosen)
    {
    }

    internal StackedTrainer(StackedWeights weights, int steps, int batch, VectorWidth width)
    {
        ArgumentNullException.ThrowIfNull(weights);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(steps);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(batch);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(batch, MaxBlock);
        KernelWidth.Require(width);
        _width = width;
        _layout = weights.Layout;
        Steps = steps;
        Batch = batch;
        _master = new AlignedArray(_layout.WeightLength);
        weights.Plain.CopyTo(_master.Span);
        _scaled = new AlignedArray(_layout.WeightLength);
        _gradient = new AlignedArray(_layout.WeightLength);
        _blockGradient = new AlignedArray(_layout.WeightLength);
        _adam = new AdamOptimizer(_layout.WeightLength);
        _hiddenGradient = new AlignedArray(batch * _layout.Columns);
        _inputGradient = new AlignedArray(batch * _layout.Columns);
        _layers = new Layer[Shape.Layers];
        for (var layer = 0; layer < _layers.Length; layer++)
        {
            _layers[layer] = new Layer(_layout, layer, steps, batch);
        }

        Pack();
    }

    public StackedShape Shape => _layout.Shape;

    public int Steps { get; }

    public int Batch { get; }

    /// <summary>Distance of rows in <see cref="Hidden"/>.</summary>
    public int HiddenPitch => _layout.RowPitch(Shape.Layers - 1);

    /// <summary>Distance of the rows <see cref="IHiddenLoss"/> writes: H padded to a multiple of 16.</summary>
    public int HiddenGradientPitch => _layout.Columns;

    /// <summary>The gradient gathered since the last update, in panel layout.</summary>
    internal ReadOnlySpan<float> Gradient => _gradient.Span;

    /// <summary>x of sequence b at step t, [I], finite.</summary>
    public Span<float> Inputs(int step, int sequence)
    {
        Require(step, sequence);
        return _layers[0].Rows.Span.Slice((((step * Batch) + sequence) * _layout.RowPitch(0)) + _layout.InputOffset(0), Shape.Inputs);
    }

    /// <summary>h of the last layer after step t: B rows of H, <see cref="HiddenPitch"/> apart.</summary>
    public ReadOnlySpan<float> Hidden(int step)
    {
        Require(step, 0);
        var last = _layers[^1];
        return last.Rows.Span.Slice(
            ((step + 1) * Batch * HiddenPitch) + _layout.HiddenOffset(Shape.Layers - 1), ((Batch - 1) * HiddenPitch) + _layout.Columns);
    }

    /// <summary>Starts the sequences of the next <see cref="Forward"/> from zero states.</summary>
    public void ResetState()
    {
        for (var layer = 0; layer < _layers.Length; layer++)
        {
            for (var b = 0; b < Batch; b++)
            {
                HiddenRow(layer, 0, b).Clear();
            }

            _layers[layer].Cells?.Span[..(Batch * _layout.Columns)].Clear();
        }
    }

    /// <summary>Starts the sequences of the next <see cref="Forward"/> where the last one ended.</summary>
    public void CarryState()
    {
        for (var layer = 0; layer < _layers.Length; layer++)
        {
            for (var b = 0; b < Batch; b++)
            {
                HiddenRow(layer, Steps, b).CopyTo(HiddenRow(layer, 0, b));
            }

            var cells = _layers[layer].Cells;
            var block = Batch * _layout.Columns;
            cells?.Span.Slice(Steps * block, block).CopyTo(cells.Span);
        }
    }

    /// <summary>Runs T steps of the block from the present state.</summary>
    public void Forward()
    {
        switch (_width)
        {
            case VectorWidth.Bits512:
                Forward<Lanes512, Vector512<float>>();
                break;
            case VectorWidth.Bits256:
                Forward<Lanes256, Vector256<float>>();
                break;
            default:
                Forward<Lanes128, Vector128<float>>();
                break;
        }
    }

    /// <summary>Adds the block's gradient to the update to come. Once per <see cref="Forward"/>: gradients replace the gates.</summary>
    public void Backward(IHiddenLoss loss)
    {
        ArgumentNullException.ThrowIfNull(loss);
        var gradient = _blocks == 0 ? _gradient : _blockGradient;
        gradient.Span.Clear();
        switch (_width)
        {
            case VectorWidth.Bits512:
                Backward<Lanes512, Vector512<float>>(gradient, loss);
                break;
            case VectorWidth.Bits256:
                Backward<Lanes256, Vector256<float>>(gradient, loss);
                break;
            default:
                Backward<Lanes128, Vector128<float>>(gradient, loss);
                break;
        }

        if (_blocks++ > 0)
        {
            AddGradient(_blockGradient.Span);
        }
    }

    /// <summary>Euclidean norm of the gradient gathered so far, for clipping.</summary>
    public float GradientNorm()
    {
        // Sixteen running sums, added in order: the same bits at every vector width.
        var gradient = _gradient.Span;
        var sums = Vector512<float>.Zero;
        for (var i = 0; i < gradient.Length; i += PanelLayout.Block)
        {
            var block = Vector512.Create((ReadOnlySpan<float>)gradient.Slice(i, PanelLayout.Block));
            sums += block * block;
        }

        var sum = 0f;
        for (var lane = 0; lane < PanelLayout.Block; lane++)
        {
            sum += sums[lane];
        }

        return MathF.Sqrt(sum);
    }

    /// <summary>One Adam step on the gathered gradient, which is then forgotten.</summary>
    /// <param name="learningRate">Step size.</param>
    /// <param name="gradientScale">What the gradient is multiplied by first: 1/terms of a mean, or clipping.</param>
    public void Update(float learningRate, float gradientScale = 1f)
    {
        if (_blocks == 0)
        {
            throw new InvalidOperationException("There is no gradient: Backward comes first.");
        }

        switch (_width)
        {
            case VectorWidth.Bits512:
                _adam.Update<Simd512, Vector512<float>>(_master.Span, _gradient.Span, gradientScale, learningRate, 0f);
                break;
            case VectorWidth.Bits256:
                _adam.Update<Simd256, Vector256<float>>(_master.Span, _gradient.Span, gradientScale, learningRate, 0f);
                break;
            default:
                _adam.Update<Simd128, Vector128<float>>(_master.Span, _gradient.Span, gradientScale, learningRate, 0f);
                break;
        }

        _blocks = 0;
        Pack();
    }

    /// <summary>The weights as they are now.</summary>
    public StackedWeights ToWeights() => new(_layout, _master.Span);

    /// <summary>The gradient gathered so far in PyTorch's flat order; both biases of a sum get its gradient.</summary>
    public float[] GradientToArray()
    {
        var values = new float[Shape.ParameterCount];
        _layout.Visit((index, _, first, second) =>
        {
            if (first >= 0)
            {
                values[first] = _gradient.Span[index];
            }

            if (second >= 0)
            {
                values[second] = _gradient.Span[index];
            }
        });
        return values;
    }

    private static float* Pointer(AlignedArray array) => array.Pointer;

    /// <summary>h of a layer before step t.</summary>
    private Span<float> HiddenRow(int layer, int step, int sequence) =>
        _layers[layer].Rows.Span.Slice(
            (((step * Batch) + sequence) * _layout.RowPitch(layer)) + _layout.HiddenOffset(layer), _layout.Columns);

    private void Require(int step, int sequence)
    {
        if ((uint)step >= (uint)Steps || (uint)sequence >= (uint)Batch)
        {
            throw new ArgumentOutOfRangeException(nameof(step), $"Step {step} of sequence {sequence} lies outside {Steps} × {Batch}.");
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void AddGradient(ReadOnlySpan<float> block)
    {
        var total = _gradient.Span;
        for (var i = 0; i < total.Length; i += PanelLayout.Block)
        {
            (Vector512.Create((ReadOnlySpan<float>)total.Slice(i, PanelLayout.Block)) + Vector512.Create(block.Slice(i, PanelLayout.Block)))
                .CopyTo(total[i..]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Forward<TLanes, TVector>()
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        var layout = _layout;
        nint batch = Batch;
        nint columns = layout.Columns;
        nint panels = layout.Panels;
        nint hiddenRows = layout.Shape.Hidden;
        var weights = Pointer(_scaled);
        for (nint t = 0; t < Steps; t++)
        {
            for (var layer = 0; layer < _layers.Length; layer++)
            {
                var arrays = _layers[layer];
                nint pitch = layout.RowPitch(layer);
                nint inputRows = layout.InputRows(layer);
                var rows = Pointer(arrays.Rows) + (t * batch * pitch);
                var a = rows + layout.InputOffset(layer);
                var hidden = rows + layout.HiddenOffset(layer);
                var nextHidden = hidden + (batch * pitch);
                var last = layer == _layers.Length - 1;

                // h is the next layer's input; above the last layer nobody reads it, so it goes where it goes anyway.
                nint copyPitch = last ? pitch : layout.RowPitch(layer + 1);
                var copy = last ? nextHidden : Pointer(_layers[layer + 1].Rows) + (t * batch * copyPitch);
                for (nint p = 0; p < panels; p++)
                {
                    var column = p * PanelLayout.Block;
                    var panel = weights + layout.PanelOffset(layer, (int)p);
                    var gates = Pointer(arrays.Gates) + (((t * panels) + p) * batch * PanelLayout.GateBlocks);
                    if (layout.IsLstm)
                    {
                        var cell = (((t * panels) + p) * batch) * PanelLayout.Block;
                        var cells = Pointer(arrays.Cells!) + cell;
                        GateProduct.LstmRows<TLanes, TVector>(batch, panel, a, pitch, inputRows + hiddenRows, gates);
                        TrainingCells.LstmForward<TLanes, TVector>(
                            gates, cells, cells + (batch * columns), Pointer(arrays.CellTanh!) + cell,
                            nextHidden + column, pitch, copy + column, copyPitch, batch);
                    }
                    else
                    {
                        GateProduct.GruRows<TLanes, TVector>(batch, panel, a, pitch, inputRows, hiddenRows, gates);
                        TrainingCells.GruForward<TLanes, TVector>(
                            gates, hidden + column, nextHidden + column, pitch, copy + column, copyPitch, batch);
                    }
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Backward<TLanes, TVector>(AlignedArray gradientArray, IHiddenLoss loss)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        var layout = _layout;
        nint batch = Batch;
        nint columns = layout.Columns;
        nint panels = layout.Panels;
        nint hiddenRows = layout.Shape.Hidden;
        nint rowLength = layout.RowLength;
        nint hiddenBlock = layout.FirstHiddenBlock * PanelLayout.Block;
        nint panelGates = batch * PanelLayout.GateBlocks;
        var gradient = Pointer(gradientArray);
        var zeros = Pointer(_zeros);
        var inputGradient = Pointer(_inputGradient);
        foreach (var layer in _layers)
        {
            layer.FromNext.Span.Clear();
            layer.CellGradient?.Span.Clear();
        }

        for (nint t = Steps - 1; t >= 0; t--)
        {
            loss.Gradient((int)t, Hidden((int)t), _hiddenGradient.Span);
            for (var layer = _layers.Length - 1; layer >= 0; layer--)
            {
                var arrays = _layers[layer];
                nint pitch = layout.RowPitch(layer);
                nint inputRows = layout.InputRows(layer);
                var rows = Pointer(arrays.Rows) + (t * batch * pitch);
                var a = rows + layout.InputOffset(layer);
                var hidden = rows + layout.HiddenOffset(layer);
                var fromNext = Pointer(arrays.FromNext);
                var fromAbove = layer == _layers.Length - 1 ? Pointer(_hiddenGradient) : inputGradient;
                var stepGates = Pointer(arrays.Gates) + (t * panels * panelGates);
                for (nint p = 0; p < panels; p++)
                {
                    var column = p * PanelLayout.Block;
                    var gates = stepGates + (p * panelGates);
                    var target = gradient + layout.PanelOffset(layer, (int)p);
                    var inputTarget = target + PanelLayout.GateBlocks;

                    // Next comes the panel after this one, or the first of the step before.
                    var ahead = p + 1 < panels ? 1 : t > 0 ? 1 - (2 * panels) : 0;
                    var nextGates = gates + (ahead * panelGates);
                    if (layout.IsLstm)
                    {
                        var cell = ((t * panels) + p) * batch * PanelLayout.Block;
                        var before = Pointer(arrays.Cells!) + cell;
                        var tanh = Pointer(arrays.CellTanh!) + cell;
                        var aheadCell = ahead * batch * PanelLayout.Block;
                        TrainingCells.LstmBackward<TLanes, TVector>(
                            gates, before, tanh, fromNext + column, fromAbove + column, columns,
                            Pointer(arrays.CellGradient!) + (column * batch), target, batch, nextGates, before + aheadCell, tanh + aheadCell);
                        TileProduct.Rows<TLanes, TVector, N4, N1>(
                            inputRows + hiddenRows, zeros, 0, a, 1, pitch, batch, 1, 0,
                            gates, PanelLayout.GateBlocks, inputTarget, rowLength);
                    }
                    else
                    {
                        TrainingCells.GruBackward<TLanes, TVector>(
                            gates, hidden + column, pitch, fromNext + column, fromAbove + column, columns, target, batch, nextGates);
                        TileProduct.Rows<TLanes, TVector, N3, N1>(
                            inputRows, zeros, 0, a, 1, pitch, batch, 1, 0, gates, PanelLayout.GateBlocks, inputTarget, rowLength);
                        TileProduct.Rows<TLanes, TVector, N3, N1>(
                            hiddenRows, zeros, 0, hidden, 1, pitch, batch, 1, 0,
                            gates + hiddenBlock, PanelLayout.GateBlocks, inputTarget + (inputRows * rowLength), rowLength);
                    }
                }

                if (t > 0)
                {
                    // The GRU's chain goes on from z·∂/∂h, which its elementwise part has left there.
                    ThroughWeights<TLanes, TVector>(
                        stepGates + hiddenBlock, Pointer(arrays.HiddenTransposed), layout.IsLstm ? zeros : fromNext,
                        layout.IsLstm ? 0 : columns, fromNext);
                }

                if (layer > 0)
                {
                    ThroughWeights<TLanes, TVector>(stepGates, Pointer(arrays.InputTransposed!), zeros, 0, inputGradient);
                }
            }
        }
    }

    /// <summary>[B, H] = start + gradients of the gates · transposed weights, four panels of columns at a time.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void ThroughWeights<TLanes, TVector>(float* gates, float* transposed, float* start, nint startRow, float* target)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        nint panels = _layout.Panels;
        nint rowLength = _layout.RowLength;
        nint columns = _layout.Columns;
        nint batch = Batch;
        var segment = batch * PanelLayout.GateBlocks;
        for (nint panel = 0; panel < panels;)
        {
            var blocks = Math.Min(4, panels - panel);
            var width = blocks * PanelLayout.Block;
            switch (blocks)
            {
                case 4:
                    TileProduct.Rows<TLanes, TVector, N4, N0>(
                        batch, start, startRow, gates, PanelLayout.GateBlocks, 1, rowLength, panels, segment, transposed, width, target, columns);
                    break;
                case 3:
                    TileProduct.Rows<TLanes, TVector, N3, N0>(
                        batch, start, startRow, gates, PanelLayout.GateBlocks, 1, rowLength, panels, segment, transposed, width, target, columns);
                    break;
                case 2:
                    TileProduct.Rows<TLanes, TVector, N2, N0>(
                        batch, start, startRow, gates, PanelLayout.GateBlocks, 1, rowLength, panels, segment, transposed, width, target, columns);
                    break;
                default:
                    TileProduct.Rows<TLanes, TVector, N1, N0>(
                        batch, start, startRow, gates, PanelLayout.GateBlocks, 1, rowLength, panels, segment, transposed, width, target, columns);
                    break;
            }

            panel += blocks;
            transposed += width * rowLength * panels;
            target += width;
            start += startRow == 0 ? 0 : width;
        }
    }

    /// <summary>From the master weights to the forms the passes read.</summary>
    private void Pack()
    {
        _layout.Scale(_master.Span, _scaled.Span);
        for (var layer = 0; layer < _layers.Length; layer++)
        {
            var inputRows = _layout.InputRows(layer);
            Transpose(layer, inputRows, Shape.Hidden, _layers[layer].HiddenTransposed);
            if (layer > 0)
            {
                Transpose(layer, 0, inputRows, _layers[layer].InputTransposed!);
            }
        }
    }

    /// <summary>Rows [k][64] of all panels to [columns of 4 panels][panel, gate and lane][k within those columns].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Transpose(int layer, int firstRow, int rows, AlignedArray transposed)
    {
        var target = Pointer(transposed);
        nint rowLength = _layout.RowLength;
        for (var first = 0; first < _layout.Columns; first += PanelLayout.GateBlocks)
        {
            var width = Math.Min(PanelLayout.GateBlocks, _layout.Columns - first);
            var present = Math.Clamp(rows - first, 0, width);
            for (var panel = 0; panel < _layout.Panels; panel++)
            {
                var source = Pointer(_master) + _layout.PanelOffset(layer, panel) + PanelLayout.GateBlocks + ((firstRow + first) * rowLength);
                for (nint lane = 0; lane < rowLength; lane++, target += width)
                {
                    for (nint k = 0; k < present; k++)
                    {
                        target[k] = source[(k * rowLength) + lane];
                    }
                }
            }
        }
    }

    private sealed class Layer
    {
        public Layer(PanelLayout layout, int layer, int steps, int batch)
        {
            var columns = layout.Columns;
            var square = columns * layout.RowLength * layout.Panels;
            Rows = new AlignedArray((steps + 1) * batch * layout.RowPitch(layer));
            Gates = new AlignedArray(steps * layout.Panels * batch * PanelLayout.GateBlocks);
            FromNext = new AlignedArray(batch * columns);
            HiddenTransposed = new AlignedArray(square);
            InputTransposed = layer > 0 ? new AlignedArray(square) : null;
            if (layout.IsLstm)
            {
                Cells = new AlignedArray((steps + 1) * batch * columns);
                CellTanh = new AlignedArray(steps * batch * columns);
                CellGradient = new AlignedArray(batch * columns);
            }
        }

        /// <summary>[T + 1, B] rows [x|h]: x of step t beside h before it.</summary>
        public AlignedArray Rows { get; }

        /// <summary>[T, P, B, 64]: exponents, activated gates, gradients, one after another.</summary>
        public AlignedArray Gates { get; }

        /// <summary>[T + 1, P, B, 16].</summary>
        public AlignedArray? Cells { get; }

        /// <summary>[T, P, B, 16].</summary>
        public AlignedArray? CellTanh { get; }

        /// <summary>[P, B, 16].</summary>
        public AlignedArray? CellGradient { get; }

        /// <summary>[B, H padded]: ∂/∂h by way of the next step.</summary>
        public AlignedArray FromNext { get; }

        public AlignedArray HiddenTransposed { get; }

        public AlignedArray? InputTransposed { get; }
    }
}
