using StreamLstm.Core.Forecasting;
using StreamLstm.Runtime.Episodes;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Repair;

/// <summary>
/// What a stream keeps so that late data can repair it: its samples, in event-time order, reaching back to a base older than the repair
/// horizon; the bases; and what was published of every frame and episode since. Part of the stream's durable state. The samples, bases'
/// frames, versions and the due time are decided while samples are aligned, the rest while frames are processed; both in log order, so
/// the window is a function of the log like everything else. See the folder's README for what a repair is.
/// </summary>
internal sealed class RepairWindow
{
    /// <summary>A stream with more samples than this in its horizon has a shorter one.</summary>
    public const int MostSamples = 16_384;

    /// <summary>How long, by the partition's clock, late samples are gathered before their stream is repaired.</summary>
    public const long WaitMicros = 5_000_000;

    /// <summary>A partition repairs at most one frame per this much of its clock, so that a bulk of late data doesn't starve the live one.</summary>
    public const long PaceMicros = 1_000;

    private const long None = long.MinValue;

    private readonly long _interval;
    private readonly int _frames;

    /// <summary>A register's reading shapes the curve back to the one before it, at most so many frames ago.</summary>
    private readonly int _back;
    private readonly int _offset;
    private readonly int _channels;

    /// <summary>A repair reaches back no further than this many closed frames.</summary>
    private readonly int _reach;

    private readonly List<long> _times = [];
    private readonly List<long> _arrivals = [];
    private readonly List<bool> _faulty = [];
    private readonly List<double> _values = [];

    /// <summary>Times of samples that the next commit has to write.</summary>
    private readonly List<long> _changed = [];
    private readonly List<RepairBase> _bases = [];
    private readonly List<ClosedFrame> _closed = [];
    private readonly List<PublishedEpisode> _episodes = [];

    public RepairWindow(ProfileRuntime profile, ReadOnlySpan<byte> key)
    {
        _interval = profile.IntervalMicros;
        _back = profile.Profile.Counter ? profile.Profile.MaxGapFrames + 1 : 0;
        HorizonFrames = profile.RepairFrames;
        _frames = HorizonFrames + _back;
        _channels = profile.Channels;
        _reach = (4 * _frames) + profile.Profile.MaxGapFrames;
        // Streams born together don't all write their bases in the same commit.
        _offset = (int)(VirtualPartition.Murmur2(key) / 64 % _frames);
    }

    /// <summary>H: late samples are taken in up to this many frames behind the newest closed one.</summary>
    public int HorizonFrames { get; }

    /// <summary>The earliest frame that a late sample has changed and no repair has seen yet, or long.MaxValue.</summary>
    public long DirtyFrame { get; private set; } = long.MaxValue;

    public bool IsDirty => DirtyFrame != long.MaxValue;

    /// <summary>Partition clock at which the repair is due.</summary>
    public long Due { get; private set; }

    /// <summary>The newest frame that was ever closed, or long.MinValue.</summary>
    public long Newest { get; private set; } = None;

    /// <summary>Set when a commit must write the whole stream: a base was taken, or the stream was rewound.</summary>
    public bool NeedsSnapshot { get; set; }

    public int Samples => _times.Count;

    public int Frames => _closed.Count;

    public IReadOnlyList<RepairBase> Bases => _bases;

    /// <summary>Of the frames processed since the last rewinding: whether any differs from what was published.</summary>
    public bool Changed { get; set; }

    // Samples.

    public long Time(int i) => _times[i];

    public long Arrival(int i) => _arrivals[i];

    public bool Faulty(int i) => _faulty[i];

