namespace StreamLstm.Worker.Page;

/// <summary>The live page: static files without a framework, and the chart library when the build could fetch it.</summary>
internal static class LivePage
{
    private const string Root = "wwwroot/";

    /// <summary>Whether uPlot is built in; without it the page draws its own SVG charts.</summary>
    public static bool HasChartLibrary => EmbeddedFiles.Names.Contains(Root + "lib/uplot/uPlot.iife.min.js");

    public static void Map(WebApplication app)
    {
        foreach (var name in EmbeddedFiles.Names.Where(name => name.StartsWith(Root, StringComparison.Ordinal)))
        {
            var path = "/" + name[Root.Length..];
            app.MapMethods(path == "/index.html" ? "/" : path, [HttpMethods.Get, HttpMethods.Head], context => EmbeddedFiles.ServeAsync(context, name));
        }
    }
}
