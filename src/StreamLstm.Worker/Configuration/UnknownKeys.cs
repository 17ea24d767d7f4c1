namespace StreamLstm.Worker.Configuration;

/// <summary>Finds keys that nothing reads, with the key that was probably meant.</summary>
internal static class UnknownKeys
{
    // Other readers of the same files.
    private static readonly string[] s_foreign = ["Logging", "AllowedHosts", "$schema"];

    private static readonly string[][] s_paths = [.. ConfigurationTable.Keys.Select(k => k.Path.Split(':'))];

    /// <summary>Top-level sections of a file that is only ours.</summary>
    public static void CheckTop(IConfiguration file, string path, List<string> errors)
    {
        foreach (var child in file.GetChildren())
        {
            if (!child.Key.Equals(ConfigurationTable.Root, StringComparison.OrdinalIgnoreCase) && !s_foreign.Contains(child.Key, StringComparer.OrdinalIgnoreCase))
                errors.Add($"{child.Key} in {path} is not a known section{DidYouMean(child.Key, [ConfigurationTable.Root, .. s_foreign])}.");
        }
    }

    public static void Check(IConfigurationSection root, List<string> errors) => Check(root, [], null, errors);

    /// <summary>", did you mean X?" or nothing.</summary>
    public static string DidYouMean(string given, IEnumerable<string> known)
    {
        var (distance, best) = known.Select(k => (Distance: Distance(given.ToUpperInvariant(), k.ToUpperInvariant()), k)).DefaultIfEmpty((int.MaxValue, "")).Min();
        return distance <= Math.Max(2, given.Length / 3) ? $"; did you mean {best}?" : "";
    }

    private static void Check(IConfigurationSection section, string[] pattern, string? type, List<string> errors)
    {
        var children = section.GetChildren().ToList();
        if (pattern is ["Sources" or "Sinks", "*"])
            type = section["Type"]?.ToLowerInvariant();
        foreach (var child in children)
        {
            var known = s_paths.Where(p => p.Length > pattern.Length && p.AsSpan(0, pattern.Length).SequenceEqual(pattern)).Select(p => p[pattern.Length]).Distinct().ToList();
            var match = known is ["*"] ? "*" : known.Find(k => k.Equals(child.Key, StringComparison.OrdinalIgnoreCase));
            if (match is null)
            {
                var meant = DidYouMean(child.Key, known);
                errors.Add($"{child.Path} is not a known key{(meant.Length > 0 ? meant : $"; known here are {string.Join(", ", known)}.")}");
                continue;
            }

            string[] path = [.. pattern, match];
            var below = ConfigurationTable.Keys.Where((_, i) => s_paths[i].Length >= path.Length && s_paths[i].AsSpan(0, path.Length).SequenceEqual(path)).ToList();
            if (type is not null && below.All(k => k.OnlyFor.Count > 0 && !k.OnlyFor.Contains(type)))
                errors.Add($"{child.Path} is a setting of type {string.Join(" or ", below.SelectMany(k => k.OnlyFor).Distinct())}, not of type {type}.");
            else if (below is [var only] && only.Path.Split(':').Length == path.Length)
                continue;
            else if (child.Value is { Length: > 0 } text)
                errors.Add($"{child.Path} is \"{text}\": it is a section with keys of its own{(match == "*" ? "" : $", such as {string.Join(", ", below.Select(k => k.Path.Split(':')[path.Length]).Distinct().Take(3))}")}.");
            else
                Check(child, path, type, errors);
        }
    }

    // Levenshtein distance.
    private static int Distance(string a, string b)
    {
        var row = Enumerable.Range(0, b.Length + 1).ToArray();
        for (var i = 1; i <= a.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= b.Length; j++)
            {
                var above = row[j];
                row[j] = Math.Min(Math.Min(row[j] + 1, row[j - 1] + 1), diagonal + (a[i - 1] == b[j - 1] ? 0 : 1));
                diagonal = above;
            }
        }

        return row[^1];
    }
}
