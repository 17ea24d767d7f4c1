// The live page: one followed stream in detail, everything else by asking every two seconds.
import * as api from './api.js';
import * as format from './format.js';
import { loadCharts } from './charts/index.js';
import { StreamModel } from './model.js';
import { StreamList } from './streams.js';
import { EpisodeList } from './episodes.js';

const $ = id => document.getElementById(id);
const pollEvery = 2000;
const drawEvery = 120; // ms between redraws, however fast results come

let model = null;
let columns = null;
let span = null;        // chosen episode, [from, to] in unix s
let cursorTime = null;
let stopFollowing = null;
let wanted = null;      // id being selected
let arriving = null;    // results that come while the history is on its way
let drawTimer = 0;
let lastDraw = 0;

const charts = await loadCharts();
$('renderer').textContent = `Charts: ${charts.name}`;
document.documentElement.dataset.charts = charts.name;
const onCursor = t => { cursorTime = t; read(); };
const main = charts.create($('chart'), { onCursor });
const score = charts.create($('score'), { onCursor });

const list = new StreamList({
  list: $('streams'), search: $('search'), onlyAnomalous: $('only-anomalies'), more: $('more'), count: $('streams-count'),
  onSelect: id => select(id),
});
const episodes = new EpisodeList({
  list: $('episodes'), empty: $('no-episodes'), count: $('episodes-count'),
  onChoose: async e => {
    const from = Date.parse(e.start) / 1000;
    await select(e.stream, [from, e.end ? Date.parse(e.end) / 1000 : Infinity]);
    episodes.choose(e.episode);
    cursorTime = from;
    read();
  },
});

async function select(id, chosenSpan = null) {
  span = chosenSpan;
  episodes.choose(null);
  if (id === wanted && model) { scheduleDraw(); return; }
  wanted = id;
  cursorTime = null;
  list.select(id);
  history.replaceState(null, '', '#' + encodeURIComponent(id));
  stopFollowing?.();
  stopFollowing = api.follow(id, {
    result: r => {
      arriving?.push(r);
      if (model?.id === id) { model.add(r); scheduleDraw(); }
    },
    episode: () => refreshEpisodes().catch(() => link('lost')),
    status: showStatus,
    // Now, and after a cut, events flow again: the history fills what came before.
    open: () => { link('connected'); reload(id); },
    lost: () => link('lost'),
  });
  await reload(id);
}

async function reload(id) {
  const since = arriving = [];
  try {
    const detail = await api.stream(id);
    if (id !== wanted || arriving !== since) return; // a later reload is under way
    model = new StreamModel(detail);
    for (const r of since) model.add(r);
    arriving = null;
    $('stream-name').textContent = id;
    $('profile').textContent = `profile ${model.profile}`;
    $('profile').hidden = !model.profile;
    const chosen = $('channel').value;
    $('channel').replaceChildren(...model.channels.map(name => new Option(name || 'all', name)));
    if (model.channels.includes(chosen)) $('channel').value = chosen;
    $('channel-label').hidden = model.channels.length === 0;
    scheduleDraw();
  } catch (e) {
    if (e.status !== 404) link('lost');
  }
}

function scheduleDraw() {
  if (drawTimer) return;
  drawTimer = setTimeout(() => {
    drawTimer = 0;
    lastDraw = performance.now();
    draw();
  }, Math.max(0, drawEvery - (performance.now() - lastDraw)));
}

function draw() {
  if (!model || model.points.length === 0) return;
  $('chart-panel').classList.remove('chart-waiting');
  $('empty').hidden = true;
  const c = columns = model.columns($('channel').value);
  const end = c.t.findLastIndex((_, i) => c.y[i] !== null || c.yhat[i] !== null);
  const shownSpan = span && [Math.max(span[0], c.t[0]), Math.min(span[1] + c.step, c.t[Math.max(0, end)] + c.step / 2)];
  const common = { t: c.t, now: c.now, step: c.step, span: shownSpan && shownSpan[1] > shownSpan[0] ? shownSpan : null };
  const marks = [];
  c.anomaly.forEach((is, i) => {
    if (is) marks.push({ t: c.t[i], v: c.y[i] ?? c.yhat[i], score: c.score[i], label: `${c.type[i] ?? 'anomaly'} at ${format.time(c.t[i], c.step)}` });
  });
  main.draw({
    ...common,
    fan: c.fan,
    bands: [
      { high: c.upper, low: c.lower, fill: '--alarm-fill', edge: '--alarm-fill', edgeWidth: 1 },
      { high: c.high, low: c.low, fill: '--fan-fill', edge: '--forecast', edgeWidth: 0.6 },
    ],
    lines: [],
    series: [
      { values: c.yhat, color: '--expected', width: 1.4, dash: [5, 3] },
      { values: c.median, color: '--forecast', width: 2 },
      { values: c.y, color: '--observed', width: 1.8 },
    ],
    marks: marks.filter(m => m.v !== null),
    range: {},
  });
  score.draw({
    ...common,
    bands: [],
    lines: [{ v: 1, color: '--anomaly' }],
    series: [{ values: c.score.map(v => v ?? null), color: '--score', width: 1.5, fill: '--grid' }],
    marks: marks.filter(m => Number.isFinite(m.score)).map(m => ({ ...m, v: m.score })),
    range: { floor: 0, least: 1.3 },
  });
  const last = model.last;
  $('state').hidden = false;
  $('state').textContent = last.anomaly ? `anomaly: ${(last.type ?? 'unspecified').replaceAll('_', ' ')}` : last.imputed ? 'latest value missing, filled by the model' : 'normal';
  $('state').style.color = last.anomaly ? 'var(--anomaly)' : '';
  $('fan-label').textContent = c.quantiles ? `(median, ${Math.round(100 * c.quantiles[0])}–${Math.round(100 * c.quantiles[1])} %)` : '';
  $('chart').setAttribute('aria-label', `${model.id}: observed ${format.value(last.y)}, expected ${format.value(last.yhat)}, ${marks.length} anomalies in view, forecast ${c.fan ? `until ${format.time(c.fan.end, c.step)}` : 'not issued yet'}`);
  read();
}

