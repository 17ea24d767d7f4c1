using System.Numerics;

namespace StreamLstm.Core.Recurrent.Layers;

/// <summary>
/// Stacked recurrent layers with a head, of any combination of options, in single or double precision: exact and complete
/// rather than fast. One instance serves one thread at a time.
/// </summary>
/// <typeparam name="T">float or double. In float every result has the same bits on every machine.</typeparam>
public sealed class RecurrentNetwork<T>
    where T : unmanaged, IFloatingPointIeee754<T>
{
    private readonly ParameterLayout _layout;
    private readonly LayerPass<T>[] _layers;
    private readonly HeadPass<T> _head;
    private readonly T[] _parameters;
    private readonly T[][] _activations; // per layer its outputs, [T, B, H] or [B, H]
    private readonly T[][] _activationGradients;
    private int _steps;
    private int _batch;

    /// <param name="options">Layers and head.</param>
    /// <param name="parameters">All parameters in flat order (see <see cref="Views"/>), finite; copied.</param>
    public RecurrentNetwork(NetworkOptions options, ReadOnlySpan<T> parameters)
        : this(options)
    {
        SetParameters(parameters);
    }

    private RecurrentNetwork(NetworkOptions options)
    {
        if (typeof(T) != typeof(float) && typeof(T) != typeof(double))
        {
            throw new NotSupportedException($"A network is of float or double, not of {typeof(T).Name}.");
        }

        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        Options = options;
        _layout = new ParameterLayout(options);
        _parameters = new T[_layout.Total];
        _layers = [.. options.Layers.Select((layer, l) => LayerPass<T>.Create(layer, l, options.InputsOf(l), _layout.Layers[l]))];
        _head = new HeadPass<T>(options.Head, options.Layers[^1].Units, _layout.HeadWeight, _layout.HeadBias);
        _activations = new T[_layers.Length][];
        _activationGradients = new T[_layers.Length][];
        Array.Fill(_activations, []);
        Array.Fill(_activationGradients, []);
    }

    public NetworkOptions Options { get; }

    public int ParameterCount => _parameters.Length;

    /// <summary>All parameters in flat order.</summary>
    public ReadOnlySpan<T> Parameters => _parameters;

    /// <summary>Name, shape and place of each parameter within <see cref="Parameters"/>.</summary>
    public IReadOnlyList<ParameterView> Views => _layout.Views;

    internal ParameterLayout Layout => _layout;

    /// <summary>A network with initial parameters: a pure function of options and seed.</summary>
    public static RecurrentNetwork<T> Create(NetworkOptions options, ulong seed)
    {
        var network = new RecurrentNetwork<T>(options);
        Initialization.Fill<T>(options, network._layout, seed, network._parameters);
        network.Load();
        return network;
    }

    /// <summary>The parameters of one view, row-major.</summary>
    public ReadOnlySpan<T> Parameter(string name)
    {
        foreach (var view in Views)
        {
            if (view.Name == name)
            {
                return _parameters.AsSpan(view.Offset, view.Length);
            }
        }

        throw new ArgumentException($"name must be one of {string.Join(", ", Views.Select(view => view.Name))}, got '{name}'.", nameof(name));
    }

    /// <summary>Replaces all parameters.</summary>
    /// <param name="parameters">In flat order, finite; copied.</param>
    public void SetParameters(ReadOnlySpan<T> parameters)
    {
        RequireLength(parameters.Length, _parameters.Length, nameof(parameters), "ParameterCount");
        for (var i = 0; i < parameters.Length; i++)
        {
            if (!T.IsFinite(parameters[i]))
            {
                var view = Views.First(candidate => i < candidate.Offset + candidate.Length);
                throw new ArgumentException($"parameters must be finite, but {view.Name}[{i - view.Offset}] is {parameters[i]}.", nameof(parameters));
            }
        }

        parameters.CopyTo(_parameters);
        Load();
    }

    /// <summary>Zero state for B sequences.</summary>
    public NetworkState<T> CreateState(int batch) => new(Options, batch);

    /// <summary>Values that a window of T steps and B sequences gives: T·B·K where the last layer returns sequences, else B·K.</summary>
    public int OutputLength(int steps, int batch) => checked(RowsOf(steps, batch) * Options.Head.Outputs);

    /// <summary>Outputs of a window that starts from zero state.</summary>
    /// <param name="inputs">[T, B, I], finite.</param>
    public NetworkOutput<T> Forward(ReadOnlySpan<T> inputs, int steps, int batch)
    {
        RequireWindow(inputs.Length, steps, batch);
        return Forward(inputs, steps, batch, CreateState(batch));
    }

    /// <summary>Outputs of a window.</summary>
    /// <param name="inputs">[T, B, I], finite.</param>
    /// <param name="state">What every layer starts from; the state after the window out.</param>
    public NetworkOutput<T> Forward(ReadOnlySpan<T> inputs, int steps, int batch, NetworkState<T> state)
    {
        ArgumentNullException.ThrowIfNull(state);
        RequireWindow(inputs.Length, steps, batch);
        var outputs = new T[OutputLength(steps, batch)];
        Forward(inputs, steps, batch, state, outputs);
        return new NetworkOutput<T>(outputs, [.. Options.Layers.Select((layer, l) =>
            layer.ReturnState ? new LayerState<T>(state.Hidden(l).ToArray(), state.Cell(l).ToArray()) : null)]);
    }

    /// <summary>The same into memory of the caller.</summary>
    /// <param name="outputs">[T, B, K] where the last layer returns sequences, else [B, K].</param>
    public void Forward(ReadOnlySpan<T> inputs, int steps, int batch, NetworkState<T> state, Span<T> outputs)
    {
        ArgumentNullException.ThrowIfNull(state);
        RequireWindow(inputs.Length, steps, batch);
        if (state.Batch != batch || !Fits(state))
        {
            throw new ArgumentException(
                $"state must be of this network and for batch {batch}, got one of {state.Layers} layers for {state.Batch}.", nameof(state));
        }

        RequireLength(outputs.Length, OutputLength(steps, batch), nameof(outputs), Options.ReturnsSequences ? "T·B·K" : "B·K");
        RequireFinite(inputs, nameof(inputs));
        for (var l = 0; l < _layers.Length; l++)
        {
            RequireFinite(state.Hidden(l), nameof(state));
            RequireFinite(state.Cell(l), nameof(state));
        }

        Run(inputs, steps, batch, state, outputs, null);
    }

    /// <summary>Forward without checks; keeps what <see cref="Backward"/> needs.</summary>
    internal void Run(ReadOnlySpan<T> inputs, int steps, int batch, NetworkState<T> state, Span<T> outputs, DropoutDraw? dropout)
    {
        (_steps, _batch) = (steps, batch);
        var x = inputs;
        for (var l = 0; l < _layers.Length; l++)
        {
            var layer = Options.Layers[l];
            var length = checked((layer.ReturnSequences ? steps : 1) * batch * layer.Units);
            if (_activations[l].Length < length)
            {
                _activations[l] = new T[length];
                _activationGradients[l] = new T[length];
            }

            _layers[l].Forward(x, steps, batch, state.Hidden(l), state.Cell(l), _activations[l], dropout);
            x = _activations[l].AsSpan(0, length);
        }

        _head.Forward(x, RowsOf(steps, batch), outputs);
    }

    /// <summary>W·h + b of the head in the latest <see cref="Run"/>.</summary>
    internal ReadOnlySpan<T> HeadLinear => _head.Linear(RowsOf(_steps, _batch));

    /// <summary>Adds to the flat gradient that of the latest <see cref="Run"/>.</summary>
    /// <param name="outputGradient">∂loss/∂outputs, of a softmax ∂loss/∂logits; overwritten.</param>
    internal void Backward(Span<T> outputGradient, Span<T> gradient)
    {
        var top = _layers.Length - 1;
        var rows = RowsOf(_steps, _batch);
        var length = rows * Options.Layers[top].Units;
        _head.Backward(_activations[top].AsSpan(0, length), rows, outputGradient, _activationGradients[top].AsSpan(0, length), gradient);
        for (var l = top; l >= 0; l--)
        {
            var below = l == 0 ? default : _activationGradients[l - 1].AsSpan(0, _steps * _batch * Options.InputsOf(l));
            _layers[l].Backward(_activationGradients[l], below, gradient);
        }
    }

    /// <summary>Lets a trainer write all parameters in place; <see cref="Load"/> afterwards.</summary>
    internal Span<T> MutableParameters => _parameters;

    /// <summary>Takes over what was written to <see cref="MutableParameters"/>.</summary>
    internal void Load()
    {
        foreach (var layer in _layers)
        {
            layer.Load(_parameters);
        }

        _head.Load(_parameters);
    }

    internal static void RequireFinite(ReadOnlySpan<T> values, string argument)
    {
        for (var i = 0; i < values.Length; i++)
        {
            if (!T.IsFinite(values[i]))
            {
                throw new ArgumentException($"{argument} must be finite, but element {i} is {values[i]}.", argument);
            }
        }
    }

    internal static void RequireLength(int given, Int128 expected, string argument, string shape)
    {
        if (given != expected)
        {
            throw new ArgumentException($"{argument} must hold {shape} = {expected} values, got {given}.", argument);
        }
    }

    /// <summary>First of all checks: after it, everything sized by T and B is sized by inputs that exist.</summary>
    private void RequireWindow(int length, int steps, int batch)
    {
        if (steps < 1)
        {
            throw new ArgumentException($"steps must be at least 1, got {steps}.", nameof(steps));
        }

        if (batch < 1)
        {
            throw new ArgumentException($"batch must be at least 1, got {batch}.", nameof(batch));
        }

        RequireLength(length, (Int128)steps * batch * Options.Inputs, "inputs", "T·B·I");
    }

    internal bool Fits(NetworkState<T> state)
    {
        if (state.Layers != _layers.Length)
        {
            return false;
        }

        for (var l = 0; l < _layers.Length; l++)
        {
            var layer = Options.Layers[l];
            var length = state.Batch * layer.Units;
            if (state.Hidden(l).Length != length || state.Cell(l).Length != (layer.Cell == CellKind.Lstm ? length : 0))
            {
                return false;
            }
        }

        return true;
    }

    private int RowsOf(int steps, int batch) => Options.ReturnsSequences ? checked(steps * batch) : batch;
}
