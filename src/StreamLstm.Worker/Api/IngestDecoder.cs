using System.Buffers;
using System.Buffers.Text;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Worker.Api;

internal readonly record struct IngestError(int Line, string Reason, string Detail);

/// <summary>
/// Decodes one request body into a batch. What can't be used becomes a dead letter; the rest of the body goes on. A "line" is a line
/// of NDJSON or line protocol, or the ordinal of an object in a JSON body, from 1.
/// </summary>
internal sealed class IngestDecoder(string source, SampleBatch batch, long arrivalMicros, int maxLineBytes)
{
    public const int MaxErrors = 20;

    /// <summary>A body with more unusable lines than this is refused as a whole: it isn't what the sender takes it for.</summary>
    public const int MaxRejected = 10_000;

    private const int MaxKeyBytes = 512;
    private readonly List<IngestError> _errors = [];
    private readonly ArrayBufferWriter<byte> _key = new(MaxKeyBytes);
    private double[] _values = new double[16];

    public IReadOnlyList<IngestError> Errors => _errors;

    public int Rejected { get; private set; }

    public bool TooManyRejected => Rejected > MaxRejected;

    public void NdJson(ReadOnlySpan<byte> body)
    {
        var line = 0;
        while (!body.IsEmpty && !TooManyRejected)
        {
            var text = NextLine(ref body);
            line++;
            if (text.IsEmpty)
                continue;
            if (text.Length > maxLineBytes)
                Oversized(line, text);
            else
                Element(text, line);
        }
    }

    /// <summary>One object, an array of objects, or several of either after one another.</summary>
    public void Json(ReadOnlySpan<byte> body)
    {
        var reader = new Utf8JsonReader(body, new JsonReaderOptions { AllowMultipleValues = true });
        var line = 1;
        try
        {
            while (!TooManyRejected && reader.Read())
            {
                switch (reader.TokenType)
                {
                    case JsonTokenType.StartArray when reader.CurrentDepth == 0:
                    case JsonTokenType.EndArray when reader.CurrentDepth == 0:
                        break;
                    case JsonTokenType.StartObject:
                        var start = (int)reader.TokenStartIndex;
                        reader.Skip();
                        var text = body[start..(int)reader.BytesConsumed];
                        if (text.Length > maxLineBytes)
                            Oversized(line, text);
                        else
                            Element(text, line);
                        line++;
                        break;
                    default:
                        Reject(line++, DeadLetterReason.Malformed, "expected an object with \"stream\", \"time\" and \"value\"", body.Slice((int)reader.TokenStartIndex, (int)(reader.BytesConsumed - reader.TokenStartIndex)));
                        reader.Skip();
                        break;
                }
            }
        }
        catch (JsonException e)
        {
            var rest = body[(int)Math.Min(reader.TokenStartIndex, body.Length)..];
            Broken(e, line, rest, body[(int)Math.Min(reader.BytesConsumed, body.Length)..]);
        }
    }

    /// <summary>
    /// Influx line protocol: <c>measurement[,tag=value…] field=value[,field=value…] [time]</c>. One stream per numeric field:
    /// <c>measurement[,tag=value…]/field</c>, tags in ordinal order; texts and booleans are left out.
    /// </summary>
    public void LineProtocol(ReadOnlySpan<byte> body, TimestampFormat precision)
    {
        var line = 0;
        while (!body.IsEmpty && !TooManyRejected)
        {
            var text = NextLine(ref body);
            line++;
            if (text.IsEmpty || text[0] == '#')
                continue;
            if (text.Length > maxLineBytes)
                Oversized(line, text);
            else
                Point(text, line, precision);
        }
    }

    private static ReadOnlySpan<byte> NextLine(ref ReadOnlySpan<byte> body)
    {
        var end = body.IndexOf((byte)'\n');
        var line = end < 0 ? body : body[..end];
        body = end < 0 ? default : body[(end + 1)..];
        return line.Trim(" \t\r"u8);
    }

