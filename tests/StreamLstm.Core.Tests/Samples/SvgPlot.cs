using System.Globalization;
using System.Text;

namespace StreamLstm.Core.Tests.Samples;

/// <summary>One line of a plot.</summary>
internal sealed record PlotLine(string Label, string Colour, IReadOnlyList<float> Values);

/// <summary>A line plot as SVG text: title, axes with their extremes, legend.</summary>
internal static class SvgPlot
{
    private const int Width = 800, Height = 320, Left = 60, Right = 20, Top = 40, Bottom = 40;

    public static string Lines(string title, string across, params PlotLine[] lines)
    {
        var low = lines.Min(line => line.Values.Min());
        var high = lines.Max(line => line.Values.Max());
        var span = high > low ? high - low : 1f;
        var longest = Math.Max(2, lines.Max(line => line.Values.Count));
        var svg = new StringBuilder();
        Append($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" font-family=\"sans-serif\" font-size=\"12\">\n");
        Append($"<rect width=\"{Width}\" height=\"{Height}\" fill=\"white\"/>\n");
        Append($"<text x=\"{Left}\" y=\"20\" font-size=\"15\">{Escape(title)}</text>\n");
        Append($"<path d=\"M{Left} {Top}V{Height - Bottom}H{Width - Right}\" fill=\"none\" stroke=\"#888\"/>\n");
        Append($"<text x=\"{Left - 6}\" y=\"{Top + 4}\" text-anchor=\"end\">{high:G3}</text>\n");
        Append($"<text x=\"{Left - 6}\" y=\"{Height - Bottom + 4}\" text-anchor=\"end\">{low:G3}</text>\n");
        Append($"<text x=\"{Width - Right}\" y=\"{Height - 12}\" text-anchor=\"end\">{Escape(across)}, 0 to {longest - 1}</text>\n");
        for (var n = 0; n < lines.Length; n++)
        {
            var line = lines[n];
            svg.Append(CultureInfo.InvariantCulture, $"<polyline fill=\"none\" stroke=\"{line.Colour}\" stroke-width=\"1.5\" points=\"");
            for (var i = 0; i < line.Values.Count; i++)
            {
                var x = Left + ((Width - Left - Right) * (float)i / (longest - 1));
                var y = Top + ((Height - Top - Bottom) * (high - line.Values[i]) / span);
                svg.Append(CultureInfo.InvariantCulture, $"{x:0.#},{y:0.#} ");
            }

            svg.Append("\"/>\n");
            Append($"<text x=\"{Left + 10 + (150 * n)}\" y=\"{Height - 12}\" fill=\"{line.Colour}\">{Escape(line.Label)}</text>\n");
        }

        return svg.Append("</svg>\n").ToString();

        void Append(FormattableString text) => svg.Append(text.ToString(CultureInfo.InvariantCulture));

        static string Escape(string text) => text.Replace("&", "&amp;", StringComparison.Ordinal).Replace("<", "&lt;", StringComparison.Ordinal);
    }
}
