using System.Buffers;
using System.Text;
using StreamLstm.Connectors.Mqtt;

namespace StreamLstm.Integration.Tests.Mqtt;

public class MqttPacketTests
{
    private const MqttVersion V5 = MqttVersion.V5;
    private const MqttVersion V311 = MqttVersion.V311;

    [Fact]
    public void Packets_are_found_however_the_stream_is_cut()
    {
        byte[] stream = [0x40, 2, 0, 7, 0x30, 5, 0, 1, (byte)'t', (byte)'h', (byte)'i', 0xD0, 0];
        for (var piece = 1; piece <= stream.Length; piece++)
        {
            var reader = new MqttFrameReader(100);
            var seen = new List<string>();
            foreach (var chunk in stream.Chunk(piece))
            {
                chunk.CopyTo(reader.GetMemory());
                reader.Advance(chunk.Length);
                while (reader.TryRead(out var f))
                    seen.Add($"{f.Type} {Convert.ToHexString(f.Body.Span)}");
            }

            Assert.Equal(["PubAck 0007", "Publish 0001746869", "PingResp "], seen);
        }
    }

    [Theory]
    [InlineData(V5)]
    [InlineData(V311)]
    public void An_oversized_publish_passes_by_and_leaves_topic_and_packet_id(MqttVersion version)
    {
        var payload = new byte[3_000_000];
        payload.AsSpan().Fill((byte)'x');
        var target = new ArrayBufferWriter<byte>();
        MqttPacketWriter.Publish(target, "big/one"u8, payload, qos: 1, retain: true, duplicate: false, packetId: 9, version);
        MqttPacketWriter.Publish(target, "small"u8, "1"u8, qos: 0, retain: false, duplicate: false, packetId: 0, version);
        var reader = new MqttFrameReader(1000);
        var messages = new List<MqttMessage>();
        var largest = 0;
        foreach (var chunk in target.WrittenMemory.ToArray().Chunk(50_000))
        {
            for (var rest = chunk.AsMemory(); rest.Length > 0;)
            {
                var room = reader.GetMemory();
                largest = Math.Max(largest, room.Length);
                var n = Math.Min(room.Length, rest.Length);
                rest[..n].CopyTo(room);
                rest = rest[n..];
                reader.Advance(n);
                while (reader.TryRead(out var f))
                    messages.Add(MqttPackets.Publish(f, version, 1000, connection: 1, new MqttTopicAliases()));
            }
        }

        Assert.Equal(2, messages.Count);
        var big = messages[0];
        Assert.True(big.IsOversized);
        Assert.Equal(("big/one", 9, 3_000_000, MqttMessage.OversizedHeadBytes, true), (big.Topic, big.PacketId, big.PayloadBytes, big.Payload.Length, big.Retained));
        Assert.Equal(("small", "1"), (messages[1].Topic, Encoding.UTF8.GetString(messages[1].Payload.Span)));
        Assert.True(largest < 300_000, $"buffer of {largest} bytes");
    }

    [Fact]
    public void A_payload_just_over_the_limit_is_oversized_and_one_at_the_limit_is_not()
    {
        foreach (var (bytes, oversized) in new[] { (5000, false), (5001, true) })
        {
            var target = new ArrayBufferWriter<byte>();
            MqttPacketWriter.Publish(target, "t"u8, new byte[bytes], 1, false, false, 1, V5);
            var message = MqttPackets.Publish(Frame(target.WrittenSpan.ToArray()), V5, maxPayloadBytes: 5000, connection: 1, new MqttTopicAliases());
            Assert.Equal(oversized, message.IsOversized);
            Assert.Equal(bytes, message.PayloadBytes);
        }
    }

    [Fact]
    public void User_properties_and_content_type_come_with_the_message()
    {
        // Properties of 18 bytes: content type "j", user property type=r twice.
        var message = MqttPackets.Publish(Frame(Convert.FromHexString("3017" + "000161" + "12" + "0300016A" + "26000174000172" + "26000174000173" + "37")), V5, 100, 1, new MqttTopicAliases());
        Assert.Equal(["content-type=j", "t=r", "t=s"], message.Headers!.Select(h => $"{h.Name}={Encoding.UTF8.GetString(h.Value.Span)}"));
        Assert.Equal("7", Encoding.UTF8.GetString(message.Payload.Span));
        Assert.Null(MqttPackets.Publish(Frame(Convert.FromHexString("3005" + "000161" + "00" + "37")), V5, 100, 1, new MqttTopicAliases()).Headers);
    }

