using System.Numerics;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Learning.Networks;

/// <summary>A loss over rows of outputs, and its derivative. Sums run in double and in row order.</summary>
internal static class LossFunction
{
    /// <summary>Sum of weighted losses and of weights; the loss is their quotient.</summary>
    /// <param name="outputs">[rows, K] of the head; of a softmax the logits.</param>
    /// <param name="targets">[rows, targets of the head].</param>
    /// <param name="mask">Shaped like the targets, or empty.</param>
    /// <param name="gradient">[rows, K]: ∂/∂outputs of the sum, not yet divided by the weights.</param>
    public static (double Sum, double Weight) Evaluate<T>(
        LossOptions loss, HeadOptions head, ReadOnlySpan<T> outputs, ReadOnlySpan<T> targets, ReadOnlySpan<T> mask, Span<T> gradient)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        double sum = 0, total = 0;
        var perTarget = head.Outputs / head.Targets;
        for (var at = 0; at < targets.Length; at++)
        {
            var weight = mask.IsEmpty ? 1.0 : double.CreateChecked(mask[at]);
            var slopes = gradient.Slice(at * perTarget, perTarget);
            if (weight == 0)
            {
                slopes.Clear();
                continue;
            }

            var values = outputs.Slice(at * perTarget, perTarget);
            switch (loss.Kind)
            {
                case LossKind.CrossEntropy:
                    var target = int.CreateChecked(targets[at]);
                    weight *= loss.ClassWeights?[target] ?? 1.0;
                    sum += weight * CrossEntropy(values, target, weight, slopes);
                    break;
                case LossKind.Pinball:
                    sum += weight * Pinball(((QuantileHead)head).Levels, values, targets[at], weight, slopes);
                    break;
                default:
                    var (value, slope) = Regression(loss, double.CreateChecked(values[0] - targets[at]));
                    sum += weight * value;
                    slopes[0] = T.CreateChecked(weight * slope);
                    break;
            }

            total += weight;
        }

        return (sum, total);
    }

    private static (double Value, double Slope) Regression(LossOptions loss, double error)
    {
        switch (loss.Kind)
        {
            case LossKind.MeanSquared:
                return (error * error, 2 * error);
            case LossKind.MeanAbsolute:
                return (Math.Abs(error), double.IsNaN(error) ? error : Math.Sign(error));
            default:
                var slope = Math.Clamp(error, -loss.HuberDelta, loss.HuberDelta);
                return (slope * (error - (0.5 * slope)), slope);
        }
    }

    private static double Pinball<T>(IReadOnlyList<double> levels, ReadOnlySpan<T> quantiles, T target, double weight, Span<T> slopes)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        var sum = 0.0;
        for (var q = 0; q < quantiles.Length; q++)
        {
            var error = double.CreateChecked(target - quantiles[q]);
            var slope = error >= 0 ? levels[q] : levels[q] - 1;
            sum += slope * error;
            slopes[q] = T.CreateChecked(-slope * weight / quantiles.Length);
        }

        return sum / quantiles.Length;
    }

    /// <summary>log Σ e^a − a_target; ∂/∂a = softmax − 1{target}.</summary>
    private static double CrossEntropy<T>(ReadOnlySpan<T> logits, int target, double weight, Span<T> slopes)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        var largest = logits[0];
        foreach (var logit in logits)
        {
            largest = T.Max(largest, logit);
        }

        var sum = T.Zero;
        for (var k = 0; k < logits.Length; k++)
        {
            slopes[k] = ScalarFunctions.Exp(logits[k] - largest);
            sum += slopes[k];
        }

        var scale = T.CreateChecked(weight);
        for (var k = 0; k < logits.Length; k++)
        {
            slopes[k] = ((slopes[k] / sum) - (k == target ? T.One : T.Zero)) * scale;
        }

        return double.CreateChecked(ScalarFunctions.Log(sum) + (largest - logits[target]));
    }
}
