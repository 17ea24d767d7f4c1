using System.Text;

namespace StreamLstm.Runtime.Ingress;

/// <summary>
/// A columnar batch of samples on its way from a source to the log: keys in one UTF-8 buffer, event times, arrival stamps and
/// values in columns. Reused; not thread-safe. Dead letters and the position of a resumable source travel in the same batch, so
/// that one durable append covers everything a source may then acknowledge.
/// </summary>
public sealed class SampleBatch
{
    private byte[] _keys = new byte[4096];
    private int _keyBytes;
    private int[] _keyEnd = new int[256];
    private long[] _eventTime = new long[256];
    private long[] _arrival = new long[256];
    private int[] _valueEnd = new int[256];
    private double[] _values = new double[256];
    private int _valueCount;
    private readonly List<DeadLetter> _deadLetters = [];

    /// <summary>Number of samples.</summary>
    public int Count { get; private set; }

    public IReadOnlyList<DeadLetter> DeadLetters => _deadLetters;

    /// <summary>Name of the resumable source this batch advances, or null.</summary>
    public string? SourceName { get; private set; }

    /// <summary>The source's own position after this batch (a row number, an offset); opaque to the log.</summary>
    public string? SourcePosition { get; private set; }

    public bool IsEmpty => Count == 0 && _deadLetters.Count == 0 && SourceName is null;

    /// <param name="stream">Stream key, UTF-8, 1 to 512 bytes.</param>
    /// <param name="eventTimeMicros">Unix microseconds, UTC, as said by the payload (or the arrival time).</param>
    /// <param name="arrivalMicros">Unix microseconds at ingress.</param>
    /// <param name="values">One value per channel, in the order of the profile's channels; NaN = this channel is missing.</param>
    public void Add(ReadOnlySpan<byte> stream, long eventTimeMicros, long arrivalMicros, ReadOnlySpan<double> values)
    {
        if (Count == _eventTime.Length)
        {
            Array.Resize(ref _keyEnd, Count * 2);
            Array.Resize(ref _eventTime, Count * 2);
            Array.Resize(ref _arrival, Count * 2);
            Array.Resize(ref _valueEnd, Count * 2);
        }

        if (_keyBytes + stream.Length > _keys.Length)
            Array.Resize(ref _keys, Math.Max(_keys.Length * 2, _keyBytes + stream.Length));
        if (_valueCount + values.Length > _values.Length)
            Array.Resize(ref _values, Math.Max(_values.Length * 2, _valueCount + values.Length));

        stream.CopyTo(_keys.AsSpan(_keyBytes));
        values.CopyTo(_values.AsSpan(_valueCount));
        _keyBytes += stream.Length;
        _valueCount += values.Length;
        _keyEnd[Count] = _keyBytes;
        _valueEnd[Count] = _valueCount;
        _eventTime[Count] = eventTimeMicros;
        _arrival[Count] = arrivalMicros;
        Count++;
    }

    /// <summary>Convenience for callers that hold the key as a string.</summary>
    public void Add(string stream, long eventTimeMicros, long arrivalMicros, ReadOnlySpan<double> values)
    {
        ArgumentNullException.ThrowIfNull(stream);
        Span<byte> key = stackalloc byte[Math.Min(Encoding.UTF8.GetMaxByteCount(stream.Length), 2048)];
        if (!Encoding.UTF8.TryGetBytes(stream, key, out var n))
            key = Encoding.UTF8.GetBytes(stream);
        else
            key = key[..n];
        Add(key, eventTimeMicros, arrivalMicros, values);
    }

    public void AddDeadLetter(DeadLetter letter) => _deadLetters.Add(letter);

    /// <summary>States that after this batch the named source has been read up to <paramref name="position"/>.</summary>
    public void SetSourcePosition(string source, string position)
    {
        SourceName = source;
        SourcePosition = position;
    }

    public ReadOnlySpan<byte> Key(int i) => _keys.AsSpan(KeyStart(i), _keyEnd[i] - KeyStart(i));

    public long EventTime(int i) => _eventTime[i];

    public long Arrival(int i) => _arrival[i];

    public ReadOnlySpan<double> Values(int i)
    {
        var start = i == 0 ? 0 : _valueEnd[i - 1];
        return _values.AsSpan(start, _valueEnd[i] - start);
    }

    public void Clear()
    {
        Count = 0;
        _keyBytes = 0;
        _valueCount = 0;
        _deadLetters.Clear();
        SourceName = null;
        SourcePosition = null;
    }

    private int KeyStart(int i) => i == 0 ? 0 : _keyEnd[i - 1];
}
