using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Recurrent.Kernels;

/// <summary>
/// Where weights and states lie. Hidden units are padded to panels of 16 (H → <see cref="Columns"/>), one 512-bit vector;
/// a *block* is 16 consecutive floats: one gate of one panel.
/// </summary>
/// <remarks>
/// A layer's weights are its panels one after another, each panel
/// <code>[4 bias blocks][input rows k, <see cref="Blocks"/> blocks each][hidden rows k, <see cref="Blocks"/> blocks each]</code>
/// LSTM blocks: i, f, g, o everywhere. GRU: biases n_x, r, z, n_h; input rows n_x, r, z; hidden rows r, z, n_h, because
/// n = tanh(n_x + r∘n_h) needs the two halves of n apart.
/// Padding is zero and inert: a padded unit has g = 0 (n = 0), hence c = h = 0 for ever, and zero gradients.
/// </remarks>
internal sealed class PanelLayout
{
    public const int Block = 16;

    /// <summary>Floats of one panel's pre-activations of one row: four blocks, also for the GRU (n_x, r, z, n_h).</summary>
    public const int GateBlocks = 4 * Block;

    // Pre-activations are exponents of two: σ(a) = 1/(1 + 2^(−a·log₂e)), tanh(a) = (1 − 2^(−2a·log₂e))/(1 + 2^(−2a·log₂e)).
    public const float SigmoidScale = -1.44269504f;
    public const float TanhScale = -2.88539008f;

    private readonly int[] _layerOffsets;

    public PanelLayout(StackedShape shape)
    {
        Shape = shape;
        Columns = Pad(shape.Hidden);
        Panels = Columns / Block;
        _layerOffsets = new int[shape.Layers + 1];
        for (var layer = 0; layer < shape.Layers; layer++)
        {
            _layerOffsets[layer + 1] = checked(_layerOffsets[layer] + (Panels * PanelLength(layer)));
        }
    }

    public StackedShape Shape { get; }

    public bool IsLstm => Shape.Cell == CellKind.Lstm;

    /// <summary>H padded to a multiple of 16.</summary>
    public int Columns { get; }

    public int Panels { get; }

    /// <summary>Blocks per weight row: one per gate.</summary>
    public int Blocks => Shape.Gates;

    /// <summary>Floats per weight row of a panel.</summary>
    public int RowLength => Blocks * Block;

    /// <summary>First pre-activation block the hidden rows add to: 0, or 1 (r) for the GRU.</summary>
    public int FirstHiddenBlock => IsLstm ? 0 : 1;

    public int WeightLength => _layerOffsets[^1];

    /// <summary>State of one layer: [h c] or [h].</summary>
    public int LayerState => IsLstm ? 2 * Columns : Columns;

    /// <summary>Floats of a state record, a multiple of 16.</summary>
    public int RecordLength => Shape.Layers * LayerState;

    /// <summary>Input rows of a layer's weights; above the first they include the padding of the layer below.</summary>
    public int InputRows(int layer) => layer == 0 ? Shape.Inputs : Columns;

    /// <summary>
    /// A row [x|h] of a layer starts this many floats late, so that x ends, and h begins, on a 64-byte boundary.
    /// </summary>
    public int InputOffset(int layer) => Pad(InputRows(layer)) - InputRows(layer);

    /// <summary>Where h begins in a row [x|h].</summary>
    public int HiddenOffset(int layer) => Pad(InputRows(layer));

    /// <summary>
    /// Distance of rows [x|h]. One vector more than needed: with a power of two, equal columns of all rows
    /// would compete for the same few sets of the first-level cache.
    /// </summary>
    public int RowPitch(int layer) => HiddenOffset(layer) + Columns + Block;

    public int PanelLength(int layer) => GateBlocks + (RowLength * (InputRows(layer) + Shape.Hidden));

    public int PanelOffset(int layer, int panel) => _layerOffsets[layer] + (panel * PanelLength(layer));

    public static int Pad(int length) => (length + Block - 1) & ~(Block - 1);

    /// <summary>Calls <paramref name="visit"/> with (index in panel layout, gate block 0…3, indices in flat order or −1).</summary>
    public void Visit(Action<int, int, int, int> visit)
    {
        var (hidden, gates) = (Shape.Hidden, Blocks);
        var flat = 0;
        for (var layer = 0; layer < Shape.Layers; layer++)
        {
            var inputs = layer == 0 ? Shape.Inputs : hidden;
            var hiddenWeights = flat + (gates * hidden * inputs);
            var inputBias = hiddenWeights + (gates * hidden * hidden);
            var hiddenBias = inputBias + (gates * hidden);
            for (var unit = 0; unit < hidden; unit++)
            {
                var panel = PanelOffset(layer, unit / Block) + (unit % Block);
                for (var block = 0; block < 4; block++)
                {
                    // Flat gate of a block; PyTorch's GRU has r, z, n.
                    var gate = IsLstm ? block : block is 0 or 3 ? 2 : block - 1;
                    var row = (gate * hidden) + unit;
                    var (fromInput, fromHidden) = (IsLstm || block != 3, IsLstm || block != 0);
                    visit(panel + (block * Block), block, fromInput ? inputBias + row : -1, fromHidden ? hiddenBias + row : -1);
                    for (var k = 0; fromInput && k < inputs; k++)
                    {
                        visit(panel + GateBlocks + (k * RowLength) + (block * Block), block, flat + (row * inputs) + k, -1);
                    }

                    var hiddenRows = panel + GateBlocks + (InputRows(layer) * RowLength) - (FirstHiddenBlock * Block);
                    for (var k = 0; fromHidden && k < hidden; k++)
                    {
                        visit(hiddenRows + (k * RowLength) + (block * Block), block, hiddenWeights + (row * hidden) + k, -1);
                    }
                }
            }

            flat = hiddenBias + (gates * hidden);
        }
    }

    /// <summary>What turns a pre-activation of this block into an exponent of two.</summary>
    public float ExponentScale(int block) => (IsLstm ? block == 2 : block is 0 or 3) ? TanhScale : SigmoidScale;

    /// <summary>Weights as trained to weights that give exponents of two, both in panel layout.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Scale(ReadOnlySpan<float> plain, Span<float> scaled)
    {
        for (var layer = 0; layer < Shape.Layers; layer++)
        {
            for (var panel = 0; panel < Panels; panel++)
            {
                var index = PanelOffset(layer, panel);
                Rows(plain, scaled, 0, 4, 1);
                Rows(plain, scaled, 0, Blocks, InputRows(layer));
                Rows(plain, scaled, FirstHiddenBlock, Blocks, Shape.Hidden);

                void Rows(ReadOnlySpan<float> from, Span<float> to, int firstBlock, int blocks, int rows)
                {
                    for (var row = 0; row < rows; row++)
                    {
                        for (var block = 0; block < blocks; block++)
                        {
                            var scale = ExponentScale(firstBlock + block);
                            (Vector512.Create(from.Slice(index, Block)) * scale).CopyTo(to[index..]);
                            index += Block;
                        }
                    }
                }
            }
        }
    }
}
