using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Runtime;

/// <summary>The clock of simulations and backtests: it shows the time of the data and only moves forward. Thread-safe.</summary>
public sealed class SimulatedClock(long startMicros) : TimeProvider
{
    private long _now = startMicros;

    /// <summary>Unix microseconds.</summary>
    public long NowMicros => Interlocked.Read(ref _now);

    public void AdvanceTo(long micros)
    {
        var now = NowMicros;
        while (micros > now)
        {
            var seen = Interlocked.CompareExchange(ref _now, micros, now);
            if (seen == now)
                return;
            now = seen;
        }
    }

    public override DateTimeOffset GetUtcNow() => UnixMicros.ToDateTimeOffset(NowMicros);
}
