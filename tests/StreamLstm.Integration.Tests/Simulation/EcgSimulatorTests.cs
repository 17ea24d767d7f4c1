using StreamLstm.Core.Signals;
using StreamLstm.Simulation;

namespace StreamLstm.Integration.Tests.Simulation;

/// <summary>Against what McSharry et al. 2003 state and what textbooks call normal.</summary>
public sealed class EcgSimulatorTests
{
    private static readonly EcgSimulationOptions s_one = new() { Channels = ["II"], HeartRate = 66, Seed = 5 };

    private sealed record Recording(double[][] Leads, List<(double Seconds, char Type)> Beats, IReadOnlyList<FaultLabel> Labels);

    private static Recording Generate(EcgSimulationOptions options, double seconds, int stream = 0)
    {
        var simulator = new EcgSimulator(options);
        int channels = options.Channels.Count, frames = (int)(seconds * options.Rate);
        var beats = new List<(double, char)>();
        simulator.BeatGenerated = beat =>
        {
            if (beat.Stream == simulator.StreamKeys[stream])
            {
                beats.Add(((beat.Time - options.Start).TotalSeconds, beat.Type));
            }
        };
        double[][] leads = [.. options.Channels.Select(_ => new double[frames])];
        var values = new double[options.Streams * channels];
        for (int f = 0; f < frames; f++)
        {
            simulator.Next(values);
            for (int c = 0; c < channels; c++)
            {
                leads[c][f] = values[(stream * channels) + c];
            }
        }

        return new Recording(leads, beats, simulator.Faults(0, frames));
    }

    private static FaultLabel Event(EcgSimulationOptions options, string type, double from, double to, double size = 0) =>
        new("ecg-01", options.Start.AddSeconds(from), options.Start.AddSeconds(to), type, size);

    private static double[] Intervals(Recording recording) =>
        [.. recording.Beats.Zip(recording.Beats.Skip(1), (a, b) => b.Seconds - a.Seconds)];

    /// <summary>The time around an R peak during which the deflection from the median exceeds a twentieth of the peak's.</summary>
    private static double QrsSeconds(double[] lead, double rate, double beat)
    {
        int r = (int)Math.Round(beat * rate);
        double rest = lead[(r - (int)(0.4 * rate))..(r + (int)(0.4 * rate))].Order().ElementAt((int)(0.4 * rate));
        double least = 0.05 * Math.Abs(lead[r] - rest);
        int[] beyond = [.. Enumerable.Range(r - (int)(0.1 * rate), (int)(0.25 * rate)).Where(i => Math.Abs(lead[i] - rest) > least)];
        return (beyond.Max() - beyond.Min() + 1) / rate;
    }

    [Fact]
    public void The_same_seed_gives_the_same_bits_and_a_person_does_not_depend_on_the_others()
    {
        var options = new EcgSimulationOptions { Seed = 7, FaultsPerStreamDay = 2000 };
        Recording first = Generate(options, 120);

        Assert.Equal(first.Leads, Generate(options, 120).Leads);
        Assert.Equal(first.Leads, Generate(options with { Streams = 3 }, 120).Leads);
        Assert.NotEqual(first.Leads[0], Generate(options with { Seed = 8 }, 120).Leads[0]);
        Assert.NotEqual(first.Leads[0], Generate(options with { Streams = 3 }, 120, stream: 2).Leads[0]);
    }

    [Theory]
    [InlineData(45)]
    [InlineData(72)]
    [InlineData(110)]
    public void The_detector_finds_every_beat_at_the_asked_heart_rate(double rate)
    {
        Recording recording = Generate(s_one with { HeartRate = rate, Channels = ["II", "V1"] }, 300);
        Assert.Equal(rate, 60 / Intervals(recording).Average(), rate * 0.01);

        var monitor = new EcgMonitor(360, 2);
        var found = new List<Beat>();
        for (int f = 0; f < recording.Leads[0].Length; f++)
        {
            monitor.Push([recording.Leads[0][f], recording.Leads[1][f]], found);
        }

        double[] settled = [.. recording.Beats.Select(b => b.Seconds).Where(s => s is > 10 and < 298)];
        double[] seen = [.. found.Select(b => b.Sample / 360.0).Where(s => s is > 9.9 and < 298.1)];

        // In V1 the deepest deflection is S, three hundredths after R.
        Assert.All(settled, s => Assert.Contains(seen, d => Math.Abs(d - s) < 0.06));
        Assert.InRange(seen.Length - settled.Length, 0, 1);
    }

