using System.Text;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Integration.Tests.Codecs;

[Trait("Category", "Formats")]
public sealed class FormatTests
{
    private const string T = "2026-11-21T06:00:00Z";

    private static readonly BindingSettings s_json = new() { Name = "b", Match = "m/{dev}", Stream = "{dev}/{field}", Values = Values(("p", new() { At = "/p", Unit = "kW" })) };

    private static readonly BindingSettings s_plug = new()
    {
        Name = "spb",
        Match = "spBv1.0/{group}/{type}/{node}/{dev}",
        Format = PayloadFormat.Sparkplug,
        Stream = "{node}/{dev}/{field}",
        Values = Values(("power", new() { At = "Power", Unit = "W" }), ("level", new() { At = "Level" })),
    };

    [Theory]
    [InlineData("1.5", "1500 W")]
    [InlineData("\"1.5\"", "1500 W")]
    [InlineData("\"1.5 kW\"", "1500 W")]
    [InlineData("\"1500W\"", "1500 W")]
    [InlineData("\"+1.5*kW\"", "1500 W")]
    public void A_unit_beside_the_number_wins_over_that_of_the_binding(string number, string expected) =>
        Assert.Equal([$"a/p {T} {expected} gauge"], new Decoding(s_json).Decode("m/a", $$"""{"p":{{number}}}"""));

    [Theory]
    [InlineData("\"1.5 kWh\"")]
    [InlineData("\"1.5 apples\"")]
    [InlineData("\"0x10\"")]
    [InlineData("[1.5]")]
    public void A_number_of_another_quantity_is_not_the_value(string number)
    {
        var decoding = new Decoding(s_json);
        Assert.Empty(decoding.Decode("m/a", $$"""{"p":{{number}}}"""));
        Assert.Equal([DeadLetterReason.NotFinite], decoding.Reasons);
    }

    [Theory]
    [InlineData("mV", "2", "0.002 V")]
    [InlineData("uV", "-1", "-1E-06 V")]
    [InlineData("MWh", "3", "3000000 Wh")]
    [InlineData("Wmin", "60", "1 Wh")]
    [InlineData("kvar", "3", "3000 var")]
    [InlineData("°C", "3", "3 °C")]
    [InlineData("m3", "3", "3 m3")]
    public void Multiples_become_the_unit_itself_and_other_units_pass(string unit, string number, string expected)
    {
        var binding = s_json with { Values = Values(("p", new() { At = "/p", Unit = unit })) };
        Assert.Equal([$"a/p {T} {expected} gauge"], new Decoding(binding).Decode("m/a", $$"""{"p":{{number}}}"""));
    }

    [Fact]
    public void A_star_stands_for_the_rest_of_a_name_or_an_index()
    {
        var binding = s_json with { Stream = "{dev}/{field}/{*}", Values = Values(("w", new() { At = "/ch:*/w", Field = "w" }), ("list", new() { At = "/list/*", Field = "l{*}" }), ("own", new() { At = "/ch:1/w", Field = "own" })) };
        var decoding = new Decoding(binding with { Stream = "{dev}/{field}/{*}", Values = binding.Values.Where(v => v.Key != "own").ToDictionary() });
        Assert.Equal([$"a/w/0 {T} 5 - gauge", $"a/w/x\u00e9 {T} 6 - gauge", $"a/l0/0 {T} 1 - gauge", $"a/l2/2 {T} 3 - gauge"], decoding.Decode("m/a", """{"ch:0":{"w":5},"ch:x\u00e9":{"w":"6"},"ch":{"w":7},"list":[1,"two",3,null]}"""));
        Assert.Empty(decoding.Letters);
        Assert.Empty(decoding.Decode("m/a", """{"list":[]}"""));
        Assert.Equal(1, decoding.Decoder.Counters.Filtered);
    }

