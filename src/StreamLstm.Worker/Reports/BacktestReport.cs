using System.Globalization;
using System.Net;
using System.Text;
using StreamLstm.Runtime.Evaluation;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Worker.Commands;

namespace StreamLstm.Worker.Reports;

/// <summary>A backtest as one HTML file that needs nothing else: charts are inline SVG, there is no script.</summary>
internal sealed class BacktestReport(Profile profile, IReadOnlyList<BacktestSeries> series)
{
    /// <summary>Streams drawn in full; the summary names all.</summary>
    private const int MostCharts = 20;

    private const string Style = """
        :root{color-scheme:light dark;--bg:#fff;--fg:#1d2530;--muted:#667;--grid:#e4e7ec;--obs:#1d2530;--s0:#0b6bcb;--s1:#999;--s2:#c77700;--s3:#8a5cd1;--s4:#1a8f5a;--s5:#c8385a;--band:#0b6bcb}
        @media (prefers-color-scheme:dark){:root{--bg:#12161c;--fg:#e6eaf0;--muted:#98a2b3;--grid:#2a313c;--obs:#e6eaf0;--s0:#58a6ff;--s1:#8b949e;--s2:#e3a34b;--s3:#b794f6;--s4:#4ec98f;--s5:#f0788f;--band:#58a6ff}}
        body{background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2rem auto;padding:0 1rem}
        h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2.5rem;border-top:1px solid var(--grid);padding-top:1rem}
        p,figcaption,summary{color:var(--muted)}figure{margin:1rem 0}svg{width:100%;height:auto}
        svg text{fill:var(--muted);font:11px system-ui,sans-serif}text.y{text-anchor:end}text.x{text-anchor:middle}
        .grid{stroke:var(--grid);fill:none}.reference{stroke:var(--muted);stroke-dasharray:4 4;fill:none}
        .line{fill:none;stroke-width:1.6}.line.obs{stroke:var(--obs);stroke-width:1.2}.band{fill:var(--band);opacity:.16;stroke:none}
        .line.s0{stroke:var(--s0)}.line.s1{stroke:var(--s1)}.line.s2{stroke:var(--s2)}.line.s3{stroke:var(--s3)}.line.s4{stroke:var(--s4)}.line.s5{stroke:var(--s5)}
        .dot.s0,.bar.s0{fill:var(--s0)}.dot.s1{fill:var(--s1)}.dot.s2{fill:var(--s2)}.dot.s3{fill:var(--s3)}.dot.s4{fill:var(--s4)}.dot.s5{fill:var(--s5)}
        .key{margin-left:.8em;white-space:nowrap}.key i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.3em;vertical-align:-1px}
        i.obs{background:var(--obs)}i.band{background:var(--band);opacity:.3}i.s0{background:var(--s0)}i.s1{background:var(--s1)}i.s2{background:var(--s2)}i.s3{background:var(--s3)}i.s4{background:var(--s4)}i.s5{background:var(--s5)}
        .wide{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}td,th{padding:.15rem .6rem;text-align:right;border-bottom:1px solid var(--grid)}td.t,th.t{text-align:left}tr.own td{font-weight:600;color:var(--s0)}
        """;

    private readonly StringBuilder _html = new();

    public string Render()
    {
        _html.Append("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Backtest</title>\n<style>");
        _html.Append(Style).Append("</style></head><body>\n<h1>Backtest</h1>\n");
        Text($"Profile {profile.Name}: interval {profile.Interval:c}, {profile.HorizonSteps} steps ahead, times in {profile.Zone.Id}. Every forecast is judged when its target arrives; all methods on the same targets, after the warm-up.");
        Summary();
        foreach (var s in series.Take(MostCharts))
            Stream(s);
        if (series.Count > MostCharts)
            Text($"{series.Count - MostCharts} more streams are in the JSON output.");
        _html.Append("</body></html>\n");
        return _html.ToString();
    }

    private void Summary()
    {
        var k = profile.HorizonSteps;
        _html.Append(CultureInfo.InvariantCulture, $"<div class=\"wide\"><table><tr><th class=\"t\">stream</th><th>frames</th><th>MAE, steps 1–{k}</th><th class=\"t\">best baseline</th><th>its MAE</th><th>skill against it</th><th>coverage</th></tr>\n");
        foreach (var s in series)
        {
            var own = s.Evaluation.Sums(SeriesEvaluation.Model, k, true);
            if (own.Count == 0)
                continue;
            var (best, mae) = s.Evaluation.Methods.Skip(1).Select(m => (m, s.Evaluation.Sums(m, k, true).MeanAbsoluteError)).MinBy(x => x.MeanAbsoluteError);
            var coverage = own.Grid.Intervals.Count > 0 ? $"{own.Coverage(0):P1} of {own.Grid.Intervals[0].Level:P0}" : "";
            _html.Append(CultureInfo.InvariantCulture, $"<tr><td class=\"t\">{Encode(s.Stream)}</td><td>{s.Evaluation.Frames}</td><td>{own.MeanAbsoluteError:G5}</td><td class=\"t\">{best}</td><td>{mae:G5}</td><td>{Terminal.Number(Skill(own.MeanAbsoluteError, mae), "0.000")}</td><td>{coverage}</td></tr>\n");
        }

        _html.Append("</table></div>\n");
    }

