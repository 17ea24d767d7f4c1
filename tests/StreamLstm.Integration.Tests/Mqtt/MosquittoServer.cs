using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace StreamLstm.Integration.Tests.Mqtt;

/// <summary>A real mosquitto on a free loopback port with its own folder; killed by its process id.</summary>
internal sealed class MosquittoServer : IAsyncDisposable
{
    private readonly string _config;
    private Process? _process;

    private MosquittoServer(int port, string folder, string config)
    {
        Port = port;
        Folder = folder;
        _config = config;
    }

    public int Port { get; }

    public string Folder { get; }

    /// <param name="settings">Further lines of mosquitto.conf, for the listener or the broker.</param>
    /// <param name="anonymous">Accept clients without a user name.</param>
    /// <param name="persistence">Keep sessions and queues over <see cref="StopAsync"/> and <see cref="StartAgainAsync"/>.</param>
    public static MosquittoServer Create(string settings = "", bool anonymous = true, bool persistence = false, string? folder = null)
    {
        folder ??= NewFolder();
        var port = FreePort();
        var config = $"""
            user {Environment.UserName}
            listener {port} 127.0.0.1
            allow_anonymous {(anonymous ? "true" : "false")}
            persistence {(persistence ? "true" : "false")}
            persistence_location {folder}/
            log_dest file {folder}/mosquitto.log
            {settings}

            """;
        return new MosquittoServer(port, folder, config);
    }

    public static async Task<MosquittoServer> StartAsync(string settings = "", bool anonymous = true, bool persistence = false, string? folder = null)
    {
        var server = Create(settings, anonymous, persistence, folder);
        await server.StartAgainAsync();
        return server;
    }

    public static string NewFolder() => Directory.CreateTempSubdirectory("streamlstm-mosquitto-").FullName;

    public async Task StartAgainAsync()
    {
        var file = Path.Combine(Folder, "mosquitto.conf");
        await File.WriteAllTextAsync(file, _config);
        _process = Process.Start(new ProcessStartInfo(Find("mosquitto"), ["-c", file]) { RedirectStandardError = true })!;
        var deadline = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                using var probe = new TcpClient();
                await probe.ConnectAsync(IPAddress.Loopback, Port);
                return;
            }
            catch (SocketException) when (deadline.Elapsed < TimeSpan.FromSeconds(10) && !_process.HasExited)
            {
                await Task.Delay(20);
            }
            catch (SocketException e)
            {
                throw new InvalidOperationException($"mosquitto did not start: {await Log()}", e);
            }
        }
    }

    /// <summary>Ends the broker in an orderly way (it saves what it must), or at once when it doesn't.</summary>
    public async Task StopAsync()
    {
        if (_process is null)
            return;
        using (var terminate = Process.Start("kill", ["-TERM", _process.Id.ToString()]))
            await terminate.WaitForExitAsync();
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(5));
        await _process.WaitForExitAsync(limit.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!_process.HasExited)
            _process.Kill();
        _process.Dispose();
        _process = null;
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        Directory.Delete(Folder, recursive: true);
    }

    /// <summary>Publishes with mosquitto's own client.</summary>
    public Task PublishAsync(string topic, string payload, int qos = 1, bool retain = false) =>
        RunAsync("mosquitto_pub", ["-h", "127.0.0.1", "-p", $"{Port}", "-t", topic, "-m", payload, "-q", $"{qos}", .. retain ? ["-r"] : Array.Empty<string>()]);

    /// <summary>Makes the broker queue for a second client until <see cref="ReceiveAsync"/> fetches.</summary>
    public Task SubscribeAsync(string clientId, string filter) =>
        RunAsync("mosquitto_sub", ["-h", "127.0.0.1", "-p", $"{Port}", "-i", clientId, "-c", "-q", "1", "-t", filter, "-E"]);

    /// <summary>The next <paramref name="count"/> live messages for that client as <c>topic payload</c>.</summary>
    public Task<string[]> ReceiveAsync(string clientId, string filter, int count) => ReceiveAsync(clientId, filter, count, "-R");

    /// <summary>What a newcomer gets at once.</summary>
    public Task<string[]> ReceiveRetainedAsync(string filter, int count) => ReceiveAsync("newcomer", filter, count, "--retained-only");

    private async Task<string[]> ReceiveAsync(string clientId, string filter, int count, string which)
    {
        var output = await RunAsync(
            "mosquitto_sub",
            ["-h", "127.0.0.1", "-p", $"{Port}", "-i", clientId, "-c", "-q", "1", "-t", filter, "-C", $"{count}", "-W", "15", "-F", "%t %p", which]);
        return output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static async Task<string> RunAsync(string program, string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(Find(program), arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return process.ExitCode == 0 ? await output : throw new InvalidOperationException($"{program} exited with {process.ExitCode}: {await error}{await output}");
    }

    private static string Find(string program)
    {
        var folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Append("/usr/sbin").Append("/usr/local/sbin");
        return folders.Select(f => Path.Combine(f, program)).FirstOrDefault(File.Exists)
            ?? throw new InvalidOperationException($"These tests need '{program}': install the packages mosquitto and mosquitto-clients.");
    }

    private async Task<string> Log()
    {
        var file = Path.Combine(Folder, "mosquitto.log");
        return File.Exists(file) ? await File.ReadAllTextAsync(file) : "no log";
    }
}
