using System.Text.Json.Nodes;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Integration.Tests.Crash;

/// <summary>
/// Kills the real worker at random moments, starts it again each time, and in the end compares its results, byte for byte, with those of
/// a worker that replays the same journal in one uninterrupted run. Every stateful component is held to this by taking part in the run.
/// <c>STREAMLSTM_CRASH_KILLS</c> sets the number of kills (12 without it), <c>STREAMLSTM_CRASH_SEED</c> their moments.
/// </summary>
internal sealed class CrashHarness : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("streamlstm-crash-");
    private readonly Random _random;

    public CrashHarness(int defaultSeed)
    {
        Kills = int.TryParse(Environment.GetEnvironmentVariable("STREAMLSTM_CRASH_KILLS"), out var kills) ? kills : 12;
        Seed = int.TryParse(Environment.GetEnvironmentVariable("STREAMLSTM_CRASH_SEED"), out var seed) ? seed : defaultSeed;
        _random = new Random(Seed);
    }

    public int Kills { get; }

    public int Seed { get; }

    public string Folder => _folder.FullName;

    public string Results => Path.Combine(Folder, "results.ndjson");

    /// <summary>Writes a configuration around the given sources; the profile learns, so model activations take part.</summary>
    public string Configure(string name, JsonObject sources, JsonObject? profile = null, string? state = null, string? results = null, int shards = 2)
    {
        var settings = new JsonObject
        {
            ["Interval"] = "15m",
            ["SamplesPerFrame"] = 1,
            ["HiddenSize"] = 16,
            ["HorizonSteps"] = 24,
        };
        foreach (var (key, value) in profile ?? [])
            settings[key] = value?.DeepClone();
        var config = new JsonObject
        {
            ["StreamLstm"] = new JsonObject
            {
                ["State"] = new JsonObject { ["Directory"] = state ?? Path.Combine(Folder, "state") },
                ["Engine"] = new JsonObject { ["KeepJournal"] = true, ["Shards"] = shards },
                ["Http"] = new JsonObject { ["Url"] = $"http://127.0.0.1:{WorkerProcess.FreePort()}" },
                ["Profiles"] = new JsonObject { ["load"] = settings },
                ["Sources"] = sources,
                ["Sinks"] = new JsonObject { ["archive"] = new JsonObject { ["Type"] = "file", ["Path"] = results ?? Results } },
            },
        };
        var path = Path.Combine(Folder, name + ".json");
        File.WriteAllText(path, config.ToJsonString());
        return path;
    }

    /// <summary>A source that reads <c>{"time":…,"value":…}</c> from <c>meters/&lt;stream&gt;/reading</c>.</summary>
    public static JsonObject MqttSource(int port) => new()
    {
        ["Type"] = "mqtt",
        ["Broker"] = $"mqtt://127.0.0.1:{port}",
        ["Bindings"] = new JsonObject
        {
            ["reading"] = new JsonObject
            {
                ["Match"] = "meters/{stream}/reading",
                ["Stream"] = "{stream}",
                ["Time"] = new JsonObject { ["At"] = "/time" },
                ["Values"] = new JsonObject { ["power"] = new JsonObject { ["At"] = "/value" } },
            },
        },
    };

    /// <summary>Starts and kills the worker until the kills are used up; returns how many struck a worker that had already restored.</summary>
    public async Task<int> KillRepeatedlyAsync(string config, Func<bool> hasMore)
    {
        var afterRestore = 0;
        for (var i = 0; i < Kills && hasMore(); i++)
        {
            using var worker = WorkerProcess.Start("run", "--config", config);
            // Most kills strike during work, some during start and restore.
            if (i % 4 != 3)
                await worker.UntilLogAsync("Restored", TimeSpan.FromSeconds(60));
            await Task.Delay(TimeSpan.FromMilliseconds(i % 4 == 3 ? _random.Next(50, 700) : _random.Next(100, 1600)));
            Assert.False(worker.HasExited, $"The worker ended by itself before kill {i} (seed {Seed}).\n{worker.Log}");
            if (worker.Log.Contains("Restored", StringComparison.Ordinal))
                afterRestore++;
            await worker.KillAsync();
        }

        return afterRestore;
    }

    /// <summary>
    /// The same, but every kill strikes a worker that has restored and works, at a random moment of the time given; every fifth one
    /// strikes during start or restore besides.
    /// </summary>
    public async Task KillAtWorkAsync(string config, TimeSpan within)
    {
        for (var i = 0; i < Kills; i++)
        {
            if (i % 5 == 4)
            {
                using var starting = WorkerProcess.Start("run", "--config", config);
                await Task.Delay(TimeSpan.FromMilliseconds(_random.Next(50, 900)));
                await starting.KillAsync();
            }

            using var worker = WorkerProcess.Start("run", "--config", config);
            await worker.UntilLogAsync("Serving", TimeSpan.FromSeconds(60));
            await Task.Delay(within * _random.NextDouble());
            Assert.False(worker.HasExited, $"The worker ended by itself before kill {i} (seed {Seed}).\n{worker.Log}");
            await worker.KillAsync();
        }
    }

    /// <summary>Runs the worker to the end of its sources (or until told) and stops it gracefully.</summary>
    public static async Task FinishAsync(string config, bool untilDrained, Func<Task>? whileRunning = null)
    {
        using var worker = untilDrained ? WorkerProcess.Start("run", "--config", config, "--until-drained") : WorkerProcess.Start("run", "--config", config);
        if (whileRunning is not null)
        {
            await worker.UntilLogAsync("Serving", TimeSpan.FromSeconds(30));
            await whileRunning();
        }

        var exit = untilDrained ? await worker.WaitAsync(TimeSpan.FromSeconds(90)) : await worker.TerminateAsync(TimeSpan.FromSeconds(30));
        Assert.True(exit == 0, $"exit {exit}\n{worker.Log}");
    }

    /// <summary>Replays the kept journal in a fresh state folder, without sources; returns the results file.</summary>
    /// <param name="name">Of the replay.</param>
    /// <param name="sabotage">Leave one batch of samples out: the comparison must notice.</param>
    public async Task<string> ReplayAsync(string name, JsonObject? profile = null, int shards = 1, bool sabotage = false)
    {
        var state = Path.Combine(Folder, name);
        var results = Path.Combine(Folder, name + ".ndjson");
        CopyFolder(Path.Combine(Folder, "state", "models"), Path.Combine(state, "models"));
        CopyJournal(Path.Combine(Folder, "state", "journal"), Path.Combine(state, "journal"), sabotage);
        await FinishAsync(Configure(name, [], profile, state, results, shards), untilDrained: true);
        return results;
    }

    /// <summary>Null if both files hold the same bytes, else where they first differ.</summary>
    public static string? Difference(string a, string b)
    {
        using var x = File.OpenText(a);
        using var y = File.OpenText(b);
        for (var line = 1; ; line++)
        {
            var left = x.ReadLine();
            var right = y.ReadLine();
            if (left is null && right is null)
                return null;
            if (left != right)
                return $"line {line}:\n  {left ?? "(end)"}\n  {right ?? "(end)"}";
        }
    }

    public void Dispose() => _folder.Delete(recursive: true);

    private static void CopyFolder(string from, string to)
    {
        Directory.CreateDirectory(to);
        if (!Directory.Exists(from))
            return;
        foreach (var folder in Directory.GetDirectories(from, "*", SearchOption.AllDirectories))
            Directory.CreateDirectory(folder.Replace(from, to, StringComparison.Ordinal));
        foreach (var file in Directory.GetFiles(from, "*", SearchOption.AllDirectories))
            File.Copy(file, file.Replace(from, to, StringComparison.Ordinal));
    }

    private static void CopyJournal(string from, string to, bool dropOne)
    {
        using var source = new RecordLog(from, long.MaxValue);
        using var target = new RecordLog(to, 64 << 20);
        var buffer = new byte[1 << 20];
        var records = new List<byte[]>();
        var position = source.Start;
        while (source.TryRead(position, ref buffer, out var length, out var next))
        {
            records.Add(buffer.AsSpan(0, length).ToArray());
            position = next;
        }

        // Record kind 5 is a batch of samples; one in the middle, where its absence can't be a matter of the end.
        var dropped = dropOne ? records.FindIndex(records.Count / 2, r => r[0] == 5) : -1;
        for (var i = 0; i < records.Count; i++)
        {
            if (i != dropped)
                target.Append(records[i]);
        }

        target.Flush();
    }
}
