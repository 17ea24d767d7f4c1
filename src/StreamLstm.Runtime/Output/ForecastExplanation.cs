using System.Text.Json;
using StreamLstm.Core.Forecasting;

namespace StreamLstm.Runtime.Output;

/// <summary>
/// What a channel's latest forecast was made of, as JSON: <c>{"steps":[J],"median_offset":[J],"experts":{name:{"weight":[J],"value":[J]}}}</c>.
/// At each step Σ weight · value + median_offset is the forecast's median. One instance per shard, for its scratch.
/// </summary>
internal sealed class ForecastExplanation(ForecastPlan plan)
{
    private static readonly JsonEncodedText[] Names = [.. Enum.GetNames<Expert>().Select(n => JsonEncodedText.Encode(n.ToLowerInvariant()))];

    private readonly float[] _weights = new float[plan.Knots.Length * ForecastPlan.Experts];
    private readonly float[] _values = new float[plan.Knots.Length * ForecastPlan.Experts];
    private readonly float[] _offsets = new float[plan.Knots.Length];

    /// <summary>Writes the explanation of the record's latest forecast, or null if there is none.</summary>
    public void Write(Utf8JsonWriter json, SeriesModel model, Span<float> record, CalendarPath? path)
    {
        if (!model.Explain(record, _weights, _values, _offsets, path))
        {
            json.WriteNullValue();
            return;
        }

        json.WriteStartObject();
        json.WriteStartArray("steps"u8);
        foreach (var h in plan.Knots)
            json.WriteNumberValue(h);
        json.WriteEndArray();
        json.WriteStartArray("median_offset"u8);
        foreach (var offset in _offsets)
            json.WriteNumberValue(offset);
        json.WriteEndArray();
        json.WriteStartObject("experts"u8);
        for (var m = 0; m < ForecastPlan.Experts; m++)
        {
            if (!Exists((Expert)m))
                continue;
            json.WriteStartObject(Names[m]);
            Column(json, "weight"u8, _weights, m);
            Column(json, "value"u8, _values, m);
            json.WriteEndObject();
        }

        json.WriteEndObject();
        json.WriteEndObject();
    }

    private bool Exists(Expert expert) => expert switch
    {
        Expert.Day => plan.DayFrames > 0,
        Expert.Week => plan.WeekFrames > 0,
        Expert.Linear or Expert.Deviation => plan.HasLinear,
        _ => true,
    };

    private void Column(Utf8JsonWriter json, ReadOnlySpan<byte> name, float[] table, int expert)
    {
        json.WriteStartArray(name);
        for (var j = 0; j < plan.Knots.Length; j++)
        {
            var v = table[(j * ForecastPlan.Experts) + expert];
            if (float.IsFinite(v))
                json.WriteNumberValue(v);
            else
                json.WriteNullValue();
        }

        json.WriteEndArray();
    }
}
