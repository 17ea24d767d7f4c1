namespace StreamLstm.Connectors.Codecs;

/// <summary>Bindings for what widespread devices and gateways publish with their default settings.</summary>
public static class Presets
{
    private static readonly TimestampFormat s_nanoseconds = TimestampFormat.TryCreate("unix_ns", out var f) ? f : TimestampFormat.Auto;

    private static readonly BindingSettings[] s_all =
    [
        new()
        {
            Name = "tasmota",
            Match = "tele/{dev...}/SENSOR",
            Where = ["/ENERGY"],
            Stream = "{dev}/{field}",
            Time = new() { At = "/Time" },
            Values = Values(
                ("power", new() { At = "/ENERGY/Power", Unit = "W" }),
                ("power_n", new() { At = "/ENERGY/Power/*", Field = "power{*}", Unit = "W" }),
                ("energy", new() { At = "/ENERGY/Total", Unit = "kWh", Kind = ValueKind.Counter }),
                ("energy_n", new() { At = "/ENERGY/Total/*", Field = "energy{*}", Unit = "kWh", Kind = ValueKind.Counter }),
                ("voltage", new() { At = "/ENERGY/Voltage", Unit = "V" }),
                ("current", new() { At = "/ENERGY/Current", Unit = "A" })),
        },

        // NotifyStatus holds only what has changed; a component without the power has nothing to say about it.
        new()
        {
            Name = "shelly-gen2/notify",
            Match = "{dev}/events/rpc",
            Where = ["/method=NotifyStatus"],
            Stream = "{dev}/{field}",
            Time = new() { At = "/params/ts" },
            Values = Values(
                ("em", new() { At = "/params/em:*/total_act_power", Field = "em{*}", Unit = "W" }),
                ("switch", new() { At = "/params/switch:*/apower", Field = "switch{*}/power", Unit = "W" }),
                ("energy", new() { At = "/params/switch:*/aenergy/total", Field = "switch{*}/energy", Unit = "Wh", Kind = ValueKind.Counter })),
        },
        new()
        {
            Name = "shelly-gen2/em",
            Match = "{dev}/status/em:{n}",
            Stream = "{dev}/em{n}",
            Values = Values(("power", new() { At = "/total_act_power", Unit = "W" })),
        },
        new()
        {
            Name = "shelly-gen2/emdata",
            Match = "{dev}/status/emdata:{n}",
            Stream = "{dev}/em{n}/{field}",
            Values = Values(
                ("import", new() { At = "/total_act", Unit = "Wh", Kind = ValueKind.Counter }),
                ("export", new() { At = "/total_act_ret", Unit = "Wh", Kind = ValueKind.Counter })),
        },
        new()
        {
            Name = "shelly-gen2/switch",
            Match = "{dev}/status/switch:{n}",
            Where = ["/apower"],
            Stream = "{dev}/switch{n}/{field}",
            Values = Values(
                ("power", new() { At = "/apower", Unit = "W" }),
                ("energy", new() { At = "/aenergy/total", Unit = "Wh", Kind = ValueKind.Counter })),
        },
        new()
        {
            Name = "zigbee2mqtt",
            Match = "zigbee2mqtt/{dev...}",
            Except = ["zigbee2mqtt/bridge/#", "zigbee2mqtt/#/set", "zigbee2mqtt/#/get", "zigbee2mqtt/#/availability"],

            // Door contacts and lamps report under the same topics.
            Where = ["/power|/energy|/temperature|/humidity"],
            Stream = "{dev}/{field}",
            Time = new() { At = "/last_seen", Optional = true },
            Values = Values(
                ("power", new() { At = "/power", Unit = "W" }),
                ("energy", new() { At = "/energy", Unit = "kWh", Kind = ValueKind.Counter }),
                ("temperature", new() { At = "/temperature", Unit = "°C" }),
                ("humidity", new() { At = "/humidity", Unit = "%" })),
        },
        new()
        {
            Name = "dsmr-reader/json",
            Match = "dsmr/json",
            Stream = "dsmr/{field}",
            Time = new() { At = "/timestamp" },
            Values = Values(
                ("power", new() { At = "/electricity_currently_delivered", Unit = "kW" }),
                ("power_returned", new() { At = "/electricity_currently_returned", Unit = "kW" }),
                ("t1", new() { At = "/electricity_delivered_1", Unit = "kWh", Kind = ValueKind.Counter }),
                ("t2", new() { At = "/electricity_delivered_2", Unit = "kWh", Kind = ValueKind.Counter }),
                ("returned_t1", new() { At = "/electricity_returned_1", Unit = "kWh", Kind = ValueKind.Counter }),
                ("returned_t2", new() { At = "/electricity_returned_2", Unit = "kWh", Kind = ValueKind.Counter })),
        },
        DsmrReading("power", "electricity_currently_{x}", "electricity_currently_{x}", "kW", ValueKind.Gauge),
        DsmrReading("delivered", "electricity_delivered_{x}", "electricity_delivered_{x}", "kWh", ValueKind.Counter),
        DsmrReading("returned", "electricity_returned_{x}", "electricity_returned_{x}", "kWh", ValueKind.Counter),
        DsmrReading("phase-power", "phase_currently_{x}", "phase_currently_{x}", "kW", ValueKind.Gauge),
        DsmrReading("phase-voltage", "phase_voltage_{x}", "phase_voltage_{x}", "V", ValueKind.Gauge),
        new()
        {
            Name = "p1",
            Match = "{meter}/raw",
            Format = PayloadFormat.Obis,
            Stream = "{meter}/{field}",
            Time = new() { At = "0-0:1.0.0", Zone = Zone("Europe/Amsterdam") },
            Values = Values(
                ("power", new() { At = "1-0:1.7.0", Unit = "kW" }),
                ("power_returned", new() { At = "1-0:2.7.0", Unit = "kW" }),
                ("import_t1", new() { At = "1-0:1.8.1", Unit = "kWh", Kind = ValueKind.Counter }),
                ("import_t2", new() { At = "1-0:1.8.2", Unit = "kWh", Kind = ValueKind.Counter }),
                ("export_t1", new() { At = "1-0:2.8.1", Unit = "kWh", Kind = ValueKind.Counter }),
                ("export_t2", new() { At = "1-0:2.8.2", Unit = "kWh", Kind = ValueKind.Counter }),
                ("gas", new() { At = "0-1:24.2.1", Unit = "m3", Kind = ValueKind.Counter })),
        },
        new()
        {
            Name = "esphome",
            Match = "{node}/sensor/{name}/state",
            Format = PayloadFormat.Text,
            Stream = "{node}/{name}",
        },
        new()
        {
            Name = "ha-statestream",
            Match = "homeassistant/sensor/{entity}/state",
            Format = PayloadFormat.Text,
            Stream = "{entity}",
        },
        new()
        {
            Name = "emoncms/json",
            Match = "emon/{node}",
            Stream = "{node}/{field}",
            Time = new() { At = "/time", Optional = true },
            Values = Values(("any", new() { At = "/*" })),
        },
        new()
        {
            Name = "emoncms/value",
            Match = "emon/{node}/{key}",
            Format = PayloadFormat.Text,
            Stream = "{node}/{key}",
        },
        new()
        {
            Name = "homie5",
            Match = "homie/5/{dev}/{node}/{prop}",
            Format = PayloadFormat.Text,
            Stream = "{dev}/{node}/{prop}",
        },
        new()
        {
            Name = "openems",
            Match = "edge/{edge}/channel/{component}/{channel}",
            Format = PayloadFormat.Text,
            Stream = "{edge}/{component}/{channel}",
        },
        EdgeX("request", "/event/readings"),
        EdgeX("event", "/readings"),
        EdgeX("envelope", "/payload/event/readings"),
        new()
        {
            Name = "telegraf/influx",
            Match = "telegraf/{name...}",
            Format = PayloadFormat.Influx,
            Stream = "{tag:host}/{measurement}/{field}",
            Values = Values(("any", new() { At = "*" })),
        },
        new()
        {
            Name = "telegraf-json/single",
            Match = "telegraf/{name...}",
            Where = ["/fields"],
            Stream = "{/tags/host}/{/name}/{field}",
            Time = new() { At = "/timestamp" },
            Values = Values(("any", new() { At = "/fields/*" })),
        },
        new()
        {
            Name = "telegraf-json/batch",
            Match = "telegraf/{name...}",
            Where = ["/metrics"],
            Each = "/metrics/*",
            Stream = "{/tags/host}/{/name}/{field}",
            Time = new() { At = "/timestamp" },
            Values = Values(("any", new() { At = "/fields/*" })),
        },
        new()
        {
            Name = "sparkplug/device",
            Match = "spBv1.0/{group}/{type}/{node}/{device}",
            Format = PayloadFormat.Sparkplug,
            Stream = "{group}/{node}/{device}/{field}",
            Values = Values(("any", new() { At = "*" })),
        },
        new()
        {
            Name = "sparkplug/node",
            Match = "spBv1.0/{group}/{type}/{node}",
            Format = PayloadFormat.Sparkplug,
            Stream = "{group}/{node}/{field}",
            Values = Values(("any", new() { At = "*" })),
        },
        new()
        {
            Name = "tts",
            Match = "v3/{app}/devices/{dev}/up",
            Where = ["/uplink_message/decoded_payload"],
            Stream = "{app}/{dev}/{field}",
            Time = new() { At = "/uplink_message/received_at" },
            Values = Values(("any", new() { At = "/uplink_message/decoded_payload/*" })),
        },
        new()
        {
            Name = "cloudevents",
            Match = "{topic_name...}",
            Format = PayloadFormat.CloudEvents,
            Stream = "{ce:source}/{field}",
            Time = new() { At = "ce:time", Optional = true },
            Values = Values(("any", new() { At = "/*" })),
        },
        Fhir("components-r4", "/component/0/valueSampledData/period", "/component/*", "period", "ms"),
        Fhir("components-r5", "/component/0/valueSampledData/interval", "/component/*", "interval", "/valueSampledData/intervalUnit"),
        Fhir("observation-r4", "/valueSampledData/period", null, "period", "ms"),
        Fhir("observation-r5", "/valueSampledData/interval", null, "interval", "/valueSampledData/intervalUnit"),
        new()
        {
            Name = "ecg-frame/json",
            Match = "ecg/{bed}/frame",
            Stream = "{bed}/{ch}",
            Time = new() { At = "/ts" },
            Frame = new() { Layout = FrameLayout.Channels, Rate = "/fs", Labels = "/leads" },
            Values = Values(("ecg", new() { At = "/mv", Unit = "mV" })),
        },

        // Eight bytes of Unix milliseconds, then samples of one lead in microvolts at 250 Hz; another device's numbers override these.
        new()
        {
            Name = "ecg-frame/int16",
            Match = "ecg/{bed}/int16",
            Format = PayloadFormat.Int16,
            Stream = "{bed}/{ch}",
            Time = new() { At = "0" },
            Frame = new() { Layout = FrameLayout.Flat, Rate = "250", Labels = "ecg", HeaderBytes = 8 },
            Values = Values(("ecg", new() { Unit = "uV" })),
        },
        new()
        {
            Name = "ecg-frame/float32",
            Match = "ecg/{bed}/float32",
            Format = PayloadFormat.Float32,
            Stream = "{bed}/{ch}",
            Time = new() { At = "0" },
            Frame = new() { Layout = FrameLayout.Flat, Rate = "250", Labels = "ecg", HeaderBytes = 8 },
            Values = Values(("ecg", new() { Unit = "mV" })),
        },
    ];

