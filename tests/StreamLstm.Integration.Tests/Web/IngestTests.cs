using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Worker.Api;

namespace StreamLstm.Integration.Tests.Web;

public class IngestTests
{
    private const string NdJson = "application/x-ndjson";
    private static readonly long Noon = UnixMicros.From(new DateTimeOffset(2026, 3, 10, 12, 0, 0, TimeSpan.Zero));

    [Fact]
    public async Task NdJson_brings_samples_in_with_every_form_of_time()
    {
        await using var host = await WebHost.StartAsync();
        var reply = await PostAsync(host, NdJson, """
            {"stream":"a","time":"2026-03-10T12:00:00Z","value":1.5}
            {"stream":"a","time":"2026-03-10T13:00:00+01:00","value":2}

            {"stream":"a","time":1773144000,"value":3}
            {"stream":"a","time":1773144000000,"value":4}
            {"stream":"a","time":1773144000000000,"value":5}
            {"stream":"a","time":1773144000000000000,"value":6}
            {"value":7,"unit":{"name":"W"},"time":"2026-03-10T12:00:00","stream":"nl\/M-42"}
            {"stream":"ecg","time":"2026-03-10T12:00:00Z","values":[0.1,null,0.3]}
            """);
        Assert.Equal(8, reply.GetProperty("accepted").GetInt32());
        Assert.Equal(0, reply.GetProperty("rejected").GetInt32());
        Assert.All(host.Ingress.Samples, s => Assert.Equal(Noon, s.Time));
        Assert.Equal("nl/M-42", host.Ingress.Samples[6].Stream);
        Assert.Equal([0.1, double.NaN, 0.3], host.Ingress.Samples[7].Values);
    }

    [Theory]
    [InlineData("""{"stream":"a","time":1,"value":1""", DeadLetterReason.Malformed)]
    [InlineData("hello", DeadLetterReason.Malformed)]
    [InlineData("42", DeadLetterReason.Malformed)]
    [InlineData("""{"stream":"a","time":1,"value":1} {"stream":"b","time":1,"value":1}""", DeadLetterReason.Malformed)]
    [InlineData("""{"stream":"a","time":1,"value":true}""", DeadLetterReason.Malformed)]
    [InlineData("""{"stream":"a","time":1,"value":NaN}""", DeadLetterReason.NotFinite)]
    [InlineData("""{"stream":"a","time":1,"values":[1,-Infinity]}""", DeadLetterReason.NotFinite)]
    [InlineData("""{"stream":"a","time":1,"value":"NaN"}""", DeadLetterReason.NotFinite)]
    [InlineData("""{"stream":"a","time":1,"value":1e999}""", DeadLetterReason.NotFinite)]
    [InlineData("""{"stream":"a","time":1,"value":null}""", DeadLetterReason.NotFinite)]
    [InlineData("""{"stream":"a","time":1,"values":[null,null]}""", DeadLetterReason.NotFinite)]
    [InlineData("""{"stream":"a","time":1}""", DeadLetterReason.MissingField)]
    [InlineData("""{"time":1,"value":1}""", DeadLetterReason.MissingField)]
    [InlineData("""{"stream":"","time":1,"value":1}""", DeadLetterReason.BadKey)]
    [InlineData("""{"stream":7,"time":1,"value":1}""", DeadLetterReason.BadKey)]
    [InlineData("""{"stream":"\ud800","time":1,"value":1}""", DeadLetterReason.BadKey)]
    [InlineData("""{"stream":"a","time":"yesterday","value":1}""", DeadLetterReason.BadTime)]
    [InlineData("""{"stream":"a","time":null,"value":1}""", DeadLetterReason.BadTime)]
    public async Task A_bad_line_becomes_a_dead_letter_and_the_others_are_accepted(string bad, string reason)
    {
        await using var host = await WebHost.StartAsync();
        var reply = await PostAsync(host, NdJson, $$"""
            {"stream":"a","time":1773144000,"value":1}
            {{bad}}
            {"stream":"a","time":1773144060,"value":2}
            """);
        Assert.Equal(2, reply.GetProperty("accepted").GetInt32());
        Assert.Equal(1, reply.GetProperty("rejected").GetInt32());
        var error = Assert.Single(reply.GetProperty("errors").EnumerateArray());
        Assert.Equal(2, error.GetProperty("line").GetInt32());
        Assert.Equal(reason, error.GetProperty("reason").GetString());
        var letter = Assert.Single(host.Ingress.DeadLetters);
        Assert.Equal((reason, "http", "line:2", bad), (letter.Reason, letter.Source, letter.Position, Encoding.UTF8.GetString(letter.Payload.Span)));
    }

