using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Tests.Layers;

public class RecurrentNetworkTests
{
    public static TheoryData<string> Cases => NetworkCases.Names;

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_batch_has_the_bits_of_its_single_sequences(string name)
    {
        var network = RecurrentNetwork<float>.Create(NetworkCases.All[name], 2);
        const int Steps = 5, Batch = 7;
        var inputs = NetworkCases.Random<float>(Steps * Batch * 2, 1, 2);
        var together = network.Forward(inputs, Steps, Batch).Outputs;
        var width = network.Options.Head.Outputs;
        for (var b = 0; b < Batch; b++)
        {
            var alone = network.Forward([.. inputs.Chunk(2).Where((_, row) => row % Batch == b).SelectMany(x => x)], Steps, 1).Outputs;

            Assert.Equal(together.Chunk(width).Where((_, row) => row % Batch == b).SelectMany(y => y), alone);
        }
    }

    [Theory]
    [InlineData("Lstm-stacked")]
    [InlineData("Gru-stacked")]
    [InlineData("Gru-reset-before")]
    [InlineData("Lstm-peepholes")]
    [InlineData("SimpleRnn-stacked")]
    public void Carried_state_gives_the_bits_of_one_long_window(string name)
    {
        var network = RecurrentNetwork<float>.Create(NetworkCases.All[name], 2);
        const int Steps = 9, Batch = 2;
        var inputs = NetworkCases.Random<float>(Steps * Batch * 2, 1, 2);
        var whole = network.Forward(inputs, Steps, Batch).Outputs;
        var state = network.CreateState(Batch);

        var parts = Enumerable.Range(0, Steps).SelectMany(t => network.Forward(inputs.AsSpan(t * Batch * 2, Batch * 2), 1, Batch, state).Outputs);

        Assert.Equal(whole, parts);
    }

    [Theory]
    [InlineData(1, 1, false)]
    [InlineData(3, 1, false)]
    [InlineData(1, 4, true)]
    [InlineData(3, 4, true)]
    public void One_or_many_inputs_give_one_or_many_steps(int inputs, int outputs, bool perStep)
    {
        var layer = NetworkCases.Layer(CellKind.Lstm, 6) with { ReturnSequences = perStep };
        var network = RecurrentNetwork<float>.Create(new NetworkOptions { Inputs = inputs, Layers = [layer], Head = new LinearHead(outputs) }, 1);

        var result = network.Forward(NetworkCases.Random<float>(5 * 2 * inputs, 1, 1), 5, 2).Outputs;

        Assert.Equal((perStep ? 5 : 1) * 2 * outputs, result.Length);
    }

    [Fact]
    public void A_layer_returns_its_state_where_asked_to()
    {
        var lstm = NetworkCases.Layer(CellKind.Lstm, 3) with { ReturnState = true };
        var gru = NetworkCases.Layer(CellKind.Gru, 4);
        var network = RecurrentNetwork<float>.Create(new NetworkOptions { Inputs = 2, Layers = [lstm, gru, gru with { ReturnState = true }], Head = new LinearHead(1) }, 1);
        var state = network.CreateState(2);

        var output = network.Forward(NetworkCases.Random<float>(4 * 2 * 2, 1, 1), 4, 2, state);

        Assert.Equal(state.Hidden(0).ToArray(), output.States[0]!.Hidden);
        Assert.Equal(state.Cell(0).ToArray(), output.States[0]!.Cell);
        Assert.Null(output.States[1]);
        Assert.Equal(state.Hidden(2).ToArray(), output.States[2]!.Hidden);
        Assert.Empty(output.States[2]!.Cell);
    }

    [Fact]
    public void Quantiles_never_cross()
    {
        var options = NetworkCases.All["Lstm-quantiles"];
        var network = RecurrentNetwork<float>.Create(options, 1);
        for (ulong seed = 0; seed < 200; seed++)
        {
            network.SetParameters(NetworkCases.Random<float>(network.ParameterCount, seed, 30));

            var outputs = network.Forward(NetworkCases.Random<float>(3 * 2 * 2, seed + 500, 5), 3, 2).Outputs;

            Assert.All(outputs.Chunk(4), levels => Assert.Equal(levels.Order(), levels));
        }
    }

