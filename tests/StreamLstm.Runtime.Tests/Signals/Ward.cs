using StreamLstm.Core.Numerics;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Runtime.Tests.Signals;

/// <summary>
/// A few signals with everything in them that reality has: early wide beats, a pause, a lead that comes off, packets that are lost, late,
/// repeated, out of order, of another rate or another number of leads, a stream that falls silent, one that sends single samples. A tenth of a
/// second at a time; two electrocardiograms with two leads at 250 Hz, an electroencephalogram with three electrodes at 128 Hz, and a meter.
/// </summary>
internal static class Ward
{
    public const int EcgRate = 250;
    public const int EegRate = 128;
    public static readonly DateTimeOffset Start = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    public static readonly IReadOnlyList<Profile> Profiles =
    [
        new() { Name = "ecg", Select = "bed-*", Signal = SignalKind.Ecg, Rate = EcgRate, Channels = ["I", "II"], AllowedLateness = TimeSpan.FromMilliseconds(500), MaxWait = TimeSpan.FromSeconds(10), ValidMin = -10, ValidMax = 10 },
        new() { Name = "eeg", Select = "head-*", Signal = SignalKind.Eeg, Rate = EegRate, Channels = ["O1", "O2", "Fz"], MaxWait = TimeSpan.FromSeconds(10) },
        new() { Name = "meter", Select = "m/*", HiddenSize = 8, HorizonSteps = 4, Interval = TimeSpan.FromSeconds(60), Learning = false },
    ];

    public static EngineSettings Settings(string state) => new() { StateDirectory = state, Profiles = Profiles, KeepJournal = true };

    /// <summary>What is sent in one tenth of a second.</summary>
    public static SampleBatch Tenth(int step)
    {
        var batch = new SampleBatch();
        var arrival = UnixMicros.From(Start) + (step * 100_000L) + 120_000;
        var random = new CounterRandom(11);
        for (var bed = 0; bed < 3; bed++)
        {
            if (bed == 2 && step is > 900 and < 1200)
                continue;
            var stream = $"bed-{bed}";
            var luck = random.Below(200, (ulong)((bed * 100_000) + step));
            if (luck == 0)
                continue;
            // Out of order: this one comes with the next.
            if (luck == 1)
                continue;
            if (step > 0 && random.Below(200, (ulong)((bed * 100_000) + step - 1)) == 1)
            {
                Packet(batch, stream, bed, step, arrival);
                Packet(batch, stream, bed, step - 1, arrival);
                continue;
            }

            Packet(batch, stream, bed, step, arrival);
            if (luck == 2)
                Packet(batch, stream, bed, step, arrival);
            if (luck == 3 && step > 100)
                Packet(batch, stream, bed, step - 90, arrival);
        }

        const double eegStep = 1e6 / EegRate;
        var (from, to) = ((int)Math.Ceiling(step * 0.1 * EegRate), (int)Math.Ceiling((step + 1) * 0.1 * EegRate));
        var eeg = new double[(to - from) * 3];
        for (var k = from; k < to; k++)
        {
            for (var c = 0; c < 3; c++)
                eeg[((k - from) * 3) + c] = Eeg(k, c);
        }

        batch.AddBlock("head-1"u8, Micros(from, eegStep), eegStep, arrival, to - from, eeg);
        if (step % 400 == 399)
            batch.AddBlock("bed-0"u8, Micros(step * 10, 10_000), 10_000, arrival, 10, new double[20]);
        if (step % 500 == 499)
            batch.AddBlock("bed-0"u8, Micros(step * 10, 4_000), 4_000, arrival, 10, new double[30]);
        if (step % 100 == 0)
            batch.AddBlock("m/1"u8, Micros(step, 100_000), 1_000_000, arrival, 5, [1, 2, double.NaN, 4, 5]);
        return batch;
    }

    private static void Packet(SampleBatch batch, string stream, int bed, int step, long arrival)
    {
        const int n = EcgRate / 10;
        const double micros = 1e6 / EcgRate;
        var first = step * n;
        var values = new double[n * 2];
        for (var k = 0; k < n; k++)
        {
            var (one, two) = Ecg(bed, first + k);
            values[2 * k] = bed == 1 && step is > 600 and < 700 ? double.NaN : one;
            values[(2 * k) + 1] = bed == 1 && step is > 660 and < 700 ? 50 : two;
        }

        // Stamps are jittered; one stream sends sample by sample.
        var jitter = (long)new CounterRandom(5, (ulong)bed).Below(8001, (ulong)step) - 4000;
        if (bed != 0 || step % 2 == 0)
        {
            batch.AddBlock(System.Text.Encoding.UTF8.GetBytes(stream), Micros(first, micros) + jitter, micros, arrival, n, values);
            return;
        }

        for (var k = 0; k < n; k++)
            batch.Add(stream, Micros(first + k, micros), arrival, values.AsSpan(2 * k, 2));
    }

    private static long Micros(int sample, double step) => UnixMicros.From(Start) + (long)Math.Round(sample * step);

    /// <summary>R waves of 12 ms and T waves; about every 20th beat is early and wide, and bed 0 pauses once.</summary>
    private static (double I, double II) Ecg(int bed, int sample)
    {
        var t = sample / (double)EcgRate;
        var noise = (new CounterRandom(3, (ulong)bed).Below(2001, (ulong)sample) - 1000) / 1000.0;
        var v = 0.0;
        var beat = (int)(t / 0.8);
        for (var b = beat - 1; b <= beat + 1; b++)
        {
            var wide = b > 40 && b % 20 == 7 + bed;
            if (bed == 0 && b is > 130 and < 134)
                continue;
            var at = (b * 0.8) + 0.4 - (wide ? 0.28 : 0) + (0.02 * Math.Sin(b));
            v += wide ? (1.4 * Bump(t, at, 0.045)) - (0.5 * Bump(t, at + 0.13, 0.06)) : Bump(t, at, 0.012) + (0.2 * Bump(t, at + 0.26, 0.045));
        }

        return (v + (0.02 * noise), (-0.7 * v) + (0.03 * noise));
    }

    private static double Eeg(int sample, int channel)
    {
        var t = sample / (double)EegRate;
        var noise = (new CounterRandom(9, (ulong)channel).Below(2001, (ulong)sample) - 1000) / 100.0;
        var alpha = t is > 60 and < 75 ? 2 : 20;
        return noise + (alpha * Math.Sin(2 * Math.PI * 10 * t)) + (channel == 2 && t is > 90 and < 90.5 ? 400 : 0);
    }

    private static double Bump(double t, double at, double width) => Math.Exp(-0.5 * (t - at) * (t - at) / (width * width));
}
