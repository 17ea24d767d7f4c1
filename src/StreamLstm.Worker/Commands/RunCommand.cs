using System.CommandLine;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Connectors.Files;
using StreamLstm.Connectors.Kafka;
using StreamLstm.Connectors.Kafka.Partitions;
using StreamLstm.Connectors.Mqtt;
using StreamLstm.Core.Signals;
using StreamLstm.Runtime;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Storage;
using StreamLstm.Simulation;
using StreamLstm.Worker.Api;
using StreamLstm.Worker.Configuration;
using StreamLstm.Worker.Hosting;
using StreamLstm.Worker.Metrics;

namespace StreamLstm.Worker.Commands;

/// <summary><c>run --config FILE</c>: the service.</summary>
internal sealed partial class RunCommand : Command
{
    private readonly Option<FileInfo> _config = new("--config") { Description = "Configuration file (JSON).", HelpName = "FILE", Required = true };
    private readonly Option<bool> _untilDrained = new("--until-drained") { Description = "End when every source has completed and its results are committed; for files and replays." };

    public RunCommand()
        : base("run", "Runs the service.")
    {
        Add(_config);
        Add(_untilDrained);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken stopping)
    {
        var (settings, errors) = ConfigurationLoader.Load(parsed.GetValue(_config)!.FullName);
        if (settings is null)
            return Terminal.Refuse(errors, "See streamlstm config explain KEY.");
        if (settings.Profiles.Any(p => p.Signal != SignalKind.None))
            Terminal.Line(SignalCaveat.Text);
        var http = settings.Sources.OfType<HttpSourceConfiguration>().FirstOrDefault();
        try
        {
            await using var host = new WorkerHost(
                new WorkerHostSettings
                {
                    Mode = "run",
                    Engine = new EngineSettings
                    {
                        StateDirectory = settings.State.Directory,
                        Profiles = settings.Profiles,
                        Shards = settings.Engine.Shards,
                        MaxStreamsPerPartition = settings.Engine.MaxStreamsPartition,
                        MaxSoloStreamsPerPartition = settings.Engine.MaxSoloStreamsPartition,
                        StateSegmentBytes = settings.Engine.StateSegmentBytes,
                        KeepJournal = settings.Engine.KeepJournal,
                        Seed = settings.Engine.Seed,
                        TrainingShare = settings.Engine.TrainingShare,
                        Journal = new() { MaxBacklogBytes = settings.Engine.JournalMaxBytes },
                    },
                    Http = settings.Http,
                    Metrics = settings.Metrics,
                    Ingest = http is null ? null : new HttpIngestOptions { Name = http.Name, MaxBodyBytes = http.MaxBodyBytes, MaxLineBytes = http.MaxLineBytes },
                },
                loggers => [.. settings.Sinks.Select(sink => Sink(sink, loggers))]);
            await host.StartAsync();
            var logger = host.Loggers.CreateLogger("StreamLstm.Worker");
            var decoders = new List<(string, DecodeCounters)>();
            using var bridge = settings.Bridge is null ? null : new KafkaBridge(settings.Bridge, host.Loggers.CreateLogger<KafkaBridge>());
            var sources = settings.Sources.Select(source => Source(source, host, decoders, logger)).Select(source => bridge is null ? source : new BridgedSource(source, bridge)).ToList();
            if (bridge is not null)
                host.Meters.Create(new System.Diagnostics.Metrics.MeterOptions("StreamLstm.Bridge")).CreateObservableCounter("streamlstm_bridged_samples", () => bridge.Samples, description: "Samples passed on to Kafka.");
            DecoderMetrics.Create(host.Meters, decoders);
            Log.Serving(logger, host.Url, settings.Profiles.Count, sources.Count, settings.Sinks.Count);
            SystemdNotifier.Notify("READY=1");
            using var watchdog = new Timer(_ =>
            {
                if (host.Engine.Alive)
                    SystemdNotifier.Notify("WATCHDOG=1");
            }, null, TimeSpan.FromSeconds(10), TimeSpan.FromSeconds(10));
            using var secondSignal = new SecondSignal();
            await using var told = stopping.Register(() =>
            {
                SystemdNotifier.Notify("STOPPING=1");
                secondSignal.Arm();
            });
            await host.Engine.RunAsync(sources, parsed.GetValue(_untilDrained), stopping);
            return ExitCode.Ok;
        }
        catch (Exception e) when (e is StartException or KafkaLibraryException or KafkaTopologyException or FlushFailedException)
        {
            Terminal.Line("error: " + e.Message);
            return ExitCode.Failed;
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // A broken invariant: the process must end with an error, and say which.
            Terminal.Line("fatal: " + e);
            return ExitCode.Failed;
        }
    }

