using StreamLstm.Core.Forecasting;

namespace StreamLstm.Core.Tests.Forecasting;

public sealed class ForecastPlanTests
{
    [Theory]
    [InlineData(1, new[] { 1 })]
    [InlineData(2, new[] { 1, 2 })]
    [InlineData(3, new[] { 1, 2, 3 })]
    [InlineData(5, new[] { 1, 2, 4, 5 })]
    [InlineData(24, new[] { 1, 2, 4, 8, 16, 24 })]
    [InlineData(33, new[] { 1, 2, 4, 8, 16, 24, 33 })]
    [InlineData(48, new[] { 1, 2, 4, 8, 16, 24, 48 })]
    [InlineData(96, new[] { 1, 2, 4, 8, 16, 24, 48, 96 })]
    [InlineData(144, new[] { 1, 2, 4, 8, 24, 48, 96, 144 })]
    public void Knots_are_dense_at_first_and_end_at_the_horizon(int horizon, int[] knots) => Assert.Equal(knots, Plan(horizon: horizon).Knots);

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(5)]
    [InlineData(48)]
    [InlineData(96)]
    public void Every_step_lies_between_its_knots(int horizon)
    {
        var plan = Plan(horizon: horizon);
        for (var h = 1; h <= horizon; h++)
        {
            var (below, fraction) = (plan.Below[h], plan.Fraction[h]);
            var upper = plan.Knots[Math.Min(below + 1, plan.Knots.Length - 1)];
            Assert.Equal(h, plan.Knots[below] + (fraction * (upper - plan.Knots[below])), 1e-3);
            Assert.InRange(fraction, 0, 0.9999f);
        }
    }

    [Theory]
    [InlineData(96, 672, 96)]
    [InlineData(4, 28, 96)]
    [InlineData(0, 0, 200)]
    [InlineData(1440, 0, 2000)]
    public void History_reaches_back_to_every_value_a_forecast_is_compared_with(int day, int week, int horizon)
    {
        var plan = Plan(day, week, horizon);
        Assert.True(plan.RingLength > horizon);
        Assert.True(plan.RingLength > ForecastPlan.SeasonLag(day, horizon));
        Assert.True(plan.RingLength > ForecastPlan.SeasonLag(week, horizon));
    }

    [Theory]
    [InlineData(96, 500, 8, 4, new[] { 0.5 }, 1e-3)]
    [InlineData(-1, 0, 8, 4, new[] { 0.5 }, 1e-3)]
    [InlineData(0, 7, 8, 4, new[] { 0.5 }, 1e-3)]
    [InlineData(96, 672, 0, 4, new[] { 0.5 }, 1e-3)]
    [InlineData(96, 672, 8, 0, new[] { 0.5 }, 1e-3)]
    [InlineData(96, 672, 8, 4, new[] { 0.1, 0.9 }, 1e-3)]
    [InlineData(96, 672, 8, 4, new[] { 0.5, 0.1 }, 1e-3)]
    [InlineData(96, 672, 8, 4, new[] { 0.5, 1.0 }, 1e-3)]
    [InlineData(96, 672, 8, 4, new[] { 0.5 }, 0.0)]
    [InlineData(96, 672, 8, 4, new[] { 0.5 }, 0.2)]
    public void What_makes_no_sense_is_refused(int day, int week, int horizon, int hidden, double[] quantiles, double alarms) =>
        Assert.ThrowsAny<ArgumentException>(() => new ForecastPlan(day, week, horizon, hidden, quantiles, alarms));

    [Theory]
    [InlineData(24, 168, 48)]
    [InlineData(96, 672, 96)]
    [InlineData(4, 28, 40)]
    [InlineData(0, 0, 200)]
    [InlineData(1440, 0, 60)]
    [InlineData(2, 14, 1)]
    public void Linear_experts_read_at_most_64_inputs_of_the_history_and_learn_at_most_48_steps(int day, int week, int horizon)
    {
        var plan = new ForecastPlan(day, week, horizon, 4, [0.05, 0.5, 0.95], 1e-3, linear: true);
        Assert.InRange(plan.WideInputs, 10, 64);
        Assert.All(plan.LinearLags, lag => Assert.InRange(lag, 0, plan.RingLength - 1));
        Assert.InRange(plan.LinearDeviationLags.Length, 5, ForecastPlan.NarrowInputs - 3);
        Assert.InRange(plan.LinearSteps.Length, 1, 48);
        Assert.Equal((1, horizon), (plan.LinearSteps[0], plan.LinearSteps[^1]));
        Assert.Equal(plan.LinearSteps.Order().Distinct(), plan.LinearSteps);
    }

    [Theory]
    [InlineData(24, 168, 48, false, 7.4)]
    [InlineData(24, 168, 48, true, 43.2)]
    [InlineData(96, 672, 96, false, 14.2)]
    [InlineData(96, 672, 96, true, 66.7)]
    public void A_record_is_as_large_as_documented(int day, int week, int horizon, bool linear, double kilobytes)
    {
        var plan = new ForecastPlan(day, week, horizon, 32, [0.05, 0.5, 0.95], 1e-3, linear);
        Assert.Equal(kilobytes, plan.RecordWords * 4 / 1024.0, 0.1);
    }

    [Fact]
    public void Skill_and_coverage_are_shares_over_the_same_targets()
    {
        var sums = new SkillSums(2);
        Assert.Null(sums.Skill(0));
        Assert.Null(sums.TotalCoverage);
        sums.Add(0, 1, 4, true);
        sums.Add(0, 1, 0, false);
        sums.Add(1, 3, 2, true);
        Assert.Equal(0.5, sums.Skill(0));
        Assert.Equal(0.5, sums.Coverage(0));
        Assert.Equal(-0.5, sums.Skill(1));
        Assert.Equal(1 - (5 / 6.0), sums.TotalSkill!.Value, 1e-12);
        var total = new SkillSums(2);
        sums.AddTo(total);
        sums.AddTo(total);
        Assert.Equal((4L, 0.5), (total.Count(0), total.Skill(0)));
        total.Clear();
        Assert.Null(total.TotalSkill);
    }

    private static ForecastPlan Plan(int day = 96, int week = 672, int horizon = 16) => new(day, week, horizon, 4, [0.05, 0.5, 0.95], 1e-3);
}
