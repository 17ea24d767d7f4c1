using System.Buffers;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using StreamLstm.Core.Forecasting;
using StreamLstm.Runtime.Alignment;
using StreamLstm.Runtime.Episodes;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Repair;
using StreamLstm.Runtime.Sharding;

namespace StreamLstm.Runtime.Output;

/// <summary>Writes what the latest forecast of each of a stream's channels was made of.</summary>
internal interface IForecastExplainer
{
    void Explain(Utf8JsonWriter json, StreamSession session);
}

/// <summary>Writes the JSON of results, episodes and dead letters: one object, no line end, NaN never. One instance per shard.</summary>
internal sealed partial class ResultWriter : IDisposable
{
    private static readonly (FrameFlags Flag, JsonEncodedText Name)[] QualityNames =
    [
        (FrameFlags.Reset, JsonEncodedText.Encode("reset")),
        (FrameFlags.Rollover, JsonEncodedText.Encode("rollover")),
        (FrameFlags.Dip, JsonEncodedText.Encode("dip")),
        (FrameFlags.Implausible, JsonEncodedText.Encode("implausible")),
        (FrameFlags.Gap, JsonEncodedText.Encode("gap")),
        (FrameFlags.Partial, JsonEncodedText.Encode("partial")),
        (FrameFlags.Held, JsonEncodedText.Encode("held")),
        (FrameFlags.Filled, JsonEncodedText.Encode("filled")),
        (FrameFlags.SensorFault, JsonEncodedText.Encode("sensor_fault")),
    ];

    private readonly ArrayBufferWriter<byte> _buffer = new(8192);
    private readonly Utf8JsonWriter _json;

