using System.Reflection;

namespace StreamLstm.Integration.Tests.Docs;

/// <summary>Documents speak of things that exist.</summary>
public class DocumentTests
{
    private static readonly Assembly[] s_assemblies =
    [
        typeof(StreamLstm.Core.Forecasting.ForecastPlan).Assembly,
        typeof(StreamLstm.Runtime.Engine).Assembly,
        typeof(StreamLstm.Connectors.Mqtt.MqttSource).Assembly,
        typeof(StreamLstm.Worker.Configuration.ConfigurationTable).Assembly,
    ];

    [Fact]
    public void Links_in_documents_lead_to_files()
    {
        var dead = Markdown.Files()
            .SelectMany(file => Markdown.LocalLinks(File.ReadAllText(file))
                .Where(link => !Path.Exists(Path.Combine(Path.GetDirectoryName(file)!, Uri.UnescapeDataString(link))))
                .Select(link => $"{Path.GetRelativePath(Markdown.Root, file)}: {link}"))
            .ToList();
        Assert.Empty(dead);
    }

    [Fact]
    public void Types_named_in_the_orientation_exist()
    {
        const BindingFlags Any = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static;
        var types = s_assemblies.SelectMany(a => a.GetTypes()).Concat([typeof(TimeProvider)]).ToLookup(t => t.Name, StringComparer.Ordinal);
        var quoted = Markdown.QuotedTypes(File.ReadAllText(Path.Combine(Markdown.Root, "src", "README.md"))).Distinct().ToList();
        Assert.True(quoted.Count > 30, "The orientation names few types; is the pattern right?");
        // Names of options are quoted like types and are members of a profile.
        var options = typeof(StreamLstm.Runtime.Profiles.Profile).GetProperties().Select(p => p.Name).ToHashSet();
        var unknown = quoted.Where(q => q.Type != nameof(StreamLstm) && !options.Contains(q.Type) && !types[q.Type].Any(t => q.Member is null || t.GetMember(q.Member, Any).Length > 0)).ToList();
        Assert.Empty(unknown);
    }

    [Fact]
    public void Folders_named_in_the_orientation_exist()
    {
        var text = File.ReadAllText(Path.Combine(Markdown.Root, "src", "README.md"));
        foreach (System.Text.RegularExpressions.Match m in System.Text.RegularExpressions.Regex.Matches(text, "`((?:Core|Runtime)/\\w+)`"))
            Assert.True(Directory.Exists(Path.Combine(Markdown.Root, "src", "StreamLstm." + m.Groups[1].Value)), m.Value);
    }
}
