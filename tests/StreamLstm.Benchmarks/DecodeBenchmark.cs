using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Benchmarks;

/// <summary>
/// Payload bytes in, samples in a batch out, on one thread: what decoding costs by itself. A thousand streams take turns, each with
/// bytes of its own; a batch is cleared after 512 messages, as a source does after an append.
/// </summary>
internal static class DecodeBenchmark
{
    private const int Streams = 1000;
    private const long Now = 1_796_000_000_000_000;

    public static DecodeReport Run(string filter, double seconds)
    {
        (string Path, Func<Feed> Feed)[] feeds =
        [
            ("json flat", Flat), ("json nested", Nested), ("line protocol", Lines), ("sparkplug", Sparkplug), ("int16 frame", Binary), ("json frame", JsonFrame),
        ];
        return new(Machine.Processor, [.. feeds.Where(f => f.Path.Contains(filter, StringComparison.Ordinal)).Select(f => Measure(f.Path, f.Feed(), seconds))]);
    }

    private static DecodeResult Measure(string path, Feed feed, double seconds)
    {
        var batch = new SampleBatch();
        foreach (var (topic, payload) in feed.Before)
            Decode(feed.Decoder, topic, payload, batch);
        if (batch.DeadLetters.Count > 0)
            throw new InvalidOperationException($"{path}: {batch.DeadLetters[0].Detail}");
        batch.Clear();

        var position = 0;
        double best = 0;
        long samples = 0, allocated = 0;

        // Rounds of a fifth of the time; the fastest one is the machine's, the others are its neighbours'.
        for (var round = 0; round < 6; round++)
        {
            samples = 0;
            var before = GC.GetAllocatedBytesForCurrentThread();
            var started = Stopwatch.GetTimestamp();
            while (Stopwatch.GetElapsedTime(started).TotalSeconds < seconds / 5)
            {
                for (var i = 0; i < 512; i++)
                {
                    position = (position + 389) % feed.Messages.Length;
                    var (topic, payload) = feed.Messages[position];
                    Decode(feed.Decoder, topic, payload, batch);
                }

                // Not the batch's entries: a frame is one of them.
                samples += 512L * feed.SamplesPerMessage;
                if (batch.DeadLetters.Count > 0)
                    throw new InvalidOperationException($"{path}: {batch.DeadLetters[0].Detail}");
                batch.Clear();
            }

            if (round == 0)
                continue;
            allocated += GC.GetAllocatedBytesForCurrentThread() - before;
            best = Math.Max(best, samples / Stopwatch.GetElapsedTime(started).TotalSeconds);
        }

        return new DecodeResult(path, feed.Messages[0].Payload.Length, feed.SamplesPerMessage, best, (double)allocated / samples);
    }

    private static void Decode(BindingDecoder decoder, string topic, byte[] payload, SampleBatch batch) =>
        decoder.Decode(new SourceMessage { Source = "memory", Topic = topic, Payload = payload, ArrivalMicros = Now, Position = "" }, batch);

    private static Feed Flat() => new(
        new BindingDecoder(
        [
            new BindingSettings { Name = "b", Match = "meters/{id}", Stream = "{id}", Time = new() { At = "/t" }, Values = Values(("v", new() { At = "/v" })) },
        ]),
        1,
        [],
        i => ($"meters/m{i:D5}", Utf8($$"""{"t":{{(Now / 1000) - i}},"v":{{400 + Math.Sin(i):F3}}}""")));

    private static Feed Nested() => new(
        new BindingDecoder(
        [
            new BindingSettings
            {
                Name = "b",
                Match = "tele/{dev}/SENSOR",
                Stream = "{dev}/{field}",
                Time = new() { At = "/Time" },
                Values = Values(("power", new() { At = "/ENERGY/Power", Unit = "W" }), ("energy", new() { At = "/ENERGY/Total", Unit = "kWh" }), ("voltage", new() { At = "/ENERGY/Voltage" })),
            },
        ]),
        3,
        [],
        i => ($"tele/m{i:D5}/SENSOR", Utf8($$$"""{"Time":"2026-11-24T12:{{{i % 60:D2}}}:10Z","ENERGY":{"TotalStartTime":"2018-11-14T18:39:40","Total":{{{6 + (i * 0.001):F3}}},"Yesterday":5.340,"Today":0.954,"Period":217,"Power":{{{2000 + i}}},"ApparentPower":2650,"Factor":0.99,"Voltage":227,"Current":11.661}}""")));

    private static Feed Lines() => new(
        new BindingDecoder(
        [
            new BindingSettings
            {
                Name = "b",
                Match = "telegraf/{x}",
                Format = PayloadFormat.Influx,
                Stream = "{tag:host}/{field}",
                Values = Values(("power", new() { At = "power" }), ("energy", new() { At = "energy" })),
            },
        ]),
        20,
        [],
        i => ("telegraf/modbus", Utf8(string.Concat(Enumerable.Range(0, 10).Select(k => FormattableString.Invariant($"modbus,host=m{i:D5},unit={k} power={400 + Math.Sin(i + k):F2},energy={123456 + i}i {(Now - k) * 1000}\n"))))));

