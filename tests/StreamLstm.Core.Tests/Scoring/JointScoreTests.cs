using StreamLstm.Core.Numerics;
using StreamLstm.Core.Scoring;

namespace StreamLstm.Core.Tests.Scoring;

public sealed class JointScoreTests
{
    private const int Basis = 96;
    private const double Rate = 1e-3;

    [Fact]
    public void Channels_that_contradict_each_other_are_found_although_each_stays_in_its_range()
    {
        // Two loads and their sum; then the sum is measured as if one load were missing.
        for (var seed = 1UL; seed < 6; seed++)
        {
            var run = new Run(3);
            var random = new CounterRandom(seed);
            for (var t = 0; t < 40 * Basis; t++)
            {
                var (a, b) = (10 + Noise(random, t), 5 + Noise(random, t + 1_000_000));
                run.Step([a, b, (t < 39 * Basis ? a : 10) + b]);
            }

            Assert.True(run.Parts[(39 * Basis)..].Exists(p => p.Relation > 1), $"The relation only reaches {run.Parts[(39 * Basis)..].Max(p => p.Relation)}.");
            Assert.True(run.Parts[(20 * Basis)..(39 * Basis)].Count(p => p.Relation > 1) < 10, "Ordinary frames raise alarms.");
        }
    }

    [Fact]
    public void Missing_channels_say_nothing_and_leave_everything_finite()
    {
        var run = new Run(4);
        var random = new CounterRandom(9);
        for (var t = 0; t < 30 * Basis; t++)
        {
            double[] values = [.. Enumerable.Range(0, 4).Select(c => Noise(random, (t * 4) + c))];
            values[t % 4] = double.NaN;
            if (t % 50 == 0)
                Array.Fill(values, double.NaN);
            run.Step(values);
        }

        Assert.All(run.Parts, p => Assert.True(float.IsFinite(p.Score) && p.Score >= 0));
        Assert.All(run.State.Take(9).Concat(run.State.Skip(12)), v => Assert.True(double.IsFinite(v)));
        Assert.True(run.Parts.Skip(10 * Basis).Count(p => p.Score > 1) < 20);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(38)]
    [InlineData(JointScore.MostChannels + 1)]
    public void Whatever_comes_in_scores_are_finite_and_nothing_is_allocated(int channels)
    {
        var run = new Run(channels);
        var random = new CounterRandom(3);
        double[] odd = [0, 1e30, -1e30, 5e-324, 42, double.NaN];
        var values = new double[channels];
        for (var t = 0; t < 3000; t++)
        {
            for (var c = 0; c < channels; c++)
                values[c] = random.Below(20, (ulong)((t * channels) + c)) == 0 ? odd[random.Below(6, (ulong)((t * channels) + c + 7))] : c % 3 == 0 ? 7 : Noise(random, (t * channels) + c);
            run.Step(values);
        }

        Assert.All(run.Parts, p => Assert.True(float.IsFinite(p.Score) && p.Score >= 0));
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var t = 0; t < 200; t++)
            run.Score(values);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    private static double Noise(CounterRandom random, int t) => Enumerable.Range(0, 4).Sum(i => random.Unit((ulong)((t * 4) + i))) - 2;

    private sealed class Run
    {
        private readonly float[] _scores;
        private readonly double[] _residuals;
        private readonly float _ratio = JointScore.LogRatio(Rate);

        public Run(int channels)
        {
            State = new double[JointScore.Length(channels)];
            JointScore.Initialise(State);
            _scores = new float[channels];
            _residuals = new double[channels];
            Array.Fill(_scores, 0.3f);
        }

        public double[] State { get; }

        public List<JointParts> Parts { get; } = [];

        public void Step(double[] values) => Parts.Add(Score(values));

        public JointParts Score(double[] values) => JointScore.Update(State, values, _scores, _residuals, Basis, _ratio, Rate);
    }
}
