using static StreamLstm.Core.Recurrent.Kernels.StackedReference;

namespace StreamLstm.Core.Recurrent.Kernels;

/// <summary>
/// What <see cref="StackedTrainer"/> computes for one block from zero states, one number at a time and in the same order.
/// Plain arrays, indexed [t][b][unit].
/// </summary>
internal sealed class StackedTrainingReference
{
    private readonly PanelLayout _layout;
    private readonly StackedWeights _weights;
    private readonly int _steps;
    private readonly int _batch;

    public StackedTrainingReference(StackedWeights weights, int steps, int batch)
    {
        _layout = weights.Layout;
        _weights = weights;
        _steps = steps;
        _batch = batch;
        Gradient = new float[_layout.WeightLength];
    }

    /// <summary>Panel layout.</summary>
    public float[] Gradient { get; }

    /// <param name="input">[t][b][I].</param>
    /// <param name="outputGradient">From h of the last layer [t][b][H] to ∂ loss/∂h.</param>
    /// <returns>h of the last layer [t][b][H].</returns>
    public float[][][] Run(float[][][] input, Func<float[][][], float[][][]> outputGradient)
    {
        var layers = new Layer[_layout.Shape.Layers];
        var x = input;
        for (var layer = 0; layer < layers.Length; layer++)
        {
            layers[layer] = new Layer(x, _steps, _batch, _layout.Shape.Hidden);
            Forward(layer, layers[layer]);
            x = layers[layer].Hidden[1..];
        }

        // Backward over time first, over layers second: a layer needs from above only the gradient of the same step.
        var fromAbove = outputGradient(x);
        for (var layer = layers.Length - 1; layer >= 0; layer--)
        {
            fromAbove = Backward(layer, layers[layer], fromAbove);
        }

        return x;
    }

    private static float[][][] Cube(int steps, int batch, int units) =>
        [.. Enumerable.Range(0, steps).Select(_ => Enumerable.Range(0, batch).Select(_ => new float[units]).ToArray())];

    private void Forward(int layer, Layer values)
    {
        var gates = new float[4];
        for (var t = 0; t < _steps; t++)
        {
            for (var b = 0; b < _batch; b++)
            {
                for (var unit = 0; unit < _layout.Shape.Hidden; unit++)
                {
                    Gates(_layout, _weights.Scaled.Span, layer, unit, values.Input[t][b], values.Hidden[t][b], gates);
                    if (_layout.IsLstm)
                    {
                        Lstm(values, t, b, unit, gates);
                    }
                    else
                    {
                        Gru(values, t, b, unit, gates);
                    }

                    gates.CopyTo(values.Gates[t][b].AsSpan(4 * unit));
                }
            }
        }
    }

    private static void Lstm(Layer values, int t, int b, int unit, Span<float> gates)
    {
        var i = 1f + Exponential(gates[0]);
        var f = 1f + Exponential(gates[1]);
        var eg = Exponential(gates[2]);
        var g = 1f + eg;
        var o = 1f + Exponential(gates[3]);
        var a = i * g;
        var inverse = 1f / (a * f);
        var c = MathF.FusedMultiplyAdd(values.Cell[t][b][unit], a, (1f - eg) * f) * inverse;
        var ec = Exponential(c * PanelLayout.TanhScale);
        var inverseOutput = 1f / (o * (1f + ec));
        gates[0] = (f * g) * inverse;
        gates[1] = a * inverse;
        gates[2] = ((1f - eg) * (i * f)) * inverse;
        gates[3] = (1f + ec) * inverseOutput;
        values.Cell[t + 1][b][unit] = c;
        values.CellTanh[t][b][unit] = ((1f - ec) * o) * inverseOutput;
        values.Hidden[t + 1][b][unit] = (1f - ec) * inverseOutput;
    }

    private static void Gru(Layer values, int t, int b, int unit, Span<float> gates)
    {
        var r = 1f / (1f + Exponential(gates[1]));
        var ez = Exponential(gates[2]);
        var en = Exponential(MathF.FusedMultiplyAdd(gates[3], r, gates[0]));
        var inverse = 1f / ((1f + ez) * (1f + en));
        values.Hidden[t + 1][b][unit] =
            MathF.FusedMultiplyAdd(values.Hidden[t][b][unit], 1f + en, ez * (1f - en)) * inverse;
        gates[0] = ((1f - en) * (1f + ez)) * inverse;
        gates[1] = r;
        gates[2] = (1f + en) * inverse;
    }