    [Fact]
    public void Names_that_a_pointer_spells_out_are_not_meant_by_star()
    {
        var binding = s_json with { Time = new() { At = "/time" }, Values = Values(("any", new() { At = "/*" }), ("p", new() { At = "/p", Unit = "kW" })) };
        Assert.Equal([$"a/p {T} 2000 W gauge", $"a/v {T} 230 - gauge"], new Decoding(binding).Decode("m/a", """{"p":2,"v":230,"time":1795240800,"s":"x","o":{"q":1}}"""));
    }

    [Fact]
    public void Each_goes_through_the_members_of_an_object_too()
    {
        var binding = s_json with { Each = "/params/em:*", Stream = "{dev}/{*}/{field}", Values = Values(("p", new() { At = "/p" })) };
        Assert.Equal([$"a/0/p {T} 1 - gauge", $"a/1/p {T} 2 - gauge"], new Decoding(binding).Decode("m/a", """{"params":{"em:0":{"p":1},"sw:0":{"p":9},"em:1":{"p":2}}}"""));
        Assert.Equal([$"a/0/p {T} 1 - gauge", $"a/1/p {T} 2 - gauge"], new Decoding(binding with { Each = "/*" }).Decode("m/a", """[{"p":1},{"p":2}]"""));
    }

    [Fact]
    public void Conditions_choose_among_bindings_of_the_same_topic()
    {
        var decoding = new Decoding(
            s_json with { Name = "a", Where = ["/type=a", "!/error"], Stream = "a" },
            s_json with { Name = "b", Where = ["/type=b | !/type", "!/data"], Stream = "b" },
            s_json with { Name = "c", Where = ["/data", "$h:x=1"], Stream = "c" });
        Assert.Equal([$"a {T} 1000 W gauge"], decoding.Decode("m/1", """{"type":"a","p":1}"""));
        Assert.Equal([$"b {T} 1000 W gauge"], decoding.Decode("m/1", """{"type":"b","p":1,"error":null}"""));
        Assert.Equal([$"b {T} 1000 W gauge"], decoding.Decode("m/1", """{"p":1}"""));
        Assert.Equal([$"c {T} 1000 W gauge"], decoding.Decode("m/1", """{"data":{},"p":1}""", headers: [("X", "1")]));
        Assert.Empty(decoding.Decode("m/1", """{"data":{},"p":1}"""));
        Assert.Empty(decoding.Decode("m/1", """{"type":"a","error":1,"p":1}"""));
        Assert.Empty(decoding.Letters);
        Assert.Equal(2, decoding.Decoder.Counters.Filtered);
    }

    [Fact]
    public void Excepted_topics_and_those_a_broker_filter_lets_through_are_counted_and_left_alone()
    {
        var decoding = new Decoding(s_json with { Match = "{dev...}/em:{n}", Except = ["x/#", "#/test/em:0"] });
        foreach (var topic in (string[])["x/em:0", "x/y/em:1", "a/test/em:0", "a/status"])
            Assert.Empty(decoding.Decode(topic, """{"p":1}"""));
        Assert.Equal(4, decoding.Decoder.Counters.Excepted);
        Assert.Empty(decoding.Letters);
        Assert.Single(decoding.Decode("a/em:0", """{"p":1}"""));
    }

    [Fact]
    public void The_time_stamp_of_a_record_is_the_time_of_what_has_none()
    {
        var batch = new SampleBatch();
        new BindingDecoder([s_json]).Decode(new SourceMessage { Source = "t", Topic = "m/a", Payload = """{"p":1}"""u8, ArrivalMicros = 5_000_000, RecordMicros = 3_000_000, Position = "p" }, batch);
        Assert.Equal((3_000_000, 5_000_000), (batch.EventTime(0), batch.Arrival(0)));
        new BindingDecoder([s_json]).Decode(new SourceMessage { Source = "t", Topic = "m/a", Payload = """{"p":1}"""u8, ArrivalMicros = 5_000_000, RecordMicros = 900_000_000, Position = "p" }, batch);
        Assert.Equal(DeadLetterReason.Future, Assert.Single(batch.DeadLetters).Reason);
    }

