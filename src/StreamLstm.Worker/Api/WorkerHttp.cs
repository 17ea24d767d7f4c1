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

    /// <summary>On this port only <c>/healthz</c>, <c>/readyz</c> and <c>/metrics</c> are served, so that it may be bound publicly.</summary>
    public int? ManagementPort { get; init; }
}

/// <summary>Maps the whole HTTP face: page, API, health, metrics.</summary>
public static partial class WorkerHttp
{
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
