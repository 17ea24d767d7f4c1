namespace StreamLstm.Core.Recurrent.Layers;

/// <summary>What turns the last layer's h into outputs.</summary>
public abstract record HeadOptions
{
    private protected HeadOptions()
    {
    }

    /// <summary>Values per row (a sequence, or a step of one).</summary>
    public abstract int Outputs { get; }

    /// <summary>Targets per row.</summary>
    internal abstract int Targets { get; }

    internal abstract void Validate();

    private protected static void RequireOutputs(int value, int least, string name)
    {
        if (value < least || value > RecurrentLayerOptions.MaxDimension)
        {
            throw new ArgumentException($"{name} must lie in {least}…{RecurrentLayerOptions.MaxDimension}, got {value}.", name);
        }
    }
}

/// <summary>y = W·h + b: K values, for instance K channels, or one channel at K horizon steps.</summary>
public sealed record LinearHead(int Count) : HeadOptions
{
    public override int Outputs => Count;

    internal override int Targets => Count;

    internal override void Validate() => RequireOutputs(Count, 1, nameof(Count));
}

/// <summary>
/// Q quantiles at each of K horizon steps, [K, Q]. They cannot cross: the middle level is linear in h, and each next one
/// outwards lies a softplus of a linear function further.
/// </summary>
/// <param name="Horizon">K, steps ahead.</param>
/// <param name="Levels">Q quantile levels, ascending, each in (0, 1).</param>
public sealed record QuantileHead(int Horizon, IReadOnlyList<double> Levels) : HeadOptions
{
    public override int Outputs => Horizon * Levels.Count;

    internal override int Targets => Horizon;

    /// <summary>Index of the level that the others are built from.</summary>
    internal int Middle => (Levels.Count - 1) / 2;

    internal override void Validate()
    {
        if (Levels is null || Levels.Count == 0)
        {
            throw new ArgumentException("Levels must hold at least one quantile level, got none.", nameof(Levels));
        }

        for (var q = 0; q < Levels.Count; q++)
        {
            if (!(Levels[q] is > 0 and < 1) || (q > 0 && !(Levels[q] > Levels[q - 1])))
            {
                throw new ArgumentException(
                    string.Create(System.Globalization.CultureInfo.InvariantCulture, $"Levels must ascend within (0, 1), got {Levels[q]} at {q}."),
                    nameof(Levels));
            }
        }

        RequireOutputs(Horizon, 1, nameof(Horizon));
        RequireOutputs(Levels.Count, 1, nameof(Levels));
        RequireOutputs(Outputs, 1, nameof(Outputs));
    }
}

/// <summary>Probabilities of C classes: softmax of W·h + b. A target is the index of its class.</summary>
public sealed record SoftmaxHead(int Classes) : HeadOptions
{
    public override int Outputs => Classes;

    internal override int Targets => 1;

    internal override void Validate() => RequireOutputs(Classes, 2, nameof(Classes));
}
