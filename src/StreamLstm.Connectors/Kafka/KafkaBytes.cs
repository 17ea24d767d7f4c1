using System.Runtime.InteropServices;

namespace StreamLstm.Connectors.Kafka;

internal static class KafkaBytes
{
    /// <summary>The client takes whole arrays: the one behind the memory if it is all of it, else a copy.</summary>
    public static byte[] Whole(ReadOnlyMemory<byte> bytes) =>
        MemoryMarshal.TryGetArray(bytes, out var whole) && whole.Offset == 0 && whole.Count == whole.Array!.Length ? whole.Array : bytes.ToArray();
}
