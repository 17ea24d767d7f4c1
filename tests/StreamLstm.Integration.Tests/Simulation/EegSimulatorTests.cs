using StreamLstm.Simulation;

namespace StreamLstm.Integration.Tests.Simulation;

public sealed class EegSimulatorTests
{
    private const int Rate = 256;

    private static readonly EegSimulationOptions s_one = new() { AlphaHz = 10, Exponent = 1.2, Seed = 3 };

    private static (double[][] Channels, IReadOnlyList<FaultLabel> Labels) Generate(EegSimulationOptions options, double seconds)
    {
        var simulator = new EegSimulator(options);
        int channels = options.Channels.Count, frames = (int)(seconds * options.Rate);
        double[][] leads = [.. options.Channels.Select(_ => new double[frames])];
        var values = new double[options.Streams * channels];
        for (int f = 0; f < frames; f++)
        {
            simulator.Next(values);
            for (int c = 0; c < channels; c++)
            {
                leads[c][f] = values[c];
            }
        }

        return (leads, simulator.Faults(0, frames));
    }

    private static FaultLabel Event(string type, double from, double to, double size = 0) =>
        new("eeg-01", s_one.Start.AddSeconds(from), s_one.Start.AddSeconds(to), type, size);

    private static double[] Between(double[] channel, double from, double to) => channel[(int)(from * Rate)..(int)(to * Rate)];

    private static double Rms(double[] x) => Math.Sqrt(x.Average(v => v * v));

    [Fact]
    public void The_same_seed_gives_the_same_bits_and_a_person_does_not_depend_on_the_others()
    {
        EegSimulationOptions options = s_one with { FaultsPerStreamDay = 3000 };
        double[][] first = Generate(options, 90).Channels;

        Assert.Equal(first, Generate(options, 90).Channels);
        Assert.Equal(first, Generate(options with { Streams = 3 }, 90).Channels);
        Assert.NotEqual(first[0], Generate(options with { Seed = 4 }, 90).Channels[0]);
    }

    [Theory]
    [InlineData(0.8)]
    [InlineData(1.2)]
    [InlineData(1.7)]
    public void The_background_falls_with_the_asked_power_of_the_frequency(double exponent)
    {
        double[][] channels = Generate(s_one with { Exponent = exponent, Channels = ["Fp1", "C3"] }, 300).Channels;

        // Without the octave around alpha; beta is a part of what is seen there.
        Assert.All(channels, channel => Assert.Equal(-exponent, new Spectrum(channel, Rate, 1024).Slope(1, 45, 7, 30), 0.2));
        Assert.InRange(Rms(channels[0]), 7, 25);
    }

    [Theory]
    [InlineData(8.5)]
    [InlineData(11)]
    public void Alpha_peaks_at_its_frequency_and_is_strongest_at_the_back(double hertz)
    {
        double[][] channels = Generate(s_one with { AlphaHz = hertz }, 300).Channels;
        Spectrum[] spectra = [.. channels.Select(channel => new Spectrum(channel, Rate, 1024))];

        Assert.All(spectra[4..], s => Assert.Equal(hertz, s.Peak(5, 30), 0.5));
        double Alpha(int channel) => spectra[channel].Power(hertz - 1.5, hertz + 1.5);
        Assert.True(Alpha(4) > 2 * Alpha(2) && Alpha(2) > 1.2 * Alpha(0));

        // The beta rhythm stands out of the falling background in front.
        double background = (spectra[0].Power(13, 15) + spectra[0].Power(30, 38)) / 10;
        Assert.True(spectra[0].Power(16, 25) / 9 > background, "beta");
    }

    [Fact]
    public void Open_eyes_block_alpha_and_little_else()
    {
        (double[][] channels, IReadOnlyList<FaultLabel> labels) = Generate(s_one with { Faults = [Event(EegEvents.AlphaBlock, 60, 120, 0.8)] }, 120);
        Spectrum open = new(Between(channels[4], 62, 120), Rate, 1024), closed = new(Between(channels[4], 0, 60), Rate, 1024);

        Assert.Equal([Event(EegEvents.AlphaBlock, 60, 120, 0.8)], labels);
        Assert.InRange(open.Power(8.5, 11.5) / closed.Power(8.5, 11.5), 0.02, 0.35);
        Assert.InRange(open.Power(2, 6) / closed.Power(2, 6), 0.6, 1.6);
    }

