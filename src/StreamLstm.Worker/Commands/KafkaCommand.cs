using System.CommandLine;
using Confluent.Kafka;
using StreamLstm.Connectors.Kafka;
using StreamLstm.Connectors.Kafka.Partitions;
using StreamLstm.Runtime.Partitioned;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.StateLog;
using StreamLstm.Runtime.Storage;
using StreamLstm.Worker.Configuration;

namespace StreamLstm.Worker.Commands;

/// <summary><c>kafka init|check|align|migrate|import --config FILE</c>: topics, offsets and state of sources with guarantee exactly_once.</summary>
internal sealed class KafkaCommand : Command
{
    private readonly Option<FileInfo> _config = new("--config") { Description = "Configuration file (JSON).", HelpName = "FILE", Required = true };
    private readonly Option<int> _partitions = new("--partitions") { Description = "Partitions of input topics that don't exist yet, and of results, episodes and dead letters.", HelpName = "N", DefaultValueFactory = _ => 12 };
    private readonly Option<int> _replication = new("--replication") { Description = "Copies of each topic; -1 = the cluster's default.", HelpName = "N", DefaultValueFactory = _ => -1 };

    public KafkaCommand()
        : base("kafka", "Topics of Kafka sources with guarantee exactly_once.")
    {
        var init = new Command("init", "Creates the topics that don't exist; the state topic is compacted and has the partitions of its input.") { _config, _partitions, _replication };
        init.SetAction((parsed, _) => EachAsync(parsed, async source =>
        {
            using var topology = new KafkaTopology(source.Settings);
            foreach (var line in await topology.InitialiseAsync(parsed.GetValue(_partitions), (short)parsed.GetValue(_replication)))
                Console.WriteLine(line);
            await CheckAsync(topology);
        }));
        var check = new Command("check", "Tells whether the topics exist and fit.") { _config };
        check.SetAction((parsed, _) => EachAsync(parsed, async source =>
        {
            using var topology = new KafkaTopology(source.Settings);
            await CheckAsync(topology);
        }));
        var align = new Command("align", "Sets the group's offsets to where the state stands, after they were changed or have expired; only while no worker of the group runs.") { _config };
        align.SetAction((parsed, _) => EachAsync(parsed, source =>
        {
            using var maintenance = new KafkaMaintenance(source.Settings);
            Print(maintenance.Align(), "Offsets and state agree.");
            return Task.CompletedTask;
        }));
        var migrate = new Command("migrate", "Moves state to where it belongs after an input topic got more partitions; only while no worker of the group runs and everything has been read.") { _config };
        migrate.SetAction((parsed, _) => EachAsync(parsed, async source =>
        {
            if (source.Bindings.FirstOrDefault(b => b.Stream != "{$key}") is { } other)
                throw new KafkaTopologyException([$"Binding {other.Name} makes stream keys other than the record's key ({{$key}}): where their records go now can't be told. Begin with a new GroupId and new state topics."]);
            using var maintenance = new KafkaMaintenance(source.Settings);
            Print(await maintenance.MigrateAsync(), "Nothing to move.");
        }));
        Add(init);
        Add(check);
        Add(align);
        Add(migrate);
        var state = new Option<FileSystemInfo>("--state") { Description = "State:Directory of a local worker that was stopped, or what state export made of it; it stays as it is.", HelpName = "DIR|FILE", Required = true };
        var import = new Command("import", "Gives a group that has never read the state of a local worker, each stream in the partition of its key; profiles as that worker had them.") { _config, state };
        import.SetAction((parsed, _) => EachAsync(parsed, source =>
        {
            var path = parsed.GetValue(state)!.FullName;
            var unpacked = File.Exists(path) ? Directory.CreateTempSubdirectory("streamlstm-import-") : null;
            try
            {
                if (unpacked is not null)
                    StateArchive.Import(path, path = unpacked.FullName);
                using var local = new LocalState(path, Profiles(parsed));
                using var maintenance = new KafkaMaintenance(source.Settings);
                Console.WriteLine(maintenance.Import(local));
            }
            finally
            {
                unpacked?.Delete(recursive: true);
            }

            return Task.CompletedTask;
        }));
        Add(import);
    }

    private static async Task CheckAsync(KafkaTopology topology)
    {
        foreach (var (topic, partitions) in await topology.CheckAsync())
            Console.WriteLine($"{topic}: {partitions} partitions, its state topic fits.");
    }

    private IReadOnlyList<Profile> Profiles(ParseResult parsed) => ConfigurationLoader.Load(parsed.GetValue(_config)!.FullName).Settings!.Profiles;

    private static void Print(IReadOnlyList<string> lines, string otherwise)
    {
        foreach (var line in lines.DefaultIfEmpty(otherwise))
            Console.WriteLine(line);
    }

    private async Task<int> EachAsync(ParseResult parsed, Func<KafkaPartitionSourceConfiguration, Task> act)
    {
        var (settings, errors) = ConfigurationLoader.Load(parsed.GetValue(_config)!.FullName);
        if (settings is null)
            return Terminal.Refuse(errors, "See streamlstm config explain KEY.");
        var sources = settings.Sources.OfType<KafkaPartitionSourceConfiguration>().ToList();
        if (sources.Count == 0)
            return Terminal.Refuse(["The configuration has no Kafka source with Guarantee exactly_once."], "See streamlstm config explain Sources:*:Guarantee.");
        try
        {
            foreach (var source in sources)
                await act(source);

            return ExitCode.Ok;
        }
        catch (KafkaTopologyException e)
        {
            foreach (var problem in e.Problems)
                Terminal.Line("error: " + problem);
            return ExitCode.Failed;
        }
        catch (KafkaException e)
        {
            Terminal.Line("error: " + e.Error.Reason);
            return ExitCode.Failed;
        }
        catch (Exception e) when (e is KafkaLibraryException or InvalidOperationException or CorruptLogException)
        {
            Terminal.Line("error: " + e.Message);
            return ExitCode.Failed;
        }
    }
}
