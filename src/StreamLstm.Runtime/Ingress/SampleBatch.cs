using System.Text;

namespace StreamLstm.Runtime.Ingress;

/// <summary>
/// A columnar batch of samples on its way from a source to the log: keys in one UTF-8 buffer, event times, arrival stamps and
/// values in columns. Reused; not thread-safe. Dead letters and the position of a resumable source travel in the same batch, so
/// that one durable append covers everything a source may then acknowledge. An entry is a sample, or a block: a run of samples of one stream
/// at a constant rate, such as a packet of a signal, which has its key and its time once.
/// </summary>
public sealed class SampleBatch
{
    private byte[] _keys = new byte[4096];
    private int _keyBytes;
    private int[] _keyEnd = new int[256];
    private long[] _eventTime = new long[256];
    private long[] _arrival = new long[256];
    private int[] _valueEnd = new int[256];
    private int[] _rows = new int[256];
    private double[] _step = new double[256];
    private double[] _values = new double[256];
    private int _valueCount;
    private readonly List<DeadLetter> _deadLetters = [];

    /// <summary>Number of entries.</summary>
    public int Count { get; private set; }

    /// <summary>Number of values in all entries.</summary>
    public int ValueCount => _valueCount;

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
    public void Add(ReadOnlySpan<byte> stream, long eventTimeMicros, long arrivalMicros, ReadOnlySpan<double> values) =>
        Append(stream, eventTimeMicros, arrivalMicros, values, 1, 0);

    /// <param name="stream">Stream key, UTF-8, 1 to 512 bytes.</param>
    /// <param name="firstMicros">Unix microseconds of the first sample.</param>
    /// <param name="stepMicros">Between two samples, above 0.</param>
    /// <param name="arrivalMicros">Unix microseconds at ingress.</param>
    /// <param name="rows">n, at least 1.</param>
    /// <param name="values">[n, channels]; NaN = missing.</param>
    public void AddBlock(ReadOnlySpan<byte> stream, long firstMicros, double stepMicros, long arrivalMicros, int rows, ReadOnlySpan<double> values)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(rows, 1);
        if (!(stepMicros > 0) || values.Length % rows != 0)
            throw new ArgumentException("A block has a step and the same number of values in every sample.", nameof(values));
        Append(stream, firstMicros, arrivalMicros, values, rows, stepMicros);
    }

    private void Append(ReadOnlySpan<byte> stream, long eventTimeMicros, long arrivalMicros, ReadOnlySpan<double> values, int rows, double step)
    {
        if (Count == _eventTime.Length)
        {
            Array.Resize(ref _keyEnd, Count * 2);
            Array.Resize(ref _eventTime, Count * 2);
            Array.Resize(ref _arrival, Count * 2);
            Array.Resize(ref _valueEnd, Count * 2);
            Array.Resize(ref _rows, Count * 2);
            Array.Resize(ref _step, Count * 2);
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
        _rows[Count] = rows;
        _step[Count] = step;
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

    /// <summary>Of a block, of its first sample.</summary>
    public long EventTime(int i) => _eventTime[i];

    /// <summary>Samples in the entry: 1 unless it is a block.</summary>
    public int Rows(int i) => _rows[i];

    /// <summary>Microseconds between a block's samples; 0 = the entry is a sample.</summary>
    public double StepMicros(int i) => _step[i];

    /// <summary>Time of a block's k-th sample.</summary>
    public long EventTime(int i, int k) => _eventTime[i] + (long)((k * _step[i]) + 0.5);

    public long LastEventTime(int i) => EventTime(i, _rows[i] - 1);

    /// <summary>Values of a block's k-th sample.</summary>
    public ReadOnlySpan<double> Values(int i, int k)
    {
        var all = Values(i);
        var channels = all.Length / _rows[i];
        return all.Slice(k * channels, channels);
    }

    public long Arrival(int i) => _arrival[i];

    /// <summary>[channels], of a block [n, channels].</summary>
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
