using System.Runtime.InteropServices;
using StreamLstm.Worker.Commands;

namespace StreamLstm.Worker.Hosting;

/// <summary>
/// Ends the process at once when SIGTERM or SIGINT comes again during a graceful stop. That is safe at any moment: the state folder
/// holds only whole commits, and the next start goes on from the last of them.
/// </summary>
internal sealed class SecondSignal : IDisposable
{
    private readonly List<PosixSignalRegistration> _registrations = [];
    private readonly Lock _lock = new();
    private bool _disposed;

    /// <summary>From now on a signal ends the process. The one being handled doesn't count.</summary>
    public void Arm()
    {
        lock (_lock)
        {
            if (_disposed || _registrations.Count > 0)
                return;
            _registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGTERM, Abort));
            _registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGINT, Abort));
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            foreach (var registration in _registrations)
                registration.Dispose();
            _registrations.Clear();
        }
    }

    private static void Abort(PosixSignalContext context)
    {
        Terminal.Line("Stopped by a second signal; the next start goes on from the last commit.");
        Environment.Exit(ExitCode.Failed);
    }
}
