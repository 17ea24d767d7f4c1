namespace StreamLstm.Core.Learning;

/// <summary>How <see cref="BpttTrainer"/> treats a gradient.</summary>
public sealed record BpttOptions
{
    /// <value>Largest norm of the whole gradient; longer ones are shortened to it. Above 0. Default 1.</value>
    public float ClipNorm { get; init; } = 1f;

    /// <value>Share of the past that Adam keeps of the squared gradient (its β₂), in [0, 1). Lower follows a changing stream faster. Default 0.999.</value>
    public double SecondMomentDecay { get; init; } = 0.999;

    /// <value>Decoupled weight decay (AdamW), per unit of learning rate. At least 0. Default 0.</value>
    public float WeightDecay { get; init; }

    /// <value>Whether the direct weights from inputs to outputs are learnt; otherwise their gradient counts as zero. Default true.</value>
    public bool LearnsSkip { get; init; } = true;

    /// <value>
    /// Share of the past that the averaged weights keep at each step, in [0, 1). What exceeds 0.9 is reached as t/(t + 10) with the number t
    /// of updates, or young weights would be averaged with their random start. Default 0.9.
    /// </value>
    public float AverageDecay { get; init; } = 0.9f;

    internal void Validate()
    {
        if (!(ClipNorm > 0f) || !float.IsFinite(ClipNorm))
        {
            throw new ArgumentException($"ClipNorm must be finite and above 0, got {ClipNorm}.", nameof(ClipNorm));
        }

        if (!(SecondMomentDecay is >= 0.0 and < 1.0))
        {
            throw new ArgumentException($"SecondMomentDecay must lie in [0, 1), got {SecondMomentDecay}.", nameof(SecondMomentDecay));
        }

        if (!(WeightDecay >= 0f) || !float.IsFinite(WeightDecay))
        {
            throw new ArgumentException($"WeightDecay must be finite and at least 0, got {WeightDecay}.", nameof(WeightDecay));
        }

        if (!(AverageDecay is >= 0f and < 1f))
        {
            throw new ArgumentException($"AverageDecay must lie in [0, 1), got {AverageDecay}.", nameof(AverageDecay));
        }
    }
}
