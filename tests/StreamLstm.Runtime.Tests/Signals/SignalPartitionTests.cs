using System.Text;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Models;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Partitioned;
using StreamLstm.Runtime.Sharding;

namespace StreamLstm.Runtime.Tests.Signals;

public sealed class SignalPartitionTests : IDisposable
{
    private const int Records = 1400;
    private readonly TemporaryFolder _folder = new();
    private readonly PartitionFactory _factory;

    public SignalPartitionTests()
    {
        var settings = Ward.Settings(_folder["state"]);
        ProfileRuntime[] profiles = [.. settings.Profiles.OrderBy(p => p.Name, StringComparer.Ordinal).Select((p, i) => new ProfileRuntime(i, p))];
        _factory = new PartitionFactory(settings, profiles, new ModelStore(_folder["models"]));
    }

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Signals_of_a_brokers_partition_are_restored_from_its_compacted_changelog(int seed)
    {
        var expected = Flat(Run(null));
        var random = new Random(seed);
        Assert.Equal(expected, Flat(Run(random)));
        foreach (var type in new[] { "ectopic", "pause", "lead_off", "stale" })
            Assert.Contains(expected, o => o.Contains($"\"type\":\"{type}\"", StringComparison.Ordinal));
    }

    private List<OutputRecord> Run(Random? crashes)
    {
        var core = Create();
        var log = new List<StateRecord>();
        var outputs = new List<OutputRecord>();
        var restoreAt = crashes?.Next(20, 200) ?? int.MaxValue;
        for (var position = 0L; position < Records;)
        {
            var tenth = Ward.Tenth((int)position);
            if (position % 10 == 9)
                core.Tick(UnixMicros.From(Ward.Start) + (position * 100_000));
            for (var i = 0; i < tenth.Count; i++)
            {
                if (tenth.StepMicros(i) > 0)
                    core.Samples.AddBlock(tenth.Key(i), tenth.EventTime(i), tenth.StepMicros(i), tenth.Arrival(i), tenth.Rows(i), tenth.Values(i));
                else
                    core.Samples.Add(tenth.Key(i), tenth.EventTime(i), tenth.Arrival(i), tenth.Values(i));
            }

            core.Took(position++);
            if (position < Records && (crashes?.Next(4) ?? 1) == 0)
                continue;
            var made = core.Process();
            if (position >= restoreAt)
            {
                // What was made isn't committed: another core begins where the changelog ends.
                restoreAt += crashes!.Next(20, 200);
                var compacted = log.AsEnumerable().Reverse().DistinctBy(r => Convert.ToHexString(r.Key)).Reverse().ToList();
                (log, core) = (compacted, Create());
                var restore = new PartitionRestore();
                foreach (var record in log)
                    restore.Apply(record.Key, record.Value, tombstone: false);
                restore.Into(core);
                position = core.Position;
                continue;
            }

            outputs.AddRange(made.Outputs);
            log.AddRange(made.State);
            core.Committed();
        }

        return outputs;
    }

    private PartitionCore Create() => _factory.Create("beds", 3, 12, 100);

    private static IReadOnlyList<string> Flat(IEnumerable<OutputRecord> outputs) => [.. outputs.Select(o => $"{o.Kind} {o.Stream} {o.TimeMicros} {Encoding.UTF8.GetString(o.Json.Span)}")];
}