    [Fact]
    public void Probabilities_sum_to_one_however_large_the_logits()
    {
        var network = RecurrentNetwork<float>.Create(NetworkCases.All["Gru-softmax"], 1);
        network.SetParameters(NetworkCases.Random<float>(network.ParameterCount, 3, 1e4));

        var outputs = network.Forward(NetworkCases.Random<float>(3 * 5 * 2, 1, 1), 3, 5).Outputs;

        Assert.All(outputs.Chunk(3), row => Assert.Equal(1f, row.Sum(), 1e-6f));
    }

    [Fact]
    public void Initial_weights_are_as_named_and_a_function_of_the_seed()
    {
        var layer = new RecurrentLayerOptions { Cell = CellKind.Lstm, Units = 7 };
        var options = new NetworkOptions { Inputs = 5, Layers = [layer], Head = new LinearHead(2) };
        var network = RecurrentNetwork<double>.Create(options, 9);

        var limit = Math.Sqrt(6.0 / (5 + 28));
        var kernel = network.Parameter("weight_ih_l0").ToArray();
        Assert.True(kernel.Max(Math.Abs) <= limit * 1.000001 && kernel.Max(Math.Abs) > 0.9 * limit);
        var recurrent = network.Parameter("weight_hh_l0").ToArray().Chunk(7).ToArray();
        for (var a = 0; a < 7; a++)
        {
            for (var b = 0; b < 7; b++)
            {
                Assert.Equal(a == b ? 1 : 0, recurrent.Sum(row => row[a] * row[b]), 1e-6);
            }
        }

        var bias = network.Parameter("bias_l0").ToArray();
        Assert.All(bias.Select((value, i) => (value, i)), pair => Assert.Equal(pair.i is >= 7 and < 14 ? 1.0 : 0.0, pair.value));
        Assert.Equal(network.Parameters.ToArray(), RecurrentNetwork<double>.Create(options, 9).Parameters.ToArray());
        Assert.NotEqual(network.Parameters.ToArray(), RecurrentNetwork<double>.Create(options, 10).Parameters.ToArray());
        Assert.All(
            RecurrentNetwork<double>.Create(options with { Layers = [layer with { KernelInitializer = Initializer.Zeros, UnitForgetBias = false }] }, 9).Parameter("bias_l0").ToArray(),
            value => Assert.Equal(0, value));
    }

