using System.Net;
using System.Security.Cryptography;
using System.Text;
using StreamLstm.Worker.Metrics;
using StreamLstm.Worker.Page;

namespace StreamLstm.Worker.Api;

/// <summary>What the HTTP face shows and asks.</summary>
public sealed record WorkerHttpParts
{
    public required RecentResults Live { get; init; }

    public required IWorkerStatus Status { get; init; }

    public required PrometheusExposition Metrics { get; init; }

    /// <summary>Null when the configuration has no HTTP source: the route is then absent.</summary>
    public HttpIngestSource? Ingest { get; init; }

    /// <summary>
    /// When set, page and API ask for it: as <c>Authorization: Bearer</c>, or in a browser once as <c>/?token=…</c>, which becomes a
    /// cookie. Needed to bind them beyond the loopback interface.
    /// </summary>
    public string? Token { get; init; }

    /// <summary>On this port only <c>/healthz</c>, <c>/readyz</c> and <c>/metrics</c> are served, so that it may be bound publicly.</summary>
    public int? ManagementPort { get; init; }
}

/// <summary>Maps the whole HTTP face: page, API, health, metrics.</summary>
public static partial class WorkerHttp
{
    private const string TokenCookie = "streamlstm_token";
    private static readonly string[] ManagementPaths = ["/healthz", "/readyz", "/metrics"];

    public static void MapStreamLstm(this WebApplication app, WorkerHttpParts parts)
    {
        ArgumentNullException.ThrowIfNull(app);
        ArgumentNullException.ThrowIfNull(parts);
        var logger = app.Services.GetRequiredService<ILoggerFactory>().CreateLogger("StreamLstm.Http");
        app.Use(async (context, next) =>
        {
            context.Response.Headers.XContentTypeOptions = "nosniff";
            context.Response.Headers.ContentSecurityPolicy = "default-src 'self'; frame-ancestors 'none'";
            if (parts.ManagementPort == context.Connection.LocalPort && !ManagementPaths.Contains(context.Request.Path.Value))
            {
                await Problem.WriteAsync(context, StatusCodes.Status404NotFound, "This port serves /healthz, /readyz and /metrics only.");
                return;
            }

            if (!ManagementPaths.Contains(context.Request.Path.Value) && !await IsAllowedAsync(context, parts.Token))
                return;

            if (!HttpMethods.IsGet(context.Request.Method) && IsForeign(context.Request))
            {
                await Problem.WriteAsync(context, StatusCodes.Status403Forbidden, "The request comes from a page of another origin.");
                return;
            }

            try
            {
                await next(context);
            }
            catch (Exception e) when (!context.Response.HasStarted && !context.RequestAborted.IsCancellationRequested)
            {
                Log.Failed(logger, context.Request.Method, context.Request.Path, e);
                context.Response.Clear();
                await Problem.WriteAsync(context, e is BadHttpRequestException bad ? bad.StatusCode : StatusCodes.Status500InternalServerError,
                    e is BadHttpRequestException ? e.Message : "The worker failed to answer; its log says why.");
            }
        });
        app.UseStatusCodePages(pages => Problem.WriteAsync(pages.HttpContext, pages.HttpContext.Response.StatusCode, null));
        new WorkerApi(parts.Live, parts.Status, parts.Ingest, app.Lifetime.ApplicationStopping).Map(app);
        app.MapGet("/metrics", parts.Metrics.HandleAsync);
        LivePage.Map(app);
    }

    /// <summary>Answers the request itself when it isn't allowed.</summary>
    private static async Task<bool> IsAllowedAsync(HttpContext context, string? token)
    {
        var request = context.Request;
        if (token is null)
        {
            // A foreign name that resolves to 127.0.0.1 would let any web page read the API through the reader's browser.
            var ownName = context.Connection.LocalIpAddress is not { } local || !IPAddress.IsLoopback(local)
                || request.Host.Host is "localhost" or "" || IPAddress.TryParse(request.Host.Host.Trim('[', ']'), out _);
            if (!ownName)
                await Problem.WriteAsync(context, StatusCodes.Status403Forbidden, "Ask for localhost or 127.0.0.1, or configure a token.");
            return ownName;
        }

        if (request.Path == "/" && IsToken(request.Query["token"], token))
        {
            context.Response.Cookies.Append(TokenCookie, token, new CookieOptions { HttpOnly = true, SameSite = SameSiteMode.Strict, Secure = request.IsHttps });
            context.Response.Redirect("/");
            return false;
        }

        var authorization = request.Headers.Authorization.ToString();
        if (IsToken(request.Cookies[TokenCookie], token) || (authorization.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) && IsToken(authorization[7..], token)))
            return true;
        context.Response.Headers.WWWAuthenticate = "Bearer";
        await Problem.WriteAsync(context, StatusCodes.Status401Unauthorized, "Send the worker's token as Authorization: Bearer, or open /?token=… in a browser.");
        return false;
    }

    private static bool IsToken(string? given, string token) =>
        given is not null && CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(given), Encoding.UTF8.GetBytes(token));

    /// <summary>
    /// A page of any site can make a browser post text to 127.0.0.1; browsers say where such a request comes from.
    /// </summary>
    private static bool IsForeign(HttpRequest request)
    {
        var origin = request.Headers.Origin.ToString();
        return origin.Length > 0 && !(Uri.TryCreate(origin, UriKind.Absolute, out var from) && from.Authority == request.Host.Value);
    }

    private static partial class Log
    {
        [LoggerMessage(EventId = 1301, Level = LogLevel.Error, Message = "{Method} {Path} failed")]
        public static partial void Failed(ILogger logger, string method, string path, Exception exception);
    }
}
