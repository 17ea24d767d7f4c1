using StreamLstm.Core.Learning.Networks;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Tests.Samples;

/// <summary>The example of the package's README, compiled and run.</summary>
public class ReadmeTests
{
    [Fact]
    public void The_example_of_the_readme_runs_and_is_the_code_here()
    {
        double error;
        {
            // README begin
            // A sine wave, cut into windows of 50 points [T, B, I]; the target is the point that follows.
            const int Window = 50, Count = 950, Training = 760;
            float[] wave = [.. Enumerable.Range(0, 1000).Select(t => MathF.Sin(0.1f * t))];
            SequenceData<float> Windows(int first, int last) => new(
                Window, last - first,
                Inputs: [.. Enumerable.Range(0, Window).SelectMany(t => wave[(first + t)..(last + t)])],
                Targets: wave[(first + Window)..(last + Window)]);

            var lstm = new RecurrentLayerOptions { Cell = CellKind.Lstm, Units = 50 };
            var network = RecurrentNetwork<float>.Create(
                new NetworkOptions { Inputs = 1, Layers = [lstm with { ReturnSequences = true }, lstm], Head = new LinearHead(1) }, seed: 1);
            Console.WriteLine(ParameterSummary.Of(network.Options).ToText());

            var trainer = new NetworkTrainer<float>(network, new TrainingOptions
            {
                Loss = new LossOptions { Kind = LossKind.MeanSquared },
                Optimizer = new AdamOptions { LearningRate = 5e-3 },
                Schedule = new CosineSchedule { Steps = 8 * 24, WarmUpSteps = 10 },
                ClipNorm = 1,
                Epochs = 8,
            });
            var fit = trainer.Fit(Windows(0, Training));
            Console.WriteLine($"{fit.Outcome}, test MSE {trainer.Evaluate(Windows(Training, Count)):0.0e+0}");
            // README end
            error = trainer.Evaluate(Windows(Training, Count));
        }

        Assert.InRange(error, 0, 3e-4);
        var root = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(root!.FullName, "StreamLstm.sln")))
        {
            root = root.Parent;
        }

        var source = Lines("tests/StreamLstm.Core.Tests/Samples/ReadmeTests.cs").SkipWhile(line => line != "// README begin").Skip(1).TakeWhile(line => line != "// README end");
        var readme = Lines("src/StreamLstm.Core/README.md").SkipWhile(line => line != "```csharp").Skip(1).TakeWhile(line => line != "```");
        Assert.Equal(source, readme.SkipWhile(line => line.StartsWith("using", StringComparison.Ordinal) || line.Length == 0));

        IEnumerable<string> Lines(string path) => File.ReadLines(Path.Combine(root.FullName, path)).Select(line => line.Trim());
    }
}
