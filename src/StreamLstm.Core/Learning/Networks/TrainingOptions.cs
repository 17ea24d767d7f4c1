namespace StreamLstm.Core.Learning.Networks;

/// <summary>How <see cref="NetworkTrainer{T}"/> trains.</summary>
public sealed record TrainingOptions
{
    public required LossOptions Loss { get; init; }

    /// <value>Default Adam at 1e-3.</value>
    public OptimizerOptions Optimizer { get; init; } = new AdamOptions();

    /// <value>Default constant.</value>
    public LearningRateSchedule Schedule { get; init; } = new ConstantSchedule();

    /// <value>Each gradient element is limited to ± this; above 0. Null, the default, for no limit. Applied before <see cref="ClipNorm"/>.</value>
    public double? ClipValue { get; init; }

    /// <value>A gradient whose norm is larger is shortened to it; above 0. Null, the default, for no limit.</value>
    public double? ClipNorm { get; init; }

    /// <value>Passes over the data in <c>Fit</c>, at least 1. Default 10.</value>
    public int Epochs { get; init; } = 10;

    /// <value>Sequences per mini-batch in <c>Fit</c>, at least 1. Default 32.</value>
    public int BatchSize { get; init; } = 32;

    /// <value>
    /// Steps per window in <c>Fit</c>: longer sequences are cut into windows in order, gradients end at a window's start,
    /// and the state of stateful layers is carried on (truncated back-propagation; Williams, Peng 1990).
    /// 0, the default, for whole sequences.
    /// </value>
    public int Window { get; init; }

    /// <value>Whether <c>Fit</c> orders the sequences anew in every epoch. Default true.</value>
    public bool Shuffle { get; init; } = true;

    /// <value>
    /// Epochs without improvement after which <c>Fit</c> stops, at least 1; the loss watched is that of the validation
    /// data where given. Null, the default, for never.
    /// </value>
    public int? Patience { get; init; }

    /// <value>By how much the loss must fall to count as an improvement. At least 0. Default 0.</value>
    public double MinimumImprovement { get; init; }

    /// <value>Whether <c>Fit</c> ends with the best epoch's weights rather than the last one's. Default true.</value>
    public bool RestoreBest { get; init; } = true;

    /// <value>Of shuffling and dropout. Default 0.</value>
    public ulong Seed { get; init; }

    internal void Validate()
    {
        ArgumentNullException.ThrowIfNull(Loss);
        ArgumentNullException.ThrowIfNull(Optimizer);
        ArgumentNullException.ThrowIfNull(Schedule);
        Optimizer.Validate();
        Schedule.Validate();
        RequireLimit(ClipValue, nameof(ClipValue));
        RequireLimit(ClipNorm, nameof(ClipNorm));
        RequireAtLeast(Epochs, 1, nameof(Epochs));
        RequireAtLeast(BatchSize, 1, nameof(BatchSize));
        RequireAtLeast(Window, 0, nameof(Window));
        RequireAtLeast(Patience ?? 1, 1, nameof(Patience));
        if (!(MinimumImprovement >= 0) || !double.IsFinite(MinimumImprovement))
        {
            throw new ArgumentException($"MinimumImprovement must be finite and at least 0, got {MinimumImprovement}.", nameof(MinimumImprovement));
        }

        static void RequireAtLeast(int value, int least, string name)
        {
            if (value < least)
            {
                throw new ArgumentException($"{name} must be at least {least}, got {value}.", name);
            }
        }

        static void RequireLimit(double? value, string name)
        {
            if (value is { } limit && (!(limit > 0) || !double.IsFinite(limit)))
            {
                throw new ArgumentException($"{name} must be finite and above 0, got {limit}.", name);
            }
        }
    }
}
