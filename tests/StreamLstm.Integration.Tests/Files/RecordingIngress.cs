using System.Text;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Integration.Tests.Files;

internal sealed record RecordedSample(string Stream, long Time, long Arrival, double[] Values)
{
    public override string ToString() => FormattableString.Invariant($"{Stream} {Time} {Arrival} {string.Join(',', Values)}");
}

/// <summary>Keeps what was appended; can refuse from the n-th append on, like a process that dies there.</summary>
internal sealed class RecordingIngress(TimeProvider clock, int failAtAppend = int.MaxValue) : IIngress
{
    private int _appends;

    public TimeProvider Clock => clock;

    public List<RecordedSample> Samples { get; } = [];

    public List<DeadLetter> DeadLetters { get; } = [];

    public List<string> Positions { get; } = [];

    public string? Durable { get; set; }

    public Action? Appended { get; set; }

    public ValueTask AppendAsync(SampleBatch batch, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (++_appends >= failAtAppend)
            throw new OperationCanceledException();
        for (var i = 0; i < batch.Count; i++)
            Samples.Add(new(Encoding.UTF8.GetString(batch.Key(i)), batch.EventTime(i), batch.Arrival(i), batch.Values(i).ToArray()));
        DeadLetters.AddRange(batch.DeadLetters);
        if (batch.SourcePosition is { } position)
        {
            Positions.Add(position);
            Durable = position;
        }

        Appended?.Invoke();
        return ValueTask.CompletedTask;
    }

    public string? Position(string source) => Durable;
}

/// <summary>Time jumps forward by every delay that is asked for, so waits take no time.</summary>
internal sealed class JumpingTimeProvider : TimeProvider
{
    private long _ticks = new DateTime(2030, 1, 1).Ticks;

    public TimeSpan Elapsed => TimeSpan.FromTicks(Interlocked.Read(ref _ticks) - new DateTime(2030, 1, 1).Ticks);

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => Interlocked.Read(ref _ticks);

    public override DateTimeOffset GetUtcNow() => new(GetTimestamp(), TimeSpan.Zero);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        if (dueTime > TimeSpan.Zero)
            Interlocked.Add(ref _ticks, dueTime.Ticks);
        return System.CreateTimer(callback, state, dueTime < TimeSpan.Zero ? dueTime : TimeSpan.FromMilliseconds(1), period);
    }
}
