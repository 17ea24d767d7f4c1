using System.Text;
using StreamLstm.Runtime.Models;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.StateLog;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Partitioned;

/// <summary>
/// The state folder of a stopped worker, to be moved into a broker's partitions. Read only: the folder stays as it is.
/// </summary>
public sealed class LocalState : IDisposable
{
    private readonly FileStream _lock;
    private readonly StateLog.StateLog _log;
    private readonly Dictionary<byte[], RestoredStream> _streams = new(KeyComparer.Instance);
    private readonly CommitHeader? _header;
    private readonly EngineSettings _settings;
    private readonly ProfileRuntime[] _profiles;
    private readonly ModelStore _models;

    /// <param name="directory">The worker's <c>State:Directory</c>.</param>
    /// <param name="profiles">As that worker had them.</param>
    /// <exception cref="InvalidOperationException">A worker uses the folder, or has appended input that it hasn't handled.</exception>
    public LocalState(string directory, IReadOnlyList<Profile> profiles)
    {
        if (!Directory.Exists(Path.Combine(directory, "state")))
            throw new InvalidOperationException($"{directory} is no state folder of a worker.");
        _lock = StateArchive.Lock(directory);
        _settings = new EngineSettings { StateDirectory = directory, Profiles = profiles };
        _profiles = [.. profiles.OrderBy(p => p.Name, StringComparer.Ordinal).Select((p, i) => new ProfileRuntime(i, p))];
        _models = new ModelStore(Path.Combine(directory, "models"));
        _log = new StateLog.StateLog(Path.Combine(directory, "state"), _settings.StateSegmentBytes);
        foreach (var commit in _log.Read())
        {
            _header = commit.Header;
            foreach (var (count, states) in commit.States)
                TakeUp(states.Span, count);
        }

        try
        {
            StateArchive.RequireWhole(directory, _header ?? new CommitHeader());
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public int Streams => _streams.Count;

    /// <summary>Versions in service and their weights.</summary>
    public IEnumerable<(string Profile, int Version, byte[] Weights)> Models =>
        _header is null ? [] : _header.ActiveVersions.Where(v => v.Value > 0 && _profiles.Any(p => p.Name == v.Key)).Select(v => (v.Key, v.Value, _models.Load(v.Key, v.Value).ToBytes()));

    /// <summary>The changelog of a partition that nobody has read yet, with the streams whose keys lie there.</summary>
    /// <param name="position">Where its input begins.</param>
    public IReadOnlyList<StateRecord> Partition(int partition, int of, long position)
    {
        var core = new PartitionCore("import", partition, Shard.OfPartition(partition, of, teaches: false, _settings with { MaxStreamsPerPartition = int.MaxValue }, _profiles, _models), _profiles, _settings.Journal.MaxFuture);
        var active = _header?.ActiveVersions.Select(v => (v.Key, v.Value)).ToList() ?? [];
        var clock = _header is null ? long.MinValue : _header.Clocks.Max();
        var streams = _streams.Values.Where(s => VirtualPartition.KafkaPartition(s.Key, of) == partition).OrderBy(s => s.Key, KeyComparer.Instance).ToList();
        // Whatever the local log has of them, the changelog has nothing yet.
        foreach (var stream in streams)
            stream.SnapshotCommit = -1;
        core.Restore(0, position, clock, active, streams);
        return core.SnapshotAll();
    }

    /// <summary>Keeps, per stream, its latest snapshot and the entries after it, still encoded.</summary>
    private void TakeUp(ReadOnlySpan<byte> states, int count)
    {
        var r = new ByteReader(states);
        for (var i = 0; i < count; i++)
        {
            var state = StoredState.Read(ref r);
            var key = state.Key.ToArray();
            // Entries without a snapshot are history: the snapshot comes later in the log.
            if (state.Kind == Shard.SnapshotRecord)
                _streams[key] = new RestoredStream { Key = key, Profile = Encoding.UTF8.GetString(state.Profile), Snapshot = state.Body.ToArray() };
            else if (_streams.TryGetValue(key, out var stream))
                stream.Entries.Add(state.Body.ToArray());
        }
    }

    public void Dispose()
    {
        _log.Dispose();
        _lock.Dispose();
    }
}
