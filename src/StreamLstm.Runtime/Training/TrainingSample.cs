using StreamLstm.Runtime.Sharding;

namespace StreamLstm.Runtime.Training;

/// <summary>Which streams teach the shared weights: all of small fleets; of large ones a share chosen by key hash.</summary>
internal static class TrainingSample
{
    /// <summary>Share of the key space, in 1/1024.</summary>
    private const uint Share = 1024;

    public static bool Includes(ReadOnlySpan<byte> key) => VirtualPartition.Murmur2(key) % 1024 < Share;
}

/// <summary>One frame of one series as the network saw it.</summary>
/// <param name="Profile">Profile index.</param>
/// <param name="Value">In the input's unit; NaN = missing.</param>
/// <param name="Scale">Unit of normalisation then.</param>
/// <param name="Inputs">[I].</param>
internal readonly record struct TrainingRow(int Profile, string Stream, int Channel, long Frame, double Value, float Scale, float[] Inputs);
