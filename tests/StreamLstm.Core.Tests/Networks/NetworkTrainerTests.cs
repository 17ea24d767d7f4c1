using System.Runtime.InteropServices;
using StreamLstm.Core.Learning;
using StreamLstm.Core.Learning.Networks;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent.Layers;
using StreamLstm.Core.Tests.Layers;

namespace StreamLstm.Core.Tests.Networks;

public class NetworkTrainerTests
{
    private static readonly NetworkOptions Lstm = NetworkCases.All["Lstm"];
    private static readonly LossOptions Squares = new() { Kind = LossKind.MeanSquared };

    [Fact]
    public void Training_is_a_function_of_start_data_and_seed()
    {
        var options = NetworkCases.All["Gru-dropout"];
        var data = NetworkCases.Window<float>(options, 6, 20);
        float[] Train(ulong seed)
        {
            var network = RecurrentNetwork<float>.Create(options, 1);
            new NetworkTrainer<float>(network, new TrainingOptions { Loss = Squares, Epochs = 3, BatchSize = 7, Seed = seed }).Fit(data);
            return network.Parameters.ToArray();
        }

        Assert.Equal(Train(1), Train(1));
        Assert.NotEqual(Train(1), Train(2));
    }

    [Theory]
    [InlineData("Lstm-peepholes-everything", 0xa8d71ebfu)]
    [InlineData("Gru-dropout", 0xe8e2cc4fu)]
    [InlineData("SimpleRnn-stacked", 0xf1c6672eu)]
    [InlineData("Gru-softmax", 0xd27367c5u)]
    public void Training_in_single_precision_has_the_same_bits_on_every_machine(string name, uint expected)
    {
        var options = NetworkCases.All[name];
        var network = RecurrentNetwork<float>.Create(options, 1);
        var trainer = new NetworkTrainer<float>(network, new TrainingOptions
        {
            Loss = NetworkCases.LossFor(options.Head),
            Epochs = 5,
            BatchSize = 7,
            ClipNorm = 1,
            Schedule = new CosineSchedule { Steps = 15 },
        });

        trainer.Fit(NetworkCases.Window<float>(options, 9, 20));

        Assert.Equal(expected, Checksum.Crc32C(MemoryMarshal.AsBytes(network.Parameters)));
    }

    [Fact]
    public void Dropout_drops_its_share_keeps_the_mean_and_stays_out_of_evaluation()
    {
        // A linear cell without recurrence: h = Σ x over 400 inputs of 1, so the masks can be counted.
        var layer = new RecurrentLayerOptions
        {
            Cell = CellKind.SimpleRnn,
            Units = 1,
            Activation = Activation.Linear,
            Bias = false,
            InputDropout = 0.25,
            RecurrentInitializer = Initializer.Zeros,
            ReturnSequences = true,
        };
        var options = new NetworkOptions { Inputs = 400, Layers = [layer], Head = new LinearHead(1) };
        var network = RecurrentNetwork<double>.Create(options, 1);
        network.SetParameters([.. Enumerable.Repeat(1.0, 400), 0.0, 1.0, 0.0]);
        var inputs = Enumerable.Repeat(1.0, 3 * 2 * 400).ToArray();
        var outputs = new double[3 * 2];
        var sums = new List<double>();
        var differing = 0;
        for (var window = 0; window < 50; window++)
        {
            network.Run(inputs, 3, 2, network.CreateState(2), outputs, new DropoutDraw(5, window));
            Assert.Equal(outputs[0], outputs[2]);
            Assert.Equal(outputs[0], outputs[4]);
            differing += outputs[0] != outputs[1] ? 1 : 0;
            sums.Add(outputs[0]);
        }

        Assert.Equal(400, sums.Average(), 5.0);
        Assert.True(differing > 40, "every sequence has a mask of its own");
        Assert.True(sums.Distinct().Count() > 10, "every window draws anew");
        Assert.All(network.Forward(inputs, 3, 2).Outputs, y => Assert.Equal(400, y));
    }