    [Theory]
    [InlineData(0.5)]
    [InlineData(1)]
    [InlineData(4)]
    public void The_heart_rate_varies_around_a_tenth_and_a_quarter_of_a_hertz_in_the_asked_ratio(double ratio)
    {
        Recording recording = Generate(s_one with { LfHfRatio = ratio, IntervalDeviation = 0.04 }, 1800);
        double[] intervals = Intervals(recording);
        double mean = intervals.Average();
        Assert.Equal(0.04, Math.Sqrt(intervals.Average(i => (i - mean) * (i - mean))), 0.008);

        // Intervals at 4 Hz, as usual for heart rate variability; bands of the 1996 Task Force.
        var even = new List<double>();
        for (double t = recording.Beats[0].Seconds; t < recording.Beats[^2].Seconds; t += 0.25)
        {
            int next = recording.Beats.FindIndex(b => b.Seconds > t);
            (double a, double b) = (recording.Beats[next - 1].Seconds, recording.Beats[next].Seconds);
            double share = (t - a) / (b - a);
            even.Add((intervals[next - 1] * (1 - share)) + (intervals[Math.Min(next, intervals.Length - 1)] * share));
        }

        var spectrum = new Spectrum(even, 4, 1024);
        Assert.Equal(0.1, spectrum.Peak(0.04, 0.15), 0.025);
        Assert.Equal(0.25, spectrum.Peak(0.15, 0.4), 0.03);
        Assert.InRange(spectrum.Power(0.04, 0.15) / spectrum.Power(0.15, 0.4) / ratio, 0.75, 1.6);
        Assert.True(spectrum.Power(0.08, 0.12) > 5 * spectrum.Power(0.15, 0.19));
    }

    [Fact]
    public void A_sinus_beat_is_narrow_and_a_ventricular_one_wide_early_and_followed_by_a_full_pause()
    {
        EcgSimulationOptions options = s_one with { IntervalDeviation = 0.01, Faults = [.. Enumerable.Range(1, 8).Select(i => Event(s_one, EcgEvents.Pvc, 20 * i, (20 * i) + 1))] };
        Recording recording = Generate(options, 180);
        double[] intervals = Intervals(recording);
        int[] early = [.. Enumerable.Range(0, recording.Beats.Count - 1).Where(i => recording.Beats[i].Type == 'V')];

        Assert.Equal(8, early.Length);
        foreach (int i in early)
        {
            Assert.InRange(QrsSeconds(recording.Leads[0], 360, recording.Beats[i].Seconds), 0.12, 0.22);
            Assert.InRange(QrsSeconds(recording.Leads[0], 360, recording.Beats[i - 2].Seconds), 0.07, 0.12);
            Assert.InRange(intervals[i - 1] / intervals[i - 2], 0.5, 0.8);
            Assert.Equal(2, (intervals[i - 1] + intervals[i]) / intervals[i - 2], 0.1);
            Assert.Single(recording.Labels, l => l.Type == EcgEvents.Pvc
                && l.Start < options.Start.AddSeconds(recording.Beats[i].Seconds) && l.End > options.Start.AddSeconds(recording.Beats[i].Seconds));
        }

        Assert.Equal(8, recording.Labels.Count);
    }

    [Fact]
    public void The_monitor_ranks_ventricular_beats_above_sinus_beats()
    {
        EcgSimulationOptions options = s_one with { Channels = ["II", "V1"], HeartRate = null, FaultsPerStreamDay = 120 * 24, FaultTypes = [EcgEvents.Pvc, EcgEvents.BaselineWander] };
        Recording recording = Generate(options, 900);
        var monitor = new EcgMonitor(360, 2);
        var found = new List<Beat>();
        for (int f = 0; f < recording.Leads[0].Length; f++)
        {
            monitor.Push([recording.Leads[0][f], recording.Leads[1][f]], found);
        }

        // The first minute teaches it the usual forms.
        float Score(double seconds) => found.Where(b => Math.Abs((b.Sample / 360.0) - seconds) < 0.1).Select(b => b.Score).DefaultIfEmpty(0).Max();
        float[] ventricular = [.. recording.Beats.Where(b => b is { Type: 'V', Seconds: > 60 and < 890 }).Select(b => Score(b.Seconds))];
        float[] sinus = [.. recording.Beats.Where(b => b is { Type: 'N', Seconds: > 60 and < 890 }).Select(b => Score(b.Seconds))];
        Assert.True(ventricular.Length > 5 && sinus.Length > 500);
        double auroc = ventricular.Average(v => sinus.Average(n => v > n ? 1 : v == n ? 0.5 : 0));
        Assert.InRange(auroc, 0.99, 1);
    }

