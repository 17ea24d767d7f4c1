using System.Text;
using StreamLstm.Core.Signals;
using StreamLstm.Runtime.Episodes;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Signals;

/// <summary>
/// One live signal: its time line, its monitor, its episode. Durable as a snapshot of all that, and the inputs since, which go through the same
/// code when they are restored.
/// </summary>
internal sealed class SignalSession : ISignalRun
{
    // Tells the body of a signal's state record from that of a series.
    private const int Mark = 0x314c4753;
    private const byte InputBlock = 1;
    private const byte InputSilence = 2;

    // Slots of entries between two snapshots; see ShardOutput.StateSlots.
    private const int MostEntries = Shard.HeaderSlot - 1;

    private readonly float[] _missing;
    private readonly ByteWriter _inputs = new();
    private int _inputCount;
    private int _entries;
    private ISignalReceiver _receiver = null!;

    public SignalSession(byte[] key, ProfileRuntime profile, int partition)
    {
        Key = key;
        Name = Encoding.UTF8.GetString(key);
        Profile = profile;
        Partition = partition;
        Timeline = new SignalTimeline(profile.Profile.Rate, profile.Channels, profile.Profile.AllowedLateness);
        Monitor = profile.Profile.Signal switch
        {
            SignalKind.Ecg => new EcgWatch(profile.Profile.Rate, profile.Channels),
            SignalKind.Eeg => new EegWatch(profile.Profile.Rate, profile.Channels),
            var kind => throw new ArgumentException($"Profile {profile.Name} is of no signal ({kind}).", nameof(profile)),
        };
        _missing = new float[profile.Channels];
        _missing.AsSpan().Fill(float.NaN);
    }

    public byte[] Key { get; }

    public string Name { get; }

    public ProfileRuntime Profile { get; }

    public int Partition { get; }

    public SignalTimeline Timeline { get; }

    public SignalMonitor Monitor { get; }

    public EpisodeTracker Episode { get; } = new();

    /// <summary>Results since the stream was born.</summary>
    public long Findings { get; set; }

    /// <summary>Partition clock of the latest block.</summary>
    public long LastArrival { get; private set; } = long.MinValue;

    public bool IsStale { get; private set; }

    /// <summary>Partition clock at which silence makes the stream stale.</summary>
    public long Deadline => IsStale || LastArrival == long.MinValue ? long.MaxValue : LastArrival + (long)Profile.Profile.MaxWait.TotalMicroseconds;

    /// <summary>Number of the commit with its latest snapshot, or −1.</summary>
    public long SnapshotCommit { get; set; } = -1;

    /// <summary>Bytes of input since the latest snapshot; born at a different place each, so that they don't all come at once.</summary>
    public long BytesSinceSnapshot { get; set; }

    public bool Touched { get; set; }

    public bool MustSnapshot { get; set; }

    public int StateBytes => (sizeof(double) * (Monitor.Numbers.Length + Monitor.MoreNumbers.Length)) + (sizeof(float) * (Monitor.Words.Length + Monitor.MoreWords.Length));

    /// <param name="values">[n, channels].</param>
    public BlockOutcome Add(long first, long clock, ReadOnlySpan<float> values, ISignalReceiver receiver)
    {
        _receiver = receiver;
        var outcome = Timeline.Add(first, values, this);
        if (outcome != BlockOutcome.Accepted)
            return outcome;
        LastArrival = clock;
        IsStale = false;
        _inputs.Byte(InputBlock);
        _inputs.Int64(first);
        _inputs.Int64(clock);
        _inputs.Int32(values.Length);
        _inputs.Floats(values);
        _inputCount++;
        return outcome;
    }

    /// <summary>No packet for so long: what waited is taken, and the stream is stale.</summary>
    public void Silence(ISignalReceiver receiver)
    {
        _receiver = receiver;
        Timeline.Flush(this);
        IsStale = true;
        _inputs.Byte(InputSilence);
        _inputCount++;
    }

