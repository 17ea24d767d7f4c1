using System.Runtime.Intrinsics;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent;

namespace StreamLstm.Core.Learning;

/// <summary>
/// Trains a forecaster by truncated back-propagation through time: Huber loss, gradient clipping by global norm, Adam,
/// and an exponential average of the weights for forecasting. One thread at a time. The same start and batches give the
/// same bits on every machine.
/// </summary>
public sealed class BpttTrainer
{
    private readonly VectorWidth _width;
    private readonly BpttPass _pass;
    private readonly AdamOptimizer _optimizer;
    private readonly BpttOptions _options;

    // All padded with zeros to a multiple of 16.
    private readonly AlignedArray _weights;
    private readonly AlignedArray _averaged;
    private readonly AlignedArray _gradient;

    private LstmForecasterWeights? _weightsSnapshot;
    private LstmForecasterWeights? _averagedSnapshot;

    public BpttTrainer(LstmForecasterWeights initial, BpttOptions? options = null)
        : this(initial, options, Simd.Widest)
    {
    }

    internal BpttTrainer(LstmForecasterWeights initial, BpttOptions? options, VectorWidth width)
    {
        ArgumentNullException.ThrowIfNull(initial);
        Simd.RequireFusedMultiplyAdd();
        _options = options ?? new BpttOptions();
        _options.Validate();
        _width = width;
        Shape = initial.Shape;
        var padded = MatrixProduct.PadColumns(Shape.ParameterCount);
        _weights = new AlignedArray(padded);
        _averaged = new AlignedArray(padded);
        _gradient = new AlignedArray(padded);
        _optimizer = new AdamOptimizer(Shape.ParameterCount, _options.SecondMomentDecay);
        _pass = new BpttPass(Shape);
        initial.Values.CopyTo(_weights.Span);
        initial.Values.CopyTo(_averaged.Span);
        _pass.Load(initial.Values);
    }

    public LstmForecasterShape Shape { get; }

    /// <summary>Updates made so far.</summary>
    public long StepCount => _optimizer.StepCount;

    /// <summary>Outcome of the latest <see cref="Step"/>.</summary>
    public TrainingOutcome Outcome { get; private set; } = TrainingOutcome.NoTargets;

    /// <summary>Norm of the latest gradient before clipping; NaN when there was none.</summary>
    public float GradientNorm { get; private set; } = float.NaN;

    /// <summary>The weights as trained.</summary>
    public LstmForecasterWeights Weights => _weightsSnapshot ??= Snapshot(_weights);

    /// <summary>Their exponential average: what to forecast with.</summary>
    public LstmForecasterWeights AveragedWeights => _averagedSnapshot ??= Snapshot(_averaged);

    /// <summary>The latest gradient, before clipping, in flat order.</summary>
    internal ReadOnlySpan<float> Gradient => _gradient.Span[..Shape.ParameterCount];

    /// <summary>One update. <see cref="Outcome"/> tells what became of it; a step that diverged changes no weight.</summary>
    /// <param name="batch">Sequences of this trainer's shape.</param>
    /// <param name="learningRate">In [0, 1].</param>
    /// <returns>The mean loss before the update; 0 without targets, NaN if it diverged.</returns>
    public float Step(TrainingBatch batch, float learningRate)
    {
        ArgumentNullException.ThrowIfNull(batch);
        if (batch.Shape != Shape)
        {
            throw new ArgumentException($"Expected a batch of {Shape}, got {batch.Shape}.", nameof(batch));
        }

        if (learningRate is not (>= 0f and <= 1f))
        {
            throw new ArgumentOutOfRangeException(nameof(learningRate), learningRate, "A learning rate lies in [0, 1].");
        }

        return _width switch
        {
            VectorWidth.Bits512 => Step<Simd512, Vector512<float>>(batch, learningRate),
            VectorWidth.Bits256 => Step<Simd256, Vector256<float>>(batch, learningRate),
            _ => Step<Simd128, Vector128<float>>(batch, learningRate),
        };
    }

    /// <summary>Everything the next step depends on: weights, both moments, averaged weights and the step count.</summary>
    public byte[] ExportState()
    {
        var count = Shape.ParameterCount;
        return ParameterBytes.WriteTraining(
            Shape, StepCount,
            _weights.Span[..count], _optimizer.First[..count], _optimizer.Second[..count], _averaged.Span[..count]);
    }

