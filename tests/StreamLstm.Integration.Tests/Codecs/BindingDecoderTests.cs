using System.Globalization;
using System.Text;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Integration.Tests.Codecs;

public sealed class BindingDecoderTests
{
    private const string Arrival = "2024-06-01T12:00:00Z";

    private static readonly BindingSettings s_reading = new()
    {
        Name = "reading",
        Match = "meters/{stream}/reading",
        Stream = "{stream}",
        Time = new() { At = "/ts" },
        Values = new Dictionary<string, BindingValue> { ["kw"] = new() { At = "/kw", Scale = 1000 } },
    };

    [Fact]
    public void A_captured_topic_level_names_the_stream_and_pointers_find_time_and_value()
    {
        var batch = Decode(s_reading, "meters/M-42/reading", """{"kw":1.5,"more":{"kw":9},"ts":1704067200}""");
        Assert.Equal(["M-42 2024-01-01T00:00:00Z 1500"], Samples(batch));
        Assert.Equal(Micros(Arrival), batch.Arrival(0));
    }

    [Fact]
    public void Without_a_time_the_arrival_is_the_time()
    {
        var binding = new BindingSettings { Name = "openems", Match = "edge/{edge}/channel/{component}/{channel}", Stream = "{edge}/{channel}", Values = Value("") };
        Assert.Equal([$"0/Power {Arrival} 2500"], Samples(Decode(binding, "edge/0/channel/_sum/Power", "2500")));
        Assert.Equal([DeadLetterReason.NotFinite], Reasons(Decode(binding, "edge/0/channel/_sum/Power", "null")));
    }

    [Fact]
    public void With_field_in_the_template_every_value_is_a_stream()
    {
        var binding = Tasmota();
        var batch = Decode(binding, "tele/pow1/SENSOR", """{"Time":"2018-02-15T17:37:10","ENERGY":{"Total":6.294,"Power":2635,"Voltage":227}}""");
        Assert.Equal(["pow1/energy 2018-02-15T16:37:10Z 6.294", "pow1/power 2018-02-15T16:37:10Z 2635"], Samples(batch));
    }

    [Fact]
    public void Of_several_streams_those_that_are_absent_or_bad_do_not_hold_back_the_rest()
    {
        var absent = Decode(Tasmota(), "tele/pow1/SENSOR", """{"Time":"2018-02-15T17:37:10","ENERGY":{"Power":2635}}""");
        Assert.Equal(["pow1/power 2018-02-15T16:37:10Z 2635"], Samples(absent));
        Assert.Empty(absent.DeadLetters);

        var bad = Decode(Tasmota(), "tele/pow1/SENSOR", """{"Time":"2018-02-15T17:37:10","ENERGY":{"Power":2635,"Total":"unavailable"}}""");
        Assert.Single(Samples(bad));
        Assert.Equal((DeadLetterReason.NotFinite, "pow1/energy"), (bad.DeadLetters[0].Reason, bad.DeadLetters[0].Stream));
    }

    [Fact]
    public void Without_field_several_values_are_channels_in_the_order_of_their_names()
    {
        var binding = new BindingSettings
        {
            Name = "em",
            Match = "{dev}/status/em:{n}",
            Stream = "{dev}/{n}",
            Values = new Dictionary<string, BindingValue> { ["c"] = new() { At = "/c" }, ["a"] = new() { At = "/a" }, ["b"] = new() { At = "/b" } },
        };
        Assert.Equal([$"shelly-1/0 {Arrival} 1,2,3"], Samples(Decode(binding, "shelly-1/status/em:0", """{"c":3,"b":"2","a":1.0}""")));
        Assert.Equal([$"shelly-1/0 {Arrival} 1,NaN,NaN"], Samples(Decode(binding, "shelly-1/status/em:0", """{"a":1,"b":null}""")));
        Assert.Equal([DeadLetterReason.NotFinite], Reasons(Decode(binding, "shelly-1/status/em:0", """{"a":null,"b":null}""")));
        Assert.Equal([DeadLetterReason.MissingField], Reasons(Decode(binding, "shelly-1/status/em:0", "{}")));
    }

    [Fact]
    public void Each_element_of_an_array_is_a_record()
    {
        var binding = new BindingSettings
        {
            Name = "batch",
            Match = "meters.{region}.readings",
            Each = "/readings/*",
            Stream = "{region}/{$key}/{/ch}/{^/unit}",
            Time = new() { At = "/ts" },
            Values = Value("/kwh"),
        };
        var batch = Decode(binding, "meters.nl.readings",
            """{"unit":"kWh","readings":[{"ts":1704067200,"kwh":1,"ch":1},{"ts":1704068100,"kwh":2,"ch":"x\/y"},{"ts":"?","kwh":3,"ch":1}]}""", key: "M7");
        Assert.Equal(["nl/M7/1/kWh 2024-01-01T00:00:00Z 1", "nl/M7/x/y/kWh 2024-01-01T00:15:00Z 2"], Samples(batch));
        Assert.Equal([DeadLetterReason.BadTime], Reasons(batch));
        Assert.Equal([DeadLetterReason.MissingField], Reasons(Decode(binding, "meters.nl.readings", """{"unit":"kWh"}""", key: "M7")));
        Assert.Equal([DeadLetterReason.Malformed], Reasons(Decode(binding, "meters.nl.readings", """{"readings":1}""", key: "M7")));
    }

