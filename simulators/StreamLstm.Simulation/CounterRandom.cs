namespace StreamLstm.Simulation;

/// <summary>
/// Random numbers addressed by counter: the n-th output of the SplitMix64 sequence that starts at a key (Steele, Lea and
/// Flood, "Fast splittable pseudorandom number generators", 2014). Every draw is a pure function of (key, counter), so a
/// simulated value can be computed at any frame without stepping there, and is the same on every machine.
/// </summary>
internal readonly struct CounterRandom(ulong key)
{
    private const ulong Golden = 0x9E3779B97F4A7C15;
    private const double TwoToMinus53 = 1.0 / (1UL << 53);

    public ulong Bits(long counter) => Mix(key + (((ulong)counter + 1) * Golden));

    /// <summary>An independent generator for one purpose.</summary>
    public CounterRandom Branch(ulong tag) => new(Mix(key ^ Mix(tag + Golden)));

    /// <summary>Uniform in [0, 1).</summary>
    public double Uniform(long counter) => (Bits(counter) >> 11) * TwoToMinus53;

    public double Uniform(long counter, double low, double high) => low + ((high - low) * Uniform(counter));

    /// <summary>Integer in [low, high], both included. The modulo bias is below 2^-50 for the small ranges used here.</summary>
    public int Integer(long counter, int low, int high) => low + (int)(Bits(counter) % (ulong)(high - low + 1));

    /// <summary>
    /// Mean 0, variance 1, within ±3.47: the sum of four 16-bit uniforms (Irwin–Hall). No transcendental function, and
    /// bounded, so that an extreme value in a simulated load is an injected fault and not luck.
    /// </summary>
    public double Normal(long counter)
    {
        ulong bits = Bits(counter);
        double sum = (bits & 0xFFFF) + ((bits >> 16) & 0xFFFF) + ((bits >> 32) & 0xFFFF) + (bits >> 48);
        return ((sum + 2) / 65536 - 2) * 1.7320508075688772;
    }

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
