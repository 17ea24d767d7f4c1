using System.Diagnostics;
using System.Globalization;
using System.Text;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Integration.Tests.Codecs;

/// <summary>
/// Generated inputs for every decoder: valid payloads that were mutated, and noise. Each input either gives samples, or a dead letter
/// with a reason, or is counted as left alone; nothing throws, hangs or allocates without bound.
/// <para>STREAMLSTM_FUZZ_INPUTS sets their number (a long run: 10000000), STREAMLSTM_FUZZ_SEED where they begin.</para>
/// </summary>
[Trait("Category", "Formats")]
public sealed class DecoderFuzzTests
{
    private const int DefaultInputs = 1_000_000;

    /// <summary>What one input may allocate: dead letters with copies of its head, buffers grown to its size, and an exception's stack.</summary>
    private const long MaxBytesPerInput = 1 << 20;

    /// <summary>Far beyond what any payload of this size costs, even on a busy machine.</summary>
    private static readonly TimeSpan s_maxTime = TimeSpan.FromSeconds(2);

    private static readonly DecodeLimits s_limits = new() { MaxDepth = 32, MaxPayloadBytes = 16 * 1024, MaxSamples = 500, MaxKeyBytes = 64 };

    [Fact]
    public void Nothing_that_arrives_breaks_a_decoder_and_nothing_is_refused_without_a_reason()
    {
        var inputs = int.Parse(Environment.GetEnvironmentVariable("STREAMLSTM_FUZZ_INPUTS") ?? DefaultInputs.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
        var seed = int.Parse(Environment.GetEnvironmentVariable("STREAMLSTM_FUZZ_SEED") ?? "1", CultureInfo.InvariantCulture);
        var seeds = Seeds();
        var reasons = DeadLetterReason.All.ToHashSet();
        var perSeed = Math.Max(1, inputs / seeds.Count);
        var (samples, rejected, alone) = (0L, 0L, 0L);
        Parallel.For(0, seeds.Count, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(2, Environment.ProcessorCount) }, s =>
        {
            var random = new Random((seed * 1_000_003) + s);
            var (bindings, topics, valid) = seeds[s];
            var decoder = new BindingDecoder(bindings, s_limits);
            var batch = new SampleBatch();
            MessageHeader[][] headers = [[], [new("ce_specversion", "1.0"u8.ToArray()), new("ce_source", "x"u8.ToArray())], [new("ce_time", new byte[] { 0xFF })]];
            for (var i = 0; i < perSeed; i++)
            {
                var payload = Input(random, valid);
                var topic = topics[random.Next(topics.Length)];
                var left = Left(decoder);
                var bytes = GC.GetAllocatedBytesForCurrentThread();
                var started = Stopwatch.GetTimestamp();
                try
                {
                    decoder.Decode(
                        new SourceMessage
                        {
                            Source = "fuzz",
                            Topic = topic,
                            Payload = payload,
                            Key = payload.AsSpan(0, Math.Min(payload.Length, 9)),
                            ArrivalMicros = 1_795_240_800_000_000 + i,
                            Position = "p",
                            Retained = random.Next(50) == 0,
                            Headers = headers[random.Next(headers.Length)],
                        },
                        batch);
                }
                catch (Exception e)
                {
                    Assert.Fail($"Seed {seed}, {bindings[0].Name}, input {i} on {topic}: {Convert.ToBase64String(payload)}: {e}");
                }

                var took = Stopwatch.GetElapsedTime(started);
                bytes = GC.GetAllocatedBytesForCurrentThread() - bytes;
                if (took > s_maxTime || bytes > MaxBytesPerInput)
                    Assert.Fail($"Seed {seed}, {bindings[0].Name}, input {i} on {topic} took {took} and {bytes} bytes: {Convert.ToBase64String(payload)}");
                var now = Left(decoder);
                if (batch.Count == 0 && batch.DeadLetters.Count == 0 && now == left)
                    Assert.Fail($"Seed {seed}, {bindings[0].Name}, input {i} on {topic} vanished: {Convert.ToBase64String(payload)}");
                if (batch.Count > s_limits.MaxSamples)
                    Assert.Fail($"Seed {seed}, {bindings[0].Name}, input {i} gave {batch.Count} samples.");
                foreach (var letter in batch.DeadLetters)
                {
                    if (!reasons.Contains(letter.Reason) || letter.Detail.Length == 0 || letter.Payload.Length > DeadLetter.MaxPayloadBytes)
                        Assert.Fail($"Seed {seed}, {bindings[0].Name}, input {i}: a letter without a proper reason: {letter}");
                }

                for (var k = 0; k < batch.Count; k++)
                {
                    if (batch.Key(k).Length is 0 or > 64 || !batch.Values(k).ContainsAnyExcept(double.NaN) || batch.Values(k).ContainsAny(double.PositiveInfinity, double.NegativeInfinity))
                        Assert.Fail($"Seed {seed}, {bindings[0].Name}, input {i}: a sample that is none: {Convert.ToBase64String(payload)}");
                }

                Interlocked.Add(ref samples, batch.Count);
                Interlocked.Add(ref rejected, batch.DeadLetters.Count);
                Interlocked.Add(ref alone, now - left);
                batch.Clear();
            }
        });

        // The inputs are worth something only if they get past the front door, and fail behind it too.
        TestContext.Current.SendDiagnosticMessage($"{(long)perSeed * seeds.Count} inputs: {samples} samples, {rejected} rejections, {alone} left alone.");
        Assert.True(samples > inputs / 20, $"only {samples} samples");
        Assert.True(rejected > inputs / 20, $"only {rejected} rejections");
    }

