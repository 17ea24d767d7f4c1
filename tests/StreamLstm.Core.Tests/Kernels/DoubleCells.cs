using StreamLstm.Core.Recurrent.Kernels;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Tests.Kernels;

/// <summary>PyTorch's LSTM and GRU in double precision from the equations and the flat parameters alone, forward and backward.</summary>
internal sealed class DoubleCells(StackedShape shape, float[] parameters)
{
    private readonly List<Layer> _layers = Split(shape, parameters);

    /// <summary>In flat order.</summary>
    public double[] Gradient { get; } = new double[parameters.Length];

    /// <summary>One step of all layers; state[layer] = (h, c) is changed in place.</summary>
    public double[] Step(double[] x, (double[] H, double[] C)[] state) => Step(x, state, null);

    /// <summary>Adds the gradient of ½·Σ|h − target|² over one sequence from zero states.</summary>
    public void AddGradient(double[][] inputs, double[] target)
    {
        var state = ZeroState();
        var tape = new List<Trace>();
        var outputs = inputs.Select(x => Step(x, state, tape)).ToArray();
        var next = ZeroState();
        for (var t = inputs.Length - 1; t >= 0; t--)
        {
            var above = outputs[t].Zip(target, (h, wanted) => h - wanted).ToArray();
            for (var layer = shape.Layers - 1; layer >= 0; layer--)
            {
                above = Back(_layers[layer], tape[(t * shape.Layers) + layer], above, next[layer].H, next[layer].C);
            }
        }
    }

    public (double[] H, double[] C)[] ZeroState() =>
        [.. Enumerable.Range(0, shape.Layers).Select(_ => (new double[shape.Hidden], new double[shape.Hidden]))];

    private static List<Layer> Split(StackedShape shape, float[] parameters)
    {
        var layers = new List<Layer>();
        var offset = 0;
        for (var layer = 0; layer < shape.Layers; layer++)
        {
            var inputs = layer == 0 ? shape.Inputs : shape.Hidden;
            var gates = shape.Gates * shape.Hidden;
            var weights = new Layer(parameters, inputs, offset, offset + (gates * inputs), offset + (gates * (inputs + shape.Hidden)), gates);
            layers.Add(weights);
            offset = weights.HiddenBias + gates;
        }

        return layers;
    }

    private static double Sigmoid(double z) => 1 / (1 + Math.Exp(-z));

    private double[] Step(double[] x, (double[] H, double[] C)[] state, List<Trace>? tape)
    {
        var hidden = shape.Hidden;
        for (var layer = 0; layer < shape.Layers; layer++)
        {
            var w = _layers[layer];
            var (h, c) = state[layer];
            var fromInput = new double[w.Gates];
            var fromHidden = new double[w.Gates];
            for (var row = 0; row < w.Gates; row++)
            {
                fromInput[row] = w.Values[w.InputBias + row];
                fromHidden[row] = w.Values[w.HiddenBias + row];
                for (var k = 0; k < w.Inputs; k++)
                {
                    fromInput[row] += w.Values[w.InputWeights + (row * w.Inputs) + k] * x[k];
                }

                for (var k = 0; k < hidden; k++)
                {
                    fromHidden[row] += w.Values[w.HiddenWeights + (row * hidden) + k] * h[k];
                }
            }

            var trace = new Trace(x, [.. h], [.. c], new double[w.Gates], new double[hidden], fromHidden);
            tape?.Add(trace);
            for (var u = 0; u < hidden; u++)
            {
                if (shape.Cell == CellKind.Lstm)
                {
                    var z = (int gate) => fromInput[(gate * hidden) + u] + fromHidden[(gate * hidden) + u];
                    var (i, f, g, o) = (Sigmoid(z(0)), Sigmoid(z(1)), Math.Tanh(z(2)), Sigmoid(z(3)));
                    c[u] = (f * c[u]) + (i * g);
                    trace.CellTanh[u] = Math.Tanh(c[u]);
                    h[u] = o * trace.CellTanh[u];
                    (trace.Activated[u], trace.Activated[hidden + u], trace.Activated[(2 * hidden) + u], trace.Activated[(3 * hidden) + u]) = (i, f, g, o);
                }
                else
                {
                    var r = Sigmoid(fromInput[u] + fromHidden[u]);
                    var z = Sigmoid(fromInput[hidden + u] + fromHidden[hidden + u]);
                    var n = Math.Tanh(fromInput[(2 * hidden) + u] + (r * fromHidden[(2 * hidden) + u]));
                    h[u] = ((1 - z) * n) + (z * h[u]);
                    (trace.Activated[u], trace.Activated[hidden + u], trace.Activated[(2 * hidden) + u]) = (r, z, n);
                }
            }

            x = [.. h];
        }

        return x;
    }

    private double[] Back(Layer w, Trace trace, double[] above, double[] nextH, double[] nextC)
    {
        var hidden = shape.Hidden;
        var byInput = new double[w.Gates];
        var byHidden = new double[w.Gates];
        var direct = new double[hidden];
        for (var u = 0; u < hidden; u++)
        {
            var dh = above[u] + nextH[u];
            var a = trace.Activated;
            if (shape.Cell == CellKind.Lstm)
            {
                var (i, f, g, o) = (a[u], a[hidden + u], a[(2 * hidden) + u], a[(3 * hidden) + u]);
                var t = trace.CellTanh[u];
                var dc = nextC[u] + (dh * o * (1 - (t * t)));
                nextC[u] = dc * f;
                byInput[u] = dc * g * i * (1 - i);
                byInput[hidden + u] = dc * trace.C[u] * f * (1 - f);
                byInput[(2 * hidden) + u] = dc * i * (1 - (g * g));
                byInput[(3 * hidden) + u] = dh * t * o * (1 - o);
                for (var gate = 0; gate < 4; gate++)
                {
                    byHidden[(gate * hidden) + u] = byInput[(gate * hidden) + u];
                }
            }
            else
            {
                var (r, z, n) = (a[u], a[hidden + u], a[(2 * hidden) + u]);
                var dn = dh * (1 - z) * (1 - (n * n));
                byInput[u] = byHidden[u] = dn * trace.FromHidden[(2 * hidden) + u] * r * (1 - r);
                byInput[hidden + u] = byHidden[hidden + u] = dh * (trace.H[u] - n) * z * (1 - z);
                byInput[(2 * hidden) + u] = dn;
                byHidden[(2 * hidden) + u] = dn * r;
                direct[u] = dh * z;
            }
        }

        var dx = new double[w.Inputs];
        direct.CopyTo(nextH, 0);
        for (var row = 0; row < w.Gates; row++)
        {
            Gradient[w.InputBias + row] += byInput[row];
            Gradient[w.HiddenBias + row] += byHidden[row];
            for (var k = 0; k < w.Inputs; k++)
            {
                Gradient[w.InputWeights + (row * w.Inputs) + k] += byInput[row] * trace.X[k];
                dx[k] += byInput[row] * w.Values[w.InputWeights + (row * w.Inputs) + k];
            }

            for (var k = 0; k < hidden; k++)
            {
                Gradient[w.HiddenWeights + (row * hidden) + k] += byHidden[row] * trace.H[k];
                nextH[k] += byHidden[row] * w.Values[w.HiddenWeights + (row * hidden) + k];
            }
        }

        return dx;
    }

    private sealed record Layer(float[] Values, int Inputs, int InputWeights, int HiddenWeights, int InputBias, int Gates)
    {
        public int HiddenBias => InputBias + Gates;
    }

    private sealed record Trace(double[] X, double[] H, double[] C, double[] Activated, double[] CellTanh, double[] FromHidden);
}
