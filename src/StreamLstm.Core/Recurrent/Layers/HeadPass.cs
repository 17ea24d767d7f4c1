using System.Numerics;

namespace StreamLstm.Core.Recurrent.Layers;

/// <summary>The head over all rows of a window, forward and backward.</summary>
internal sealed class HeadPass<T>(HeadOptions options, int units, ParameterView weight, ParameterView bias)
    where T : unmanaged, IFloatingPointIeee754<T>
{
    private readonly T[] _columns = new T[weight.Length]; // [H, K], the transpose of the weights
    private readonly T[] _columnsGradient = new T[weight.Length];
    private T[] _parameters = [];
    private T[] _linear = []; // [rows, K]: W·h + b

    public void Load(T[] parameters)
    {
        _parameters = parameters;
        Array.Clear(_columns);
        GenericProduct.AddTransposed<T>(parameters.AsSpan(weight.Offset, weight.Length), options.Outputs, units, _columns);
    }

    /// <summary>W·h + b of the latest <see cref="Forward"/>: of a softmax its logits.</summary>
    public ReadOnlySpan<T> Linear(int rows) => _linear.AsSpan(0, rows * options.Outputs);

    /// <param name="hidden">[rows, H].</param>
    /// <param name="outputs">[rows, K].</param>
    public void Forward(ReadOnlySpan<T> hidden, int rows, Span<T> outputs)
    {
        var count = options.Outputs;
        if (_linear.Length < (long)rows * count)
        {
            _linear = new T[checked(rows * count)];
        }

        for (var row = 0; row < rows; row++)
        {
            _parameters.AsSpan(bias.Offset, bias.Length).CopyTo(_linear.AsSpan(row * count));
        }

        GenericProduct.Accumulate(hidden, units, 1, _columns, count, _linear, count, rows, units, count);
        var linear = Linear(rows);
        switch (options)
        {
            case QuantileHead quantiles:
                for (var at = 0; at < linear.Length; at += quantiles.Levels.Count)
                {
                    Quantiles(quantiles, linear.Slice(at, quantiles.Levels.Count), outputs[at..]);
                }

                break;
            case SoftmaxHead:
                for (var row = 0; row < rows; row++)
                {
                    Softmax(linear.Slice(row * count, count), outputs.Slice(row * count, count));
                }

                break;
            default:
                linear.CopyTo(outputs);
                break;
        }
    }

    /// <param name="hidden">[rows, H] of the forward pass.</param>
    /// <param name="outputGradient">[rows, K]: ∂/∂outputs, of a softmax ∂/∂logits; overwritten by ∂/∂(W·h + b).</param>
    /// <param name="hiddenGradient">[rows, H], overwritten.</param>
    /// <param name="gradient">Flat gradient of all parameters, added to.</param>
    public void Backward(ReadOnlySpan<T> hidden, int rows, Span<T> outputGradient, Span<T> hiddenGradient, Span<T> gradient)
    {
        var count = options.Outputs;
        if (options is QuantileHead quantiles)
        {
            for (var at = 0; at < rows * count; at += quantiles.Levels.Count)
            {
                QuantilesBackward(quantiles, _linear.AsSpan(at, quantiles.Levels.Count), outputGradient.Slice(at, quantiles.Levels.Count));
            }
        }

        Array.Clear(_columnsGradient);
        GenericProduct.Accumulate(hidden, 1, units, outputGradient, count, _columnsGradient, count, units, rows, count);
        GenericProduct.AddTransposed<T>(_columnsGradient, units, count, gradient.Slice(weight.Offset, weight.Length));
        GenericProduct.AddRows<T>(outputGradient, rows, count, gradient.Slice(bias.Offset, bias.Length));
        hiddenGradient.Clear();
        GenericProduct.Accumulate(
            outputGradient, count, 1, _parameters.AsSpan(weight.Offset, weight.Length), units, hiddenGradient, units, rows, count, units);
    }

    /// <summary>q_m = a_m; q_j = q_{j−1} + softplus(a_j) above the middle, q_j = q_{j+1} − softplus(a_j) below it.</summary>
    private static void Quantiles(QuantileHead head, ReadOnlySpan<T> a, Span<T> q)
    {
        var middle = head.Middle;
        q[middle] = a[middle];
        for (var j = middle + 1; j < a.Length; j++)
        {
            q[j] = q[j - 1] + ScalarFunctions.Softplus(a[j]);
        }

        for (var j = middle - 1; j >= 0; j--)
        {
            q[j] = q[j + 1] - ScalarFunctions.Softplus(a[j]);
        }
    }

    /// <summary>A level moves itself and all beyond it; softplus' = sigmoid.</summary>
    private static void QuantilesBackward(QuantileHead head, ReadOnlySpan<T> a, Span<T> gradient)
    {
        var middle = head.Middle;
        var above = T.Zero;
        for (var j = a.Length - 1; j > middle; j--)
        {
            above += gradient[j];
            gradient[j] = above * ScalarFunctions.Sigmoid(a[j]);
        }

        var below = T.Zero;
        for (var j = 0; j < middle; j++)
        {
            below += gradient[j];
            gradient[j] = -below * ScalarFunctions.Sigmoid(a[j]);
        }

        gradient[middle] += above + below;
    }

    private static void Softmax(ReadOnlySpan<T> logits, Span<T> probabilities)
    {
        var largest = logits[0];
        foreach (var logit in logits)
        {
            largest = T.Max(largest, logit);
        }

        var sum = T.Zero;
        for (var k = 0; k < logits.Length; k++)
        {
            probabilities[k] = ScalarFunctions.Exp(logits[k] - largest);
            sum += probabilities[k];
        }

        for (var k = 0; k < logits.Length; k++)
        {
            probabilities[k] /= sum;
        }
    }
}