    [Fact]
    public void Held_values_stand_in_for_what_a_message_leaves_out()
    {
        var channels = new Decoding(s_json with { Stream = "{dev}", Hold = TimeSpan.FromMinutes(10), Values = Values(("a", new() { At = "/a" }), ("b", new() { At = "/b" })) });
        Assert.Equal(["x 2026-11-21T06:00:00Z 1,2 - gauge"], channels.Decode("m/x", """{"a":1,"b":2}"""));
        Assert.Equal(["x 2026-11-21T06:05:00Z 3,2 - gauge"], channels.Decode("m/x", """{"a":3}""", arrival: "2026-11-21T06:05:00Z"));
        Assert.Equal(["x 2026-11-21T06:11:00Z 3,NaN - gauge"], channels.Decode("m/x", """{"a":3}""", arrival: "2026-11-21T06:11:00Z"));
        Assert.Equal(["y 2026-11-21T06:05:00Z NaN,7 - gauge"], channels.Decode("m/y", """{"b":7}""", arrival: "2026-11-21T06:05:00Z"));

        var streams = new Decoding(s_json with { Hold = TimeSpan.FromMinutes(10), Values = Values(("a", new() { At = "/a" }), ("b", new() { At = "/b" })) });
        streams.Decode("m/x", """{"a":1,"b":2}""");
        Assert.Equal(["x/a 2026-11-21T06:05:00Z 3 - gauge", "x/b 2026-11-21T06:05:00Z 2 - gauge"], streams.Decode("m/x", """{"a":3}""", arrival: "2026-11-21T06:05:00Z"));
        Assert.Equal(["x/a 2026-11-21T06:06:00Z 4 - gauge"], streams.Decode("m/x", """{"a":4,"b":"unavailable"}""", arrival: "2026-11-21T06:06:00Z"));
    }

    [Fact]
    public void Lines_have_escapes_texts_and_times_in_nanoseconds()
    {
        var binding = new BindingSettings
        {
            Name = "l",
            Match = "l",
            Format = PayloadFormat.Influx,
            Where = ["tag:site=a b"],
            Stream = "{measurement}/{tag:site}/{tag:u=v}/{field}",
            Values = Values(("power", new() { At = "work ing", Field = "w" }), ("any", new() { At = "*" })),
        };
        var decoding = new Decoding(binding);
        var payload = "# comment\nm\\,1,site=a\\ b,u\\=v=9 work\\ ing=2,text=\"a, b=c \\\" \n d\",on=t,n=-3i,u=4u 1795240790123456789\nm,site=other x=1 1\n";
        Assert.Equal(
            ["m,1/a b/9/w 2026-11-21T05:59:50.123456Z 2 - gauge", "m,1/a b/9/n 2026-11-21T05:59:50.123456Z -3 - gauge", "m,1/a b/9/u 2026-11-21T05:59:50.123456Z 4 - gauge"],
            decoding.Decode("l", payload));
        Assert.Empty(decoding.Letters);

        Assert.Single(decoding.Decode("l", "m,site=a\\ b,u\\=v=1 x=1\nm,site=a\\ b,u\\=v=1 x=\nnonsense\nm,site=a\\ b,u\\=v=1 x=1 soon\nm,site=a\\ b y=1\n"));
        Assert.Equal([DeadLetterReason.Malformed, DeadLetterReason.Malformed, DeadLetterReason.BadTime, DeadLetterReason.BadKey], decoding.Reasons);
    }

