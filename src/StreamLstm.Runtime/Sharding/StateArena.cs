using System.Runtime.InteropServices;

namespace StreamLstm.Runtime.Sharding;

/// <summary>
/// Dense storage of equal-sized state records, one per series, in chunks: growth never copies what is there. Records are whole cache lines and begin
/// on one, so that no vector load straddles two.
/// </summary>
internal sealed class StateArena(int recordWords, int chunkRecords = StateArena.DefaultChunkRecords)
{
    public const int DefaultChunkRecords = 256;
    private const int Alignment = 64;
    private readonly List<(float[] Storage, int Offset)> _chunks = [];
    private readonly Stack<int> _free = [];
    private int _count;

    public long Bytes => (long)_chunks.Count * chunkRecords * recordWords * sizeof(float);

    /// <summary>Takes <paramref name="n"/> slots (one per channel); they need not be neighbours.</summary>
    public int[] Allocate(int n)
    {
        var slots = new int[n];
        for (var i = 0; i < n; i++)
        {
            if (_free.TryPop(out slots[i]))
                continue;
            if (_count == _chunks.Count * chunkRecords)
            {
                // Pinned arrays never move, so the boundary found here stays one.
                var storage = GC.AllocateArray<float>((chunkRecords * recordWords) + (Alignment / sizeof(float)), pinned: true);
                var address = Marshal.UnsafeAddrOfPinnedArrayElement(storage, 0);
                _chunks.Add((storage, (int)((Alignment - (address % Alignment)) % Alignment) / sizeof(float)));
            }

            slots[i] = _count++;
        }

        return slots;
    }

    public void Free(ReadOnlySpan<int> slots)
    {
        foreach (var slot in slots)
            _free.Push(slot);
    }

    public Span<float> Record(int slot)
    {
        var (storage, offset) = _chunks[slot / chunkRecords];
        return storage.AsSpan(offset + (slot % chunkRecords * recordWords), recordWords);
    }
}