    [Fact]
    public void Windows_carry_the_state_of_stateful_layers_and_only_of_those()
    {
        foreach (var stateful in new[] { true, false })
        {
            var layer = NetworkCases.Layer(CellKind.Lstm, 4) with { Stateful = stateful };
            var options = new NetworkOptions { Inputs = 2, Layers = [layer, layer], Head = new LinearHead(1) };
            var network = RecurrentNetwork<float>.Create(options, 1);
            var data = NetworkCases.Window<float>(options, 10, 3) with { Mask = null };
            var whole = new NetworkTrainer<float>(network, new TrainingOptions { Loss = Squares }).Evaluate(data);

            // At a rate too small to move a weight the windows' mean loss is that of the whole sequence.
            var trainer = new NetworkTrainer<float>(network, new TrainingOptions
            {
                Loss = Squares,
                Window = 4,
                Epochs = 1,
                Optimizer = new SgdOptions { LearningRate = 1e-30 },
            });
            var fit = trainer.Fit(data);

            Assert.Equal(3, fit.Steps);
            Assert.Equal(stateful, Math.Abs(whole - fit.TrainingLosses[0]) < 1e-6);
        }
    }

    [Fact]
    public void Divergence_ends_training_with_a_clear_result_and_finite_weights()
    {
        var data = NetworkCases.Window<float>(Lstm, 6, 8);
        var network = RecurrentNetwork<float>.Create(Lstm with { Layers = [NetworkCases.Layer(CellKind.SimpleRnn, 3) with { Activation = Activation.Linear }] }, 1);
        var trainer = new NetworkTrainer<float>(network, new TrainingOptions
        {
            Loss = Squares,
            Epochs = 200,
            Optimizer = new SgdOptions { LearningRate = 1e3 },
        });

        var fit = trainer.Fit(data);

        Assert.Equal(FitOutcome.Diverged, fit.Outcome);
        Assert.True(fit.TrainingLosses.Count < 200);
        Assert.All(fit.TrainingLosses, loss => Assert.True(double.IsFinite(loss)));
        Assert.DoesNotContain(network.Parameters.ToArray(), weight => !float.IsFinite(weight));
        Assert.All(network.Forward(data.Inputs, 6, 8).Outputs, y => Assert.True(float.IsFinite(y)));
    }

    [Fact]
    public void A_step_that_would_overflow_changes_nothing()
    {
        var network = RecurrentNetwork<float>.Create(Lstm, 1);
        var before = network.Parameters.ToArray();
        var trainer = new NetworkTrainer<float>(network, new TrainingOptions { Loss = Squares, Optimizer = new SgdOptions { LearningRate = 1e300 } });

        var result = trainer.Step(NetworkCases.Window<float>(Lstm, 6, 8));

        Assert.Equal(TrainingOutcome.Diverged, result.Outcome);
        Assert.Equal(0, trainer.StepCount);
        Assert.Equal(before, network.Parameters.ToArray());
    }

    [Fact]
    public void A_fully_masked_window_teaches_nothing()
    {
        var network = RecurrentNetwork<float>.Create(Lstm, 1);
        var before = network.Parameters.ToArray();
        var window = NetworkCases.Window<float>(Lstm, 6, 8);
        window = window with { Targets = [.. window.Targets.Select(_ => float.NaN)], Mask = new float[window.Targets.Length] };

        var result = new NetworkTrainer<float>(network, new TrainingOptions { Loss = Squares }).Step(window);

        Assert.Equal(TrainingOutcome.NoTargets, result.Outcome);
        Assert.Equal(before, network.Parameters.ToArray());
    }

    [Fact]
    public void Early_stopping_waits_its_patience_and_restores_the_best_weights()
    {
        // Targets of the validation data are the opposite: it gets worse from the first epochs on.
        var data = NetworkCases.Window<float>(Lstm, 6, 8) with { Mask = null };
        var opposite = data with { Targets = [.. data.Targets.Select(y => -y)] };
        var network = RecurrentNetwork<float>.Create(Lstm, 1);
        var trainer = new NetworkTrainer<float>(network, new TrainingOptions
        {
            Loss = Squares,
            Epochs = 100,
            Patience = 3,
            Optimizer = new AdamOptions { LearningRate = 0.02 },
        });

        var fit = trainer.Fit(data, opposite);

        Assert.Equal(FitOutcome.StoppedEarly, fit.Outcome);
        Assert.Equal(fit.BestEpoch + 4, fit.ValidationLosses.Count);
        Assert.Equal(fit.ValidationLosses.Min(), fit.ValidationLosses[fit.BestEpoch]);
        Assert.Equal(fit.ValidationLosses[fit.BestEpoch], trainer.Evaluate(opposite), 1e-9);
    }

