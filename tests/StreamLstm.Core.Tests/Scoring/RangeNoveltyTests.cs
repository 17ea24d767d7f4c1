using StreamLstm.Core.Scoring;

namespace StreamLstm.Core.Tests.Scoring;

public sealed class RangeNoveltyTests
{
    [Fact]
    public void Novelty_is_the_excess_over_the_range_seen_so_far()
    {
        // Ranges before each: none, [2,2], [2,4], [2,4], [2,5], [0,5].
        Assert.Equal([0, 0, 0, 0.5, 2.0 / 3, 1], Run(0, 2, 4, 3, 5, 0, 10));
    }

    [Fact]
    public void The_range_draws_together_about_its_midpoint()
    {
        // After 0 and 8: [0, 8]. After 4 at δ = ½: [2, 6]. Then 8 lies half a range above; [3, 5] expands to [3, 8].
        // Then 0.5 lies half a range below.
        Assert.Equal([0, 0, 0, 0.5, 0.5], Run(0.5, 0, 8, 4, 8, 0.5));
    }

    [Fact]
    public void Without_width_nothing_is_news()
    {
        Assert.All(Run(3e-4, 7, 7, 7, 7), novelty => Assert.Equal(0, novelty));
    }

    [Fact]
    public void Novelty_does_not_depend_on_unit_or_origin()
    {
        Assert.Equal(Run(0.25, 1, 3, 2, 6, -4), Run(0.25, 108, 124, 116, 148, 68));
    }

    private static double[] Run(double decay, params double[] samples)
    {
        var state = new double[RangeNovelty.StateLength];
        RangeNovelty.Initialise(state);
        return [.. samples.Select(x => RangeNovelty.Update(state, x, decay))];
    }
}
