using System.Globalization;
using StreamLstm.Core.Learning.Networks;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Tests.Samples;

/// <summary>
/// Three coupled channels of 16 streams, channel 0 forecast 12 steps ahead at every step, with 80 % bands: an LSTM whose
/// state is carried through truncated back-propagation, non-crossing quantiles, pinball loss. Compared with persistence
/// on streams not trained on.
/// </summary>
internal static class MultivariateSample
{
    private const int Channels = 3, Horizon = 12, Steps = 300, Streams = 16;
    private static readonly double[] Levels = [0.1, 0.5, 0.9];

    public static SampleResult Run()
    {
        var layer = new RecurrentLayerOptions { Cell = CellKind.Lstm, Units = 32, Stateful = true, ReturnSequences = true };
        var network = RecurrentNetwork<float>.Create(
            new NetworkOptions { Inputs = Channels, Layers = [layer], Head = new QuantileHead(Horizon, Levels) }, seed: 4);
        const int Epochs = 40, Window = 30;
        var trainer = new NetworkTrainer<float>(network, new TrainingOptions
        {
            Loss = new LossOptions { Kind = LossKind.Pinball },
            Optimizer = new AdamOptions { LearningRate = 1e-2 },
            Schedule = new CosineSchedule { Steps = Epochs * (Steps / Window), Floor = 0.02, WarmUpSteps = 20 },
            ClipNorm = 1,
            Epochs = Epochs,
            BatchSize = Streams,
            Window = Window,
        });
        trainer.Fit(Data(Streams, 1));

        var test = Data(8, 2);
        var outputs = network.Forward(test.Inputs, Steps, test.Sequences).Outputs;
        double error = 0, naive = 0;
        int inside = 0, count = 0;
        for (var row = 50 * test.Sequences; row < Steps * test.Sequences; row++)
        {
            for (var k = 0; k < Horizon; k++)
            {
                var truth = test.Targets[(row * Horizon) + k];
                var (low, middle, high) = (outputs[((row * Horizon) + k) * 3], outputs[(((row * Horizon) + k) * 3) + 1], outputs[(((row * Horizon) + k) * 3) + 2]);
                error += (middle - truth) * (middle - truth);
                naive += (test.Inputs[row * Channels] - truth) * (test.Inputs[row * Channels] - truth);
                inside += truth >= low && truth <= high ? 1 : 0;
                count++;
            }
        }

        var (skill, coverage) = (1 - (error / naive), (double)inside / count);
        var last = Enumerable.Range(50, 200).Select(t => ((t * test.Sequences * Horizon) + Horizon - 1)).ToArray();
        return new SampleResult(
            string.Create(CultureInfo.InvariantCulture, $"MSE {error / count:0.000}, persistence {naive / count:0.000}, skill {skill:0.00}, coverage of the 80 % band {coverage:0.00}\n"),
            new Dictionary<string, double> { ["skill"] = skill, ["coverage"] = coverage },
            new Dictionary<string, string>
            {
                ["multivariate"] = SvgPlot.Lines(
                    $"{Horizon} steps ahead, with its 80 % band", "step",
                    new PlotLine("true", "#1f77b4", [.. last.Select(at => test.Targets[at])]),
                    new PlotLine("median", "#d62728", [.. last.Select(at => outputs[(at * 3) + 1])]),
                    new PlotLine("10 %", "#bbbbbb", [.. last.Select(at => outputs[at * 3])]),
                    new PlotLine("90 %", "#999999", [.. last.Select(at => outputs[(at * 3) + 2])])),
            });
    }

    /// <summary>Channel 0 is driven by channel 1 eight steps later and by channel 2's slow swing; a little noise on all.</summary>
    private static SequenceData<float> Data(int streams, ulong seed)
    {
        const int Length = Steps + Horizon, Lag = 8;
        var random = new CounterRandom(seed, 30);
        var driver = new float[streams][];
        var series = new float[Length, streams, Channels];
        for (var b = 0; b < streams; b++)
        {
            var (phase, swing) = (random.Unit((ulong)b), random.Unit((ulong)(b + 1000)));
            driver[b] = [.. Enumerable.Range(0, Length + Lag).Select(t => Elementary.SinCosTurns((t / 19f) + phase).Sin * (1f + (0.5f * Elementary.SinCosTurns((t / 83f) + swing).Sin)))];
            for (var t = 0; t < Length; t++)
            {
                var noise = 10_000UL + ((ulong)((b * Length) + t) * Channels);
                series[t, b, 1] = driver[b][t + Lag] + Noise(noise);
                series[t, b, 2] = Elementary.SinCosTurns((t / 83f) + swing).Sin + Noise(noise + 1);
                series[t, b, 0] = driver[b][t] + (0.5f * series[t, b, 2]) + Noise(noise + 2);
            }
        }

        var data = new SequenceData<float>(Steps, streams, new float[Steps * streams * Channels], new float[Steps * streams * Horizon]);
        for (var t = 0; t < Steps; t++)
        {
            for (var b = 0; b < streams; b++)
            {
                for (var d = 0; d < Channels; d++)
                {
                    data.Inputs[(((t * streams) + b) * Channels) + d] = series[t, b, d];
                }

                for (var k = 0; k < Horizon; k++)
                {
                    data.Targets[(((t * streams) + b) * Horizon) + k] = series[t + 1 + k, b, 0];
                }
            }
        }

        return data;

        float Noise(ulong at) => 0.2f * (random.Unit(at) - 0.5f);
    }
}
