using System.Runtime.InteropServices;
using StreamLstm.Core.Recurrent.Kernels;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Tests.Kernels;

public class StackedTrainerTests
{
    [Theory]
    [InlineData(CellKind.Lstm)]
    [InlineData(CellKind.Gru)]
    public void Every_width_has_the_gradient_of_the_reference_bit_by_bit(CellKind cell)
    {
        foreach (var (inputs, hidden, layers, batch) in new[] { (1, 1, 1, 1), (3, 5, 2, 4), (40, 17, 1, 7), (3, 33, 3, 9), (1, 100, 2, 3) })
        {
            const int steps = 4;
            var shape = new StackedShape(inputs, hidden, layers, cell);
            var weights = StackedWeights.Create(shape, 8);
            var reference = new StackedTrainingReference(weights, steps, batch);
            var x = Enumerable.Range(0, steps).Select(t => Enumerable.Range(0, batch).Select(b => Input(shape, t, b)).ToArray()).ToArray();
            var h = reference.Run(x, outputs => [.. outputs.Select(step => step.Select(row => row.Select(v => v - Target).ToArray()).ToArray())]);
            foreach (var width in StackedKernelTests.Widths())
            {
                var trainer = new StackedTrainer(weights, steps, batch, width);
                Pass(trainer);
                var what = $"{shape} B={batch} {width}";
                for (var t = 0; t < steps; t++)
                {
                    for (var b = 0; b < batch; b++)
                    {
                        Assert.True(h[t][b].AsSpan().SequenceEqual(trainer.Hidden(t).Slice(b * trainer.HiddenPitch, hidden)), $"h differs: {what}");
                    }
                }

                for (var i = 0; i < reference.Gradient.Length; i++)
                {
                    Assert.True(reference.Gradient[i].Equals(trainer.Gradient[i]), $"Gradient {i} is {trainer.Gradient[i]}, not {reference.Gradient[i]}: {what}");
                }
            }
        }
    }

    [Theory]
    [InlineData(CellKind.Lstm, 4, 32, 1)]
    [InlineData(CellKind.Lstm, 3, 20, 2)]
    [InlineData(CellKind.Gru, 4, 32, 1)]
    [InlineData(CellKind.Gru, 3, 20, 2)]
    public void Gradients_stay_close_to_double_precision(CellKind cell, int inputs, int hidden, int layers)
    {
        const int steps = 64;
        const int batch = 16;
        var shape = new StackedShape(inputs, hidden, layers, cell);
        var weights = StackedWeights.Create(shape, 6);
        var trainer = new StackedTrainer(weights, steps, batch);
        Pass(trainer);
        var exact = new DoubleCells(shape, weights.ToArray());
        for (var b = 0; b < batch; b++)
        {
            exact.AddGradient(
                [.. Enumerable.Range(0, steps).Select(t => Array.ConvertAll(Input(shape, t, b), v => (double)v))],
                [.. Enumerable.Repeat((double)Target, hidden)]);
        }

        var largest = exact.Gradient.Max(Math.Abs);
        var gradient = trainer.GradientToArray();
        for (var i = 0; i < gradient.Length; i++)
        {
            Assert.InRange((gradient[i] - exact.Gradient[i]) / largest, -5e-6, 5e-6);
        }
    }

    [Theory]
    [InlineData(CellKind.Lstm)]
    [InlineData(CellKind.Gru)]
    public void Training_ends_in_the_same_bits_at_every_width(CellKind cell)
    {
        var shape = new StackedShape(3, 20, 2, cell);
        byte[]? first = null;
        foreach (var width in StackedKernelTests.Widths())
        {
            var trainer = new StackedTrainer(StackedWeights.Create(shape, 9), 6, 10, width);
            for (var i = 0; i < 3; i++)
            {
                Pass(trainer);
                trainer.CarryState();
                Pass(trainer);
                trainer.Update(1e-2f, 1f / trainer.GradientNorm());
            }

            var bytes = MemoryMarshal.AsBytes(trainer.ToWeights().ToArray().AsSpan()).ToArray();
            first ??= bytes;
            Assert.Equal(first, bytes);
        }
    }

    [Theory]
    [InlineData(CellKind.Lstm)]
    [InlineData(CellKind.Gru)]
    public void Training_lowers_the_loss(CellKind cell)
    {
        var trainer = new StackedTrainer(StackedWeights.Create(new StackedShape(3, 20, 2, cell), 9), 6, 10);
        var before = Pass(trainer);
        for (var i = 0; i < 100; i++)
        {
            trainer.ResetState();
            Pass(trainer);
            trainer.Update(1e-2f);
        }

        trainer.ResetState();
        Assert.InRange(Pass(trainer), 0f, before / 10);
    }

    [Fact]
    public void A_carried_state_continues_the_sequence()
    {
        var shape = new StackedShape(3, 20, 2);
        var weights = StackedWeights.Create(shape, 9);
        var whole = new StackedTrainer(weights, 6, 2);
        var half = new StackedTrainer(weights, 3, 2);
        Pass(whole);
        Fill(half, 0);
        half.Forward();
        half.CarryState();
        Fill(half, 3);
        half.Forward();
        Assert.True(whole.Hidden(5).SequenceEqual(half.Hidden(2)));
    }

    [Fact]
    public void A_training_step_allocates_nothing()
    {
        var trainer = new StackedTrainer(StackedWeights.Create(new StackedShape(4, 32, 2), 1), 8, 16);
        Fill(trainer, 0);
        var loss = new SquaredError(trainer);

        // Once before, so that nothing is compiled while it is measured: compiling allocates now and then.
        Step();
        var before = GC.GetAllocatedBytesForCurrentThread();
        Step();
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());

        void Step()
        {
            trainer.Forward();
            trainer.Backward(loss);
            trainer.Forward();
            trainer.Backward(loss);
            trainer.CarryState();
            trainer.Update(1e-3f, 1f / trainer.GradientNorm());
        }
    }

    private const float Target = 0.125f;

    private static float[] Input(StackedShape shape, int t, int b) => StackedKernelTests.Inputs(shape, 1, (100 * t) + b);

    private static void Fill(StackedTrainer trainer, int firstStep)
    {
        for (var t = 0; t < trainer.Steps; t++)
        {
            for (var b = 0; b < trainer.Batch; b++)
            {
                Input(trainer.Shape, firstStep + t, b).CopyTo(trainer.Inputs(t, b));
            }
        }
    }

    /// <returns>The loss ½·Σ(h − target)² of the last layer over all steps.</returns>
    private static float Pass(StackedTrainer trainer)
    {
        Fill(trainer, 0);
        trainer.Forward();
        var loss = new SquaredError(trainer);
        trainer.Backward(loss);
        return loss.Sum;
    }

    private sealed class SquaredError(StackedTrainer trainer) : IHiddenLoss
    {
        public float Sum { get; private set; }

        public void Gradient(int step, ReadOnlySpan<float> hidden, Span<float> gradient)
        {
            for (var b = 0; b < trainer.Batch; b++)
            {
                for (var unit = 0; unit < trainer.Shape.Hidden; unit++)
                {
                    var difference = hidden[(b * trainer.HiddenPitch) + unit] - Target;
                    Sum += 0.5f * difference * difference;
                    gradient[(b * trainer.HiddenGradientPitch) + unit] = difference;
                }
            }
        }
    }
}
