using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using StreamLstm.Integration.Tests.Crash;
using StreamLstm.Integration.Tests.Mqtt;

namespace StreamLstm.Integration.Tests.Kafka;

/// <summary>
/// Security settings reach librdkafka, secrets come from files and the environment, and none is ever told. Whole fleets on secured
/// clusters: the tests that take <c>STREAMLSTM_TEST_KAFKA</c>, with <c>STREAMLSTM_TEST_KAFKA_CLIENT</c>.
/// </summary>
[Trait("Category", "Kafka")]
public sealed class KafkaSecurityTests : IDisposable
{
    private const string Password = "hunter2-from-the-environment";
    private const string KeyPassword = "hunter3-from-a-file";

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("streamlstm-secured-");

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public KafkaSecurityTests() => KafkaCluster.LoadLibrary();

    public void Dispose() => _folder.Delete(recursive: true);

    [Theory]
    [InlineData("exactly_once")]
    [InlineData("at_least_once")]
    public async Task A_worker_shows_the_broker_its_certificate_and_trusts_only_the_authority_it_was_given(string guarantee)
    {
        TestCertificates.Write(_folder.FullName);
        using var broker = new TlsListener(_folder.FullName);
        var config = Configure(guarantee, broker.Port, new JsonObject
        {
            ["security.protocol"] = "ssl",
            ["ssl.ca.location"] = File("ca.pem"),
            ["ssl.certificate.location"] = File("client.pem"),
            ["ssl.key.location"] = File("client.key"),
        });
        using var worker = WorkerProcess.Start("run", "--config", config);
        var (subject, apiKey) = await broker.FirstAsync().WaitAsync(TimeSpan.FromSeconds(30), Cancel);
        Assert.Equal("CN=streamlstm-client", subject);
        // The first request over the secured connection is ApiVersions.
        Assert.Equal(18, apiKey);
        await worker.KillAsync();

        TestCertificates.Write(Directory.CreateDirectory(File("others")).FullName);
        config = Configure(guarantee, broker.Port, new JsonObject { ["security.protocol"] = "ssl", ["ssl.ca.location"] = Path.Combine(File("others"), "ca.pem") });
        using var distrustful = WorkerProcess.Start("run", "--config", config);
        await distrustful.UntilLogAsync("certificate verify failed", TimeSpan.FromSeconds(30));
        await distrustful.KillAsync();
    }