    [Fact]
    public void A_telegram_with_a_wrong_CRC_is_damage()
    {
        var decoding = Decoding.Preset("p1");
        const string telegram = "/XYZ5test\r\n\r\n0-0:1.0.0(261121065950W)\r\n1-0:1.7.0(00.315*kW)\r\n!";
        var crc = PresetTests.ObisCrc(Encoding.ASCII.GetBytes(telegram));
        Assert.Single(decoding.Decode("hall/raw", $"{telegram}{crc:X4}\r\n"));
        Assert.Single(decoding.Decode("hall/raw", $"{telegram}\r\n"));
        foreach (var damaged in (string[])[$"{telegram}{crc ^ 1:X4}\r\n", $"{telegram}{crc:X4}".Replace("315", "316", StringComparison.Ordinal), telegram + "zzzz", telegram[..^1], "1-0:1.7.0(1*kW)"])
        {
            Assert.Empty(decoding.Decode("hall/raw", damaged));
            Assert.Equal([DeadLetterReason.Malformed], decoding.Reasons);
        }
    }

    [Fact]
    public void A_schema_registrys_header_is_skipped_and_bodies_that_are_no_JSON_are_named()
    {
        var decoding = new Decoding(s_json with { Format = PayloadFormat.JsonSr });
        var body = """{"p":1}"""u8.ToArray();
        Assert.Single(decoding.Decode("m/a", [0, 0, 0, 0, 7, .. body]));
        Assert.Single(decoding.Decode("m/a", [1, .. new byte[16], .. body]));
        Assert.Single(decoding.Decode("m/a", body, headers: [("__value_schema_id", "x")]));
        foreach (var (payload, word) in ((byte[], string)[])[(body, "magic byte"), ([0, 0, 0, 0, 7, 2, 6], "schema 7"), ([0, 0], "too short")])
        {
            Assert.Empty(decoding.Decode("m/a", payload));
            Assert.Contains(word, Assert.Single(decoding.Letters).Detail, StringComparison.Ordinal);
        }

        var plain = new Decoding(s_json);
        plain.Decode("m/a", [0, 0, 0, 0, 7, .. body]);
        Assert.Contains("json-sr", Assert.Single(plain.Letters).Detail, StringComparison.Ordinal);
    }

    [Fact]
    public void CloudEvents_are_read_from_their_envelope_from_Kafka_headers_and_from_user_properties()
    {
        var binding = s_json with { Match = "m", Format = PayloadFormat.CloudEvents, Where = ["ce:type=reading"], Stream = "{ce:source}", Time = new() { At = "ce:time" } };
        var decoding = new Decoding(binding);
        string[] expected = ["/meters/7 2026-11-21T05:59:50Z 1250 W gauge"];
        Assert.Equal(expected, decoding.Decode("m", """{"specversion":"1.0","type":"reading","source":"/meters/7","id":"1","time":"2026-11-21T05:59:50Z","data":{"p":1.25}}"""));
        Assert.Equal(expected, decoding.Decode("m", """{"p":1.25}""", headers: [("ce_specversion", "1.0"), ("ce_type", "reading"), ("ce_source", "/meters/7"), ("ce_time", "2026-11-21T05:59:50Z")]));
        Assert.Equal(expected, decoding.Decode("m", """{"p":1.25}""", headers: [("specversion", "1.0"), ("type", "reading"), ("source", "/meters/7"), ("time", "2026-11-21T05:59:50Z")]));

        Assert.Empty(decoding.Decode("m", """{"specversion":"1.0","type":"other","source":"x","data":{"p":1}}"""));
        Assert.Empty(decoding.Letters);
        foreach (var (payload, reason) in ((string, string)[])
        [
            ("""{"p":1}""", DeadLetterReason.Malformed),
            ("""[{"specversion":"1.0"}]""", DeadLetterReason.Malformed),
            ("""{"specversion":"1.0","type":"reading","data_base64":"AAA="}""", DeadLetterReason.MissingField),
            ("""{"specversion":"1.0","type":"reading","source":"x","data":{"p":1}}""", DeadLetterReason.MissingField),
        ])
        {
            Assert.Empty(decoding.Decode("m", payload));
            Assert.Equal([reason], decoding.Reasons);
        }
    }

