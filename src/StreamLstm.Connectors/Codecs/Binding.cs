using System.Globalization;
using System.Text;

namespace StreamLstm.Connectors.Codecs;

internal enum TemplatePart
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
}

internal sealed record StreamPart(TemplatePart Kind, string Text, byte[] Literal, int Index);

internal sealed record CompiledValue(string Name, byte[] NameUtf8, string At, int Slot, double Scale, double Offset);

/// <summary>A binding made ready for decoding: pattern, pointers and template compiled.</summary>
internal sealed class Binding
{
    private Binding(BindingSettings settings, TopicPattern topic)
    {
        Settings = settings;
        Topic = topic;
    }

    public BindingSettings Settings { get; }

    public TopicPattern Topic { get; }

    /// <summary>Pointers from the root of the payload.</summary>
    public JsonSlots Root { get; } = new();

    /// <summary>Pointers from each element; the same as <see cref="Root"/> without <c>Each</c>.</summary>
    public JsonSlots Element { get; private set; } = null!;

    /// <summary>-1 without <c>Each</c>.</summary>
    public int EachSlot { get; private set; } = -1;

    public StreamPart[] Stream { get; private set; } = [];

    /// <summary>In ordinal order of names: the order of channels.</summary>
    public CompiledValue[] Values { get; private set; } = [];

    /// <summary>One stream per value instead of one sample with channels.</summary>
    public bool StreamPerValue { get; private set; }

    /// <summary>Slot or CSV index of the time; -1 = arrival.</summary>
    public int TimeSlot { get; private set; } = -1;

    public bool TimeFromRoot { get; private set; }

    public static Binding? Compile(BindingSettings s, List<BindingProblem> problems)
    {
        var before = problems.Count;
        if (!TopicPattern.TryParse(s.Match, out var topic, out var problem))
        {
            problems.Add(new("Match", s.Match, problem));
            return null;
        }

        var binding = new Binding(s, topic!);
        binding.CompileEach(problems);
        binding.CompileTime(problems);
        binding.CompileValues(problems);
        binding.CompileStream(problems);
        return problems.Count == before ? binding : null;
    }

    private void CompileEach(List<BindingProblem> problems)
    {
        Element = Root;
        if (Settings.Each is not { } each)
            return;
        if (Settings.Format != PayloadFormat.Json)
            problems.Add(new("Each", each, "needs Format json"));
        else if (!JsonSlots.IsPointer(each))
            problems.Add(new("Each", each, "must be a JSON pointer such as /readings"));
        else
            EachSlot = Root.Add(each.EndsWith("/*", StringComparison.Ordinal) ? each[..^2] : each);
        Element = new JsonSlots();
    }

    private void CompileTime(List<BindingProblem> problems)
    {
        var at = Settings.Time.At;
        if (at == BindingTime.Arrival)
            return;
        TimeFromRoot = at.StartsWith('^') && Settings.Format == PayloadFormat.Json;
        TimeSlot = Place("Time:At", TimeFromRoot ? at[1..] : at, TimeFromRoot ? Root : Element, problems);
        if (Settings.Format == PayloadFormat.Text)
            problems.Add(new("Time:At", at, "must be arrival: a text payload is only a value"));
    }

