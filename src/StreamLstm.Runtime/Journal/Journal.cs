using System.Collections.Concurrent;
using System.Diagnostics;
using System.Threading.Channels;
using Microsoft.Win32.SafeHandles;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Journal;

/// <summary>
/// The local partitioned log of inputs that have no offsets of their own (MQTT, HTTP, files, the simulator): samples with arrival
/// stamp, ticks, control entries, dead letters and the positions of resumable sources, in one physical order. An append completes
/// when its bytes are on stable storage; concurrent appends share one fsync (group commit).
/// Record: <c>[kind u8]</c>, then for a batch <c>[source block][position block][n i32] n×{key block, event i64, arrival i64,
/// d u8, values f64…} [m i32] m×dead letter</c>, where d = 0 begins a block of samples at a constant rate, <c>channels u8, rows i32, step
/// f64, width u8 (4 or 8), values…</c>; for ticks <c>[n i32] n×{partition u8, clock i64}</c>; for an activation
/// <c>[profile block][version i32]</c>; for a reset <c>[key block][clock i64]</c>.
/// </summary>
internal sealed class Journal : IIngress, IAsyncDisposable
{
    private const byte KindBatch = 5;
    private const byte KindTicks = 2;
    private const byte KindActivate = 3;
    private const byte KindReset = 4;
    private const int MaxBufferBytes = 1 << 20;
    internal const int MaxKeyBytes = 512;

    // Entries may be long blocks; a batch ends with the record that reaches this many values.
    private const int MaxBatchValues = 4 << 20;

    // A year from either end of the calendar, so that a frame's edges and forecasts can always be written as dates.
    private static readonly long EarliestMicros = UnixMicros.From(DateTimeOffset.MinValue.AddYears(1));
    private static readonly long LatestMicros = UnixMicros.From(DateTimeOffset.MaxValue.AddYears(-1));

    private readonly RecordLog _log;
    private readonly Channel<Request> _requests;
    private readonly Task _writer;
    private readonly CancellationTokenSource _stop = new();
    private readonly CancellationTokenSource _stopWaiting = new();
    private readonly Dictionary<string, string> _positions = [];
    private readonly ConcurrentBag<ByteWriter> _buffers = [];
    private readonly long _maxFutureMicros;
    private readonly long _maxBacklogBytes;
    private readonly SemaphoreSlim _readable = new(0, 1);
    private readonly SemaphoreSlim _consumedSignal = new(0, 1);
    private string? _full;
    private long _durable;
    private long _consumed;
    private byte[] _readBuffer = new byte[64 * 1024];
    private double[] _blockValues = new double[256];

    public Journal(string directory, TimeProvider clock, JournalSettings settings)
    {
        Clock = clock;
        _maxFutureMicros = (long)settings.MaxFuture.TotalMicroseconds;
        _maxBacklogBytes = settings.MaxBacklogBytes;
        _log = new RecordLog(directory, settings.SegmentBytes, settings.Sync);
        _durable = _log.End;
        _requests = Channel.CreateBounded<Request>(new BoundedChannelOptions(1024) { SingleReader = true });
        _writer = Task.Run(WriteLoopAsync);
    }

    public TimeProvider Clock { get; }

    /// <summary>Position up to which everything is on stable storage.</summary>
    public long Durable => Volatile.Read(ref _durable);

    public long Start => _log.Start;

    public long Bytes => _log.Bytes;

    /// <summary>Why appends wait: no room on the disk, or as much as is allowed that the engine hasn't committed yet.</summary>
    public string? Waits => Volatile.Read(ref _full) ?? (IsFull ? $"The journal holds {Durable - Volatile.Read(ref _consumed)} bytes that are not committed yet; {_maxBacklogBytes} are allowed." : null);

    /// <summary>Whether the disk has no room for what sources bring.</summary>
    public string? DiskFull => Volatile.Read(ref _full);

    /// <summary>Told why the writer waits for room, and whether that is news; null once it goes on.</summary>
    public Action<string?, bool>? OnWaits { get; init; }

    /// <summary>Told how many seconds each flush took that made a group of appends durable.</summary>
    public Action<double>? OnFlush { get; init; }

    private bool IsFull => Durable - Volatile.Read(ref _consumed) > _maxBacklogBytes;

    /// <summary>Fails when the writer has failed (an fsync error; not for want of room): the host must stop.</summary>
    public Task Failed => _writer;

    public async ValueTask AppendAsync(SampleBatch batch, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(batch);
        if (batch.IsEmpty)
            return;
        while (IsFull)
            await _consumedSignal.WaitAsync(TimeSpan.FromMilliseconds(100), cancellationToken);
        if (!_buffers.TryTake(out var bytes))
            bytes = new ByteWriter();
        bytes.Clear();
        Encode(batch, bytes);
        await EnqueueAsync(new Request(bytes, batch.SourceName, batch.SourcePosition), cancellationToken);
        // There are as many as appends at once; a failed one's may still be in use.
        if (bytes.Length < MaxBufferBytes)
            _buffers.Add(bytes);
    }

