using System.Globalization;
using Confluent.Kafka;
using FsCheck;
using FsCheck.Fluent;
using StreamLstm.Connectors.Kafka.Partitions;

namespace StreamLstm.Integration.Tests.Kafka;

/// <summary>Who keeps which partition warm: agreed by all workers without a word between them.</summary>
public sealed class StandbyPlanTests
{
    [Fact]
    public void At_rest_every_partition_is_kept_by_as_many_workers_besides_its_owner_as_were_asked_for() => Prop.ForAll(
        (from workers in Gen.Choose(1, 6) from threads in Gen.Choose(1, 3) from partitions in Gen.Choose(0, 40) from standbys in Gen.Choose(0, 4) select (workers, threads, partitions, standbys)).ToArbitrary(),
        x =>
        {
            var members = Group(x.workers, x.threads, x.partitions);
            var kept = Workers(members).SelectMany(w => StandbyPlan.AtRest(w, members, x.standbys).Select(p => (Worker: w, Partition: p))).ToList();
            foreach (var (owner, partition) in members.SelectMany(m => m.Partitions.Select(p => (m.Worker, p))))
            {
                var by = kept.Where(k => k.Partition == partition).Select(k => k.Worker).ToList();
                Assert.Equal(Math.Min(x.standbys, x.workers - 1), by.Count);
                Assert.DoesNotContain(owner, by);
            }
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void The_first_standbys_of_a_workers_partitions_are_those_with_the_fewest_so_that_they_share_them_evenly()
    {
        var members = Group(workers: 4, threads: 1, partitions: 12);
        var shares = Workers(members).Skip(1).Select(w => StandbyPlan.AtRest(w, members, 1).Count(p => members[0].Partitions.Contains(p)));
        Assert.Equal([1, 1, 1], shares);
        Assert.Equal("m[[0]] m[[4]] m[[8]]", string.Join(' ', members[0].Partitions.Select(p => p.ToString().Replace(" ", "", StringComparison.Ordinal))));
    }

    [Fact]
    public void A_worker_that_joins_foresees_its_share_one_partition_of_each_that_has_most()
    {
        var members = Group(workers: 3, threads: 1, partitions: 12);
        var foreseen = StandbyPlan.AtJoining("new", 1, members);
        Assert.Equal(3, foreseen.Count);
        Assert.All(members, m => Assert.Single(m.Partitions.Intersect(foreseen)));
        Assert.Empty(StandbyPlan.AtJoining("new", 1, []));
        Assert.Empty(StandbyPlan.AtJoining("new", 1, Group(workers: 3, threads: 1, partitions: 3)));
        Assert.Equal(6, StandbyPlan.AtJoining("new", 2, Group(workers: 1, threads: 1, partitions: 9)).Count);
    }

    [Fact]
    public void A_worker_that_comes_back_under_its_name_foresees_what_it_had()
    {
        var members = Group(workers: 3, threads: 2, partitions: 12);
        Assert.Equal(members.Where(m => m.Worker == "w1").SelectMany(m => m.Partitions).ToHashSet(), StandbyPlan.AtJoining("w1", 2, members));
    }

    private static List<string> Workers(List<GroupMember> members) => [.. members.Select(m => m.Worker).Distinct()];

    private static List<GroupMember> Group(int workers, int threads, int partitions) =>
    [
        .. Enumerable.Range(0, workers * threads).Select(i => new GroupMember(
            string.Create(CultureInfo.InvariantCulture, $"w{i / threads}-{i}"),
            string.Create(CultureInfo.InvariantCulture, $"w{i / threads}"),
            [.. Enumerable.Range(0, partitions).Where(p => p % (workers * threads) == i).Select(p => new TopicPartition("m", p))])),
    ];
}
