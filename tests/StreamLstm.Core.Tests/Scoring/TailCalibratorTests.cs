using StreamLstm.Core.Numerics;
using StreamLstm.Core.Scoring;

namespace StreamLstm.Core.Tests.Scoring;

public sealed class TailCalibratorTests
{
    [Theory]
    [InlineData(1f, 1e-2)]
    [InlineData(1f, 1e-3)]
    [InlineData(50f, 1e-3)]
    [InlineData(0.2f, 1e-3)]
    public void The_bound_of_an_exponential_tail_is_exceeded_as_often_as_chosen(float scale, double probability)
    {
        var random = new CounterRandom(1);
        var state = Fresh();
        var ratio = TailCalibrator.LogRatio(probability);
        const int warmUp = 20_000;
        const int n = 200_000;
        var beyond = 0;
        for (var i = 0; i < warmUp + n; i++)
        {
            var x = -scale * Elementary.Log(Math.Max(1e-7f, random.Unit((ulong)i)));
            var bound = TailCalibrator.Bound(state, ratio);
            if (i >= warmUp && x > bound)
                beyond++;
            TailCalibrator.Update(state, x, bound);
        }

        Assert.InRange(beyond / (double)n, probability / 2, probability * 2);
    }

    [Fact]
    public void One_wild_value_hardly_moves_the_bound()
    {
        var random = new CounterRandom(2);
        var state = Fresh();
        var ratio = TailCalibrator.LogRatio(1e-3);
        for (var i = 0; i < 5000; i++)
            TailCalibrator.Update(state, -Elementary.Log(Math.Max(1e-7f, random.Unit((ulong)i))), TailCalibrator.Bound(state, ratio));
        var before = TailCalibrator.Bound(state, ratio);
        TailCalibrator.Update(state, 1e30f, before);
        Assert.InRange(TailCalibrator.Bound(state, ratio), before, 1.2f * before);
    }

    [Fact]
    public void The_bound_stays_positive_and_finite_when_nothing_ever_deviates()
    {
        var state = Fresh();
        var ratio = TailCalibrator.LogRatio(1e-6);
        for (var i = 0; i < 1_000_000; i++)
            TailCalibrator.Update(state, 0, TailCalibrator.Bound(state, ratio));
        Assert.InRange(TailCalibrator.Bound(state, ratio), 0.05f, 10f);
    }

    [Fact]
    public void A_rarer_alarm_has_a_higher_bound()
    {
        var state = Fresh();
        Assert.True(TailCalibrator.Bound(state, TailCalibrator.LogRatio(1e-5)) > TailCalibrator.Bound(state, TailCalibrator.LogRatio(1e-3)));
    }

    private static float[] Fresh()
    {
        var state = new float[TailCalibrator.Words];
        TailCalibrator.Initialise(state, 2.1f, 0.9f);
        return state;
    }
}