    /// <summary>
    /// A trainer that continues from <see cref="ExportState"/> with the same bits; damaged or foreign bytes are an
    /// <see cref="InvalidDataException"/>.
    /// </summary>
    public static BpttTrainer ImportState(ReadOnlySpan<byte> state, BpttOptions? options = null)
    {
        var (shape, step, values) = ParameterBytes.Read(ParameterBytes.TrainingMagic, ParameterBytes.TrainingGroups, state);
        var count = shape.ParameterCount;
        if (values.AsSpan(2 * count, count).ContainsAnyExceptInRange(0f, float.MaxValue))
        {
            throw new InvalidDataException("Training state holds a negative second moment.");
        }

        var trainer = new BpttTrainer(new LstmForecasterWeights(shape, values.AsSpan(0, count)), options);
        trainer._optimizer.StepCount = step;
        values.AsSpan(count, count).CopyTo(trainer._optimizer.First);
        values.AsSpan(2 * count, count).CopyTo(trainer._optimizer.Second);
        values.AsSpan(3 * count, count).CopyTo(trainer._averaged.Span);
        return trainer;
    }

    /// <summary>Weights and both moments: what <see cref="SaveTo"/> writes.</summary>
    internal static int SavedLength(LstmForecasterShape shape) => 3 * shape.ParameterCount;

    /// <summary>Weights, first and second moment into caller's memory; the step count is <see cref="StepCount"/>. Allocates nothing.</summary>
    internal void SaveTo(Span<float> values)
    {
        var count = Shape.ParameterCount;
        _weights.Span[..count].CopyTo(values);
        _optimizer.First[..count].CopyTo(values[count..]);
        _optimizer.Second[..count].CopyTo(values[(2 * count)..]);
    }

    /// <summary>Continues from what <see cref="SaveTo"/> wrote, with the same bits; the averaged weights start anew from the weights.</summary>
    internal void RestoreFrom(ReadOnlySpan<float> values, long stepCount)
    {
        var count = Shape.ParameterCount;
        var weights = values[..count];
        weights.CopyTo(_weights.Span);
        weights.CopyTo(_averaged.Span);
        values.Slice(count, count).CopyTo(_optimizer.First);
        values.Slice(2 * count, count).CopyTo(_optimizer.Second);
        _optimizer.StepCount = stepCount;
        _pass.Load(weights);
        _weightsSnapshot = null;
        _averagedSnapshot = null;
    }

    private float Step<TSimd, TVector>(TrainingBatch batch, float learningRate)
        where TSimd : struct, ISimd<TVector>
        where TVector : struct
    {
        GradientNorm = float.NaN;
        if (_pass.Forward<TSimd, TVector>(batch) is not { } loss)
        {
            Outcome = TrainingOutcome.NoTargets;
            return 0f;
        }

        Outcome = TrainingOutcome.Diverged;
        if (!float.IsFinite(loss))
        {
            return float.NaN;
        }

        _pass.Backward<TSimd, TVector>(batch, _gradient.Span);
        if (!_options.LearnsSkip)
        {
            _gradient.Span[Shape.SkipWeightOffset..Shape.HeadBiasOffset].Clear();
        }

        var norm = (float)Norm(Gradient);
        if (!float.IsFinite(norm))
        {
            return float.NaN;
        }

        GradientNorm = norm;
        var scale = Math.Min(1f, _options.ClipNorm / (norm + 1e-6f));
        _optimizer.Update<TSimd, TVector>(_weights.Span, _gradient.Span, scale, learningRate, _options.WeightDecay);
        var weights = _weights.Span;
        var averaged = _averaged.Span;
        var keep = Math.Min(_options.AverageDecay, Math.Max(0.9f, StepCount / (StepCount + 10f)));
        for (var i = 0; i < weights.Length; i++)
        {
            averaged[i] = MathF.FusedMultiplyAdd(weights[i] - averaged[i], 1f - keep, averaged[i]);
        }

        _pass.Load(weights[..Shape.ParameterCount]);
        _weightsSnapshot = null;
        _averagedSnapshot = null;
        Outcome = TrainingOutcome.Updated;
        return loss;
    }

    /// <summary>Summed in one fixed order, in double, so that neither width nor overflow matters.</summary>
    private static double Norm(ReadOnlySpan<float> gradient)
    {
        var sum = 0.0;
        foreach (var value in gradient)
        {
            sum += (double)value * value;
        }

        return Math.Sqrt(sum);
    }

    private LstmForecasterWeights Snapshot(AlignedArray values) => new(Shape, values.Span[..Shape.ParameterCount]);
}
