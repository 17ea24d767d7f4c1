using System.Buffers.Binary;
using System.Collections.Frozen;
using System.Numerics;
using System.Text.Json;

namespace StreamLstm.Core.Interchange;

/// <summary>One tensor, row-major.</summary>
public sealed record Tensor<T>(IReadOnlyList<int> Shape, T[] Values)
{
    /// <summary>The shape as [a, b].</summary>
    public string ShapeText => $"[{string.Join(", ", Shape)}]";
}

/// <summary>Named tensors with text beside them.</summary>
public sealed record TensorFile<T>(IReadOnlyDictionary<string, Tensor<T>> Tensors, IReadOnlyDictionary<string, string> Metadata);

/// <summary>
/// The safetensors format: header length (8 bytes, little-endian) | JSON header | tensor data. Nothing in it is code, and
/// nothing in it is believed: whatever does not fit is an <see cref="InvalidDataException"/> that says what and where.
/// </summary>
/// <remarks>
/// Read are F64, F32, F16 and BF16; written is the precision at hand. As the format demands, names are unique and the
/// tensors cover the data from its first byte to its last without overlap or hole.
/// </remarks>
public static class Safetensors
{
    private const int LengthBytes = 8;

    // Far above any real model's; it bounds what a hostile file can make a reader build.
    private const int MaxTensors = 65536;
    private const string MetadataName = "__metadata__";

    public static TensorFile<T> Read<T>(ReadOnlySpan<byte> file)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        if (file.Length < LengthBytes)
        {
            throw new InvalidDataException($"Not a safetensors file: {file.Length} bytes, fewer than the {LengthBytes} of the header's length.");
        }

        var headerLength = BinaryPrimitives.ReadUInt64LittleEndian(file);
        if (headerLength > (ulong)(file.Length - LengthBytes))
        {
            throw new InvalidDataException($"Not a safetensors file, or truncated: its header claims {headerLength} bytes, but {file.Length - LengthBytes} follow.");
        }

        var header = file.Slice(LengthBytes, (int)headerLength);
        var data = file[(LengthBytes + (int)headerLength)..];
        var metadata = new Dictionary<string, string>();
        var entries = ReadHeader(header, metadata);
        RequireCover(entries, data.Length);
        var tensors = new Dictionary<string, Tensor<T>>(entries.Count);
        foreach (var entry in entries)
        {
            tensors.Add(entry.Name, new Tensor<T>(entry.Shape, Decode<T>(entry, data[entry.Begin..entry.End])));
        }

