using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using StreamLstm.Core.Forecasting;
using StreamLstm.Runtime.Alignment;
using StreamLstm.Runtime.Episodes;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Repair;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Output;

/// <summary>Writes what the latest forecast of each of a stream's channels was made of.</summary>
internal interface IForecastExplainer
{
    void Explain(Utf8JsonWriter json, StreamSession session, long frame);
}

/// <summary>Writes the JSON of results, episodes and dead letters: one object, no line end, NaN never. One instance per shard.</summary>
internal sealed partial class ResultWriter : IDisposable
{
    private static readonly (FrameFlags Flag, byte[] Name)[] QualityNames =
    [
        (FrameFlags.Reset, "\"reset\""u8.ToArray()),
        (FrameFlags.Rollover, "\"rollover\""u8.ToArray()),
        (FrameFlags.Dip, "\"dip\""u8.ToArray()),
        (FrameFlags.Implausible, "\"implausible\""u8.ToArray()),
        (FrameFlags.Gap, "\"gap\""u8.ToArray()),
        (FrameFlags.Partial, "\"partial\""u8.ToArray()),
        (FrameFlags.Held, "\"held\""u8.ToArray()),
        (FrameFlags.Filled, "\"filled\""u8.ToArray()),
        (FrameFlags.SensorFault, "\"sensor_fault\""u8.ToArray()),
    ];

    private readonly JsonBytes _text = new();
    private readonly JsonBytes _issued = new();
    private readonly ByteWriter _scratch = new();
    private readonly Dictionary<ProfileRuntime, ProfileText> _profiles = [];
    private readonly Utf8JsonWriter _json;

