using System.CommandLine;
using System.Globalization;
using StreamLstm.Runtime.StateLog;

namespace StreamLstm.Worker.Commands;

/// <summary><c>state export|import</c>: the state of a stopped worker as one file.</summary>
internal static class StateFileCommands
{
    public static Command Export()
    {
        var state = new Option<DirectoryInfo>("--state") { Description = "State:Directory of a worker that was stopped; it stays as it is.", HelpName = "DIR", Required = true };
        var to = new Option<FileInfo>("--out") { Description = "File to write; it must not exist.", HelpName = "FILE", Required = true };
        var leave = new Option<bool>("--leave-undelivered") { Description = "Export although a sink hasn't had all results yet; it won't get those." };
        var command = new Command("export", "Writes the state of a stopped worker to one file: streams, models, what is learnt from, positions of sources, marks of sinks.") { state, to, leave };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(to)!.Exists)
                return Refuse($"{parsed.GetValue(to)!.FullName} exists already.");
            return Try(() => StateArchive.Export(parsed.GetValue(state)!.FullName, parsed.GetValue(to)!.FullName, parsed.GetValue(leave)), parsed.GetValue(to)!.FullName);
        });
        return command;
    }

    public static Command Import()
    {
        var file = new Argument<FileInfo>("FILE") { Description = "What state export wrote." };
        var state = new Option<DirectoryInfo>("--state") { Description = "State:Directory of the worker to be; it must be empty or not exist.", HelpName = "DIR", Required = true };
        var command = new Command("import", "Makes a state folder of an exported file. Profiles must be as they were; for Kafka see kafka import.") { file, state };
        command.SetAction(parsed => Try(() => StateArchive.Import(parsed.GetValue(file)!.FullName, parsed.GetValue(state)!.FullName), parsed.GetValue(state)!.FullName));
        return command;
    }

    private static int Try(Func<long> act, string what)
    {
        try
        {
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{what}: {act()} streams"));
            return ExitCode.Ok;
        }
        catch (Exception e) when (e is InvalidOperationException or IOException or UnauthorizedAccessException)
        {
            return Refuse(e.Message);
        }
    }

    private static int Refuse(string why)
    {
        Terminal.Line("error: " + why);
        return ExitCode.Failed;
    }
}
