using System.Text.Json.Nodes;

namespace StreamLstm.Integration.Tests.Deploy;

internal static class DashboardFile
{
    public static JsonNode Read() => JsonNode.Parse(File.ReadAllText(DeployFolder.Dashboard))!;

    public static IEnumerable<JsonNode> Panels() => Read()["panels"]!.AsArray().Select(p => p!);

    public static IEnumerable<(string Panel, string Expression)> Expressions() =>
        from panel in Panels()
        from target in panel["targets"]?.AsArray() ?? []
        select ((string)panel["title"]!, (string)target!["expr"]!);

    public static IEnumerable<(string Name, string Type, string Query)> Variables() =>
        from variable in Read()["templating"]!["list"]!.AsArray()
        let query = variable!["query"]!
        select ((string)variable["name"]!, (string)variable["type"]!, query is JsonObject ? (string)query["query"]! : (string)query!);
}
