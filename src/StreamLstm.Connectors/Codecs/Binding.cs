using System.Globalization;
using System.Text;

namespace StreamLstm.Connectors.Codecs;

internal enum OperandKind
{
    Literal,
    Capture,
    Topic,
    Field,
    Key,

    /// <summary>Text at a pointer of the record.</summary>
    Element,

    /// <summary>Text at a pointer of the whole payload.</summary>
    Root,

    /// <summary>What * stands for.</summary>
    Star,

    /// <summary>Label of a frame's channel.</summary>
    Channel,
    Header,

    /// <summary>Attribute of a CloudEvent.</summary>
    Attribute,

    /// <summary>Tag of a line.</summary>
    Tag,
    Measurement,
}

/// <summary>A piece of text that a message yields: part of a template, left side of a condition, or place of the time.</summary>
/// <param name="Text">As written, for messages.</param>
/// <param name="Utf8">The literal, or the name of the header, attribute or tag.</param>
/// <param name="Index">Slot or capture.</param>
internal sealed record Operand(OperandKind Kind, string Text, byte[] Utf8, int Index);

/// <param name="Literal">Null = it only has to be there.</param>
/// <param name="Negated">It must not be there.</param>
/// <param name="Next">Another one that will do as well; null = none.</param>
internal sealed record Condition(Operand Operand, byte[]? Literal, bool Negated, Condition? Next);

internal sealed record CompiledValue
{
    public required string Name { get; init; }

    public required string At { get; init; }

    /// <summary><see cref="At"/> where values are found by name: fields, metrics, OBIS ids.</summary>
    public required byte[] AtUtf8 { get; init; }

    /// <summary>Slot or column.</summary>
    public required int Slot { get; init; }

    /// <summary>Found through *, any number of times.</summary>
    public required bool IsWildcard { get; init; }

    /// <summary>Found by * itself: whatever isn't a number isn't meant.</summary>
    public required bool TakesAny { get; init; }

    /// <summary>Literals and stars.</summary>
    public required Operand[] Field { get; init; }

    public required UnitConversion? Unit { get; init; }

    /// <summary>-1 = the unit isn't in the payload.</summary>
    public required int UnitSlot { get; init; }

    public required ValueKind Kind { get; init; }

    public required double Scale { get; init; }

    public required double Offset { get; init; }
}

/// <summary>A literal, or a number in the payload.</summary>
internal readonly record struct FrameNumber(double Literal, int Slot)
{
    public bool IsGiven => Slot >= 0 || !double.IsNaN(Literal);

    public static FrameNumber None => new(double.NaN, -1);
}

internal sealed record CompiledFrame
{
    public required BindingFrame Settings { get; init; }

    public required FrameNumber Rate { get; init; }

    public required FrameNumber Period { get; init; }

    public required FrameNumber Scale { get; init; }

    public required FrameNumber Origin { get; init; }

    public required FrameNumber Dimensions { get; init; }

    /// <summary>Slot of the unit of the period, or -1.</summary>
    public required int PeriodUnitSlot { get; init; }

    public required byte[][] Labels { get; init; }

    public required int LabelsSlot { get; init; }
}

internal enum TimePlace
{
    Arrival,
    Operand,
    Column,
    Obis,
    Bytes,
}

/// <summary>A binding made ready for decoding: patterns, pointers, conditions and template compiled.</summary>
internal sealed class Binding
{
    private readonly List<BindingProblem> _problems;
    private readonly List<TopicPattern> _except = [];

    private Binding(BindingSettings settings, TopicPattern topic, List<BindingProblem> problems)
    {
        Settings = settings;
        Topic = topic;
        _problems = problems;
        Held = settings.Hold > TimeSpan.Zero ? new HeldValues(settings.Hold) : null;
    }

    public BindingSettings Settings { get; }

    public PayloadFormat Format => Settings.Format;

    public TopicPattern Topic { get; }

    public IReadOnlyList<TopicPattern> Except => _except;

    public Condition[] Where { get; private set; } = [];

    /// <summary>Pointers from the root of the payload.</summary>
    public JsonSlots Root { get; } = new();

    /// <summary>Pointers from each element; the same as <see cref="Root"/> without <c>Each</c>.</summary>
    public JsonSlots Element { get; private set; } = null!;

    /// <summary>Attributes of a CloudEvent, and its data.</summary>
    public JsonSlots Envelope { get; } = new();

