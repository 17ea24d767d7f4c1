namespace StreamLstm.Worker.Page;

/// <summary>The live page: static files without a framework, and the chart library when the build could fetch it.</summary>
internal static class LivePage
{
    private const string Root = "wwwroot/";

    public static void Map(WebApplication app)
    {
        foreach (var name in EmbeddedFiles.Names.Where(name => name.StartsWith(Root, StringComparison.Ordinal)))
        {
            var path = "/" + name[Root.Length..];
            app.MapMethods(path == "/index.html" ? "/" : path, [HttpMethods.Get, HttpMethods.Head], context => EmbeddedFiles.ServeAsync(context, name));
        }
    }
}
