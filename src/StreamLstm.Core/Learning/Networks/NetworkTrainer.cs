using System.Numerics;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Learning.Networks;

/// <summary>What one optimiser step did.</summary>
/// <param name="Outcome">Diverged and NoTargets leave the weights as they were.</param>
/// <param name="Loss">Mean loss plus penalties before the step; NaN or infinite where the step diverged for it.</param>
/// <param name="GradientNorm">Norm of the gradient before clipping; NaN where there was none.</param>
public readonly record struct StepResult(TrainingOutcome Outcome, double Loss, double GradientNorm);

/// <summary>How a training ended.</summary>
public enum FitOutcome
{
    /// <summary>All epochs were made.</summary>
    Completed,

    /// <summary>The loss had not improved for the given number of epochs.</summary>
    StoppedEarly,

    /// <summary>A loss, gradient or new weight was not finite. The weights are finite: the best epoch's, or those before the bad step.</summary>
    Diverged,
}

/// <summary>A training in figures.</summary>
/// <param name="Outcome">How it ended.</param>
/// <param name="Steps">Optimiser steps made.</param>
/// <param name="BestEpoch">Index of the epoch with the lowest watched loss; −1 where the first epoch did not finish.</param>
/// <param name="TrainingLosses">Mean loss over each finished epoch.</param>
/// <param name="ValidationLosses">Loss on the validation data after each finished epoch; empty without such data.</param>
public sealed record FitResult(
    FitOutcome Outcome, long Steps, int BestEpoch, IReadOnlyList<double> TrainingLosses, IReadOnlyList<double> ValidationLosses);

