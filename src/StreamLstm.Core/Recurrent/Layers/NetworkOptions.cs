namespace StreamLstm.Core.Recurrent.Layers;

/// <summary>
/// Recurrent layers one upon the other, and a head. One or many inputs are <see cref="Inputs"/>; one or many steps are the
/// head's outputs (a forecast of K steps at once) or the last layer's <see cref="RecurrentLayerOptions.ReturnSequences"/>
/// (one row of outputs per step).
/// </summary>
public sealed record NetworkOptions
{
    /// <summary>More parameters than this are refused: they are a mistake, or do not fit an array.</summary>
    public const int MaxParameters = 1 << 28;

    /// <value>I, values per step, 1…2048.</value>
    public required int Inputs { get; init; }

    /// <value>L layers from the inputs up, at least one.</value>
    public required IReadOnlyList<RecurrentLayerOptions> Layers { get; init; }

    /// <value>The head.</value>
    public required HeadOptions Head { get; init; }

    /// <summary>Whether there is a row of outputs for every step rather than for the last alone.</summary>
    public bool ReturnsSequences => Layers[^1].ReturnSequences;

    /// <summary>Throws an <see cref="ArgumentException"/> that names the option, what was expected and what was given.</summary>
    public void Validate()
    {
        if (Inputs is < 1 or > RecurrentLayerOptions.MaxDimension)
        {
            throw new ArgumentException($"Inputs must lie in 1…{RecurrentLayerOptions.MaxDimension}, got {Inputs}.", nameof(Inputs));
        }

        if (Layers is null || Layers.Count == 0)
        {
            throw new ArgumentException("Layers must hold at least one layer, got none.", nameof(Layers));
        }

        for (var l = 0; l < Layers.Count; l++)
        {
            if (Layers[l] is null)
            {
                throw new ArgumentException($"Layers[{l}] is null.", nameof(Layers));
            }

            Layers[l].Validate($"Layers[{l}]");
            if (l < Layers.Count - 1 && !Layers[l].ReturnSequences)
            {
                throw new ArgumentException(
                    $"Layers[{l}]: ReturnSequences must be true because Layers[{l + 1}] reads every step, got false.", nameof(RecurrentLayerOptions.ReturnSequences));
            }
        }

        ArgumentNullException.ThrowIfNull(Head);
        Head.Validate();
        var count = ParameterLayout.Count(this);
        if (count > MaxParameters)
        {
            throw new ArgumentException($"The network must have at most {MaxParameters} parameters, but would have {count}.", nameof(Layers));
        }
    }

    internal int InputsOf(int layer) => layer == 0 ? Inputs : Layers[layer - 1].Units;
}
