using StreamLstm.Core.Learning;
using StreamLstm.Core.Recurrent;

namespace StreamLstm.Core.Tests.Parity;

/// <summary>The network and its loss again, in double precision and from the equations alone: the second witness.</summary>
internal static class DoubleReference
{
    /// <param name="parameters">In flat order.</param>
    public static double Loss(LstmForecasterShape shape, ReadOnlySpan<double> parameters, TrainingBatch batch)
    {
        var (inputs, hidden, outputs) = shape;
        var weightIh = parameters[..(4 * hidden * inputs)];
        parameters = parameters[weightIh.Length..];
        var weightHh = parameters[..(4 * hidden * hidden)];
        parameters = parameters[weightHh.Length..];
        var bias = parameters[..(4 * hidden)];
        parameters = parameters[bias.Length..];
        var head = parameters[..(outputs * hidden)];
        parameters = parameters[head.Length..];
        var skip = parameters[..(outputs * inputs)];
        var headBias = parameters[skip.Length..];
        double sum = 0, count = 0;
        for (var b = 0; b < batch.Batch; b++)
        {
            var h = Array.ConvertAll(batch.InitialHidden.Slice(b * hidden, hidden).ToArray(), v => (double)v);
            var c = Array.ConvertAll(batch.InitialCell.Slice(b * hidden, hidden).ToArray(), v => (double)v);
            for (var t = 0; t < batch.Steps; t++)
            {
                var x = batch.InputsAt(t, b);
                var z = new double[4 * hidden];
                for (var row = 0; row < z.Length; row++)
                {
                    z[row] = bias[row];
                    for (var i = 0; i < inputs; i++)
                    {
                        z[row] += weightIh[(row * inputs) + i] * x[i];
                    }

                    for (var i = 0; i < hidden; i++)
                    {
                        z[row] += weightHh[(row * hidden) + i] * h[i];
                    }
                }

                for (var u = 0; u < hidden; u++)
                {
                    c[u] = (Sigmoid(z[hidden + u]) * c[u]) + (Sigmoid(z[u]) * Math.Tanh(z[(2 * hidden) + u]));
                    h[u] = Sigmoid(z[(3 * hidden) + u]) * Math.Tanh(c[u]);
                }

                if (t < batch.BurnIn)
                {
                    continue;
                }

                for (var k = 0; k < outputs; k++)
                {
                    var y = headBias[k];
                    for (var i = 0; i < inputs; i++)
                    {
                        y += skip[(k * inputs) + i] * x[i];
                    }

                    for (var i = 0; i < hidden; i++)
                    {
                        y += head[(k * hidden) + i] * h[i];
                    }

                    double weight = batch.MaskAt(t, b)[k];
                    if (weight != 0)
                    {
                        var error = Math.Abs(y - batch.TargetsAt(t, b)[k]);
                        sum += weight * (error <= 1 ? 0.5 * error * error : error - 0.5);
                        count += weight;
                    }
                }
            }
        }

        return sum / count;
    }

    private static double Sigmoid(double z) => 1 / (1 + Math.Exp(-z));
}
