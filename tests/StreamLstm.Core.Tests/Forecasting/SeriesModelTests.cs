using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Tests.Forecasting;

public sealed class SeriesModelTests
{
    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void Nothing_issued_before_a_frame_depends_on_its_value_and_its_score_not_on_learning_from_it(bool network, bool linear)
    {
        const int at = 700;
        var values = SeriesRun.Seasonal(900, 96, 1);
        var changed = values.ToArray();
        changed[at] += 25;
        var a = Run(values, network, linear);
        var b = Run(changed, network, linear);
        for (var t = 0; t < at; t++)
        {
            Assert.Equal(a.Scores[t], b.Scores[t]);
            Assert.Equal(a.Forecasts[t], b.Forecasts[t]);
        }

        // The verdict on the frame itself comes from what was issued before; only the position in its bounds differs.
        Assert.Equal((a.Scores[at].Expected, a.Scores[at].Lower, a.Scores[at].Upper), (b.Scores[at].Expected, b.Scores[at].Lower, b.Scores[at].Upper));
        Assert.True(b.Scores[at].IsAnomaly);
        Assert.NotEqual(a.Forecasts[at], b.Forecasts[at]);
    }

    [Fact]
    public void What_is_expected_is_the_one_step_median_issued_with_the_frame_before()
    {
        var run = Run(SeriesRun.Seasonal(1000, 96, 2), network: true);
        for (var t = 1; t < run.Scores.Count; t++)
            Assert.Equal(run.Median(t - 1, 1), run.Scores[t].Expected, 1e-4);
    }

    [Fact]
    public void Series_that_share_a_model_do_not_touch_each_other()
    {
        var model = new SeriesModel(SeriesRun.Plan96());
        var one = SeriesRun.Seasonal(500, 96, 3);
        var two = SeriesRun.Seasonal(500, 96, 4).Select(v => v * 1e6).ToArray();
        var (a, b) = (new SeriesRun(model, network: true), new SeriesRun(model, network: true));
        for (var t = 0; t < 500; t++)
        {
            a.Step(one[t]);
            b.Step(two[t]);
        }

        Assert.Equal(Run(one, network: true).Forecasts, a.Forecasts);
        Assert.Equal(Run(two, network: true).Forecasts, b.Forecasts);
    }

