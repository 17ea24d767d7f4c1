using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Signals;
using StreamLstm.Runtime.Episodes;
using StreamLstm.Runtime.Repair;
using StreamLstm.Runtime.Signals;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Output;

internal sealed partial class ResultWriter
{
    /// <summary>The result of a beat or window, by the same contract as a frame's.</summary>
    public void Signal(ByteWriter w, SignalSession session, long time, long clock, in SignalFinding finding, ReadOnlySpan<ChannelFinding> channels)
    {
        var anomaly = finding.Kind != AnomalyKind.None;
        _json.Reset(w);
        _json.WriteStartObject();
        _json.WriteNumber("schema"u8, 1);
        _json.WriteString("stream"u8, session.Key);
        _json.WriteString("profile"u8, session.Profile.Name);
        Time("time"u8, time);
        _json.WriteNumber("revision"u8, 0);
        Values(finding.Value, finding.Expected, finding.Lower, finding.Upper);
        _json.WriteNumber("anomaly_score"u8, finding.Score);
        _json.WriteBoolean("anomaly"u8, anomaly);
        _json.WriteString("severity"u8, anomaly ? EpisodeTracker.Severity(finding.Score) : "none");
        if (anomaly && finding.Direction != 0)
            _json.WriteString("direction"u8, finding.Direction > 0 ? "above" : "below");
        else
            _json.WriteNull("direction"u8);
        if (anomaly)
            _json.WriteString("type"u8, EpisodeTracker.TypeName(finding.Kind));
        else
            _json.WriteNull("type"u8);
        if (session.Episode.IsOpen)
            _json.WriteString("episode"u8, session.Episode.Id);
        else
            _json.WriteNull("episode"u8);
        _json.WriteBoolean("imputed"u8, false);
        _json.WriteStartArray("quality"u8);
        if (finding.Kind == AnomalyKind.Stale)
            _json.WriteStringValue("stale"u8);
        if (finding.IsCold)
            _json.WriteStringValue("cold"u8);
        if (finding.Off > 0)
            _json.WriteStringValue("lead_off"u8);
        _json.WriteEndArray();
        if (channels.Length > 0)
        {
            _json.WriteStartObject("channels"u8);
            for (var i = 0; i < channels.Length; i++)
            {
                ref readonly var channel = ref channels[i];
                _json.WriteStartObject(session.Profile.Profile.Channels[i]);
                Values(channel.Value, channel.Expected, channel.Lower, channel.Upper);
                _json.WriteNumber("share"u8, channel.Share);
                _json.WriteBoolean("off"u8, channel.IsOff);
                _json.WriteEndObject();
            }

            _json.WriteEndObject();
        }

        _json.WriteNumber("model_version"u8, 0);
        Time("issued_at"u8, clock);
        _json.WriteNull("forecast"u8);
        _json.WriteEndObject();
        _json.Flush();
    }

    /// <summary>An episode whose frames are microseconds.</summary>
    public void SignalEpisode(ByteWriter w, SignalSession session, bool closed) =>
        Episode(w, session.Key, session.Profile, EpisodeSummary.Of(session.Episode), interval: 1, closed ? EpisodeState.Closed : EpisodeState.Open, 0);

    private void Values(double y, double expected, double lower, double upper)
    {
        Number("y"u8, y);
        Number("yhat"u8, expected);
        Number("yhat_lower"u8, lower);
        Number("yhat_upper"u8, upper);
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
        _scratch.Clear();
        _text.Time(_scratch, micros);
        _json.WriteString(name, _scratch.Written);
    }
}
