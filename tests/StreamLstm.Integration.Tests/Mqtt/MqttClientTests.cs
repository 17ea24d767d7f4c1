using System.Text;
using StreamLstm.Connectors.Mqtt;

namespace StreamLstm.Integration.Tests.Mqtt;

/// <summary>The client against a broker played by the test.</summary>
public class MqttClientTests
{
    private static readonly byte[] NewSession = [0, 0, 0];
    private static readonly byte[] OldSession = [1, 0, 0];

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_unacknowledged_publish_is_sent_again_as_duplicate_when_the_session_survived()
    {
        using var broker = new FakeBroker();
        await using var client = new MqttClient(broker.Options, TimeProvider.System);
        var (connection, peer) = await ConnectAsync(client, broker, NewSession);
        var first = client.PublishAsync("a", "1"u8.ToArray(), 1, false, Cancel);
        var second = client.PublishAsync("b", "2"u8.ToArray(), 1, false, Cancel);
        Assert.Equal((0x32, "a", 1), Published(await peer.ReadAsync(Cancel)));
        Assert.Equal((0x32, "b", 2), Published(await peer.ReadAsync(Cancel)));
        await peer.SendAsync([0x40, 2, 0, 1], Cancel);
        await first;
        peer.Dispose();
        await connection.Closed.WaitAsync(Cancel);
        var third = client.PublishAsync("c", "3"u8.ToArray(), 1, false, Cancel);

        (_, peer) = await ConnectAsync(client, broker, OldSession);
        Assert.Equal((0x3A, "b", 2), Published(await peer.ReadAsync(Cancel)));
        Assert.Equal((0x32, "c", 3), Published(await peer.ReadAsync(Cancel)));
        Assert.False(second.IsCompleted);
        await peer.SendAsync([0x40, 2, 0, 2, 0x40, 2, 0, 3], Cancel);
        await Task.WhenAll(second, third).WaitAsync(Cancel);
        peer.Dispose();
    }

    [Fact]
    public async Task An_unacknowledged_publish_is_a_new_message_when_the_session_is_gone()
    {
        using var broker = new FakeBroker();
        await using var client = new MqttClient(broker.Options, TimeProvider.System);
        var (connection, peer) = await ConnectAsync(client, broker, NewSession);
        var publish = client.PublishAsync("a", "1"u8.ToArray(), 1, false, Cancel);
        await peer.ReadAsync(Cancel);
        peer.Dispose();
        await connection.Closed.WaitAsync(Cancel);

        (_, peer) = await ConnectAsync(client, broker, NewSession);
        Assert.Equal((0x32, "a", 2), Published(await peer.ReadAsync(Cancel)));
        await peer.SendAsync([0x40, 2, 0, 2], Cancel);
        await publish.WaitAsync(Cancel);
        peer.Dispose();
    }

    [Fact]
    public async Task A_publish_of_qos_2_is_repeated_until_it_is_received_and_then_only_its_release()
    {
        using var broker = new FakeBroker();
        await using var client = new MqttClient(broker.Options, TimeProvider.System);
        var (connection, peer) = await ConnectAsync(client, broker, NewSession);
        var publish = client.PublishAsync("a", "1"u8.ToArray(), 2, false, Cancel);
        Assert.Equal((0x34, "a", 1), Published(await peer.ReadAsync(Cancel)));
        peer.Dispose();
        await connection.Closed.WaitAsync(Cancel);

        (connection, peer) = await ConnectAsync(client, broker, OldSession);
        Assert.Equal((0x3C, "a", 1), Published(await peer.ReadAsync(Cancel)));
        await peer.SendAsync([0x50, 2, 0, 1], Cancel);
        Assert.Equal("PubRel2 0001", Text(await peer.ReadAsync(Cancel)));
        Assert.False(publish.IsCompleted);
        peer.Dispose();
        await connection.Closed.WaitAsync(Cancel);

        (_, peer) = await ConnectAsync(client, broker, OldSession);
        Assert.Equal("PubRel2 0001", Text(await peer.ReadAsync(Cancel)));
        // An old acknowledgement for nobody is released too, or the broker would wait for ever.
        await peer.SendAsync([0x50, 2, 0, 9], Cancel);
        Assert.Equal("PubRel2 0009", Text(await peer.ReadAsync(Cancel)));
        await peer.SendAsync([0x70, 3, 0, 1, 0x92], Cancel);
        await publish.WaitAsync(Cancel);
        peer.Dispose();
    }

    [Fact]
    public async Task A_publish_of_qos_2_starts_anew_when_the_session_is_gone_and_ends_with_a_refusal()
    {
        using var broker = new FakeBroker();
        await using var client = new MqttClient(broker.Options, TimeProvider.System);
        var (connection, peer) = await ConnectAsync(client, broker, NewSession);
        var publish = client.PublishAsync("a", "1"u8.ToArray(), 2, false, Cancel);
        await peer.ReadAsync(Cancel);
        await peer.SendAsync([0x50, 2, 0, 1], Cancel);
        await peer.ReadAsync(Cancel);
        peer.Dispose();
        await connection.Closed.WaitAsync(Cancel);

        (_, peer) = await ConnectAsync(client, broker, NewSession);
        Assert.Equal((0x34, "a", 2), Published(await peer.ReadAsync(Cancel)));
        await peer.SendAsync([0x50, 3, 0, 2, 0x97], Cancel);
        var e = await Assert.ThrowsAsync<MqttException>(() => publish);
        Assert.Equal("broker refused to publish on 'a': quota exceeded", e.Message);
        peer.Dispose();
    }

