using System.Numerics;

namespace StreamLstm.Core.Recurrent.Layers;

/// <summary>h and c of every layer for B sequences: what a stream carries from one call to the next. Starts at zero.</summary>
public sealed class NetworkState<T>
    where T : unmanaged, IFloatingPointIeee754<T>
{
    private readonly T[][] _hidden;
    private readonly T[][] _cell;

    internal NetworkState(NetworkOptions options, int batch)
    {
        var most = Array.MaxLength / options.Layers.Max(layer => layer.Units);
        if (batch < 1 || batch > most)
        {
            throw new ArgumentException($"batch must lie in 1…{most}, got {batch}.", nameof(batch));
        }

        Batch = batch;
        _hidden = [.. options.Layers.Select(layer => new T[batch * layer.Units])];
        _cell = [.. options.Layers.Select(layer => layer.Cell == CellKind.Lstm ? new T[batch * layer.Units] : [])];
    }

    /// <summary>B.</summary>
    public int Batch { get; }

    /// <summary>L.</summary>
    public int Layers => _hidden.Length;

    /// <summary>h of a layer, [B, H]. Values written must be finite.</summary>
    public Span<T> Hidden(int layer) => _hidden[layer];

    /// <summary>c of a layer, [B, H]; empty where the layer is not an LSTM. Values written must be finite.</summary>
    public Span<T> Cell(int layer) => _cell[layer];

    /// <summary>Zeros everywhere.</summary>
    public void Clear()
    {
        for (var layer = 0; layer < Layers; layer++)
        {
            Clear(layer);
        }
    }

    internal void Clear(int layer)
    {
        Array.Clear(_hidden[layer]);
        Array.Clear(_cell[layer]);
    }
}

/// <summary>Final h and c of one layer, [B, H] each; c is empty where the layer is not an LSTM.</summary>
public sealed record LayerState<T>(T[] Hidden, T[] Cell);

/// <summary>What a forward pass gives.</summary>
/// <param name="Outputs">[T, B, K] where the last layer returns sequences, else [B, K].</param>
/// <param name="States">Per layer its final state where the layer returns it, else null.</param>
public sealed record NetworkOutput<T>(T[] Outputs, IReadOnlyList<LayerState<T>?> States);
