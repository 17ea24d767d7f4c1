using System.Buffers.Binary;
using System.Text;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Integration.Tests.Codecs;

[Trait("Category", "Formats")]
public sealed class PresetTests
{
    /// <summary>preset, topic, payload, samples separated by a bar.</summary>
    public static TheoryData<string, string, string, string> Messages => new()
    {
        { "tasmota", "tele/boiler/SENSOR", """{"Time":"2026-11-21T05:59:58","ENERGY":{"Total":12.5,"Today":0.3,"Power":1840,"Factor":0.98,"Voltage":231,"Current":8.1}}""", "boiler/current 2026-11-21T05:59:58Z 8.1 A gauge|boiler/energy 2026-11-21T05:59:58Z 12500 Wh counter|boiler/power 2026-11-21T05:59:58Z 1840 W gauge|boiler/voltage 2026-11-21T05:59:58Z 231 V gauge" },
        { "tasmota", "tele/desk/strip/SENSOR", """{"Time":"2026-11-21T05:59:58Z","ENERGY":{"Total":[0.25,4],"Power":[7,19.5]}}""", "desk/strip/energy0 2026-11-21T05:59:58Z 250 Wh counter|desk/strip/energy1 2026-11-21T05:59:58Z 4000 Wh counter|desk/strip/power0 2026-11-21T05:59:58Z 7 W gauge|desk/strip/power1 2026-11-21T05:59:58Z 19.5 W gauge" },
        { "tasmota", "tele/th/SENSOR", """{"Time":"2026-11-21T05:59:58","AM2301":{"Temperature":21.5}}""", "" },
        { "shelly-gen2", "shellypro3em-0a1b/events/rpc", """{"src":"shellypro3em-0a1b","method":"NotifyStatus","params":{"ts":1795240799.25,"em:0":{"id":0,"a_act_power":210.5,"total_act_power":633.5},"wifi":{"rssi":-60}}}""", "shellypro3em-0a1b/em0 2026-11-21T05:59:59.25Z 633.5 W gauge" },
        { "shelly-gen2", "shellypro3em-0a1b/events/rpc", """{"src":"shellypro3em-0a1b","method":"NotifyStatus","params":{"ts":1795240799.25,"wifi":{"rssi":-60}}}""", "" },
        { "shelly-gen2", "shellypro3em-0a1b/events/rpc", """{"src":"shellypro3em-0a1b","method":"NotifyEvent","params":{"ts":1795240799.25,"em:0":{"total_act_power":1}}}""", "" },
        { "shelly-gen2", "shellyplug-77/events/rpc", """{"src":"shellyplug-77","method":"NotifyStatus","params":{"ts":1795240799.25,"switch:0":{"id":0,"apower":41.5,"aenergy":{"total":1234.5,"minute_ts":1795240740}}}}""", "shellyplug-77/switch0/energy 2026-11-21T05:59:59.25Z 1234.5 Wh counter|shellyplug-77/switch0/power 2026-11-21T05:59:59.25Z 41.5 W gauge" },
        { "shelly-gen2", "shellypro3em-0a1b/status/em:0", """{"id":0,"total_act_power":-12.25,"n_current":null}""", "shellypro3em-0a1b/em0 2026-11-21T06:00:00Z -12.25 W gauge" },
        { "shelly-gen2", "shellypro3em-0a1b/status/emdata:0", """{"id":0,"total_act":98765.43,"total_act_ret":12.0}""", "shellypro3em-0a1b/em0/export 2026-11-21T06:00:00Z 12 Wh counter|shellypro3em-0a1b/em0/import 2026-11-21T06:00:00Z 98765.43 Wh counter" },
        { "shelly-gen2", "shellyplug-77/status/switch:0", """{"id":0,"output":true,"apower":41.5,"voltage":229.9,"aenergy":{"total":1234.5,"minute_ts":1795240740}}""", "shellyplug-77/switch0/energy 2026-11-21T06:00:00Z 1234.5 Wh counter|shellyplug-77/switch0/power 2026-11-21T06:00:00Z 41.5 W gauge" },
        { "shelly-gen2", "shellyplug-77/status/wifi", """{"rssi":-60}""", "" },
        { "zigbee2mqtt", "zigbee2mqtt/attic/freezer", """{"energy":3.25,"power":88,"linkquality":120,"last_seen":1795240790500}""", "attic/freezer/energy 2026-11-21T05:59:50.5Z 3250 Wh counter|attic/freezer/power 2026-11-21T05:59:50.5Z 88 W gauge" },
        { "zigbee2mqtt", "zigbee2mqtt/hall", """{"temperature":19.75,"humidity":51}""", "hall/humidity 2026-11-21T06:00:00Z 51 % gauge|hall/temperature 2026-11-21T06:00:00Z 19.75 °C gauge" },
        { "zigbee2mqtt", "zigbee2mqtt/attic/freezer/set", """{"power":1}""", "" },
        { "zigbee2mqtt", "zigbee2mqtt/cellar", "\uFEFF{\"power\":3,\"last_seen\":null}", "cellar/power 2026-11-21T06:00:00Z 3 W gauge" },
        { "zigbee2mqtt", "zigbee2mqtt/door", """{"contact":true,"battery":90}""", "" },
        { "zigbee2mqtt", "zigbee2mqtt/bridge/state", """{"state":"online"}""", "" },
        { "dsmr-reader", "dsmr/json", """{"id":7,"timestamp":"2026-11-21T05:59:50Z","electricity_delivered_1":"811.250","electricity_delivered_2":"0.500","electricity_currently_delivered":"0.315","electricity_currently_returned":"0.000"}""", "dsmr/power 2026-11-21T05:59:50Z 315 W gauge|dsmr/power_returned 2026-11-21T05:59:50Z 0 W gauge|dsmr/t1 2026-11-21T05:59:50Z 811250 Wh counter|dsmr/t2 2026-11-21T05:59:50Z 500 Wh counter" },
        { "dsmr-reader", "dsmr/reading/electricity_currently_delivered", "0.315", "dsmr/electricity_currently_delivered 2026-11-21T06:00:00Z 315 W gauge" },
        { "dsmr-reader", "dsmr/reading/electricity_returned_2", "17.5", "dsmr/electricity_returned_2 2026-11-21T06:00:00Z 17500 Wh counter" },
        { "dsmr-reader", "dsmr/reading/phase_voltage_l1", "229.8", "dsmr/phase_voltage_l1 2026-11-21T06:00:00Z 229.8 V gauge" },
        { "dsmr-reader", "dsmr/reading/timestamp", "2026-11-21T05:59:50Z", "" },
        { "p1", "hall/raw", "/XYZ5test\r\n\r\n1-3:0.2.8(50)\r\n0-0:1.0.0(261121065950W)\r\n1-0:1.8.1(000811.250*kWh)\r\n1-0:1.7.0(00.315*kW)\r\n0-1:24.2.1(261121065500W)(01234.567*m3)\r\n!CRC\r\n", "hall/gas 2026-11-21T05:59:50Z 1234.567 m3 counter|hall/import_t1 2026-11-21T05:59:50Z 811250 Wh counter|hall/power 2026-11-21T05:59:50Z 315 W gauge" },
        { "esphome", "garage/sensor/mains_power/state", "512.5", "garage/mains_power 2026-11-21T06:00:00Z 512.5 - gauge" },
        { "ha-statestream", "homeassistant/sensor/house_power/state", "\"512.5\"", "house_power 2026-11-21T06:00:00Z 512.5 - gauge" },
        { "emoncms", "emon/emonpi/power1", "100", "emonpi/power1 2026-11-21T06:00:00Z 100 - gauge" },
        { "emoncms", "emon/emontx4", """{"power":10,"vrms":230.1,"time":1795240780,"name":"kitchen"}""", "emontx4/power 2026-11-21T05:59:40Z 10 - gauge|emontx4/vrms 2026-11-21T05:59:40Z 230.1 - gauge" },
        { "homie5", "homie/5/meter-9/main/power", "77.25", "meter-9/main/power 2026-11-21T06:00:00Z 77.25 - gauge" },
        { "openems", "edge/edge7/channel/_sum/ConsumptionActivePower", "2310", "edge7/_sum/ConsumptionActivePower 2026-11-21T06:00:00Z 2310 - gauge" },
        { "edgex", "edgex/events/device/svc/profile/meter-3/power", """{"apiVersion":"v3","event":{"deviceName":"meter-3","readings":[{"origin":1795240790500000000,"deviceName":"meter-3","resourceName":"power","valueType":"Float32","value":"1.25e+00","units":"kW"}]}}""", "meter-3/power 2026-11-21T05:59:50.5Z 1250 W gauge" },
        { "edgex", "edgex/events/x", """{"deviceName":"meter-3","readings":[{"origin":1795240790500000000,"deviceName":"meter-3","resourceName":"level","valueType":"Int64","value":"7","units":"cm"}]}""", "meter-3/level 2026-11-21T05:59:50.5Z 7 cm gauge" },
        { "telegraf", "telegraf/meters", "modbus,host=gw1,unit=3 power=41.5,state=\"ok, fine\",on=true,total=12i 1795240790500000000\n", "gw1/modbus/power 2026-11-21T05:59:50.5Z 41.5 - gauge|gw1/modbus/total 2026-11-21T05:59:50.5Z 12 - gauge" },
        { "telegraf-json", "telegraf/meters", """{"fields":{"power":41.5,"state":"ok"},"name":"modbus","tags":{"host":"gw1"},"timestamp":1795240790}""", "gw1/modbus/power 2026-11-21T05:59:50Z 41.5 - gauge" },
        { "telegraf-json", "telegraf/meters", """{"metrics":[{"fields":{"power":1},"name":"m","tags":{"host":"a"},"timestamp":1795240790},{"fields":{"power":2},"name":"m","tags":{"host":"b"},"timestamp":1795240791}]}""", "a/m/power 2026-11-21T05:59:50Z 1 - gauge|b/m/power 2026-11-21T05:59:51Z 2 - gauge" },
        { "tts", "v3/app7@ttn/devices/pulse-1/up", """{"end_device_ids":{"device_id":"pulse-1"},"received_at":"2026-11-21T05:59:59.5Z","uplink_message":{"f_port":2,"f_cnt":9,"frm_payload":"AQID","decoded_payload":{"energy_wh":1500,"status":"ok"},"received_at":"2026-11-21T05:59:59.123456789Z"}}""", "app7@ttn/pulse-1/energy_wh 2026-11-21T05:59:59.123456Z 1500 - gauge" },
        { "tts", "v3/app7@ttn/devices/pulse-1/up", """{"uplink_message":{"f_port":2,"frm_payload":"AQID","received_at":"2026-11-21T05:59:59Z"}}""", "" },
        { "cloudevents", "readings", """{"specversion":"1.0","type":"reading","source":"/meters/7","id":"1","time":"2026-11-21T05:59:50Z","data":{"power":1250,"unit":"W"}}""", "/meters/7/power 2026-11-21T05:59:50Z 1250 - gauge" },
        { "fhir-sampleddata", "fhir/observation", """{"resourceType":"Observation","effectiveDateTime":"2026-11-21T06:59:50+01:00","subject":{"reference":"Patient/p7"},"component":[{"code":{"coding":[{"code":"131330"}]},"valueSampledData":{"origin":{"value":100,"unit":"uV"},"period":4,"factor":2,"dimensions":1,"data":"0 E 50 -50"}}]}""", "Patient/p7/131330 2026-11-21T05:59:50Z 0.0001 V gauge|Patient/p7/131330 2026-11-21T05:59:50.008Z 0.0002 V gauge|Patient/p7/131330 2026-11-21T05:59:50.012Z 0 V gauge" },
        { "fhir-sampleddata", "fhir/observation", """{"resourceType":"Observation","effectiveDateTime":"2026-11-21T05:59:50Z","subject":{"reference":"Patient/p7"},"code":{"coding":[{"code":"8867-4"}]},"valueSampledData":{"origin":{"value":0},"interval":2,"intervalUnit":"s","dimensions":1,"data":"61 62"}}""", "Patient/p7/8867-4 2026-11-21T05:59:50Z 61 - gauge|Patient/p7/8867-4 2026-11-21T05:59:52Z 62 - gauge" },
        { "ecg-frame", "ecg/bed-3/frame", """{"seq":4,"ts":1795240790000,"fs":250,"leads":["I","II"],"mv":[[0.5,null],[-0.25,1e0]]}""", "bed-3/I 2026-11-21T05:59:50Z 0.0005 V gauge|bed-3/II 2026-11-21T05:59:50Z -0.00025 V gauge|bed-3/II 2026-11-21T05:59:50.004Z 0.001 V gauge" },
    };

