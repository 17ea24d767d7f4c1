using System.CommandLine;
using System.Text.Json.Nodes;
using static StreamLstm.Worker.Commands.WorkerClient;

namespace StreamLstm.Worker.Commands;

/// <summary>People's views of a running worker: <c>streams</c>, <c>forecast</c>, <c>episodes</c>, <c>state</c>.</summary>
internal static class ViewCommands
{
    public static IEnumerable<Command> All()
    {
        yield return Group(
            "streams", "The streams of a running worker.",
            View("list", "Lists streams with their latest values.", null, "/api/v1/streams?limit=1000", PrintStreams),
            View("show", "Shows one stream's latest result.", "STREAM", "/api/v1/streams/{0}", n => PrintStream(n["latest"]!)));
        yield return View("forecast", "Prints a stream's latest forecast.", "STREAM", "/api/v1/streams/{0}/forecast", PrintForecast);
        yield return Group("episodes", "The anomaly episodes of a running worker.", View("list", "Lists the latest episodes.", null, "/api/v1/episodes", PrintEpisodes));
        yield return Group(
            "state", "The durable state of a worker's streams: of a running one, or of a stopped one as a file.",
            View("show", "Shows a stream's recurrent state and what its forecast is mixed from.", "STREAM", "/api/v1/streams/{0}/state", PrintState),
            View("reset", "Forgets what the model knows of a stream, in log order.", "STREAM", "/api/v1/streams/{0}/reset", _ => Console.WriteLine("reset"), HttpMethod.Post),
            StateFileCommands.Export(),
            StateFileCommands.Import());
    }

    private static Command Group(string name, string description, params Command[] verbs)
    {
        var group = new Command(name, description);
        foreach (var verb in verbs)
            group.Add(verb);
        return group;
    }

    /// <param name="argument">Name of the one argument, or null; its value is percent-encoded into the path.</param>
    private static Command View(string name, string description, string? argument, string path, Action<JsonNode> print, HttpMethod? method = null)
    {
        var url = UrlOption();
        var json = new Option<bool>("--json") { Description = "Print the API's JSON." };
        var command = new Command(name, description) { url, json };
        Argument<string>? id = null;
        if (argument is not null)
            command.Add(id = new Argument<string>(argument) { Description = "Stream key." });
        command.SetAction((parsed, stopping) => AskAsync(
            parsed.GetValue(url)!, method ?? HttpMethod.Get,
            id is null ? path : string.Format(System.Globalization.CultureInfo.InvariantCulture, path, Uri.EscapeDataString(parsed.GetValue(id)!)),
            parsed.GetValue(json), print, stopping));
        return command;
    }

    private static void PrintStreams(JsonNode answer)
    {
        Console.WriteLine($"{"stream",-32} {"time",-20} {"y",12} {"yhat",12} {"score",8}");
        foreach (var s in answer["streams"]!.AsArray())
            Console.WriteLine($"{Text(s!["stream"]),-32} {Text(s["time"]),-20} {Number(s["y"]),12} {Number(s["yhat"]),12} {Number(s["anomaly_score"]),8}{((bool)s["anomaly"]! ? "  " + Text(s["type"]) : "")}");
        if (answer["next"] is not null && (int)answer["total"]! > answer["streams"]!.AsArray().Count)
            Console.WriteLine($"… {answer["total"]} in all");
    }

    private static void PrintStream(JsonNode result)
    {
        foreach (var (name, value) in result.AsObject())
        {
            if (name != "forecast")
                Console.WriteLine($"{name,-16} {(value is JsonArray or JsonObject ? value.ToJsonString() : Text(value))}");
        }
    }

    private static void PrintForecast(JsonNode answer)
    {
        var forecast = answer["forecast"]!;
        var start = DateTimeOffset.Parse(Text(forecast["start"]), System.Globalization.CultureInfo.InvariantCulture);
        var step = TimeSpan.FromSeconds((double)forecast["step_s"]!);
        Console.WriteLine($"{"start",-20} {string.Join(' ', forecast["quantiles"]!.AsArray().Select(q => $"{"q" + Text(q),12}"))}");
        var values = forecast["values"]!.AsArray();
        for (var h = 0; h < values.Count; h++)
        {
            // Several channels: one block per channel, [channel][step][quantile].
            var row = values[h]!.AsArray();
            if (row[0] is JsonArray)
            {
                Console.WriteLine($"channel {h}");
                for (var i = 0; i < row.Count; i++)
                    PrintRow(start + (i * step), row[i]!.AsArray());
            }
            else
            {
                PrintRow(start + (h * step), row);
            }
        }
    }

    private static void PrintRow(DateTimeOffset time, JsonArray quantiles) =>
        Console.WriteLine(FormattableString.Invariant($"{time:yyyy-MM-ddTHH:mm:ssZ} ") + string.Join(' ', quantiles.Select(v => $"{Number(v),12}")));

    private static void PrintEpisodes(JsonNode answer)
    {
        Console.WriteLine($"{"start",-20} {"end",-20} {"type",-12} {"severity",-8} {"peak",8}  stream");
        foreach (var e in answer["episodes"]!.AsArray())
            Console.WriteLine($"{Text(e!["start"]),-20} {(Text(e["state"]) == "withdrawn" ? "withdrawn" : e["end"] is null ? "open" : Text(e["end"])),-20} {Text(e["type"]),-12} {Text(e["severity"]),-8} {Number(e["peak_score"]),8}  {Text(e["stream"])}");
    }

    private static void PrintState(JsonNode state)
    {
        foreach (var (name, value) in state.AsObject())
        {
            if (name != "channels")
                Console.WriteLine($"{name,-16} {Text(value)}");
        }

        foreach (var (name, channel) in state["channels"]!.AsObject())
        {
            Console.WriteLine($"channel {name}: {channel!["observed_frames"]} frames, unit {Number(channel["scale"])}");
            if (channel["forecast"] is not { } forecast)
                continue;
            Console.WriteLine($"  weights at step {string.Concat(forecast["steps"]!.AsArray().Select(h => $"{Text(h),8}"))}");
            foreach (var (expert, parts) in forecast["experts"]!.AsObject())
                Console.WriteLine($"  {expert,-15} {string.Concat(parts!["weight"]!.AsArray().Select(w => $"{Number(w),8}"))}");
        }
    }

    private static string Number(JsonNode? value) => value is null ? "-" : Terminal.Number((double)value, "0.###");
}
