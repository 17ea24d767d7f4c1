using System.Buffers;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;

namespace StreamLstm.Connectors.Mqtt;

/// <summary>
/// One TCP or TLS connection: packets in, bytes out. Senders append to a buffer under a lock and a loop writes what has gathered, so
/// that a thousand acknowledgements cost one system call. The buffer is bounded by what may be in flight.
/// </summary>
internal sealed class MqttLink : IAsyncDisposable
{
    private static readonly TimeSpan FlushLimit = TimeSpan.FromSeconds(2);

    // Closing while received bytes are unread makes TCP reset the connection, and a reset discards what the peer has not read yet:
    // acknowledgements among it. So the sending side is shut first, and the peer gets this long to close its own.
    private static readonly TimeSpan LingerLimit = TimeSpan.FromMilliseconds(500);

    private readonly Lock _lock = new();
    private readonly Socket _socket;
    private readonly Stream _stream;
    private readonly TaskCompletionSource _peerClosed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly MqttFrameReader _frames;
    private readonly TimeProvider _clock;
    private readonly CancellationTokenSource _closing = new();
    private readonly SemaphoreSlim _wake = new(0);
    private ArrayBufferWriter<byte> _pending = new(16 * 1024);
    private ArrayBufferWriter<byte> _writing = new(16 * 1024);
    private List<TaskCompletionSource> _pendingDone = [];
    private List<TaskCompletionSource> _writingDone = [];
    private Task _writeLoop = Task.CompletedTask;
    private bool _finishing;
    private string? _closeReason;
    private long _readingSince;
    private volatile bool _isReading;

    private MqttLink(Socket socket, Stream stream, int maxPayloadBytes, TimeProvider clock)
    {
        _socket = socket;
        _stream = stream;
        _frames = new MqttFrameReader(maxPayloadBytes);
        _clock = clock;
    }

    /// <summary>Cancelled when the link is no more.</summary>
    public CancellationToken Closing => _closing.Token;

    /// <summary>Why it was closed from this side, if it was.</summary>
    public string? CloseReason => Volatile.Read(ref _closeReason);

    /// <summary>How long the peer has sent nothing while this side was listening; a reader held up by a full queue is not silence.</summary>
    public TimeSpan Silence => _isReading ? _clock.GetElapsedTime(Volatile.Read(ref _readingSince)) : TimeSpan.Zero;