    [Theory]
    [InlineData(1, "50020001", "PubRec for a message of QoS 1")]
    [InlineData(1, "70020001", "PubComp out of turn for a message of QoS 1")]
    [InlineData(2, "40020001", "PubAck out of turn for a message of QoS 2")]
    [InlineData(2, "70020001", "PubComp out of turn for a message of QoS 2")]
    public async Task An_acknowledgement_of_the_wrong_kind_ends_the_connection_and_not_the_message(int qos, string hex, string reason)
    {
        using var broker = new FakeBroker();
        await using var client = new MqttClient(broker.Options, TimeProvider.System);
        var (connection, peer) = await ConnectAsync(client, broker, NewSession);
        var publish = client.PublishAsync("a", "1"u8.ToArray(), qos, false, Cancel);
        await peer.ReadAsync(Cancel);
        await peer.SendAsync(Convert.FromHexString(hex), Cancel);
        Assert.Equal("protocol error: " + reason, await connection.Closed.WaitAsync(Cancel));
        Assert.False(publish.IsCompleted);
        peer.Dispose();
    }

    [Fact]
    public async Task The_brokers_receive_maximum_limits_what_is_under_way()
    {
        using var broker = new FakeBroker();
        await using var client = new MqttClient(broker.Options, TimeProvider.System);
        var (_, peer) = await ConnectAsync(client, broker, [0, 0, 3, 0x21, 0, 2]);
        var publishes = Enumerable.Range(0, 3).Select(i => client.PublishAsync("t", new byte[] { (byte)('0' + i) }, 1, false, Cancel)).ToArray();
        await peer.ReadAsync(Cancel);
        await peer.ReadAsync(Cancel);
        var third = peer.ReadAsync(Cancel);
        await Task.Delay(50, Cancel);
        Assert.False(third.IsCompleted);
        await peer.SendAsync([0x40, 2, 0, 1], Cancel);
        Assert.Equal((0x32, "t", 3), Published(await third));
        await peer.SendAsync([0x40, 2, 0, 2, 0x40, 2, 0, 3], Cancel);
        await Task.WhenAll(publishes).WaitAsync(Cancel);
        peer.Dispose();
    }

    [Fact]
    public async Task A_broker_that_knows_only_the_old_version_is_asked_again_with_it()
    {
        using var broker = new FakeBroker();
        await using var client = new MqttClient(broker.Options, TimeProvider.System);
        var connecting = client.ConnectAsync(Cancel);
        using (var refusing = await broker.AcceptAsync([0, 1], Cancel))
        using (var peer = await broker.AcceptAsync(Cancel))
        {
            var connect = await peer.ReadAsync(Cancel);
            Assert.Equal(4, connect.Body.Span[6]);
            await peer.SendAsync([0x20, 2, 0, 0], Cancel);
            Assert.Equal(MqttVersion.V311, (await connecting).Version);
        }
    }

    [Fact]
    public async Task A_refusal_names_its_reason()
    {
        using var broker = new FakeBroker();
        await using var client = new MqttClient(broker.Options, TimeProvider.System);
        var connecting = client.ConnectAsync(Cancel);
        using var peer = await broker.AcceptAsync([0, 0x87, 7, 0x1F, 0, 4, .. "nope"u8], Cancel);
        var e = await Assert.ThrowsAsync<MqttException>(() => connecting);
        Assert.Equal("broker refused the connection: not authorized (nope)", e.Message);
    }

    [Fact]
    public async Task A_refused_publish_fails_with_the_brokers_reason_and_the_others_go_on()
    {
        using var broker = new FakeBroker();
        await using var client = new MqttClient(broker.Options, TimeProvider.System);
        var (_, peer) = await ConnectAsync(client, broker, [0, 0, 5, 0x27, 0, 0, 0, 100]);
        var forbidden = client.PublishAsync("secret", "1"u8.ToArray(), 1, false, Cancel);
        await peer.ReadAsync(Cancel);
        await peer.SendAsync([0x40, 4, 0, 1, 0x87, 0], Cancel);
        var e = await Assert.ThrowsAsync<MqttException>(() => forbidden);
        Assert.Equal("broker refused to publish on 'secret': not authorized", e.Message);
        Assert.False(e.IsPermanent);

        var large = await Assert.ThrowsAsync<MqttException>(() => client.PublishAsync("large", new byte[100], 1, false, Cancel));
        Assert.True(large.IsPermanent);
        var fits = client.PublishAsync("fits", new byte[50], 1, false, Cancel);
        Assert.Equal((0x32, "fits", 2), Published(await peer.ReadAsync(Cancel)));
        await peer.SendAsync([0x40, 2, 0, 2], Cancel);
        await fits.WaitAsync(Cancel);
        peer.Dispose();
    }

