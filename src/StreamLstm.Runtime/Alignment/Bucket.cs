namespace StreamLstm.Runtime.Alignment;

/// <summary>The readings of one interval in time order, while it is open.</summary>
internal sealed class Bucket
{
    /// <summary>Start = Frame · interval since the Unix epoch.</summary>
    public long Frame { get; set; }

    /// <summary>Event times, Unix microseconds, ascending.</summary>
    public List<long> Times { get; } = [];

    /// <summary>[n, D]; NaN = the channel is missing.</summary>
    public List<double> Values { get; } = [];

    /// <summary>Whether a reading outside the valid range came for this interval.</summary>
    public bool Faulty { get; set; }

    public void Clear()
    {
        Times.Clear();
        Values.Clear();
        Faulty = false;
    }
}