    public int EnvelopeData { get; private set; } = -1;

    public int EnvelopeBinary { get; private set; } = -1;

    public int EnvelopeVersion { get; private set; } = -1;

    /// <summary>-1 without <c>Each</c>.</summary>
    public int EachSlot { get; private set; } = -1;

    /// <summary>Members whose names begin with it; empty = all.</summary>
    public byte[] EachPrefix { get; private set; } = [];

    public Operand[] Stream { get; private set; } = [];

    /// <summary>In ordinal order of names: the order of channels.</summary>
    public CompiledValue[] Values { get; private set; } = [];

    /// <summary>One stream per value instead of one sample with channels.</summary>
    public bool StreamPerValue { get; private set; }

    public bool StreamPerChannel { get; private set; }

    public CompiledFrame? Frame { get; private set; }

    public TimePlace TimePlace { get; private set; }

    public Operand? TimeOperand { get; private set; }

    /// <summary>Column or byte offset of the time.</summary>
    public int TimeIndex { get; private set; }

    public byte[] TimeObis { get; private set; } = [];

    public bool UsesHeaders { get; private set; }

    /// <summary>Null unless values are held.</summary>
    public HeldValues? Held { get; }

    private bool IsJson => Format is PayloadFormat.Json or PayloadFormat.JsonSr or PayloadFormat.CloudEvents;

    private bool IsBinary => Format is PayloadFormat.Int16 or PayloadFormat.Float32;

    /// <summary>Whether a value asks for this field, metric or id by name.</summary>
    public bool Names(ReadOnlySpan<byte> name)
    {
        foreach (var value in Values)
        {
            if (!value.TakesAny && name.SequenceEqual(value.AtUtf8))
                return true;
        }

        return false;
    }

    public static Binding? Compile(BindingSettings s, List<BindingProblem> problems)
    {
        var before = problems.Count;
        if (!TopicPattern.TryParse(s.Match, out var topic, out var problem))
        {
            problems.Add(new("Match", s.Match, problem));
            return null;
        }

        var binding = new Binding(s, topic!, problems);
        binding.CompileExcept();
        binding.CompileEach();
        binding.CompileWhere();
        binding.CompileTime();
        binding.CompileFrame();
        binding.CompileValues();
        binding.CompileStream();
        if (s.Hold < TimeSpan.Zero || s.Hold > TimeSpan.FromDays(30))
            problems.Add(new("Hold", s.Hold.ToString(), "must be from 0s to 30d"));
        return problems.Count == before ? binding : null;
    }

    private void CompileExcept()
    {
        foreach (var text in Settings.Except)
        {
            if (TopicPattern.TryParse(text, out var pattern, out var problem, innerRest: true))
                _except.Add(pattern!);
            else
                _problems.Add(new("Except", text, problem));
        }
    }

