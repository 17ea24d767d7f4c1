using System.Text;
using StreamLstm.Core.Scoring;
using StreamLstm.Runtime.Alignment;
using StreamLstm.Runtime.Episodes;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Repair;

namespace StreamLstm.Runtime.Sharding;

/// <summary>One live stream: its alignment, its episode, and where its series' records lie.</summary>
internal sealed class StreamSession
{
    public StreamSession(byte[] key, ProfileRuntime profile, int[] slots, int partition, Stack<Bucket>? spare = null)
    {
        Key = key;
        Name = Encoding.UTF8.GetString(key);
        Profile = profile;
        Slots = slots;
        Partition = partition;
        Aligner = new StreamAligner(profile.Profile, spare);
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

    public byte[] Key { get; }

    public string Name { get; }

    public ProfileRuntime Profile { get; }

    /// <summary>One per channel.</summary>
    public int[] Slots { get; }

    /// <summary>State of the <see cref="JointScore"/>; empty with one channel.</summary>
    public double[] Joint { get; } = [];

    /// <summary>Networks of the stream's own; null in other tiers than solo.</summary>
    public SoloState? Solo { get; }

    public int Partition { get; }

    public StreamAligner Aligner { get; }

    public EpisodeTracker Episode { get; } = new();

    /// <summary>What late data is repaired from; null for profiles that don't.</summary>
    public RepairWindow? Repair { get; }

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
