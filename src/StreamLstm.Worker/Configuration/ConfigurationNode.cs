using System.Globalization;

namespace StreamLstm.Worker.Configuration;

/// <summary>
/// A place in the configuration together with its place in the table. Every read takes type, default and range from the table and
/// adds to the common list of errors; what it returns after an error is only a stand-in.
/// </summary>
internal sealed class ConfigurationNode
{
    private static readonly Dictionary<string, ConfigurationKey> s_keys = ConfigurationTable.Keys.ToDictionary(k => k.Path, StringComparer.Ordinal);

    private readonly IConfigurationSection _section;
    private readonly string _pattern;
    private readonly List<string> _errors;
    private readonly HashSet<string> _read;

    public ConfigurationNode(IConfigurationSection root, List<string> errors, HashSet<string> read)
        : this(root, "", errors, read)
    {
    }

    private ConfigurationNode(IConfigurationSection section, string pattern, List<string> errors, HashSet<string> read)
    {
        _section = section;
        _pattern = pattern;
        _errors = errors;
        _read = read;
    }

    /// <summary>The last part of the path: the user's name for a member of a map.</summary>
    public string Name => _section.Key;

    public ConfigurationNode Section(string name) => new(_section.GetSection(name), Join(_pattern, name), _errors, _read);

    public bool Exists(string name) => _section.GetSection(name).Exists();

    /// <summary>The members of a map, in ordinal order of their names.</summary>
    public IEnumerable<ConfigurationNode> Members(string name) =>
        _section.GetSection(name).GetChildren().OrderBy(c => c.Key, StringComparer.Ordinal)
            .Select(c => new ConfigurationNode(c, Join(Join(_pattern, name), "*"), _errors, _read));

    /// <summary>A map of texts whose names the user chooses.</summary>
    public IReadOnlyDictionary<string, string> Map(string name)
    {
        var node = Section(name);
        _read.Add(Join(node._pattern, "*"));
        var map = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var child in node._section.GetChildren())
        {
            if (child.Value is { } text)
                map[child.Key] = text;
            else
                node.Error(child.Key, null, "it must be a text.");
        }

