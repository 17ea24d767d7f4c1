using System.Buffers.Binary;
using System.Buffers.Text;
using System.Text.Json;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Codecs;

/// <summary>JSON as such, behind a schema registry's header, and in a CloudEvent.</summary>
internal static class JsonDecoder
{
    /// <summary>Magic byte 0 and a schema id, https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format.</summary>
    private const int IdHeaderBytes = 5;

    /// <summary>Magic byte 1 and a schema GUID.</summary>
    private const int GuidHeaderBytes = 17;

    /// <returns>False if the message doesn't fulfil the binding's conditions.</returns>
    public static bool Decode(ref Record record)
    {
        var payload = record.Message.Payload;
        try
        {
            var start = 0;
            if (record.Binding.Format == PayloadFormat.JsonSr && !TrySkipSchema(ref record, out start))
                return true;
            if (record.Binding.Format == PayloadFormat.CloudEvents)
                return Event(ref record);

            // A byte order mark has no meaning in UTF-8, yet some write it.
            if (start == 0 && payload.StartsWith("\uFEFF"u8))
                start = 3;
            return Document(ref record, start, payload.Length - start);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: text that isn't valid UTF-8 or half a surrogate pair, seen only when it is unescaped.
            record.Reject(DeadLetterReason.Malformed, Complaint(record.Message.Payload, record.Binding.Format, e), null);
            return true;
        }
    }

    private static string Complaint(ReadOnlySpan<byte> payload, PayloadFormat format, Exception e)
    {
        if (payload.IsEmpty)
            return "The payload is empty.";
        if (payload[0] == 0 && payload.Length > IdHeaderBytes && format != PayloadFormat.JsonSr)
            return $"The payload begins with a schema registry's header (schema {BinaryPrimitives.ReadUInt32BigEndian(payload[1..])}): it needs Format json-sr, if it is JSON.";
        return $"The payload is not valid JSON: {e.Message}";
    }

    private static bool TrySkipSchema(ref Record record, out int start)
    {
        var payload = record.Message.Payload;
        start = 0;
        if (payload.Length > IdHeaderBytes && payload[0] == 0)
            start = IdHeaderBytes;
        else if (payload.Length > GuidHeaderBytes && payload[0] == 1)
            start = GuidHeaderBytes;
        else if (HasSchemaHeader(record))
            start = 0;
        else
        {
            record.Reject(DeadLetterReason.Malformed, payload.Length <= IdHeaderBytes ? "The payload is too short for a schema registry's header." : "The payload doesn't begin with a schema registry's magic byte, 0 or 1.", null);
            return false;
        }

        var body = TimestampParser.Trim(payload[start..]);
        if (body.IsEmpty || !(body[0] is (byte)'{' or (byte)'[' or (byte)'"' or (byte)'-' or (byte)'n' || (uint)(body[0] - '0') <= 9))
        {
            var schema = start == IdHeaderBytes ? $"schema {BinaryPrimitives.ReadUInt32BigEndian(payload[1..])}" : "its schema";
            record.Reject(DeadLetterReason.Malformed, $"The body after the schema registry's header ({schema}) isn't JSON; Avro and Protobuf bodies can't be read.", null);
            return false;
        }

        return true;
    }

    // Newer serializers put the id into a header and leave the payload alone.
    private static bool HasSchemaHeader(in Record record) => !record.Header("__value_schema_id"u8).IsEmpty;

    private static bool Event(ref Record record)
    {
        // Binary mode: attributes in headers, the payload is the data.
        if (!record.Header("ce_specversion"u8).IsEmpty || !record.Header("specversion"u8).IsEmpty)
            return Document(ref record, 0, record.Message.Payload.Length);

        var payload = record.Message.Payload;
        var binding = record.Binding;
        var reader = Reader(ref record, payload);
        reader.Read();
        var envelope = record.Scratch.Envelope(binding.Envelope.Count);
        binding.Envelope.Read(ref reader, 0, envelope, record.Scratch.Hits);
        ToEnd(ref reader);
        record.Envelope = envelope;
        var data = envelope[binding.EnvelopeData];
        if (!envelope[binding.EnvelopeVersion].IsPresent)
        {
            record.Reject(DeadLetterReason.Malformed, payload[0] == '[' ? "Batches of CloudEvents can't be read." : "The payload is no CloudEvent: specversion is absent, in it and in the headers.", null);
            return true;
        }

        if (!data.IsPresent)
        {
            if (!record.Fulfils(onlyEnvelope: true))
                return false;
            record.Reject(DeadLetterReason.MissingField, envelope[binding.EnvelopeBinary].IsPresent ? "The CloudEvent's data is in data_base64, which isn't JSON." : "The CloudEvent has no data.", null);
            return true;
        }

        return Document(ref record, data.Start, data.Length);
    }

