using StreamLstm.Core.Recurrent;

namespace StreamLstm.Core.Tests.Parity;

internal static class ParameterGroups
{
    /// <summary>Name, start and length of each group of the flat order, counted out independently of the library.</summary>
    public static IEnumerable<(string Name, int Start, int Length)> Of(LstmForecasterShape shape)
    {
        var (i, h, k) = shape;
        var start = 0;
        foreach (var (name, length) in new[]
        {
            ("WeightIh", 4 * h * i), ("WeightHh", 4 * h * h), ("Bias", 4 * h),
            ("HeadWeight", k * h), ("SkipWeight", k * i), ("HeadBias", k),
        })
        {
            yield return (name, start, length);
            start += length;
        }
    }
}
