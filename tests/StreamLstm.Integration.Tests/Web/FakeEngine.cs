using System.Globalization;
using System.Text;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Worker.Api;

namespace StreamLstm.Integration.Tests.Web;

/// <summary>Feeds the live view with meters that follow a day, and answers as the engine would.</summary>
internal sealed class FakeEngine(RecentResults live) : IWorkerStatus
{
    public const int StepSeconds = 900;
    public static readonly long Start = UnixMicros.From(new DateTimeOffset(2026, 3, 10, 0, 0, 0, TimeSpan.Zero));
    private long _commit;

    public string? NotAlive { get; set; }

    public IReadOnlyList<PartStatus> Parts { get; set; } = [new("restore", true, null), new("source:http", true, null)];

    public List<string> Resets { get; } = [];

    public long Results { get; private set; }

    public int Frame { get; private set; }

    public WorkerSummary Summary => new()
    {
        Mode = "demo",
        SimulatedClock = UnixMicros.ToDateTimeOffset(Time(Frame)).ToString("ddd d MMM yyyy HH:mm", CultureInfo.InvariantCulture),
        Streams = live.Count,
        SamplesTotal = Results * 3,
        SamplesPerSecond = 12_480,
        ResultsTotal = Results,
        Skill = 0.342,
        Coverage90 = 0.897,
    };

    public object? StreamState(string id) => id == "nl/M-42" ? new { Stream = id, HiddenState = new[] { 0.5, -0.25 } } : null;

    public ValueTask<bool> ResetAsync(string id, CancellationToken cancellationToken)
    {
        Resets.Add(id);
        return ValueTask.FromResult(id == "nl/M-42");
    }

    public static long Time(int frame) => Start + (frame * StepSeconds * 1_000_000L);

    /// <summary>Publishes the next frame of every stream; the streams in <paramref name="anomalous"/> get a spike.</summary>
    public async Task StepAsync(IReadOnlyList<string> streams, IReadOnlyCollection<int>? anomalous = null)
    {
        var records = new List<OutputRecord>();
        for (var s = 0; s < streams.Count; s++)
            records.Add(Result(streams[s], Frame, 0, anomalous?.Contains(s) == true, s));
        Frame++;
        Results += records.Count;
        await live.PublishAsync(++_commit, records, CancellationToken.None);
    }

    public async Task PublishAsync(params OutputRecord[] records) => await live.PublishAsync(++_commit, records, CancellationToken.None);

    public static OutputRecord Result(string stream, int frame, int revision = 0, bool anomaly = false, int seed = 0, bool forecast = true)
    {
        var yhat = Level(frame, seed);
        var noise = 30 * Math.Sin((frame * 12.9898) + (seed * 78.233));
        var y = anomaly ? yhat * 1.9 : yhat + noise;
        var score = anomaly ? 3.4 : Math.Abs(noise) / 90;
        var json = new StringBuilder();
        json.Append(CultureInfo.InvariantCulture, $$"""{"schema":1,"stream":"{{stream}}","profile":"load","time":"{{Iso(Time(frame))}}","revision":{{revision}},"y":{{y:F2}},"yhat":{{yhat:F2}},"yhat_lower":{{yhat - 90:F2}},"yhat_upper":{{yhat + 90:F2}},"anomaly_score":{{score:F3}},"anomaly":{{(anomaly ? "true" : "false")}},"severity":"{{(anomaly ? "critical" : "none")}}","direction":"above","type":{{(anomaly ? "\"spike\"" : "null")}},"imputed":false,"quality":[],"issued_at":"{{Iso(Time(frame + 1))}}","model_version":7""");
        if (forecast)
        {
            json.Append(CultureInfo.InvariantCulture, $$""","forecast":{"start":"{{Iso(Time(frame + 1))}}","step_s":{{StepSeconds}},"quantiles":[0.05,0.5,0.95],"values":[""");
            for (var h = 1; h <= 96; h++)
            {
                var (median, width) = (Level(frame + h, seed), 40 + (26 * Math.Sqrt(h)));
                json.Append(CultureInfo.InvariantCulture, $"{(h == 1 ? "" : ",")}[{median - width:F1},{median:F1},{median + width:F1}]");
            }

            json.Append("]}");
        }

        json.Append('}');
        return new OutputRecord(OutputKind.Result, stream, Time(frame), revision, Encoding.UTF8.GetBytes(json.ToString()));
    }

    /// <summary>Two leads with values of their own and no top-level ones.</summary>
    public static OutputRecord TwoLeads(string stream, int frame)
    {
        var channels = string.Join(',', new[] { ("I", 0), ("II", 5) }.Select(lead => string.Create(CultureInfo.InvariantCulture,
            $$$"""{"{{{lead.Item1}}}":{"y":{{{Level(frame, lead.Item2) + 10:F2}}},"yhat":{{{Level(frame, lead.Item2):F2}}},"yhat_lower":{{{Level(frame, lead.Item2) - 90:F2}}},"yhat_upper":{{{Level(frame, lead.Item2) + 90:F2}}},"share":0.5}}""").Trim('{', '}') + "}"));
        var fans = string.Join(',', new[] { 0, 5 }.Select(seed => "[" + string.Join(',', Enumerable.Range(1, 24).Select(h => string.Create(CultureInfo.InvariantCulture,
            $"[{Level(frame + h, seed) - 50:F1},{Level(frame + h, seed):F1},{Level(frame + h, seed) + 50:F1}]"))) + "]"));
        return new OutputRecord(OutputKind.Result, stream, Time(frame), 0, Encoding.UTF8.GetBytes(
            $$$"""{"schema":1,"stream":"{{{stream}}}","profile":"ecg","time":"{{{Iso(Time(frame))}}}","revision":0,"y":null,"yhat":null,"yhat_lower":null,"yhat_upper":null,"anomaly_score":0.2,"anomaly":false,"channels":{{{{channels}}}},"forecast":{"start":"{{{Iso(Time(frame + 1))}}}","step_s":900,"quantiles":[0.05,0.5,0.95],"values":[{{{fans}}}]}}"""));
    }

    public static OutputRecord Episode(string stream, string id, int from, int? to, string type = "spike", string severity = "critical") =>
        new(OutputKind.Episode, stream, Time(from), 0, Encoding.UTF8.GetBytes(
            $$"""{"schema":1,"stream":"{{stream}}","episode":"{{id}}","profile":"load","type":"{{type}}","state":"{{(to is null ? "open" : "closed")}}","start":"{{Iso(Time(from))}}","end":{{(to is { } end ? $"\"{Iso(Time(end))}\"" : "null")}},"peak_score":3.4,"severity":"{{severity}}","direction":"above"}"""));

    private static double Level(int frame, int seed)
    {
        var day = 2 * Math.PI * frame / 96;
        return 900 + (60 * seed) + (420 * Math.Sin(day - 1.9 + (seed * 0.3))) + (190 * Math.Sin((2 * day) + seed));
    }

    private static string Iso(long micros) => UnixMicros.ToDateTimeOffset(micros).ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
}
