namespace StreamLstm.Core.Numerics;

/// <summary>
/// Random numbers as a pure function of (seed, stream, counter): nothing to save, nothing to share, and any one of them
/// can be drawn again. The function is the SplitMix64 sequence (Steele, Lea, Flood 2014) read at an arbitrary position.
/// </summary>
public readonly struct CounterRandom(ulong seed, ulong stream = 0)
{
    private const ulong Increment = 0x9E3779B97F4A7C15UL;

    private readonly ulong _key = Mix(seed + Mix(stream + Increment));

    /// <summary>64 uniformly distributed bits.</summary>
    public ulong Bits(ulong counter) => Mix(_key + ((counter + 1) * Increment));

    /// <summary>Uniform in [0, 1), a multiple of 2⁻²⁴.</summary>
    public float Unit(ulong counter) => (Bits(counter) >> 40) * 5.9604645e-8f;

    /// <summary>Uniform integer in [0, bound); the bias is below bound·2⁻⁶⁴.</summary>
    public int Below(int bound, ulong counter)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(bound);
        return (int)Math.BigMul(Bits(counter), (ulong)bound, out _);
    }

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9UL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
        return z ^ (z >> 31);
    }
}
