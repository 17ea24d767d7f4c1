using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using StreamLstm.Core.Signals;
using StreamLstm.Integration.Tests.Files;
using StreamLstm.Simulation;

namespace StreamLstm.Integration.Tests.Simulation;

/// <summary><c>ecg</c>, <c>eeg</c>, <c>sine</c> and <c>replay</c> of signal files as a user runs them.</summary>
public sealed class SignalCommandTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("streamlstm-sim-");

    public void Dispose() => _folder.Delete(recursive: true);

    private string PathOf(string name) => Path.Combine(_folder.FullName, name);

    private static (string Stream, DateTimeOffset Time, double[] Values)[] Parse(string lines) =>
    [
        .. lines.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line =>
        {
            JsonElement sample = JsonDocument.Parse(line).RootElement;
            return (sample.GetProperty("stream").GetString()!, sample.GetProperty("time").GetDateTimeOffset(), sample.TryGetProperty("values", out JsonElement values)
                ? values.EnumerateArray().Select(v => v.ValueKind == JsonValueKind.Null ? double.NaN : v.GetDouble()).ToArray()
                : [sample.GetProperty("value").GetDouble()]);
        }),
    ];

    private static string Text(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.FFFFFFF'Z'", CultureInfo.InvariantCulture);

    [Theory]
    [InlineData("ecg", "--leads", "II,V1,V5", "250")]
    [InlineData("eeg", "--electrodes", "Fp1,O2", "200")]
    public async Task A_signal_is_written_with_its_labels_after_the_caveat(string verb, string channelOption, string channels, string hertz)
    {
        (int exit, string output, string error) = await SimulatorProcess.RunAsync(
            verb, channelOption, channels, "--hz", hertz, "--streams", "2", "--duration", "100s", "--seed", "9", "--fault-rate", "150", "--labels", PathOf("l.csv"), "--to", "file:" + PathOf("x.ndjson"), "--json");
        Assert.True(exit == 0, error);
        Assert.StartsWith(SignalCaveat.Text, error, StringComparison.Ordinal);
        Assert.Contains("must not be used for diagnosis", error, StringComparison.Ordinal);

        string[] names = channels.Split(',');
        double rate = double.Parse(hertz, CultureInfo.InvariantCulture);
        StreamSimulator simulator = verb == "ecg"
            ? new EcgSimulator(new EcgSimulationOptions { Streams = 2, Channels = names, Rate = rate, Seed = 9, FaultsPerStreamDay = 3600 })
            : new EegSimulator(new EegSimulationOptions { Streams = 2, Channels = names, Rate = rate, Seed = 9, FaultsPerStreamDay = 3600 });
        var samples = Parse(await File.ReadAllTextAsync(PathOf("x.ndjson"), TestContext.Current.CancellationToken));
        Assert.Equal(2 * 100 * (int)rate, samples.Length);
        var values = new double[2 * names.Length];
        for (int f = 0; f < 100 * (int)rate; f++)
        {
            simulator.Next(values);
            Assert.Equal((simulator.StreamKeys[1], simulator.FrameTime(f)), (samples[(2 * f) + 1].Stream, samples[(2 * f) + 1].Time));
            Assert.Equal(values[..names.Length], samples[2 * f].Values);
        }

        IReadOnlyList<FaultLabel> labels = simulator.Faults(0, 100 * (int)rate);
        Assert.InRange(labels.Count, 3, 20);
        Assert.Equal(
            ["stream,start,end,type", .. labels.Select(l => $"{l.Stream},{Text(l.Start)},{Text(l.End)},{l.Type}").Order()],
            (await File.ReadAllLinesAsync(PathOf("l.csv"), TestContext.Current.CancellationToken)).Take(1)
                .Concat((await File.ReadAllLinesAsync(PathOf("l.csv"), TestContext.Current.CancellationToken)).Skip(1).Order()));
        Assert.Equal(labels.Count, JsonDocument.Parse(output).RootElement.GetProperty("faults").GetInt32());
    }

    [Fact]
    public async Task The_beats_of_an_ecg_are_listed_and_a_plan_is_followed()
    {
        await File.WriteAllTextAsync(PathOf("plan.csv"), "stream,start,end,type\necg-01,2026-01-05T00:00:10Z,2026-01-05T00:00:11Z,pvc\n", TestContext.Current.CancellationToken);
        (int exit, string output, string error) = await SimulatorProcess.RunAsync(
            "ecg", "--leads", "II", "--heart-rate", "60", "--lf-hf", "2", "--duration", "30s", "--faults", PathOf("plan.csv"), "--beats", PathOf("beats.csv"), "--to", "-", "--format", "csv");

        Assert.True(exit == 0, error);
        Assert.Equal(1 + (30 * 360), output.Count(c => c == '\n'));
        string[] beats = await File.ReadAllLinesAsync(PathOf("beats.csv"), TestContext.Current.CancellationToken);
        Assert.Equal("stream,time,type", beats[0]);
        Assert.InRange(beats.Length, 28, 33);
        Assert.Single(beats, beat => beat.EndsWith(",V", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Sines_and_mixtures_are_written_with_their_labels()
    {
        foreach ((string mixture, string key) in new[] { ("sine", "sine-01"), ("seasons", "seasons-01"), ("regimes", "regimes-01") })
        {
            (int exit, string output, string error) = await SimulatorProcess.RunAsync(
                "sine", "--mixture", mixture, "--streams", "2", "--interval", "1s", "--period", "1m", "--noise", "0.1", "--duration", "40m", "--fault-rate", "0.3", "--labels", PathOf(mixture), "--to", "-");
            Assert.True(exit == 0, error);
            Assert.Equal(key, Parse(output)[0].Stream);
            string[] labels = await File.ReadAllLinesAsync(PathOf(mixture), TestContext.Current.CancellationToken);
            Assert.InRange(labels.Length, 10, 60);
            Assert.Equal(mixture == "regimes", labels.Any(label => label.EndsWith(",regime", StringComparison.Ordinal)));
        }
    }

    [Fact]
    public async Task A_register_with_resets_clock_errors_and_outages_is_sent_as_asked()
    {
        (int exit, string output, string error) = await SimulatorProcess.RunAsync(
            "load", "--streams", "12", "--duration", "10d", "--register", "--reset-rate", "0.5", "--clock-error", "30s", "--outage-rate", "1", "--labels", PathOf("l"), "--to", "-");
        Assert.True(exit == 0, error);
        var samples = Parse(output);
        double falls = samples.GroupBy(s => s.Stream).Sum(meter => meter.Zip(meter.Skip(1)).Count(pair => pair.Second.Values[0] < pair.First.Values[0] && pair.Second.Time > pair.First.Time));
        Assert.InRange(falls, 25, 120);
        Assert.Contains(samples, s => s.Time.Second != 0);
        Assert.Contains((await File.ReadAllLinesAsync(PathOf("l"), TestContext.Current.CancellationToken)), l => l.EndsWith(",outage", StringComparison.Ordinal));
        Assert.Equal(2, (await SimulatorProcess.RunAsync("load", "--reset-rate", "1", "--duration", "1d", "--to", "-")).ExitCode);
    }

    [Fact]
    public async Task Usage_errors_of_signals_exit_2_and_are_all_listed()
    {
        (int exit, _, string error) = await SimulatorProcess.RunAsync(
            "ecg", "--leads", "II,V9", "--hz", "20", "--mains", "55", "--heart-rate", "500", "--lf-hf", "none", "--fault-types", "pvc,wobble", "--duration", "1s", "--to", "-");
        Assert.Equal(2, exit);
        foreach (string part in new[] { "--leads 'II,V9'", "--hz '20'", "--mains '55'", "--heart-rate '500'", "--lf-hf 'none'", "'wobble'" })
        {
            Assert.Contains(part, error, StringComparison.Ordinal);
        }

        (exit, _, error) = await SimulatorProcess.RunAsync("sine", "--mixture", "square", "--interval", "1h", "--period", "2h", "--noise", "-1", "--duration", "1d", "--to", "-");
        Assert.Equal(2, exit);
        foreach (string part in new[] { "--mixture 'square'", "--interval must be at most", "--noise '-1'" })
        {
            Assert.Contains(part, error, StringComparison.Ordinal);
        }

        Assert.Equal(2, (await SimulatorProcess.RunAsync("eeg", "--hz", "100", "--duration", "1s", "--to", "-")).ExitCode);
    }

    [Fact]
    public void The_documentation_lists_every_fault_of_every_verb()
    {
        string[] rows = [.. File.ReadLines(Path.Combine(Docs.Markdown.Root, "simulators", "README.md")).Where(line => line.StartsWith("| `", StringComparison.Ordinal))];
        foreach ((string verb, IReadOnlyList<string> types) in new[]
        {
            ("load", (IReadOnlyList<string>)[.. LoadFaults.All.Select(kind => kind.Type), LoadFeed.Outage]),
            ("ecg", [.. EcgEvents.All.Select(kind => kind.Type)]),
            ("eeg", [.. EegEvents.All.Select(kind => kind.Type)]),
            ("sine", [SineSimulator.Regime]),
        })
        {
            string row = rows.Single(line => line.StartsWith($"| `{verb}", StringComparison.Ordinal));
            Assert.All(types, type => Assert.Contains($"`{type}`", row, StringComparison.Ordinal));
        }
    }

    [Fact]
    public async Task A_WFDB_record_is_replayed_as_one_stream_of_its_leads_or_split()
    {
        await File.WriteAllTextAsync(PathOf("r.hea"), "r 2 250 3 10:00:00 1/2/2020\nr.dat 16 100 12 0 0 0 0 MLII\nr.dat 16 100 12 0 0 0 0 V1\n", TestContext.Current.CancellationToken);
        await File.WriteAllBytesAsync(PathOf("r.dat"), EdfFile.Samples(100, 200, 150, short.MinValue, -50, 300), TestContext.Current.CancellationToken);
        (int exit, string output, string error) = await SimulatorProcess.RunAsync("replay", PathOf("r.hea"), "--to", "-");

        Assert.Equal(0, exit);
        Assert.StartsWith(SignalCaveat.Text, error, StringComparison.Ordinal);
        Assert.Equal(
            "{\"stream\":\"r\",\"time\":\"2020-02-01T10:00:00Z\",\"values\":[1,2]}\n{\"stream\":\"r\",\"time\":\"2020-02-01T10:00:00.004Z\",\"values\":[1.5,null]}\n"
            + "{\"stream\":\"r\",\"time\":\"2020-02-01T10:00:00.008Z\",\"values\":[-0.5,3]}\n",
            output);
        (_, output, _) = await SimulatorProcess.RunAsync("replay", PathOf("r.hea"), "--split", "--stream", "r/V1", "--start", "2026-03-01T00:00:00Z", "--to", "-", "--format", "csv");
        Assert.Equal("stream,time,value\nr/V1,2026-03-01T00:00:00Z,2\nr/V1,2026-03-01T00:00:00.008Z,3\n", output);

        await File.WriteAllBytesAsync(PathOf("r.dat"), EdfFile.Samples(100, 200, 150), TestContext.Current.CancellationToken);
        (exit, _, error) = await SimulatorProcess.RunAsync("replay", PathOf("r.hea"), "--to", "-");
        Assert.Equal(1, exit);
        Assert.Contains("it ends after 1 of 3 samples", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_EDF_file_is_replayed_with_a_stream_for_every_rate_and_with_its_gaps()
    {
        var file = new EdfFile { Reserved = "EDF+D" };
        file.Signals.Add(("EEG A", "uV", "-100", "100", "-100", "100", 2));
        file.Signals.Add(("Temp", "C", "-100", "100", "-100", "100", 1));
        file.Signals.Add(("EEG B", "uV", "-100", "100", "-100", "100", 2));
        file.Annotations(20);
        file.Add(EdfFile.Samples(1, 2), EdfFile.Samples(30), EdfFile.Samples(5, 6), EdfFile.Lists("+0;;|+0.5;Light off, quiet;|", 20));
        file.Add(EdfFile.Samples(3, 4), EdfFile.Samples(31), EdfFile.Samples(7, 8), EdfFile.Lists("+10;;|+10~30;Apnoea;|", 20));
        await File.WriteAllBytesAsync(PathOf("night.edf"), file.Bytes(), TestContext.Current.CancellationToken);
        (int exit, string output, string error) = await SimulatorProcess.RunAsync("replay", PathOf("night.edf"), "--to", "-");

        Assert.True(exit == 0, error);
        DateTimeOffset start = new(1999, 12, 24, 10, 20, 30, TimeSpan.Zero);
        (string, DateTimeOffset, string)[] expected =
        [
            ("night@2Hz", start, "1,5"), ("night@1Hz", start, "30"), ("night@2Hz", start.AddSeconds(0.5), "2,6"),
            ("night@2Hz", start.AddSeconds(10), "3,7"), ("night@1Hz", start.AddSeconds(10), "31"), ("night@2Hz", start.AddSeconds(10.5), "4,8"),
        ];
        Assert.Equal(expected, Parse(output).Select(s => (s.Stream, s.Time, string.Join(',', s.Values.Select(v => v.ToString(CultureInfo.InvariantCulture))))));

        (_, output, _) = await SimulatorProcess.RunAsync("replay", PathOf("night.edf"), "--split", "--stream", "night/EEG B", "--to", "-");
        Assert.Equal([5, 6, 7, 8], Parse(output).Select(s => s.Values[0]));

        (_, _, _) = await SimulatorProcess.RunAsync("replay", PathOf("night.edf"), "--start", "2026-01-01T00:00:00Z", "--labels", PathOf("notes.csv"), "--to", "file:" + PathOf("x.ndjson"));
        Assert.Equal(
            [
                "stream,start,end,type", "night@2Hz,2026-01-01T00:00:00.5Z,2026-01-01T00:00:00.501Z,Light off  quiet", "night@1Hz,2026-01-01T00:00:00.5Z,2026-01-01T00:00:00.501Z,Light off  quiet",
                "night@2Hz,2026-01-01T00:00:10Z,2026-01-01T00:00:40Z,Apnoea", "night@1Hz,2026-01-01T00:00:10Z,2026-01-01T00:00:40Z,Apnoea",
            ],
            await File.ReadAllLinesAsync(PathOf("notes.csv"), TestContext.Current.CancellationToken));
        Assert.Equal(2, (await SimulatorProcess.RunAsync("replay", PathOf("x.ndjson"), "--labels", PathOf("y"), "--to", "-")).ExitCode);

        // Ten and a half seconds at twenty times their pace, sent by the tenth of a second.
        var watch = Stopwatch.StartNew();
        Assert.Equal(0, (await SimulatorProcess.RunAsync("replay", PathOf("night.edf"), "--speed", "20", "--to", "-")).ExitCode);
        Assert.InRange(watch.Elapsed.TotalSeconds, 0.52, 20);

        await File.WriteAllBytesAsync(PathOf("night.edf"), file.Bytes()[..^4], TestContext.Current.CancellationToken);
        (exit, _, error) = await SimulatorProcess.RunAsync("replay", PathOf("night.edf"), "--to", "-");
        Assert.Equal(1, exit);
        Assert.Contains("it ends within data record 2 of 2", error, StringComparison.Ordinal);
    }
}