    /// <returns>∂ loss/∂x of the layer, [t][b][inputs].</returns>
    private float[][][] Backward(int layer, Layer values, float[][][] fromAbove)
    {
        var hidden = _layout.Shape.Hidden;
        var inputs = values.Input[0][0].Length;
        var inputGradient = Cube(_steps, _batch, inputs);
        var fromNext = Cube(1, _batch, hidden)[0];
        var cell = Cube(1, _batch, hidden)[0];
        for (var t = _steps - 1; t >= 0; t--)
        {
            for (var b = 0; b < _batch; b++)
            {
                for (var unit = 0; unit < hidden; unit++)
                {
                    var dh = fromNext[b][unit] + fromAbove[t][b][unit];
                    var gates = values.Gates[t][b].AsSpan(4 * unit, 4);
                    if (_layout.IsLstm)
                    {
                        LstmBack(gates, values.Cell[t][b][unit], values.CellTanh[t][b][unit], dh, ref cell[b][unit]);
                    }
                    else
                    {
                        fromNext[b][unit] = GruBack(gates, values.Hidden[t][b][unit], dh);
                    }
                }
            }

            for (var unit = 0; unit < hidden; unit++)
            {
                AddWeightGradients(layer, unit, values, t);
            }

            for (var b = 0; b < _batch; b++)
            {
                var gates = values.Gates[t][b];
                for (var k = 0; k < hidden; k++)
                {
                    fromNext[b][k] = ThroughWeights(
                        layer, _layout.InputRows(layer) + k, _layout.FirstHiddenBlock, gates, _layout.IsLstm ? 0f : fromNext[b][k]);
                }

                for (var k = 0; k < inputs; k++)
                {
                    inputGradient[t][b][k] = ThroughWeights(layer, k, 0, gates, 0f);
                }
            }
        }

        return inputGradient;
    }

    private static void LstmBack(Span<float> gates, float before, float tanh, float dh, ref float cell)
    {
        var (i, f, g, o) = (gates[0], gates[1], gates[2], gates[3]);
        var dc = MathF.FusedMultiplyAdd(dh * o, 1f - (tanh * tanh), cell);
        cell = dc * f;
        gates[0] = ((dc * i) * g) * (1f - i);
        gates[1] = (cell * before) * (1f - f);
        gates[2] = (dc * i) * (1f - (g * g));
        gates[3] = ((dh * o) * tanh) * (1f - o);
    }

    private static float GruBack(Span<float> gates, float before, float dh)
    {
        var (n, r, z, m) = (gates[0], gates[1], gates[2], gates[3] * (1f / PanelLayout.TanhScale));
        gates[0] = (dh * (1f - z)) * (1f - (n * n));
        gates[3] = gates[0] * r;
        gates[1] = (gates[3] * m) * (1f - r);
        gates[2] = ((dh * z) * (before - n)) * (1f - z);
        return dh * z;
    }

    private void AddWeightGradients(int layer, int unit, Layer values, int t)
    {
        var panel = Gradient.AsSpan(_layout.PanelOffset(layer, unit / PanelLayout.Block), _layout.PanelLength(layer))[(unit % PanelLayout.Block)..];
        for (var block = 0; block < 4; block++)
        {
            var gate = (4 * unit) + block;
            var bias = 0f;
            for (var b = 0; b < _batch; b++)
            {
                bias += values.Gates[t][b][gate];
            }

            panel[block * PanelLayout.Block] += bias;
            if (block < _layout.Blocks)
            {
                Add(panel, PanelLayout.GateBlocks, block, values.Input[t]);
            }

            if (block >= _layout.FirstHiddenBlock)
            {
                var hiddenRows = PanelLayout.GateBlocks + (_layout.InputRows(layer) * _layout.RowLength);
                Add(panel, hiddenRows, block - _layout.FirstHiddenBlock, values.Hidden[t]);
            }

            void Add(Span<float> target, int rows, int column, float[][] factors)
            {
                for (var k = 0; k < factors[0].Length; k++)
                {
                    var sum = 0f;
                    for (var b = 0; b < _batch; b++)
                    {
                        sum = MathF.FusedMultiplyAdd(factors[b][k], values.Gates[t][b][gate], sum);
                    }

                    target[rows + (k * _layout.RowLength) + (column * PanelLayout.Block)] += sum;
                }
            }
        }
    }

    /// <summary>Σ over panels, gates and lanes of gate gradient · weight.</summary>
    private float ThroughWeights(int layer, int row, int firstBlock, ReadOnlySpan<float> gates, float sum)
    {
        for (var panel = 0; panel < _layout.Panels; panel++)
        {
            var weights = _weights.Plain[(_layout.PanelOffset(layer, panel) + PanelLayout.GateBlocks + (row * _layout.RowLength))..];
            for (var block = 0; block < _layout.Blocks; block++)
            {
                for (var lane = 0; lane < PanelLayout.Block; lane++)
                {
                    var unit = (panel * PanelLayout.Block) + lane;
                    if (unit < _layout.Shape.Hidden)
                    {
                        sum = MathF.FusedMultiplyAdd(
                            gates[(4 * unit) + firstBlock + block], weights[(block * PanelLayout.Block) + lane], sum);
                    }
                }
            }
        }

        return sum;
    }

    private sealed class Layer(float[][][] input, int steps, int batch, int hidden)
    {
        public float[][][] Input { get; } = input;

        public float[][][] Hidden { get; } = Cube(steps + 1, batch, hidden);

        public float[][][] Cell { get; } = Cube(steps + 1, batch, hidden);

        public float[][][] CellTanh { get; } = Cube(steps, batch, hidden);

        /// <summary>[t][b][4·unit + block].</summary>
        public float[][][] Gates { get; } = Cube(steps, batch, 4 * hidden);
    }
}
