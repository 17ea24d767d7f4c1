using System.Globalization;
using System.Text.Json.Nodes;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Partitioned;

/// <summary>One record of a partition's changelog; a later one of a key replaces an earlier one.</summary>
public readonly record struct StateRecord(byte[] Key, byte[] Value);

/// <summary>What a core made of a batch, to be made durable as one: outputs in the partition's order, and the state that follows.</summary>
public sealed class PartitionOutput
{
    public List<OutputRecord> Outputs { get; } = [];

    public List<StateRecord> State { get; } = [];

    /// <summary>What the shared models may learn from it, one record of the training log; null = nothing.</summary>
    public byte[]? Training { get; internal set; }

    /// <summary>Size of outputs and state.</summary>
    public long Bytes { get; internal set; }

    public long Frames { get; internal set; }

    /// <summary>Reasons of the dead letters among the outputs.</summary>
    public List<DeadLetter> DeadLetters { get; } = [];

    internal OutcomeCounts Outcomes { get; } = new();

    internal void Clear()
    {
        Outputs.Clear();
        State.Clear();
        DeadLetters.Clear();
        Training = null;
        Outcomes.Clear();
        Bytes = 0;
        Frames = 0;
    }
}

/// <summary>
/// The streams of one partition of a broker's log, and what a transaction does to them. A turn: records are decoded into
/// <see cref="Samples"/> and told by <see cref="Took"/>, ticks and resets are added, <see cref="Process"/> makes outputs and state,
/// the caller commits them with <see cref="Position"/>, then calls <see cref="Committed"/>. Where the commit fails, the core is ahead
/// of what is durable: throw it away and restore another. Not thread-safe, not bound to a thread.
/// <para>
/// Changelog: key = stream key and a slot byte, 0 for the snapshot, 1 … for entries after it, 255 for what changes without a frame;
/// value = <c>[version u8 = 3][kind u8][profile block][body]</c> with the body of <see cref="Shard"/>. The key <c>FF</c> alone is the partition's header:
/// <c>[version u8 = 3][sequence i64][next position i64][clock i64][n i32] n×{profile, version i32}</c>, the last record of every commit.
/// </para>
/// </summary>
public sealed class PartitionCore
{
    internal const byte FormatVersion = 3;
    internal static readonly byte[] HeaderKey = [0xff];

    private readonly Shard _shard;
    private readonly ProfileRuntime[] _profiles;
    private readonly LogBatch _batch;
    private readonly List<long> _positions = [];
    private readonly Dictionary<string, int> _activating = new(StringComparer.Ordinal);
    private readonly List<(long Lsn, DeadLetter Letter)> _letters = [];
    private readonly PartitionOutput _output = new();
    private readonly ShardOutput _made = new();
    private readonly ResultWriter _writer = new();
    private readonly ByteWriter _scratch = new();
    private readonly long _maxFutureMicros;
    private long _durable;
    private int _samplesTaken;
    private int _lettersTaken;

    internal PartitionCore(string topic, int partition, Shard shard, ProfileRuntime[] profiles, TimeSpan maxFuture)
    {
        (Topic, Partition, _shard, _profiles) = (topic, partition, shard, profiles);
        _maxFutureMicros = (long)maxFuture.TotalMicroseconds;
        _batch = new LogBatch(single: true) { DescribePosition = lsn => Place(_positions[(int)lsn]) };
    }

    public string Topic { get; }

    public int Partition { get; }

    /// <summary>The first record that the streams haven't seen.</summary>
    public long Position { get; private set; }

    /// <summary>Number of the commit that <see cref="Process"/> made last.</summary>
    public long Sequence { get; private set; }

    /// <summary>Unix microseconds: the newest time stamp or tick.</summary>
    public long Clock => Own.Clock;

    /// <summary>When silence closes the next frame, in partition time; long.MaxValue = never.</summary>
    public long NextDeadline => Own.NextDeadline;

    public int Streams => _shard.Streams;

    public int StaleStreams => _shard.StaleStreams;

    public long StateBytes => _shard.StateBytes;

    /// <summary>Open episodes by severity.</summary>
    public IReadOnlyDictionary<string, int> OpenEpisodes() => _shard.OpenEpisodes();

