using StreamLstm.Core.Learning.Networks;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Tests.Layers;

/// <summary>Every cell and option once, by name.</summary>
internal static class NetworkCases
{
    public static readonly IReadOnlyDictionary<string, NetworkOptions> All = Build();

    public static TheoryData<string> Names => [.. All.Keys];

    public static RecurrentLayerOptions Layer(CellKind cell, int units) =>
        new() { Cell = cell, Units = units, ReturnSequences = true, BiasInitializer = Initializer.GlorotUniform };

    public static T[] Random<T>(int length, ulong stream, double range)
        where T : unmanaged, System.Numerics.IFloatingPointIeee754<T>
    {
        var random = new CounterRandom(99, stream);
        var values = new T[length];
        for (var i = 0; i < length; i++)
        {
            values[i] = T.CreateChecked(range * ((2.0 * random.Unit((ulong)i)) - 1.0));
        }

        return values;
    }

    /// <summary>A window with targets that fit the head, some of them masked.</summary>
    public static SequenceData<T> Window<T>(NetworkOptions options, int steps, int sequences)
        where T : unmanaged, System.Numerics.IFloatingPointIeee754<T>
    {
        var rows = options.ReturnsSequences ? steps * sequences : sequences;
        var width = options.Head switch { LinearHead linear => linear.Count, QuantileHead quantile => quantile.Horizon, _ => 1 };
        var targets = Random<T>(rows * width, 2, 1.5);
        if (options.Head is SoftmaxHead softmax)
        {
            var random = new CounterRandom(5);
            targets = [.. targets.Select((_, i) => T.CreateChecked(random.Below(softmax.Classes, (ulong)i)))];
        }

        var weights = new CounterRandom(7);
        var mask = targets.Select((_, i) => T.CreateChecked(weights.Below(4, (ulong)i) * 0.5)).ToArray();
        mask[0] = T.One;
        return new SequenceData<T>(steps, sequences, Random<T>(steps * sequences * options.Inputs, 1, 2), targets, mask);
    }

    public static LossOptions LossFor(HeadOptions head) => head switch
    {
        QuantileHead => new LossOptions { Kind = LossKind.Pinball },
        SoftmaxHead softmax => new LossOptions
        {
            Kind = LossKind.CrossEntropy,
            ClassWeights = [.. Enumerable.Range(1, softmax.Classes).Select(c => 0.5 * c)],
        },
        _ => new LossOptions { Kind = LossKind.MeanSquared },
    };

    private static Dictionary<string, NetworkOptions> Build()
    {
        var linear = new LinearHead(2);
        var cases = new Dictionary<string, NetworkOptions>();
        foreach (var cell in Enum.GetValues<CellKind>())
        {
            Add($"{cell}", linear, Layer(cell, 3));
            Add($"{cell}-last-step", linear, Layer(cell, 3) with { ReturnSequences = false });
            Add($"{cell}-no-bias", linear, Layer(cell, 3) with { Bias = false });
            Add($"{cell}-backwards", linear, Layer(cell, 3) with { Backwards = true });
            Add($"{cell}-backwards-last-step", linear, Layer(cell, 3), Layer(cell, 2) with { Backwards = true, ReturnSequences = false });
            Add($"{cell}-stacked", linear, Layer(cell, 3), Layer(cell, 5), Layer(cell, 2));
            Add($"{cell}-dropout", linear, Layer(cell, 5) with { InputDropout = 0.4, RecurrentDropout = 0.5 }, Layer(cell, 4) with { InputDropout = 0.3 });
            Add($"{cell}-penalties", linear, Layer(cell, 3) with { KernelL1 = 0.01, KernelL2 = 0.02, RecurrentL1 = 0.03, RecurrentL2 = 0.04 });
            Add($"{cell}-sigmoid", linear, Layer(cell, 3) with { Activation = Activation.Sigmoid });
            Add($"{cell}-linear", linear, Layer(cell, 3) with { Activation = Activation.Linear });
            Add($"{cell}-relu", linear, Layer(cell, 3) with { Activation = Activation.Relu });
            if (cell != CellKind.SimpleRnn)
            {
                Add($"{cell}-hard-sigmoid", linear, Layer(cell, 3) with { RecurrentActivation = Activation.HardSigmoid });
                Add($"{cell}-relu-gates", linear, Layer(cell, 3) with { RecurrentActivation = Activation.Relu });
            }

            Add($"{cell}-quantiles", new QuantileHead(2, [0.05, 0.25, 0.5, 0.9]), Layer(cell, 3));
            Add($"{cell}-softmax", new SoftmaxHead(3), Layer(cell, 3) with { ReturnSequences = false });
        }

        Add("Lstm-peepholes", linear, Layer(CellKind.Lstm, 3) with { Peepholes = true });
        Add("Lstm-peepholes-everything", new QuantileHead(1, [0.1, 0.5, 0.9]), Layer(CellKind.Lstm, 4) with
        {
            Peepholes = true,
            RecurrentActivation = Activation.HardSigmoid,
            Activation = Activation.Sigmoid,
            InputDropout = 0.2,
            RecurrentDropout = 0.2,
            KernelL2 = 0.01,
            Backwards = true,
        });
        Add("Gru-reset-before", linear, Layer(CellKind.Gru, 3) with { ResetAfter = false });
        Add("Gru-reset-before-stacked", linear, Layer(CellKind.Gru, 3) with { ResetAfter = false }, Layer(CellKind.Gru, 2) with { ResetAfter = false });
        Add("Gru-reset-before-dropout", linear, Layer(CellKind.Gru, 4) with { ResetAfter = false, RecurrentDropout = 0.4, InputDropout = 0.3 });
        Add("mixed", linear, Layer(CellKind.Lstm, 3), Layer(CellKind.Gru, 4), Layer(CellKind.SimpleRnn, 2));
        return cases;

        void Add(string name, HeadOptions head, params RecurrentLayerOptions[] layers) =>
            cases.Add(name, new NetworkOptions { Inputs = 2, Layers = layers, Head = head });
    }
}
