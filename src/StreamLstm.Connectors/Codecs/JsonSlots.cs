using System.Globalization;
using System.Text;
using System.Text.Json;

namespace StreamLstm.Connectors.Codecs;

/// <summary>Where a pointer's value lies in the payload.</summary>
internal readonly record struct JsonSlot(JsonTokenType Type, int Start, int Length, bool Escaped)
{
    public bool IsPresent => Type != JsonTokenType.None;
}

/// <summary>
/// A set of JSON pointers compiled into a tree, so that one forward pass over a payload finds all of them without building a
/// document.
/// </summary>
internal sealed class JsonSlots
{
    private readonly Node _root = new([], -1);
    private readonly Dictionary<string, int> _slots = new(StringComparer.Ordinal);

    public int Count => _slots.Count;

    public static bool IsPointer(string text)
    {
        if (text.Length > 0 && text[0] != '/')
            return false;
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] == '~' && (i + 1 == text.Length || text[i + 1] is not ('0' or '1')))
                return false;
        }

        return true;
    }

    /// <returns>The pointer's slot; equal pointers share one.</returns>
    public int Add(string pointer)
    {
        if (_slots.TryGetValue(pointer, out var slot))
            return slot;
        var node = _root;
        foreach (var segment in pointer.Split('/').Skip(1))
        {
            var name = segment.Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal);
            node = node.Child(name);
        }

        slot = _slots.Count;
        _slots.Add(pointer, slot);
        node.Slot = slot;
        return slot;
    }

    /// <summary>Reads the value the reader stands on and everything in it.</summary>
    /// <param name="origin">Offset of the reader's input in the payload.</param>
    public void Read(ref Utf8JsonReader reader, int origin, Span<JsonSlot> slots) => Read(ref reader, _root, origin, slots);

    private static void Read(ref Utf8JsonReader reader, Node node, int origin, Span<JsonSlot> slots)
    {
        var type = reader.TokenType;
        var start = (int)reader.TokenStartIndex;
        if (type is not (JsonTokenType.StartObject or JsonTokenType.StartArray))
        {
            if (node.Slot >= 0)
            {
                var quote = type == JsonTokenType.String ? 1 : 0;
                slots[node.Slot] = new(type, origin + start + quote, reader.ValueSpan.Length, reader.ValueIsEscaped);
            }

            return;
        }

        if (node.Children.Count == 0)
        {
            reader.Skip();
        }
        else if (type == JsonTokenType.StartObject)
        {
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                var child = node.Find(ref reader);
                reader.Read();
                if (child is null)
                    reader.Skip();
                else
                    Read(ref reader, child, origin, slots);
            }
        }
        else
        {
            for (var i = 0; reader.Read() && reader.TokenType != JsonTokenType.EndArray; i++)
            {
                var child = node.Find(i);
                if (child is null)
                    reader.Skip();
                else
                    Read(ref reader, child, origin, slots);
            }
        }

        if (node.Slot >= 0)
            slots[node.Slot] = new(type, origin + start, (int)reader.BytesConsumed - start, false);
    }

    private sealed class Node(byte[] name, int index)
    {
        public List<Node> Children { get; } = [];

        public int Slot { get; set; } = -1;

        private byte[] Name { get; } = name;

        private int Index { get; } = index;

        public Node Child(string segment)
        {
            var utf8 = Encoding.UTF8.GetBytes(segment);
            foreach (var child in Children)
            {
                if (child.Name.AsSpan().SequenceEqual(utf8))
                    return child;
            }

            var isIndex = int.TryParse(segment, NumberStyles.None, CultureInfo.InvariantCulture, out var i)
                && segment == i.ToString(CultureInfo.InvariantCulture);
            Children.Add(new Node(utf8, isIndex ? i : -1));
            return Children[^1];
        }

        public Node? Find(ref Utf8JsonReader reader)
        {
            foreach (var child in Children)
            {
                if (reader.ValueTextEquals(child.Name))
                    return child;
            }

            return null;
        }

        public Node? Find(int i)
        {
            foreach (var child in Children)
            {
                if (child.Index == i)
                    return child;
            }

            return null;
        }
    }
}
