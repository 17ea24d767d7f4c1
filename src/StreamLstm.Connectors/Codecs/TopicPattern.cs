using System.Text;

namespace StreamLstm.Connectors.Codecs;

/// <summary>A compiled topic pattern with captures; works on UTF-8.</summary>
internal sealed class TopicPattern
{
    public const int MaxCaptures = 16;

    private readonly Level[] _levels;
    private readonly byte _separator;

    /// <summary>The subscription as a pattern, if it is wider than this one.</summary>
    private readonly TopicPattern? _cover;

    private TopicPattern(string text, byte separator, Level[] levels, string[] captures)
    {
        _separator = separator;
        _levels = levels;
        Captures = captures;
        var cut = text.AsSpan().IndexOfAny("{+#");
        LiteralPrefix = cut < 0 ? text.Length : cut;
        Subscription = Filter(text);
        if (separator == '/' && captures.Length > 0 && Subscription != text)
            TryParse(Subscription, out _cover, out _);
    }

    private enum Kind
    {
        /// <summary>Literals with captures between them, within one level.</summary>
        Parts,

        /// <summary>One or more levels, captured.</summary>
        Many,

        /// <summary>+.</summary>
        Any,

        /// <summary>#: no, one or more levels; at the end except where patterns exclude topics.</summary>
        Rest,
    }

    public string[] Captures { get; }

    /// <summary>Characters before the first wildcard.</summary>
    public int LiteralPrefix { get; }

    /// <summary>The narrowest MQTT filter that covers the pattern.</summary>
    public string Subscription { get; }

    /// <param name="innerRest">Whether # may stand before other levels too, for any number of them.</param>
    public static bool TryParse(string text, out TopicPattern? pattern, out string problem, bool innerRest = false)
    {
        pattern = null;
        problem = "";
        if (text.Length == 0)
        {
            problem = "is empty";
            return false;
        }

        var separator = text.Contains('/', StringComparison.Ordinal) ? '/' : WithoutBraces(text).Contains('.', StringComparison.Ordinal) ? '.' : '/';
        var captures = new List<string>();
        var levels = new List<Level>();
        foreach (var level in SplitLevels(text, separator))
        {
            if (levels.Count > 0 && levels[^1].Kind == Kind.Rest && !innerRest)
            {
                problem = "has levels after #, which must be last";
                return false;
            }

            if (level == "+")
                levels.Add(new(Kind.Any, [], -1));
            else if (level == "#")
                levels.Add(new(Kind.Rest, [], -1));
            else if (!TryLevel(level, captures, levels, ref problem))
                return false;
        }

        if (captures.Count > MaxCaptures)
            problem = $"has more than {MaxCaptures} captures";
        else if (captures.Distinct(StringComparer.Ordinal).Count() < captures.Count)
            problem = "has two captures of the same name";
        if (problem.Length > 0)
            return false;
        pattern = new TopicPattern(text, (byte)separator, [.. levels], [.. captures]);
        return true;
    }

    /// <summary>
    /// Whether a broker sends the topic to us because of this pattern, match it or not: filters know no parts of levels. Never for
    /// patterns with dots, whose topics are named one by one.
    /// </summary>
    public bool Covers(ReadOnlySpan<byte> topic, Span<Range> captures) => _cover is { } cover && cover.Match(topic, captures);

    /// <param name="captures">Receives a range of <paramref name="topic"/> per capture.</param>
    public bool Match(ReadOnlySpan<byte> topic, Span<Range> captures) => Match(topic, 0, 0, captures);

    private static bool TryLevel(string level, List<string> captures, List<Level> levels, ref string problem)
    {
        var parts = new List<Part>();
        var i = 0;
        while (i < level.Length)
        {
            if (level[i] == '{')
            {
                var close = level.IndexOf('}', i);
                var name = close < 0 ? "" : level[(i + 1)..close];
                var many = name.EndsWith("...", StringComparison.Ordinal);
                if (many)
                    name = name[..^3];
                if (name.Length == 0 || !name.All(c => char.IsAsciiLetterOrDigit(c) || c == '_') || name is "topic" or "field")
                {
                    problem = "needs captures of the form {name} or {name...}, with letters, digits and _ (not topic or field)";
                    return false;
                }

                captures.Add(name);
                if (many)
                {
                    if (i > 0 || close < level.Length - 1)
                    {
                        problem = $"has {{{name}...}} beside other text in one level";
                        return false;
                    }

                    levels.Add(new(Kind.Many, [], captures.Count - 1));
                    return true;
                }

                if (parts.Count > 0 && parts[^1].Capture >= 0)
                {
                    problem = "has two captures without text between them";
                    return false;
                }

                parts.Add(new(captures.Count - 1, []));
                i = close + 1;
            }
            else
            {
                var end = level.IndexOf('{', i);
                if (end < 0)
                    end = level.Length;
                var literal = level[i..end];
                if (literal.AsSpan().IndexOfAny("+#}") >= 0)
                {
                    problem = "has +, # or } inside a level; + and # stand alone";
                    return false;
                }

                parts.Add(new(-1, Encoding.UTF8.GetBytes(literal)));
                i = end;
            }
        }

        levels.Add(new(Kind.Parts, [.. parts], -1));
        return true;
    }

