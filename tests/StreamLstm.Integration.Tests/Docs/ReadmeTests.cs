using System.Diagnostics;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using StreamLstm.Integration.Tests.Crash;
using StreamLstm.Integration.Tests.Mqtt;

namespace StreamLstm.Integration.Tests.Docs;

/// <summary>
/// Runs the README from top to bottom in an empty folder: configurations are written under their names, commands are run as they stand,
/// with the built executables in the place of <c>dotnet run</c> and free ports in the place of 1883 and 8080.
/// </summary>
[Trait("Category", "E2E")]
public sealed class ReadmeTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("streamlstm-readme-").FullName;

    private static string Readme => File.ReadAllText(Path.Combine(Markdown.Root, "README.md"));

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Its_commands_and_configurations_work_one_after_the_other()
    {
        var http = WorkerProcess.FreePort();
        await using var broker = await MosquittoServer.StartAsync("max_queued_messages 100000");
        var worker = Wrapper("worker.sh", "streamlstm.dll", http);
        var simulator = Wrapper("simulator.sh", "streamlstm-sim.dll", http);
        var functions = "";
        var outputs = new Dictionary<string, string>(StringComparer.Ordinal);
        string Substitute(string text) => text
            .Replace("localhost:1883", $"127.0.0.1:{broker.Port}", StringComparison.Ordinal)
            .Replace("-h localhost -p 1883", $"-h 127.0.0.1 -p {broker.Port}", StringComparison.Ordinal)
            .Replace("localhost:8080", $"127.0.0.1:{http}", StringComparison.Ordinal)
            .Replace("127.0.0.1:8080", $"127.0.0.1:{http}", StringComparison.Ordinal)
            .Replace("dotnet run -c Release --project src/StreamLstm.Worker --", worker, StringComparison.Ordinal)
            .Replace("dotnet run -c Release --project simulators/StreamLstm.Simulator --", simulator, StringComparison.Ordinal);

        try
        {
            foreach (var (language, name, text) in Markdown.Blocks(Readme))
            {
                if (language == "json")
                {
                    await File.WriteAllTextAsync(Path.Combine(_folder, name), Substitute(text), TestContext.Current.CancellationToken);
                    var (exit, output) = await RunAsync($"{worker} check-config --config {name}");
                    Assert.True(exit == 0, $"{name}: {output}");
                }
                else if (language == "sh" && text.Contains("() {", StringComparison.Ordinal))
                {
                    functions = Substitute(text);
                }
                else if (language == "sh")
                {
                    foreach (var command in text.Replace("\\\n", " ", StringComparison.Ordinal).Split('\n', StringSplitOptions.RemoveEmptyEntries))
                    {
                        // This run is itself part of the test command: only that it is there and takes the option.
                        var line = command.StartsWith("tests/run.sh", StringComparison.Ordinal) ? $"'{Markdown.Root}/tests/run.sh' --help" : Substitute(command);
                        var (exit, output) = await RunAsync(functions + line);
                        Assert.True(exit == 0, $"{command}\n{output}");
                        outputs[command] = output;
                    }
                }
            }
        }
        finally
        {
            await RunAsync("if [ -f run.pid ]; then kill -TERM $(cat run.pid); fi");
        }

        string Output(string start) => Assert.Single(outputs, o => o.Key.StartsWith(start, StringComparison.Ordinal)).Value;
        Assert.Contains("skill against the seasonal naive forecast", Output("dotnet run"), StringComparison.Ordinal);
        Assert.Contains("--install", Output("tests/run.sh --install"), StringComparison.Ordinal);
        Assert.Contains("SamplesPerFrame\n", Output("streamlstm config explain"), StringComparison.Ordinal);
        Assert.Equal(4, Output("mosquitto_sub").Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        Assert.Equal(1, (int)JsonNode.Parse(Output("curl -sS http://localhost:8080/api/v1/ingest"))!["accepted"]!);
        Assert.Contains("\"values\"", Output("curl -sS http://localhost:8080/api/v1/streams"), StringComparison.Ordinal);
        Assert.Contains("streamlstm_build_info", Output("curl -sS http://localhost:8080/metrics"), StringComparison.Ordinal);
        Assert.Contains("seasonal_naive_week", Output("streamlstm backtest four-weeks.csv"), StringComparison.Ordinal);
        Assert.Contains("premature", Output("streamlstm backtest ecg.ndjson"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Its_example_of_a_result_has_the_fields_of_a_real_one()
    {
        var example = Markdown.Blocks(Readme).Single(b => b.Language.Length == 0 && b.Text.StartsWith("{\"schema\":1", StringComparison.Ordinal)).Text;
        var config = new JsonObject
        {
            ["StreamLstm"] = new JsonObject
            {
                ["State"] = new JsonObject { ["Directory"] = Path.Combine(_folder, "state") },
                ["Http"] = new JsonObject { ["Url"] = "http://127.0.0.1:0" },
                ["Sources"] = new JsonObject { ["s"] = new JsonObject { ["Type"] = "simulator", ["Streams"] = 1, ["Days"] = 1 } },
                ["Sinks"] = new JsonObject { ["f"] = new JsonObject { ["Type"] = "file", ["Path"] = Path.Combine(_folder, "results.ndjson"), ["Kinds"] = "result" } },
            },
        };
        await File.WriteAllTextAsync(Path.Combine(_folder, "simulated.json"), config.ToJsonString(), TestContext.Current.CancellationToken);
        var (exit, output) = await RunAsync($"{Wrapper("worker.sh", "streamlstm.dll", 0)} run --config simulated.json --until-drained");
        Assert.True(exit == 0, output);
        var last = (await File.ReadAllLinesAsync(Path.Combine(_folder, "results.ndjson"), TestContext.Current.CancellationToken))[^1];
        using var real = JsonDocument.Parse(last);
        foreach (var field in real.RootElement.EnumerateObject())
        {
            Assert.Contains($"\"{field.Name}\":", example, StringComparison.Ordinal);
            if (field.Value.ValueKind == JsonValueKind.Object)
                Assert.All(field.Value.EnumerateObject(), inner => Assert.Contains($"\"{inner.Name}\":", example, StringComparison.Ordinal));
        }
    }

    /// <summary>
    /// The command that stands for an executable. The demo is bounded and gets a free port; a service runs on in the background, and the
    /// command returns when it is ready, as a reader would wait for it.
    /// </summary>
    private string Wrapper(string name, string program, int port)
    {
        var path = Path.Combine(_folder, name);
        File.WriteAllText(path, $"""
            #!/bin/bash
            program='{Path.Combine(AppContext.BaseDirectory, program)}'
            if [ "$1" = demo ]; then exec dotnet "$program" "$@" --duration 5 --port 0; fi
            if [ "$1" != run ] || [[ "$*" == *--until-drained* ]]; then exec dotnet "$program" "$@"; fi
            dotnet "$program" "$@" >run.log 2>&1 </dev/null &
            echo $! >run.pid
            for ((i = 0; i < 150; i++)); do
                if curl -sf http://127.0.0.1:{port}/readyz >/dev/null; then exit 0; fi
                sleep 0.2
            done
            cat run.log
            exit 1

            """);
        return $"bash '{path}'";
    }

    private async Task<(int Exit, string Output)> RunAsync(string command)
    {
        var start = new ProcessStartInfo("timeout", ["120", "bash", "-c", command]) { WorkingDirectory = _folder, RedirectStandardOutput = true, RedirectStandardError = true };
        using var process = Process.Start(start)!;
        var output = new StringBuilder();
        void Keep(string? line)
        {
            lock (output)
                output.AppendLine(line);
        }

        var error = new StringBuilder();
        process.OutputDataReceived += (_, e) => { if (e.Data is not null) Keep(e.Data); };
        process.ErrorDataReceived += (_, e) => { if (e.Data is not null) lock (error) error.AppendLine(e.Data); };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return process.ExitCode == 0 ? (0, output.ToString()) : (process.ExitCode, output.ToString() + error);
    }
}