    [Fact]
    public void An_atrial_beat_is_early_and_narrow_and_the_rhythm_starts_again_from_it()
    {
        EcgSimulationOptions options = s_one with { IntervalDeviation = 0.01, Faults = [Event(s_one, EcgEvents.Apc, 20, 21), Event(s_one, EcgEvents.Apc, 40, 41)] };
        Recording recording = Generate(options, 60);
        double[] intervals = Intervals(recording);
        int[] early = [.. Enumerable.Range(0, recording.Beats.Count - 1).Where(i => recording.Beats[i].Type == 'A')];

        Assert.Equal(2, early.Length);
        Assert.All(early, i =>
        {
            Assert.InRange(QrsSeconds(recording.Leads[0], 360, recording.Beats[i].Seconds), 0.07, 0.12);
            Assert.InRange(intervals[i - 1] / intervals[i - 2], 0.5, 0.8);
            Assert.Equal(1, intervals[i] / intervals[i - 2], 0.1);
        });
    }

    [Fact]
    public void Fibrillation_is_irregular_and_has_no_P_waves_and_rates_are_those_of_the_plan()
    {
        EcgSimulationOptions options = s_one with
        {
            IntervalDeviation = 0.02,
            Faults = [Event(s_one, EcgEvents.AtrialFibrillation, 30, 120, 110), Event(s_one, EcgEvents.Bradycardia, 150, 190, 36), Event(s_one, EcgEvents.Tachycardia, 220, 260, 150)],
        };
        Recording recording = Generate(options, 280);
        double[] intervals = Intervals(recording);
        (double Mean, double Deviation) During(double from, double to)
        {
            double[] within = [.. intervals.Where((_, i) => recording.Beats[i].Seconds > from && recording.Beats[i + 1].Seconds < to)];
            double mean = within.Average();
            return (mean, Math.Sqrt(within.Average(v => (v - mean) * (v - mean))) / mean);
        }

        (double mean, double deviation) = During(33, 119);
        Assert.Equal(60 / 110.0, mean, 0.04);
        Assert.InRange(deviation, 0.15, 0.3);
        Assert.InRange(During(0, 30).Deviation, 0.01, 0.04);
        Assert.Equal(60 / 36.0, During(153, 189).Mean, 0.05);
        Assert.Equal(60 / 150.0, During(223, 259).Mean, 0.02);

        // The mean over many beats leaves of the last quarter of the interval only what is bound to the beat.
        double PWave(double from, double to)
        {
            double[] beats = [.. recording.Beats.Select(b => b.Seconds).Where(s => s > from && s < to)];
            double At(double before) => beats.Average(b => recording.Leads[0][(int)Math.Round((b - before) * 360)]);
            return At(0.165) - ((At(0.24) + At(0.1)) / 2);
        }

        Assert.Equal(0.15, PWave(2, 28), 0.05);
        Assert.Equal(0, PWave(33, 119), 0.04);
        Assert.Equal([EcgEvents.AtrialFibrillation, EcgEvents.Bradycardia, EcgEvents.Tachycardia], recording.Labels.Select(l => l.Type));
    }

    [Fact]
    public void In_an_asystole_nothing_beats_and_its_label_reaches_from_beat_to_beat()
    {
        Recording recording = Generate(s_one with { Faults = [Event(s_one, EcgEvents.Asystole, 30, 36)] }, 60);
        FaultLabel label = Assert.Single(recording.Labels);
        (double from, double to) = ((label.Start - s_one.Start).TotalSeconds, (label.End - s_one.Start).TotalSeconds);

        Assert.InRange(to - from, 6, 8);
        Assert.DoesNotContain(recording.Beats, b => b.Seconds > from + 0.01 && b.Seconds < to - 0.01);
        double[] still = recording.Leads[0][(int)((from + 1) * 360)..(int)((to - 0.4) * 360)];
        Assert.InRange(still.Max() - still.Min(), 0, 0.2);
    }

