using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using StreamLstm.Worker.Configuration;
using YamlDotNet.RepresentationModel;

namespace StreamLstm.Integration.Tests.Deploy;

[Trait("Category", "Deploy")]
public partial class ComposeFilesTests
{
    private static YamlMappingNode Services => DeployFolder.Services();

    private static IEnumerable<string> Names => Services.Children.Keys.Select(DeployFolder.Text);

    [Fact]
    public void Every_yaml_and_json_file_parses()
    {
        var files = Directory.EnumerateFiles(DeployFolder.Root, "*", SearchOption.AllDirectories).ToList();
        var yaml = files.Where(f => Path.GetExtension(f) is ".yml" or ".yaml").ToList();
        var json = files.Where(f => Path.GetExtension(f) == ".json").ToList();
        Assert.True(yaml.Count >= 6 && json.Count >= 3);
        Assert.All(yaml, f => Assert.NotEmpty(DeployFolder.Yaml(Path.GetRelativePath(DeployFolder.Root, f)).Children));
        Assert.All(json, f => Assert.IsType<JsonObject>(JsonNode.Parse(File.ReadAllText(f))));
    }

    [Theory]
    [InlineData("compose/streamlstm/appsettings.json")]
    [InlineData("compose/streamlstm/appsettings.kafka.json")]
    [InlineData("systemd/appsettings.json")]
    public async Task The_configurations_pass_check_config(string file)
    {
        var (exit, output) = await DeployFolder.WorkerAsync("check-config", "--config", Path.Combine(DeployFolder.Root, file));
        Assert.True(exit == 0, output);
    }

    [Fact]
    public void With_the_environment_of_compose_the_page_is_reachable_and_asks_for_a_token()
    {
        var environment = DeployFolder.WorkerEnvironment("secret").ToDictionary(e => e.Key, e => (string?)e.Value);
        var (settings, errors) = ConfigurationLoader.Load(DeployFolder.WorkerSettings, "/nowhere", environment);
        Assert.Empty(errors);
        Assert.Equal(("0.0.0.0", 8080, "secret"), (settings!.Http.Url.Host, settings.Http.Url.Port, settings.Http.Token));
        Assert.Equal(("0.0.0.0", 9464), (settings.Http.MetricsUrl!.Host, settings.Http.MetricsUrl.Port));

        environment.Remove("StreamLstm__Http__Token");
        Assert.Null(ConfigurationLoader.Load(DeployFolder.WorkerSettings, "/nowhere", environment).Settings);
    }

    [Fact]
    public void Services_that_files_name_exist_and_listen_where_they_are_sought()
    {
        var target = DeployFolder.Text(DeployFolder.Yaml("compose", "prometheus", "prometheus.yml")["scrape_configs"][0]["static_configs"][0]["targets"][0]);
        var (settings, _) = ConfigurationLoader.Load(DeployFolder.WorkerSettings, "/nowhere", []);
        Assert.Equal($"worker:{settings!.Http.MetricsUrl!.Port}", target);
        var mqtt = Assert.IsType<MqttSourceConfiguration>(Assert.Single(settings.Sources)).Settings;
        var sink = Assert.IsType<MqttSinkConfiguration>(Assert.Single(settings.Sinks)).Settings;
        var simulator = new Uri(((YamlSequenceNode)Services["simulator"]["command"]).Select(DeployFolder.Text).Single(a => a.StartsWith("--to=", StringComparison.Ordinal))["--to=".Length..]);
        var listener = File.ReadLines(Path.Combine(DeployFolder.Compose, "mosquitto", "mosquitto.conf")).Single(l => l.StartsWith("listener ", StringComparison.Ordinal));
        var source = new Uri(DeployFolder.Text(DeployFolder.Yaml("compose", "grafana", "provisioning", "datasources", "prometheus.yml")["datasources"][0]["url"]));
        Assert.Equal($"listener {mqtt.Port}", listener);
        Assert.Equal(("mosquitto", mqtt.Port), (sink.Host, sink.Port));
        Assert.Equal(1883, mqtt.Port);
        Assert.Equal(9090, source.Port);
        Assert.All([mqtt.Host, sink.Host, simulator.Host, source.Host], host => Assert.Contains(host, Names));
        foreach (var (name, service) in Services)
        {
            var needed = DeployFolder.Find(service, "depends_on") switch
            {
                YamlSequenceNode list => list.Select(DeployFolder.Text),
                YamlMappingNode map => map.Children.Keys.Select(DeployFolder.Text),
                _ => [],
            };
            Assert.All(needed, n => Assert.Contains(n, Names));
            // "healthy" needs a health check: the service's own or, for what we build, the image's.
            if (DeployFolder.Find(service, "depends_on") is YamlMappingNode conditions)
                Assert.All(conditions.Children.Keys.Select(DeployFolder.Text), n => Assert.True(DeployFolder.Find(Services[n], "healthcheck") is not null || DeployFolder.Find(Services[n], "build") is not null, $"{name} waits for {n}"));
        }
    }

