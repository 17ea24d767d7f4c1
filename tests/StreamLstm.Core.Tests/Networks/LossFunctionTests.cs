using StreamLstm.Core.Learning.Networks;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Tests.Networks;

public class LossFunctionTests
{
    /// <summary>Values and gradients of torch.nn.functional mse_loss, l1_loss and huber_loss (delta 0.4) in double precision.</summary>
    [Theory]
    [InlineData(LossKind.MeanSquared, 2.385, new[] { -0.1, -0.05, 1.25, -0.9 })]
    [InlineData(LossKind.MeanAbsolute, 1.15, new[] { -0.25, -0.25, 0.25, -0.25 })]
    [InlineData(LossKind.Huber, 0.39625, new[] { -0.05, -0.025, 0.1, -0.1 })]
    public void Regression_losses_are_pytorchs(LossKind kind, double expected, double[] slopes)
    {
        var loss = new LossOptions { Kind = kind, HuberDelta = 0.4 };

        Check(loss, new LinearHead(4), [0.1, -0.7, 2.0, -3.0], [0.3, -0.6, -0.5, -1.2], expected, slopes);
    }

    /// <summary>torch.nn.functional.cross_entropy with weight.</summary>
    [Fact]
    public void The_weighted_cross_entropy_is_pytorchs() => Check(
        new LossOptions { Kind = LossKind.CrossEntropy, ClassWeights = [0.5, 2, 1] }, new SoftmaxHead(3),
        [0.1, -0.7, 2.0, -3.0, 0.4, 1.1], [0, 1], 1.3105997156464178,
        [-0.17541554914856478, 0.011046505834466135, 0.16436904331409863, 0.00876190094075859, -0.5374575236057278, 0.5286956226649693]);

    [Fact]
    public void The_pinball_loss_weighs_errors_by_the_level_and_is_least_at_the_quantile()
    {
        var head = new QuantileHead(1, [0.1, 0.5, 0.9]);
        var loss = new LossOptions { Kind = LossKind.Pinball };

        Check(loss, head, [1, 1, 1], [2], (0.1 + 0.5 + 0.9) / 3, [-0.1 / 3, -0.5 / 3, -0.9 / 3]);
        Check(loss, head, [1, 1, 1], [0], (0.9 + 0.5 + 0.1) / 3, [0.9 / 3, 0.5 / 3, 0.1 / 3]);
    }

    [Fact]
    public void Masked_targets_may_be_anything_and_weights_are_those_of_the_mean()
    {
        var gradient = new double[3];

        var (sum, weight) = LossFunction.Evaluate<double>(
            new LossOptions { Kind = LossKind.MeanSquared }, new LinearHead(1), [1.0, 2.0, 3.0], [0.0, double.NaN, 1.0], [0.5, 0.0, 2.0], gradient);

        Assert.Equal((8.5, 2.5), (sum, weight));
        Assert.Equal([1.0, 0.0, 8.0], gradient);
    }

    private static void Check(LossOptions loss, HeadOptions head, double[] outputs, double[] targets, double expected, double[] slopes)
    {
        var gradient = new double[outputs.Length];

        var (sum, weight) = LossFunction.Evaluate<double>(loss, head, outputs, targets, [], gradient);

        Assert.Equal(expected, sum / weight, 1e-12);
        Assert.All(slopes.Zip(gradient), pair => Assert.Equal(pair.First, pair.Second / weight, 1e-12));
    }
}
