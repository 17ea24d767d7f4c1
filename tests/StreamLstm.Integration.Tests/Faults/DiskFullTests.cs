using System.Diagnostics;
using System.Net;
using System.Text.Json.Nodes;
using StreamLstm.Integration.Tests.Crash;
using StreamLstm.Integration.Tests.Mqtt;

namespace StreamLstm.Integration.Tests.Faults;

/// <summary>A real worker whose state folder is a small file system of its own, which fills up.</summary>
[Trait("Category", "Faults")]
public sealed class DiskFullTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("streamlstm-full-").FullName;
    private readonly string _url = $"http://127.0.0.1:{WorkerProcess.FreePort()}";
    private readonly MeterFeed _feed;
    private bool _mounted;

    public DiskFullTests() => _feed = new MeterFeed(_url);

    private string Disk => Path.Combine(_folder, "disk");

    private string Results => Path.Combine(_folder, "results.ndjson");

    public void Dispose()
    {
        _feed.Dispose();
        if (_mounted)
            Run("umount", "-l", Disk);
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task While_the_disk_is_full_nothing_is_acknowledged_and_everything_says_so_and_afterwards_nothing_is_missing()
    {
        Mount(megabytes: 48);
        using var worker = WorkerProcess.Start("run", "--config", Configure());
        await worker.UntilLogAsync("Serving", TimeSpan.FromSeconds(30));
        var acknowledged = 0;
        for (; acknowledged < 20; acknowledged++)
            Assert.Equal(HttpStatusCode.OK, await _feed.PostAsync(acknowledged));

        // Someone else takes what is left but for some pages; segments, journal and state log need more than that before long.
        Fill(leave: 1 << 20);
        var deadline = Stopwatch.StartNew();
        HttpStatusCode? refused;
        while ((refused = await _feed.PostAsync(acknowledged)) == HttpStatusCode.OK)
        {
            acknowledged++;
            Assert.True(deadline.Elapsed < TimeSpan.FromSeconds(60), "The disk never got full.");
        }

        // The request that found the disk full is kept waiting; those after it are refused at once.
        Assert.True(refused is null or HttpStatusCode.ServiceUnavailable, $"{refused}");
        await Eventually.HoldsAsync(async () => (await _feed.StatusAsync("/readyz")) == HttpStatusCode.ServiceUnavailable, "readyz tells of it");
        var (ready, detail) = await _feed.PartAsync("storage");
        Assert.False(ready);
        Assert.Contains("space", detail, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("streamlstm_storage_short 1", await _feed.GetAsync("/metrics"), StringComparison.Ordinal);
        Assert.Contains("No room", worker.Log, StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.OK, await _feed.StatusAsync("/healthz"));
        Assert.False(worker.HasExited, worker.Log);

        File.Delete(Path.Combine(Disk, "filler"));
        await Eventually.HoldsAsync(async () => (await _feed.StatusAsync("/readyz")) == HttpStatusCode.OK, "it goes on once there is room");
        for (var more = 0; more < 20; more++, acknowledged++)
            Assert.Equal(HttpStatusCode.OK, await _feed.PostAsync(acknowledged));
        Assert.Equal(0, await worker.TerminateAsync(TimeSpan.FromSeconds(30)));
        _feed.AssertComplete(Results, Enumerable.Range(0, acknowledged));
    }

    [Fact]
    public async Task A_worker_stopped_while_the_disk_is_full_ends_in_time_and_the_next_start_misses_nothing()
    {
        Mount(megabytes: 48);
        var config = Configure();
        var acknowledged = 0;
        using (var worker = WorkerProcess.Start("run", "--config", config))
        {
            await worker.UntilLogAsync("Serving", TimeSpan.FromSeconds(30));
            for (; acknowledged < 10; acknowledged++)
                Assert.Equal(HttpStatusCode.OK, await _feed.PostAsync(acknowledged));
            Fill(leave: 256 << 10);
            while (await _feed.PostAsync(acknowledged) == HttpStatusCode.OK)
                acknowledged++;
            await worker.TerminateAsync(TimeSpan.FromSeconds(40));
        }

        File.Delete(Path.Combine(Disk, "filler"));
        using var again = WorkerProcess.Start("run", "--config", config);
        await again.UntilLogAsync("Serving", TimeSpan.FromSeconds(30));
        for (var more = 0; more < 10; more++, acknowledged++)
            Assert.Equal(HttpStatusCode.OK, await _feed.PostAsync(acknowledged));
        Assert.Equal(0, await again.TerminateAsync(TimeSpan.FromSeconds(30)));
        _feed.AssertComplete(Results, Enumerable.Range(0, acknowledged));
    }

    private void Mount(int megabytes)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() && Environment.UserName == "root", "Mounting a small file system takes root.");
        Directory.CreateDirectory(Disk);
        Assert.SkipUnless(Run("mount", "-t", "tmpfs", "-o", $"size={megabytes}m", "tmpfs", Disk), "No file system can be mounted here.");
        _mounted = true;
    }

    private static bool Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        process.WaitForExit();
        return process.ExitCode == 0;
    }

    private void Fill(long leave)
    {
        using var filler = new FileStream(Path.Combine(Disk, "filler"), FileMode.Create);
        var free = new DriveInfo(Disk).AvailableFreeSpace;
        var block = new byte[64 << 10];
        try
        {
            for (var left = free - leave; left > 0; left -= block.Length)
                filler.Write(block, 0, (int)Math.Min(block.Length, left));
        }
        catch (IOException e)
        {
            // The worker was quicker: full it is.
            Assert.Equal(28, e.HResult);
        }
    }

    private string Configure()
    {
        var config = new JsonObject
        {
            ["StreamLstm"] = new JsonObject
            {
                ["State"] = new JsonObject { ["Directory"] = Path.Combine(Disk, "state") },
                ["Http"] = new JsonObject { ["Url"] = _url },
                ["Profiles"] = new JsonObject { ["load"] = new JsonObject { ["Interval"] = "15m", ["SamplesPerFrame"] = 1, ["HorizonSteps"] = 24, ["Tier"] = "lean" } },
                ["Sources"] = new JsonObject { ["web"] = new JsonObject { ["Type"] = "http" } },
                ["Sinks"] = new JsonObject { ["archive"] = new JsonObject { ["Type"] = "file", ["Path"] = Results } },
            },
        };
        var path = Path.Combine(_folder, "full.json");
        File.WriteAllText(path, config.ToJsonString());
        return path;
    }
}