    public ReadOnlySpan<double> Values(int i) => System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_values).Slice(i * _channels, _channels);

    /// <summary>Index of the first sample after a frame.</summary>
    public int FirstAfter(long frame)
    {
        if (frame == None)
            return 0;
        var i = _times.BinarySearch((frame + 1) * _interval);
        return i < 0 ? ~i : i;
    }

    /// <summary>
    /// Takes a sample in. Same event time as a known one: a value replaces a value, a missing channel nothing. False if nothing is new.
    /// </summary>
    public bool Add(long time, long arrival, ReadOnlySpan<double> values, bool faulty)
    {
        var i = _times.Count > 0 && _times[^1] < time ? ~_times.Count : _times.BinarySearch(time);
        if (i >= 0)
        {
            var changed = faulty && !_faulty[i];
            _faulty[i] |= faulty;
            _arrivals[i] = arrival;
            for (var c = 0; c < _channels; c++)
            {
                if (double.IsNaN(values[c]) || values[c] == _values[(i * _channels) + c])
                    continue;
                _values[(i * _channels) + c] = values[c];
                changed = true;
            }

            _changed.Add(time);
            return changed;
        }

        i = ~i;
        _times.Insert(i, time);
        _arrivals.Insert(i, arrival);
        _faulty.Insert(i, faulty);
        _values.InsertRange(i * _channels, values);
        _changed.Add(time);
        return true;
    }

    public bool Contains(long time) => _times.BinarySearch(time) >= 0;

    /// <summary>Whether a sample would say nothing that isn't known: a repetition.</summary>
    public bool Knows(long time, ReadOnlySpan<double> values, bool faulty)
    {
        var i = _times.BinarySearch(time);
        if (i < 0 || (faulty && !_faulty[i]))
            return false;
        for (var c = 0; c < _channels; c++)
        {
            if (!double.IsNaN(values[c]) && values[c] != _values[(i * _channels) + c])
                return false;
        }

        return true;
    }

    /// <summary>Samples of a frame.</summary>
    public int CountIn(long frame) => FirstAfter(frame) - FirstAfter(frame - 1);

    public void RemoveAt(int i)
    {
        _times.RemoveAt(i);
        _arrivals.RemoveAt(i);
        _faulty.RemoveAt(i);
        _values.RemoveRange(i * _channels, _channels);
    }

    /// <summary>A late sample was taken in; the repair is due once more may be expected to have come.</summary>
    /// <param name="lastDue">When the last of the partition's waiting repairs is due.</param>
    public void MarkDirty(long frame, long clock, long lastDue)
    {
        if (!IsDirty)
        {
            var pace = Newest == None ? 0 : (Newest - Math.Max(BaseBefore(frame)?.Frame ?? None, Newest - (2L * _frames))) * PaceMicros;
            Due = Math.Max(clock + WaitMicros, lastDue == None ? None : lastDue + pace);
        }

        DirtyFrame = Math.Min(DirtyFrame, frame);
    }

    /// <summary>So much has come since that the repair can't wait for its time: history is being read, many frames to the second.</summary>
    public bool IsOverdue => IsDirty && (Newest - DirtyFrame > _frames + (_frames / 2) || _times.Count > 2 * MostSamples);

    public void Hasten(long clock) => Due = Math.Min(Due, clock);

    public void Repaired()
    {
        DirtyFrame = long.MaxValue;
        Prune();
    }

    // Bases.

    /// <summary>The newest base that a repair of a frame can start from, or null if none is old enough.</summary>
    public RepairBase? BaseBefore(long frame) => _bases.FindLast(b => b.Frame < frame - _back);

    /// <summary>
    /// A new base if a frame that was just closed crosses a boundary: a multiple of the horizon, or sooner under many samples. The caller
    /// fills it in once the frame has been processed.
    /// </summary>
    public RepairBase? BaseAt(long frame, int version)
    {
        if (Cell(frame) <= (_bases[^1].Frame == None ? FirstCell : Cell(_bases[^1].Frame)) && FirstAfter(frame) - FirstAfter(_bases[^1].Frame) <= MostSamples / 2)
            return null;
        var made = new RepairBase { Frame = frame, Version = version };
        _bases.Add(made);
        NeedsSnapshot = true;
        if (!IsDirty)
            Prune();
        return made;
    }

    /// <summary>Begins anew: nothing before this base can be repaired.</summary>
    public void Restart(RepairBase first)
    {
        _bases.Clear();
        _bases.Add(first);
        Forget(first.Frame);
        DirtyFrame = long.MaxValue;
        NeedsSnapshot = true;
    }

    /// <summary>Goes back to a base: later ones are taken again on the way.</summary>
    public void Rewind(RepairBase to)
    {
        _bases.RemoveRange(_bases.IndexOf(to) + 1, _bases.Count - _bases.IndexOf(to) - 1);
        NeedsSnapshot = true;
    }

    /// <summary>Keeps the two latest bases; the older of them is at least a horizon back.</summary>
    private void Prune()
    {
        if (_bases.Count <= 2)
            return;
        _bases.RemoveRange(0, _bases.Count - 2);
        Forget(_bases[0].Frame);
    }

    // Frames.

    /// <summary>Notes that a frame is closed under a version; returns false if it was before.</summary>
    public bool Close(long frame, int version)
    {
        var i = Find(frame);
        if (i >= 0)
            return false;
        _closed.Insert(~i, new ClosedFrame { Frame = frame, Version = version, Revision = -1 });
        Newest = Math.Max(Newest, frame);
        return true;
    }

    /// <summary>
    /// The version that a frame is replayed under: the one it was closed under; of a frame that had been jumped over, its predecessor's.
    /// </summary>
    public int VersionOf(long frame, int active)
    {
        var i = Find(frame);
        if (i >= 0)
            return _closed[i].Version;
        if (frame > Newest)
            return active;
        i = ~i;
        return i > 0 ? _closed[i - 1].Version : BaseBefore(frame) is { Frame: not None } b ? b.Version : i < _closed.Count ? _closed[i].Version : active;
    }

    /// <summary>What was known in advance when a frame was closed first, or null.</summary>
    public double[]? KnownOf(long frame) => Find(frame) is >= 0 and var i ? _closed[i].Known : null;

    public void KeepKnown(long frame, ReadOnlySpan<double> known)
    {
        if (Find(frame) is >= 0 and var i)
            System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_closed)[i].Known = known.ToArray();
    }

    /// <summary>
    /// The revision under which a frame's result goes out, or −1 if what was published of it still holds.
    /// </summary>
    /// <param name="again">Publish it even so: the forecast behind it is another one.</param>
    public int Publish(long frame, ulong fingerprint, bool again)
    {
        var i = Find(frame);
        if (i < 0)
            return 0;
        ref var closed = ref System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_closed)[i];
        if (closed.Revision >= 0 && closed.Fingerprint == fingerprint && !again)
            return -1;
        Changed = true;
        closed.Fingerprint = fingerprint;
        return ++closed.Revision;
    }

    /// <summary>Results of a run of frames that turned out to have none: each with the revision under which it is withdrawn.</summary>
    public List<(long Frame, int Version, int Revision)> Withdraw(long first, long length)
    {
        var withdrawn = new List<(long, int, int)>();
        var i = Find(first);
        foreach (ref var closed in System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_closed)[(i >= 0 ? i : ~i)..])
        {
            if (closed.Frame >= first + length)
                break;
            if (closed.Revision < 0 || closed.Fingerprint == 0)
                continue;
            closed.Fingerprint = 0;
            withdrawn.Add((closed.Frame, closed.Version, ++closed.Revision));
        }

        return withdrawn;
    }

    /// <summary>A base has been filled in: what was published long before it can't change any more.</summary>
    public void Forget(RepairBase filled)
    {
        var i = Find(filled.Frame);
        var old = (i >= 0 ? i : ~i) - _reach;
        if (old <= 0)
            return;
        _closed.RemoveRange(0, old);
        _episodes.RemoveAll(e => e.State != EpisodeState.Open && e.Frame < _closed[0].Frame);
    }

    // Episodes.

    public IReadOnlyList<PublishedEpisode> Episodes => _episodes;

    /// <summary>The frames after the base are processed once more: episodes have to show themselves again.</summary>
    public void BeginReplay()
    {
        Changed = false;
        foreach (var episode in _episodes)
            episode.Seen = false;
    }

    /// <summary>The revision under which an episode's opening or closing goes out, or −1 if it is already known like that.</summary>
    public int Publish(in EpisodeSummary e, EpisodeState state, long frame)
    {
        var id = e.Id;
        var known = _episodes.Find(p => p.Summary.Id == id);
        var fingerprint = e.Fingerprint(state);
        if (known is null)
        {
            known = new PublishedEpisode();
            _episodes.Add(known);
        }
        else if (state == known.State ? fingerprint == known.Latest : state == EpisodeState.Open && known.State == EpisodeState.Closed && fingerprint == known.Opening)
        {
            // Whether an episode that was closed stays so shows later.
            known.Seen = true;
            return -1;
        }
        else if (!(known.State == EpisodeState.Open && state == EpisodeState.Closed))
        {
            known.Revision++;
        }

        (known.Summary, known.State, known.Latest, known.Frame, known.Seen) = (e, state, fingerprint, frame, true);
        if (state == EpisodeState.Open)
            known.Opening = fingerprint;
        return known.Revision;
    }

    /// <summary>An episode that was said to have ended goes on; returns its revision, or −1 if that is what was published.</summary>
    public int Reopen(in EpisodeSummary e)
    {
        var id = e.Id;
        if (_episodes.Find(p => p.Summary.Id == id) is not { State: EpisodeState.Closed } known)
            return -1;
        (known.Summary, known.State, known.Latest) = (e, EpisodeState.Open, known.Opening);
        return ++known.Revision;
    }

    // Storage.

    /// <summary><c>[dirty i64][due i64][newest i64][n bases][n samples][n frames][n episodes]</c>, counts i32.</summary>
    public void Write(ByteWriter w)
    {
        WriteState(w);
        w.Int32(_bases.Count);
        foreach (var b in _bases)
            b.Write(w);
        w.Int32(_times.Count);
        for (var i = 0; i < _times.Count; i++)
            WriteSample(w, i);
        w.Int32(_closed.Count);
        foreach (var c in _closed)
            WriteFrame(w, c);

        WriteEpisodes(w);
        _changed.Clear();
    }

    public void Read(ref ByteReader r)
    {
        ReadState(ref r);
        _bases.Clear();
        for (var n = r.Int32(); n > 0; n--)
            _bases.Add(RepairBase.Read(ref r));
        for (var n = r.Int32(); n > 0; n--)
            ReadSample(ref r);
        for (var n = r.Int32(); n > 0; n--)
            _closed.Add(ReadFrame(ref r));
        ReadEpisodes(ref r);
        _changed.Clear();
    }

    /// <summary>What a commit adds without a snapshot: no base has been taken and nothing rewound.</summary>
    /// <param name="w">Receives <c>[dirty][due][newest][n samples][n frames: frame i64, version, revision i32, fingerprint i64, known n u8 × f64][n episodes]</c>.</param>
    /// <param name="frames">Frames closed since the last commit, ascending.</param>
    /// <param name="keep">The record has no frames: a later one takes its place, and must say what it said.</param>
    public void WriteDelta(ByteWriter w, IEnumerable<long> frames, bool keep)
    {
        WriteState(w);
        _changed.Sort();
        var at = w.Length;
        var (n, last) = (0, None);
        w.Int32(0);
        foreach (var time in _changed)
        {
            if (time == last || _times.BinarySearch(time) is not (>= 0 and var i))
                continue;
            WriteSample(w, i);
            (n, last) = (n + 1, time);
        }

        w.PatchInt32(at, n);
        if (!keep)
            _changed.Clear();
        at = w.Length;
        n = 0;
        w.Int32(0);
        foreach (var frame in frames)
        {
            if (Find(frame) is not (>= 0 and var i))
                continue;
            WriteFrame(w, _closed[i]);
            n++;
        }

        w.PatchInt32(at, n);
        WriteEpisodes(w);
    }

    /// <param name="r">What <see cref="WriteDelta"/> wrote.</param>
    /// <param name="keep">As it was written.</param>
    public void ReadDelta(ref ByteReader r, bool keep)
    {
        ReadState(ref r);
        for (var n = r.Int32(); n > 0; n--)
            ReadSample(ref r);
        for (var n = r.Int32(); n > 0; n--)
        {
            var closed = ReadFrame(ref r);
            var i = Find(closed.Frame);
            if (i >= 0)
                _closed[i] = closed;
            else
                _closed.Insert(~i, closed);
        }

        ReadEpisodes(ref r);
        if (!keep)
            _changed.Clear();
    }

    private static void WriteFrame(ByteWriter w, in ClosedFrame c)
    {
        w.Int64(c.Frame);
        w.Int32(c.Version);
        w.Int32(c.Revision);
        w.Int64((long)c.Fingerprint);
        w.Byte((byte)(c.Known?.Length ?? 0));
        foreach (var v in c.Known ?? [])
            w.Double(v);
    }

    private static ClosedFrame ReadFrame(ref ByteReader r)
    {
        var c = new ClosedFrame { Frame = r.Int64(), Version = r.Int32(), Revision = r.Int32(), Fingerprint = (ulong)r.Int64() };
        var n = r.Byte();
        if (n == 0)
            return c;
        c.Known = new double[n];
        foreach (ref var v in c.Known.AsSpan())
            v = r.Double();
        return c;
    }

    private void WriteState(ByteWriter w)
    {
        w.Int64(DirtyFrame);
        w.Int64(Due);
        w.Int64(Newest);
    }

    private void ReadState(ref ByteReader r) => (DirtyFrame, Due, Newest) = (r.Int64(), r.Int64(), r.Int64());

    private void WriteSample(ByteWriter w, int i)
    {
        w.Int64(_times[i]);
        w.Int64(_arrivals[i]);
        w.Byte((byte)(_faulty[i] ? 1 : 0));
        foreach (var v in Values(i))
            w.Double(v);
    }

    private void ReadSample(ref ByteReader r)
    {
        var (time, arrival, faulty) = (r.Int64(), r.Int64(), r.Byte() != 0);
        Span<double> values = stackalloc double[_channels];
        foreach (ref var v in values)
            v = r.Double();
        if (_times.BinarySearch(time) is >= 0 and var i)
            RemoveAt(i);
        Add(time, arrival, values, faulty);
    }

    private void WriteEpisodes(ByteWriter w)
    {
        w.Int32(_episodes.Count);
        foreach (var e in _episodes)
            e.Write(w);
    }

    private void ReadEpisodes(ref ByteReader r)
    {
        _episodes.Clear();
        for (var n = r.Int32(); n > 0; n--)
            _episodes.Add(PublishedEpisode.Read(ref r));
    }

    /// <summary>A stream's first base is its birth; the next is taken at the first boundary after its first frame.</summary>
    private long FirstCell => _closed.Count > 0 ? Cell(_closed[0].Frame) : long.MaxValue;

    private long Cell(long frame) => ((frame + _offset) / _frames) - ((frame + _offset) % _frames < 0 ? 1 : 0);

    private int Find(long frame)
    {
        // Nearly always the newest, or one to be appended.
        if (_closed.Count == 0 || _closed[^1].Frame < frame)
            return ~_closed.Count;
        var (low, high) = (0, _closed.Count - 1);
        while (low <= high)
        {
            var mid = (low + high) / 2;
            if (_closed[mid].Frame == frame)
                return mid;
            if (_closed[mid].Frame < frame)
                low = mid + 1;
            else
                high = mid - 1;
        }

        return ~low;
    }

    private void Forget(long upTo)
    {
        var n = FirstAfter(upTo);
        _times.RemoveRange(0, n);
        _arrivals.RemoveRange(0, n);
        _faulty.RemoveRange(0, n);
        _values.RemoveRange(0, n * _channels);
    }

    private struct ClosedFrame
    {
        public long Frame;
        public int Version;

        /// <summary>Of the latest published result, or −1.</summary>
        public int Revision;
        public ulong Fingerprint;
        public double[]? Known;
    }
}

