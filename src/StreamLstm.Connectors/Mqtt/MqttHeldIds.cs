using System.Globalization;
using System.Numerics;
using System.Text;

namespace StreamLstm.Connectors.Mqtt;

/// <summary>
/// The packet ids of QoS 2 messages that were taken in and that the broker has not released yet (MQTT 5.0, section 4.3.3): a message
/// that comes with one of them comes again. They are written down as the source's position, in the same append as the messages, so
/// that a crash between the two acknowledgements makes no message count twice. Not thread-safe.
/// </summary>
internal sealed class MqttHeldIds
{
    private readonly ulong[] _held = new ulong[1024];
    private readonly ulong[] _heldHere = new ulong[1024];
    private readonly string _session;
    private int _connection;
    private bool _changed;

    /// <param name="session">Client id and broker. Ids of another session mean nothing in this one.</param>
    /// <param name="position">What <see cref="TryGetChange"/> gave last, or null.</param>
    public MqttHeldIds(string session, string? position)
    {
        _session = session;
        var ids = position?.LastIndexOf(' ') ?? -1;
        if (ids < 0 || position.AsSpan(0, ids) is var owner && !owner.SequenceEqual(session))
            return;
        foreach (var range in position![(ids + 1)..].Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            var dash = range.IndexOf('-', StringComparison.Ordinal);
            var first = ushort.Parse(dash < 0 ? range : range[..dash], NumberStyles.None, CultureInfo.InvariantCulture);
            var last = dash < 0 ? first : ushort.Parse(range[(dash + 1)..], NumberStyles.None, CultureInfo.InvariantCulture);
            for (int id = first; id <= last; id++)
                _held[id >> 6] |= 1UL << id;
        }
    }

    /// <summary>Remembers a QoS 2 message.</summary>
    /// <returns>False if it was taken in before.</returns>
    public bool Hold(in MqttMessage message)
    {
        if (message.Connection != _connection)
            Array.Clear(_heldHere);
        _connection = message.Connection;

        var (word, bit) = (message.PacketId >> 6, 1UL << message.PacketId);
        // What is sent again on a later connection is marked as duplicate (section 4.4). Unmarked it is another message, from a broker
        // that lost or went back in its session: taking it for the old one would lose it.
        if ((_held[word] & bit) != 0 && (message.Duplicate || (_heldHere[word] & bit) != 0))
            return false;
        _changed |= (_held[word] & bit) == 0;
        _held[word] |= bit;
        _heldHere[word] |= bit;
        return true;
    }

    /// <summary>The broker will never send this id's message again.</summary>
    public void Release(ushort id)
    {
        var (word, bit) = (id >> 6, 1UL << id);
        _changed |= (_held[word] & bit) != 0;
        _held[word] &= ~bit;
        _heldHere[word] &= ~bit;
    }

    /// <summary>The broker has begun a new session.</summary>
    public void Clear()
    {
        _changed |= _held.AsSpan().ContainsAnyExcept(0UL);
        Array.Clear(_held);
        Array.Clear(_heldHere);
    }

    /// <summary>The session and its ids as text, <c>client@mqtt://host:port 1-20,23</c>, if they changed since the last call.</summary>
    public bool TryGetChange(out string position)
    {
        position = "";
        if (!_changed)
            return false;
        _changed = false;
        var text = new StringBuilder(_session).Append(' ');
        for (var id = Next(1, held: true); id <= ushort.MaxValue;)
        {
            var end = Next(id, held: false);
            if (text[^1] != ' ')
                text.Append(',');
            text.Append(CultureInfo.InvariantCulture, $"{id}");
            if (end - id > 1)
                text.Append(CultureInfo.InvariantCulture, $"-{end - 1}");
            id = Next(end, held: true);
        }

        position = text.ToString();
        return true;
    }

    /// <summary>The first id from here on that is held or not; 65,536 if there is none.</summary>
    private int Next(int id, bool held)
    {
        while (id <= ushort.MaxValue)
        {
            var word = (held ? _held[id >> 6] : ~_held[id >> 6]) >> id;
            if (word != 0)
                return id + BitOperations.TrailingZeroCount(word);
            id = (id | 63) + 1;
        }

        return ushort.MaxValue + 1;
    }
}
