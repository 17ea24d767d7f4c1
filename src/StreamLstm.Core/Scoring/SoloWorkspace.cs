using StreamLstm.Core.Learning;
using StreamLstm.Core.Recurrent;

namespace StreamLstm.Core.Scoring;

/// <summary>Scratch of <see cref="SoloScorer"/>: holds nothing between samples. One per thread, for any number of streams.</summary>
public sealed class SoloWorkspace
{
    public SoloWorkspace()
    {
        // Any weights will do: each stream brings its own.
        var weights = LstmForecasterWeights.Create(SoloForecaster.Shape, seed: 0);
        Kernel = new LstmWorkspace(weights);
        Trainer = new BpttTrainer(weights, new BpttOptions { ClipNorm = 1f, SecondMomentDecay = 0.99, LearnsSkip = false });
        Batch = new TrainingBatch(SoloForecaster.Shape, SoloForecaster.SequenceSteps, batch: 2, SoloForecaster.BurnIn);
    }

    internal LstmWorkspace Kernel { get; }

    internal BpttTrainer Trainer { get; }

    internal TrainingBatch Batch { get; }
}
