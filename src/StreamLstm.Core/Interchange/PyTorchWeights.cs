using System.Numerics;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Interchange;

/// <summary>
/// Networks as safetensors files with PyTorch's names and layout: what <c>safetensors.torch.save_file(model.state_dict(), …)</c>
/// writes for a module with an <c>nn.LSTM</c>, <c>nn.GRU</c> or <c>nn.RNN</c> called <c>rnn</c> and an <c>nn.Linear</c> called <c>head</c>.
/// </summary>
/// <remarks>
/// <para>
/// Per layer l: rnn.weight_ih_l{l} [G·H, I], rnn.weight_hh_l{l} [G·H, H], rnn.bias_ih_l{l} and rnn.bias_hh_l{l} [G·H]; then
/// head.weight [K, H] and head.bias [K]. PyTorch has two biases of which only the sum matters: they are added on import; on
/// export the first holds the sum and the second zeros, except in a GRU's n gate, where the second is a parameter of its own.
/// </para>
/// <para>
/// Peepholes and reset before the product do not exist in PyTorch. The former are exported as rnn.weight_ci_l{l},
/// weight_cf_l{l} and weight_co_l{l} [H]; the latter is noted in the metadata, so that neither is taken for the other.
/// </para>
/// </remarks>
public static class PyTorchWeights
{
    private const string FormMetadata = "streamlstm.cells";

    public static byte[] Export<T>(RecurrentNetwork<T> network, string recurrentPrefix = "rnn.", string headPrefix = "head.")
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        ArgumentNullException.ThrowIfNull(network);
        ArgumentNullException.ThrowIfNull(recurrentPrefix);
        ArgumentNullException.ThrowIfNull(headPrefix);
        var tensors = new List<KeyValuePair<string, Tensor<T>>>();
        for (var l = 0; l < network.Options.Layers.Count; l++)
        {
            var (layer, slots) = (network.Options.Layers[l], network.Layout.Layers[l]);
            Add(recurrentPrefix, slots.WeightIh);
            Add(recurrentPrefix, slots.WeightHh);
            if (slots.Bias is { } bias)
            {
                var second = new T[bias.Length];
                if (slots.RecurrentBias is { } inner)
                {
                    Of(inner).CopyTo(second.AsSpan(2 * layer.Units));
                }

                tensors.Add(new($"{recurrentPrefix}bias_ih_l{l}", new Tensor<T>([bias.Rows], Of(bias).ToArray())));
                tensors.Add(new($"{recurrentPrefix}bias_hh_l{l}", new Tensor<T>([bias.Rows], second)));
            }

            foreach (var peephole in new[] { slots.PeepholeI, slots.PeepholeF, slots.PeepholeO })
            {
                if (peephole is { } view)
                {
                    Add(recurrentPrefix, view);
                }
            }
        }

        tensors.Add(new($"{headPrefix}weight", new Tensor<T>([network.Layout.HeadWeight.Rows, network.Layout.HeadWeight.Columns], Of(network.Layout.HeadWeight).ToArray())));
        tensors.Add(new($"{headPrefix}bias", new Tensor<T>([network.Layout.HeadBias.Rows], Of(network.Layout.HeadBias).ToArray())));
        return Safetensors.Write(tensors, new Dictionary<string, string> { ["format"] = "pt", [FormMetadata] = Form(network.Options) });

        ReadOnlySpan<T> Of(ParameterView view) => network.Parameters.Slice(view.Offset, view.Length);

        void Add(string prefix, ParameterView view) =>
            tensors.Add(new(prefix + view.Name, new Tensor<T>(view.IsVector ? [view.Rows] : [view.Rows, view.Columns], Of(view).ToArray())));
    }

    /// <param name="options">Layers and head that the file is for; every tensor must be there in its shape, and no other.</param>
    /// <param name="file">Damaged or foreign bytes, wrong shapes and non-finite weights are an <see cref="InvalidDataException"/>.</param>
    public static RecurrentNetwork<T> Import<T>(
        NetworkOptions options, ReadOnlySpan<byte> file, string recurrentPrefix = "rnn.", string headPrefix = "head.")
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(recurrentPrefix);
        ArgumentNullException.ThrowIfNull(headPrefix);
        options.Validate();
        var content = Safetensors.Read<T>(file);
        if (content.Metadata.TryGetValue(FormMetadata, out var form) && form != Form(options))
        {
            throw new InvalidDataException($"The file is for the cells {form}, expected {Form(options)}.");
        }

        var layout = new ParameterLayout(options);
        var source = new TensorSource<T>(content.Tensors);
        var parameters = new T[layout.Total];
        for (var l = 0; l < layout.Layers.Length; l++)
        {
            var (layer, slots) = (options.Layers[l], layout.Layers[l]);
            Take(recurrentPrefix, slots.WeightIh);
            Take(recurrentPrefix, slots.WeightHh);
            if (slots.Bias is { } bias)
            {
                var first = source.Take($"{recurrentPrefix}bias_ih_l{l}", bias.Rows);
                var second = source.Take($"{recurrentPrefix}bias_hh_l{l}", bias.Rows);
                var merged = slots.RecurrentBias is null ? bias.Rows : 2 * layer.Units;
                for (var row = 0; row < bias.Rows; row++)
                {
                    parameters[bias.Offset + row] = row < merged ? first[row] + second[row] : first[row];
                }

                if (slots.RecurrentBias is { } inner)
                {
                    second[merged..].CopyTo(parameters.AsSpan(inner.Offset));
                }
            }

            foreach (var peephole in new[] { slots.PeepholeI, slots.PeepholeF, slots.PeepholeO })
            {
                if (peephole is { } view)
                {
                    Take(recurrentPrefix, view);
                }
            }
        }

        source.Take($"{headPrefix}weight", layout.HeadWeight.Rows, layout.HeadWeight.Columns).CopyTo(parameters.AsSpan(layout.HeadWeight.Offset));
        source.Take($"{headPrefix}bias", layout.HeadBias.Rows).CopyTo(parameters.AsSpan(layout.HeadBias.Offset));
        source.RequireEmpty();
        return TensorSource<T>.Network(options, parameters);

        void Take(string prefix, ParameterView view)
        {
            var values = view.IsVector ? source.Take(prefix + view.Name, view.Rows) : source.Take(prefix + view.Name, view.Rows, view.Columns);
            values.CopyTo(parameters.AsSpan(view.Offset));
        }
    }

    private static string Form(NetworkOptions options) => string.Join(", ", options.Layers.Select(layer => layer switch
    {
        { Cell: CellKind.Lstm, Peepholes: true } => "lstm (peepholes)",
        { Cell: CellKind.Lstm } => "lstm",
        { Cell: CellKind.Gru, ResetAfter: false } => "gru (reset before)",
        { Cell: CellKind.Gru } => "gru",
        _ => "rnn",
    }));
}
