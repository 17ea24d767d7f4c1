using System.Text;

namespace StreamLstm.Connectors.Codecs;

/// <summary>A metric as its birth introduced it.</summary>
internal sealed class SparkplugMetric(byte[] name, uint dataType, byte[] unit)
{
    public byte[] Name => name;

    public uint DataType => dataType;

    /// <summary>Property <c>engUnit</c>; empty = none.</summary>
    public byte[] Unit => unit;

    /// <summary>Which value of which binding it is; found once. -1 = none.</summary>
    public (Binding? Binding, int Index) Value { get; set; } = (null, -1);
}

internal enum SparkplugState
{
    /// <summary>Neither birth nor death has been seen.</summary>
    Unknown,
    Alive,
    Dead,
}

/// <summary>A node's own metrics, or those of one of its devices.</summary>
internal sealed class SparkplugDevice
{
    public SparkplugState State { get; set; }

    public Dictionary<ulong, SparkplugMetric> Aliases { get; } = [];

    public Dictionary<byte[], SparkplugMetric> Names { get; } = new(Utf8Comparer.Instance);

    /// <summary>Values held between messages, until a death.</summary>
    public HeldValues? Held { get; set; }

    public void Die(SparkplugNodes nodes)
    {
        State = SparkplugState.Dead;
        nodes.Release(Names.Count);
        Aliases.Clear();
        Names.Clear();
        Held = null;
    }
}

/// <summary>One edge node; used under a lock on itself.</summary>
internal sealed class SparkplugNode(string group, string name)
{
    public string Group => group;

    public string Name => name;

    public SparkplugDevice Own { get; } = new();

    public Dictionary<byte[], SparkplugDevice> Devices { get; } = new(Utf8Comparer.Instance);

    /// <summary>Number of the last message, 0 to 255; -1 = none.</summary>
    public int Sequence { get; set; } = -1;

    /// <summary>Number of the session, which a death repeats; null = unknown.</summary>
    public ulong? Session { get; set; }

    /// <summary>Arrival of the message for which a rebirth was last asked for.</summary>
    public long? AskedMicros { get; set; }
}

/// <summary>
/// What births have said, for all nodes of a source. Not kept over a restart: a rebirth is asked for instead, as the specification has it
/// (Sparkplug 3.0, chapters 4 to 6).
/// </summary>
internal sealed class SparkplugNodes(DecodeCounters counters)
{
    /// <summary>Also of devices per node.</summary>
    public const int MaxNodes = 10_000;

    /// <summary>Devices and metrics of all nodes together; a few hundred bytes each.</summary>
    public const int MaxEntries = 1_000_000;

    private const long AskAgainMicros = 30_000_000;

    private readonly Dictionary<byte[], SparkplugNode> _nodes = new(Utf8Comparer.Instance);
    private int _entries;

    public event Action<string, string>? RebirthRequested;

    /// <summary>Null if there are too many.</summary>
    /// <param name="path">Group and node, with a slash between them.</param>
    public SparkplugNode? Node(ReadOnlySpan<byte> path, ReadOnlySpan<byte> group, ReadOnlySpan<byte> name)
    {
        lock (_nodes)
        {
            var lookup = _nodes.GetAlternateLookup<ReadOnlySpan<byte>>();
            if (lookup.TryGetValue(path, out var node))
                return node;
            if (_nodes.Count >= MaxNodes)
                return null;
            node = new SparkplugNode(Encoding.UTF8.GetString(group), Encoding.UTF8.GetString(name));
            lookup[path] = node;
            return node;
        }
    }

    /// <summary>Whether a node was asked for its births and hasn't published them since.</summary>
    public bool AwaitsBirth(string group, string node)
    {
        lock (_nodes)
            return _nodes.TryGetValue(Encoding.UTF8.GetBytes($"{group}/{node}"), out var known) && known.AskedMicros is not null;
    }

    /// <summary>Takes one entry of memory; false if all are taken.</summary>
    public bool TryTake()
    {
        if (Interlocked.Increment(ref _entries) <= MaxEntries)
            return true;
        Interlocked.Decrement(ref _entries);
        return false;
    }

    public void Release(int entries) => Interlocked.Add(ref _entries, -entries);

    /// <summary>Asks once, and again if no birth has come for a while.</summary>
    public void AskForRebirth(SparkplugNode node, long arrivalMicros)
    {
        if (node.AskedMicros is { } asked && arrivalMicros - asked < AskAgainMicros)
            return;
        node.AskedMicros = arrivalMicros;
        counters.CountRebirthRequest();
        RebirthRequested?.Invoke(node.Group, node.Name);
    }
}
