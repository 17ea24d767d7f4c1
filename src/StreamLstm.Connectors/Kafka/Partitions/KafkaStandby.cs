using System.Diagnostics;
using Confluent.Kafka;
using Confluent.Kafka.Admin;
using Microsoft.Extensions.Logging;
using StreamLstm.Runtime.Partitioned;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Connectors.Kafka.Partitions;

/// <param name="Next">The record of the state partition to read on from.</param>
internal sealed record StandbyState(PartitionRestore Read, long Next);

/// <summary>
/// Follows the changelogs of partitions that other workers own, so that this one can go on with them at once: those that it is the standby of,
/// and, while it joins, those that the group will give it. What was read stays encoded until <see cref="Take"/>; the restorer reads on from
/// there and checks the same as after reading everything. Runs on one thread; <see cref="Take"/>, <see cref="Release"/> and <see cref="Poke"/> from any.
/// </summary>
internal sealed partial class KafkaStandby : IDisposable
{
    private static readonly TimeSpan Request = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(50);

    /// <summary>After a rebalance the group is asked more often, until it is at rest.</summary>
    private static readonly TimeSpan Unrest = TimeSpan.FromMilliseconds(250);

    private static readonly TimeSpan Rest = TimeSpan.FromSeconds(2);

    /// <summary>After a rebalance partitions are handed over first; only then the next ones are followed.</summary>
    private static readonly TimeSpan Calm = TimeSpan.FromSeconds(3);

    private readonly KafkaPartitionSettings _settings;
    private readonly ConsumerConfig _config;
    private readonly PartitionFactory _factory;
    private readonly string _worker;
    private readonly ILogger _logger;
    private readonly IAdminClient _admin;
    private readonly Lock _gate = new();
    private readonly Dictionary<TopicPartition, Shadow> _byState = [];
    private readonly HashSet<TopicPartition> _own = [];
    private readonly HashSet<TopicPartition> _refused = [];
    private readonly AutoResetEvent _wake = new(false);
    private readonly int _partitions;
    private volatile bool _poked;
    private long _lastPoke;
    private bool _atRest;
    private bool _assignmentChanged;
    private string? _lastProblem;

    /// <param name="worker">The client id by which the group knows all threads of this process.</param>
    /// <param name="partitions">Of all topics together.</param>
    public KafkaStandby(KafkaPartitionSettings settings, ConsumerConfig config, PartitionFactory factory, string worker, int partitions, ILogger logger)
    {
        (_settings, _config, _factory, _worker, _partitions, _logger) = (settings, config, factory, worker, partitions, logger);
        _admin = new AdminClientBuilder(settings.Admin()).SetLogHandler((_, _) => { }).SetErrorHandler((_, _) => { }).Build();
    }

    /// <summary>Asks the group, before this worker joins it, what it will get; then reading its state needn't wait for the assignment.</summary>
    public async Task ForeseeAsync()
    {
        if (await MembersAsync() is { } members)
            Keep(StandbyPlan.AtJoining(_worker, _settings.Threads, members));
    }

    public void Run(CancellationToken stopping)
    {
        using var consumer = new ConsumerBuilder<byte[], byte[]>(_config).SetLogHandler((_, _) => { }).SetErrorHandler((_, _) => { }).Build();
        var (planned, reported) = (0L, 0L);
        try
        {
            while (!stopping.IsCancellationRequested)
            {
                if (_poked || (planned != 0 && Stopwatch.GetElapsedTime(planned) > (_atRest ? Rest : Unrest) && !(_atRest && _settings.Standbys == 0)))
                {
                    if (_poked)
                        _lastPoke = Stopwatch.GetTimestamp();
                    _poked = false;
                    Plan();
                    planned = Stopwatch.GetTimestamp();
                }

                Assign(consumer);
                if (_byState.Count > 0)
                    Read(consumer);
                else
                    WaitHandle.WaitAny([stopping.WaitHandle, _wake], Unrest);
                if (Stopwatch.GetElapsedTime(reported) < Unrest)
                    continue;
                reported = Stopwatch.GetTimestamp();
                Report(consumer);
            }
        }
        finally
        {
            _factory.Standbys = [];
        }
    }

    /// <summary>The state of a partition that was assigned to this worker, as far as it was followed; null = it wasn't.</summary>
    public StandbyState? Take(TopicPartition partition)
    {
        lock (_gate)
        {
            _own.Add(partition);
            if (!_byState.Remove(StateOf(partition), out var shadow))
                return null;
            _assignmentChanged = true;
            return shadow.Next > 0 ? new StandbyState(shadow.Read, shadow.Next) : null;
        }
    }

    /// <summary>This worker has given partitions away.</summary>
    public void Release(IEnumerable<TopicPartition> partitions)
    {
        lock (_gate)
            _own.ExceptWith(partitions);
        Poke();
    }

    /// <summary>The group has dealt out partitions.</summary>
    public void Poke()
    {
        _poked = true;
        _wake.Set();
    }

    public void Dispose()
    {
        _admin.Dispose();
        _wake.Dispose();
    }

    private TopicPartition StateOf(TopicPartition partition) => new(_settings.StateTopicOf(partition.Topic), partition.Partition);

    /// <summary>While the group isn't at rest, what is kept stays as it is.</summary>
    private void Plan()
    {
        _atRest = false;
        if (MembersAsync().GetAwaiter().GetResult() is not { } members || !members.Exists(m => m.Worker == _worker))
            return;
        // A cooperative rebalance comes in two parts; between them partitions belong to nobody.
        if (members.Sum(m => m.Partitions.Count) < _partitions)
            return;
        var wanted = StandbyPlan.AtRest(_worker, members, _settings.Standbys);
        _atRest = Stopwatch.GetElapsedTime(_lastPoke) > Calm;
        lock (_gate)
        {
            var followed = _byState.Values.Select(s => s.Partition).ToHashSet();
            if (!_atRest)
                wanted.IntersectWith(followed);
            // The group may have given them to this worker, whose thread will hear of it a moment later and take them.
            wanted.UnionWith(followed.Intersect(members.Where(m => m.Worker == _worker).SelectMany(m => m.Partitions)));
        }

        Keep(wanted);
    }

