using System.Runtime.CompilerServices;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Connectors.Files;
using StreamLstm.Connectors.Kafka;
using StreamLstm.Connectors.Kafka.Partitions;
using StreamLstm.Connectors.Mqtt;
using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Scoring;
using StreamLstm.Core.Signals;
using StreamLstm.Runtime.Calendars;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;

// The reader behind the loader is internal; its tests are not.
[assembly: InternalsVisibleTo("StreamLstm.Integration.Tests")]

namespace StreamLstm.Worker.Configuration;

/// <summary>
/// Reads the layers (later ones win): <c>appsettings.json</c> beside the program, the file given with <c>--config</c>, one file per
/// key in <c>/run/secrets</c> and in systemd's <c>$CREDENTIALS_DIRECTORY</c>, environment variables <c>StreamLstm__…</c>. All errors are collected; nothing is half-applied.
/// </summary>
public static class ConfigurationLoader
{
    public const string SecretsDirectory = "/run/secrets";

    /// <param name="configFile">A JSON file; null = none.</param>
    /// <param name="secretsDirectory">Files named <c>StreamLstm__Sources__home__Password</c> and so on; skipped if absent.</param>
    /// <param name="environment">For tests; null = the process's environment.</param>
    /// <returns>Settings and no errors, or null and every error.</returns>
    public static (WorkerSettings? Settings, IReadOnlyList<string> Errors) Load(
        string? configFile, string secretsDirectory = SecretsDirectory, IEnumerable<KeyValuePair<string, string?>>? environment = null)
    {
        var errors = new List<string>();
        var builder = new ConfigurationBuilder();
        builder.AddJsonFile(Path.Combine(AppContext.BaseDirectory, "appsettings.json"), optional: true, reloadOnChange: false);
        if (configFile is not null)
        {
            if (!File.Exists(configFile))
                return (null, [$"The configuration file {configFile} does not exist."]);
            try
            {
                var full = Path.GetFullPath(configFile);
                UnknownKeys.CheckTop(new ConfigurationBuilder().AddJsonFile(full, optional: false, reloadOnChange: false).Build(), configFile, errors);
                builder.AddJsonFile(full, optional: false, reloadOnChange: false);
            }
            catch (Exception e) when (e is InvalidDataException or FormatException or IOException or UnauthorizedAccessException)
            {
                return (null, [$"The configuration file {configFile} can't be read: {(e.InnerException ?? e).Message}"]);
            }
        }

        if (Directory.Exists(secretsDirectory))
            builder.AddKeyPerFile(Path.GetFullPath(secretsDirectory), optional: true);
        if (environment is null && Environment.GetEnvironmentVariable("CREDENTIALS_DIRECTORY") is { Length: > 0 } credentials && Directory.Exists(credentials))
            builder.AddKeyPerFile(Path.GetFullPath(credentials), optional: true);
        if (environment is null)
            builder.AddEnvironmentVariables();
        else
            builder.AddInMemoryCollection(environment.Select(e => KeyValuePair.Create(e.Key.Replace("__", ":", StringComparison.Ordinal), e.Value)));
        try
        {
            return Load(builder.Build(), errors, []);
        }
        catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            return (null, [$"The configuration can't be read: {(e.InnerException ?? e).Message}"]);
        }
    }

    /// <param name="read">Receives the table path of every key that was read.</param>
    internal static (WorkerSettings? Settings, IReadOnlyList<string> Errors) Load(IConfiguration configuration, List<string> errors, HashSet<string> read)
    {
        var section = configuration.GetSection(ConfigurationTable.Root);
        UnknownKeys.Check(section, errors);
        var root = new ConfigurationNode(section, errors, read);
        var sources = root.Members("Sources").Select(s => Source(s, errors)).OfType<SourceConfiguration>().ToList();
        var sinks = root.Members("Sinks").Select(Sink).OfType<SinkConfiguration>().ToList();
        var settings = new WorkerSettings
        {
            State = new StateSettings(root.Section("State").Text("Directory")),
            Engine = Engine(root.Section("Engine")),
            Http = Http(root.Section("Http")),
            Profiles = Profiles(root),
            Sources = sources,
            Sinks = sinks,
            Metrics = Metrics(root.Section("Metrics")),
            Bridge = Bridge(root, sources, sinks, errors),
        };
        if (sources.OfType<HttpSourceConfiguration>().Skip(1).Any())
            errors.Add($"{ConfigurationTable.Root}:Sources: only one source can have type http, as there is one /api/v1/ingest.");
        if (sinks.Count > 0 && sources.Count > 0 && sources.TrueForAll(s => s is KafkaPartitionSourceConfiguration))
            errors.Add($"{ConfigurationTable.Root}:Sinks: nothing would reach them, as Kafka sources with Guarantee exactly_once publish to the topics of their TopicPrefix inside their transactions. Remove the sinks, or set Guarantee to at_least_once.");
        if (sources.Exists(s => s is KafkaPartitionSourceConfiguration) && settings.Profiles.FirstOrDefault(p => p.Tier == Tier.Solo) is { } large)
            errors.Add($"{ConfigurationTable.Root}:Profiles:{large.Name}:Tier: solo is not possible beside Kafka sources with Guarantee exactly_once, as a stream's state is larger than a Kafka message may be. Choose rich, or set Guarantee to at_least_once.");
        if (sources.Exists(s => s is KafkaPartitionSourceConfiguration) && settings.Profiles.FirstOrDefault(p => p.Outlooks.Count > 0) is { } foreseen)
            errors.Add($"{ConfigurationTable.Root}:Profiles:{foreseen.Name}:Outlooks: what is known in advance comes through the local journal, which Kafka sources with Guarantee exactly_once don't read. Leave Outlooks out, or set Guarantee to at_least_once.");
        CheckSessions(sources, sinks, errors);
        return errors.Count == 0 ? (settings, []) : (null, errors);
    }

    private static EngineConfiguration Engine(ConfigurationNode node)
    {
        var shards = node.Integer("Shards");
        return new(shards == 0 ? Environment.ProcessorCount : shards, node.Integer("MaxStreamsPartition"), node.Integer("MaxSoloStreamsPartition"), node.Long("JournalMaxBytes"), node.Long("StateSegmentBytes"), node.Boolean("KeepJournal"), (ulong)node.Integer("Seed"), node.Number("TrainingShare"));
    }

    private static HttpSettings Http(ConfigurationNode node)
    {
        var url = node.Url("Url", "http");
        var token = node.OptionalText("Token");
        if (url is { IsLoopback: false } && token is null)
            node.Wrong<Uri?>("Url", null);
        return new(url ?? new Uri("http://127.0.0.1:8080"), node.Url("MetricsUrl", "http"), token);
    }

    private static KafkaBridgeSettings? Bridge(ConfigurationNode root, List<SourceConfiguration> sources, List<SinkConfiguration> sinks, List<string> errors)
    {
        var node = root.Section("Bridge");
        var (servers, topic) = (node.OptionalText("BootstrapServers"), node.OptionalText("Topic"));
        var settings = new KafkaBridgeSettings { Name = "bridge", BootstrapServers = servers ?? "", Topic = topic ?? "", TopicPrefix = node.Text("TopicPrefix"), Client = node.Map("Client") };
        if (!root.Exists("Bridge"))
            return null;
        if (servers is null)
            node.Error("BootstrapServers", null, "it is missing.");
        if (topic is null || !KafkaTopic.IsLegal(topic))
            node.Error("Topic", topic, "it must be the name of a topic.");
        if (!KafkaTopic.IsLegal(settings.TopicPrefix + ".deadletters"))
            node.Error("TopicPrefix", settings.TopicPrefix, "it must consist of letters, digits, '.', '_' and '-'.");
        if (sources.Find(s => s is not (MqttSourceConfiguration or HttpSourceConfiguration)) is { } other)
            errors.Add($"{ConfigurationTable.Root}:Bridge: source {other.Name} is neither mqtt nor http, and only those are passed on.");
        if (sinks.Count > 0)
            errors.Add($"{ConfigurationTable.Root}:Sinks: nothing would reach them, as samples are passed on by the Bridge.");
        return settings;
    }

    private static MetricsSettings Metrics(ConfigurationNode node)
    {
        var prefix = node.Text("OutputPrefix");
        if (!prefix.All(c => char.IsAsciiLetterOrDigit(c) || c == '_') || (prefix.Length > 0 && char.IsAsciiDigit(prefix[0])))
            node.Wrong("OutputPrefix", "");
        return new(node.Boolean("PerStream"), node.Integer("MaxSeries"), prefix);
    }

    private static List<Profile> Profiles(ConfigurationNode root)
    {
        var profiles = root.Members("Profiles").Select(Profile).ToList();

        // Without any, everything is read and modelled in the standard way.
        return profiles.Count > 0 ? profiles : [new Profile { Name = "default" }];
    }

    private static Profile Profile(ConfigurationNode node)
    {
        CheckName(node);
        var profile = new Profile
        {
            Name = node.Name,
            Select = node.Text("Select"),
            Interval = node.Duration("Interval"),
            Season = Season(node),
            Channels = node.List("Channels") ?? ["value"],
            Signal = Enum.Parse<SignalKind>(node.Choice("Signal") ?? "none", ignoreCase: true),
            Rate = node.OptionalNumber("Rate") ?? 0,
            Covariates = node.List("Covariates") ?? [],
            Outlooks = node.Map("Outlooks") is { Count: > 0 } outlooks ? outlooks : System.Collections.Frozen.FrozenDictionary<string, string>.Empty,
            Aggregation = Enum.Parse<Aggregation>(node.Choice("Aggregation") ?? "mean", ignoreCase: true),
            Counter = node.Boolean("Counter"),
            Rollover = node.OptionalNumber("Rollover"),
            MaxRate = node.OptionalNumber("MaxRate") ?? double.PositiveInfinity,
            Hold = node.Duration("Hold"),
            Gaps = Enum.Parse<GapPolicy>(node.Choice("Gaps") ?? "model", ignoreCase: true),
            ValidMin = node.OptionalNumber("ValidMin"),
            ValidMax = node.OptionalNumber("ValidMax"),
            Zone = node.Zone("Zone"),
            Holidays = Holidays(node),
            AllowedLateness = node.Duration("AllowedLateness"),
            RepairHorizon = node.Duration("RepairHorizon"),
            SamplesPerFrame = node.Integer("SamplesPerFrame"),
            MaxSamplesPerFrame = node.Integer("MaxSamplesPerFrame"),
            MaxWait = node.Duration("MaxWait"),
            MaxGapFrames = node.Integer("MaxGapFrames"),
            HorizonSteps = node.Integer("HorizonSteps"),
            Quantiles = node.Numbers("Quantiles"),
            HiddenSize = node.Integer("HiddenSize"),
            Tier = Enum.Parse<Tier>(node.Choice("Tier") ?? "rich", ignoreCase: true),
            Sensitivity = node.Number("Sensitivity"),
            Direction = Enum.Parse<AlarmDirection>(node.Choice("Direction") ?? "both", ignoreCase: true),
            MinDeviation = node.Number("MinDeviation"),
            MinRelativeDeviation = node.Number("MinRelativeDeviation"),
            ForecastEvery = node.Integer("ForecastEvery"),
            Explain = node.Boolean("Explain"),
            Learning = node.Boolean("Learning"),
        };
        if (profile.Signal != SignalKind.None)
        {
            // A signal that sends many packets a second is silent much sooner than a meter.
            if (!node.Exists("MaxWait"))
                profile = profile with { MaxWait = TimeSpan.FromSeconds(10) };
            var most = profile.Signal == SignalKind.Ecg ? EcgMonitor.MostLeads : EegWatch.MostChannels;
            if (!node.Exists("Rate"))
                node.Error("Rate", null, "a signal needs its samples per second, 100 to 1000.");
            if (profile.Channels.Count > most)
                node.Error("Channels", string.Join(", ", profile.Channels), $"at most {most} for Signal {profile.Signal.ToString().ToLowerInvariant()}.");
        }
        else if (profile.Rate != 0)
        {
            node.Error("Rate", FormattableString.Invariant($"{profile.Rate}"), "only with Signal ecg or eeg; series have an Interval.");
        }

        var q = profile.Quantiles;
        if (q.Count > 0 && (q.Any(x => x is <= 0 or >= 1) || !q.Contains(0.5) || q.Zip(q.Skip(1)).Any(p => p.First >= p.Second)))
            node.Wrong("Quantiles", q);
        if (profile.MaxWait < profile.AllowedLateness && profile.AllowedLateness > TimeSpan.Zero)
            node.Error("MaxWait", Configuration.Duration.Format(profile.MaxWait), $"silence must not close an interval before AllowedLateness has passed, which is {Configuration.Duration.Format(profile.AllowedLateness)}.");
        if (profile.RepairHorizon > TimeSpan.Zero && profile.Signal != SignalKind.None)
            node.Error("RepairHorizon", Configuration.Duration.Format(profile.RepairHorizon), "a signal isn't repaired; only 0s fits its profile.");
        if (profile.Tier == Tier.Solo && (profile.RepairHorizon > TimeSpan.Zero || profile.Signal != SignalKind.None))
            node.Error("Tier", "solo", "a profile of tier solo has neither a RepairHorizon (its state is too large for copies) nor a Signal.");
        if (profile.RepairHorizon > profile.Interval * Runtime.Profiles.Profile.MostRepairFrames)
            node.Error("RepairHorizon", Configuration.Duration.Format(profile.RepairHorizon), $"at most {Runtime.Profiles.Profile.MostRepairFrames} intervals, which are {Configuration.Duration.Format(profile.Interval)} each.");
        if (profile.Counter && profile.Aggregation is not (Aggregation.Sum or Aggregation.Mean))
            node.Error("Counter", "true", $"a register's intervals have a sum (increase) or a mean (increase per hour); Aggregation is {profile.Aggregation.ToString().ToLowerInvariant()}.");
        if (profile.Counter && profile.Hold > TimeSpan.Zero)
            node.Error("Hold", Configuration.Duration.Format(profile.Hold), "a register needs none: it keeps what it has counted.");
        if (profile.Covariates.Count > ForecastPlan.MostCovariates || profile.Covariates.Count >= profile.Channels.Count || profile.Covariates.Except(profile.Channels).Any())
            node.Error("Covariates", string.Join(", ", profile.Covariates), $"at most {ForecastPlan.MostCovariates} of the channels ({string.Join(", ", profile.Channels)}), and not all of them.");
        foreach (var channel in profile.Outlooks.Keys.Except(profile.Covariates))
            node.Error("Outlooks", channel, "only a channel among the Covariates has a future that forecasts read.");
        if (profile.Season is { } season && season > TimeSpan.Zero && !IsWholeSeason(season, profile.Interval))
            node.Error("Season", Configuration.Duration.Format(season), $"two to {Runtime.Profiles.Profile.MostSeasonFrames} whole intervals, which are {Configuration.Duration.Format(profile.Interval)} each.");
        if (profile.Holidays is not null && (!profile.HasDay || profile.Interval < TimeSpan.FromMinutes(5) || profile.Signal != SignalKind.None))
            node.Error(node.Exists("Holidays") ? "Holidays" : "HolidayFile", null, "a holiday is a Sunday of the week, and this profile has no week: it needs Season day and an Interval of 5m to 12h that divides the day.");
        if (profile.ValidMin >= profile.ValidMax)
            node.Error("ValidMin", FormattableString.Invariant($"{profile.ValidMin}"), FormattableString.Invariant($"it must be less than ValidMax, which is {profile.ValidMax}."));
        return profile;
    }

    private static HolidayCalendar? Holidays(ConfigurationNode node)
    {
        var regions = node.List("Holidays");
        var file = node.OptionalText("HolidayFile");
        var errors = new List<string>();
        var holidays = HolidayFile.Read(regions ?? [], file, errors);
        var (name, given) = file is null ? ("Holidays", string.Join(", ", regions ?? [])) : ("HolidayFile", file);
        foreach (var error in errors)
            node.Error(name, given, error);
        return holidays;
    }

    /// <summary>day, none or a duration.</summary>
    private static TimeSpan? Season(ConfigurationNode node)
    {
        var text = node.Text("Season");
        if (text == "day")
            return null;
        if (text == "none")
            return TimeSpan.Zero;
        if (Configuration.Duration.TryParse(text, out var season) && season > TimeSpan.Zero)
            return season;
        node.Wrong("Season", text);
        return null;
    }

    private static bool IsWholeSeason(TimeSpan season, TimeSpan interval) =>
        season.Ticks % interval.Ticks == 0 && season.Ticks / interval.Ticks is >= 2 and <= Runtime.Profiles.Profile.MostSeasonFrames;

    private static SourceConfiguration? Source(ConfigurationNode node, List<string> errors)
    {
        CheckName(node);
        return node.Choice("Type") switch
        {
            "mqtt" => new MqttSourceConfiguration(node.Name, MqttSource(node), MqttBindings(node, errors), BindingReader.Limits(node)),
            "kafka" => KafkaSource(node, errors),
            "file" => new FileSourceConfiguration(node.Name, FileSource(node)),
            "simulator" => new SimulatorSourceConfiguration(
                node.Name, node.Integer("Streams"), (ulong)node.Integer("Seed"), node.Duration("Interval"), node.Integer("Days"), node.Number("FaultsPerDay"), node.Number("Speed")),
            "http" => new HttpSourceConfiguration(node.Name, node.Integer("MaxBodyBytes"), node.Integer("MaxLineBytes")),
            _ => null,
        };
    }

    private static SourceConfiguration KafkaSource(ConfigurationNode node, List<string> errors)
    {
        var before = errors.Count;
        var partitions = new KafkaPartitionSettings
        {
            Name = node.Name,
            BootstrapServers = node.Text("BootstrapServers"),
            Topics = node.List("Topics") ?? [],
            GroupId = node.Text("GroupId"),
            TopicPrefix = node.Text("TopicPrefix"),
            StateTopic = node.OptionalText("StateTopic"),
            InstanceId = node.OptionalText("InstanceId"),
            Threads = node.Integer("Threads"),
            CommitInterval = node.Duration("CommitInterval"),
            MaxStreamsPartition = node.Integer("MaxStreamsPartition"),
            KeepWarm = node.Duration("KeepWarm"),
            Standbys = node.Integer("Standbys"),
            Client = node.Map("Client"),
        };
        var bindings = BindingReader.Read(node, errors);
        var limits = BindingReader.Limits(node);
        if (node.Choice("Guarantee") == "at_least_once")
        {
            return new KafkaSourceConfiguration(
                node.Name,
                new KafkaSourceSettings { Name = node.Name, BootstrapServers = partitions.BootstrapServers, Topics = partitions.Topics, GroupId = partitions.GroupId, Client = partitions.Client },
                bindings,
                limits);
        }

        if (errors.Count == before && KafkaPartitionSource.Problem(partitions) is { } problem)
            node.Error("Guarantee", "exactly_once", problem);
        if (errors.Count == before && new BindingDecoder(bindings).KeepsState)
            node.Error("Guarantee", "exactly_once", KafkaPartitionSource.StatefulBindings);
        return new KafkaPartitionSourceConfiguration(node.Name, partitions, bindings, limits);
    }

    private static List<BindingSettings> MqttBindings(ConfigurationNode node, List<string> errors)
    {
        var before = errors.Count;
        var bindings = BindingReader.Read(node, errors);
        if (errors.Count == before && Connectors.Mqtt.MqttSource.Problem(new BindingDecoder(bindings).Subscriptions) is { } problem)
            node.Error("Bindings", null, problem);
        return bindings;
    }

    private static MqttSourceSettings MqttSource(ConfigurationNode node)
    {
        var (host, port, tls) = Broker(node);
        return new MqttSourceSettings
        {
            Name = node.Name,
            Host = host,
            Port = port,
            Tls = tls,
            ClientId = node.OptionalText("ClientId"),
            Username = node.OptionalText("Username"),
            Password = Password(node),
            KeepAlive = node.Duration("KeepAlive"),
            Qos = node.Integer("Qos"),
            CleanStart = node.Boolean("CleanStart"),
            SessionExpiry = node.Duration("SessionExpiry"),
            MaxPayloadBytes = node.Integer("MaxPayloadBytes"),
            ReceiveMaximum = node.Integer("ReceiveMaximum"),
        };
    }

    private static (string Host, int Port, MqttTlsSettings? Tls) Broker(ConfigurationNode node)
    {
        var url = node.Url("Broker", "mqtt", "mqtts");
        var tlsNode = node.Section("Tls");
        var tls = new MqttTlsSettings
        {
            CaFile = tlsNode.OptionalText("CaFile"),
            CertificateFile = tlsNode.OptionalText("CertificateFile"),
            KeyFile = tlsNode.OptionalText("KeyFile"),
        };
        if (url is null)
            return ("localhost", 1883, null);
        var secure = url.Scheme == "mqtts";
        if (!secure && node.Exists("Tls"))
            node.Error("Tls", null, $"needs a broker address that begins with mqtts://, but Broker is {url.OriginalString}.");
        if (tls.KeyFile is not null && tls.CertificateFile is null)
            node.Error("Tls:KeyFile", tls.KeyFile, "needs Tls:CertificateFile as well.");
        return (url.IdnHost.Trim('[', ']'), url.Port > 0 ? url.Port : secure ? 8883 : 1883, secure ? tls : null);
    }

    private static string? Password(ConfigurationNode node)
    {
        var password = node.OptionalText("Password");
        if (password is not null && node.OptionalText("Username") is null)
            node.Error("Password", null, "needs Username as well.");
        return password;
    }

    internal static TimestampFormat? TimeFormat(ConfigurationNode node, string name)
    {
        var text = node.OptionalText(name);
        if (text is null)
            return null;
        return TimestampFormat.TryCreate(text, out var format) ? format : node.Wrong(name, TimestampFormat.Auto);
    }

    private static FileSourceSettings FileSource(ConfigurationNode node)
    {
        var table = node.Section("Table");
        var settings = new FileSourceSettings
        {
            Name = node.Name,
            Path = node.Text("Path"),
            Speed = node.Number("Speed"),
            Follow = node.Boolean("Follow"),
            Tabular = new TabularOptions
            {
                TimeColumn = table.OptionalText("TimeColumn"),
                StreamColumn = table.OptionalText("StreamColumn"),
                ValueColumns = table.List("ValueColumns"),
                TimeZone = table.Zone("Zone"),
                TimeFormat = TimeFormat(table, "TimeFormat"),
            },
        };
        if (settings.Follow && settings.Path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase))
            node.Error("Follow", "true", $"a compressed file can't be followed, but Path is {settings.Path}.");
        return settings;
    }

    private static SinkConfiguration? Sink(ConfigurationNode node)
    {
        CheckName(node);
        var kinds = (node.List("Kinds") ?? []).Select(k => k switch
        {
            "result" => OutputKind.Result,
            "episode" => OutputKind.Episode,
            _ => OutputKind.DeadLetter,
        }).ToHashSet();
        switch (node.Choice("Type"))
        {
            case "file":
                return new FileSinkConfiguration(node.Name, kinds, new FileSinkSettings { Name = node.Name, Path = node.Text("Path"), Kinds = kinds, MaxBytes = node.Integer("MaxBytes") });
            case "stdout":
                return new StdoutSinkConfiguration(node.Name, kinds);
            case "mqtt":
                var (host, port, tls) = Broker(node);
                var prefix = node.Text("Prefix");
                if (prefix.AsSpan().IndexOfAny("+#") >= 0 || prefix.StartsWith('/') || prefix.EndsWith('/'))
                    node.Error("Prefix", prefix, "it must be a topic without + and #, and without a slash at its ends.");
                return new MqttSinkConfiguration(node.Name, kinds, new MqttSinkSettings
                {
                    Name = node.Name,
                    Host = host,
                    Port = port,
                    Tls = tls,
                    ClientId = node.OptionalText("ClientId"),
                    Username = node.OptionalText("Username"),
                    Password = Password(node),
                    KeepAlive = node.Duration("KeepAlive"),
                    Qos = node.Integer("Qos"),
                    Prefix = prefix,
                    RetainResults = node.Boolean("RetainResults"),
                    RetainForecasts = node.Boolean("RetainForecasts"),
                });
            case "kafka":
                return new KafkaSinkConfiguration(node.Name, kinds, new KafkaSinkSettings
                {
                    Name = node.Name,
                    BootstrapServers = node.Text("BootstrapServers"),
                    TopicPrefix = node.Text("TopicPrefix"),
                    Client = node.Map("Client"),
                });
            default:
                return null;
        }
    }

    // Names become parts of client ids, metric labels and positions.
    internal static void CheckName(ConfigurationNode node)
    {
        if (node.Name.Length > 64 || !node.Name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.'))
            node.Error("", null, "a name has 1 to 64 letters, digits, - _ and .");
    }

    // Two clients with one id throw each other out for ever.
    private static void CheckSessions(List<SourceConfiguration> sources, List<SinkConfiguration> sinks, List<string> errors)
    {
        var clients = sources.OfType<MqttSourceConfiguration>().Select(s => (Path: $"Sources:{s.Name}", Settings: (MqttSettings)s.Settings))
            .Concat(sinks.OfType<MqttSinkConfiguration>().Select(s => (Path: $"Sinks:{s.Name}", Settings: (MqttSettings)s.Settings)));
        foreach (var group in clients.GroupBy(c => (c.Settings.Host, c.Settings.Port, Id: c.Settings.ClientId ?? $"by name {c.Settings.Name}")).Where(g => g.Skip(1).Any()))
        {
            var paths = string.Join(" and ", group.Select(g => $"{ConfigurationTable.Root}:{g.Path}"));
            errors.Add(group.First().Settings.ClientId is { } id
                ? $"{paths} have the same ClientId \"{id}\" at the same broker: each needs its own."
                : $"{paths} have the same name, which gives them the same client id at the broker: rename one or set its ClientId.");
        }
    }
}
