namespace StreamLstm.Core.Learning;

/// <summary>What became of a training step.</summary>
public enum TrainingOutcome
{
    /// <summary>The weights moved.</summary>
    Updated,

    /// <summary>The mask was zero everywhere: nothing to learn from, nothing changed.</summary>
    NoTargets,

    /// <summary>Loss or gradient was not finite: nothing changed.</summary>
    Diverged,
}
