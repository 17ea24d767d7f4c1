using StreamLstm.Runtime.Sharding;

namespace StreamLstm.Runtime.Training;

/// <summary>
/// Which of a shard's streams teach the shared weights of a profile: all of a small fleet; of a large one those with the smallest key
/// hashes, so that the choice depends on the streams alone and is the same after a restart.
/// </summary>
internal sealed class TrainingSample(int capacity)
{
    private readonly SortedSet<(uint Hash, StreamSession Session)> _members = new(ByHash.Instance);

    /// <summary>A stream came; it, or the one with the largest hash, may be left out.</summary>
    public void Add(StreamSession session)
    {
        session.InTrainingSample = true;
        _members.Add((VirtualPartition.Murmur2(session.Key), session));
        if (_members.Count <= capacity)
            return;
        var last = _members.Max;
        last.Session.InTrainingSample = false;
        _members.Remove(last);
    }

    private sealed class ByHash : IComparer<(uint Hash, StreamSession Session)>
    {
        public static readonly ByHash Instance = new();

        public int Compare((uint Hash, StreamSession Session) x, (uint Hash, StreamSession Session) y) =>
            x.Hash != y.Hash ? x.Hash.CompareTo(y.Hash) : KeyComparer.Instance.Compare(x.Session.Key, y.Session.Key);
    }
}

/// <summary>One frame of one series as the network saw it.</summary>
/// <param name="Profile">Profile index.</param>
/// <param name="Value">In the input's unit; NaN = missing.</param>
/// <param name="Scale">Unit of normalisation then.</param>
/// <param name="Inputs">[I].</param>
/// <param name="Base">What the network's outputs correct [K], see <see cref="Core.Forecasting.SeriesModel.RecurrentBase"/>.</param>
internal readonly record struct TrainingRow(int Profile, string Stream, int Channel, long Frame, double Value, float Scale, float[] Inputs, Half[] Base);
