using System.Runtime.InteropServices;
using Confluent.Kafka;
using Confluent.Kafka.Admin;
using StreamLstm.Connectors.Kafka;

namespace StreamLstm.Integration.Tests.Kafka;

/// <summary>
/// One broker to test against: librdkafka's own mock cluster inside this process, which speaks the protocol over TCP on
/// 127.0.0.1, or the cluster that <c>STREAMLSTM_TEST_KAFKA</c> names as host:port.
/// </summary>
public sealed class KafkaCluster : IDisposable
{
    private const int Brokers = 1;

    private readonly nint _client;
    private readonly nint _mock;

    public KafkaCluster()
        : this(Environment.GetEnvironmentVariable("STREAMLSTM_TEST_KAFKA"))
    {
    }

    private unsafe KafkaCluster(string? servers)
    {
        LoadLibrary();
        if (!string.IsNullOrEmpty(servers))
        {
            BootstrapServers = servers;
            return;
        }

        byte* error = stackalloc byte[512];
        _client = ((delegate* unmanaged[Cdecl]<int, nint, byte*, nuint, nint>)Export("rd_kafka_new"))(0, 0, error, 512);
        Assert.NotEqual(0, _client);
        _mock = ((delegate* unmanaged[Cdecl]<nint, int, nint>)Export("rd_kafka_mock_cluster_new"))(_client, Brokers);
        Assert.NotEqual(0, _mock);
        BootstrapServers = Marshal.PtrToStringUTF8(((delegate* unmanaged[Cdecl]<nint, nint>)Export("rd_kafka_mock_cluster_bootstraps"))(_mock))!;

        // The default of three seconds serves large groups.
        ((delegate* unmanaged[Cdecl]<nint, int, void>)Export("rd_kafka_mock_group_initial_rebalance_delay_ms"))(_mock, 100);
    }

    public string BootstrapServers { get; }

    /// <summary>How clients speak to the cluster that the environment names: <c>STREAMLSTM_TEST_KAFKA_CLIENT</c>, librdkafka's settings as <c>key=value;…</c>.</summary>
    public static IReadOnlyDictionary<string, string> Client { get; } = (Environment.GetEnvironmentVariable("STREAMLSTM_TEST_KAFKA_CLIENT") ?? "")
        .Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(p => p.Split('=', 2)).ToDictionary(p => p[0], p => p[1], StringComparer.Ordinal);

    public bool IsMock => _mock != 0;

    /// <summary>A mock cluster of its own, whatever the environment says, for tests that break it.</summary>
    public static KafkaCluster Mock() => new(servers: null);

    /// <summary>Finds the library as users do, or where the build script puts it; child processes find it as well.</summary>
    public static void LoadLibrary()
    {
        if (string.IsNullOrEmpty(Environment.GetEnvironmentVariable(KafkaNative.PathVariable)))
        {
            var cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } set
                ? set
                : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
            var built = Path.Combine(cache, "streamlstm", "librdkafka-2.15.1", "librdkafka.so.1");
            if (File.Exists(built))
                Environment.SetEnvironmentVariable(KafkaNative.PathVariable, built);
        }

        try
        {
            KafkaNative.Load();
        }
        catch (KafkaLibraryException e)
        {
            Assert.Fail("Run tests/tools/build-librdkafka.sh first: these tests need librdkafka. " + e.Message);
        }
    }

    /// <summary>A test's own client, with <see cref="Client"/>.</summary>
    public static T Secured<T>(T config)
        where T : ClientConfig
    {
        foreach (var (key, value) in Client)
            config.Set(key, value);
        return config;
    }

    public unsafe void SetDown() => ((delegate* unmanaged[Cdecl]<nint, int, int>)Export("rd_kafka_mock_broker_set_down"))(_mock, 1);

    public unsafe void SetUp() => ((delegate* unmanaged[Cdecl]<nint, int, int>)Export("rd_kafka_mock_broker_set_up"))(_mock, 1);

    /// <summary>The mock answers the next requests of a kind with these errors; 0 = in order.</summary>
    public unsafe void PushErrors(short api, ReadOnlySpan<int> errors)
    {
        fixed (int* first = errors)
            Assert.Equal(0, ((delegate* unmanaged[Cdecl]<nint, short, nuint, int*, int>)Export("rd_kafka_mock_push_request_errors_array"))(_mock, api, (nuint)errors.Length, first));
    }

    /// <summary>Every answer of the mock comes this much later.</summary>
    public unsafe void SetLatency(TimeSpan latency) => ((delegate* unmanaged[Cdecl]<nint, int, int, int>)Export("rd_kafka_mock_broker_set_rtt"))(_mock, -1, (int)latency.TotalMilliseconds);

    public async Task<string> CreateTopicAsync(string name, int partitions)
    {
        var topic = $"{name}-{Guid.NewGuid().ToString("N")[..8]}";
        await CreateExactTopicAsync(topic, partitions);
        return topic;
    }

    public async Task CreateExactTopicAsync(string topic, int partitions)
    {
        if (_mock != 0)
        {
            CreateInMock(topic, partitions);
            return;
        }

        using var admin = new AdminClientBuilder(Secured(new AdminClientConfig { BootstrapServers = BootstrapServers })).Build();
        await admin.CreateTopicsAsync([new TopicSpecification { Name = topic, NumPartitions = partitions, ReplicationFactor = 1 }]);
    }

    public unsafe void Dispose()
    {
        if (_mock == 0)
            return;
        ((delegate* unmanaged[Cdecl]<nint, void>)Export("rd_kafka_mock_cluster_destroy"))(_mock);
        ((delegate* unmanaged[Cdecl]<nint, void>)Export("rd_kafka_destroy"))(_client);
    }

    private unsafe void CreateInMock(string topic, int partitions)
    {
        var name = Marshal.StringToCoTaskMemUTF8(topic);
        var error = ((delegate* unmanaged[Cdecl]<nint, nint, int, int, int>)Export("rd_kafka_mock_topic_create"))(_mock, name, partitions, 1);
        Marshal.FreeCoTaskMem(name);
        Assert.Equal(0, error);
    }

    private static nint Export(string name) => NativeLibrary.GetExport(KafkaNative.Handle, name);
}
