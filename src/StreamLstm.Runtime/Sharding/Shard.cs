using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Threading.Channels;
using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Recurrent;
using StreamLstm.Core.Scoring;
using StreamLstm.Runtime.Alignment;
using StreamLstm.Runtime.Calendars;
using StreamLstm.Runtime.Episodes;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Models;
using StreamLstm.Runtime.Outlooks;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Repair;
using StreamLstm.Runtime.Signals;
using StreamLstm.Runtime.StateLog;
using StreamLstm.Runtime.Storage;
using StreamLstm.Runtime.Training;

namespace StreamLstm.Runtime.Sharding;

/// <summary>
/// Owns a set of partitions and is the only one to touch their streams. A batch is handled in two passes: entries in log order through
/// the aligners give frames; frames are then processed in waves (the k-th frame of every stream together), so that the network
/// steps many series at once. What is computed for a stream depends on the log alone, not on the batch, the wave or the shard.
/// State record of a stream in a commit: <c>[kind u8: 1 = snapshot, 2 = entries][key block][profile block][body block]</c>; body =
/// <c>[aligner][episode][frames i64]</c>, then for a snapshot d × record words, for entries <c>[n i32] n×{frame i64, kind u8, length i64, version i32, values d×f64}</c>;
/// of a stream with a repair window then <c>[1 u8]</c> and what the window writes.
/// </summary>
internal sealed partial class Shard : IFrameReceiver, ISignalHost, IAsyncDisposable
{
    public const byte SnapshotRecord = 1;
    public const byte EntriesRecord = 2;
    public const byte HeaderSlot = 255;

    /// <summary>Added to the kind of a frame behind whose values stands what was known in advance: <c>[n u8] n×f64</c>.</summary>
    private const byte HasKnown = 0x40;
    private const int BlockRows = 64;

    /// <summary>Enough for whole blocks of the network, few enough that their entries stay in the cache.</summary>
    private const int RestoredAtOnce = 256;

    private readonly EngineSettings _settings;
    private readonly ProfileRuntime[] _profiles;
    private readonly ProfileSelector _selector;
    private readonly ProfileShard[] _perProfile;
    private readonly SignalShard _signals;
    private readonly SampleBatch _expanded = new();
    private readonly Partition?[] _partitions;
    private readonly int _index;
    private readonly int _shards;
    private readonly bool _single;
    private readonly bool _teaches;
    private ShardOutput _output = new();
    private readonly ResultWriter _writer = new();
    private SoloWorkspace? _soloWorkspace;
    private readonly List<FrameWork> _frames = [];
    private readonly List<double> _frameValues = [];
    private readonly List<StreamSession> _touched = [];
    private readonly List<StreamSession> _due = [];
    private readonly List<List<int>> _waves = [];
    private readonly Queue<(StreamSession Session, long Commit)> _bySnapshot = new();
    private readonly Dictionary<byte[], long> _latestSnapshot = new(KeyComparer.Instance);
    private readonly List<(StreamSession Session, long Frames)> _restoring = [];
    private readonly HashSet<StreamSession> _withoutWindow = [];
    private readonly Channel<Func<object?>> _work = Channel.CreateBounded<Func<object?>>(4);
    private readonly Channel<object?> _done = Channel.CreateBounded<object?>(4);
    private readonly Task _running;
    private readonly double[] _valueScratch = new double[255];

    // Context of the entry being aligned.
    private StreamSession _session = null!;
    private LogBatch _batch = null!;
    private long _lsn;
    private int _sub;
    private long _clock;
    private bool _emit = true;
    private long _commit;
    private int _streams;
    private int _stale;
    private readonly int[] _openBySeverity = new int[EpisodeTracker.Severities.Count];

    /// <summary>A share of the local log's partitions, on a thread of its own.</summary>
    public Shard(int index, int shards, EngineSettings settings, ProfileRuntime[] profiles, ModelStore models)
        : this(settings, profiles, models, shards, new Partition?[VirtualPartition.Count])
    {
        (_index, _shards) = (index, shards);
        for (var p = index; p < VirtualPartition.Count; p += shards)
            _partitions[p] = new Partition(p, p, profiles);
        _running = Task.Run(RunAsync);
    }

    private Shard(EngineSettings settings, ProfileRuntime[] profiles, ModelStore models, int shards, Partition?[] partitions, int chunkRecords = StateArena.DefaultChunkRecords, bool teaches = true)
    {
        _settings = settings;
        _profiles = profiles;
        _selector = new ProfileSelector([.. profiles.Select(p => p.Profile)]);
        _perProfile = [.. profiles.Select(p => new ProfileShard(p, models, shards, chunkRecords))];
        _signals = new SignalShard(this, _selector, profiles, settings, partitions.Length);
        _partitions = partitions;
        _single = partitions.Length == 1;
        _teaches = teaches;
        _running = Task.CompletedTask;
    }

    /// <summary>One partition of a broker's log, whatever its keys hash to, on its callers' thread.</summary>
    /// <param name="id">Its number at the broker.</param>
    /// <param name="of">How many there are; each has its part of the training sample.</param>
    /// <param name="teaches">Whether rows for training are wanted.</param>
    public static Shard OfPartition(int id, int of, bool teaches, EngineSettings settings, ProfileRuntime[] profiles, ModelStore models) =>
        new(settings, profiles, models, of, [new Partition(0, id, profiles)], chunkRecords: 32, teaches);

    public IEnumerable<Partition> Partitions => _partitions.Where(p => p is not null)!;

    public int Streams => _streams + _signals.Streams;

    public int StaleStreams => _stale + _signals.StaleStreams;

    /// <summary>Open episodes by severity.</summary>
    public IReadOnlyDictionary<string, int> OpenEpisodes()
    {
        var open = EpisodeTracker.Severities.Select((name, i) => (name, _openBySeverity[i])).ToDictionary();
        foreach (var episode in _signals.OpenEpisodes)
            open[EpisodeTracker.Severity(episode.PeakScore)] = open.GetValueOrDefault(EpisodeTracker.Severity(episode.PeakScore)) + 1;
        return open;
    }

    public long StateBytes => _perProfile.Sum(p => p.Arena.Bytes) + _signals.StateBytes;

    /// <summary>The linear experts' weights stay as they are from here on; only between batches.</summary>
    public void HoldWeights()
    {
        foreach (var profile in _perProfile)
            profile.Model.HoldsWeights = true;
    }

    public SkillSums Skill(int profile) => _perProfile[profile].Skill;

    /// <summary>Runs a piece of work on the shard's thread. One caller at a time.</summary>
    public async ValueTask<T> InvokeAsync<T>(Func<Shard, T> work)
    {
        await _work.Writer.WriteAsync(() => work(this));
        if (await _done.Reader.WaitToReadAsync() && _done.Reader.TryRead(out var result))
            return (T)result!;
        await _running;
        throw new InvalidOperationException("The shard has stopped.");
    }

    /// <param name="commit">Number of the commit that will hold what is made of the batch; they ascend.</param>
    public ShardOutput Process(LogBatch batch, ShardOutput output, long commit)
    {
        Begin(output, commit);
        _batch = batch;
        foreach (var partition in Partitions)
        {
            foreach (var entry in batch.Entries(partition.Index))
                Align(partition, batch, entry);
        }

        RunWaves();
        if (batch.SnapshotBefore > 0)
        {
            TouchOldSnapshots(batch.SnapshotBefore);
            _signals.TouchOldSnapshots(batch.SnapshotBefore);
        }

        return End();
    }