    public ResultWriter() => _json = new Utf8JsonWriter(_scratch, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true });

    /// <param name="w">Gets the object.</param>
    /// <param name="work">The frame.</param>
    /// <param name="values">[D]; NaN = missing.</param>
    /// <param name="scores">[D].</param>
    /// <param name="shares">[D] of the channels in the stream's score.</param>
    /// <param name="score">The stream's score over its channels.</param>
    /// <param name="kind">The stream's anomaly, or none.</param>
    /// <param name="forecasts">[D, K, Q], or empty for a result without forecast.</param>
    /// <param name="explainer">Says what the forecast was made of, if that is wanted.</param>
    /// <param name="revision">How often the result has been issued before, and was changed by late data.</param>
    public void Result(
        ByteWriter w, in FrameWork work, ReadOnlySpan<double> values, ReadOnlySpan<FrameScore> scores, ReadOnlySpan<float> shares, float score, AnomalyKind kind, int direction, ReadOnlySpan<float> forecasts,
        IForecastExplainer? explainer, int revision = 0)
    {
        var session = work.Session;
        var profile = session.Profile;
        var text = TextOf(profile);
        w.Bytes("{\"schema\":1,\"stream\":\""u8);
        JsonBytes.Escaped(w, session.Key);
        w.Bytes(text.AfterStream);
        _text.Time(w, work.Frame * profile.IntervalMicros);
        w.Bytes("\",\"revision\":"u8);
        JsonBytes.Number(w, revision);
        if (profile.Channels == 1)
            Values(w, values[0], scores[0]);
        else
            w.Bytes(",\"y\":null,\"yhat\":null,\"yhat_lower\":null,\"yhat_upper\":null"u8);
        w.Bytes(",\"anomaly_score\":"u8);
        JsonBytes.Number(w, score);
        if (kind == AnomalyKind.None && !session.Episode.IsOpen && work is { Kind: FrameKind.Observed, Flags: FrameFlags.None } && scores[0].HasForecast)
        {
            w.Bytes(",\"anomaly\":false,\"severity\":\"none\",\"direction\":null,\"type\":null,\"episode\":null,\"imputed\":false,\"quality\":[]"u8);
        }
        else
        {
            Verdict(w, work, score, kind, direction);
            Quality(w, work, scores[0].HasForecast);
        }

        if (profile.Channels > 1)
            Channels(w, text, values, scores, shares, profile.Profile.Explain);
        else if (profile.Profile.Explain)
            Parts(w, scores[0]);
        w.Bytes(",\"model_version\":"u8);
        JsonBytes.Number(w, work.Version);
        w.Bytes(",\"issued_at\":\""u8);
        _issued.Time(w, work.Clock);
        w.Bytes("\",\"forecast\":"u8);
        if (forecasts.Length > 0)
            Forecast(w, text, session, work.Frame + 1, forecasts, explainer);
        else
            w.Bytes("null"u8);
        w.Bytes("}"u8);
    }

    private static void Verdict(ByteWriter w, in FrameWork work, float score, AnomalyKind kind, int direction)
    {
        if (kind == AnomalyKind.None)
        {
            w.Bytes(",\"anomaly\":false,\"severity\":\"none\",\"direction\":null,\"type\":null"u8);
        }
        else
        {
            w.Bytes(",\"anomaly\":true,\"severity\":\""u8);
            w.Ascii(EpisodeTracker.Severity(score));
            w.Bytes(direction > 0 ? "\",\"direction\":\"above\""u8 : direction < 0 ? "\",\"direction\":\"below\""u8 : "\",\"direction\":null"u8);
            w.Bytes(",\"type\":\""u8);
            w.Ascii(EpisodeTracker.TypeName(kind));
            w.Bytes("\""u8);
        }

        if (work.Session.Episode.IsOpen)
        {
            w.Bytes(",\"episode\":\""u8);
            w.Ascii(work.Session.Episode.Id);
            w.Bytes("\""u8);
        }
        else
        {
            w.Bytes(",\"episode\":null"u8);
        }
    }

    private static void Quality(ByteWriter w, in FrameWork work, bool hasForecast)
    {
        w.Bytes(work.Kind == FrameKind.Imputed ? ",\"imputed\":true,\"quality\":["u8 : ",\"imputed\":false,\"quality\":["u8);
        var first = true;
        if (work.Kind == FrameKind.Stale)
            Name(w, "\"stale\""u8, ref first);
        if (work.Kind == FrameKind.Imputed)
            Name(w, "\"missing\""u8, ref first);
        if (work.Kind == FrameKind.Bridge)
            Name(w, "\"withdrawn\""u8, ref first);
        else if (!hasForecast)
            Name(w, "\"cold\""u8, ref first);
        foreach (var (flag, name) in QualityNames)
        {
            if ((work.Flags & flag) != 0)
                Name(w, name, ref first);
        }

        w.Bytes("]"u8);

        static void Name(ByteWriter w, ReadOnlySpan<byte> name, ref bool first)
        {
            if (!first)
                w.Bytes(","u8);
            first = false;
            w.Bytes(name);
        }
    }

    public void Episode(ByteWriter w, StreamSession session, in EpisodeSummary e, EpisodeState state, int revision) =>
        Episode(w, session.Key, session.Profile, e, session.Profile.IntervalMicros, state, revision);

    private void Episode(ByteWriter w, byte[] key, ProfileRuntime profile, in EpisodeSummary e, long interval, EpisodeState state, int revision)
    {
        w.Bytes("{\"schema\":1,\"stream\":\""u8);
        JsonBytes.Escaped(w, key);
        w.Bytes("\",\"episode\":\""u8);
        w.Ascii(e.Id);
        w.Bytes("\",\"profile\":\""u8);
        w.Bytes(TextOf(profile).Name);
        w.Bytes("\",\"type\":\""u8);
        w.Ascii(EpisodeTracker.TypeName(e.Kind));
        w.Bytes("\",\"state\":\""u8);
        w.Bytes(state switch { EpisodeState.Closed => "closed"u8, EpisodeState.Withdrawn => "withdrawn"u8, _ => "open"u8 });
        w.Bytes("\",\"start\":\""u8);
        _text.Time(w, e.StartFrame * interval);
        w.Bytes("\",\"end\":"u8);
        if (state != EpisodeState.Open)
        {
            w.Bytes("\""u8);
            _text.Time(w, (e.LastFrame + 1) * interval);
            w.Bytes("\""u8);
        }
        else
        {
            w.Bytes("null"u8);
        }

        w.Bytes(",\"peak_score\":"u8);
        JsonBytes.Number(w, e.PeakScore);
        w.Bytes(",\"severity\":\""u8);
        w.Ascii(EpisodeTracker.Severity(e.PeakScore));
        w.Bytes(e.Direction > 0 ? "\",\"direction\":\"above\",\"revision\":"u8 : e.Direction < 0 ? "\",\"direction\":\"below\",\"revision\":"u8 : "\",\"direction\":null,\"revision\":"u8);
        JsonBytes.Number(w, revision);
        w.Bytes("}"u8);
    }

    public void DeadLetter(ByteWriter w, DeadLetter letter)
    {
        _json.Reset(w);
        _json.WriteStartObject();
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
        if (letter.Headers is { Count: > 0 } headers)
        {
            _json.WriteStartArray("headers"u8);
            foreach (var (name, value) in headers)
            {
                _json.WriteStartObject();
                _json.WriteString("name"u8, name);
                _json.WriteString("value"u8, value);
                _json.WriteEndObject();
            }

            _json.WriteEndArray();
        }

        _json.WriteEndObject();
        _json.Flush();
    }

    /// <summary>The explanation of a series' latest forecast as a node of its own.</summary>
    public JsonNode? Explanation(ForecastExplanation explanation, SeriesModel model, Span<float> record, CalendarPath? path)
    {
        _scratch.Clear();
        _json.Reset(_scratch);
        explanation.Write(_json, model, record, path);
        _json.Flush();
        return JsonNode.Parse(_scratch.Written);
    }

    public void Dispose() => _json.Dispose();

    private static void Values(ByteWriter w, double value, in FrameScore score)
    {
        w.Bytes(",\"y\":"u8);
        JsonBytes.NumberOrNull(w, value);
        if (!score.HasForecast)
        {
            w.Bytes(",\"yhat\":null,\"yhat_lower\":null,\"yhat_upper\":null"u8);
            return;
        }

        // More digits than that are noise: the networks compute in single precision.
        var decimals = JsonBytes.DecimalsFor(score.Upper - score.Lower);
        w.Bytes(",\"yhat\":"u8);
        JsonBytes.Rounded(w, score.Expected, decimals);
        w.Bytes(",\"yhat_lower\":"u8);
        JsonBytes.Rounded(w, score.Lower, decimals);
        w.Bytes(",\"yhat_upper\":"u8);
        JsonBytes.Rounded(w, score.Upper, decimals);
    }

    private static void Parts(ByteWriter w, in FrameScore score)
    {
        w.Bytes(",\"parts\":{\"position\":"u8);
        JsonBytes.Number(w, score.Position);
        w.Bytes(",\"shift\":"u8);
        JsonBytes.Number(w, score.Shift);
        w.Bytes(",\"spread\":"u8);
        JsonBytes.Number(w, score.Spread);
        w.Bytes(",\"stuck\":"u8);
        JsonBytes.Number(w, score.Stuck);
        if (score.Solo > 0)
        {
            w.Bytes(",\"solo\":"u8);
            JsonBytes.Number(w, score.Solo);
        }

        w.Bytes("}"u8);
    }

    private static void Channels(ByteWriter w, ProfileText text, ReadOnlySpan<double> values, ReadOnlySpan<FrameScore> scores, ReadOnlySpan<float> shares, bool explain)
    {
        w.Bytes(",\"channels\":{"u8);
        for (var i = 0; i < values.Length; i++)
        {
            if (i > 0)
                w.Bytes(","u8);
            w.Bytes(text.ChannelNames[i]);
            // The object's first member has no comma before it.
            var at = w.Length;
            Values(w, values[i], scores[i]);
            w.Patch(at, (byte)'{');
            w.Bytes(",\"share\":"u8);
            JsonBytes.Number(w, shares[i]);
            if (explain)
                Parts(w, scores[i]);
            w.Bytes("}"u8);
        }

        w.Bytes("}"u8);
    }

    private void Forecast(ByteWriter w, ProfileText text, StreamSession session, long firstFrame, ReadOnlySpan<float> forecasts, IForecastExplainer? explainer)
    {
        var profile = session.Profile;
        var k = profile.Plan.Horizon;
        var q = profile.Plan.Quantiles.Length;
        w.Bytes("{\"start\":\""u8);
        _text.Time(w, firstFrame * profile.IntervalMicros);
        w.Bytes(text.BeforeForecast);
        for (var c = 0; c < profile.Channels; c++)
        {
            if (c > 0)
                w.Bytes(","u8);
            if (profile.Channels > 1)
                w.Bytes("["u8);
            for (var h = 0; h < k; h++)
            {
                w.Bytes(h > 0 ? ",["u8 : "["u8);
                for (var i = 0; i < q; i++)
                {
                    if (i > 0)
                        w.Bytes(","u8);
                    JsonBytes.Number(w, forecasts[(((c * k) + h) * q) + i]);
                }

                w.Bytes("]"u8);
            }

            if (profile.Channels > 1)
                w.Bytes("]"u8);
        }

        w.Bytes("]"u8);
        if (explainer is not null)
        {
            // With several channels an array of explanations, as the values are.
            w.Bytes(",\"explanation\":"u8);
            _json.Reset(w);
            if (profile.Channels > 1)
                _json.WriteStartArray();
            explainer.Explain(_json, session, firstFrame - 1);
            if (profile.Channels > 1)
                _json.WriteEndArray();
            _json.Flush();
        }

        w.Bytes("}"u8);
    }

    private ProfileText TextOf(ProfileRuntime profile)
    {
        if (!_profiles.TryGetValue(profile, out var text))
            _profiles.Add(profile, text = new ProfileText(profile));
        return text;
    }

    /// <summary>What is the same in all results of a profile.</summary>
    private sealed class ProfileText
    {
        public ProfileText(ProfileRuntime profile)
        {
            Name = JsonEncodedText.Encode(profile.Name, JavaScriptEncoder.UnsafeRelaxedJsonEscaping).EncodedUtf8Bytes.ToArray();
            AfterStream = [.. "\",\"profile\":\""u8, .. Name, .. "\",\"time\":\""u8];
            ChannelNames = [.. profile.Profile.Channels.Select(c => (byte[])[(byte)'"', .. JsonEncodedText.Encode(c, JavaScriptEncoder.UnsafeRelaxedJsonEscaping).EncodedUtf8Bytes, .. "\":"u8])];
            var w = new ByteWriter();
            w.Bytes("\",\"step_s\":"u8);
            JsonBytes.NumberOrNull(w, profile.Profile.Interval.TotalSeconds);
            w.Bytes(",\"quantiles\":["u8);
            for (var i = 0; i < profile.Profile.Quantiles.Count; i++)
            {
                if (i > 0)
                    w.Bytes(","u8);
                JsonBytes.NumberOrNull(w, profile.Profile.Quantiles[i]);
            }

            w.Bytes("],\"values\":["u8);
            BeforeForecast = w.Written.ToArray();
        }

        public byte[] Name { get; }

        /// <summary>From the end of the stream's key to the beginning of the time.</summary>
        public byte[] AfterStream { get; }

        /// <summary>From the end of the forecast's start to its first value.</summary>
        public byte[] BeforeForecast { get; }

        /// <summary>With quotes and colon.</summary>
        public byte[][] ChannelNames { get; }
    }
}
