using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Text;
using System.Text.Json.Nodes;
using StreamLstm.Core.Recurrent;
using StreamLstm.Runtime.Episodes;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Models;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Sharding;

namespace StreamLstm.Runtime.Partitioned;

/// <summary>Numbers of the partitions that one thread owns; a copy.</summary>
public sealed record PartitionStatistics(int Streams, int StaleStreams, long StateBytes, IReadOnlyDictionary<string, int> EpisodesBySeverity, IReadOnlyList<PartitionLag> Lags);

/// <param name="Messages">Records that the partition has and its owner hasn't read.</param>
public sealed record PartitionLag(string Topic, int Partition, long Messages);

/// <summary>A partition whose state is kept for the case that its owner goes.</summary>
/// <param name="Messages">Records of its state that haven't been read yet.</param>
/// <param name="Bytes">What is held.</param>
public sealed record PartitionStandby(string Topic, int Partition, long Messages, long Bytes);

/// <summary>A thread that owns partitions and answers questions about their streams.</summary>
public interface IPartitionHost
{
    PartitionStatistics Statistics { get; }

    Task<JsonObject?> DescribeAsync(byte[] stream, CancellationToken cancellationToken);

    Task<bool> ResetAsync(byte[] stream, CancellationToken cancellationToken);
}

/// <summary>Makes the cores of a broker's partitions and keeps account of all of them. Thread-safe.</summary>
public sealed class PartitionFactory
{
    private readonly EngineSettings _settings;
    private readonly ProfileRuntime[] _profiles;
    private readonly ModelStore _models;
    private readonly EngineMetrics? _metrics;
    private readonly Action<string, string, string>? _noteDeadLetter;
    private readonly ConcurrentDictionary<IPartitionHost, bool> _hosts = new();
    private readonly ConcurrentDictionary<string, int> _newestModels = new(StringComparer.Ordinal);
    private long _samples;
    private long _frames;
    private long _results;
    private long _newestEvent = long.MinValue;
    private IReadOnlyList<PartitionStandby> _standbys = [];

    /// <param name="noteDeadLetter">Source, reason and detail of each.</param>
    internal PartitionFactory(EngineSettings settings, ProfileRuntime[] profiles, ModelStore models, EngineMetrics? metrics = null, Action<string, string, string>? noteDeadLetter = null)
    {
        _settings = settings;
        _profiles = profiles;
        _models = models;
        _metrics = metrics;
        _noteDeadLetter = noteDeadLetter;
    }

    /// <summary>A partition without any stream, to be read from its beginning or restored.</summary>
    /// <param name="topic">For people.</param>
    /// <param name="partition">Its number.</param>
    /// <param name="of">How many the topic has.</param>
    /// <param name="maxStreams">Samples of further streams are dead letters.</param>
    public PartitionCore Create(string topic, int partition, int of, int maxStreams) =>
        new(topic, partition, Shard.OfPartition(partition, of, teaches: Teaches, _settings with { MaxStreamsPerPartition = maxStreams }, _profiles, _models), _profiles, _settings.Journal.MaxFuture);

    /// <summary>Whether the shared models of any profile are to learn.</summary>
    public bool Teaches => Array.Exists(_profiles, p => p.Profile.Learning);

    /// <summary>Most of one core that training takes.</summary>
    public double TrainingShare => _settings.TrainingShare;

    public IEnumerable<string> Profiles => _profiles.Select(p => p.Name);

    /// <summary>The newest version of a profile's model that was taken in here; 0 = none.</summary>
    public int NewestModel(string profile) => _newestModels.GetValueOrDefault(profile);

    /// <summary>Takes in a version of a profile's shared weights; false if it isn't for this configuration.</summary>
    public bool AddModel(string profile, int version, byte[] weights)
    {
        if (Array.Find(_profiles, p => p.Name == profile) is not { } runtime)
            return false;
        var read = LstmForecasterWeights.FromBytes(weights);
        if (read.Shape != runtime.Shape)
            return false;
        _models.Save(profile, version, read, []);
        _newestModels.AddOrUpdate(profile, version, (_, was) => Math.Max(was, version));
        return true;
    }

    /// <param name="states">The newest trainer state of each profile that has one.</param>
    /// <param name="rounds">Where in the training log, as the position of the next record, earlier rounds were made.</param>
    public SharedTrainer CreateTrainer(IReadOnlyDictionary<string, byte[]> states, IEnumerable<(string Profile, long Position)> rounds) => new(_profiles, _settings.Seed, states, rounds);

