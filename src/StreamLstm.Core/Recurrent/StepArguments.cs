namespace StreamLstm.Core.Recurrent;

/// <summary>The one check of a step's arguments, at its public entry.</summary>
internal static class StepArguments
{
    public static void Check(LstmForecasterShape shape, ReadOnlySpan<float> x, ReadOnlySpan<float> h, ReadOnlySpan<float> c, ReadOnlySpan<float> y, int batch)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(batch);
        Length(x, batch, shape.Inputs, nameof(x), "B·I");
        Length(h, batch, shape.Hidden, nameof(h), "B·H");
        Length(c, batch, shape.Hidden, nameof(c), "B·H");
        if (!y.IsEmpty)
        {
            Length(y, batch, shape.Outputs, nameof(y), "B·K");
        }
    }

    private static void Length(ReadOnlySpan<float> values, int batch, int width, string name, string meaning)
    {
        var expected = (long)batch * width;
        if (values.Length != expected)
        {
            throw new ArgumentException($"'{name}' must hold {meaning} = {batch}·{width} = {expected} values, but holds {values.Length}.", name);
        }
    }
}
