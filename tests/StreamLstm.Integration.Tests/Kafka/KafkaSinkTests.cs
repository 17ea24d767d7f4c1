using System.Text;
using Confluent.Kafka;
using Microsoft.Extensions.Logging.Abstractions;
using StreamLstm.Connectors.Kafka;
using StreamLstm.Runtime.Output;
using static StreamLstm.Integration.Tests.Kafka.KafkaTests;

namespace StreamLstm.Integration.Tests.Kafka;

[Trait("Category", "Kafka")]
public sealed class KafkaSinkTests(KafkaCluster cluster) : IClassFixture<KafkaCluster>
{
    // The values that Kafka's own UtilsTest expects of murmur2.
    private static readonly (string Key, int Murmur2)[] Known =
    [
        ("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536), ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971), ("abc", 479470107),
    ];

    [Fact]
    public async Task Records_lie_in_their_topics_under_the_streams_key_in_the_partition_of_kafkas_own_clients()
    {
        var prefix = "out-" + Guid.NewGuid().ToString("N")[..8];
        foreach (var topic in new[] { ".results", ".episodes", ".deadletters" })
            await cluster.CreateExactTopicAsync(prefix + topic, 4);
        await using var sink = await OpenAsync(prefix);
        OutputRecord[] records =
        [
            .. Known.Select((k, i) => Record(OutputKind.Result, k.Key, $$"""{"stream":"{{k.Key}}","n":{{i}}}""")),
            .. Known.Select((k, i) => Record(OutputKind.Result, k.Key, $$"""{"stream":"{{k.Key}}","n":{{i + 100}}}""")),
            Record(OutputKind.Episode, "abc", """{"episode":1}"""),
            Record(OutputKind.DeadLetter, "grid", """{"reason":"malformed"}"""),
        ];

        var mark = await sink.PublishAsync(7, records, TestContext.Current.CancellationToken);

        // Everything is there as soon as the mark is: nothing waits in the client.
        Assert.Equal(new SinkMark(7, 0), mark);
        var results = Read(prefix + ".results", 12);
        foreach (var (key, hash) in Known)
        {
            var ofKey = results.Where(r => r.Message.Key == key).ToList();
            Assert.Equal(records.Where(r => r.Kind == OutputKind.Result && r.Stream == key).Select(r => Encoding.UTF8.GetString(r.Json.Span)), ofKey.Select(r => r.Message.Value));
            Assert.All(ofKey, r => Assert.Equal((hash & 0x7fffffff) % 4, r.Partition.Value));
        }

        Assert.Equal(("abc", """{"episode":1}"""), KeyAndValue(Assert.Single(Read(prefix + ".episodes", 1))));
        Assert.Equal(("grid", """{"reason":"malformed"}"""), KeyAndValue(Assert.Single(Read(prefix + ".deadletters", 1))));
    }

    [Fact]
    public async Task A_commit_without_records_needs_no_cluster()
    {
        await using var sink = await OpenAsync("empty");
        Assert.Equal(new SinkMark(3, 0), await sink.PublishAsync(3, [], TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task A_record_that_the_cluster_can_never_take_is_skipped_and_the_others_are_published()
    {
        var prefix = "large-" + Guid.NewGuid().ToString("N")[..8];
        await cluster.CreateExactTopicAsync(prefix + ".results", 1);
        var logger = new ListLogger<KafkaSink>();
        await using var sink = await OpenAsync(prefix, logger, new Dictionary<string, string> { ["message.max.bytes"] = "1000" });

        await sink.PublishAsync(
            1, [Record(OutputKind.Result, "a", "1"), Record(OutputKind.Result, "a", new string('2', 2000)), Record(OutputKind.Result, "a", "3")],
            TestContext.Current.CancellationToken);

        Assert.Equal(["1", "3"], Read(prefix + ".results", 2).Select(r => r.Message.Value));
        Assert.Contains("skips a record of 2000 bytes", logger.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("a/b")]
    [InlineData("é")]
    [InlineData("with space")]
    public void A_prefix_that_makes_no_topic_is_refused(string prefix) =>
        Assert.Throws<ArgumentException>(() => new KafkaSink(
            new KafkaSinkSettings { Name = "out", BootstrapServers = cluster.BootstrapServers, TopicPrefix = prefix }, NullLogger<KafkaSink>.Instance));

    private static (string Key, string Value) KeyAndValue(ConsumeResult<string, string> record) => (record.Message.Key, record.Message.Value);

    private static OutputRecord Record(OutputKind kind, string stream, string json) => new(kind, stream, 0, 0, Encoding.UTF8.GetBytes(json));

    private async Task<KafkaSink> OpenAsync(string prefix, ListLogger<KafkaSink>? logger = null, Dictionary<string, string>? client = null)
    {
        var settings = new KafkaSinkSettings { Name = "out", BootstrapServers = cluster.BootstrapServers, TopicPrefix = prefix, Client = client ?? [] };
        var sink = new KafkaSink(settings, logger ?? new ListLogger<KafkaSink>());
        await sink.OpenAsync(default, TestContext.Current.CancellationToken);
        return sink;
    }

    /// <summary>What the topic holds, read without a group; stops after <paramref name="count"/> records.</summary>
    private List<ConsumeResult<string, string>> Read(string topic, int count)
    {
        using var consumer = new ConsumerBuilder<string, string>(new ConsumerConfig
        {
            BootstrapServers = cluster.BootstrapServers,
            GroupId = "reader",
            AutoOffsetReset = AutoOffsetReset.Earliest,
            EnableAutoCommit = false,
        }).Build();
        using var admin = new DependentAdminClientBuilder(consumer.Handle).Build();
        var partitions = admin.GetMetadata(topic, Patience).Topics[0].Partitions;
        consumer.Assign(partitions.Select(p => new TopicPartitionOffset(topic, p.PartitionId, Offset.Beginning)));
        var records = new List<ConsumeResult<string, string>>();
        var started = TimeProvider.System.GetTimestamp();
        while (records.Count < count)
        {
            Assert.True(TimeProvider.System.GetElapsedTime(started) < Patience, $"{topic} holds {records.Count} records.");
            if (consumer.Consume(TimeSpan.FromMilliseconds(100)) is { } record)
                records.Add(record);
        }

        consumer.Close();
        return records;
    }
}
