namespace StreamLstm.Core.Learning.Networks;

/// <summary>How a gradient moves the weights. Semantics and defaults are PyTorch's.</summary>
public abstract record OptimizerOptions
{
    private protected OptimizerOptions()
    {
    }

    /// <value>Step size before the schedule; above 0. Default 1e-3.</value>
    public double LearningRate { get; init; } = 1e-3;

    /// <value>λ: λ·w is added to the gradient, in AdamW taken from w directly. At least 0. Default 0.</value>
    public double WeightDecay { get; init; }

    internal virtual void Validate()
    {
        RequireAbove(LearningRate, nameof(LearningRate));
        if (!(WeightDecay >= 0) || !double.IsFinite(WeightDecay))
        {
            throw new ArgumentException($"WeightDecay must be finite and at least 0, got {WeightDecay}.", nameof(WeightDecay));
        }
    }

    private protected static void RequireAbove(double value, string name)
    {
        if (!(value > 0) || !double.IsFinite(value))
        {
            throw new ArgumentException($"{name} must be finite and above 0, got {value}.", name);
        }
    }

    private protected static void RequireShare(double value, string name)
    {
        if (!(value is >= 0 and < 1))
        {
            throw new ArgumentException($"{name} must lie in [0, 1), got {value}.", name);
        }
    }
}

/// <summary>Stochastic gradient descent: v ← momentum·v + g, w ← w − rate·v.</summary>
public sealed record SgdOptions : OptimizerOptions
{
    /// <value>In [0, 1). Default 0.</value>
    public double Momentum { get; init; }

    /// <value>Look ahead: w ← w − rate·(g + momentum·v) (Nesterov 1983). Default false.</value>
    public bool Nesterov { get; init; }

    internal override void Validate()
    {
        base.Validate();
        RequireShare(Momentum, nameof(Momentum));
        if (Nesterov && Momentum == 0)
        {
            throw new ArgumentException("Nesterov needs a Momentum above 0, got 0.", nameof(Nesterov));
        }
    }
}

/// <summary>s ← α·s + (1 − α)·g², w ← w − rate·g/(√s + ε), through a momentum where there is one (Tieleman, Hinton 2012).</summary>
public sealed record RmsPropOptions : OptimizerOptions
{
    /// <value>α in [0, 1). Default 0.99.</value>
    public double Alpha { get; init; } = 0.99;

    /// <value>ε above 0. Default 1e-8.</value>
    public double Epsilon { get; init; } = 1e-8;

    /// <value>In [0, 1). Default 0.</value>
    public double Momentum { get; init; }

    internal override void Validate()
    {
        base.Validate();
        RequireShare(Alpha, nameof(Alpha));
        RequireAbove(Epsilon, nameof(Epsilon));
        RequireShare(Momentum, nameof(Momentum));
    }
}

/// <summary>Adam with bias correction (Kingma, Ba 2015), or AdamW with decoupled decay (Loshchilov, Hutter 2019).</summary>
public sealed record AdamOptions : OptimizerOptions
{
    /// <value>β₁ in [0, 1). Default 0.9.</value>
    public double Beta1 { get; init; } = 0.9;

    /// <value>β₂ in [0, 1). Default 0.999.</value>
    public double Beta2 { get; init; } = 0.999;

    /// <value>ε above 0. Default 1e-8.</value>
    public double Epsilon { get; init; } = 1e-8;

    /// <value>True for AdamW: w ← (1 − rate·λ)·w before the step, rather than λ·w in the gradient. Default false.</value>
    public bool Decoupled { get; init; }

    internal override void Validate()
    {
        base.Validate();
        RequireShare(Beta1, nameof(Beta1));
        RequireShare(Beta2, nameof(Beta2));
        RequireAbove(Epsilon, nameof(Epsilon));
    }
}