    [Fact]
    public void Artefacts_lie_on_the_same_heart_beats_within_their_labels_and_in_their_bands()
    {
        EcgSimulationOptions clean = s_one with { Channels = ["II", "V2", "V5"] };
        double[][] plain = Generate(clean, 130).Leads;
        double[][] Disturbance(string type, double size)
        {
            Recording recording = Generate(clean with { Faults = [Event(clean, type, 60, 100, size)] }, 130);
            Assert.Equal([Event(clean, type, 60, 100, size)], recording.Labels);
            double[][] difference = [.. recording.Leads.Zip(plain, (a, b) => a.Zip(b, (x, y) => x - y).ToArray())];
            Assert.All(difference, lead => Assert.All(lead.Where((_, f) => f is < 60 * 360 or >= 100 * 360), v => Assert.Equal(0, v)));
            return [.. difference.Select(lead => lead[(60 * 360)..(100 * 360)])];
        }

        foreach ((string type, double size, double from, double to) in new[] { (EcgEvents.BaselineWander, 1.0, 0.1, 0.4), (EcgEvents.MainsHum, 0.3, 49, 51), (EcgEvents.Motion, 1, 0.8, 8.2) })
        {
            Assert.All(Disturbance(type, size), lead =>
            {
                // Half a mean square of a sine and more for the others, at half to full height.
                Assert.InRange(Math.Sqrt(lead.Average(v => v * v)) / size, 0.25, 1.3);
                var spectrum = new Spectrum(lead, 360, 8192);
                Assert.True(spectrum.Power(from, to) > 0.8 * spectrum.Power(0, 180), type);
            });
        }

        Recording off = Generate(clean with { Faults = [Event(clean, EcgEvents.LeadOff, 60, 100, -1)] }, 130);
        bool[] atRail = [.. off.Leads.Select(lead => lead[(60 * 360)..(100 * 360)].All(v => v == -5))];
        Assert.Single(atRail, true);
        Assert.Equal(plain.Where((_, c) => !atRail[c]), off.Leads.Where((_, c) => !atRail[c]));
    }

    [Fact]
    public void Limb_leads_obey_Einthoven_and_Goldberger()
    {
        double[][] leads = Generate(s_one with { Channels = ["I", "II", "III", "aVR", "aVL", "aVF"] }, 20).Leads;
        for (int f = 0; f < leads[0].Length; f++)
        {
            // Each lead has its own noise.
            Assert.Equal(leads[1][f], leads[0][f] + leads[2][f], 0.1);
            Assert.Equal(0, leads[3][f] + leads[4][f] + leads[5][f], 0.1);
        }
    }

    [Fact]
    public void Random_events_are_of_every_kind_keep_their_distance_and_come_about_as_often_as_asked()
    {
        const double Hours = 1.5;
        Recording recording = Generate(s_one with { Rate = 120, FaultsPerStreamDay = 60 * 24 }, Hours * 3600);
        Assert.Equal(EcgEvents.All.Select(kind => kind.Type).Order(), recording.Labels.Select(l => l.Type).Distinct().Order());
        Assert.InRange(recording.Labels.Count / Hours, 40, 80);
        Assert.Equal(recording.Labels.OrderBy(l => l.Start), recording.Labels);
        Assert.All(recording.Labels.Zip(recording.Labels.Skip(1)), pair => Assert.True(pair.Second.Start > pair.First.End));
    }

    [Fact]
    public void Impossible_options_are_refused()
    {
        foreach (EcgSimulationOptions options in new[]
        {
            s_one with { Streams = 0 }, s_one with { Rate = 50 }, s_one with { HeartRate = 300 }, s_one with { LfHfRatio = 0 }, s_one with { FaultsPerStreamDay = -1 }, s_one with { MainsHz = 400 },
        })
        {
            Assert.Throws<ArgumentOutOfRangeException>(() => new EcgSimulator(options));
        }

        Assert.Throws<ArgumentException>(() => new EcgSimulator(s_one with { Channels = ["II", "II"] }));
        Assert.Throws<ArgumentException>(() => new EcgSimulator(s_one with { Channels = ["V9"] }));
        Assert.Throws<ArgumentException>(() => new EcgSimulator(s_one with { FaultsPerStreamDay = 1, FaultTypes = ["wobble"] }));
    }
}