    public static async Task<MqttLink> OpenAsync(MqttClientOptions options, TimeProvider clock, CancellationToken cancellationToken)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        Stream? stream = null;
        try
        {
            await socket.ConnectAsync(options.Host, options.Port, cancellationToken);
            stream = new NetworkStream(socket, ownsSocket: true);
            if (options.Tls is { } tls)
            {
                var ssl = new SslStream(stream);
                stream = ssl;
                await ssl.AuthenticateAsClientAsync(TlsOptions(tls, options.Host), cancellationToken);
            }

            var link = new MqttLink(socket, stream, options.MaxPayloadBytes, clock);
            link._writeLoop = Task.Run(link.WriteAsync, CancellationToken.None);
            return link;
        }
        catch
        {
            stream?.Dispose();
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Appends a packet; it is written soon. Nothing happens on a closed link.</summary>
    /// <param name="written">Completed when the bytes are with the operating system, or the link is gone.</param>
    public void Send<T>(T state, Action<ArrayBufferWriter<byte>, T> encode, TaskCompletionSource? written = null)
    {
        lock (_lock)
        {
            if (_finishing || _closing.IsCancellationRequested)
            {
                written?.TrySetResult();
                return;
            }

            var wasEmpty = _pending.WrittenCount == 0;
            encode(_pending, state);
            if (written is not null)
                _pendingDone.Add(written);
            if (wasEmpty && _pending.WrittenCount > 0)
                _wake.Release();
        }
    }

    /// <summary>The next packet; its body is valid until the next call.</summary>
    /// <exception cref="EndOfStreamException">The peer closed.</exception>
    public async ValueTask<MqttFrame> ReadAsync(CancellationToken cancellationToken)
    {
        MqttFrame frame;
        while (!_frames.TryRead(out frame))
        {
            Volatile.Write(ref _readingSince, _clock.GetTimestamp());
            _isReading = true;
            int n;
            try
            {
                n = await _stream.ReadAsync(_frames.GetMemory(), cancellationToken);
            }
            catch
            {
                _peerClosed.TrySetResult();
                throw;
            }
            finally
            {
                _isReading = false;
            }

            if (n == 0)
            {
                _peerClosed.TrySetResult();
                throw new EndOfStreamException("the broker closed the connection without giving a reason");
            }

            _frames.Advance(n);
        }

        return frame;
    }

    /// <summary>Ends the connection at once; the first reason given counts.</summary>
    public void Abort(string reason)
    {
        Interlocked.CompareExchange(ref _closeReason, reason, null);
        _closing.Cancel();
        _stream.Dispose();
    }

    /// <summary>Writes what is pending, with a limit on the time that may take, and closes.</summary>
    public async Task FinishAsync(string reason)
    {
        Interlocked.CompareExchange(ref _closeReason, reason, null);
        lock (_lock)
        {
            _finishing = true;
            _wake.Release();
        }

        await Task.WhenAny(_writeLoop, Task.Delay(FlushLimit, _clock));
        if (_writeLoop.IsCompleted && _socket.Connected)
        {
            try
            {
                _socket.Shutdown(SocketShutdown.Send);
                await Task.WhenAny(_peerClosed.Task, Task.Delay(LingerLimit, _clock));
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // Gone already: there is nobody to wait for.
                _peerClosed.TrySetResult();
            }
        }

        Abort(reason);
    }

    public async ValueTask DisposeAsync()
    {
        // The semaphore and the token source hold nothing unmanaged and may still be touched by a late sender.
        Abort("connection closed");
        await _writeLoop;
    }

    private async Task WriteAsync()
    {
        var finished = false;
        try
        {
            while (!finished)
            {
                await _wake.WaitAsync(Closing);
                lock (_lock)
                {
                    (_pending, _writing) = (_writing, _pending);
                    (_pendingDone, _writingDone) = (_writingDone, _pendingDone);
                    finished = _finishing;
                }

                if (_writing.WrittenCount > 0)
                    await _stream.WriteAsync(_writing.WrittenMemory, Closing);
                _writing.ResetWrittenCount();
                Complete(_writingDone);
            }
        }
        catch (Exception e) when (MqttException.IsTransport(e) || e is OperationCanceledException)
        {
            // After a close from this side the reason is already set, and stays.
            Abort(MqttException.Describe(e));
        }

        lock (_lock)
        {
            _finishing = true;
        }

        Complete(_writingDone);
        Complete(_pendingDone);
    }

    private static void Complete(List<TaskCompletionSource> written)
    {
        foreach (var w in written)
            w.TrySetResult();
        written.Clear();
    }

    private static SslClientAuthenticationOptions TlsOptions(MqttTlsSettings tls, string host)
    {
        var options = new SslClientAuthenticationOptions { TargetHost = host };
        if (tls.CaFile is not null)
        {
            var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            policy.CustomTrustStore.ImportFromPemFile(tls.CaFile);
            options.CertificateChainPolicy = policy;
        }

        if (tls.CertificateFile is not null)
        {
            using var pem = X509Certificate2.CreateFromPemFile(tls.CertificateFile, tls.KeyFile);
            var intermediates = new X509Certificate2Collection();
            intermediates.ImportFromPemFile(tls.CertificateFile);
            // Windows can't use a key that lives in memory only, hence the detour through PKCS #12.
            var certificate = X509CertificateLoader.LoadPkcs12(pem.Export(X509ContentType.Pkcs12), password: null);
            options.ClientCertificateContext = SslStreamCertificateContext.Create(certificate, intermediates, offline: true);
        }

        return options;
    }
}
