using System.Net.Sockets;
using System.Text;

namespace StreamLstm.Worker.Hosting;

/// <summary>sd_notify(3): tells systemd about readiness and life, if it started us with <c>Type=notify</c>; otherwise does nothing.</summary>
internal static class SystemdNotifier
{
    public static void Notify(string state)
    {
        if (Environment.GetEnvironmentVariable("NOTIFY_SOCKET") is not { Length: > 1 } path || OperatingSystem.IsWindows())
            return;
        // A leading @ stands for the abstract namespace.
        var endpoint = new UnixDomainSocketEndPoint(path[0] == '@' ? "\0" + path[1..] : path);
        using var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        socket.Connect(endpoint);
        socket.Send(Encoding.UTF8.GetBytes(state));
    }
}
