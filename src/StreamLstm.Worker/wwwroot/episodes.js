// The latest anomaly episodes; choosing one selects its stream and time.
import * as format from './format.js';

export class EpisodeList {
  constructor({ list, empty, count, onChoose }) {
    Object.assign(this, { list, empty, count, onChoose });
    this.rows = new Map();
    this.chosen = null;
  }

  choose(id) {
    this.chosen = id;
    for (const [key, row] of this.rows) row.firstChild.setAttribute('aria-current', key === id);
  }

  show(episodes) {
    this.empty.hidden = episodes.length > 0;
    this.count.textContent = episodes.length || '';
    const rows = episodes.map(e => this.row(e));
    const keep = new Set(episodes.map(e => e.episode));
    for (const id of this.rows.keys()) if (!keep.has(id)) this.rows.delete(id);
    const same = rows.length === this.list.children.length && rows.every((row, i) => row === this.list.children[i]);
    if (!same) this.list.replaceChildren(...rows);
  }

  row(episode) {
    let row = this.rows.get(episode.episode);
    const key = `${episode.state}${episode.end}${episode.peak_score}${episode.type}${episode.severity}`;
    if (row && row.dataset.key === key) return row;
    if (!row) {
      row = document.createElement('li');
      row.innerHTML = '<button type="button"><span class="sev"></span><span class="what"></span><span class="peak"></span><span class="where"></span><span class="when"></span></button>';
      row.firstChild.setAttribute('aria-current', episode.episode === this.chosen);
      this.rows.set(episode.episode, row);
    }
    row.dataset.key = key;
    row.firstChild.onclick = () => this.onChoose(episode);
    const part = name => row.querySelector(name);
    part('.sev').className = `sev ${episode.severity ?? ''}`;
    part('.what').textContent = [episode.type, episode.direction && episode.direction !== 'none' ? episode.direction : ''].filter(Boolean).join(' · ').replaceAll('_', ' ');
    if (episode.state === 'withdrawn') part('.what').insertAdjacentHTML('beforeend', ' <span class="open">withdrawn</span>');
    if (episode.state === 'open') part('.what').insertAdjacentHTML('beforeend', ' <span class="open">open</span>');
    part('.peak').textContent = episode.peak_score === null || episode.peak_score === undefined ? '' : `peak ${Number(episode.peak_score).toFixed(1)}`;
    part('.where').textContent = episode.stream;
    part('.when').textContent = format.time(Date.parse(episode.start) / 1000);
    row.firstChild.title = `${episode.severity ?? ''} ${episode.type ?? ''} of ${episode.stream}`;
    return row;
  }
}
