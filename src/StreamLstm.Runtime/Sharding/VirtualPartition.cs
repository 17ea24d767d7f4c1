using System.Buffers.Binary;

namespace StreamLstm.Runtime.Sharding;

/// <summary>
/// The unit of ordering of local inputs: partition = murmur2(stream key) mod 64. The number is part of the journal's format, not an
/// option: changing it would re-route streams whose state lies elsewhere.
/// </summary>
public static class VirtualPartition
{
    public const int Count = 64;

    public static int Of(ReadOnlySpan<byte> streamKey) => (int)(Murmur2(streamKey) & 0x7fffffff) % Count;

    /// <summary>The partition that Kafka's own clients choose for a key.</summary>
    public static int KafkaPartition(ReadOnlySpan<byte> key, int partitions) => (int)(Murmur2(key) & 0x7fffffff) % partitions;

    /// <summary>MurmurHash2, 32 bit, with the seed Kafka's default partitioner uses, so that both agree on a key's hash.</summary>
    internal static uint Murmur2(ReadOnlySpan<byte> data)
    {
        const uint seed = 0x9747b28c;
        const uint m = 0x5bd1e995;
        const int r = 24;
        var h = seed ^ (uint)data.Length;
        while (data.Length >= 4)
        {
            var k = BinaryPrimitives.ReadUInt32LittleEndian(data) * m;
            k ^= k >> r;
            h = (h * m) ^ (k * m);
            data = data[4..];
        }

        if (data.Length > 2)
            h ^= (uint)data[2] << 16;
        if (data.Length > 1)
            h ^= (uint)data[1] << 8;
        if (data.Length > 0)
            h = (h ^ data[0]) * m;
        h ^= h >> 13;
        h *= m;
        return h ^ (h >> 15);
    }
}
