using System.Diagnostics;
using System.Text.Json.Nodes;
using StreamLstm.Integration.Tests.Codecs;

namespace StreamLstm.Integration.Tests.EndToEnd;

/// <summary><c>sources test</c> as a user runs it.</summary>
[Trait("Category", "Formats")]
public sealed class SourcesTestTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("streamlstm-sources-test-");

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public async Task A_payload_from_a_file_gives_one_JSON_line_per_sample()
    {
        var file = Path.Combine(_folder.FullName, "payload.json");
        await File.WriteAllTextAsync(file, """{"last_seen":"2026-11-21T06:59:59.5+01:00","power":41.5,"energy":3.25}""", Cancel);
        var (exit, output, error) = await RunAsync(null, "--preset", "zigbee2mqtt", "--topic", "zigbee2mqtt/küche", "--payload", "@" + file, "--arrival", "2026-11-21T06:00:00Z");
        Assert.True(exit == 0, error);
        Assert.Equal(
            """
            {"stream":"küche/energy","time":"2026-11-21T05:59:59.5Z","value":3250,"unit":"Wh","kind":"counter"}
            {"stream":"küche/power","time":"2026-11-21T05:59:59.5Z","value":41.5,"unit":"W","kind":"gauge"}

            """.ReplaceLineEndings("\n"),
            output.ReplaceLineEndings("\n"));
        Assert.Equal("", error);
    }

    [Fact]
    public async Task A_binding_of_a_configuration_reads_standard_input()
    {
        var config = Path.Combine(_folder.FullName, "c.json");
        await File.WriteAllTextAsync(config, """
            {"StreamLstm":{"Sources":{"bus":{"Type":"mqtt","Broker":"mqtt://h","Limits":{"Samples":2},"Bindings":{
              "frames":{"Match":"f/{id}","Stream":"{id}","Frame":{"Layout":"rows","Rate":"2"},"Values":{"v":{"At":"/v","Unit":"mV"}}},
              "plugs":{"Preset":"tasmota","Match":"plugs/{dev}","Time":{"Zone":"Europe/Amsterdam"}}}}}}}
            """, Cancel);
        var (exit, output, error) = await RunAsync("""{"v":[[1,null]]}""", "--config", config, "--binding", "frames", "--topic", "f/7", "--payload", "-", "--arrival", "2026-11-21T06:00:00Z");
        Assert.True(exit == 0, error);
        Assert.Equal("""{"stream":"7","time":"2026-11-21T06:00:00Z","value":[0.001,null],"unit":"V","kind":"gauge"}""", output.Trim());

        (exit, output, _) = await RunAsync("""{"Time":"2026-11-21T06:30:00","ENERGY":{"Power":5}}""", "--config", config, "--binding", "plugs", "--topic", "plugs/a", "--payload", "-", "--arrival", "2026-11-21T06:00:00Z");
        Assert.Equal((0, "2026-11-21T05:30:00Z"), (exit, JsonNode.Parse(output)!["time"]!.GetValue<string>()));

        (exit, output, error) = await RunAsync("""{"v":[[1],[2],[3]]}""", "--config", config, "--binding", "frames", "--topic", "f/7", "--payload", "-");
        Assert.Equal((1, ""), (exit, output));
        Assert.Contains("oversized: Binding frames", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Several_messages_follow_one_another_and_binary_payloads_stay_what_they_are()
    {
        var birth = Path.Combine(_folder.FullName, "birth");
        var data = Path.Combine(_folder.FullName, "data");
        await File.WriteAllBytesAsync(birth, new ProtobufWriter().Varint(1, 1_795_240_790_000).Block(2, m => m.Text(1, "Power").Varint(2, 300).Varint(4, 10).Double(13, 1)).Varint(3, 0).Bytes, Cancel);
        await File.WriteAllBytesAsync(data, new ProtobufWriter().Varint(1, 1_795_240_791_000).Block(2, m => m.Varint(2, 300).Double(13, 2)).Varint(3, 9).Bytes, Cancel);
        var (exit, output, error) = await RunAsync(null, "--preset", "sparkplug", "--topic", "spBv1.0/g/NBIRTH/n", "--payload", "@" + birth, "--topic", "spBv1.0/g/NDATA/n", "--payload", "@" + data, "--arrival", "2026-11-21T06:00:00Z");
        Assert.True(exit == 0, error);
        Assert.Equal([1.0, 2.0], output.Trim().Split('\n').Select(l => JsonNode.Parse(l)!["value"]!.GetValue<double>()));
        Assert.Contains("A rebirth of g/n is needed.", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task No_samples_come_with_the_reason_and_exit_code_1()
    {
        foreach (var (topic, payload, reason, more) in ((string, string, string, string[])[])
        [
            ("garage/sensor/x/state", "unavailable", "not_finite: Binding esphome", []),
            ("garage/sensor/x/state", "1", "retained: Binding esphome", ["--retained"]),
            ("garage/x", "1", "unmatched: No binding matches topic garage/x.", []),
        ])
        {
            var (exit, output, error) = await RunAsync(null, ["--preset", "esphome", "--topic", topic, "--payload", payload, .. more]);
            Assert.Equal((1, ""), (exit, output));
            Assert.Contains(reason, error, StringComparison.Ordinal);
        }

        var (left, _, why) = await RunAsync(null, "--preset", "zigbee2mqtt", "--topic", "zigbee2mqtt/bridge/state", "--payload", "{}");
        Assert.Equal(1, left);
        Assert.Contains("left alone", why, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_cannot_be_meant_is_refused_with_exit_code_2()
    {
        foreach (var arguments in (string[][])[["--preset", "shelly"], ["--preset", "tasmota", "--payload", "x"], [], ["--preset", "tasmota", "--header", "x"], ["--preset", "tasmota", "--arrival", "soon"]])
        {
            var (exit, _, error) = await RunAsync(null, [.. arguments, "--topic", "t", "--payload", "1"]);
            Assert.True(exit == 2, error);
            Assert.StartsWith("error: ", error, StringComparison.Ordinal);
        }

        var (missing, _, message) = await RunAsync(null, "--preset", "tasmota", "--topic", "t", "--payload", "@/nowhere/at/all");
        Assert.Equal(1, missing);
        Assert.Contains("/nowhere/at/all", message, StringComparison.Ordinal);
    }

    private static async Task<(int Exit, string Output, string Error)> RunAsync(string? input, params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "streamlstm.dll"), "sources", "test", .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start)!;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        limit.CancelAfter(TimeSpan.FromSeconds(30));
        try
        {
            var (output, error) = (process.StandardOutput.ReadToEndAsync(limit.Token), process.StandardError.ReadToEndAsync(limit.Token));
            await process.StandardInput.WriteAsync(input.AsMemory(), limit.Token);
            process.StandardInput.Close();
            await process.WaitForExitAsync(limit.Token);
            return (process.ExitCode, await output, await error);
        }
        finally
        {
            if (!process.HasExited)
                process.Kill();
        }
    }
}
