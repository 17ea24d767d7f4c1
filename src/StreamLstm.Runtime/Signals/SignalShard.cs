using System.Text.Json.Nodes;
using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Signals;
using StreamLstm.Runtime.Episodes;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Signals;

/// <summary>What a shard does for its signals.</summary>
internal interface ISignalHost
{
    /// <summary>Publishes something because of the entry at hand.</summary>
    /// <param name="start">Where its JSON begins in <see cref="Json"/>.</param>
    void Emit(OutputKind kind, string stream, long timeMicros, int start);

    void Reject(SampleBatch samples, int i, string reason, string detail);

    OutcomeCounts Outcomes { get; }

    ResultWriter Writer { get; }

    ByteWriter Json { get; }

    /// <summary>Partition clock of the entry at hand.</summary>
    long Clock { get; }

    /// <summary>False while stored inputs are replayed: what follows from them has been published.</summary>
    bool Emits { get; }
}

/// <summary>
/// A shard's signals: streams whose profile has a <see cref="Profile.Signal"/>. Their packets are handled in log order as they come, without
/// frames and waves: a stream's samples depend on each other, and there is nothing to batch.
/// </summary>
internal sealed class SignalShard(ISignalHost host, ProfileSelector selector, ProfileRuntime[] profiles, EngineSettings settings, int partitions) : ISignalReceiver
{
    private const float StaleScore = 1.25f;

    // Inputs between snapshots, as a multiple of the snapshot's size.
    private const int SnapshotTimes = 4;

    private readonly Dictionary<byte[], SignalSession>[] _sessions = [.. Enumerable.Range(0, partitions).Select(_ => new Dictionary<byte[], SignalSession>(KeyComparer.Instance))];
    private readonly List<SignalSession> _touched = [];
    private readonly Queue<(SignalSession Session, long Commit)> _bySnapshot = new();
    private float[] _values = new float[1024];
    private SignalSession _session = null!;

    public int Count(int partition) => _sessions[partition].Count;

    public int Streams => _sessions.Sum(p => p.Count);

    public int StaleStreams => All.Count(s => s.IsStale);

    public IEnumerable<EpisodeTracker> OpenEpisodes => All.Where(s => s.Episode.IsOpen).Select(s => s.Episode);

    public long StateBytes => All.Sum(s => (long)s.StateBytes);

    public long Findings { get; set; }

    private IEnumerable<SignalSession> All => _sessions.SelectMany(p => p.Values);

    /// <summary>The commit with the snapshot written longest ago, or null without streams.</summary>
    public long? OldestSnapshot
    {
        get
        {
            while (_bySnapshot.TryPeek(out var oldest) && oldest.Session.SnapshotCommit != oldest.Commit)
                _bySnapshot.Dequeue();
            return _bySnapshot.TryPeek(out var head) ? head.Commit : null;
        }
    }