    /// <summary>Writes a snapshot of every stream that has moved since its last one (a graceful stop).</summary>
    /// <param name="most">Series at a time: those left over write theirs with the next call, until one has nothing.</param>
    public ShardOutput SnapshotAll(ShardOutput output, long commit, int most = int.MaxValue)
    {
        Begin(output, commit);
        foreach (var partition in Partitions)
        {
            foreach (var session in InKeyOrder(partition))
            {
                if (_touched.Count >= most)
                    return End();
                if (session.FramesSinceSnapshot > 0 || session.SnapshotCommit < 0)
                {
                    session.FramesSinceSnapshot = session.Profile.SnapshotEvery;
                    Touch(session);
                }
            }
        }

        _signals.TouchAll();
        return End();
    }

    private void Begin(ShardOutput output, long commit)
    {
        output.Clear();
        (_output, _commit) = (output, commit);
    }

    private ShardOutput End()
    {
        EncodeTouched();
        _output.Order();
        foreach (var partition in Partitions)
            _output.Clocks.Add((partition.Id, partition.Clock));
        while (_bySnapshot.TryPeek(out var oldest) && oldest.Session.SnapshotCommit != oldest.Commit)
            _bySnapshot.Dequeue();
        var older = Math.Min(_bySnapshot.TryPeek(out var head) ? head.Commit : long.MaxValue, _signals.OldestSnapshot ?? long.MaxValue);
        _output.OldestSnapshot = older == long.MaxValue ? null : older;
        return _output;
    }

    /// <summary>Sets what a restored commit says of a partition.</summary>
    public void RestorePartition(int partition, long clock, IReadOnlyList<(string Profile, int Version)> active)
    {
        if (_partitions[partition] is not { } p)
            return;
        p.Clock = clock;
        foreach (var (profile, version) in active)
        {
            if (Array.Find(_profiles, x => x.Name == profile) is { } runtime)
                p.ActiveVersion[runtime.Index] = version;
        }
    }

    /// <summary>First pass of a restore, over all commits in order: where each of our streams has its latest snapshot.</summary>
    public void FindSnapshots(StoredCommit commit)
    {
        var lookup = _latestSnapshot.GetAlternateLookup<ReadOnlySpan<byte>>();
        foreach (var (count, bytes) in Ours(commit.States))
        {
            var r = new ByteReader(bytes.Span);
            for (var i = 0; i < count; i++)
            {
                var state = StoredState.Read(ref r);
                if (state.Kind == SnapshotRecord && _partitions[IndexOf(state.Key)] is not null)
                    lookup[state.Key] = commit.Header.Sequence;
            }
        }
    }

    /// <summary>Second pass, over the same commits: latest snapshots, and the entries after them through the same step code.</summary>
    public void Restore(StoredCommit commit)
    {
        _emit = false;
        var lookup = _latestSnapshot.GetAlternateLookup<ReadOnlySpan<byte>>();
        foreach (var (count, bytes) in Ours(commit.States))
        {
            var r = new ByteReader(bytes.Span);
            for (var i = 0; i < count; i++)
            {
                var state = StoredState.Read(ref r);
                var body = new ByteReader(state.Body);
                if (_partitions[IndexOf(state.Key)] is not { } partition)
                    continue;
                if (state.Kind == SnapshotRecord)
                {
                    if (lookup[state.Key] == commit.Header.Sequence)
                        RestoreSnapshot(partition, state.Key, state.Profile, commit.Header.Sequence, ref body);
                }
                else if (state.Kind != EntriesRecord)
                {
                    throw new CorruptLogException($"Unknown kind {state.Kind} of a stream's state in commit {commit.Header.Sequence}.");
                }
                else if (!RestoreEntries(partition, state.Key, ref body) && !lookup.ContainsKey(state.Key))
                {
                    // What comes before a stream's latest snapshot is history; after a compaction the log may begin with such entries.
                    throw new CorruptLogException($"State entries of {Encoding.UTF8.GetString(state.Key)} in commit {commit.Header.Sequence} have no snapshot.");
                }
            }
        }

        RunRestored();
    }

    /// <summary>The part of a commit that has our streams; all of it if there was another number of shards.</summary>
    private IEnumerable<(int Count, ReadOnlyMemory<byte> Bytes)> Ours(IReadOnlyList<(int Count, ReadOnlyMemory<byte> Bytes)> states) =>
        states.Count == _shards ? [states[_index]] : states;

    /// <summary>Rebuilds streams: latest snapshots, then their entries through the same step code, many streams at a time.</summary>
    public void RestoreStreams(int partition, IEnumerable<RestoredStream> streams)
    {
        var own = _partitions[partition]!;
        foreach (var group in streams.Chunk(RestoredAtOnce))
        {
            _emit = false;
            foreach (var stream in group)
            {
                var r = new ByteReader(stream.Snapshot);
                RestoreSnapshot(own, stream.Key, Encoding.UTF8.GetBytes(stream.Profile), stream.SnapshotCommit, ref r);
                foreach (var entries in stream.Entries)
                {
                    var e = new ByteReader(entries);
                    RestoreEntries(own, stream.Key, ref e);
                }
            }

            RunRestored();
            foreach (var stream in group)
            {
                if (own.Sessions.TryGetValue(stream.Key, out var session))
                    Expect(own, session);
            }
        }

        own.SignalDeadline = _signals.NextDeadline(own.Index);
    }

    /// <summary>Steps through the entries that were read; their effects are known already, but for the models'.</summary>
    private void RunRestored()
    {
        RunWaves();
        foreach (var (session, frames) in _restoring)
            session.Frames = frames;
        _restoring.Clear();
        foreach (var touched in _touched)
        {
            touched.Touched = false;
            touched.FirstFrame = touched.LastFrame = -1;
        }

        _touched.Clear();
        _frames.Clear();
        _frameValues.Clear();
        _emit = true;
    }

    /// <summary>Ends a restore; afterwards batches may come.</summary>
    /// <returns>How many streams were restored.</returns>
    public int EndRestore()
    {
        var known = _latestSnapshot.Count;
        if (Streams != known)
            throw new InvalidOperationException($"Restored {Streams} of {known} streams.");
        _latestSnapshot.Clear();
        _latestSnapshot.TrimExcess();
        foreach (var partition in Partitions)
        {
            foreach (var session in partition.Sessions.Values)
                Expect(partition, session);
            partition.SignalDeadline = _signals.NextDeadline(partition.Index);
        }

        return known;
    }

    /// <summary>A restored stream is looked after like any other from here on.</summary>
    private void Expect(Partition partition, StreamSession session)
    {
        Count(session);
        partition.Expect(session);
        if (session.Repair is not { } window)
            return;
        // The profile has its horizon since this start only: late data can be taken in from here on.
        if (_withoutWindow.Remove(session))
            Fill(_perProfile[session.Profile.Index], session, RestartWindow(session, window, partition.ActiveVersion[session.Profile.Index]));
        if (window.IsDirty)
            partition.Repairs.Add(session);
        partition.NoteRepairs();
    }

    private void RestoreSnapshot(Partition partition, ReadOnlySpan<byte> key, ReadOnlySpan<byte> profileName, long commit, ref ByteReader r)
    {
        var profile = ProfileOf(profileName)
            ?? throw new CorruptLogException($"Stored stream {Encoding.UTF8.GetString(key)} uses profile {Encoding.UTF8.GetString(profileName)}, which the configuration doesn't have. Restore the profile or start with an empty state folder.");
        if (profile.Profile.Signal != SignalKind.None)
        {
            _signals.RestoreSnapshot(key.ToArray(), profile, partition.Index, commit, ref r);
            return;
        }

        var shard = _perProfile[profile.Index];
        var session = new StreamSession(key.ToArray(), profile, shard.Arena.Allocate(profile.Channels), partition.Index, shard.Alignment) { SnapshotCommit = commit };
        ReadHeader(ref r, session);
        foreach (var slot in session.Slots)
        {
            if (r.Int32() != profile.Plan.RecordWords)
                throw new CorruptLogException($"Stored state of {session.Name} has another layout than profile {profile.Name} gives now (horizon, seasons, quantiles or units changed). Restore the profile or start with an empty state folder.");
            r.Floats(shard.Arena.Record(slot));
        }

        r.Floats(MemoryMarshal.Cast<double, float>(session.Joint.AsSpan()));
        session.Solo?.Read(ref r);
        partition.SoloStreams += session.Solo is null ? 0 : 1;
        if (session.Repair is { } window)
        {
            if (!r.AtEnd && r.Byte() == 1)
                window.Read(ref r);
            else
                _withoutWindow.Add(session);
        }

        partition.Sessions.Add(session.Key, session);
        shard.Sample.Add(session);
        _streams++;
        NoteSnapshot(session);
    }