    private void CompileEach()
    {
        if (Format == PayloadFormat.CloudEvents)
        {
            EnvelopeData = Envelope.Add("/data", container: true);
            EnvelopeBinary = Envelope.Add("/data_base64");
            EnvelopeVersion = Envelope.Add("/specversion");
            UsesHeaders = true;
        }

        Element = Root;
        if (Settings.Each is not { } each)
            return;
        Element = new JsonSlots();
        if (!IsJson)
        {
            _problems.Add(new("Each", each, "needs Format json"));
            return;
        }

        var cut = each.LastIndexOf('/');
        var last = cut < 0 ? "" : each[(cut + 1)..];
        var container = last.EndsWith('*') ? each[..cut] : each;
        if (!JsonSlots.IsPointer(each) || JsonSlots.HasWildcard(container))
        {
            _problems.Add(new("Each", each, "must be a JSON pointer such as /readings/* or /params/em:*, with * at its end only"));
            return;
        }

        EachSlot = Root.Add(container, container: true);
        if (last.EndsWith('*'))
            EachPrefix = Encoding.UTF8.GetBytes(last[..^1].Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal));
    }

    private void CompileWhere()
    {
        var conditions = new List<Condition>();
        foreach (var text in Settings.Where)
        {
            Condition? condition = null;
            var good = true;
            foreach (var alternative in text.Split('|').Reverse())
                good &= (condition = Alternative(alternative.Trim(), condition)) is not null;
            if (good)
                conditions.Add(condition!);
            else
                _problems.Add(new("Where", text, $"must be a condition such as {(IsJson ? "/method=NotifyStatus, /data or !/error" : Format == PayloadFormat.Influx ? "measurement=meter, tag:site=a or !tag:test" : "$h:type=reading")}"));
        }

        Where = [.. conditions];
    }

    private Condition? Alternative(string text, Condition? next)
    {
        var negated = text.StartsWith('!');
        var body = (negated ? text[1..] : text).Trim();
        var equals = body.IndexOf('=', StringComparison.Ordinal);
        var left = (equals < 0 ? body : body[..equals]).Trim();
        var literal = equals < 0 ? null : body[(equals + 1)..].Trim();
        var exists = literal is null or "*";
        var operand = left.StartsWith('/') && IsJson
            ? JsonSlots.IsPointer(left) ? new Operand(OperandKind.Root, left, [], Root.Add(left, container: exists)) : null
            : Other(left);
        return operand is null || (negated && equals >= 0) ? null : new(operand, exists ? null : Encoding.UTF8.GetBytes(literal!), negated, next);
    }

    private void CompileTime()
    {
        var at = Settings.Time.At;
        if (Settings.Time.MaxAge <= TimeSpan.Zero)
            _problems.Add(new("Time:MaxAge", Settings.Time.MaxAge.ToString(), "must be more than 0s"));
        if (Settings.Time.MaxFuture < TimeSpan.Zero)
            _problems.Add(new("Time:MaxFuture", Settings.Time.MaxFuture.ToString(), "must not be negative"));
        if (at == BindingTime.Arrival)
            return;
        if (at.StartsWith("$h:", StringComparison.Ordinal) || at.StartsWith("ce:", StringComparison.Ordinal))
        {
            TimePlace = TimePlace.Operand;
            TimeOperand = Other(at);
            if (TimeOperand is null)
                _problems.Add(new("Time:At", at, "is an attribute of CloudEvents, which needs Format cloudevents"));
            return;
        }

        switch (Format)
        {
            case PayloadFormat.Csv:
                TimePlace = TimePlace.Column;
                TimeIndex = Column("Time:At", at);
                break;
            case PayloadFormat.Obis:
                TimePlace = TimePlace.Obis;
                TimeObis = Encoding.UTF8.GetBytes(at);
                if (!at.Contains(':', StringComparison.Ordinal))
                    _problems.Add(new("Time:At", at, "must be an OBIS id such as 0-0:1.0.0, or arrival"));
                break;
            case PayloadFormat.Int16 or PayloadFormat.Float32:
                TimePlace = TimePlace.Bytes;
                if (!int.TryParse(at, NumberStyles.None, CultureInfo.InvariantCulture, out var offset) || offset + 8 > (Settings.Frame?.HeaderBytes ?? 0))
                    _problems.Add(new("Time:At", at, "must be the offset of a 64-bit integer within Frame:HeaderBytes, $h:header, or arrival"));
                else
                    TimeIndex = offset;
                break;
            case PayloadFormat.Text or PayloadFormat.Influx or PayloadFormat.Sparkplug:
                _problems.Add(new("Time:At", at, Format == PayloadFormat.Text
                    ? "must be arrival or $h:header: a text payload is only a value"
                    : "must be arrival: the payload has times of its own"));
                break;
            default:
                TimePlace = TimePlace.Operand;
                TimeOperand = Other(at);
                if (TimeOperand is not { Kind: OperandKind.Element or OperandKind.Root or OperandKind.Header or OperandKind.Attribute })
                    _problems.Add(new("Time:At", at, "must be a JSON pointer such as /time (RFC 6901), $h:header or arrival"));
                break;
        }
    }

    private void CompileFrame()
    {
        if (Settings.Frame is null && !IsBinary)
            return;
        var frame = Settings.Frame ?? new BindingFrame();
        if (!IsJson && !IsBinary)
        {
            _problems.Add(new("Frame", null, "needs Format json, int16 or float32"));
            return;
        }

        if (frame.HeaderBytes is < 0 or > 4096 || (frame.HeaderBytes > 0 && !IsBinary))
            _problems.Add(new("Frame:HeaderBytes", frame.HeaderBytes.ToString(CultureInfo.InvariantCulture), "must be from 0 to 4096, and needs Format int16 or float32"));
        if (frame.Rate is null == frame.Period is null)
            _problems.Add(new("Frame:Rate", frame.Rate, "either Rate or Period must be given"));
        if (IsBinary && frame.Layout == FrameLayout.Tokens)
            _problems.Add(new("Frame:Layout", "tokens", "must be channels, rows or flat: a binary frame has no text"));
        var labels = frame.Labels;
        var labelsSlot = -1;
        byte[][] literals = [];
        if (labels is not null && labels.StartsWith('/') && IsJson)
        {
            labelsSlot = JsonSlots.IsPointer(labels) ? Element.Add(labels) : -1;
            if (labelsSlot < 0)
                _problems.Add(new("Frame:Labels", labels, "must be names with commas between them or a JSON pointer such as /leads"));
        }
        else if (labels is not null)
        {
            literals = [.. labels.Split(',', StringSplitOptions.TrimEntries).Select(Encoding.UTF8.GetBytes)];
            if (literals.Any(l => l.Length == 0) || literals.Length > BindingDecoder.MaxChannels)
                _problems.Add(new("Frame:Labels", labels, $"must be 1 to {BindingDecoder.MaxChannels} names with commas between them"));
        }

        var unitSlot = -1;
        if (frame.PeriodUnit.StartsWith('/') && IsJson && JsonSlots.IsPointer(frame.PeriodUnit))
            unitSlot = Element.Add(frame.PeriodUnit);
        else if (double.IsNaN(FrameDecoder.MicrosPer(Encoding.UTF8.GetBytes(frame.PeriodUnit))))
            _problems.Add(new("Frame:PeriodUnit", frame.PeriodUnit, "must be s, ms, us, ns or a JSON pointer"));
        Frame = new CompiledFrame
        {
            Settings = frame,
            Rate = Number("Rate", frame.Rate, 1e-6, 1e6),
            Period = Number("Period", frame.Period, 1e-9, 1e12),
            Scale = Number("Scale", frame.Scale, double.MinValue, double.MaxValue),
            Origin = Number("Origin", frame.Origin, double.MinValue, double.MaxValue),
            Dimensions = Number("Dimensions", frame.Dimensions, 1, BindingDecoder.MaxChannels),
            PeriodUnitSlot = unitSlot,
            Labels = literals,
            LabelsSlot = labelsSlot,
        };
    }

    private FrameNumber Number(string key, string? text, double min, double max)
    {
        if (text is null)
            return FrameNumber.None;
        if (text.StartsWith('/') && IsJson && JsonSlots.IsPointer(text))
            return new(double.NaN, Element.Add(text));
        if (double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && number >= min && number <= max && (key != "Scale" || number != 0))
            return new(number, -1);
        _problems.Add(new($"Frame:{key}", text, IsJson ? "must be a number or a JSON pointer such as /fs" : "must be a number"));
        return FrameNumber.None;
    }

    private void CompileValues()
    {
        IEnumerable<KeyValuePair<string, BindingValue>> settings = Settings.Values;
        var single = Format == PayloadFormat.Text || IsBinary;
        if (Settings.Values.Count == 0)
        {
            if (single)
                settings = [new("value", new BindingValue())];
            else
                _problems.Add(new("Values", null, "needs at least one value, such as \"power\": { \"At\": \"/power\" }"));
        }

        var values = new List<CompiledValue>();
        foreach (var (name, value) in settings.OrderBy(v => v.Key, StringComparer.Ordinal))
        {
            if (!double.IsFinite(value.Scale) || value.Scale == 0)
                _problems.Add(new($"Values:{name}:Scale", value.Scale.ToString(CultureInfo.InvariantCulture), "must be a finite number other than 0"));
            if (!double.IsFinite(value.Offset))
                _problems.Add(new($"Values:{name}:Offset", value.Offset.ToString(CultureInfo.InvariantCulture), "must be a finite number"));
            values.Add(Value(name, value));
        }

        if (single && values.Count > 1)
            _problems.Add(new("Values", string.Join(", ", values.Select(v => v.Name)), Format == PayloadFormat.Text ? "must be one value: a text payload is one number" : "must be one value: a binary frame has only samples"));
        else if (Frame is not null && (values.Count > 1 || values.Exists(v => v.IsWildcard)))
            _problems.Add(new("Values", string.Join(", ", values.Select(v => v.Name)), "must be one value without *: the samples of the frame"));
        if (values.Count > BindingDecoder.MaxChannels)
            _problems.Add(new("Values", values.Count.ToString(CultureInfo.InvariantCulture), $"must be at most {BindingDecoder.MaxChannels} values"));
        Values = [.. values];
    }

    private CompiledValue Value(string name, BindingValue value)
    {
        var key = $"Values:{name}:At";
        var slot = -1;
        var wildcard = false;
        switch (Format)
        {
            case PayloadFormat.Text or PayloadFormat.Int16 or PayloadFormat.Float32:
                slot = 0;
                if (value.At.Length > 0)
                    _problems.Add(new(key, value.At, Format == PayloadFormat.Text ? "must be empty: a text payload is the value" : "must be empty: the payload is the samples"));
                break;
            case PayloadFormat.Csv:
                slot = Column(key, value.At);
                break;
            case PayloadFormat.Influx or PayloadFormat.Sparkplug or PayloadFormat.Obis:
                wildcard = value.At == "*";
                if (value.At.Length == 0)
                    _problems.Add(new(key, "", $"must name {(Format == PayloadFormat.Influx ? "a field" : Format == PayloadFormat.Obis ? "an OBIS id such as 1-0:1.7.0" : "a metric")}, or be * for every one that is a number"));
                break;
            default:
                if (JsonSlots.IsPointer(value.At, wildcard: true))
                {
                    wildcard = JsonSlots.HasWildcard(value.At);
                    slot = Element.Add(value.At, wildcard: true);
                }
                else
                {
                    _problems.Add(new(key, value.At, "must be a JSON pointer such as /power (RFC 6901), with * in at most one segment"));
                }

                break;
        }

        var unitSlot = -1;
        if (value.Unit is { } unit && unit.StartsWith('/') && IsJson)
        {
            if (JsonSlots.IsPointer(unit))
                unitSlot = Element.Add(unit);
            else
                _problems.Add(new($"Values:{name}:Unit", unit, "must be a unit or a JSON pointer"));
        }

        var takesAny = wildcard && value.At.EndsWith("*", StringComparison.Ordinal);
        return new CompiledValue
        {
            Name = name,
            At = value.At,
            AtUtf8 = Encoding.UTF8.GetBytes(value.At),
            Slot = slot,
            IsWildcard = wildcard,
            TakesAny = takesAny,
            Field = Field(name, value, wildcard),
            Unit = unitSlot < 0 && value.Unit is { Length: > 0 } text ? UnitConversion.Of(text) : null,
            UnitSlot = unitSlot,
            Kind = value.Kind,
            Scale = value.Scale,
            Offset = value.Offset,
        };
    }

    private Operand[] Field(string name, BindingValue value, bool wildcard)
    {
        if (value.Field is not { } field)
            return wildcard ? [new(OperandKind.Star, "*", [], -1)] : [Literal(name)];
        var parts = new List<Operand>();
        var cut = field.Split("{*}");
        for (var i = 0; i < cut.Length; i++)
        {
            if (i > 0)
                parts.Add(new(OperandKind.Star, "*", [], -1));
            if (cut[i].Length > 0)
                parts.Add(Literal(cut[i]));
        }

        if (field.Length == 0 || cut.Any(c => c.AsSpan().IndexOfAny("{}") >= 0) || (cut.Length > 1 && !wildcard))
            _problems.Add(new($"Values:{name}:Field", field, "must be a text, in which {*} may stand if At has a *"));
        return [.. parts];
    }

    private int Column(string key, string at)
    {
        if (int.TryParse(at, NumberStyles.None, CultureInfo.InvariantCulture, out var index) && index < BindingDecoder.MaxCsvCells)
            return index;
        _problems.Add(new(key, at, $"must be a column index from 0 to {BindingDecoder.MaxCsvCells - 1}"));
        return -1;
    }

    private void CompileStream()
    {
        var parts = new List<Operand>();
        var text = Settings.Stream;
        var i = 0;
        while (i < text.Length)
        {
            var open = text.IndexOf('{', i);
            if (open != i)
            {
                parts.Add(Literal(text[i..(open < 0 ? text.Length : open)]));
                i += parts[^1].Text.Length;
                continue;
            }

            var close = text.IndexOf('}', i);
            if (close < 0)
            {
                _problems.Add(new("Stream", text, "has a { without }"));
                return;
            }

            if (Part(text[(i + 1)..close]) is { } part)
                parts.Add(part);
            else
                _problems.Add(new("Stream", text, $"has {text[i..(close + 1)]}, which is none of {string.Join(", ", Topic.Captures.Select(c => $"{{{c}}}").Concat(Known()))}"));
            i = close + 1;
        }

        if (text.Length == 0)
            _problems.Add(new("Stream", text, "is empty; give a template such as {meter}"));
        var hasField = parts.Exists(p => p.Kind == OperandKind.Field);
        StreamPerChannel = parts.Exists(p => p.Kind == OperandKind.Channel);
        StreamPerValue = hasField || Values.Any(v => v.IsWildcard);
        Stream = [.. parts];

        var hasStar = parts.Exists(p => p.Kind == OperandKind.Star);
        if (Array.Find(Values, v => v.IsWildcard && !hasStar && !(hasField && v.Field.Any(f => f.Kind == OperandKind.Star))) is { } mixed)
            _problems.Add(new("Stream", text, $"gives everything that * stands for in Values:{mixed.Name}:At the same key; it needs {{*}}"));
        else if (StreamPerValue && !hasField && Values.Length > 1)
            _problems.Add(new("Stream", text, "gives several values the same key; it needs {field}"));
        else if (hasStar && Settings.Each is null && !Values.Any(v => v.IsWildcard))
            _problems.Add(new("Stream", text, "has {*}, but there is no * in Each or Values"));
        if (StreamPerChannel && Frame is null)
            _problems.Add(new("Stream", text, "has {ch}, which needs Frame"));
    }

    private IEnumerable<string> Known()
    {
        yield return "{topic}";
        yield return "{field}";
        if (Settings.Each is not null || Values.Any(v => v.IsWildcard))
            yield return "{*}";
        if (Frame is not null)
            yield return "{ch}";
        if (IsJson)
            yield return "{/pointer}";
        if (Format == PayloadFormat.CloudEvents)
            yield return "{ce:attribute}";
        if (Format == PayloadFormat.Influx)
        {
            yield return "{tag:name}";
            yield return "{measurement}";
        }

        yield return "{$key}";
        yield return "{$h:header}";
    }

    private Operand? Part(string name)
    {
        var capture = Array.IndexOf(Topic.Captures, name.EndsWith("...", StringComparison.Ordinal) ? name[..^3] : name);
        if (capture >= 0)
            return new(OperandKind.Capture, name, [], capture);
        return name switch
        {
            "field" => new(OperandKind.Field, name, [], -1),
            "*" => new(OperandKind.Star, name, [], -1),
            "ch" => new(OperandKind.Channel, name, [], -1),
            _ => Other(name),
        };
    }

    /// <summary>What isn't a capture and doesn't depend on the value.</summary>
    private Operand? Other(string name)
    {
        switch (name)
        {
            case "topic":
                return new(OperandKind.Topic, name, [], -1);
            case "$key":
                return new(OperandKind.Key, name, [], -1);
            case "measurement" when Format == PayloadFormat.Influx:
                return new(OperandKind.Measurement, name, [], -1);
        }

        if (name.StartsWith("$h:", StringComparison.Ordinal) && name.Length > 3)
        {
            UsesHeaders = true;
            return new(OperandKind.Header, name, Encoding.UTF8.GetBytes(name[3..]), -1);
        }

        if (name.StartsWith("ce:", StringComparison.Ordinal) && name.Length > 3 && Format == PayloadFormat.CloudEvents)
            return new(OperandKind.Attribute, name, Encoding.UTF8.GetBytes(name[3..]), Envelope.Add("/" + name[3..]));
        if (name.StartsWith("tag:", StringComparison.Ordinal) && name.Length > 4 && Format == PayloadFormat.Influx)
            return new(OperandKind.Tag, name, Encoding.UTF8.GetBytes(name[4..]), -1);
        if (IsJson && name.StartsWith('/') && JsonSlots.IsPointer(name))
            return new(OperandKind.Element, name, [], Element.Add(name));
        if (IsJson && name.StartsWith("^/", StringComparison.Ordinal) && JsonSlots.IsPointer(name[1..]))
            return new(OperandKind.Root, name, [], Root.Add(name[1..]));
        return null;
    }

    private static Operand Literal(string text) => new(OperandKind.Literal, text, Encoding.UTF8.GetBytes(text), -1);
}
