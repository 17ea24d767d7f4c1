using System.Text;
using System.Threading.Channels;

namespace StreamLstm.Connectors.Mqtt;

/// <param name="Version">What the broker agreed to.</param>
/// <param name="SessionPresent">The broker still had this client's session.</param>
/// <param name="Closed">Completes with the reason when the connection is gone; never fails.</param>
public sealed record MqttConnection(MqttVersion Version, bool SessionPresent, Task<string> Closed);

/// <summary>
/// An MQTT 5 and 3.1.1 client that acknowledges a message only when told to: <see cref="AckAsync"/> is called after the message's
/// content is durable, and whatever isn't acknowledged comes again. The client is a session over any number of connections made one
/// after another with <see cref="ConnectAsync"/>; publishes that were under way are sent again on the next one. Thread-safe.
/// </summary>
/// <remarks>
/// QoS 0, 1 and 2. Which QoS 2 messages were taken in before is for the reader of <see cref="Messages"/> to know, since it must
/// survive a crash. This type is the seam: everything else in the program knows MQTT only through it.
/// </remarks>
public sealed class MqttClient : IAsyncDisposable
{
    private readonly MqttClientOptions _options;
    private readonly TimeProvider _clock;
    private readonly Channel<MqttMessage> _messages;
    private readonly SemaphoreSlim _admission;
    private readonly Lock _lock = new();

    // The session: it outlives connections. Guarded by _lock.
    private readonly Dictionary<ushort, Outgoing> _unacknowledged = [];
    private Queue<Outgoing> _waiting = new();
    private ushort _lastId;
    private long _sequence;

    // The connection. Guarded by _lock.
    private MqttVersion _version;
    private MqttLink? _link;
    private Task<string> _closed = Task.FromResult("never connected");
    private int _connection;
    private MqttProperties _server = new();
    private int _inFlight;
    private PendingSubscribe? _subscribe;
    private bool _disposed;

