using System.Runtime.InteropServices;

namespace StreamLstm.Core.Numerics;

/// <summary>Zeroed floats on a 64-byte boundary, so that no 512-bit load straddles two cache lines.</summary>
internal sealed class AlignedArray
{
    private const int Alignment = 64;

    private readonly float[] _storage;
    private readonly int _offset;

    public AlignedArray(int length)
    {
        Length = length;
        // Pinned arrays never move, so the boundary found here stays one.
        _storage = GC.AllocateArray<float>(length + (Alignment / sizeof(float)), pinned: true);
        var address = Marshal.UnsafeAddrOfPinnedArrayElement(_storage, 0);
        _offset = (int)((Alignment - (address % Alignment)) % Alignment) / sizeof(float);
    }

    public int Length { get; }

    public Span<float> Span => _storage.AsSpan(_offset, Length);

    /// <summary>The array itself if it is long enough, else a new one; contents are not kept.</summary>
    public static AlignedArray AtLeast(AlignedArray? present, int length) =>
        present is not null && present.Length >= length ? present : new AlignedArray(length);
}