    [Fact]
    public void Sparkplug_data_speaks_in_the_aliases_of_the_births()
    {
        var decoding = new Decoding(s_plug);
        var wants = Rebirths(decoding);
        Assert.Equal(["gw/m7/power 2026-11-21T05:59:50Z 100 W gauge", "gw/m7/level 2026-11-21T05:59:50Z -2 - gauge"], decoding.Decode("spBv1.0/g/DBIRTH/gw/m7", Birth(1)));
        var data = new ProtobufWriter().Varint(1, 1_795_240_791_000)
            .Block(2, m => m.Varint(2, 1).Varint(3, 1_795_240_790_500).Float(12, 5.5f))
            .Block(2, m => m.Varint(2, 2).Varint(10, 0xFFFF_FFFD)).Varint(3, 2).Bytes;
        Assert.Equal(["gw/m7/power 2026-11-21T05:59:50.5Z 5.5 W gauge", "gw/m7/level 2026-11-21T05:59:51Z -3 - gauge"], decoding.Decode("spBv1.0/g/DDATA/gw/m7", data));
        Assert.Empty(decoding.Letters);
        Assert.Empty(wants);

        var nothing = new ProtobufWriter().Varint(1, 1_795_240_791_000).Block(2, m => m.Varint(2, 1).Varint(7, 1)).Varint(3, 3).Bytes;
        Assert.Empty(decoding.Decode("spBv1.0/g/DDATA/gw/m7", nothing));
        Assert.Equal([DeadLetterReason.NotFinite], decoding.Reasons);
    }

    [Fact]
    public void A_hole_in_the_sequence_or_an_unknown_alias_asks_for_a_rebirth_once()
    {
        var decoding = new Decoding(s_plug);
        var wants = Rebirths(decoding);
        Assert.Empty(decoding.Decode("spBv1.0/g/DDATA/gw/m7", Data(9, seq: 5)));
        Assert.Equal([DeadLetterReason.Stale], decoding.Reasons);
        decoding.Decode("spBv1.0/g/DDATA/gw/m7", Data(9, seq: 6));
        Assert.Equal(["g/gw"], wants);
        decoding.Decode("spBv1.0/g/DDATA/gw/m7", Data(9, seq: 7), arrival: "2026-11-21T06:00:31Z");
        Assert.Equal(2, wants.Count);

        decoding.Decode("spBv1.0/g/NBIRTH/gw", NodeBirth(session: 4));
        var device = new Decoding(new BindingDecoder([s_plug, s_plug with { Name = "node", Match = "spBv1.0/{group}/{type}/{node}", Stream = "{node}/{field}" }]));
        wants = Rebirths(device);
        device.Decode("spBv1.0/g/NBIRTH/gw", NodeBirth(session: 4));
        device.Decode("spBv1.0/g/DBIRTH/gw/m7", Birth(1));
        Assert.Single(device.Decode("spBv1.0/g/DDATA/gw/m7", Data(1, seq: 2)));
        Assert.Empty(wants);
        Assert.Single(device.Decode("spBv1.0/g/DDATA/gw/m7", Data(1, seq: 4)));
        Assert.Equal((1, 1, "g/gw"), (device.Decoder.Counters.SequenceGaps, device.Decoder.Counters.RebirthRequests, Assert.Single(wants)));
    }

    [Fact]
    public void A_birth_whose_values_cannot_be_used_still_says_what_the_data_mean()
    {
        var decoding = new Decoding(s_plug);
        Assert.Empty(decoding.Decode("spBv1.0/g/DBIRTH/gw/m7", Birth(1), arrival: "2026-11-20T06:00:00Z"));
        Assert.All(decoding.Reasons, r => Assert.Equal(DeadLetterReason.Future, r));
        Assert.Equal(["gw/m7/power 2026-11-21T05:59:51Z 7 W gauge"], decoding.Decode("spBv1.0/g/DDATA/gw/m7", Data(1, seq: 9)));

        // The device's messages alone say nothing about those of the node in between.
        Assert.Equal((0, 0), (decoding.Decoder.Counters.SequenceGaps, decoding.Decoder.Counters.RebirthRequests));
    }

