using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace StreamLstm.Integration.Tests.Mqtt;

/// <summary>A TCP relay in front of a broker, so that a test can cut the cable.</summary>
internal sealed class Relay : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly ConcurrentBag<TcpClient> _sockets = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _accepting;

    public Relay(int target)
    {
        _listener.Start();
        _accepting = AcceptAsync(target);
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>Ends every connection without a word; new ones are relayed again.</summary>
    public void Cut()
    {
        while (_sockets.TryTake(out var socket))
            socket.Dispose();
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _accepting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _listener.Dispose();
        Cut();
        _stop.Dispose();
    }

    private async Task AcceptAsync(int target)
    {
        while (true)
        {
            var near = await _listener.AcceptTcpClientAsync(_stop.Token);
            var far = new TcpClient();
            _sockets.Add(near);
            _sockets.Add(far);
            await far.ConnectAsync(IPAddress.Loopback, target, _stop.Token);
            _ = CopyAsync(near, far);
            _ = CopyAsync(far, near);
        }
    }

    /// <summary>Whichever side ends first ends the other.</summary>
    private static async Task CopyAsync(TcpClient from, TcpClient to)
    {
        var target = to.GetStream();
        await from.GetStream().CopyToAsync(target).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        from.Dispose();
        to.Dispose();
    }
}
