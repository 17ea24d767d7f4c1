using StreamLstm.Connectors.Codecs;
using static StreamLstm.Worker.Configuration.ConfigurationType;

namespace StreamLstm.Worker.Configuration;

/// <summary>Everything that can be configured: the one place for defaults, ranges and meanings.</summary>
public static class ConfigurationTable
{
    public const string Root = "StreamLstm";

    private static readonly string[] s_mqtt = ["mqtt"];
    private static readonly string[] s_file = ["file"];
    private static readonly string[] s_http = ["http"];
    private static readonly string[] s_simulator = ["simulator"];
    private static readonly string[] s_kafka = ["kafka"];
    private static readonly string[] s_bound = ["mqtt", "kafka"];

    public static IReadOnlyList<ConfigurationKey> Keys { get; } =
    [
        new("State:Directory", Text, "state", "Folder of the state log, the journal and the models; locked by one worker."),

        new("Engine:Shards", Integer, "0", "Threads that own partitions; 0 = one per processor.") { Min = "0", Max = "64" },
        new("Engine:MaxStreamsPartition", Integer, "4096", "Streams one of the 64 partitions accepts; samples of further ones become dead letters.") { Min = "1", Max = "1000000" },
        new("Engine:MaxSoloStreamsPartition", Integer, "32", "The same for streams of tier solo, 1.4 megabytes each; a thousand streams spread evenly enough over 64 partitions to stay below 32.") { Min = "1", Max = "100000" },
        new("Engine:KeepJournal", ConfigurationType.Boolean, "false", "Whether committed journal segments are kept, so that the whole history can be replayed."),
        new("Engine:Seed", Integer, "1", "Seed of the network's first weights and of the choice of training windows.") { Min = "0", Max = "2147483647" },
        new("Engine:TrainingShare", Number, "0.5", "Most of one core that training takes: after every round it rests for the rest of the time.") { Min = "0.01", Max = "1" },
        new("Engine:JournalMaxBytes", Integer, "1073741824", "Bytes the journal may be ahead of the engine before sources are made to wait.") { Min = "16777216", Max = "1099511627776" },
        new("Engine:StateSegmentBytes", Integer, "67108864", "Size of the state log's files. One is deleted when every stream has a newer snapshot and every sink has its results.") { Min = "1048576", Max = "1073741824" },

        new("Http:Url", Url, "http://127.0.0.1:8080", "Address of the page, the API, health and metrics.") { Rule = "http; beyond the loopback interface only with a Token" },
        new("Http:Token", Secret, null, "When set, page and API ask for it (Authorization: Bearer, or /?token=… once in a browser)."),
        new("Http:MetricsUrl", Url, null, "Second address with health and metrics only, which may be public.") { Rule = "http, such as http://0.0.0.0:9464" },

        new("Profiles:*:Select", Text, "*", "Glob over stream keys (* any characters, ? one); of several matching profiles the longest literal prefix wins."),
        new("Profiles:*:Interval", ConfigurationType.Duration, "15m", "Step of the regular grid on which streams are modelled.") { Min = "1s", Max = "1d" },
        new("Profiles:*:Channels", List, "value", "Names of the values in one sample, in order."),
        new("Profiles:*:Covariates", List, null, "Channels whose values are inputs of the others' forecasts, such as the temperature; at most four."),
        new("Profiles:*:Outlooks:*", Text, null, "Of a covariate, by its channel, the stream that tells its future: samples [time it is for in Unix seconds, value] whose own time is when they were issued. Forecasts read the newest vintage that has arrived."),
        new("Profiles:*:Signal", Choice, "none", "What the streams are, if not series on a grid: ecg gives a result per heart beat, eeg one per second. Of the other keys a signal has Select, Channels, Rate, ValidMin, ValidMax, AllowedLateness and MaxWait (10s unless set).") { Choices = ["none", "ecg", "eeg"] },
        new("Profiles:*:Rate", Number, null, "Samples per second of a signal; packets of another rate become dead letters.") { Min = "100", Max = "1000", Rule = "needed with Signal" },
        new("Profiles:*:Season", ConfigurationType.Text, "day", "What repeats: day (and week) in the profile's zone, none, or a duration such as 6h (streamlstm seasons FILE finds it in data).") { Rule = "day, none, or a duration of at least two intervals" },
        new("Profiles:*:Aggregation", Choice, "mean", "How the samples of one interval become one value.") { Choices = ["mean", "sum", "last", "min", "max"] },
        new("Profiles:*:Counter", ConfigurationType.Boolean, "false", "Whether values are readings of a cumulative register: Aggregation sum gives its increase per interval, mean its increase per hour (Wh to W). Resets are recognised; intervals between two readings share their increase evenly.") { Rule = "true only with Aggregation sum or mean" },
        new("Profiles:*:Rollover", Number, null, "Number at which a register begins again from zero.") { Min = "0" },
        new("Profiles:*:MaxRate", Number, null, "Largest increase of a register per hour that is possible; after a larger one (another meter) it begins anew.") { Min = "0" },
        new("Profiles:*:Hold", ConfigurationType.Duration, "0s", "How long a gauge's value lasts without another reading, for feeds that report changes only; 0s = it doesn't outlast its interval.") { Min = "0s", Max = "30d" },
        new("Profiles:*:Gaps", Choice, "model", "What stands in missing intervals, up to MaxGapFrames of them: the model's forecast (nothing is learnt from it), the previous value or zero as if they had been read, or none: no result.") { Choices = ["model", "previous", "zero", "none"] },
        new("Profiles:*:ValidMin", Number, null, "Smallest value that is physically possible; samples below become dead letters and their interval is marked sensor_fault."),
        new("Profiles:*:ValidMax", Number, null, "Largest value that is physically possible; samples above become dead letters and their interval is marked sensor_fault."),
        new("Profiles:*:Zone", ConfigurationType.TimeZone, "UTC", "Zone of the calendar features such as hour and weekday."),
        new("Profiles:*:Holidays", List, null, "Regions whose public holidays are like Sundays: of the rules built in (streamlstm holidays lists them) or of the HolidayFile. Needs the season day and an Interval of 5 minutes or more."),
        new("Profiles:*:HolidayFile", Text, null, "CSV with lines date,region,name (2026-12-25,DE,Weihnachten) that adds days to the rules of Holidays; those without a region are for all, a name of - takes a day out. Without Holidays all its lines count."),
        new("Profiles:*:AllowedLateness", ConfigurationType.Duration, "0s", "How far behind the newest sample of its stream a sample may come.") { Min = "0s", Max = "7d" },
        new("Profiles:*:RepairHorizon", ConfigurationType.Duration, "0s", "How far behind its newest closed interval a stream takes late samples in: it goes back, repeats what followed, and publishes what changed as revisions; 0s = late samples are dead letters. Costs memory: two more copies of the stream's state.") { Min = "0s", Max = "30d" },
        new("Profiles:*:SamplesPerFrame", Integer, "0", "An interval is closed as soon as it holds this many samples (1 for meters that send one reading per interval); 0 = it is closed by the first sample after it.") { Min = "0", Max = "1000000" },
        new("Profiles:*:MaxSamplesPerFrame", Integer, "10000", "Further samples of one interval become dead letters.") { Min = "1", Max = "1000000" },
        new("Profiles:*:MaxWait", ConfigurationType.Duration, "5m", "How long after its end an interval of a silent stream is closed without it.") { Min = "0s", Max = "7d" },
        new("Profiles:*:MaxGapFrames", Integer, "4", "Longest gap, in intervals, that is filled by the forecast; after a longer one the stream is stale.") { Min = "0", Max = "10000" },
        new("Profiles:*:HorizonSteps", Integer, "96", "Last step of the forecast, in intervals.") { Min = "1", Max = "1024" },
        new("Profiles:*:Quantiles", Numbers, "0.05,0.5,0.95", "Quantile levels of the forecast.") { Rule = "between 0 and 1, ascending, with 0.5 among them" },
        new("Profiles:*:HiddenSize", Integer, "32", "Units of the recurrent layer.") { Min = "4", Max = "256" },
        new("Profiles:*:Tier", Choice, "rich", "Members of each stream's forecast: lean = seasonal and recurrent, some kilobytes of state per stream; rich = linear ones besides, more accurate, 40 to 70 kilobytes; solo = rich and a score by networks of the stream's own, 1.4 megabytes per channel besides, for few streams that matter.") { Choices = ["lean", "rich", "solo"] },
        new("Profiles:*:Sensitivity", Number, "0.25", "Expected false alarms per stream and week.") { Min = "0.001", Max = "100" },
        new("Profiles:*:Direction", Choice, "both", "Side of the expected value on which deviations raise alarms.") { Choices = ["both", "above", "below"] },
        new("Profiles:*:MinDeviation", Number, "0", "Smaller deviations from the expected value raise no alarm, in the values' unit.") { Min = "0" },
        new("Profiles:*:MinRelativeDeviation", Number, "0", "Deviations that are a smaller share of the expected value raise no alarm: 0.1 = a tenth of it.") { Min = "0", Max = "1000" },
        new("Profiles:*:ForecastEvery", Integer, "1", "A forecast goes out with every n-th result; 0 = never.") { Min = "0", Max = "10000" },
        new("Profiles:*:Explain", ConfigurationType.Boolean, "false", "Add to every result what its score is the largest of, and to every forecast what it was made of: the experts' weights and forecasts at the steps where they are learnt."),
        new("Profiles:*:Learning", ConfigurationType.Boolean, "true", "Whether the shared weights keep learning."),

        new("Sources:*:Type", Choice, null, "Where samples come from.") { Required = true, Choices = ["mqtt", "kafka", "file", "http", "simulator"] },
        .. Broker("Sources:*"),
        new("Sources:*:Qos", Integer, "1", "Quality of service to ask the broker for: 0 guarantees nothing, 1 may repeat, 2 neither loses nor repeats.") { Min = "0", Max = "2", OnlyFor = s_mqtt },
        new("Sources:*:CleanStart", ConfigurationType.Boolean, "false", "Whether what arrived at the broker while the worker was away is dropped.") { OnlyFor = s_mqtt },
        new("Sources:*:SessionExpiry", ConfigurationType.Duration, "1d", "How long the broker queues for the worker while it is away.") { Min = "0s", Max = "365d", OnlyFor = s_mqtt },
        new("Sources:*:MaxPayloadBytes", Integer, "262144", "Longer payloads become dead letters.") { Min = "16", Max = "16777216", OnlyFor = s_mqtt },
        new("Sources:*:ReceiveMaximum", Integer, "1024", "Messages the broker may send before it gets an acknowledgement.") { Min = "1", Max = "65535", OnlyFor = s_mqtt },
        new("Sources:*:Limits:PayloadBytes", Integer, "1048576", "Longer payloads become dead letters.") { Min = "16", Max = "1073741824", OnlyFor = s_bound },
        new("Sources:*:Limits:Depth", Integer, "64", "Nesting of a payload's arrays and objects.") { Min = "1", Max = "1000", OnlyFor = s_bound },
        new("Sources:*:Limits:Samples", Integer, "100000", "Samples one payload may give; the rest of it becomes a dead letter.") { Min = "1", Max = "10000000", OnlyFor = s_bound },
        new("Sources:*:Limits:KeyBytes", Integer, "512", "Length of a stream key in UTF-8.") { Min = "1", Max = "512", OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Preset", Choice, null, "Ready-made binding, over which own keys win; one of several parts takes only Except, Stream, Time, Hold and Retained, its parts (name/part) take all.") { Choices = Presets.Names, OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Match", Text, null, "Topic pattern: {name} captures a level or a part of one, {name...} several levels, + is one level, # the rest.") { Rule = "needed without a Preset", OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Except", List, null, "Patterns of topics to leave alone although they match; # may stand anywhere in them.") { OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Format", Choice, "json", "How the payload is written.") { Choices = ["json", "text", "csv", "influx", "sparkplug", "obis", "json-sr", "cloudevents", "int16", "float32"], OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Where", List, null, "Conditions, all of which a message must fulfil: /pointer=literal, /pointer (is there), !/pointer (is absent), with | between alternatives; also $h:header, ce:attribute, tag:name and measurement.") { OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Stream", Text, null, "Stream key, a template over {capture}, {topic}, {field}, {*}, {ch}, {/pointer}, {^/pointer}, {$key}, {$h:header}, {ce:attribute}, {tag:name} and {measurement}.") { Rule = "needed without a Preset", OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Each", Text, null, "JSON pointer to an array or object whose members are records, such as /readings/* or /params/em:*; other pointers are then relative to a member.") { OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Time:At", Text, "arrival", "JSON pointer, CSV index, OBIS id, byte offset, $h:header or ce:time of the time, or arrival (on Kafka the record's time stamp).") { OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Time:Format", Text, "auto", "How the time is written.") { Rule = "auto, unix, unix_ms, unix_us, unix_ns, iso8601, dsmr or a .NET format such as dd/MM/yyyy HH:mm", OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Time:Zone", ConfigurationType.TimeZone, "UTC", "Zone of times without an offset.") { OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Time:Optional", ConfigurationType.Boolean, "false", "Whether a message without the time happened when it arrived, instead of being a dead letter.") { OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Time:MaxFuture", ConfigurationType.Duration, "5m", "How far ahead of the arrival a time may be; the journal takes no more than 5m.") { Min = "0s", Max = "5m", OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Time:MaxAge", ConfigurationType.Duration, "10950d", "How far before the arrival a time may be.") { Min = "1s", Max = "36500d", OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Values:*:At", Text, "", "JSON pointer (one segment may be * or prefix*), CSV index, field, metric or OBIS id of the value (* = every number); empty = the whole payload.") { OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Values:*:Field", Text, null, "What {field} stands for, with {*} for what * stands for; by default the value's name, or what * stands for.") { OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Values:*:Unit", Text, null, "Unit in the payload, or a JSON pointer to it; multiples of W, Wh, V, A, VA and var are converted to these.") { OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Values:*:Kind", Choice, "gauge", "What the value is, for people and sources test; the profile's Counter and Aggregation say how it is treated; time = a time as in the binding's Time, taken in Unix seconds.") { Choices = ["gauge", "counter", "delta", "time"], OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Values:*:Scale", Number, "1", "The value is multiplied by it.") { OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Values:*:Offset", Number, "0", "Added to the scaled value.") { OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Frame:Layout", Choice, "channels", "How a frame's samples lie: an array per channel, an array per instant, one array, or a text of numbers.") { Choices = ["channels", "rows", "flat", "tokens"], OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Frame:Rate", Text, null, "Samples per second, or a JSON pointer to it.") { OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Frame:Period", Text, null, "Time between samples instead of Rate, or a JSON pointer to it.") { OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Frame:PeriodUnit", Text, "ms", "Unit of Period, or a JSON pointer to it.") { Rule = "s, ms, us or ns", OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Frame:Labels", Text, null, "Names of the channels with commas between them, or a JSON pointer to an array of them; by default 0, 1, ….") { OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Frame:Anchor", Choice, "first", "Which sample the time belongs to.") { Choices = ["first", "last"], OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Frame:Scale", Text, null, "Factor of the samples, or a JSON pointer to it.") { OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Frame:Origin", Text, null, "Added to the scaled samples, or a JSON pointer to it.") { OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Frame:Dimensions", Text, null, "Channels in a frame without labels, or a JSON pointer to their number.") { OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Frame:HeaderBytes", Integer, "0", "Bytes before the samples of a binary frame.") { Min = "0", Max = "4096", OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Hold", ConfigurationType.Duration, "0s", "How long a value that a later message of its stream leaves out counts as unchanged; 0s = it is missing. For silent streams there is the profile's Hold.") { Min = "0s", Max = "30d", OnlyFor = s_bound },
        new("Sources:*:Bindings:*:Retained", Choice, "auto", "Messages the broker kept: auto = used if they say their time, accept = always used, drop = never; what isn't used becomes a dead letter.") { Choices = ["auto", "accept", "drop"], OnlyFor = s_bound },
        .. Cluster("Sources:*"),
        new("Sources:*:Guarantee", Choice, "exactly_once", "exactly_once: state, results and offsets are one Kafka transaction, and workers of a group share the partitions; at_least_once: records pass through this worker's own journal to all sinks.") { Choices = ["exactly_once", "at_least_once"], OnlyFor = s_kafka },
        new("Sources:*:Topics", List, null, "Topics to read; with at_least_once one that begins with ^ is a regular expression.") { Required = true, OnlyFor = s_kafka },
        new("Sources:*:GroupId", Text, "streamlstm", "Names the position in the topics; workers with the same one share the partitions; another group starts anew.") { OnlyFor = s_kafka },
        new("Sources:*:TopicPrefix", Text, "streamlstm", "First part of the topics <prefix>.results, .episodes, .deadletters and .state (exactly_once).") { OnlyFor = s_kafka },
        new("Sources:*:StateTopic", Text, null, "Compacted topic with the streams' state; by default <prefix>.state; with several Topics it contains {topic} (exactly_once).") { OnlyFor = s_kafka },
        new("Sources:*:InstanceId", Text, null, "Name of this worker in its group, the same after a restart and no other's, such as the pod's: its partitions wait for it, and what it left open is ended at once (exactly_once).") { OnlyFor = s_kafka },
        new("Sources:*:Threads", Integer, "1", "Threads with a share of the partitions each (exactly_once).") { Min = "1", Max = "64", OnlyFor = s_kafka },
        new("Sources:*:CommitInterval", ConfigurationType.Duration, "100ms", "How long records are gathered for one transaction; results can't be seen earlier (exactly_once).") { Min = "5ms", Max = "10s", OnlyFor = s_kafka },
        new("Sources:*:MaxStreamsPartition", Integer, "100000", "Streams a topic's partition accepts; samples of further ones become dead letters (exactly_once).") { Min = "1", Max = "10000000", OnlyFor = s_kafka },
        new("Sources:*:KeepWarm", ConfigurationType.Duration, "5m", "How long the state of partitions that went to another worker stays in memory, in case they come back (exactly_once).") { Min = "0s", Max = "1d", OnlyFor = s_kafka },
        new("Sources:*:Standbys", Integer, "0", "How many other workers follow the state of each partition, so that they can go on with it at once; num.standby.replicas of Kafka Streams (exactly_once).") { Min = "0", Max = "16", OnlyFor = s_kafka },
        new("Sources:*:Path", Text, null, "File, or folder and pattern with * and ?; CSV, TSV or NDJSON, plain or .gz; signals as WFDB (.hea) or EDF (.edf).") { Required = true, OnlyFor = s_file },
        new("Sources:*:Speed", Number, "0", "Event seconds per second; 0 = as fast as possible.") { Min = "0", Max = "1000000000", OnlyFor = ["file", "simulator"] },
        new("Sources:*:Follow", ConfigurationType.Boolean, "false", "Whether to wait for rows appended to the last file.") { OnlyFor = s_file },
        new("Sources:*:Table:TimeColumn", Text, null, "Column with the time; found by itself if not given.") { OnlyFor = s_file },
        new("Sources:*:Table:StreamColumn", Text, null, "Column with the stream's key; found by itself if not given.") { OnlyFor = s_file },
        new("Sources:*:Table:ValueColumns", List, null, "Columns with values; found by themselves if not given.") { OnlyFor = s_file },
        new("Sources:*:Table:Zone", ConfigurationType.TimeZone, "UTC", "Zone of times without an offset.") { OnlyFor = s_file },
        new("Sources:*:Table:TimeFormat", Text, null, "How times are written; found by itself if not given.") { Rule = "auto, unix, unix_ms, unix_us, unix_ns, iso8601, dsmr or a .NET format such as dd/MM/yyyy HH:mm", OnlyFor = s_file },
        new("Sources:*:MaxBodyBytes", Integer, "8388608", "Longest request body, unpacked; a longer one is refused.") { Min = "1024", Max = "1073741824", OnlyFor = s_http },
        new("Sources:*:MaxLineBytes", Integer, "262144", "Longer lines become dead letters.") { Min = "256", Max = "16777216", OnlyFor = s_http },
        new("Sources:*:Streams", Integer, "24", "Simulated meters.") { Min = "1", Max = "1000000", OnlyFor = s_simulator },
        new("Sources:*:Seed", Integer, "1", "The same seed gives the same readings.") { Min = "0", Max = "2147483647", OnlyFor = s_simulator },
        new("Sources:*:Interval", ConfigurationType.Duration, "15m", "Time between readings.") { Min = "1m", Max = "1d", OnlyFor = s_simulator },
        new("Sources:*:Days", Integer, "0", "Simulated days after which the source ends; 0 = never.") { Min = "0", Max = "100000", OnlyFor = s_simulator },
        new("Sources:*:FaultsPerDay", Number, "0", "Injected faults per stream and day.") { Min = "0", Max = "1", OnlyFor = s_simulator },

        new("Bridge:BootstrapServers", Text, null, "Kafka brokers to begin with. With a Bridge, samples of mqtt and http sources go to its topic, keyed by stream, instead of being modelled here."),
        new("Bridge:Topic", Text, null, "Topic that gets the samples: {\"time\":µs,\"values\":[…]}, for a source with guarantee exactly_once to read."),
        new("Bridge:TopicPrefix", Text, "streamlstm", "First part of the topic <prefix>.deadletters."),
        new("Bridge:Client:*", Secret, null, "A setting of librdkafka by its own name."),

        new("Sinks:*:Type", Choice, null, "Where results go.") { Required = true, Choices = ["file", "stdout", "mqtt", "kafka"] },
        new("Sinks:*:Kinds", List, "result,episode,dead_letter", "What goes there.") { Choices = ["result", "episode", "dead_letter"] },
        new("Sinks:*:Path", Text, null, "File of JSON lines; created if absent.") { Required = true, OnlyFor = s_file },
        new("Sinks:*:MaxBytes", Integer, "0", "Length at which the file is moved aside (to Path.N; only the latest is kept) and another begun, for dead letters above all; 0 = it grows for ever.") { Min = "0", OnlyFor = s_file },
        .. Broker("Sinks:*"),
        .. Cluster("Sinks:*"),
        new("Sinks:*:TopicPrefix", Text, "streamlstm", "First part of the topics <prefix>.results, .episodes and .deadletters.") { OnlyFor = s_kafka },
        new("Sinks:*:Qos", Integer, "1", "Quality of service of what is published; with 0 a commit counts as published once it is sent.") { Min = "0", Max = "2", OnlyFor = s_mqtt },
        new("Sinks:*:Prefix", Text, "streamlstm", "First part of every topic.") { OnlyFor = s_mqtt },
        new("Sinks:*:RetainResults", ConfigurationType.Boolean, "false", "Whether the broker keeps each stream's last result for subscribers to come.") { OnlyFor = s_mqtt },
        new("Sinks:*:RetainForecasts", ConfigurationType.Boolean, "true", "The same for the last forecast.") { OnlyFor = s_mqtt },

        new("Metrics:PerStream", ConfigurationType.Boolean, "true", "Whether y, yhat, yhat_lower, yhat_upper and anomaly_score are exposed per stream."),
        new("Metrics:MaxSeries", Integer, "2000", "Above this many streams none is exposed.") { Min = "0", Max = "100000" },
        new("Metrics:OutputPrefix", Text, "", "Put before y, yhat, …; empty gives the names that vmanomaly's dashboards and rules use.") { Rule = "letters, digits and _ only" },
    ];

    private static IEnumerable<ConfigurationKey> Cluster(string owner) =>
    [
        new($"{owner}:BootstrapServers", Text, null, "Kafka brokers to begin with: host:port, several with commas between them.") { Required = true, OnlyFor = s_kafka },
        new($"{owner}:Client:*", Secret, null, "A setting of librdkafka by its own name, such as security.protocol or sasl.password.") { OnlyFor = s_kafka },
    ];

    private static IEnumerable<ConfigurationKey> Broker(string owner) =>
    [
        new($"{owner}:Broker", Url, null, "Address of the MQTT broker.") { Required = true, Rule = "mqtt://host[:1883] or mqtts://host[:8883], without user and password", OnlyFor = s_mqtt },
        new($"{owner}:ClientId", Text, null, "Names the session at the broker, so it must be unique there; by default streamlstm-<machine>-<name>.") { OnlyFor = s_mqtt },
        new($"{owner}:Username", Text, null, "User at the broker.") { OnlyFor = s_mqtt },
        new($"{owner}:Password", Secret, null, "Password at the broker; better from the environment or /run/secrets than from a file.") { OnlyFor = s_mqtt },
        new($"{owner}:KeepAlive", ConfigurationType.Duration, "30s", "A dead connection is noticed after one and a half of it.") { Min = "1s", Max = "18h", OnlyFor = s_mqtt },
        new($"{owner}:Tls:CaFile", Text, null, "PEM file with the only authorities to trust; by default those of the system (needs mqtts).") { OnlyFor = s_mqtt },
        new($"{owner}:Tls:CertificateFile", Text, null, "PEM file with the client certificate (needs mqtts).") { OnlyFor = s_mqtt },
        new($"{owner}:Tls:KeyFile", Text, null, "PEM file with the client certificate's key; by default it is in CertificateFile.") { OnlyFor = s_mqtt },
    ];
}