    private void Keep(HashSet<TopicPartition> partitions)
    {
        lock (_gate)
        {
            partitions.ExceptWith(_own);
            partitions.ExceptWith(_refused);
            var wanted = partitions.ToDictionary(StateOf);
            if (wanted.Count == _byState.Count && wanted.Keys.All(_byState.ContainsKey))
                return;
            _assignmentChanged = true;
            Log.Keeps(_logger, _settings.Name, wanted.Count, string.Join(", ", partitions));
            foreach (var state in _byState.Keys.Where(s => !wanted.ContainsKey(s)).ToList())
                _byState.Remove(state);
            foreach (var (state, partition) in wanted)
                _byState.TryAdd(state, new Shadow(partition));
        }
    }

    /// <summary>Null = the group isn't at rest, or can't be asked.</summary>
    private async Task<List<GroupMember>?> MembersAsync()
    {
        try
        {
            var answer = await _admin.DescribeConsumerGroupsAsync([_settings.GroupId], new DescribeConsumerGroupsOptions { RequestTimeout = Request });
            _lastProblem = null;
            var group = answer.ConsumerGroupDescriptions[0];
            if (group.State != ConsumerGroupState.Stable)
                return null;
            return group.Members.ConvertAll(m => new GroupMember(m.ConsumerId, m.ClientId, [.. m.Assignment.TopicPartitions.Where(p => _settings.Topics.Contains(p.Topic))]));
        }
        catch (KafkaException e)
        {
            var reason = e is DescribeConsumerGroupsException { Results.ConsumerGroupDescriptions: [{ Error.IsError: true } group, ..] } ? group.Error.Reason : e.Error.Reason;
            if (_lastProblem != reason)
                Log.Unknown(_logger, _settings.Name, _settings.GroupId, reason);
            _lastProblem = reason;
            return null;
        }
    }

    private void Assign(IConsumer<byte[], byte[]> consumer)
    {
        lock (_gate)
        {
            if (!_assignmentChanged)
                return;
            _assignmentChanged = false;
            consumer.Assign(_byState.Select(s => new TopicPartitionOffset(s.Key, s.Value.Next > 0 ? s.Value.Next : Offset.Beginning)));
        }
    }

    /// <summary>Takes what is there; the first wait is the only one.</summary>
    private void Read(IConsumer<byte[], byte[]> consumer)
    {
        var wait = Poll;
        for (var i = 0; i < 1000; i++)
        {
            ConsumeResult<byte[], byte[]>? record;
            try
            {
                record = consumer.Consume(wait);
            }
            catch (ConsumeException e) when (!e.Error.IsFatal)
            {
                return;
            }

            if (record is null)
                return;
            wait = TimeSpan.Zero;
            lock (_gate)
            {
                if (_byState.TryGetValue(record.TopicPartition, out var shadow))
                    Apply(shadow, record);
            }
        }
    }

    private void Apply(Shadow shadow, ConsumeResult<byte[], byte[]> record)
    {
        if (record.IsPartitionEOF || record.Offset.Value < shadow.Next)
        {
            // The topic was made anew, or nothing is left but a transaction's marker.
            shadow.Next = record.IsPartitionEOF ? record.Offset.Value : shadow.Next;
            return;
        }

        try
        {
            shadow.Read.Apply(record.Message.Key ?? [], record.Message.Value ?? [], tombstone: record.Message.Value is null);
            shadow.Next = record.Offset.Value + 1;
        }
        catch (CorruptLogException e)
        {
            // Whoever owns it says what to do; here it is only left out.
            _byState.Remove(record.TopicPartition);
            _refused.Add(shadow.Partition);
            _assignmentChanged = true;
            Log.Refused(_logger, _settings.Name, record.TopicPartition.ToString(), record.Offset.Value, e.Message);
        }
    }

    private void Report(IConsumer<byte[], byte[]> consumer)
    {
        lock (_gate)
        {
            _factory.Standbys =
            [
                .. _byState.Select(s => new PartitionStandby(
                    s.Value.Partition.Topic,
                    s.Value.Partition.Partition.Value,
                    // The local copy of the last fetch; before the first one everything is still to be read.
                    consumer.GetWatermarkOffsets(s.Key) is { High.IsSpecial: false } ends ? Math.Max(0, ends.High.Value - s.Value.Next) : 1,
                    s.Value.Read.Bytes)),
            ];
        }
    }

    private sealed class Shadow(TopicPartition partition)
    {
        public TopicPartition Partition { get; } = partition;

        public PartitionRestore Read { get; } = new();

        public long Next { get; set; }
    }

    private static partial class Log
    {
        [LoggerMessage(455, LogLevel.Information, "{Name} keeps the state of {Count} partitions of others warm: {Partitions}")]
        public static partial void Keeps(ILogger logger, string name, int count, string partitions);

        [LoggerMessage(456, LogLevel.Warning, "{Name} can't ask who is in the group {Group} and keeps nothing warm meanwhile: {Reason}")]
        public static partial void Unknown(ILogger logger, string name, string group, string reason);

        [LoggerMessage(457, LogLevel.Warning, "{Name} doesn't keep {State} warm, because of its record {Offset}: {Reason}")]
        public static partial void Refused(ILogger logger, string name, string state, long offset, string reason);
    }
}
