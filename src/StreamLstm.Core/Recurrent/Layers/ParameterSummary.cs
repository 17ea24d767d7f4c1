using System.Globalization;
using System.Text;

namespace StreamLstm.Core.Recurrent.Layers;

/// <summary>Parameters of one gate, or of the head.</summary>
public sealed record GateParameters(string Gate, long Kernel, long Recurrent, long Bias, long Peephole)
{
    public long Total => Kernel + Recurrent + Bias + Peephole;
}

/// <summary>Parameters of one layer, or of the head, in the three conventions.</summary>
/// <param name="Name">For instance "lstm 0: 32 → 32".</param>
/// <param name="KerasParameters">As Keras counts: one bias per gate, two in a GRU with reset after.</param>
/// <param name="PyTorchParameters">As PyTorch counts: bias_ih and bias_hh, two per gate.</param>
public sealed record LayerParameters(string Name, IReadOnlyList<GateParameters> Gates, long KerasParameters, long PyTorchParameters)
{
    /// <summary>As stored and trained here: one bias per gate, a second one in a GRU's n gate with reset after.</summary>
    public long Parameters => Gates.Sum(gate => gate.Total);
}

/// <summary>How many parameters a network has and where. An LSTM of 32 units on 32 inputs: 4·32·(32 + 32 + 1) = 8,320.</summary>
public sealed record ParameterSummary(IReadOnlyList<LayerParameters> Layers)
{
    public long Parameters => Layers.Sum(layer => layer.Parameters);

    public long KerasParameters => Layers.Sum(layer => layer.KerasParameters);

    public long PyTorchParameters => Layers.Sum(layer => layer.PyTorchParameters);

    public static ParameterSummary Of(NetworkOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        var layers = options.Layers.Select((layer, l) => Layer(layer, l, options.InputsOf(l))).ToList();
        var (units, outputs) = (options.Layers[^1].Units, options.Head.Outputs);
        var head = new GateParameters("y", (long)units * outputs, 0, outputs, 0);
        var kind = options.Head switch { QuantileHead => "quantiles", SoftmaxHead => "softmax", _ => "linear" };
        layers.Add(new LayerParameters($"{kind}: {units} → {outputs}", [head], head.Total, head.Total));
        return new ParameterSummary(layers);
    }

    /// <summary>The summary as a table of plain text, lines ending in \n.</summary>
    public string ToText()
    {
        var text = new StringBuilder();
        Line("layer and gate", "kernel", "recurrent", "bias", "peephole", "total");
        foreach (var layer in Layers)
        {
            Line(layer.Name, "", "", "", "", Number(layer.Parameters));
            foreach (var gate in layer.Gates.Where(_ => layer.Gates.Count > 1))
            {
                Line("  " + gate.Gate, Number(gate.Kernel), Number(gate.Recurrent), Number(gate.Bias), Number(gate.Peephole), Number(gate.Total));
            }
        }

        text.Append(CultureInfo.InvariantCulture, $"\nparameters       {Parameters,14:N0}\n");
        text.Append(CultureInfo.InvariantCulture, $"as Keras counts  {KerasParameters,14:N0}   one bias per gate; two in a GRU with reset_after\n");
        text.Append(CultureInfo.InvariantCulture, $"as PyTorch counts{PyTorchParameters,14:N0}   two biases per gate, bias_ih and bias_hh, of which only the sum matters\n");
        return text.ToString();

        void Line(string name, string kernel, string recurrent, string bias, string peephole, string total) =>
            text.Append(CultureInfo.InvariantCulture, $"{name,-30}{kernel,12}{recurrent,12}{bias,9}{peephole,10}{total,14}\n");

        static string Number(long value) => value == 0 ? "-" : value.ToString("N0", CultureInfo.InvariantCulture);
    }

    private static LayerParameters Layer(RecurrentLayerOptions layer, int index, int inputs)
    {
        long units = layer.Units;
        string[] names = layer.Cell switch
        {
            CellKind.Lstm => ["i", "f", "g", "o"],
            CellKind.Gru => ["r", "z", "n"],
            _ => ["h"],
        };
        var gates = names.Select(gate => new GateParameters(
            gate,
            inputs * units,
            units * units,
            layer.Bias ? (gate == "n" && layer.HasRecurrentBias ? 2 : 1) * units : 0,
            layer.Peepholes && gate != "g" ? units : 0)).ToArray();
        var weights = gates.Sum(gate => gate.Kernel + gate.Recurrent + gate.Peephole);
        var bias = layer.Bias ? layer.Gates * units : 0;
        var name = layer.Cell switch { CellKind.Lstm => "lstm", CellKind.Gru => "gru", _ => "rnn" };
        return new LayerParameters(
            $"{name} {index}: {inputs} → {units}", gates, weights + (layer.HasRecurrentBias ? 2 * bias : bias), weights + (2 * bias));
    }
}
