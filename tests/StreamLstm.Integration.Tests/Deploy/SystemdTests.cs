using System.Net.Sockets;
using System.Text;
using StreamLstm.Integration.Tests.Crash;
using StreamLstm.Worker.Configuration;

namespace StreamLstm.Integration.Tests.Deploy;

[Trait("Category", "Deploy")]
public sealed class SystemdTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("streamlstm-systemd-");

    private static string Unit => Path.Combine(DeployFolder.Root, "systemd", "streamlstm.service");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public async Task Systemd_understands_every_key_of_the_unit()
    {
        if (DeployFolder.TryTool("systemd-analyze") is not { } tool)
        {
            TestContext.Current.SendDiagnosticMessage("systemd-analyze is not installed: the unit was not checked by it.");
            return;
        }

        // It looks for the program too, which is not installed here.
        var copy = Path.Combine(_folder.FullName, "streamlstm.service");
        var text = await File.ReadAllTextAsync(Unit, TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(copy, text.Replace("/opt/streamlstm/streamlstm", "/bin/true", StringComparison.Ordinal), TestContext.Current.CancellationToken);
        var (exit, output) = await DeployFolder.RunAsync(tool, "verify", copy);
        // Unknown keys are warnings to it.
        Assert.True(exit == 0 && !output.Contains("streamlstm.service", StringComparison.Ordinal), output);
    }

    [Fact]
    public void Keys_in_the_example_of_the_environment_file_exist()
    {
        var keys = File.ReadLines(Path.Combine(DeployFolder.Root, "systemd", "streamlstm.env.example"))
            .Where(l => l.StartsWith("#StreamLstm__", StringComparison.Ordinal)).Select(l => l[1..].Split('=')[0]).ToList();
        Assert.NotEmpty(keys);
        Assert.All(keys, k => Assert.True(ConfigurationSchema.TryExplain(k, out var text), text));
    }

    [Fact]
    public async Task A_worker_started_by_systemd_reports_ready_and_alive_and_stopping()
    {
        Assert.Contains("WatchdogSec=60", await File.ReadAllLinesAsync(Unit, TestContext.Current.CancellationToken));
        var path = Path.Combine(_folder.FullName, "notify");
        using var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(path));
        var config = Path.Combine(_folder.FullName, "appsettings.json");
        await File.WriteAllTextAsync(config, $$"""
            {"StreamLstm":{"State":{"Directory":"{{_folder.FullName}}/state"},"Http":{"Url":"http://127.0.0.1:{{WorkerProcess.FreePort()}}"},"Sources":{"push":{"Type":"http"} } } }
            """, TestContext.Current.CancellationToken);
        using var worker = WorkerProcess.Start(new Dictionary<string, string> { ["NOTIFY_SOCKET"] = path }, "run", "--config", config);

        Assert.Equal("READY=1", await ReceiveAsync());
        // Well within half of WatchdogSec, as sd_watchdog_enabled(3) advises.
        Assert.Equal("WATCHDOG=1", await ReceiveAsync());
        var ended = worker.TerminateAsync(TimeSpan.FromSeconds(20));
        string message;
        do
            message = await ReceiveAsync();
        while (message == "WATCHDOG=1");
        Assert.Equal("STOPPING=1", message);
        Assert.Equal(0, await ended);

        async Task<string> ReceiveAsync()
        {
            var buffer = new byte[256];
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(25));
            try
            {
                return Encoding.UTF8.GetString(buffer, 0, await socket.ReceiveAsync(buffer, SocketFlags.None, limit.Token));
            }
            catch (OperationCanceledException)
            {
                throw new TimeoutException("The worker says nothing.\n" + worker.Log);
            }
        }
    }
}
