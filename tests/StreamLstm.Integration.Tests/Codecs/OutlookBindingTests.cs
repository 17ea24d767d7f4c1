using StreamLstm.Connectors.Codecs;

namespace StreamLstm.Integration.Tests.Codecs;

[Trait("Category", "Formats")]
public sealed class OutlookBindingTests
{
    [Fact]
    public void A_weather_forecast_gives_the_time_each_value_is_for_beside_it_and_the_issue_as_its_time()
    {
        var decoding = new Decoding(new BindingSettings
        {
            Name = "weather",
            Match = "weather/{place}",
            Each = "/hourly/*",
            Stream = "weather/{place}",
            Time = new BindingTime { At = "^/issued" },
            Values = new Dictionary<string, BindingValue> { ["at"] = new() { At = "/time", Kind = ValueKind.Time }, ["temperature"] = new() { At = "/t" } },
        });
        Assert.Equal(
            ["weather/oslo 2026-11-21T05:00:00Z 1795255200,-3.5 s time", "weather/oslo 2026-11-21T05:00:00Z 1795258800,-3 s time", "weather/oslo 2026-11-21T05:00:00Z NaN,1 - time"],
            decoding.Decode("weather/oslo", """{"issued":"2026-11-21T05:00:00Z","hourly":[{"time":"2026-11-21T10:00:00Z","t":-3.5},{"time":"2026-11-21T12:00:00+01:00","t":-3},{"time":"soon","t":1}]}"""));
    }
}