    private static bool Document(ref Record record, int start, int length)
    {
        var binding = record.Binding;
        var reader = Reader(ref record, record.Message.Payload.Slice(start, length));
        reader.Read();
        var hits = record.Scratch.Hits;
        hits.Clear();
        hits.Limit = record.Limits.MaxSamples;
        var root = record.Scratch.Root(binding.Root.Count);
        binding.Root.Read(ref reader, start, root, hits);
        ToEnd(ref reader);
        record.Root = root;
        record.Element = root;
        if (binding.Where.Length > 0 && !record.Fulfils())
            return false;
        if (binding.EachSlot < 0)
        {
            Write(ref record);
            return true;
        }

        var each = root[binding.EachSlot];
        if (each.Type is not (JsonTokenType.StartArray or JsonTokenType.StartObject))
        {
            if (each.IsPresent)
                record.Reject(DeadLetterReason.Malformed, $"{binding.Settings.Each} is not an array or object.", null);
            else
                record.Reject(DeadLetterReason.MissingField, $"{binding.Settings.Each} is absent.", null);
            return true;
        }

        Elements(ref record, each);
        return true;
    }

    private static void Elements(ref Record record, JsonSlot each)
    {
        var binding = record.Binding;
        var elements = Reader(ref record, record.Raw(each));
        elements.Read();
        var index = -1;
        while (elements.Read() && elements.TokenType is not (JsonTokenType.EndArray or JsonTokenType.EndObject) && !record.IsFull)
        {
            index++;
            if (elements.TokenType == JsonTokenType.PropertyName)
            {
                var name = elements.ValueSpan;
                var meant = name.StartsWith(binding.EachPrefix) && name.Length > binding.EachPrefix.Length;
                var prefix = binding.EachPrefix.Length;
                var rest = new JsonSlot(JsonTokenType.PropertyName, each.Start + (int)elements.TokenStartIndex + 1 + prefix, name.Length - prefix, elements.ValueIsEscaped);
                elements.Read();
                if (!meant)
                {
                    elements.Skip();
                    continue;
                }

                record.EachStar = record.Text(rest, record.Scratch.EachStar);
            }
            else if (binding.EachPrefix.Length > 0)
            {
                elements.Skip();
                continue;
            }
            else
            {
                record.EachStar = Index(index, record.Scratch.EachStar);
            }

            record.Scratch.Hits.Clear();
            var slots = record.Scratch.Element(binding.Element.Count);
            binding.Element.Read(ref elements, each.Start, slots, record.Scratch.Hits);
            record.Element = slots;
            Write(ref record);
        }
    }

    /// <summary>The record's slots are filled.</summary>
    private static void Write(ref Record record)
    {
        if (!record.TryTime())
            return;
        var binding = record.Binding;
        record.Begin();
        if (binding.Frame is not null)
        {
            FrameDecoder.Json(ref record);
            return;
        }

        var values = binding.Values;
        for (var i = 0; i < values.Length; i++)
        {
            var value = values[i];
            if (value.IsWildcard)
                continue;
            var slot = record.Element[value.Slot];
            if (slot.IsPresent)
                record.Take(value, i, record.Raw(slot));
        }

        if (record.Scratch.Hits.Count > 0)
            TakeHits(ref record);
        if (record.Scratch.Hits.Overflow)
            record.HasRoom(int.MaxValue);
        record.Write();
    }

    private static void TakeHits(ref Record record)
    {
        var hits = record.Scratch.Hits;
        var values = record.Binding.Values;
        for (var h = 0; h < hits.Count && !record.IsFull; h++)
        {
            var hit = hits[h];
            for (var i = 0; i < values.Length; i++)
            {
                // Under a * at the end of a pointer everything may stand; only plain numbers are meant.
                if (!values[i].IsWildcard || values[i].Slot != hit.Slot || (values[i].TakesAny && hit.Value.Type != JsonTokenType.Number))
                    continue;
                record.Star = hit.Index >= 0 ? Index(hit.Index, record.Scratch.Star) : record.Text(hit.Name, record.Scratch.Star);
                record.Take(values[i], i, record.Raw(hit.Value));
            }
        }
    }

    private static Utf8JsonReader Reader(ref Record record, ReadOnlySpan<byte> json) =>
        new(json, new JsonReaderOptions { MaxDepth = record.Limits.MaxDepth });

    // Text after the document makes it malformed, which only reading on shows.
    private static void ToEnd(ref Utf8JsonReader reader)
    {
        while (reader.Read())
        {
        }
    }

    private static ReadOnlySpan<byte> Index(int index, byte[] buffer)
    {
        Utf8Formatter.TryFormat(index, buffer, out var n);
        return buffer.AsSpan(0, n);
    }
}