/** Writes the values under the cursor, or the latest ones, into the legend. */
function read() {
  if (!columns) return;
  const c = columns;
  let i = c.t.findLastIndex((_, k) => c.y[k] !== null || c.yhat[k] !== null);
  if (cursorTime !== null) i = nearest(c.t, cursorTime);
  if (i < 0) return;
  const t = cursorTime === null ? null : c.t[i];
  main.cursor(t);
  score.cursor(t);
  const text = {
    y: c.y[i], yhat: c.yhat[i],
    bounds: c.lower[i] === null ? null : `${format.value(c.lower[i])} … ${format.value(c.upper[i])}`,
    fan: c.median[i] === null || c.y[i] !== null ? null : `${format.value(c.median[i])} (${format.value(c.low[i])} … ${format.value(c.high[i])})`,
    score: c.score[i] === null ? null : Number(c.score[i]).toFixed(2),
  };
  for (const el of document.querySelectorAll('[data-read]')) {
    const v = text[el.dataset.read];
    el.textContent = typeof v === 'number' ? format.value(v) : v ?? '';
  }
  $('reading-time').textContent = `${cursorTime === null ? 'latest: ' : ''}${format.time(c.t[i], c.step)}`;
}

function nearest(t, x) {
  let lo = 0, hi = t.length - 1;
  while (hi - lo > 1) {
    const mid = (lo + hi) >> 1;
    if (t[mid] < x) lo = mid; else hi = mid;
  }
  return hi >= 0 && x - t[lo] <= t[hi] - x ? lo : hi;
}

$('chart').addEventListener('keydown', e => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
  if (e.key === 'Escape') { cursorTime = null; read(); return; }
  if (!by || !columns) return;
  e.preventDefault();
  const at = cursorTime === null ? columns.t.findLastIndex((_, k) => columns.y[k] !== null) : nearest(columns.t, cursorTime);
  cursorTime = columns.t[Math.max(0, Math.min(columns.t.length - 1, at + by * (e.shiftKey ? 10 : 1)))];
  read();
});
$('channel').addEventListener('change', () => scheduleDraw());

function link(state) {
  if ($('link').dataset.state === state) return;
  $('link').dataset.state = state;
  $('link-text').textContent = { connected: 'connected', lost: 'connection lost, retrying', connecting: 'connecting' }[state];
}

function showStatus(s) {
  link('connected');
  $('link-text').textContent = s.ready ? 'connected' : 'connected, not ready';
  $('mode').textContent = s.mode;
  $('mode').hidden = !s.mode;
  $('caveat').textContent = s.caveat ?? '';
  $('caveat').hidden = !s.caveat;
  $('clock').textContent = s.simulated_clock ? `simulated ${s.simulated_clock}` : '';
  $('clock').hidden = !s.simulated_clock;
  $('provisional').hidden = !s.provisional;
  $('f-rate').textContent = format.compact(s.samples_per_s);
  $('f-samples').textContent = format.compact(s.samples_total);
  $('f-streams').textContent = format.compact(s.streams);
  $('f-skill').textContent = format.percent(s.skill);
  $('f-coverage').textContent = format.percent(s.coverage90);
}

async function refreshEpisodes() {
  episodes.show((await api.episodes()).episodes);
}

async function poll() {
  try {
    const [answer] = await Promise.all([list.refresh(), refreshEpisodes()]);
    if (!wanted) {
      // The stream in the address, else the first; until there is one, only the status is followed.
      const named = decodeURIComponent(location.hash.slice(1));
      const first = named || answer.streams[0]?.stream;
      if (first) await select(first);
      else stopFollowing ??= api.follow(null, { result() {}, episode() {}, status: showStatus, open: () => link('connected'), lost: () => link('lost') });
    } else if (!model) {
      await reload(wanted);
    }
  } catch {
    link('lost'); // the next round tries again
  }
  setTimeout(poll, document.hidden ? 5 * pollEvery : pollEvery);
}

$('chart-panel').classList.add('chart-waiting');
poll();
