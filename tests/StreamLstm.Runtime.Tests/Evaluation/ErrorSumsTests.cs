using StreamLstm.Runtime.Evaluation;

namespace StreamLstm.Runtime.Tests.Evaluation;

public sealed class ErrorSumsTests
{
    private static readonly QuantileGrid s_grid = new([0.05, 0.25, 0.5, 0.75, 0.95]);

    [Fact]
    public void Point_errors_are_what_one_computes_by_hand()
    {
        var sums = new ErrorSums(s_grid, false);
        sums.Add(12, 10);
        sums.Add(16, 20);
        Assert.Equal(2, sums.Count);
        Assert.Equal((4 + 16) / 2.0, sums.MeanSquaredError);
        Assert.Equal(Math.Sqrt(10), sums.RootMeanSquaredError);
        Assert.Equal((2 + 4) / 2.0, sums.MeanAbsoluteError);
        Assert.Equal(100 * ((2 / 10.0) + (4 / 20.0)) / 2, sums.MeanAbsolutePercentageError!.Value, 1e-12);
    }

    [Fact]
    public void A_percentage_of_targets_around_zero_is_not_given()
    {
        var sums = new ErrorSums(s_grid, false);
        sums.Add(1, 0);
        sums.Add(1, 2);
        Assert.Null(sums.MeanAbsolutePercentageError);
    }

    [Fact]
    public void Pinball_and_crps_follow_their_formulas()
    {
        var sums = new ErrorSums(s_grid, true);
        sums.Add([1, 2, 4, 6, 9], 5);
        // max(τe, (τ − 1)e) with e = 4, 3, 1, −1, −4.
        double[] pinball = [0.05 * 4, 0.25 * 3, 0.5 * 1, 0.25 * 1, 0.05 * 4];
        Assert.Equal(pinball.Sum() / 5, sums.Pinball, 1e-12);
        // Each quantile stands for the τ nearest to its level: [0, .15], [.15, .375], [.375, .625], [.625, .85], [.85, 1].
        var crps = (0.15 * 0.15 * 4) + (((0.375 * 0.375) - (0.15 * 0.15)) * 3) + (((0.625 * 0.625) - (0.375 * 0.375)) * 1)
            + (((0.375 * 0.375) - (0.15 * 0.15)) * 1) + (0.15 * 0.15 * 4);
        Assert.Equal(crps, sums.ContinuousRankedProbabilityScore, 1e-12);
        Assert.Equal(1, sums.MeanAbsoluteError);
        Assert.Equal([0, 0, 0, 1, 1], Enumerable.Range(0, 5).Select(sums.AtOrBelow));
    }

    [Fact]
    public void The_crps_of_many_quantiles_nears_the_known_one_of_a_uniform_forecast()
    {
        // Uniform on (0, 1): CRPS(y) = y³/3 + (1 − y)³/3.
        double[] levels = [.. Enumerable.Range(1, 199).Select(i => i / 200.0)];
        var sums = new ErrorSums(new QuantileGrid(levels), true);
        sums.Add([.. levels.Select(l => (float)l)], 0.3);
        Assert.Equal((Math.Pow(0.3, 3) + Math.Pow(0.7, 3)) / 3, sums.ContinuousRankedProbabilityScore, 1e-4);
    }

    [Theory]
    [InlineData(3.0)]
    [InlineData(-7.0)]
    public void A_point_forecast_scores_as_a_distribution_of_one_point(double error)
    {
        var grid = new QuantileGrid([0.1, 0.5, 0.8]);
        var point = new ErrorSums(grid, false);
        point.Add(20, 20 + error);
        var distribution = new ErrorSums(grid, true);
        distribution.Add([20, 20, 20], 20 + error);
        Assert.Equal(distribution.Pinball, point.Pinball, 1e-12);
        Assert.Equal(distribution.ContinuousRankedProbabilityScore, point.ContinuousRankedProbabilityScore, 1e-12);
        Assert.Equal(Math.Abs(error), point.ContinuousRankedProbabilityScore, 1e-12);
    }

    [Fact]
    public void Intervals_are_symmetric_pairs_with_coverage_width_and_winkler_score()
    {
        Assert.Equal([(0, 4, 0.9), (1, 3, 0.5)], s_grid.Intervals);
        var sums = new ErrorSums(s_grid, true);
        sums.Add([1, 2, 4, 6, 9], 7);
        sums.Add([1, 2, 4, 6, 9], 0.5);
        Assert.Equal(0.5, sums.Coverage(0));
        Assert.Equal(0, sums.Coverage(1));
        Assert.Equal(8, sums.Width(0));
        Assert.Equal(4, sums.Width(1));
        // α = .1: (8 + (8 + 2/.1 · .5)) / 2; α = .5: ((4 + 2/.5 · 1) + (4 + 2/.5 · 1.5)) / 2.
        Assert.Equal((8 + 8 + 10) / 2.0, sums.Winkler(0), 1e-9);
        Assert.Equal((4 + 4 + 4 + 6) / 2.0, sums.Winkler(1), 1e-9);
    }

    [Fact]
    public void Sums_of_parts_are_the_sum_of_the_whole()
    {
        var (a, b, whole, total) = (new ErrorSums(s_grid, true), new ErrorSums(s_grid, true), new ErrorSums(s_grid, true), new ErrorSums(s_grid, true));
        for (var i = 0; i < 10; i++)
        {
            float[] quantiles = [i, i + 1, i + 2, i + 3, i + 5];
            (i % 2 == 0 ? a : b).Add(quantiles, 4.5);
            whole.Add(quantiles, 4.5);
        }

        a.AddTo(total);
        b.AddTo(total);
        Assert.Equal(whole.Count, total.Count);
        Assert.Equal(whole.MeanSquaredError, total.MeanSquaredError, 1e-12);
        Assert.Equal(whole.Pinball, total.Pinball, 1e-12);
        Assert.Equal(whole.Winkler(0), total.Winkler(0), 1e-12);
        Assert.Equal(whole.Coverage(1), total.Coverage(1), 1e-12);
    }
}
