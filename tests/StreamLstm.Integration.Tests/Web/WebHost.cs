using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Worker.Api;
using StreamLstm.Worker.Metrics;

namespace StreamLstm.Integration.Tests.Web;

/// <summary>The worker's HTTP face on a free port, with a fake engine behind it.</summary>
internal sealed class WebHost : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly CancellationTokenSource _stop = new();
    private Task _source = Task.CompletedTask;
    private PrometheusExposition? _exposition;

    private WebHost(WebApplication app, RecentResults live, HttpIngestSource ingest)
    {
        _app = app;
        Live = live;
        Ingest = ingest;
        Engine = new FakeEngine(live);
        Ingress = new RecordingIngress();
    }

    public RecentResults Live { get; }

    public HttpIngestSource Ingest { get; }

    public FakeEngine Engine { get; }

    public RecordingIngress Ingress { get; }

    public WebApplication App => _app;

    public HttpClient Client { get; private set; } = null!;

    public Uri Address => Client.BaseAddress!;

    public static async Task<WebHost> StartAsync(RecentResultsOptions? options = null, HttpIngestOptions? ingestOptions = null, PrometheusOptions? metrics = null, bool runSource = true, int? managementPort = null, string? token = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.SetMinimumLevel(LogLevel.Warning);
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(IPAddress.Loopback, 0);
            if (managementPort is { } port)
                kestrel.Listen(IPAddress.Loopback, port);
        });
        var app = builder.Build();
        var host = new WebHost(app, new RecentResults(options ?? new RecentResultsOptions(), TimeProvider.System), new HttpIngestSource(ingestOptions ?? new HttpIngestOptions()));
        host._exposition = new PrometheusExposition(metrics ?? new PrometheusOptions(), host.Live);
        app.MapStreamLstm(new WorkerHttpParts { Live = host.Live, Status = host.Engine, Metrics = host._exposition, Ingest = host.Ingest, ManagementPort = managementPort, Token = token });
        await app.StartAsync();
        var address = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
        host.Client = new HttpClient { BaseAddress = new Uri(address), Timeout = TimeSpan.FromSeconds(20) };
        if (runSource)
            host.RunSource();
        return host;
    }

    public void RunSource() => _source = Ingest.RunAsync(Ingress, _stop.Token);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _source;
        Client.Dispose();
        await _app.DisposeAsync();
        await Live.DisposeAsync();
        Ingest.Dispose();
        _exposition?.Dispose();
        _stop.Dispose();
    }
}

/// <summary>Keeps what was appended; an append completes when the test says so.</summary>
internal sealed class RecordingIngress : IIngress
{
    public List<(string Stream, long Time, double[] Values)> Samples { get; } = [];

    public List<DeadLetter> DeadLetters { get; } = [];

    /// <summary>When set, an append waits for it, as for an fsync.</summary>
    public TaskCompletionSource? Durable { get; set; }

    public TimeProvider Clock => TimeProvider.System;

    public async ValueTask AppendAsync(SampleBatch batch, CancellationToken cancellationToken)
    {
        if (Durable is { } durable)
            await durable.Task.WaitAsync(cancellationToken);
        lock (Samples)
        {
            for (var i = 0; i < batch.Count; i++)
                Samples.Add((System.Text.Encoding.UTF8.GetString(batch.Key(i)), batch.EventTime(i), batch.Values(i).ToArray()));
            DeadLetters.AddRange(batch.DeadLetters);
        }
    }

    public string? Position(string source) => null;
}
