namespace StreamLstm.Runtime.Storage;

/// <summary>
/// A full disk is waited for: nothing is acknowledged, nothing dropped, and work goes on once there is room. Any other failed write, and
/// any failed flush whatever its reason, is a broken disk and stops the host.
/// </summary>
internal static class DiskSpace
{
    private const int FileTooLarge = 27;
    private const int NoSpace = 28;
    private const int QuotaExceeded = 122;
    private const int QuotaExceededMac = 69;
    private const int WindowsDiskFull = unchecked((int)0x80070070);

    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(500);

    /// <summary>Whether a write failed for want of room: the disk's, a quota's, or the process' limit on the size of files.</summary>
    public static bool IsShort(IOException e)
    {
        ArgumentNullException.ThrowIfNull(e);
        return e.HResult is NoSpace or QuotaExceeded or QuotaExceededMac or FileTooLarge or WindowsDiskFull;
    }

    /// <summary>Repeats a write until there is room for it.</summary>
    /// <param name="write">Made anew each time.</param>
    /// <param name="undo">Takes back what a failed attempt left.</param>
    /// <param name="waits">Told why it waits, and null once it doesn't any more.</param>
    /// <exception cref="OperationCanceledException">Stopped waiting; nothing is written.</exception>
    public static async ValueTask WriteAsync(Action write, Action undo, Action<string?> waits, CancellationToken stop)
    {
        var waited = false;
        while (true)
        {
            try
            {
                write();
                if (waited)
                    waits(null);
                return;
            }
            catch (IOException e) when (IsShort(e))
            {
                undo();
                waited = true;
                waits(e.Message);
            }

            await Task.Delay(s_pause, stop);
        }
    }
}
