using Microsoft.Extensions.Logging;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Mqtt;

/// <summary>
/// Subscribes to what the decoder's bindings need, appends in batches, and acknowledges after the append: a message that was not
/// made durable comes again, because the broker keeps the session.
/// </summary>
public sealed class MqttSource : ISampleSource
{
    /// <summary>Enough to share one fsync among many messages, little enough to keep the batch in cache.</summary>
    private const int MaxBatchMessages = 512;

    private readonly MqttSourceSettings _settings;
    private readonly IPayloadDecoder _decoder;
    private readonly TimeProvider _clock;
    private readonly MqttReconnector _reconnector;
    private readonly MqttClientOptions _options;

    /// <param name="clock">For network time-outs and pauses; arrival stamps use the clock of the ingress. Null = the system's.</param>
    /// <exception cref="ArgumentException">The settings can't work; the message says why.</exception>
    public MqttSource(MqttSourceSettings settings, IPayloadDecoder decoder, ILogger<MqttSource> logger, TimeProvider? clock = null)
    {
        ArgumentNullException.ThrowIfNull(settings);
        ArgumentNullException.ThrowIfNull(decoder);
        if (settings.Qos is < 0 or > 1)
            throw new ArgumentException($"Source '{settings.Name}': Qos must be 0 or 1. With 1 nothing is lost; repeated messages are recognised by stream and time.");
        if (decoder.Subscriptions.Count == 0)
            throw new ArgumentException($"Source '{settings.Name}' has no bindings, so there is nothing to subscribe to.");
        if (decoder.Subscriptions.FirstOrDefault(IsShared) is { } shared)
        {
            throw new ArgumentException(
                $"Source '{settings.Name}': the shared subscription '{shared}' deals messages out one by one, so that a stream's samples " +
                "would end up at different workers and its state would break. Give each worker its own topics instead, or bridge to Kafka " +
                "keyed by stream.");
        }

        _settings = settings;
        _decoder = decoder;
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

    public async Task RunAsync(IIngress ingress, CancellationToken stopping)
    {
        ArgumentNullException.ThrowIfNull(ingress);
        await using var client = new MqttClient(_options, _clock);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        var connecting = _reconnector.RunAsync(client, (_, cancel) => client.SubscribeAsync(_decoder.Subscriptions, _settings.Qos, cancel), both.Token);
        var pumping = PumpAsync(client, ingress, both.Token);

        // Neither ends by itself unless something is broken; then the other must not go on alone.
        var first = await Task.WhenAny(connecting, pumping);
        await both.CancelAsync();
        await Task.WhenAll(connecting, pumping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!stopping.IsCancellationRequested)
            await first;
    }

    private async Task PumpAsync(MqttClient client, IIngress ingress, CancellationToken stopping)
    {
        var batch = new SampleBatch();
        var messages = new List<MqttMessage>(MaxBatchMessages);
        while (await client.Messages.WaitToReadAsync(stopping))
        {
            var arrival = UnixMicros.Now(ingress.Clock);
            while (messages.Count < MaxBatchMessages && client.Messages.TryRead(out var message))
            {
                messages.Add(message);
                Decode(message, arrival, batch);
            }

            if (!batch.IsEmpty)
                await ingress.AppendAsync(batch, stopping);
            await client.AckAsync(messages);
            batch.Clear();
            messages.Clear();
        }
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

    private static bool IsShared(string filter) => filter.StartsWith("$share/", StringComparison.Ordinal) || filter.StartsWith("$queue/", StringComparison.Ordinal);
}
