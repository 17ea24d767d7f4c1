using System.Diagnostics;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Scoring;

namespace StreamLstm.Benchmarks;

/// <summary>
/// What scoring alone costs per frame and channel on one core, at 10,000 channels visited in turn so that their state comes from main
/// memory: alarm bounds of the interval, slow score, their learning and their reserves; and the joint score of streams of several
/// channels, per channel.
/// </summary>
internal static class ScoringBenchmark
{
    private const int Channels = 10_000;
    private const int Bins = 48;
    private const double Rate = 1e-3;

    public static ScoringReport Run(double seconds)
    {
        var rows = new List<ScoringCost> { Series(seconds / 4) };
        foreach (var d in new[] { 3, 12, 38 })
            rows.Add(Joint(d, seconds / 4));
        return new ScoringReport(Machine.Processor, rows);
    }

    private static ScoringCost Series(double seconds)
    {
        var words = SlowScore.Words(Bins) + (2 * TailCalibrator.Words) + 2;
        var states = new float[Channels][];
        for (var i = 0; i < Channels; i++)
        {
            states[i] = new float[words];
            SlowScore.Initialise(states[i]);
            TailCalibrator.Initialise(states[i].AsSpan(words - 8), 2.1f, 0.9f);
            TailCalibrator.Initialise(states[i].AsSpan(words - 5), 2.1f, 0.9f);
        }

        var ratio = TailCalibrator.LogRatio(Rate / 3);
        var slowRatio = SlowScore.LogRatio(Rate);
        var random = new CounterRandom(3);
        var noise = new float[4096];
        for (var i = 0; i < noise.Length; i++)
            noise[i] = random.Unit((ulong)i) + random.Unit((ulong)i + 5000) + random.Unit((ulong)i + 10_000) - 1.5f;
        var raised = 0;
        return Measure("series", 1, seconds, frame =>
        {
            for (var i = 0; i < Channels; i++)
            {
                var state = states[i].AsSpan();
                var residual = 2 * noise[(int)((frame * 31) + i) & 4095];
                var up = state.Slice(words - 8, 3);
                var down = state.Slice(words - 5, 3);
                ref var reserve = ref state[words - 2];
                var factor = Elementary.Exp(reserve);
                var position = residual > 0 ? residual / (factor * TailCalibrator.Bound(up, ratio)) : -residual / (factor * TailCalibrator.Bound(down, ratio));
                var bin = (int)(frame / 4 % Bins);
                var parts = SlowScore.Update(state, Bins, bin, residual, residual, residual, slowRatio, 1, 1e-3f);
                var anomaly = position > 1 || parts.Score > 1;
                raised += anomaly ? 1 : 0;
                TailCalibrator.Update(up, Math.Max(residual, 0), TailCalibrator.Bound(up, ratio));
                TailCalibrator.Update(down, Math.Max(-residual, 0), TailCalibrator.Bound(down, ratio));
                SlowScore.Learn(state, Bins, bin, residual, anomaly, parts.Score > 1, 192, slowRatio, Rate);
                AlarmReserve.Learn(ref reserve, ref state[words - 1], position > 1, Rate);
            }
        });
    }

    private static ScoringCost Joint(int d, double seconds)
    {
        var streams = Channels / d;
        var states = new double[streams][];
        for (var i = 0; i < streams; i++)
        {
            states[i] = new double[JointScore.Length(d)];
            JointScore.Initialise(states[i]);
        }

        var random = new CounterRandom(5);
        var noise = new double[4096 + d];
        for (var i = 0; i < noise.Length; i++)
            noise[i] = random.Unit((ulong)i);
        var scores = new float[d];
        Array.Fill(scores, 0.3f);
        var residuals = new double[d];
        var ratio = JointScore.LogRatio(Rate);
        return Measure("joint", d, seconds, frame =>
        {
            for (var i = 0; i < streams; i++)
                JointScore.Update(states[i], noise.AsSpan((int)((frame * 31) + i) & 4095, d), scores, residuals, 96, ratio, Rate);
        });
    }

    private static ScoringCost Measure(string part, int d, double seconds, Action<long> frame)
    {
        var n = 0L;
        for (; n < 200; n++)
            frame(n);
        var allocated = GC.GetAllocatedBytesForCurrentThread();
        var (started, first) = (Stopwatch.GetTimestamp(), n);
        do
            frame(n++);
        while (Stopwatch.GetElapsedTime(started).TotalSeconds < seconds);
        var elapsed = Stopwatch.GetElapsedTime(started).TotalMicroseconds;
        var each = (n - first) * (double)(Channels / d * d);
        return new ScoringCost(part, d, elapsed / each, (GC.GetAllocatedBytesForCurrentThread() - allocated) / each);
    }
}

/// <param name="D">Channels per stream.</param>
/// <param name="Microseconds">Per frame and channel.</param>
internal sealed record ScoringCost(string Part, int D, double Microseconds, double BytesPerFrame);

internal sealed record ScoringReport(string Cpu, IReadOnlyList<ScoringCost> Rows);