    public void Reset()
    {
        Monitor.Reset();
        Timeline.Restart();
        MustSnapshot = true;
    }

    /// <summary>Writes the state as of now: a snapshot, which has slot 0, or what came since the last commit, in the slot returned.</summary>
    public byte Encode(ByteWriter w, long snapshotBytes)
    {
        BytesSinceSnapshot += _inputs.Length;
        var snapshot = SnapshotCommit < 0 || MustSnapshot || BytesSinceSnapshot >= snapshotBytes || _entries >= MostEntries;
        _entries = snapshot ? 0 : _entries + 1;
        w.Byte(snapshot ? Shard.SnapshotRecord : Shard.EntriesRecord);
        w.Block(Key);
        w.String(Profile.Name);
        var lengthAt = w.Length;
        w.Int32(0);
        w.Int32(Mark);
        Episode.Write(w);
        w.Int64(Findings);
        if (snapshot)
        {
            w.Int64(LastArrival);
            w.Byte((byte)(IsStale ? 1 : 0));
            Timeline.Write(w);
            w.Int32(Monitor.Numbers.Length);
            w.Int32(Monitor.MoreNumbers.Length);
            w.Int32(Monitor.Words.Length);
            w.Int32(Monitor.MoreWords.Length);
            foreach (var v in Monitor.Numbers)
                w.Double(v);
            foreach (var v in Monitor.MoreNumbers)
                w.Double(v);
            w.Floats(Monitor.Words);
            w.Floats(Monitor.MoreWords);
            BytesSinceSnapshot = 0;
            MustSnapshot = false;
        }
        else
        {
            w.Int32(_inputCount);
            w.Bytes(_inputs.Written);
        }

        w.PatchInt32(lengthAt, w.Length - lengthAt - 4);
        _inputs.Clear();
        _inputCount = 0;
        return (byte)_entries;
    }

    public void RestoreSnapshot(ref ByteReader r)
    {
        ReadHeader(ref r);
        LastArrival = r.Int64();
        IsStale = r.Byte() != 0;
        Timeline.Read(ref r);
        if (r.Int32() != Monitor.Numbers.Length || r.Int32() != Monitor.MoreNumbers.Length || r.Int32() != Monitor.Words.Length || r.Int32() != Monitor.MoreWords.Length)
            throw Foreign();
        foreach (ref var v in Monitor.Numbers)
            v = r.Double();
        foreach (ref var v in Monitor.MoreNumbers)
            v = r.Double();
        r.Floats(Monitor.Words);
        r.Floats(Monitor.MoreWords);
    }

    public void RestoreEntries(ref ByteReader r, ISignalReceiver receiver)
    {
        ReadHeader(ref r);
        for (var n = r.Int32(); n > 0; n--)
        {
            if (r.Byte() == InputSilence)
            {
                Silence(receiver);
                continue;
            }

            var (first, clock) = (r.Int64(), r.Int64());
            var values = new float[r.Int32()];
            r.Floats(values);
            Add(first, clock, values, receiver);
        }

        BytesSinceSnapshot += _inputs.Length;
        _inputs.Clear();
        _inputCount = 0;
        _entries++;
    }

    void ISignalRun.OnRun(ReadOnlySpan<float> values)
    {
        var channels = Profile.Channels;
        for (var i = 0; i < values.Length; i += channels)
            Monitor.Push(values.Slice(i, channels), _receiver);
    }

    void ISignalRun.OnMissing(int samples)
    {
        for (var i = 0; i < samples; i++)
            Monitor.Push(_missing, _receiver);
    }

    void ISignalRun.OnBreak() => Monitor.Break();

    private void ReadHeader(ref ByteReader r)
    {
        if (r.Int32() != Mark)
            throw Foreign();
        Episode.Read(ref r);
        Findings = r.Int64();
    }

    private CorruptLogException Foreign() =>
        new($"Stored state of {Name} has another layout than profile {Profile.Name} gives now (signal, rate or channels changed). Restore the profile or start with an empty state folder.");
}