/// <summary>A stream as it stood when a frame had been processed, without samples of later frames.</summary>
internal sealed class RepairBase
{
    /// <summary>long.MinValue: before its first frame.</summary>
    public required long Frame { get; init; }

    /// <summary>Model version of that frame.</summary>
    public required int Version { get; init; }

    /// <summary>See <see cref="Alignment.StreamAligner.WriteClosed"/>.</summary>
    public byte[] Aligner { get; set; } = [];

    public byte[] Episode { get; set; } = [];

    public long Frames { get; set; }

    /// <summary>[D, record words], or null for records that are as new.</summary>
    public float[]? Records { get; set; }

    public void Write(ByteWriter w)
    {
        w.Int64(Frame);
        w.Int32(Version);
        w.Block(Aligner);
        w.Block(Episode);
        w.Int64(Frames);
        w.Int32(Records?.Length ?? 0);
        w.Floats(Records);
    }

    public static RepairBase Read(ref ByteReader r)
    {
        var b = new RepairBase { Frame = r.Int64(), Version = r.Int32(), Aligner = r.Block().ToArray(), Episode = r.Block().ToArray(), Frames = r.Int64() };
        var n = r.Int32();
        if (n == 0)
            return b;
        b.Records = new float[n];
        r.Floats(b.Records);
        return b;
    }
}

