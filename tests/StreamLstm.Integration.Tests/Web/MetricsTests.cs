using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Net.Http.Headers;
using StreamLstm.Worker.Metrics;

namespace StreamLstm.Integration.Tests.Web;

public class MetricsTests
{
    [Fact]
    public async Task Every_kind_of_instrument_is_written_and_passes_promtool()
    {
        await using var host = await WebHost.StartAsync();
        using var meter = new Meter("StreamLstm.Test." + nameof(Every_kind_of_instrument_is_written_and_passes_promtool));
        var samples = meter.CreateCounter<long>("streamlstm_test_samples", description: "Samples by outcome.");
        samples.Add(3, new KeyValuePair<string, object?>("outcome", "accepted"));
        samples.Add(2, new KeyValuePair<string, object?>("outcome", "accepted"));
        samples.Add(1, new KeyValuePair<string, object?>("outcome", "odd \"\\\n"));
        var open = meter.CreateUpDownCounter<int>("streamlstm_test.open", description: "A dot becomes an underscore.");
        open.Add(5);
        open.Add(-2);
        meter.CreateGauge<double>("streamlstm_test_skill_ratio", description: "Set, not added.").Record(0.25);
        var bytes = 10L;
        meter.CreateObservableGauge("streamlstm_test_state_bytes", () => bytes, "By", "Read at every scrape.");
        var duration = meter.CreateHistogram("streamlstm_test_step_duration_seconds", "s", "Duration of a step.", advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.001, 0.01, 1] });
        duration.Record(0.001);
        duration.Record(0.5);
        duration.Record(7);
        await host.Engine.StepAsync(["nl/M-42"]);
        bytes = 20;

        var text = await host.Client.GetStringAsync("/metrics", TestContext.Current.CancellationToken);
        foreach (var line in new[]
        {
            "# TYPE streamlstm_test_samples_total counter",
            "streamlstm_test_samples_total{outcome=\"accepted\"} 5",
            "streamlstm_test_samples_total{outcome=\"odd \\\"\\\\\\n\"} 1",
            "streamlstm_test_open 3",
            "# HELP streamlstm_test_skill_ratio Set, not added.",
            "streamlstm_test_skill_ratio 0.25",
            "streamlstm_test_state_bytes 20",
            "# TYPE streamlstm_test_step_duration_seconds histogram",
            "streamlstm_test_step_duration_seconds_bucket{le=\"0.001\"} 1",
            "streamlstm_test_step_duration_seconds_bucket{le=\"0.01\"} 1",
            "streamlstm_test_step_duration_seconds_bucket{le=\"1\"} 2",
            "streamlstm_test_step_duration_seconds_bucket{le=\"+Inf\"} 3",
            "streamlstm_test_step_duration_seconds_sum 7.501",
            "streamlstm_test_step_duration_seconds_count 3",
            "# TYPE anomaly_score gauge",
        })
            Assert.Contains(line, text.Split('\n'));
        Assert.Contains("streamlstm_build_info{version=\"0.1.0", text, StringComparison.Ordinal);
        Assert.Contains("\ny{stream=\"nl/M-42\",profile=\"load\"} ", text, StringComparison.Ordinal);
        Assert.DoesNotContain("NaN", text, StringComparison.Ordinal);
        await PromtoolAsync(text);
    }

    [Fact]
    public async Task OpenMetrics_is_written_when_preferred()
    {
        await using var host = await WebHost.StartAsync();
        using var meter = new Meter("StreamLstm.Test." + nameof(OpenMetrics_is_written_when_preferred));
        meter.CreateCounter<long>("streamlstm_om_samples").Add(1);
        meter.CreateHistogram("streamlstm_om_seconds", "s", "Durations.", advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [1, 2.5] }).Record(2);
        using var request = new HttpRequestMessage(HttpMethod.Get, "/metrics");
        foreach (var accept in "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1".Split(','))
            request.Headers.Accept.Add(MediaTypeWithQualityHeaderValue.Parse(accept));
        using var response = await host.Client.SendAsync(request, TestContext.Current.CancellationToken);
        Assert.Equal("application/openmetrics-text", response.Content.Headers.ContentType?.MediaType);
        var lines = (await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)).Split('\n');
        Assert.Equal(["# EOF", ""], lines[^2..]);
        Assert.Contains("# TYPE streamlstm_om_samples counter", lines);
        Assert.Contains("streamlstm_om_samples_total 1", lines);
        Assert.Contains("# UNIT streamlstm_om_seconds seconds", lines);
        Assert.Contains("streamlstm_om_seconds_bucket{le=\"1.0\"} 0", lines);
    }

    [Fact]
    public async Task A_series_that_is_no_longer_observed_disappears()
    {
        await using var host = await WebHost.StartAsync();
        using var meter = new Meter("StreamLstm.Test." + nameof(A_series_that_is_no_longer_observed_disappears));
        var partitions = new List<int> { 1, 2 };
        meter.CreateObservableGauge("streamlstm_lag_messages", () => partitions.Select(p => new Measurement<int>(p * 10, new KeyValuePair<string, object?>("partition", p))));
        Assert.Contains("streamlstm_lag_messages{partition=\"2\"} 20", await host.Client.GetStringAsync("/metrics", TestContext.Current.CancellationToken), StringComparison.Ordinal);
        partitions.Remove(2);
        var text = await host.Client.GetStringAsync("/metrics", TestContext.Current.CancellationToken);
        Assert.Contains("streamlstm_lag_messages{partition=\"1\"} 10", text, StringComparison.Ordinal);
        Assert.DoesNotContain("streamlstm_lag_messages{partition=\"2\"}", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Per_stream_gauges_have_a_prefix_and_are_left_out_above_their_limit()
    {
        await using var host = await WebHost.StartAsync(metrics: new PrometheusOptions { PerStreamPrefix = "streamlstm_", MaxPerStreamSeries = 10 });
        await host.Engine.StepAsync(["a", "b"]);
        Assert.Contains("streamlstm_yhat{stream=\"b\",profile=\"load\"}", await host.Client.GetStringAsync("/metrics", TestContext.Current.CancellationToken), StringComparison.Ordinal);
        await host.Engine.StepAsync(["a", "b", "c"]);
        Assert.DoesNotContain("streamlstm_yhat", await host.Client.GetStringAsync("/metrics", TestContext.Current.CancellationToken), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Label_values_are_bounded_and_what_is_left_out_is_counted()
    {
        await using var host = await WebHost.StartAsync(metrics: new PrometheusOptions { MaxSeriesPerInstrument = 3 });
        using var meter = new Meter("StreamLstm.Test." + nameof(Label_values_are_bounded_and_what_is_left_out_is_counted));
        var counter = meter.CreateCounter<int>("streamlstm_many");
        for (var i = 0; i < 10; i++)
            counter.Add(1, new KeyValuePair<string, object?>("n", i));
        var text = await host.Client.GetStringAsync("/metrics", TestContext.Current.CancellationToken);
        Assert.Equal(3, text.Split('\n').Count(line => line.StartsWith("streamlstm_many_total{", StringComparison.Ordinal)));
        Assert.Contains("streamlstm_series_dropped_total 7", text, StringComparison.Ordinal);
    }

    private static async Task PromtoolAsync(string text)
    {
        const string Tool = "/usr/bin/promtool";
        if (!File.Exists(Tool))
        {
            TestContext.Current.SendDiagnosticMessage("promtool is not installed: the format was not checked by it.");
            return;
        }

        using var promtool = Process.Start(new ProcessStartInfo(Tool, ["check", "metrics"]) { RedirectStandardInput = true, RedirectStandardError = true, RedirectStandardOutput = true })!;
        await promtool.StandardInput.WriteAsync(text);
        promtool.StandardInput.Close();
        var complaints = await promtool.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken) + await promtool.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await promtool.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(promtool.ExitCode == 0 && complaints.Length == 0, complaints);
    }
}
