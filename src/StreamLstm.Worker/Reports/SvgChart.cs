using System.Globalization;
using System.Net;
using System.Text;

namespace StreamLstm.Worker.Reports;

/// <summary>
/// A small line chart as inline SVG: axes with round ticks, lines, bands, bars, and a legend. Colours are CSS classes
/// (<c>s0</c>, <c>s1</c>, …; <c>obs</c>, <c>band</c>), so that the page's style decides them in light and dark.
/// </summary>
internal sealed class SvgChart(string title, double xMin, double xMax, double yMin, double yMax)
{
    private const double Width = 900;
    private const double Height = 250;
    private const double Left = 62;
    private const double Right = 12;
    private const double Top = 12;
    private const double Bottom = 26;

    private readonly StringBuilder _marks = new();
    private readonly StringBuilder _axes = new();
    private readonly List<(string Class, string Name)> _legend = [];
    private readonly double _xSpan = xMax > xMin ? xMax - xMin : 1;
    private readonly double _ySpan = yMax > yMin ? yMax - yMin : 1;

    public void Legend(string cssClass, string name) => _legend.Add((cssClass, name));

    /// <summary>A line through the points; a NaN breaks it.</summary>
    public void Line(string cssClass, IEnumerable<(double X, double Y)> points)
    {
        var path = new StringBuilder();
        var pen = 'M';
        foreach (var (x, y) in points)
        {
            if (!double.IsFinite(y))
            {
                pen = 'M';
                continue;
            }

            path.Append(pen).Append(At(x, y));
            pen = 'L';
        }

        if (path.Length > 0)
            _marks.Append(CultureInfo.InvariantCulture, $"<path class=\"line {cssClass}\" d=\"{path}\"/>");
    }

    public void Dots(string cssClass, IEnumerable<(double X, double Y, string Label)> points)
    {
        foreach (var (x, y, label) in points)
        {
            if (double.IsFinite(y))
                _marks.Append(CultureInfo.InvariantCulture, $"<circle class=\"dot {cssClass}\" cx=\"{X(x):0.#}\" cy=\"{Y(y):0.#}\" r=\"3\"><title>{WebUtility.HtmlEncode(label)}</title></circle>");
        }
    }

    public void Band(string cssClass, IReadOnlyList<(double X, double Low, double High)> points)
    {
        if (points.Count == 0)
            return;
        var path = new StringBuilder("M");
        path.AppendJoin('L', points.Select(p => At(p.X, p.High)));
        path.Append('L').AppendJoin('L', points.Reverse().Select(p => At(p.X, p.Low)));
        _marks.Append(CultureInfo.InvariantCulture, $"<path class=\"{cssClass}\" d=\"{path}Z\"/>");
    }

    public void Bar(string cssClass, double from, double to, double y, string label)
    {
        var (low, high) = (Y(Math.Max(yMin, Math.Min(0, y))), Y(Math.Max(0, y)));
        _marks.Append(CultureInfo.InvariantCulture, $"<rect class=\"bar {cssClass}\" x=\"{X(from) + 1:0.#}\" y=\"{high:0.#}\" width=\"{Math.Max(1, X(to) - X(from) - 2):0.#}\" height=\"{Math.Max(0, low - high):0.#}\"><title>{WebUtility.HtmlEncode(label)}</title></rect>");
    }

    /// <summary>A horizontal line of reference.</summary>
    public void Reference(double y) =>
        _marks.Append(CultureInfo.InvariantCulture, $"<path class=\"reference\" d=\"M{At(xMin, y)}L{At(xMax, y)}\"/>");

    public void XTicks(IEnumerable<(double X, string Label)> ticks)
    {
        foreach (var (x, label) in ticks)
            _axes.Append(CultureInfo.InvariantCulture, $"<text class=\"x\" x=\"{X(x):0.#}\" y=\"{Height - 8}\">{WebUtility.HtmlEncode(label)}</text>");
    }

    public override string ToString()
    {
        var html = new StringBuilder();
        html.Append(CultureInfo.InvariantCulture, $"<figure><figcaption>{WebUtility.HtmlEncode(title)}");
        foreach (var (cssClass, name) in _legend)
            html.Append(CultureInfo.InvariantCulture, $" <span class=\"key\"><i class=\"{cssClass}\"></i>{WebUtility.HtmlEncode(name)}</span>");
        html.Append(CultureInfo.InvariantCulture, $"</figcaption><svg viewBox=\"0 0 {Width} {Height}\" role=\"img\" aria-label=\"{WebUtility.HtmlEncode(title)}\">");
        foreach (var tick in Ticks(yMin, yMax))
        {
            html.Append(CultureInfo.InvariantCulture, $"<path class=\"grid\" d=\"M{At(xMin, tick)}L{At(xMax, tick)}\"/>");
            html.Append(CultureInfo.InvariantCulture, $"<text class=\"y\" x=\"{Left - 6}\" y=\"{Y(tick) + 4:0.#}\">{tick.ToString("0.####", CultureInfo.InvariantCulture)}</text>");
        }

        html.Append(_axes).Append(_marks).Append("</svg></figure>\n");
        return html.ToString();
    }

    /// <summary>About five round values (1, 2 or 5 times a power of ten apart) inside the range.</summary>
    private static IEnumerable<double> Ticks(double min, double max)
    {
        if (!(max > min))
            return [min];
        var raw = (max - min) / 5;
        var power = Math.Pow(10, Math.Floor(Math.Log10(raw)));
        var step = power * (raw / power) switch { <= 1 => 1, <= 2 => 2, <= 5 => 5, _ => 10 };
        return Enumerable.Range(0, 12).Select(i => (Math.Ceiling(min / step) + i) * step).Where(v => v <= max + (step * 1e-9)).Select(v => Math.Abs(v) < step * 1e-9 ? 0 : v);
    }

    private double X(double x) => Left + ((x - xMin) / _xSpan * (Width - Left - Right));

    /// <summary>Held inside the picture: one wild value must not push the rest out of sight, nor leave the frame.</summary>
    private double Y(double y) => Height - Bottom - (Math.Clamp((y - yMin) / _ySpan, -0.02, 1.02) * (Height - Top - Bottom));

    private string At(double x, double y) => string.Create(CultureInfo.InvariantCulture, $"{X(x):0.#},{Y(y):0.#}");
}