    [Theory]
    [InlineData("FFFFFFFFFFFF", "protocol error: length field of more than four bytes")]
    [InlineData("36060001610001 00", "protocol error: PUBLISH with QoS 3")]
    [InlineData("A202 0001", "protocol error: unexpected packet type 10")]
    [InlineData("E0018B", "broker ended the connection: server shutting down")]
    [InlineData("E0018E", "broker ended the connection: session taken over by another client with the same client id")]
    [InlineData("E000", "broker ended the connection: normal disconnection")]
    public async Task The_reason_of_a_lost_connection_is_told(string hex, string reason)
    {
        using var broker = new FakeBroker();
        await using var client = new MqttClient(broker.Options, TimeProvider.System);
        var (connection, peer) = await ConnectAsync(client, broker, NewSession);
        await peer.SendAsync(Convert.FromHexString(hex.Replace(" ", "")), Cancel);
        Assert.Equal(reason, await connection.Closed.WaitAsync(Cancel));
        peer.Dispose();
    }

    [Fact]
    public async Task A_peer_that_answers_no_pings_is_given_up()
    {
        using var broker = new FakeBroker();
        await using var client = new MqttClient(broker.Options with { KeepAlive = TimeSpan.FromSeconds(1) }, TimeProvider.System);
        var (connection, peer) = await ConnectAsync(client, broker, NewSession);
        Assert.Equal(MqttPacketType.PingReq, (await peer.ReadAsync(Cancel)).Type);
        Assert.Equal("no answer to pings for 1.5 s", await connection.Closed.WaitAsync(TimeSpan.FromSeconds(20), Cancel));
        peer.Dispose();
    }

    [Fact]
    public async Task A_message_of_an_earlier_connection_is_not_acknowledged_on_the_next()
    {
        using var broker = new FakeBroker();
        await using var client = new MqttClient(broker.Options, TimeProvider.System);
        var (connection, peer) = await ConnectAsync(client, broker, NewSession);
        byte[] publish = [0x32, 7, 0, 1, (byte)'t', 0, 5, 0, (byte)'1'];
        await peer.SendAsync(publish, Cancel);
        var early = await client.Messages.ReadAsync(Cancel);
        peer.Dispose();
        await connection.Closed.WaitAsync(Cancel);

        (_, peer) = await ConnectAsync(client, broker, OldSession);
        await peer.SendAsync([0x3A, .. publish[1..6], 6, .. publish[7..]], Cancel);
        var late = await client.Messages.ReadAsync(Cancel);
        Assert.True(late.Duplicate);
        await client.AckAsync([early, late]);
        var ack = await peer.ReadAsync(Cancel);
        Assert.Equal((MqttPacketType.PubAck, "0006"), (ack.Type, Convert.ToHexString(ack.Body.Span)));
        peer.Dispose();
    }

    [Fact]
    public async Task A_broker_that_says_nothing_is_a_time_out()
    {
        using var broker = new FakeBroker();
        await using var client = new MqttClient(broker.Options with { ConnectTimeout = TimeSpan.FromMilliseconds(200) }, TimeProvider.System);
        var e = await Assert.ThrowsAsync<MqttException>(() => client.ConnectAsync(Cancel));
        Assert.Equal("no answer within 0.2 s", e.Message);
    }

    [Fact]
    public void Impossible_options_are_refused()
    {
        var good = new MqttClientOptions { Host = "h", ClientId = "c" };
        Assert.Throws<ArgumentOutOfRangeException>(() => new MqttClient(good with { Port = 0 }, TimeProvider.System));
        Assert.Throws<ArgumentOutOfRangeException>(() => new MqttClient(good with { ReceiveMaximum = 70_000 }, TimeProvider.System));
        Assert.Throws<ArgumentOutOfRangeException>(() => new MqttClient(good with { KeepAlive = TimeSpan.Zero }, TimeProvider.System));
        Assert.Throws<ArgumentException>(() => new MqttClient(good with { Password = "p" }, TimeProvider.System));
        Assert.DoesNotContain("secret", (good with { Username = "u", Password = "secret" }).ToString());
    }

    private static async Task<(MqttConnection Connection, FakePeer Peer)> ConnectAsync(MqttClient client, FakeBroker broker, byte[] connAck)
    {
        var connecting = client.ConnectAsync(Cancel);
        var peer = await broker.AcceptAsync(connAck, Cancel);
        return (await connecting, peer);
    }

    private static string Text(MqttFrame frame) => $"{frame.Type}{frame.Flags} {Convert.ToHexString(frame.Body.Span)}";

    private static (int Header, string Topic, int PacketId) Published(MqttFrame frame)
    {
        var body = frame.Body.Span;
        var topic = body[1];
        return (frame.Header, Encoding.UTF8.GetString(body.Slice(2, topic)), (body[2 + topic] << 8) | body[3 + topic]);
    }
}