    /// <returns>Whether the stream is there.</returns>
    private bool RestoreEntries(Partition partition, ReadOnlySpan<byte> key, ref ByteReader r)
    {
        if (!partition.Sessions.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(key, out var session))
            return _signals.RestoreEntries(partition.Index, key, ref r);

        ReadHeader(ref r, session);
        _restoring.Add((session, session.Frames));
        Touch(session);
        var n = r.Int32();
        for (var i = 0; i < n; i++)
        {
            var work = new FrameWork { Session = session, Frame = r.Int64(), ValuesAt = _frameValues.Count, NextOfStream = -1 };
            var kind = r.Byte();
            (work.Kind, work.Length, work.Version) = ((FrameKind)(kind & ~HasKnown), r.Int64(), r.Int32());
            var values = r.Byte();
            for (var c = 0; c < values; c++)
                _frameValues.Add(r.Double());
            (work.KnownAt, work.Known) = (_frameValues.Count, (kind & HasKnown) != 0 ? r.Byte() : 0);
            for (var c = 0; c < work.Known; c++)
                _frameValues.Add(r.Double());
            // The profile may have had other covariates known in advance when this was written.
            if (work.Known != session.Profile.KnownLength)
                work.Known = 0;
            Schedule(work);
            session.FramesSinceSnapshot++;
        }

        if (session.Repair is { } window && !_withoutWindow.Contains(session) && !r.AtEnd && r.Byte() == 1)
            window.ReadDelta(ref r, keep: n == 0);
        return true;
    }

    private ProfileRuntime? ProfileOf(ReadOnlySpan<byte> name)
    {
        foreach (var profile in _profiles)
        {
            if (name.SequenceEqual(profile.NameBytes))
                return profile;
        }

        return null;
    }

    /// <summary>Whether a stream lives here.</summary>
    public bool Holds(byte[] key) => _partitions[IndexOf(key)] is { } partition && (partition.Sessions.ContainsKey(key) || _signals.Holds(partition.Index, key));

    /// <summary>A person's view of a stream's recurrent state.</summary>
    public JsonObject? Describe(byte[] key)
    {
        if (_partitions[IndexOf(key)] is not { } partition)
            return null;
        if (!partition.Sessions.TryGetValue(key, out var session))
            return _signals.Describe(partition.Index, partition.Id, key);
        var shard = _perProfile[session.Profile.Index];
        var channels = new JsonObject();
        for (var c = 0; c < session.Slots.Length; c++)
        {
            var record = shard.Arena.Record(session.Slots[c]);
            channels[session.Profile.Profile.Channels[c]] = new JsonObject
            {
                ["observed_frames"] = shard.Model.Observed(record),
                ["scale"] = shard.Model.Scale(record),
                ["hidden"] = new JsonArray([.. shard.Model.HiddenState(record).ToArray().Select(v => (JsonNode)v)]),
                ["cell"] = new JsonArray([.. shard.Model.CellState(record).ToArray().Select(v => (JsonNode)v)]),
                ["forecast"] = _writer.Explanation(shard.Explanation, shard.Model, record, shard.PhaseOf(session.Aligner.LastClosed).Path),
                ["score"] = new JsonObject(shard.Model.ExplainScore(record).Select(x => KeyValuePair.Create(x.Name, (JsonNode?)new JsonObject { ["value"] = x.Value, ["bound"] = x.Bound }))),
            };
        }

        return new JsonObject
        {
            ["stream"] = session.Name,
            ["profile"] = session.Profile.Name,
            ["partition"] = partition.Id,
            ["frames"] = session.Frames,
            ["stale"] = session.Aligner.IsStale,
            ["model_version"] = partition.ActiveVersion[session.Profile.Index],
            ["state_bytes"] = (session.Slots.Length * session.Profile.Plan.RecordWords * 4) + (session.Joint.Length * sizeof(double)) + (session.Solo is null ? 0 : session.Slots.Length * SoloState.ChannelBytes),
            ["channels"] = channels,
        };
    }

    public void OnFrame(long frame, FrameKind kind, long length, ReadOnlySpan<double> values, FrameFlags flags)
    {
        var partition = _partitions[_session.Partition]!;
        var work = new FrameWork
        {
            Session = _session,
            Frame = frame,
            Kind = kind,
            Flags = flags,
            Length = length,
            ValuesAt = _frameValues.Count,
            Lsn = _lsn,
            Sub = _sub++,
            Clock = _clock,
            Version = partition.ActiveVersion[_session.Profile.Index],
            NextOfStream = -1,
            Newest = true,
        };
        if (_session.Repair is { } window)
            NoteClosed(window, _session, ref work);
        foreach (var v in values)
            _frameValues.Add(v);
        NoteKnown(partition, ref work);
        Schedule(work);
        if (work.Replayed)
            return;
        if (kind == FrameKind.Imputed)
            _output.Outcomes.Imputed++;
        else if (kind == FrameKind.Stale)
            _output.Outcomes.Stale++;
    }

    public async ValueTask DisposeAsync()
    {
        _work.Writer.TryComplete();
        try
        {
            await _running;
        }
        finally
        {
            _writer.Dispose();
        }
    }

    private async Task RunAsync()
    {
        try
        {
            while (await _work.Reader.WaitToReadAsync())
            {
                while (_work.Reader.TryRead(out var work))
                {
                    var result = work();
                    await _done.Writer.WriteAsync(result);
                }
            }
        }
        catch (Exception e)
        {
            _done.Writer.TryComplete(e);
            throw;
        }

        _done.Writer.TryComplete();
    }

    private void Align(Partition partition, LogBatch batch, int entry)
    {
        _lsn = batch.Lsn[entry];
        _sub = 0;
        switch (batch.Kind[entry])
        {
            case EntryKind.Sample:
                partition.Clock = Math.Max(partition.Clock, batch.Clock[entry]);
                _clock = partition.Clock;
                RunRepairs(partition);
                if (partition.Outlooks.Names(batch.Samples.Key(batch.SampleIndex[entry])))
                    TakeOutlook(partition, batch.Samples, batch.SampleIndex[entry]);
                else if (batch.Samples.Rows(batch.SampleIndex[entry]) > 1)
                    AlignBlock(partition, batch.Samples, batch.SampleIndex[entry]);
                else
                    AlignSample(partition, batch.Samples, batch.SampleIndex[entry]);
                break;
            case EntryKind.Tick:
                partition.Clock = Math.Max(partition.Clock, batch.Clock[entry]);
                _clock = partition.Clock;
                RunRepairs(partition);
                AlignTick(partition);
                break;
            case EntryKind.Activate:
                var (profile, version) = batch.Activations[batch.SampleIndex[entry]];
                if (Array.Find(_profiles, p => p.Name == profile) is { } runtime)
                    partition.ActiveVersion[runtime.Index] = version;
                break;
            case EntryKind.Reset:
                if (partition.Sessions.TryGetValue(batch.Samples.Key(batch.SampleIndex[entry]).ToArray(), out var session))
                {
                    var cleared = session.Repair is { } window ? RestartWindow(session, window, partition.ActiveVersion[session.Profile.Index]) : null;
                    Schedule(new FrameWork { Session = session, Kind = FrameKind.Bridge, Length = -1, Lsn = _lsn, Clock = partition.Clock, NextOfStream = -1, ValuesAt = _frameValues.Count, Base = cleared });
                }
                else
                {
                    _signals.TryReset(partition.Index, batch.Samples.Key(batch.SampleIndex[entry]));
                }

                break;
            default:
                throw new InvalidOperationException($"Unknown log entry {batch.Kind[entry]}.");
        }
    }

