using System.CommandLine;
using System.CommandLine.Help;
using StreamLstm.Simulator;

var root = new RootCommand("Generates electric loads and physiological signals with known faults, or replays files, as a live feed.")
{
    new LoadCommand(TimeProvider.System),
    new EcgCommand(TimeProvider.System),
    new EegCommand(TimeProvider.System),
    new SineCommand(TimeProvider.System),
    new ReplayCommand(TimeProvider.System),
};

ParseResult parsed = root.Parse(args);
if (parsed.Errors.Count > 0 && parsed.Action is not HelpAction)
{
    // The parser's own errors and those of the values, in one go.
    string[] errors = [.. parsed.Errors.Select(error => error.Message), .. (parsed.CommandResult.Command as Verb)?.Check(parsed) ?? []];
    return Verb.Refuse(errors, parsed.CommandResult.Command);
}

return await parsed.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = TimeSpan.FromSeconds(10) });
