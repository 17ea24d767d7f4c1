using Microsoft.Extensions.Logging;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Mqtt;

/// <summary>
/// Subscribes to what the decoder's bindings need, appends in batches, and acknowledges after the append: a message that was not
/// made durable comes again, because the broker keeps the session. The packet ids of QoS 2 messages are appended with them, as the
/// source's position, until the broker has released them: what comes again although it was appended is only acknowledged again.
/// </summary>
public sealed partial class MqttSource : ISampleSource
{
    /// <summary>Enough to share one fsync among many messages, little enough to keep the batch in cache.</summary>
    private const int MaxBatchMessages = 512;

    private readonly MqttSourceSettings _settings;
    private readonly IPayloadDecoder _decoder;
    private readonly IReadOnlyList<string> _filters;
    private readonly ILogger<MqttSource> _logger;
    private readonly TimeProvider _clock;
    private readonly MqttReconnector _reconnector;
    private readonly MqttClientOptions _options;

    /// <param name="clock">For network time-outs and pauses; arrival stamps use the clock of the ingress. Null = the system's.</param>
    /// <exception cref="ArgumentException">The settings can't work; the message says why.</exception>
    public MqttSource(MqttSourceSettings settings, IPayloadDecoder decoder, ILogger<MqttSource> logger, TimeProvider? clock = null)
    {
        ArgumentNullException.ThrowIfNull(settings);
        ArgumentNullException.ThrowIfNull(decoder);
        if (settings.Qos is < 0 or > 2)
            throw new ArgumentException($"Source '{settings.Name}': Qos must be 0, 1 or 2.");
        if (decoder.Subscriptions.Count == 0)
            throw new ArgumentException($"Source '{settings.Name}' has no bindings, so there is nothing to subscribe to.");
        if (Problem(decoder.Subscriptions) is { } problem)
            throw new ArgumentException($"Source '{settings.Name}': {problem}");

        _settings = settings;
        _decoder = decoder;
        _filters = MqttFilters.WithoutCovered(decoder.Subscriptions);
        _logger = logger;
        _clock = clock ?? TimeProvider.System;
        _reconnector = new MqttReconnector(settings, _clock, logger);
        _options = settings.ToClientOptions() with
        {
            CleanStart = settings.CleanStart,
            SessionExpiry = settings.SessionExpiry,
            MaxPayloadBytes = settings.MaxPayloadBytes,
            ReceiveMaximum = settings.ReceiveMaximum,
        };
        _options.Validate();
    }

    public string Name => _settings.Name;

    public SourceStatus Status => _reconnector.NotReady is { } reason
        ? new SourceStatus(SourceState.Connecting, reason)
        : new SourceStatus(SourceState.Connected, null);

    /// <summary>Why a source can't subscribe to these topic filters, as a sentence; null if it can.</summary>
    public static string? Problem(IReadOnlyList<string> filters)
    {
        ArgumentNullException.ThrowIfNull(filters);
        if (filters.FirstOrDefault(MqttFilters.IsShared) is { } shared)
        {
            return $"the shared subscription '{shared}' deals messages out one by one, so that a stream's samples would end up at different workers and " +
                "its state would break. Give each worker its own topics instead, or bridge to Kafka keyed by stream.";
        }

        var distinct = MqttFilters.WithoutCovered(filters);
        for (var i = 0; i < distinct.Count; i++)
        {
            for (var j = 0; j < i; j++)
            {
                if (MqttFilters.Overlap(distinct[j], distinct[i]))
                {
                    return $"the topic filters '{distinct[j]}' and '{distinct[i]}' have topics in common, and neither contains the other. A broker may " +
                        "deliver such a message once or twice, and nothing tells its copies from repeated messages. Make one filter contain the " +
                        "other (it is subscribed alone then, and every binding still gets its messages), or set them apart.";
                }
            }
        }

        return null;
    }

