using System.Diagnostics.Metrics;
using System.Net;
using System.Net.Sockets;
using StreamLstm.Core.Signals;
using StreamLstm.Runtime;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Worker.Api;
using StreamLstm.Worker.Configuration;
using StreamLstm.Worker.Metrics;

namespace StreamLstm.Worker.Hosting;

/// <summary>What a host is made of; the engine comes later, as sources and sinks may need it.</summary>
internal sealed record WorkerHostSettings
{
    public required string Mode { get; init; }

    public required EngineSettings Engine { get; init; }

    public required HttpSettings Http { get; init; }

    public required MetricsSettings Metrics { get; init; }

    /// <summary>The engine's clock; null = the system's.</summary>
    public SimulatedClock? Clock { get; init; }

    public LogLevel LogLevel { get; init; } = LogLevel.Information;

    /// <summary>Set if <c>/api/v1/ingest</c> is a source.</summary>
    public HttpIngestOptions? Ingest { get; init; }
}

/// <summary>The composition: engine, live view, HTTP face, metrics, in one web application.</summary>
internal sealed class WorkerHost : IAsyncDisposable
{
    private readonly WorkerHostSettings _settings;
    private readonly WebApplication _app;
    private readonly PrometheusExposition _exposition;
    private readonly HttpIngestSource? _ingest;

    public WorkerHost(WorkerHostSettings settings, Func<ILoggerFactory, IReadOnlyList<IResultSink>> sinks)
    {
        _settings = settings;
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.Logging.AddSimpleConsole(o =>
        {
            o.SingleLine = true;
            o.TimestampFormat = "HH:mm:ss ";
        });
        builder.Services.Configure<Microsoft.Extensions.Logging.Console.ConsoleLoggerOptions>(o => o.LogToStandardErrorThreshold = LogLevel.Trace);
        builder.Logging.SetMinimumLevel(settings.LogLevel);
        builder.Logging.AddFilter("Microsoft", LogLevel.Warning);
        // A port in use is reported in one line by the caller, not as a stack trace.
        builder.Logging.AddFilter("Microsoft.Extensions.Hosting", LogLevel.None);
        builder.Logging.AddFilter("Microsoft.Hosting", LogLevel.None);
        builder.Services.AddMetrics();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            Listen(kestrel, settings.Http.Url);
            if (settings.Http.MetricsUrl is { } metrics)
                Listen(kestrel, metrics);
        });
        _app = builder.Build();
        var loggers = _app.Services.GetRequiredService<ILoggerFactory>();
        Live = new RecentResults(new RecentResultsOptions { Provisional = false }, TimeProvider.System);
        _exposition = new PrometheusExposition(
            new PrometheusOptions { MaxPerStreamSeries = settings.Metrics.PerStream ? settings.Metrics.MaxSeries : 0, PerStreamPrefix = settings.Metrics.OutputPrefix }, Live);
        Engine = new Engine(settings.Engine, [.. sinks(loggers), Live], settings.Clock ?? TimeProvider.System, loggers, _app.Services.GetRequiredService<IMeterFactory>());
        Status = new EngineStatus(Engine, settings.Mode, settings.Clock, settings.Engine.Profiles.Any(p => p.Signal != SignalKind.None) ? SignalCaveat.Text : null);
        _ingest = settings.Ingest is { } ingest ? new HttpIngestSource(ingest) : null;
        _app.MapStreamLstm(new WorkerHttpParts
        {
            Live = Live,
            Status = Status,
            Metrics = _exposition,
            Ingest = _ingest,
            Token = settings.Http.Token,
            ManagementPort = settings.Http.MetricsUrl?.Port,
        });
    }

    public Engine Engine { get; }

    public EngineStatus Status { get; }

    public RecentResults Live { get; }

    public IMeterFactory Meters => _app.Services.GetRequiredService<IMeterFactory>();

    public ILoggerFactory Loggers => _app.Services.GetRequiredService<ILoggerFactory>();

    /// <summary>The HTTP source if one is configured; it belongs among the engine's sources.</summary>
    public ISampleSource? Ingest => _ingest;

    /// <summary>The first address being served.</summary>
    public string Url => _app.Urls.First();

    /// <summary>Shows results that were committed elsewhere than in the engine's state log.</summary>
    public async ValueTask ShowAsync(IReadOnlyList<OutputRecord> committed)
    {
        if (committed.Count > 0)
            await Live.PublishAsync(0, committed, CancellationToken.None);
    }

    /// <summary>Serves HTTP, then restores the state. A port in use is an error with one clear line.</summary>
    public async Task StartAsync()
    {
        try
        {
            await _app.StartAsync();
        }
        catch (IOException e) when (e.InnerException is Microsoft.AspNetCore.Connections.AddressInUseException || e.GetBaseException() is SocketException)
        {
            throw new StartException($"{_settings.Http.Url}{(_settings.Http.MetricsUrl is { } m ? $" or {m}" : "")} can't be served: {e.GetBaseException().Message}");
        }
        catch (SocketException e)
        {
            throw new StartException($"{_settings.Http.Url}{(_settings.Http.MetricsUrl is { } m ? $" or {m}" : "")} can't be served: {e.Message}");
        }

        try
        {
            await Engine.StartAsync();
        }
        catch (Exception e) when (e is InvalidOperationException or IOException or UnauthorizedAccessException)
        {
            throw new StartException(e.Message);
        }
    }

    public async ValueTask DisposeAsync()
    {
        // Open event streams don't hold up the end: what is still connected after two seconds is cut off.
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(2));
        await _app.StopAsync(limit.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await Engine.DisposeAsync();
        _exposition.Dispose();
        _ingest?.Dispose();
        await _app.DisposeAsync();
    }

    private static void Listen(Microsoft.AspNetCore.Server.Kestrel.Core.KestrelServerOptions kestrel, Uri url)
    {
        if (IPAddress.TryParse(url.Host.Trim('[', ']'), out var address))
            kestrel.Listen(address, url.Port);
        else if (url.Host == "localhost" && url.Port != 0)
            kestrel.ListenLocalhost(url.Port);
        else if (url.Host == "localhost")
            kestrel.Listen(IPAddress.Loopback, 0);
        else
            kestrel.ListenAnyIP(url.Port);
    }
}

/// <summary>The worker can't start for a reason that its user can mend; the message is the whole story.</summary>
internal sealed class StartException(string message) : Exception(message);
