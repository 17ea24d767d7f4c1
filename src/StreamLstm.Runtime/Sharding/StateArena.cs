using System.Runtime.InteropServices;

namespace StreamLstm.Runtime.Sharding;

/// <summary>
/// Dense storage of equal-sized state records, one per series, in chunks: growth never copies what is there. Records are whole cache lines and begin
/// on one, so that no vector load straddles two. The chunks lie outside the collector's heap, which would keep up to a quarter more in reserve for a
/// heap of this size, and go through it whenever it has grown.
/// </summary>
internal sealed class StateArena(int recordWords, int chunkRecords = StateArena.DefaultChunkRecords)
{
    public const int DefaultChunkRecords = 256;
    private readonly List<Chunk> _chunks = [];
    private readonly Stack<int> _free = [];
    private int _count;

    public long Bytes => (long)_chunks.Count * chunkRecords * recordWords * sizeof(float);

    /// <summary>Takes <paramref name="n"/> slots (one per channel); they need not be neighbours, and their records hold anything.</summary>
    public int[] Allocate(int n)
    {
        var slots = new int[n];
        for (var i = 0; i < n; i++)
        {
            if (_free.TryPop(out slots[i]))
                continue;
            if (_count == _chunks.Count * chunkRecords)
                _chunks.Add(new Chunk((nuint)chunkRecords * (nuint)recordWords * sizeof(float)));
            slots[i] = _count++;
        }

        return slots;
    }

    public void Free(ReadOnlySpan<int> slots)
    {
        foreach (var slot in slots)
            _free.Push(slot);
    }

    /// <summary>Valid as long as the arena is reachable.</summary>
    public Span<float> Record(int slot) => _chunks[slot / chunkRecords].Words(slot % chunkRecords * recordWords, recordWords);

    private sealed unsafe class Chunk(nuint bytes)
    {
        private const int Alignment = 64;
        private readonly float* _start = (float*)NativeMemory.AlignedAlloc(bytes, Alignment);

        ~Chunk() => NativeMemory.AlignedFree(_start);

        public Span<float> Words(int start, int length) => new(_start + start, length);
    }
}
