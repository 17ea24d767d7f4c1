using System.Diagnostics.CodeAnalysis;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Recurrent.Kernels;

/// <summary>
/// The recurrent states of many streams in one block of memory: slot s holds a 64-byte-aligned record
/// [h₀ c₀ h₁ c₁ …] (GRU: [h₀ h₁ …]), H padded to a multiple of 16. New slots are zero.
/// </summary>
public sealed class StateRecords
{
    private readonly AlignedArray _values;
    private readonly PanelLayout _layout;

    public StateRecords(StackedShape shape, int slots)
    {
        shape.Validate(nameof(shape));
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(slots);
        _layout = new PanelLayout(shape);
        Slots = slots;
        _values = new AlignedArray(checked(slots * _layout.RecordLength));
    }

    public StackedShape Shape => _layout.Shape;

    public int Slots { get; }

    /// <summary>Floats per record, padding included.</summary>
    public int RecordLength => _layout.RecordLength;

    internal AlignedArray Values => _values;

    /// <summary>The whole record, to save or restore; its padding must stay zero.</summary>
    public Span<float> Record(int slot)
    {
        RequireSlot(slot);
        return _values.Span.Slice(slot * RecordLength, RecordLength);
    }

    /// <summary>h of a layer, [H].</summary>
    public Span<float> Hidden(int slot, int layer) => Record(slot).Slice(layer * _layout.LayerState, Shape.Hidden);

    /// <summary>h of the last layer, [H].</summary>
    public Span<float> Output(int slot) => Hidden(slot, Shape.Layers - 1);

    /// <summary>c of an LSTM layer, [H].</summary>
    public Span<float> Cell(int slot, int layer) => _layout.IsLstm
        ? Record(slot).Slice((layer * _layout.LayerState) + _layout.Columns, Shape.Hidden)
        : throw new InvalidOperationException("A GRU has no cell state.");

    public void Clear(int slot) => Record(slot).Clear();

    internal void RequireSlot(int slot)
    {
        if ((uint)slot >= (uint)Slots)
        {
            ThrowSlot(slot);
        }
    }

    [DoesNotReturn]
    private void ThrowSlot(int slot) => throw new ArgumentOutOfRangeException(nameof(slot), slot, $"There are {Slots} slots.");
}
