using System.Numerics;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Recurrent.Layers;

/// <summary>Which dropout masks a training window takes: a pure function of (seed, window number, layer, element).</summary>
internal readonly record struct DropoutDraw(ulong Seed, long Window);

/// <summary>
/// One layer over a window, forward and backward through time (Werbos 1990). What all cells share is here; a cell adds its
/// step and the step's derivative. Written once for float and double, so that finite differences in double check this code.
/// </summary>
/// <remarks>
/// Buffers are [T, B, ·] in the order of processing: step 0 is the window's last where the layer runs backwards. They grow
/// to the largest window and are reused.
/// </remarks>
internal abstract class LayerPass<T>
    where T : unmanaged, IFloatingPointIeee754<T>
{
    private readonly int _index;
    private readonly T[] _inputGates;  // [I, G·H], the transpose of weight_ih
    private readonly T[] _inputGatesGradient;
    private readonly T[] _hiddenGatesGradient;
    private T[] _inputs = [];          // [T, B, I], masked
    private T[] _maskedHidden = [];    // [T, B, H], h before the step and masked; unused without recurrent dropout
    private T[] _inputMask = [];       // [B, I]
    private T[] _recurrentMask = [];   // [B, H]
    private T[] _inputGradient = [];   // [T, B, I]
    private bool _dropsInputs;
    private bool _dropsHidden;

    protected LayerPass(RecurrentLayerOptions options, int index, int inputs, LayerSlots slots)
    {
        (Options, _index, Inputs, Slots) = (options, index, inputs, slots);
        (Units, Rows) = (options.Units, options.Gates * options.Units);
        _inputGates = new T[inputs * Rows];
        HiddenGates = new T[Units * Rows];
        _inputGatesGradient = new T[_inputGates.Length];
        _hiddenGatesGradient = new T[HiddenGates.Length];
    }

    protected RecurrentLayerOptions Options { get; }

    protected LayerSlots Slots { get; }

    /// <summary>I.</summary>
    protected int Inputs { get; }

    /// <summary>H.</summary>
    protected int Units { get; }

    /// <summary>G·H.</summary>
    protected int Rows { get; }

    /// <summary>T of the present window.</summary>
    protected int Steps { get; private set; }

    /// <summary>B of the present window.</summary>
    protected int Batch { get; private set; }

    /// <summary>All parameters of the network.</summary>
    protected T[] Parameters { get; private set; } = [];

    /// <summary>[H, G·H], the transpose of weight_hh.</summary>
    protected T[] HiddenGates { get; }

    /// <summary>[T, B, G·H]: pre-activations, then activated gates; on the way back ∂/∂ pre-activation.</summary>
    protected T[] Gates { get; private set; } = [];

    /// <summary>[T + 1, B, H], the first before the window.</summary>
    protected T[] Hidden { get; private set; } = [];

    /// <summary>[B, H]: ∂/∂h of the step at hand.</summary>
    protected T[] HiddenGradient { get; private set; } = [];

    public static LayerPass<T> Create(RecurrentLayerOptions options, int index, int inputs, LayerSlots slots) => options.Cell switch
    {
        CellKind.Lstm => new LstmPass<T>(options, index, inputs, slots),
        CellKind.Gru => new GruPass<T>(options, index, inputs, slots),
        _ => new SimpleRnnPass<T>(options, index, inputs, slots),
    };

    /// <summary>Takes new parameters.</summary>
    public void Load(T[] parameters)
    {
        Parameters = parameters;
        Array.Clear(_inputGates);
        Array.Clear(HiddenGates);
        GenericProduct.AddTransposed<T>(Of(Slots.WeightIh), Rows, Inputs, _inputGates);
        GenericProduct.AddTransposed<T>(Of(Slots.WeightHh), Rows, Units, HiddenGates);
    }

    /// <param name="inputs">[T, B, I].</param>
    /// <param name="hidden">[B, H]: h before the window in, after it out.</param>
    /// <param name="cell">[B, H]: c likewise; empty where the cell has none.</param>
    /// <param name="outputs">[T, B, H], or [B, H] where the layer returns its last step alone.</param>
    public void Forward(ReadOnlySpan<T> inputs, int steps, int batch, Span<T> hidden, Span<T> cell, Span<T> outputs, DropoutDraw? dropout)
    {
        (Steps, Batch) = (steps, batch);
        _inputs = AtLeast(_inputs, (long)steps * batch * Inputs);
        Gates = AtLeast(Gates, (long)steps * batch * Rows);
        Hidden = AtLeast(Hidden, (steps + 1L) * batch * Units);
        hidden.CopyTo(Hidden);
        DrawMasks(dropout);
        for (var t = 0; t < steps; t++)
        {
            inputs.Slice(TimeOf(t) * batch * Inputs, batch * Inputs).CopyTo(_inputs.AsSpan(t * batch * Inputs));
            if (_dropsInputs)
            {
                Multiply(_inputs.AsSpan(t * batch * Inputs, batch * Inputs), _inputMask);
            }
        }

        // The products with the inputs need no recurrence: all steps at once.
        var gates = Gates.AsSpan(0, steps * batch * Rows);
        gates.Clear();
        if (Slots.Bias is { } bias)
        {
            for (var row = 0; row < steps * batch; row++)
            {
                Of(bias).CopyTo(gates[(row * Rows)..]);
            }
        }

        GenericProduct.Accumulate<T>(_inputs, Inputs, 1, _inputGates, Rows, gates, Rows, steps * batch, Inputs, Rows);
        Begin(cell);
        for (var t = 0; t < steps; t++)
        {
            if (_dropsHidden)
            {
                var masked = StepOf(_maskedHidden, t, Units);
                StepOf(Hidden, t, Units).CopyTo(masked);
                Multiply(masked, _recurrentMask);
            }

            StepForward(t);
        }

        End(cell);
        StepOf(Hidden, steps, Units).CopyTo(hidden);
        if (!Options.ReturnSequences)
        {
            StepOf(Hidden, steps, Units).CopyTo(outputs);
            return;
        }

        for (var t = 0; t < steps; t++)
        {
            StepOf(Hidden, t + 1, Units).CopyTo(outputs[(TimeOf(t) * batch * Units)..]);
        }
    }

    /// <param name="outputGradient">∂/∂outputs, shaped like the outputs of <see cref="Forward"/>.</param>
    /// <param name="inputGradient">[T, B, I], overwritten; empty where nobody asks.</param>
    /// <param name="gradient">Flat gradient of all parameters, added to.</param>
    public void Backward(ReadOnlySpan<T> outputGradient, Span<T> inputGradient, Span<T> gradient)
    {
        HiddenGradient = AtLeast(HiddenGradient, (long)Batch * Units);
        Array.Clear(HiddenGradient);
        BeginBackward();
        for (var t = Steps - 1; t >= 0; t--)
        {
            if (Options.ReturnSequences)
            {
                Add(HiddenGradient, outputGradient.Slice(TimeOf(t) * Batch * Units, Batch * Units));
            }
            else if (t == Steps - 1)
            {
                Add(HiddenGradient, outputGradient[..(Batch * Units)]);
            }

            StepBackward(t, gradient);
        }

        var all = Steps * Batch;
        var gates = Gates.AsSpan(0, all * Rows);
        Array.Clear(_inputGatesGradient);
        GenericProduct.Accumulate<T>(_inputs, 1, Inputs, gates, Rows, _inputGatesGradient, Rows, Inputs, all, Rows);
        GenericProduct.AddTransposed<T>(_inputGatesGradient, Inputs, Rows, In(gradient, Slots.WeightIh));
        Array.Clear(_hiddenGatesGradient);
        RecurrentWeightGradient(_hiddenGatesGradient, gradient);
        GenericProduct.AddTransposed<T>(_hiddenGatesGradient, Units, Rows, In(gradient, Slots.WeightHh));
        if (Slots.Bias is { } bias)
        {
            GenericProduct.AddRows<T>(gates, all, Rows, In(gradient, bias));
        }

        if (inputGradient.IsEmpty)
        {
            return;
        }

        _inputGradient = AtLeast(_inputGradient, (long)all * Inputs);
        _inputGradient.AsSpan(0, all * Inputs).Clear();
        GenericProduct.Accumulate<T>(gates, Rows, 1, Of(Slots.WeightIh), Inputs, _inputGradient, Inputs, all, Rows, Inputs);
        for (var t = 0; t < Steps; t++)
        {
            var step = StepOf(_inputGradient, t, Inputs);
            if (_dropsInputs)
            {
                Multiply(step, _inputMask);
            }

            step.CopyTo(inputGradient[(TimeOf(t) * Batch * Inputs)..]);
        }
    }

    /// <summary>Takes over c before the window.</summary>
    protected virtual void Begin(ReadOnlySpan<T> cell)
    {
    }

    /// <summary>Gives c after the window.</summary>
    protected virtual void End(Span<T> cell)
    {
    }

    protected virtual void BeginBackward()
    {
    }

    /// <summary>From the gates' input part and h(t) in <see cref="Hidden"/> to activated gates and h(t + 1) there.</summary>
    protected abstract void StepForward(int t);

    /// <summary>
    /// From <see cref="HiddenGradient"/> of the step's result to that of its start, and to ∂/∂ pre-activation in <see cref="Gates"/>.
    /// </summary>
    protected abstract void StepBackward(int t, Span<T> gradient);

    /// <summary>Adds ∂/∂ weight_hh as [H, G·H].</summary>
    protected virtual void RecurrentWeightGradient(Span<T> hiddenGates, Span<T> gradient) =>
        GenericProduct.Accumulate<T>(
            RecurrentInput(0), 1, Units, Gates, Rows, hiddenGates, Rows, Units, Steps * Batch, Rows);

    /// <summary>h before step t as the recurrent product sees it; the later steps follow.</summary>
    protected ReadOnlySpan<T> RecurrentInput(int t) =>
        (_dropsHidden ? _maskedHidden : Hidden).AsSpan(t * Batch * Units, (Steps - t) * Batch * Units);

    /// <summary>Turns a gradient with respect to <see cref="RecurrentInput"/> into one with respect to h.</summary>
    protected void ThroughRecurrentMask(Span<T> gradient)
    {
        if (_dropsHidden)
        {
            Multiply(gradient, _recurrentMask);
        }
    }

    protected ReadOnlySpan<T> Of(ParameterView view) => Parameters.AsSpan(view.Offset, view.Length);

    protected static Span<T> In(Span<T> gradient, ParameterView view) => gradient.Slice(view.Offset, view.Length);

    protected Span<T> StepOf(T[] array, int t, int columns) => array.AsSpan(t * Batch * columns, Batch * columns);

    protected static T[] AtLeast(T[] present, long length) =>
        present.Length >= length ? present : new T[checked((int)length)];

    private static void Add(Span<T> target, ReadOnlySpan<T> values)
    {
        for (var i = 0; i < values.Length; i++)
        {
            target[i] += values[i];
        }
    }

    private static void Multiply(Span<T> values, ReadOnlySpan<T> factors)
    {
        for (var i = 0; i < values.Length; i++)
        {
            values[i] *= factors[i];
        }
    }

    private int TimeOf(int t) => Options.Backwards ? Steps - 1 - t : t;

    private void DrawMasks(DropoutDraw? dropout)
    {
        _dropsInputs = dropout is not null && Options.InputDropout > 0;
        _dropsHidden = dropout is not null && Options.RecurrentDropout > 0;
        if (_dropsInputs)
        {
            _inputMask = AtLeast(_inputMask, (long)Batch * Inputs);
            Draw(_inputMask, Batch * Inputs, Options.InputDropout, 0);
        }

        if (_dropsHidden)
        {
            _recurrentMask = AtLeast(_recurrentMask, (long)Batch * Units);
            _maskedHidden = AtLeast(_maskedHidden, (long)Steps * Batch * Units);
            Draw(_recurrentMask, Batch * Units, Options.RecurrentDropout, 1);
        }

        void Draw(T[] mask, int length, double share, ulong kind)
        {
            var draw = dropout!.Value;
            var random = new CounterRandom(draw.Seed, ((ulong)draw.Window << 16) + ((ulong)_index << 1) + kind);
            var kept = T.CreateChecked(1.0 / (1.0 - share));
            for (var i = 0; i < length; i++)
            {
                mask[i] = random.Unit((ulong)i) >= share ? kept : T.Zero;
            }
        }
    }
}