    private void Element(ReadOnlySpan<byte> text, int line)
    {
        var reader = new Utf8JsonReader(text);
        var (keyRead, keyGood, timeGood, valueRead, valueGood) = (false, false, true, false, true);
        var channels = 0;
        var time = arrivalMicros; // without a time, the sample happened when it arrived
        string? detail = null;
        try
        {
            reader.Read();
            if (reader.TokenType != JsonTokenType.StartObject)
            {
                Reject(line, DeadLetterReason.Malformed, "expected an object with \"stream\", \"time\" and \"value\"", text);
                return;
            }

            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                if (reader.ValueTextEquals("stream"u8))
                {
                    reader.Read();
                    keyRead = true;
                    keyGood = ReadKey(ref reader);
                }
                else if (reader.ValueTextEquals("time"u8))
                {
                    reader.Read();
                    timeGood = reader.TokenType is JsonTokenType.String or JsonTokenType.Number
                        && TimestampParser.TryParse(reader.ValueSpan, TimestampFormat.Auto, TimeZoneInfo.Utc, arrivalMicros, out time);
                }
                else if (reader.ValueTextEquals("value"u8) || reader.ValueTextEquals("values"u8))
                {
                    reader.Read();
                    valueRead = true;
                    channels = 0;
                    if (reader.TokenType == JsonTokenType.StartArray)
                    {
                        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
                            valueGood &= ReadValue(ref reader, ref channels, nullIsMissing: true, ref detail);
                    }
                    else
                    {
                        valueGood = ReadValue(ref reader, ref channels, nullIsMissing: false, ref detail);
                    }
                }
                else
                {
                    reader.Read();
                    reader.Skip();
                }
            }

            if (reader.Read())
            {
                Reject(line, DeadLetterReason.Malformed, "more than one JSON value on a line", text);
                return;
            }
        }
        catch (JsonException e)
        {
            Broken(e, line, text, text[(int)Math.Min(reader.BytesConsumed, text.Length)..]);
            return;
        }

