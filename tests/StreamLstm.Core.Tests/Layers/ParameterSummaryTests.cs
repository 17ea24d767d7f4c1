using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Tests.Layers;

public class ParameterSummaryTests
{
    [Theory]
    [InlineData(CellKind.Lstm, true, 8320, 8448, 8320)]
    [InlineData(CellKind.Gru, true, 6336, 6336, 6272)]
    [InlineData(CellKind.Gru, false, 6240, 6336, 6240)]
    [InlineData(CellKind.SimpleRnn, true, 2080, 2112, 2080)]
    public void Thirty_two_units_on_thirty_two_inputs_count_as_in_keras_and_pytorch(
        CellKind cell, bool resetAfter, long keras, long pyTorch, long here)
    {
        var layer = new RecurrentLayerOptions { Cell = cell, Units = 32, ResetAfter = resetAfter };

        var summary = ParameterSummary.Of(new NetworkOptions { Inputs = 32, Layers = [layer], Head = new LinearHead(1) }).Layers[0];

        Assert.Equal((keras, pyTorch, here), (summary.KerasParameters, summary.PyTorchParameters, summary.Parameters));
    }

    [Fact]
    public void The_counts_are_those_of_the_network()
    {
        foreach (var options in NetworkCases.All.Values)
        {
            Assert.Equal(RecurrentNetwork<float>.Create(options, 1).ParameterCount, ParameterSummary.Of(options).Parameters);
        }
    }

    [Fact]
    public void The_text_lists_layers_gates_and_both_conventions()
    {
        var text = ParameterSummary.Of(new NetworkOptions
        {
            Inputs = 32,
            Layers = [new RecurrentLayerOptions { Cell = CellKind.Lstm, Units = 32 }],
            Head = new LinearHead(1),
        }).ToText();

        Assert.Equal(
            """
            layer and gate                      kernel   recurrent     bias  peephole         total
            lstm 0: 32 → 32                                                                   8,320
              i                                  1,024       1,024       32         -         2,080
              f                                  1,024       1,024       32         -         2,080
              g                                  1,024       1,024       32         -         2,080
              o                                  1,024       1,024       32         -         2,080
            linear: 32 → 1                                                                       33

            parameters                8,353
            as Keras counts           8,353   one bias per gate; two in a GRU with reset_after
            as PyTorch counts         8,481   two biases per gate, bias_ih and bias_hh, of which only the sum matters

            """,
            text);
    }
}