/// <summary>
/// Trains a network by truncated back-propagation through time. In float the same start, data and seed give the same bits
/// on every machine. Weights are never left non-finite.
/// </summary>
public sealed class NetworkTrainer<T>
    where T : unmanaged, IFloatingPointIeee754<T>
{
    private readonly Optimizer<T> _optimizer;
    private readonly PlateauCounter? _plateau;
    private readonly T[] _gradient;
    private readonly T[] _before;
    private T[] _outputs = [];
    private T[] _outputGradient = [];
    private long _windows;

    /// <param name="network">Trained in place.</param>
    public NetworkTrainer(RecurrentNetwork<T> network, TrainingOptions options)
    {
        ArgumentNullException.ThrowIfNull(network);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        options.Loss.Validate(network.Options.Head);
        (Network, Options) = (network, options);
        _optimizer = Optimizer<T>.Create(options.Optimizer, network.ParameterCount);
        _plateau = options.Schedule is PlateauSchedule plateau ? new PlateauCounter(plateau) : null;
        _gradient = new T[network.ParameterCount];
        _before = new T[network.ParameterCount];
    }

    public RecurrentNetwork<T> Network { get; }

    public TrainingOptions Options { get; }

    /// <summary>Optimiser steps made.</summary>
    public long StepCount { get; private set; }

    /// <summary>Rate of the next step.</summary>
    public double LearningRate => Options.Optimizer.LearningRate * Options.Schedule.Factor(StepCount) * (_plateau?.Factor ?? 1);

    /// <summary>Gradient of the latest <see cref="LossAndGradient"/> in flat order; after a step it is scratch.</summary>
    internal ReadOnlySpan<T> Gradient => _gradient;

    /// <summary>One optimiser step on a window that starts from zero state.</summary>
    public StepResult Step(SequenceData<T> window)
    {
        ArgumentNullException.ThrowIfNull(window);
        window.Validate(Network.Options, nameof(window));
        return StepUnchecked(window, Network.CreateState(window.Sequences));
    }

    /// <summary>
    /// One optimiser step on a window. Stateful layers start from the state and leave theirs in it; the others start from zero.
    /// </summary>
    public StepResult Step(SequenceData<T> window, NetworkState<T> state)
    {
        ArgumentNullException.ThrowIfNull(window);
        ArgumentNullException.ThrowIfNull(state);
        window.Validate(Network.Options, nameof(window));
        RequireState(window, state);
        return StepUnchecked(window, state);
    }

    /// <summary>Mean loss plus penalties on sequences that start from zero state; without dropout, changing nothing.</summary>
    public double Evaluate(SequenceData<T> data)
    {
        ArgumentNullException.ThrowIfNull(data);
        data.Validate(Network.Options, nameof(data));
        var (sum, weight) = Measure(data);
        return weight == 0 ? double.NaN : (sum / weight) + Penalty([]);
    }

    /// <summary>Trains for <see cref="TrainingOptions.Epochs"/> epochs, or fewer.</summary>
    /// <param name="training">Every sequence starts from zero state in every epoch.</param>
    /// <param name="validation">What early stopping, the plateau schedule and the best epoch go by; null for the training loss.</param>
    public FitResult Fit(SequenceData<T> training, SequenceData<T>? validation = null)
    {
        ArgumentNullException.ThrowIfNull(training);
        training.Validate(Network.Options, nameof(training));
        validation?.Validate(Network.Options, nameof(validation));
        var window = Options.Window == 0 ? training.Steps : Math.Min(Options.Window, training.Steps);
        if (window < training.Steps && !Network.Options.ReturnsSequences)
        {
            throw new ArgumentException(
                $"Window must be 0 or at least T = {training.Steps} where the last layer returns its last step alone, got {Options.Window}.",
                nameof(TrainingOptions.Window));
        }

        List<double> trainingLosses = [], validationLosses = [];
        var outcome = FitOutcome.Completed;
        var (best, bestEpoch, bestWeights) = (double.PositiveInfinity, -1, Array.Empty<T>());
        for (var epoch = 0; epoch < Options.Epochs; epoch++)
        {
            var loss = Epoch(training, window, epoch);
            var watched = loss;
            if (loss is { } mean && validation is not null)
            {
                var measured = Evaluate(validation);
                watched = double.IsFinite(measured) ? measured : null;
                validationLosses.Add(measured);
                trainingLosses.Add(mean);
            }
            else if (loss is { } alone)
            {
                trainingLosses.Add(alone);
            }

            if (watched is not { } value)
            {
                outcome = FitOutcome.Diverged;
                break;
            }

            _plateau?.Observe(value);
            if (value < best - Options.MinimumImprovement || bestEpoch < 0)
            {
                (best, bestEpoch) = (value, epoch);
                bestWeights = Network.Parameters.ToArray();
            }
            else if (Options.Patience is { } patience && epoch - bestEpoch >= patience)
            {
                outcome = FitOutcome.StoppedEarly;
                break;
            }
        }

        if (bestEpoch >= 0 && (Options.RestoreBest || outcome == FitOutcome.Diverged))
        {
            Network.SetParameters(bestWeights);
        }

        return new FitResult(outcome, StepCount, bestEpoch, trainingLosses, validationLosses);
    }

    /// <summary>Loss with penalties, its gradient in <see cref="Gradient"/>, or null where no target counts.</summary>
    internal double? LossAndGradient(SequenceData<T> window, NetworkState<T> state)
    {
        var length = Network.OutputLength(window.Steps, window.Sequences);
        Grow(length);
        var draw = new DropoutDraw(Options.Seed, _windows++);
        Network.Run(window.Inputs, window.Steps, window.Sequences, state, _outputs.AsSpan(0, length), draw);
        var (sum, weight) = Loss(window, length);
        if (weight == 0)
        {
            return null;
        }

        var inverse = T.CreateChecked(1 / weight);
        for (var i = 0; i < length; i++)
        {
            _outputGradient[i] *= inverse;
        }

        Array.Clear(_gradient);
        Network.Backward(_outputGradient.AsSpan(0, length), _gradient);
        return (sum / weight) + Penalty(_gradient);
    }

    private StepResult StepUnchecked(SequenceData<T> window, NetworkState<T> state)
    {
        for (var l = 0; l < state.Layers; l++)
        {
            if (!Network.Options.Layers[l].Stateful)
            {
                state.Clear(l);
            }
        }

        if (LossAndGradient(window, state) is not { } loss)
        {
            return new StepResult(TrainingOutcome.NoTargets, 0, double.NaN);
        }

        var norm = double.IsFinite(loss) ? Norm() : double.NaN;
        if (!double.IsFinite(norm))
        {
            return Diverged(double.NaN);
        }

        Clip(norm);
        var weights = Network.MutableParameters;
        weights.CopyTo(_before);
        _optimizer.Update(weights, _gradient, LearningRate);
        foreach (var weight in weights)
        {
            if (!T.IsFinite(weight))
            {
                _before.CopyTo(weights);
                return Diverged(norm);
            }
        }

        Network.Load();
        StepCount++;
        return new StepResult(TrainingOutcome.Updated, loss, norm);

        // A state that ran through the bad window may be non-finite too: start anew.
        StepResult Diverged(double gradientNorm)
        {
            state.Clear();
            return new StepResult(TrainingOutcome.Diverged, loss, gradientNorm);
        }
    }

    /// <summary>Mean loss of an epoch, weighted by targets, or null where it diverged.</summary>
    private double? Epoch(SequenceData<T> training, int window, int epoch)
    {
        var order = Order(training.Sequences, epoch);
        double sum = 0, count = 0;
        for (var first = 0; first < order.Length; first += Options.BatchSize)
        {
            var chosen = order.AsSpan(first, Math.Min(Options.BatchSize, order.Length - first));
            var state = Network.CreateState(chosen.Length);
            for (var start = 0; start < training.Steps; start += window)
            {
                var part = training.Part(Network.Options, chosen, start, Math.Min(window, training.Steps - start));
                var result = StepUnchecked(part, state);
                if (result.Outcome == TrainingOutcome.Diverged)
                {
                    return null;
                }

                if (result.Outcome == TrainingOutcome.Updated)
                {
                    sum += result.Loss * part.Targets.Length;
                    count += part.Targets.Length;
                }
            }
        }

        return count == 0 ? 0 : sum / count;
    }

    /// <summary>0…n−1, shuffled by (seed, epoch) (Fisher, Yates 1938).</summary>
    private int[] Order(int sequences, int epoch)
    {
        var order = new int[sequences];
        for (var i = 0; i < sequences; i++)
        {
            order[i] = i;
        }

        if (Options.Shuffle)
        {
            // Above the streams that dropout draws from.
            var random = new CounterRandom(Options.Seed, (1UL << 63) + (ulong)epoch);
            for (var i = sequences - 1; i > 0; i--)
            {
                var other = random.Below(i + 1, (ulong)i);
                (order[i], order[other]) = (order[other], order[i]);
            }
        }

        return order;
    }

    private (double Sum, double Weight) Measure(SequenceData<T> data)
    {
        double sum = 0, weight = 0;
        for (var first = 0; first < data.Sequences; first += Options.BatchSize)
        {
            var chosen = Enumerable.Range(first, Math.Min(Options.BatchSize, data.Sequences - first)).ToArray();
            var part = data.Part(Network.Options, chosen, 0, data.Steps);
            var length = Network.OutputLength(part.Steps, part.Sequences);
            Grow(length);
            Network.Run(part.Inputs, part.Steps, part.Sequences, Network.CreateState(part.Sequences), _outputs.AsSpan(0, length), null);
            var (partSum, partWeight) = Loss(part, length);
            sum += partSum;
            weight += partWeight;
        }

        return (sum, weight);
    }

    private (double Sum, double Weight) Loss(SequenceData<T> window, int length) =>
        LossFunction.Evaluate<T>(
            Options.Loss, Network.Options.Head, Network.Options.Head is SoftmaxHead ? Network.HeadLinear : _outputs.AsSpan(0, length),
            window.Targets, window.Mask, _outputGradient.AsSpan(0, length));

    /// <summary>Σ over layers of L1 and L2 penalties; adds their gradient unless it is empty.</summary>
    private double Penalty(Span<T> gradient)
    {
        var sum = 0.0;
        for (var l = 0; l < Network.Options.Layers.Count; l++)
        {
            var (layer, slots) = (Network.Options.Layers[l], Network.Layout.Layers[l]);
            sum += Penalize(slots.WeightIh, layer.KernelL1, layer.KernelL2, gradient);
            sum += Penalize(slots.WeightHh, layer.RecurrentL1, layer.RecurrentL2, gradient);
        }

        return sum;

        double Penalize(ParameterView view, double l1, double l2, Span<T> target)
        {
            if (l1 == 0 && l2 == 0)
            {
                return 0;
            }

            var penalty = 0.0;
            var weights = Network.Parameters.Slice(view.Offset, view.Length);
            for (var i = 0; i < weights.Length; i++)
            {
                var w = double.CreateChecked(weights[i]);
                penalty += (l1 * Math.Abs(w)) + (l2 * w * w);
                if (!target.IsEmpty)
                {
                    target[view.Offset + i] += T.CreateChecked((l1 * Math.Sign(w)) + (2 * l2 * w));
                }
            }

            return penalty;
        }
    }

    private double Norm()
    {
        var sum = 0.0;
        foreach (var value in _gradient)
        {
            var v = double.CreateChecked(value);
            sum += v * v;
        }

        return Math.Sqrt(sum);
    }

    private void Clip(double norm)
    {
        if (Options.ClipValue is { } limit)
        {
            var (low, high) = (T.CreateChecked(-limit), T.CreateChecked(limit));
            for (var i = 0; i < _gradient.Length; i++)
            {
                _gradient[i] = T.Clamp(_gradient[i], low, high);
            }

            norm = Norm();
        }

        if (Options.ClipNorm is { } longest && longest / (norm + 1e-6) < 1)
        {
            // PyTorch's clip_grad_norm_, its 1e-6 included.
            var factor = T.CreateChecked(longest / (norm + 1e-6));
            for (var i = 0; i < _gradient.Length; i++)
            {
                _gradient[i] *= factor;
            }
        }
    }

    private void Grow(int length)
    {
        if (_outputs.Length < length)
        {
            _outputs = new T[length];
            _outputGradient = new T[length];
        }
    }

    private void RequireState(SequenceData<T> window, NetworkState<T> state)
    {
        if (state.Batch != window.Sequences || !Network.Fits(state))
        {
            throw new ArgumentException(
                $"state must be of this network and for {window.Sequences} sequences, got one of {state.Layers} layers for {state.Batch}.", nameof(state));
        }
    }
}
