// Charts drawn as SVG, for a worker built without the chart library.
import { Overlay, range } from './overlay.js';
import * as format from '../format.js';

const ns = 'http://www.w3.org/2000/svg';
const margin = { left: 58, right: 24, top: 8, bottom: 26 };

export class SvgChart {
  constructor(el, { onCursor }) {
    this.el = el;
    this.svg = document.createElementNS(ns, 'svg');
    el.append(this.svg);
    this.overlay = new Overlay(el, { onCursor, inverse: x => this.inverse?.(x) ?? null });
    new ResizeObserver(() => this.spec && this.draw(this.spec)).observe(el);
  }

  cursor(t) { this.overlay.cursor(t); }

  draw(spec) {
    this.spec = spec;
    const box = {
      left: margin.left, top: margin.top,
      width: Math.max(50, (this.el.clientWidth || 600) - margin.left - margin.right),
      height: Math.max(30, (this.el.clientHeight || 200) - margin.top - margin.bottom),
    };
    const [t0, t1] = spec.t.length > 1 ? [spec.t[0], spec.t.at(-1)] : [(spec.t[0] ?? 0) - 1, (spec.t[0] ?? 0) + 1];
    const columns = [...spec.series.map(s => s.values), ...spec.bands.flatMap(b => [b.high, b.low]), spec.lines.map(l => l.v)];
    const [lo, hi] = range(columns, spec.range);
    const x = t => (t - t0) / (t1 - t0) * box.width;
    const y = v => (hi - v) / (hi - lo) * box.height;
    this.inverse = px => t0 + px / box.width * (t1 - t0);

    const g = node('g', { transform: `translate(${box.left} ${box.top})` });
    for (const v of valueTicks(lo, hi, Math.max(2, Math.floor(box.height / 48)))) {
      g.append(node('line', { class: 'grid', x1: 0, x2: box.width, y1: y(v), y2: y(v) }), text(format.value(v), -8, y(v) + 4, 'end'));
    }
    const [step, times] = timeTicks(t0, t1, Math.max(2, Math.floor(box.width / 90)));
    for (const t of times) {
      g.append(node('line', { class: 'grid', x1: x(t), x2: x(t), y1: 0, y2: box.height }), text(format.tick(t, step), x(t), box.height + 18, 'middle'));
    }
    for (const band of spec.bands) {
      g.append(node('path', { d: area(spec.t, band.high, band.low, x, y), fill: `var(${band.fill})` }));
      if (band.edgeWidth) {
        for (const edge of [band.high, band.low]) g.append(node('path', { d: path(spec.t, edge, x, y), fill: 'none', stroke: `var(${band.edge})`, 'stroke-width': band.edgeWidth }));
      }
    }
    for (const line of spec.lines) {
      g.append(node('line', { x1: 0, x2: box.width, y1: y(line.v), y2: y(line.v), stroke: `var(${line.color})`, 'stroke-dasharray': '5 4' }));
    }
    for (const s of spec.series) {
      if (s.fill) g.append(node('path', { d: area(spec.t, s.values, s.values.map(v => v === null ? null : Math.max(0, lo)), x, y), fill: `var(${s.fill})` }));
      g.append(node('path', { d: path(spec.t, s.values, x, y), fill: 'none', stroke: `var(${s.color})`, 'stroke-width': s.width, 'stroke-dasharray': s.dash?.join(' ') ?? 'none' }));
    }
    this.svg.replaceChildren(g);
    this.overlay.draw(box, spec, x, y);
  }
}

function node(name, attributes) {
  const el = document.createElementNS(ns, name);
  for (const [key, v] of Object.entries(attributes)) el.setAttribute(key, v);
  return el;
}

function text(content, x, y, anchor) {
  const el = node('text', { x, y, 'text-anchor': anchor });
  el.textContent = content;
  return el;
}

/** A line that breaks where values are missing. */
function path(t, values, x, y) {
  let d = '', pen = false;
  for (let i = 0; i < t.length; i++) {
    if (values[i] === null) { pen = false; continue; }
    d += `${pen ? 'L' : 'M'}${x(t[i]).toFixed(1)} ${y(values[i]).toFixed(1)}`;
    pen = true;
  }
  return d;
}

function area(t, high, low, x, y) {
  let d = '', run = [];
  const close = () => {
    if (run.length > 1) {
      d += 'M' + run.map(i => `${x(t[i]).toFixed(1)} ${y(high[i]).toFixed(1)}`).join('L');
      d += 'L' + run.reverse().map(i => `${x(t[i]).toFixed(1)} ${y(low[i]).toFixed(1)}`).join('L') + 'Z';
    }
    run = [];
  };
  for (let i = 0; i < t.length; i++) {
    if (high[i] === null || low[i] === null) close();
    else run.push(i);
  }
  close();
  return d;
}

/** Round values: 1, 2 or 5 times a power of ten apart. */
function valueTicks(lo, hi, count) {
  const rough = (hi - lo) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(m => m * power).find(s => s >= rough);
  const ticks = [];
  for (let i = Math.ceil(lo / step); i * step <= hi; i++) ticks.push(i * step);
  return ticks;
}

const steps = [.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2592000];

function timeTicks(t0, t1, count) {
  const step = steps.find(s => s >= (t1 - t0) / count) ?? steps.at(-1);
  const ticks = [];
  for (let i = Math.ceil(t0 / step); i * step <= t1; i++) ticks.push(i * step);
  return [step, ticks];
}
