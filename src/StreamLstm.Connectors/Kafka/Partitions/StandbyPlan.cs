using Confluent.Kafka;

namespace StreamLstm.Connectors.Kafka.Partitions;

/// <summary>A thread of a worker, as the group knows it.</summary>
/// <param name="Worker">Same for all threads of a process, which start and die together.</param>
internal sealed record GroupMember(string Id, string Worker, IReadOnlyList<TopicPartition> Partitions);

/// <summary>
/// Which partitions a worker should hold the state of, although it doesn't own them: those that the group would give it next.
/// librdkafka's <c>cooperative-sticky</c> gives a partition without an owner to the member with the fewest, and takes from those with the most when
/// a member joins; every worker foresees the same by the same rule. Where the group decides otherwise, the state is read from the topic.
/// </summary>
internal static class StandbyPlan
{
    /// <summary>What this worker keeps warm while the group is at rest.</summary>
    /// <param name="standbys">Workers besides the owner that keep a partition; the first is the one that would get it if the owner died.</param>
    public static HashSet<TopicPartition> AtRest(string worker, IReadOnlyList<GroupMember> members, int standbys)
    {
        var kept = new HashSet<TopicPartition>();
        foreach (var owner in members.Select(m => m.Worker).Distinct().Where(w => w != worker))
        {
            var heirs = members.Where(m => m.Worker != owner).Select(m => new Load(m.Id, m.Worker, m.Partitions.Count)).ToList();
            // From the last to the first, as the assignor does.
            foreach (var partition in InOrder(members.Where(m => m.Worker == owner).SelectMany(m => m.Partitions)).Reverse())
            {
                var taken = new HashSet<string>();
                foreach (var heir in heirs.OrderBy(h => h.Count).ThenBy(h => h.Id, StringComparer.Ordinal).ToList())
                {
                    if (taken.Count == standbys)
                        break;
                    if (!taken.Add(heir.Worker))
                        continue;
                    heir.Count += taken.Count == 1 ? 1 : 0;
                    if (heir.Worker == worker)
                        kept.Add(partition);
                }
            }
        }

        return kept;
    }

    /// <summary>What a worker that is about to join will get: its own from before a restart, and of the others' one by one from whoever has most.</summary>
    /// <param name="threads">How many members it will be.</param>
    public static HashSet<TopicPartition> AtJoining(string worker, int threads, IReadOnlyList<GroupMember> members)
    {
        var kept = members.Where(m => m.Worker == worker).SelectMany(m => m.Partitions).ToHashSet();
        var others = members.Where(m => m.Worker != worker).Select(m => (m.Id, Left: new Queue<TopicPartition>(InOrder(m.Partitions)))).ToList();
        var mine = Enumerable.Repeat(kept.Count / threads, threads).ToArray();
        while (others.Count > 0)
        {
            var most = others.OrderByDescending(o => o.Left.Count).ThenByDescending(o => o.Id, StringComparer.Ordinal).First().Left;
            var least = Array.IndexOf(mine, mine.Min());
            if (most.Count <= mine[least] + 1)
                break;
            mine[least]++;
            kept.Add(most.Dequeue());
        }

        return kept;
    }

    private static IEnumerable<TopicPartition> InOrder(IEnumerable<TopicPartition> partitions) =>
        partitions.OrderBy(p => p.Topic, StringComparer.Ordinal).ThenBy(p => p.Partition.Value);

    private sealed class Load(string id, string worker, int count)
    {
        public string Id { get; } = id;

        public string Worker { get; } = worker;

        public int Count { get; set; } = count;
    }
}
