using System.Text.RegularExpressions;

namespace StreamLstm.Integration.Tests.Docs;

/// <summary>The tree's documents, and what the tests take from them.</summary>
internal static partial class Markdown
{
    /// <summary>Folder with the solution.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>Every document of the tree, without what builds and package managers put there.</summary>
    public static IEnumerable<string> Files() =>
        Directory.EnumerateFiles(Root, "*.md", SearchOption.AllDirectories)
            .Where(f => !Path.GetRelativePath(Root, f).Split(Path.DirectorySeparatorChar).Any(part => part is "bin" or "obj" or "node_modules" or ".git"));

    /// <summary>
    /// Fenced blocks of one language in their order. A configuration's name is the last one in backticks before it.
    /// </summary>
    public static IEnumerable<(string Language, string Name, string Text)> Blocks(string markdown)
    {
        foreach (Match block in FencedBlock().Matches(markdown))
        {
            var name = JsonName().Matches(markdown[..block.Index]).LastOrDefault()?.Groups[1].Value ?? "";
            yield return (block.Groups[1].Value, name, block.Groups[2].Value);
        }
    }

    /// <summary>Targets of links and images that aren't addresses or places in the same document.</summary>
    public static IEnumerable<string> LocalLinks(string markdown) =>
        Link().Matches(FencedBlock().Replace(markdown, "")).Select(m => m.Groups[1].Value.Split('#')[0]).Where(t => t.Length > 0 && !t.Contains("://", StringComparison.Ordinal));

    /// <summary>Type names quoted in backticks, alone or before a member: <c>`Type`</c>, <c>`Type.Member`</c>.</summary>
    public static IEnumerable<(string Type, string? Member)> QuotedTypes(string markdown) =>
        QuotedType().Matches(FencedBlock().Replace(markdown, "")).Select(m => (m.Groups[1].Value, m.Groups[2].Success ? m.Groups[2].Value : null));

    private static string FindRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "StreamLstm.sln")))
            folder = folder.Parent;
        return folder?.FullName ?? throw new InvalidOperationException("The tests must run from inside the tree.");
    }

    [GeneratedRegex("^```(\\w*)\\n(.*?)^```$", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex FencedBlock();

    [GeneratedRegex("`(\\w[\\w-]*\\.json)`")]
    private static partial Regex JsonName();

    [GeneratedRegex("\\]\\(([^)\\s]+)\\)")]
    private static partial Regex Link();

    // PascalCase with at least two humps, or a member after a dot: words such as `Broker` are left alone.
    [GeneratedRegex("`([A-Z][a-z0-9]+(?:[A-Z][A-Za-z0-9]*)|[A-Z]\\w+(?=\\.[A-Z]\\w+`)|I[A-Z][a-z]\\w+)(?:\\.([A-Z]\\w+))?`")]
    private static partial Regex QuotedType();
}
