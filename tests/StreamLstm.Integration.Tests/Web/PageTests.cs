using Microsoft.Playwright;

namespace StreamLstm.Integration.Tests.Web;

/// <summary>The live page in a real browser, drawn by uPlot and by the built-in charts.</summary>
[Trait("Category", "Browser")]
public class PageTests
{
    private const string Chromium = "/usr/bin/chromium";

    /// <summary>A folder here makes the tests leave pictures of the page in it.</summary>
    private static readonly string? Screenshots = Environment.GetEnvironmentVariable("STREAMLSTM_SCREENSHOTS");

    private static readonly string[] Streams =
        ["nl/M-42", .. Enumerable.Range(1, 8).Select(i => $"nl/M-{i:00}"), .. Enumerable.Range(1, 6).Select(i => $"plant-7/feeder-{i}"), .. Enumerable.Range(1, 9).Select(i => $"school/floor-{i}")];

    [Theory]
    [InlineData("uPlot", "dark")]
    [InlineData("built-in SVG", "light")]
    public async Task The_fan_moves_and_an_anomaly_shows(string charts, string scheme)
    {
        Assert.SkipUnless(File.Exists(Chromium), "Chromium is not installed.");
        await using var host = await WebHost.StartAsync();
        if (charts == "uPlot")
        {
            using var library = await host.Client.GetAsync("/lib/uplot/uPlot.iife.min.js", TestContext.Current.CancellationToken);
            Assert.SkipUnless(library.IsSuccessStatusCode, "The worker was built without npm, so it serves no uPlot.");
        }

        for (var i = 0; i < 180; i++)
            await host.Engine.StepAsync(Streams, i is 120 or 121 ? [0] : i == 179 ? [4, 11] : null);
        await PublishEpisodesAsync(host);

        using var playwright = await Playwright.CreateAsync();
        await using var browser = await LaunchAsync(playwright);
        var page = await OpenAsync(browser, scheme, 1480, 900);
        if (charts != "uPlot")
            await page.RouteAsync("**/lib/uplot/**", route => route.FulfillAsync(new() { Status = 404 }));
        var complaints = new List<string>();
        page.PageError += (_, e) => complaints.Add(e);
        page.Console += (_, m) =>
        {
            if (m.Type == "error" && !m.Text.Contains("404", StringComparison.Ordinal))
                complaints.Add(m.Text);
        };

        await page.GotoAsync(host.Address + "#" + Uri.EscapeDataString("nl/M-42"));
        await Expect(page, "() => document.querySelector('#chart').dataset.fanStart");
        Assert.Equal(charts, await page.EvaluateAsync<string>("document.documentElement.dataset.charts"));
        Assert.Equal(2, await page.Locator("#chart .anomaly").CountAsync());
        Assert.Equal(2, await page.Locator("#score .anomaly").CountAsync());
        Assert.Equal("nl/M-42", await page.TextContentAsync("#stream-name"));
        await Expect(page, "() => document.querySelector('#link').dataset.state === 'connected' && document.querySelector('#f-skill').textContent === '34.2 %'");

        // The fan begins one step after the newest observation, moves with it, and the picture changes.
        var start = await FanAsync(page, "fanStart");
        Assert.Equal(FakeEngine.Time(180) / 1_000_000, start);
        Assert.Equal(start + (95 * FakeEngine.StepSeconds), await FanAsync(page, "fanEnd"));
        var before = await page.Locator("#chart").ScreenshotAsync();
        for (var i = 0; i < 12; i++)
            await host.Engine.StepAsync(Streams);
        await Expect(page, $"() => Number(document.querySelector('#chart').dataset.fanStart) === {start + (12 * FakeEngine.StepSeconds)}");
        Assert.NotEqual(before, await page.Locator("#chart").ScreenshotAsync());

        // A fresh anomaly: one more mark, at its time, at the height of the value, and a word about it.
        await host.Engine.StepAsync(Streams, [0]);
        await Expect(page, $"() => document.querySelector('#chart .anomaly[data-time=\"{FakeEngine.Time(192) / 1_000_000}\"]')");
        Assert.Equal(3, await page.Locator("#chart .anomaly").CountAsync());
        await Expect(page, "() => document.querySelector('#state').textContent === 'anomaly: spike'");
        await Expect(page, "() => document.querySelector('#streams li[data-stream=\"nl/M-42\"]').classList.contains('anomalous')");
        await ShootAsync(page, $"page-{scheme}.png");

        // An episode leads to its stream and time.
        await page.Locator("#episodes button", new() { HasText = "plant-7/feeder-3" }).ClickAsync();
        await Expect(page, "() => document.querySelector('#stream-name').textContent === 'plant-7/feeder-3' && document.querySelector('#chart .span')");
        await Expect(page, "() => document.querySelector('#reading-time').textContent === '11 Mar 20:45'");
        await ShootAsync(page, $"episode-{scheme}.png");

        Assert.Empty(complaints);
    }