    public MqttClient(MqttClientOptions options, TimeProvider clock)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(clock);
        options.Validate();
        _options = options;
        _clock = clock;
        _version = options.Version;
        _admission = new SemaphoreSlim(options.MaxInFlight);
        _messages = Channel.CreateBounded<MqttMessage>(new BoundedChannelOptions(options.ReceiveMaximum) { SingleWriter = true });
    }

    /// <summary>What the broker delivers. While it is full the client reads nothing from the network.</summary>
    public ChannelReader<MqttMessage> Messages => _messages.Reader;

    /// <summary>
    /// Connects once; the caller decides when to try again. A broker that refuses version 5 is asked with 3.1.1, from then on always.
    /// </summary>
    /// <exception cref="MqttException">Not reachable, refused, or no answer within <see cref="MqttClientOptions.ConnectTimeout"/>.</exception>
    public async Task<MqttConnection> ConnectAsync(CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_link is not null)
                throw new InvalidOperationException("Already connected.");
        }

        // The old connection's last steps must not mix with the new one's first.
        await _closed;
        try
        {
            return await OpenAsync(_version, cancellationToken);
        }
        catch (MqttException e) when (_version == MqttVersion.V5 && e.ReasonCode == MqttReason.UnsupportedProtocolVersion)
        {
            _version = MqttVersion.V311;
            return await OpenAsync(_version, cancellationToken);
        }
    }

    /// <param name="qos">0, 1 or 2.</param>
    /// <returns>The lowest QoS the broker grants.</returns>
    /// <exception cref="MqttException">Not connected, or a filter was refused.</exception>
    public async Task<int> SubscribeAsync(IReadOnlyList<string> filters, int qos, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(filters);
        ArgumentOutOfRangeException.ThrowIfZero(filters.Count);
        CheckQos(qos);
        PendingSubscribe pending;
        lock (_lock)
        {
            var link = _link ?? throw new MqttException("not connected");
            if (_subscribe is not null)
                throw new InvalidOperationException("One subscription at a time.");
            pending = _subscribe = new PendingSubscribe(NextId_NeedsLock());
            link.Send(
                (pending.Id, filters, qos, _version),
                static (target, s) => MqttPacketWriter.Subscribe(target, s.Id, s.filters, s.qos, retainHandling: 1, s._version));
        }

        byte[] codes;
        try
        {
            codes = await pending.Done.Task.WaitAsync(_options.ConnectTimeout, _clock, cancellationToken);
        }
        catch (TimeoutException)
        {
            throw new MqttException($"no answer to SUBSCRIBE within {_options.ConnectTimeout.TotalSeconds:0.#} s");
        }
        finally
        {
            lock (_lock)
            {
                if (_subscribe == pending)
                    _subscribe = null;
            }
        }

        if (codes.Length != filters.Count)
            throw new MqttException($"broker answered {codes.Length} codes for {filters.Count} subscriptions");
        for (var i = 0; i < codes.Length; i++)
        {
            if (codes[i] >= MqttReason.FirstFailure)
                throw new MqttException($"broker refused the subscription '{filters[i]}': {MqttReason.Text(codes[i])}", codes[i]);
        }

        return codes.Min();
    }

    /// <summary>
    /// Tells the broker that these messages are in safe hands (PUBACK, PUBREC) and these releases written down (PUBCOMP). Those of an
    /// earlier connection are passed over: the broker sends them again. Must follow the order of arrival.
    /// </summary>
    public ValueTask AckAsync(IReadOnlyList<MqttMessage> messages)
    {
        ArgumentNullException.ThrowIfNull(messages);
        lock (_lock)
        {
            _link?.Send((messages, _connection), static (target, s) =>
            {
                for (var i = 0; i < s.messages.Count; i++)
                {
                    var m = s.messages[i];
                    if (m.PacketId != 0 && m.Connection == s._connection)
                        MqttPacketWriter.Ack(target, m.IsRelease ? MqttPacketType.PubComp : m.Qos == 2 ? MqttPacketType.PubRec : MqttPacketType.PubAck, m.PacketId);
                }
            });
        }

        return ValueTask.CompletedTask;
    }

    /// <summary>
    /// Completes when the broker has acknowledged (QoS 1, and 2 with PUBCOMP) or the message is on its way (QoS 0). Without a connection
    /// it waits for the next one. Calls made one after another are sent in that order as long as no more than
    /// <see cref="MqttClientOptions.MaxInFlight"/> are outstanding.
    /// </summary>
    /// <exception cref="MqttException">The broker refused this message.</exception>
    public async Task PublishAsync(string topic, ReadOnlyMemory<byte> payload, int qos, bool retain, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(topic);
        CheckQos(qos);
        var outgoing = new Outgoing(Encoding.UTF8.GetBytes(topic), payload, qos, retain);
        if (outgoing.Topic.Length > ushort.MaxValue)
            throw new MqttException("topic of more than 65,535 bytes", MqttReason.TopicNameInvalid);

        await _admission.WaitAsync(cancellationToken);
        try
        {
            lock (_lock)
            {
                ObjectDisposedException.ThrowIf(_disposed, this);
                outgoing.Sequence = ++_sequence;
                _waiting.Enqueue(outgoing);
                Pump_NeedsLock();
            }

            await outgoing.Done.Task.WaitAsync(cancellationToken);
        }
        catch (OperationCanceledException)
        {
            // Not sent yet: it won't be. Under way: its packet id stays taken until the broker answers.
            outgoing.Done.TrySetCanceled(cancellationToken);
            throw;
        }
        finally
        {
            _admission.Release();
        }
    }

    /// <summary>Says goodbye, so that the will is not published, and closes. The session stays.</summary>
    public async Task DisconnectAsync()
    {
        MqttLink? link;
        Task closed;
        lock (_lock)
        {
            (link, closed) = (_link, _closed);
            link?.Send(_version, static (target, version) => MqttPacketWriter.Disconnect(target, MqttReason.Success, version));
        }

        if (link is not null)
            await link.FinishAsync("disconnected");
        await closed;
    }

    public async ValueTask DisposeAsync()
    {
        lock (_lock)
        {
            if (_disposed)
                return;
            _disposed = true;
        }

        await DisconnectAsync();
        _messages.Writer.TryComplete();
        lock (_lock)
        {
            foreach (var o in _unacknowledged.Values.Concat(_waiting))
                o.Done.TrySetException(new ObjectDisposedException(nameof(MqttClient)));
            _waiting.Clear();
        }
    }

    private async Task<MqttConnection> OpenAsync(MqttVersion version, CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(_options.ConnectTimeout, _clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        MqttLink? link = null;
        try
        {
            link = await MqttLink.OpenAsync(_options, _clock, either.Token);
            link.Send((_options, version), static (target, s) => MqttPacketWriter.Connect(target, s._options, s.version));
            var frame = await link.ReadAsync(either.Token);
            if (frame.Type != MqttPacketType.ConnAck)
                throw new MqttProtocolException($"{frame.Type} instead of CONNACK");
            var answer = MqttPackets.ConnAck(frame, version);
            if (answer.ReasonCode != MqttReason.Success)
            {
                var why = MqttPackets.WithReason(MqttReason.Text(answer.ReasonCode), answer.Properties.Reason);
                throw new MqttException($"broker refused the connection: {why}", answer.ReasonCode);
            }

            lock (_lock)
            {
                ObjectDisposedException.ThrowIf(_disposed, this);
                _link = link;
                _connection++;
                _server = answer.Properties;
                Requeue_NeedsLock(answer.SessionPresent);
                _closed = Task.Run(() => RunAsync(link, version, _connection, answer.Properties.ServerKeepAlive), CancellationToken.None);
                Pump_NeedsLock();
                return new MqttConnection(version, answer.SessionPresent, _closed);
            }
        }
        catch (Exception e)
        {
            if (link is not null)
                await link.DisposeAsync();
            if (e is OperationCanceledException && !cancellationToken.IsCancellationRequested)
                throw new MqttException($"no answer within {_options.ConnectTimeout.TotalSeconds:0.#} s", inner: e);
            if (MqttException.IsTransport(e))
                throw new MqttException(MqttException.Describe(e), inner: e);
            throw;
        }
    }

    /// <summary>Lives as long as the connection; returns why it ended.</summary>
    private async Task<string> RunAsync(MqttLink link, MqttVersion version, int connection, ushort? serverKeepAlive)
    {
        var pinging = KeepAliveAsync(link, serverKeepAlive is { } s ? TimeSpan.FromSeconds(s) : _options.KeepAlive);
        string reason;
        try
        {
            reason = await ReceiveAsync(link, version, connection);
        }
        catch (MqttProtocolException e)
        {
            link.Send(version, static (target, v) => MqttPacketWriter.Disconnect(target, MqttReason.ProtocolError, v));
            await link.FinishAsync(e.Message);
            reason = e.Message;
        }
        catch (Exception e) when (MqttException.IsTransport(e) || e is OperationCanceledException or ChannelClosedException)
        {
            reason = link.CloseReason ?? MqttException.Describe(e);
        }
        finally
        {
            lock (_lock)
            {
                _link = null;
                _inFlight = 0;
            }

            link.Abort("connection closed");
            await pinging;
            await link.DisposeAsync();
        }

        lock (_lock)
        {
            _subscribe?.Done.TrySetException(new MqttException(reason));
        }

        return reason;
    }

    private async Task<string> ReceiveAsync(MqttLink link, MqttVersion version, int connection)
    {
        var aliases = new MqttTopicAliases();
        while (true)
        {
            var frame = await link.ReadAsync(link.Closing);
            switch (frame.Type)
            {
                case MqttPacketType.Publish:
                    var message = MqttPackets.Publish(frame, version, _options.MaxPayloadBytes, connection, aliases);
                    if (!_messages.Writer.TryWrite(message))
                        await _messages.Writer.WriteAsync(message, link.Closing);
                    break;
                case MqttPacketType.PubRel:
                    var release = new MqttMessage { Topic = "", Payload = default, PayloadBytes = 0, IsRelease = true, PacketId = MqttPackets.Ack(frame, version).PacketId, Connection = connection };
                    if (!_messages.Writer.TryWrite(release))
                        await _messages.Writer.WriteAsync(release, link.Closing);
                    break;
                case MqttPacketType.PubAck or MqttPacketType.PubComp:
                    Complete(frame.Type, MqttPackets.Ack(frame, version));
                    break;
                case MqttPacketType.PubRec:
                    var received = MqttPackets.Ack(frame, version);
                    if (received.ReasonCode < MqttReason.FirstFailure)
                        Release(received.PacketId);
                    else
                        Complete(frame.Type, received);
                    break;
                case MqttPacketType.SubAck:
                    var (id, codes) = MqttPackets.SubAck(frame, version);
                    lock (_lock)
                    {
                        if (_subscribe is { } pending && pending.Id == id)
                            pending.Done.TrySetResult(codes);
                    }

                    break;
                case MqttPacketType.PingResp:
                    MqttPackets.PingResp(frame);
                    break;
                case MqttPacketType.Disconnect:
                    return $"broker ended the connection: {MqttPackets.Disconnect(frame, version)}";
                default:
                    throw new MqttProtocolException($"unexpected packet type {(int)frame.Type}");
            }
        }
    }

    private async Task KeepAliveAsync(MqttLink link, TimeSpan keepAlive)
    {
        if (keepAlive <= TimeSpan.Zero)
            return;
        while (true)
        {
            await Task.Delay(keepAlive / 2, _clock, link.Closing).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (link.Closing.IsCancellationRequested)
                return;
            if (link.Silence > keepAlive * 1.5)
            {
                link.Abort($"no answer to pings for {keepAlive.TotalSeconds * 1.5:0.#} s");
                return;
            }

            link.Send(0, static (target, _) => MqttPacketWriter.PingReq(target));
        }
    }

    /// <summary>The broker has the message and will know it again by its id; it may forget that once it is told so.</summary>
    private void Release(ushort packetId)
    {
        lock (_lock)
        {
            if (_unacknowledged.TryGetValue(packetId, out var outgoing))
            {
                if (outgoing.SentQos != 2)
                    throw new MqttProtocolException($"PubRec for a message of QoS {outgoing.SentQos}");
                outgoing.IsReleased = true;
            }

            // An id unknown here is released too: otherwise the broker would keep it for ever.
            _link?.Send(packetId, static (target, id) => MqttPacketWriter.Ack(target, MqttPacketType.PubRel, id));
        }
    }

    /// <param name="type">PUBACK, PUBCOMP, or PUBREC with a failure.</param>
    private void Complete(MqttPacketType type, MqttAck ack)
    {
        Outgoing? outgoing;
        lock (_lock)
        {
            if (!_unacknowledged.TryGetValue(ack.PacketId, out outgoing))
                return;
            if (outgoing.SentQos != (type == MqttPacketType.PubAck ? 1 : 2) || outgoing.IsReleased != (type == MqttPacketType.PubComp))
                throw new MqttProtocolException($"{type} out of turn for a message of QoS {outgoing.SentQos}");
            _unacknowledged.Remove(ack.PacketId);
            if (outgoing.Connection == _connection)
                _inFlight--;
            Pump_NeedsLock();
        }

        // A PUBCOMP knows one other code, "no such id": after a reconnect it means that the message was complete already.
        if (ack.ReasonCode < MqttReason.FirstFailure || type == MqttPacketType.PubComp)
            outgoing.Done.TrySetResult();
        else
            outgoing.Done.TrySetException(Refused(outgoing, MqttPackets.WithReason(MqttReason.Text(ack.ReasonCode), ack.Reason), ack.ReasonCode));
    }

    /// <summary>Puts what was under way on the lost connection back to the front, in the order it was first sent.</summary>
    private void Requeue_NeedsLock(bool sessionPresent)
    {
        _inFlight = 0;
        var again = _unacknowledged.Values.OrderBy(o => o.Sequence).ToList();
        if (!sessionPresent)
        {
            // The broker knows nothing of them: they are new messages to it, with new packet ids.
            _unacknowledged.Clear();
            foreach (var o in again)
            {
                o.PacketId = 0;
                o.IsReleased = false;
            }
        }

        _waiting = new Queue<Outgoing>(again.Concat(_waiting.Where(o => !again.Contains(o))));
    }

    private void Pump_NeedsLock()
    {
        while (_link is { } link && _waiting.TryPeek(out var o))
        {
            // Cancelled before it was sent, or acknowledged on the strength of an earlier connection.
            if (o.Done.Task.IsCompleted && (o.PacketId == 0 || _unacknowledged.GetValueOrDefault(o.PacketId) != o))
            {
                _waiting.Dequeue();
                continue;
            }

            var qos = o.IsReleased ? 2 : Math.Min(o.Qos, _server.MaximumQos);
            if (qos > 0 && _inFlight >= Math.Min(_options.MaxInFlight, _server.ReceiveMaximum))
                return;

            _waiting.Dequeue();
            if (o.IsReleased)
            {
                o.Connection = _connection;
                _inFlight++;
                link.Send(o.PacketId, static (target, id) => MqttPacketWriter.Ack(target, MqttPacketType.PubRel, id));
                continue;
            }

            var bytes = MqttPacketWriter.PublishBytes(o.Topic.Length, o.Payload.Length, qos, _version);
            if (bytes > Math.Min(_server.MaximumPacketSize, MqttFrameReader.MaxRemainingLength))
            {
                _unacknowledged.Remove(o.PacketId);
                o.Done.TrySetException(Refused(o, $"{bytes} bytes are more than this broker takes", MqttReason.PacketTooLarge));
                continue;
            }

            var duplicate = o.PacketId != 0;
            if (qos > 0)
            {
                if (o.PacketId == 0)
                    o.PacketId = NextId_NeedsLock();
                _unacknowledged[o.PacketId] = o;
                o.Connection = _connection;
                o.SentQos = qos;
                _inFlight++;
            }
            else if (o.PacketId != 0)
            {
                _unacknowledged.Remove(o.PacketId);
            }

            link.Send(
                (o, qos, retain: o.Retain && _server.RetainAvailable, duplicate: duplicate && qos > 0, _version),
                static (target, s) => MqttPacketWriter.Publish(target, s.o.Topic, s.o.Payload.Span, s.qos, s.retain, s.duplicate, s.o.PacketId, s._version),
                written: qos == 0 ? o.Done : null);
        }
    }

    /// <summary>There are at most <see cref="MqttClientOptions.MaxInFlight"/> + 1 taken of 65,535, except after many cancellations.</summary>
    private ushort NextId_NeedsLock()
    {
        do
        {
            _lastId = _lastId == ushort.MaxValue ? (ushort)1 : (ushort)(_lastId + 1);
        }
        while (_unacknowledged.ContainsKey(_lastId) || _subscribe?.Id == _lastId);
        return _lastId;
    }

    private static MqttException Refused(Outgoing outgoing, string why, byte code) =>
        new($"broker refused to publish on '{Encoding.UTF8.GetString(outgoing.Topic)}': {why}", code);

    private static void CheckQos(int qos)
    {
        if (qos is < 0 or > 2)
            throw new ArgumentOutOfRangeException(nameof(qos), qos, "QoS must be 0, 1 or 2.");
    }

    private sealed class Outgoing(byte[] topic, ReadOnlyMemory<byte> payload, int qos, bool retain)
    {
        public byte[] Topic => topic;

        public ReadOnlyMemory<byte> Payload => payload;

        public int Qos => qos;

        public bool Retain => retain;

        /// <summary>Order of the first sending.</summary>
        public long Sequence { get; set; }

        /// <summary>0 = not sent yet, as far as the broker's session is concerned.</summary>
        public ushort PacketId { get; set; }

        /// <summary>What the broker allowed of <see cref="Qos"/> when it was last sent.</summary>
        public int SentQos { get; set; }

        /// <summary>QoS 2: the broker has it (PUBREC), so that from now on PUBREL is what is sent again.</summary>
        public bool IsReleased { get; set; }

        /// <summary>Number of the connection it was last sent on.</summary>
        public int Connection { get; set; }

        public TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private sealed class PendingSubscribe(ushort id)
    {
        public ushort Id => id;

        public TaskCompletionSource<byte[]> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
