using System.Text;

namespace StreamLstm.Connectors.Mqtt;

/// <summary>A stream key as part of a topic.</summary>
internal static class MqttTopic
{
    /// <summary>mosquitto closes the connection of a client that publishes to more than 200 levels.</summary>
    private const int MaxLevels = 100;

    /// <summary>
    /// Slashes stay topic levels. Percent-encoded (as UTF-8) is what a topic can't hold or a broker may refuse: wildcards, control
    /// characters, non-characters, a slash that would make an empty level, slashes beyond <see cref="MaxLevels"/>, and the percent
    /// sign itself, so that different keys never share a topic and <see cref="Uri.UnescapeDataString(string)"/> gives the key back.
    /// </summary>
    public static string Encode(string stream)
    {
        var result = new StringBuilder(stream.Length + 16);
        Span<byte> utf8 = stackalloc byte[4];
        Span<char> chars = stackalloc char[2];
        var levels = 1;
        var levelStart = 0;
        var position = 0;
        foreach (var rune in stream.EnumerateRunes())
        {
            position += rune.Utf16SequenceLength;
            if (rune.Value == '/' && result.Length > levelStart && position < stream.Length && levels < MaxLevels)
            {
                result.Append('/');
                levelStart = result.Length;
                levels++;
            }
            else if (rune.Value is '/' or '+' or '#' or '%' or <= 0x1F or (>= 0x7F and <= 0x9F) or (>= 0xFDD0 and <= 0xFDEF) || (rune.Value & 0xFFFE) == 0xFFFE)
            {
                foreach (var b in utf8[..rune.EncodeToUtf8(utf8)])
                    result.Append('%').Append(b.ToString("X2", System.Globalization.CultureInfo.InvariantCulture));
            }
            else
            {
                result.Append(chars[..rune.EncodeToUtf16(chars)]);
            }
        }

        return result.ToString();
    }
}
