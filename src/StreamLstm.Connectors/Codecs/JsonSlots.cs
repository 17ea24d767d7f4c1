using System.Globalization;
using System.Text;
using System.Text.Json;

namespace StreamLstm.Connectors.Codecs;

/// <summary>Where a pointer's value lies in the payload.</summary>
internal readonly record struct JsonSlot(JsonTokenType Type, int Start, int Length, bool Escaped)
{
    public bool IsPresent => Type != JsonTokenType.None;
}

/// <summary>A value found through a pointer with <c>*</c>, and what the <c>*</c> stands for: a part of a name, or an index.</summary>
internal readonly record struct JsonHit(int Slot, JsonSlot Value, JsonSlot Name, int Index);

/// <summary>The hits of one reading, in payload order; reused.</summary>
internal sealed class JsonHits
{
    private JsonHit[] _hits = new JsonHit[16];

    public int Count { get; private set; }

    /// <summary>Further hits are left out.</summary>
    public int Limit { get; set; } = int.MaxValue;

    /// <summary>Whether hits were left out.</summary>
    public bool Overflow { get; private set; }

    public ref readonly JsonHit this[int i] => ref _hits[i];

    public void Clear()
    {
        Count = 0;
        Overflow = false;
    }

    public void Add(in JsonHit hit)
    {
        if (Count >= Limit)
        {
            Overflow = true;
            return;
        }

        if (Count == _hits.Length)
            Array.Resize(ref _hits, Count * 2);
        _hits[Count++] = hit;
    }
}

/// <summary>
/// A set of JSON pointers compiled into a tree, so that one forward pass over a payload finds all of them without building a
/// document. One segment of a pointer may be <c>*</c> or <c>prefix*</c>; names that another pointer spells out aren't meant by it.
/// </summary>
internal sealed class JsonSlots
{
    private readonly Node _root = new([], -1, false);
    private readonly Dictionary<string, int> _slots = new(StringComparer.Ordinal);

    public int Count => _slots.Count;