    private void Stream(BacktestSeries s)
    {
        _html.Append(CultureInfo.InvariantCulture, $"<h2>{Encode(s.Stream)}</h2>\n");
        var e = s.Evaluation;
        if (e.Sums(SeriesEvaluation.Model, profile.HorizonSteps, true).Count == 0)
        {
            Text("Nothing was judged: the series is too short for its warm-up.");
            return;
        }

        Fan(e);
        Residuals(e);
        SkillByHorizon(e);
        if (e.Hours > 1)
            ByHour(e);
        Calibration(e);
        OverTime(e);
        if (s.Detection is { } d)
            Text($"Detection: precision {Terminal.Number(d.Precision)}, recall {Terminal.Number(d.Recall)}, median delay {Terminal.Number(d.DelaySeconds, "0")} s, false alarms per day {Terminal.Number(d.FalsePerDay)}.");
        Table(e);
    }

    private void Fan(SeriesEvaluation e)
    {
        var recent = e.Recent.ToList();
        var q = e.Grid.Levels.Count;
        var observed = recent.Select(r => r.Value).Where(double.IsFinite).ToList();
        var last = recent[^1].Frame;
        var fans = e.Fans.Select(f => (f.Origin, f.Values, Steps: (int)Math.Min(profile.HorizonSteps, last - f.Origin))).Where(f => f.Steps > 0).ToList();
        var bounds = fans.SelectMany(f => f.Values.AsSpan(0, f.Steps * q).ToArray().Select(v => (double)v)).Concat(observed).Where(double.IsFinite).ToList();
        var chart = new SvgChart("The last days: observed, and forecasts issued one horizon apart", recent[0].Frame, last, bounds.Min(), bounds.Max());
        foreach (var (origin, values, steps) in fans)
        {
            foreach (var (low, high, _) in e.Grid.Intervals)
                chart.Band("band", [.. Enumerable.Range(1, steps).Select(h => ((double)(origin + h), (double)values[((h - 1) * q) + low], (double)values[((h - 1) * q) + high]))]);
            chart.Line("s0", Enumerable.Range(1, steps).Select(h => ((double)(origin + h), (double)values[((h - 1) * q) + e.Grid.Median])));
        }

        chart.Line("obs", recent.Select(r => ((double)r.Frame, r.Value)));
        chart.XTicks(TimeTicks(recent[0].Frame, last));
        chart.Legend("obs", "observed");
        chart.Legend("s0", "median");
        foreach (var (_, _, level) in e.Grid.Intervals)
            chart.Legend("band", level.ToString("P0", CultureInfo.InvariantCulture));
        _html.Append(chart);
    }

    private void Residuals(SeriesEvaluation e)
    {
        var recent = e.Recent.ToList();
        var residuals = recent.Select(r => ((double)r.Frame, r.Value - r.Expected)).ToList();
        var range = residuals.Select(r => Math.Abs(r.Item2)).Where(double.IsFinite).DefaultIfEmpty(1).Max();
        var chart = new SvgChart("Residuals one step ahead, observed − forecast", recent[0].Frame, recent[^1].Frame, -range, range);
        chart.Reference(0);
        chart.Line("s0", residuals);
        chart.XTicks(TimeTicks(recent[0].Frame, recent[^1].Frame));
        _html.Append(chart);
    }

    private void SkillByHorizon(SeriesEvaluation e)
    {
        var steps = e.ReportedSteps.Where(h => e.Sums(SeriesEvaluation.Model, h, false).Count > 0).ToList();
        Skills(e, "Skill by horizon, 1 − MAE / MAE of the baseline (above 0: better than it)", steps.Count, i => $"{steps[i]}", (method, i) => e.Sums(method, steps[i], false));
    }

