using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Recurrent;

/// <summary>
/// Weights transposed for the vector kernel, lanes = units. Hidden units are padded to panels of 16 with the four gates
/// of a panel side by side: column of (unit u, gate n) = 64·(u / 16) + 16·n + u mod 16. Padding is zero and inert:
/// its gates give g = 0, hence c = h = 0.
/// </summary>
internal sealed class PackedWeights
{
    public const int Panel = 16;

    private readonly AlignedArray _inputGates;
    private readonly AlignedArray _hiddenGates;
    private readonly AlignedArray _gateBias;
    private readonly AlignedArray _inputHead;
    private readonly AlignedArray _hiddenHead;
    private readonly AlignedArray _headBias;

    public PackedWeights(LstmForecasterShape shape)
    {
        Shape = shape;
        HiddenColumns = MatrixProduct.PadColumns(shape.Hidden);
        GateColumns = 4 * HiddenColumns;
        OutputColumns = MatrixProduct.PadColumns(shape.Outputs);
        _inputGates = new AlignedArray(shape.Inputs * GateColumns);
        _hiddenGates = new AlignedArray(shape.Hidden * GateColumns);
        _gateBias = new AlignedArray(GateColumns);
        _inputHead = new AlignedArray(shape.Inputs * OutputColumns);
        _hiddenHead = new AlignedArray(shape.Hidden * OutputColumns);
        _headBias = new AlignedArray(OutputColumns);
    }

    public LstmForecasterShape Shape { get; }

    /// <summary>H padded.</summary>
    public int HiddenColumns { get; }

    /// <summary>4H padded.</summary>
    public int GateColumns { get; }

    /// <summary>K padded.</summary>
    public int OutputColumns { get; }

    /// <summary>[I, 4H padded].</summary>
    public Span<float> InputGates => _inputGates.Span;

    /// <summary>[H, 4H padded].</summary>
    public Span<float> HiddenGates => _hiddenGates.Span;

    /// <summary>[4H padded].</summary>
    public Span<float> GateBias => _gateBias.Span;

    /// <summary>[I, K padded].</summary>
    public Span<float> InputHead => _inputHead.Span;

    /// <summary>[H, K padded].</summary>
    public Span<float> HiddenHead => _hiddenHead.Span;

    /// <summary>[K padded].</summary>
    public Span<float> HeadBias => _headBias.Span;

    /// <summary>Column of row <paramref name="row"/> (gate·H + unit) of the canonical matrices.</summary>
    public static int GateColumn(int row, int hidden)
    {
        var (gate, unit) = Math.DivRem(row, hidden);
        return (unit / Panel * 4 * Panel) + (gate * Panel) + (unit % Panel);
    }

    /// <param name="flat">All parameters in the order of <see cref="LstmForecasterWeights"/>.</param>
    public void Pack(ReadOnlySpan<float> flat)
    {
        var (inputs, hidden, outputs) = Shape;
        for (var row = 0; row < 4 * hidden; row++)
        {
            var column = GateColumn(row, hidden);
            Scatter(flat.Slice(row * inputs, inputs), InputGates, column, GateColumns);
            Scatter(flat.Slice(Shape.WeightHhOffset + (row * hidden), hidden), HiddenGates, column, GateColumns);
            GateBias[column] = flat[Shape.BiasOffset + row];
        }

        for (var k = 0; k < outputs; k++)
        {
            Scatter(flat.Slice(Shape.SkipWeightOffset + (k * inputs), inputs), InputHead, k, OutputColumns);
            Scatter(flat.Slice(Shape.HeadWeightOffset + (k * hidden), hidden), HiddenHead, k, OutputColumns);
            HeadBias[k] = flat[Shape.HeadBiasOffset + k];
        }
    }

    /// <summary>The inverse of <see cref="Pack"/>; the trainer keeps gradients in the packed layout.</summary>
    public void Unpack(Span<float> flat)
    {
        var (inputs, hidden, outputs) = Shape;
        for (var row = 0; row < 4 * hidden; row++)
        {
            var column = GateColumn(row, hidden);
            Gather(InputGates, column, GateColumns, flat.Slice(row * inputs, inputs));
            Gather(HiddenGates, column, GateColumns, flat.Slice(Shape.WeightHhOffset + (row * hidden), hidden));
            flat[Shape.BiasOffset + row] = GateBias[column];
        }

        for (var k = 0; k < outputs; k++)
        {
            Gather(InputHead, k, OutputColumns, flat.Slice(Shape.SkipWeightOffset + (k * inputs), inputs));
            Gather(HiddenHead, k, OutputColumns, flat.Slice(Shape.HeadWeightOffset + (k * hidden), hidden));
            flat[Shape.HeadBiasOffset + k] = HeadBias[k];
        }
    }

    public void Clear()
    {
        InputGates.Clear();
        HiddenGates.Clear();
        GateBias.Clear();
        InputHead.Clear();
        HiddenHead.Clear();
        HeadBias.Clear();
    }

    private static void Scatter(ReadOnlySpan<float> source, Span<float> target, int column, int stride)
    {
        for (var i = 0; i < source.Length; i++)
        {
            target[column + (i * stride)] = source[i];
        }
    }

    private static void Gather(ReadOnlySpan<float> source, int column, int stride, Span<float> target)
    {
        for (var i = 0; i < target.Length; i++)
        {
            target[i] = source[column + (i * stride)];
        }
    }
}
