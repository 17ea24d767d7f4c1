using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Text.Json;
using System.Threading.Channels;
using StreamLstm.Runtime.Output;

namespace StreamLstm.Worker.Api;

/// <summary>
/// The live view: the latest result, forecast and a short history of each stream, the latest episodes, and the subscribers of the
/// event stream. Memory is bounded; nothing in it is durable. It never holds the engine up: a slow subscriber loses its oldest events.
/// </summary>
public sealed class RecentResults : IResultSink
{
    private readonly RecentResultsOptions _options;
    private readonly Lock _publishing = new();
    private readonly TimeProvider _clock;
    private readonly ConcurrentDictionary<string, StreamView> _views = new(StringComparer.Ordinal);
    private readonly List<StreamView> _places = []; // touched by the publishing thread only
    private int _hand;
    private int _withHistory;
    private string[]? _sortedKeys;
    private long _resultsNotKept;
    private readonly Lock _episodesGate = new();
    private readonly LinkedList<EpisodeView> _episodes = new(); // oldest first
    private readonly Dictionary<string, LinkedListNode<EpisodeView>> _episodesById = new(StringComparer.Ordinal);
    private ImmutableArray<LiveSubscription> _subscriptions = [];

    public RecentResults(RecentResultsOptions options, TimeProvider clock)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(clock);
        _options = options;
        _clock = clock;
    }

    public string Name => "live";

    public string? NotReady => null;

    public bool Provisional => _options.Provisional;

    /// <summary>Streams in the view.</summary>
    public int Count => _views.Count;

    /// <summary>Results of streams for which the view had no place.</summary>
    public long ResultsNotKept => Interlocked.Read(ref _resultsNotKept);

    public ValueTask OpenAsync(SinkMark durable, CancellationToken cancellationToken) => ValueTask.CompletedTask;

    public ValueTask<SinkMark> PublishAsync(long commit, IReadOnlyList<OutputRecord> records, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(records);
        // The engine's results and those of a broker's partitions come from threads of their own.
        lock (_publishing)
            Publish(records);
        return ValueTask.FromResult(new SinkMark(commit, 0));
    }

    public ValueTask DisposeAsync()
    {
        foreach (var subscription in _subscriptions)
            subscription.Dispose();
        return ValueTask.CompletedTask;
    }

    private void Publish(IReadOnlyList<OutputRecord> records)
    {
        var now = _clock.GetTimestamp();
        var subscriptions = _subscriptions;
        foreach (var record in records)
        {
            switch (record.Kind)
            {
                case OutputKind.Result:
                    KeepResult(record, now);
                    Broadcast(subscriptions, "result", record);
                    break;
                case OutputKind.Episode:
                    KeepEpisode(record);
                    Broadcast(subscriptions, "episode", record);
                    break;
            }
        }
    }

    internal StreamView? Find(string stream) => _views.GetValueOrDefault(stream);

    /// <summary>The keys in ordinal order.</summary>
    internal string[] SortedKeys()
    {
        var keys = Volatile.Read(ref _sortedKeys);
        if (keys is not null)
            return keys;
        keys = [.. _views.Keys];
        Array.Sort(keys, StringComparer.Ordinal);
        Volatile.Write(ref _sortedKeys, keys);
        return keys;
    }

    /// <summary>Newest first.</summary>
    internal List<EpisodeView> Episodes(int limit, string? stream, string? state)
    {
        var found = new List<EpisodeView>();
        lock (_episodesGate)
        {
            for (var node = _episodes.Last; node is not null && found.Count < limit; node = node.Previous)
            {
                if ((stream is null || node.Value.Stream == stream) && (state is null || node.Value.State == state))
                    found.Add(node.Value);
            }
        }

        return found;
    }

    /// <summary>Null when there are too many subscribers.</summary>
    internal LiveSubscription? Subscribe(string? stream)
    {
        var subscription = new LiveSubscription(stream, s => ImmutableInterlocked.Update(ref _subscriptions, (all, x) => all.Remove(x), s));
        var added = ImmutableInterlocked.Update(ref _subscriptions, (all, s) => all.Length < _options.MaxSubscribers ? all.Add(s) : all, subscription);
        return added ? subscription : null;
    }

    private void KeepResult(in OutputRecord record, long now)
    {
        if (!_views.TryGetValue(record.Stream, out var view))
        {
            if (_places.Count >= _options.MaxStreams && !GiveUpAnIdlePlace(now))
            {
                Interlocked.Increment(ref _resultsNotKept);
                return;
            }

            var history = _withHistory < _options.MaxStreamsWithHistory;
            view = new StreamView(record.Stream, history ? _options.HistoryLength : 0);
            if (history)
                _withHistory++;
            view.Apply(record.TimeMicros, record.Revision, record.Json.Span);
            _places.Add(view);
            _views[record.Stream] = view;
            Volatile.Write(ref _sortedKeys, null);
        }
        else
        {
            view.Apply(record.TimeMicros, record.Revision, record.Json.Span);
        }

        view.Touched = now;
    }

    /// <summary>A clock hand that looks at a few places per newcomer, so that a fleet far larger than the view costs nothing.</summary>
    private bool GiveUpAnIdlePlace(long now)
    {
        for (var i = 0; i < Math.Min(4, _places.Count); i++)
        {
            _hand = (_hand + 1) % _places.Count;
            var view = _places[_hand];
            if (_clock.GetElapsedTime(view.Touched, now) < _options.IdleAfter)
                continue;
            _places[_hand] = _places[^1];
            _places.RemoveAt(_places.Count - 1);
            _views.TryRemove(view.Stream, out _);
            if (view.HasHistory)
                _withHistory--;
            return true;
        }

        return false;
    }

    private void KeepEpisode(in OutputRecord record)
    {
        string? id = null, state = null;
        var reader = new Utf8JsonReader(record.Json.Span);
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var isId = reader.ValueTextEquals("episode"u8);
            var isState = reader.ValueTextEquals("state"u8);
            reader.Read();
            if (isId)
                id = reader.GetString();
            else if (isState)
                state = reader.GetString();
            else
                reader.Skip();
        }

        if (id is null)
            throw new InvalidDataException($"An episode record of stream '{record.Stream}' carries no episode id.");
        var episode = new EpisodeView(id, record.Stream, state ?? "open", record.Json.ToArray());
        lock (_episodesGate)
        {
            if (_episodesById.TryGetValue(id, out var node))
            {
                node.Value = episode;
                return;
            }

            _episodesById[id] = _episodes.AddLast(episode);
            if (_episodes.Count > _options.MaxEpisodes)
            {
                _episodesById.Remove(_episodes.First!.Value.Id);
                _episodes.RemoveFirst();
            }
        }
    }

    private static void Broadcast(ImmutableArray<LiveSubscription> subscriptions, string name, in OutputRecord record)
    {
        byte[]? json = null;
        foreach (var subscription in subscriptions)
        {
            if (subscription.Stream is null || subscription.Stream == record.Stream)
                subscription.Offer(new LiveEvent(name, json ??= record.Json.ToArray()));
        }
    }
}

internal sealed record EpisodeView(string Id, string Stream, string State, byte[] Json);

internal readonly record struct LiveEvent(string Name, byte[] Json);

/// <summary>One reader of the event stream.</summary>
internal sealed class LiveSubscription : IDisposable
{
    private const int Capacity = 256;
    private readonly Channel<LiveEvent> _channel;
    private readonly Action<LiveSubscription> _leave;
    private long _dropped;

    public LiveSubscription(string? stream, Action<LiveSubscription> leave)
    {
        Stream = stream;
        _leave = leave;
        _channel = Channel.CreateBounded<LiveEvent>(
            new BoundedChannelOptions(Capacity) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true },
            _ => Interlocked.Increment(ref _dropped));
    }

    /// <summary>The only stream of interest, or null for all.</summary>
    public string? Stream { get; }

    public long Dropped => Interlocked.Read(ref _dropped);

    public ChannelReader<LiveEvent> Reader => _channel.Reader;

    public void Offer(in LiveEvent item) => _channel.Writer.TryWrite(item);

    public void Dispose()
    {
        _leave(this);
        _channel.Writer.TryComplete();
    }
}