    private void ByHour(SeriesEvaluation e)
    {
        var k = profile.HorizonSteps;
        string Hour(int i) => $"{i * 24 / e.Hours}";
        Skills(e, "Skill by hour of the target, all steps", e.Hours, Hour, (method, i) => e.Sums(method, k, true, i));
        if (e.Grid.Intervals.Count == 0)
            return;
        var coverage = Enumerable.Range(0, e.Hours).Select(i => e.Sums(SeriesEvaluation.Model, k, true, i)).ToList();
        var lowest = coverage.Where(c => c.Count > 0).Min(c => c.Coverage(e.Grid.Intervals.Count - 1));
        var chart = new SvgChart("Coverage by hour of the target, all steps", -0.5, e.Hours - 0.5, Math.Max(0, lowest - 0.1), 1);
        for (var j = 0; j < e.Grid.Intervals.Count; j++)
        {
            var name = e.Grid.Intervals[j].Level.ToString("P0", CultureInfo.InvariantCulture);
            var css = $"s{Math.Min(j == 0 ? 0 : j + 1, 5)}";
            chart.Reference(e.Grid.Intervals[j].Level);
            chart.Line(css, coverage.Select((c, i) => ((double)i, c.Count > 0 ? c.Coverage(j) : double.NaN)));
            chart.Dots(css, coverage.Select((c, i) => ((double)i, c.Count > 0 ? c.Coverage(j) : double.NaN, string.Create(CultureInfo.InvariantCulture, $"hour {Hour(i)}: {c.Coverage(j):P1} of {name}"))));
            chart.Legend(css, name);
        }

        chart.XTicks(Enumerable.Range(0, e.Hours).Where(i => i % 2 == 0).Select(i => ((double)i, Hour(i))));
        _html.Append(chart);
    }

    private void Skills(SeriesEvaluation e, string title, int count, Func<int, string> label, Func<string, int, ErrorSums> sums)
    {
        var own = Enumerable.Range(0, count).Select(i => sums(SeriesEvaluation.Model, i)).ToList();
        var lines = e.Methods.Skip(1).Select(m => (Method: m, Values: Enumerable.Range(0, count).Select(i => Skill(own[i].MeanAbsoluteError, sums(m, i).MeanAbsoluteError) ?? double.NaN).ToList())).ToList();
        var all = lines.SelectMany(l => l.Values).Where(double.IsFinite).DefaultIfEmpty(0).ToList();
        var chart = new SvgChart(title, -0.5, count - 0.5, Math.Max(-1, Math.Min(0, all.Min())), Math.Max(0.1, all.Max()));
        chart.Reference(0);
        for (var m = 0; m < lines.Count; m++)
        {
            var (method, values) = lines[m];
            chart.Line($"s{m + 1}", values.Select((v, i) => ((double)i, v)));
            chart.Dots($"s{m + 1}", values.Select((v, i) => ((double)i, v, string.Create(CultureInfo.InvariantCulture, $"{label(i)}: {v:0.000} against {method}"))));
            chart.Legend($"s{m + 1}", method);
        }

        chart.XTicks(Enumerable.Range(0, count).Where(i => count <= 16 || i % 2 == 0).Select(i => ((double)i, label(i))));
        _html.Append(chart);
    }

    private void Calibration(SeriesEvaluation e)
    {
        var levels = e.Grid.Levels;
        var own = e.Sums(SeriesEvaluation.Model, profile.HorizonSteps, true);
        var one = e.Sums(SeriesEvaluation.Model, 1, false);
        var chart = new SvgChart("Calibration: share of values at or below a quantile, against its level (dashed: ideal)", 0, 1, 0, 1);
        chart.Line("reference", [(0, 0), (1, 1)]);
        foreach (var (css, name, sums) in new[] { ("s0", "all steps", own), ("s2", "one step", one) })
        {
            if (sums.Count == 0)
                continue;
            chart.Line(css, levels.Select((l, i) => (l, sums.AtOrBelow(i))));
            chart.Dots(css, levels.Select((l, i) => (l, sums.AtOrBelow(i), string.Create(CultureInfo.InvariantCulture, $"{l}: {sums.AtOrBelow(i):0.000}"))));
            chart.Legend(css, name);
        }

        chart.XTicks(levels.Select(l => (l, l.ToString(CultureInfo.InvariantCulture))));
        _html.Append(chart);

        // PIT: where in its forecast distribution a value fell, as far as the quantiles tell.
        double[] edges = [0, .. levels, 1];
        double[] shares = [0, .. levels.Select((_, i) => own.AtOrBelow(i)), 1];
        var densities = Enumerable.Range(0, edges.Length - 1).Select(i => (shares[i + 1] - shares[i]) / (edges[i + 1] - edges[i])).ToList();
        var pit = new SvgChart("PIT histogram, all steps: density of values between quantiles (1 = ideal)", 0, 1, 0, Math.Max(1.5, densities.Max()));
        for (var i = 0; i < densities.Count; i++)
            pit.Bar("s0", edges[i], edges[i + 1], densities[i], string.Create(CultureInfo.InvariantCulture, $"{edges[i]} to {edges[i + 1]}: {densities[i]:0.00}"));
        pit.Reference(1);
        pit.XTicks(levels.Select(l => (l, l.ToString(CultureInfo.InvariantCulture))));
        _html.Append(pit);
    }

