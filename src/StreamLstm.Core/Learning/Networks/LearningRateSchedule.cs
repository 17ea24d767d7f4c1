using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Learning.Networks;

/// <summary>
/// What the learning rate is multiplied by. Counts optimiser steps, except for the plateau, which counts evaluations.
/// </summary>
public abstract record LearningRateSchedule
{
    private protected LearningRateSchedule()
    {
    }

    /// <value>Steps over which the rate rises linearly, before the schedule proper begins: 1/n, 2/n, …, 1. At least 0. Default 0.</value>
    public int WarmUpSteps { get; init; }

    /// <summary>The factor of the step after <paramref name="step"/> steps.</summary>
    internal double Factor(long step) =>
        step < WarmUpSteps ? (step + 1.0) / WarmUpSteps : FactorAfterWarmUp(step - WarmUpSteps);

    internal virtual void Validate() => RequireAtLeast(WarmUpSteps, 0, nameof(WarmUpSteps));

    private protected abstract double FactorAfterWarmUp(long step);

    private protected static void RequireAtLeast(int value, int least, string name)
    {
        if (value < least)
        {
            throw new ArgumentException($"{name} must be at least {least}, got {value}.", name);
        }
    }

    private protected static void RequireShare(double value, string name, bool zeroAllowed)
    {
        if (!(value is >= 0 and <= 1) || (value == 0 && !zeroAllowed))
        {
            throw new ArgumentException($"{name} must lie in {(zeroAllowed ? "[0, 1]" : "(0, 1]")}, got {value}.", name);
        }
    }
}

/// <summary>1 always, after the warm-up.</summary>
public sealed record ConstantSchedule : LearningRateSchedule
{
    private protected override double FactorAfterWarmUp(long step) => 1;
}

/// <summary>From 1 along half a cosine to <see cref="Floor"/> in <see cref="Steps"/> steps, and there it stays (Loshchilov, Hutter 2017).</summary>
public sealed record CosineSchedule : LearningRateSchedule
{
    /// <value>At least 1.</value>
    public required int Steps { get; init; }

    /// <value>The last factor, in [0, 1]. Default 0.</value>
    public double Floor { get; init; }

    internal override void Validate()
    {
        base.Validate();
        RequireAtLeast(Steps, 1, nameof(Steps));
        RequireShare(Floor, nameof(Floor), zeroAllowed: true);
    }

    private protected override double FactorAfterWarmUp(long step)
    {
        var cosine = Elementary.SinCosTurns((float)(0.5 * Math.Min(step, Steps) / Steps)).Cos;
        return Floor + ((1 - Floor) * 0.5 * (1 + cosine));
    }
}

/// <summary>Multiplied by <see cref="Decay"/> every <see cref="Every"/> steps.</summary>
public sealed record StepSchedule : LearningRateSchedule
{
    /// <value>At least 1.</value>
    public required int Every { get; init; }

    /// <value>In (0, 1]. Default 0.1.</value>
    public double Decay { get; init; } = 0.1;

    internal override void Validate()
    {
        base.Validate();
        RequireAtLeast(Every, 1, nameof(Every));
        RequireShare(Decay, nameof(Decay), zeroAllowed: false);
    }

    private protected override double FactorAfterWarmUp(long step)
    {
        var factor = 1.0;
        for (var n = step / Every; n > 0 && factor > 0; n--)
        {
            factor *= Decay;
        }

        return factor;
    }
}

/// <summary>
/// Multiplied by <see cref="Decay"/> when the evaluated loss has not improved by more than the share
/// <see cref="Threshold"/> for more than <see cref="Patience"/> evaluations (one per epoch), as PyTorch's ReduceLROnPlateau.
/// </summary>
public sealed record PlateauSchedule : LearningRateSchedule
{
    /// <value>At least 0. Default 10.</value>
    public int Patience { get; init; } = 10;

    /// <value>In (0, 1]. Default 0.1.</value>
    public double Decay { get; init; } = 0.1;

    /// <value>In [0, 1]. Default 1e-4.</value>
    public double Threshold { get; init; } = 1e-4;

    internal override void Validate()
    {
        base.Validate();
        RequireAtLeast(Patience, 0, nameof(Patience));
        RequireShare(Decay, nameof(Decay), zeroAllowed: false);
        RequireShare(Threshold, nameof(Threshold), zeroAllowed: true);
    }

    // The trainer's PlateauCounter holds what has been evaluated.
    private protected override double FactorAfterWarmUp(long step) => 1;
}

/// <summary>The memory of a <see cref="PlateauSchedule"/>.</summary>
internal sealed class PlateauCounter(PlateauSchedule schedule)
{
    private double _best = double.PositiveInfinity;
    private int _bad;

    public double Factor { get; private set; } = 1;

    public void Observe(double loss)
    {
        if (loss < _best * (1 - schedule.Threshold))
        {
            (_best, _bad) = (loss, 0);
        }
        else if (++_bad > schedule.Patience)
        {
            Factor *= schedule.Decay;
            _bad = 0;
        }
    }
}