internal enum EpisodeState : byte
{
    Open = 0,
    Closed = 1,

    /// <summary>Late data showed that there was none.</summary>
    Withdrawn = 2,
}

/// <summary>What is said of an episode.</summary>
internal readonly record struct EpisodeSummary(string Id, AnomalyKind Kind, int Direction, long StartFrame, long LastFrame, float PeakScore)
{
    public static EpisodeSummary Of(EpisodeTracker e) => new(e.Id, e.Kind, e.Direction, e.StartFrame, e.LastFrame, e.PeakScore);

    public ulong Fingerprint(EpisodeState state)
    {
        var f = new Fingerprint();
        f.Add((long)state);
        f.Add(Direction);
        f.Add(state == EpisodeState.Open ? 0 : LastFrame);
        f.Add(BitConverter.SingleToInt32Bits(PeakScore));
        return f.Value;
    }
}

/// <summary>An episode as it was last published.</summary>
internal sealed class PublishedEpisode
{
    public EpisodeSummary Summary { get; set; }

    public EpisodeState State { get; set; }

    public int Revision { get; set; }

    /// <summary>The frame that made it known.</summary>
    public long Frame { get; set; }

    public ulong Opening { get; set; }

    public ulong Latest { get; set; }

    /// <summary>It has shown itself again since the stream was rewound.</summary>
    public bool Seen { get; set; }

