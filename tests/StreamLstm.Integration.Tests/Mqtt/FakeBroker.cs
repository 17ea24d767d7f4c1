using System.Net;
using System.Net.Sockets;
using StreamLstm.Connectors.Mqtt;

namespace StreamLstm.Integration.Tests.Mqtt;

/// <summary>A broker played by the test, packet by packet, for what a real one won't do on demand.</summary>
internal sealed class FakeBroker : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);

    public FakeBroker() => _listener.Start();

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    public MqttClientOptions Options => new() { Host = "127.0.0.1", Port = Port, ClientId = "test", ConnectTimeout = TimeSpan.FromSeconds(5) };

    public async Task<FakePeer> AcceptAsync(CancellationToken cancellationToken) => new(await _listener.AcceptTcpClientAsync(cancellationToken));

    /// <summary>Accepts a connection and answers CONNECT with the given CONNACK body.</summary>
    public async Task<FakePeer> AcceptAsync(byte[] connAck, CancellationToken cancellationToken)
    {
        var peer = await AcceptAsync(cancellationToken);
        var connect = await peer.ReadAsync(cancellationToken);
        Assert.Equal(MqttPacketType.Connect, connect.Type);
        await peer.SendAsync([0x20, (byte)connAck.Length, .. connAck], cancellationToken);
        return peer;
    }

    public void Dispose() => _listener.Dispose();
}

internal sealed class FakePeer(TcpClient tcp) : IDisposable
{
    private readonly MqttFrameReader _frames = new(1024 * 1024);

    public async Task<MqttFrame> ReadAsync(CancellationToken cancellationToken)
    {
        MqttFrame frame;
        while (!_frames.TryRead(out frame))
        {
            var n = await tcp.GetStream().ReadAsync(_frames.GetMemory(), cancellationToken);
            if (n == 0)
                throw new EndOfStreamException();
            _frames.Advance(n);
        }

        return frame;
    }

    public async Task SendAsync(byte[] bytes, CancellationToken cancellationToken) => await tcp.GetStream().WriteAsync(bytes, cancellationToken);

    public void Dispose() => tcp.Dispose();
}
