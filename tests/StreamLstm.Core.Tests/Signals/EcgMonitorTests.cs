using StreamLstm.Core.Signals;

namespace StreamLstm.Core.Tests.Signals;

public sealed class EcgMonitorTests
{
    private const double WarmUp = 30;

    [Theory]
    [InlineData(125, 70)]
    [InlineData(250, 45)]
    [InlineData(360, 80)]
    [InlineData(500, 150)]
    public void Every_beat_is_found_within_150_milliseconds_and_none_besides(double rate, double bpm)
    {
        var ecg = new SyntheticEcg(rate, 180, bpm, seed: 1);
        var found = Score(ecg, rate, ecg.Lead(1)).Where(b => b.Sample > WarmUp * rate).ToList();
        var truth = ecg.Beats.Where(b => b.Sample > WarmUp * rate && b.Sample < ecg.Length - (3 * rate)).ToList();

        Assert.All(truth, t => Assert.Contains(found, f => Math.Abs(f.Sample - t.Sample) <= 0.15 * rate));
        Assert.All(found.Where(f => f.Sample < ecg.Length - (4 * rate)), f => Assert.Contains(ecg.Beats, t => Math.Abs(f.Sample - t.Sample) <= 0.15 * rate));
        Assert.Equal(found.Count, found.DistinctBy(f => ecg.Beats.MinBy(t => Math.Abs(t.Sample - f.Sample))).Count());
    }

    [Fact]
    public void An_early_beat_of_another_shape_scores_above_the_threshold_and_ordinary_ones_do_not()
    {
        const double rate = 360;
        var ecg = new SyntheticEcg(rate, 400, 72, seed: 2, earlyEvery: 17);
        var beats = Score(ecg, rate, ecg.Lead(1)).Where(b => b.Sample > 120 * rate).ToList();
        var early = ecg.Beats.Where(t => t.Ventricular).Select(t => t.Sample).ToHashSet();
        var (v, n) = (beats.Where(IsEarly).ToList(), beats.Where(b => !IsEarly(b)).ToList());

        Assert.True(v.Count >= 15, $"{v.Count} early beats found.");
        Assert.All(v, b => Assert.True(b.Score > 1 && b.Prematurity > 1 && b.Shape > 1, $"{b}"));
        Assert.True(n.Count(b => b.Score > 1) <= n.Count / 50, $"{n.Count(b => b.Score > 1)} of {n.Count} ordinary beats score above 1.");

        bool IsEarly(Beat b) => early.Any(t => Math.Abs(t - b.Sample) <= 0.15 * rate);
    }

    [Fact]
    public void There_is_no_score_before_the_warm_up_is_over()
    {
        var ecg = new SyntheticEcg(250, 60, 70, seed: 3, earlyEvery: 5);
        Assert.All(Score(ecg, 250, ecg.Lead(1)).Take(EcgMonitor.WarmUpBeats), b => Assert.Equal(0, b.Score));
    }

    [Fact]
    public void A_lead_that_is_off_neither_hides_the_beats_of_the_other_nor_counts()
    {
        const double rate = 360;
        var ecg = new SyntheticEcg(rate, 240, 70, seed: 4);
        var (one, two) = (ecg.Lead(1), ecg.Lead(-0.6));
        Array.Fill(two, double.NaN, (int)(100 * rate), (int)(100 * rate));
        var beats = Score(ecg, rate, one, two);
        var during = beats.Where(b => b.Sample > 103 * rate && b.Sample < 197 * rate).ToList();

        Assert.All(during, b => Assert.Equal(1, b.LeadsOn));
        Assert.Equal(ecg.Beats.Count(t => t.Sample > 103 * rate && t.Sample < 197 * rate), during.Count, 2.0);
        Assert.All(beats.Where(b => b.Sample > 20 * rate && b.Sample < 99 * rate), b => Assert.Equal(2, b.LeadsOn));
    }

    [Fact]
    public void Its_state_copied_into_another_goes_on_with_the_same_bits()
    {
        var ecg = new SyntheticEcg(250, 120, 75, seed: 5, earlyEvery: 9);
        var lead = ecg.Lead(1);
        var whole = Score(ecg, 250, lead);
        var (a, b) = (new EcgMonitor(250, 1), new EcgMonitor(250, 1));
        var beats = new List<Beat>();
        for (var i = 0; i < lead.Length; i++)
        {
            if (i == 14_321)
            {
                a.Numbers.CopyTo(b.Numbers);
                a.Words.CopyTo(b.Words);
                a = b;
            }

            a.Push([lead[i]], beats);
        }

        Assert.Equal(whole, beats);
    }

    [Fact]
    public void A_constant_a_dead_or_a_wild_signal_gives_finite_scores_and_no_exception()
    {
        var random = new StreamLstm.Core.Numerics.CounterRandom(6);
        var monitor = new EcgMonitor(200, 2);
        var beats = new List<Beat>();
        for (var i = 0; i < 60_000; i++)
        {
            double[] values = (i / 10_000) switch
            {
                0 => [1, 1],
                1 => [double.NaN, double.NaN],
                2 => [1e6 * (random.Unit((ulong)i) - 0.5), 0],
                3 => [double.PositiveInfinity, i % 2],
                4 => [1e-30, -1e-30],
                _ => [Math.Sin(i), 1e9],
            };
            monitor.Push(values, beats);
        }

        Assert.All(beats, b => Assert.True(float.IsFinite(b.Score) && b.Score >= 0, $"{b}"));
    }

    [Theory]
    [InlineData(99, 1)]
    [InlineData(1001, 1)]
    [InlineData(360, 0)]
    [InlineData(360, 13)]
    public void Rates_and_leads_outside_the_limits_are_refused(double rate, int leads) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new EcgMonitor(rate, leads));

    private static List<Beat> Score(SyntheticEcg ecg, double rate, params double[][] leads)
    {
        var monitor = new EcgMonitor(rate, leads.Length);
        var beats = new List<Beat>();
        var values = new double[leads.Length];
        for (var i = 0; i < ecg.Length; i++)
        {
            for (var c = 0; c < leads.Length; c++)
                values[c] = leads[c][i];
            monitor.Push(values, beats);
        }

        return beats;
    }
}