    private static long Left(BindingDecoder decoder) =>
        decoder.Counters.Excepted + decoder.Counters.Filtered;

    private static byte[] Input(Random random, byte[][] valid)
    {
        var payload = valid[random.Next(valid.Length)];
        if (random.Next(20) == 0)
        {
            var noise = new byte[random.Next(200)];
            random.NextBytes(noise);
            return noise;
        }

        var bytes = new List<byte>(payload);
        for (var n = random.Next(4); n > 0 && bytes.Count > 0; n--)
        {
            var at = random.Next(bytes.Count);
            switch (random.Next(8))
            {
                case 0:
                    bytes[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 2:
                    bytes.RemoveRange(at, bytes.Count - at);
                    break;
                case 3:
                    bytes.RemoveRange(at, Math.Min(random.Next(1, 9), bytes.Count - at));
                    break;
                case 4:
                    bytes.InsertRange(at, Enumerable.Repeat((byte)"[{\"0,\\-9.e("[random.Next(11)], random.Next(1, 60)));
                    break;
                case 5:
                    // A part of another payload, at another place.
                    var other = valid[random.Next(valid.Length)];
                    var from = random.Next(other.Length + 1);
                    bytes.InsertRange(at, other.AsSpan(from, random.Next(other.Length - from + 1)).ToArray());
                    break;
                case 6:
                    // A digit becomes another: numbers, times and lengths at their limits.
                    for (var k = at; k < bytes.Count; k++)
                    {
                        if (bytes[k] is >= (byte)'0' and <= (byte)'9')
                        {
                            bytes[k] = (byte)('0' + random.Next(10));
                            break;
                        }
                    }

                    break;
                default:
                    bytes.InsertRange(at, Encoding.UTF8.GetBytes(Words[random.Next(Words.Length)]));
                    break;
            }
        }

        return [.. bytes];
    }

    private static readonly string[] Words = ["null", "1e999", "-0", "NaN", "\"\\ud800\"", "é", "99999999999999999999", "}{", "\n", "=", "*kW", "(", "true", "\0", "{\"p\":"];

    private static List<(BindingSettings[] Bindings, string[] Topics, byte[][] Valid)> Seeds()
    {
        var seeds = PresetTests.Messages.Select(m => ((string Preset, string Topic, string Payload, string))m.Data).GroupBy(m => m.Preset)
            .Select(g => (Presets.Find(g.Key).ToArray(), g.Select(m => m.Topic).Append("other/topic").Distinct().ToArray(), g.Select(m => Encoding.UTF8.GetBytes(m.Payload)).ToArray())).ToList();
        var birth = new ProtobufWriter().Varint(1, 1_795_240_790_000)
            .Block(2, m => m.Text(1, "Power").Varint(2, 1).Varint(3, 1_795_240_790_000).Varint(4, 10).Double(13, 100).Block(9, p => p.Text(1, "engUnit").Block(2, v => v.Varint(1, 12).Text(8, "kW"))))
            .Block(2, m => m.Text(1, "bdSeq").Varint(4, 8).Varint(11, 1)).Varint(3, 0).Bytes;
        var data = new ProtobufWriter().Varint(1, 1_795_240_791_000).Block(2, m => m.Varint(2, 1).Double(13, 7)).Block(2, m => m.Text(1, "Other").Varint(4, 3).Varint(10, 7)).Varint(3, 1).Bytes;
        seeds.Add(([.. Presets.Find("sparkplug").Select(b => b with { Hold = TimeSpan.FromMinutes(1) })],
            [.. from type in (string[])["BIRTH", "DATA", "DATA", "DEATH", "CMD"] from node in (string[])["N{0}/gw", "D{0}/gw/m"] select "spBv1.0/g/" + string.Format(CultureInfo.InvariantCulture, node, type)], [birth, data]));
        var json = new BindingSettings
        {
            Name = "everything",
            Match = "m/{a}",
            Each = "/r/x*",
            Where = ["/k=1", "!/e"],
            Stream = "{a}/{*}/{/id}/{^/k}/{field}",
            Time = new() { At = "/t", Zone = TimeZoneInfo.FindSystemTimeZoneById("Europe/Amsterdam") },
            Hold = TimeSpan.FromMinutes(1),
            Values = new Dictionary<string, BindingValue> { ["a"] = new() { At = "/v/*", Field = "v{*}", Unit = "/u" }, ["b"] = new() { At = "/b", Unit = "kW" } },
        };
        seeds.Add(([json], ["m/1"], ["""{"k":1,"r":{"x1":{"id":"i","t":"2026-11-21 06:59:00","b":"1.5 kW","v":{"é":1,"z":[2]},"u":"mV"},"xy":{"id":7,"t":1795240800,"v":[1,2],"b":3},"z":{}}}"""u8.ToArray()]));
        seeds.Add(([json with { Format = PayloadFormat.JsonSr, Each = null, Where = [], Stream = "{a}/{field}", Time = new(), Values = new Dictionary<string, BindingValue> { ["b"] = new() { At = "/b" } } }], ["m/1"], [[0, 0, 0, 0, 7, .. """{"b":1}"""u8]]));
        seeds.Add(([json with { Format = PayloadFormat.Csv, Each = null, Where = [], Stream = "{a}/{field}", Time = new() { At = "0" }, Values = new Dictionary<string, BindingValue> { ["b"] = new() { At = "1" }, ["c"] = new() { At = "2" } } }], ["m/1"], ["1795240800,1.5,2\n1795240801;\"3\";4\n"u8.ToArray()]));
        seeds.Add(([.. Presets.Find("ecg-frame")], ["ecg/b/int16", "ecg/b/float32"], [[.. BitConverter.GetBytes(1_795_240_790_000L), .. new byte[64]]]));
        seeds.Add(
            ([.. Enum.GetValues<FrameLayout>().Select(layout => json with { Name = layout.ToString(), Match = $"f/{layout}", Each = null, Where = [], Hold = default, Stream = "{/id}/{ch}", Time = new(), Values = new Dictionary<string, BindingValue> { ["v"] = new() { At = "/v", Unit = "/u" } }, Frame = new() { Layout = layout, Rate = "/fs", Labels = "/l", Scale = "/s", Dimensions = "/d" } })],
            ["f/Channels", "f/Rows", "f/Flat", "f/Tokens"],
            [
                """{"id":"i","fs":250,"l":["a","b"],"s":2,"u":"mV","v":[[1,2],[3,null]]}"""u8.ToArray(), """{"id":"i","fs":250,"l":["a","b"],"v":[1,2,3,4]}"""u8.ToArray(),
                """{"id":"i","fs":250,"l":["\u0041"],"v":"1 2 E 4"}"""u8.ToArray(),
            ]));
        return seeds;
    }
}