    /// <summary>Where records are decoded to.</summary>
    public SampleBatch Samples => _batch.Samples;

    /// <summary>Sets where a partition that nobody has read yet begins.</summary>
    public void Begin(long position) => Position = _durable = position;

    /// <summary>Entries since the last <see cref="Process"/>.</summary>
    public int Pending => _positions.Count;

    /// <summary>Newest event time among them, Unix microseconds; long.MinValue without samples.</summary>
    public long NewestEvent
    {
        get
        {
            var newest = long.MinValue;
            for (var i = 0; i < Samples.Count; i++)
                newest = Math.Max(newest, Samples.LastEventTime(i));
            return newest;
        }
    }

    /// <summary>There is something to commit, be it only a position.</summary>
    public bool IsDirty { get; private set; }

    private Shard.Partition Own => _shard.Partitions.First();

    /// <summary>What was decoded since the last call came from the record at this position.</summary>
    public void Took(long position)
    {
        for (; _samplesTaken < Samples.Count; _samplesTaken++)
        {
            var i = _samplesTaken;
            if (Journal.Journal.Refuse(Samples.Key(i), Samples.EventTime(i), Samples.LastEventTime(i), Samples.Arrival(i), Samples.Values(i), Samples.Rows(i), _maxFutureMicros) is var (reason, detail))
                _letters.Add((NextLsn(position), Refused(i, position, reason, detail)));
            else
                _batch.AddDecoded(NextLsn(position), i);
        }

        for (; _lettersTaken < Samples.DeadLetters.Count; _lettersTaken++)
            _letters.Add((NextLsn(position), Samples.DeadLetters[_lettersTaken]));
        Position = position + 1;
        IsDirty = true;
    }

    /// <summary>A tick waits for <see cref="Process"/>; the deadline says nothing until then.</summary>
    public bool IsTicking { get; private set; }

    /// <summary>Time passes although nothing comes.</summary>
    public void Tick(long clock)
    {
        _batch.AddTick(NextLsn(Position), 0, clock);
        IsTicking = true;
        IsDirty = true;
    }

    /// <summary>A stream's model state is cleared; false if there is no such stream.</summary>
    public bool Reset(byte[] key)
    {
        if (!_shard.Holds(key))
            return false;
        _batch.AddReset(NextLsn(Position), key, Clock);
        _samplesTaken = Samples.Count;
        IsDirty = true;
        return true;
    }

    /// <summary>A model version takes effect for the frames to come; it must lie in the model store.</summary>
    public void Activate(string profile, int version)
    {
        _batch.AddActivation(NextLsn(Position), profile, version);
        _activating[profile] = version;
        IsDirty = true;
    }

    /// <summary>The version of a profile that is active, or will be after <see cref="Process"/>; 0 = no network.</summary>
    public int ActiveVersion(string profile) => _activating.TryGetValue(profile, out var coming) ? coming : Array.Find(_profiles, p => p.Name == profile) is { } runtime ? Own.ActiveVersion[runtime.Index] : 0;

    /// <summary>Handles everything added; the output is valid until the next call.</summary>
    public PartitionOutput Process()
    {
        _output.Clear();
        Sequence++;
        var made = _shard.Process(_batch, _made, Sequence);
        Merge(made);
        EncodeState(made);
        made.Outcomes.AddTo(_output.Outcomes);
        _output.Frames = made.Frames;
        if (made.TrainingRows.Count > 0)
            _output.Training = SharedTrainer.Encode(made.TrainingRows, _profiles);
        return _output;
    }

    /// <summary>What <see cref="Process"/> made is durable.</summary>
    public void Committed()
    {
        _durable = Position;
        Clear();
    }

    /// <summary>Everything added since the last commit is left to whoever reads it next; only before <see cref="Process"/>.</summary>
    public void Forget()
    {
        Position = _durable;
        Clear();
    }

    /// <summary>A snapshot of every stream and the header: the whole state as a changelog of its own.</summary>
    internal IReadOnlyList<StateRecord> SnapshotAll()
    {
        _output.Clear();
        Sequence++;
        EncodeState(_shard.SnapshotAll(_made, Sequence));
        return _output.State;
    }

