// What lies over a chart whichever way it is drawn: anomaly marks, the line between history and forecast, a chosen span, the cursor.

export class Overlay {
  /** onCursor: called with a time, or null when the pointer leaves; inverse: pixel of the plotting area → time. */
  constructor(root, { onCursor, inverse }) {
    this.root = root;
    this.el = document.createElement('div');
    this.el.className = 'overlay';
    root.append(this.el);
    this.cursorLine = line('cursor');
    this.cursorLine.hidden = true;
    root.addEventListener('pointermove', e => {
      const box = this.el.getBoundingClientRect();
      onCursor(inverse(e.clientX - box.left));
    });
    root.addEventListener('pointerleave', () => onCursor(null));
  }

  /** box: plotting area in pixels of the root; spec as in index.js; x, y: value → pixel of the plotting area. */
  draw(box, spec, x, y) {
    Object.assign(this.el.style, { left: `${box.left}px`, top: `${box.top}px`, width: `${box.width}px`, height: `${box.height}px` });
    const parts = [];
    if (spec.span) {
      const span = line('span');
      const from = x(spec.span[0]);
      span.style.left = `${from}px`;
      span.style.width = `${Math.max(3, x(spec.span[1]) - from)}px`;
      parts.push(span);
    }
    if (spec.now !== null && spec.now !== undefined) {
      const now = line('now');
      now.style.left = `${x(spec.now)}px`;
      parts.push(now);
    }
    for (const mark of spec.marks ?? []) {
      const dot = line('anomaly');
      dot.title = mark.label;
      dot.dataset.time = mark.t;
      dot.style.left = `${x(mark.t)}px`;
      dot.style.top = `${y(mark.v)}px`;
      parts.push(dot);
    }
    parts.push(this.cursorLine);
    this.el.replaceChildren(...parts);
    this.x = x;
    // For tests and for tools that read the page: where the fan lies.
    this.root.dataset.fanStart = spec.fan?.start ?? '';
    this.root.dataset.fanEnd = spec.fan?.end ?? '';
  }

  cursor(t) {
    this.cursorLine.hidden = t === null || !this.x;
    if (!this.cursorLine.hidden) this.cursorLine.style.left = `${this.x(t)}px`;
  }
}

function line(name) {
  const el = document.createElement('div');
  el.className = name;
  return el;
}

/** Finite minimum and maximum over columns, with a margin; kept from collapsing. */
export function range(columns, { floor = null, least = null } = {}) {
  let lo = Infinity, hi = -Infinity;
  for (const column of columns) {
    for (const v of column) {
      if (v === null) continue;
      if (v < lo) lo = v;
      if (v > hi) hi = v;
    }
  }
  if (lo > hi) [lo, hi] = [0, 1];
  if (least !== null) hi = Math.max(hi, least);
  if (floor !== null) lo = floor;
  if (hi === lo) [lo, hi] = [lo - 1, hi + 1];
  const margin = (hi - lo) * 0.06;
  return [floor === null ? lo - margin : lo, hi + margin];
}
