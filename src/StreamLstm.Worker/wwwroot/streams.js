// The list of streams: latest value, a sparkline and a mark for an anomaly.
import * as api from './api.js';
import * as format from './format.js';

const pageSize = 100;

export class StreamList {
  constructor({ list, search, onlyAnomalous, more, count, onSelect }) {
    Object.assign(this, { list, search, onlyAnomalous, more, count, onSelect });
    this.rows = new Map();
    this.limit = pageSize;
    this.selected = null;
    search.addEventListener('input', () => { this.limit = pageSize; this.refresh(); });
    search.addEventListener('keydown', e => { if (e.key === 'ArrowDown') { e.preventDefault(); list.focus(); this.move(0); } });
    onlyAnomalous.addEventListener('change', () => this.refresh());
    more.addEventListener('click', () => { this.limit = Math.min(1000, this.limit * 2); this.refresh(); });
    list.addEventListener('click', e => {
      const row = e.target.closest('li');
      if (row) onSelect(row.dataset.stream);
    });
    list.addEventListener('keydown', e => {
      const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity }[e.key];
      if (by === undefined) return;
      e.preventDefault();
      this.move(by);
    });
  }

  /** Selects the row so many further; from none, the first. */
  move(by) {
    const rows = [...this.list.children];
    if (rows.length === 0) return;
    const at = rows.findIndex(row => row.dataset.stream === this.selected);
    const row = rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + by))];
    row.scrollIntoView({ block: 'nearest' });
    this.onSelect(row.dataset.stream);
  }

  select(id) {
    this.selected = id;
    this.list.removeAttribute('aria-activedescendant');
    for (const row of this.list.children) this.markSelected(row);
  }

  markSelected(row) {
    const selected = row.dataset.stream === this.selected;
    row.setAttribute('aria-selected', selected);
    if (selected) this.list.setAttribute('aria-activedescendant', row.id);
  }

  async refresh() {
    const asked = this.asked = (this.asked ?? 0) + 1;
    const answer = await api.streams({ search: this.search.value.trim(), anomalous: this.onlyAnomalous.checked, limit: this.limit });
    if (asked !== this.asked) return answer; // a later question is under way
    const rows = answer.streams.map(item => this.row(item));
    const same = rows.length === this.list.children.length && rows.every((row, i) => row === this.list.children[i]);
    if (!same) this.list.replaceChildren(...rows);
    this.more.hidden = answer.next === null || this.limit >= 1000;
    this.count.textContent = answer.total ? (answer.next === null && rows.length === answer.total ? answer.total : `${rows.length}${answer.next ? '+' : ''} of ${answer.total}`) : '';
    return answer;
  }

  row(item) {
    let row = this.rows.get(item.stream);
    if (!row) {
      row = document.createElement('li');
      row.id = `s${this.rows.size}`;
      row.role = 'option';
      row.dataset.stream = item.stream;
      row.title = item.stream;
      row.innerHTML = '<span class="name"><bdi></bdi></span><svg viewBox="0 0 47 20" preserveAspectRatio="none" aria-hidden="true"><path/></svg><span class="value"></span>';
      row.querySelector('bdi').textContent = item.stream;
      this.rows.set(item.stream, row);
      this.markSelected(row);
    }
    row.classList.toggle('anomalous', item.anomaly);
    row.querySelector('path').setAttribute('d', sparkline(item.recent));
    const y = item.y ?? item.recent.at(-1);
    row.querySelector('.value').textContent = format.value(y);
    row.setAttribute('aria-label', `${item.stream}, ${format.value(y)}${item.anomaly ? ', anomalous' : ''}`);
    return row;
  }
}

function sparkline(values) {
  const known = values.filter(v => v !== null);
  if (known.length < 2) return '';
  const lo = Math.min(...known), hi = Math.max(...known);
  let d = '', pen = false;
  values.forEach((v, i) => {
    if (v === null) { pen = false; return; }
    d += `${pen ? 'L' : 'M'}${i + 48 - values.length} ${(hi > lo ? 18.5 - 17 * (v - lo) / (hi - lo) : 10).toFixed(1)}`;
    pen = true;
  });
  return d;
}