    /// <summary>Whether text is a pointer, with <c>*</c> in at most one segment if <paramref name="wildcard"/>.</summary>
    public static bool IsPointer(string text, bool wildcard = false)
    {
        if (text.Length > 0 && text[0] != '/')
            return false;
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] == '~' && (i + 1 == text.Length || text[i + 1] is not ('0' or '1')))
                return false;
        }

        return !wildcard || text.Split('/').Count(IsWildcard) <= 1;
    }

    public static bool HasWildcard(string pointer) => pointer.Split('/').Any(IsWildcard);

    /// <returns>The pointer's slot; equal pointers share one.</returns>
    /// <param name="wildcard">Whether <c>*</c> stands for names instead of itself.</param>
    /// <param name="container">Whether an array or object is meant, even if other pointers lead into it.</param>
    public int Add(string pointer, bool wildcard = false, bool container = false)
    {
        var id = wildcard && HasWildcard(pointer) ? "*" + pointer : pointer;
        if (container)
            id = "[]" + id;
        if (_slots.TryGetValue(id, out var slot))
            return slot;
        var node = _root;
        foreach (var segment in pointer.Split('/').Skip(1))
        {
            var isWildcard = wildcard && IsWildcard(segment);
            var name = (isWildcard ? segment[..^1] : segment).Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal);
            node = node.Child(name, isWildcard);
        }

        slot = _slots.Count;
        _slots.Add(id, slot);
        if (container)
            node.ContainerSlot = slot;
        else
            node.Slot = slot;
        return slot;
    }

    /// <summary>Reads the value the reader stands on and everything in it.</summary>
    /// <param name="origin">Offset of the reader's input in the payload.</param>
    /// <param name="hits">Receives what pointers with <c>*</c> find.</param>
    public void Read(ref Utf8JsonReader reader, int origin, Span<JsonSlot> slots, JsonHits hits)
    {
        var pass = new Pass(slots, hits, origin);
        Read(ref reader, _root, ref pass, default, -1, false);
    }

    private static bool IsWildcard(string segment) => segment.EndsWith('*');

    // name, index: what the * on the way here stands for.
    private static void Read(ref Utf8JsonReader reader, Node node, ref Pass pass, JsonSlot name, int index, bool starred)
    {
        var type = reader.TokenType;
        var start = (int)reader.TokenStartIndex;
        if (type is not (JsonTokenType.StartObject or JsonTokenType.StartArray))
        {
            if (node.Slot >= 0)
            {
                var quote = type == JsonTokenType.String ? 1 : 0;
                pass.Found(node.Slot, new(type, pass.Origin + start + quote, reader.ValueSpan.Length, reader.ValueIsEscaped), name, index, starred);
            }

            if (node.ContainerSlot >= 0)
                pass.Found(node.ContainerSlot, new(type, pass.Origin + start, reader.ValueSpan.Length, false), name, index, starred);

            return;
        }

        if (node.IsLeaf)
        {
            reader.Skip();
        }
        else if (type == JsonTokenType.StartObject)
        {
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                var child = node.Find(ref reader);
                if (child is { IsWildcard: true })
                {
                    var prefix = child.Name.Length;
                    var at = pass.Origin + (int)reader.TokenStartIndex + 1 + prefix;
                    var rest = new JsonSlot(JsonTokenType.PropertyName, at, reader.ValueSpan.Length - prefix, reader.ValueIsEscaped);
                    reader.Read();
                    Read(ref reader, child, ref pass, rest, -1, true);
                    continue;
                }

                reader.Read();
                if (child is null)
                    reader.Skip();
                else
                    Read(ref reader, child, ref pass, name, index, starred);
            }
        }
        else
        {
            for (var i = 0; reader.Read() && reader.TokenType != JsonTokenType.EndArray; i++)
            {
                var child = node.Find(i);
                if (child is null)
                    reader.Skip();
                else if (child.IsWildcard)
                    Read(ref reader, child, ref pass, default, i, true);
                else
                    Read(ref reader, child, ref pass, name, index, starred);
            }
        }

        // Of a pointer that others continue the value is meant only if it isn't an object or array.
        var whole = new JsonSlot(type, pass.Origin + start, (int)reader.BytesConsumed - start, false);
        if (node.Slot >= 0 && node.IsLeaf)
            pass.Found(node.Slot, whole, name, index, starred);
        if (node.ContainerSlot >= 0)
            pass.Found(node.ContainerSlot, whole, name, index, starred);
    }

    private readonly ref struct Pass(Span<JsonSlot> slots, JsonHits hits, int origin)
    {
        private readonly Span<JsonSlot> _slots = slots;

        public int Origin => origin;

        public void Found(int slot, JsonSlot value, JsonSlot name, int index, bool starred)
        {
            if (starred)
                hits.Add(new(slot, value, name, index));
            else
                _slots[slot] = value;
        }
    }

    private sealed class Node(byte[] name, int index, bool isWildcard)
    {
        private readonly List<Node> _children = [];
        private Node[] _named = [];
        private Node[] _wild = [];

        public int Slot { get; set; } = -1;

        public int ContainerSlot { get; set; } = -1;

        public bool IsLeaf => _children.Count == 0;

        public bool IsWildcard => isWildcard;

        /// <summary>Of a wildcard: what stands before the *.</summary>
        public byte[] Name => name;

        private int Index { get; } = index;

        public Node Child(string segment, bool wildcard)
        {
            var utf8 = Encoding.UTF8.GetBytes(segment);
            foreach (var child in _children)
            {
                if (child.IsWildcard == wildcard && child.Name.AsSpan().SequenceEqual(utf8))
                    return child;
            }

            var isIndex = int.TryParse(segment, NumberStyles.None, CultureInfo.InvariantCulture, out var i)
                && segment == i.ToString(CultureInfo.InvariantCulture);
            var added = new Node(utf8, isIndex ? i : -1, wildcard);
            _children.Add(added);
            _named = [.. _children.Where(c => !c.IsWildcard)];

            // The longest prefix first: em1:* before em*.
            _wild = [.. _children.Where(c => c.IsWildcard).OrderByDescending(c => c.Name.Length)];
            return added;
        }

        public Node? Find(ref Utf8JsonReader reader)
        {
            var raw = reader.ValueSpan;
            if (reader.ValueIsEscaped)
            {
                foreach (var child in _named)
                {
                    if (reader.ValueTextEquals(child.Name))
                        return child;
                }
            }
            else
            {
                foreach (var child in _named)
                {
                    if (raw.SequenceEqual(child.Name))
                        return child;
                }
            }

            foreach (var child in _wild)
            {
                if (raw.Length > child.Name.Length && raw.StartsWith(child.Name))
                    return child;
            }

            return null;
        }

        public Node? Find(int i)
        {
            foreach (var child in _named)
            {
                if (child.Index == i)
                    return child;
            }

            foreach (var child in _wild)
            {
                if (child.Name.Length == 0)
                    return child;
            }

            return null;
        }
    }
}
