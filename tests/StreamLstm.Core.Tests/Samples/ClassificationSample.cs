using System.Globalization;
using StreamLstm.Core.Learning.Networks;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Tests.Samples;

/// <summary>Which of three shapes a noisy sequence has: sine, square or saw-tooth of random phase and period. A GRU and a softmax; rare classes weigh more.</summary>
internal static class ClassificationSample
{
    private const int Steps = 40, Classes = 3;

    public static SampleResult Run()
    {
        var layer = new RecurrentLayerOptions { Cell = CellKind.Gru, Units = 24, InputDropout = 0, RecurrentDropout = 0.1 };
        var network = RecurrentNetwork<float>.Create(new NetworkOptions { Inputs = 1, Layers = [layer], Head = new SoftmaxHead(Classes) }, seed: 2);
        var trainer = new NetworkTrainer<float>(network, new TrainingOptions
        {
            // The saw-tooth comes half as often as the others.
            Loss = new LossOptions { Kind = LossKind.CrossEntropy, ClassWeights = [1, 1, 2] },
            Optimizer = new AdamOptions { LearningRate = 1e-2, WeightDecay = 1e-3, Decoupled = true },
            ClipNorm = 1,
            Epochs = 25,
            Patience = 6,
        });
        var fit = trainer.Fit(Shapes(800, 1), Shapes(200, 2));

        var test = Shapes(500, 3);
        var probabilities = network.Forward(test.Inputs, Steps, test.Sequences).Outputs;
        var confusion = new int[Classes, Classes];
        var right = 0;
        for (var b = 0; b < test.Sequences; b++)
        {
            var row = probabilities.AsSpan(b * Classes, Classes);
            var (truth, guess) = ((int)test.Targets[b], row.IndexOf(row.ToArray().Max()));
            confusion[truth, guess]++;
            right += truth == guess ? 1 : 0;
        }

        var accuracy = (double)right / test.Sequences;
        var rows = Enumerable.Range(0, Classes).Select(truth =>
            $"{new[] { "sine", "square", "saw-tooth" }[truth],-10}" + string.Concat(Enumerable.Range(0, Classes).Select(guess => $"{confusion[truth, guess],6}")));
        return new SampleResult(
            string.Create(CultureInfo.InvariantCulture, $"accuracy {accuracy:0.000}, {fit.Outcome} after {fit.TrainingLosses.Count} epochs\n{string.Join('\n', rows)}\n"),
            new Dictionary<string, double> { ["accuracy"] = accuracy },
            new Dictionary<string, string>
            {
                ["classification"] = SvgPlot.Lines(
                    "Cross-entropy", "epoch",
                    new PlotLine("training", "#1f77b4", [.. fit.TrainingLosses.Select(loss => (float)loss)]),
                    new PlotLine("validation", "#d62728", [.. fit.ValidationLosses.Select(loss => (float)loss)])),
            });
    }

    private static SequenceData<float> Shapes(int sequences, ulong seed)
    {
        var random = new CounterRandom(seed, 20);
        var inputs = new float[Steps * sequences];
        var targets = new float[sequences];
        for (var b = 0; b < sequences; b++)
        {
            var draw = (ulong)b * 64;
            var kind = random.Below(5, draw) / 2;
            var (phase, period) = (random.Unit(draw + 1), 10f + (8f * random.Unit(draw + 2)));
            targets[b] = kind;
            for (var t = 0; t < Steps; t++)
            {
                var turns = phase + (t / period);
                var sine = Elementary.SinCosTurns(turns).Sin;
                var clean = kind switch { 0 => 1.2f * sine, 1 => sine < 0 ? -1f : 1f, _ => (2f * (turns - MathF.Floor(turns))) - 1f };
                inputs[(t * sequences) + b] = clean + (0.4f * (random.Unit(draw + 3 + (ulong)t) - 0.5f));
            }
        }

        return new SequenceData<float>(Steps, sequences, inputs, targets);
    }
}
