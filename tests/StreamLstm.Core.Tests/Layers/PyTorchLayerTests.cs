using System.Globalization;
using StreamLstm.Core.Interchange;
using StreamLstm.Core.Learning.Networks;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Tests.Layers;

/// <summary>Layers, gradients and optimisers are PyTorch's, to single-precision rounding. Fixtures/generate_layers.py says what a file holds.</summary>
public class PyTorchLayerTests(ITestOutputHelper output)
{
    private const int Most = 96;

    public static TheoryData<string> Cases =>
        [.. Files().Where(name => !name.StartsWith("two-biases", StringComparison.Ordinal))];

    [Fact]
    public void The_cases_are_all_there() => Assert.Equal(25, Files().Count());

    [Theory]
    [MemberData(nameof(Cases))]
    public void Forward_gradients_and_ten_steps_agree(string name)
    {
        var file = Read(name);
        var (network, optimizer) = Build(file.Metadata);
        var (steps, batch) = (Number(file, "steps"), Number(file, "batch"));
        var (options, seed) = (network.Options, Seed(file));
        var window = new SequenceData<float>(
            steps, batch, Draw(steps * batch * options.Inputs, seed, 100, 2f), Draw(steps * batch * options.Head.Outputs, seed, 101, 1.5f));

        var state = network.CreateState(batch);
        var outputs = network.Forward(window.Inputs, steps, batch, state).Outputs;
        Compare(file, "out", outputs, 1e-6);
        Compare(file, "h", Join(state.Hidden), 1e-6);
        if (file.Tensors.ContainsKey("c"))
        {
            Compare(file, "c", Join(state.Cell), 1e-6);
        }

        var trainer = new NetworkTrainer<float>(network, new TrainingOptions
        {
            Loss = new LossOptions { Kind = LossKind.MeanSquared },
            Optimizer = optimizer,
            ClipNorm = 1,
        });
        state.Clear();
        var loss = trainer.LossAndGradient(window, state)!.Value;
        Assert.Equal(file.Tensors["loss"].Values[0], loss, 1e-6 * loss);
        ComparePerName(file, "g.", network, trainer.Gradient, 5e-6);

        var losses = new float[10];
        for (var step = 0; step < losses.Length; step++)
        {
            losses[step] = (float)trainer.Step(window).Loss;
        }

        AssertClose("losses", file.Tensors["losses"].Values, losses, 2e-6, file.Tensors["losses"].Values.Max());

        // RMSprop divides by the gradient's own size, so the relative error of a tiny gradient becomes that of its step.
        ComparePerName(file, "w.", network, network.Parameters, optimizer is RmsPropOptions ? 2e-5 : 5e-6);

        float[] Join(SpanOf of) => [.. Enumerable.Range(0, state.Layers).SelectMany(l => of(l).ToArray())];
    }

    [Theory]
    [InlineData("lstm", CellKind.Lstm)]
    [InlineData("gru", CellKind.Gru)]
    [InlineData("rnn", CellKind.SimpleRnn)]
    public void A_state_dict_with_two_biases_is_imported(string name, CellKind cell)
    {
        var bytes = File.ReadAllBytes(PathOf("two-biases-" + name));
        var file = Safetensors.Read<float>(bytes);
        var weights = file.Tensors.Where(pair => pair.Key is not "x" and not "out").ToArray();
        var layer = NetworkCases.Layer(cell, 4);

        var network = PyTorchWeights.Import<float>(
            new NetworkOptions { Inputs = 3, Layers = [layer, layer], Head = new LinearHead(2) }, Safetensors.Write(weights));

        var outputs = network.Forward(file.Tensors["x"].Values, 5, 2).Outputs;
        AssertClose("out", file.Tensors["out"].Values, outputs, 1e-6, file.Tensors["out"].Values.Max(Math.Abs));
    }

    private static IEnumerable<string> Files() =>
        Directory.GetFiles(Path.GetDirectoryName(PathOf("any"))!, "*.safetensors").Select(path => Path.GetFileNameWithoutExtension(path)).Order(StringComparer.Ordinal);

    private static string PathOf(string name) => Path.Combine(AppContext.BaseDirectory, "Fixtures", "layers", name + ".safetensors");

    private static TensorFile<float> Read(string name) => Safetensors.Read<float>(File.ReadAllBytes(PathOf(name)));

    private static int Number(TensorFile<float> file, string key) => int.Parse(file.Metadata[key], CultureInfo.InvariantCulture);

    private static ulong Seed(TensorFile<float> file) =>
        (ulong)((1000 * Number(file, "hidden")) + (10 * Number(file, "inputs")) + Number(file, "layers"));

    private static float[] Draw(int length, ulong seed, ulong stream, float scale)
    {
        var random = new CounterRandom(seed, stream);
        var values = new float[length];
        for (var i = 0; i < length; i++)
        {
            values[i] = scale * ((2f * random.Unit((ulong)i)) - 1f);
        }

        return values;
    }