    [Fact]
    public void Connect_is_written_as_the_standard_says()
    {
        var options = new MqttClientOptions
        {
            Host = "h",
            ClientId = "c",
            Username = "u",
            Password = "p",
            CleanStart = true,
            KeepAlive = TimeSpan.FromSeconds(60),
            SessionExpiry = TimeSpan.FromSeconds(258),
            ReceiveMaximum = 20,
            Will = new MqttWill("w", "x"u8.ToArray(), 1, true),
        };
        Assert.Equal(
            "1026" + "00044D515454" + "05" + "EE" + "003C" + "0B" + "1100000102" + "210014" + "220400" + "000163" + "00" + "000177" + "000178" + "000175" + "000170",
            Encode(t => MqttPacketWriter.Connect(t, options, V5)));
        Assert.Equal(
            "1019" + "00044D515454" + "04" + "EE" + "003C" + "000163" + "000177" + "000178" + "000175" + "000170",
            Encode(t => MqttPacketWriter.Connect(t, options, V311)));
    }

    [Fact]
    public void Subscribe_and_publish_are_written_as_the_standard_says()
    {
        Assert.Equal("820A" + "0003" + "00" + "0004" + "612F2B62" + "11", Encode(t => MqttPacketWriter.Subscribe(t, 3, ["a/+b"], 1, 1, V5)));
        Assert.Equal("8209" + "0003" + "0004" + "612F2B62" + "01", Encode(t => MqttPacketWriter.Subscribe(t, 3, ["a/+b"], 1, 1, V311)));
        Assert.Equal("3B08" + "000161" + "0102" + "00" + "7879", Encode(t => MqttPacketWriter.Publish(t, "a"u8, "xy"u8, 1, true, true, 0x0102, V5)));
        Assert.Equal("3005" + "000161" + "7879", Encode(t => MqttPacketWriter.Publish(t, "a"u8, "xy"u8, 0, false, false, 0, V311)));
        foreach (var payload in new[] { 0, 120, 121, 122, 130, 16_380, 16_400, 2_097_160 })
        {
            var target = new ArrayBufferWriter<byte>();
            MqttPacketWriter.Publish(target, "abc"u8, new byte[payload], 1, false, false, 1, V5);
            Assert.Equal(target.WrittenCount, MqttPacketWriter.PublishBytes(3, payload, 1, V5));
        }
    }

    [Fact]
    public void Connack_properties_are_read_and_an_answer_in_the_old_format_is_understood()
    {
        var ack = MqttPackets.ConnAck(Frame([0x20, 0x0F, 1, 0, 12, 0x21, 0, 20, 0x24, 1, 0x27, 0, 0, 4, 0, 0x25, 0]), V5);
        Assert.Equal((true, (byte)0, (ushort)20, (byte)1, 1024u, false), (ack.SessionPresent, ack.ReasonCode, ack.Properties.ReceiveMaximum, ack.Properties.MaximumQos, ack.Properties.MaximumPacketSize, ack.Properties.RetainAvailable));
        Assert.Equal(MqttReason.UnsupportedProtocolVersion, MqttPackets.ConnAck(Frame([0x20, 2, 0, 1]), V5).ReasonCode);
        Assert.Equal(0x86, MqttPackets.ConnAck(Frame([0x20, 2, 0, 4]), V311).ReasonCode);
    }

    [Theory]
    [InlineData("3000", "no topic length")]
    [InlineData("30020005", "topic shorter than it says")]
    [InlineData("30020000", "empty topic")]
    [InlineData("30030001FF", "topic not UTF-8")]
    [InlineData("3003000100", "NUL in the topic")]
    [InlineData("300300012B", "wildcard in the topic")]
    [InlineData("32050001610000", "packet id 0")]
    [InlineData("3204000161 00", "packet id cut")]
    [InlineData("3606000161000100", "QoS 3")]
    [InlineData("38040001 6100", "duplicate with QoS 0")]
    [InlineData("3004000161 05", "properties longer than the packet")]
    [InlineData("3008000161 FFFFFFFFFF", "variable byte integer too long")]
    [InlineData("3006000161 020100", "valid", true)]
    [InlineData("3008000161 0401000100", "property twice")]
    [InlineData("3006000161 027F00", "unknown property")]
    [InlineData("3007000161 03230000", "topic alias 0")]
    [InlineData("3007000161 03230401", "topic alias beyond the maximum")]
    [InlineData("30060000 03230007", "topic alias that stands for nothing")]
    [InlineData("3007000161 03230400", "valid", true)]
    public void Publish_is_checked(string hex, string what, bool valid = false)
    {
        var bytes = Convert.FromHexString(hex.Replace(" ", ""));
        if (valid)
            Assert.Equal("a", MqttPackets.Publish(Frame(bytes), V5, 100, 1, new MqttTopicAliases()).Topic);
        else
            Assert.True(Record.Exception(() => MqttPackets.Publish(Frame(bytes), V5, 100, 1, new MqttTopicAliases())) is MqttProtocolException, what);
    }