    [Fact]
    public void Pointers_follow_RFC_6901()
    {
        var binding = s_reading with { Time = new(), Values = Value("/em:0/a~1b/m~0n/1") };
        Assert.Equal([$"x {Arrival} 7"], Samples(Decode(binding, "meters/x/reading", """{"em:0":{"a/b":{"m~n":[5,7]}}}""")));
    }

    [Theory]
    [InlineData("1.193", 1.193)]
    [InlineData("\"1234.5\"", 1234.5)]
    [InlineData(" -3e2\n", -300.0)]
    public void A_text_payload_is_one_number(string payload, double expected)
    {
        var binding = new BindingSettings { Name = "t", Match = "esphome/{node...}/state", Format = PayloadFormat.Text, Stream = "{node...}" };
        Assert.Equal([string.Create(CultureInfo.InvariantCulture, $"a/b {Arrival} {expected}")], Samples(Decode(binding, "esphome/a/b/state", payload)));
    }

    [Fact]
    public void Csv_values_lie_by_position_and_lines_are_records()
    {
        var binding = new BindingSettings
        {
            Name = "c",
            Match = "emonhub/rx/{node}/values",
            Format = PayloadFormat.Csv,
            Stream = "node{node}/{field}",
            Time = new() { At = "0", Format = Format("unix") },
            Values = new Dictionary<string, BindingValue> { ["p1"] = new() { At = "1" }, ["p2"] = new() { At = "2" } },
        };
        var batch = Decode(binding, "emonhub/rx/10/values", "1704067200,100,200\n1704068100,101\n");
        Assert.Equal(["node10/p1 2024-01-01T00:00:00Z 100", "node10/p2 2024-01-01T00:00:00Z 200", "node10/p1 2024-01-01T00:15:00Z 101"], Samples(batch));
    }