    public ValueTask AppendTicksAsync(IReadOnlyList<(int Partition, long Clock)> ticks, CancellationToken cancellationToken)
    {
        var bytes = new ByteWriter();
        bytes.Byte(KindTicks);
        bytes.Int32(ticks.Count);
        foreach (var (partition, clock) in ticks)
        {
            bytes.Byte((byte)partition);
            bytes.Int64(clock);
        }

        return EnqueueAsync(new Request(bytes, null, null), cancellationToken);
    }

    public ValueTask AppendActivationAsync(string profile, int version, CancellationToken cancellationToken)
    {
        var bytes = new ByteWriter();
        bytes.Byte(KindActivate);
        bytes.String(profile);
        bytes.Int32(version);
        return EnqueueAsync(new Request(bytes, null, null), cancellationToken);
    }

    public ValueTask AppendResetAsync(ReadOnlyMemory<byte> key, CancellationToken cancellationToken)
    {
        var bytes = new ByteWriter();
        bytes.Byte(KindReset);
        bytes.Block(key.Span);
        bytes.Int64(UnixMicros.Now(Clock));
        return EnqueueAsync(new Request(bytes, null, null), cancellationToken);
    }

    public string? Position(string source)
    {
        lock (_positions)
            return _positions.GetValueOrDefault(source);
    }

    /// <summary>Takes over what the last commit knew, before <see cref="ReplayPositions"/> adds what came after it.</summary>
    public void SetPosition(string source, string position)
    {
        lock (_positions)
            _positions[source] = position;
    }

    /// <summary>Reads the source positions between the commit and the end, without touching the entries.</summary>
    public void ReplayPositions(long from)
    {
        var scan = new LogBatch();
        while (ReadInto(scan, from, 100_000))
        {
            from = scan.Next;
            foreach (var (source, position) in scan.SourcePositions)
                SetPosition(source, position);
            scan.Clear();
        }
    }

    /// <summary>Waits until there is something durable after <paramref name="position"/>.</summary>
    public async ValueTask WaitAsync(long position, CancellationToken cancellationToken)
    {
        while (Durable <= position)
        {
            if (_writer.IsCompleted)
                await _writer;
            await _readable.WaitAsync(TimeSpan.FromMilliseconds(250), cancellationToken);
        }
    }

    /// <summary>Fills the batch with whole records from a position up to the durable end; false if there are none.</summary>
    public bool ReadInto(LogBatch batch, long position, int maxEntries)
    {
        var end = Durable;
        batch.Next = position;
        while (batch.Next < end && batch.Count + batch.DeadLetters.Count < maxEntries && batch.Samples.ValueCount < MaxBatchValues)
        {
            if (!_log.TryRead(batch.Next, ref _readBuffer, out var length, out var next))
                break;
            Decode(_readBuffer.AsSpan(0, length), batch.Next, batch);
            batch.Next = next;
        }

        return batch.Next > position;
    }

    /// <summary>Everything before the position has been committed.</summary>
    public void Release(long position, bool keep)
    {
        Volatile.Write(ref _consumed, position);
        if (_consumedSignal.CurrentCount == 0)
            Signal(_consumedSignal);
        if (!keep)
            _log.TruncateBefore(position);
    }

    /// <summary>From here on an append that finds no room fails instead of waiting for it.</summary>
    public void StopWaiting() => _stopWaiting.Cancel();

    public async ValueTask DisposeAsync()
    {
        _requests.Writer.TryComplete();
        StopWaiting();
        try
        {
            await _writer;
        }
        finally
        {
            await _stop.CancelAsync();
            _stop.Dispose();
            _stopWaiting.Dispose();
            _log.Dispose();
            _readable.Dispose();
            _consumedSignal.Dispose();
        }
    }

    private async ValueTask EnqueueAsync(Request request, CancellationToken cancellationToken)
    {
        if (_writer.IsFaulted)
            await _writer;
        await _requests.Writer.WriteAsync(request, cancellationToken);
        // Not cancellable from here on: the caller must learn whether its bytes are durable.
        await request.Done.Task;
    }