    /// <summary>Takes an entry if its stream is a signal. <paramref name="deadline"/> = when the stream becomes stale.</summary>
    /// <param name="streams">Streams the partition has already.</param>
    public bool TryTake(int partition, int streams, SampleBatch samples, int i, out long deadline)
    {
        deadline = long.MaxValue;
        var key = samples.Key(i);
        var lookup = _sessions[partition].GetAlternateLookup<ReadOnlySpan<byte>>();
        lookup.TryGetValue(key, out var session);
        var profile = session?.Profile.Profile ?? selector.Select(key);
        if (profile is not { Signal: not SignalKind.None })
            return false;
        if (session is null && streams >= settings.MaxStreamsPerPartition)
        {
            host.Reject(samples, i, DeadLetterReason.StreamLimit, $"The partition already has {settings.MaxStreamsPerPartition} streams.");
            return true;
        }

        var rows = samples.Rows(i);
        var values = samples.Values(i);
        if (values.Length / rows != profile.Channels.Count)
        {
            host.Reject(samples, i, DeadLetterReason.ChannelCount, $"The samples have {values.Length / rows} values; profile {profile.Name} has {profile.Channels.Count} channels.");
            return true;
        }

        // A packet of two samples can't tell the rate better than its stamps' resolution.
        var step = 1e6 / profile.Rate;
        if (rows > 1 && Math.Abs(samples.StepMicros(i) - step) > Math.Max(0.01 * step, 1.0 / (rows - 1)))
        {
            host.Reject(samples, i, DeadLetterReason.WrongRate, FormattableString.Invariant($"The samples come at {1e6 / samples.StepMicros(i):0.###} Hz; profile {profile.Name} has {profile.Rate:0.###}."));
            return true;
        }

        if (session is null)
        {
            var runtime = Array.Find(profiles, p => p.Profile == profile)!;
            session = new SignalSession(key.ToArray(), runtime, partition);
            session.BytesSinceSnapshot = VirtualPartition.Murmur2(key) / 64 % (SnapshotTimes * session.StateBytes);
            _sessions[partition].Add(session.Key, session);
        }

        if (_values.Length < values.Length)
            _values = new float[values.Length];
        for (var k = 0; k < values.Length; k++)
        {
            var v = values[k];
            _values[k] = v < profile.ValidMin || v > profile.ValidMax ? float.NaN : (float)v;
        }

        _session = session;
        switch (session.Add(samples.EventTime(i), host.Clock, _values.AsSpan(0, values.Length), this))
        {
            case BlockOutcome.Accepted:
                host.Outcomes.Accepted += rows;
                Touch(session);
                break;
            case BlockOutcome.Duplicate:
                host.Outcomes.Duplicate += rows;
                break;
            default:
                host.Outcomes.Late += rows;
                host.Reject(samples, i, DeadLetterReason.Late, $"Its time was passed over as a gap; the stream has been read up to {UnixMicros.ToDateTimeOffset(session.Timeline.End):O}.");
                break;
        }

        deadline = session.Deadline;
        return true;
    }

    /// <summary>Streams that have been silent for too long become stale; returns the next deadline.</summary>
    public long OnTick(int partition, long clock)
    {
        var next = long.MaxValue;
        foreach (var session in _sessions[partition].Values.OrderBy(s => s.Key, KeyComparer.Instance))
        {
            if (session.Deadline <= clock)
            {
                _session = session;
                session.Silence(this);
                Touch(session);
                var finding = new SignalFinding { Sample = session.Monitor.Samples - 0.5, Value = double.NaN, Expected = double.NaN, Lower = double.NaN, Upper = double.NaN, Score = StaleScore, Kind = AnomalyKind.Stale, Off = 0 };
                OnFinding(finding, []);
            }

            next = Math.Min(next, session.Deadline);
        }

        return next;
    }

    /// <summary>Clears a stream's monitor by request; false if it isn't here.</summary>
    public bool TryReset(int partition, ReadOnlySpan<byte> key)
    {
        if (!_sessions[partition].GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(key, out var session))
            return false;
        session.Reset();
        Touch(session);
        return true;
    }

    public void OnFinding(in SignalFinding finding, ReadOnlySpan<ChannelFinding> channels)
    {
        if (!host.Emits)
            return;
        var session = _session;
        session.Findings++;
        Findings++;
        var time = session.Timeline.Time(finding.Sample);
        if (time < settings.MuteBeforeMicros)
            return;
        var change = session.Episode.OnFrame(session.Key, time, finding.Score, finding.Kind, finding.Direction);
        var start = host.Json.Length;
        host.Writer.Signal(host.Json, session, time, host.Clock, finding, channels);
        host.Emit(OutputKind.Result, session.Name, time, start);
        if (change == EpisodeChange.None)
            return;
        start = host.Json.Length;
        host.Writer.SignalEpisode(host.Json, session, change == EpisodeChange.Closed);
        host.Emit(OutputKind.Episode, session.Name, session.Episode.StartFrame, start);
    }

