using StreamLstm.Core.Learning;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent;

namespace StreamLstm.Core.Tests.Learning;

public class BpttTrainerTests
{
    private static readonly LstmForecasterShape Shape = new(3, 17, 7);

    [Fact]
    public void A_noisy_sine_is_learned()
    {
        var shape = new LstmForecasterShape(1, 16, 4);
        var trainer = new BpttTrainer(LstmForecasterWeights.Create(shape, seed: 1));
        var batch = new TrainingBatch(shape, steps: 48, batch: 16, burnIn: 16);
        var losses = new List<float>();
        for (var step = 0; step < 300; step++)
        {
            FillSine(batch, (ulong)step);
            losses.Add(trainer.Step(batch, 5e-3f));
        }

        Assert.True(losses.TakeLast(10).Average() < 0.1 * losses.Take(3).Average(), $"{losses[0]} → {losses[^1]}");
    }

    [Fact]
    public void Training_has_the_same_bits_at_every_width()
    {
        var initial = LstmForecasterWeights.Create(Shape, seed: 2);
        var states = Enum.GetValues<VectorWidth>().Select(width =>
        {
            var trainer = new BpttTrainer(initial, new BpttOptions { WeightDecay = 0.01f }, width);
            TrainRandomly(trainer, first: 0, steps: 5);
            return trainer.ExportState();
        }).ToArray();

        Assert.All(states, state => Assert.True(states[0].AsSpan().SequenceEqual(state)));
    }

    [Fact]
    public void Training_has_the_recorded_bits_on_every_machine()
    {
        var trainer = new BpttTrainer(LstmForecasterWeights.Create(Shape, seed: 2));
        TrainRandomly(trainer, first: 0, steps: 5);

        // Recorded once. A change that moves it moves every model and replay: it must be meant.
        // (Without the state's own checksum: a CRC over data and its CRC is the same for all data.)
        Assert.Equal(0x5EC95291u, Checksum.Crc32C(trainer.ExportState().AsSpan()[..^sizeof(uint)]));
    }

    [Fact]
    public void Training_continues_from_its_bytes_with_the_same_bits()
    {
        var uninterrupted = new BpttTrainer(LstmForecasterWeights.Create(Shape, seed: 3));
        TrainRandomly(uninterrupted, first: 0, steps: 4);
        var continued = BpttTrainer.ImportState(uninterrupted.ExportState());
        Assert.Equal(4, continued.StepCount);

        TrainRandomly(uninterrupted, first: 4, steps: 4);
        TrainRandomly(continued, first: 4, steps: 4);

        Assert.True(uninterrupted.ExportState().AsSpan().SequenceEqual(continued.ExportState()));
        Assert.Equal(uninterrupted.AveragedWeights.Values.ToArray(), continued.AveragedWeights.Values.ToArray());
    }