    /// <summary>What may be given, in ordinal order: presets, and parts of those that consist of several.</summary>
    public static IReadOnlyList<string> Names { get; } =
        [.. s_all.Select(b => b.Name.Split('/')[0]).Concat(s_all.Select(b => b.Name)).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];

    /// <summary>The bindings of a preset, or the one part that is named; empty if there is no such preset.</summary>
    public static IReadOnlyList<BindingSettings> Find(string name) =>
        [.. s_all.Where(b => b.Name == name || (!name.Contains('/', StringComparison.Ordinal) && b.Name.StartsWith(name + "/", StringComparison.Ordinal)))];

    private static BindingSettings DsmrReading(string part, string topic, string stream, string unit, ValueKind kind) => new()
    {
        Name = "dsmr-reader/" + part,
        Match = "dsmr/reading/" + topic,
        Format = PayloadFormat.Text,
        Stream = "dsmr/" + stream,
        Values = Values(("value", new() { Unit = unit, Kind = kind })),
    };

    // A reading's value is a text; the unit beside it counts.
    private static BindingSettings EdgeX(string part, string readings) => new()
    {
        Name = "edgex/" + part,
        Match = "edgex/events/{path...}",
        Where = [readings],
        Each = readings + "/*",
        Stream = "{/deviceName}/{/resourceName}",
        Time = new() { At = "/origin", Format = s_nanoseconds },
        Values = Values(("value", new() { At = "/value", Unit = "/units" })),
    };

    private static BindingSettings Fhir(string part, string where, string? each, string period, string unit) => new()
    {
        Name = "fhir-sampleddata/" + part,
        Match = "fhir/observation",
        Where = ["/resourceType=Observation", where],
        Each = each,
        Stream = "{^/subject/reference}/{/code/coding/0/code}",
        Time = new() { At = "^/effectiveDateTime" },
        Frame = new()
        {
            Layout = FrameLayout.Tokens,
            Period = "/valueSampledData/" + period,
            PeriodUnit = unit,
            Scale = "/valueSampledData/factor",
            Origin = "/valueSampledData/origin/value",
            Dimensions = "/valueSampledData/dimensions",
        },
        Values = Values(("samples", new() { At = "/valueSampledData/data", Unit = "/valueSampledData/origin/unit" })),
    };

    private static TimeZoneInfo Zone(string id) => TimeZoneInfo.TryFindSystemTimeZoneById(id, out var zone) ? zone : TimeZoneInfo.Utc;

    private static Dictionary<string, BindingValue> Values(params (string Name, BindingValue Value)[] values) =>
        values.ToDictionary(v => v.Name, v => v.Value, StringComparer.Ordinal);
}