    /// <summary>A signal takes a block as it is; a series reads the samples one by one.</summary>
    private void AlignBlock(Partition partition, SampleBatch samples, int i)
    {
        if (TryTakeSignal(partition, samples, i))
            return;
        _expanded.Clear();
        for (var k = 0; k < samples.Rows(i); k++)
        {
            var values = samples.Values(i, k);
            if (values.ContainsAnyExcept(double.NaN))
                _expanded.Add(samples.Key(i), samples.EventTime(i, k), samples.Arrival(i), values);
        }

        for (var k = 0; k < _expanded.Count; k++)
            AlignSample(partition, _expanded, k);
    }

    private bool TryTakeSignal(Partition partition, SampleBatch samples, int i)
    {
        if (!_signals.TryTake(partition.Index, partition.Sessions.Count + _signals.Count(partition.Index), samples, i, out var deadline))
            return false;
        partition.SignalDeadline = Math.Min(partition.SignalDeadline, deadline);
        return true;
    }

    private void AlignSample(Partition partition, SampleBatch samples, int i)
    {
        var key = samples.Key(i);
        var lookup = partition.Sessions.GetAlternateLookup<ReadOnlySpan<byte>>();
        if (!lookup.TryGetValue(key, out var session))
        {
            if (TryTakeSignal(partition, samples, i))
                return;
            if (_selector.Select(key) is not { } profile)
            {
                Reject(samples, i, DeadLetterReason.Unmatched, "No profile selects this stream.");
                return;
            }

            if (partition.Sessions.Count + _signals.Count(partition.Index) >= _settings.MaxStreamsPerPartition)
            {
                Reject(samples, i, DeadLetterReason.StreamLimit, $"Partition {partition.Id} already has {_settings.MaxStreamsPerPartition} streams.");
                return;
            }

            if (profile.Tier == Tier.Solo && partition.SoloStreams >= _settings.MaxSoloStreamsPerPartition)
            {
                Reject(samples, i, DeadLetterReason.StreamLimit, $"Partition {partition.Id} already has {_settings.MaxSoloStreamsPerPartition} streams of tier solo.");
                return;
            }

            if (!CheckChannels(profile, samples, i) || !CheckRange(profile, samples, i))
                return;
            var runtime = Array.Find(_profiles, p => p.Profile == profile)!;
            var shard = _perProfile[runtime.Index];
            session = new StreamSession(key.ToArray(), runtime, shard.Arena.Allocate(runtime.Channels), partition.Index, shard.Alignment)
            {
                FramesSinceSnapshot = (int)(VirtualPartition.Murmur2(key) / 64 % runtime.SnapshotEvery),
            };
            foreach (var slot in session.Slots)
                shard.Model.Initialise(shard.Arena.Record(slot));
            partition.Sessions.Add(session.Key, session);
            shard.Sample.Add(session);
            _streams++;
            partition.SoloStreams += session.Solo is null ? 0 : 1;
            if (session.Repair is { } born)
                RestartWindow(session, born, 0);
        }
        else if (!CheckChannels(session.Profile.Profile, samples, i))
        {
            return;
        }

        _session = session;
        // Below, it arrives at the partition's clock: a stamp before it (a producer's clock, or ours set back) would look like old silence.
        var late = session.Repair is not null && session.Aligner.IsBehind(samples.EventTime(i));
        if (!CheckRange(session.Profile.Profile, samples, i))
        {
            AlignFaulty(partition, session, samples, i, late);
            Touch(session);
            partition.Expect(session);
            return;
        }

        if (late)
        {
            AlignLate(partition, session, session.Repair!, samples.EventTime(i), _clock, samples.Values(i), faulty: false);
            return;
        }

        var outcome = session.Aligner.Add(samples.EventTime(i), _clock, samples.Values(i), this);
        if (session.Repair is { } kept && outcome is SampleOutcome.Accepted or SampleOutcome.Duplicate or SampleOutcome.Dip)
            Keep(partition, session, kept, samples.EventTime(i), _clock, samples.Values(i), faulty: false);
        switch (outcome)
        {
            case SampleOutcome.Accepted:
                _output.Outcomes.Accepted++;
                break;
            case SampleOutcome.Duplicate:
                _output.Outcomes.Duplicate++;
                break;
            case SampleOutcome.Dip:
                _output.Outcomes.Dip++;
                break;
            case SampleOutcome.Late:
                _output.Outcomes.Late++;
                Reject(samples, i, DeadLetterReason.Late, $"Its interval was closed; the newest event time of the stream is {UnixMicros.ToDateTimeOffset(session.Aligner.NewestEventTime):O}.");
                break;
            default:
                Reject(samples, i, DeadLetterReason.FrameOverflow, $"The interval already holds {session.Profile.Profile.MaxSamplesPerFrame} samples.");
                break;
        }

        Touch(session);
        partition.Expect(session);
    }

    private void AlignTick(Partition partition)
    {
        _due.Clear();
        partition.TakeDue(_due);
        // In the order of keys, so that what they emit doesn't depend on when each was last looked at.
        _due.Sort(static (a, b) => KeyComparer.Instance.Compare(a.Key, b.Key));
        foreach (var session in _due)
        {
            _session = session;
            session.Aligner.OnTick(partition.Clock, this);
            Touch(session);
            partition.Expect(session);
        }

        if (partition.SignalDeadline <= partition.Clock)
            partition.SignalDeadline = _signals.OnTick(partition.Index, partition.Clock);
    }

    /// <summary>A value that can't be true is missing, yet the grid hears of it: its frame tells of a faulty sensor, not of silence.</summary>
    private void AlignFaulty(Partition partition, StreamSession session, SampleBatch samples, int i, bool late)
    {
        var profile = session.Profile.Profile;
        var values = _valueScratch.AsSpan(0, profile.Channels.Count);
        samples.Values(i).CopyTo(values);
        foreach (ref var v in values)
        {
            if (v < profile.ValidMin || v > profile.ValidMax)
                v = double.NaN;
        }

        if (late)
        {
            AlignLate(partition, session, session.Repair!, samples.EventTime(i), _clock, values, faulty: true);
            return;
        }

        var outcome = session.Aligner.Add(samples.EventTime(i), _clock, values, this, faulty: true);
        if (session.Repair is { } kept && outcome is SampleOutcome.Accepted or SampleOutcome.Duplicate or SampleOutcome.Dip)
            Keep(partition, session, kept, samples.EventTime(i), _clock, values, faulty: true);
    }

    private bool CheckChannels(Profile profile, SampleBatch samples, int i)
    {
        var values = samples.Values(i);
        if (values.Length == profile.Channels.Count)
            return true;
        Reject(samples, i, DeadLetterReason.ChannelCount, $"The sample has {values.Length} values; profile {profile.Name} has {profile.Channels.Count} channels.");
        return false;
    }

    private bool CheckRange(Profile profile, SampleBatch samples, int i)
    {
        foreach (var v in samples.Values(i))
        {
            if (v < profile.ValidMin || v > profile.ValidMax)
            {
                Reject(samples, i, DeadLetterReason.OutOfRange, $"{v.ToString(System.Globalization.CultureInfo.InvariantCulture)} lies outside the valid range of profile {profile.Name}.");
                return false;
            }
        }

        return true;
    }

