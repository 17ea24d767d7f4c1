using System.Collections.Frozen;
using System.Reflection;
using System.Security.Cryptography;

namespace StreamLstm.Worker.Page;

/// <summary>The files built into the worker: the page under <c>wwwroot/</c>, and the API's description.</summary>
internal static class EmbeddedFiles
{
    private static readonly Assembly Owner = typeof(EmbeddedFiles).Assembly;

    // On Windows the build writes the folders of a resource's name with backslashes.
    private static readonly FrozenDictionary<string, string> Resources =
        Owner.GetManifestResourceNames().ToFrozenDictionary(name => name.Replace('\\', '/'), StringComparer.Ordinal);

    private static readonly string Version = $"\"{Convert.ToHexStringLower(SHA256.HashData(Owner.ManifestModule.ModuleVersionId.ToByteArray()))[..16]}\"";

    public static IEnumerable<string> Names => Resources.Keys;

    public static async Task ServeAsync(HttpContext context, string name)
    {
        var response = context.Response;
        response.Headers.ETag = Version;
        response.Headers.CacheControl = "no-cache"; // revalidate: after an upgrade the page and its scripts must match
        if (context.Request.Headers.IfNoneMatch == Version)
        {
            response.StatusCode = StatusCodes.Status304NotModified;
            return;
        }

        await using var file = Owner.GetManifestResourceStream(Resources[name])!;
        response.ContentType = Path.GetExtension(name) switch
        {
            ".html" => "text/html; charset=utf-8",
            ".css" => "text/css; charset=utf-8",
            ".js" => "text/javascript; charset=utf-8",
            ".svg" => "image/svg+xml",
            ".json" => "application/json",
            _ => "text/plain; charset=utf-8",
        };
        response.ContentLength = file.Length;
        if (!HttpMethods.IsHead(context.Request.Method))
            await file.CopyToAsync(response.Body, context.RequestAborted);
    }
}
