using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Worker.Metrics;

/// <summary>
/// Build, process and .NET runtime, under the names that Prometheus' own client libraries use. The runtime's built-in meters aren't
/// exposed: several of their names fail the lint.
/// </summary>
internal sealed class WorkerMetrics : IDisposable
{
    private readonly Meter _meter;
    private readonly Process _process = Process.GetCurrentProcess();

    /// <param name="owner">The exposition that alone shows these metrics.</param>
    public WorkerMetrics(PrometheusExposition owner, Func<long> droppedSeries)
    {
        _meter = new Meter(new MeterOptions("StreamLstm.Worker") { Scope = owner });
        var assembly = typeof(WorkerMetrics).Assembly;
        var version = assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";
        var started = UnixMicros.From(_process.StartTime) / 1e6;
        _meter.CreateObservableGauge("streamlstm_build_info", () => new Measurement<int>(1,
            new("version", version), new("runtime", Environment.Version.ToString()), new("os", RuntimeInformation.RuntimeIdentifier)),
            description: "Version of the worker and of what it runs on; always 1.");
        _meter.CreateObservableCounter("streamlstm_series_dropped", droppedSeries, description: "Measurements left out because an instrument has too many label values.");
        _meter.CreateObservableCounter("process_cpu_seconds", () => Environment.CpuUsage.TotalTime.TotalSeconds, "s", "User and system CPU time spent.");
        _meter.CreateObservableGauge("process_resident_memory_bytes", () => Environment.WorkingSet, "By", "Resident memory.");
        _meter.CreateObservableGauge("process_start_time_seconds", () => started, "s", "Start of the process since the Unix epoch.");
        _meter.CreateObservableGauge("process_threads", () => { _process.Refresh(); return _process.Threads.Count; }, description: "Operating system threads.");
        _meter.CreateObservableGauge("dotnet_gc_heap_size_bytes", () => GC.GetTotalMemory(false), "By", "Managed memory in use.");
        _meter.CreateObservableCounter("dotnet_gc_allocated_bytes", () => GC.GetTotalAllocatedBytes(), "By", "Managed memory allocated.");
        _meter.CreateObservableCounter("dotnet_gc_pause_seconds", () => GC.GetTotalPauseDuration().TotalSeconds, "s", "Time in which the garbage collector stopped all threads.");
        _meter.CreateObservableCounter("dotnet_gc_collections", () => Enumerable.Range(0, GC.MaxGeneration + 1)
            .Select(g => new Measurement<long>(GC.CollectionCount(g), new KeyValuePair<string, object?>("generation", g.ToString(CultureInfo.InvariantCulture)))),
            description: "Garbage collections by generation.");
        _meter.CreateObservableGauge("dotnet_threadpool_threads", () => ThreadPool.ThreadCount, description: "Threads of the pool.");
        _meter.CreateObservableGauge("dotnet_threadpool_queue_length", () => ThreadPool.PendingWorkItemCount, description: "Work items waiting for a thread of the pool.");
        _meter.CreateObservableCounter("dotnet_lock_contentions", () => Monitor.LockContentionCount, description: "Times a thread had to wait for a lock.");
    }

    public void Dispose()
    {
        _meter.Dispose();
        _process.Dispose();
    }
}
