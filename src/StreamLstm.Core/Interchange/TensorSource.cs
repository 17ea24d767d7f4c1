using System.Numerics;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Interchange;

/// <summary>A file's tensors, each to be taken once, in the expected shape and finite.</summary>
internal sealed class TensorSource<T>(IReadOnlyDictionary<string, Tensor<T>> tensors)
    where T : unmanaged, IFloatingPointIeee754<T>
{
    private readonly HashSet<string> _left = [.. tensors.Keys];

    public ReadOnlySpan<T> Take(string name, params ReadOnlySpan<int> shape)
    {
        if (!_left.Remove(name))
        {
            throw new InvalidDataException($"The file has no tensor '{name}' of shape [{string.Join(", ", shape.ToArray())}]; it has {Names(tensors.Keys)}.");
        }

        var tensor = tensors[name];
        if (!shape.SequenceEqual([.. tensor.Shape]))
        {
            throw new InvalidDataException($"Tensor '{name}' must have shape [{string.Join(", ", shape.ToArray())}], got {tensor.ShapeText}.");
        }

        for (var i = 0; i < tensor.Values.Length; i++)
        {
            if (!T.IsFinite(tensor.Values[i]))
            {
                throw new InvalidDataException($"Tensor '{name}' holds {tensor.Values[i]} at element {i}; weights must be finite.");
            }
        }

        return tensor.Values;
    }

    public void RequireEmpty()
    {
        if (_left.Count > 0)
        {
            throw new InvalidDataException($"The file has tensors that the network does not: {Names(_left)}.");
        }
    }

    /// <summary>A network of a file's parameters; two finite biases can still add up to infinity.</summary>
    public static RecurrentNetwork<T> Network(NetworkOptions options, ReadOnlySpan<T> parameters)
    {
        try
        {
            return new RecurrentNetwork<T>(options, parameters);
        }
        catch (ArgumentException e)
        {
            throw new InvalidDataException($"The file's weights cannot be used: {e.Message}", e);
        }
    }

    private static string Names(IEnumerable<string> names)
    {
        var all = names.Order(StringComparer.Ordinal).ToArray();
        return all.Length == 0 ? "none" : string.Join(", ", all.Take(12)) + (all.Length > 12 ? $" and {all.Length - 12} more" : "");
    }
}
