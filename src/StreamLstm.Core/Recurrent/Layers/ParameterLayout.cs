namespace StreamLstm.Core.Recurrent.Layers;

/// <summary>One named matrix or vector within the flat parameters, row-major.</summary>
/// <param name="Name">As PyTorch has it, for instance weight_ih_l0.</param>
/// <param name="Rows">First dimension.</param>
/// <param name="Columns">Second dimension; 1 and <paramref name="IsVector"/> for a vector.</param>
/// <param name="Offset">Where it starts in the flat parameters.</param>
public readonly record struct ParameterView(string Name, int Rows, int Columns, bool IsVector, int Offset)
{
    public int Length => Rows * Columns;
}

/// <summary>
/// The flat order: per layer weight_ih [G·H, I], weight_hh [G·H, H], bias [G·H], bias_hn [H] (GRU with reset after),
/// weight_ci, weight_cf, weight_co [H] (peepholes); then head.weight [K, H], head.bias [K].
/// Gates are blocks of H rows: i, f, g, o (LSTM); r, z, n (GRU). PyTorch's bias_ih and bias_hh are one bias here, because
/// only their sum matters; of a GRU's n gate both are kept, as the inner one is multiplied by r.
/// </summary>
internal sealed class ParameterLayout
{
    public ParameterLayout(NetworkOptions options)
    {
        var views = new List<ParameterView>();
        var offset = 0;
        Layers = new LayerSlots[options.Layers.Count];
        for (var l = 0; l < Layers.Length; l++)
        {
            var layer = options.Layers[l];
            var (rows, units) = (layer.Gates * layer.Units, layer.Units);
            Layers[l] = new LayerSlots
            {
                WeightIh = Add($"weight_ih_l{l}", rows, options.InputsOf(l)),
                WeightHh = Add($"weight_hh_l{l}", rows, units),
                Bias = layer.Bias ? AddVector($"bias_l{l}", rows) : null,
                RecurrentBias = layer.HasRecurrentBias ? AddVector($"bias_hn_l{l}", units) : null,
                PeepholeI = layer.Peepholes ? AddVector($"weight_ci_l{l}", units) : null,
                PeepholeF = layer.Peepholes ? AddVector($"weight_cf_l{l}", units) : null,
                PeepholeO = layer.Peepholes ? AddVector($"weight_co_l{l}", units) : null,
            };
        }

        HeadWeight = Add("head.weight", options.Head.Outputs, options.Layers[^1].Units);
        HeadBias = AddVector("head.bias", options.Head.Outputs);
        Views = views;
        Total = offset;

        ParameterView Add(string name, int rows, int columns) => Place(new ParameterView(name, rows, columns, false, offset));

        ParameterView AddVector(string name, int rows) => Place(new ParameterView(name, rows, 1, true, offset));

        ParameterView Place(ParameterView view)
        {
            views.Add(view);
            offset += view.Length;
            return view;
        }
    }

    public LayerSlots[] Layers { get; }

    public ParameterView HeadWeight { get; }

    public ParameterView HeadBias { get; }

    public IReadOnlyList<ParameterView> Views { get; }

    public int Total { get; }

    /// <summary>All parameters, without overflow whatever the sizes.</summary>
    public static long Count(NetworkOptions options)
    {
        long count = 0;
        for (var l = 0; l < options.Layers.Count; l++)
        {
            var layer = options.Layers[l];
            long units = layer.Units;
            count += layer.Gates * units * (options.InputsOf(l) + units + (layer.Bias ? 1 : 0));
            count += (layer.HasRecurrentBias ? units : 0) + (layer.Peepholes ? 3 * units : 0);
        }

        return count + (options.Head.Outputs * (options.Layers[^1].Units + 1L));
    }
}

/// <summary>Where one layer's parameters are; absent ones are null.</summary>
internal sealed class LayerSlots
{
    public required ParameterView WeightIh { get; init; }

    public required ParameterView WeightHh { get; init; }

    public ParameterView? Bias { get; init; }

    public ParameterView? RecurrentBias { get; init; }

    public ParameterView? PeepholeI { get; init; }

    public ParameterView? PeepholeF { get; init; }

    public ParameterView? PeepholeO { get; init; }
}
