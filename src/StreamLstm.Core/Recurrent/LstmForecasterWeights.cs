using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Recurrent;

/// <summary>
/// Parameters of a one-layer LSTM with a linear multi-horizon head that also sees the inputs directly:
/// y = HeadWeight·h + SkipWeight·x + HeadBias. Immutable: readers share one instance per model version.
/// </summary>
/// <remarks>
/// Gates in PyTorch's order i, f, g, o; <see cref="Bias"/> is its bias_ih + bias_hh. All matrices are row-major.
/// The flat order is WeightIh, WeightHh, Bias, HeadWeight, SkipWeight, HeadBias.
/// </remarks>
public sealed class LstmForecasterWeights
{
    private const float ForgetBias = 1f;
    private const float HeadScale = 0.1f;

    private readonly float[] _values;

    /// <param name="shape">Sizes.</param>
    /// <param name="values">All parameters in flat order, finite; copied.</param>
    public LstmForecasterWeights(LstmForecasterShape shape, ReadOnlySpan<float> values)
    {
        shape.Validate(nameof(shape));
        if (values.Length != shape.ParameterCount)
        {
            throw new ArgumentException($"Expected {shape.ParameterCount} parameters for {shape}, got {values.Length}.", nameof(values));
        }

        for (var i = 0; i < values.Length; i++)
        {
            if (!float.IsFinite(values[i]))
            {
                throw new ArgumentException($"Parameter {i} of {shape} is {values[i]}; weights must be finite.", nameof(values));
            }
        }

        Shape = shape;
        _values = values.ToArray();
    }

    public LstmForecasterShape Shape { get; }

    /// <summary>All parameters in flat order.</summary>
    public ReadOnlySpan<float> Values => _values;

    /// <summary>[4H, I].</summary>
    public ReadOnlySpan<float> WeightIh => _values.AsSpan(0, Shape.WeightHhOffset);

    /// <summary>[4H, H].</summary>
    public ReadOnlySpan<float> WeightHh => _values.AsSpan(Shape.WeightHhOffset, 4 * Shape.Hidden * Shape.Hidden);

    /// <summary>[4H].</summary>
    public ReadOnlySpan<float> Bias => _values.AsSpan(Shape.BiasOffset, 4 * Shape.Hidden);

    /// <summary>[K, H].</summary>
    public ReadOnlySpan<float> HeadWeight => _values.AsSpan(Shape.HeadWeightOffset, Shape.Outputs * Shape.Hidden);

    /// <summary>[K, I].</summary>
    public ReadOnlySpan<float> SkipWeight => _values.AsSpan(Shape.SkipWeightOffset, Shape.Outputs * Shape.Inputs);

    /// <summary>[K].</summary>
    public ReadOnlySpan<float> HeadBias => _values.AsSpan(Shape.HeadBiasOffset, Shape.Outputs);

    /// <summary>
    /// Initial weights, a pure function of shape and seed: uniform in ±1/√H as PyTorch draws them (its two biases added),
    /// plus 1 on the forget gates (Jozefowicz et al. 2015), the head a tenth of that, head bias and skip zero:
    /// an untrained model forecasts almost nothing.
    /// </summary>
    public static LstmForecasterWeights Create(LstmForecasterShape shape, ulong seed)
    {
        shape.Validate(nameof(shape));
        var hidden = shape.Hidden;
        var values = new float[shape.ParameterCount];
        var bound = 1f / MathF.Sqrt(hidden);
        Fill(values.AsSpan(0, shape.BiasOffset), new CounterRandom(seed, 0), bound);
        Fill(values.AsSpan(shape.BiasOffset, 4 * hidden), new CounterRandom(seed, 1), bound);
        Fill(values.AsSpan(shape.BiasOffset, 4 * hidden), new CounterRandom(seed, 2), bound);
        for (var unit = 0; unit < hidden; unit++)
        {
            values[shape.BiasOffset + hidden + unit] += ForgetBias;
        }

        Fill(values.AsSpan(shape.HeadWeightOffset, shape.Outputs * hidden), new CounterRandom(seed, 3), bound * HeadScale);
        return new LstmForecasterWeights(shape, values);

        static void Fill(Span<float> target, CounterRandom random, float bound)
        {
            for (var i = 0; i < target.Length; i++)
            {
                target[i] += bound * ((2f * random.Unit((ulong)i)) - 1f);
            }
        }
    }

    /// <summary>Shape and parameters, with version and checksum (<see cref="ParameterBytes"/>).</summary>
    public byte[] ToBytes() => ParameterBytes.WriteWeights(Shape, _values);

    /// <summary>The inverse of <see cref="ToBytes"/>; damaged or foreign bytes are an <see cref="InvalidDataException"/>.</summary>
    public static LstmForecasterWeights FromBytes(ReadOnlySpan<byte> bytes)
    {
        var (shape, _, values) = ParameterBytes.Read(ParameterBytes.WeightsMagic, 1, bytes);
        return new LstmForecasterWeights(shape, values);
    }
}