    [Fact]
    public void Damaged_state_is_refused()
    {
        var trainer = new BpttTrainer(LstmForecasterWeights.Create(Shape, seed: 3));
        var state = trainer.ExportState();
        state[1000] ^= 4;

        Assert.Contains("corrupt", Assert.Throws<InvalidDataException>(() => BpttTrainer.ImportState(state)).Message);
        Assert.Contains("SLLW", Assert.Throws<InvalidDataException>(() => BpttTrainer.ImportState(trainer.Weights.ToBytes())).Message);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void A_step_that_diverges_says_so_and_changes_nothing(float poison)
    {
        var trainer = new BpttTrainer(LstmForecasterWeights.Create(Shape, seed: 4));
        TrainRandomly(trainer, first: 0, steps: 2);
        var before = trainer.ExportState();
        var batch = RandomBatch(0);
        batch.InputsAt(5, 1)[0] = poison;

        Assert.True(float.IsNaN(trainer.Step(batch, 1e-3f)));

        Assert.Equal(TrainingOutcome.Diverged, trainer.Outcome);
        Assert.True(before.AsSpan().SequenceEqual(trainer.ExportState()));
        Assert.True(trainer.Step(RandomBatch(1), 1e-3f) > 0f);
        Assert.Equal(TrainingOutcome.Updated, trainer.Outcome);
    }

    [Fact]
    public void Huge_targets_never_make_a_weight_infinite()
    {
        var trainer = new BpttTrainer(LstmForecasterWeights.Create(Shape, seed: 4));
        var batch = RandomBatch(0);
        batch.Targets.Fill(1e38f);
        for (var step = 0; step < 20; step++)
        {
            trainer.Step(batch, 1f);
        }

        Assert.All(trainer.Weights.Values.ToArray(), value => Assert.True(float.IsFinite(value)));
    }

    [Fact]
    public void A_target_that_has_not_arrived_may_hold_anything()
    {
        var initial = LstmForecasterWeights.Create(Shape, seed: 5);
        var clean = new BpttTrainer(initial);
        var other = new BpttTrainer(initial);
        var batch = RandomBatch(0);
        var loss = clean.Step(batch, 1e-3f);
        for (var i = 0; i < batch.Mask.Length; i++)
        {
            if (batch.Mask[i] == 0f || i < batch.BurnIn * batch.Batch * Shape.Outputs)
            {
                batch.Targets[i] = float.NaN;
            }
        }

        Assert.Equal(loss, other.Step(batch, 1e-3f));
        Assert.True(clean.ExportState().AsSpan().SequenceEqual(other.ExportState()));
    }

    [Fact]
    public void Without_targets_nothing_changes()
    {
        var trainer = new BpttTrainer(LstmForecasterWeights.Create(Shape, seed: 5));
        var before = trainer.ExportState();
        var batch = RandomBatch(0);
        batch.Mask.Clear();

        Assert.Equal(0f, trainer.Step(batch, 1e-3f));

        Assert.Equal(TrainingOutcome.NoTargets, trainer.Outcome);
        Assert.True(before.AsSpan().SequenceEqual(trainer.ExportState()));
    }

    [Fact]
    public void A_smaller_batch_after_a_larger_one_gives_what_it_gives_alone()
    {
        var initial = LstmForecasterWeights.Create(Shape, seed: 6);
        var used = new BpttTrainer(initial);
        var large = new TrainingBatch(Shape, steps: 20, batch: 9, burnIn: 1);
        Randomise(large, 3);
        used.Step(large, 0f);
        var fresh = new BpttTrainer(initial);

        Assert.Equal(fresh.Step(RandomBatch(0), 0f), used.Step(RandomBatch(0), 0f));
        Assert.Equal(fresh.Gradient.ToArray(), used.Gradient.ToArray());
    }

    [Fact]
    public void Averaged_weights_trail_the_weights()
    {
        var initial = LstmForecasterWeights.Create(Shape, seed: 7);
        var trainer = new BpttTrainer(initial);
        trainer.Step(RandomBatch(0), 1e-2f);

        for (var i = 0; i < Shape.ParameterCount; i++)
        {
            var expected = initial.Values[i] + (0.1 * ((double)trainer.Weights.Values[i] - initial.Values[i]));
            Assert.Equal(expected, trainer.AveragedWeights.Values[i], 1e-7);
        }
    }

    [Fact]
    public void Direct_weights_that_are_not_learnt_stay_as_they_are_and_the_others_move()
    {
        var values = LstmForecasterWeights.Create(Shape, seed: 8).Values.ToArray();
        values.AsSpan(Shape.SkipWeightOffset, Shape.Outputs * Shape.Inputs).Fill(0.25f);
        var initial = new LstmForecasterWeights(Shape, values);
        var trainer = new BpttTrainer(initial, new BpttOptions { LearnsSkip = false });
        for (var step = 0; step < 3; step++)
            trainer.Step(RandomBatch(0), 1e-2f);
        Assert.Equal(initial.SkipWeight.ToArray(), trainer.Weights.SkipWeight.ToArray());
        Assert.NotEqual(initial.HeadWeight.ToArray(), trainer.Weights.HeadWeight.ToArray());
        Assert.NotEqual(initial.WeightIh.ToArray(), trainer.Weights.WeightIh.ToArray());
    }

    [Fact]
    public void Steps_after_the_first_allocate_nothing()
    {
        var trainer = new BpttTrainer(LstmForecasterWeights.Create(Shape, seed: 8));
        var batch = RandomBatch(0);
        trainer.Step(batch, 1e-3f);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var step = 0; step < 5; step++)
        {
            trainer.Step(batch, 1e-3f);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void Arguments_out_of_range_are_refused()
    {
        var trainer = new BpttTrainer(LstmForecasterWeights.Create(Shape, seed: 8));
        Assert.Throws<ArgumentException>("batch", () => trainer.Step(new TrainingBatch(new LstmForecasterShape(1, 17, 7), 4, 1), 1e-3f));
        Assert.Throws<ArgumentOutOfRangeException>("learningRate", () => trainer.Step(RandomBatch(0), float.NaN));
        Assert.Throws<ArgumentOutOfRangeException>("learningRate", () => trainer.Step(RandomBatch(0), -1f));
        Assert.Throws<ArgumentOutOfRangeException>("burnIn", () => new TrainingBatch(Shape, steps: 4, batch: 1, burnIn: 4));
        Assert.Throws<ArgumentException>("ClipNorm", () => new BpttTrainer(trainer.Weights, new BpttOptions { ClipNorm = 0f }));
    }

    private static void TrainRandomly(BpttTrainer trainer, int first, int steps)
    {
        for (var step = first; step < first + steps; step++)
        {
            trainer.Step(RandomBatch((ulong)step), 2e-3f);
        }
    }

    private static TrainingBatch RandomBatch(ulong seed)
    {
        var batch = new TrainingBatch(Shape, steps: 12, batch: 6, burnIn: 4);
        Randomise(batch, seed);
        return batch;
    }

    private static void Randomise(TrainingBatch batch, ulong seed)
    {
        Fill(batch.Inputs, 1);
        Fill(batch.Targets, 2);
        Fill(batch.InitialHidden, 3);
        Fill(batch.InitialCell, 4);
        Fill(batch.Mask, 5);
        foreach (ref var value in batch.Mask)
        {
            value = value > -0.5f ? 1f : 0f;
        }

        void Fill(Span<float> values, ulong stream)
        {
            var random = new CounterRandom(seed, stream);
            for (var i = 0; i < values.Length; i++)
            {
                values[i] = (2f * random.Unit((ulong)i)) - 1f;
            }
        }
    }

    /// <summary>Value in, the next K values out; random phase and period, 5 % noise.</summary>
    private static void FillSine(TrainingBatch batch, ulong seed)
    {
        var random = new CounterRandom(seed, 9);
        for (var b = 0; b < batch.Batch; b++)
        {
            var phase = random.Unit((ulong)(2 * b));
            var frequency = 1f / (12f + (12f * random.Unit((ulong)((2 * b) + 1))));
            for (var t = 0; t < batch.Steps; t++)
            {
                var noise = 0.1f * (random.Unit((ulong)(1000 + (b * batch.Steps) + t)) - 0.5f);
                batch.InputsAt(t, b)[0] = Elementary.SinCosTurns(phase + (frequency * t)).Sin + noise;
                for (var k = 0; k < batch.Shape.Outputs; k++)
                {
                    batch.TargetsAt(t, b)[k] = Elementary.SinCosTurns(phase + (frequency * (t + k + 1))).Sin;
                    batch.MaskAt(t, b)[k] = 1f;
                }
            }
        }
    }
}