    [Fact]
    public void Clipping_by_value_and_by_norm_limits_the_step()
    {
        var window = NetworkCases.Window<double>(Lstm, 6, 8);
        double[] Move(TrainingOptions options)
        {
            var network = RecurrentNetwork<double>.Create(Lstm, 1);
            var before = network.Parameters.ToArray();
            new NetworkTrainer<double>(network, options with { Optimizer = new SgdOptions { LearningRate = 1 } }).Step(window);
            return [.. network.Parameters.ToArray().Zip(before, (after, b) => after - b)];
        }

        var plain = new TrainingOptions { Loss = Squares };
        var free = Move(plain);
        Assert.All(Move(plain with { ClipValue = 0.01 }).Zip(free), pair => Assert.Equal(Math.Clamp(pair.Second, -0.01, 0.01), pair.First, 1e-12));
        var shortened = Move(plain with { ClipNorm = 0.05 });
        Assert.Equal(0.05, Math.Sqrt(shortened.Sum(step => step * step)), 1e-5);
        Assert.Equal(free[0] / free[1], shortened[0] / shortened[1], 1e-9);
    }

    [Fact]
    public void Schedules_follow_their_formulas()
    {
        Assert.Equal([0.25, 0.5, 0.75, 1, 1], At(new ConstantSchedule { WarmUpSteps = 4 }, 0, 1, 2, 3, 9));
        Assert.Equal([1, 0.55, 0.1, 0.1], At(new CosineSchedule { Steps = 10, Floor = 0.1 }, 0, 5, 10, 99), (a, b) => Math.Abs(a - b) < 1e-6);
        Assert.Equal([0.5, 1, 1, 0.5, 0.5, 0.25], At(new StepSchedule { Every = 2, Decay = 0.5, WarmUpSteps = 2 }, 0, 1, 3, 4, 5, 6));
        var plateau = new PlateauCounter(new PlateauSchedule { Patience = 1, Decay = 0.5 });
        var factors = new List<double>();
        foreach (var loss in new[] { 1.0, 1.0, 0.99995, 0.9, 0.9, 0.9, 0.9, 0.9 })
        {
            plateau.Observe(loss);
            factors.Add(plateau.Factor);
        }

        Assert.Equal([1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125], factors);

        static IEnumerable<double> At(LearningRateSchedule schedule, params int[] steps) => steps.Select(step => schedule.Factor(step));
    }

    [Fact]
    public void A_plateau_lowers_the_learning_rate_of_a_training_that_stalls()
    {
        var data = NetworkCases.Window<float>(Lstm, 4, 4);
        var trainer = new NetworkTrainer<float>(RecurrentNetwork<float>.Create(Lstm, 1), new TrainingOptions
        {
            Loss = Squares,
            Epochs = 12,
            Optimizer = new SgdOptions { LearningRate = 1e-20 },
            Schedule = new PlateauSchedule { Patience = 2 },
        });

        trainer.Fit(data);

        Assert.Equal(1e-23, trainer.LearningRate, 1e-26);
    }

    [Fact]
    public void Class_weights_weigh_as_repetition_does()
    {
        var options = NetworkCases.All["SimpleRnn-softmax"];
        var inputs = NetworkCases.Random<double>(4 * 3 * 2, 1, 1);
        var network = RecurrentNetwork<double>.Create(options, 1);
        var weighted = new TrainingOptions { Loss = new LossOptions { Kind = LossKind.CrossEntropy, ClassWeights = [1, 1, 3] } };
        var plain = new TrainingOptions { Loss = new LossOptions { Kind = LossKind.CrossEntropy } };
        double[] repeated = [.. inputs.Chunk(6).SelectMany(step => step.Concat(step[4..]).Concat(step[4..]))];

        var once = new NetworkTrainer<double>(network, weighted).Evaluate(new SequenceData<double>(4, 3, inputs, [0, 1, 2]));
        var thrice = new NetworkTrainer<double>(network, plain).Evaluate(new SequenceData<double>(4, 5, repeated, [0, 1, 2, 2, 2]));

        Assert.Equal(thrice, once, 1e-12);
    }

