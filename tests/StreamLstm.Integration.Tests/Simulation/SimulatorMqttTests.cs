using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using StreamLstm.Simulation;

namespace StreamLstm.Integration.Tests.Simulation;

/// <summary>Against a real mosquitto, with mosquitto's own subscriber as the witness.</summary>
[Trait("Category", "Broker")]
public sealed class SimulatorMqttTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("streamlstm-sim-mqtt-");
    private readonly List<Process> _processes = [];
    private readonly int _port = FreePort();
    private Process? _broker;

    public void Dispose()
    {
        foreach (Process process in _processes)
        {
            Stop(process);
            process.Dispose();
        }

        _folder.Delete(recursive: true);
    }

    [Fact]
    public async Task Every_sample_is_one_message_under_the_prefix_in_the_order_of_the_simulation()
    {
        await StartBrokerAsync();
        const int Samples = 5 * 96;
        Task<string[]> received = await SubscribeAsync("site/#", Samples);

        (int exit, string output, string error) = await SimulatorProcess.RunAsync(
            "load", "--streams", "5", "--duration", "1d", "--speed", "0", "--to", $"mqtt://127.0.0.1:{_port}/site", "--json");

        Assert.True(exit == 0, error);
        using JsonDocument summary = JsonDocument.Parse(output);
        Assert.Equal(Samples, summary.RootElement.GetProperty("samples").GetInt32());
        var simulator = new LoadSimulator(new LoadSimulationOptions { Streams = 5 });
        var expected = Enumerable.Range(0, 96).SelectMany(f => Enumerable.Range(0, 5).Select(i => string.Create(
            CultureInfo.InvariantCulture, $"site/meters/{simulator.StreamKeys[i]}/reading {{\"time\":\"{simulator.FrameTime(f):yyyy-MM-dd'T'HH:mm:ss'Z'}\",\"value\":{simulator.Value(i, f)}}}")));
        Assert.Equal(expected, await received);
    }

    [Fact]
    public async Task Replay_fills_the_stream_into_the_given_topic()
    {
        await StartBrokerAsync();
        string file = Path.Combine(_folder.FullName, "wide.csv");
        await File.WriteAllTextAsync(file, "date,a/1,b+2\n2024-01-01 00:00:00,1,10\n2024-01-01 01:00:00,2,20\n", TestContext.Current.CancellationToken);
        Task<string[]> received = await SubscribeAsync("#", 4);

        (int exit, _, string error) = await SimulatorProcess.RunAsync("replay", file, "--speed", "0", "--topic", "p/{stream}/w", "--to", $"mqtt://127.0.0.1:{_port}");

        Assert.True(exit == 0, error);
        Assert.Equal(
            [
                "p/a/1/w {\"time\":\"2024-01-01T00:00:00Z\",\"value\":1}", "p/b%2B2/w {\"time\":\"2024-01-01T00:00:00Z\",\"value\":10}",
                "p/a/1/w {\"time\":\"2024-01-01T01:00:00Z\",\"value\":2}", "p/b%2B2/w {\"time\":\"2024-01-01T01:00:00Z\",\"value\":20}",
            ],
            await received);
    }

    [Fact]
    public async Task A_lost_broker_is_found_again()
    {
        Process broker = await StartBrokerAsync();
        Task<string[]> before = await SubscribeAsync("#", 20);
        using Process simulator = SimulatorProcess.Start("load", "--streams", "4", "--rate", "100", "--to", $"mqtt://127.0.0.1:{_port}");
        _processes.Add(simulator);
        Assert.Equal(20, (await before).Length);

        Stop(broker);
        await StartBrokerAsync();
        Task<string[]> after = await SubscribeAsync("#", 20);
        Assert.Equal(20, (await after).Length);

        using (Process kill = Process.Start("kill", ["-INT", simulator.Id.ToString(CultureInfo.InvariantCulture)]))
        {
            await kill.WaitForExitAsync(TestContext.Current.CancellationToken);
        }

        (int exit, _, string error) = await SimulatorProcess.FinishAsync(simulator);
        Assert.Equal(130, exit);
        Assert.Contains("connecting again", error, StringComparison.Ordinal);
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static void Stop(Process process)
    {
        try
        {
            process.Kill();
            process.WaitForExit();
        }
        catch (InvalidOperationException)
        {
            // It has ended, or was disposed of, already: what was wanted.
            return;
        }
    }

    private async Task<Process> StartBrokerAsync()
    {
        string? path = new[] { "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/opt/homebrew/sbin/mosquitto" }.FirstOrDefault(File.Exists);
        Assert.SkipWhen(path is null, "mosquitto is not installed");
        string config = Path.Combine(_folder.FullName, "mosquitto.conf");
        await File.WriteAllTextAsync(config, $"listener {_port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nlog_dest stderr\nlog_type subscribe\n");
        Process broker = _broker = Start(path!, "-c", config);
        for (var watch = Stopwatch.StartNew(); watch.Elapsed < Patience;)
        {
            try
            {
                using var client = new TcpClient();
                await client.ConnectAsync(IPAddress.Loopback, _port);
                return broker;
            }
            catch (SocketException)
            {
                await Task.Delay(20);
            }
        }

        throw new TimeoutException("mosquitto does not listen.");
    }

    /// <summary>Returns once the subscription is in force; the inner task ends with the messages as "topic payload".</summary>
    private async Task<Task<string[]>> SubscribeAsync(string filter, int messages)
    {
        Process subscriber = Start(
            "mosquitto_sub", "-h", "127.0.0.1", "-p", _port.ToString(CultureInfo.InvariantCulture), "-q", "1", "-t", filter,
            "-F", "%t %p", "-C", messages.ToString(CultureInfo.InvariantCulture));
        using var limit = new CancellationTokenSource(Patience);
        string? line;
        do
        {
            line = await _broker!.StandardError.ReadLineAsync(limit.Token);
        }
        while (line is not null && !line.EndsWith(" 1 " + filter, StringComparison.Ordinal));
        Assert.NotNull(line);
        return ReadAsync();

        async Task<string[]> ReadAsync()
        {
            using var patience = new CancellationTokenSource(Patience);
            string output = await subscriber.StandardOutput.ReadToEndAsync(patience.Token);
            return output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        }
    }

    private Process Start(string path, params string[] arguments)
    {
        var start = new ProcessStartInfo(path, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        Process process = Process.Start(start)!;
        _processes.Add(process);
        return process;
    }
}