    public ResultWriter() => _json = new Utf8JsonWriter(_buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true });

    /// <param name="work">The frame.</param>
    /// <param name="values">[D]; NaN = missing.</param>
    /// <param name="scores">[D].</param>
    /// <param name="score">The stream's score over its channels.</param>
    /// <param name="kind">The stream's anomaly, or none.</param>
    /// <param name="forecasts">[D, K, Q], or empty for a result without forecast.</param>
    /// <param name="explainer">Says what the forecast was made of, if that is wanted.</param>
    /// <param name="revision">How often the result has been issued before, and was changed by late data.</param>
    public ReadOnlySpan<byte> Result(
        in FrameWork work, ReadOnlySpan<double> values, ReadOnlySpan<FrameScore> scores, float score, AnomalyKind kind, int direction, ReadOnlySpan<float> forecasts, IForecastExplainer? explainer, int revision = 0)
    {
        var session = work.Session;
        var profile = session.Profile;
        Begin();
        _json.WriteNumber("schema"u8, 1);
        _json.WriteString("stream"u8, session.Key);
        _json.WriteString("profile"u8, profile.Name);
        Time("time"u8, work.Frame * profile.IntervalMicros);
        _json.WriteNumber("revision"u8, revision);
        if (profile.Channels == 1)
        {
            Values(values[0], scores[0]);
        }
        else
        {
            _json.WriteNull("y"u8);
            _json.WriteNull("yhat"u8);
            _json.WriteNull("yhat_lower"u8);
            _json.WriteNull("yhat_upper"u8);
        }

        var anomaly = kind != AnomalyKind.None;
        _json.WriteNumber("anomaly_score"u8, score);
        _json.WriteBoolean("anomaly"u8, anomaly);
        _json.WriteString("severity"u8, anomaly ? EpisodeTracker.Severity(score) : "none");
        if (anomaly && direction != 0)
            _json.WriteString("direction"u8, direction > 0 ? "above" : "below");
        else
            _json.WriteNull("direction"u8);
        if (anomaly)
            _json.WriteString("type"u8, EpisodeTracker.TypeName(kind));
        else
            _json.WriteNull("type"u8);
        if (session.Episode.IsOpen)
            _json.WriteString("episode"u8, session.Episode.Id);
        else
            _json.WriteNull("episode"u8);
        _json.WriteBoolean("imputed"u8, work.Kind == FrameKind.Imputed);
        _json.WriteStartArray("quality"u8);
        if (work.Kind == FrameKind.Stale)
            _json.WriteStringValue("stale"u8);
        if (work.Kind == FrameKind.Imputed)
            _json.WriteStringValue("missing"u8);
        if (work.Kind == FrameKind.Bridge)
            _json.WriteStringValue("withdrawn"u8);
        else if (!scores[0].HasForecast)
            _json.WriteStringValue("cold"u8);
        Quality(work.Flags);
        _json.WriteEndArray();
        if (profile.Channels > 1)
            Channels(profile, values, scores);
        _json.WriteNumber("model_version"u8, work.Version);
        Time("issued_at"u8, work.Clock);
        if (forecasts.Length > 0)
            Forecast(session, work.Frame + 1, forecasts, explainer);
        else
            _json.WriteNull("forecast"u8);
        return End();
    }

    private void Quality(FrameFlags flags)
    {
        if (flags == FrameFlags.None)
            return;
        foreach (var (flag, name) in QualityNames)
        {
            if ((flags & flag) != 0)
                _json.WriteStringValue(name);
        }
    }

    public ReadOnlySpan<byte> Episode(StreamSession session, scoped in EpisodeSummary e, EpisodeState state, int revision) =>
        Episode(session.Key, session.Profile.Name, e, session.Profile.IntervalMicros, state, revision);

    private ReadOnlySpan<byte> Episode(byte[] key, string profile, scoped in EpisodeSummary e, long interval, EpisodeState state, int revision)
    {
        Begin();
        _json.WriteNumber("schema"u8, 1);
        _json.WriteString("stream"u8, key);
        _json.WriteString("episode"u8, e.Id);
        _json.WriteString("profile"u8, profile);
        _json.WriteString("type"u8, EpisodeTracker.TypeName(e.Kind));
        _json.WriteString("state"u8, state switch { EpisodeState.Closed => "closed"u8, EpisodeState.Withdrawn => "withdrawn"u8, _ => "open"u8 });
        Time("start"u8, e.StartFrame * interval);
        if (state == EpisodeState.Open)
            _json.WriteNull("end"u8);
        else
            Time("end"u8, (e.LastFrame + 1) * interval);
        _json.WriteNumber("peak_score"u8, e.PeakScore);
        _json.WriteString("severity"u8, EpisodeTracker.Severity(e.PeakScore));
        if (e.Direction != 0)
            _json.WriteString("direction"u8, e.Direction > 0 ? "above" : "below");
        else
            _json.WriteNull("direction"u8);
        _json.WriteNumber("revision"u8, revision);
        return End();
    }

    public ReadOnlySpan<byte> DeadLetter(DeadLetter letter)
    {
        Begin();
        _json.WriteNumber("schema"u8, 1);
        _json.WriteString("reason"u8, letter.Reason);
        _json.WriteString("source"u8, letter.Source);
        _json.WriteString("position"u8, letter.Position);
        _json.WriteString("detail"u8, letter.Detail);
        Time("arrival"u8, letter.ArrivalMicros);
        if (letter.Stream is null)
            _json.WriteNull("stream"u8);
        else
            _json.WriteString("stream"u8, letter.Stream);
        _json.WriteBase64String("payload_base64"u8, letter.Payload.Span);
        _json.WriteNumber("payload_bytes"u8, letter.PayloadBytes);
        return End();
    }

    public void Dispose() => _json.Dispose();

    private void Values(double value, in FrameScore score)
    {
        Number("y"u8, value);
        Number("yhat"u8, score.HasForecast ? score.Expected : double.NaN);
        Number("yhat_lower"u8, score.HasForecast ? score.Lower : double.NaN);
        Number("yhat_upper"u8, score.HasForecast ? score.Upper : double.NaN);
    }

    private void Channels(ProfileRuntime profile, ReadOnlySpan<double> values, ReadOnlySpan<FrameScore> scores)
    {
        var total = 0f;
        foreach (var s in scores)
            total += s.Score * s.Score;
        _json.WriteStartObject("channels"u8);
        for (var i = 0; i < values.Length; i++)
        {
            _json.WriteStartObject(profile.Profile.Channels[i]);
            Values(values[i], scores[i]);
            _json.WriteNumber("share"u8, total > 0 ? scores[i].Score * scores[i].Score / total : 1f / values.Length);
            _json.WriteEndObject();
        }

        _json.WriteEndObject();
    }

    /// <summary>The explanation of a series' latest forecast as a node of its own.</summary>
    public JsonNode? Explanation(ForecastExplanation explanation, SeriesModel model, Span<float> record)
    {
        _buffer.ResetWrittenCount();
        _json.Reset(_buffer);
        explanation.Write(_json, model, record);
        _json.Flush();
        return JsonNode.Parse(_buffer.WrittenSpan);
    }

    private void Forecast(StreamSession session, long firstFrame, ReadOnlySpan<float> forecasts, IForecastExplainer? explainer)
    {
        var profile = session.Profile;
        var k = profile.Plan.Horizon;
        var q = profile.Plan.Quantiles.Length;
        _json.WriteStartObject("forecast"u8);
        Time("start"u8, firstFrame * profile.IntervalMicros);
        _json.WriteNumber("step_s"u8, profile.Profile.Interval.TotalSeconds);
        _json.WriteStartArray("quantiles"u8);
        foreach (var level in profile.Profile.Quantiles)
            _json.WriteNumberValue(level);
        _json.WriteEndArray();
        _json.WriteStartArray("values"u8);
        for (var c = 0; c < profile.Channels; c++)
        {
            if (profile.Channels > 1)
                _json.WriteStartArray();
            for (var h = 0; h < k; h++)
            {
                _json.WriteStartArray();
                foreach (var v in forecasts.Slice(((c * k) + h) * q, q))
                    _json.WriteNumberValue(v);
                _json.WriteEndArray();
            }

            if (profile.Channels > 1)
                _json.WriteEndArray();
        }

        _json.WriteEndArray();
        if (explainer is not null)
        {
            // With several channels an array of explanations, as the values are.
            _json.WritePropertyName("explanation"u8);
            if (profile.Channels > 1)
                _json.WriteStartArray();
            explainer.Explain(_json, session);
            if (profile.Channels > 1)
                _json.WriteEndArray();
        }

        _json.WriteEndObject();
    }

    private void Number(ReadOnlySpan<byte> name, double v)
    {
        if (double.IsFinite(v))
            _json.WriteNumber(name, v);
        else
            _json.WriteNull(name);
    }

    private void Time(ReadOnlySpan<byte> name, long micros)
    {
        Span<byte> text = stackalloc byte[32];
        var format = micros % 1_000_000 == 0 ? "yyyy-MM-ddTHH:mm:ssZ" : "yyyy-MM-ddTHH:mm:ss.ffffffZ";
        UnixMicros.ToDateTimeOffset(micros).TryFormat(text, out var n, format, CultureInfo.InvariantCulture);
        _json.WriteString(name, text[..n]);
    }

    private void Begin()
    {
        _buffer.ResetWrittenCount();
        _json.Reset(_buffer);
        _json.WriteStartObject();
    }

    private ReadOnlySpan<byte> End()
    {
        _json.WriteEndObject();
        _json.Flush();
        return _buffer.WrittenSpan;
    }
}
