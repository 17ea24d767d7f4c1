using StreamLstm.Core.Learning.Networks;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Tests.Layers;

/// <summary>Every cell and option against its equations and against finite differences, in double; float against double.</summary>
public class ExactnessTests
{
    public static TheoryData<string> Cases => NetworkCases.Names;

    [Theory]
    [MemberData(nameof(Cases))]
    public void The_forward_pass_is_the_equations(string name)
    {
        var network = RecurrentNetwork<double>.Create(NetworkCases.All[name], seed: 11);
        var inputs = NetworkCases.Random<double>(6 * 3 * 2, 1, 2);

        var actual = network.Forward(inputs, 6, 3).Outputs;

        var expected = EquationReference.Forward(network, inputs, 6, 3);
        AssertClose(expected, actual, 1e-14);
        Assert.True(expected.Max(Math.Abs) > 1e-3, "worth comparing");
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Single_precision_is_the_same_to_its_rounding(string name)
    {
        var wide = RecurrentNetwork<double>.Create(NetworkCases.All[name], seed: 11);
        var network = RecurrentNetwork<float>.Create(NetworkCases.All[name], seed: 11);
        var inputs = NetworkCases.Random<float>(6 * 3 * 2, 1, 2);

        var actual = network.Forward(inputs, 6, 3).Outputs;

        var expected = wide.Forward(Array.ConvertAll(inputs, v => (double)v), 6, 3).Outputs;
        AssertClose(expected, Array.ConvertAll(actual, v => (double)v), 1e-6);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Every_gradient_is_the_difference_quotient(string name)
    {
        var options = NetworkCases.All[name];
        var loss = NetworkCases.LossFor(options.Head);
        AssertGradient(options, loss);
    }

    [Theory]
    [InlineData(LossKind.MeanSquared)]
    [InlineData(LossKind.MeanAbsolute)]
    [InlineData(LossKind.Huber)]
    public void So_is_that_of_every_regression_loss(LossKind kind) =>
        AssertGradient(NetworkCases.All["Gru"], new LossOptions { Kind = kind, HuberDelta = 0.4 });

    [Fact]
    public void A_gradient_ends_at_the_carried_state()
    {
        var layer = NetworkCases.Layer(CellKind.Lstm, 3) with { Stateful = true, Peepholes = true };
        AssertGradient(new NetworkOptions { Inputs = 2, Layers = [layer], Head = new LinearHead(1) }, new LossOptions { Kind = LossKind.Huber }, carried: true);
    }

    private static void AssertGradient(NetworkOptions options, LossOptions loss, bool carried = false)
    {
        const int Steps = 5, Sequences = 3;
        var network = RecurrentNetwork<double>.Create(options, seed: 3);
        var window = NetworkCases.Window<double>(options, Steps, Sequences);
        Evaluate(network, out var gradient);
        var parameters = network.Parameters.ToArray();
        foreach (var view in network.Views)
        {
            var expected = new double[view.Length];
            for (var i = 0; i < view.Length; i++)
            {
                const double Delta = 1e-6;
                var value = parameters[view.Offset + i];
                expected[i] = (At(value + Delta) - At(value - Delta)) / (2 * Delta);
                At(value);

                double At(double candidate)
                {
                    parameters[view.Offset + i] = candidate;
                    network.SetParameters(parameters);
                    return Evaluate(network, out _);
                }
            }

            AssertClose(expected, gradient.AsSpan(view.Offset, view.Length), 1e-7, view.Name);
        }

        Assert.True(gradient.Max(Math.Abs) > 1e-3, "worth comparing");

        double Evaluate(RecurrentNetwork<double> of, out double[] into)
        {
            // A new trainer each time draws the same dropout masks.
            var trainer = new NetworkTrainer<double>(of, new TrainingOptions { Loss = loss, Seed = 4 });
            var state = of.CreateState(Sequences);
            if (carried)
            {
                NetworkCases.Random<double>(state.Hidden(0).Length, 8, 0.8).CopyTo(state.Hidden(0));
                NetworkCases.Random<double>(state.Cell(0).Length, 9, 2).CopyTo(state.Cell(0));
            }

            var result = trainer.LossAndGradient(window, state)!.Value;
            into = trainer.Gradient.ToArray();
            return result;
        }
    }

    private static void AssertClose(ReadOnlySpan<double> expected, ReadOnlySpan<double> actual, double tolerance, string what = "outputs")
    {
        Assert.Equal(expected.Length, actual.Length);
        var largest = 1e-2;
        foreach (var value in expected)
        {
            largest = Math.Max(largest, Math.Abs(value));
        }

        for (var i = 0; i < expected.Length; i++)
        {
            Assert.True(Math.Abs(expected[i] - actual[i]) <= tolerance * largest, $"{what}[{i}]: {actual[i]}, expected {expected[i]}, largest {largest}");
        }
    }
}
