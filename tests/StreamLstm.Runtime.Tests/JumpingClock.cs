namespace StreamLstm.Runtime.Tests;

/// <summary>A clock whose wall time can be set, while what has passed is what the test lets pass.</summary>
internal sealed class JumpingClock(DateTimeOffset start) : TimeProvider
{
    private long _passed;
    private long _off;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override DateTimeOffset GetUtcNow() => start.AddTicks(Interlocked.Read(ref _passed) + Interlocked.Read(ref _off));

    public override long GetTimestamp() => Interlocked.Read(ref _passed);

    /// <summary>Time passes.</summary>
    public void Advance(TimeSpan by) => Interlocked.Add(ref _passed, by.Ticks);

    /// <summary>Someone sets the clock.</summary>
    public void Step(TimeSpan by) => Interlocked.Add(ref _off, by.Ticks);
}
