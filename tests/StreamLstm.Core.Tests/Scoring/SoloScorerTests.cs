using StreamLstm.Core.Numerics;
using StreamLstm.Core.Scoring;

namespace StreamLstm.Core.Tests.Scoring;

public sealed class SoloScorerTests
{
    private const long Interval = 300_000_000;

    [Fact]
    public void The_score_of_a_prefix_is_the_same_to_the_bit()
    {
        var samples = Daily(1200);
        samples[900] = 50;
        var whole = Run(new Stream(), samples);
        var prefix = Run(new Stream(), samples.AsSpan(0, 700).ToArray());

        Assert.Equal(prefix, whole[..700]);
        Assert.Contains(whole, parts => parts.OneStep > 0);
    }

    [Fact]
    public void State_copied_in_mid_stream_continues_with_the_same_bits_beside_another_stream()
    {
        // Long enough for the ring of training steps to wrap round.
        var samples = Daily(5000);
        var uninterrupted = Run(new Stream(), samples);
        var first = new Stream();
        Run(first, samples.AsSpan(0, 4201).ToArray());
        var second = new Stream(seed: 9);
        var other = new Stream(seed: 5, second.Workspace);
        first.Numbers.CopyTo(second.Numbers, 0);
        first.Words.CopyTo(second.Words, 0);

        for (var i = 4201; i < samples.Length; i++)
        {
            other.Next(i, -samples[i]);
            Assert.Equal(uninterrupted[i], second.Next(i, samples[i]));
        }
    }

    [Fact]
    public void Seeds_differ()
    {
        var samples = Daily(400);
        Assert.NotEqual(Run(new Stream(seed: 1), samples), Run(new Stream(seed: 2), samples));
    }

    [Theory]
    [InlineData("constant")]
    [InlineData("zero")]
    [InlineData("tiny")]
    [InlineData("huge")]
    [InlineData("alternating extremes")]
    [InlineData("one extreme")]
    public void Scores_stay_finite_and_not_negative(string kind)
    {
        var random = new CounterRandom(3);
        var stream = new Stream();
        for (var i = 0; i < 1500; i++)
        {
            var noise = random.Unit((ulong)i) - 0.5;
            var score = stream.Next(i, kind switch
            {
                "constant" => 42,
                "zero" => 0,
                "tiny" => 1e-310 * noise,
                "huge" => 1e307 * noise,
                "one extreme" => i == 600 ? double.MaxValue : noise,
                _ => i % 2 == 0 ? double.MaxValue : -double.MaxValue,
            }).Score;
            Assert.InRange(score, 0, 1e6);
        }

        Assert.All(stream.Numbers.Skip(CollectiveScore.StateLength), number => Assert.True(double.IsFinite(number)));
        Assert.All(stream.Words, word => Assert.True(float.IsFinite(word)));
    }

    [Fact]
    public void A_constant_stream_scores_nothing()
    {
        Assert.All(Run(new Stream(), [.. Enumerable.Repeat(45.0, 1000)]), parts => Assert.Equal(0, parts.Score));
    }

    [Fact]
    public void A_spike_is_news_in_the_value()
    {
        var samples = Daily(3000);
        samples[2500] += 10;
        var scores = Run(new Stream(), samples);

        Assert.True(scores[2500].Value >= CollectiveScore.Threshold);
        Assert.Equal(scores[2500].Score, scores[2500].Value);
    }

    [Fact]
    public void A_level_shift_within_the_usual_range_is_news_in_the_errors()
    {
        // From noon's level to midnight's at noon: no value is out of range.
        var samples = Daily(3000);
        for (var i = 2448; i < samples.Length; i++)
            samples[i] = samples[i - 144];
        var scores = Run(new Stream(), samples);

        var after = scores.AsSpan(2448, 48).ToArray();
        Assert.All(after, parts => Assert.True(parts.Value < CollectiveScore.Threshold));
        Assert.Contains(after, parts => parts.Seasonal >= CollectiveScore.Threshold);
    }

    [Fact]
    public void A_sample_costs_no_allocation()
    {
        var stream = new Stream();
        var samples = Daily(600);
        Run(stream, samples);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 600; i < 1000; i++)
            stream.Next(i, samples[i - 600]);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Fact]
    public void A_value_that_is_no_number_is_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new Stream().Next(0, double.NaN));
    }

    /// <summary>A day of 288 samples between 0 and 10, with a little noise.</summary>
    private static double[] Daily(int count)
    {
        var random = new CounterRandom(11);
        return [.. Enumerable.Range(0, count).Select(i => 5 - (5 * Elementary.SinCosTurns(i / 288f).Cos) + (0.4 * random.Unit((ulong)i)))];
    }

    private static ScoreParts[] Run(Stream stream, double[] samples) => [.. samples.Select((x, i) => stream.Next(i, x))];

    private sealed class Stream
    {
        public Stream(ulong seed = 1, SoloWorkspace? workspace = null)
        {
            Workspace = workspace ?? new SoloWorkspace();
            SoloScorer.Initialise(Numbers, Words, seed);
        }

        public SoloWorkspace Workspace { get; }

        public double[] Numbers { get; } = new double[SoloScorer.NumbersLength];

        public float[] Words { get; } = new float[SoloScorer.WordsLength];

        public ScoreParts Next(int index, double x) => SoloScorer.Update(Workspace, Numbers, Words, index * Interval, x);
    }
}