    [Fact]
    public void Unsupported_options_are_refused_with_name_expectation_and_value()
    {
        var lstm = NetworkCases.Layer(CellKind.Lstm, 3);
        var gru = NetworkCases.Layer(CellKind.Gru, 3);
        var rnn = NetworkCases.Layer(CellKind.SimpleRnn, 3);
        Refused(lstm with { Units = 0 }, "Units", "1…2048", "got 0");
        Refused(lstm with { Units = 1 << 30 }, "Units", "1…2048", "got 1073741824");
        Refused(gru with { Peepholes = true }, "Peepholes", "LSTM only", "got True");
        Refused(lstm with { ResetAfter = false }, "ResetAfter", "GRU only", "got False");
        Refused(rnn with { RecurrentActivation = Activation.Relu }, "RecurrentActivation", "Sigmoid", "got Relu");
        Refused(lstm with { Backwards = true, Stateful = true }, "Backwards", "Stateful", "got True");
        Refused(lstm with { InputDropout = 1 }, "InputDropout", "[0, 1)", "got 1");
        Refused(lstm with { RecurrentDropout = double.NaN }, "RecurrentDropout", "[0, 1)", "got NaN");
        Refused(lstm with { KernelL2 = -1 }, "KernelL2", "at least 0", "got -1");
        Refused(lstm with { BiasInitializer = Initializer.Orthogonal }, "BiasInitializer", "Zeros or GlorotUniform", "got Orthogonal");
        Refused(lstm with { Cell = (CellKind)9 }, "Cell", "Lstm, Gru, SimpleRnn", "got 9");
        Fails(new NetworkOptions { Inputs = 1, Layers = [lstm with { ReturnSequences = false }, gru], Head = new LinearHead(1) }, "ReturnSequences", "Layers[0]", "got false");
        Fails(new NetworkOptions { Inputs = 0, Layers = [lstm], Head = new LinearHead(1) }, "Inputs", "1…2048", "got 0");
        Fails(new NetworkOptions { Inputs = 1, Layers = [], Head = new LinearHead(1) }, "Layers", "at least one", "got none");
        Fails(new NetworkOptions { Inputs = 1, Layers = [lstm], Head = new LinearHead(0) }, "Count", "1…2048", "got 0");
        Fails(new NetworkOptions { Inputs = 1, Layers = [lstm], Head = new SoftmaxHead(1) }, "Classes", "2…2048", "got 1");
        Fails(new NetworkOptions { Inputs = 1, Layers = [lstm], Head = new QuantileHead(1, [0.5, 0.5]) }, "Levels", "ascend", "got 0.5");
        Fails(new NetworkOptions { Inputs = 1, Layers = [lstm], Head = new QuantileHead(1, [0, 0.5]) }, "Levels", "(0, 1)", "got 0");
        Fails(
            new NetworkOptions { Inputs = 1, Layers = [.. Enumerable.Repeat(lstm with { Units = 2048 }, 20)], Head = new LinearHead(1) },
            "Layers", "at most 268435456", "would have");

        static void Refused(RecurrentLayerOptions layer, params string[] parts) =>
            Fails(new NetworkOptions { Inputs = 1, Layers = [layer], Head = new LinearHead(1) }, parts);

        static void Fails(NetworkOptions options, params string[] parts)
        {
            var error = Assert.Throws<ArgumentException>(() => RecurrentNetwork<float>.Create(options, 1));
            Assert.Equal(parts[0], error.ParamName);
            Assert.All(parts, part => Assert.Contains(part, error.Message, StringComparison.Ordinal));
        }
    }

    [Fact]
    public void Shapes_and_values_that_do_not_fit_are_refused_by_name()
    {
        var network = RecurrentNetwork<float>.Create(NetworkCases.All["Lstm"], 1);
        var inputs = new float[3 * 2 * 2];
        Fails(() => network.Forward(new float[11], 3, 2), "inputs", "T·B·I = 12", "got 11");
        Fails(() => network.Forward(inputs, 0, 2), "steps", "at least 1", "got 0");
        Fails(() => network.Forward(inputs, 3, -2), "batch", "at least 1", "got -2");
        Fails(() => network.Forward(inputs, int.MaxValue, int.MaxValue), "inputs", "T·B·I", "got 12");
        Fails(() => network.CreateState(int.MaxValue), "batch", "got 2147483647");
        Fails(() => network.Forward(inputs, 3, 2, network.CreateState(3)), "state", "batch 2", "for 3");
        Fails(() => network.Forward(inputs, 3, 2, RecurrentNetwork<float>.Create(NetworkCases.All["Gru"], 1).CreateState(2)), "state");
        Fails(() => network.Forward(inputs, 3, 2, network.CreateState(2), new float[5]), "outputs", "T·B·K = 12", "got 5");
        Fails(() => network.Forward([.. inputs[..^1], float.NaN], 3, 2), "inputs", "finite", "element 11");
        Fails(() => network.SetParameters(new float[3]), "parameters", $"{network.ParameterCount}", "got 3");
        var parameters = network.Parameters.ToArray();
        parameters[25] = float.NegativeInfinity;
        Fails(() => network.SetParameters(parameters), "parameters", "weight_hh_l0[1]");
        Fails(() => network.Parameter("weight"), "name", "weight_ih_l0", "'weight'");
        var state = network.CreateState(2);
        state.Cell(0)[1] = float.NaN;
        Fails(() => network.Forward(inputs, 3, 2, state), "state", "finite", "NaN");
        Assert.Throws<NotSupportedException>(() => RecurrentNetwork<Half>.Create(NetworkCases.All["Lstm"], 1));

        static void Fails(Action action, params string[] parts)
        {
            var error = Assert.Throws<ArgumentException>(action);
            Assert.Equal(parts[0], error.ParamName);
            Assert.All(parts, part => Assert.Contains(part, error.Message, StringComparison.Ordinal));
        }
    }
}
