using System.Globalization;
using System.Text;
using System.Text.Json;
using StreamLstm.Core.Recurrent;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Models;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Partitioned;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.Storage;
using StreamLstm.Runtime.Tests.Engine;

namespace StreamLstm.Runtime.Tests.Partitioned;

public sealed class PartitionCoreTests : IDisposable
{
    private const int Records = 420;
    private readonly TemporaryFolder _folder = new();
    private readonly PartitionFactory _factory;

    public PartitionCoreTests()
    {
        var settings = Fleet.Settings(_folder["state"]);
        ProfileRuntime[] profiles = [.. settings.Profiles.OrderBy(p => p.Name, StringComparer.Ordinal).Select((p, i) => new ProfileRuntime(i, p))];
        var models = new ModelStore(_folder["models"]);
        foreach (var profile in profiles)
        {
            for (var version = 1; version <= 2; version++)
                models.Save(profile.Name, version, LstmForecasterWeights.Create(profile.Shape, (ulong)version), []);
        }

        _factory = new PartitionFactory(settings, profiles, models);
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_partition_may_hold_keys_of_any_hash_and_names_its_dead_letters_by_topic_partition_and_offset()
    {
        var run = new Run(_factory);
        run.Until(Records, commitEvery: 10);

        Assert.NotEqual(1, run.Outputs.Select(o => VirtualPartition.Of(Encoding.UTF8.GetBytes(o.Stream))).Distinct().Count());
        var letters = run.Outputs.Where(o => o.Kind == OutputKind.DeadLetter).Select(o => JsonDocument.Parse(o.Json).RootElement).ToList();
        Assert.NotEmpty(letters);
        Assert.All(letters, l => Assert.Matches(@"^meters\[3\]@\d+$", l.GetProperty("position").GetString()!));
        Assert.Contains(letters, l => l.GetProperty("position").GetString() == "meters[3]@3" && l.GetProperty("reason").GetString() == DeadLetterReason.Unmatched);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(400)]
    public void The_size_of_the_commits_changes_no_byte(int commitEvery)
    {
        var expected = new Run(_factory);
        expected.Until(Records, commitEvery: 10);
        var other = new Run(_factory);
        other.Until(Records, commitEvery);

        Assert.Equal(Flat(expected.Outputs), Flat(other.Outputs));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void However_often_it_is_restored_from_the_compacted_changelog_the_outputs_are_those_of_an_uninterrupted_run(int seed)
    {
        var expected = new Run(_factory);
        expected.Until(Records, commitEvery: 10);
        var random = new Random(seed);
        var run = new Run(_factory);
        var restores = 0;
        while (run.Position < Records)
        {
            run.Until(Math.Min(Records, (int)run.Position + random.Next(1, 40)), random.Next(1, 12));
            // Work that was begun but not committed is lost with the process.
            run.Lose(random.Next(0, 5));
            run.Restore(compact: random.Next(3));
            restores++;
        }

        Assert.True(restores > 12, $"{restores} restores");
        Assert.Equal(Flat(expected.Outputs), Flat(run.Outputs));
        Assert.Contains(run.Outputs, o => o.Kind == OutputKind.Episode);
        Assert.Contains("\"model_version\":2", Flat(run.Outputs)[^1], StringComparison.Ordinal);
    }

    [Fact]
    public void The_changelog_stays_bounded_by_the_streams_however_long_it_runs()
    {
        var run = new Run(_factory);
        run.Until(Records, commitEvery: 1);

        // A snapshot, as many entries as frames lie between two of them, one record for what changes without a frame; the header.
        var streams = run.Log.Where(r => r.Key.Length > 1).GroupBy(r => Convert.ToHexString(r.Key.AsSpan()[..^1])).ToList();
        Assert.Equal(6, streams.Count);
        Assert.All(streams, s => Assert.InRange(s.Select(r => r.Key[^1]).Distinct().Count(), 2, 98));
        Assert.Equal(Records, run.Log.Count(r => r.Key is [0xff]));
    }

    [Fact]
    public void Whoever_has_followed_the_changelog_from_the_start_holds_no_more_than_who_reads_what_compaction_leaves()
    {
        var run = new Run(_factory);
        run.Until(Records, commitEvery: 1);
        var records = run.Log.Count;
        var followed = run.Restore(compact: 0);
        var read = run.Restore(compact: 2);

        Assert.True(run.Log.Count < records / 4, $"{run.Log.Count} of {records}");
        Assert.Equal(read.Bytes, followed.Bytes);
        Assert.True(read.Bytes > 0);
    }

    [Fact]
    public void A_header_of_each_commit_tells_position_clock_and_versions()
    {
        var run = new Run(_factory);
        run.Until(50, commitEvery: 5);
        var restore = run.Restore(compact: 2);

        Assert.Equal(50, restore.Position);
        Assert.Equal(50, run.Core.Position);
        Assert.Equal(UnixMicros.From(Fleet.Start + (49 * Fleet.Step)) + 1_000_000, run.Core.Clock);
        Assert.Equal((1, 1), (run.Core.ActiveVersion("single"), run.Core.ActiveVersion("multi")));
    }

    [Fact]
    public void Forgetting_what_was_taken_leaves_it_to_the_next_owner()
    {
        var run = new Run(_factory);
        run.Until(10, commitEvery: 5);
        run.Take(10);
        Assert.True(run.Core.IsDirty);

        run.Core.Forget();

        Assert.False(run.Core.IsDirty);
        Assert.Equal((10, 0), (run.Core.Position, run.Core.Pending));
    }

    [Fact]
    public void A_reset_clears_one_stream_at_its_place_in_the_log_and_survives_a_restore()
    {
        var expected = new Run(_factory);
        expected.Until(100, commitEvery: 10);
        Assert.False(expected.Core.Reset("nobody"u8.ToArray()));
        Assert.True(expected.Core.Reset("s/0"u8.ToArray()));
        expected.Commit();
        var restored = new Run(_factory);
        restored.Adopt(expected);
        expected.Until(140, commitEvery: 10);
        restored.Until(140, commitEvery: 3);

        Assert.Equal(Flat(expected.Outputs), Flat(restored.Outputs));
        Assert.Equal(40, expected.Core.Describe("s/0"u8.ToArray())!["channels"]!["value"]!["observed_frames"]!.GetValue<int>());
    }

    [Fact]
    public void State_of_another_format_profile_or_without_its_snapshot_is_refused_by_name()
    {
        var run = new Run(_factory);
        run.Until(60, commitEvery: 5);
        var snapshot = run.Log.First(r => r.Key.Length > 1 && r.Key[^1] == 0);
        var entry = run.Log.First(r => r.Key.Length > 1 && r.Key[^1] is not (0 or Shard.HeaderSlot));

        var format = Refusal(r => r.Apply(snapshot.Key, [9, .. snapshot.Value.AsSpan()[1..]], tombstone: false));
        var slot = Refusal(r => r.Apply(entry.Key, snapshot.Value, tombstone: false));
        var torn = Refusal(r => r.Apply(snapshot.Key, [PartitionCore.FormatVersion, 1, 200, 0, 0, 0, 1], tombstone: false));
        var orphan = Refusal(r =>
        {
            r.Apply(entry.Key, entry.Value, tombstone: false);
            r.Into(_factory.Create("meters", 3, 12, 100));
        });
        var foreign = Refusal(r => r.Apply("x"u8, "hello"u8, tombstone: false));

        Assert.Contains("has format 9; this program reads 3", format, StringComparison.Ordinal);
        Assert.Contains($"kind 1 in slot {entry.Key[^1]}", slot, StringComparison.Ordinal);
        Assert.Contains("ends early", torn, StringComparison.Ordinal);
        Assert.Contains("have no snapshot", orphan, StringComparison.Ordinal);
        Assert.Contains("key of 1 bytes", foreign, StringComparison.Ordinal);
    }

    private static string Refusal(Action<PartitionRestore> act) => Assert.Throws<CorruptLogException>(() => act(new PartitionRestore())).Message;

    private static List<string> Flat(IEnumerable<OutputRecord> outputs) => [.. outputs.Select(o => $"{o.Kind} {o.Stream} {o.TimeMicros} {Encoding.UTF8.GetString(o.Json.Span)}")];

    /// <summary>A partition, its changelog and what was committed of its outputs.</summary>
    private sealed class Run(PartitionFactory factory)
    {
        public PartitionCore Core { get; private set; } = factory.Create("meters", 3, 12, 100);

        public List<StateRecord> Log { get; init; } = [];

        public List<OutputRecord> Outputs { get; } = [];

        public long Position { get; private set; }

        public void Until(int end, int commitEvery)
        {
            while (Core.Position < end)
            {
                Take(Core.Position);
                if (Core.Position % commitEvery == 0 || Core.Position == end)
                    Commit();
            }
        }

        public void Take(long position)
        {
            // Control entries and time have their place between records; here it follows from the position.
            if (position is 30 or 200)
            {
                Core.Activate("single", position == 30 ? 1 : 2);
                Core.Activate("multi", position == 30 ? 1 : 2);
            }

            if (position % 20 == 19)
                Core.Tick(UnixMicros.From(Fleet.Start + (position * Fleet.Step)));
            var quarter = Fleet.Quarter((int)position);
            for (var i = 0; i < quarter.Count; i++)
                Core.Samples.Add(quarter.Key(i), quarter.EventTime(i), quarter.Arrival(i), quarter.Values(i));
            if (position % 90 == 8)
                Core.Samples.AddDeadLetter(DeadLetter.Create(DeadLetterReason.Malformed, "grid", string.Create(CultureInfo.InvariantCulture, $"meters[3]@{position}"), "Bad.", 0, "{"u8));
            Core.Took(position);
        }

        public void Commit()
        {
            var made = Core.Process();
            Outputs.AddRange(made.Outputs);
            Log.AddRange(made.State);
            Position = Core.Position;
            Core.Committed();
        }

        public void Lose(int records)
        {
            for (var i = 0; i < records && Core.Position < Records; i++)
                Take(Core.Position);
            if (records > 0)
                _ = Core.Process();
        }

        /// <param name="compact">0 = the log as it is, 1 = its older half compacted, 2 = all of it.</param>
        public PartitionRestore Restore(int compact)
        {
            var cut = Log.Count * compact / 2;
            var head = Log.Take(cut).Reverse().DistinctBy(r => Convert.ToHexString(r.Key)).Reverse();
            var compacted = head.Concat(Log.Skip(cut)).ToList();
            Log.Clear();
            Log.AddRange(compacted);
            var restore = new PartitionRestore();
            foreach (var record in Log)
                restore.Apply(record.Key, record.Value, tombstone: false);
            Assert.Equal(Position, restore.Position ?? 0);
            Core = factory.Create("meters", 3, 12, 100);
            restore.Into(Core);
            return restore;
        }

        public void Adopt(Run other)
        {
            Log.AddRange(other.Log);
            Outputs.AddRange(other.Outputs);
            Position = other.Position;
            Restore(compact: 1);
        }
    }
}