    public async Task RunAsync(IIngress ingress, CancellationToken stopping)
    {
        ArgumentNullException.ThrowIfNull(ingress);
        await using var client = new MqttClient(_options, _clock);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        using var intake = new Intake(this, client, ingress);
        var connecting = _reconnector.RunAsync(client, (connection, cancel) => SubscribeAsync(client, connection, intake, cancel), both.Token);
        var pumping = PumpAsync(client, intake, both.Token);
        using var rebirths = _decoder is BindingDecoder bindings ? new SparkplugRebirths(Name, bindings, _clock, _logger) : null;
        var asking = rebirths?.RunAsync(client, both.Token) ?? Task.Delay(Timeout.Infinite, both.Token);

        // None ends by itself unless something is broken; then the others must not go on alone.
        var first = await Task.WhenAny(connecting, pumping, asking);
        await both.CancelAsync();
        await Task.WhenAll(connecting, pumping, asking).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!stopping.IsCancellationRequested)
            await first;
    }

    private static async Task PumpAsync(MqttClient client, Intake intake, CancellationToken stopping)
    {
        while (await client.Messages.WaitToReadAsync(stopping))
            await intake.TakeAsync(newSession: false, stopping);
    }

    private async Task SubscribeAsync(MqttClient client, MqttConnection connection, Intake intake, CancellationToken stopping)
    {
        // Before it is subscribed a new session has nothing to send. After it, an id still held from the old one would cost a message.
        if (!connection.SessionPresent)
            await intake.TakeAsync(newSession: true, stopping);
        var granted = await client.SubscribeAsync(_filters, _settings.Qos, stopping);
        if (granted < _settings.Qos)
            Log.LowerQos(_logger, Name, _settings.Qos, _settings.Endpoint, granted);
    }

    private void Decode(in MqttMessage message, long arrival, SampleBatch batch)
    {
        if (message.IsOversized)
        {
            var detail = $"payload of {message.PayloadBytes} bytes, at most {_settings.MaxPayloadBytes} are accepted";
            var letter = DeadLetter.Create(DeadLetterReason.Oversized, Name, message.Topic, detail, arrival, message.Payload.Span);
            batch.AddDeadLetter(letter with { PayloadBytes = message.PayloadBytes });
            return;
        }

        _decoder.Decode(
            new SourceMessage
            {
                Source = Name,
                Topic = message.Topic,
                Payload = message.Payload.Span,
                ArrivalMicros = arrival,
                Position = message.Topic,
                Retained = message.Retained,
                Headers = message.Headers,
            },
            batch);
    }

    /// <summary>From the client's queue into the ingress, one batch at a time, in the order of arrival.</summary>
    private sealed class Intake(MqttSource source, MqttClient client, IIngress ingress) : IDisposable
    {
        private readonly SemaphoreSlim _turn = new(1);
        private readonly MqttHeldIds _held = new($"{source._options.ClientId}@{source._settings.Endpoint}", ingress.Position(source.Name));
        private readonly SampleBatch _batch = new();
        private readonly List<MqttMessage> _messages = new(MaxBatchMessages);

        /// <param name="newSession">Take all there is; with it the old session's packet ids are done with.</param>
        public async Task TakeAsync(bool newSession, CancellationToken stopping)
        {
            await _turn.WaitAsync(stopping);
            try
            {
                bool isLast;
                do
                {
                    var arrival = UnixMicros.Now(ingress.Clock);
                    while (_messages.Count < MaxBatchMessages && client.Messages.TryRead(out var message))
                    {
                        _messages.Add(message);
                        if (message.IsRelease)
                            _held.Release(message.PacketId);
                        else if (message.Qos < 2 || _held.Hold(message))
                            source.Decode(message, arrival, _batch);
                    }

                    isLast = _messages.Count < MaxBatchMessages;
                    if (newSession && isLast)
                        _held.Clear();
                    if (_held.TryGetChange(out var position))
                        _batch.SetSourcePosition(source.Name, position);
                    if (!_batch.IsEmpty)
                        await ingress.AppendAsync(_batch, stopping);
                    await client.AckAsync(_messages);
                    _batch.Clear();
                    _messages.Clear();
                }
                while (newSession && !isLast);
            }
            finally
            {
                _turn.Release();
            }
        }

        public void Dispose() => _turn.Dispose();
    }

    private static partial class Log
    {
        [LoggerMessage(304, LogLevel.Warning, "{Name} asked for QoS {Asked}, but {Endpoint} grants only {Granted}: its weaker guarantee holds")]
        public static partial void LowerQos(ILogger logger, string name, int asked, string endpoint, int granted);
    }
}
