namespace StreamLstm.Core.Tests.Samples;

/// <summary>What a sample found out.</summary>
/// <param name="Text">A report for people.</param>
/// <param name="Measures">Figures by name.</param>
/// <param name="Plots">SVG text by file name without extension.</param>
internal sealed record SampleResult(string Text, IReadOnlyDictionary<string, double> Measures, IReadOnlyDictionary<string, string> Plots);

/// <summary>A runnable example of the library.</summary>
internal sealed record Sample(string Name, string Description, Func<SampleResult> Run)
{
    public static IReadOnlyList<Sample> All { get; } =
    [
        new("sine", "The next value of a sine wave from the last 50", SineWaveSample.Run),
        new("cells", "LSTM, GRU and simple RNN on the same two tasks", CellComparisonSample.Run),
        new("classification", "Which of three shapes a noisy sequence has", ClassificationSample.Run),
        new("multivariate", "Three coupled channels, twelve steps ahead", MultivariateSample.Run),
    ];
}
