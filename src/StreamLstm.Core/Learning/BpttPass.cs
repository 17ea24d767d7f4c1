using System.Runtime.CompilerServices;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent;

namespace StreamLstm.Core.Learning;

/// <summary>
/// Loss and gradient of one batch by back-propagation through time (Werbos 1990). Buffers grow to the largest batch seen
/// and are reused.
/// </summary>
internal sealed class BpttPass(LstmForecasterShape shape)
{
    private readonly PackedWeights _weights = new(shape);
    private readonly PackedWeights _gradient = new(shape);

    // Rows for the way back: WeightHh as [4H padded, H padded] and HeadWeight as [K, H padded].
    private readonly AlignedArray _recurrentRows = new(4 * MatrixProduct.PadColumns(shape.Hidden) * MatrixProduct.PadColumns(shape.Hidden));
    private readonly AlignedArray _headRows = new(shape.Outputs * MatrixProduct.PadColumns(shape.Hidden));
    private readonly AlignedArray _zeroRow = new(MatrixProduct.PadColumns(shape.Hidden));

    private AlignedArray? _gates;      // [T, B, 4H padded]
    private AlignedArray? _cell;       // [T + 1, B, H padded], first = before the sequence
    private AlignedArray? _cellTanh;   // [T, B, H padded]
    private AlignedArray? _hidden;     // [T + 1, B, H padded]
    private AlignedArray? _output;     // [T − burn-in, B, K padded]: forecasts, then their gradient
    private AlignedArray? _hiddenGradient; // [B, H padded]
    private AlignedArray? _cellGradient;   // [B, H padded]

    /// <summary>Takes new parameters, in flat order.</summary>
    public void Load(ReadOnlySpan<float> flat)
    {
        var hidden = shape.Hidden;
        var columns = _weights.HiddenColumns;
        _weights.Pack(flat);
        var recurrent = _recurrentRows.Span;
        for (var row = 0; row < 4 * hidden; row++)
        {
            flat.Slice(shape.WeightHhOffset + (row * hidden), hidden)
                .CopyTo(recurrent[(PackedWeights.GateColumn(row, hidden) * columns)..]);
        }

        var head = _headRows.Span;
        for (var k = 0; k < shape.Outputs; k++)
        {
            flat.Slice(shape.HeadWeightOffset + (k * hidden), hidden).CopyTo(head[(k * columns)..]);
        }
    }

