using StreamLstm.Core.Forecasting;
using StreamLstm.Runtime.Journal;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Runtime;

/// <summary>How the engine runs; validated by the composition root.</summary>
public sealed record EngineSettings
{
    /// <summary>Folder of journal, state log and models; locked by the running worker.</summary>
    public required string StateDirectory { get; init; }

    public required IReadOnlyList<Profile> Profiles { get; init; }

    /// <summary>Threads that own partitions; may change at any restart.</summary>
    public int Shards { get; init; } = 1;

    public int MaxStreamsPerPartition { get; init; } = 4096;

    /// <summary>Of tier solo: a thousand streams spread over 64 partitions stay below it.</summary>
    public int MaxSoloStreamsPerPartition { get; init; } = 32;

    /// <summary>Most log entries handled by one commit.</summary>
    public int MaxBatchEntries { get; init; } = 20_000;

    public JournalSettings Journal { get; init; } = new();

    /// <summary>Size at which the state log begins a new segment; whole segments are deleted once nothing needs them.</summary>
    public long StateSegmentBytes { get; init; } = 64 << 20;

    /// <summary>Most bytes of results that wait in memory for sinks that are away or slow; the engine waits then.</summary>
    public long OutboxBytes { get; init; } = 128 << 20;

    /// <summary>How long a graceful stop waits for sinks that are away; what they miss is delivered after the next start.</summary>
    public TimeSpan StopTimeout { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>Never delete journal segments, so that the whole history can be replayed.</summary>
    public bool KeepJournal { get; init; }

    /// <summary>Frames that start before this time (Unix microseconds) warm the state without results, alarms or skill.</summary>
    public long MuteBeforeMicros { get; init; } = long.MinValue;

    /// <summary>Seed of weight initialisation and of the choice of training windows.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Most of one core that training takes, in (0, 1]: after every round it rests. What a round learns doesn't depend on it.</summary>
    public double TrainingShare { get; init; } = 1;

    /// <summary>Called for every processed frame, on a shard's thread; for backtests.</summary>
    public IFrameObserver? Observer { get; init; }
}

/// <summary>Sees every frame with its verdict and forecast. Thread-safe.</summary>
public interface IFrameObserver
{
    /// <param name="stream">Stream key.</param>
    /// <param name="channel">Channel index.</param>
    /// <param name="frame">Frame index (start = index · interval).</param>
    /// <param name="value">The frame's value, NaN if it is missing.</param>
    /// <param name="score">Made before anything was learnt from the frame.</param>
    /// <param name="forecast">[K, Q] issued after the frame.</param>
    /// <param name="experts">The experts' own forecasts [M, K], NaN where one has none; empty if the forecast is.</param>
    void OnFrame(string stream, int channel, long frame, double value, in FrameScore score, ReadOnlySpan<float> forecast, ReadOnlySpan<float> experts);
}
