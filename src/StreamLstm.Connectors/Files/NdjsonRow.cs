using System.Text;
using System.Text.Json;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Files;

/// <summary>
/// One NDJSON line: <c>{"stream":"a","time":"2024-01-01T00:00:00Z","value":1.5}</c> or <c>"values":[1.5,2.5]</c>. Reused.
/// </summary>
internal sealed class NdjsonRow(TabularOptions options)
{
    private byte[] _stream = new byte[256];
    private byte[] _time = new byte[128];
    private int _streamBytes;
    private int _timeBytes;

    // Several named properties are the channels, in the order of the option, whatever their order in the line.
    private readonly bool _byName = options.ValueColumns is { Count: > 1 };

    public string TimeName { get; } = options.TimeColumn ?? "time";

    public string StreamName { get; } = options.StreamColumn ?? "stream";

    public IReadOnlyList<string> ValueNames { get; } = options.ValueColumns ?? ["value", "values"];

    /// <summary>Empty if the line names none.</summary>
    public ReadOnlySpan<byte> Stream => _stream.AsSpan(0, _streamBytes);

    public ReadOnlySpan<byte> Time => _time.AsSpan(0, _timeBytes);

    public List<double> Values { get; } = [];

    public string Detail { get; private set; } = "";

    /// <returns>Null if the line was read, else the reason; <see cref="Detail"/> says more.</returns>
    public string? Parse(ReadOnlySpan<byte> line)
    {
        _streamBytes = 0;
        _timeBytes = 0;
        Values.Clear();
        for (var i = 0; _byName && i < ValueNames.Count; i++)
            Values.Add(double.NaN);
        string? missing = null;
        try
        {
            var reader = new Utf8JsonReader(line);
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
                return Fail(DeadLetterReason.Malformed, "The line is not a JSON object.");
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                if (reader.ValueTextEquals(StreamName))
                {
                    reader.Read();
                    _streamBytes = Copy(ref reader, ref _stream);
                }
                else if (reader.ValueTextEquals(TimeName))
                {
                    reader.Read();
                    _timeBytes = Copy(ref reader, ref _time);
                }
                else if (ValueIndex(ref reader) is >= 0 and var index)
                {
                    reader.Read();
                    if (_byName)
                    {
                        AddValue(ref reader, ref missing);
                        (Values[index], Values[^1]) = (Values[^1], double.NaN);
                        Values.RemoveAt(Values.Count - 1);
                    }
                    else if (reader.TokenType == JsonTokenType.StartArray)
                    {
                        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
                            AddValue(ref reader, ref missing);
                    }
                    else
                    {
                        AddValue(ref reader, ref missing);
                    }
                }
                else
                {
                    reader.Read();
                    reader.Skip();
                }
            }

            // Trailing text after the object is an error, too.
            while (reader.Read())
            {
            }
        }
        catch (JsonException e)
        {
            return Fail(DeadLetterReason.Malformed, $"The line is not valid JSON: {e.Message}");
        }

        if (_timeBytes == 0)
            return Fail(DeadLetterReason.MissingField, $"Property {TimeName} is absent.");
        if (Values.Count == 0)
            return Fail(DeadLetterReason.MissingField, $"Property {string.Join(" or ", ValueNames)} is absent.");
        return Values.TrueForAll(double.IsNaN) ? Fail(DeadLetterReason.NotFinite, $"The value is {missing ?? "absent"} instead of a number.") : null;
    }

    private int ValueIndex(ref Utf8JsonReader reader)
    {
        for (var i = 0; i < ValueNames.Count; i++)
        {
            if (reader.ValueTextEquals(ValueNames[i]))
                return i;
        }

        return -1;
    }

    private void AddValue(ref Utf8JsonReader reader, ref string? missing)
    {
        if (reader.TokenType is JsonTokenType.Number or JsonTokenType.String
            && NumberParser.Parse(reader.ValueSpan, out var value) == NumberResult.Ok)
        {
            Values.Add(value);
            return;
        }

        missing ??= reader.TokenType is JsonTokenType.StartObject or JsonTokenType.StartArray ? "an object or array" : $"\"{Encoding.UTF8.GetString(reader.ValueSpan)}\"";
        reader.Skip();
        Values.Add(double.NaN);
    }

    private static int Copy(ref Utf8JsonReader reader, ref byte[] target)
    {
        if (reader.TokenType is not (JsonTokenType.String or JsonTokenType.Number))
        {
            reader.Skip();
            return 0;
        }

        if (target.Length < reader.ValueSpan.Length)
            target = new byte[reader.ValueSpan.Length];
        if (reader.TokenType == JsonTokenType.String)
            return reader.CopyString(target);
        reader.ValueSpan.CopyTo(target);
        return reader.ValueSpan.Length;
    }

    private string Fail(string reason, string detail)
    {
        Detail = detail;
        return reason;
    }
}
