using StreamLstm.Simulation;

namespace StreamLstm.Integration.Tests.Simulation;

public sealed class LoadSimulatorTests
{
    private const int FramesPerDay = 96;
    private const int FourWeeks = 28 * FramesPerDay;

    private static double[][] Generate(LoadSimulationOptions options, int frames)
    {
        var simulator = new LoadSimulator(options);
        var values = new double[frames][];
        for (int f = 0; f < frames; f++)
        {
            simulator.Next(values[f] = new double[options.Streams]);
        }

        return values;
    }

    private static double[] Series(double[][] frames, int stream) => [.. frames.Select(values => values[stream])];

    private static bool IsWeekend(int frame) => frame / FramesPerDay % 7 >= 5;

    private static int HourOf(int frame) => frame % FramesPerDay / 4;

    private static double Autocorrelation(double[] x, int lag)
    {
        double mean = x.Average();
        return Enumerable.Range(lag, x.Length - lag).Sum(i => (x[i] - mean) * (x[i - lag] - mean))
            / x.Sum(v => (v - mean) * (v - mean));
    }

    private static IEnumerable<int> Feeders(LoadSimulator simulator) => Enumerable.Range(0, simulator.StreamKeys.Count)
        .Where(i => simulator.StreamKeys[i].Contains("feeder", StringComparison.Ordinal));

    [Fact]
    public void Three_of_four_streams_are_households()
    {
        var simulator = new LoadSimulator(new LoadSimulationOptions { Streams = 9, KeyPrefix = "a/" });

        Assert.Equal(
            ["a/house-0001", "a/house-0002", "a/house-0003", "a/feeder-01", "a/house-0004", "a/house-0005", "a/house-0006", "a/feeder-02", "a/house-0007"],
            simulator.StreamKeys);
    }

    [Fact]
    public void The_same_seed_gives_the_same_bits_and_another_seed_other_values()
    {
        var options = new LoadSimulationOptions { Seed = 7, FaultsPerStreamDay = 0.5 };
        double[][] first = Generate(options, 400);

        Assert.Equal(first.SelectMany(v => v.Select(BitConverter.DoubleToInt64Bits)), Generate(options, 400).SelectMany(v => v.Select(BitConverter.DoubleToInt64Bits)));
        double[][] other = Generate(options with { Seed = 8 }, 400);
        Assert.All(Enumerable.Range(0, options.Streams), i => Assert.NotEqual(Series(first, i), Series(other, i)));
    }

    [Fact]
    public void Skipping_gives_the_values_of_stepping_in_both_directions()
    {
        var options = new LoadSimulationOptions { Seed = 3, FaultsPerStreamDay = 1 };
        double[][] stepped = Generate(options, 1500);
        var simulator = new LoadSimulator(options);
        var values = new double[options.Streams];

        foreach (int frame in new[] { 1400, 3, 777, 778, 96 })
        {
            simulator.SkipTo(frame);
            simulator.Next(values);
            Assert.Equal(stepped[frame], values);
            Assert.Equal(frame + 1, simulator.FrameIndex);
        }
    }

    [Fact]
    public void A_stream_and_its_faults_do_not_depend_on_the_number_of_streams()
    {
        var few = new LoadSimulationOptions { Streams = 5, Seed = 11, FaultsPerStreamDay = 0.4 };
        LoadSimulationOptions many = few with { Streams = 40 };

        Assert.Equal(Generate(few, 700), Generate(many, 700).Select(values => values[..5]));
        string[] keys = [.. new LoadSimulator(few).StreamKeys];
        Assert.Equal(new LoadSimulator(few).Faults(0, 5000), new LoadSimulator(many).Faults(0, 5000).Where(label => keys.Contains(label.Stream)));
    }

    [Fact]
    public void Feeders_repeat_daily_and_tell_weekdays_from_weekends()
    {
        var options = new LoadSimulationOptions { Streams = 48, Seed = 5 };
        double[][] frames = Generate(options, FourWeeks);

        foreach (int i in Feeders(new LoadSimulator(options)))
        {
            double[] series = Series(frames, i);
            Assert.True(Autocorrelation(series, FramesPerDay) > 0.4, $"daily autocorrelation of stream {i}");
            double Morning(bool weekend) => Enumerable.Range(0, FourWeeks).Where(f => IsWeekend(f) == weekend && HourOf(f) is 6).Average(f => series[f]);
            Assert.InRange(Morning(true) / Morning(false), 0.3, 0.97);
        }
    }

