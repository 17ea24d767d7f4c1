namespace StreamLstm.Connectors.Codecs;

/// <summary>What a decoder left alone on purpose, and what it knows about its senders. Safe to read from any thread.</summary>
public sealed class DecodeCounters
{
    private long _excepted;
    private long _filtered;
    private long _sequenceGaps;
    private long _deaths;
    private long _rebirthRequests;

    /// <summary>Messages on topics that <c>Except</c> names, or that only came because broker filters know no parts of levels.</summary>
    public long Excepted => Interlocked.Read(ref _excepted);

    /// <summary>Messages that fulfil the <c>Where</c> of no binding, or in which nothing is that a binding asks for and misses.</summary>
    public long Filtered => Interlocked.Read(ref _filtered);

    /// <summary>Sparkplug messages after which at least one was missing.</summary>
    public long SequenceGaps => Interlocked.Read(ref _sequenceGaps);

    /// <summary>Sparkplug nodes and devices that went away.</summary>
    public long Deaths => Interlocked.Read(ref _deaths);

    /// <summary>Times a Sparkplug node should be told to publish its births again.</summary>
    public long RebirthRequests => Interlocked.Read(ref _rebirthRequests);

    internal void CountExcepted() => Interlocked.Increment(ref _excepted);

    internal void CountFiltered() => Interlocked.Increment(ref _filtered);

    internal void CountSequenceGap() => Interlocked.Increment(ref _sequenceGaps);

    internal void CountDeath() => Interlocked.Increment(ref _deaths);

    internal void CountRebirthRequest() => Interlocked.Increment(ref _rebirthRequests);
}

/// <summary>Unit and kind of the samples that a decoder added to a batch, in their order; for people who look at single payloads.</summary>
public sealed class DecodeTrace
{
    private readonly List<(string Unit, ValueKind Kind)> _samples = [];

    public IReadOnlyList<(string Unit, ValueKind Kind)> Samples => _samples;

    internal void Add(string unit, ValueKind kind) => _samples.Add((unit, kind));
}
