using StreamLstm.Core.Forecasting;
using StreamLstm.Runtime.Episodes;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Tests.Episodes;

public sealed class EpisodeTrackerTests
{
    [Fact]
    public void An_episode_opens_once_lasts_through_short_pauses_and_closes_at_its_last_anomalous_frame()
    {
        var tracker = new EpisodeTracker();
        Assert.Equal(EpisodeChange.None, Ordinary(tracker, 9));
        Assert.Equal(EpisodeChange.Opened, Anomalous(tracker, 10, 1.2f));
        Assert.Equal(EpisodeChange.None, Anomalous(tracker, 11, 4f));
        for (var frame = 12; frame < 12 + EpisodeTracker.QuietFrames - 1; frame++)
            Assert.Equal(EpisodeChange.None, Ordinary(tracker, frame));
        Assert.Equal(EpisodeChange.None, Anomalous(tracker, 15, 2f));
        for (var frame = 16; frame < 16 + EpisodeTracker.QuietFrames - 1; frame++)
            Assert.Equal(EpisodeChange.None, Ordinary(tracker, frame));
        Assert.Equal(EpisodeChange.Closed, Ordinary(tracker, 20));
        Assert.Equal((10, 15, 4f), (tracker.StartFrame, tracker.LastFrame, tracker.PeakScore));
        Assert.False(tracker.IsOpen);
    }

    [Fact]
    public void The_id_follows_from_stream_start_and_type_alone()
    {
        static string Id(string stream, long frame, AnomalyKind kind)
        {
            var tracker = new EpisodeTracker();
            tracker.OnFrame(System.Text.Encoding.UTF8.GetBytes(stream), frame, 2, kind, 1);
            return tracker.Id;
        }

        Assert.Equal(Id("a", 1, AnomalyKind.Spike), Id("a", 1, AnomalyKind.Spike));
        Assert.Equal(4, new[] { Id("a", 1, AnomalyKind.Spike), Id("b", 1, AnomalyKind.Spike), Id("a", 2, AnomalyKind.Spike), Id("a", 1, AnomalyKind.Dip) }.Distinct().Count());
    }

    [Fact]
    public void Writing_and_reading_an_open_episode_changes_nothing()
    {
        var tracker = new EpisodeTracker();
        Anomalous(tracker, 10, 2.5f);
        Ordinary(tracker, 11);
        var writer = new ByteWriter();
        tracker.Write(writer);
        var copy = new EpisodeTracker();
        var reader = new ByteReader(writer.Written);
        copy.Read(ref reader);
        Assert.True(reader.AtEnd);
        Assert.Equal(tracker.Id, copy.Id);
        for (var frame = 12; frame < 20; frame++)
            Assert.Equal(Ordinary(tracker, frame), Ordinary(copy, frame));
        Assert.Equal((tracker.StartFrame, tracker.LastFrame, tracker.PeakScore, tracker.Kind), (copy.StartFrame, copy.LastFrame, copy.PeakScore, copy.Kind));
    }

    [Fact]
    public void A_stale_episode_lasts_until_samples_return()
    {
        var tracker = new EpisodeTracker();
        tracker.OnFrame("a"u8, 5, 1.25f, AnomalyKind.Stale, 0);
        tracker.ExtendStale(99);
        for (var frame = 100; frame < 100 + EpisodeTracker.QuietFrames - 1; frame++)
            Ordinary(tracker, frame);
        Assert.Equal(EpisodeChange.Closed, Ordinary(tracker, 103));
        Assert.Equal((5, 99), (tracker.StartFrame, tracker.LastFrame));
    }

    [Theory]
    [InlineData(0.5f, "none")]
    [InlineData(1f, "none")]
    [InlineData(1.2f, "low")]
    [InlineData(2f, "medium")]
    [InlineData(3.5f, "high")]
    public void Severity_follows_the_score(float score, string expected) => Assert.Equal(expected, EpisodeTracker.Severity(score));

    private static EpisodeChange Anomalous(EpisodeTracker tracker, long frame, float score) => tracker.OnFrame("a"u8, frame, score, AnomalyKind.Spike, 1);

    private static EpisodeChange Ordinary(EpisodeTracker tracker, long frame) => tracker.OnFrame("a"u8, frame, 0.3f, AnomalyKind.None, 0);
}