    public void RestoreSnapshot(byte[] key, ProfileRuntime profile, int partition, long commit, ref ByteReader r)
    {
        var session = new SignalSession(key, profile, partition) { SnapshotCommit = commit };
        session.RestoreSnapshot(ref r);
        _sessions[partition].Add(session.Key, session);
        NoteSnapshot(session);
    }

    /// <returns>Whether the stream is there.</returns>
    public bool RestoreEntries(int partition, ReadOnlySpan<byte> key, ref ByteReader r)
    {
        if (!_sessions[partition].GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(key, out var session))
            return false;
        _session = session;
        session.RestoreEntries(ref r, this);
        return true;
    }

    /// <summary>When the next of a partition's streams becomes stale.</summary>
    public long NextDeadline(int partition)
    {
        var next = long.MaxValue;
        foreach (var session in _sessions[partition].Values)
            next = Math.Min(next, session.Deadline);
        return next;
    }

    public void TouchOldSnapshots(long before)
    {
        const int most = 256;
        for (var i = 0; i < most && _bySnapshot.TryPeek(out var oldest) && oldest.Commit < before; i++)
        {
            _bySnapshot.Dequeue();
            if (oldest.Session.SnapshotCommit != oldest.Commit)
                continue;
            oldest.Session.MustSnapshot = true;
            Touch(oldest.Session);
        }
    }

    /// <summary>Every stream that has moved since its last snapshot writes one with the next commit.</summary>
    public void TouchAll()
    {
        foreach (var session in _sessions.SelectMany(p => p.Values.OrderBy(s => s.Key, KeyComparer.Instance)))
        {
            if (session.BytesSinceSnapshot == 0 && session.SnapshotCommit >= 0)
                continue;
            session.MustSnapshot = true;
            Touch(session);
        }
    }

    /// <summary>Writes the state of the touched streams; returns their number.</summary>
    /// <param name="slots">Gets the slot of each, see <see cref="ShardOutput.StateSlots"/>.</param>
    /// <param name="commit">Number of the commit that they go into.</param>
    public int EncodeTouched(ByteWriter w, List<byte> slots, long commit)
    {
        foreach (var session in _touched)
        {
            session.Touched = false;
            var slot = session.Encode(w, SnapshotTimes * session.StateBytes);
            slots.Add(slot);
            if (slot != 0)
                continue;
            session.SnapshotCommit = commit;
            NoteSnapshot(session);
        }

        var n = _touched.Count;
        _touched.Clear();
        return n;
    }

    public bool Holds(int partition, byte[] key) => _sessions[partition].ContainsKey(key);

    /// <param name="partition">Index.</param>
    /// <param name="id">The number by which people know it.</param>
    public JsonObject? Describe(int partition, int id, byte[] key)
    {
        if (!_sessions[partition].TryGetValue(key, out var session))
            return null;
        return new JsonObject
        {
            ["stream"] = session.Name,
            ["profile"] = session.Profile.Name,
            ["partition"] = id,
            ["signal"] = session.Profile.Profile.Signal.ToString().ToLowerInvariant(),
            ["rate"] = session.Profile.Profile.Rate,
            ["frames"] = session.Findings,
            ["samples"] = session.Monitor.Samples,
            ["waiting_packets"] = session.Timeline.Waiting,
            ["stale"] = session.IsStale,
            ["state_bytes"] = session.StateBytes,
        };
    }

    // A broker compacts by key; nobody needs to know there whose snapshot is the oldest.
    private void NoteSnapshot(SignalSession session)
    {
        if (_sessions.Length > 1)
            _bySnapshot.Enqueue((session, session.SnapshotCommit));
    }

    private void Touch(SignalSession session)
    {
        if (session.Touched)
            return;
        session.Touched = true;
        _touched.Add(session);
    }
}
