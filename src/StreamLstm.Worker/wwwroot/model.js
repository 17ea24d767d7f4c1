// The selected stream as the charts need it: columns over one time axis that runs from the history into the forecast.

const limit = 256;

const seconds = text => Date.parse(text) / 1000;

export class StreamModel {
  constructor(detail) {
    this.id = detail.stream;
    this.profile = detail.profile;
    this.points = detail.history.map(point);
    if (this.points.length === 0 && detail.latest) this.points.push(point(detail.latest));
    this.forecast = detail.forecast;
    this.channels = Object.keys(detail.latest?.channels ?? {});
    // A signal's results have a value of their own (a beat's interval) beside the channels'.
    if (typeof detail.latest?.channels?.[this.channels[0]]?.off === 'boolean') this.channels.unshift('');
    if (this.channels.length < 2) this.channels = [];
  }

  /** Takes one result; a revision replaces the point of its time. */
  add(result) {
    const p = point(result);
    let i = this.points.length;
    while (i > 0 && this.points[i - 1].t > p.t) i--;
    if (i > 0 && this.points[i - 1].t === p.t) {
      if (p.revision >= this.points[i - 1].revision) this.points[i - 1] = p;
    } else {
      this.points.splice(i, 0, p);
      if (this.points.length > limit) this.points.shift();
    }
    if (result.forecast && p.t >= this.last.t) this.forecast = result.forecast;
    this.profile = result.profile ?? this.profile;
  }

  get last() { return this.points.at(-1); }

  /** Columns for the charts. A forecast's part before the newest observation is left out: it has happened. */
  columns(channel) {
    const d = Math.max(0, this.channels.indexOf(channel));
    const c = {
      t: [], y: [], yhat: [], lower: [], upper: [], score: [], marks: [], median: [], low: [], high: [], anomaly: [], type: [], imputed: [],
      step: 60, now: null, fan: null, quantiles: null,
    };
    for (const p of this.points) {
      const v = this.channels.length && this.channels[d] ? p.channels?.[this.channels[d]] ?? {} : p;
      c.t.push(p.t);
      c.y.push(v.y ?? null);
      c.yhat.push(v.yhat ?? null);
      c.lower.push(v.yhat_lower ?? null);
      c.upper.push(v.yhat_upper ?? null);
      c.score.push(p.score);
      c.anomaly.push(p.anomaly);
      c.type.push(p.type);
      c.imputed.push(p.imputed);
      c.median.push(null); c.low.push(null); c.high.push(null);
    }
    const n = c.t.length;
    if (n > 1) c.step = c.t[n - 1] - c.t[n - 2];
    const f = this.forecast;
    if (f && n > 0) {
      const values = this.channels.length ? f.values[d] : f.values;
      const mid = f.quantiles.indexOf(0.5);
      const start = seconds(f.start);
      c.quantiles = [f.quantiles[0], f.quantiles.at(-1)];
      for (let k = 0; k < values.length; k++) {
        const t = start + k * f.step_s;
        if (t <= c.t[n - 1]) continue;
        if (c.fan === null) {
          // The fan opens at the last observation, so that the eye can follow the line into it; but not at an outlier.
          c.median[n - 1] = c.low[n - 1] = c.high[n - 1] = c.anomaly[n - 1] ? c.yhat[n - 1] : c.y[n - 1] ?? c.yhat[n - 1];
          c.fan = { start: t, end: t };
          c.now = c.t[n - 1];
        }
        c.fan.end = t;
        c.t.push(t);
        for (const name of ['y', 'yhat', 'lower', 'upper', 'score']) c[name].push(null);
        c.anomaly.push(false); c.type.push(null); c.imputed.push(false);
        c.low.push(values[k][0]);
        c.median.push(values[k][mid < 0 ? values[k].length >> 1 : mid]);
        c.high.push(values[k].at(-1));
      }
    }
    return c;
  }
}

function point(r) {
  return {
    t: seconds(r.time), revision: r.revision ?? 0, y: r.y, yhat: r.yhat, yhat_lower: r.yhat_lower, yhat_upper: r.yhat_upper,
    score: r.anomaly_score, anomaly: r.anomaly, type: r.type, imputed: r.imputed, channels: r.channels,
  };
}
