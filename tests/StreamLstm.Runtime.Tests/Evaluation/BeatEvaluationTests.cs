using StreamLstm.Core.Signals;
using StreamLstm.Runtime.Evaluation;

namespace StreamLstm.Runtime.Tests.Evaluation;

/// <summary>At 100 Hz: 150 ms are 15 samples.</summary>
public sealed class BeatEvaluationTests
{
    [Fact]
    public void Found_beats_belong_to_the_nearest_annotation_within_150_milliseconds_one_to_one()
    {
        var result = Of([(1000, "N"), (1100, "V"), (1200, "N")], (1010, 0.1f), (1085, 2f), (1216, 0f), (1216 + 300, 0f));
        Assert.Equal((3, 2, 1), (result.Beats, result.N, result.V));
        Assert.Equal(2.0 / 3, result.Sensitivity);
        Assert.Equal(2.0 / 4, result.PositivePredictivity);
    }

    [Fact]
    public void An_annotated_beat_that_was_missed_counts_with_score_zero()
    {
        var result = Of([(1000, "N"), (1100, "V"), (1200, "V")], (1000, 0.5f), (1100, 2f));
        Assert.Equal(0.5, result.AurocV);
    }

    [Theory]
    [InlineData("N", 'N')]
    [InlineData("L", 'N')]
    [InlineData("A", 'S')]
    [InlineData("V", 'V')]
    [InlineData("E", 'V')]
    [InlineData("F", 'F')]
    [InlineData("/", 'Q')]
    [InlineData("+", null)]
    [InlineData("~", null)]
    public void Mnemonics_have_the_classes_of_AAMI(string symbol, char? kind) => Assert.Equal(kind, BeatEvaluation.ClassOf(symbol));

    [Fact]
    public void What_lies_before_the_warm_up_is_left_out_on_both_sides()
    {
        var result = BeatEvaluation.Of([(50, "V"), (500, "N"), (600, "V")], Beats((50, 9f), (500, 0f), (600, 2f)), 100, 4);
        Assert.Equal((1, 1, 1.0, 1.0, 1.0), (result.N, result.V, result.AurocV, result.Sensitivity, result.PositivePredictivity));
    }

    [Fact]
    public void Ranking_measures_agree_with_counting_by_hand()
    {
        Assert.Equal((5 + 0.5) / 6, RankMetrics.Auroc([3, 1], [0, 1, 0.5])!.Value, 12);
        Assert.Null(RankMetrics.Auroc([], [1]));
        Assert.Equal((1 + (2.0 / 3)) / 2, RankMetrics.AveragePrecision([4, 2], [3, 1])!.Value, 12);
        Assert.Equal(2.0 / 3, RankMetrics.F1([4, 0.5], [0.2, 0.1], 1)!.Value, 12);
    }

    private static BeatEvaluation Of((long Sample, string Symbol)[] truth, params (long Sample, float Score)[] found) => BeatEvaluation.Of(truth, Beats(found), 100, 0);

    private static IEnumerable<Beat> Beats(params (long Sample, float Score)[] beats) => beats.Select(b => new Beat(b.Sample, 1, 0, 0, 0, b.Score, 0, 1));
}