    [Fact]
    public void After_a_death_nothing_counts_until_the_next_birth()
    {
        var decoding = new Decoding(new BindingDecoder([s_plug with { Hold = TimeSpan.FromHours(1) }, s_plug with { Name = "node", Match = "spBv1.0/{group}/{type}/{node}", Stream = "{node}/{field}" }]));
        decoding.Decode("spBv1.0/g/NBIRTH/gw", NodeBirth(session: 4));
        Assert.Equal(2, decoding.Decode("spBv1.0/g/DBIRTH/gw/m7", Birth(1)).Length);

        // What the message leaves out is held.
        Assert.Equal(["gw/m7/power 2026-11-21T05:59:51Z 7 W gauge", "gw/m7/level 2026-11-21T05:59:51Z -2 - gauge"], decoding.Decode("spBv1.0/g/DDATA/gw/m7", Data(1, seq: 2)));

        decoding.Decode("spBv1.0/g/NDEATH/gw", new ProtobufWriter().Block(2, m => m.Text(1, "bdSeq").Varint(11, 3)).Bytes);
        Assert.Empty(decoding.Letters);
        decoding.Decode("spBv1.0/g/NDEATH/gw", new ProtobufWriter().Block(2, m => m.Text(1, "bdSeq").Varint(11, 4)).Bytes);
        Assert.Equal([DeadLetterReason.Stale], decoding.Reasons);
        Assert.Equal(2, decoding.Decoder.Counters.Deaths);
        Assert.Empty(decoding.Decode("spBv1.0/g/DDATA/gw/m7", Data(1, seq: 3)));
        Assert.Equal([DeadLetterReason.Stale], decoding.Reasons);

        decoding.Decode("spBv1.0/g/NBIRTH/gw", NodeBirth(session: 5));
        decoding.Decode("spBv1.0/g/DBIRTH/gw/m7", new ProtobufWriter().Varint(1, 1_795_240_790_000).Block(2, m => m.Text(1, "Power").Varint(2, 1).Varint(4, 10).Double(13, 1)).Varint(3, 1).Bytes);
        Assert.Equal(["gw/m7/power 2026-11-21T05:59:51Z 7 W gauge"], decoding.Decode("spBv1.0/g/DDATA/gw/m7", Data(1, seq: 2)));
        decoding.Decode("spBv1.0/g/DDEATH/gw/m7", new ProtobufWriter().Varint(3, 3).Bytes);
        Assert.Equal([DeadLetterReason.Stale], decoding.Reasons);

        Assert.Empty(decoding.Decode("spBv1.0/g/NCMD/gw", new ProtobufWriter().Bytes));
        Assert.Empty(decoding.Letters);
        decoding.Decode("spBv1.0/g/NBIRTH/gw", [0x0A, 0xFF]);
        Assert.Equal([DeadLetterReason.Malformed], decoding.Reasons);
    }