    [Fact]
    public void A_topic_alias_stands_for_its_topic_until_it_is_given_another_and_only_on_its_connection()
    {
        var aliases = new MqttTopicAliases();
        string Topic(string hex) => MqttPackets.Publish(Frame(Convert.FromHexString(hex)), V5, 100, 1, aliases).Topic;
        Assert.Equal("a", Topic("3007" + "000161" + "03230007"));
        Assert.Equal("b", Topic("3007" + "000162" + "03230008"));
        Assert.Equal(["a", "b", "a"], new[] { "07", "08", "07" }.Select(id => Topic("3006" + "0000" + "032300" + id)));
        Assert.Equal("c", Topic("3007" + "000163" + "03230007"));
        Assert.Equal("c", Topic("3006" + "0000" + "03230007"));
        aliases = new MqttTopicAliases();
        Assert.Throws<MqttProtocolException>(() => Topic("3006" + "0000" + "03230007"));
    }

    [Fact]
    public void Impossible_lengths_are_protocol_errors()
    {
        Assert.Throws<MqttProtocolException>(() => Frame([0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1]));
        Assert.Throws<MqttProtocolException>(() => Frame([0x90, 0xFF, 0xFF, 0xFF, 0x7F]));
    }

    /// <summary>Seeded: random bytes and mutated packets through the frame reader and every packet reader, in random pieces.</summary>
    [Fact]
    public void Garbage_is_a_protocol_error_and_never_anything_else()
    {
        var random = new Random(20240611);
        byte[][] seeds =
        [
            [0x20, 0x0F, 1, 0, 12, 0x21, 0, 20, 0x24, 1, 0x27, 0, 0, 4, 0, 0x25, 0],
            [0x32, 17, 0, 3, .. "a/b"u8, 0, 9, 7, 0x26, 0, 1, (byte)'k', 0, 1, (byte)'v', 1, 2],
            [0x30, 5, 0, 1, (byte)'t', 0, 0],
            [0x40, 8, 0, 7, 0x10, 4, 0x1F, 0, 1, (byte)'r'],
            [0x34, 7, 0, 1, (byte)'t', 0, 9, 0, (byte)'1'],
            [0x50, 8, 0, 7, 0x91, 4, 0x1F, 0, 1, (byte)'r'],
            [0x62, 2, 0, 7],
            [0x70, 4, 0, 7, 0x92, 0],
            [0x90, 5, 0, 3, 0, 1, 0x87],
            [0xD0, 0],
            [0xE0, 7, 0x8B, 5, 0x1F, 0, 2, (byte)'b', (byte)'y'],
        ];
        int accepted = 0, refused = 0;
        for (var round = 0; round < 20_000; round++)
        {
            var input = Enumerable.Range(0, random.Next(1, 4)).SelectMany(_ => seeds[random.Next(seeds.Length)]).ToArray();
            for (var mutations = random.Next(0, 5); mutations > 0; mutations--)
            {
                var at = random.Next(input.Length);
                switch (random.Next(4))
                {
                    case 0: input[at] = (byte)random.Next(256); break;
                    case 1: input[at] ^= (byte)(1 << random.Next(8)); break;
                    case 2: input = [.. input[..at], .. input[Math.Min(at + random.Next(1, 4), input.Length)..], 0]; break;
                    default: input = [.. input[..at], (byte)random.Next(256), .. input[at..]]; break;
                }
            }

            var reader = new MqttFrameReader(64);
            try
            {
                for (var rest = input.AsMemory(); rest.Length > 0;)
                {
                    var n = random.Next(1, rest.Length + 1);
                    rest[..n].CopyTo(reader.GetMemory());
                    rest = rest[n..];
                    reader.Advance(n);
                    while (reader.TryRead(out var frame))
                    {
                        Read(frame, random.Next(2) == 0 ? V5 : V311);
                        accepted++;
                    }
                }
            }
            catch (MqttProtocolException)
            {
                refused++;
            }
        }

        Assert.True(accepted > 5_000 && refused > 5_000, $"{accepted} accepted, {refused} refused");
    }