    private void CompileValues(List<BindingProblem> problems)
    {
        var values = new List<CompiledValue>();
        IEnumerable<KeyValuePair<string, BindingValue>> settings = Settings.Values;
        if (Settings.Values.Count == 0)
        {
            if (Settings.Format == PayloadFormat.Text)
                settings = [new("value", new BindingValue())];
            else
                problems.Add(new("Values", null, "needs at least one value, such as \"power\": { \"At\": \"/power\" }"));
        }

        foreach (var (name, value) in settings.OrderBy(v => v.Key, StringComparer.Ordinal))
        {
            if (!double.IsFinite(value.Scale) || value.Scale == 0)
                problems.Add(new($"Values:{name}:Scale", value.Scale.ToString(CultureInfo.InvariantCulture), "must be a finite number other than 0"));
            if (!double.IsFinite(value.Offset))
                problems.Add(new($"Values:{name}:Offset", value.Offset.ToString(CultureInfo.InvariantCulture), "must be a finite number"));
            if (Settings.Format == PayloadFormat.Text && value.At.Length > 0)
                problems.Add(new($"Values:{name}:At", value.At, "must be empty: a text payload is the value"));
            var slot = Settings.Format == PayloadFormat.Text ? 0 : Place($"Values:{name}:At", value.At, Element, problems);
            values.Add(new(name, Encoding.UTF8.GetBytes(name), value.At, slot, value.Scale, value.Offset));
        }

        if (Settings.Format == PayloadFormat.Text && values.Count > 1)
            problems.Add(new("Values", string.Join(", ", values.Select(v => v.Name)), "must be one value: a text payload is one number"));
        Values = [.. values];
    }

    private int Place(string key, string at, JsonSlots slots, List<BindingProblem> problems)
    {
        if (Settings.Format == PayloadFormat.Csv)
        {
            if (int.TryParse(at, NumberStyles.None, CultureInfo.InvariantCulture, out var index) && index < BindingDecoder.MaxCsvCells)
                return index;
            problems.Add(new(key, at, $"must be a column index from 0 to {BindingDecoder.MaxCsvCells - 1}"));
        }
        else if (Settings.Format == PayloadFormat.Json)
        {
            if (JsonSlots.IsPointer(at))
                return slots.Add(at);
            problems.Add(new(key, at, "must be a JSON pointer such as /power (RFC 6901)" + (key == "Time:At" ? " or arrival" : "")));
        }

        return -1;
    }

    private void CompileStream(List<BindingProblem> problems)
    {
        var parts = new List<StreamPart>();
        var text = Settings.Stream;
        var i = 0;
        while (i < text.Length)
        {
            var open = text.IndexOf('{', i);
            if (open != i)
            {
                var literal = text[i..(open < 0 ? text.Length : open)];
                parts.Add(new(TemplatePart.Literal, literal, Encoding.UTF8.GetBytes(literal), -1));
                i += literal.Length;
                continue;
            }

            var close = text.IndexOf('}', i);
            if (close < 0)
            {
                problems.Add(new("Stream", text, "has a { without }"));
                return;
            }

            if (Part(text[(i + 1)..close]) is { } part)
                parts.Add(part);
            else
                problems.Add(new("Stream", text, $"has {text[i..(close + 1)]}, which is none of {string.Join(", ", Topic.Captures.Select(c => $"{{{c}}}").Concat(["{topic}", "{field}", "{/pointer}", "{$key}"]))}"));
            i = close + 1;
        }

        if (text.Length == 0)
            problems.Add(new("Stream", text, "is empty; give a template such as {meter}"));
        StreamPerValue = parts.Exists(p => p.Kind == TemplatePart.Field);
        Stream = [.. parts];
    }

    private StreamPart? Part(string name)
    {
        switch (name)
        {
            case "topic":
                return new(TemplatePart.Topic, name, [], -1);
            case "field":
                return new(TemplatePart.Field, name, [], -1);
            case "$key":
                return new(TemplatePart.Key, name, [], -1);
        }

        var json = Settings.Format == PayloadFormat.Json;
        if (json && name.StartsWith('/') && JsonSlots.IsPointer(name))
            return new(TemplatePart.Element, name, [], Element.Add(name));
        if (json && name.StartsWith("^/", StringComparison.Ordinal) && JsonSlots.IsPointer(name[1..]))
            return new(TemplatePart.Root, name, [], Root.Add(name[1..]));
        var capture = Array.IndexOf(Topic.Captures, name.EndsWith("...", StringComparison.Ordinal) ? name[..^3] : name);
        return capture < 0 ? null : new(TemplatePart.Capture, name, [], capture);
    }
}
