using System.Diagnostics;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace StreamLstm.Integration.Tests.Deploy;

/// <summary>Dashboard and rules against a real Prometheus that scrapes the real worker.</summary>
[Trait("Category", "Deploy")]
public sealed partial class LiveMonitoringTests(ComposeStack stack) : IClassFixture<ComposeStack>
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(25);

    [Fact]
    public async Task Every_expression_of_the_dashboard_returns_data()
    {
        var open = DashboardFile.Expressions().Select(e => (e.Panel, Expression: Concrete(e.Expression))).ToList();
        Assert.True(open.Count >= 35, $"Only {open.Count} expressions were found.");
        // All of them, dead letters too: a broken payload was published. Training and skill need some simulated days first.
        var started = Stopwatch.StartNew();
        while (open.Count > 0 && started.Elapsed < Limit)
        {
            var empty = new List<(string, string)>();
            foreach (var (panel, expression) in open)
            {
                if ((await stack.QueryAsync(expression)).Count == 0)
                    empty.Add((panel, expression));
            }

            open = empty;
            await Task.Delay(250, TestContext.Current.CancellationToken);
        }

        Assert.True(open.Count == 0, "No data for:\n" + string.Join('\n', open.Select(e => $"{e.Panel}: {e.Expression}")));
    }

    [Fact]
    public async Task Every_variable_of_the_dashboard_has_values()
    {
        var queries = DashboardFile.Variables().Where(v => v.Type == "query").ToList();
        Assert.Equal(["instance", "stream"], queries.Select(v => v.Name));
        foreach (var (name, _, query) in queries)
        {
            var parts = LabelValues().Match(query);
            Assert.True(parts.Success, query);
            await EventuallyAsync(
                async () => (await stack.PrometheusAsync($"/api/v1/label/{parts.Groups[2].Value}/values?match[]={Uri.EscapeDataString(Concrete(parts.Groups[1].Value))}")).AsArray().Count > 0,
                $"${name} has no values: {query}");
        }
    }

    [Fact]
    public async Task Every_rule_is_evaluated_without_error_and_every_recording_rule_records()
    {
        var rules = DeployFolder.Rules().ToList();
        await EventuallyAsync(
            async () => await EvaluatedAsync() is var all && all.Count == rules.Count && all.All(r => (string?)r["health"] == "ok"),
            () => EvaluatedAsync().ContinueWith(t => string.Join('\n', t.Result.Select(r => $"{r["name"]}: {r["health"]} {r["lastError"]}")), TaskScheduler.Default));
        foreach (var (name, _, _) in rules.Where(r => !r.Alert))
            await EventuallyAsync(async () => (await stack.QueryAsync(name)).Count > 0, $"{name} records nothing.");

        async Task<List<JsonNode>> EvaluatedAsync() =>
            [.. (await stack.PrometheusAsync("/api/v1/rules"))["groups"]!.AsArray().SelectMany(g => g!["rules"]!.AsArray()).Select(r => r!)];
    }

    [Fact]
    public async Task Every_metric_that_dashboard_and_rules_name_is_written_by_the_worker()
    {
        var rules = DeployFolder.Rules().ToList();
        var known = rules.Where(r => !r.Alert).Select(r => r.Name).Append("up").ToHashSet(StringComparer.Ordinal);
        var used = DashboardFile.Expressions().Select(e => e.Expression).Concat(rules.Select(r => r.Expression)).SelectMany(Names).Distinct().Where(n => !known.Contains(n)).Order().ToList();
        Assert.Contains("streamlstm_samples_total", used);
        Assert.Contains("streamlstm_commit_duration_seconds_bucket", used);
        Assert.Contains("yhat_lower", used);
        var missing = used;
        await EventuallyAsync(
            async () =>
            {
                var written = (await stack.MetricsAsync()).Split('\n').Where(l => l.Length > 0 && l[0] != '#').Select(l => l[..l.AsSpan().IndexOfAny('{', ' ')]).ToHashSet(StringComparer.Ordinal);
                missing = [.. used.Where(n => !written.Contains(n))];
                return missing.Count == 0;
            },
            () => Task.FromResult("Not in /metrics: " + string.Join(", ", missing)));
    }

    [Fact]
    public async Task The_health_check_of_the_image_and_the_two_ports_behave_as_configured()
    {
        var (exit, output) = await DeployFolder.WorkerAsync("healthcheck", "--url", stack.Url.ToString());
        Assert.True(exit == 0, output);
        Assert.Equal(401, await stack.StatusAsync(new Uri(stack.Url, "/api/v1/streams")));
        Assert.Equal(200, await stack.StatusAsync(new Uri(stack.Url, "/api/v1/streams"), stack.Token));
        Assert.Equal(200, await stack.StatusAsync(new Uri(stack.MetricsUrl, "/metrics")));
        Assert.Equal(404, await stack.StatusAsync(new Uri(stack.MetricsUrl, "/api/v1/streams"), stack.Token));
    }

    /// <summary>What Grafana would put in place of its variables.</summary>
    private static string Concrete(string expression) => expression
        .Replace("$__rate_interval", "20s", StringComparison.Ordinal)
        .Replace("$instance", ".*", StringComparison.Ordinal)
        .Replace("$stream", "house-0001", StringComparison.Ordinal);

    /// <summary>Metric names in an expression: what remains of it without strings, label lists, functions and keywords.</summary>
    private static IEnumerable<string> Names(string expression)
    {
        var bare = Strings().Replace(expression, "");
        bare = Selectors().Replace(bare, " ");
        bare = Lists().Replace(bare, " ");
        string[] keywords = ["and", "or", "unless", "by", "on", "without"];
        return Identifiers().Matches(bare).Select(m => m.Value).Where(n => !keywords.Contains(n));
    }

    private static Task EventuallyAsync(Func<Task<bool>> condition, string otherwise) => EventuallyAsync(condition, () => Task.FromResult(otherwise));

    private static async Task EventuallyAsync(Func<Task<bool>> condition, Func<Task<string>> otherwise)
    {
        var started = Stopwatch.StartNew();
        while (!await condition())
        {
            if (started.Elapsed > Limit)
                Assert.Fail(await otherwise());
            await Task.Delay(250, TestContext.Current.CancellationToken);
        }
    }

    [GeneratedRegex(@"^label_values\((.+),\s*(\w+)\)$")]
    private static partial Regex LabelValues();

    [GeneratedRegex("\"[^\"]*\"|\\[[^\\]]*\\]")]
    private static partial Regex Strings();

    [GeneratedRegex(@"\{[^}]*\}")]
    private static partial Regex Selectors();

    [GeneratedRegex(@"\b(by|on|without|ignoring)\s*\([^)]*\)")]
    private static partial Regex Lists();

    // A name that isn't followed by an opening bracket, as a function's is.
    [GeneratedRegex(@"(?<![\w.:])[a-zA-Z_:][\w:]*\b(?!\s*\()")]
    private static partial Regex Identifiers();
}