    private void OverTime(SeriesEvaluation e)
    {
        var weeks = e.Weeks.ToList();
        if (weeks.Count < 3)
            return;
        var shown = e.Methods.Select((m, i) => (m, i)).Where(x => x.m != SeriesEvaluation.Last).ToList();
        var chart = new SvgChart("Mean absolute error by week, all steps", weeks[0].Week, weeks[^1].Week, 0, weeks.Max(w => shown.Max(x => w.MeanAbsoluteErrors[x.i])));
        foreach (var (method, i) in shown.AsEnumerable().Reverse())
        {
            chart.Line($"s{i}", weeks.Select(w => ((double)w.Week, w.MeanAbsoluteErrors[i])));
            chart.Legend($"s{i}", method);
        }

        var period = profile.DayFrames > 0 ? 7L * profile.DayFrames : 1000;
        var every = Math.Max(1, weeks.Count / 8);
        chart.XTicks(weeks.Where((_, i) => i % every == every / 2).Select(w => ((double)w.Week, Local(w.Week * period).ToString("yyyy-MM-dd", CultureInfo.InvariantCulture))));
        _html.Append(chart);
    }

    private void Table(SeriesEvaluation e)
    {
        _html.Append("<details open><summary>All figures</summary><div class=\"wide\"><table><tr><th>h</th><th class=\"t\">scope</th><th class=\"t\">method</th><th>MSE</th><th>RMSE</th><th>MAE</th><th>MAPE %</th><th>MASE</th><th>pinball</th><th>CRPS</th>");
        foreach (var (_, _, level) in e.Grid.Intervals)
            _html.Append(CultureInfo.InvariantCulture, $"<th>cover {level:P0}</th><th>width {level:P0}</th><th>Winkler {level:P0}</th>");
        _html.Append("</tr>\n");
        foreach (var h in e.ReportedSteps)
        {
            foreach (var mean in h == 1 ? [false] : new[] { false, true })
            {
                foreach (var method in e.Methods)
                {
                    var m = e.Sums(method, h, mean);
                    if (m.Count == 0)
                        continue;
                    _html.Append(CultureInfo.InvariantCulture, $"<tr{(m.Probabilistic ? " class=\"own\"" : "")}><td>{h}</td><td class=\"t\">{(mean ? "mean" : "step")}</td><td class=\"t\">{method}</td><td>{m.MeanSquaredError:G5}</td><td>{m.RootMeanSquaredError:G5}</td><td>{m.MeanAbsoluteError:G5}</td><td>{Terminal.Number(m.MeanAbsolutePercentageError, "F2")}</td><td>{Terminal.Number(m.MeanAbsoluteError / e.Scale, "F3")}</td><td>{m.Pinball:G5}</td><td>{m.ContinuousRankedProbabilityScore:G5}</td>");
                    for (var i = 0; i < e.Grid.Intervals.Count; i++)
                        _html.Append(m.Probabilistic ? string.Create(CultureInfo.InvariantCulture, $"<td>{m.Coverage(i):F3}</td><td>{m.Width(i):G5}</td><td>{m.Winkler(i):G5}</td>") : "<td></td><td></td><td></td>");
                    _html.Append("</tr>\n");
                }
            }
        }

        _html.Append("</table></div></details>\n");
    }

    /// <summary>Midnights, or when there are few of them a tick for every sixth of the range.</summary>
    private IEnumerable<(double, string)> TimeTicks(long from, long to)
    {
        var midnights = new List<(double, string)>();
        for (var frame = from; frame <= to && profile.DayFrames > 1; frame++)
        {
            var time = Local(frame);
            if (time.TimeOfDay < profile.Interval)
                midnights.Add((frame, time.ToString("MM-dd", CultureInfo.InvariantCulture)));
        }

        if (midnights.Count is >= 3)
            return midnights.Where((_, i) => i % Math.Max(1, midnights.Count / 8) == 0);
        return Enumerable.Range(0, 6).Select(i => from + ((to - from) * i / 5)).Select(f => ((double)f, Local(f).ToString("MM-dd HH:mm", CultureInfo.InvariantCulture)));
    }

    private DateTimeOffset Local(long frame) => TimeZoneInfo.ConvertTime(UnixMicros.ToDateTimeOffset(frame * (long)profile.Interval.TotalMicroseconds), profile.Zone);

    private static double? Skill(double own, double other) => other > 0 ? 1 - (own / other) : null;

    private static string Encode(string text) => WebUtility.HtmlEncode(text);

    private void Text(string text) => _html.Append("<p>").Append(Encode(text)).Append("</p>\n");
}