    [Theory]
    [InlineData(FrameLayout.Channels, "[[1,2],[3,4]]", "a/0 .0 1|a/0 .5 2|a/1 .0 3|a/1 .5 4")]
    [InlineData(FrameLayout.Rows, "[[1,3],[2,4]]", "a/0 .0 1|a/0 .5 2|a/1 .0 3|a/1 .5 4")]
    [InlineData(FrameLayout.Flat, "[1,3,\"2\",null]", "a/0 .0 1|a/0 .5 2|a/1 .0 3")]
    [InlineData(FrameLayout.Tokens, "\"1 3 L 4\"", "a/0 .0 1|a/1 .0 3|a/1 .5 4")]
    [InlineData(FrameLayout.Channels, "[5,6]", null)]
    [InlineData(FrameLayout.Channels, "[[1,2],[3]]", null)]
    [InlineData(FrameLayout.Channels, "[[1,2],3]", null)]
    [InlineData(FrameLayout.Rows, "[[[1]]]", null)]
    [InlineData(FrameLayout.Flat, "[1,2,3]", null)]
    [InlineData(FrameLayout.Flat, "[1,{}]", null)]
    [InlineData(FrameLayout.Flat, "[]", null)]
    [InlineData(FrameLayout.Flat, "\"1 2\"", null)]
    public void A_frames_samples_lie_as_its_layout_says(FrameLayout layout, string samples, string? expected)
    {
        var binding = s_json with { Stream = "{dev}/{ch}", Values = Values(("v", new() { At = "/v" })), Frame = new() { Layout = layout, Rate = "2", Dimensions = layout is FrameLayout.Flat or FrameLayout.Tokens ? "2" : null, Labels = layout == FrameLayout.Channels ? "0,1" : null } };
        var decoding = new Decoding(binding);
        var found = decoding.Decode("m/a", $$"""{"v":{{samples}}}""");
        Assert.Equal(expected?.Split('|').Select(e => e.Split(' ')).Select(e => $"{e[0]} 2026-11-21T06:00:00{(e[1] == ".0" ? "" : e[1])}Z {e[2]} - gauge") ?? [], found);
        Assert.Equal(expected is null ? [DeadLetterReason.Malformed] : [], decoding.Reasons);
    }

    [Fact]
    public void Without_ch_an_instant_of_a_frame_is_one_sample_with_channels()
    {
        var binding = s_json with { Stream = "{dev}", Values = Values(("v", new() { At = "/v", Scale = 2, Offset = 1, Unit = "mV" })), Frame = new() { Layout = FrameLayout.Rows, Period = "/dt", PeriodUnit = "us", Anchor = FrameAnchor.Last, Scale = "/s", Origin = "10" } };
        var decoding = new Decoding(binding);
        Assert.Equal(
            ["a 2026-11-21T05:59:59.999Z 0.025,0.029 V gauge", "a 2026-11-21T06:00:00Z 0.033,NaN V gauge"],
            decoding.Decode("m/a", """{"v":[[1,2],[3,null]],"dt":1000,"s":2}"""));
        Assert.Empty(decoding.Decode("m/a", """{"v":[[1,2]],"dt":"soon"}"""));
        Assert.Equal([DeadLetterReason.MissingField], decoding.Reasons);
    }