    private static (RecurrentNetwork<float> Network, OptimizerOptions Optimizer) Build(IReadOnlyDictionary<string, string> metadata)
    {
        var layer = new RecurrentLayerOptions
        {
            Cell = metadata["cell"] switch { "lstm" => CellKind.Lstm, "gru" => CellKind.Gru, _ => CellKind.SimpleRnn },
            Units = int.Parse(metadata["hidden"], CultureInfo.InvariantCulture),
            Activation = metadata["nonlinearity"] == "relu" ? Activation.Relu : Activation.Tanh,
            Bias = metadata["bias"] == "True",
            ReturnSequences = true,
        };
        var layers = int.Parse(metadata["layers"], CultureInfo.InvariantCulture);
        var options = new NetworkOptions
        {
            Inputs = int.Parse(metadata["inputs"], CultureInfo.InvariantCulture),
            Layers = [.. Enumerable.Repeat(layer, layers)],
            Head = new LinearHead(int.Parse(metadata["outputs"], CultureInfo.InvariantCulture)),
        };
        var network = RecurrentNetwork<float>.Create(options, 0);
        var parameters = new float[network.ParameterCount];
        var seed = (ulong)((1000 * layer.Units) + (10 * options.Inputs) + layers);
        var bound = 1f / MathF.Sqrt(layer.Units);
        foreach (var view in network.Views)
        {
            var drawn = Draw(view.IsVector && view.Name.StartsWith("bias_hn", StringComparison.Ordinal) ? 3 * layer.Units : view.Length, seed, Stream(view.Name), bound);
            drawn[^view.Length..].CopyTo(parameters, view.Offset);
        }

        network.SetParameters(parameters);
        OptimizerOptions optimizer = metadata["optimizer"] switch
        {
            "sgd" => new SgdOptions { LearningRate = 0.05, Momentum = 0.9 },
            "nesterov" => new SgdOptions { LearningRate = 0.05, Momentum = 0.9, Nesterov = true, WeightDecay = 0.01 },
            "rmsprop" => new RmsPropOptions { LearningRate = 1e-3, Momentum = 0.5, WeightDecay = 0.01 },
            "adam" => new AdamOptions { LearningRate = 2e-3, WeightDecay = 0.01 },
            _ => new AdamOptions { LearningRate = 2e-3, WeightDecay = 0.1, Decoupled = true },
        };
        return (network, optimizer);

        // The position of a parameter in PyTorch's order.
        ulong Stream(string name)
        {
            var perLayer = layer.Bias ? 4UL : 2UL;
            return name switch
            {
                "head.weight" => perLayer * (ulong)layers,
                "head.bias" => (perLayer * (ulong)layers) + 1,
                _ => (perLayer * ulong.Parse(name[^1..], CultureInfo.InvariantCulture)) + name[..^3] switch
                {
                    "weight_ih" => 0UL,
                    "weight_hh" => 1UL,
                    "bias" => 2UL,
                    _ => 3UL,
                },
            };
        }
    }

    private void ComparePerName(TensorFile<float> file, string prefix, RecurrentNetwork<float> network, ReadOnlySpan<float> values, double tolerance)
    {
        foreach (var view in network.Views)
        {
            var actual = values.Slice(view.Offset, view.Length).ToArray();
            if (view.Name.StartsWith("bias_hn", StringComparison.Ordinal))
            {
                // The n part of bias_hh, whose other parts are zero.
                Compare(file, prefix + "rnn.bias_hh" + view.Name[7..], [.. new float[2 * view.Length], .. actual], tolerance);
            }
            else if (view.Name.StartsWith("bias", StringComparison.Ordinal))
            {
                Compare(file, prefix + "rnn.bias_ih" + view.Name[4..], actual, tolerance);
            }
            else
            {
                Compare(file, prefix + (view.Name.StartsWith("head", StringComparison.Ordinal) ? "" : "rnn.") + view.Name, actual, tolerance);
            }
        }
    }

    private void Compare(TensorFile<float> file, string name, float[] actual, double tolerance)
    {
        var stride = Math.Max(1, (actual.Length + Most - 1) / Most);
        var sums = file.Tensors[name + ".sums"].Values;
        double sum = 0, squares = 0;
        foreach (double value in actual)
        {
            Assert.True(double.IsFinite(value));
            sum += value;
            squares += value * value;
        }

        var largest = sums[2];
        AssertClose(name, file.Tensors[name].Values, [.. actual.Where((_, i) => i % stride == 0)], tolerance, largest);
        Assert.True(Math.Abs(Math.Sqrt(squares) - sums[1]) <= tolerance * sums[1], $"{name}: norm {Math.Sqrt(squares)}, expected {sums[1]}");
        Assert.True(
            Math.Abs(sum - sums[0]) <= tolerance * largest * Math.Sqrt(actual.Length), $"{name}: sum {sum}, expected {sums[0]}");
    }

    private void AssertClose(string what, float[] expected, float[] actual, double tolerance, double largest)
    {
        Assert.Equal(expected.Length, actual.Length);
        var worst = expected.Zip(actual).Max(pair => Math.Abs((double)pair.First - pair.Second));
        output.WriteLine($"{what}: {worst / largest:0.0e+0} of the largest");
        Assert.True(worst <= tolerance * largest, $"{what}: off by {worst} of {largest}, {worst / largest:0.0e+0}");
    }

    private delegate Span<float> SpanOf(int layer);
}