    /// <summary>A person's view of a stream's recurrent state, or null.</summary>
    public JsonObject? Describe(byte[] key) => _shard.Describe(key);

    internal void Restore(long sequence, long position, long clock, IReadOnlyList<(string, int)> active, IEnumerable<RestoredStream> streams)
    {
        Sequence = sequence;
        Position = _durable = position;
        _shard.RestorePartition(0, clock, active);
        _shard.RestoreStreams(0, streams);
    }

    private void Clear()
    {
        _batch.Clear();
        _positions.Clear();
        _letters.Clear();
        _activating.Clear();
        (_samplesTaken, _lettersTaken) = (0, 0);
        IsTicking = false;
        IsDirty = false;
    }

    private long NextLsn(long position)
    {
        _positions.Add(position);
        return _positions.Count - 1;
    }

    private DeadLetter Refused(int i, long position, string reason, string detail)
    {
        var key = Samples.Key(i);
        var stream = System.Text.Encoding.UTF8.GetString(key[..Math.Min(key.Length, Journal.Journal.MaxKeyBytes)]);
        return DeadLetter.Create(reason, Topic, Place(position), detail, Samples.Arrival(i), [], stream);
    }

    private string Place(long position) => string.Create(CultureInfo.InvariantCulture, $"{Topic}[{Partition}]@{position}");

    /// <summary>Order of the log, whatever waves the frames went through.</summary>
    private void Merge(ShardOutput made)
    {
        var letter = 0;
        for (var i = 0; i < made.Outputs.Count; i++)
        {
            ref readonly var output = ref made.Next(i);
            while (letter < _letters.Count && _letters[letter].Lsn < output.Lsn)
                Add(_letters[letter++].Letter);
            Add(new OutputRecord(output.Kind, output.Kind == OutputKind.DeadLetter ? "engine" : output.Stream, output.TimeMicros, output.Revision, made.Json.Written.Slice(output.Start, output.Length).ToArray(), output.Newest));
        }

        while (letter < _letters.Count)
            Add(_letters[letter++].Letter);
    }

    private void Add(DeadLetter letter)
    {
        _output.DeadLetters.Add(letter);
        _scratch.Clear();
        _writer.DeadLetter(_scratch, letter);
        Add(new OutputRecord(OutputKind.DeadLetter, letter.Source, letter.ArrivalMicros, 0, _scratch.Written.ToArray()));
    }

    private void Add(in OutputRecord output)
    {
        _output.Outputs.Add(output);
        _output.Bytes += output.Json.Length + output.Stream.Length;
    }

    private void EncodeState(ShardOutput made)
    {
        var r = new ByteReader(made.State.Written);
        for (var i = 0; i < made.StateCount; i++)
        {
            var kind = r.Byte();
            var stream = r.Block();
            var profile = r.Block();
            var body = r.Block();
            var key = new byte[stream.Length + 1];
            stream.CopyTo(key);
            key[^1] = made.StateSlots[i];
            var value = new byte[6 + profile.Length + body.Length];
            value[0] = FormatVersion;
            value[1] = kind;
            System.Buffers.Binary.BinaryPrimitives.WriteInt32LittleEndian(value.AsSpan(2), profile.Length);
            profile.CopyTo(value.AsSpan(6));
            body.CopyTo(value.AsSpan(6 + profile.Length));
            Add(new StateRecord(key, value));
        }

        Add(new StateRecord(HeaderKey, Header()));
    }

    private byte[] Header()
    {
        var w = _scratch;
        w.Clear();
        w.Byte(FormatVersion);
        w.Int64(Sequence);
        w.Int64(Position);
        w.Int64(Clock);
        w.Int32(_profiles.Length);
        foreach (var profile in _profiles)
        {
            w.String(profile.Name);
            w.Int32(Own.ActiveVersion[profile.Index]);
        }

        return w.Written.ToArray();
    }

    private void Add(in StateRecord record)
    {
        _output.State.Add(record);
        _output.Bytes += record.Key.Length + record.Value.Length;
    }
}