    private void Reject(SampleBatch samples, int i, string reason, string detail) =>
        Reject(samples.Key(i), samples.EventTime(i), samples.Arrival(i), samples.Values(i), reason, detail);

    private void Reject(ReadOnlySpan<byte> key, long eventTime, long arrival, ReadOnlySpan<double> values, string reason, string detail)
    {
        _output.Outcomes.Rejected += reason == DeadLetterReason.Late ? 0 : 1;
        var stream = Encoding.UTF8.GetString(key);
        var payload = Encoding.UTF8.GetBytes(FormattableString.Invariant($"{UnixMicros.ToDateTimeOffset(eventTime):O} {string.Join(' ', values[..Math.Min(values.Length, 255)].ToArray().Select(v => v.ToString("R", System.Globalization.CultureInfo.InvariantCulture)))}"));
        var letter = DeadLetter.Create(reason, "engine", _batch.DescribePosition(_lsn), detail, arrival, payload, stream);
        var start = _output.Json.Length;
        _writer.DeadLetter(_output.Json, letter);
        Emit(_lsn, 2 * _sub++, OutputKind.DeadLetter, reason, arrival, start);
    }

    void ISignalHost.Emit(OutputKind kind, string stream, long timeMicros, int start) => Emit(_lsn, 2 * _sub++, kind, stream, timeMicros, start);

    void ISignalHost.Reject(SampleBatch samples, int i, string reason, string detail) => Reject(samples, i, reason, detail);

    OutcomeCounts ISignalHost.Outcomes => _output.Outcomes;

    ResultWriter ISignalHost.Writer => _writer;

    ByteWriter ISignalHost.Json => _output.Json;

    long ISignalHost.Clock => _clock;

    bool ISignalHost.Emits => _emit;

    /// <summary>Outputs the JSON that begins at <paramref name="start"/>.</summary>
    private void Emit(long lsn, int sub, OutputKind kind, string stream, long time, int start, int revision = 0, bool newest = true)
    {
        _output.Outputs.Add(new PendingOutput(lsn, sub, kind, stream, time, start, _output.Json.Length - start, revision, newest));
        _output.Results += kind == OutputKind.Result ? 1 : 0;
    }

    private void Touch(StreamSession session)
    {
        if (session.Touched)
            return;
        session.Touched = true;
        _touched.Add(session);
    }

    private void Schedule(FrameWork work)
    {
        var session = work.Session;
        var index = _frames.Count;
        var wave = 0;
        if (session.LastFrame >= 0)
        {
            CollectionsMarshal.AsSpan(_frames)[session.LastFrame].NextOfStream = index;
            wave = session.Wave + 1;
        }
        else
        {
            session.FirstFrame = index;
        }

        session.LastFrame = index;
        session.Wave = wave;
        Touch(session);
        _frames.Add(work);
        while (_waves.Count <= wave)
            _waves.Add([]);
        _waves[wave].Add(index);
    }

    private void RunWaves()
    {
        foreach (var wave in _waves)
        {
            foreach (var index in wave)
            {
                ref var work = ref CollectionsMarshal.AsSpan(_frames)[index];
                var profile = _perProfile[work.Session.Profile.Index];
                switch (work.Kind)
                {
                    case FrameKind.Bridge:
                        Bridge(profile, work);
                        continue;
                    case FrameKind.Rewind:
                        Rewind(profile, work.Session, work.Base!);
                        continue;
                    case FrameKind.Settle:
                        Settle(work.Session, work);
                        continue;
                }

                var block = profile.Block(work.Version);
                block.Frames.Add(index);
                if ((block.Frames.Count + 1) * profile.Runtime.Channels > BlockRows)
                    RunBlock(profile, block);
            }

            foreach (var profile in _perProfile)
            {
                foreach (var block in profile.Blocks)
                {
                    if (block.Frames.Count > 0)
                        RunBlock(profile, block);
                }
            }

            wave.Clear();
        }
    }

    private void Bridge(ProfileShard profile, in FrameWork work)
    {
        if (_emit && work.Length > 0)
        {
            work.Session.Episode.ExtendStale(work.Frame + work.Length - 1);
            if (work.Session.Repair is not null)
                WithdrawResults(work.Session, work);
        }

        if (work.Session.Joint is { Length: > 0 } joint)
        {
            if (work.Length < 0)
                JointScore.Initialise(joint);
            else
                JointScore.Forget(joint);
        }

        if (work.Length < 0)
            work.Session.Solo?.Initialise();
        foreach (var slot in work.Session.Slots)
        {
            var record = profile.Arena.Record(slot);
            if (work.Length < 0)
                profile.Model.Initialise(record);
            else
                profile.Model.Bridge(record, work.Length, work.Frame, profile.PhaseOf);
        }

        if (work.Base is { } filled)
            Fill(profile, work.Session, filled);
    }

    /// <summary>score → calibrate → learn for every row, one network step for the whole block, then the forecasts.</summary>
    private void RunBlock(ProfileShard profile, ModelBlock block)
    {
        var runtime = profile.Runtime;
        var plan = runtime.Plan;
        var d = runtime.Channels;
        var rows = block.Frames.Count * d;
        profile.EnsureRows(rows);
        var frames = CollectionsMarshal.AsSpan(_frames);
        var allValues = CollectionsMarshal.AsSpan(_frameValues);
        var row = 0;
        foreach (var index in block.Frames)
        {
            ref readonly var work = ref frames[index];
            var phase = profile.PhaseOf(work.Frame);
            var muted = !_emit || work.Frame * runtime.IntervalMicros < _settings.MuteBeforeMicros;
            for (var c = 0; c < d; c++)
            {
                profile.Model.Prefetch(RecordOf(profile, block, row + c + 1), RecordOf(profile, block, row + c + 2));
                var value = work.Kind == FrameKind.Observed ? allValues[work.ValuesAt + c] : double.NaN;
                profile.Scores[row + c] = profile.Model.Observe(profile.Arena.Record(work.Session.Slots[c]), value, phase, muted || work.Replayed ? null : profile.Skill);
                if (work.Session.Solo is { } solo && !double.IsNaN(value))
                    profile.Scores[row + c] = solo.Update(_soloWorkspace ??= new SoloWorkspace(), c, work.Frame * runtime.IntervalMicros, value, profile.Scores[row + c], runtime.Profile.AlarmRule);
            }

            var covariates = profile.CovariatesAt(row / d);
            for (var i = 0; i < runtime.CovariateChannels.Length; i++)
            {
                var features = covariates.Slice(i * covariates.Length / runtime.CovariateChannels.Length, covariates.Length / runtime.CovariateChannels.Length);
                var steps = work.Known / runtime.CovariateChannels.Length;
                profile.Model.WriteCovariate(profile.Arena.Record(work.Session.Slots[runtime.CovariateChannels[i]]), phase, features, allValues.Slice(work.KnownAt + (i * steps), steps));
            }

            for (var c = 0; c < d; c++, row++)
            {
                var record = profile.Arena.Record(work.Session.Slots[c]);
                var missing = work.Kind != FrameKind.Observed || double.IsNaN(allValues[work.ValuesAt + c]);
                profile.Model.WriteInputs(record, phase, missing, covariates, profile.Inputs.AsSpan(row * plan.Inputs, plan.Inputs));
                if (block.Workspace is not null)
                {
                    profile.Model.HiddenState(record).CopyTo(profile.Hidden.AsSpan(row * plan.Hidden, plan.Hidden));
                    profile.Model.CellState(record).CopyTo(profile.Cell.AsSpan(row * plan.Hidden, plan.Hidden));
                }
            }
        }

        if (block.Workspace is not null)
        {
            VectorKernel.Step(
                block.Workspace,
                profile.Inputs.AsSpan(0, rows * plan.Inputs),
                profile.Hidden.AsSpan(0, rows * plan.Hidden),
                profile.Cell.AsSpan(0, rows * plan.Hidden),
                profile.Outputs.AsSpan(0, rows * plan.Horizon),
                rows);
        }

        row = 0;
        var length = plan.Horizon * plan.Quantiles.Length;
        foreach (var index in block.Frames)
        {
            ref readonly var work = ref frames[index];
            var session = work.Session;
            session.Frames++;
            var muted = !_emit || work.Frame * runtime.IntervalMicros < _settings.MuteBeforeMicros;
            var every = runtime.Profile.ForecastEvery;
            var withForecast = !muted && work.Newest && every > 0 && session.Frames % every == 0;
            var phase = profile.PhaseOf(work.Frame);
            var firstRow = row;
            for (var c = 0; c < d; c++, row++)
            {
                var record = profile.Arena.Record(session.Slots[c]);
                if (block.Workspace is not null)
                {
                    profile.Hidden.AsSpan(row * plan.Hidden, plan.Hidden).CopyTo(profile.Model.HiddenState(record));
                    profile.Cell.AsSpan(row * plan.Hidden, plan.Hidden).CopyTo(profile.Model.CellState(record));
                }

                var recurrent = block.Workspace is null ? default : profile.Outputs.AsSpan(row * plan.Horizon, plan.Horizon);
                var experts = withForecast && _settings.Observer is not null ? profile.Experts(c) : default;
                profile.Model.Issue(record, phase, recurrent, withForecast ? profile.Forecasts.AsSpan(c * length, length) : default, experts);
                if (_emit && _teaches && runtime.Profile.Learning && session.InTrainingSample)
                {
                    var value = work.Kind == FrameKind.Observed ? allValues[work.ValuesAt + c] : double.NaN;
                    var training = new TrainingRow(
                        runtime.Index, session.Name, c, work.Frame, value, (float)profile.Model.Scale(record), profile.Inputs.AsSpan(row * plan.Inputs, plan.Inputs).ToArray(), new Half[plan.Horizon]);
                    profile.Model.RecurrentBase(record, training.Base);
                    _output.TrainingRows.Add(training);
                }
            }

            Publish(profile, work, allValues, profile.Scores.AsSpan(firstRow, d), withForecast ? profile.Forecasts.AsSpan(0, d * length) : default, muted);
            if (work.Base is { } filled)
                Fill(profile, session, filled);
        }

        _output.Frames += block.Frames.Count;
        block.Frames.Clear();
    }

