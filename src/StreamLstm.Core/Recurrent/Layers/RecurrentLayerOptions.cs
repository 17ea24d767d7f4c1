namespace StreamLstm.Core.Recurrent.Layers;

/// <summary>The recurrence of a layer.</summary>
public enum CellKind
{
    /// <summary>Long short-term memory with forget gate (Hochreiter, Schmidhuber 1997; Gers et al. 2000); gates i, f, g, o.</summary>
    Lstm,

    /// <summary>Gated recurrent unit (Cho et al. 2014); gates r, z, n.</summary>
    Gru,

    /// <summary>Elman's network: h = φ(W·x + U·h + b).</summary>
    SimpleRnn,
}

/// <summary>A function applied element by element.</summary>
public enum Activation
{
    Tanh,

    Sigmoid,

    /// <summary>clamp(x/6 + ½, 0, 1), as in PyTorch and Keras 3 (Keras 2 had clamp(x/5 + ½, 0, 1)).</summary>
    HardSigmoid,

    Relu,

    Linear,
}

/// <summary>How initial values are drawn.</summary>
public enum Initializer
{
    /// <summary>Uniform in ±√(6 / (fan-in + fan-out)), the fan-out being that of all gates together as in Keras (Glorot, Bengio 2010).</summary>
    GlorotUniform,

    /// <summary>
    /// Orthonormal columns, [gates·H, H] as one matrix as in Keras (Saxe et al. 2014). Where a matrix is wider than tall,
    /// its rows are orthonormal.
    /// </summary>
    Orthogonal,

    Zeros,
}

/// <summary>One recurrent layer. Defaults are those of Keras.</summary>
public sealed record RecurrentLayerOptions
{
    /// <summary>Largest size of any one dimension.</summary>
    public const int MaxDimension = LstmForecasterShape.MaxDimension;

    /// <value>The recurrence.</value>
    public required CellKind Cell { get; init; }

    /// <value>H, hidden units, 1…2048.</value>
    public required int Units { get; init; }

    /// <value>φ: of the candidate g and of c in an LSTM, of n in a GRU, of h in a simple RNN. Default tanh.</value>
    public Activation Activation { get; init; } = Activation.Tanh;

    /// <value>σ: of the gates. Default sigmoid. A simple RNN has no gates and ignores it only at its default.</value>
    public Activation RecurrentActivation { get; init; } = Activation.Sigmoid;

    /// <value>LSTM only: i and f also see c(t−1), o sees c(t), each through a diagonal weight (Gers, Schmidhuber 2000). Default false.</value>
    public bool Peepholes { get; init; }

    /// <value>
    /// GRU only. True, the default: n = φ(W·x + b + r⊙(U·h + b_hn)), as in PyTorch and Keras's reset_after.
    /// False: n = φ(W·x + U·(r⊙h) + b), as in Cho et al.
    /// </value>
    public bool ResetAfter { get; init; } = true;

    /// <value>Whether the layer has biases. Default true.</value>
    public bool Bias { get; init; } = true;

    /// <value>Initial weights from the inputs. Default Glorot uniform.</value>
    public Initializer KernelInitializer { get; init; } = Initializer.GlorotUniform;

    /// <value>Initial weights from the hidden state. Default orthogonal.</value>
    public Initializer RecurrentInitializer { get; init; } = Initializer.Orthogonal;

    /// <value>Initial biases; Glorot uniform takes fan-in 1. Default zeros. Orthogonal is refused.</value>
    public Initializer BiasInitializer { get; init; } = Initializer.Zeros;

    /// <value>LSTM only: add 1 to the forget gate's initial bias (Jozefowicz et al. 2015). Default true.</value>
    public bool UnitForgetBias { get; init; } = true;

    /// <value>
    /// Share of inputs dropped in training, in [0, 1). One mask for all gates and all steps of a window
    /// (Gal, Ghahramani 2016); what is kept is divided by 1 − share. Default 0.
    /// </value>
    public double InputDropout { get; init; }

    /// <value>Share of h(t−1) dropped, in training, on its way into the recurrent product; otherwise as <see cref="InputDropout"/>.</value>
    public double RecurrentDropout { get; init; }

    /// <value>λ of the penalty λ·Σ|w| on the weights from the inputs. At least 0. Default 0.</value>
    public double KernelL1 { get; init; }

