using System.CommandLine;
using System.CommandLine.Help;
using StreamLstm.Worker.Commands;

var root = new RootCommand("StreamLstm: real-time forecasts and anomaly scores with a durable LSTM state per stream.")
{
    new DemoCommand(),
    new RunCommand(),
    new CheckConfigCommand(),
    new ConfigCommand(),
    new BacktestCommand(),
    new SeasonsCommand(),
    new HolidaysCommand(),
    new BenchmarkCommand(),
    new SourcesCommand(),
    new ModelsCommand(),
    new KafkaCommand(),
    new HealthcheckCommand(),
    new VersionCommand(),
};

foreach (var command in ViewCommands.All())
    root.Add(command);

// @FILE is a payload here, not a file with further arguments.
var parsed = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
if (parsed.Errors.Count > 0 && parsed.Action is not HelpAction)
    return Terminal.Refuse(parsed.Errors.Select(e => e.Message), "See streamlstm --help.");
return await parsed.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = TimeSpan.FromSeconds(40) });