    private async Task WriteLoopAsync()
    {
        var group = new List<Request>();
        try
        {
            while (await _requests.Reader.WaitToReadAsync(_stop.Token))
            {
                var bytes = 0L;
                while (bytes < 4 << 20 && _requests.Reader.TryRead(out var request))
                {
                    group.Add(request);
                    bytes += request.Bytes.Length;
                }

                await DiskSpace.WriteAsync(() => Write(group), () => _log.Undo(), Wait, _stopWaiting.Token);
                Volatile.Write(ref _durable, _log.End);
                foreach (var request in group)
                {
                    if (request.Source is not null)
                        SetPosition(request.Source, request.Position!);
                    request.Done.SetResult();
                }

                group.Clear();
                Signal(_readable);
            }
        }
        catch (Exception e)
        {
            _requests.Writer.TryComplete(e);
            foreach (var request in group)
                request.Done.TrySetException(e);
            while (_requests.Reader.TryRead(out var request))
                request.Done.TrySetException(e);
            throw;
        }
    }

    private void Wait(string? why)
    {
        OnWaits?.Invoke(why, _full is null);
        Volatile.Write(ref _full, why);
    }

    private void Write(List<Request> group)
    {
        foreach (var request in group)
            _log.Stage(request.Bytes.Written);
        var started = Stopwatch.GetTimestamp();
        _log.Flush();
        OnFlush?.Invoke(Stopwatch.GetElapsedTime(started).TotalSeconds);
    }

    private static void Signal(SemaphoreSlim signal)
    {
        try
        {
            signal.Release();
        }
        catch (SemaphoreFullException)
        {
            // Already signalled: one wake-up is enough.
            return;
        }
    }

    private void Encode(SampleBatch batch, ByteWriter w)
    {
        var letters = new List<DeadLetter>(batch.DeadLetters);
        var maxFuture = _maxFutureMicros + ((Clock as LogClock)?.Slack ?? 0);
        w.Byte(KindBatch);
        w.String(batch.SourceName ?? "");
        w.String(batch.SourcePosition ?? "");
        var countAt = w.Length;
        w.Int32(0);
        var n = 0;
        for (var i = 0; i < batch.Count; i++)
        {
            var key = batch.Key(i);
            var values = batch.Values(i);
            var rows = batch.Rows(i);
            if (Refuse(key, batch.EventTime(i), batch.LastEventTime(i), batch.Arrival(i), values, rows, maxFuture) is var (reason, detail))
            {
                var text = System.Text.Encoding.UTF8.GetString(key[..Math.Min(key.Length, MaxKeyBytes)]);
                letters.Add(DeadLetter.Create(reason, batch.SourceName ?? "ingress", text, detail, batch.Arrival(i), [], text));
                continue;
            }

            w.Block(key);
            w.Int64(batch.EventTime(i));
            w.Int64(batch.Arrival(i));
            if (batch.StepMicros(i) > 0)
            {
                EncodeBlock(w, rows, batch.StepMicros(i), values);
            }
            else
            {
                w.Byte((byte)values.Length);
                foreach (var v in values)
                    w.Double(v);
            }

            n++;
        }

        w.PatchInt32(countAt, n);
        w.Int32(letters.Count);
        foreach (var letter in letters)
        {
            w.String(letter.Reason);
            w.String(letter.Source);
            w.String(letter.Position);
            w.String(letter.Detail);
            w.Int64(Math.Clamp(letter.ArrivalMicros, EarliestMicros, LatestMicros));
            w.Block(letter.Payload.Span);
            w.Int32(letter.PayloadBytes);
            w.String(letter.Stream ?? "");
            var headers = letter.Headers ?? [];
            w.Byte((byte)Math.Min(headers.Count, DeadLetter.MaxHeaders));
            for (var i = 0; i < Math.Min(headers.Count, DeadLetter.MaxHeaders); i++)
            {
                w.String(headers[i].Key);
                w.String(headers[i].Value);
            }
        }
    }

    /// <summary>In single precision where that loses nothing, as with most converters' values.</summary>
    private static void EncodeBlock(ByteWriter w, int rows, double step, ReadOnlySpan<double> values)
    {
        w.Byte(0);
        w.Byte((byte)(values.Length / rows));
        w.Int32(rows);
        w.Double(step);
        var isSingle = true;
        foreach (var v in values)
            isSingle &= (float)v == v || double.IsNaN(v);
        w.Byte(isSingle ? (byte)sizeof(float) : (byte)sizeof(double));
        foreach (var v in values)
        {
            if (isSingle)
                w.Int32(BitConverter.SingleToInt32Bits((float)v));
            else
                w.Double(v);
        }
    }

    private static void DecodeBlock(ref ByteReader r, ReadOnlySpan<byte> key, long first, long arrival, long lsn, ref double[] values, LogBatch batch)
    {
        int channels = r.Byte();
        var rows = r.Int32();
        var step = r.Double();
        var width = r.Byte();
        if (channels == 0 || rows < 1 || (long)rows * channels > int.MaxValue / sizeof(double) || width is not (sizeof(float) or sizeof(double)) || !(step > 0))
            throw new CorruptLogException($"A block of {rows} samples of {channels} channels in {width} bytes at position {lsn} isn't one.");
        var n = rows * channels;
        if (values.Length < n)
            values = new double[n];
        for (var i = 0; i < n; i++)
            values[i] = width == sizeof(float) ? BitConverter.Int32BitsToSingle(r.Int32()) : r.Double();
        batch.AddBlock(lsn, key, first, step, arrival, rows, values.AsSpan(0, n));
    }

