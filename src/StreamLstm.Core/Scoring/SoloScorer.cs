using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Scoring;

/// <summary>
/// Tier <c>solo</c>: forecasters of the stream's own, a baseline by time of day, and their <see cref="CollectiveScore"/>.
/// A pure function of two spans of state, the workspace being scratch: it never sees more than the samples so far, allocates
/// nothing, and gives the same bits on every machine.
/// </summary>
public static class SoloScorer
{
    /// <summary>Forecasters, alike but for their random numbers: the error of their mean forecast depends less on the seed.</summary>
    private const int Members = 2;

    // Squares of this and their sums stay finite.
    private const double Largest = 1e100;

    /// <summary>Words of state in double precision.</summary>
    public static int NumbersLength => ForecasterOffset + (Members * SoloForecaster.NumbersLength);

    /// <summary>Words of state in single precision: weights, their moments, and 4,096 steps to learn from (1.4 MB).</summary>
    public static int WordsLength => Members * SoloForecaster.WordsLength;

    private static int BaselineOffset => CollectiveScore.StateLength;

    private static int ForecasterOffset => BaselineOffset + TimeOfDayBaseline.StateLength;

    /// <param name="numbers">[<see cref="NumbersLength"/>].</param>
    /// <param name="words">[<see cref="WordsLength"/>].</param>
    /// <param name="seed">Of the initial weights and of the choice of training sequences.</param>
    public static void Initialise(Span<double> numbers, Span<float> words, ulong seed)
    {
        numbers[..NumbersLength].Clear();
        CollectiveScore.Initialise(numbers);
        for (var member = 0; member < Members; member++)
            SoloForecaster.Initialise(Numbers(numbers, member), Words(words, member), new CounterRandom(seed, stream: 17).Bits((ulong)member));
    }

    /// <summary>Scores the next sample and learns from it.</summary>
    /// <param name="workspace">Scratch of the calling thread.</param>
    /// <param name="numbers">[<see cref="NumbersLength"/>].</param>
    /// <param name="words">[<see cref="WordsLength"/>].</param>
    /// <param name="timeMicros">Microseconds since 1970, UTC.</param>
    /// <param name="x">Finite; a missing sample is not passed.</param>
    public static ScoreParts Update(SoloWorkspace workspace, Span<double> numbers, Span<float> words, long timeMicros, double x)
    {
        ArgumentNullException.ThrowIfNull(workspace);
        if (!double.IsFinite(x))
            throw new ArgumentOutOfRangeException(nameof(x), x, "A sample is a finite number.");

        x = Math.Clamp(x, -Largest, Largest);
        var first = numbers[0] == 0;
        var seasonal = TimeOfDayBaseline.Residual(
            numbers.Slice(BaselineOffset, TimeOfDayBaseline.StateLength), timeMicros, x, first ? x : SoloForecaster.Level(Numbers(numbers, 0)));
        Span<double> errors = stackalloc double[SoloForecaster.Horizons];
        var (oneStep, ahead) = (0.0, 0.0);
        for (var member = 0; member < Members; member++)
        {
            SoloForecaster.Step(workspace, Numbers(numbers, member), Words(words, member), timeMicros, x, errors);
            oneStep += errors[0];
            ahead += errors[^1];
        }

        return CollectiveScore.Update(numbers, x, seasonal, oneStep / Members, ahead / Members);
    }

    private static Span<double> Numbers(Span<double> numbers, int member) =>
        numbers.Slice(ForecasterOffset + (member * SoloForecaster.NumbersLength), SoloForecaster.NumbersLength);

    private static Span<float> Words(Span<float> words, int member) =>
        words.Slice(member * SoloForecaster.WordsLength, SoloForecaster.WordsLength);
}
