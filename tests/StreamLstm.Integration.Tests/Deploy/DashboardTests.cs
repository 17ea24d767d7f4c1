using System.Text.Json.Nodes;
using YamlDotNet.RepresentationModel;

namespace StreamLstm.Integration.Tests.Deploy;

[Trait("Category", "Deploy")]
public class DashboardTests
{
    [Fact]
    public void Panels_have_their_own_ids_and_places_and_take_the_data_source_from_the_variable()
    {
        var panels = DashboardFile.Panels().ToList();
        Assert.Equal(panels.Count, panels.Select(p => (int)p["id"]!).Distinct().Count());
        var taken = new HashSet<(int, int)>();
        foreach (var panel in panels)
        {
            var at = panel["gridPos"]!;
            for (var x = (int)at["x"]!; x < (int)at["x"]! + (int)at["w"]!; x++)
            {
                Assert.InRange(x, 0, 23);
                for (var y = (int)at["y"]!; y < (int)at["y"]! + (int)at["h"]!; y++)
                    Assert.True(taken.Add((x, y)), $"{panel["title"]} overlaps another panel.");
            }

            if ((string?)panel["type"] == "row")
                continue;
            Assert.All(panel["targets"]!.AsArray().Select(t => t!["datasource"]).Append(panel["datasource"]), d => Assert.Equal("${datasource}", (string?)d!["uid"]));
        }
    }

    [Fact]
    public void The_band_lies_between_the_alarm_bounds_and_the_score_is_judged_at_1()
    {
        var band = DashboardFile.Panels().Single(p => Legends(p).Contains("yhat_upper"));
        Assert.Equal(["y", "yhat", "yhat_lower", "yhat_upper"], Legends(band));
        var upper = band["fieldConfig"]!["overrides"]!.AsArray().Single(o => (string?)o!["matcher"]!["options"] == "yhat_upper")!;
        Assert.Equal("byName", (string?)upper["matcher"]!["id"]);
        Assert.Contains(upper["properties"]!.AsArray(), p => (string?)p!["id"] == "custom.fillBelowTo" && (string?)p["value"] == "yhat_lower");
        var score = DashboardFile.Panels().Single(p => Legends(p).SequenceEqual(["anomaly_score"]));
        Assert.Equal([null, 1], score["fieldConfig"]!["defaults"]!["thresholds"]!["steps"]!.AsArray().Select(s => (int?)s!["value"]));
    }

    [Fact]
    public void The_provisioned_data_source_is_the_dashboards_own_and_its_folder_is_mounted()
    {
        var source = Assert.Single((YamlSequenceNode)DeployFolder.Yaml("compose", "grafana", "provisioning", "datasources", "prometheus.yml")["datasources"]);
        var variable = DashboardFile.Read()["templating"]!["list"]!.AsArray().Single(v => (string?)v!["name"] == "datasource")!;
        Assert.Equal(DeployFolder.Text(source["uid"]), (string?)variable["current"]!["value"]);
        Assert.Equal(DeployFolder.Text(source["type"]), (string?)variable["query"]);
        Assert.Equal(DeployFolder.Text(DeployFolder.Yaml("compose", "prometheus", "prometheus.yml")["global"]["scrape_interval"]), DeployFolder.Text(source["jsonData"]["timeInterval"]));
        var provider = Assert.Single((YamlSequenceNode)DeployFolder.Yaml("compose", "grafana", "provisioning", "dashboards", "streamlstm.yml")["providers"]);
        var mounts = ((YamlSequenceNode)DeployFolder.Services()["grafana"]["volumes"]).Select(DeployFolder.Text);
        Assert.Contains($"./grafana/dashboards:{DeployFolder.Text(provider["options"]["path"])}:ro", mounts);
    }

    private static IEnumerable<string> Legends(JsonNode panel) => (panel["targets"]?.AsArray() ?? []).Select(t => (string)t!["legendFormat"]!);
}
