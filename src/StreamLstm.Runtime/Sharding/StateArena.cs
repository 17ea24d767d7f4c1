namespace StreamLstm.Runtime.Sharding;

/// <summary>Dense storage of equal-sized state records, one per series, in chunks: growth never copies what is there.</summary>
internal sealed class StateArena(int recordWords, int chunkRecords = StateArena.DefaultChunkRecords)
{
    public const int DefaultChunkRecords = 256;
    private readonly List<float[]> _chunks = [];
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
                _chunks.Add(GC.AllocateArray<float>(chunkRecords * recordWords, pinned: true));
            slots[i] = _count++;
        }

        return slots;
    }

    public void Free(ReadOnlySpan<int> slots)
    {
        foreach (var slot in slots)
            _free.Push(slot);
    }

    public Span<float> Record(int slot) => _chunks[slot / chunkRecords].AsSpan(slot % chunkRecords * recordWords, recordWords);
}