        var values = _values.AsSpan(0, channels);
        if (!keyRead)
            Reject(line, DeadLetterReason.MissingField, "\"stream\" is absent", text);
        else if (!keyGood)
            Reject(line, DeadLetterReason.BadKey, $"\"stream\" must be a text of 1 to {MaxKeyBytes} bytes", text);
        else if (!timeGood)
            Reject(line, DeadLetterReason.BadTime, "\"time\" must be ISO 8601 or a Unix time in s, ms, µs or ns", text);
        else if (!valueRead || channels == 0)
            Reject(line, DeadLetterReason.MissingField, "\"value\" (or \"values\") is absent", text);
        else if (!valueGood)
            Reject(line, detail is null ? DeadLetterReason.NotFinite : DeadLetterReason.Malformed, detail ?? "a value is not a finite number", text);
        else if (!values.ContainsAnyExcept(double.NaN))
            Reject(line, DeadLetterReason.NotFinite, "every channel is null", text);
        else
            batch.Add(_key.WrittenSpan, time, arrivalMicros, values);
    }

    private bool ReadKey(ref Utf8JsonReader reader)
    {
        _key.Clear();
        // An escape makes the text shorter, at most sixfold (\u0041).
        if (reader.TokenType != JsonTokenType.String || reader.ValueSpan.Length is 0 or > MaxKeyBytes * 6)
            return false;
        try
        {
            var n = reader.CopyString(_key.GetSpan(reader.ValueSpan.Length));
            _key.Advance(n);
            return n is > 0 and <= MaxKeyBytes;
        }
        catch (InvalidOperationException)
        {
            return false; // not UTF-8, or half a surrogate pair: no name of a stream
        }
    }

    private bool ReadValue(ref Utf8JsonReader reader, ref int channels, bool nullIsMissing, ref string? detail)
    {
        if (channels == _values.Length)
            Array.Resize(ref _values, channels * 2);
        ref var value = ref _values[channels++];
        switch (reader.TokenType)
        {
            case JsonTokenType.Number:
                value = reader.GetDouble();
                return double.IsFinite(value);
            case JsonTokenType.Null:
                value = double.NaN;
                return nullIsMissing;
            case JsonTokenType.String when Utf8Parser.TryParse(reader.ValueSpan, out value, out var used) && used == reader.ValueSpan.Length:
                return double.IsFinite(value);
            default:
                detail = "a value is not a number";
                reader.Skip();
                return false;
        }
    }

    private void Broken(JsonException e, int line, ReadOnlySpan<byte> text, ReadOnlySpan<byte> rest)
    {
        // Python and JavaScript write NaN and Infinity where JSON has no word for them; that deserves its own reason.
        rest = rest.TrimStart(" \t\r\n:,["u8);
        if (rest.StartsWith("NaN"u8) || rest.StartsWith("Infinity"u8) || rest.StartsWith("-Infinity"u8))
            Reject(line, DeadLetterReason.NotFinite, "a value is not a finite number", text);
        else
            Reject(line, DeadLetterReason.Malformed, $"not JSON at byte {e.BytePositionInLine}", text);
    }

    private void Point(ReadOnlySpan<byte> text, int line, TimestampFormat precision)
    {
        if (!LineScanner.TrySplit(text, out var measurement, out var tags, out var fields, out var stamp) || !Utf8.IsValid(text))
        {
            Reject(line, DeadLetterReason.Malformed, "expected 'measurement[,tag=value] field=value [time]'", text);
            return;
        }

        var time = arrivalMicros;
        if (!stamp.IsEmpty && !TimestampParser.TryParse(stamp, precision, TimeZoneInfo.Utc, arrivalMicros, out time))
        {
            Reject(line, DeadLetterReason.BadTime, $"the time is not a number in {precision.Name}", text);
            return;
        }

        var series = Series(measurement, tags);
        var added = 0;
        while (!fields.IsEmpty)
        {
            if (!LineScanner.TryNext(ref fields, quoted: true, out var name, out var literal))
            {
                Reject(line, DeadLetterReason.Malformed, "a field is not 'name=value'", text);
                return;
            }

            if (LineScanner.IsWord(literal))
                continue;
            var number = LineScanner.Number(literal);
            if (!Utf8Parser.TryParse(number, out double value, out var used) || used != number.Length)
            {
                Reject(line, DeadLetterReason.Malformed, "a field's value is not a number", text);
                return;
            }

            if (!double.IsFinite(value))
            {
                Reject(line, DeadLetterReason.NotFinite, "a field's value is not a finite number", text);
                return;
            }

            var key = Encoding.UTF8.GetBytes(series + "/" + Unescape(name));
            if (key.Length > MaxKeyBytes)
            {
                Reject(line, DeadLetterReason.BadKey, $"measurement, tags and field exceed {MaxKeyBytes} bytes", text);
                return;
            }

            batch.Add(key, time, arrivalMicros, [value]);
            added++;
        }

        if (added == 0)
            Reject(line, DeadLetterReason.MissingField, "no numeric field", text);
    }

    /// <summary>Measurement and tags, unescaped; senders order tags as they please, so they are sorted.</summary>
    private static string Series(ReadOnlySpan<byte> measurement, ReadOnlySpan<byte> rest)
    {
        var name = Unescape(measurement);
        if (rest.IsEmpty)
            return name;
        var tags = new List<string>();
        while (!rest.IsEmpty)
        {
            var end = LineScanner.IndexOf(rest, (byte)',', quoted: false);
            tags.Add(Unescape(end < 0 ? rest : rest[..end]));
            rest = end < 0 ? default : rest[(end + 1)..];
        }

        tags.Sort(StringComparer.Ordinal);
        return name + "," + string.Join(',', tags);
    }

    private static string Unescape(ReadOnlySpan<byte> text)
    {
        var s = Encoding.UTF8.GetString(text);
        return s.Contains('\\', StringComparison.Ordinal)
            ? s.Replace("\\,", ",", StringComparison.Ordinal).Replace("\\=", "=", StringComparison.Ordinal).Replace("\\ ", " ", StringComparison.Ordinal)
            : s;
    }

    private void Oversized(int line, ReadOnlySpan<byte> text) =>
        Reject(line, DeadLetterReason.Oversized, $"{text.Length} bytes; at most {maxLineBytes} are accepted", text);

    private void Reject(int line, string reason, string detail, ReadOnlySpan<byte> text)
    {
        Rejected++;
        if (_errors.Count < MaxErrors)
            _errors.Add(new IngestError(line, reason, detail));
        batch.AddDeadLetter(DeadLetter.Create(reason, source, $"line:{line}", detail, arrivalMicros, text));
    }
}
