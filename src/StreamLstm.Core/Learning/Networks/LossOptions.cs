using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Learning.Networks;

/// <summary>What training minimises: a mean over the targets, weighted by the mask.</summary>
public enum LossKind
{
    /// <summary>e².</summary>
    MeanSquared,

    /// <summary>|e|.</summary>
    MeanAbsolute,

    /// <summary>e²/2 for |e| ≤ δ, δ·(|e| − δ/2) beyond (Huber 1964).</summary>
    Huber,

    /// <summary>max(τ·e, (τ − 1)·e), e = target − quantile, mean over the levels (Koenker, Bassett 1978). Needs a quantile head.</summary>
    Pinball,

    /// <summary>−log of the probability of the true class, mean weighted by the classes' weights. Needs a softmax head.</summary>
    CrossEntropy,
}

/// <summary>A loss. The means are PyTorch's.</summary>
public sealed record LossOptions
{
    public required LossKind Kind { get; init; }

    /// <value>δ of the Huber loss, above 0. Default 1.</value>
    public double HuberDelta { get; init; } = 1;

    /// <value>Weight of each class in the cross-entropy, above 0; null, the default, for equal weights.</value>
    public IReadOnlyList<double>? ClassWeights { get; init; }

    internal void Validate(HeadOptions head)
    {
        var fits = Kind switch
        {
            LossKind.Pinball => head is QuantileHead,
            LossKind.CrossEntropy => head is SoftmaxHead,
            LossKind.MeanSquared or LossKind.MeanAbsolute or LossKind.Huber => head is LinearHead,
            _ => throw new ArgumentException($"Kind must be one of {string.Join(", ", Enum.GetNames<LossKind>())}, got {Kind}.", nameof(Kind)),
        };
        if (!fits)
        {
            throw new ArgumentException(
                $"Kind must fit the head: Pinball with QuantileHead, CrossEntropy with SoftmaxHead, others with LinearHead; got {Kind} with {head.GetType().Name}.",
                nameof(Kind));
        }

        if (!(HuberDelta > 0) || !double.IsFinite(HuberDelta))
        {
            throw new ArgumentException($"HuberDelta must be finite and above 0, got {HuberDelta}.", nameof(HuberDelta));
        }

        if (ClassWeights is null)
        {
            return;
        }

        if (head is not SoftmaxHead softmax || ClassWeights.Count != softmax.Classes)
        {
            throw new ArgumentException(
                $"ClassWeights must hold one weight per class of a SoftmaxHead, got {ClassWeights.Count} for {head}.", nameof(ClassWeights));
        }

        foreach (var weight in ClassWeights)
        {
            if (!(weight > 0) || !double.IsFinite(weight))
            {
                throw new ArgumentException($"ClassWeights must be finite and above 0, got {weight}.", nameof(ClassWeights));
            }
        }
    }
}