    /// <summary>State record of a block's row; empty beyond its end.</summary>
    private ReadOnlySpan<float> RecordOf(ProfileShard profile, ModelBlock block, int row)
    {
        var (frame, channel) = Math.DivRem(row, profile.Runtime.Channels);
        return frame < block.Frames.Count ? profile.Arena.Record(_frames[block.Frames[frame]].Session.Slots[channel]) : default;
    }

    private void Publish(ProfileShard profile, in FrameWork work, ReadOnlySpan<double> allValues, ReadOnlySpan<FrameScore> scores, ReadOnlySpan<float> forecasts, bool muted)
    {
        var session = work.Session;
        var d = scores.Length;
        var values = _valueScratch.AsSpan(0, d);
        var shares = profile.Shares.AsSpan();
        shares.Fill(1f / d);
        var kind = AnomalyKind.None;
        var direction = 0;
        var score = 0f;
        if (work.Kind == FrameKind.Observed)
        {
            allValues.Slice(work.ValuesAt, d).CopyTo(values);
            (score, kind, direction) = d == 1 ? (scores[0].Score, scores[0].Kind, scores[0].Direction) : Join(profile, session, values, scores, shares);
        }
        else
        {
            values.Fill(double.NaN);
            if (work.Kind == FrameKind.Stale)
            {
                kind = AnomalyKind.Stale;
                // Staleness is a fact, not an estimate: just over the threshold, whatever the length of the gap.
                score = 1.25f;
            }
        }

        if (!_emit)
            return;
        if (!work.Replayed && _settings.Observer is { } observer)
        {
            var length = forecasts.Length / Math.Max(1, d);
            for (var c = 0; c < d; c++)
                observer.OnFrame(session.Name, c, work.Frame, values[c], scores[c], forecasts.Slice(c * length, length), length > 0 ? profile.Experts(c) : default);
        }

        // Frames without samples say nothing about whether an episode is over.
        var change = muted || work.Kind == FrameKind.Imputed ? EpisodeChange.None : session.OnFrame(work.Frame, score, kind, direction);
        if (muted)
            return;
        var time = work.Frame * profile.Runtime.IntervalMicros;
        var window = session.Repair;
        var revision = window?.Publish(work.Frame, FingerprintOf(work, values, scores, score, kind, direction, session.Episode), again: work.Replayed && work.Newest && window.Changed) ?? 0;
        if (revision >= 0)
        {
            _output.Outcomes.Revisions += revision > 0 ? 1 : 0;
            var start = _output.Json.Length;
            _writer.Result(_output.Json, work, values, scores, shares, score, kind, direction, forecasts, profile.Runtime.Profile.Explain ? profile : null, revision);
            Emit(work.Lsn, 2 * work.Sub, OutputKind.Result, session.Name, time, start, revision, work.Newest);
        }

        if (change == EpisodeChange.None)
            return;
        var episode = EpisodeSummary.Of(session.Episode);
        var state = change == EpisodeChange.Closed ? EpisodeState.Closed : EpisodeState.Open;
        revision = window?.Publish(episode, state, work.Frame) ?? 0;
        if (revision >= 0)
            EmitEpisode(session, episode, state, revision, work.Lsn, (2 * work.Sub) + 1);
    }

    /// <summary>The joint score of several channels; the channel with the largest share names the type where the channels' own scores raise it.</summary>
    private static (float Score, AnomalyKind Kind, int Direction) Join(ProfileShard profile, StreamSession session, ReadOnlySpan<double> values, ReadOnlySpan<FrameScore> scores, Span<float> shares)
    {
        var d = scores.Length;
        var runtime = profile.Runtime;
        for (var c = 0; c < d; c++)
            profile.ChannelScores[c] = JointScore.Counted(scores[c].Score, scores[c].Kind == AnomalyKind.Stuck);
        var parts = JointScore.Update(session.Joint, values, profile.ChannelScores, profile.Residuals, runtime.JointBasis, runtime.JointRatio, runtime.Plan.FalseAlarmsPerFrame);
        // In the units of a channel: whether a contradiction is one that matters.
        var odd = 0;
        for (var c = 1; c < d; c++)
        {
            if (Math.Abs(profile.Residuals[c]) > Math.Abs(profile.Residuals[odd]))
                odd = c;
        }

        var rule = runtime.Profile.AlarmRule;
        var side = Math.Sign(profile.Residuals[odd]);
        var size = Math.Abs(profile.Residuals[odd]) * JointScore.Deviation(session.Joint, odd, d);
        var relation = size >= rule.Least(values[odd]) && rule.Admits(side) ? parts.Relation : Math.Min(parts.Relation, 1);
        var related = relation > parts.Channels;
        double sum = 0;
        for (var c = 0; c < d; c++)
            sum += related ? profile.Residuals[c] * profile.Residuals[c] : profile.ChannelScores[c] * profile.ChannelScores[c];
        for (var c = 0; c < d && sum > 0; c++)
            shares[c] = (float)((related ? profile.Residuals[c] * profile.Residuals[c] : profile.ChannelScores[c] * profile.ChannelScores[c]) / sum);
        if (related)
            return (relation, relation > 1 ? AnomalyKind.Relation : AnomalyKind.None, relation > 1 ? side : 0);
        var worst = 0;
        for (var c = 1; c < d; c++)
        {
            if (scores[c].Score > scores[worst].Score)
                worst = c;
        }

        // Channels that a rule, or their own bounds, keep from an alarm raise none together either.
        var score = scores[worst].IsAnomaly ? parts.Channels : Math.Min(parts.Channels, 1);
        return score > 1 ? (score, scores[worst].Kind, scores[worst].Direction) : (score, AnomalyKind.None, 0);
    }

