namespace StreamLstm.Worker.Api;

/// <summary>Bounds of the live view's memory: about 4 KB per stream, and 20 KB more for one with history.</summary>
public sealed record RecentResultsOptions
{
    /// <summary>Streams whose latest result is kept; further ones are left out until one has been idle for <see cref="IdleAfter"/>.</summary>
    public int MaxStreams { get; init; } = 10_000;

    /// <summary>Of these, how many also keep a history.</summary>
    public int MaxStreamsWithHistory { get; init; } = 2_000;

    /// <summary>Results per history.</summary>
    public int HistoryLength { get; init; } = 256;

    public int MaxEpisodes { get; init; } = 500;

    /// <summary>Subscribers of the event stream; more are refused with 503.</summary>
    public int MaxSubscribers { get; init; } = 64;

    /// <summary>A stream without results for this long gives its place to a new one when the view is full.</summary>
    public TimeSpan IdleAfter { get; init; } = TimeSpan.FromHours(1);

    /// <summary>Whether results are handed over before their commit; the page then marks them provisional.</summary>
    public bool Provisional { get; init; }
}
