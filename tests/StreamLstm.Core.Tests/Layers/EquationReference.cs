using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Tests.Layers;

/// <summary>The equations again, unit by unit in double precision and sharing nothing with the library but the options.</summary>
internal static class EquationReference
{
    /// <summary>Outputs [T, B, K] or [B, K], without dropout; a softmax's as probabilities.</summary>
    public static double[] Forward(RecurrentNetwork<double> network, double[] inputs, int steps, int batch)
    {
        var options = network.Options;
        var outputs = new List<double>[steps];
        for (var t = 0; t < steps; t++)
        {
            outputs[t] = [];
        }

        for (var b = 0; b < batch; b++)
        {
            var x = new double[steps][];
            for (var t = 0; t < steps; t++)
            {
                x[t] = inputs.AsSpan(((t * batch) + b) * options.Inputs, options.Inputs).ToArray();
            }

            for (var l = 0; l < options.Layers.Count; l++)
            {
                x = Layer(network, l, x);
            }

            for (var t = 0; t < x.Length; t++)
            {
                outputs[t].AddRange(Head(network, x[t]));
            }
        }

        return [.. outputs.SelectMany(row => row)];
    }

    private static double[][] Layer(RecurrentNetwork<double> network, int l, double[][] x)
    {
        var options = network.Options.Layers[l];
        var h = new double[options.Units];
        var c = new double[options.Units];
        var results = new double[x.Length][];
        for (var s = 0; s < x.Length; s++)
        {
            var t = options.Backwards ? x.Length - 1 - s : s;
            h = Step(network, l, x[t], h, c);
            results[t] = h;
        }

        return options.ReturnSequences ? results : [h];
    }

    private static double[] Step(RecurrentNetwork<double> network, int l, double[] x, double[] h, double[] c)
    {
        var options = network.Options.Layers[l];
        var units = options.Units;
        var next = new double[units];
        double In(int gate, int u) => Dot(network.Parameter($"weight_ih_l{l}"), (gate * units) + u, x)
            + (options.Bias ? network.Parameter($"bias_l{l}")[(gate * units) + u] : 0);
        double Rec(int gate, int u, double[] state) => Dot(network.Parameter($"weight_hh_l{l}"), (gate * units) + u, state);
        double Sigma(double z) => Apply(options.RecurrentActivation, z);
        double Phi(double z) => Apply(options.Activation, z);
        double Peephole(string name, int u) => options.Peepholes ? network.Parameter($"weight_c{name}_l{l}")[u] : 0;
        switch (options.Cell)
        {
            case CellKind.Lstm:
                for (var u = 0; u < units; u++)
                {
                    var i = Sigma(In(0, u) + Rec(0, u, h) + (Peephole("i", u) * c[u]));
                    var f = Sigma(In(1, u) + Rec(1, u, h) + (Peephole("f", u) * c[u]));
                    var g = Phi(In(2, u) + Rec(2, u, h));
                    c[u] = (f * c[u]) + (i * g);
                    var o = Sigma(In(3, u) + Rec(3, u, h) + (Peephole("o", u) * c[u]));
                    next[u] = o * Phi(c[u]);
                }

                break;
            case CellKind.Gru:
                var reset = new double[units];
                for (var u = 0; u < units; u++)
                {
                    reset[u] = Sigma(In(0, u) + Rec(0, u, h));
                }

                var resetHidden = h.Select((value, u) => value * reset[u]).ToArray();
                for (var u = 0; u < units; u++)
                {
                    var z = Sigma(In(1, u) + Rec(1, u, h));
                    var inner = options.ResetAfter
                        ? reset[u] * (Rec(2, u, h) + (options.Bias ? network.Parameter($"bias_hn_l{l}")[u] : 0))
                        : Rec(2, u, resetHidden);
                    next[u] = ((1 - z) * Phi(In(2, u) + inner)) + (z * h[u]);
                }

                break;
            default:
                for (var u = 0; u < units; u++)
                {
                    next[u] = Phi(In(0, u) + Rec(0, u, h));
                }

                break;
        }

        return next;
    }

    private static IEnumerable<double> Head(RecurrentNetwork<double> network, double[] h)
    {
        var a = Enumerable.Range(0, network.Options.Head.Outputs)
            .Select(k => network.Parameter("head.bias")[k] + Dot(network.Parameter("head.weight"), k, h)).ToArray();
        switch (network.Options.Head)
        {
            case SoftmaxHead:
                var sum = a.Sum(Math.Exp);
                return a.Select(value => Math.Exp(value) / sum);
            case QuantileHead head:
                var q = new double[a.Length];
                var middle = (head.Levels.Count - 1) / 2;
                for (var at = 0; at < a.Length; at++)
                {
                    var (level, start) = (at % head.Levels.Count, at - (at % head.Levels.Count));
                    q[at] = a[start + middle];
                    for (var j = Math.Min(level, middle); j <= Math.Max(level, middle); j++)
                    {
                        q[at] += j == middle ? 0 : Math.Sign(level - middle) * Math.Log(1 + Math.Exp(a[start + j]));
                    }
                }

                return q;
            default:
                return a;
        }
    }

    private static double Dot(ReadOnlySpan<double> matrix, int row, double[] vector)
    {
        var sum = 0.0;
        for (var i = 0; i < vector.Length; i++)
        {
            sum += matrix[(row * vector.Length) + i] * vector[i];
        }

        return sum;
    }

    private static double Apply(Activation activation, double z) => activation switch
    {
        Activation.Tanh => Math.Tanh(z),
        Activation.Sigmoid => 1 / (1 + Math.Exp(-z)),
        Activation.HardSigmoid => Math.Min(1, Math.Max(0, (z + 3) / 6)),
        Activation.Relu => z > 0 ? z : 0,
        _ => z,
    };
}