    [Fact]
    public void What_is_mounted_exists_and_what_is_published_stays_on_this_host()
    {
        var volumes = ((YamlMappingNode)DeployFolder.Yaml("compose", "compose.yaml")["volumes"]).Children.Keys.Select(DeployFolder.Text).ToList();
        var used = new List<string>();
        foreach (var (_, service) in Services)
        {
            foreach (var mount in ((DeployFolder.Find(service, "volumes") as YamlSequenceNode)?.Children ?? []).Select(m => DeployFolder.Text(m).Split(':')[0]))
            {
                if (mount[0] == '.')
                    Assert.True(Path.Exists(Path.Combine(DeployFolder.Compose, mount)), mount);
                else
                    used.Add(mount);
            }

            Assert.All((DeployFolder.Find(service, "ports") as YamlSequenceNode)?.Children ?? [], p => Assert.StartsWith("127.0.0.1:", DeployFolder.Text(p), StringComparison.Ordinal));
            if (DeployFolder.Find(service, "image") is { } image && DeployFolder.Find(service, "build") is null)
                Assert.Matches(@":v?\d+\.\d+\.\d+$", DeployFolder.Text(image));
        }

        Assert.Equal(volumes.Order(), used.Order());
    }

    [Fact]
    public void Every_secret_is_asked_for_and_listed_in_the_example()
    {
        var asked = Variables().Matches(File.ReadAllText(Path.Combine(DeployFolder.Compose, "compose.yaml"))).Select(m => m.Groups[1].Value).Distinct().Order();
        var listed = File.ReadLines(Path.Combine(DeployFolder.Compose, ".env.example")).Where(l => l.Length > 0 && l[0] != '#').ToList();
        Assert.Equal(asked, listed.Select(l => l.TrimEnd('=')).Order());
        Assert.All(listed, l => Assert.EndsWith("=", l, StringComparison.Ordinal));
    }

    [Fact]
    public void Kafka_is_started_only_on_request_and_the_worker_has_time_to_stop()
    {
        var overlay = (YamlMappingNode)DeployFolder.Yaml("compose", "compose.kafka.yaml")["services"];
        Assert.Equal(["kafka-topics"], overlay.Children.Keys.Select(DeployFolder.Text).Except(Names));
        Assert.Equal("kafka", DeployFolder.Text(Assert.Single((YamlSequenceNode)overlay["kafka-topics"]["profiles"])));
        Assert.Equal(DeployFolder.Text(Services["kafka"]["image"]), DeployFolder.Text(overlay["kafka-topics"]["image"]));
        var (settings, _) = ConfigurationLoader.Load(DeployFolder.KafkaWorkerSettings, "/nowhere", []);
        var server = Assert.IsType<KafkaSourceConfiguration>(Assert.Single(settings!.Sources)).Settings.BootstrapServers;
        Assert.Equal(server, Assert.IsType<KafkaSinkConfiguration>(Assert.Single(settings.Sinks)).Settings.BootstrapServers);
        Assert.Contains($"NETWORK://{server}", DeployFolder.Text(Services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]).Split(','));
        Assert.Equal("kafka", DeployFolder.Text(Assert.Single((YamlSequenceNode)Services["kafka"]["profiles"])));
        Assert.Equal("45s", DeployFolder.Text(Services["worker"]["stop_grace_period"]));
        Assert.All(Services.Where(s => DeployFolder.Text(s.Key) != "kafka"), s => Assert.Null(DeployFolder.Find(s.Value, "profiles")));
    }

    [Fact]
    public void The_image_copies_what_exists_and_what_the_ignore_file_lets_through()
    {
        var lines = File.ReadAllLines(Path.Combine(DeployFolder.Root, "Dockerfile"));
        var allowed = File.ReadLines(Path.Combine(DeployFolder.Repository, ".dockerignore")).Where(l => l.StartsWith('!')).Select(l => l[1..]).ToList();
        var copied = lines.Where(l => l.StartsWith("COPY ", StringComparison.Ordinal) && !l.Contains("--from", StringComparison.Ordinal)).SelectMany(l => l.Split(' ')[1..^1]).ToList();
        Assert.Contains("src/", copied);
        Assert.All(Directory.EnumerateFiles(DeployFolder.Repository, "Directory.*").Select(Path.GetFileName), file => Assert.Contains(file, copied));
        Assert.All(copied, path =>
        {
            Assert.True(Path.Exists(Path.Combine(DeployFolder.Repository, path)), path);
            Assert.Contains(path.Split('/')[0], allowed);
        });
        var stages = lines.Select(l => StageName().Match(l)).Where(m => m.Success).Select(m => m.Groups[1].Value).ToList();
        Assert.All(new[] { "worker", "simulator" }, s => Assert.Contains(DeployFolder.Text(Services[s]["build"]["target"]), stages));
        Assert.Contains(lines, l => l == "USER $APP_UID");
        Assert.Contains(lines, l => l.StartsWith("HEALTHCHECK ", StringComparison.Ordinal) && l.Contains("\"healthcheck\"", StringComparison.Ordinal));
    }

    [GeneratedRegex(@"\$\{([A-Z_]+):\?")]
    private static partial Regex Variables();

    [GeneratedRegex(@"^FROM .* AS (\w+)$")]
    private static partial Regex StageName();
}
