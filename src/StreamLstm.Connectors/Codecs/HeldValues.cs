using System.Diagnostics.CodeAnalysis;

namespace StreamLstm.Connectors.Codecs;

/// <summary>The last value of every stream of a binding with <see cref="BindingSettings.Hold"/>. Used under its own lock.</summary>
internal sealed class HeldValues(TimeSpan hold)
{
    /// <summary>More streams than one partition takes; beyond it everything is forgotten, which costs one value per stream.</summary>
    private const int MaxStreams = 100_000;

    private readonly long _holdMicros = (long)hold.TotalMicroseconds;
    private readonly Dictionary<byte[], Entry[]> _entries = new(Utf8Comparer.Instance);

    private struct Entry
    {
        public long Time;
        public double Value;
    }

    /// <summary>Remembers the numbers in <paramref name="values"/> and replaces NaN by what is still held.</summary>
    public void Exchange(ReadOnlySpan<byte> stream, long time, Span<double> values)
    {
        lock (_entries)
        {
            var lookup = _entries.GetAlternateLookup<ReadOnlySpan<byte>>();
            if (!lookup.TryGetValue(stream, out var entries))
            {
                if (_entries.Count >= MaxStreams)
                    _entries.Clear();
                entries = new Entry[values.Length];
                Array.Fill(entries, new Entry { Time = long.MinValue });
                lookup[stream] = entries;
            }

            for (var i = 0; i < values.Length; i++)
            {
                ref var entry = ref entries[i];
                if (!double.IsNaN(values[i]))
                {
                    if (time >= entry.Time)
                        entry = new Entry { Time = time, Value = values[i] };
                }
                else if (entry.Time != long.MinValue && time >= entry.Time && time - entry.Time <= _holdMicros)
                {
                    values[i] = entry.Value;
                }
            }
        }
    }
}

/// <summary>Byte strings as dictionary keys, looked up by span.</summary>
internal sealed class Utf8Comparer : IEqualityComparer<byte[]>, IAlternateEqualityComparer<ReadOnlySpan<byte>, byte[]>
{
    public static readonly Utf8Comparer Instance = new();

    public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

    public int GetHashCode([DisallowNull] byte[] obj) => GetHashCode(obj.AsSpan());

    public bool Equals(ReadOnlySpan<byte> alternate, byte[] other) => alternate.SequenceEqual(other);

    public int GetHashCode(ReadOnlySpan<byte> alternate)
    {
        var hash = new HashCode();
        hash.AddBytes(alternate);
        return hash.ToHashCode();
    }

    public byte[] Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();
}