    private static string WithoutBraces(string text)
    {
        var result = new StringBuilder();
        var depth = 0;
        foreach (var c in text)
        {
            depth += c == '{' ? 1 : c == '}' ? -1 : 0;
            if (depth == 0)
                result.Append(c);
        }

        return result.ToString();
    }

    // {name...} contains dots that are no separators.
    private static List<string> SplitLevels(string text, char separator)
    {
        var levels = new List<string>();
        int start = 0, depth = 0;
        for (var i = 0; i < text.Length; i++)
        {
            depth += text[i] == '{' ? 1 : text[i] == '}' ? -1 : 0;
            if (depth > 0 || text[i] != separator)
                continue;
            levels.Add(text[start..i]);
            start = i + 1;
        }

        levels.Add(text[start..]);
        return levels;
    }

    // level: index of the next pattern level; at: where the topic's next level begins (beyond its length = no level left).
    private bool Match(ReadOnlySpan<byte> topic, int level, int at, Span<Range> captures)
    {
        while (true)
        {
            if (level == _levels.Length)
                return at > topic.Length;
            var current = _levels[level];
            if (current.Kind == Kind.Rest)
            {
                if (level == _levels.Length - 1)
                    return true;
                for (; at <= topic.Length; at = LevelEnd(topic, at) + 1)
                {
                    if (Match(topic, level + 1, at, captures))
                        return true;
                }

                return false;
            }

            if (at > topic.Length)
                return false;
            var end = LevelEnd(topic, at);
            switch (current.Kind)
            {
                case Kind.Many:
                    for (; ; end = LevelEnd(topic, end + 1))
                    {
                        captures[current.Capture] = at..end;
                        if (end > at && Match(topic, level + 1, end + 1, captures))
                            return true;
                        if (end >= topic.Length)
                            return false;
                    }

                case Kind.Parts when !MatchParts(current.Parts, topic, at, end, captures):
                    return false;
                default:
                    level++;
                    at = end + 1;
                    break;
            }
        }
    }

    private static bool MatchParts(ReadOnlySpan<Part> parts, ReadOnlySpan<byte> topic, int at, int end, Span<Range> captures)
    {
        if (parts.IsEmpty)
            return at == end;
        var part = parts[0];
        if (part.Capture < 0)
            return topic[at..end].StartsWith(part.Literal) && MatchParts(parts[1..], topic, at + part.Literal.Length, end, captures);
        if (parts.Length == 1)
        {
            captures[part.Capture] = at..end;
            return end > at;
        }

        // A capture takes as little as lets the following literal match; at least one byte.
        for (var next = at + 1; next <= end; next++)
        {
            var found = topic[next..end].IndexOf(parts[1].Literal);
            if (found < 0)
                return false;
            next += found;
            captures[part.Capture] = at..next;
            if (MatchParts(parts[1..], topic, next, end, captures))
                return true;
        }

        return false;
    }

    private int LevelEnd(ReadOnlySpan<byte> topic, int at)
    {
        var i = topic[at..].IndexOf(_separator);
        return i < 0 ? topic.Length : at + i;
    }

    private string Filter(string text)
    {
        // To MQTT a topic with dots is one level.
        if (_separator == '.')
            return _levels.All(l => l.IsLiteral) ? text : "+";
        var filter = new List<string>();
        foreach (var level in _levels)
        {
            if (level.Kind is Kind.Many or Kind.Rest)
            {
                filter.Add("#");
                break;
            }

            filter.Add(level.IsLiteral ? string.Concat(level.Parts.Select(p => Encoding.UTF8.GetString(p.Literal))) : "+");
        }

        return string.Join('/', filter);
    }

    private readonly record struct Part(int Capture, byte[] Literal);

    private readonly record struct Level(Kind Kind, Part[] Parts, int Capture)
    {
        public bool IsLiteral => Kind == Kind.Parts && Parts.All(p => p.Capture < 0);
    }
}