    [Fact]
    public void Options_and_data_that_do_not_fit_are_refused_by_name()
    {
        var plain = new TrainingOptions { Loss = Squares };
        Refused(plain with { Loss = new LossOptions { Kind = LossKind.Pinball } }, "Kind", "QuantileHead", "Pinball with LinearHead");
        Refused(plain with { Loss = new LossOptions { Kind = LossKind.Huber, HuberDelta = 0 } }, "HuberDelta", "above 0", "got 0");
        Refused(plain with { Loss = Squares with { ClassWeights = [1, 2] } }, "ClassWeights", "SoftmaxHead");
        Refused(plain with { Optimizer = new AdamOptions { LearningRate = -1 } }, "LearningRate", "above 0", "got -1");
        Refused(plain with { Optimizer = new SgdOptions { Nesterov = true } }, "Nesterov", "Momentum", "got 0");
        Refused(plain with { Optimizer = new RmsPropOptions { Alpha = 1 } }, "Alpha", "[0, 1)", "got 1");
        Refused(plain with { Schedule = new CosineSchedule { Steps = 0 } }, "Steps", "at least 1", "got 0");
        Refused(plain with { ClipNorm = 0 }, "ClipNorm", "above 0", "got 0");
        Refused(plain with { BatchSize = 0 }, "BatchSize", "at least 1", "got 0");
        Refused(plain with { Patience = 0 }, "Patience", "at least 1", "got 0");
        var data = NetworkCases.Window<float>(Lstm, 4, 3);
        Wrong(data with { Inputs = new float[5] }, "Inputs", "[T, B, I] = [4, 3, 2]", "got 5");
        Wrong(data with { Steps = int.MaxValue, Sequences = int.MaxValue }, "Inputs", "[T, B, I]", "got 24");
        Wrong(data with { Targets = new float[5] }, "Targets", "[T, B, K] = [4, 3, 2]", "got 5");
        Wrong(data with { Mask = new float[5] }, "Mask", "24", "got 5");
        Wrong(data with { Mask = [.. data.Mask!.Select(_ => -1f)] }, "Mask", "at least 0", "-1");
        Wrong(data with { Inputs = [.. data.Inputs.Select(_ => float.NaN)] }, "Inputs", "finite", "NaN");
        Wrong(data with { Targets = [.. data.Targets.Select(_ => float.NaN)] }, "Targets", "finite", "NaN");
        Wrong(data with { Steps = 0 }, "window", "at least 1", "got 0");
        var softmax = NetworkCases.All["Gru-softmax"];
        var classes = NetworkCases.Window<float>(softmax, 4, 3) with { Mask = null, Targets = [0, 1, 3] };
        var classifier = new NetworkTrainer<float>(RecurrentNetwork<float>.Create(softmax, 1), new TrainingOptions { Loss = new LossOptions { Kind = LossKind.CrossEntropy } });
        Check(Assert.Throws<ArgumentException>(() => classifier.Step(classes)), "Targets", "0…2", "3");
        var windowed = new NetworkTrainer<float>(classifier.Network, classifier.Options with { Window = 2 });
        Check(Assert.Throws<ArgumentException>(() => windowed.Fit(classes with { Targets = [0, 1, 2] })), "Window", "T = 4", "got 2");

        static void Refused(TrainingOptions options, params string[] parts) =>
            Check(Assert.Throws<ArgumentException>(() => new NetworkTrainer<float>(RecurrentNetwork<float>.Create(Lstm, 1), options)), parts);

        void Wrong(SequenceData<float> window, params string[] parts) =>
            Check(Assert.Throws<ArgumentException>(() => new NetworkTrainer<float>(RecurrentNetwork<float>.Create(Lstm, 1), plain).Step(window)), parts);

        static void Check(ArgumentException error, params string[] parts)
        {
            Assert.Equal(parts[0], error.ParamName);
            Assert.All(parts, part => Assert.Contains(part, error.Message, StringComparison.Ordinal));
        }
    }

    [Fact]
    public void A_backwards_layer_sees_the_future_and_not_the_past()
    {
        var layer = NetworkCases.Layer(CellKind.Gru, 4) with { Backwards = true };
        var network = RecurrentNetwork<float>.Create(new NetworkOptions { Inputs = 1, Layers = [layer], Head = new LinearHead(1) }, 1);
        var random = new CounterRandom(3);
        var inputs = Enumerable.Range(0, 8).Select(t => random.Unit((ulong)t)).ToArray();
        var before = network.Forward(inputs, 8, 1).Outputs;
        inputs[3] += 1;

        var after = network.Forward(inputs, 8, 1).Outputs;

        Assert.Equal(before[4..], after[4..]);
        Assert.All(Enumerable.Range(0, 4), t => Assert.NotEqual(before[t], after[t]));
    }
}
