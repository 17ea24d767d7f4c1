// The worker's HTTP API, as the page uses it.

async function get(path) {
  const response = await fetch(path, { headers: { accept: 'application/json' } });
  if (!response.ok) throw Object.assign(new Error(`${path}: ${response.status}`), { status: response.status });
  return response.json();
}

export const streams = ({ search = '', anomalous = false, limit = 100 } = {}) =>
  get(`api/v1/streams?limit=${limit}&recent=48&q=${encodeURIComponent(search)}${anomalous ? '&anomaly=true' : ''}`);

export const stream = id => get(`api/v1/streams/${encodeURIComponent(id)}`);

export const episodes = (limit = 60) => get(`api/v1/episodes?limit=${limit}`);

/** Follows the events of one stream (or, without one, only the status); reconnects by itself. Returns a function that ends it. */
export function follow(id, { result, episode, status, open, lost }) {
  const source = new EventSource(`api/v1/events?stream=${encodeURIComponent(id ?? ' ')}`);
  source.addEventListener('result', e => result(JSON.parse(e.data)));
  source.addEventListener('episode', e => episode(JSON.parse(e.data)));
  source.addEventListener('status', e => status(JSON.parse(e.data)));
  source.onopen = open;
  source.onerror = () => {
    lost();
    // A refusal (too many subscribers) closes for good; the browser only retries cut connections.
    if (source.readyState === EventSource.CLOSED) timer = setTimeout(() => { end = follow(id, { result, episode, status, open, lost }); }, 5000);
  };
  let timer = 0;
  let end = () => { clearTimeout(timer); source.close(); };
  return () => end();
}