    /// <value>λ of the penalty λ·Σw² on the weights from the inputs. At least 0. Default 0.</value>
    public double KernelL2 { get; init; }

    /// <value>λ of the penalty λ·Σ|w| on the weights from the hidden state. At least 0. Default 0.</value>
    public double RecurrentL1 { get; init; }

    /// <value>λ of the penalty λ·Σw² on the weights from the hidden state. At least 0. Default 0.</value>
    public double RecurrentL2 { get; init; }

    /// <value>
    /// Whether training carries the layer's final state of one window to the next window of the same sequences. Default
    /// false: every window starts from zeros.
    /// </value>
    public bool Stateful { get; init; }

    /// <value>True: h of every step. False, the default: h of the last step. Every layer below another must return sequences.</value>
    public bool ReturnSequences { get; init; }

    /// <value>Whether <see cref="NetworkOutput{T}.States"/> holds the layer's final state. Default false.</value>
    public bool ReturnState { get; init; }

    /// <value>
    /// Process a window from its last step to its first. Outputs stay at their own time: the one at t has seen t and all
    /// later steps, and the last one computed is that of the first step. For windows only, so not with <see cref="Stateful"/>.
    /// </value>
    public bool Backwards { get; init; }

    /// <summary>Blocks of H rows in the weights: 4, 3 or 1.</summary>
    internal int Gates => Cell switch { CellKind.Lstm => 4, CellKind.Gru => 3, _ => 1 };

    /// <summary>Whether n has a bias of its own inside the reset gate.</summary>
    internal bool HasRecurrentBias => Bias && Cell == CellKind.Gru && ResetAfter;

    internal void Validate(string layer)
    {
        RequireDefined(Cell, nameof(Cell));
        RequireDefined(Activation, nameof(Activation));
        RequireDefined(RecurrentActivation, nameof(RecurrentActivation));
        RequireDefined(KernelInitializer, nameof(KernelInitializer));
        RequireDefined(RecurrentInitializer, nameof(RecurrentInitializer));
        RequireDefined(BiasInitializer, nameof(BiasInitializer));
        Require(Units is >= 1 and <= MaxDimension, nameof(Units), $"must lie in 1…{MaxDimension}", Units);
        RequireShare(InputDropout, nameof(InputDropout));
        RequireShare(RecurrentDropout, nameof(RecurrentDropout));
        RequirePenalty(KernelL1, nameof(KernelL1));
        RequirePenalty(KernelL2, nameof(KernelL2));
        RequirePenalty(RecurrentL1, nameof(RecurrentL1));
        RequirePenalty(RecurrentL2, nameof(RecurrentL2));
        Require(BiasInitializer != Initializer.Orthogonal, nameof(BiasInitializer), "must be Zeros or GlorotUniform: a vector cannot be orthogonal", BiasInitializer);
        Require(!Peepholes || Cell == CellKind.Lstm, nameof(Peepholes), $"exist in an LSTM only, expected false for {Cell}", Peepholes);
        Require(ResetAfter || Cell == CellKind.Gru, nameof(ResetAfter), $"concerns a GRU only, expected its default true for {Cell}", ResetAfter);
        Require(
            Cell != CellKind.SimpleRnn || RecurrentActivation == Activation.Sigmoid, nameof(RecurrentActivation),
            "concerns gates, expected its default Sigmoid for SimpleRnn", RecurrentActivation);
        Require(
            !Backwards || !Stateful, nameof(Backwards),
            "cannot be combined with Stateful: the state after the first step is not that before the next window; expected one of them false", Backwards);

        void RequireDefined<TEnum>(TEnum value, string name)
            where TEnum : struct, Enum =>
            Require(Enum.IsDefined(value), name, $"must be one of {string.Join(", ", Enum.GetNames<TEnum>())}", value);

        void RequireShare(double value, string name) => Require(value is >= 0 and < 1, name, "must lie in [0, 1)", value);

        void RequirePenalty(double value, string name) => Require(value >= 0 && double.IsFinite(value), name, "must be finite and at least 0", value);

        void Require(bool holds, string name, string expectation, object given)
        {
            if (!holds)
            {
                throw new ArgumentException(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{layer}: {name} {expectation}, got {given}."), name);
            }
        }
    }
}
