using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.IO.Compression;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using StreamLstm.Simulation;

namespace StreamLstm.Integration.Tests.Simulation;

public sealed class SimulatorCommandTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("streamlstm-sim-");

    public void Dispose() => _folder.Delete(recursive: true);

    private string PathOf(string name) => Path.Combine(_folder.FullName, name);

    private static (string Stream, DateTimeOffset Time, double Value) Parse(string line)
    {
        using JsonDocument json = JsonDocument.Parse(line);
        JsonElement root = json.RootElement;
        return (root.GetProperty("stream").GetString()!, root.GetProperty("time").GetDateTimeOffset(), root.GetProperty("value").GetDouble());
    }

    [Fact]
    public async Task A_seed_determines_every_byte_of_the_file_and_the_file_holds_the_simulation()
    {
        string[] common = ["load", "--streams", "8", "--duration", "2d", "--fault-rate", "0.5", "--fault-types", "spike, dip,level_shift,drift,stuck,dropout,scale"];
        foreach ((string name, string seed) in new[] { ("a.ndjson", "7"), ("b.ndjson", "7"), ("c.ndjson", "8"), ("d.ndjson.gz", "7") })
        {
            Assert.Equal(0, (await SimulatorProcess.RunAsync([.. common, "--seed", seed, "--to", "file:" + PathOf(name)])).ExitCode);
        }

        byte[] a = await File.ReadAllBytesAsync(PathOf("a.ndjson"), TestContext.Current.CancellationToken);
        Assert.Equal(a, await File.ReadAllBytesAsync(PathOf("b.ndjson"), TestContext.Current.CancellationToken));
        Assert.NotEqual(a, await File.ReadAllBytesAsync(PathOf("c.ndjson"), TestContext.Current.CancellationToken));
        using var unpacked = new MemoryStream();
        await using (var gzip = new GZipStream(File.OpenRead(PathOf("d.ndjson.gz")), CompressionMode.Decompress))
        {
            await gzip.CopyToAsync(unpacked, TestContext.Current.CancellationToken);
        }

        Assert.Equal(a, unpacked.ToArray());
        var simulator = new LoadSimulator(new LoadSimulationOptions { Streams = 8, Seed = 7, FaultsPerStreamDay = 0.5 });
        var expected = Enumerable.Range(0, 192).SelectMany(f => Enumerable.Range(0, 8).Select(i =>
            (simulator.StreamKeys[i], simulator.FrameTime(f), simulator.Value(i, f)))).Where(sample => !double.IsNaN(sample.Item3));
        Assert.Equal(expected, Encoding.UTF8.GetString(a).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(Parse));
    }

    [Fact]
    public async Task The_labels_file_lists_the_faults_that_began()
    {
        (int exit, string output, _) = await SimulatorProcess.RunAsync(
            "load", "--streams", "12", "--duration", "5d", "--seed", "3", "--fault-rate", "0.6", "--fault-types", "spike,dip,level_shift,drift,stuck,dropout,scale", "--labels", PathOf("labels.csv"), "--to", "file:" + PathOf("x.csv"), "--json");

        Assert.Equal(0, exit);
        var simulator = new LoadSimulator(new LoadSimulationOptions { Streams = 12, Seed = 3, FaultsPerStreamDay = 0.6 });
        string Time(DateTimeOffset time) => time.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
        string[] expected = [.. simulator.Faults(0, 5 * 96).Select(label => $"{label.Stream},{Time(label.Start)},{Time(label.End)},{label.Type}")];
        Assert.NotEmpty(expected);
        string[] written = await File.ReadAllLinesAsync(PathOf("labels.csv"), TestContext.Current.CancellationToken);
        Assert.Equal(["stream,start,end,type", .. expected], written);

        using JsonDocument summary = JsonDocument.Parse(output);
        string[] rows = await File.ReadAllLinesAsync(PathOf("x.csv"), TestContext.Current.CancellationToken);
        Assert.Equal("stream,time,value", rows[0]);
        Assert.Equal(rows.Length - 1, summary.RootElement.GetProperty("samples").GetInt32());
        Assert.Equal(12 * 5 * 96, summary.RootElement.GetProperty("samples").GetInt32() + summary.RootElement.GetProperty("skipped").GetInt32());
        Assert.Equal(expected.Length, summary.RootElement.GetProperty("faults").GetInt32());
    }

    [Fact]
    public async Task A_given_fault_plan_is_followed()
    {
        await File.WriteAllTextAsync(
            PathOf("plan.csv"), "stream,start,end,type,size\nhouse-0001,2026-01-05T01:00:00Z,2026-01-05T02:00:00Z,dropout,\nhouse-0002,2026-01-05T01:00:00Z,2026-01-05T01:15:00Z,scale,3\n", TestContext.Current.CancellationToken);

        (int exit, string output, _) = await SimulatorProcess.RunAsync("load", "--streams", "2", "--duration", "3h", "--faults", PathOf("plan.csv"), "--to", "-");

        Assert.Equal(0, exit);
        var clean = new LoadSimulator(new LoadSimulationOptions { Streams = 2 });
        var samples = output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(Parse).ToArray();
        Assert.Equal([0, 1, 2, 3, 8, 9, 10, 11], samples.Where(s => s.Stream == "house-0001").Select(s => (int)((s.Time - clean.FrameTime(0)).TotalMinutes / 15)));
        Assert.Equal(3 * clean.CleanValue(1, 4), samples.Single(s => s.Stream == "house-0002" && s.Time == clean.FrameTime(4)).Value);
    }

    [Fact]
    public async Task Usage_errors_exit_2_and_are_all_listed()
    {
        await File.WriteAllTextAsync(
            PathOf("plan.csv"), "stream,start,end,type\nnobody,2026-01-05,2026-01-06,spike\nhouse-0001,2026-01-06,2026-01-05,spike\nhouse-0001,2026-01-05,2026-01-06,wobble\n", TestContext.Current.CancellationToken);

        (int exit, string output, string error) = await SimulatorProcess.RunAsync(
            "load", "--streams", "none", "--seed", "-1", "--interval", "15", "--start", "yesterday", "--speed", "1", "--rate", "1",
            "--faults", PathOf("plan.csv"), "--fault-rate", "1", "--format", "xml", "--to", "ftp://example.org", "--unknown");

        Assert.Equal(2, exit);
        Assert.Empty(output);
        foreach (string part in new[]
        {
            "--unknown", "--streams 'none'", "--seed '-1'", "--interval '15'", "--start 'yesterday'", "--rate and --speed", "--faults and --fault-rate",
            "plan.csv:2: there is no stream 'nobody'", "plan.csv:3: the end is not after the start", "plan.csv:4: 'wobble'", "--format 'xml'", "--to 'ftp://example.org'",
        })
        {
            Assert.Contains(part, error, StringComparison.Ordinal);
        }

        Assert.Equal(2, (await SimulatorProcess.RunAsync("load", "--to", "-")).ExitCode);
        Assert.Equal(2, (await SimulatorProcess.RunAsync("replay", PathOf("absent.csv"), "--to", "-")).ExitCode);
        Assert.Equal(2, (await SimulatorProcess.RunAsync()).ExitCode);
    }

    [Fact]
    public async Task A_file_that_cannot_be_written_exits_1()
    {
        (int exit, _, string error) = await SimulatorProcess.RunAsync("load", "--duration", "1h", "--to", "file:" + PathOf("absent/x.csv"));

        Assert.Equal(1, exit);
        Assert.StartsWith("error: ", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_interrupt_exits_130_and_leaves_whole_lines()
    {
        using Process process = SimulatorProcess.Start("load", "--streams", "4", "--speed", "900", "--to", "-");
        string first = (await process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken))!;
        using (Process kill = Process.Start("kill", ["-INT", process.Id.ToString(CultureInfo.InvariantCulture)]))
        {
            await kill.WaitForExitAsync(TestContext.Current.CancellationToken);
        }

        (int exit, string rest, string error) = await SimulatorProcess.FinishAsync(process);
        Assert.Equal(130, exit);
        Assert.All([first, .. rest.Split('\n', StringSplitOptions.RemoveEmptyEntries)], line => Parse(line));
        Assert.Contains("interrupted after", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Http_batches_are_retried_until_the_server_takes_them()
    {
        var taken = new ConcurrentQueue<string>();
        int requests = 0;
        await using WebApplication server = await ServeAsync(async context =>
        {
            int number = Interlocked.Increment(ref requests);
            using var reader = new StreamReader(context.Request.Body);
            string body = await reader.ReadToEndAsync(context.RequestAborted);
            if (number is 1 or 3)
            {
                context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
                return;
            }

            Assert.Equal("application/x-ndjson", context.Request.ContentType);
            foreach (string line in body.Split('\n', StringSplitOptions.RemoveEmptyEntries))
            {
                taken.Enqueue(line);
            }
        });

        (int exit, _, string error) = await SimulatorProcess.RunAsync("load", "--streams", "10", "--duration", "36h", "--speed", "0", "--to", server.Urls.Single());

        Assert.True(exit == 0, error);
        Assert.Equal(4, requests);
        var simulator = new LoadSimulator(new LoadSimulationOptions { Streams = 10 });
        var expected = Enumerable.Range(0, 144).SelectMany(f => Enumerable.Range(0, 10).Select(i => (simulator.StreamKeys[i], simulator.FrameTime(f), simulator.Value(i, f))));
        Assert.Equal(expected, taken.Select(Parse));
    }

    [Fact]
    public async Task An_http_refusal_ends_the_run_with_the_servers_words()
    {
        await using WebApplication server = await ServeAsync(async context =>
        {
            context.Response.StatusCode = StatusCodes.Status401Unauthorized;
            await context.Response.WriteAsync("a token is needed", context.RequestAborted);
        });

        (int exit, _, string error) = await SimulatorProcess.RunAsync("load", "--duration", "1h", "--speed", "0", "--to", server.Urls.Single());

        Assert.Equal(1, exit);
        Assert.Contains("401", error, StringComparison.Ordinal);
        Assert.Contains("a token is needed", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Replay_sends_the_columns_of_a_wide_file_as_streams()
    {
        await using (var gzip = new GZipStream(File.Create(PathOf("wide.csv.gz")), CompressionLevel.Fastest))
        {
            gzip.Write("date,a,b\n2024-01-01 00:00:00,1,10\n2024-01-01 01:00:00,2,\n2024-01-01 02:00:00,3,30\n"u8);
        }

        (int exit, string output, string error) = await SimulatorProcess.RunAsync("replay", PathOf("wide.csv.gz"), "--to", "-", "--format", "csv");
        Assert.Equal(0, exit);
        Assert.Equal(
            "stream,time,value\na,2024-01-01T00:00:00Z,1\nb,2024-01-01T00:00:00Z,10\na,2024-01-01T01:00:00Z,2\na,2024-01-01T02:00:00Z,3\nb,2024-01-01T02:00:00Z,30\n",
            output);
        Assert.Contains("wide.csv.gz:3", error, StringComparison.Ordinal);

        (_, output, _) = await SimulatorProcess.RunAsync("replay", PathOf("wide.csv.gz"), "--to", "-", "--stream", "b", "--limit", "1");
        Assert.Equal("{\"stream\":\"b\",\"time\":\"2024-01-01T00:00:00Z\",\"value\":10}\n", output);
        (exit, _, error) = await SimulatorProcess.RunAsync("replay", PathOf("wide.csv.gz"), "--to", "-", "--stream", "c");
        Assert.Equal(1, exit);
        Assert.Contains("no usable row of stream 'c'", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Replay_names_the_stream_of_a_file_that_names_none()
    {
        await File.WriteAllTextAsync(PathOf("one.csv"), "timestamp,value\n2024-01-01 00:00:00,1.5\n2024-01-01 00:05:00,2.5\n", TestContext.Current.CancellationToken);

        (_, string output, _) = await SimulatorProcess.RunAsync("replay", PathOf("one.csv"), "--to", "-", "--stream", "plant/boiler");

        Assert.Equal(["plant/boiler", "plant/boiler"], output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => Parse(line).Stream));
    }

    [Theory]
    [InlineData("--rate", "40")]
    [InlineData("--speed", "3600")]
    public async Task Pacing_takes_its_time(string option, string value)
    {
        // 21 samples at 40/s are half a second; so are three frames of 15 minutes at an hour per second.
        string[] size = option == "--rate" ? ["--streams", "7"] : ["--streams", "1"];
        var watch = Stopwatch.StartNew();

        (int exit, _, _) = await SimulatorProcess.RunAsync(["load", .. size, "--duration", "45m", option, value, "--to", "-"]);

        Assert.Equal(0, exit);
        Assert.True(watch.Elapsed > TimeSpan.FromSeconds(0.5));
    }

    private static async Task<WebApplication> ServeAsync(RequestDelegate ingest)
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders();
        WebApplication server = builder.Build();
        server.Run(context =>
        {
            Assert.Equal("/api/v1/ingest", context.Request.Path);
            return ingest(context);
        });
        await server.StartAsync(TestContext.Current.CancellationToken);
        return server;
    }
}
