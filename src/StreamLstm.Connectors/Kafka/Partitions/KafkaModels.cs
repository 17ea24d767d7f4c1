using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Confluent.Kafka;
using Microsoft.Extensions.Logging;
using StreamLstm.Runtime.Partitioned;

namespace StreamLstm.Connectors.Kafka.Partitions;

/// <summary>
/// The versions of a source's shared models, as its models topic has them, taken into the factory's store. Key: <c>profile/version</c> with value
/// <c>[position in the training topic i64][weights]</c>, or <c>profile/trainer</c> with the trainer's state. Thread-safe: whoever needs to know reads on.
/// </summary>
internal sealed partial class KafkaModels(KafkaPartitionSettings settings, ConsumerConfig config, PartitionFactory factory, ILogger logger) : IDisposable
{
    private static readonly TimeSpan Request = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(100);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, byte[]> _states = new(StringComparer.Ordinal);
    private readonly List<(string Profile, long Position)> _rounds = [];
    private readonly Dictionary<string, int> _newest = new(StringComparer.Ordinal);
    private readonly TopicPartition _topic = new(settings.Models, 0);
    private IConsumer<byte[], byte[]>? _consumer;
    private long _next;

    /// <summary>Reads what has been committed since. Afterwards every version that any state may speak of is in the store.</summary>
    /// <exception cref="KafkaException">The cluster doesn't answer; to be tried again.</exception>
    public void CatchUp(CancellationToken stopping)
    {
        lock (_gate)
        {
            if (_consumer is null)
            {
                _consumer = new ConsumerBuilder<byte[], byte[]>(config).SetLogHandler((_, _) => { }).SetErrorHandler((_, _) => { }).Build();
                _consumer.Assign(new TopicPartitionOffset(_topic, Offset.Beginning));
            }

            var end = _consumer.QueryWatermarkOffsets(_topic, Request).High.Value;
            while (_next < end)
            {
                stopping.ThrowIfCancellationRequested();
                if (_consumer.Consume(Poll) is not { } record)
                    continue;
                _next = record.Offset.Value + (record.IsPartitionEOF ? 0 : 1);
                if (!record.IsPartitionEOF && record.Message is { Key: { } key, Value: { } value })
                    Take(Encoding.UTF8.GetString(key), value);
            }
        }
    }

    /// <summary>What a trainer begins with.</summary>
    public (IReadOnlyDictionary<string, byte[]> States, IReadOnlyList<(string Profile, long Position)> Rounds) History()
    {
        lock (_gate)
            return (new Dictionary<string, byte[]>(_states, StringComparer.Ordinal), [.. _rounds]);
    }

    /// <summary>The number of a profile's next version.</summary>
    public int NextVersion(string profile)
    {
        lock (_gate)
            return _newest.GetValueOrDefault(profile) + 1;
    }

    public static Message<byte[], byte[]> Weights(string profile, int version, long position, byte[] weights)
    {
        var value = new byte[8 + weights.Length];
        BinaryPrimitives.WriteInt64LittleEndian(value, position);
        weights.CopyTo(value, 8);
        return new() { Key = Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{profile}/{version}")), Value = value };
    }

    public static Message<byte[], byte[]> State(string profile, byte[] state) => new() { Key = Encoding.UTF8.GetBytes(profile + "/trainer"), Value = state };

    public void Dispose() => _consumer?.Dispose();

    private void Take(string key, byte[] value)
    {
        var slash = key.LastIndexOf('/');
        if (slash < 0)
            return;
        var profile = key[..slash];
        if (key[(slash + 1)..] == "trainer")
        {
            _states[profile] = value;
            return;
        }

        if (!int.TryParse(key.AsSpan(slash + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var version) || value.Length < 8)
            return;
        _rounds.Add((profile, BinaryPrimitives.ReadInt64LittleEndian(value)));
        _newest[profile] = Math.Max(_newest.GetValueOrDefault(profile), version);
        if (!factory.AddModel(profile, version, value[8..]))
            Log.Foreign(logger, settings.Name, profile, version);
    }

    private static partial class Log
    {
        [LoggerMessage(460, LogLevel.Warning, "{Name}: model version {Version} of profile {Profile} isn't for this configuration and is passed over")]
        public static partial void Foreign(ILogger logger, string name, string profile, int version);
    }
}