    private static Feed Sparkplug()
    {
        var birth = new List<byte>();
        Varint(birth, 1, Now / 1000);
        for (var m = 0; m < 10; m++)
            Block(birth, 2, [.. Text(1, $"Meter/{m}"), .. Number(2, m), .. Number(4, 10), .. Double(13, m)]);
        Varint(birth, 3, 0);
        return new(
            new BindingDecoder(
            [
                new BindingSettings { Name = "b", Match = "spBv1.0/{group}/{type}/{node}", Format = PayloadFormat.Sparkplug, Stream = "{node}/{field}", Values = Values(("any", new() { At = "*" })) },
            ]),
            10,
            [.. Enumerable.Range(0, Streams).Select(i => ($"spBv1.0/site/NBIRTH/n{i:D4}", birth.ToArray()))],
            i =>
            {
                // Without a sequence number, as the same thousand messages go round and round.
                var data = new List<byte>();
                Varint(data, 1, Now / 1000);
                for (var m = 0; m < 10; m++)
                    Block(data, 2, [.. Number(2, m), .. Number(3, (Now / 1000) - m), .. Double(13, i + m)]);
                return ($"spBv1.0/site/NDATA/n{i:D4}", data.ToArray());
            });
    }

    private static Feed Binary() => new(
        new BindingDecoder(
        [
            new BindingSettings
            {
                Name = "b",
                Match = "ecg/{bed}/int16",
                Format = PayloadFormat.Int16,
                Stream = "{bed}/{ch}",
                Time = new() { At = "0" },
                Frame = new() { Layout = FrameLayout.Flat, Rate = "250", Labels = "I,II", HeaderBytes = 8 },
                Values = Values(("ecg", new() { Unit = "uV" })),
            },
        ]),
        100,
        [],
        i =>
        {
            var payload = new byte[8 + 200];
            BinaryPrimitives.WriteInt64LittleEndian(payload, (Now / 1000) - 1000);
            for (var k = 0; k < 100; k++)
                BinaryPrimitives.WriteInt16LittleEndian(payload.AsSpan(8 + (2 * k)), (short)(1000 * Math.Sin(k + i)));
            return ($"ecg/bed-{i:D4}/int16", payload);
        });

    private static Feed JsonFrame() => new(
        new BindingDecoder(Presets.Find("ecg-frame/json")),
        72,
        [],
        i => ($"ecg/bed-{i:D4}/frame", Utf8($$"""{"seq":{{i}},"ts":{{(Now / 1000) - 1000}},"fs":360,"leads":["MLII","V5"],"mv":[[{{Lead(i)}}],[{{Lead(i + 7)}}]]}""")));

    private static string Lead(int i) => string.Join(',', Enumerable.Range(0, 36).Select(k => Math.Sin(i + k).ToString("F3", CultureInfo.InvariantCulture)));

    private static Dictionary<string, BindingValue> Values(params (string Name, BindingValue Value)[] values) => values.ToDictionary(v => v.Name, v => v.Value);

    private static byte[] Utf8(FormattableString text) => Utf8(FormattableString.Invariant(text));

    private static byte[] Utf8(string text) => Encoding.UTF8.GetBytes(text);

    private static void Varint(List<byte> target, int field, long value) => target.AddRange(Number(field, value));

    private static void Block(List<byte> target, int field, byte[] content)
    {
        target.Add((byte)((field << 3) | 2));
        target.Add((byte)content.Length);
        target.AddRange(content);
    }

    private static byte[] Text(int field, string text) => [(byte)((field << 3) | 2), (byte)text.Length, .. Encoding.ASCII.GetBytes(text)];

    private static byte[] Number(int field, long value)
    {
        var bytes = new List<byte> { (byte)(field << 3) };
        var rest = (ulong)value;
        for (; rest >= 0x80; rest >>= 7)
            bytes.Add((byte)(rest | 0x80));
        bytes.Add((byte)rest);
        return [.. bytes];
    }

    private static byte[] Double(int field, double value) => [(byte)((field << 3) | 1), .. BitConverter.GetBytes(value)];

    private sealed class Feed(BindingDecoder decoder, int samples, (string Topic, byte[] Payload)[] before, Func<int, (string Topic, byte[] Payload)> message)
    {
        public BindingDecoder Decoder => decoder;

        public int SamplesPerMessage => samples;

        public (string Topic, byte[] Payload)[] Before => before;

        public (string Topic, byte[] Payload)[] Messages { get; } = [.. Enumerable.Range(0, Streams).Select(message)];
    }
}

internal sealed record DecodeResult(string Path, int PayloadBytes, int SamplesPerMessage, double SamplesPerS, double BytesPerSample);

internal sealed record DecodeReport(string Cpu, IReadOnlyList<DecodeResult> Rows);
