using System.Buffers;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using StreamLstm.Runtime.Output;

namespace StreamLstm.Connectors.Mqtt;

/// <summary>
/// Publishes to <c>&lt;prefix&gt;/&lt;stream&gt;/result|forecast|episode</c>, <c>&lt;prefix&gt;/deadletter</c> and keeps
/// <c>&lt;prefix&gt;/status</c> at <c>online</c> or, by its will, <c>offline</c>.
/// </summary>
public sealed partial class MqttSink : IResultSink
{
    private static readonly TimeSpan RefusedPause = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan FarewellLimit = TimeSpan.FromSeconds(2);

    private readonly MqttSinkSettings _settings;
    private readonly ILogger<MqttSink> _logger;
    private readonly TimeProvider _clock;
    private readonly MqttReconnector _reconnector;
    private readonly MqttClientOptions _options;
    private readonly MqttClient _client;
    private readonly CancellationTokenSource _stopping = new();
    private readonly string _statusTopic;
    private Task _connecting = Task.CompletedTask;
    private volatile string? _refused;

    /// <param name="clock">For network time-outs and pauses. Null = the system's.</param>
    /// <exception cref="ArgumentException">The settings can't work; the message says why.</exception>
    public MqttSink(MqttSinkSettings settings, ILogger<MqttSink> logger, TimeProvider? clock = null)
    {
        ArgumentNullException.ThrowIfNull(settings);
        if (settings.Qos is < 0 or > 2)
            throw new ArgumentException($"Sink '{settings.Name}': Qos must be 0, 1 or 2.");
        if (settings.Prefix.Length == 0 || settings.Prefix.AsSpan().ContainsAny('+', '#', '\0') || settings.Prefix.EndsWith('/'))
            throw new ArgumentException($"Sink '{settings.Name}': Prefix must be a topic without wildcards and without a slash at its end.");

        _settings = settings;
        _logger = logger;
        _clock = clock ?? TimeProvider.System;
        _statusTopic = settings.Prefix + "/status";
        _reconnector = new MqttReconnector(settings, _clock, logger);
        _options = settings.ToClientOptions() with { Will = new MqttWill(_statusTopic, "offline"u8.ToArray(), Qos: 1, Retain: true) };
        _client = new MqttClient(_options, _clock);
    }

    public string Name => _settings.Name;

    public string? NotReady => _reconnector.NotReady ?? _refused;

    public ValueTask OpenAsync(SinkMark durable, CancellationToken cancellationToken)
    {
        _connecting = _reconnector.RunAsync(_client, (_, cancel) => _client.PublishAsync(_statusTopic, "online"u8.ToArray(), qos: 1, retain: true, cancel), _stopping.Token);
        return ValueTask.CompletedTask;
    }

