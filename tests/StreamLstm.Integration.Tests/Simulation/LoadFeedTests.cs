using StreamLstm.Simulation;

namespace StreamLstm.Integration.Tests.Simulation;

public sealed class LoadFeedTests
{
    private const int FramesPerDay = 96;

    private static (LoadSimulator Loads, List<(long Frame, LoadReading Reading)> Arrived, IReadOnlyList<FaultLabel> Labels) Run(
        LoadFeedOptions options, int frames, LoadSimulationOptions? loads = null)
    {
        loads ??= new LoadSimulationOptions { Streams = 24, Seed = 6 };
        var simulator = new LoadSimulator(loads);
        var feed = new LoadFeed(simulator, options, loads.Seed);
        var arrived = new List<(long, LoadReading)>();
        var readings = new List<LoadReading>();
        for (int f = 0; f < frames; f++)
        {
            readings.Clear();
            feed.Next(readings);
            arrived.AddRange(readings.Select(reading => ((long)f, reading)));
        }

        return (simulator, arrived, feed.Faults(0, frames));
    }

    [Fact]
    public void With_nothing_asked_for_the_readings_are_the_simulation()
    {
        var loads = new LoadSimulationOptions { Streams = 24, Seed = 6, FaultsPerStreamDay = 0.4 };
        var (simulator, arrived, labels) = Run(new LoadFeedOptions(), 5 * FramesPerDay, loads);
        var expected = Enumerable.Range(0, 5 * FramesPerDay).SelectMany(f => Enumerable.Range(0, 24)
            .Select(i => new LoadReading(i, simulator.FrameTime(f), simulator.Value(i, f)))).Where(reading => !double.IsNaN(reading.Value));

        Assert.Equal(expected, arrived.Select(a => a.Reading));
        Assert.Equal(simulator.Faults(0, 5 * FramesPerDay), labels);
    }

    [Fact]
    public void Clocks_drift_to_less_than_the_largest_error_and_are_set_again()
    {
        TimeSpan largest = TimeSpan.FromSeconds(90);
        var (simulator, arrived, _) = Run(new LoadFeedOptions { ClockError = largest }, 30 * FramesPerDay);
        foreach (var meter in arrived.GroupBy(a => a.Reading.Stream))
        {
            TimeSpan[] errors = [.. meter.Select(a => a.Reading.Time - simulator.FrameTime(a.Frame))];
            Assert.All(errors, error => Assert.InRange(error.Duration(), TimeSpan.Zero, largest));

            // Steady drift, but for the settings: one every one to seven days.
            double[] steps = [.. errors.Zip(errors.Skip(1), (a, b) => (b - a).TotalMilliseconds)];
            double usual = steps.Order().ElementAt(steps.Length / 2);
            Assert.InRange(steps.Count(step => Math.Abs(step - usual) > 2 + Math.Abs(usual)), Math.Abs(usual) < 1 ? 0 : 4, 30);
        }

        Assert.InRange(arrived.Max(a => (a.Reading.Time - simulator.FrameTime(a.Frame)).Duration()), largest * 0.7, largest);
    }

    [Fact]
    public void Differences_of_a_register_are_the_energy_between_its_readings_over_resets_and_rollovers()
    {
        // Feeders roll over within some weeks.
        var (simulator, arrived, _) = Run(new LoadFeedOptions { Register = true, ResetsPerStreamDay = 0.1 }, 60 * FramesPerDay);
        int resets = 0, rollovers = 0;
        foreach (var meter in arrived.GroupBy(a => a.Reading.Stream))
        {
            LoadReading[] readings = [.. meter.Select(a => a.Reading)];
            for (int f = 0; f + 1 < readings.Length; f++)
            {
                double energy = Math.Max(0, simulator.Value(meter.Key, f)) / 4, difference = readings[f + 1].Value - readings[f].Value;
                Assert.InRange(readings[f].Value, 0, LoadFeed.RolloverWattHours);
                if (difference >= -0.5)
                {
                    Assert.Equal(energy, difference, 1.001);
                }
                else if (readings[f + 1].Value == 0)
                {
                    resets++;
                }
                else
                {
                    rollovers++;
                    Assert.Equal(energy, difference + LoadFeed.RolloverWattHours, 1.001);
                }
            }
        }

        Assert.InRange(resets / (24 * 60.0), 0.06, 0.14);
        Assert.True(rollovers > 0);
    }

    [Fact]
    public void An_outage_silences_a_concentrator_and_is_labelled_only_if_its_readings_are_lost()
    {
        const int Frames = 40 * FramesPerDay;
        var (simulator, arrived, labels) = Run(new LoadFeedOptions { OutagesPerDay = 0.5 }, Frames, new LoadSimulationOptions { Streams = 30 });
        var byTime = arrived.ToDictionary(a => (a.Reading.Stream, a.Reading.Time));
        Assert.Equal([LoadFeed.Outage], labels.Select(label => label.Type).Distinct());
        var lost = labels.Select(label => (Stream: simulator.StreamKeys.ToList().IndexOf(label.Stream), label)).ToArray();
        foreach (var outage in lost.GroupBy(l => (l.Stream / LoadFeed.StreamsPerConcentrator, l.label.Start, l.label.End)))
        {
            Assert.Equal(outage.Key.Item1 < 2 ? 12 : 6, outage.Count());
        }

        int late = 0;
        for (int i = 0; i < 30; i++)
        {
            for (int f = 0; f < Frames - (6 * 4) - 1; f++)
            {
                DateTimeOffset time = simulator.FrameTime(f);
                bool labelled = lost.Any(l => l.Stream == i && l.label.Start <= time && time < l.label.End);
                Assert.Equal(!labelled, byTime.ContainsKey((i, time)));
                if (!labelled)
                {
                    late += byTime[(i, time)].Frame > f ? 1 : 0;
                    Assert.InRange(byTime[(i, time)].Frame - f, 0, 24);
                    Assert.Equal(simulator.Value(i, f), byTime[(i, time)].Reading.Value);
                }
            }
        }

        // A mean of 3.25 h in half of the outages, each.
        Assert.InRange(late / (30.0 * Frames), 0.01, 0.08);
        Assert.InRange(labels.Count / (30 * 40.0), 0.12, 0.4);
    }

    [Fact]
    public void Impossible_options_are_refused()
    {
        var simulator = new LoadSimulator(new LoadSimulationOptions());
        Assert.Throws<ArgumentOutOfRangeException>(() => new LoadFeed(simulator, new LoadFeedOptions { OutagesPerDay = 3 }, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new LoadFeed(simulator, new LoadFeedOptions { ResetsPerStreamDay = double.NaN }, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new LoadFeed(simulator, new LoadFeedOptions { ClockError = -TimeSpan.FromSeconds(1) }, 1));
    }
}