    private static IResultSink Sink(SinkConfiguration sink, ILoggerFactory loggers) => sink switch
    {
        FileSinkConfiguration file => new FileSink(file.Settings, TimeProvider.System, loggers.CreateLogger<FileSink>()),
        StdoutSinkConfiguration stdout => new StdoutSink(stdout.Name, stdout.Kinds),
        MqttSinkConfiguration mqtt => new FilteredSink(new MqttSink(mqtt.Settings, loggers.CreateLogger<MqttSink>()), mqtt.Kinds),
        KafkaSinkConfiguration kafka => new FilteredSink(new KafkaSink(kafka.Settings, loggers.CreateLogger<KafkaSink>()), kafka.Kinds),
        _ => throw new InvalidOperationException($"Sink {sink.Name} is of an unknown type."),
    };

    private static BindingDecoder Decoder(string source, IEnumerable<BindingSettings> bindings, DecodeLimits limits, List<(string, DecodeCounters)> decoders, ILogger logger)
    {
        var decoder = new BindingDecoder(bindings, limits);
        decoder.RebirthRequested += (group, node) => Log.RebirthNeeded(logger, source, group, node);
        decoders.Add((source, decoder.Counters));
        return decoder;
    }

    private static ISampleSource Source(SourceConfiguration source, WorkerHost host, List<(string, DecodeCounters)> decoders, ILogger logger) => source switch
    {
        MqttSourceConfiguration mqtt => new MqttSource(mqtt.Settings, Decoder(mqtt.Name, mqtt.Bindings, mqtt.Limits, decoders, logger), host.Loggers.CreateLogger<MqttSource>()),
        KafkaSourceConfiguration kafka => new KafkaSource(kafka.Settings, Decoder(kafka.Name, kafka.Bindings, kafka.Limits, decoders, logger), host.Loggers.CreateLogger<KafkaSource>()),
        KafkaPartitionSourceConfiguration kafka => new KafkaPartitionSource(
            kafka.Settings,
            Decoder(kafka.Name, kafka.Bindings, kafka.Limits, decoders, logger),
            host.Engine.Partitions(kafka.Name),
            host.ShowAsync,
            host.Loggers.CreateLogger<KafkaPartitionSource>()),
        FileSourceConfiguration file => new FileSource(file.Settings, host.Loggers.CreateLogger<FileSource>()),
        HttpSourceConfiguration => host.Ingest!,
        SimulatorSourceConfiguration simulator => new SimulatorSource(
            new SimulatorSourceSettings
            {
                Name = simulator.Name,
                Load = new LoadSimulationOptions { Streams = simulator.Streams, Seed = simulator.Seed, Interval = simulator.Interval, FaultsPerStreamDay = simulator.FaultsPerDay },
                Frames = simulator.Days == 0 ? long.MaxValue : (long)(TimeSpan.FromDays(simulator.Days) / simulator.Interval),
                Speed = simulator.Speed,
            },
            host.Engine,
            TimeProvider.System),
        _ => throw new InvalidOperationException($"Source {source.Name} is of an unknown type."),
    };

    private static partial class Log
    {
        [LoggerMessage(2001, LogLevel.Information, "Serving {Url}: {Profiles} profiles, {Sources} sources, {Sinks} sinks")]
        public static partial void Serving(ILogger logger, string url, int profiles, int sources, int sinks);

        [LoggerMessage(2002, LogLevel.Warning, "{Source}: the births of Sparkplug node {Group}/{Node} are missing or out of date; it needs a rebirth (NCMD Node Control/Rebirth)")]
        public static partial void RebirthNeeded(ILogger logger, string source, string group, string node);
    }
}
