using System.Text.Json.Nodes;
using Microsoft.Playwright;
using StreamLstm.Integration.Tests.Crash;

namespace StreamLstm.Integration.Tests.Docs;

/// <summary>What the README's first command shows: the real demo in a real browser. Takes the README's picture on request.</summary>
[Trait("Category", "Browser")]
public class DemoPageTests
{
    private const string Chromium = "/usr/bin/chromium";

    /// <summary>Simulated hours between the start of the anomaly and the picture, so that it stands inside the chart.</summary>
    private static readonly TimeSpan s_after = TimeSpan.FromHours(6);

    [Fact]
    public async Task The_demo_shows_forecasts_and_an_injected_anomaly_within_a_minute()
    {
        Assert.SkipUnless(File.Exists(Chromium), "Chromium is not installed.");
        var cancel = TestContext.Current.CancellationToken;
        var port = WorkerProcess.FreePort();
        using var worker = WorkerProcess.Start("demo", "--port", $"{port}", "--duration", "80");
        await worker.UntilLogAsync("Live page:", TimeSpan.FromSeconds(30));
        using var client = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
        var (stream, start) = await AnomalyAsync(worker, client, cancel);

        using var playwright = await Playwright.CreateAsync();
        await using var browser = await playwright.Chromium.LaunchAsync(new() { ExecutablePath = Chromium, Headless = true, Args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
        var page = await browser.NewPageAsync(new() { ViewportSize = new() { Width = 1480, Height = 900 }, ColorScheme = ColorScheme.Dark });
        await page.GotoAsync($"http://127.0.0.1:{port}/#{Uri.EscapeDataString(stream)}");
        var ready = start.Add(s_after).ToUnixTimeSeconds();
        await page.WaitForFunctionAsync($"() => Number(document.querySelector('#chart').dataset.fanStart) >= {ready}", null, new() { Timeout = 30_000 });
        Assert.True(await page.Locator("#chart .anomaly").CountAsync() > 0);
        Assert.Equal(stream, await page.TextContentAsync("#stream-name"));
        if (Environment.GetEnvironmentVariable("STREAMLSTM_SCREENSHOTS") is { Length: > 0 } folder)
            await page.ScreenshotAsync(new() { Path = Path.Combine(folder, "demo.png") });
        Assert.Equal(0, await worker.TerminateAsync(TimeSpan.FromSeconds(30)));
    }

    /// <summary>The first severe point anomaly on a feeder (smooth enough to read); any stream's after half a minute without one.</summary>
    private static async Task<(string Stream, DateTimeOffset Start)> AnomalyAsync(WorkerProcess worker, HttpClient client, CancellationToken cancel)
    {
        for (var tries = 0; tries < 250; tries++)
        {
            Assert.False(worker.HasExited, worker.Log);
            var answer = JsonNode.Parse(await client.GetStringAsync(new Uri("/api/v1/episodes", UriKind.Relative), cancel))!;
            var points = answer["episodes"]!.AsArray().Where(e => (string?)e!["type"] is "spike" or "dip" or "level_shift").ToList();
            var chosen = points.Find(e => ((string)e!["stream"]!).StartsWith("feeder", StringComparison.Ordinal) && (string?)e["severity"] == "high") ?? (tries > 150 ? points.FirstOrDefault() : null);
            if (chosen is not null)
                return ((string)chosen["stream"]!, (DateTimeOffset)chosen["start"]!);
            await Task.Delay(200, cancel);
        }

        throw new TimeoutException("No anomaly showed in the demo.\n" + worker.Log);
    }
}
