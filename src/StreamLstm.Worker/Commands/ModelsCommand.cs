using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Worker.Commands;

/// <summary><c>models summary</c>: parameters of a recurrent network by layer and gate; <c>models list</c>: versions in a state folder.</summary>
internal sealed class ModelsCommand : Command
{
    public ModelsCommand()
        : base("models", "Networks and their versions.")
    {
        Add(Summary());
        Add(List());
    }

    private static Command Summary()
    {
        var cell = new Option<string>("--cell") { Description = "lstm, gru or rnn.", DefaultValueFactory = _ => "lstm", HelpName = "CELL" };
        var inputs = new Option<int>("--inputs") { Description = "Values per step.", DefaultValueFactory = _ => 32 };
        var units = new Option<int>("--units") { Description = "Units of each layer.", DefaultValueFactory = _ => 32 };
        var layers = new Option<int>("--layers") { Description = "Layers.", DefaultValueFactory = _ => 1 };
        var peepholes = new Option<bool>("--peepholes") { Description = "LSTM with peephole connections." };
        var outputs = new Option<int>("--outputs") { Description = "Outputs of the linear head.", DefaultValueFactory = _ => 1 };
        var summary = new Command("summary", "Counts a recurrent network's parameters, as Keras and as PyTorch count them.") { cell, inputs, units, layers, peepholes, outputs };
        summary.SetAction(parsed =>
        {
            CellKind? kind = parsed.GetValue(cell)!.ToLowerInvariant() switch { "lstm" => CellKind.Lstm, "gru" => CellKind.Gru, "rnn" => CellKind.SimpleRnn, _ => null };
            if (kind is not { } known)
                return Terminal.Refuse([$"--cell {parsed.GetValue(cell)}: lstm, gru or rnn."], "See streamlstm models summary --help.");
            if (parsed.GetValue(layers) is < 1 or > 64)
                return Terminal.Refuse([$"--layers {parsed.GetValue(layers)}: 1 to 64."], "See streamlstm models summary --help.");
            try
            {
                var n = parsed.GetValue(layers);
                var options = new NetworkOptions
                {
                    Inputs = parsed.GetValue(inputs),
                    Layers = [.. Enumerable.Range(0, n).Select(l => new RecurrentLayerOptions { Cell = known, Units = parsed.GetValue(units), Peepholes = parsed.GetValue(peepholes), ReturnSequences = l < n - 1 })],
                    Head = new LinearHead(parsed.GetValue(outputs)),
                };
                Console.WriteLine(ParameterSummary.Of(options).ToText());
                return ExitCode.Ok;
            }
            catch (ArgumentException e)
            {
                return Terminal.Refuse([e.Message], "See streamlstm models summary --help.");
            }
        });
        return summary;
    }

    private static Command List()
    {
        var state = new Option<DirectoryInfo>("--state") { Description = "State folder of a worker.", HelpName = "DIR", Required = true };
        var json = new Option<bool>("--json") { Description = "Print as JSON." };
        var list = new Command("list", "Lists the model versions in a state folder.") { state, json };
        list.SetAction(parsed =>
        {
            var folder = new DirectoryInfo(Path.Combine(parsed.GetValue(state)!.FullName, "models"));
            if (!folder.Exists)
                return Terminal.Refuse([$"--state {parsed.GetValue(state)}: there is no folder 'models' in it."], "See streamlstm models list --help.");
            var versions = folder.EnumerateDirectories().OrderBy(d => d.Name, StringComparer.Ordinal)
                .SelectMany(profile => profile.EnumerateFiles("v*.weights").OrderBy(f => f.Name, StringComparer.Ordinal)
                    .Select(f => (Profile: profile.Name, Version: int.Parse(Path.GetFileNameWithoutExtension(f.Name).AsSpan(1), CultureInfo.InvariantCulture), Saved: f.LastWriteTimeUtc, f.Length)))
                .ToList();
            if (parsed.GetValue(json))
            {
                Console.WriteLine(new JsonArray([.. versions.Select(v => (JsonNode)new JsonObject { ["profile"] = v.Profile, ["version"] = v.Version, ["saved"] = v.Saved.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture), ["bytes"] = v.Length })]).ToJsonString());
                return ExitCode.Ok;
            }

            foreach (var (profile, version, saved, bytes) in versions)
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{profile,-24} {version,7}  {saved:yyyy-MM-ddTHH:mm:ssZ}  {bytes,9} bytes"));
            return ExitCode.Ok;
        });
        return list;
    }
}