    [Fact]
    public void A_blink_is_a_short_wave_of_its_size_at_the_forehead()
    {
        double[][] clean = Generate(s_one, 40).Channels, with = Generate(s_one with { Faults = [Event(EegEvents.Blink, 30, 30.6, 150)] }, 40).Channels;
        double[][] blink = [.. with.Zip(clean, (a, b) => a.Zip(b, (x, y) => x - y).ToArray())];

        Assert.Equal(150, blink[0].Max(), 5.0);
        Assert.InRange(blink[2].Max(), 10, 25);
        Assert.InRange(blink[4].Max(), 0, 5);
        Assert.InRange(blink[0].Count(v => v > 75) / (double)Rate, 0.08, 0.3);
        Assert.All(blink[0].Where((_, f) => f is < 30 * Rate or > 31 * Rate), v => Assert.Equal(0, v));
    }

    [Fact]
    public void Spike_wave_discharges_repeat_three_times_a_second_everywhere()
    {
        double[][] channels = Generate(s_one with { Faults = [Event(EegEvents.SpikeWave, 30, 46, 200)] }, 60).Channels;
        Assert.All(channels, channel =>
        {
            double[] during = Between(channel, 30, 46);
            Assert.Equal(3, new Spectrum(during, Rate, 1024).Peak(1.5, 30), 0.4);
            Assert.True(Rms(during) > 2 * Rms(Between(channel, 0, 30)));
        });
        Assert.True(Rms(Between(channels[0], 30, 46)) > 1.5 * Rms(Between(channels[4], 30, 46)));
    }

    [Fact]
    public void Burst_suppression_alternates_between_silence_and_bursts()
    {
        double[][] channels = Generate(s_one with { Faults = [Event(EegEvents.BurstSuppression, 30, 90)] }, 120).Channels;
        double[] ranges = [.. Between(channels[0], 30, 90).Chunk(Rate / 2).Skip(2).Select(half => half.Max() - half.Min())];

        // Suppression is what stays within 10 µV in the terminology of the American Clinical Neurophysiology Society.
        Assert.InRange(ranges.Count(range => range < 10) / (double)ranges.Length, 0.3, 0.9);
        Assert.InRange(ranges.Count(range => range > 30) / (double)ranges.Length, 0.08, 0.6);
        Assert.All(Between(channels[0], 0, 30).Chunk(Rate / 2), half => Assert.True(half.Max() - half.Min() > 10));
    }

    [Fact]
    public void A_pop_is_a_jump_of_one_electrode_that_comes_back()
    {
        double[][] clean = Generate(s_one, 40).Channels, with = Generate(s_one with { Faults = [Event(EegEvents.ElectrodePop, 30, 32, -200)] }, 40).Channels;
        double[][] pops = [.. with.Zip(clean, (a, b) => a.Zip(b, (x, y) => x - y).ToArray()).Where(d => d.Any(v => v != 0))];

        double[] pop = Assert.Single(pops);
        Assert.Equal(-200, pop[30 * Rate], 0.2);
        Assert.Equal(0, pop[(30 * Rate) - 1]);
        Assert.Equal(-200 / Math.E, pop[(int)(30.4 * Rate)], 2.0);
    }

    [Fact]
    public void Random_events_are_of_every_kind_and_come_about_as_often_as_asked()
    {
        IReadOnlyList<FaultLabel> labels = new EegSimulator(s_one with { FaultsPerStreamDay = 60 * 24 }).Faults(0, 3 * 3600 * Rate);
        Assert.Equal(EegEvents.All.Select(kind => kind.Type).Order(), labels.Select(l => l.Type).Distinct().Order());
        Assert.InRange(labels.Count / 3.0, 45, 75);
    }

    [Fact]
    public void Impossible_options_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new EegSimulator(s_one with { AlphaHz = 20 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new EegSimulator(s_one with { Exponent = 3 }));
        Assert.Throws<ArgumentException>(() => new EegSimulator(s_one with { Channels = [] }));
    }
}