    [Theory]
    [MemberData(nameof(Messages))]
    public void A_preset_reads_what_its_devices_publish(string preset, string topic, string payload, string expected)
    {
        // The CRC of a telegram is that of its text.
        if (payload.EndsWith("!CRC\r\n", StringComparison.Ordinal))
        {
            var text = payload[..^5];
            payload = $"{text}{ObisCrc(Encoding.ASCII.GetBytes(text)):X4}\r\n";
        }

        var decoding = Decoding.Preset(preset);
        Assert.Equal(expected.Split('|', StringSplitOptions.RemoveEmptyEntries).Order(StringComparer.Ordinal), decoding.Decode(topic, payload).Order(StringComparer.Ordinal));
        Assert.Empty(decoding.Letters);
    }

    [Fact]
    public void The_sparkplug_preset_takes_every_metric_in_the_unit_of_its_birth()
    {
        var decoding = Decoding.Preset("sparkplug");
        var birth = new ProtobufWriter().Varint(1, 1_795_240_790_000)
            .Block(2, m => m.Text(1, "Power").Varint(2, 4).Varint(4, 10).Double(13, 1.5).Block(9, p => p.Text(1, "engUnit").Block(2, v => v.Varint(1, 12).Text(8, "kW"))))
            .Block(2, m => m.Text(1, "Node Control/Rebirth").Varint(4, 11).Varint(14, 0))
            .Varint(3, 0).Bytes;
        Assert.Equal(["plant/gw/Power 2026-11-21T05:59:50Z 1500 W gauge"], decoding.Decode("spBv1.0/plant/NBIRTH/gw", birth));
        var data = new ProtobufWriter().Varint(1, 1_795_240_791_000).Block(2, m => m.Varint(2, 4).Varint(3, 1_795_240_790_500).Double(13, 2)).Varint(3, 1).Bytes;
        Assert.Equal(["plant/gw/Power 2026-11-21T05:59:50.5Z 2000 W gauge"], decoding.Decode("spBv1.0/plant/NDATA/gw", data));
        Assert.Empty(decoding.Letters);
    }

