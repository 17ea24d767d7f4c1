using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Tests.Signals;

/// <summary>A drawn electrocardiogram: Gaussian P, Q, R, S and T waves, breathing baseline and noise; not physiology, but known beats.</summary>
internal sealed class SyntheticEcg
{
    private readonly double _rate;
    private readonly CounterRandom _random;
    private readonly List<(double Time, bool Ventricular)> _beats = [];

    /// <param name="earlyEvery">Every n-th beat is ventricular: early, wide, with a pause after it; 0 = none.</param>
    public SyntheticEcg(double rate, double seconds, double bpm, ulong seed, int earlyEvery = 0)
    {
        _rate = rate;
        _random = new CounterRandom(seed);
        var at = 0.5;
        for (var n = 1UL; at < seconds - 1; n++)
        {
            var ventricular = earlyEvery > 0 && n % (ulong)earlyEvery == 0;
            var rr = 60 / bpm * (1 + (0.04 * (_random.Unit(n) - 0.5)));
            if (ventricular)
                at -= 0.35 * rr;
            _beats.Add((at, ventricular));
            at += ventricular ? 1.35 * rr : rr;
        }

        Length = (int)(seconds * rate);
    }

    public int Length { get; }

    /// <summary>Sample of each R peak.</summary>
    public IReadOnlyList<(long Sample, bool Ventricular)> Beats => [.. _beats.Select(b => ((long)Math.Round(b.Time * _rate), b.Ventricular))];

    /// <summary>[n] millivolts.</summary>
    public double[] Lead(double gain)
    {
        var signal = new double[Length];
        for (var i = 0; i < Length; i++)
            signal[i] = (0.15 * Math.Sin(2 * Math.PI * 0.25 * i / _rate)) + (0.02 * (_random.Unit((ulong)(1_000_000 + i)) - 0.5));
        foreach (var (time, ventricular) in _beats)
        {
            if (ventricular)
            {
                Add(signal, time, 0.045, 1.4 * gain);
                Add(signal, time + 0.13, 0.06, -0.5 * gain);
                continue;
            }

            Add(signal, time - 0.16, 0.025, 0.12 * gain);
            Add(signal, time - 0.03, 0.008, -0.12 * gain);
            Add(signal, time, 0.011, 1.0 * gain);
            Add(signal, time + 0.03, 0.009, -0.2 * gain);
            Add(signal, time + 0.26, 0.045, 0.25 * gain);
        }

        return signal;
    }

    private void Add(double[] signal, double centre, double width, double height)
    {
        var from = Math.Max(0, (int)((centre - (5 * width)) * _rate));
        var to = Math.Min(signal.Length - 1, (int)((centre + (5 * width)) * _rate));
        for (var i = from; i <= to; i++)
        {
            var x = ((i / _rate) - centre) / width;
            signal[i] += height * Math.Exp(-0.5 * x * x);
        }
    }
}