    [Theory]
    [InlineData("", DeadLetterReason.Malformed)]
    [InlineData("garbage", DeadLetterReason.Malformed)]
    [InlineData("{\"kw\":1,\"ts\":1704067200", DeadLetterReason.Malformed)]
    [InlineData("{\"kw\":1,\"ts\":1704067200} trailing", DeadLetterReason.Malformed)]
    [InlineData("[1,2]", DeadLetterReason.MissingField)]
    [InlineData("{\"ts\":1704067200}", DeadLetterReason.MissingField)]
    [InlineData("{\"kw\":1}", DeadLetterReason.MissingField)]
    [InlineData("{\"kw\":null,\"ts\":1704067200}", DeadLetterReason.NotFinite)]
    [InlineData("{\"kw\":\"NaN\",\"ts\":1704067200}", DeadLetterReason.NotFinite)]
    [InlineData("{\"kw\":1e999,\"ts\":1704067200}", DeadLetterReason.NotFinite)]
    [InlineData("{\"kw\":\"unavailable\",\"ts\":1704067200}", DeadLetterReason.NotFinite)]
    [InlineData("{\"kw\":\"1.2 furlongs\",\"ts\":1704067200}", DeadLetterReason.NotFinite)]
    [InlineData("{\"kw\":\"12ab\",\"ts\":1704067200}", DeadLetterReason.NotFinite)]
    [InlineData("{\"kw\":1,\"ts\":1717243501}", DeadLetterReason.Future)]
    [InlineData("{\"kw\":1,\"ts\":0}", DeadLetterReason.TooOld)]
    [InlineData("{\"kw\":{\"a\":1},\"ts\":1704067200}", DeadLetterReason.NotFinite)]
    [InlineData("{\"kw\":1,\"ts\":\"yesterday\"}", DeadLetterReason.BadTime)]
    [InlineData("{\"kw\":1,\"ts\":null}", DeadLetterReason.BadTime)]
    [InlineData("{\"kw\":1,\"ts\":\"\\ud800\"}", DeadLetterReason.Malformed)]
    public void Bad_payloads_become_dead_letters_with_a_reason_and_a_sentence(string payload, string reason)
    {
        var batch = Decode(s_reading, "meters/M-42/reading", payload);
        Assert.Equal(0, batch.Count);
        var letter = Assert.Single(batch.DeadLetters);
        Assert.Equal((reason, "test", "meters/M-42/reading"), (letter.Reason, letter.Source, letter.Position));
        Assert.Equal(payload, Encoding.UTF8.GetString(letter.Payload.Span));
        Assert.EndsWith(".", letter.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public void Random_bytes_never_throw()
    {
        var decoder = new BindingDecoder([s_reading, s_reading with { Name = "csv", Match = "csv/{stream}", Format = PayloadFormat.Csv, Time = new() { At = "0" }, Values = Value("1") }]);
        var random = new Random(1);
        var valid = """{"kw":"1.5\u00e9","more":[{"kw":9}],"ts":"2024-01-01T00:00:00Z"}"""u8.ToArray();
        for (var i = 0; i < 5000; i++)
        {
            var payload = i % 2 == 0 ? new byte[random.Next(64)] : [.. valid];
            if (i % 2 == 0)
                random.NextBytes(payload);
            else
                payload[random.Next(payload.Length)] = (byte)random.Next(256);
            var batch = new SampleBatch();
            foreach (var topic in (string[])["meters/a/reading", "csv/a"])
                decoder.Decode(new SourceMessage { Source = "t", Topic = topic, Payload = payload, ArrivalMicros = 0, Position = "p" }, batch);
            Assert.InRange(batch.Count + batch.DeadLetters.Count, 2, 100);
        }
    }

    [Fact]
    public void A_topic_that_no_binding_matches_is_a_dead_letter() =>
        Assert.Equal([DeadLetterReason.Unmatched], Reasons(Decode(s_reading, "meters/M-42/status", "1")));

    [Fact]
    public void The_longest_literal_prefix_wins()
    {
        var all = new BindingSettings { Name = "a", Match = "{x...}", Format = PayloadFormat.Text, Stream = "all" };
        var one = new BindingSettings { Name = "b", Match = "m/{x}", Format = PayloadFormat.Text, Stream = "one" };
        var decoder = new BindingDecoder([all, one]);
        Assert.StartsWith("one", Assert.Single(Samples(Decode(decoder, "m/1", "1"))), StringComparison.Ordinal);
        Assert.StartsWith("all", Assert.Single(Samples(Decode(decoder, "n/1", "1"))), StringComparison.Ordinal);
    }

    [Fact]
    public void A_retained_message_is_used_only_if_it_says_its_time()
    {
        var text = new BindingSettings { Name = "t", Match = "x/{y}", Format = PayloadFormat.Text, Stream = "{y}" };
        Assert.Equal([DeadLetterReason.Retained], Reasons(Decode(new BindingDecoder([text]), "x/1", "1", retained: true)));
        Assert.Equal(1, Decode(new BindingDecoder([text with { Retained = RetainedPolicy.Accept }]), "x/1", "1", retained: true).Count);
        Assert.Equal([DeadLetterReason.Retained], Reasons(Decode(new BindingDecoder([s_reading with { Retained = RetainedPolicy.Drop }]), "meters/M-42/reading", """{"kw":1.5,"ts":1704067200}""", retained: true)));
        Assert.Equal(1, Decode(new BindingDecoder([s_reading]), "meters/M-42/reading", """{"kw":1.5,"ts":1704067200}""", retained: true).Count);
    }

    [Fact]
    public void Keys_are_never_empty_or_too_long()
    {
        var binding = s_reading with { Stream = "{/id}", Time = new() };
        Assert.Equal([DeadLetterReason.BadKey], Reasons(Decode(binding, "meters/a/reading", """{"kw":1}""")));
        Assert.Equal([DeadLetterReason.BadKey], Reasons(Decode(binding, "meters/a/reading", """{"kw":1,"id":""}""")));
        Assert.Equal([DeadLetterReason.BadKey], Reasons(Decode(binding, "meters/a/reading", $$"""{"kw":1,"id":"{{new string('x', 513)}}"}""")));
        Assert.Equal(1, Decode(binding, "meters/a/reading", $$"""{"kw":1,"id":"{{new string('x', 512)}}"}""").Count);
    }

    [Theory]
    [InlineData("meters/{stream}/reading", "meters/+/reading")]
    [InlineData("zigbee2mqtt/{dev...}", "zigbee2mqtt/#")]
    [InlineData("{dev...}/set", "#")]
    [InlineData("{dev}/status/em:{n}", "+/status/+")]
    [InlineData("a/+/#", "a/+/#")]
    [InlineData("dsmr/json", "dsmr/json")]
    [InlineData("meters.nl.readings", "meters.nl.readings")]
    [InlineData("telegraf", "telegraf")]
    public void The_subscription_follows_from_the_pattern(string match, string filter) =>
        Assert.Equal([filter], new BindingDecoder([s_reading with { Match = match, Stream = "x" }]).Subscriptions);

    [Theory]
    [InlineData("a/{x...}/b", "a/1/2/b", true)]
    [InlineData("a/{x...}/b", "a/b", false)]
    [InlineData("a/{x...}/b", "a/b/b", true)]
    [InlineData("a/#", "a", true)]
    [InlineData("a/#", "a/b/c", true)]
    [InlineData("a/+", "a", false)]
    [InlineData("a/{x}", "a/", false)]
    [InlineData("em{n}data:{m}", "em1data:2", true)]
    [InlineData("em{n}data:{m}", "emdata:2", false)]
    [InlineData("{x}", "a/b", false)]
    public void Patterns_match_whole_topics(string match, string topic, bool expected) =>
        Assert.Equal(expected ? 1 : 0, Decode(new BindingSettings { Name = "t", Match = match, Format = PayloadFormat.Text, Stream = "s" }, topic, "1").Count);

    [Fact]
    public void Every_mistake_in_a_binding_is_named()
    {
        var problems = BindingDecoder.Check(new BindingSettings
        {
            Name = "bad",
            Match = "a/{x}/{y}",
            Stream = "{z}",
            Each = "items",
            Time = new() { At = "ts" },
            Values = new Dictionary<string, BindingValue> { ["v"] = new() { At = "kw", Scale = 0 } },
        });
        Assert.Equal(["Each", "Time:At", "Values:v:Scale", "Values:v:At", "Stream"], problems.Select(p => p.Key));
        Assert.Contains("{x}, {y}, {topic}", problems[^1].Problem, StringComparison.Ordinal);

        foreach (var match in (string[])["", "a/#/b", "a/b+", "{x}{y}", "{a}/{a}", "{}", "x{a...}"])
            Assert.Equal("Match", Assert.Single(BindingDecoder.Check(s_reading with { Match = match })).Key);
        Assert.Throws<ArgumentException>(() => new BindingDecoder([s_reading with { Match = "" }]));
    }

    [Fact]
    public void Decoding_allocates_nothing_per_message()
    {
        var decoder = new BindingDecoder([s_reading]);
        var payload = """{"kw":1.5,"ts":"2024-01-01T00:00:00Z"}"""u8.ToArray();
        var batch = new SampleBatch();
        long allocated = 0;
        for (var round = 0; round < 2; round++)
        {
            batch.Clear();
            var arrival = Micros(Arrival);
            var before = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0; i < 200; i++)
                decoder.Decode(new SourceMessage { Source = "t", Topic = "meters/M-42/reading", Payload = payload, ArrivalMicros = arrival, Position = "p" }, batch);
            allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        }

        Assert.Equal(0, allocated);
    }

    private static BindingSettings Tasmota() => new()
    {
        Name = "tasmota",
        Match = "tele/{dev}/SENSOR",
        Stream = "{dev}/{field}",
        Time = new() { At = "/Time", Zone = TimeZoneInfo.FindSystemTimeZoneById("Europe/Amsterdam") },
        Values = new Dictionary<string, BindingValue> { ["power"] = new() { At = "/ENERGY/Power" }, ["energy"] = new() { At = "/ENERGY/Total" } },
    };

    private static Dictionary<string, BindingValue> Value(string at) => new() { ["v"] = new() { At = at } };

    private static TimestampFormat Format(string name) => TimestampFormat.TryCreate(name, out var format) ? format : throw new ArgumentException(name);

    private static SampleBatch Decode(BindingSettings binding, string topic, string payload, string key = "") => Decode(new BindingDecoder([binding]), topic, payload, key);

    private static SampleBatch Decode(BindingDecoder decoder, string topic, string payload, string key = "", bool retained = false)
    {
        var batch = new SampleBatch();
        decoder.Decode(new SourceMessage
        {
            Source = "test",
            Topic = topic,
            Payload = Encoding.UTF8.GetBytes(payload),
            Key = Encoding.UTF8.GetBytes(key),
            ArrivalMicros = Micros(Arrival),
            Position = topic,
            Retained = retained,
        }, batch);
        return batch;
    }

    private static IEnumerable<string> Samples(SampleBatch batch) => Enumerable.Range(0, batch.Count).Select(i =>
        string.Create(CultureInfo.InvariantCulture, $"{Encoding.UTF8.GetString(batch.Key(i))} {UnixMicros.ToDateTimeOffset(batch.EventTime(i)):yyyy-MM-ddTHH:mm:ss}Z {string.Join(',', batch.Values(i).ToArray().Select(v => v.ToString(CultureInfo.InvariantCulture)))}"));

    private static IEnumerable<string> Reasons(SampleBatch batch) => batch.DeadLetters.Select(d => d.Reason);

    private static long Micros(string iso) => UnixMicros.From(DateTimeOffset.Parse(iso, CultureInfo.InvariantCulture));
}
