using YamlDotNet.RepresentationModel;

namespace StreamLstm.Integration.Tests.Deploy;

[Trait("Category", "Deploy")]
public class PrometheusFilesTests
{
    private static string Folder => Path.Combine(DeployFolder.Compose, "prometheus");

    [Theory]
    [InlineData("check config", "prometheus.yml")]
    [InlineData("check rules", "alerts.yml")]
    [InlineData("test rules", "alerts_test.yml")]
    public async Task Promtool_finds_nothing_wrong(string command, string file)
    {
        var (exit, output) = await DeployFolder.RunAsync(DeployFolder.Tool("promtool", "prometheus"), [.. command.Split(' '), Path.Combine(Folder, file)]);
        Assert.True(exit == 0, output);
    }

    [Fact]
    public void Every_alert_is_tested_both_ways_it_can_go()
    {
        var tested =
            (from test in (YamlSequenceNode)DeployFolder.Yaml("compose", "prometheus", "alerts_test.yml")["tests"]
             from expectation in (YamlSequenceNode)test["alert_rule_test"]
             select (Name: DeployFolder.Text(expectation["alertname"]), Fires: ((YamlSequenceNode)expectation["exp_alerts"]).Any())).ToHashSet();
        foreach (var (name, _, _) in DeployFolder.Rules().Where(r => r.Alert))
        {
            Assert.Contains((name, true), tested);
            Assert.Contains((name, false), tested);
        }
    }
}
