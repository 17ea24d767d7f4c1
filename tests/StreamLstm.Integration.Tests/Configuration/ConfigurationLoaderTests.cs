using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.Configuration;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Connectors.Kafka.Partitions;
using StreamLstm.Core.Scoring;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Worker.Configuration;

namespace StreamLstm.Integration.Tests.Configuration;

public sealed class ConfigurationLoaderTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("streamlstm-test-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Nothing_configured_gives_the_defaults_and_one_profile_for_all()
    {
        var settings = Valid("{}");
        Assert.Equal("state", settings.State.Directory);
        Assert.Equal(new EngineConfiguration(Environment.ProcessorCount, 4096, 32, 1L << 30, 64 << 20, false, 1, 0.5), settings.Engine);
        Assert.Equal(new HttpSettings(new Uri("http://127.0.0.1:8080"), null, null), settings.Http);
        Assert.Equal(("default", "*"), (Assert.Single(settings.Profiles).Name, settings.Profiles[0].Select));
        Assert.Equal(new MetricsSettings(true, 2000, ""), settings.Metrics);
        Assert.Empty(settings.Sources);
        Assert.Empty(settings.Sinks);
    }

    [Fact]
    public void A_profile_without_settings_equals_the_profile_of_the_code()
    {
        var profile = Assert.Single(Valid("""{"Profiles":{"p":{"Select":"*"}}}""").Profiles);
        var expected = new Profile { Name = "p" };
        Assert.Equal(expected.Channels, profile.Channels);
        Assert.Equal(expected.Quantiles, profile.Quantiles);
        Assert.Equal(expected, profile with { Channels = expected.Channels, Quantiles = expected.Quantiles });
    }

    [Fact]
    public void A_Kafka_source_is_exactly_once_unless_it_says_otherwise_and_what_that_rules_out_is_refused()
    {
        const string binding = """{"Match":"meters","Stream":"{$key}","Values":{"v":{"At":"/v"}}}""";
        string Kafka(string keys, string b = binding, string sinks = "{}") =>
            "{\"Sources\":{\"k\":{\"Type\":\"kafka\",\"BootstrapServers\":\"h:9092\"," + keys + ",\"Bindings\":{\"b\":" + b + "}}},\"Sinks\":" + sinks + "}";
        string Refused(string json) => Assert.Single(ConfigurationLoader.Load(Build(json), [], []).Errors);

        var plain = Assert.IsType<KafkaPartitionSourceConfiguration>(Assert.Single(Valid(Kafka("\"Topics\":\"meters\"")).Sources)).Settings;
        Assert.Equal(new KafkaPartitionSettings { Name = "k", BootstrapServers = "h:9092", Topics = plain.Topics, Client = plain.Client }, plain);
        var all = Assert.IsType<KafkaPartitionSourceConfiguration>(Assert.Single(Valid(Kafka("""
            "Topics":"a,b","GroupId":"g","TopicPrefix":"p","StateTopic":"s.{topic}","InstanceId":"i","Threads":2,"CommitInterval":"50ms","MaxStreamsPartition":7,"KeepWarm":"0s","Standbys":2,"Client":{"security.protocol":"ssl"}
            """)).Sources)).Settings;
        Assert.Equal(("g", "p", "s.{topic}", "i", 2, 50.0, 7, TimeSpan.Zero, 2, "ssl"), (all.GroupId, all.TopicPrefix, all.StateTopic, all.InstanceId, all.Threads, all.CommitInterval.TotalMilliseconds, all.MaxStreamsPartition, all.KeepWarm, all.Standbys, all.Client["security.protocol"]));

        Assert.Contains("must not contain the pattern ^power.*", Refused(Kafka("\"Topics\":\"^power.*\"")), StringComparison.Ordinal);
        Assert.Contains("StateTopic must contain {topic}", Refused(Kafka("\"Topics\":\"a,b\"")), StringComparison.Ordinal);
        Assert.Contains("'a b' is not a legal topic name", Refused(Kafka("\"Topics\":\"a\",\"StateTopic\":\"a b\"")), StringComparison.Ordinal);
        Assert.Contains("Sparkplug bindings and bindings with Hold", Refused(Kafka("\"Topics\":\"a\"", binding.Replace("\"Match\"", "\"Hold\":\"1h\",\"Match\"", StringComparison.Ordinal))), StringComparison.Ordinal);
        Assert.Contains("nothing would reach them", Refused(Kafka("\"Topics\":\"a\"", binding, """{"s":{"Type":"stdout"}}""")), StringComparison.Ordinal);
    }

    [Fact]
    public void Sources_without_settings_equal_the_settings_of_the_code()
    {
        var settings = Valid("""
            {"Sources":{
              "m":{"Type":"mqtt","Broker":"mqtt://h","Bindings":{"b":{"Match":"a/{x}","Stream":"{x}","Values":{"v":{"At":"/v"}}}}},
              "f":{"Type":"file","Path":"x.csv"}},
             "Sinks":{"s":{"Type":"mqtt","Broker":"mqtt://h"},"o":{"Type":"stdout"}}}
            """);
        var mqtt = Assert.IsType<MqttSourceConfiguration>(settings.Sources[1]);
        Assert.Equal(new Connectors.Mqtt.MqttSourceSettings { Name = "m", Host = "h" }, mqtt.Settings);
        var binding = Assert.Single(mqtt.Bindings);
        Assert.Equal((PayloadFormat.Json, new BindingTime(), new BindingValue { At = "/v" }), (binding.Format, binding.Time, binding.Values["v"]));
        Assert.Equal(new Connectors.Files.FileSourceSettings { Name = "f", Path = "x.csv" }, Assert.IsType<FileSourceConfiguration>(settings.Sources[0]).Settings);
        Assert.Equal(new Connectors.Mqtt.MqttSinkSettings { Name = "s", Host = "h" }, Assert.IsType<MqttSinkConfiguration>(settings.Sinks[1]).Settings);
        Assert.Equal(Enum.GetValues<OutputKind>().ToHashSet(), settings.Sinks[0].Kinds);
    }

    [Fact]
    public void The_sample_is_valid_and_complete()
    {
        var (settings, errors) = ConfigurationLoader.Load(SamplePath(), _folder, []);
        Assert.Empty(errors);
        var source = Assert.IsType<MqttSourceConfiguration>(Assert.Single(settings!.Sources));
        Assert.Equal(["meters/+/reading"], new BindingDecoder(source.Bindings).Subscriptions);
        Assert.Equal(["archive", "bus"], settings.Sinks.Select(s => s.Name));
        Assert.Equal("Europe/Amsterdam", Assert.Single(settings.Profiles).Zone.Id);
    }

    [Theory]
    [InlineData("$share/g/meters/{x}", "other", "the shared subscription '$share/g/meters/+'")]
    [InlineData("a/{x}/c", "a/b/{x}", "'a/b/+' and 'a/+/c' have topics in common")]
    [InlineData("a/{x}", "a/b", null)]
    public void Topics_that_a_broker_would_deal_out_or_deliver_twice_are_refused(string first, string second, string? problem)
    {
        const string binding = """{"Match":"MATCH","Stream":"s","Values":{"v":{"At":"/v"}}}""";
        var bindings = $"\"b\":{binding.Replace("MATCH", first)},\"c\":{binding.Replace("MATCH", second)}";
        var json = """{"Sources":{"m":{"Type":"mqtt","Broker":"mqtt://h","Bindings":{BINDINGS}}}}""".Replace("BINDINGS", bindings);
        var (_, errors) = ConfigurationLoader.Load(Build(json), [], new HashSet<string>());
        if (problem is null)
            Assert.Empty(errors);
        else
            Assert.Contains(problem, Assert.Single(errors));
    }

    [Fact]
    public void Every_setting_arrives_and_every_key_of_the_table_is_read()
    {
        var read = new HashSet<string>();
        var json = """
            {"State":{"Directory":"/s"},
             "Engine":{"Shards":3,"MaxStreamsPartition":10,"MaxSoloStreamsPartition":4,"JournalMaxBytes":33554432,"StateSegmentBytes":4194304,"KeepJournal":true,"Seed":7,"TrainingShare":0.25},
             "Http":{"Url":"http://localhost:9000","MetricsUrl":"http://0.0.0.0:9464","Token":"t"},
             "Profiles":{"p":{"Select":"nl/*","Interval":"30m","Channels":"a, b","Covariates":"b","Season":"6h","Aggregation":"Sum","Counter":true,"Rollover":1000,"MaxRate":60,"Hold":"0s","Gaps":"zero","ValidMin":-1,"ValidMax":2.5,"Zone":"Europe/Berlin","Holidays":"DE-BY, plant","HolidayFile":"HOLIDAYS",
               "AllowedLateness":"1h","SamplesPerFrame":2,"MaxSamplesPerFrame":50,"MaxWait":"2h","MaxGapFrames":7,"HorizonSteps":48,"Quantiles":"0.1,0.5,0.9","HiddenSize":16,"Tier":"lean","Sensitivity":1,"Direction":"Below","MinDeviation":2,"MinRelativeDeviation":0.1,"ForecastEvery":0,"Explain":true,"Learning":false}},
             "Sources":{
               "m":{"Type":"mqtt","Broker":"mqtts://h:8884","ClientId":"c","Username":"u","Password":" p ","KeepAlive":"1m","Tls":{"CaFile":"ca","CertificateFile":"crt","KeyFile":"key"},
                 "Qos":0,"CleanStart":true,"SessionExpiry":"2h","MaxPayloadBytes":100,"ReceiveMaximum":5,
                 "Limits":{"PayloadBytes":1000,"Depth":5,"Samples":7,"KeyBytes":99},
                 "Bindings":{"b":{"Match":"a/{x}","Except":"a/b, a/#/c","Format":"json","Where":"/k=1, !/e","Stream":"{x}/{field}","Each":"/r/*","Hold":"1h","Retained":"drop",
                     "Time":{"At":"/t","Format":"dd/MM/yyyy HH:mm","Zone":"Asia/Tokyo","Optional":true,"MaxFuture":"1m","MaxAge":"30d"},
                     "Values":{"v":{"At":"/v","Field":"w","Unit":"kW","Kind":"counter","Scale":2,"Offset":-1}}},
                   "f":{"Match":"f/{x}","Stream":"{x}/{ch}","Values":{"v":{"At":"/v"}},
                     "Frame":{"Layout":"rows","Period":"4","PeriodUnit":"ms","Labels":"a,b","Anchor":"last","Scale":"/s","Origin":"1","Dimensions":"2","HeaderBytes":0}},
                   "g":{"Preset":"ecg-frame/int16","Frame":{"Rate":"500","Labels":"II"}},
                   "z":{"Preset":"emoncms","Time":{"Zone":"Asia/Tokyo"}}}},
               "f":{"Type":"file","Path":"x.csv","Speed":60,"Follow":true,"Table":{"TimeColumn":"t","StreamColumn":"s","ValueColumns":"a,b","Zone":"Asia/Tokyo","TimeFormat":"unix_ms"}},
               "h":{"Type":"http","MaxBodyBytes":2048,"MaxLineBytes":512},
               "k":{"Type":"kafka","Guarantee":"at_least_once","BootstrapServers":"b1:9092,b2:9092","Topics":"meters, ^power.*","GroupId":"g","TopicPrefix":"p","StateTopic":"s.{topic}","InstanceId":"i","Threads":2,"CommitInterval":"50ms","MaxStreamsPartition":7,"KeepWarm":"0s","Standbys":2,"Client":{"security.protocol":"ssl"},
                 "Bindings":{"b":{"Match":"meters","Stream":"{$key}","Values":{"v":{"At":"/v"}}}}},
               "z":{"Type":"simulator","Streams":3,"Seed":9,"Interval":"30m","Days":4,"FaultsPerDay":0.5,"Speed":10}},
             "Sinks":{"f":{"Type":"file","Path":"o","Kinds":"episode"},
               "m":{"Type":"mqtt","Broker":"mqtt://h","ClientId":"d","KeepAlive":"5s","Qos":0,"Prefix":"x/y","RetainResults":true,"RetainForecasts":false},
               "k":{"Type":"kafka","BootstrapServers":"b:9092","TopicPrefix":"p","Client":{"sasl.password":"x"}}},
             "Metrics":{"PerStream":false,"MaxSeries":5,"OutputPrefix":"streamlstm_"},
             "Bridge":{"BootstrapServers":"b:9092","Topic":"t","TopicPrefix":"p","Client":{"sasl.password":"x"}}}
            """;
        var holidays = Path.Combine(_folder, "holidays.csv");
        File.WriteAllText(holidays, "date,region,name\n2026-02-17,plant,Carnival\n");
        json = json.Replace("HOLIDAYS", holidays, StringComparison.Ordinal).Replace("\"Season\":\"6h\",", "\"Season\":\"day\",", StringComparison.Ordinal);
        var (settings, errors) = ConfigurationLoader.Load(Build(json), [], read);
        // All keys at once are read, though a bridge can't have all of these.
        Assert.Equal(2, errors.Count);
        Assert.All(errors, e => Assert.Contains("passed on", e, StringComparison.Ordinal));
        (settings, errors) = ConfigurationLoader.Load(Build(json[..json.LastIndexOf(",\n", StringComparison.Ordinal)] + "}"), [], []);
        Assert.Empty(errors);
        Assert.Equal(ConfigurationTable.Keys.Select(k => k.Path).Order(), read.Order());

        Assert.Equal(new EngineConfiguration(3, 10, 4, 1 << 25, 1 << 22, true, 7, 0.25), settings!.Engine);
        var profile = settings.Profiles[0];
        Assert.Equal(("b", null, true), (Assert.Single(profile.Covariates), profile.Season, profile.Explain));
        Assert.Equal(14, profile.Holidays!.Of(2026).Count);
        Assert.Contains(profile.Holidays.Of(2026), h => h == (new DateOnly(2026, 2, 17), "plant", "Carnival"));
        Assert.Equal((1.0, AlarmDirection.Below, 2.0, 0.1), (profile.Sensitivity, profile.Direction, profile.MinDeviation, profile.MinRelativeDeviation));
        Assert.Equal((1000.0, 60.0, TimeSpan.Zero, GapPolicy.Zero), (profile.Rollover, profile.MaxRate, profile.Hold, profile.Gaps));
        Assert.Equal((Aggregation.Sum, true, -1.0, 2.5, TimeSpan.FromHours(1)), (profile.Aggregation, profile.Counter, profile.ValidMin, profile.ValidMax, profile.AllowedLateness));
        Assert.Equal(["a", "b"], profile.Channels);
        var kafka = Assert.IsType<KafkaSourceConfiguration>(settings.Sources[2]).Settings;
        Assert.Equal(("b1:9092,b2:9092", "^power.*", "g", "ssl"), (kafka.BootstrapServers, kafka.Topics[1], kafka.GroupId, kafka.Client["security.protocol"]));
        var mqtt = Assert.IsType<MqttSourceConfiguration>(settings.Sources[3]);
        Assert.Equal(("h", 8884, "key", " p "), (mqtt.Settings.Host, mqtt.Settings.Port, mqtt.Settings.Tls?.KeyFile, mqtt.Settings.Password));
        Assert.Equal(("/t", "dd/MM/yyyy HH:mm", "Asia/Tokyo"), (mqtt.Bindings[0].Time.At, mqtt.Bindings[0].Time.Format.Name, mqtt.Bindings[0].Time.Zone.Id));
        Assert.Equal((true, TimeSpan.FromMinutes(1), TimeSpan.FromDays(30)), (mqtt.Bindings[0].Time.Optional, mqtt.Bindings[0].Time.MaxFuture, mqtt.Bindings[0].Time.MaxAge));
        Assert.Equal(new BindingValue { At = "/v", Field = "w", Unit = "kW", Kind = ValueKind.Counter, Scale = 2, Offset = -1 }, mqtt.Bindings[0].Values["v"]);
        Assert.Equal(["a/b", "a/#/c"], mqtt.Bindings[0].Except);
        Assert.Equal(["/k=1", "!/e"], mqtt.Bindings[0].Where);
        Assert.Equal((TimeSpan.FromHours(1), RetainedPolicy.Drop), (mqtt.Bindings[0].Hold, mqtt.Bindings[0].Retained));
        Assert.Equal(new DecodeLimits { MaxPayloadBytes = 1000, MaxDepth = 5, MaxSamples = 7, MaxKeyBytes = 99 }, mqtt.Limits);
        Assert.Equal(new BindingFrame { Layout = FrameLayout.Rows, Period = "4", Labels = "a,b", Anchor = FrameAnchor.Last, Scale = "/s", Origin = "1", Dimensions = "2" }, mqtt.Bindings[1].Frame);
        Assert.Equal(new BindingFrame { Layout = FrameLayout.Flat, Rate = "500", Labels = "II", HeaderBytes = 8 }, mqtt.Bindings[2].Frame);
        Assert.Equal(["z/json", "z/value"], mqtt.Bindings.Skip(3).Select(b => b.Name));
        Assert.All(mqtt.Bindings.Skip(3), b => Assert.Equal("Asia/Tokyo", b.Time.Zone.Id));
        var file = Assert.IsType<FileSourceConfiguration>(settings.Sources[0]).Settings;
        Assert.Equal((60.0, true, "unix_ms", "s"), (file.Speed, file.Follow, file.Tabular.TimeFormat?.Name, file.Tabular.StreamColumn));
        Assert.Equal(new HttpSourceConfiguration("h", 2048, 512), settings.Sources[1]);
        Assert.Equal(new SimulatorSourceConfiguration("z", 3, 9, TimeSpan.FromMinutes(30), 4, 0.5, 10), settings.Sources[4]);
        Assert.Equal(("x/y", true, false), Assert.IsType<MqttSinkConfiguration>(settings.Sinks[2]) is { Settings: var s } ? (s.Prefix, s.RetainResults, s.RetainForecasts) : default);
    }

    [Fact]
    public void A_signal_needs_its_rate_and_is_silent_sooner_than_a_meter()
    {
        var profile = Assert.Single(Valid("""{"Profiles":{"p":{"Signal":"ecg","Rate":360,"Channels":"II,V1"}}}""").Profiles);
        Assert.Equal((SignalKind.Ecg, 360.0, TimeSpan.FromSeconds(10)), (profile.Signal, profile.Rate, profile.MaxWait));
        Assert.Equal(
            [
                "StreamLstm:Profiles:a:Rate: a signal needs its samples per second, 100 to 1000.",
                "StreamLstm:Profiles:b:Rate is \"50\": allowed is a number from 100 to 1000, needed with Signal.",
                "StreamLstm:Profiles:c:Rate is \"250\": only with Signal ecg or eeg; series have an Interval.",
                "StreamLstm:Profiles:d:Channels is \"1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13\": at most 12 for Signal ecg.",
            ],
            Invalid("""{"Profiles":{"a":{"Signal":"eeg"},"b":{"Signal":"ecg","Rate":50},"c":{"Rate":250},"d":{"Signal":"ecg","Rate":250,"Channels":"1,2,3,4,5,6,7,8,9,10,11,12,13"}}}"""));
    }

    [Theory]
    [InlineData("""{"Holidays":"DE-XX"}""", "StreamLstm:Profiles:p:Holidays is \"DE-XX\": there are no rules for region \"DE-XX\"; rules are for AU, AU-NSW, AU-VIC, DE, ")]
    [InlineData("""{"HolidayFile":"/nowhere/days.csv"}""", "StreamLstm:Profiles:p:HolidayFile is \"/nowhere/days.csv\": it can't be read: ")]
    [InlineData("""{"HolidayFile":"FILE"}""", "line 2: \"3. Mai\" isn't a date such as 2026-12-25.")]
    [InlineData("""{"Holidays":"DE","Season":"6h"}""", "StreamLstm:Profiles:p:Holidays: a holiday is a Sunday of the week, and this profile has no week: it needs Season day and an Interval of 5m to 12h that divides the day.")]
    [InlineData("""{"Holidays":"DE","Interval":"1m"}""", "this profile has no week")]
    public void Holidays_that_do_not_exist_or_have_no_week_to_be_in_are_refused(string profile, string problem)
    {
        var file = Path.Combine(_folder, "days.csv");
        File.WriteAllText(file, "2026-05-01,DE,Tag der Arbeit\n3. Mai,DE,x\n");
        Assert.Contains(problem, Assert.Single(Invalid("""{"Profiles":{"p":PROFILE}}""".Replace("PROFILE", profile).Replace("FILE\"}", file + "\"}"))), StringComparison.Ordinal);
    }

    [Fact]
    public void Tier_solo_is_refused_where_its_large_state_can_not_be()
    {
        Assert.Equal(Tier.Solo, Assert.Single(Valid("""{"Profiles":{"p":{"Tier":"solo"}}}""").Profiles).Tier);
        Assert.Contains("p:Tier is \"solo\": a profile of tier solo has neither", Assert.Single(Invalid("""{"Profiles":{"p":{"Tier":"solo","RepairHorizon":"1h"}}}""")), StringComparison.Ordinal);
        Assert.Contains("p:Tier: solo is not possible beside Kafka sources", Assert.Single(Invalid("""
            {"Profiles":{"p":{"Tier":"solo"}},"Sources":{"k":{"Type":"kafka","BootstrapServers":"h:9092","Topics":"a","Bindings":{"b":{"Match":"a","Stream":"{$key}","Values":{"v":{"At":"/v"}}}}}}}
            """)), StringComparison.Ordinal);
    }

    [Fact]
    public void Outlooks_are_refused_beside_Kafka_sources_that_have_no_local_journal()
    {
        const string json = """
            {"Profiles":{"p":{"Channels":"load,temperature","Covariates":"temperature","Outlooks":{"temperature":"weather"}}},
             "Sources":{"k":{"Type":"kafka","Guarantee":"GUARANTEE","BootstrapServers":"h:9092","Topics":"a","Bindings":{"b":{"Match":"a","Stream":"{$key}","Values":{"v":{"At":"/v"}}}}}}}
            """;
        Assert.Contains("p:Outlooks: what is known in advance comes through the local journal", Assert.Single(Invalid(json.Replace("GUARANTEE", "exactly_once"))), StringComparison.Ordinal);
        Assert.Single(Valid(json.Replace("GUARANTEE", "at_least_once")).Sources);
    }

    [Fact]
    public void Every_error_is_reported_at_once_with_key_value_and_what_is_allowed()
    {
        var errors = Invalid("""
            {"Engine":{"Shards":-1,"MaxStreamPartition":5},
             "Http":{"Url":"http://0.0.0.0:8080"},
             "Profiles":{"p":{"Interval":15,"Aggregation":"median","Gaps":"linear","Zone":"Mars/Base","Quantiles":"0.1,0.9","ValidMin":3,"ValidMax":2,"Learning":"yes","Channels":["a"]}},
             "Sources":{"m":{"Type":"mqtt","Path":"x","Bindings":{"b":{"Match":"a/{x}","Stream":"{y}","Values":{"v":{"At":"/v"}}}}},"k":{"Type":"redis"},"f":{"Type":"file"}},
             "Sinks":{"s":{"Kinds":"result,forecast"}},
             "Metric":{}, "Metrics":{"MaxSeries":"many"}}
            """);
        string[] expected =
        [
            "StreamLstm:Engine:MaxStreamPartition is not a known key; did you mean MaxStreamsPartition?",
            "StreamLstm:Sources:m:Path is a setting of type file, not of type mqtt.",
            "StreamLstm:Engine:Shards is \"-1\": allowed is a whole number from 0 to 64 (default 0).",
            "StreamLstm:Http:Url is \"http://0.0.0.0:8080\": allowed is a URL, http; beyond the loopback interface only with a Token (default http://127.0.0.1:8080).",
            "StreamLstm:Profiles:p:Interval is \"15\": a duration needs its unit; allowed is a duration such as 250ms, 30s, 15m, 24h or 7d from 1s to 1d (default 15m).",
            "StreamLstm:Profiles:p:Aggregation is \"median\": allowed is one of mean, sum, last, min, max (default mean).",
            "StreamLstm:Profiles:p:Gaps is \"linear\": allowed is one of model, previous, zero, none (default model).",
            "StreamLstm:Profiles:p:Zone is \"Mars/Base\": allowed is a time zone such as Europe/Amsterdam or UTC (default UTC).",
            "StreamLstm:Profiles:p:Quantiles is \"0.1,0.9\": allowed is numbers with commas between them, between 0 and 1, ascending, with 0.5 among them (default 0.05,0.5,0.95).",
            "StreamLstm:Profiles:p:ValidMin is \"3\": it must be less than ValidMax, which is 2.",
            "StreamLstm:Profiles:p:Learning is \"yes\": allowed is true or false (default true).",
            "StreamLstm:Profiles:p:Channels is an object or array: allowed is words with commas between them, in one text.",
            "StreamLstm:Sources:m:Broker is missing: it needs a URL, mqtt://host[:1883] or mqtts://host[:8883], without user and password.",
            "StreamLstm:Sources:m:Bindings:b:Stream is \"{y}\": has {y}, which is none of {x}, {topic}, {field}, {/pointer}, {$key}, {$h:header}.",
            "StreamLstm:Sources:k:Type is \"redis\": allowed is one of mqtt, kafka, file, http, simulator.",
            "StreamLstm:Sources:f:Path is missing: it needs a text.",
            "StreamLstm:Sinks:s:Kinds is \"result,forecast\": allowed is words out of result, episode, dead_letter with commas between them (default result,episode,dead_letter).",
            "StreamLstm:Sinks:s:Type is missing: it needs one of file, stdout, mqtt, kafka.",
            "StreamLstm:Metrics:MaxSeries is \"many\": allowed is a whole number from 0 to 100000 (default 2000).",
        ];
        foreach (var error in expected)
            Assert.Contains(error, errors);
        Assert.Contains(errors, e => e.StartsWith("StreamLstm:Metric is not a known key; did you mean Metrics", StringComparison.Ordinal));
        Assert.Equal(expected.Length + 1, errors.Count);
    }

    [Fact]
    public void Bindings_say_everything_that_is_wrong_with_them_at_once()
    {
        var errors = Invalid("""
            {"Sources":{"m":{"Type":"mqtt","Broker":"mqtt://h","Limits":{"Depth":0},"Bindings":{
              "a":{"Values":{"v":{"At":"/v"}}},
              "b":{"Preset":"shelly"},
              "c":{"Preset":"shelly-gen2","Match":"x/{dev}","Retained":"never"},
              "d":{"Preset":"tasmota","Except":"a/b+","Where":"method","Time":{"MaxAge":"0s"}},
              "e":{"Match":"a/{x}","Stream":"{x}/{ch}","Format":"xml","Values":{"v":{"At":"/v","Kind":"level","Units":"W"}}},
              "f":{"Match":"a/{x}","Stream":"{x}","Frame":{"Layout":"rows"},"Values":{"v":{"At":"/v"}}}}}}}
            """);
        string[] expected =
        [
            "StreamLstm:Sources:m:Limits:Depth is \"0\": allowed is a whole number from 1 to 1000 (default 64).",
            "StreamLstm:Sources:m:Bindings:a:Match: is needed without a Preset.",
            "StreamLstm:Sources:m:Bindings:a:Stream: is needed without a Preset.",
            $"StreamLstm:Sources:m:Bindings:b:Preset is \"shelly\": allowed is one of {string.Join(", ", Presets.Names)}.",
            "StreamLstm:Sources:m:Bindings:c:Match: can't be given beside a preset of several parts; use one of shelly-gen2/notify, shelly-gen2/em, shelly-gen2/emdata, shelly-gen2/switch instead.",
            "StreamLstm:Sources:m:Bindings:d:Time:MaxAge is \"0s\": allowed is a duration such as 250ms, 30s, 15m, 24h or 7d from 1s to 36500d (default 10950d).",
            "StreamLstm:Sources:m:Bindings:e:Format is \"xml\": allowed is one of json, text, csv, influx, sparkplug, obis, json-sr, cloudevents, int16, float32 (default json).",
            "StreamLstm:Sources:m:Bindings:e:Values:v:Kind is \"level\": allowed is one of gauge, counter, delta, time (default gauge).",
            "StreamLstm:Sources:m:Bindings:e:Values:v:Units is not a known key; did you mean Unit?",
            "StreamLstm:Sources:m:Bindings:f:Frame:Rate: either Rate or Period must be given.",
        ];
        Assert.Equal(expected.Order(), errors.Order());
        var second = Invalid("""{"Sources":{"m":{"Type":"mqtt","Broker":"mqtt://h","Bindings":{"d":{"Preset":"tasmota","Except":"a/b+","Where":"method"}}}}}""");
        Assert.Equal(["StreamLstm:Sources:m:Bindings:d:Except is \"a/b+\"", "StreamLstm:Sources:m:Bindings:d:Where is \"method\""], second.Select(e => e[..e.IndexOf(": ", StringComparison.Ordinal)]));
    }

    [Fact]
    public void Environment_beats_secrets_and_secrets_beat_the_file()
    {
        var secrets = Directory.CreateDirectory(Path.Combine(_folder, "secrets")).FullName;
        File.WriteAllText(Path.Combine(secrets, "StreamLstm__Sources__m__Password"), "from-secret\n");
        File.WriteAllText(Path.Combine(secrets, "StreamLstm__Engine__Shards"), "5");
        var config = Write("""{"Logging":{},"StreamLstm":{"Engine":{"Shards":2,"MaxStreamsPartition":7},"Sources":{"m":{"Type":"mqtt","Broker":"mqtt://h","Username":"u","Bindings":{"b":{"Match":"a","Format":"text","Stream":"s"}}}}}}""");
        var (settings, errors) = ConfigurationLoader.Load(config, secrets, [new("StreamLstm__Engine__Shards", "9"), new("PATH", "/bin")]);
        Assert.Empty(errors);
        Assert.Equal((9, 7), (settings!.Engine.Shards, settings.Engine.MaxStreamsPartition));
        Assert.Equal("from-secret", ((MqttSourceConfiguration)settings.Sources[0]).Settings.Password);
    }

    [Fact]
    public void Unreadable_files_and_misspelt_sections_are_named()
    {
        Assert.Contains("does not exist", Assert.Single(ConfigurationLoader.Load(Path.Combine(_folder, "none.json"), _folder, []).Errors), StringComparison.Ordinal);
        Assert.Contains("can't be read", Assert.Single(ConfigurationLoader.Load(Write("{ nonsense"), _folder, []).Errors), StringComparison.Ordinal);
        Assert.Contains("did you mean StreamLstm?", Assert.Single(ConfigurationLoader.Load(Write("""{"StreamLtsm":{}}"""), _folder, []).Errors), StringComparison.Ordinal);
    }

    [Fact]
    public void Clients_of_one_broker_need_ids_of_their_own()
    {
        var errors = Invalid("""
            {"Sources":{"bus":{"Type":"mqtt","Broker":"mqtt://h","Bindings":{"b":{"Match":"a","Format":"text","Stream":"s"}}}},
             "Sinks":{"bus":{"Type":"mqtt","Broker":"mqtt://h"}}}
            """);
        Assert.Contains("StreamLstm:Sources:bus and StreamLstm:Sinks:bus have the same name", Assert.Single(errors), StringComparison.Ordinal);
    }

    [Fact]
    public void A_password_never_appears_in_an_error()
    {
        var errors = Invalid("""{"Sinks":{"m":{"Type":"mqtt","Broker":"mqtt://user:hunter2@h","Password":"hunter3"}}}""");
        Assert.Equal(2, errors.Count);
        Assert.DoesNotContain(errors, e => e.Contains("hunter", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("250ms", 250)]
    [InlineData("30s", 30_000)]
    [InlineData("15m", 900_000)]
    [InlineData("24h", 86_400_000)]
    [InlineData("7d", 604_800_000)]
    [InlineData("0s", 0)]
    public void Durations_are_written_with_a_unit(string text, long milliseconds)
    {
        Assert.True(Duration.TryParse(text, out var duration));
        Assert.Equal(milliseconds, duration.TotalMilliseconds);
        Assert.True(Duration.TryParse(Duration.Format(duration), out var again));
        Assert.Equal(duration, again);
    }

    [Theory]
    [InlineData("15")]
    [InlineData("24:00:00")]
    [InlineData("PT1H")]
    [InlineData("1.5h")]
    [InlineData("-1s")]
    [InlineData("1 h")]
    [InlineData("m")]
    [InlineData("")]
    [InlineData("99999999999999d")]
    public void Other_durations_are_refused(string text) => Assert.False(Duration.TryParse(text, out _));

    [Fact]
    public void Every_default_of_the_table_is_valid()
    {
        foreach (var key in ConfigurationTable.Keys)
        {
            Assert.EndsWith(".", key.Meaning, StringComparison.Ordinal);
            Assert.False(key.Required && key.Default is not null, key.Path);
            foreach (var text in new[] { key.Default, key.Min, key.Max }.OfType<string>())
            {
                var ok = key.Type switch
                {
                    ConfigurationType.Integer => long.TryParse(text, CultureInfo.InvariantCulture, out _),
                    ConfigurationType.Number => double.TryParse(text, CultureInfo.InvariantCulture, out _),
                    ConfigurationType.Duration => Duration.TryParse(text, out _),
                    ConfigurationType.Boolean => bool.TryParse(text, out _),
                    ConfigurationType.Choice => key.Choices.Contains(text),
                    _ => true,
                };
                Assert.True(ok, $"{key.Path}: {text}");
            }
        }

        Assert.Distinct(ConfigurationTable.Keys.Select(k => k.Path));
    }

    [Fact]
    public void The_schema_has_every_key_with_its_meaning_and_knows_the_sample()
    {
        using var schema = JsonDocument.Parse(ConfigurationSchema.Json());
        foreach (var key in ConfigurationTable.Keys)
        {
            var node = schema.RootElement.GetProperty("properties").GetProperty("StreamLstm");
            foreach (var part in key.Path.Split(':'))
                node = part == "*" ? node.GetProperty("additionalProperties") : node.GetProperty("properties").GetProperty(part);
            Assert.StartsWith(key.Meaning, node.GetProperty("description").GetString(), StringComparison.Ordinal);
        }

        using var sample = JsonDocument.Parse(File.ReadAllText(SamplePath()));
        AssertKnown(schema.RootElement, sample.RootElement);
    }

    [Fact]
    public void Keys_are_explained_however_they_are_spelt()
    {
        foreach (var spelling in (string[])["Profiles:load:Interval", "StreamLstm:Profiles:*:Interval", "profiles.load.interval", "StreamLstm__Profiles__x__Interval"])
        {
            Assert.True(ConfigurationSchema.TryExplain(spelling, out var text));
            Assert.Contains("from 1s to 1d", text, StringComparison.Ordinal);
            Assert.Contains("default  15m", text, StringComparison.Ordinal);
        }

        Assert.True(ConfigurationSchema.TryExplain("Engine", out var section));
        Assert.Equal(8, section.Split('\n').Length);
        Assert.False(ConfigurationSchema.TryExplain("Engine:Shard", out var unknown));
        Assert.Contains("did you mean Engine:Shards?", unknown, StringComparison.Ordinal);
    }

    private static void AssertKnown(JsonElement schema, JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Object)
            return;
        foreach (var property in value.EnumerateObject())
        {
            if (schema.GetProperty("properties").TryGetProperty(property.Name, out var known))
                AssertKnown(known, property.Value);
            else
                AssertKnown(schema.GetProperty("additionalProperties"), property.Value);
        }
    }

    private static WorkerSettings Valid(string json)
    {
        var (settings, errors) = ConfigurationLoader.Load(Build(json), [], []);
        Assert.Empty(errors);
        return settings!;
    }

    private static IReadOnlyList<string> Invalid(string json)
    {
        var (settings, errors) = ConfigurationLoader.Load(Build(json), [], []);
        Assert.Null(settings);
        return errors;
    }

    private static IConfigurationRoot Build(string json) =>
        new ConfigurationBuilder().AddJsonStream(new MemoryStream(System.Text.Encoding.UTF8.GetBytes($"{{\"StreamLstm\":{json}}}"))).Build();

    private string Write(string json)
    {
        var path = Path.Combine(_folder, "config.json");
        File.WriteAllText(path, json);
        return path;
    }

    private static string SamplePath()
    {

        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            var path = Path.Combine(folder.FullName, "src", "StreamLstm.Worker", "Configuration", "sample.json");
            if (File.Exists(path))
                return path;
        }

        throw new FileNotFoundException($"No sample.json above {AppContext.BaseDirectory}.");
    }
}
