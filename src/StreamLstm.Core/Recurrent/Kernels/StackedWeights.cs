using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Recurrent.Kernels;

/// <summary>
/// Parameters of stacked LSTM or GRU layers, packed for <see cref="StackedKernel"/>. Immutable: readers on any thread
/// share one instance per model version.
/// </summary>
public sealed class StackedWeights
{
    private readonly AlignedArray _plain;
    private readonly AlignedArray _scaled;

    /// <param name="shape">Sizes.</param>
    /// <param name="parameters">
    /// As PyTorch lists them, per layer weight_ih [G·H, I], weight_hh [G·H, H], bias_ih [G·H], bias_hh [G·H], gates in the
    /// order i, f, g, o or r, z, n; finite; copied.
    /// </param>
    public StackedWeights(StackedShape shape, ReadOnlySpan<float> parameters)
    {
        shape.Validate(nameof(shape));
        if (parameters.Length != shape.ParameterCount)
        {
            throw new ArgumentException($"Expected {shape.ParameterCount} parameters for {shape}, got {parameters.Length}.", nameof(parameters));
        }

        for (var i = 0; i < parameters.Length; i++)
        {
            if (!float.IsFinite(parameters[i]))
            {
                throw new ArgumentException($"Parameter {i} of {shape} is {parameters[i]}; weights must be finite.", nameof(parameters));
            }
        }

        Layout = new PanelLayout(shape);
        _plain = new AlignedArray(Layout.WeightLength);
        var values = parameters.ToArray();
        Layout.Visit((index, _, first, second) =>
        {
            _plain.Span[index] = (first < 0 ? 0f : values[first]) + (second < 0 ? 0f : values[second]);
        });
        _scaled = new AlignedArray(Layout.WeightLength);
        Layout.Scale(_plain.Span, _scaled.Span);
    }

    /// <param name="layout">Sizes.</param>
    /// <param name="plain">Parameters in panel layout; copied.</param>
    internal StackedWeights(PanelLayout layout, ReadOnlySpan<float> plain)
    {
        Layout = layout;
        _plain = new AlignedArray(layout.WeightLength);
        plain.CopyTo(_plain.Span);
        _scaled = new AlignedArray(layout.WeightLength);
        layout.Scale(plain, _scaled.Span);
    }

    public StackedShape Shape => Layout.Shape;

    internal PanelLayout Layout { get; }

    /// <summary>Panel layout, as trained.</summary>
    internal ReadOnlySpan<float> Plain => _plain.Span;

    /// <summary>Panel layout, pre-multiplied so that pre-activations are exponents of two.</summary>
    internal AlignedArray Scaled => _scaled;

    /// <summary>
    /// Initial weights, a pure function of shape and seed: uniform in ±1/√H as PyTorch draws them, plus 1 on the LSTM's
    /// forget gates (Jozefowicz et al. 2015).
    /// </summary>
    public static StackedWeights Create(StackedShape shape, ulong seed)
    {
        shape.Validate(nameof(shape));
        var bound = 1f / MathF.Sqrt(shape.Hidden);
        var random = new CounterRandom(seed);
        var layout = new PanelLayout(shape);
        var values = new float[shape.ParameterCount];
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = bound * ((2f * random.Unit((ulong)i)) - 1f);
        }

        layout.Visit((_, block, _, hiddenBias) =>
        {
            if (shape.Cell == CellKind.Lstm && block == 1 && hiddenBias >= 0)
            {
                values[hiddenBias] += 1f;
            }
        });
        return new StackedWeights(shape, values);
    }

    /// <summary>
    /// In the order of the constructor. Where only a sum of two biases acts, it is bias_ih, and bias_hh is zero.
    /// </summary>
    public float[] ToArray()
    {
        var values = new float[Shape.ParameterCount];
        Layout.Visit((index, _, first, second) => values[first < 0 ? second : first] = _plain.Span[index]);
        return values;
    }
}