    [Fact]
    public void Homes_use_more_of_their_energy_in_the_daytime_of_weekends()
    {
        // October: little heating and cooling; homes with panels feed in at noon.
        var options = new LoadSimulationOptions { Streams = 80, Seed = 9, Start = new DateTimeOffset(2026, 9, 28, 0, 0, 0, TimeSpan.Zero) };
        double[][] frames = Generate(options, FourWeeks);
        double[][] homes = [.. Enumerable.Range(0, 80).Except(Feeders(new LoadSimulator(options))).Select(i => Series(frames, i)).Where(home => home.Min() >= 0)];
        double Daytime(bool weekend) => homes.Average(home => Enumerable.Range(0, FourWeeks).Where(f => IsWeekend(f) == weekend && HourOf(f) is >= 10 and < 16).Average(f => home[f]) / home.Average());

        Assert.True(homes.Length > 30);
        Assert.InRange(Daytime(true) / Daytime(false), 1.1, 1.8);
    }

    [Fact]
    public void Load_factors_are_those_of_feeders_and_homes()
    {
        var options = new LoadSimulationOptions { Streams = 80, Seed = 2 };
        double[][] frames = Generate(options, FourWeeks);
        var simulator = new LoadSimulator(options);
        int[] feeders = [.. Feeders(simulator)];

        double Factor(int i) => Series(frames, i).Average() / Series(frames, i).Max();
        Assert.All(feeders, i => Assert.InRange(Factor(i), 0.2, 0.8));
        double[] homes = [.. Enumerable.Range(0, 80).Except(feeders).Select(Factor)];
        Assert.All(homes, factor => Assert.InRange(factor, -0.3, 0.5));
        Assert.InRange(homes.Average(), 0.05, 0.3);
    }

    [Fact]
    public void Homes_use_a_realistic_amount_and_some_feed_in()
    {
        // Four weeks in June: without electric heating, with sun.
        var options = new LoadSimulationOptions { Streams = 80, Start = new DateTimeOffset(2026, 6, 1, 0, 0, 0, TimeSpan.Zero) };
        double[][] frames = Generate(options, FourWeeks);
        double[][] homes = [.. Enumerable.Range(0, 80).Except(Feeders(new LoadSimulator(options))).Select(i => Series(frames, i))];

        double[] withoutPanels = [.. homes.Where(home => home.Min() >= 0).Select(home => home.Average())];
        Assert.InRange(withoutPanels.Average(), 250, 800);
        Assert.InRange(homes.Count(home => home.Min() < 0) / (double)homes.Length, 0.1, 0.4);
        Assert.All(homes, home => Assert.InRange(home.Max(), 400, 16000));
    }

    [Fact]
    public void Winter_needs_more_than_summer()
    {
        double Mean(int month)
        {
            var options = new LoadSimulationOptions { Streams = 24, Start = new DateTimeOffset(2026, month, 1, 0, 0, 0, TimeSpan.Zero) };
            double[][] frames = Generate(options, 14 * FramesPerDay);
            return Feeders(new LoadSimulator(options)).Average(i => Series(frames, i).Average());
        }

        Assert.True(Mean(1) > 1.1 * Mean(6));
    }

    [Fact]
    public void A_coarser_interval_gives_the_mean_of_the_finer_ones()
    {
        var fine = new LoadSimulationOptions { Streams = 8, Interval = TimeSpan.FromMinutes(5) };
        double[][] minutes = Generate(fine, 12 * 24);
        double[][] hours = Generate(fine with { Interval = TimeSpan.FromHours(1) }, 24);

        for (int i = 0; i < fine.Streams; i++)
        {
            double[] averaged = [.. Series(minutes, i).Chunk(12).Select(hour => hour.Average())];
            double[] direct = Series(hours, i);
            double scale = averaged.Max(Math.Abs);
            Assert.All(Enumerable.Range(0, 24), h => Assert.InRange(averaged[h] - direct[h], -0.12 * scale, 0.12 * scale));
        }
    }