    [Fact]
    public async Task Values_that_are_not_utf8_are_refused_without_harm()
    {
        await using var host = await WebHost.StartAsync();
        byte[] body = [.. "{\"stream\":\"a\xff\",\"time\":1,\"value\":1}\n"u8.ToArray().Select(b => b == 0xc3 ? (byte)0xff : b), .. "{\"stream\":\"b\",\"time\":1773144000,\"value\":1}"u8];
        var reply = await PostAsync(host, NdJson, body);
        Assert.Equal(1, reply.GetProperty("accepted").GetInt32());
        Assert.Equal(1, reply.GetProperty("rejected").GetInt32());
    }

    [Fact]
    public async Task A_line_that_is_too_long_is_a_dead_letter_and_the_rest_continues()
    {
        await using var host = await WebHost.StartAsync();
        var reply = await PostAsync(host, NdJson, $$"""
            {"stream":"a","time":1773144000,"value":1,"note":"{{new string('x', 300_000)}}"}
            {"stream":"b","time":1773144000,"value":2}
            """);
        Assert.Equal(1, reply.GetProperty("accepted").GetInt32());
        var letter = Assert.Single(host.Ingress.DeadLetters);
        Assert.Equal(DeadLetterReason.Oversized, letter.Reason);
        Assert.Equal(DeadLetter.MaxPayloadBytes, letter.Payload.Length);
        Assert.True(letter.PayloadBytes > 300_000);
    }

    [Fact]
    public async Task Future_times_are_left_to_the_ingress()
    {
        await using var host = await WebHost.StartAsync();
        var reply = await PostAsync(host, NdJson, """{"stream":"a","time":"2099-01-01T00:00:00Z","value":1}""");
        Assert.Equal(1, reply.GetProperty("accepted").GetInt32());
        Assert.Single(host.Ingress.Samples);
    }

    [Theory]
    [InlineData("""{"stream":"a","time":1773144000,"value":1}""", 1, 0)]
    [InlineData("""[{"stream":"a","time":1773144000,"value":1},{"stream":"b","time":1773144000,"value":2}]""", 2, 0)]
    [InlineData("""[{"stream":"a","time":1773144000,"value":1},7,{"stream":"b"},[{"stream":"c"}],{"stream":"b","time":1773144000,"value":2}]""", 2, 3)]
    [InlineData("""[{"stream":"a","time":1773144000,"value":1},{"stream":"b","time":1773144000,"value":""", 1, 1)]
    [InlineData("""{"stream":"a","time":1773144000,"value":1} {"stream":"b","time":1773144000,"value":2}""", 2, 0)]
    [InlineData("[]", 0, 0)]
    public async Task Json_may_be_an_object_an_array_or_several(string body, int accepted, int rejected)
    {
        await using var host = await WebHost.StartAsync();
        var reply = await PostAsync(host, "application/json", body);
        Assert.Equal((accepted, rejected), (reply.GetProperty("accepted").GetInt32(), reply.GetProperty("rejected").GetInt32()));
        Assert.Equal(rejected, host.Ingress.DeadLetters.Count);
    }

    [Fact]
    public async Task Line_protocol_makes_one_stream_per_numeric_field()
    {
        await using var host = await WebHost.StartAsync();
        var reply = await PostAsync(host, "text/plain", """
            # a comment
            power,site=a,meter=M\ 42 active=120.5,reactive=-3i,status="on, really",ok=t 1773144000000000000
            temp value=21.5
            weather,city=The\,Hague rain=0 1773144000000000000
            power novalue 1773144000000000000
            power value=abc
            power value=nan
            power status="on"
            power value=1 soon
            """);
        Assert.Equal(4, reply.GetProperty("accepted").GetInt32());
        Assert.Equal(
            [(5, "malformed"), (6, "malformed"), (7, "not_finite"), (8, "missing_field"), (9, "bad_time")],
            reply.GetProperty("errors").EnumerateArray().Select(e => (e.GetProperty("line").GetInt32(), e.GetProperty("reason").GetString()!)));
        Assert.Equal(["power,meter=M 42,site=a/active", "power,meter=M 42,site=a/reactive", "temp/value", "weather,city=The,Hague/rain"], host.Ingress.Samples.Select(s => s.Stream));
        Assert.Equal((Noon, 120.5), (host.Ingress.Samples[0].Time, host.Ingress.Samples[0].Values[0]));
        Assert.Equal(-3, host.Ingress.Samples[1].Values[0]);

        await PostAsync(host, "text/plain", "power value=1 1773144000", "?precision=s");
        Assert.Equal(Noon, host.Ingress.Samples[^1].Time);
    }

