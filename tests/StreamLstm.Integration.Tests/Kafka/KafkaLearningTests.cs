using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using StreamLstm.Integration.Tests.Crash;

namespace StreamLstm.Integration.Tests.Kafka;

/// <summary>One model for the streams of all workers, trained by one of them.</summary>
[Trait("Category", "Kafka")]
[Trait("Category", "Rebalance")]
public sealed class KafkaLearningTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Workers_share_a_model_that_one_of_them_trains_and_another_goes_on_with_when_it_dies()
    {
        using var rig = await TransactionalRig.CreateAsync(streams: 24, partitions: 4);
        var workers = Enumerable.Range(0, 2).Select(_ => rig.Start(rig.WriteConfiguration("a", learning: true))).ToList();
        await Task.WhenAll(workers.Select(w => w.UntilLogAsync("restored in", TimeSpan.FromSeconds(40))));
        await rig.ProduceAsync(0, 400);
        await rig.UntilReadAsync("a", TimeSpan.FromSeconds(60));
        var trainer = await TrainerAsync(workers);
        await rig.ProduceAsync(400, 440, TimeSpan.FromMilliseconds(20));
        await rig.UntilReadAsync("a", TimeSpan.FromSeconds(60));

        await trainer.KillAsync();
        workers.Remove(trainer);
        var before = workers[0].Log.Length;
        await rig.ProduceAsync(440, 800, TimeSpan.FromMilliseconds(10));
        await rig.UntilReadAsync("a", TimeSpan.FromSeconds(60));
        var patience = Stopwatch.StartNew();
        while (!workers[0].Log[before..].Contains("has model version", StringComparison.Ordinal))
        {
            Assert.True(patience.Elapsed < TimeSpan.FromSeconds(60), rig.Logs);
            await Task.Delay(100, Stop);
        }

        await Task.Delay(3000, Stop);
        await rig.ProduceAsync(800, 820);
        await rig.UntilReadAsync("a", TimeSpan.FromSeconds(60));
        Assert.Equal(0, await workers[0].TerminateAsync(TimeSpan.FromSeconds(20)));

        var versions = rig.Read(rig.Prefix("a") + ".models", partitions: 1).Select(r => Encoding.UTF8.GetString(r.Message.Key)).Where(k => !k.EndsWith("/trainer", StringComparison.Ordinal)).Select(k => int.Parse(k.Split('/')[1], CultureInfo.InvariantCulture)).ToList();
        Assert.Equal(Enumerable.Range(1, versions.Count), versions);
        Assert.True(versions.Count >= 3, string.Join(' ', versions));
        var results = rig.Read(rig.Prefix("a") + ".results").Select(r => JsonDocument.Parse(r.Message.Value).RootElement).GroupBy(r => r.GetProperty("stream").GetString()!).ToList();
        Assert.Equal(24, results.Count);
        foreach (var stream in results)
        {
            var times = stream.Select(r => r.GetProperty("time").GetDateTimeOffset()).ToList();
            Assert.All(times.Zip(times.Skip(1)), p => Assert.True(p.Second > p.First, $"{stream.Key}: {p}"));
            Assert.True(times.Count > 790, $"{stream.Key}: {times.Count}");
            var used = stream.Select(r => r.GetProperty("model_version").GetInt32()).ToList();
            Assert.Equal(used.Order(), used);
            Assert.InRange(used[0], 1, versions[^1] - 1);
            Assert.Equal(versions[^1], used[^1]);
        }
    }

    private static async Task<WorkerProcess> TrainerAsync(List<WorkerProcess> workers)
    {
        var patience = Stopwatch.StartNew();
        while (true)
        {
            if (workers.Find(w => w.Log.Contains("has model version", StringComparison.Ordinal)) is { } trainer)
                return trainer;
            Assert.True(patience.Elapsed < TimeSpan.FromSeconds(60), string.Join("\n---\n", workers.Select(w => w.Log)));
            await Task.Delay(100, Stop);
        }
    }
}