    [Fact]
    public async Task The_page_starts_before_there_is_data_and_works_by_keyboard_and_search()
    {
        Assert.SkipUnless(File.Exists(Chromium), "Chromium is not installed.");
        await using var host = await WebHost.StartAsync();
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await LaunchAsync(playwright);
        var page = await OpenAsync(browser, "dark", 420, 860);
        await page.GotoAsync(host.Address.ToString());

        // Opened before there is anything to show: it says so, and starts by itself with the first result.
        await Expect(page, "() => document.querySelector('#link').dataset.state === 'connected'");
        Assert.True(await page.Locator("#empty").IsVisibleAsync());
        for (var i = 0; i < 100; i++)
            await host.Engine.StepAsync(Streams, i == 60 ? [0] : null);
        await Expect(page, "() => document.querySelector('#chart').dataset.fanStart");
        await ShootAsync(page, "narrow-dark.png");

        await page.FillAsync("#search", "feeder");
        await Expect(page, "() => document.querySelectorAll('#streams li').length === 6");
        await page.PressAsync("#search", "ArrowDown");
        await Expect(page, "() => document.querySelector('#stream-name').textContent === 'plant-7/feeder-1'");
        await page.PressAsync("#streams", "ArrowDown");
        await Expect(page, "() => document.querySelector('#stream-name').textContent === 'plant-7/feeder-2'");
        await page.PressAsync("#chart", "ArrowLeft");
        await page.PressAsync("#chart", "ArrowLeft");
        await Expect(page, "() => document.querySelector('#reading-time').textContent === '11 Mar 00:15'");

        // Several channels: one is shown, the others can be chosen.
        for (var i = 0; i < 30; i++)
            await host.Engine.PublishAsync(FakeEngine.TwoLeads("ecg", i));
        await page.FillAsync("#search", "ecg");
        await page.ClickAsync("#streams li[data-stream=ecg]");
        await Expect(page, "() => document.querySelector('#stream-name').textContent === 'ecg' && document.querySelector('#channel').options.length === 2");
        await Expect(page, $"() => Number(document.querySelector('#chart').dataset.fanStart) === {FakeEngine.Time(30) / 1_000_000}");
        var one = await page.TextContentAsync("[data-read=y]");
        await page.SelectOptionAsync("#channel", "II");
        await Expect(page, $"() => !['', '{one}'].includes(document.querySelector('[data-read=y]').textContent)");

        // Never wider than the screen, and the charts follow its width.
        await PublishEpisodesAsync(host);
        foreach (var width in new[] { 360, 1100, 1900 })
        {
            await page.SetViewportSizeAsync(width, 860);
            await Expect(page, "() => { const c = document.querySelector('#chart'), d = c.querySelector('.uplot, svg'); return Math.abs(c.clientWidth - d.getBoundingClientRect().width) < 2; }");
            Assert.True(await page.EvaluateAsync<bool>("document.documentElement.scrollWidth <= innerWidth"));
            await ShootAsync(page, $"width-{width}.png");
        }
    }

    private static async Task PublishEpisodesAsync(WebHost host)
    {
        await host.Engine.PublishAsync(
            FakeEngine.Episode("school/floor-2", "e0", 60, 70, "level_shift", "warning"),
            FakeEngine.Episode("nl/M-42", "e1", 120, 122),
            FakeEngine.Episode("nl/M-05", "e2", 150, 151, "stale", "info"),
            FakeEngine.Episode("plant-7/feeder-3", "e3", 179, null));
    }

    private static Task<IBrowser> LaunchAsync(IPlaywright playwright) =>
        playwright.Chromium.LaunchAsync(new() { ExecutablePath = Chromium, Headless = true, Args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });

    private static Task<IPage> OpenAsync(IBrowser browser, string scheme, int width, int height) => browser.NewPageAsync(new()
    {
        ViewportSize = new() { Width = width, Height = height },
        ColorScheme = scheme == "dark" ? ColorScheme.Dark : ColorScheme.Light,
        // The page writes UTC wherever the reader is.
        TimezoneId = "Asia/Tokyo",
    });

    private static Task Expect(IPage page, string condition) => page.WaitForFunctionAsync(condition, null, new() { Timeout = 10_000 });

    private static Task<long> FanAsync(IPage page, string name) => page.EvaluateAsync<long>($"Number(document.querySelector('#chart').dataset.{name})");

    private static async Task ShootAsync(IPage page, string name)
    {
        if (Screenshots is not null)
            await page.ScreenshotAsync(new() { Path = Path.Combine(Screenshots, name) });
    }
}