    [Fact]
    public void Binary_ecg_frames_have_a_time_and_samples()
    {
        var payload = new byte[8 + 6];
        BinaryPrimitives.WriteInt64LittleEndian(payload, 1_795_240_790_000);
        foreach (var (i, v) in new short[] { 500, -250, 0 }.Index())
            BinaryPrimitives.WriteInt16LittleEndian(payload.AsSpan(8 + (2 * i)), v);
        Assert.Equal(
            ["bed-3/ecg 2026-11-21T05:59:50Z 0.0005 V gauge", "bed-3/ecg 2026-11-21T05:59:50.004Z -0.00025 V gauge", "bed-3/ecg 2026-11-21T05:59:50.008Z 0 V gauge"],
            Decoding.Preset("ecg-frame").Decode("ecg/bed-3/int16", payload));
        payload = [.. payload[..8], .. BitConverter.GetBytes(0.5f), .. BitConverter.GetBytes(float.NaN)];
        Assert.Equal(["bed-3/ecg 2026-11-21T05:59:50Z 0.0005 V gauge"], Decoding.Preset("ecg-frame").Decode("ecg/bed-3/float32", payload));
    }

    [Fact]
    public void Every_preset_compiles_has_a_message_here_and_a_line_in_the_documentation()
    {
        string[] binary = ["sparkplug", "ecg-frame"];
        var tested = Messages.Select(m => ((string, string, string, string))m.Data).Select(d => d.Item1).Concat(binary).ToHashSet();
        var readme = File.ReadAllText(Readme());
        foreach (var name in Presets.Names)
        {
            Assert.All(Presets.Find(name), b => Assert.Empty(BindingDecoder.Check(b)));
            if (name.Contains('/', StringComparison.Ordinal))
                continue;
            Assert.Contains(name, tested);
            Assert.Contains($"| `{name}` |", readme, StringComparison.Ordinal);
        }

        Assert.Empty(Presets.Find("shelly"));
        Assert.Empty(Presets.Find("shelly-gen2/x"));
        Assert.Equal(4, Presets.Find("shelly-gen2").Count);
    }