    /// <summary>Twelve series of 100 days whose noise is Student's t with three degrees of freedom, and comes in bursts: 2.4 alarms each are chosen.</summary>
    [Fact]
    public void Alarms_begin_at_the_chosen_rate_even_on_heavy_tails()
    {
        const int days = 100;
        const int settled = 40 * 96;
        const double rate = 2.5e-4;
        var alarms = 0;
        for (ulong seed = 0; seed < 12; seed++)
        {
            var random = new CounterRandom(seed, 77);
            var run = new SeriesRun(new SeriesModel(new ForecastPlan(96, 672, 4, 4, [0.05, 0.5, 0.95], rate)));
            var quiet = 0;
            for (var t = 0; t < days * 96; t++)
            {
                var wave = 10 * Math.Sin(2 * Math.PI * t / 96);
                var burst = random.Unit((ulong)(t / 12) + 1_000_000) < 0.1 ? 3 : 1;
                run.Add([100 + wave + (burst * StudentT(random, (ulong)t))]);
                var anomaly = run.Scores[^1].IsAnomaly;
                if (anomaly && quiet >= 4 && t >= settled)
                    alarms++;
                quiet = anomaly ? 0 : quiet + 1;
            }
        }

        var expected = 12 * ((days * 96) - settled) * rate;
        Assert.InRange(alarms, 0.5 * expected, 2 * expected);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_copied_record_goes_on_with_the_same_bits(bool linear)
    {
        var values = SeriesRun.Seasonal(600, 96, 5);
        var whole = Run(values, network: false, linear);
        var first = Run(values[..333], network: false, linear);
        var copy = new SeriesRun(new SeriesModel(SeriesRun.Plan96(linear: linear)));
        // Brings the copy's frame counter to the same place; its record is then replaced.
        copy.Add(Enumerable.Repeat(0.0, 333));
        first.Record.CopyTo(copy.Record, 0);
        copy.Add(values[333..]);
        Assert.Equal(whole.Record, copy.Record);
        Assert.Equal(whole.Forecasts[333..], copy.Forecasts[333..]);
    }

    public static TheoryData<string> Adversaries => [.. Adversarial.Keys];

    private static readonly Dictionary<string, Func<int, double>> Adversarial = new()
    {
        ["zero"] = _ => 0,
        ["constant"] = _ => 42.5,
        ["huge constant"] = _ => 1e30,
        ["denormal"] = t => 5e-324 * (t % 3),
        ["denormal in float"] = t => 1e-42 * (t % 5),
        ["a step of a million sigma"] = t => (t < 500 ? 0 : 1e6) + Math.Sin(t * 1.7),
        ["a step back from huge"] = t => (t < 500 ? 1e30 : 0) + Math.Sin(t * 1.7),
        ["alternating huge"] = t => t % 2 == 0 ? 1e30 : -1e30,
        ["alternating huge and tiny"] = t => t % 2 == 0 ? 1e30 : 1e-30,
        ["one huge spike after zeros"] = t => t == 400 ? 1e30 : 0,
        ["growing without end"] = t => Math.Exp(Math.Min(69, t * 0.07)),
        ["everything missing"] = _ => double.NaN,
        ["a single frame"] = t => t == 0 ? 7 : double.NaN,
        ["a single frame after nothing"] = t => t == 500 ? 7 : double.NaN,
        ["long gaps"] = t => t % 200 < 120 ? double.NaN : Math.Sin(t),
        ["every other frame missing"] = t => t % 2 == 0 ? double.NaN : t,
        ["the first value huge"] = t => t == 0 ? 1e30 : Math.Sin(t),
        ["constant and then a cycle"] = t => t < 300 ? 5 : Math.Sin(t * 0.065),
        ["another unit"] = t => (t < 400 ? 1 : 1000) * (10 + Math.Sin(t * 0.065)),
        ["on and off"] = t => t / 50 % 2,
        ["rarely anything"] = t => t % 211 == 0 ? 1e4 : 0,
        ["negative zero"] = t => t % 2 == 0 ? -0.0 : 0.0,
    };

    [Theory]
    [MemberData(nameof(Adversaries))]
    public void Whatever_comes_in_forecasts_are_finite_ordered_numbers(string name)
    {
        var value = Adversarial[name];
        foreach (var plan in new[] { SeriesRun.Plan96(), SeriesRun.Plan96(60, linear: true), new ForecastPlan(0, 0, 48, 4, [0.05, 0.5, 0.95], 1e-3, linear: true), new ForecastPlan(4, 28, 40, 4, [0.05, 0.5, 0.95], 1e-3, linear: true), new ForecastPlan(0, 0, 48, 4, [0.05, 0.5, 0.95], 1e-3), new ForecastPlan(4, 28, 40, 4, [0.01, 0.25, 0.5, 0.75, 0.99], 1e-3) })
        {
            foreach (var network in new[] { false, true })
            {
                var run = new SeriesRun(new SeriesModel(plan), network).Add(Enumerable.Range(0, 1000).Select(value));
                run.AssertSane();
                run.Bridge(1000);
                run.Add(Enumerable.Range(0, 200).Select(value)).AssertSane();
                // The history and the season tables; integers and doubles lie before them, forecasts that are not pending after them.
                Assert.All(run.Record[plan.Scalars..plan.Pending], v => Assert.True(float.IsFinite(v), $"The record holds {v}."));
                if (!plan.HasLinear)
                    continue;
                int Floats(int inputs) => new RecursiveLeastSquares(inputs, plan.Horizon, plan.LinearSteps, 1, 1, 1).OriginsAt;
                Assert.True(Array.TrueForAll(run.Record[plan.LinearForecast..(plan.LinearWide + Floats(plan.WideInputs))], float.IsFinite), "The wide linear expert's state isn't finite.");
                Assert.True(Array.TrueForAll(run.Record[plan.LinearNarrow..(plan.LinearNarrow + Floats(ForecastPlan.NarrowInputs))], float.IsFinite), "The narrow linear expert's state isn't finite.");
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void After_a_wild_spike_forecasts_come_back_to_the_series(bool linear)
    {
        var values = SeriesRun.Seasonal(96 * 28, 96, 6);
        values[96 * 20] = 1e9;
        var run = Run(values, network: false, linear);
        Assert.True(run.Scores[96 * 20].IsAnomaly);
        var error = Enumerable.Range(96 * 22, 96 * 5).Average(t => Math.Abs(run.Scores[t].Expected - values[t]));
        Assert.InRange(error, 0, 2);
    }

    [Fact]
    public void On_a_noisy_daily_series_forecasts_beat_yesterday_and_the_interval_covers_what_it_says()
    {
        const int day = 48;
        const int k = 48;
        var values = SeriesRun.Seasonal(day * 42, day, 7);
        var run = new SeriesRun(new SeriesModel(new ForecastPlan(day, 7 * day, k, 4, [0.05, 0.5, 0.95], 1e-3))).Add(values);
        foreach (var h in new[] { 1, 4, 17, 48 })
        {
            double model = 0, naive = 0;
            int covered = 0, n = 0;
            for (var t = 14 * day; t + h < values.Length; t++, n++)
            {
                var actual = values[t + h];
                model += Math.Abs(actual - run.Median(t, h));
                naive += Math.Abs(actual - values[t + h - day]);
                var forecast = run.Forecasts[t];
                if (actual >= forecast[(h - 1) * 3] && actual <= forecast[((h - 1) * 3) + 2])
                    covered++;
            }

            Assert.True(model < naive, $"h = {h}: skill {1 - (model / naive):F3}");
            Assert.InRange(covered / (double)n, 0.85, 0.95);
        }
    }

    [Fact]
    public void Alarms_on_an_ordinary_series_are_about_as_rare_as_chosen()
    {
        const double chosen = 1e-3;
        var alarms = 0;
        const int frames = 96 * 70;
        for (var seed = 20UL; seed < 24; seed++)
            alarms += Run(SeriesRun.Seasonal(frames, 96, seed), network: false).Scores.Count(s => s.IsAnomaly);
        Assert.InRange(alarms, 0, (int)(4 * 3 * chosen * frames));
    }

    [Fact]
    public void There_is_no_score_before_there_is_a_basis()
    {
        var values = SeriesRun.Seasonal(200, 96, 8);
        for (var t = 5; t < 96; t += 13)
            values[t] += 500;
        var run = Run(values, network: false);
        Assert.All(run.Scores.Take(96), s => Assert.Equal((0f, AnomalyKind.None), (s.Score, s.Kind)));
        Assert.False(run.Scores[0].HasForecast);
        Assert.All(run.Scores.Skip(1), s => Assert.True(s.HasForecast));
    }

    [Fact]
    public void A_spike_a_dip_and_a_stuck_value_are_told_apart()
    {
        var values = SeriesRun.Seasonal(96 * 14, 96, 9);
        values[96 * 10] += 15;
        values[96 * 11] -= 15;
        for (var t = 96 * 12; t < (96 * 12) + 40; t++)
            values[t] = values[96 * 12];
        var run = Run(values, network: false);
        Assert.Equal((AnomalyKind.Spike, 1), (run.Scores[96 * 10].Kind, run.Scores[96 * 10].Direction));
        Assert.Equal((AnomalyKind.Dip, -1), (run.Scores[96 * 11].Kind, run.Scores[96 * 11].Direction));
        Assert.Contains(run.Scores.Skip(96 * 12).Take(40), s => s.Kind == AnomalyKind.Stuck);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_series_in_other_units_has_the_same_scores_and_scaled_forecasts(bool linear)
    {
        var values = SeriesRun.Seasonal(96 * 10, 96, 10);
        var plain = Run(values, network: true, linear);
        // By a power of two every rounding is the same.
        var binary = Run([.. values.Select(v => v * 1024)], network: true, linear);
        var thousand = Run([.. values.Select(v => v * 1000)], network: true, linear);
        for (var t = 0; t < values.Length; t++)
        {
            Assert.Equal(plain.Scores[t].Score, binary.Scores[t].Score);
            Assert.Equal(plain.Scores[t].Kind, binary.Scores[t].Kind);
            Assert.Equal(plain.Forecasts[t].Select(v => v * 1024), binary.Forecasts[t]);
            for (var i = 0; i < plain.Forecasts[t].Length; i++)
                Assert.Equal(plain.Forecasts[t][i], thousand.Forecasts[t][i] / 1000, 0.01);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(37)]
    [InlineData(96)]
    [InlineData(250)]
    [InlineData(672)]
    [InlineData(673)]
    [InlineData(674)]
    [InlineData(10_007)]
    public void After_a_bridge_of_any_length_the_forecast_is_in_phase_with_the_seasons(int gap)
    {
        AfterBridge(gap, linear: false);
        AfterBridge(gap, linear: true);
    }

    private static void AfterBridge(int gap, bool linear)
    {
        const int before = 96 * 21;
        var truth = SeriesRun.Seasonal(before + gap + 200, 96, 11, noise: 0.3);
        var clean = SeriesRun.Seasonal(before + gap + 200, 96, 11, noise: 0);
        var run = Run(truth[..before], network: false, linear);
        run.Bridge(gap);
        Assert.False(run.Step(truth[before + gap]).HasForecast);
        for (var h = 1; h <= 16; h++)
            Assert.Equal(clean[before + gap + h], run.Median(before, h), 2.0);
        run.Add(truth[(before + gap + 1)..]);
        // At the chosen rate one alarm in 200 frames is ordinary; a history out of phase would raise dozens.
        Assert.InRange(run.Scores.Skip(before).Count(s => s.IsAnomaly), 0, 1);
    }

    [Fact]
    public void A_bridge_before_the_first_value_changes_nothing()
    {
        var run = new SeriesRun(new SeriesModel(SeriesRun.Plan96()));
        var before = run.Record.ToArray();
        run.Bridge(5000);
        Assert.Equal(before, run.Record);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(5)]
    [InlineData(48)]
    [InlineData(96)]
    public void Each_knots_forecast_meets_the_frame_it_was_made_for(int horizon)
    {
        var plan = new ForecastPlan(48, 336, horizon, 4, [0.05, 0.5, 0.95], 1e-3);
        Assert.Equal(horizon, plan.Knots[^1]);
        Assert.Equal(plan.Knots.Order().Distinct(), plan.Knots);
        var model = new SeriesModel(plan);
        var run = new SeriesRun(model);
        var values = SeriesRun.Seasonal(48 * 12, 48, 12);
        for (var t = 0; t < values.Length; t++)
        {
            run.Step(values[t]);
            var offset = BitConverter.ToDouble(System.Runtime.InteropServices.MemoryMarshal.AsBytes(run.Record.AsSpan(plan.Doubles + 4, 2)));
            var scale = model.Scale(run.Record);
            for (var j = 0; j < plan.Knots.Length; j++)
            {
                // Where the next frame will look for the forecast that was issued h frames before it.
                var h = plan.Knots[j];
                var issued = t + 1 - h;
                if (issued < 0)
                    continue;
                var slot = plan.PendingSlot(j, t + 1);
                for (var q = 0; q < 3; q++)
                {
                    var pending = offset + (scale * run.Record[plan.PendingBounds + slot + q]);
                    Assert.Equal(run.Forecasts[issued][((h - 1) * 3) + q], pending, 0.01);
                }
            }
        }
    }

    [Theory]
    [InlineData(0, 0, 48)]
    [InlineData(0, 0, 96)]
    [InlineData(4, 28, 96)]
    [InlineData(8, 0, 50)]
    public void Simple_forecasts_are_judged_by_the_error_they_really_had_also_when_the_horizon_exceeds_the_seasons(int day, int week, int horizon)
    {
        var plan = new ForecastPlan(day, week, horizon, 4, [0.05, 0.5, 0.95], 1e-3);
        var run = new SeriesRun(new SeriesModel(plan)).Add(SeriesRun.Noise(4000, 13));
        var last = plan.Knots.Length - 1;
        // The difference of two independent values of unit variance: 2.
        foreach (var expert in new[] { Expert.Last, Expert.Day, Expert.Week })
        {
            if ((expert == Expert.Day && day == 0) || (expert == Expert.Week && week == 0))
                continue;
            Assert.InRange(run.Record[plan.Loss + ((int)expert * plan.Knots.Length) + last], 1.2f, 3f);
        }

        // White noise: nothing beats its mean, so the last value must have next to no weight.
        var weights = new float[plan.Knots.Length * ForecastPlan.Experts];
        Assert.True(new SeriesModel(plan).Explain(run.Record, weights, new float[weights.Length], new float[plan.Knots.Length]));
        Assert.InRange(weights[(last * ForecastPlan.Experts) + (int)Expert.Last], 0, 0.2f);
    }

    [Fact]
    public void Where_the_series_is_autoregressive_the_linear_experts_come_near_the_best_possible_error()
    {
        // z_t = 1.6 z_{t−1} − .8 z_{t−2} + ε: one step ahead nothing can do better than the variance of ε.
        var noise = SeriesRun.Noise(5000, 17);
        var values = new double[5000];
        for (var t = 2; t < values.Length; t++)
            values[t] = (1.6 * values[t - 1]) - (0.8 * values[t - 2]) + noise[t];
        var lean = OneStepError(values, noise, linear: false);
        var rich = OneStepError(values, noise, linear: true);
        Assert.InRange(rich, 0.95, 1.15);
        Assert.True(lean > 1.5 * rich, $"lean {lean:F2}, rich {rich:F2}");
    }

    private static double OneStepError(double[] values, double[] noise, bool linear)
    {
        var run = new SeriesRun(new SeriesModel(new ForecastPlan(24, 168, 8, 4, [0.05, 0.5, 0.95], 1e-3, linear))).Add(values);
        double error = 0, best = 0;
        for (var t = 2500; t < values.Length; t++)
        {
            error += Math.Pow(run.Scores[t].Expected - values[t], 2);
            best += noise[t] * noise[t];
        }

        return error / best;
    }

    [Fact]
    public void An_exploded_linear_expert_is_out_of_the_forecast_at_once()
    {
        var plan = SeriesRun.Plan96(linear: true);
        var values = SeriesRun.Seasonal(96 * 12, 96, 18);
        var run = Run(values[..^50], network: false, linear: true);
        run.Record.AsSpan(plan.LinearWide + (64 * 64), 16 * 64).Fill(1e30f);
        run.Record.AsSpan(plan.LinearNarrow + (16 * 16), 16 * 16).Fill(float.NaN);
        run.Add(values[^50..]).AssertSane();
        for (var t = values.Length - 50; t < values.Length; t++)
            Assert.Equal(values[t], run.Scores[t].Expected, 6.0);
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void A_forecasts_median_is_the_weighted_mean_of_its_experts_and_an_offset(bool network, bool linear)
    {
        var plan = SeriesRun.Plan96(24, linear);
        var run = new SeriesRun(new SeriesModel(plan), network);
        var (weights, values, offsets) = (new float[plan.Knots.Length * ForecastPlan.Experts], new float[plan.Knots.Length * ForecastPlan.Experts], new float[plan.Knots.Length]);
        Assert.False(new SeriesModel(plan).Explain(run.Record, weights, values, offsets));
        foreach (var (value, t) in SeriesRun.Seasonal(96 * 16, 96, 14).Select((v, t) => (v, t)))
        {
            run.Step(value);
            Assert.True(new SeriesModel(plan).Explain(run.Record, weights, values, offsets));
            for (var j = 0; j < plan.Knots.Length; j++)
            {
                var sum = 0.0;
                var mean = 0.0;
                for (var m = j * ForecastPlan.Experts; m < (j + 1) * ForecastPlan.Experts; m++)
                {
                    Assert.InRange(weights[m], 0, 1);
                    sum += weights[m];
                    mean += weights[m] > 0 ? weights[m] * values[m] : 0;
                }

                Assert.Equal(1, sum, 1e-5);
                Assert.Equal(run.Median(t, plan.Knots[j]), mean + offsets[j], 1e-3);
            }
        }

        Assert.Equal(linear, weights[(int)Expert.Deviation] > 0);
        if (!network)
            Assert.Equal(0, weights[(int)Expert.Recurrent]);
    }

    [Fact]
    public void The_interval_covers_what_it_says_at_every_hour_however_unlike_their_errors()
    {
        // By day errors are five times as large as at night; from 6 to 8 they are rare and huge.
        var noise = SeriesRun.Noise(96 * 200, 21);
        var values = noise.Select((e, t) => (t % 96 / 4) switch { >= 6 and < 8 => e > 1 ? 20 * e : 0.1 * e, >= 8 and < 20 => 5 * e, _ => e }).ToArray();
        var run = Run(values, network: false);
        var covered = new int[24];
        var count = new int[24];
        for (var t = 96 * 60; t < values.Length - 1; t++)
        {
            var hour = (t + 1) % 96 / 4;
            count[hour]++;
            if (values[t + 1] >= run.Forecasts[t][0] && values[t + 1] <= run.Forecasts[t][2])
                covered[hour]++;
        }

        for (var hour = 0; hour < 24; hour++)
            Assert.InRange(covered[hour] / (double)count[hour], 0.85, 0.94);
    }

    [Fact]
    public void Where_one_expert_is_exact_the_forecast_follows_it_alone()
    {
        // Any pattern that repeats every day, without noise: yesterday's value has no error.
        var pattern = SeriesRun.Noise(96, 22);
        var run = Run([.. Enumerable.Range(0, 96 * 40).Select(t => 10 * pattern[t % 96])], network: true, linear: true);
        for (var t = 96 * 35; t < (96 * 40) - 1; t++)
            Assert.Equal(10 * pattern[(t + 1) % 96], run.Median(t, 1), 0.05);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_series_that_begins_with_a_constant_is_forecast_as_well_as_one_that_does_not(bool linear)
    {
        var values = SeriesRun.Seasonal(96 * 40, 96, 23).Select(v => v - 100).ToArray();
        var late = new SeriesRun(new SeriesModel(SeriesRun.Plan96(linear: linear))).Add(Enumerable.Repeat(0.0, 96 * 4)).Add(values);
        var plain = Run(values, network: false, linear);
        double a = 0, b = 0;
        for (var t = 96 * 20; t < values.Length - 1; t++)
        {
            a += Math.Pow(values[t + 1] - late.Median(t + (96 * 4), 1), 2);
            b += Math.Pow(values[t + 1] - plain.Median(t, 1), 2);
        }

        Assert.InRange(a / b, 0.8, 1.15);
    }

    [Fact]
    public void After_a_day_far_out_the_series_is_another_one()
    {
        // The meter was exchanged for one that counts in another unit.
        var values = SeriesRun.Seasonal(96 * 30, 96, 24).Select((v, t) => t < 96 * 15 ? v : 1000 * v).ToArray();
        var run = Run(values, network: false, linear: true);
        run.AssertSane();
        for (var t = 96 * 20; t < values.Length - 1; t++)
            Assert.InRange(run.Median(t, 1) / values[t + 1], 0.85, 1.15);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(24)]
    public void A_covariate_that_runs_ahead_is_made_use_of(int horizon)
    {
        // The value follows the covariate one frame later, in size or in its square.
        var ahead = SeriesRun.Noise(6000, 25);
        var noise = SeriesRun.Noise(6000, 26);
        var values = ahead.Select((_, t) => 100 + (t == 0 ? 0 : (3 * ahead[t - 1]) + (ahead[t - 1] * ahead[t - 1])) + (0.5 * noise[t])).ToArray();
        var plan = new ForecastPlan(24, 168, horizon, 4, [0.05, 0.5, 0.95], 1e-3, linear: true, covariates: 1);
        var model = new SeriesModel(plan);
        var (target, covariate, alone) = (new SeriesRun(model), new SeriesRun(model), new SeriesRun(new SeriesModel(new ForecastPlan(24, 168, horizon, 4, [0.05, 0.5, 0.95], 1e-3, linear: true))));
        var features = new float[plan.CovariateInputs];
        for (var t = 0; t < values.Length; t++)
        {
            covariate.Covariates = features;
            covariate.Step(ahead[t]);
            model.WriteCovariate(covariate.Record, covariate.Phase(t), features);
            target.Covariates = features;
            target.Step(values[t]);
            alone.Step(values[t]);
        }

        double with = 0, without = 0;
        for (var t = 3000; t < values.Length; t++)
        {
            with += Math.Pow(target.Scores[t].Expected - values[t], 2);
            without += Math.Pow(alone.Scores[t].Expected - values[t], 2);
        }

        Assert.True(with < 0.2 * without, $"{with / 3000:F2} with, {without / 3000:F2} without.");
    }

    [Fact]
    public void Missing_frames_take_the_forecast_and_teach_nothing()
    {
        var values = SeriesRun.Seasonal(96 * 10, 96, 15);
        var run = Run(values, network: false);
        var model = new SeriesModel(SeriesRun.Plan96());
        var observed = model.Observed(run.Record);
        var expected = run.Median(values.Length - 1, 1);
        var score = run.Step(double.NaN);
        Assert.Equal(observed, model.Observed(run.Record));
        Assert.Equal((0f, AnomalyKind.None), (score.Score, score.Kind));
        Assert.Equal(expected, score.Expected, 1e-4);
    }

    [Fact]
    public void Network_inputs_stay_within_their_clip_and_are_finite()
    {
        var model = new SeriesModel(SeriesRun.Plan96());
        var run = new SeriesRun(model);
        var inputs = new float[run.Plan.Inputs];
        foreach (var value in SeriesRun.Seasonal(96 * 8, 96, 16).Select((v, t) => t % 50 == 0 ? v * 1e6 : t % 31 == 0 ? double.NaN : v))
        {
            run.Step(value);
            model.WriteInputs(run.Record, run.Phase(run.Frame - 1), double.IsNaN(value), [], inputs);
            Assert.All(inputs, v => Assert.InRange(v, -8, 8));
            Assert.Equal(double.IsNaN(value) ? 0 : 1, inputs[^1]);
        }
    }

    private static SeriesRun Run(double[] values, bool network, bool linear = false) =>
        new SeriesRun(new SeriesModel(SeriesRun.Plan96(linear: linear)), network).Add(values);

    /// <summary>z₀ / √((z₁² + z₂² + z₃²)/3) with normal z's by the central limit of twelve uniforms.</summary>
    private static double StudentT(CounterRandom random, ulong t)
    {
        Span<double> z = stackalloc double[4];
        for (var k = 0; k < 4; k++)
        {
            for (var i = 0; i < 12; i++)
                z[k] += random.Unit((t * 48) + (ulong)((12 * k) + i)) - 0.5;
        }

        return z[0] / Math.Sqrt(((z[1] * z[1]) + (z[2] * z[2]) + (z[3] * z[3])) / 3);
    }
}
