using System.Globalization;
using System.Text.Json;

namespace StreamLstm.Simulator;

/// <summary>One reading.</summary>
/// <param name="Channels">All values of a reading with several channels, NaN = missing; null for one value.</param>
internal readonly record struct Sample(string Stream, DateTimeOffset Time, double Value, double[]? Channels = null)
{
    /// <summary>ISO 8601 in UTC with as many decimals as are needed.</summary>
    public static string TimeText(DateTimeOffset time) =>
        time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.FFFFFFF'Z'", CultureInfo.InvariantCulture);

    /// <summary>Writes <c>{"stream":…,"time":…,"value":…}</c>; without the stream where the topic names it.</summary>
    public void WriteTo(Utf8JsonWriter json, bool withStream)
    {
        json.WriteStartObject();
        if (withStream)
        {
            json.WriteString("stream"u8, Stream);
        }

        json.WriteString("time"u8, TimeText(Time));
        if (Channels is null)
        {
            json.WriteNumber("value"u8, Value);
        }
        else
        {
            json.WriteStartArray("values"u8);
            foreach (double value in Channels)
            {
                if (double.IsFinite(value))
                {
                    json.WriteNumberValue(value);
                }
                else
                {
                    json.WriteNullValue();
                }
            }

            json.WriteEndArray();
        }

        json.WriteEndObject();
    }
}
