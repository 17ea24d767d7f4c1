using System.Globalization;
using System.Runtime.InteropServices;
using StreamLstm.Core.Interchange;
using StreamLstm.Core.Recurrent.Layers;
using StreamLstm.Core.Tests.Layers;

namespace StreamLstm.Core.Tests.Interchange;

public class WeightInterchangeTests
{
    public static TheoryData<string> Cases => NetworkCases.Names;

    [Theory]
    [MemberData(nameof(Cases))]
    public void Exported_weights_come_back_bit_for_bit(string name)
    {
        var network = RecurrentNetwork<float>.Create(NetworkCases.All[name], 5);

        var again = PyTorchWeights.Import<float>(network.Options, PyTorchWeights.Export(network, "lstm.", "fc."), "lstm.", "fc.");

        Assert.Equal(network.Parameters.ToArray(), again.Parameters.ToArray());
    }

    [Fact]
    public void Weights_of_another_shape_cell_or_network_are_refused_by_name()
    {
        var network = RecurrentNetwork<float>.Create(NetworkCases.All["Gru"], 5);
        var file = PyTorchWeights.Export(network);

        Refused(NetworkCases.All["Gru"] with { Inputs = 3 }, "'rnn.weight_ih_l0' must have shape [9, 3], got [9, 2]");
        Refused(NetworkCases.All["Gru-reset-before"], "gru (reset before)");
        Refused(NetworkCases.All["Lstm"], "expected lstm");
        Refused(NetworkCases.All["Gru-no-bias"], "rnn.bias_hh_l0");
        Refused(NetworkCases.All["Gru"] with { Head = new LinearHead(3) }, "'head.weight'");
        Assert.Contains("no tensor 'lstm.weight_ih_l0'", Assert.Throws<InvalidDataException>(() => PyTorchWeights.Import<float>(network.Options, file, "lstm.")).Message, StringComparison.Ordinal);

        void Refused(NetworkOptions options, string reason) =>
            Assert.Contains(reason, Assert.Throws<InvalidDataException>(() => PyTorchWeights.Import<float>(options, file)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void Non_finite_weights_are_refused_by_name(float bad)
    {
        var options = NetworkCases.All["Lstm"];
        var file = Safetensors.Read<float>(PyTorchWeights.Export(RecurrentNetwork<float>.Create(options, 5)));
        file.Tensors["rnn.weight_hh_l0"].Values[7] = bad;

        var error = Assert.Throws<InvalidDataException>(() => PyTorchWeights.Import<float>(options, Safetensors.Write([.. file.Tensors])));

        Assert.Contains("'rnn.weight_hh_l0'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Finite_biases_with_an_infinite_sum_are_refused()
    {
        var options = NetworkCases.All["Lstm"];
        var file = Safetensors.Read<float>(PyTorchWeights.Export(RecurrentNetwork<float>.Create(options, 5)));
        file.Tensors["rnn.bias_ih_l0"].Values[1] = float.MaxValue;
        file.Tensors["rnn.bias_hh_l0"].Values[1] = float.MaxValue;

        Assert.Throws<InvalidDataException>(() => PyTorchWeights.Import<float>(options, Safetensors.Write([.. file.Tensors])));
    }

    [Theory]
    [InlineData("Lstm-stacked")]
    [InlineData("Gru-stacked")]
    [InlineData("Gru-reset-before-stacked")]
    [InlineData("SimpleRnn-stacked")]
    [InlineData("Lstm-no-bias")]
    [InlineData("mixed")]
    public void Weights_in_kerass_order_give_kerass_outputs(string name)
    {
        var options = NetworkCases.All[name];
        var arrays = KerasReference.Weights(options);
        var inputs = NetworkCases.Random<float>(6 * 2, 3, 2);
        var expected = KerasReference.Forward(options, arrays, Array.ConvertAll(inputs, v => (double)v));
        var tensors = arrays.Select((array, i) => KeyValuePair.Create(i.ToString(CultureInfo.InvariantCulture), array)).ToArray();
        var flat = MemoryMarshal.AsBytes<float>(arrays.SelectMany(array => array.Values).ToArray()).ToArray();

        var named = KerasWeights.ImportSafetensors<float>(options, Safetensors.Write(tensors));
        var unnamed = KerasWeights.ImportFlat<float>(options, flat);

        Assert.Equal(named.Parameters.ToArray(), unnamed.Parameters.ToArray());
        var outputs = named.Forward(inputs, 6, 1).Outputs;
        Assert.All(expected.Zip(outputs), pair => Assert.Equal(pair.First, pair.Second, 2e-6));
        Assert.Throws<InvalidDataException>(() => KerasWeights.ImportFlat<float>(options, flat.AsSpan(4)));
        flat.AsSpan(0, 4).Fill(0xff);
        Assert.Throws<InvalidDataException>(() => KerasWeights.ImportFlat<float>(options, flat));
        Assert.Throws<InvalidDataException>(() => KerasWeights.ImportSafetensors<float>(options, Safetensors.Write(tensors.AsSpan(1).ToArray())));
    }
}
