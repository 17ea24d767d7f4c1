using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using StreamLstm.Integration.Tests.Crash;

namespace StreamLstm.Integration.Tests.Kafka;

/// <summary>Workers that follow the state of partitions which others own, and go on with them.</summary>
[Trait("Category", "Kafka")]
[Trait("Category", "Rebalance")]
public sealed partial class KafkaStandbyTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Standbys_go_on_with_the_partitions_of_a_killed_worker_and_a_newcomer_with_what_it_foresaw_and_no_byte_changes()
    {
        const int minutes = 1100;
        using var rig = await TransactionalRig.CreateAsync();
        var feed = Task.Run(() => rig.ProduceAsync(0, minutes, TimeSpan.FromMilliseconds(45)), Stop);
        var fleet = Enumerable.Range(0, 3).Select(_ => Join(rig)).ToList();
        await Task.WhenAll(fleet.Select(w => w.Worker.UntilLogAsync("keeps the state of 4 partitions of others warm", TimeSpan.FromSeconds(40))));

        // Each partition is followed by one worker that doesn't own it, and none is far behind.
        await Task.Delay(1000, Stop);
        var followed = new List<string>();
        foreach (var (_, url) in fleet)
        {
            var metrics = await MetricsAsync(url);
            followed.AddRange(StandbyLag().Matches(metrics).Select(m => m.Groups[1].Value));
            Assert.All(StandbyLag().Matches(metrics), m => Assert.InRange(long.Parse(m.Groups[2].Value, CultureInfo.InvariantCulture), 0, 500));
            Assert.Matches(@"streamlstm_standby_bytes(\{[^}]*\})? [1-9]", metrics);
        }

        Assert.Equal(12, followed.Count);
        Assert.Equal(12, followed.Distinct().Count());

        var before = fleet.Skip(1).Select(f => f.Worker.Log.Length).ToList();
        int Since(string what) => fleet.Skip(1).Select((f, i) => Count(f.Worker.Log[before[i]..], what)).Sum();
        await fleet[0].Worker.KillAsync();

        // Until the session is over, and the cluster has ended the transaction that was left open.
        var patience = Stopwatch.StartNew();
        while (Since("restored in") < 4)
        {
            Assert.True(patience.Elapsed < TimeSpan.FromSeconds(40), rig.Logs);
            await Task.Delay(50, Stop);
        }

        var taken = Since("from standby");

        var late = Join(rig);
        await late.Worker.UntilLogAsync("restored in", TimeSpan.FromSeconds(40));
        await Task.Delay(2000, Stop);
        var foreseen = Count(late.Worker.Log, "from standby");

        await feed;
        await rig.UntilReadAsync("a", TimeSpan.FromSeconds(90));
        foreach (var (worker, _) in fleet.Skip(1).Append(late))
            Assert.Equal(0, await worker.TerminateAsync(TimeSpan.FromSeconds(20)));
        TestContext.Current.SendDiagnosticMessage(string.Create(CultureInfo.InvariantCulture, $"{taken} of 4 partitions of the killed worker and {foreseen} of 4 of the newcomer were taken up from standby"));
        Assert.True(taken == 4, rig.Logs);
        Assert.True(foreseen >= 2, late.Worker.Log);
        rig.AssertSame(await rig.UninterruptedAsync(), rig.Outputs("a"), "standbys");
    }

    private static (WorkerProcess Worker, Uri Url) Join(TransactionalRig rig)
    {
        var configuration = rig.WriteConfiguration("a", source => source["Standbys"] = "1");
        var url = System.Text.Json.Nodes.JsonNode.Parse(File.ReadAllText(configuration))!["StreamLstm"]!["Http"]!["Url"]!.GetValue<string>();
        return (rig.Start(configuration), new Uri(url));
    }

    private static async Task<string> MetricsAsync(Uri url)
    {
        using var http = new HttpClient();
        return await http.GetStringAsync(new Uri(url, "/metrics"), Stop);
    }

    private static int Count(string text, string part) => text.Split(part).Length - 1;

    [GeneratedRegex("streamlstm_standby_lag_messages\\{[^}]*partition=\"(\\d+)\"[^}]*\\} (\\d+)")]
    private static partial Regex StandbyLag();
}