    /// <summary>Why a sample can't be an entry of any log; null = it can.</summary>
    internal static (string Reason, string Detail)? Refuse(ReadOnlySpan<byte> key, long eventTime, long lastTime, long arrival, ReadOnlySpan<double> values, int rows, long maxFutureMicros)
    {
        if (key.Length is 0 or > MaxKeyBytes)
            return (DeadLetterReason.BadKey, $"The stream key has {key.Length} bytes; 1 to {MaxKeyBytes} are allowed.");
        if (values.Length / rows is 0 or > 255)
            return (DeadLetterReason.ChannelCount, $"The sample has {values.Length / rows} values; 1 to 255 are allowed.");
        if (eventTime < EarliestMicros || eventTime > LatestMicros || lastTime > LatestMicros || lastTime < eventTime || arrival < EarliestMicros || arrival > LatestMicros)
            return (DeadLetterReason.BadTime, "The event or arrival time lies outside the calendar.");
        if (lastTime > arrival + maxFutureMicros)
            return (DeadLetterReason.Future, $"Event time {UnixMicros.ToDateTimeOffset(lastTime):O} is ahead of arrival {UnixMicros.ToDateTimeOffset(arrival):O}.");
        var missing = 0;
        foreach (var v in values)
        {
            if (double.IsInfinity(v) || Math.Abs(v) > 1e30)
                return (DeadLetterReason.NotFinite, "A value is infinite or beyond ±1e30.");
            if (double.IsNaN(v))
                missing++;
        }

        // A packet of a signal may say that all its leads are off.
        return missing == values.Length && rows == 1 ? (DeadLetterReason.NotFinite, "No value is a number.") : null;
    }

    private void Decode(ReadOnlySpan<byte> record, long position, LogBatch batch)
    {
        var r = new ByteReader(record);
        switch (r.Byte())
        {
            case KindBatch:
                var source = r.String();
                var sourcePosition = r.String();
                if (source.Length > 0)
                    batch.SourcePositions[source] = sourcePosition;
                var n = r.Int32();
                Span<double> values = stackalloc double[255];
                var index = 0;
                for (; index < n; index++)
                {
                    var key = r.Block();
                    var eventTime = r.Int64();
                    var arrival = r.Int64();
                    var d = r.Byte();
                    if (d == 0)
                    {
                        DecodeBlock(ref r, key, eventTime, arrival, position + index, ref _blockValues, batch);
                        continue;
                    }

                    for (var i = 0; i < d; i++)
                        values[i] = r.Double();
                    batch.AddSample(position + index, key, eventTime, arrival, values[..d]);
                }

                var letters = r.Int32();
                for (var i = 0; i < letters; i++, index++)
                {
                    var letter = new DeadLetter(r.String(), r.String(), r.String(), r.String(), r.Int64(), r.Block().ToArray(), r.Int32(), r.String() is { Length: > 0 } stream ? stream : null);
                    var headers = new KeyValuePair<string, string>[r.Byte()];
                    for (var h = 0; h < headers.Length; h++)
                        headers[h] = new(r.String(), r.String());
                    if (headers.Length > 0)
                        letter = letter with { Headers = headers };
                    batch.DeadLetters.Add((position + index, letter));
                }

                break;
            case KindTicks:
                var ticks = r.Int32();
                for (var i = 0; i < ticks; i++)
                    batch.AddTick(position + i, r.Byte(), r.Int64());
                break;
            case KindActivate:
                batch.AddActivation(position, r.String(), r.Int32());
                break;
            case KindReset:
                batch.AddReset(position, r.Block(), r.Int64());
                break;
            case var kind:
                throw new CorruptLogException($"Unknown journal record kind {kind} at position {position}.");
        }
    }

    private sealed record Request(ByteWriter Bytes, string? Source, string? Position)
    {
        public TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}

/// <summary>Limits of the local journal.</summary>
public sealed record JournalSettings
{
    public long SegmentBytes { get; init; } = 64 << 20;

    /// <summary>When the engine is this far behind, appends wait: sources stop acknowledging instead of filling the disk.</summary>
    public long MaxBacklogBytes { get; init; } = 256 << 20;

    /// <summary>How far an event time may lie ahead of its arrival.</summary>
    public TimeSpan MaxFuture { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Brings a file's content to stable storage; null = fsync.</summary>
    internal Action<SafeFileHandle>? Sync { get; init; }
}
