using System.Buffers.Binary;
using System.Numerics;

namespace StreamLstm.Core.Numerics;

/// <summary>CRC-32C (Castagnoli; RFC 3720 appendix B.4), which processors compute in hardware.</summary>
public static class Checksum
{
    public static uint Crc32C(ReadOnlySpan<byte> data)
    {
        var crc = uint.MaxValue;
        while (data.Length >= sizeof(ulong))
        {
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(data));
            data = data[sizeof(ulong)..];
        }

        foreach (var value in data)
        {
            crc = BitOperations.Crc32C(crc, value);
        }

        return ~crc;
    }
}