    [Theory]
    [InlineData("a/b", "a/b", "covers")]
    [InlineData("a/+", "a/b", "covers")]
    [InlineData("a/#", "a", "covers")]
    [InlineData("a/#", "a/+/c", "covers")]
    [InlineData("#", "a/#", "covers")]
    [InlineData("+/+", "a/b", "covers")]
    [InlineData("$SYS/#", "$SYS/a", "covers")]
    [InlineData("a/+/c", "a/b/+", "overlap")]
    [InlineData("+/b/#", "a/+", "overlap")]
    [InlineData("a/+/#", "a/#", "overlap")]
    [InlineData("a", "a/b", "apart")]
    [InlineData("a/+", "a", "apart")]
    [InlineData("a/+", "a/b/c", "apart")]
    [InlineData("a/+/c", "a/b/d", "apart")]
    [InlineData("#", "$SYS/a", "apart")]
    [InlineData("+/a", "$SYS/a", "apart")]
    public void Filters_are_compared_as_the_broker_matches_them(string first, string second, string relation)
    {
        Assert.Equal(relation == "covers", MqttFilters.Covers(first, second));
        Assert.Equal(relation != "apart", MqttFilters.Overlap(first, second));
        Assert.Equal(relation != "apart", MqttFilters.Overlap(second, first));
    }

    [Fact]
    public void A_covered_filter_is_not_subscribed() =>
        Assert.Equal(["a/#", "b/+", "c"], MqttFilters.WithoutCovered(["a/b", "a/#", "b/+", "a/+/c", "b/+", "c", "b/x"]));

    [Theory]
    [InlineData("nl/M-42", "nl/M-42")]
    [InlineData("a+b#c", "a%2Bb%23c")]
    [InlineData("/a//b/", "%2Fa/%2Fb%2F")]
    [InlineData("/", "%2F")]
    [InlineData("100%", "100%25")]
    [InlineData("a\0\n", "a%00%0A")]
    [InlineData("Zähler/😀", "Zähler/😀")]
    [InlineData("\uFFFE", "%EF%BF%BE")]
    public void Stream_keys_become_topics_and_can_be_read_back(string stream, string topic)
    {
        Assert.Equal(topic, MqttTopic.Encode(stream));
        Assert.Equal(stream, Uri.UnescapeDataString(MqttTopic.Encode(stream)));
    }

    [Fact]
    public void A_stream_key_of_slashes_does_not_exceed_what_brokers_accept()
    {
        var topic = MqttTopic.Encode(string.Concat(Enumerable.Repeat("a/", 255)) + "a");
        Assert.Equal(100, topic.Split('/').Length);
    }

    private static void Read(MqttFrame frame, MqttVersion version)
    {
        switch (frame.Type)
        {
            case MqttPacketType.ConnAck: MqttPackets.ConnAck(frame, version); break;
            case MqttPacketType.Publish: MqttPackets.Publish(frame, version, 64, 1, new MqttTopicAliases()); break;
            case MqttPacketType.PubAck or MqttPacketType.PubRec or MqttPacketType.PubRel or MqttPacketType.PubComp: MqttPackets.Ack(frame, version); break;
            case MqttPacketType.SubAck: MqttPackets.SubAck(frame, version); break;
            case MqttPacketType.PingResp: MqttPackets.PingResp(frame); break;
            case MqttPacketType.Disconnect: MqttPackets.Disconnect(frame, version); break;
            default: throw new MqttProtocolException("other type");
        }
    }

    private static string Encode(Action<ArrayBufferWriter<byte>> write)
    {
        var target = new ArrayBufferWriter<byte>();
        write(target);
        return Convert.ToHexString(target.WrittenSpan);
    }

    private static MqttFrame Frame(byte[] packet)
    {
        var reader = new MqttFrameReader(10_000);
        packet.CopyTo(reader.GetMemory());
        reader.Advance(packet.Length);
        Assert.True(reader.TryRead(out var frame));
        return frame;
    }
}
