using StreamLstm.Core.Recurrent;

namespace StreamLstm.Core.Tests.Recurrent;

public class LstmForecasterWeightsTests
{
    private static readonly LstmForecasterShape Shape = new(3, 16, 7);

    [Fact]
    public void Initial_weights_follow_the_documented_recipe()
    {
        var weights = LstmForecasterWeights.Create(Shape, seed: 1);

        const float Bound = 0.25f;
        AssertSpread(weights.WeightIh, -Bound, Bound);
        AssertSpread(weights.WeightHh, -Bound, Bound);
        AssertSpread(weights.HeadWeight, -Bound / 10, Bound / 10);
        for (var unit = 0; unit < Shape.Hidden; unit++)
        {
            Assert.InRange(weights.Bias[unit], -2 * Bound, 2 * Bound);
            Assert.InRange(weights.Bias[Shape.Hidden + unit], 1 - (2 * Bound), 1 + (2 * Bound));
        }

        Assert.All(weights.SkipWeight.ToArray(), value => Assert.Equal(0f, value));
        Assert.All(weights.HeadBias.ToArray(), value => Assert.Equal(0f, value));

        static void AssertSpread(ReadOnlySpan<float> values, float low, float high)
        {
            var array = values.ToArray();
            Assert.InRange(array.Min(), low, low * 0.8f);
            Assert.InRange(array.Max(), high * 0.8f, high);
        }
    }

    [Fact]
    public void A_seed_decides_the_weights()
    {
        var weights = LstmForecasterWeights.Create(Shape, seed: 1).Values.ToArray();

        Assert.Equal(weights, LstmForecasterWeights.Create(Shape, seed: 1).Values.ToArray());
        Assert.NotEqual(weights, LstmForecasterWeights.Create(Shape, seed: 2).Values.ToArray());
    }

    [Fact]
    public void Views_cover_the_flat_array_in_order()
    {
        var values = Enumerable.Range(0, Shape.ParameterCount).Select(i => (float)i).ToArray();
        var weights = new LstmForecasterWeights(Shape, values);

        float[] joined =
        [
            .. weights.WeightIh, .. weights.WeightHh, .. weights.Bias, .. weights.HeadWeight, .. weights.SkipWeight, .. weights.HeadBias,
        ];
        Assert.Equal(values, joined);
        Assert.Equal(4 * 16 * (3 + 16 + 1) + (7 * (16 + 3 + 1)), Shape.ParameterCount);
    }

    [Fact]
    public void Weights_do_not_change_with_the_array_they_came_from()
    {
        var values = new float[Shape.ParameterCount];
        var weights = new LstmForecasterWeights(Shape, values);
        values[0] = 1f;

        Assert.Equal(0f, weights.Values[0]);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.NegativeInfinity)]
    public void Weights_that_are_not_finite_are_refused(float value)
    {
        var values = new float[Shape.ParameterCount];
        values[41] = value;

        var exception = Assert.Throws<ArgumentException>("values", () => new LstmForecasterWeights(Shape, values));
        Assert.Contains("41", exception.Message);
    }

    [Fact]
    public void Impossible_shapes_and_lengths_are_refused()
    {
        Assert.Throws<ArgumentException>("values", () => new LstmForecasterWeights(Shape, new float[3]));
        Assert.Throws<ArgumentException>("shape", () => LstmForecasterWeights.Create(new LstmForecasterShape(0, 1, 1), 1));
        Assert.Throws<ArgumentException>("shape", () => LstmForecasterWeights.Create(new LstmForecasterShape(1, 5000, 1), 1));
    }

    [Fact]
    public void Bytes_bring_the_same_weights_back()
    {
        var weights = LstmForecasterWeights.Create(Shape, seed: 9);

        var read = LstmForecasterWeights.FromBytes(weights.ToBytes());

        Assert.Equal(weights.Shape, read.Shape);
        Assert.Equal(weights.Values.ToArray(), read.Values.ToArray());
    }

    [Fact]
    public void Any_damaged_byte_is_noticed()
    {
        var bytes = LstmForecasterWeights.Create(new LstmForecasterShape(1, 2, 1), seed: 9).ToBytes();
        for (var i = 0; i < bytes.Length; i++)
        {
            bytes[i] ^= 0x10;
            Assert.Throws<InvalidDataException>(() => LstmForecasterWeights.FromBytes(bytes));
            bytes[i] ^= 0x10;
        }

        Assert.Contains("corrupt", Message(i: 40));
        Assert.Contains("version", Message(i: 4));
        Assert.Contains("begin with", Message(i: 0));
        Assert.Throws<InvalidDataException>(() => LstmForecasterWeights.FromBytes(bytes.AsSpan(0, bytes.Length - 1)));
        Assert.Throws<InvalidDataException>(() => LstmForecasterWeights.FromBytes([]));

        string Message(int i)
        {
            var damaged = bytes.ToArray();
            damaged[i] ^= 1;
            return Assert.Throws<InvalidDataException>(() => LstmForecasterWeights.FromBytes(damaged)).Message;
        }
    }
}
