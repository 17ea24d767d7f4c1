using StreamLstm.Core.Interchange;
using StreamLstm.Core.Recurrent.Layers;
using StreamLstm.Core.Tests.Layers;

namespace StreamLstm.Core.Tests.Interchange;

/// <summary>Keras's layers as its documentation writes them: x·kernel + h·recurrent_kernel + bias, gates i, f, c, o and z, r, h as column blocks.</summary>
internal static class KerasReference
{
    /// <summary>Random arrays in the order and shapes of get_weights().</summary>
    public static Tensor<float>[] Weights(NetworkOptions options)
    {
        var arrays = new List<Tensor<float>>();
        var inputs = options.Inputs;
        foreach (var layer in options.Layers)
        {
            var columns = layer.Units * layer.Cell switch { CellKind.Lstm => 4, CellKind.Gru => 3, _ => 1 };
            Add(inputs, columns);
            Add(layer.Units, columns);
            if (layer.Bias)
            {
                Add(layer.Cell == CellKind.Gru && layer.ResetAfter ? [2, columns] : [columns]);
            }

            inputs = layer.Units;
        }

        Add(inputs, options.Head.Outputs);
        Add(options.Head.Outputs);
        return [.. arrays];

        void Add(params int[] shape) =>
            arrays.Add(new Tensor<float>(shape, NetworkCases.Random<float>(shape.Aggregate((a, b) => a * b), (ulong)(50 + arrays.Count), 0.7)));
    }

    /// <summary>Outputs of every step of one sequence.</summary>
    public static double[] Forward(NetworkOptions options, Tensor<float>[] arrays, double[] inputs)
    {
        var next = 0;
        var x = inputs.Chunk(options.Inputs).ToArray();
        foreach (var layer in options.Layers)
        {
            var (kernel, recurrent) = (arrays[next++], arrays[next++]);
            var bias = layer.Bias ? arrays[next++] : null;
            var h = new double[layer.Units];
            var c = new double[layer.Units];
            x = [.. x.Select(row => h = Step(layer, row, h, c, kernel, recurrent, bias))];
        }

        var (weight, headBias) = (arrays[next], arrays[next + 1]);
        return [.. x.SelectMany(h => Enumerable.Range(0, options.Head.Outputs).Select(k => Dot(h, weight, k) + headBias.Values[k]))];
    }

    private static double[] Step(
        RecurrentLayerOptions layer, double[] x, double[] h, double[] c, Tensor<float> kernel, Tensor<float> recurrent, Tensor<float>? bias)
    {
        var (units, columns) = (layer.Units, kernel.Shape[1]);
        double X(int block, int u) => Dot(x, kernel, (block * units) + u) + (bias?.Values[(block * units) + u] ?? 0);
        double H(int block, int u, double[] state) => Dot(state, recurrent, (block * units) + u)
            + (bias is { Shape.Count: 2 } ? bias.Values[columns + (block * units) + u] : 0);
        var result = new double[units];
        switch (layer.Cell)
        {
            case CellKind.Lstm:
                for (var u = 0; u < units; u++)
                {
                    c[u] = (Sigmoid(X(1, u) + H(1, u, h)) * c[u]) + (Sigmoid(X(0, u) + H(0, u, h)) * Math.Tanh(X(2, u) + H(2, u, h)));
                    result[u] = Sigmoid(X(3, u) + H(3, u, h)) * Math.Tanh(c[u]);
                }

                break;
            case CellKind.Gru:
                var r = h.Select((_, u) => Sigmoid(X(1, u) + H(1, u, h))).ToArray();
                var reset = h.Select((value, u) => value * r[u]).ToArray();
                for (var u = 0; u < units; u++)
                {
                    var z = Sigmoid(X(0, u) + H(0, u, h));
                    result[u] = (z * h[u]) + ((1 - z) * Math.Tanh(X(2, u) + (layer.ResetAfter ? r[u] * H(2, u, h) : H(2, u, reset))));
                }

                break;
            default:
                for (var u = 0; u < units; u++)
                {
                    result[u] = Math.Tanh(X(0, u) + H(0, u, h));
                }

                break;
        }

        return result;
    }

    private static double Dot(double[] row, Tensor<float> matrix, int column) =>
        row.Select((value, i) => value * matrix.Values[(i * matrix.Shape[1]) + column]).Sum();

    private static double Sigmoid(double z) => 1 / (1 + Math.Exp(-z));
}
