using StreamLstm.Simulation;

namespace StreamLstm.Integration.Tests.Simulation;

public sealed class SineSimulatorTests
{
    private const int PerPeriod = 96;

    private static double[] Series(SineSimulationOptions options, int frames, int stream = 0)
    {
        var simulator = new SineSimulator(options);
        return [.. Enumerable.Range(0, frames).Select(f => simulator.Value(stream, f))];
    }

    /// <summary>Amplitude and residual of the least-squares fit of a line and two sines with the given periods in frames.</summary>
    private static (double Slope, double[] Amplitudes, double Residual) Fit(double[] x, params double[] periods)
    {
        int columns = 2 + (2 * periods.Length);
        double[] Row(int t) => [1, t, .. periods.SelectMany(p => new[] { Math.Sin(2 * Math.PI * t / p), Math.Cos(2 * Math.PI * t / p) })];
        var a = new double[columns, columns + 1];
        for (int t = 0; t < x.Length; t++)
        {
            double[] row = Row(t);
            for (int i = 0; i < columns; i++)
            {
                for (int j = 0; j < columns; j++)
                {
                    a[i, j] += row[i] * row[j];
                }

                a[i, columns] += row[i] * x[t];
            }
        }

        for (int i = 0; i < columns; i++)
        {
            for (int r = 0; r < columns; r++)
            {
                double factor = r == i ? 0 : a[r, i] / a[i, i];
                for (int j = i; factor != 0 && j <= columns; j++)
                {
                    a[r, j] -= factor * a[i, j];
                }
            }
        }

        double[] b = [.. Enumerable.Range(0, columns).Select(i => a[i, columns] / a[i, i])];
        double residual = Math.Sqrt(Enumerable.Range(0, x.Length).Average(t => Math.Pow(x[t] - Row(t).Zip(b, (u, v) => u * v).Sum(), 2)));
        return (b[1], [.. Enumerable.Range(0, periods.Length).Select(i => Math.Sqrt((b[2 + (2 * i)] * b[2 + (2 * i)]) + (b[3 + (2 * i)] * b[3 + (2 * i)])))], residual);
    }

    [Fact]
    public void A_sine_is_a_sine_and_its_noise_has_the_asked_deviation()
    {
        var options = new SineSimulationOptions { Streams = 3, Noise = 0.1 };
        var (slope, amplitudes, residual) = Fit(Series(options, 40 * PerPeriod, 2), PerPeriod);

        Assert.Equal(0, slope, 1e-3);
        Assert.Equal(0.1, residual / amplitudes[0], 0.005);
        Assert.Equal(new SineSimulator(options).Sigma(2), residual, residual * 0.05);
        Assert.Equal(0, Fit(Series(options with { Noise = 0 }, 40 * PerPeriod), PerPeriod).Residual, 1e-9);
    }

    [Fact]
    public void Seasons_add_a_trend_and_a_second_season_seven_times_as_long()
    {
        double[] x = Series(new SineSimulationOptions { Streams = 1, Mixture = SineMixture.Seasons }, 70 * PerPeriod);
        var (slope, amplitudes, residual) = Fit(x, PerPeriod, 7 * PerPeriod);

        Assert.InRange(Math.Abs(slope) * PerPeriod / amplitudes[0], 0.004, 0.021);
        Assert.InRange(amplitudes[1] / amplitudes[0], 0.29, 0.71);
        Assert.Equal(0.05, residual / amplitudes[0], 0.003);
    }

    [Fact]
    public void Visits_to_the_second_regime_are_labelled_and_differ_in_level_amplitude_and_noise()
    {
        var simulator = new SineSimulator(new SineSimulationOptions { Streams = 1, Mixture = SineMixture.Regimes, Seed = 2 });
        const int Frames = 200 * PerPeriod;
        IReadOnlyList<FaultLabel> visits = simulator.Faults(0, Frames);
        Assert.All(visits, visit => Assert.Equal(SineSimulator.Regime, visit.Type));
        Assert.InRange(visits.Count, 15, 45);
        Assert.All(visits, visit => Assert.InRange((visit.End - visit.Start).TotalDays, 1, 4));

        bool[] second = [.. Enumerable.Range(0, Frames).Select(f => visits.Any(v => v.Start <= simulator.FrameTime(f) && simulator.FrameTime(f) < v.End))];
        double[] x = [.. Enumerable.Range(0, Frames).Select(f => simulator.Value(0, f))];

        // Mean by phase of the day within a regime; what remains is its noise.
        (double Level, double Amplitude, double Noise) Of(bool regime)
        {
            double[] day = [.. Enumerable.Range(0, PerPeriod).Select(p => Enumerable.Range(0, Frames).Where(f => f % PerPeriod == p && second[f] == regime).Average(f => x[f]))];
            return (day.Average(), (day.Max() - day.Min()) / 2, Math.Sqrt(Enumerable.Range(0, Frames).Where(f => second[f] == regime).Average(f => Math.Pow(x[f] - day[f % PerPeriod], 2))));
        }

        var (first, other) = (Of(false), Of(true));
        Assert.Equal(1.5, (other.Level - first.Level) / first.Amplitude, 0.1);
        Assert.Equal(0.5, other.Amplitude / first.Amplitude, 0.1);
        Assert.Equal(2, other.Noise / first.Noise, 0.2);
    }

    [Theory]
    [InlineData(SineMixture.Sine)]
    [InlineData(SineMixture.Regimes)]
    public void Faults_have_their_sizes_in_units_of_the_noise_and_scale_with_the_period(SineMixture mixture)
    {
        var options = new SineSimulationOptions
        {
            Streams = 2,
            Mixture = mixture,
            FaultsPerStreamDay = 0.5,
            Interval = TimeSpan.FromSeconds(1),
            Period = TimeSpan.FromMinutes(2),
        };
        var simulator = new SineSimulator(options);
        FaultLabel[] labels = [.. simulator.Faults(0, 100 * 120).Where(label => label.Type != SineSimulator.Regime)];
        Assert.InRange(labels.Length / 200.0, 0.4, 0.6);
        Assert.Equal(FaultTypes.Sensor.Select(kind => kind.Type).Order(), labels.Select(label => label.Type).Distinct().Order());
        foreach (FaultLabel label in labels)
        {
            int stream = simulator.StreamKeys.ToList().IndexOf(label.Stream);
            long first = simulator.FrameAtOrAfter(label.Start), length = simulator.FrameAtOrAfter(label.End) - first;
            double moved = (simulator.Value(stream, first) - simulator.CleanValue(stream, first)) / simulator.Sigma(stream);
            switch (label.Type)
            {
                case FaultTypes.Spike:
                    Assert.InRange(moved, 3.99, 8.01);
                    break;
                case FaultTypes.LevelShift:
                    Assert.InRange(Math.Abs(moved), 1.99, 4.01);
                    Assert.InRange(length, 60, 240);
                    break;
                case FaultTypes.Stuck:
                    Assert.All(Enumerable.Range(0, (int)length), f => Assert.Equal(simulator.CleanValue(stream, first - 1), simulator.Value(stream, first + f)));
                    break;
                case FaultTypes.Dropout:
                    Assert.Equal(double.NaN, moved);
                    break;
                default:
                    Assert.NotEqual(0, moved);
                    break;
            }
        }
    }

    [Fact]
    public void Impossible_options_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new SineSimulator(new SineSimulationOptions { Interval = TimeSpan.FromHours(7) }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new SineSimulator(new SineSimulationOptions { Noise = double.NaN }));
    }
}