        return map;
    }

    public string? OptionalText(string name) => Value(name, out _);

    public string Text(string name) => Value(name, out _) ?? "";

    public int Integer(string name) => (int)Long(name);

    public long Long(string name)
    {
        var text = Value(name, out var key);
        if (text is null)
            return 0;
        if (!long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value)
            || (key.Min is { } min && value < long.Parse(min, CultureInfo.InvariantCulture))
            || (key.Max is { } max && value > long.Parse(max, CultureInfo.InvariantCulture)))
            return Wrong(key, name, text, 0L);
        return value;
    }

    public double Number(string name) => OptionalNumber(name) ?? 0;

    public double? OptionalNumber(string name)
    {
        var text = Value(name, out var key);
        if (text is null)
            return null;
        if (!double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var value) || !double.IsFinite(value)
            || (key.Min is { } min && value < double.Parse(min, CultureInfo.InvariantCulture))
            || (key.Max is { } max && value > double.Parse(max, CultureInfo.InvariantCulture)))
            return Wrong<double?>(key, name, text, null);
        return value;
    }

    public bool Boolean(string name)
    {
        var text = Value(name, out var key);
        return text is not null && (bool.TryParse(text, out var value) ? value : Wrong(key, name, text, false));
    }

    public TimeSpan Duration(string name)
    {
        var text = Value(name, out var key);
        if (text is null)
            return default;
        if (!Configuration.Duration.TryParse(text, out var value)
            || (Configuration.Duration.TryParse(key.Min, out var min) && value < min)
            || (Configuration.Duration.TryParse(key.Max, out var max) && value > max))
            return Wrong(key, name, text, TimeSpan.FromSeconds(1));
        return value;
    }

    /// <returns>Null after an error.</returns>
    public string? Choice(string name)
    {
        var text = Value(name, out var key);
        if (text is null)
            return null;
        var choice = key.Choices.FirstOrDefault(c => c.Equals(text, StringComparison.OrdinalIgnoreCase));
        return choice ?? Wrong<string?>(key, name, text, null);
    }

    /// <returns>Null if not given and without a default.</returns>
    public IReadOnlyList<string>? List(string name)
    {
        var text = Value(name, out var key);
        if (text is null)
            return null;
        var words = text.Split(',', StringSplitOptions.TrimEntries);
        if (words.Any(w => w.Length == 0 || (key.Choices.Count > 0 && !key.Choices.Contains(w))) || words.Distinct(StringComparer.Ordinal).Count() < words.Length)
            return Wrong<IReadOnlyList<string>?>(key, name, text, null);
        return words;
    }

    public IReadOnlyList<double> Numbers(string name)
    {
        var text = Value(name, out var key);
        if (text is null)
            return [];
        var numbers = new List<double>();
        foreach (var word in text.Split(',', StringSplitOptions.TrimEntries))
        {
            if (!double.TryParse(word, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) || !double.IsFinite(number))
                return Wrong<IReadOnlyList<double>>(key, name, text, []);
            numbers.Add(number);
        }

        return numbers;
    }

    public TimeZoneInfo Zone(string name)
    {
        var text = Value(name, out var key);
        if (text is null || text.Equals("UTC", StringComparison.OrdinalIgnoreCase))
            return TimeZoneInfo.Utc;
        return TimeZoneInfo.TryFindSystemTimeZoneById(text, out var zone) ? zone : Wrong(key, name, text, TimeZoneInfo.Utc);
    }

    /// <returns>Null if absent or after an error.</returns>
    public Uri? Url(string name, params ReadOnlySpan<string> schemes)
    {
        var text = Value(name, out var key);
        if (text is null)
            return null;
        return Uri.TryCreate(text, UriKind.Absolute, out var url) && schemes.Contains(url.Scheme) && url.Host.Length > 0
            && url.PathAndQuery is "/" or "" && url.UserInfo.Length == 0
            ? url : Wrong<Uri?>(key, name, text, null);
    }

    /// <summary>Reports a value that its type allows but a rule forbids.</summary>
    public T Wrong<T>(string name, T standIn) => Wrong(Key(name), name, _section[name] ?? "", standIn);

    /// <summary>Reports what the table can't say.</summary>
    public void Error(string name, string? given, string sentence) =>
        _errors.Add($"{Path(name)}{(given is null ? "" : $" is \"{given}\"")}: {sentence}");

    private T Wrong<T>(ConfigurationKey key, string name, string given, T standIn)
    {
        // mqtt://user:password@host is refused, but shouldn't be shown either.
        var shown = key.Type == ConfigurationType.Url && given.Contains('@', StringComparison.Ordinal) ? "***" + given[given.IndexOf('@', StringComparison.Ordinal)..] : given;
        var hint = key.Type == ConfigurationType.Duration && double.TryParse(given, NumberStyles.Float, CultureInfo.InvariantCulture, out _)
            ? "a duration needs its unit; " : "";
        var standard = key.Default is { Length: > 0 } d ? $" (default {d})" : "";
        _errors.Add($"{Path(name)} is \"{shown}\": {hint}allowed is {key.Allowed}{standard}.");
        return standIn;
    }

    private string? Value(string name, out ConfigurationKey key)
    {
        key = Key(name);
        _read.Add(key.Path);
        var section = _section.GetSection(name);
        if (section.Value is { } text && (text.Length > 0 || key.Default == ""))
            return key.Type == ConfigurationType.Secret ? text : text.Trim();
        if (section.GetChildren().Any())
            _errors.Add($"{Path(name)} is an object or array: allowed is {key.Allowed}{(key.Type is ConfigurationType.List or ConfigurationType.Numbers ? ", in one text" : "")}.");
        else if (section.Value is not null)
            _errors.Add($"{Path(name)} is empty: allowed is {key.Allowed}.");
        else if (key.Required)
            _errors.Add($"{Path(name)} is missing: it needs {key.Allowed}.");
        else
            return key.Default;
        return null;
    }

    private ConfigurationKey Key(string name) =>
        s_keys.TryGetValue(Join(_pattern, name), out var key) ? key : throw new InvalidOperationException($"{Join(_pattern, name)} is not in the table.");

    private string Path(string name) => name.Length == 0 ? _section.Path : $"{_section.Path}:{name}";

    private static string Join(string a, string b) => a.Length == 0 ? b : $"{a}:{b}";
}
