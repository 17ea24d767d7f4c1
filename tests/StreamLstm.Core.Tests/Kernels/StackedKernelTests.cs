using System.Runtime.InteropServices;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent.Kernels;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Tests.Kernels;

public class StackedKernelTests
{
    private static readonly int[] HiddenSizes = [1, 5, 17, 33, 100];

    public static TheoryData<CellKind, int> Cases
    {
        get
        {
            var data = new TheoryData<CellKind, int>();
            foreach (var hidden in HiddenSizes)
            {
                data.Add(CellKind.Lstm, hidden);
                data.Add(CellKind.Gru, hidden);
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Every_width_equals_the_reference_bit_by_bit(CellKind cell, int hidden)
    {
        foreach (var (inputs, layers, batch) in new[] { (1, 1, 1), (3, 2, 13), (40, 1, 8), (3, 3, 3), (1, 2, 5), (40, 3, 6) })
        {
            var shape = new StackedShape(inputs, hidden, layers, cell);
            var weights = StackedWeights.Create(shape, 11);
            var expected = new StateRecords(shape, 20);
            for (var step = 0; step < 4; step++)
            {
                StackedReference.Step(weights, expected, Slots(batch, step), Inputs(shape, batch, step));
            }

            foreach (var width in Widths())
            {
                var actual = new StateRecords(shape, 20);
                var kernel = new StackedKernel(shape, width);
                for (var step = 0; step < 4; step++)
                {
                    kernel.Step(weights, actual, Slots(batch, step), Inputs(shape, batch, step));
                }

                AssertSameBits(expected, actual, $"{shape} B={batch} {width}");
            }
        }
    }

    [Theory]
    [InlineData(CellKind.Lstm)]
    [InlineData(CellKind.Gru)]
    public void A_stream_does_not_notice_its_batch(CellKind cell)
    {
        var shape = new StackedShape(3, 33, 2, cell);
        var weights = StackedWeights.Create(shape, 5);
        var singles = new StateRecords(shape, 130);
        var kernel = new StackedKernel(shape);
        var slots = Enumerable.Range(0, 130).Reverse().ToArray();
        var x = Inputs(shape, 130, 0);
        for (var b = 0; b < 130; b++)
        {
            kernel.Step(weights, singles, slots.AsSpan(b, 1), x.AsSpan(3 * b, 3));
        }

        for (var batch = 1; batch <= 130; batch++)
        {
            var records = new StateRecords(shape, 130);
            for (var b = 0; b < 130; b += batch)
            {
                var count = Math.Min(batch, 130 - b);
                kernel.Step(weights, records, slots.AsSpan(b, count), x.AsSpan(3 * b, 3 * count));
            }

            AssertSameBits(singles, records, $"B={batch}");
        }
    }

    [Theory]
    [InlineData(CellKind.Lstm, 4, 32, 1)]
    [InlineData(CellKind.Lstm, 3, 17, 2)]
    [InlineData(CellKind.Gru, 4, 32, 1)]
    [InlineData(CellKind.Gru, 3, 17, 2)]
    public void Five_hundred_steps_stay_within_a_millionth_of_double_precision(CellKind cell, int inputs, int hidden, int layers)
    {
        var shape = new StackedShape(inputs, hidden, layers, cell);
        var weights = StackedWeights.Create(shape, 3);
        var exact = new DoubleCells(shape, weights.ToArray());
        var state = exact.ZeroState();
        var records = new StateRecords(shape, 1);
        var kernel = new StackedKernel(shape);
        var output = Array.Empty<double>();
        for (var step = 0; step < 500; step++)
        {
            var x = Inputs(shape, 1, step);
            output = exact.Step(Array.ConvertAll(x, v => (double)v), state);
            kernel.Step(weights, records, [0], x);
        }

        for (var unit = 0; unit < hidden; unit++)
        {
            Assert.InRange(records.Output(0)[unit] - output[unit], -1e-6, 1e-6);
        }
    }

    [Theory]
    [InlineData(CellKind.Lstm)]
    [InlineData(CellKind.Gru)]
    public void Saturated_gates_stay_finite_and_equal_the_reference(CellKind cell)
    {
        var shape = new StackedShape(1, 5, 1, cell);
        var weights = new StackedWeights(shape, [.. StackedWeights.Create(shape, 2).ToArray().Select(w => 1000f * w)]);
        float[] x = [1e6f, -1e6f, 0f, 30f, -30f, 1f, -1f];
        int[] slots = [0, 1, 2, 3, 4, 5, 6];
        var expected = new StateRecords(shape, 7);
        for (var step = 0; step < 3; step++)
        {
            StackedReference.Step(weights, expected, slots, x);
        }

        foreach (var width in Widths())
        {
            var actual = new StateRecords(shape, 7);
            var kernel = new StackedKernel(shape, width);
            for (var step = 0; step < 3; step++)
            {
                kernel.Step(weights, actual, slots, x);
            }

            AssertSameBits(expected, actual, $"{cell} {width}");
            Assert.All(slots, slot => Assert.All(actual.Output(slot).ToArray(), h => Assert.InRange(h, -1f, 1f)));
        }
    }

    [Theory]
    [InlineData(CellKind.Lstm)]
    [InlineData(CellKind.Gru)]
    public void Padding_stays_zero(CellKind cell)
    {
        var shape = new StackedShape(2, 5, 2, cell);
        var records = new StateRecords(shape, 9);
        var kernel = new StackedKernel(shape);
        kernel.Step(StackedWeights.Create(shape, 1), records, [0, 1, 2, 3, 4, 5, 6, 7, 8], Inputs(shape, 9, 0));
        for (var slot = 0; slot < 9; slot++)
        {
            for (var i = 0; i < records.RecordLength; i++)
            {
                Assert.True(i % 16 < 5 || records.Record(slot)[i] == 0f);
            }
        }
    }

    [Theory]
    [InlineData(CellKind.Lstm)]
    [InlineData(CellKind.Gru)]
    public void Packing_keeps_every_parameter(CellKind cell)
    {
        var shape = new StackedShape(3, 21, 2, cell);
        var parameters = StackedWeights.Create(shape, 4).ToArray();
        var again = new StackedWeights(shape, parameters).ToArray();
        Assert.Equal(parameters, again);
        Assert.Equal(shape.ParameterCount, parameters.Count(p => p != 0) + parameters.Count(p => p == 0));
    }

    [Fact]
    public void Steps_allocate_nothing()
    {
        foreach (var cell in new[] { CellKind.Lstm, CellKind.Gru })
        {
            var shape = new StackedShape(4, 32, 2, cell);
            var weights = StackedWeights.Create(shape, 1);
            var records = new StateRecords(shape, 64);
            var kernel = new StackedKernel(shape);
            var slots = Enumerable.Range(0, 64).ToArray();
            var x = Inputs(shape, 64, 0);
            // Once before, so that nothing is compiled while it is measured: compiling allocates now and then.
            Steps();
            var before = GC.GetAllocatedBytesForCurrentThread();
            Steps();
            Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());

            void Steps()
            {
                kernel.Step(weights, records, slots, x);
                kernel.Step(weights, records, slots.AsSpan(0, 1), x.AsSpan(0, 4));
            }
        }
    }

    [Fact]
    public void Wrong_slots_shapes_and_lengths_are_refused()
    {
        var shape = new StackedShape(2, 3, 1);
        var weights = StackedWeights.Create(shape, 1);
        var records = new StateRecords(shape, 2);
        var kernel = new StackedKernel(shape);
        Assert.Throws<ArgumentOutOfRangeException>(() => kernel.Step(weights, records, [2], [0f, 0f]));
        Assert.Throws<ArgumentOutOfRangeException>(() => kernel.Step(weights, records, [-1], [0f, 0f]));
        Assert.Throws<ArgumentException>(() => kernel.Step(weights, records, [0], [0f]));
        Assert.Throws<ArgumentException>(() => kernel.Step(weights, new StateRecords(new StackedShape(2, 4, 1), 2), [0], [0f, 0f]));
        Assert.Throws<ArgumentException>(() => new StackedShape(2, 3, 0).Validate("shape"));
    }

    [Fact]
    public void The_width_can_be_forced_by_name_only()
    {
        Assert.Equal(VectorWidth.Bits128, KernelWidth.Choose("128"));
        Assert.Equal(KernelWidth.Widest, KernelWidth.Choose(null));
        Assert.Throws<ArgumentException>(() => KernelWidth.Choose("64"));
    }

    internal static IEnumerable<VectorWidth> Widths() => Enum.GetValues<VectorWidth>().Where(width => width <= KernelWidth.Widest);

    internal static float[] Inputs(StackedShape shape, int batch, int step)
    {
        var random = new CounterRandom(17, (ulong)step);
        return [.. Enumerable.Range(0, batch * shape.Inputs).Select(i => (4f * random.Unit((ulong)i)) - 2f)];
    }

    private static int[] Slots(int batch, int step) => [.. Enumerable.Range(0, batch).Select(b => ((b * 7) + step) % 20)];

    private static void AssertSameBits(StateRecords expected, StateRecords actual, string what)
    {
        Assert.True(
            MemoryMarshal.AsBytes(expected.Values.Span).SequenceEqual(MemoryMarshal.AsBytes(actual.Values.Span)), $"States differ: {what}");
    }
}
