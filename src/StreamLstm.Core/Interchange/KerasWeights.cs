using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Interchange;

/// <summary>
/// Import of what Keras's <c>model.get_weights()</c> returns for a stack of LSTM, GRU or SimpleRNN layers with one Dense layer
/// on top. Keras's own files are Python or HDF5; one line there writes either form read here, without any code in the file.
/// </summary>
/// <remarks>
/// <para>
/// Arrays in the order of <c>get_weights()</c>: per layer kernel [I, G·H], recurrent_kernel [H, G·H], bias; then the Dense
/// layer's kernel [H, K] and bias [K]. Columns are blocks of H per gate: LSTM i, f, c, o; GRU z, r, h. A bias is [G·H]; that of a
/// GRU with reset_after=True is [2, 3H], for the inputs and for the hidden state. Layers with use_bias=False have none.
/// </para>
/// <para>
/// safetensors: <c>save_file({str(i): w for i, w in enumerate(model.get_weights())}, "model.safetensors")</c>, names "0", "1", ….
/// Flat: <c>np.concatenate([w.ravel() for w in model.get_weights()]).astype("&lt;f4").tofile("model.f32")</c>: little-endian
/// float32 and nothing else, so only the length can be checked.
/// </para>
/// </remarks>
public static class KerasWeights
{
    /// <summary>From a safetensors file with the arrays' positions as names; anything else is an <see cref="InvalidDataException"/>.</summary>
    public static RecurrentNetwork<T> ImportSafetensors<T>(NetworkOptions options, ReadOnlySpan<byte> file)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        Require(options);
        var source = new TensorSource<T>(Safetensors.Read<T>(file).Tensors);
        var position = 0;
        var parameters = Convert<T>(options, shape => source.Take(position++.ToString(CultureInfo.InvariantCulture), shape).ToArray());
        source.RequireEmpty();
        return TensorSource<T>.Network(options, parameters);
    }

    /// <summary>From little-endian float32 one after the other; a wrong length or a non-finite value is an <see cref="InvalidDataException"/>.</summary>
    public static RecurrentNetwork<T> ImportFlat<T>(NetworkOptions options, ReadOnlySpan<byte> file)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        Require(options);
        var expected = ParameterSummary.Of(options).KerasParameters * sizeof(float);
        if (file.Length != expected)
        {
            throw new InvalidDataException($"The flat weights of this network must be {expected} bytes long, got {file.Length}.");
        }

        var values = new T[file.Length / sizeof(float)];
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = T.CreateTruncating(BinaryPrimitives.ReadSingleLittleEndian(file[(i * sizeof(float))..]));
            if (!T.IsFinite(values[i]))
            {
                throw new InvalidDataException($"The flat weights hold {values[i]} at value {i}; weights must be finite.");
            }
        }

        var at = 0;
        var parameters = Convert<T>(options, shape =>
        {
            var count = shape.Aggregate(1, (product, dimension) => product * dimension);
            at += count;
            return values.AsSpan(at - count, count).ToArray();
        });
        return TensorSource<T>.Network(options, parameters);
    }

    private static void Require(NetworkOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        if (options.Layers.Any(layer => layer.Peepholes))
        {
            throw new ArgumentException("Peepholes do not exist in Keras, expected false in every layer, got true.", nameof(options));
        }
    }

    /// <param name="options">Layers and head.</param>
    /// <param name="next">Gives the next array of Keras's order, checked against the shape.</param>
    private static T[] Convert<T>(NetworkOptions options, Func<int[], T[]> next)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        var layout = new ParameterLayout(options);
        var parameters = new T[layout.Total];
        for (var l = 0; l < layout.Layers.Length; l++)
        {
            var (layer, slots) = (options.Layers[l], layout.Layers[l]);
            var (rows, units) = (slots.WeightIh.Rows, layer.Units);
            Transpose(next([slots.WeightIh.Columns, rows]), slots.WeightIh, row => KerasColumn(layer, row));
            Transpose(next([units, rows]), slots.WeightHh, row => KerasColumn(layer, row));
            if (slots.Bias is not { } bias)
            {
                continue;
            }

            var values = next(slots.RecurrentBias is null ? [rows] : [2, rows]);
            for (var row = 0; row < rows; row++)
            {
                var column = KerasColumn(layer, row);
                parameters[bias.Offset + row] = values[column];
                if (slots.RecurrentBias is not { } inner)
                {
                    continue;
                }

                if (row < 2 * units)
                {
                    parameters[bias.Offset + row] += values[rows + column];
                }
                else
                {
                    parameters[inner.Offset + row - (2 * units)] = values[rows + column];
                }
            }
        }

        Transpose(next([layout.HeadWeight.Columns, layout.HeadWeight.Rows]), layout.HeadWeight, row => row);
        next([layout.HeadBias.Rows]).CopyTo(parameters, layout.HeadBias.Offset);
        return parameters;

        void Transpose(T[] source, ParameterView target, Func<int, int> columnOf)
        {
            for (var row = 0; row < target.Rows; row++)
            {
                for (var column = 0; column < target.Columns; column++)
                {
                    parameters[target.Offset + (row * target.Columns) + column] = source[(column * target.Rows) + columnOf(row)];
                }
            }
        }
    }

    /// <summary>Keras has an LSTM's gates in our order, and a GRU's as z, r, h rather than r, z, n.</summary>
    private static int KerasColumn(RecurrentLayerOptions layer, int row) =>
        layer.Cell == CellKind.Gru && row < 2 * layer.Units ? (row + layer.Units) % (2 * layer.Units) : row;
}