        return new TensorFile<T>(tensors.ToFrozenDictionary(), metadata.ToFrozenDictionary());
    }

    /// <param name="tensors">In the order in which they are to lie in the file.</param>
    /// <param name="metadata">Text to go with them, or null.</param>
    public static byte[] Write<T>(IReadOnlyList<KeyValuePair<string, Tensor<T>>> tensors, IReadOnlyDictionary<string, string>? metadata = null)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        ArgumentNullException.ThrowIfNull(tensors);
        var size = typeof(T) == typeof(double) ? 8 : sizeof(float);
        using var header = new MemoryStream();
        using (var writer = new Utf8JsonWriter(header))
        {
            writer.WriteStartObject();
            if (metadata is { Count: > 0 })
            {
                writer.WriteStartObject(MetadataName);
                foreach (var (key, value) in metadata)
                {
                    writer.WriteString(key, value);
                }

                writer.WriteEndObject();
            }

            WriteEntries(writer, tensors, size);
            writer.WriteEndObject();
        }

        // Padded so that the data begin on a multiple of 8.
        var headerLength = (int)((header.Length + 7) / 8 * 8);
        var file = new byte[checked(LengthBytes + headerLength + tensors.Sum(pair => (long)pair.Value.Values.Length * size))];
        BinaryPrimitives.WriteUInt64LittleEndian(file, (ulong)headerLength);
        file.AsSpan(LengthBytes, headerLength).Fill((byte)' ');
        header.ToArray().CopyTo(file, LengthBytes);
        var at = LengthBytes + headerLength;
        foreach (var (_, tensor) in tensors)
        {
            foreach (var value in tensor.Values)
            {
                if (size == sizeof(float))
                {
                    BinaryPrimitives.WriteSingleLittleEndian(file.AsSpan(at), float.CreateChecked(value));
                }
                else
                {
                    BinaryPrimitives.WriteDoubleLittleEndian(file.AsSpan(at), double.CreateChecked(value));
                }

                at += size;
            }
        }

        return file;
    }

    private static void WriteEntries<T>(Utf8JsonWriter writer, IReadOnlyList<KeyValuePair<string, Tensor<T>>> tensors, int size)
    {
        var names = new HashSet<string> { MetadataName };
        long offset = 0;
        foreach (var (name, tensor) in tensors)
        {
            if (!names.Add(name))
            {
                throw new ArgumentException($"tensors must have unique names other than {MetadataName}, got '{name}'.", nameof(tensors));
            }

            var count = tensor.Shape.Aggregate(1L, (product, dimension) => checked(product * dimension));
            if (count != tensor.Values.Length)
            {
                throw new ArgumentException($"tensors: '{name}' of shape {tensor.ShapeText} must hold {count} values, got {tensor.Values.Length}.", nameof(tensors));
            }

            writer.WriteStartObject(name);
            writer.WriteString("dtype", size == sizeof(float) ? "F32" : "F64");
            writer.WriteStartArray("shape");
            foreach (var dimension in tensor.Shape)
            {
                writer.WriteNumberValue(dimension);
            }

            writer.WriteEndArray();
            writer.WriteStartArray("data_offsets");
            writer.WriteNumberValue(offset);
            offset += count * size;
            writer.WriteNumberValue(offset);
            writer.WriteEndArray();
            writer.WriteEndObject();
        }
    }

    private static List<Entry> ReadHeader(ReadOnlySpan<byte> header, Dictionary<string, string> metadata)
    {
        var entries = new List<Entry>();
        var names = new HashSet<string>();
        var reader = new Utf8JsonReader(header, new JsonReaderOptions { MaxDepth = 4 });
        try
        {
            Expect(ref reader, JsonTokenType.StartObject, "the header");
            while (NextProperty(ref reader, "the header") is { } name)
            {
                if (!names.Add(name))
                {
                    throw new InvalidDataException($"The safetensors header names '{name}' twice.");
                }

                if (name == MetadataName)
                {
                    ReadMetadata(ref reader, metadata);
                    continue;
                }

                if (entries.Count == MaxTensors)
                {
                    throw new InvalidDataException($"The safetensors header names more than {MaxTensors} tensors.");
                }

                entries.Add(ReadEntry(ref reader, name));
            }

            if (reader.Read())
            {
                throw new InvalidDataException("The safetensors header goes on after its object.");
            }
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"The safetensors header is not JSON: {e.Message}", e);
        }
        catch (InvalidOperationException e)
        {
            // Utf8JsonReader's way of saying that a string is not UTF-8.
            throw new InvalidDataException($"The safetensors header holds text that is not UTF-8: {e.Message}", e);
        }

        return entries;
    }

    private static void ReadMetadata(ref Utf8JsonReader reader, Dictionary<string, string> metadata)
    {
        Expect(ref reader, JsonTokenType.StartObject, MetadataName);
        while (NextProperty(ref reader, MetadataName) is { } key)
        {
            Expect(ref reader, JsonTokenType.String, $"{MetadataName}.{key}");
            if (!metadata.TryAdd(key, reader.GetString()!))
            {
                throw new InvalidDataException($"The safetensors metadata name '{key}' twice.");
            }
        }
    }

    private static Entry ReadEntry(ref Utf8JsonReader reader, string name)
    {
        string? type = null;
        List<long>? shape = null, offsets = null;
        Expect(ref reader, JsonTokenType.StartObject, name);
        while (NextProperty(ref reader, name) is { } key)
        {
            switch (key)
            {
                case "dtype" when type is null:
                    Expect(ref reader, JsonTokenType.String, $"{name}.dtype");
                    type = reader.GetString()!;
                    break;
                case "shape" when shape is null:
                    shape = ReadNumbers(ref reader, $"{name}.shape", 8);
                    break;
                case "data_offsets" when offsets is null:
                    offsets = ReadNumbers(ref reader, $"{name}.data_offsets", 2);
                    break;
                default:
                    throw new InvalidDataException($"Tensor '{name}' has the property '{key}' twice, or it is not one of dtype, shape, data_offsets.");
            }
        }

        if (type is null || shape is null || offsets is not { Count: 2 })
        {
            throw new InvalidDataException($"Tensor '{name}' must have dtype, shape and two data_offsets.");
        }

        var size = type switch
        {
            "F64" => 8,
            "F32" => 4,
            "F16" or "BF16" => 2,
            _ => throw new InvalidDataException($"Tensor '{name}' has dtype '{type}'; expected F64, F32, F16 or BF16."),
        };
        long bytes = size;
        foreach (var dimension in shape)
        {
            if (dimension > int.MaxValue || (bytes *= dimension) > int.MaxValue)
            {
                throw new InvalidDataException($"Tensor '{name}' has shape [{string.Join(", ", shape)}], more than fits into memory.");
            }
        }

        if (offsets[1] < offsets[0] || offsets[1] - offsets[0] != bytes || offsets[1] > int.MaxValue)
        {
            throw new InvalidDataException(
                $"Tensor '{name}' of {type} and shape [{string.Join(", ", shape)}] needs {bytes} bytes, but its data_offsets are {offsets[0]} to {offsets[1]}.");
        }

        return new Entry(name, type, [.. shape.Select(dimension => (int)dimension)], (int)offsets[0], (int)offsets[1]);
    }

    private static List<long> ReadNumbers(ref Utf8JsonReader reader, string where, int most)
    {
        var numbers = new List<long>();
        Expect(ref reader, JsonTokenType.StartArray, where);
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out var number) || number < 0)
            {
                throw new InvalidDataException($"The safetensors header must have whole numbers of at least 0 in {where}.");
            }

            if (numbers.Count == most)
            {
                throw new InvalidDataException($"The safetensors header has more than {most} numbers in {where}.");
            }

            numbers.Add(number);
        }

        return numbers;
    }

    private static void Expect(ref Utf8JsonReader reader, JsonTokenType type, string where)
    {
        if (!reader.Read() || reader.TokenType != type)
        {
            throw new InvalidDataException($"The safetensors header must have a {type} at {where}, got {reader.TokenType}.");
        }
    }

    private static string? NextProperty(ref Utf8JsonReader reader, string where)
    {
        if (!reader.Read())
        {
            throw new InvalidDataException($"The safetensors header ends within {where}.");
        }

        return reader.TokenType == JsonTokenType.PropertyName ? reader.GetString() : null;
    }

    private static void RequireCover(List<Entry> entries, int length)
    {
        var end = 0;
        foreach (var entry in entries.OrderBy(entry => entry.Begin).ThenBy(entry => entry.End))
        {
            if (entry.Begin != end)
            {
                throw new InvalidDataException(
                    $"Tensor '{entry.Name}' begins at {entry.Begin}, but the one before ends at {end}: tensors must neither overlap nor leave holes.");
            }

            end = entry.End;
        }

        if (end != length)
        {
            throw new InvalidDataException($"The tensors end at {end}, but the file holds {length} bytes of data.");
        }
    }

    private static T[] Decode<T>(Entry entry, ReadOnlySpan<byte> bytes)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        var size = entry.Type switch { "F64" => 8, "F32" => 4, _ => 2 };
        var values = new T[bytes.Length / size];
        for (var i = 0; i < values.Length; i++)
        {
            var at = bytes.Slice(i * size, size);
            values[i] = entry.Type switch
            {
                "F64" => T.CreateTruncating(BinaryPrimitives.ReadDoubleLittleEndian(at)),
                "F32" => T.CreateTruncating(BinaryPrimitives.ReadSingleLittleEndian(at)),
                "F16" => T.CreateTruncating((float)BinaryPrimitives.ReadHalfLittleEndian(at)),
                _ => T.CreateTruncating(BitConverter.Int32BitsToSingle(BinaryPrimitives.ReadUInt16LittleEndian(at) << 16)),
            };
        }

        return values;
    }

    private readonly record struct Entry(string Name, string Type, int[] Shape, int Begin, int End);
}