    public void Write(ByteWriter w)
    {
        w.String(Summary.Id);
        w.Byte((byte)Summary.Kind);
        w.Int32(Summary.Direction);
        w.Int64(Summary.StartFrame);
        w.Int64(Summary.LastFrame);
        w.Int32(BitConverter.SingleToInt32Bits(Summary.PeakScore));
        w.Byte((byte)State);
        w.Int32(Revision);
        w.Int64(Frame);
        w.Int64((long)Opening);
        w.Int64((long)Latest);
    }

    public static PublishedEpisode Read(ref ByteReader r) => new()
    {
        Summary = new EpisodeSummary(r.String(), (AnomalyKind)r.Byte(), r.Int32(), r.Int64(), r.Int64(), BitConverter.Int32BitsToSingle(r.Int32())),
        State = (EpisodeState)r.Byte(),
        Revision = r.Int32(),
        Frame = r.Int64(),
        Opening = (ulong)r.Int64(),
        Latest = (ulong)r.Int64(),
    };
}

/// <summary>Tells whether something is as it was: FNV-1a over 64-bit words.</summary>
internal struct Fingerprint
{
    private ulong _hash;

    public readonly ulong Value => _hash;

    public void Add(long word) => _hash = ((_hash == 0 ? 14695981039346656037UL : _hash) ^ (ulong)word) * 1099511628211UL;

    public void Add(double v) => Add(BitConverter.DoubleToInt64Bits(v));
}
