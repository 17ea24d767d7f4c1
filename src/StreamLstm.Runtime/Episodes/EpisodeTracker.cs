using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Scoring;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Episodes;

internal enum EpisodeChange
{
    None,
    Opened,
    Closed,
}

/// <summary>
/// Turns a stream's anomalous frames into episodes: one opens with the first anomalous frame, lasts while anomalous frames keep coming
/// within the quiet span, and closes at the last of them. Id = hash(stream, start, type), so a replay gives the same id.
/// </summary>
internal sealed class EpisodeTracker
{
    /// <summary>Ordinary frames that end an episode: as many as end the alarm whose rate is held.</summary>
    public const int QuietFrames = AlarmReserve.QuietFrames;

    /// <summary>Of every stream without an episode; nobody changes it.</summary>
    public static readonly EpisodeTracker Closed = new();

    private int _quiet;

    public bool IsOpen { get; private set; }

    public string Id { get; private set; } = "";

    /// <summary>Frame index of the first and the last anomalous frame.</summary>
    public long StartFrame { get; private set; }

    public long LastFrame { get; private set; }

    public AnomalyKind Kind { get; private set; }

    public int Direction { get; private set; }

    public float PeakScore { get; private set; }

    public EpisodeChange OnFrame(ReadOnlySpan<byte> streamKey, long frame, float score, AnomalyKind kind, int direction)
    {
        if (kind == AnomalyKind.None)
        {
            if (!IsOpen || ++_quiet < QuietFrames)
                return EpisodeChange.None;
            IsOpen = false;
            return EpisodeChange.Closed;
        }

        _quiet = 0;
        if (IsOpen)
        {
            LastFrame = frame;
            PeakScore = Math.Max(PeakScore, score);
            return EpisodeChange.None;
        }

        IsOpen = true;
        StartFrame = LastFrame = frame;
        Kind = kind;
        Direction = direction;
        PeakScore = score;
        Id = MakeId(streamKey, frame, kind);
        return EpisodeChange.Opened;
    }

    /// <summary>A stale episode lasts until samples return.</summary>
    public void ExtendStale(long lastMissing)
    {
        if (IsOpen && Kind == AnomalyKind.Stale)
            LastFrame = lastMissing;
    }

    /// <summary>Severities of anomalies.</summary>
    public static IList<string> Severities { get; } = ["low", "medium", "high"];

    /// <summary>Severity of a score; 1 is the alarm threshold.</summary>
    public static string Severity(float score) => score switch
    {
        <= 1 => "none",
        <= 1.5f => "low",
        <= 3 => "medium",
        _ => "high",
    };

    /// <summary>The type's name in results and episodes.</summary>
    public static string TypeName(AnomalyKind kind) => kind switch
    {
        AnomalyKind.Spike => "spike",
        AnomalyKind.Dip => "dip",
        AnomalyKind.LevelShift => "level_shift",
        AnomalyKind.Stuck => "stuck",
        AnomalyKind.Stale => "stale",
        AnomalyKind.Variance => "variance",
        AnomalyKind.Relation => "relation",
        AnomalyKind.Ectopic => "ectopic",
        AnomalyKind.Premature => "premature",
        AnomalyKind.Pause => "pause",
        AnomalyKind.Irregular => "irregular",
        AnomalyKind.RateHigh => "rate_high",
        AnomalyKind.RateLow => "rate_low",
        AnomalyKind.LeadOff => "lead_off",
        AnomalyKind.Artefact => "artefact",
        AnomalyKind.StateChange => "state_change",
        AnomalyKind.PowerHigh => "power_high",
        AnomalyKind.PowerLow => "power_low",
        _ => "none",
    };

    public void Write(ByteWriter w)
    {
        w.Byte((byte)(IsOpen ? 1 : 0));
        if (!IsOpen)
            return;
        w.Int32(_quiet);
        w.String(Id);
        w.Int64(StartFrame);
        w.Int64(LastFrame);
        w.Byte((byte)Kind);
        w.Int32(Direction);
        w.Int32(BitConverter.SingleToInt32Bits(PeakScore));
    }

    public void Read(ref ByteReader r)
    {
        IsOpen = r.Byte() != 0;
        if (!IsOpen)
            return;
        _quiet = r.Int32();
        Id = r.String();
        StartFrame = r.Int64();
        LastFrame = r.Int64();
        Kind = (AnomalyKind)r.Byte();
        Direction = r.Int32();
        PeakScore = BitConverter.Int32BitsToSingle(r.Int32());
    }

    private static string MakeId(ReadOnlySpan<byte> streamKey, long frame, AnomalyKind kind)
    {
        // FNV-1a, 64 bit, over key, start and type.
        var hash = 14695981039346656037UL;
        foreach (var b in streamKey)
            hash = (hash ^ b) * 1099511628211UL;
        for (var i = 0; i < 64; i += 8)
            hash = (hash ^ (byte)(frame >> i)) * 1099511628211UL;
        hash = (hash ^ (byte)kind) * 1099511628211UL;
        return hash.ToString("x16", System.Globalization.CultureInfo.InvariantCulture);
    }
}