    /// <summary>
    /// The snapshots that hold the log's oldest segment back are written anew, a few with every batch: most streams write theirs in time by
    /// themselves, and a large fleet's snapshots fill several segments at any time. As many as would fit would write them over and over; one for every
    /// so many frames adds less to a commit than its frames do, and still empties a segment while a stream has a dozen frames.
    /// </summary>
    private void TouchOldSnapshots(long before)
    {
        const int framesPerSnapshot = 16;
        for (var most = Math.Max(1, _frames.Count / framesPerSnapshot); most > 0 && _bySnapshot.TryPeek(out var oldest) && oldest.Commit < before;)
        {
            _bySnapshot.Dequeue();
            if (oldest.Session.SnapshotCommit != oldest.Commit)
                continue;
            oldest.Session.FramesSinceSnapshot = oldest.Session.Profile.SnapshotEvery;
            Touch(oldest.Session);
            most--;
        }
    }

    // A broker compacts by key; nobody needs to know there whose snapshot is the oldest.
    private void NoteSnapshot(StreamSession session)
    {
        if (!_single)
            _bySnapshot.Enqueue((session, session.SnapshotCommit));
    }

    private int IndexOf(ReadOnlySpan<byte> key) => _single ? 0 : VirtualPartition.Of(key);

    private void EncodeTouched()
    {
        var w = _output.State;
        foreach (var session in _touched)
        {
            session.Touched = false;
            var frames = 0;
            for (var i = session.FirstFrame; i >= 0; i = _frames[i].NextOfStream)
                frames++;
            session.FramesSinceSnapshot += frames;
            // A full reset can't be told by entries; neither can a stream's first commit.
            var snapshot = session.SnapshotCommit < 0 || session.FramesSinceSnapshot >= session.Profile.SnapshotEvery || HasReset(session) || session.Repair is { NeedsSnapshot: true };
            w.Byte(snapshot ? SnapshotRecord : EntriesRecord);
            _output.StateSlots.Add(snapshot ? (byte)0 : frames == 0 ? HeaderSlot : (byte)session.FramesSinceSnapshot);
            w.Block(session.Key);
            w.Block(session.Profile.NameBytes);
            var lengthAt = w.Length;
            w.Int32(0);
            session.Aligner.Write(w);
            session.Episode.Write(w);
            w.Int64(session.Frames);
            if (snapshot)
            {
                foreach (var slot in session.Slots)
                {
                    w.Int32(session.Profile.Plan.RecordWords);
                    w.Floats(_perProfile[session.Profile.Index].Arena.Record(slot));
                }

                w.Floats(MemoryMarshal.Cast<double, float>(session.Joint.AsSpan()));
                session.Solo?.Write(w);

                if (session.Repair is { } window)
                {
                    w.Byte(1);
                    window.Write(w);
                    window.NeedsSnapshot = false;
                }

                session.FramesSinceSnapshot = 0;
                // Commits become durable in order or not at all, so the next may count on this one.
                session.SnapshotCommit = _commit;
                NoteSnapshot(session);
            }
            else
            {
                w.Int32(frames);
                for (var i = session.FirstFrame; i >= 0; i = _frames[i].NextOfStream)
                {
                    var work = _frames[i];
                    var n = work.Kind == FrameKind.Observed ? session.Slots.Length : 0;
                    w.Int64(work.Frame);
                    w.Byte((byte)((byte)work.Kind | (work.Known > 0 ? HasKnown : 0)));
                    w.Int64(work.Length);
                    w.Int32(work.Version);
                    w.Byte((byte)n);
                    for (var c = 0; c < n; c++)
                        w.Double(_frameValues[work.ValuesAt + c]);
                    if (work.Known > 0)
                        w.Byte((byte)work.Known);
                    for (var c = 0; c < work.Known; c++)
                        w.Double(_frameValues[work.KnownAt + c]);
                }

                if (session.Repair is { } window)
                {
                    w.Byte(1);
                    window.WriteDelta(w, ClosedFrames(session), keep: frames == 0);
                }
            }

            w.PatchInt32(lengthAt, w.Length - lengthAt - 4);
            _output.StateCount++;
            Count(session);
            session.FirstFrame = session.LastFrame = -1;
        }

        _touched.Clear();
        _frames.Clear();
        _frameValues.Clear();
        _output.StateCount += _signals.EncodeTouched(w, _output.StateSlots, _commit);
        _output.Frames += _signals.Findings;
        _signals.Findings = 0;
    }

    /// <summary>Keeps the numbers for status views up to date, so that nobody has to go through a million streams for them.</summary>
    private void Count(StreamSession session)
    {
        var severity = session.Episode.IsOpen ? Math.Max(0, EpisodeTracker.Severities.IndexOf(EpisodeTracker.Severity(session.Episode.PeakScore))) : -1;
        if (severity != session.CountedSeverity)
        {
            if (session.CountedSeverity >= 0)
                _openBySeverity[session.CountedSeverity]--;
            if (severity >= 0)
                _openBySeverity[severity]++;
            session.CountedSeverity = (sbyte)severity;
        }

        if (session.Aligner.IsStale == session.CountedStale)
            return;
        session.CountedStale = !session.CountedStale;
        _stale += session.CountedStale ? 1 : -1;
    }

    private IEnumerable<long> ClosedFrames(StreamSession session)
    {
        for (var i = session.FirstFrame; i >= 0; i = _frames[i].NextOfStream)
        {
            if (_frames[i].Kind != FrameKind.Bridge)
                yield return _frames[i].Frame;
        }
    }

    private bool HasReset(StreamSession session)
    {
        for (var i = session.FirstFrame; i >= 0; i = _frames[i].NextOfStream)
        {
            if (_frames[i].Kind == FrameKind.Bridge && _frames[i].Length < 0)
                return true;
        }

        return false;
    }

    private static void ReadHeader(ref ByteReader r, StreamSession session)
    {
        session.Aligner.Read(ref r);
        session.ReadEpisode(ref r);
        session.Frames = r.Int64();
    }

    private static IEnumerable<StreamSession> InKeyOrder(Partition partition) =>
        partition.Sessions.Values.OrderBy(s => s.Key, KeyComparer.Instance);

    /// <summary>One partition's streams and clock.</summary>
    internal sealed class Partition(int index, int id, ProfileRuntime[] profiles)
    {
        // Every stream that waits for anything is in it once, under a time no later than its deadline: deadlines only move back.
        private readonly PriorityQueue<StreamSession, long> _deadlines = new();
        private long _nextDeadline = long.MaxValue;
        private long _signalDeadline = long.MaxValue;
        private long _repairDeadline = long.MaxValue;

        /// <summary>Place in a <see cref="LogBatch"/>.</summary>
        public int Index { get; } = index;

        /// <summary>The number by which people know it.</summary>
        public int Id { get; } = id;

        /// <summary>Unix microseconds; advanced only by log entries.</summary>
        public long Clock { get; set; } = long.MinValue;

        /// <summary>Its streams of tier solo, which are large.</summary>
        public int SoloStreams { get; set; }

        /// <summary>Earliest time at which silence may close a frame here; read by the ticker.</summary>
        public long NextDeadline => Math.Min(Math.Min(Volatile.Read(ref _nextDeadline), Volatile.Read(ref _repairDeadline)), SignalDeadline);

        /// <summary>The same for its signals alone.</summary>
        public long SignalDeadline
        {
            get => Volatile.Read(ref _signalDeadline);
            set => Volatile.Write(ref _signalDeadline, value);
        }

        public int[] ActiveVersion { get; } = new int[profiles.Length];