    [Fact]
    public void Random_faults_have_the_stated_sizes_lengths_and_distances()
    {
        var options = new LoadSimulationOptions { Streams = 16, Seed = 4, FaultsPerStreamDay = 0.5 };
        var simulator = new LoadSimulator(options);
        const int Frames = 120 * FramesPerDay;
        IReadOnlyList<FaultLabel> labels = simulator.Faults(0, Frames);

        Assert.Equal(FaultTypes.Sensor.Select(kind => kind.Type).Order(), labels.Select(label => label.Type).Distinct().Order());
        Assert.InRange(labels.Count / (16 * 120.0), 0.4, 0.6);
        Assert.Equal(labels.OrderBy(label => label.Start), labels);
        foreach (FaultLabel[] ofStream in labels.GroupBy(label => label.Stream).Select(group => group.ToArray()))
        {
            Assert.All(ofStream.Zip(ofStream.Skip(1)), pair => Assert.True(pair.Second.Start - pair.First.End >= TimeSpan.FromHours(12)));
        }

        foreach (FaultLabel label in labels)
        {
            int stream = simulator.StreamKeys.ToList().IndexOf(label.Stream);
            int first = (int)((label.Start - options.Start) / options.Interval);
            int length = (int)((label.End - label.Start) / options.Interval);
            double sigma = simulator.ResidualSigma(stream);

            // Both values are rounded to at most 100 W.
            double Moved(int f) => simulator.Value(stream, first + f) - simulator.CleanValue(stream, first + f);
            void EveryFrame(Action<int> assert) => Assert.All(Enumerable.Range(0, length), assert);
            switch (label.Type)
            {
                case FaultTypes.Spike:
                    Assert.InRange(length, 1, 2);
                    EveryFrame(f => Assert.InRange(Moved(f), (4 * sigma) - 100, (8 * sigma) + 100));
                    break;
                case FaultTypes.Dip:
                    Assert.InRange(length, 1, 2);
                    EveryFrame(f => Assert.InRange(-Moved(f), (4 * sigma) - 100, (8 * sigma) + 100));
                    break;
                case FaultTypes.LevelShift:
                    Assert.InRange(length, 48, 192);
                    EveryFrame(f => Assert.InRange(Math.Abs(Moved(f)), (2 * sigma) - 100, (4 * sigma) + 100));
                    break;
                case FaultTypes.Drift:
                    Assert.InRange(length, 24, 96);
                    EveryFrame(f => Assert.InRange(Math.Abs(Moved(f)) - (0.1 * sigma * (f + 1)), -100, 100));
                    break;
                case FaultTypes.Stuck:
                    Assert.InRange(length, 8, 32);
                    EveryFrame(f => Assert.Equal(simulator.CleanValue(stream, first - 1), simulator.Value(stream, first + f)));
                    break;
                case FaultTypes.Dropout:
                    Assert.InRange(length, 6, 24);
                    EveryFrame(f => Assert.True(double.IsNaN(simulator.Value(stream, first + f))));
                    break;
                default:
                    Assert.InRange(length, 48, 96);
                    Assert.True(label.Size == 0.5 || label.Size is >= 1.5 and <= 2);
                    EveryFrame(f => Assert.InRange(simulator.Value(stream, first + f) - (label.Size * simulator.CleanValue(stream, first + f)), -100, 100));
                    break;
            }

            Assert.Equal(simulator.CleanValue(stream, first - 1), simulator.Value(stream, first - 1));
            Assert.Equal(simulator.CleanValue(stream, first + length), simulator.Value(stream, first + length));
        }
    }

    [Fact]
    public void Faults_of_the_installation_and_of_its_use_do_what_they_say()
    {
        var options = new LoadSimulationOptions { Streams = 16, Seed = 4, FaultsPerStreamDay = 0.3, FaultTypes = [.. LoadFaults.All.Skip(7).Select(kind => kind.Type)] };
        var simulator = new LoadSimulator(options);
        IReadOnlyList<FaultLabel> labels = simulator.Faults(0, 120 * FramesPerDay);
        Assert.Equal([LoadFaults.CtRatio, LoadFaults.Schedule, LoadFaults.SwappedPhases, LoadFaults.Theft], labels.Select(label => label.Type).Distinct().Order());
        Assert.InRange(labels.Count / (16 * 120.0), 0.22, 0.38);
        foreach (FaultLabel label in labels)
        {
            int stream = simulator.StreamKeys.ToList().IndexOf(label.Stream);
            long first = simulator.FrameAtOrAfter(label.Start), end = simulator.FrameAtOrAfter(label.End);
            for (long f = first; f < end; f++)
            {
                // Two roundings to at most 100 W.
                double clean = simulator.CleanValue(stream, f);
                double expected = label.Type switch
                {
                    LoadFaults.CtRatio => clean * label.Size,
                    LoadFaults.Theft => clean < 0 ? clean : clean * (1 - label.Size),
                    LoadFaults.SwappedPhases => clean * (label.Size - (0.5 * (1 - label.Size))),
                    _ => simulator.CleanValue(stream, f + (long)Math.Round(label.Size * 4)),
                };
                Assert.Equal(expected, simulator.Value(stream, f), 51.0);
            }

            (double low, double high) = label.Type switch
            {
                LoadFaults.CtRatio => (0.25, 4),
                LoadFaults.Theft => (0.3, 0.8),
                LoadFaults.SwappedPhases => (0.2, 0.5),
                _ => (-12.0, 12),
            };
            Assert.InRange(label.Size, low, high);
        }
    }

