using System.Text;
using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Scoring;
using StreamLstm.Runtime.Alignment;
using StreamLstm.Runtime.Episodes;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Repair;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Sharding;

/// <summary>
/// One live stream: its alignment, its episode, and where its series' records lie. There are up to millions: what most of them don't have takes no room.
/// </summary>
internal sealed class StreamSession
{
    private readonly int _slot;
    private readonly byte _partition;
    private readonly Rare? _rare;
    private EpisodeTracker? _episode;

    public StreamSession(byte[] key, ProfileRuntime profile, int[] slots, int partition, AlignerWorkspace alignment)
    {
        Key = key;
        Name = Encoding.UTF8.GetString(key);
        Profile = profile;
        _slot = slots[0];
        _partition = (byte)partition;
        Aligner = new StreamAligner(alignment);
        if (slots.Length > 1 || profile.RepairFrames > 0 || profile.Profile.Tier == Tier.Solo)
            _rare = new Rare(key, profile, slots);
    }

    public byte[] Key { get; }

    public string Name { get; }

    public ProfileRuntime Profile { get; }

    /// <summary>One per channel.</summary>
    public ReadOnlySpan<int> Slots => _rare is null ? new ReadOnlySpan<int>(in _slot) : _rare.Slots;

    /// <summary>State of the <see cref="JointScore"/>; empty with one channel.</summary>
    public double[] Joint => _rare?.Joint ?? [];

    /// <summary>Networks of the stream's own; null in other tiers than solo.</summary>
    public SoloState? Solo => _rare?.Solo;

    public int Partition => _partition;

    public StreamAligner Aligner { get; }

    /// <summary>For reading; a stream without one has <see cref="EpisodeTracker.Closed"/>.</summary>
    public EpisodeTracker Episode => _episode ?? EpisodeTracker.Closed;

    /// <summary>What late data is repaired from; null for profiles that don't.</summary>
    public RepairWindow? Repair => _rare?.Repair;

    /// <summary>See <see cref="EpisodeTracker.OnFrame"/>.</summary>
    public EpisodeChange OnFrame(long frame, float score, AnomalyKind kind, int direction)
    {
        if (kind == AnomalyKind.None && _episode is not { IsOpen: true })
        {
            _episode = null;
            return EpisodeChange.None;
        }

        return (_episode ??= new EpisodeTracker()).OnFrame(Key, frame, score, kind, direction);
    }

    public void ReadEpisode(ref ByteReader r)
    {
        var ahead = r;
        if (ahead.Byte() == 0)
        {
            r = ahead;
            _episode = null;
            return;
        }

        (_episode ??= new EpisodeTracker()).Read(ref r);
    }

    /// <summary>Frames processed since the stream was born; drives the forecast's thinning.</summary>
    public long Frames { get; set; }

    /// <summary>Number of the commit with this stream's latest snapshot, or −1.</summary>
    public long SnapshotCommit { get; set; } = -1;

    /// <summary>The time under which its partition looks after its deadline; long.MaxValue = not at all.</summary>
    public long ExpectedAt { get; set; } = long.MaxValue;

    /// <summary>What the shard's numbers hold of it.</summary>
    public bool CountedStale { get; set; }

    public sbyte CountedSeverity { get; set; } = -1;

    /// <summary>Frames since that snapshot; the offset staggers streams that were born together.</summary>
    public int FramesSinceSnapshot { get; set; }

    /// <summary>Whether the stream's frames teach the shared weights; see <see cref="Training.TrainingSample"/>.</summary>
    public bool InTrainingSample { get; set; }

    /// <summary>Set while the current batch touches the stream.</summary>
    public bool Touched { get; set; }

    /// <summary>Frames of the current batch so far: the wave of the next one.</summary>
    public int Wave { get; set; }

    /// <summary>First entry of this stream in the batch's frame list, −1 if none; entries chain through <see cref="FrameWork.NextOfStream"/>.</summary>
    public int FirstFrame { get; set; } = -1;

    public int LastFrame { get; set; } = -1;

    /// <summary>What streams of several channels, of tier solo, or with a repair horizon have besides.</summary>
    private sealed class Rare
    {
        public Rare(byte[] key, ProfileRuntime profile, int[] slots)
        {
            Slots = slots;
            if (profile.RepairFrames > 0)
                Repair = new RepairWindow(profile, key);
            if (slots.Length > 1)
            {
                Joint = new double[JointScore.Length(slots.Length)];
                JointScore.Initialise(Joint);
            }

            if (profile.Profile.Tier == Tier.Solo)
                Solo = new SoloState(slots.Length, VirtualPartition.Murmur2(key));
        }

        public int[] Slots { get; }

        public double[] Joint { get; } = [];

        public SoloState? Solo { get; }

        public RepairWindow? Repair { get; }
    }
}

/// <summary>A closed frame waiting for its wave.</summary>
internal struct FrameWork
{
    public StreamSession Session;
    public long Frame;
    public FrameKind Kind;
    public FrameFlags Flags;
    public long Length;
    public int ValuesAt;
    public long Lsn;
    public int Sub;
    public long Clock;
    public int Version;
    public int NextOfStream;

    /// <summary>Where among the frames' values lies what was known in advance of the covariates, and how much.</summary>
    public int KnownAt;
    public int Known;

    /// <summary>The frame had been closed before: late data made it anew.</summary>
    public bool Replayed;

    /// <summary>No later frame of the stream has been closed so far.</summary>
    public bool Newest;

    /// <summary>The base that is to be filled in after this frame; of a rewinding the one to go back to.</summary>
    public RepairBase? Base;
}
