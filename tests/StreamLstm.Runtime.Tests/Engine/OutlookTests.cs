using System.Text;
using StreamLstm.Runtime.Outlooks;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Tests.Engine;

/// <summary>Forecasts read of a covariate's future what had arrived when they were made, in its newest vintage.</summary>
public sealed class OutlookTests : IDisposable
{
    private const long Hour = 3_600_000_000;
    private static readonly byte[] Key = Encoding.UTF8.GetBytes("weather");
    private readonly TemporaryFolder _folder = new();

    private static readonly Profile Warm = new()
    {
        Name = "warm",
        HiddenSize = 4,
        HorizonSteps = 8,
        SamplesPerFrame = 1,
        Learning = false,
        Season = TimeSpan.FromHours(6),
        Channels = ["load", "temperature"],
        Covariates = ["temperature"],
        Outlooks = new Dictionary<string, string> { ["temperature"] = "weather" },
    };

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_newest_vintage_counts_whatever_the_order_of_arrival()
    {
        var table = Table();
        Assert.True(double.IsNaN(table.At(Key, 10 * Hour)));
        table.Take(Key, issued: 1 * Hour, time: 10 * Hour, 20);
        table.Take(Key, issued: 3 * Hour, time: 10 * Hour, 22);
        table.Take(Key, issued: 2 * Hour, time: 10 * Hour, 21);
        Assert.Equal(22, table.At(Key, 10 * Hour));
    }

    [Fact]
    public void A_value_holds_until_the_next_time_that_is_known_and_no_longer_than_six_hours()
    {
        var table = Table();
        table.Take(Key, 0, 10 * Hour, 20);
        table.Take(Key, 0, 13 * Hour, 23);
        Assert.Equal(20, table.At(Key, (13 * Hour) - 1));
        Assert.Equal(23, table.At(Key, (19 * Hour) - 1));
        Assert.True(double.IsNaN(table.At(Key, 19 * Hour)));
        Assert.True(double.IsNaN(table.At(Key, (10 * Hour) - 1)));
    }

    [Fact]
    public void The_mean_over_a_part_of_the_horizon_is_that_of_the_newest_vintage_at_each_of_its_steps()
    {
        var table = Table();
        for (var h = 0; h < 10; h++)
            table.Take(Key, issued: 0, time: h * Hour, h);
        table.Take(Key, issued: 2 * Hour, time: 4 * Hour, 104);
        table.Take(Key, issued: 1 * Hour, time: 4 * Hour, -104);
        for (var first = -3; first < 20; first++)
        {
            for (var count = 1; count < 9; count++)
            {
                var known = Enumerable.Range(0, count * 2).Select(i => table.At(Key, (first * Hour) + (i * Hour / 2))).Where(double.IsFinite).ToList();
                var mean = table.Mean(Key, first * Hour, Hour / 2, count * 2);
                Assert.True(known.Count == 0 ? double.IsNaN(mean) : Math.Abs(known.Average() - mean) < 1e-9);
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(48)]
    [InlineData(96)]
    [InlineData(200)]
    public void The_parts_hold_every_step_of_the_horizon_once(int horizon)
    {
        var plan = new Core.Forecasting.ForecastPlan(48, 336, horizon, 4, [0.05, 0.5, 0.95], 1e-3, covariates: 1);
        Assert.Equal(horizon, plan.CovariateParts[^1]);
        Assert.Equal(plan.CovariateParts.Distinct().Order(), plan.CovariateParts);
        Assert.True(plan.CovariateParts[0] >= 1);
    }

    [Fact]
    public void A_restored_table_is_the_one_that_was_written()
    {
        var table = Table();
        table.Take(Key, 1 * Hour, 10 * Hour, 20);
        table.Take(Key, 3 * Hour, 12 * Hour, 22);
        var w = new ByteWriter();
        table.Write(w);
        var again = Table();
        var r = new ByteReader(w.Written);
        again.Read(ref r);
        Assert.True(r.AtEnd);
        again.Take(Key, 2 * Hour, 12 * Hour, 0);
        Assert.Equal((20, 22), (again.At(Key, 10 * Hour), again.At(Key, 12 * Hour)));
    }

    [Fact]
    public async Task A_vintage_changes_no_forecast_made_before_it_arrived_and_every_one_after()
    {
        var without = await RunAsync("without", vintageAt: int.MaxValue);
        var with = await RunAsync("with", vintageAt: 200);
        Assert.Equal(without.Take(200), with.Take(200));
        Assert.NotEqual(without[201], with[201]);
    }

    [Fact]
    public async Task An_entry_without_two_numbers_is_a_dead_letter_once()
    {
        var file = new SinkFile();
        await using var engine = await RunningEngine.StartAsync(new EngineSettings { StateDirectory = _folder["bad"], Profiles = [Warm], Shards = 3 }, new ManualTimeProvider(Fleet.Start), new RecordingSink(file));
        await engine.AppendAsync(("weather", Fleet.Start, [1]));
        await engine.StopAsync();
        Assert.Contains("two values", Assert.Single(file.Records, r => r.Kind == OutputKind.DeadLetter).Json, StringComparison.Ordinal);
    }

    private static OutlookTable Table() => new([new ProfileRuntime(0, Warm)]);

    private async Task<List<string>> RunAsync(string name, int vintageAt)
    {
        var file = new SinkFile();
        await using var engine = await RunningEngine.StartAsync(new EngineSettings { StateDirectory = _folder[name], Profiles = [Warm], Shards = 2 }, new ManualTimeProvider(Fleet.Start.AddDays(-1)), new RecordingSink(file));
        for (var i = 0; i < 210; i++)
        {
            var time = Fleet.Start + (i * Fleet.Step);
            if (i == vintageAt)
                await engine.AppendAsync([.. Enumerable.Range(0, 40).Select(h => ("weather", time, new double[] { time.ToUnixTimeSeconds() + (900 * h), 35 }))]);
            await engine.AppendAsync(("meter", time, [10 + Math.Sin(i / 4.0) + (0.3 * Temperature(i)), Temperature(i)]));
        }

        await engine.StopAsync();
        return [.. file.Records.Where(r => r.Kind == OutputKind.Result).Select(r => r.Json)];
    }

    private static double Temperature(int i) => 20 + (5 * Math.Sin(i / 4.0)) + (i % 5);
}
