namespace StreamLstm.Simulator.Targets;

/// <summary>How long to wait between attempts: doubling from a quarter of a second to ten seconds, eight attempts in all.</summary>
internal sealed class BackOff
{
    public const int MaxAttempts = 8;

    private static readonly TimeSpan First = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(10);

    private int _failures;

    /// <summary>Counts a failed attempt.</summary>
    /// <param name="asked">What the server asks for, if it does; more than the longest wait is not granted.</param>
    /// <returns>The wait before the next attempt, or null if there should be none.</returns>
    public TimeSpan? Next(TimeSpan? asked = null)
    {
        if (++_failures >= MaxAttempts)
        {
            return null;
        }

        TimeSpan wait = asked ?? First * Math.Pow(2, _failures - 1);
        return wait < Longest ? wait : Longest;
    }
}
