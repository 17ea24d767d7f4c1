using StreamLstm.Core.Learning;
using StreamLstm.Core.Recurrent;

namespace StreamLstm.Core.Tests.Parity;

/// <summary>The network and its training are PyTorch's, to single-precision rounding.</summary>
public class PyTorchParityTests(ITestOutputHelper output)
{
    public static TheoryData<string> Cases => ["i1-h1-k1", "i3-h5-k7", "i40-h17-k1", "i3-h33-k7", "i40-h33-k7"];

    [Theory]
    [MemberData(nameof(Cases))]
    public void The_forward_pass_agrees(string name)
    {
        var fixture = new PyTorchFixture(name);
        var (inputs, _, outputs) = fixture.Shape;
        var h = fixture.InitialHidden.ToArray();
        var c = fixture.InitialCell.ToArray();
        var y = new float[fixture.Outputs.Length];
        var workspace = new LstmWorkspace(fixture.Weights);
        for (var t = 0; t < fixture.Steps; t++)
        {
            var x = fixture.Inputs.AsSpan(t * fixture.Batch * inputs, fixture.Batch * inputs);
            VectorKernel.Step(workspace, x, h, c, y.AsSpan(t * fixture.Batch * outputs, fixture.Batch * outputs), fixture.Batch);
        }

        AssertClose(1e-6, fixture.Outputs, y, "outputs");
        AssertClose(1e-6, fixture.FinalHidden, h, "h");
        AssertClose(1e-6, fixture.FinalCell, c, "c");
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Every_gradient_agrees(string name)
    {
        var fixture = new PyTorchFixture(name);
        var trainer = new BpttTrainer(fixture.Weights);

        var loss = trainer.Step(fixture.ToBatch(), 0f);

        AssertClose(1e-6, [fixture.Loss], [loss], "loss");
        foreach (var (group, start, length) in ParameterGroups.Of(fixture.Shape))
        {
            AssertClose(5e-6, fixture.Gradient.AsSpan(start, length), trainer.Gradient.Slice(start, length), group);
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Ten_steps_of_adam_agree(string name)
    {
        var fixture = new PyTorchFixture(name);
        var trainer = new BpttTrainer(fixture.Weights, new BpttOptions { WeightDecay = fixture.WeightDecay });
        var batch = fixture.ToBatch();
        var losses = new float[fixture.Losses.Length];
        for (var step = 0; step < losses.Length; step++)
        {
            losses[step] = trainer.Step(batch, fixture.LearningRate);
        }

        AssertClose(2e-6, fixture.Losses, losses, "losses");
        AssertClose(5e-6, fixture.FinalWeights, trainer.Weights.Values, "weights");
        AssertClose(5e-6, fixture.AveragedWeights, trainer.AveragedWeights.Values, "averaged weights");
        Assert.NotEqual(fixture.Weights.Values.ToArray(), trainer.Weights.Values.ToArray());
    }

    /// <summary>Largest difference relative to the largest expected magnitude.</summary>
    private void AssertClose(double tolerance, ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        double largest = 0, worst = 0;
        for (var i = 0; i < expected.Length; i++)
        {
            Assert.True(float.IsFinite(actual[i]));
            largest = Math.Max(largest, Math.Abs((double)expected[i]));
            worst = Math.Max(worst, Math.Abs((double)expected[i] - actual[i]));
        }

        output.WriteLine($"{what}: {worst / largest:0.0e+0} of the largest");
        Assert.True(worst <= tolerance * largest, $"{what}: off by {worst} of {largest}, {worst / largest:0.0e+0}");
    }
}
