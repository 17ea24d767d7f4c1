using StreamLstm.Core.Forecasting;

namespace StreamLstm.Core.Tests.Forecasting;

public sealed class SeasonFinderTests
{
    [Theory]
    [InlineData(7, 1)]
    [InlineData(24, 2)]
    [InlineData(96, 1)]
    [InlineData(250, 1)]
    public void The_shortest_season_is_found_under_trend_noise_and_gaps(int season, int harmonic)
    {
        var noise = SeriesRun.Noise(season * 12, 31);
        var values = noise.Select((e, t) => t % 17 == 3
            ? double.NaN
            : (0.05 * t) + (4 * Math.Sin(2 * Math.PI * t / season)) + (2 * Math.Cos(2 * Math.PI * t * harmonic / season)) + e).ToArray();
        var found = SeasonFinder.Find(values, 1440);
        Assert.NotNull(found);
        Assert.InRange(found.Value.Frames, (int)Math.Floor(season * 0.97), (int)Math.Ceiling(season * 1.03));
        Assert.InRange(found.Value.Autocorrelation, 0.5, 1);
    }

    [Fact]
    public void A_season_of_any_shape_is_found_to_the_frame()
    {
        var pattern = SeriesRun.Noise(60, 32);
        Assert.Equal(60, SeasonFinder.Find([.. Enumerable.Range(0, 600).Select(t => pattern[t % 60])], 1440)!.Value.Frames);
    }

    public static TheoryData<string> WithoutSeason => ["noise", "constant", "line", "random walk", "missing", "short", "huge"];

    [Theory]
    [MemberData(nameof(WithoutSeason))]
    public void What_does_not_repeat_has_no_season(string name)
    {
        var noise = SeriesRun.Noise(3000, 33);
        double[] values = name switch
        {
            "noise" => noise,
            "constant" => [.. noise.Select(_ => 7.0)],
            "line" => [.. noise.Select((_, t) => 1e6 + (0.1 * t))],
            "random walk" => [.. noise.Select((_, t) => noise[..(t + 1)].Sum()).Take(400)],
            "missing" => [.. noise.Select(_ => double.NaN)],
            "short" => [1, 2, 1],
            _ => [.. noise.Select((_, t) => t % 2 == 0 ? double.MaxValue : -double.MaxValue)],
        };
        Assert.Null(SeasonFinder.Find(values, 1440));
    }
}
