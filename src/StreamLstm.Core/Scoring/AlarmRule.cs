namespace StreamLstm.Core.Scoring;

/// <summary>Side of the expected value on which deviations matter.</summary>
public enum AlarmDirection : byte
{
    Both,
    Above,
    Below,
}

/// <summary>
/// Which deviations may raise an alarm at all, however improbable they are. Those that may not still have a score, of at most 1.
/// </summary>
/// <param name="Direction">Side that matters. Changes to both sides at once matter only with <see cref="AlarmDirection.Both"/>.</param>
/// <param name="MinDeviation">Least distance from the expected value, in the input's unit.</param>
/// <param name="MinRelativeDeviation">The same as a share of the expected value's magnitude.</param>
public readonly record struct AlarmRule(AlarmDirection Direction, double MinDeviation, double MinRelativeDeviation)
{
    /// <summary>Least distance from <paramref name="expected"/> that may raise an alarm.</summary>
    public double Least(double expected) => Math.Max(MinDeviation, MinRelativeDeviation * Math.Abs(expected));

    /// <param name="direction">+1 above, −1 below, 0 both.</param>
    public bool Admits(int direction) => Direction switch
    {
        AlarmDirection.Above => direction > 0,
        AlarmDirection.Below => direction < 0,
        _ => true,
    };
}