    [Fact]
    public void Limits_end_what_is_too_deep_too_long_too_many_or_too_wide()
    {
        var limits = new DecodeLimits { MaxDepth = 4, MaxPayloadBytes = 300, MaxSamples = 5, MaxKeyBytes = 8 };
        var decoding = new Decoding(new BindingDecoder([s_json with { Stream = "{dev}", Each = "/r/*" }, s_json with { Name = "c", Match = "c", Format = PayloadFormat.Csv, Stream = "s", Values = Values(("v", new() { At = "0" })) }], limits));
        Assert.Equal(5, decoding.Decode("m/a", $$"""{"r":[{{string.Join(',', Enumerable.Repeat("""{"p":1}""", 20))}}]}""").Length);
        Assert.Equal([DeadLetterReason.Oversized], decoding.Reasons);
        decoding.Decode("m/a", """{"r":[{"p":1,"q":[[[[1]]]]}]}""");
        Assert.Equal([DeadLetterReason.Malformed], decoding.Reasons);
        decoding.Decode("m/a", new byte[301]);
        Assert.Equal([DeadLetterReason.Oversized], decoding.Reasons);
        decoding.Decode("m/123456789", """{"r":[{"p":1}]}""");
        Assert.Equal([DeadLetterReason.BadKey], decoding.Reasons);

        // A thousand bad lines don't become a thousand copies of the payload.
        var many = new Decoding(s_json with { Match = "c", Format = PayloadFormat.Csv, Stream = "s", Values = Values(("v", new() { At = "0" })) });
        Assert.Empty(many.Decode("c", string.Concat(Enumerable.Repeat("x\n", 1000))));
        Assert.Equal(33, many.Letters.Count);
        Assert.Contains("968 more", many.Letters[^1].Detail, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_mistake_in_the_new_settings_is_named()
    {
        (string Key, BindingSettings Binding)[] cases =
        [
            ("Except", s_json with { Except = ["a/b+"] }),
            ("Where", s_json with { Where = ["method=1"] }),
            ("Where", s_json with { Where = ["!/a=1"] }),
            ("Where", s_json with { Where = ["/a|b"] }),
            ("Each", s_json with { Each = "/a*/b/*" }),
            ("Time:At", s_json with { Time = new() { At = "ce:time" } }),
            ("Time:At", s_plug with { Time = new() { At = "/t" } }),
            ("Time:MaxAge", s_json with { Time = new() { MaxAge = TimeSpan.Zero } }),
            ("Values:p:At", s_json with { Values = Values(("p", new() { At = "/a*/b*" })) }),
            ("Values:p:Field", s_json with { Values = Values(("p", new() { At = "/p", Field = "x{*}" })) }),
            ("Values:p:Unit", s_json with { Values = Values(("p", new() { At = "/p", Unit = "/~" })) }),
            ("Stream", s_json with { Stream = "{dev}/{*}" }),
            ("Stream", s_json with { Stream = "{dev}/{ch}" }),
            ("Stream", s_json with { Stream = "{dev}", Values = Values(("p", new() { At = "/*" })) }),
            ("Stream", s_json with { Stream = "{dev}/{*}", Values = Values(("p", new() { At = "/*" }), ("q", new() { At = "/x/q" })) }),
            ("Stream", s_json with { Values = Values(("p", new() { At = "/a/*", Field = "a" })) }),
            ("Frame", s_plug with { Frame = new() { Rate = "1" } }),
            ("Frame:Rate", s_json with { Frame = new() }),
            ("Frame:Rate", s_json with { Frame = new() { Rate = "-1" } }),
            ("Frame:PeriodUnit", s_json with { Frame = new() { Period = "1", PeriodUnit = "fortnight" } }),
            ("Frame:HeaderBytes", s_json with { Frame = new() { Rate = "1", HeaderBytes = 4 } }),
            ("Hold", s_json with { Hold = TimeSpan.FromDays(31) }),
        ];
        foreach (var (key, binding) in cases)
        {
            var problem = Assert.Single(BindingDecoder.Check(binding));
            Assert.Equal(key, problem.Key);
        }

        Assert.Throws<ArgumentException>(() => new BindingDecoder([s_json], new DecodeLimits { MaxKeyBytes = 513 }));
    }

    private static byte[] Birth(ulong seq) => new ProtobufWriter().Varint(1, 1_795_240_790_000)
        .Block(2, m => m.Text(1, "Power").Varint(2, 1).Varint(3, 1_795_240_790_000).Varint(4, 10).Double(13, 100))
        .Block(2, m => m.Text(1, "Level").Varint(2, 2).Varint(4, 2).Varint(10, 0xFFFF_FFFE))
        .Block(2, m => m.Text(1, "Name").Varint(2, 3).Varint(4, 12).Text(15, "seven"))
        .Varint(3, seq).Bytes;

    private static byte[] NodeBirth(ulong session) => new ProtobufWriter().Varint(1, 1_795_240_790_000).Block(2, m => m.Text(1, "bdSeq").Varint(4, 8).Varint(11, session)).Varint(3, 0).Bytes;

    private static byte[] Data(ulong alias, ulong seq) => new ProtobufWriter().Varint(1, 1_795_240_791_000).Block(2, m => m.Varint(2, alias).Double(13, 7)).Varint(3, seq).Bytes;

    private static List<string> Rebirths(Decoding decoding)
    {
        var wants = new List<string>();
        decoding.Decoder.RebirthRequested += (group, node) => wants.Add($"{group}/{node}");
        return wants;
    }

    private static Dictionary<string, BindingValue> Values(params (string Name, BindingValue Value)[] values) => values.ToDictionary(v => v.Name, v => v.Value);
}
