// Charts drawn by uPlot (canvas).
import { Overlay, range } from './overlay.js';
import * as format from '../format.js';

const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class UPlotChart {
  constructor(el, { onCursor }) {
    this.el = el;
    this.overlay = new Overlay(el, { onCursor, inverse: x => this.plot?.posToVal(x, 'x') ?? null });
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(el);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.rebuild());
  }

  size() { return { width: this.el.clientWidth || 600, height: this.el.clientHeight || 200 }; }

  draw(spec) {
    this.spec = spec;
    // uPlot keeps its series: only another layout of them asks for a new plot.
    const layout = spec.series.length + ':' + spec.bands.length + ':' + spec.lines.length;
    if (!this.plot || layout !== this.layout) {
      this.layout = layout;
      this.rebuild();
    } else {
      this.plot.setData(this.data());
    }
  }

  cursor(t) { this.overlay.cursor(t); }

  data() {
    const s = this.spec;
    const columns = [s.t];
    for (const band of s.bands) columns.push(band.high, band.low);
    for (const line of s.lines) columns.push(s.t.map(() => line.v));
    for (const one of s.series) columns.push(one.values);
    return columns;
  }

  rebuild() {
    if (!this.spec) return;
    this.plot?.destroy();
    const s = this.spec;
    const dpr = devicePixelRatio || 1;
    const series = [{}];
    const bands = [];
    for (const band of s.bands) {
      bands.push({ series: [series.length, series.length + 1], fill: css(band.fill) });
      const edge = { stroke: css(band.edge), width: band.edgeWidth ?? 0, points: { show: false } };
      series.push({ ...edge }, { ...edge });
    }
    for (const line of s.lines) series.push({ stroke: css(line.color), width: 1, dash: [5, 4], points: { show: false } });
    for (const one of s.series) {
      series.push({ stroke: css(one.color), width: one.width, dash: one.dash, fill: one.fill && css(one.fill), points: { show: false } });
    }
    const axis = { stroke: css('--soft'), grid: { stroke: css('--grid'), width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif' };
    this.plot = new uPlot({
      ...this.size(),
      tzDate: t => uPlot.tzDate(new Date(t * 1000), 'Etc/UTC'),
      cursor: { show: false },
      legend: { show: false },
      padding: [8, 24, 0, 0],
      scales: {
        x: { time: true, range: (u, lo, hi) => lo < hi ? [lo, hi] : [lo - 1, lo + 1] },
        y: { range: () => range(this.data().slice(1), this.spec.range) },
      },
      axes: [
        { ...axis, size: 26, gap: 6, values: (u, splits, i, space, step) => splits.map(t => format.tick(t, step)) },
        { ...axis, size: 58, gap: 8, values: (u, splits) => splits.map(format.value) },
      ],
      series,
      bands,
      hooks: {
        draw: [u => {
          const box = { left: u.bbox.left / dpr, top: u.bbox.top / dpr, width: u.bbox.width / dpr, height: u.bbox.height / dpr };
          this.overlay.draw(box, this.spec, t => u.valToPos(t, 'x'), v => u.valToPos(v, 'y'));
        }],
      },
    }, this.data(), this.el);
    this.el.append(this.overlay.el);
  }
}
