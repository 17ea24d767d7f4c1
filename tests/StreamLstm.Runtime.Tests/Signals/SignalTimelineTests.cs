using StreamLstm.Runtime.Signals;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Tests.Signals;

public sealed class SignalTimelineTests
{
    private const double Rate = 250;
    private readonly Run _run = new();

    [Fact]
    public void Packets_follow_each_other_although_their_stamps_are_jittered_and_their_clock_is_off()
    {
        var line = Line();
        for (var i = 0; i < 1000; i++)
            Assert.Equal(BlockOutcome.Accepted, line.Add((long)(i * 100_000 * 1.0005) + (i % 7 * 1000), Packet(i), _run));
        Assert.Equal(Enumerable.Range(0, 1000), _run.Packets);
        Assert.Equal(0, _run.Missing);
        // Half a per mille over a hundred seconds is 50 ms, which the time line has followed.
        Assert.InRange(line.End - (100_000_000 * 1.0005), -20_000, 20_000);
    }

    [Fact]
    public void A_packet_ahead_of_its_time_waits_for_the_one_before_it()
    {
        var line = Line(lateness: 500);
        line.Add(0, Packet(0), _run);
        line.Add(200_000, Packet(2), _run);
        line.Add(300_000, Packet(3), _run);
        Assert.Equal([0], _run.Packets);
        line.Add(100_000, Packet(1), _run);
        Assert.Equal([0, 1, 2, 3], _run.Packets);
        Assert.Equal(0, _run.Missing);
    }

    [Fact]
    public void What_does_not_come_within_the_allowed_lateness_is_missing_and_late_when_it_comes()
    {
        var line = Line(lateness: 500);
        line.Add(0, Packet(0), _run);
        for (var i = 2; i <= 7; i++)
            Assert.Equal(BlockOutcome.Accepted, line.Add(i * 100_000, Packet(i), _run));
        Assert.Equal([0, 2, 3, 4, 5, 6, 7], _run.Packets);
        Assert.Equal(25, _run.Missing);
        Assert.Equal(BlockOutcome.Late, line.Add(100_000, Packet(1), _run));
    }

    [Fact]
    public void A_repeated_packet_is_a_duplicate_whether_it_was_taken_or_waits()
    {
        var line = Line(lateness: 500);
        line.Add(0, Packet(0), _run);
        Assert.Equal(BlockOutcome.Duplicate, line.Add(0, Packet(0), _run));
        line.Add(200_000, Packet(2), _run);
        Assert.Equal(BlockOutcome.Duplicate, line.Add(200_000, Packet(2), _run));
        Assert.Equal(BlockOutcome.Late, line.Add(-1_000_000, Packet(9), _run));
    }

    [Fact]
    public void The_part_of_a_packet_that_was_received_before_is_cut_off()
    {
        var line = Line();
        line.Add(0, Packet(0), _run);
        line.Add(60_000, Packet(1), _run);
        Assert.Equal(40, _run.Samples);
        Assert.Equal(160_000, line.End);
    }

    [Fact]
    public void A_long_gap_is_a_break_after_which_time_goes_on_from_the_stamp()
    {
        var line = Line();
        line.Add(0, Packet(0), _run);
        line.Add(60_000_000, Packet(1), _run);
        Assert.Equal(1, _run.Breaks);
        Assert.Equal(60_100_000, line.End);
        Assert.InRange(_run.Missing, 1, 3 * Rate);
    }

    [Fact]
    public void Its_state_goes_on_where_it_was_written()
    {
        var (line, copy) = (Line(lateness: 500), Line(lateness: 500));
        line.Add(1000, Packet(0), _run);
        line.Add(203_000, Packet(2), _run);
        var w = new ByteWriter();
        line.Write(w);
        var r = new ByteReader(w.Written);
        copy.Read(ref r);
        Assert.True(r.AtEnd);
        var (one, two) = (new Run(), new Run());
        Assert.Equal(line.Add(102_000, Packet(1), one), copy.Add(102_000, Packet(1), two));
        Assert.Equal([1, 2], two.Packets);
        Assert.Equal(one.Packets, two.Packets);
        Assert.Equal((line.End, line.Time(3.5)), (copy.End, copy.Time(3.5)));
    }

    private static SignalTimeline Line(int lateness = 0) => new(Rate, 1, TimeSpan.FromMilliseconds(lateness));

    /// <summary>25 samples that say which packet they are of.</summary>
    private static float[] Packet(int number) => [.. Enumerable.Repeat((float)number, 25)];

    private sealed class Run : ISignalRun
    {
        public List<int> Packets { get; } = [];

        public int Missing { get; private set; }

        public int Breaks { get; private set; }

        public int Samples { get; private set; }

        public void OnRun(ReadOnlySpan<float> values)
        {
            Packets.Add((int)values[0]);
            Samples += values.Length;
        }

        public void OnMissing(int samples) => Missing += samples;

        public void OnBreak() => Breaks++;
    }
}
