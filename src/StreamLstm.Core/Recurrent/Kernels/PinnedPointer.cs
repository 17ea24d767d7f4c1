using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Recurrent.Kernels;

internal static unsafe class PinnedPointer
{
    extension(AlignedArray array)
    {
        /// <summary>Valid as long as the array is referenced: its memory is pinned.</summary>
        public float* Pointer
        {
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            get => (float*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(array.Span));
        }
    }
}
