using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Signals;

namespace StreamLstm.Core.Tests.Signals;

public sealed class EcgWatchTests
{
    private const double Rate = 250;

    [Fact]
    public void Every_beat_gives_one_finding_with_its_interval_and_shares_that_add_up_to_one()
    {
        var ecg = new SyntheticEcg(Rate, 240, 72, seed: 1, earlyEvery: 23);
        var found = Run([ecg.Lead(1), ecg.Lead(-0.5)]);
        var beats = found.Where(f => f.Finding.Sample == Math.Floor(f.Finding.Sample)).ToList();
        Assert.InRange(beats.Count, ecg.Beats.Count - 14, ecg.Beats.Count);
        Assert.All(found, f => Assert.Equal(1, f.Channels.Sum(c => c.Share), 1e-5f));
        Assert.All(beats.Skip(40).Where(f => f.Finding.Kind == AnomalyKind.None), f => Assert.InRange(f.Finding.Value, 0.5, 1.3));
        var early = ecg.Beats.Where(b => b.Ventricular && b.Sample > 60 * Rate && b.Sample < 235 * Rate).ToList();
        Assert.True(early.Count >= 5);
        Assert.All(early, e => Assert.Contains(beats, f => Math.Abs(f.Finding.Sample - e.Sample) < 0.15 * Rate && f.Finding.Kind == AnomalyKind.Ectopic));
        Assert.DoesNotContain(found, f => f.Finding.Kind is AnomalyKind.Irregular or AnomalyKind.RateHigh or AnomalyKind.RateLow or AnomalyKind.LeadOff or AnomalyKind.Pause);
    }

    [Fact]
    public void A_pause_is_told_while_it_lasts()
    {
        var ecg = new SyntheticEcg(Rate, 240, 72, seed: 2);
        var lead = ecg.Lead(1);
        var noise = new Random(1);
        for (var i = (int)(150 * Rate); i < 158 * Rate; i++)
            lead[i] = 0.02 * noise.NextDouble();
        var pause = Run([lead]).First(f => f.Finding.Kind == AnomalyKind.Pause);
        Assert.InRange(pause.Finding.Sample / Rate, 152, 154);
        Assert.True(double.IsNaN(pause.Finding.Value));
    }

    [Theory]
    [InlineData(130, AnomalyKind.RateHigh)]
    [InlineData(40, AnomalyKind.RateLow)]
    public void A_rate_far_from_the_usual_one_is_an_anomaly(double bpm, AnomalyKind kind)
    {
        var (before, after) = (new SyntheticEcg(Rate, 120, 72, seed: 3), new SyntheticEcg(Rate, 40, bpm, seed: 4));
        var found = Run([[.. before.Lead(1), .. after.Lead(1)]]);
        Assert.DoesNotContain(found, f => f.Finding.Sample < 119 * Rate && f.Finding.Kind is AnomalyKind.RateHigh or AnomalyKind.RateLow);
        Assert.Contains(found, f => f.Finding.Sample is > 120 * Rate and < 145 * Rate && f.Finding.Kind == kind);
    }

    [Theory]
    [InlineData(double.NaN)]
    [InlineData(5)]
    public void A_lead_that_comes_off_is_told_within_two_seconds_and_is_on_again_when_it_returns(double at)
    {
        var ecg = new SyntheticEcg(Rate, 240, 72, seed: 5);
        var (one, two) = (ecg.Lead(1), ecg.Lead(0.8));
        Array.Fill(two, at, (int)(100 * Rate), (int)(30 * Rate));
        var found = Run([one, two]);
        var told = found.First(f => f.Finding.Kind == AnomalyKind.LeadOff);
        Assert.InRange(told.Finding.Sample / Rate, 100, 102);
        Assert.Equal([0f, 1f], told.Channels.Select(c => c.Share));
        Assert.All(found.Where(f => f.Finding.Sample > 103 * Rate && f.Finding.Sample < 129 * Rate), f => Assert.Equal(1, f.Finding.Off));
        Assert.All(found.Where(f => f.Finding.Sample > 133 * Rate), f => Assert.Equal(0, f.Finding.Off));
        Assert.InRange(found.Count(f => f.Finding.Sample > 140 * Rate && f.Finding.Score > 1), 0, 3);
    }

    [Fact]
    public void A_copy_of_its_state_goes_on_with_the_same_bits()
    {
        var ecg = new SyntheticEcg(Rate, 200, 72, seed: 6, earlyEvery: 11);
        var lead = ecg.Lead(1);
        var whole = new EcgWatch(Rate, 1);
        var all = new Findings();
        var rest = new Findings();
        EcgWatch? copy = null;
        for (var i = 0; i < lead.Length; i++)
        {
            if (i == 30_000)
            {
                copy = new EcgWatch(Rate, 1);
                whole.Numbers.CopyTo(copy.Numbers);
                whole.MoreNumbers.CopyTo(copy.MoreNumbers);
                whole.Words.CopyTo(copy.Words);
                whole.MoreWords.CopyTo(copy.MoreWords);
                all.All.Clear();
            }

            whole.Push([(float)lead[i]], all);
            copy?.Push([(float)lead[i]], rest);
        }

        Assert.NotEmpty(all.All);
        Assert.Equal(all.All.Select(f => f.Finding), rest.All.Select(f => f.Finding));
        Assert.Equal(whole.Numbers.ToArray(), copy!.Numbers.ToArray());
    }

    [Fact]
    public void Upside_down_leads_are_scored_as_others()
    {
        var ecg = new SyntheticEcg(Rate, 240, 72, seed: 7, earlyEvery: 19);
        var (up, down) = (Run([ecg.Lead(1)]), Run([ecg.Lead(-1)]));
        Assert.Equal(up.Select(f => f.Finding.Kind), down.Select(f => f.Finding.Kind));
    }

    private static List<(SignalFinding Finding, ChannelFinding[] Channels)> Run(double[][] leads)
    {
        var watch = new EcgWatch(Rate, leads.Length);
        var findings = new Findings();
        var values = new float[leads.Length];
        for (var i = 0; i < leads[0].Length; i++)
        {
            for (var c = 0; c < leads.Length; c++)
                values[c] = (float)leads[c][i];
            watch.Push(values, findings);
        }

        return findings.All;
    }
}

internal sealed class Findings : ISignalReceiver
{
    public List<(SignalFinding Finding, ChannelFinding[] Channels)> All { get; } = [];

    public void OnFinding(in SignalFinding finding, ReadOnlySpan<ChannelFinding> channels) => All.Add((finding, channels.ToArray()));
}
