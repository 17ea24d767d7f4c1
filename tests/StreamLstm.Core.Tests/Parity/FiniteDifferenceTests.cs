using StreamLstm.Core.Learning;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent;

namespace StreamLstm.Core.Tests.Parity;

public class FiniteDifferenceTests
{
    [Theory]
    [InlineData(1, 1, 1, 5, 2, 0)]
    [InlineData(3, 5, 7, 6, 3, 2)]
    [InlineData(2, 17, 3, 5, 2, 1)]
    public void Every_gradient_equals_the_difference_quotient_of_a_double_precision_loss(
        int inputs, int hidden, int outputs, int steps, int sequences, int burnIn)
    {
        var shape = new LstmForecasterShape(inputs, hidden, outputs);
        var weights = LstmForecasterWeights.Create(shape, seed: 3);
        var batch = RandomBatch(shape, steps, sequences, burnIn);
        var trainer = new BpttTrainer(weights);
        trainer.Step(batch, 0f);

        var parameters = Array.ConvertAll(weights.Values.ToArray(), v => (double)v);
        foreach (var (name, start, length) in ParameterGroups.Of(shape))
        {
            var expected = new double[length];
            for (var i = 0; i < length; i++)
            {
                const double Delta = 1e-5;
                var value = parameters[start + i];
                parameters[start + i] = value + Delta;
                var above = DoubleReference.Loss(shape, parameters, batch);
                parameters[start + i] = value - Delta;
                var below = DoubleReference.Loss(shape, parameters, batch);
                parameters[start + i] = value;
                expected[i] = (above - below) / (2 * Delta);
            }

            var largest = expected.Max(Math.Abs);
            Assert.True(largest > 1e-6, $"{name} has a gradient worth comparing");
            for (var i = 0; i < length; i++)
            {
                Assert.True(
                    Math.Abs(expected[i] - trainer.Gradient[start + i]) <= 5e-6 * largest,
                    $"{name}[{i}]: {trainer.Gradient[start + i]}, expected {expected[i]}, largest {largest}");
            }
        }
    }

    private static TrainingBatch RandomBatch(LstmForecasterShape shape, int steps, int sequences, int burnIn)
    {
        var batch = new TrainingBatch(shape, steps, sequences, burnIn);
        Fill(batch.Inputs, 1, 2f);
        Fill(batch.Targets, 2, 2f);
        Fill(batch.InitialHidden, 3, 0.8f);
        Fill(batch.InitialCell, 4, 2f);
        var random = new CounterRandom(17, 5);
        for (var i = 0; i < batch.Mask.Length; i++)
        {
            batch.Mask[i] = random.Below(4, (ulong)i) > 0 ? 1f : 0f;
        }

        return batch;

        static void Fill(Span<float> values, ulong stream, float range)
        {
            var random = new CounterRandom(17, stream);
            for (var i = 0; i < values.Length; i++)
            {
                values[i] = range * ((2f * random.Unit((ulong)i)) - 1f);
            }
        }
    }
}
