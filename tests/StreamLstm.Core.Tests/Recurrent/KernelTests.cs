using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent;

namespace StreamLstm.Core.Tests.Recurrent;

public class KernelTests
{
    public static TheoryData<int, int, int> Shapes => new()
    {
        { 1, 1, 1 }, { 3, 5, 7 }, { 4, 16, 16 }, { 40, 17, 1 }, { 3, 33, 7 }, { 40, 32, 96 }, { 1, 64, 33 },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void The_vector_kernel_has_the_bits_of_the_reference_at_every_width_and_batch_size(int inputs, int hidden, int outputs)
    {
        var weights = Weights(new LstmForecasterShape(inputs, hidden, outputs));
        foreach (var batch in new[] { 1, 2, 3, 4, 5, 7, 32, 33, 70 })
        {
            var expected = Run(weights, batch, (x, h, c, y) => ReferenceKernel.Step(weights, x, h, c, y, batch));
            foreach (var width in Enum.GetValues<VectorWidth>())
            {
                var workspace = new LstmWorkspace(weights);
                var actual = Run(weights, batch, (x, h, c, y) => VectorKernel.Step(workspace, x, h, c, y, batch, width));
                AssertSameBits(expected, actual, $"batch {batch}, {width}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void A_batch_has_the_bits_of_its_rows_stepped_alone(int inputs, int hidden, int outputs)
    {
        const int Batch = 37;
        var weights = Weights(new LstmForecasterShape(inputs, hidden, outputs));
        var workspace = new LstmWorkspace(weights);
        var together = Run(weights, Batch, (x, h, c, y) => VectorKernel.Step(workspace, x, h, c, y, Batch));
        var alone = Run(weights, Batch, (x, h, c, y) =>
        {
            for (var row = 0; row < Batch; row++)
            {
                VectorKernel.Step(
                    workspace, x.AsSpan(row * inputs, inputs), h.AsSpan(row * hidden, hidden), c.AsSpan(row * hidden, hidden),
                    y.AsSpan(row * outputs, outputs), 1);
            }
        });

        AssertSameBits(together, alone, "rows alone");
    }

    [Fact]
    public void State_advances_the_same_when_no_output_is_asked_for()
    {
        var weights = Weights(new LstmForecasterShape(3, 5, 7));
        var workspace = new LstmWorkspace(weights);
        var with = Run(weights, 4, (x, h, c, y) => VectorKernel.Step(workspace, x, h, c, y, 4));
        var without = Run(weights, 4, (x, h, c, y) => VectorKernel.Step(workspace, x, h, c, [], 4));

        Assert.Equal(with.H, without.H);
        Assert.Equal(with.C, without.C);
        Assert.All(without.Y, value => Assert.Equal(0f, value));
    }

    [Fact]
    public void Hidden_state_stays_within_one_whatever_the_input()
    {
        var weights = Weights(new LstmForecasterShape(3, 5, 7));
        var workspace = new LstmWorkspace(weights);
        var h = new float[5];
        var c = new float[5];
        var y = new float[7];
        for (var t = 0; t < 200; t++)
        {
            VectorKernel.Step(workspace, [1e30f, -3e38f, t], h, c, y, 1);
            Assert.All(h, value => Assert.InRange(value, -1f, 1f));
        }
    }

    [Fact]
    public void A_workspace_takes_a_new_version_in_place()
    {
        var shape = new LstmForecasterShape(3, 5, 7);
        var workspace = new LstmWorkspace(Weights(shape, seed: 1));
        var second = Weights(shape, seed: 2);
        workspace.Load(second);

        var actual = Run(second, 3, (x, h, c, y) => VectorKernel.Step(workspace, x, h, c, y, 3));

        AssertSameBits(Run(second, 3, (x, h, c, y) => ReferenceKernel.Step(second, x, h, c, y, 3)), actual, "new version");
        Assert.Throws<ArgumentException>(() => workspace.Load(Weights(new LstmForecasterShape(3, 5, 8))));
    }

    [Fact]
    public void A_step_allocates_nothing()
    {
        var weights = Weights(new LstmForecasterShape(40, 33, 7));
        var workspace = new LstmWorkspace(weights);
        var (x, h, c, y) = (new float[50 * 40], new float[50 * 33], new float[50 * 33], new float[50 * 7]);
        VectorKernel.Step(workspace, x, h, c, y, 50);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 10; i++)
        {
            VectorKernel.Step(workspace, x, h, c, y, 50);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void A_wrong_length_is_refused_with_name_expected_and_given_length()
    {
        var weights = Weights(new LstmForecasterShape(3, 5, 7));
        var workspace = new LstmWorkspace(weights);
        Check("x", () => VectorKernel.Step(workspace, new float[5], new float[10], new float[10], new float[14], 2), "6", "5");
        Check("h", () => VectorKernel.Step(workspace, new float[6], new float[9], new float[10], new float[14], 2), "10", "9");
        Check("c", () => ReferenceKernel.Step(weights, new float[6], new float[10], new float[11], new float[14], 2), "10", "11");
        Check("y", () => ReferenceKernel.Step(weights, new float[6], new float[10], new float[10], new float[13], 2), "14", "13");

        static void Check(string name, Action step, string expected, string given)
        {
            var exception = Assert.Throws<ArgumentException>(name, step);
            Assert.Contains(expected, exception.Message);
            Assert.Contains(given, exception.Message);
        }
    }

    private static LstmForecasterWeights Weights(LstmForecasterShape shape, ulong seed = 11)
    {
        // Larger than an initialisation, with every group busy, so that gates saturate too.
        var random = new CounterRandom(seed);
        var values = new float[shape.ParameterCount];
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = (2f * random.Unit((ulong)i)) - 1f;
        }

        return new LstmForecasterWeights(shape, values);
    }

    /// <summary>Three steps from a random state.</summary>
    private static (float[] H, float[] C, float[] Y) Run(LstmForecasterWeights weights, int batch, Action<float[], float[], float[], float[]> step)
    {
        var (inputs, hidden, outputs) = weights.Shape;
        var (x, h, c, y) = (new float[batch * inputs], new float[batch * hidden], new float[batch * hidden], new float[batch * outputs]);
        Fill(h, 1, 0.9f);
        Fill(c, 2, 3f);
        for (ulong t = 0; t < 3; t++)
        {
            Fill(x, 3 + t, 4f);
            step(x, h, c, y);
        }

        return (h, c, y);

        static void Fill(float[] values, ulong stream, float range)
        {
            var random = new CounterRandom(23, stream);
            for (var i = 0; i < values.Length; i++)
            {
                values[i] = range * ((2f * random.Unit((ulong)i)) - 1f);
            }
        }
    }

    private static void AssertSameBits((float[] H, float[] C, float[] Y) expected, (float[] H, float[] C, float[] Y) actual, string what)
    {
        Assert.True(Bits(expected.H).SequenceEqual(Bits(actual.H)), $"h, {what}");
        Assert.True(Bits(expected.C).SequenceEqual(Bits(actual.C)), $"c, {what}");
        Assert.True(Bits(expected.Y).SequenceEqual(Bits(actual.Y)), $"y, {what}");

        static IEnumerable<int> Bits(float[] values) => values.Select(BitConverter.SingleToInt32Bits);
    }
}