    public async ValueTask<SinkMark> PublishAsync(long commit, IReadOnlyList<OutputRecord> records, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(records);
        var underWay = new Queue<Task>(_options.MaxInFlight);
        foreach (var record in records)
        {
            switch (record.Kind)
            {
                case OutputKind.Result:
                    await SendAsync(StreamTopic(record.Stream, "result"), record.Json, _settings.RetainResults && record.Newest);
                    if (record.Newest && TryGetForecast(record, out var forecast))
                        await SendAsync(StreamTopic(record.Stream, "forecast"), forecast, _settings.RetainForecasts);
                    break;
                case OutputKind.Episode:
                    await SendAsync(StreamTopic(record.Stream, "episode"), record.Json, retain: false);
                    break;
                case OutputKind.DeadLetter:
                    await SendAsync(_settings.Prefix + "/deadletter", record.Json, retain: false);
                    break;
                default:
                    throw new InvalidOperationException($"Output kind {record.Kind} has no topic.");
            }
        }

        while (underWay.TryDequeue(out var last))
            await OrBrokenAsync(last);
        return new SinkMark(commit, 0);

        // Keeps the window full without ever exceeding it: one place is left for the status message.
        async ValueTask SendAsync(string topic, ReadOnlyMemory<byte> payload, bool retain)
        {
            if (underWay.Count == _options.MaxInFlight - 1)
                await OrBrokenAsync(underWay.Dequeue());
            underWay.Enqueue(PublishOneAsync(topic, payload, retain, cancellationToken));
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_stopping.IsCancellationRequested)
            return;

        // A clean goodbye suppresses the will, so "offline" is said first. Without a connection the will has spoken already.
        if (_reconnector.NotReady is null)
        {
            using var limit = new CancellationTokenSource(FarewellLimit, _clock);
            await _client.PublishAsync(_statusTopic, "offline"u8.ToArray(), qos: 1, retain: true, limit.Token)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        await _stopping.CancelAsync();
        await _connecting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _client.DisposeAsync();
        _stopping.Dispose();
    }

    /// <summary>Publishing waits for ever for a connection, but not for one that nobody makes any more.</summary>
    private async Task OrBrokenAsync(Task publishing)
    {
        if (!publishing.IsCompleted && await Task.WhenAny(publishing, _connecting) == _connecting)
        {
            await _connecting;
            throw new InvalidOperationException($"Sink '{Name}' is not open.");
        }

        await publishing;
    }

    private async Task PublishOneAsync(string topic, ReadOnlyMemory<byte> payload, bool retain, CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                await _client.PublishAsync(topic, payload, _settings.Qos, retain, cancellationToken);
                _refused = null;
                return;
            }
            catch (MqttException e) when (e.IsPermanent)
            {
                // Waiting would hold everything behind it for ever; the record stays available through the other outputs.
                Log.RecordRefused(_logger, Name, topic, payload.Length, e.Message);
                return;
            }
            catch (MqttException e)
            {
                // An access rule or a quota: someone must act at the broker, meanwhile nothing is skipped.
                if (_refused is null)
                    Log.Refused(_logger, Name, e.Message);
                _refused = e.Message;
                await Task.Delay(RefusedPause, _clock, cancellationToken);
            }
        }
    }

    private string StreamTopic(string stream, string kind) => $"{_settings.Prefix}/{MqttTopic.Encode(stream)}/{kind}";

    /// <summary><c>{"schema":1,"stream":…,"issued_at":…,"forecast":{…}}</c> with the parts exactly as they stand in the result.</summary>
    internal static bool TryGetForecast(in OutputRecord record, out ReadOnlyMemory<byte> forecastJson)
    {
        forecastJson = default;
        var json = record.Json.Span;
        ReadOnlySpan<byte> stream = default, issuedAt = "null"u8, forecast = default;
        var reader = new Utf8JsonReader(json);
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var isStream = reader.ValueTextEquals("stream"u8);
            var isIssuedAt = reader.ValueTextEquals("issued_at"u8);
            var isForecast = reader.ValueTextEquals("forecast"u8);
            reader.Read();
            var start = (int)reader.TokenStartIndex;
            var isObject = reader.TokenType == JsonTokenType.StartObject;
            reader.Skip();
            var value = json[start..(int)reader.BytesConsumed];
            if (isStream)
                stream = value;
            else if (isIssuedAt)
                issuedAt = value;
            else if (isForecast && isObject)
                forecast = value;
        }

        if (forecast.IsEmpty)
            return false;
        if (stream.IsEmpty)
            stream = JsonSerializer.SerializeToUtf8Bytes(record.Stream);

        var result = new ArrayBufferWriter<byte>(forecast.Length + stream.Length + 96);
        result.Write("""{"schema":1,"stream":"""u8);
        result.Write(stream);
        result.Write(""","issued_at":"""u8);
        result.Write(issuedAt);
        result.Write(""","forecast":"""u8);
        result.Write(forecast);
        result.Write("}"u8);
        forecastJson = result.WrittenMemory;
        return true;
    }

    private static partial class Log
    {
        [LoggerMessage(302, LogLevel.Error, "{Name} skips a record of {Bytes} bytes for {Topic}, which the broker will never take: {Reason}")]
        public static partial void RecordRefused(ILogger logger, string name, string topic, int bytes, string reason);

        [LoggerMessage(303, LogLevel.Warning, "{Name} waits: {Reason}")]
        public static partial void Refused(ILogger logger, string name, string reason);
    }
}
