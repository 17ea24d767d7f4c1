using System.Text;
using StreamLstm.Connectors.Mqtt;

namespace StreamLstm.Integration.Tests.Mqtt;

/// <summary>The client against a real broker.</summary>
[Trait("Category", "Broker")]
public class MqttBrokerTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(MqttVersion.V5, 0)]
    [InlineData(MqttVersion.V5, 1)]
    [InlineData(MqttVersion.V5, 2)]
    [InlineData(MqttVersion.V311, 0)]
    [InlineData(MqttVersion.V311, 1)]
    [InlineData(MqttVersion.V311, 2)]
    public async Task Messages_go_out_and_come_back_in_order(MqttVersion version, int qos)
    {
        await using var broker = await MosquittoServer.StartAsync();
        await using var client = new MqttClient(Options(broker) with { Version = version }, TimeProvider.System);
        var connection = await client.ConnectAsync(Cancel);
        Assert.Equal(version, connection.Version);
        await client.SubscribeAsync(["echo/+", "other"], qos, Cancel);
        for (var i = 0; i < 100; i++)
            await client.PublishAsync("echo/" + i, Encoding.UTF8.GetBytes("p" + i), qos, retain: false, Cancel);

        for (var i = 0; i < 100; i++)
        {
            var message = await client.Messages.ReadAsync(Cancel);
            while (message.IsRelease)
            {
                await client.AckAsync([message]);
                message = await client.Messages.ReadAsync(Cancel);
            }

            Assert.Equal(($"echo/{i}", $"p{i}", qos, false), (message.Topic, Encoding.UTF8.GetString(message.Payload.Span), message.Qos, message.Retained));
            await client.AckAsync([message]);
        }

        await client.DisconnectAsync();
        Assert.Equal("disconnected", await connection.Closed);
    }

    [Theory]
    [InlineData(MqttVersion.V5)]
    [InlineData(MqttVersion.V311)]
    public async Task What_was_not_acknowledged_is_delivered_again_and_what_was_is_not(MqttVersion version)
    {
        await using var broker = await MosquittoServer.StartAsync();
        var options = Options(broker) with { Version = version };
        await using (var first = new MqttClient(options, TimeProvider.System))
        {
            await first.ConnectAsync(Cancel);
            await first.SubscribeAsync(["t"], 1, Cancel);
            for (var i = 0; i < 10; i++)
                await broker.PublishAsync("t", $"{i}");
            var received = new List<MqttMessage>();
            while (received.Count < 10)
                received.Add(await first.Messages.ReadAsync(Cancel));
            await first.AckAsync(received[..6]);
        }

        await using var second = new MqttClient(options, TimeProvider.System);
        Assert.True((await second.ConnectAsync(Cancel)).SessionPresent);
        for (var i = 6; i < 10; i++)
            Assert.Equal($"{i}", Encoding.UTF8.GetString((await second.Messages.ReadAsync(Cancel)).Payload.Span));
        await broker.PublishAsync("t", "last");
        Assert.Equal("last", Encoding.UTF8.GetString((await second.Messages.ReadAsync(Cancel)).Payload.Span));
    }

    [Fact]
    public async Task Retained_messages_are_marked()
    {
        await using var broker = await MosquittoServer.StartAsync();
        await broker.PublishAsync("t", "old", retain: true);
        await using var client = new MqttClient(Options(broker), TimeProvider.System);
        await client.ConnectAsync(Cancel);
        await client.SubscribeAsync(["t"], 1, Cancel);
        Assert.True((await client.Messages.ReadAsync(Cancel)).Retained);
        await broker.PublishAsync("t", "new");
        Assert.False((await client.Messages.ReadAsync(Cancel)).Retained);
    }

    [Theory]
    [InlineData(MqttVersion.V5)]
    [InlineData(MqttVersion.V311)]
    public async Task A_wrong_password_is_told_and_the_right_one_works(MqttVersion version)
    {
        var folder = MosquittoServer.NewFolder();
        var passwords = Path.Combine(folder, "passwords");
        // "correct" as mosquitto stores it: $7$ iterations $ salt $ PBKDF2-SHA512.
        var salt = new byte[12];
        var hash = System.Security.Cryptography.Rfc2898DeriveBytes.Pbkdf2("correct", salt, 101, System.Security.Cryptography.HashAlgorithmName.SHA512, 64);
        await File.WriteAllTextAsync(passwords, $"me:$7$101${Convert.ToBase64String(salt)}${Convert.ToBase64String(hash)}\n", Cancel);
        await using var broker = await MosquittoServer.StartAsync($"password_file {passwords}", anonymous: false, folder: folder);
        var options = Options(broker) with { Version = version, Username = "me" };

        await using var wrong = new MqttClient(options with { Password = "wrong" }, TimeProvider.System);
        var e = await Assert.ThrowsAsync<MqttException>(() => wrong.ConnectAsync(Cancel));
        Assert.Equal("broker refused the connection: not authorized", e.Message);
        await using var right = new MqttClient(options with { Password = "correct" }, TimeProvider.System);
        await right.ConnectAsync(Cancel);
    }

    [Fact]
    public async Task Nobody_listening_is_a_refused_connection()
    {
        var options = new MqttClientOptions { Host = "127.0.0.1", Port = MosquittoServer.FreePort(), ClientId = "c" };
        await using var client = new MqttClient(options, TimeProvider.System);
        Assert.Equal("connection refused", (await Assert.ThrowsAsync<MqttException>(() => client.ConnectAsync(Cancel))).Message);
    }

    [Fact]
    public async Task A_second_client_with_the_same_id_throws_the_first_one_out()
    {
        await using var broker = await MosquittoServer.StartAsync();
        await using var first = new MqttClient(Options(broker), TimeProvider.System);
        await using var second = new MqttClient(Options(broker), TimeProvider.System);
        var connection = await first.ConnectAsync(Cancel);
        await second.ConnectAsync(Cancel);
        Assert.Equal("the broker closed the connection without giving a reason", await connection.Closed.WaitAsync(Cancel));
    }

    [Fact]
    public async Task Tls_with_a_client_certificate_works_and_an_unknown_authority_is_refused()
    {
        var folder = MosquittoServer.NewFolder();
        TestCertificates.Write(folder);
        string Pem(string name) => Path.Combine(folder, name);
        await using var broker = await MosquittoServer.StartAsync(
            $"cafile {Pem("ca.pem")}\ncertfile {Pem("server.pem")}\nkeyfile {Pem("server.key")}\nrequire_certificate true", folder: folder);
        var tls = new MqttTlsSettings { CaFile = Pem("ca.pem"), CertificateFile = Pem("client.pem"), KeyFile = Pem("client.key") };

        await using var client = new MqttClient(Options(broker) with { Tls = tls }, TimeProvider.System);
        await client.ConnectAsync(Cancel);
        await client.SubscribeAsync(["t"], 1, Cancel);
        await client.PublishAsync("t", new byte[200_000], 1, retain: false, Cancel);
        Assert.Equal(200_000, (await client.Messages.ReadAsync(Cancel)).PayloadBytes);

        await using var distrusting = new MqttClient(Options(broker) with { Tls = new MqttTlsSettings() }, TimeProvider.System);
        var e = await Assert.ThrowsAsync<MqttException>(() => distrusting.ConnectAsync(Cancel));
        Assert.StartsWith("TLS handshake failed", e.Message);
        await using var nameless = new MqttClient(Options(broker) with { Tls = new MqttTlsSettings { CaFile = Pem("ca.pem") } }, TimeProvider.System);
        await Assert.ThrowsAsync<MqttException>(() => nameless.ConnectAsync(Cancel));
    }

    private static MqttClientOptions Options(MosquittoServer broker) => new() { Host = "127.0.0.1", Port = broker.Port, ClientId = "client" };
}
