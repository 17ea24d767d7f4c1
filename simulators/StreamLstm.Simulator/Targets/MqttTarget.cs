using System.Buffers;
using System.Text.Json;
using StreamLstm.Connectors.Mqtt;

namespace StreamLstm.Simulator.Targets;

/// <summary>
/// One QoS 1 message per sample, in order, with a bounded number under way. A lost connection is made again and what was
/// not acknowledged is sent again.
/// </summary>
internal sealed class MqttTarget : ISampleTarget
{
    private const int MaxInFlight = 256;
    private const byte ServerUnavailable = 0x88, ServerBusy = 0x89, ConnectionRateExceeded = 0x9F;
    private static readonly TimeSpan ReconnectPause = TimeSpan.FromMilliseconds(250);

    private readonly MqttClient _client;
    private readonly string _server;
    private readonly string _topic;
    private readonly TimeProvider _clock;
    private readonly Queue<Task> _underWay = new(MaxInFlight);
    private readonly Dictionary<string, string> _topics = new(StringComparer.Ordinal);
    private readonly ArrayBufferWriter<byte> _payload = new(256);
    private readonly Utf8JsonWriter _json;
    private readonly CancellationTokenSource _ended = new();
    private Task _supervision = Task.CompletedTask;
    private volatile string? _failure;

    private MqttTarget(Uri server, string topic, TimeProvider clock)
    {
        string prefix = Uri.UnescapeDataString(server.AbsolutePath).Trim('/');
        _topic = prefix.Length == 0 ? topic : prefix + "/" + topic;
        _clock = clock;
        _json = new Utf8JsonWriter(_payload);
        bool tls = server.Scheme == "mqtts";
        string[] user = server.UserInfo.Split(':', 2);
        var options = new MqttClientOptions
        {
            Host = server.IdnHost,
            Port = server.Port > 0 ? server.Port : tls ? 8883 : 1883,
            Tls = tls ? new MqttTlsSettings() : null,
            ClientId = "streamlstm-sim-" + Guid.NewGuid().ToString("N")[..8],
            Username = server.UserInfo.Length > 0 ? Uri.UnescapeDataString(user[0]) : null,
            Password = user.Length > 1 ? Uri.UnescapeDataString(user[1]) : null,
            SessionExpiry = TimeSpan.FromMinutes(1),
            MaxInFlight = MaxInFlight,
        };
        _server = $"{server.Scheme}://{options.Host}:{options.Port}";
        _client = new MqttClient(options, clock);
    }

    /// <exception cref="DeliveryException">The broker can't be reached or refuses the connection.</exception>
    public static async Task<MqttTarget> ConnectAsync(Uri server, string topic, TimeProvider clock, CancellationToken stopping)
    {
        var target = new MqttTarget(server, topic, clock);
        try
        {
            MqttConnection connection = await target.ConnectAsync(stopping);
            target._supervision = target.SuperviseAsync(connection);
            return target;
        }
        catch
        {
            await target.DisposeAsync();
            throw;
        }
    }

    public ValueTask SendAsync(in Sample sample, CancellationToken stopping)
    {
        if (!_topics.TryGetValue(sample.Stream, out string? topic))
        {
            _topics[sample.Stream] = topic = _topic.Replace("{stream}", TopicPart(sample.Stream), StringComparison.Ordinal);
        }

        _payload.ResetWrittenCount();
        sample.WriteTo(_json, withStream: false);
        _json.Flush();
        _json.Reset();
        return PublishAsync(topic, _payload.WrittenSpan.ToArray(), stopping);
    }

    public async ValueTask FlushAsync(CancellationToken stopping)
    {
        while (_underWay.Count > 0)
        {
            await AcknowledgedAsync(stopping);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _ended.CancelAsync();
        await _supervision;
        await _client.DisposeAsync();

        // What was under way has ended now, acknowledged or cancelled; nobody waits for it any more.
        await Task.WhenAll(_underWay).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _json.DisposeAsync();
        _ended.Dispose();
    }

    private async ValueTask PublishAsync(string topic, byte[] payload, CancellationToken stopping)
    {
        while (_underWay.Count >= MaxInFlight)
        {
            await AcknowledgedAsync(stopping);
        }

        _underWay.Enqueue(_client.PublishAsync(topic, payload, qos: 1, retain: false, _ended.Token));
    }

    private async Task AcknowledgedAsync(CancellationToken stopping)
    {
        try
        {
            await _underWay.Peek().WaitAsync(stopping);
            _ = _underWay.Dequeue();
        }
        catch (OperationCanceledException) when (_failure is { } failure)
        {
            throw new DeliveryException(failure);
        }
        catch (MqttException e)
        {
            throw new DeliveryException($"{_server}: {e.Message}", e);
        }
    }

    private async Task<MqttConnection> ConnectAsync(CancellationToken stopping)
    {
        var backOff = new BackOff();
        while (true)
        {
            try
            {
                return await _client.ConnectAsync(stopping);
            }
            catch (MqttException e)
            {
                bool passing = e.ReasonCode is null or ServerUnavailable or ServerBusy or ConnectionRateExceeded;
                if (!passing || backOff.Next() is not { } wait)
                {
                    throw new DeliveryException($"{_server}: {e.Message}{(passing ? $"; given up after {BackOff.MaxAttempts} attempts" : "")}.", e);
                }

                await Console.Error.WriteLineAsync($"{_server}: {e.Message}; trying again.");
                await Task.Delay(wait, _clock, stopping);
            }
        }
    }

    /// <summary>Connects again whenever the connection is lost; ends the publishes under way when that is hopeless.</summary>
    private async Task SuperviseAsync(MqttConnection connection)
    {
        try
        {
            while (true)
            {
                string reason = await connection.Closed.WaitAsync(_ended.Token);
                await Console.Error.WriteLineAsync($"{_server}: {reason}; connecting again.");
                await Task.Delay(ReconnectPause, _clock, _ended.Token);
                connection = await ConnectAsync(_ended.Token);
            }
        }
        catch (DeliveryException e)
        {
            _failure = e.Message;
            await _ended.CancelAsync();
        }
        catch (OperationCanceledException) when (_ended.IsCancellationRequested)
        {
            return;
        }
    }

    /// <summary>Percent-encodes what a topic can't hold; slashes stay levels.</summary>
    private static string TopicPart(string stream) => stream
        .Replace("%", "%25", StringComparison.Ordinal)
        .Replace("+", "%2B", StringComparison.Ordinal)
        .Replace("#", "%23", StringComparison.Ordinal);
}