    [Fact]
    public async Task A_gzip_body_is_inflated_within_the_same_limit()
    {
        await using var host = await WebHost.StartAsync(ingestOptions: new HttpIngestOptions { MaxBodyBytes = 10_000 });
        Assert.Equal(HttpStatusCode.OK, await StatusAsync(host, NdJson, Gzip("""{"stream":"a","time":1773144000,"value":1}"""), "gzip"));
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, await StatusAsync(host, NdJson, Gzip(new string('\n', 1_000_000)), "gzip"));
        Assert.Equal(HttpStatusCode.BadRequest, await StatusAsync(host, NdJson, "not gzip"u8.ToArray(), "gzip"));
        Assert.Equal(HttpStatusCode.UnsupportedMediaType, await StatusAsync(host, NdJson, "x"u8.ToArray(), "br"));
        Assert.Single(host.Ingress.Samples);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_body_that_is_too_long_gets_413_and_nothing_is_accepted(bool chunked)
    {
        await using var host = await WebHost.StartAsync(ingestOptions: new HttpIngestOptions { MaxBodyBytes = 10_000 });
        using var request = new HttpRequestMessage(HttpMethod.Post, "/api/v1/ingest") { Content = new StringContent(string.Concat(Enumerable.Repeat("{\"stream\":\"a\",\"time\":1773144000,\"value\":1}\n", 1000)), Encoding.UTF8, NdJson) };
        request.Headers.TransferEncodingChunked = chunked;
        using var response = await host.Client.SendAsync(request, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, response.StatusCode);
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        Assert.Empty(host.Ingress.Samples);
    }

    [Fact]
    public async Task A_body_of_the_wrong_kind_is_refused_with_the_kinds_there_are()
    {
        await using var host = await WebHost.StartAsync();
        Assert.Equal(HttpStatusCode.UnsupportedMediaType, await StatusAsync(host, "application/x-www-form-urlencoded", "a=1"u8.ToArray()));
        Assert.Equal(HttpStatusCode.BadRequest, await StatusAsync(host, "text/plain", "a v=1"u8.ToArray(), query: "?precision=hours"));
        Assert.Equal(HttpStatusCode.BadRequest, await StatusAsync(host, NdJson, Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat("x\n", 10_002)))));
        Assert.Empty(host.Ingress.DeadLetters);
    }

    [Fact]
    public async Task Before_the_source_runs_senders_are_asked_to_come_again()
    {
        await using var host = await WebHost.StartAsync(runSource: false);
        Assert.Equal(SourceState.Connecting, host.Ingest.Status.State);
        using var response = await host.Client.PostAsync("/api/v1/ingest", new StringContent("{}", Encoding.UTF8, NdJson), TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.Equal(TimeSpan.FromSeconds(1), response.Headers.RetryAfter?.Delta);
        host.RunSource();
        Assert.Equal(SourceState.Connected, host.Ingest.Status.State);
        Assert.Equal(HttpStatusCode.OK, await StatusAsync(host, NdJson, "{\"stream\":\"a\",\"value\":1}"u8.ToArray()));
    }

    [Fact]
    public async Task The_reply_comes_only_after_the_samples_are_durable()
    {
        await using var host = await WebHost.StartAsync();
        host.Ingress.Durable = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var reply = PostAsync(host, NdJson, """{"stream":"a","time":1773144000,"value":1}""");
        Assert.NotSame(reply, await Task.WhenAny(reply, Task.Delay(200, TestContext.Current.CancellationToken)));
        host.Ingress.Durable.SetResult();
        Assert.Equal(1, (await reply).GetProperty("accepted").GetInt32());
    }

    private static Task<JsonElement> PostAsync(WebHost host, string type, string body, string query = "") => PostAsync(host, type, Encoding.UTF8.GetBytes(body), query);

    private static async Task<JsonElement> PostAsync(WebHost host, string type, byte[] body, string query = "")
    {
        using var content = new ByteArrayContent(body);
        content.Headers.ContentType = new MediaTypeHeaderValue(type);
        using var response = await host.Client.PostAsync("/api/v1/ingest" + query, content, TestContext.Current.CancellationToken);
        var text = await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.True(response.IsSuccessStatusCode, $"{response.StatusCode} {text}");
        return JsonDocument.Parse(text).RootElement;
    }

    private static async Task<HttpStatusCode> StatusAsync(WebHost host, string type, byte[] body, string? encoding = null, string query = "")
    {
        using var content = new ByteArrayContent(body);
        content.Headers.ContentType = new MediaTypeHeaderValue(type);
        if (encoding is not null)
            content.Headers.ContentEncoding.Add(encoding);
        using var response = await host.Client.PostAsync("/api/v1/ingest" + query, content, TestContext.Current.CancellationToken);
        return response.StatusCode;
    }

    private static byte[] Gzip(string text)
    {
        using var buffer = new MemoryStream();
        using (var gzip = new GZipStream(buffer, CompressionLevel.Fastest))
            gzip.Write(Encoding.UTF8.GetBytes(text));
        return buffer.ToArray();
    }
}