    [Fact]
    public void Words_for_no_value_are_dead_letters_with_the_stream_they_are_about()
    {
        foreach (var (preset, topic, payload, stream) in ((string, string, string, string)[])
        [
            ("esphome", "garage/sensor/mains_power/state", "nan", "garage/mains_power"),
            ("ha-statestream", "homeassistant/sensor/house_power/state", "\"unavailable\"", "house_power"),
            ("openems", "edge/edge7/channel/_sum/GridActivePower", "null", "edge7/_sum/GridActivePower"),
        ])
        {
            var decoding = Decoding.Preset(preset);
            Assert.Empty(decoding.Decode(topic, payload));
            var letter = Assert.Single(decoding.Letters);
            Assert.Equal((DeadLetterReason.NotFinite, stream), (letter.Reason, letter.Stream));
        }
    }

    /// <summary>The definition, bit by bit, as a second opinion.</summary>
    internal static ushort ObisCrc(byte[] text)
    {
        var crc = 0;
        foreach (var b in text)
        {
            for (var bit = 0; bit < 8; bit++)
            {
                var feedback = ((crc ^ (b >> bit)) & 1) != 0;
                crc = (crc >> 1) ^ (feedback ? 0xA001 : 0);
            }
        }

        return (ushort)crc;
    }

    private static string Readme()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            var path = Path.Combine(folder.FullName, "src", "StreamLstm.Connectors", "Codecs", "README.md");
            if (File.Exists(path))
                return path;
        }

        throw new FileNotFoundException("No Codecs/README.md above the tests.");
    }
}
