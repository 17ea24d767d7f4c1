namespace StreamLstm.Core.Forecasting;

/// <summary>
/// Where the frames around one lie in the local day and week when they don't simply follow each other: clocks go forward or back, or a
/// holiday takes the place of a Sunday. Filled by whoever knows the calendar; the same for all series of a grid.
/// </summary>
/// <param name="plan">Of the records.</param>
public sealed class CalendarPath(ForecastPlan plan)
{
    /// <summary>Phase in the day of the frames h = 0 … K (at least a day) after this one, at index h.</summary>
    public int[] DayPhase { get; } = new int[plan.PathReach + 1];

    /// <summary>Phase in the week.</summary>
    public int[] WeekPhase { get; } = new int[plan.PathReach + 1];

    /// <summary>How many frames before a target h frames on the same local time of a day before lies, at least max(h, 1): it is known at this frame.</summary>
    public int[] DayLag { get; } = new int[plan.PathReach + 1];

    /// <summary>The same of a week before.</summary>
    public int[] WeekLag { get; } = new int[plan.PathReach + 1];

    /// <summary>What <see cref="DayLag"/> was of this frame as a target, at the origins of the forecasts that arrive now [J].</summary>
    public int[] ArrivedDayLag { get; } = new int[plan.Knots.Length];

    /// <inheritdoc cref="ArrivedDayLag"/>
    public int[] ArrivedWeekLag { get; } = new int[plan.Knots.Length];
}
