using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Signals;

namespace StreamLstm.Core.Tests.Signals;

public sealed class EegWatchTests
{
    private const int Channels = 4;

    [Theory]
    [InlineData(128)]
    [InlineData(250)]
    [InlineData(512)]
    public void There_is_about_one_finding_a_second_and_few_alarms_on_noise_with_an_alpha_rhythm(double rate)
    {
        var found = Run(rate, 300, (_, _, v) => v);
        Assert.InRange(found.Count, 290, 305);
        Assert.True(found.Take(EegWatch.WarmUpWindows).All(f => f.Finding.IsCold && f.Finding.Score == 0));
        Assert.All(found, f => Assert.Equal(1, f.Channels.Sum(c => c.Share), 1e-4f));
        Assert.InRange(found.Count(f => f.Finding.Score > 1), 0, 6);
    }

    [Fact]
    public void When_the_alpha_rhythm_goes_away_the_state_has_changed()
    {
        var found = Run(128, 200, (t, _, v) => v, alpha: t => t is > 120 and < 135 ? 1 : 12);
        Assert.Contains(found, f => f.Finding.Kind == AnomalyKind.StateChange && f.Finding.Direction < 0 && Seconds(f, 128) is > 119 and < 124);
        var (before, during) = (found.Where(f => Seconds(f, 128) is > 60 and < 119).Average(f => f.Finding.Value), found.Where(f => Seconds(f, 128) is > 122 and < 134).Average(f => f.Finding.Value));
        Assert.True(during < before - 1, $"log share of alpha {before} before, {during} during");
    }

    [Fact]
    public void A_jump_of_one_electrode_is_an_artefact_and_its_own()
    {
        var found = Run(128, 200, (t, c, v) => v + (c == 2 && t > 100 ? 300 * Math.Exp(-(t - 100) / 0.5) : 0));
        var artefact = found.First(f => f.Finding.Kind == AnomalyKind.Artefact && Seconds(f, 128) > 95);
        Assert.InRange(Seconds(artefact, 128), 99, 102);
        Assert.Equal(2, Array.IndexOf(artefact.Channels.Select(c => c.Share).ToArray(), artefact.Channels.Max(c => c.Share)));
    }

    [Fact]
    public void Much_less_power_in_all_electrodes_is_told_as_that()
    {
        var found = Run(128, 200, (t, _, v) => t is > 100 and < 110 ? 0.05 * v : v);
        Assert.Contains(found, f => f.Finding.Kind == AnomalyKind.PowerLow && Seconds(f, 128) is > 100 and < 103);
    }

    [Fact]
    public void An_electrode_that_is_off_is_told_and_takes_no_part()
    {
        var found = Run(128, 200, (t, c, v) => c == 1 && t is > 100 and < 130 ? double.NaN : v);
        var told = found.First(f => f.Finding.Kind == AnomalyKind.LeadOff);
        Assert.InRange(Seconds(told, 128), 100, 104);
        Assert.Equal(1, told.Channels[1].Share);
        Assert.All(found.Where(f => Seconds(f, 128) > 135), f => Assert.Equal(0, f.Finding.Off));
    }

    private static double Seconds((SignalFinding Finding, ChannelFinding[] Channels) f, double rate) => f.Finding.Sample / rate;

    /// <summary>Noise that is half common to the electrodes, and an alpha rhythm.</summary>
    private static List<(SignalFinding Finding, ChannelFinding[] Channels)> Run(double rate, double seconds, Func<double, int, double, double> change, Func<double, double>? alpha = null)
    {
        var watch = new EegWatch(rate, Channels);
        var findings = new Findings();
        var values = new float[Channels];
        var random = new Random(5);
        var state = new double[Channels + 1];
        for (var i = 0; i < seconds * rate; i++)
        {
            var t = i / rate;
            for (var c = 0; c <= Channels; c++)
                state[c] = (0.97 * state[c]) + (random.NextDouble() - 0.5) * 8 * Math.Sqrt(128 / rate);
            for (var c = 0; c < Channels; c++)
                values[c] = (float)change(t, c, state[c] + state[Channels] + ((alpha?.Invoke(t) ?? 12) * Math.Sin(2 * Math.PI * 10 * t)));
            watch.Push(values, findings);
        }

        return findings.All;
    }
}