        public Dictionary<byte[], StreamSession> Sessions { get; } = new(KeyComparer.Instance);

        /// <summary>What is known in advance of covariates, at this place in the log.</summary>
        public OutlookTable Outlooks { get; } = new(profiles);

        /// <summary>Streams that wait for a repair, the first due first.</summary>
        public SortedSet<StreamSession> Repairs { get; } = new(Comparer<StreamSession>.Create((a, b) => a.Repair!.Due.CompareTo(b.Repair!.Due) is not 0 and var due ? due : KeyComparer.Instance.Compare(a.Key, b.Key)));

        /// <summary>The repairs that wait may have changed.</summary>
        public void NoteRepairs() => Volatile.Write(ref _repairDeadline, Repairs.Min?.Repair!.Due ?? long.MaxValue);

        /// <summary>Looks after a stream's deadline from now on.</summary>
        public void Expect(StreamSession session)
        {
            var deadline = session.Aligner.Deadline;
            if (deadline >= session.ExpectedAt)
                return;
            // Earlier than what it waits under, or not waiting: its older place, if it has one, is passed over when it comes up.
            session.ExpectedAt = deadline;
            _deadlines.Enqueue(session, deadline);
            Volatile.Write(ref _nextDeadline, _deadlines.TryPeek(out _, out var next) ? next : long.MaxValue);
        }

        /// <summary>The streams whose deadline the clock has reached.</summary>
        public void TakeDue(List<StreamSession> due)
        {
            while (_deadlines.TryPeek(out var session, out var at) && at <= Clock)
            {
                _deadlines.Dequeue();
                if (at != session.ExpectedAt)
                    continue;
                session.ExpectedAt = long.MaxValue;
                if (session.Aligner.Deadline <= Clock)
                    due.Add(session);
                else
                    Expect(session);
            }

            Volatile.Write(ref _nextDeadline, _deadlines.TryPeek(out _, out var next) ? next : long.MaxValue);
        }
    }

    private sealed class ModelBlock(LstmWorkspace? workspace)
    {
        public LstmWorkspace? Workspace { get; } = workspace;

        public List<int> Frames { get; } = [];
    }

    private sealed class ProfileShard(ProfileRuntime runtime, ModelStore models, int shards, int chunkRecords) : IForecastExplainer
    {
        private readonly Dictionary<int, ModelBlock> _blocks = [];

        public ProfileRuntime Runtime { get; } = runtime;

        public SeriesModel Model { get; } = new(runtime.Plan, runtime.Profile.AlarmRule);

        public Func<long, FramePhase> PhaseOf { get; } = new LocalCalendar(runtime.Plan, runtime.Profile).Phase;

        public AlignerWorkspace Alignment { get; } = new(runtime.Profile);

        public StateArena Arena { get; } = new(runtime.Plan.RecordWords, chunkRecords);

        public TrainingSample Sample { get; } = new(Math.Max(1, ProfileTrainer.MaxSeries(runtime.Plan) / (runtime.Channels * shards)));

        public SkillSums Skill { get; } = new(runtime.Plan.Knots.Length);

        public IEnumerable<ModelBlock> Blocks => _blocks.Values;

        public float[] Inputs { get; private set; } = [];

        /// <summary>What the covariates of the i-th frame of a block contribute.</summary>
        public Span<float> CovariatesAt(int i) => _covariates.AsSpan(i * Runtime.Plan.CovariateInputs, Runtime.Plan.CovariateInputs);

        public float[] Hidden { get; private set; } = [];

        public float[] Cell { get; private set; } = [];

        public float[] Outputs { get; private set; } = [];

        public FrameScore[] Scores { get; private set; } = [];

        /// <summary>Of one stream's channels, scratch: scores, what their relation leaves over, shares in the score.</summary>
        public float[] ChannelScores { get; } = new float[runtime.Channels];

        public double[] Residuals { get; } = new double[runtime.Channels];

        public float[] Shares { get; } = new float[runtime.Channels];

        public float[] Forecasts { get; } = new float[runtime.Channels * runtime.Plan.Horizon * runtime.Plan.Quantiles.Length];

        public ForecastExplanation Explanation { get; } = new(runtime.Plan);

        private float[] _experts = [];
        private float[] _covariates = [];

        /// <summary>The experts' forecasts [M, K] of a channel, for an observer.</summary>
        public Span<float> Experts(int channel)
        {
            var length = ForecastPlan.Experts * Runtime.Plan.Horizon;
            if (_experts.Length == 0)
                _experts = new float[Runtime.Channels * length];
            return _experts.AsSpan(channel * length, length);
        }

        public void Explain(Utf8JsonWriter json, StreamSession session, long frame)
        {
            for (var c = 0; c < session.Slots.Length; c++)
                Explanation.Write(json, Model, Arena.Record(session.Slots[c]), PhaseOf(frame).Path);
        }

        /// <summary>The block of frames that step with a version; version 0 is the mixture without a network.</summary>
        public ModelBlock Block(int version)
        {
            if (_blocks.TryGetValue(version, out var block))
                return block;
            // Old versions come back only while a restore replays entries; a few packed copies are plenty.
            if (_blocks.Count > 4 && _blocks.FirstOrDefault(b => b.Value.Frames.Count == 0 && b.Key != 0) is { Value: not null } idle)
                _blocks.Remove(idle.Key);
            block = new ModelBlock(version == 0 ? null : new LstmWorkspace(models.Load(Runtime.Name, version)));
            _blocks.Add(version, block);
            return block;
        }

        public void EnsureRows(int rows)
        {
            if (Scores.Length >= rows)
                return;
            Inputs = new float[rows * Runtime.Plan.Inputs];
            _covariates = new float[rows * Runtime.Plan.CovariateInputs];
            Hidden = new float[rows * Runtime.Plan.Hidden];
            Cell = new float[rows * Runtime.Plan.Hidden];
            Outputs = new float[rows * Runtime.Plan.Horizon];
            Scores = new FrameScore[rows];
        }
    }
}

/// <summary>What a changelog knows of one stream.</summary>
internal sealed class RestoredStream
{
    public required byte[] Key { get; init; }

    public required string Profile { get; init; }

    public required byte[] Snapshot { get; set; }

    /// <summary>The commit that holds the snapshot; −1 = none of those to come does.</summary>
    public long SnapshotCommit { get; set; }

    public List<byte[]> Entries { get; } = [];

    private int _headerEntry = -1;

    /// <summary>Adds an entry; one without frames takes the place of the last such, as it does in a compacted log.</summary>
    /// <returns>How many bytes are held now that weren't before.</returns>
    public int Add(byte slot, byte[] entry)
    {
        var replaced = 0;
        if (slot == Shard.HeaderSlot)
        {
            if (_headerEntry >= 0)
            {
                replaced = Entries[_headerEntry].Length;
                Entries.RemoveAt(_headerEntry);
            }

            _headerEntry = Entries.Count;
        }

        Entries.Add(entry);
        return entry.Length - replaced;
    }
}

/// <summary>Byte order of UTF-8 keys; equality and a seedless hash, so that nothing depends on the process.</summary>
internal sealed class KeyComparer : IEqualityComparer<byte[]>, IAlternateEqualityComparer<ReadOnlySpan<byte>, byte[]>, IComparer<byte[]>
{
    public static readonly KeyComparer Instance = new();

    public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

    public int GetHashCode(byte[] obj) => GetHashCode(obj.AsSpan());

    public bool Equals(ReadOnlySpan<byte> alternate, byte[] other) => alternate.SequenceEqual(other);

    public int GetHashCode(ReadOnlySpan<byte> alternate) => (int)VirtualPartition.Murmur2(alternate);

    public byte[] Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();

    public int Compare(byte[]? x, byte[]? y) => x.AsSpan().SequenceCompareTo(y);
}