    [Fact]
    public void Some_homes_have_a_heat_pump_that_cycles_in_the_cold()
    {
        // Minutes of a January night: the compressor alone switches by more than a kilowatt, over and over.
        var options = new LoadSimulationOptions { Streams = 160, Interval = TimeSpan.FromMinutes(1), Start = new DateTimeOffset(2026, 1, 13, 0, 0, 0, TimeSpan.Zero) };
        var simulator = new LoadSimulator(options);
        int[] homes = [.. Enumerable.Range(0, options.Streams).Except(Feeders(simulator))];
        int Switches(LoadSimulator from, int i) => Enumerable.Range(60, 240).Count(m => from.CleanValue(i, m) - from.CleanValue(i, m - 1) > 1000);
        int[] pumps = [.. homes.Where(i => Switches(simulator, i) >= 3)];
        Assert.InRange(pumps.Length / (double)homes.Length, 0.04, 0.25);

        var summer = new LoadSimulator(options with { Start = new DateTimeOffset(2026, 7, 14, 0, 0, 0, TimeSpan.Zero) });
        Assert.InRange(pumps.Count(i => Switches(summer, i) >= 3), 0, pumps.Length / 4);
    }

    [Fact]
    public void No_random_fault_begins_before_the_given_time()
    {
        var options = new LoadSimulationOptions { FaultsPerStreamDay = 1 };
        options = options with { FaultsFrom = options.Start.AddDays(20) };
        IReadOnlyList<FaultLabel> labels = new LoadSimulator(options).Faults(0, 30 * FramesPerDay);

        Assert.NotEmpty(labels);
        Assert.All(labels, label => Assert.True(label.Start >= options.FaultsFrom));
    }

    [Fact]
    public void A_given_plan_replaces_the_random_one_and_names_what_it_cannot_use()
    {
        var options = new LoadSimulationOptions { Streams = 4, FaultsPerStreamDay = 1 };
        DateTimeOffset noon = options.Start.AddHours(12);
        var spike = new FaultLabel("feeder-01", noon, noon.AddMinutes(15), FaultTypes.Spike, 5);
        var simulator = new LoadSimulator(options with { Faults = [spike] });

        Assert.Equal([spike], simulator.Faults(0, 10000));
        Assert.Empty(simulator.Faults(0, 48));
        Assert.Equal([spike], simulator.Faults(48, 49));
        Assert.InRange((simulator.Value(3, 48) - simulator.CleanValue(3, 48)) / simulator.ResidualSigma(3), 4.8, 5.2);

        ArgumentException error = Assert.Throws<ArgumentException>(() => new LoadSimulator(options with
        {
            Faults = [spike with { Stream = "nobody" }, spike with { Type = "wobble" }, spike with { End = noon }],
        }));
        Assert.Contains("nobody", error.Message, StringComparison.Ordinal);
        Assert.Contains("wobble", error.Message, StringComparison.Ordinal);
        Assert.Contains("ends before it starts", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, 15, 0)]
    [InlineData(1, 0, 0)]
    [InlineData(1, 1441, 0)]
    [InlineData(1, 15, -1)]
    public void Impossible_options_are_refused(int streams, int minutes, double faults) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new LoadSimulator(new LoadSimulationOptions
        {
            Streams = streams,
            Interval = TimeSpan.FromMinutes(minutes),
            FaultsPerStreamDay = faults,
        }));
}
