using StreamLstm.Core.Recurrent;

namespace StreamLstm.Core.Learning;

/// <summary>
/// B sequences of T steps, filled by the caller and reusable. Starts all zero: nothing arrived, state zero.
/// </summary>
/// <remarks>The first <see cref="BurnIn"/> steps only bring the state up: their targets and masks are never read.</remarks>
public sealed class TrainingBatch
{
    private readonly float[] _inputs;
    private readonly float[] _targets;
    private readonly float[] _mask;
    private readonly float[] _initialHidden;
    private readonly float[] _initialCell;

    public TrainingBatch(LstmForecasterShape shape, int steps, int batch, int burnIn = 0)
    {
        shape.Validate(nameof(shape));
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(steps);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(batch);
        ArgumentOutOfRangeException.ThrowIfNegative(burnIn);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(burnIn, steps);
        Shape = shape;
        Steps = steps;
        Batch = batch;
        BurnIn = burnIn;
        _inputs = new float[checked(steps * batch * shape.Inputs)];
        _targets = new float[checked(steps * batch * shape.Outputs)];
        _mask = new float[_targets.Length];
        _initialHidden = new float[checked(batch * shape.Hidden)];
        _initialCell = new float[_initialHidden.Length];
    }

    public LstmForecasterShape Shape { get; }

    /// <summary>T.</summary>
    public int Steps { get; }

    /// <summary>B.</summary>
    public int Batch { get; }

    /// <summary>Steps at the start whose outputs carry no loss; gradients still flow back through them.</summary>
    public int BurnIn { get; }

    /// <summary>[T, B, I].</summary>
    public Span<float> Inputs => _inputs;

    /// <summary>[T, B, K].</summary>
    public Span<float> Targets => _targets;

    /// <summary>[T, B, K]: weight of each target in the loss; 0 = has not arrived, and its target is not read.</summary>
    public Span<float> Mask => _mask;

    /// <summary>[B, H]: h before the first step.</summary>
    public Span<float> InitialHidden => _initialHidden;

    /// <summary>[B, H]: c before the first step.</summary>
    public Span<float> InitialCell => _initialCell;

    /// <summary>[I] of one step of one sequence.</summary>
    public Span<float> InputsAt(int step, int sequence) => At(_inputs, step, sequence, Shape.Inputs);

    /// <summary>[K] of one step of one sequence.</summary>
    public Span<float> TargetsAt(int step, int sequence) => At(_targets, step, sequence, Shape.Outputs);

    /// <summary>[K] of one step of one sequence.</summary>
    public Span<float> MaskAt(int step, int sequence) => At(_mask, step, sequence, Shape.Outputs);

    public void Clear()
    {
        _inputs.AsSpan().Clear();
        _targets.AsSpan().Clear();
        _mask.AsSpan().Clear();
        _initialHidden.AsSpan().Clear();
        _initialCell.AsSpan().Clear();
    }

    private Span<float> At(float[] values, int step, int sequence, int width)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)step, (uint)Steps, nameof(step));
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)sequence, (uint)Batch, nameof(sequence));
        return values.AsSpan(((step * Batch) + sequence) * width, width);
    }
}
