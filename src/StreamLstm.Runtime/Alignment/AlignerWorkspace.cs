using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Runtime.Alignment;

/// <summary>What the aligners of a shard's streams of one profile share, so that a stream holds nothing but its state.</summary>
internal sealed class AlignerWorkspace(Profile profile)
{
    private const int MostSpare = 1024;
    private const int LargestSpare = 64;

    // Most streams have no interval open most of the time.
    private readonly Stack<Bucket> _buckets = [];
    private readonly Stack<List<Bucket>> _lists = [];

    public Profile Profile { get; } = profile;

    /// <summary>Of a frame, microseconds.</summary>
    public long Interval { get; } = (long)profile.Interval.TotalMicroseconds;

    public long AllowedLateness { get; } = (long)profile.AllowedLateness.TotalMicroseconds;

    public long MaxWait { get; } = (long)profile.MaxWait.TotalMicroseconds;

    public Resampler Resampler { get; } = new(profile);

    /// <summary>[D]: of the frame that is closed just now.</summary>
    public double[] FrameValues { get; } = new double[profile.Channels.Count];

    /// <summary>[D]: how much of that frame the readings cover, 0 … 1.</summary>
    public double[] Coverage { get; } = new double[profile.Channels.Count];

    public Bucket RentBucket(long frame)
    {
        if (!_buckets.TryPop(out var bucket))
            bucket = new Bucket();
        bucket.Frame = frame;
        return bucket;
    }

    public void Return(Bucket bucket)
    {
        if (_buckets.Count >= MostSpare || bucket.Values.Capacity > LargestSpare)
            return;
        bucket.Clear();
        _buckets.Push(bucket);
    }

    public List<Bucket> RentList() => _lists.TryPop(out var list) ? list : new List<Bucket>(1);

    /// <param name="list">Empty.</param>
    public void Return(List<Bucket> list)
    {
        if (_lists.Count < MostSpare)
            _lists.Push(list);
    }
}