    /// <summary>Counts a round of training.</summary>
    public void RecordRound(string profile, bool trained)
    {
        _metrics?.Round(profile, trained ? "trained" : "skipped");
        if (trained)
            _metrics?.Promotion(profile, "nudge");
    }

    public void Add(IPartitionHost host) => _hosts[host] = true;

    public void Remove(IPartitionHost host) => _hosts.TryRemove(host, out _);

    /// <summary>Counts what a commit has made durable.</summary>
    /// <param name="newestEvent">Newest event time in it, Unix microseconds.</param>
    public void Account(PartitionOutput committed, long newestEvent)
    {
        ArgumentNullException.ThrowIfNull(committed);
        Interlocked.Add(ref _samples, committed.Outcomes.Accepted);
        Interlocked.Add(ref _frames, committed.Frames);
        Interlocked.Add(ref _results, committed.Outputs.Count(o => o.Kind == OutputKind.Result));
        InterlockedMax(ref _newestEvent, newestEvent);
        _metrics?.Count(committed.Outcomes);
        if (committed.DeadLetters.Count == 0 || _noteDeadLetter is null)
            return;
        foreach (var letter in committed.DeadLetters)
            _noteDeadLetter(letter.Source, letter.Reason, letter.Detail);
    }

    public void RecordStep(TimeSpan elapsed) => _metrics?.StepDuration.Record(elapsed.TotalSeconds);

    public void RecordCommit(TimeSpan elapsed) => _metrics?.CommitDuration.Record(elapsed.TotalSeconds);

    public void RecordRestore(TimeSpan elapsed) => _metrics?.RestoreDuration.Record(elapsed.TotalSeconds);

    /// <param name="elapsed">Time stamp of the newest record to its commit.</param>
    public void RecordEndToEnd(TimeSpan elapsed) => _metrics?.EndToEnd.Record(Math.Max(0, elapsed.TotalSeconds));

    internal EngineStatistics AddTo(EngineStatistics s, TimeProvider clock)
    {
        var parts = _hosts.Keys.Select(h => h.Statistics).ToList();
        var newest = Interlocked.Read(ref _newestEvent);
        var lag = newest == long.MinValue ? s.NewestEventLagSeconds : (UnixMicros.Now(clock) - newest) / 1e6;
        return s with
        {
            Streams = s.Streams + parts.Sum(p => p.Streams),
            StaleStreams = s.StaleStreams + parts.Sum(p => p.StaleStreams),
            EpisodesBySeverity = EpisodeTracker.Severities.ToDictionary(x => x, x => s.EpisodesBySeverity.GetValueOrDefault(x) + parts.Sum(p => p.EpisodesBySeverity.GetValueOrDefault(x))),
            StateBytes = s.StateBytes + parts.Sum(p => p.StateBytes),
            Samples = s.Samples + Interlocked.Read(ref _samples),
            Frames = s.Frames + Interlocked.Read(ref _frames),
            Results = s.Results + Interlocked.Read(ref _results),
            NewestEventLagSeconds = s.NewestEventLagSeconds is { } own && lag is { } other ? Math.Min(own, other) : lag,
        };
    }

    /// <summary>What is kept for others at present.</summary>
    public IReadOnlyList<PartitionStandby> Standbys
    {
        get => Volatile.Read(ref _standbys);
        set => Volatile.Write(ref _standbys, value);
    }

    internal IEnumerable<Measurement<long>> StandbyLags() => Standbys.Select(s => new Measurement<long>(s.Messages, new("topic", s.Topic), new("partition", s.Partition)));

    internal IEnumerable<Measurement<long>> ConsumerLags() =>
        _hosts.Keys.SelectMany(h => h.Statistics.Lags).Select(l => new Measurement<long>(l.Messages, new("topic", l.Topic), new("partition", l.Partition)));

    internal async Task<JsonObject?> DescribeAsync(string stream, CancellationToken cancellationToken = default)
    {
        var key = Encoding.UTF8.GetBytes(stream);
        foreach (var host in _hosts.Keys)
        {
            if (await host.DescribeAsync(key, cancellationToken) is { } found)
                return found;
        }

        return null;
    }

    internal async Task<bool> ResetAsync(string stream, CancellationToken cancellationToken)
    {
        var key = Encoding.UTF8.GetBytes(stream);
        foreach (var host in _hosts.Keys)
        {
            if (await host.ResetAsync(key, cancellationToken))
                return true;
        }

        return false;
    }

    private static void InterlockedMax(ref long target, long value)
    {
        for (var seen = Interlocked.Read(ref target); value > seen;)
        {
            var was = Interlocked.CompareExchange(ref target, value, seen);
            if (was == seen)
                return;
            seen = was;
        }
    }
}