    [Theory]
    [InlineData("exactly_once")]
    [InlineData("at_least_once")]
    public async Task Secrets_come_from_the_environment_and_from_files_and_nothing_tells_them(string guarantee)
    {
        var credentials = Directory.CreateDirectory(File("credentials")).FullName;
        await System.IO.File.WriteAllTextAsync(Path.Combine(credentials, "StreamLstm__Sources__meters__Client__ssl.key.password"), KeyPassword + "\n", Cancel);
        var config = Configure(guarantee, MosquittoServer.FreePort(), new JsonObject
        {
            ["security.protocol"] = "sasl_plaintext",
            ["sasl.mechanism"] = "SCRAM-SHA-512",
            ["sasl.username"] = "meter-reader",
            ["debug"] = "all",
        });
        var environment = new Dictionary<string, string>
        {
            ["StreamLstm__Sources__meters__Client__sasl.password"] = Password,
            ["CREDENTIALS_DIRECTORY"] = credentials,
        };
        using (var check = WorkerProcess.Start(environment, "check-config", "--config", config))
        {
            Assert.Equal(0, await check.WaitAsync(TimeSpan.FromSeconds(20)));
            AssertSilent(check.Log);
        }

        var url = Faults.MeterFeed.UrlOf(config);
        using var worker = WorkerProcess.Start(environment, "run", "--config", config);
        await worker.UntilLogAsync("Serving", TimeSpan.FromSeconds(30));
        using var http = new HttpClient();
        await Task.Delay(1500, Cancel);
        foreach (var path in new[] { "/readyz", "/metrics", "/" })
            AssertSilent(await (await http.GetAsync(new Uri(url + path), Cancel)).Content.ReadAsStringAsync(Cancel));
        await worker.TerminateAsync(TimeSpan.FromSeconds(40));
        AssertSilent(worker.Log);
        // Both have arrived: librdkafka takes neither without the other settings it belongs to, and says so.
        environment["StreamLstm__Sources__meters__Client__sasl.mechanism"] = "PLAIN";
        environment.Remove("StreamLstm__Sources__meters__Client__sasl.password");
        using var without = WorkerProcess.Start(environment, "run", "--config", config);
        Assert.NotEqual(0, await without.WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.Contains("sasl.password", without.Log, StringComparison.Ordinal);
        AssertSilent(without.Log);
    }

    private static void AssertSilent(string text)
    {
        Assert.DoesNotContain(Password, text, StringComparison.Ordinal);
        Assert.DoesNotContain(KeyPassword, text, StringComparison.Ordinal);
    }

    private string File(string name) => Path.Combine(_folder.FullName, name);

    private string Configure(string guarantee, int port, JsonObject client)
    {
        var config = new JsonObject
        {
            ["StreamLstm"] = new JsonObject
            {
                ["State"] = new JsonObject { ["Directory"] = File("state-" + Guid.NewGuid().ToString("N")) },
                ["Http"] = new JsonObject { ["Url"] = $"http://127.0.0.1:{WorkerProcess.FreePort()}" },
                ["Profiles"] = new JsonObject { ["load"] = new JsonObject { ["Interval"] = "15m" } },
                ["Sources"] = new JsonObject
                {
                    ["meters"] = new JsonObject
                    {
                        ["Type"] = "kafka",
                        ["Guarantee"] = guarantee,
                        ["BootstrapServers"] = $"127.0.0.1:{port}",
                        ["Topics"] = "in",
                        ["GroupId"] = "g",
                        ["Client"] = client,
                        ["Bindings"] = new JsonObject { ["b"] = new JsonObject { ["Match"] = "in", ["Stream"] = "{$key}", ["Values"] = new JsonObject { ["v"] = new JsonObject { ["At"] = "/v" } } } },
                    },
                },
            },
        };
        var path = File(Guid.NewGuid().ToString("N") + ".json");
        System.IO.File.WriteAllText(path, config.ToJsonString());
        return path;
    }

    /// <summary>The TLS side of a broker: demands a client certificate, and reads the first request.</summary>
    private sealed class TlsListener : IDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly X509Certificate2 _certificate;
        private readonly X509Certificate2 _authority;
        private readonly TaskCompletionSource<(string Subject, int ApiKey)> _first = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TlsListener(string folder)
        {
            using var pem = X509Certificate2.CreateFromPemFile(Path.Combine(folder, "server.pem"), Path.Combine(folder, "server.key"));
            _certificate = X509CertificateLoader.LoadPkcs12(pem.Export(X509ContentType.Pkcs12), null);
            _authority = X509CertificateLoader.LoadCertificateFromFile(Path.Combine(folder, "ca.pem"));
            _listener.Start();
            _ = AcceptAsync();
        }

        public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

        public Task<(string Subject, int ApiKey)> FirstAsync() => _first.Task;

        public void Dispose()
        {
            _listener.Dispose();
            _certificate.Dispose();
            _authority.Dispose();
        }

        private async Task AcceptAsync()
        {
            while (true)
            {
                try
                {
                    using var client = await _listener.AcceptTcpClientAsync(Cancel);
                    await using var tls = new SslStream(client.GetStream());
                    await tls.AuthenticateAsServerAsync(
                        new SslServerAuthenticationOptions
                        {
                            ServerCertificate = _certificate,
                            ClientCertificateRequired = true,
                            RemoteCertificateValidationCallback = (_, certificate, _, _) => certificate is X509Certificate2 c && c.Issuer == _authority.Subject,
                        },
                        Cancel);
                    var head = new byte[6];
                    await tls.ReadExactlyAsync(head, Cancel);
                    _first.TrySetResult((tls.RemoteCertificate!.Subject, (head[4] << 8) | head[5]));
                }
                catch (Exception e) when (e is AuthenticationException or IOException)
                {
                    // A client that distrusts us, or went away.
                    Assert.NotNull(e.Message);
                }
                catch (Exception e) when (e is ObjectDisposedException or SocketException or OperationCanceledException)
                {
                    return;
                }
            }
        }
    }
}
