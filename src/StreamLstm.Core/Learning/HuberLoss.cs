namespace StreamLstm.Core.Learning;

/// <summary>
/// Huber's loss at δ = 1: e²/2 for |e| ≤ 1, |e| − ½ beyond (Huber 1964), weighted by the mask.
/// </summary>
internal static class HuberLoss
{
    /// <summary>Sum of weights: what the loss is divided by.</summary>
    public static double Count(ReadOnlySpan<float> mask)
    {
        var sum = 0.0;
        foreach (var weight in mask)
        {
            sum += weight;
        }

        return sum;
    }

    /// <summary>Adds up one row and turns its outputs into ∂loss/∂output. Where the mask is 0 the target may be anything.</summary>
    /// <param name="outputs">[K] forecasts in, gradient out.</param>
    /// <param name="inverseCount">1 / <see cref="Count"/> over the batch.</param>
    /// <returns>Σ mask·loss of the row, not yet divided.</returns>
    public static double Row(Span<float> outputs, ReadOnlySpan<float> targets, ReadOnlySpan<float> mask, float inverseCount)
    {
        targets = targets[..outputs.Length];
        mask = mask[..outputs.Length];
        var sum = 0.0;
        for (var k = 0; k < outputs.Length; k++)
        {
            var weight = mask[k];
            if (weight == 0f)
            {
                outputs[k] = 0f;
                continue;
            }

            double error = outputs[k] - targets[k];
            var slope = Math.Clamp(error, -1.0, 1.0);
            sum += weight * slope * (error - (0.5 * slope));
            outputs[k] = (float)slope * weight * inverseCount;
        }

        return sum;
    }
}