    /// <summary>Mean loss over the mask, or null where the mask is zero everywhere.</summary>
    public float? Forward<TSimd, TVector>(TrainingBatch batch)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        Prepare(batch);
        RunForward<TSimd, TVector>(batch);
        return Loss(batch);
    }

    /// <summary>Gradient of the loss that <see cref="Forward"/> has just computed, in flat order.</summary>
    public void Backward<TSimd, TVector>(TrainingBatch batch, Span<float> flat)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        RunBackward<TSimd, TVector>(batch);
        _gradient.Unpack(flat);
    }

    private void Prepare(TrainingBatch batch)
    {
        var rows = batch.Batch;
        var steps = batch.Steps;
        var columns = _weights.HiddenColumns;
        _gates = AlignedArray.AtLeast(_gates, checked(steps * rows * _weights.GateColumns));
        _cell = AlignedArray.AtLeast(_cell, checked((steps + 1) * rows * columns));
        _cellTanh = AlignedArray.AtLeast(_cellTanh, steps * rows * columns);
        _hidden = AlignedArray.AtLeast(_hidden, (steps + 1) * rows * columns);
        _output = AlignedArray.AtLeast(_output, checked((steps - batch.BurnIn) * rows * _weights.OutputColumns));
        _hiddenGradient = AlignedArray.AtLeast(_hiddenGradient, rows * columns);
        _cellGradient = AlignedArray.AtLeast(_cellGradient, rows * columns);

        // A reused buffer may hold another batch's rows where this one has padding.
        var cell = _cell.Span[..(rows * columns)];
        var hidden = _hidden.Span[..(rows * columns)];
        cell.Clear();
        hidden.Clear();
        for (var row = 0; row < rows; row++)
        {
            batch.InitialCell.Slice(row * shape.Hidden, shape.Hidden).CopyTo(cell[(row * columns)..]);
            batch.InitialHidden.Slice(row * shape.Hidden, shape.Hidden).CopyTo(hidden[(row * columns)..]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void RunForward<TSimd, TVector>(TrainingBatch batch)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        var rows = batch.Batch;
        var (inputs, hidden, _) = shape;
        var (gateColumns, columns, outputColumns) = (_weights.GateColumns, _weights.HiddenColumns, _weights.OutputColumns);
        for (var t = 0; t < batch.Steps; t++)
        {
            var x = batch.Inputs.Slice(t * rows * inputs, rows * inputs);
            var gates = _gates!.Span.Slice(t * rows * gateColumns, rows * gateColumns);
            var before = Step(_hidden!, t, rows, columns);
            var after = Step(_hidden!, t + 1, rows, columns);
            MatrixProduct.Compute<TSimd, TVector>(
                _weights.GateBias, 0, x, inputs, 1, _weights.InputGates, gateColumns, gates, gateColumns, rows, inputs, gateColumns);
            MatrixProduct.Compute<TSimd, TVector>(
                gates, gateColumns, before, columns, 1, _weights.HiddenGates, gateColumns, gates, gateColumns, rows, hidden, gateColumns);
            LstmCell.Forward<TSimd, TVector>(
                gates, Step(_cell!, t, rows, columns), Step(_cell!, t + 1, rows, columns), Step(_cellTanh!, t, rows, columns), after, rows * columns);
            if (t < batch.BurnIn)
            {
                continue;
            }

            var output = Step(_output!, t - batch.BurnIn, rows, outputColumns);
            MatrixProduct.Compute<TSimd, TVector>(
                _weights.HeadBias, 0, x, inputs, 1, _weights.InputHead, outputColumns, output, outputColumns, rows, inputs, outputColumns);
            MatrixProduct.Compute<TSimd, TVector>(
                output, outputColumns, after, columns, 1, _weights.HiddenHead, outputColumns, output, outputColumns, rows, hidden, outputColumns);
        }
    }

    private float? Loss(TrainingBatch batch)
    {
        var outputs = shape.Outputs;
        var rows = batch.Batch;
        var first = batch.BurnIn * rows * outputs;
        var count = HuberLoss.Count(batch.Mask[first..]);
        if (count == 0.0)
        {
            return null;
        }

        var inverse = (float)(1.0 / count);
        var sum = 0.0;
        for (var row = 0; row < (batch.Steps - batch.BurnIn) * rows; row++)
        {
            sum += HuberLoss.Row(
                _output!.Span.Slice(row * _weights.OutputColumns, outputs),
                batch.Targets.Slice(first + (row * outputs), outputs),
                batch.Mask.Slice(first + (row * outputs), outputs),
                inverse);
        }

        return (float)(sum / count);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void RunBackward<TSimd, TVector>(TrainingBatch batch)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        var rows = batch.Batch;
        var (inputs, hidden, outputs) = shape;
        var (gateColumns, columns, outputColumns) = (_weights.GateColumns, _weights.HiddenColumns, _weights.OutputColumns);
        var hiddenGradient = _hiddenGradient!.Span[..(rows * columns)];
        var cellGradient = _cellGradient!.Span[..(rows * columns)];
        _gradient.Clear();
        cellGradient.Clear();
        for (var t = batch.Steps - 1; t >= 0; t--)
        {
            var x = batch.Inputs.Slice(t * rows * inputs, rows * inputs);
            var before = Step(_hidden!, t, rows, columns);
            if (t == batch.Steps - 1)
            {
                hiddenGradient.Clear();
            }
            else
            {
                // From the gates of the step after: WeightHhᵀ·∂/∂z.
                MatrixProduct.Compute<TSimd, TVector>(
                    _zeroRow.Span, 0, Step(_gates!, t + 1, rows, gateColumns), gateColumns, 1, _recurrentRows.Span, columns,
                    hiddenGradient, columns, rows, gateColumns, columns);
            }

            if (t >= batch.BurnIn)
            {
                var after = Step(_hidden!, t + 1, rows, columns);
                var outputGradient = Step(_output!, t - batch.BurnIn, rows, outputColumns);
                MatrixProduct.Compute<TSimd, TVector>(
                    hiddenGradient, columns, outputGradient, outputColumns, 1, _headRows.Span, columns, hiddenGradient, columns, rows, outputs, columns);
                MatrixProduct.Compute<TSimd, TVector>(
                    _gradient.InputHead, outputColumns, x, 1, inputs, outputGradient, outputColumns,
                    _gradient.InputHead, outputColumns, inputs, rows, outputColumns);
                MatrixProduct.Compute<TSimd, TVector>(
                    _gradient.HiddenHead, outputColumns, after, 1, columns, outputGradient, outputColumns,
                    _gradient.HiddenHead, outputColumns, hidden, rows, outputColumns);
                MatrixProduct.AddRows<TSimd, TVector>(outputGradient, rows, outputColumns, _gradient.HeadBias);
            }

            var gates = Step(_gates!, t, rows, gateColumns);
            LstmCell.Backward<TSimd, TVector>(
                gates, Step(_cell!, t, rows, columns), Step(_cellTanh!, t, rows, columns), hiddenGradient, cellGradient, rows * columns);
            MatrixProduct.Compute<TSimd, TVector>(
                _gradient.InputGates, gateColumns, x, 1, inputs, gates, gateColumns, _gradient.InputGates, gateColumns, inputs, rows, gateColumns);
            MatrixProduct.Compute<TSimd, TVector>(
                _gradient.HiddenGates, gateColumns, before, 1, columns, gates, gateColumns, _gradient.HiddenGates, gateColumns, hidden, rows, gateColumns);
            MatrixProduct.AddRows<TSimd, TVector>(gates, rows, gateColumns, _gradient.GateBias);
        }
    }

    private static Span<float> Step(AlignedArray array, int step, int rows, int columns) =>
        array.Span.Slice(step * rows * columns, rows * columns);
}
