using System.Globalization;
using StreamLstm.Core.Learning.Networks;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Tests.Samples;

/// <summary>
/// The next value of a sine wave from the last 50: two LSTM layers of 50 units and a linear head, the first 80 % of the
/// windows to train on and the last 20 % to test, Adam, mean squared error.
/// </summary>
internal static class SineWaveSample
{
    private const int Points = 1000, Window = 50, Epochs = 12, Batch = 32;

    public static SampleResult Run()
    {
        // sin(linspace(0, 100, 1000)): a tenth of a radian per point.
        var wave = Enumerable.Range(0, Points).Select(t => Elementary.SinCosTurns(t * 0.1f / 6.2831853f).Sin).ToArray();
        var training = (Points - Window) * 4 / 5;
        var lstm = new RecurrentLayerOptions { Cell = CellKind.Lstm, Units = 50 };
        var options = new NetworkOptions { Inputs = 1, Layers = [lstm with { ReturnSequences = true }, lstm], Head = new LinearHead(1) };
        var network = RecurrentNetwork<float>.Create(options, seed: 1);
        var trainer = new NetworkTrainer<float>(network, new TrainingOptions
        {
            Loss = new LossOptions { Kind = LossKind.MeanSquared },
            Optimizer = new AdamOptions { LearningRate = 5e-3 },
            Schedule = new CosineSchedule { Steps = Epochs * ((training + Batch - 1) / Batch), Floor = 0.01, WarmUpSteps = 10 },
            ClipNorm = 1,
            Epochs = Epochs,
            BatchSize = Batch,
        });

        var fit = trainer.Fit(Windows(wave, 0, training, Window));
        var test = Windows(wave, training, Points - Window, Window);
        var error = trainer.Evaluate(test);
        var predicted = network.Forward(test.Inputs, Window, test.Sequences).Outputs;
        return new SampleResult(
            string.Create(CultureInfo.InvariantCulture, $"test MSE {error:0.0e+0} after {fit.Steps} steps\n{ParameterSummary.Of(options).ToText()}"),
            new Dictionary<string, double> { ["test_mse"] = error },
            new Dictionary<string, string>
            {
                ["sine"] = SvgPlot.Lines(
                    "Sine wave: next value from the last 50", "test window",
                    new PlotLine("true", "#1f77b4", test.Targets), new PlotLine("predicted", "#d62728", predicted)),
            });
    }

    /// <summary>Windows [first, last) of a series as [T, B, 1], each with the value that follows it.</summary>
    public static SequenceData<float> Windows(float[] series, int first, int last, int window)
    {
        var count = last - first;
        var inputs = new float[window * count];
        for (var t = 0; t < window; t++)
        {
            series.AsSpan(first + t, count).CopyTo(inputs.AsSpan(t * count));
        }

        return new SequenceData<float>(window, count, inputs, series.AsSpan(first + window, count).ToArray());
    }
}
