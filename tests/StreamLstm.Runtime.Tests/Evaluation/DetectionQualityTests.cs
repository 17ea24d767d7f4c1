using StreamLstm.Runtime.Evaluation;

namespace StreamLstm.Runtime.Tests.Evaluation;

public sealed class DetectionQualityTests
{
    private const long Second = 1_000_000;

    private static Label Fault(string type, long start, long end, string stream = "a") => new(stream, start * Second, end * Second, type);

    private static DetectedEpisode Alarm(string type, long start, long end, string stream = "a") => new(stream, start * Second, end * Second, type);

    private static DetectionQuality Judge(Label[] labels, DetectedEpisode[] episodes, double days = 2) =>
        DetectionQuality.Of(labels, episodes, 20 * Second, days, 10 * Second);

    [Fact]
    public void A_fault_is_found_within_itself_or_shortly_after_and_late_alarms_are_false()
    {
        var q = Judge([Fault("spike", 100, 110), Fault("theft", 200, 300)], [Alarm("spike", 100, 120), Alarm("dip", 319, 400), Alarm("dip", 500, 510)]);

        Assert.Equal((2, 2, 3, 2), (q.Faults, q.Found, q.Episodes, q.Right));
        Assert.Equal((2 / 3.0, 1.0, 0.5), (q.Precision, q.Recall, q.FalsePerDay));
    }

    [Fact]
    public void The_delay_reaches_from_the_faults_start_to_the_end_of_the_frame_that_told_of_it()
    {
        // At once: one frame. In the third frame. Under way before: none. Not found: doesn't count.
        var q = Judge(
            [Fault("a", 100, 200), Fault("b", 300, 400), Fault("c", 600, 700), Fault("d", 900, 910)],
            [Alarm("x", 100, 110), Alarm("x", 150, 160), Alarm("x", 320, 330), Alarm("x", 590, 640)]);

        Assert.Equal([0.0, 10, 30], q.Delays.Order());
        Assert.Equal(10, q.DelaySeconds);
        Assert.Equal((10.0, 30.0, 0.0, (double?)null), (q.ByType["a"].DelaySeconds, q.ByType["b"].DelaySeconds, q.ByType["c"].DelaySeconds, q.ByType["d"].DelaySeconds));
        Assert.Equal(20, Judge([Fault("a", 100, 200), Fault("b", 300, 400)], [Alarm("x", 100, 110), Alarm("x", 320, 330)]).DelaySeconds);
    }

    [Fact]
    public void Faults_are_counted_by_their_own_type_and_alarms_by_theirs()
    {
        var q = Judge([Fault("theft", 100, 200), Fault("theft", 300, 400), Fault("spike", 500, 510)], [Alarm("dip", 120, 130), Alarm("spike", 500, 520), Alarm("spike", 800, 820)]);

        Assert.Equal(["dip", "spike", "theft"], q.ByType.Keys);
        Assert.Equal((2, 1, 0, 0.5, null), (q.ByType["theft"].Faults, q.ByType["theft"].Found, q.ByType["theft"].Episodes, q.ByType["theft"].Recall, q.ByType["theft"].Precision));
        Assert.Equal((1, 1, 2, 1, 0.5, 0.5), (q.ByType["spike"].Faults, q.ByType["spike"].Found, q.ByType["spike"].Episodes, q.ByType["spike"].Right, q.ByType["spike"].Precision, q.ByType["spike"].FalsePerDay));
        Assert.Equal((0, 1, 1.0, null), (q.ByType["dip"].Faults, q.ByType["dip"].Right, q.ByType["dip"].Precision, q.ByType["dip"].Recall));
    }

    [Fact]
    public void An_alarm_of_another_stream_finds_nothing()
    {
        var q = Judge([Fault("spike", 100, 110)], [Alarm("spike", 100, 110, "b")]);
        Assert.Equal((0.0, 0.0, 0.5), (q.Precision, q.Recall, q.FalsePerDay));
    }

    [Fact]
    public void Without_faults_alarms_or_time_there_is_no_figure()
    {
        var q = Judge([], [], 0);
        Assert.Equal((null, null, null, null), (q.Precision, q.Recall, q.FalsePerDay, q.DelaySeconds));
        Assert.Empty(q.ByType);
    }

    [Fact]
    public void Series_are_pooled_by_their_counts()
    {
        var one = Judge([Fault("spike", 100, 110)], [Alarm("spike", 100, 110), Alarm("dip", 500, 510)]);
        var other = Judge([Fault("spike", 100, 110, "b"), Fault("theft", 300, 400, "b")], [Alarm("dip", 340, 350, "b")], days: 6);
        var pooled = DetectionQuality.Pool([one, other]);

        Assert.Equal((3, 2, 3, 2, 8.0), (pooled.Faults, pooled.Found, pooled.Episodes, pooled.Right, pooled.StreamDays));
        Assert.Equal((30.0, 1 / 8.0), (pooled.DelaySeconds, pooled.FalsePerDay));
        Assert.Equal((2, 1, 0.5), (pooled.ByType["spike"].Faults, pooled.ByType["spike"].Found, pooled.ByType["spike"].Recall));
        Assert.Equal((0, 2, 1, 1 / 8.0), (pooled.ByType["dip"].Faults, pooled.ByType["dip"].Episodes, pooled.ByType["dip"].Right, pooled.ByType["dip"].FalsePerDay));
    }
}
