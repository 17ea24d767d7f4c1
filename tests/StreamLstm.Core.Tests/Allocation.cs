namespace StreamLstm.Core.Tests;

internal static class Allocation
{
    /// <summary>
    /// Bytes that work allocates on this thread in its steady state: the least of five turns. What is compiled or initialised on
    /// first use may allocate in a turn; work that allocates does so in every one.
    /// </summary>
    public static long Of(Action work)
    {
        var least = long.MaxValue;
        for (var turn = 0; turn < 5 && least > 0; turn++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            work();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        return least;
    }
}
