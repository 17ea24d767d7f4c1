// Numbers and times as the page writes them.

/** A value with four significant digits; large ones with k, M, G. */
export function value(v) {
  if (v === null || v === undefined || !Number.isFinite(v)) return '–';
  const size = Math.abs(v);
  if (size >= 1e5) return compact(v);
  if (size >= 1000) return v.toFixed(0);
  if (size === 0) return '0';
  if (size < 1e-3) return v.toExponential(1);
  return String(Number(v.toPrecision(4)));
}

export function compact(v) {
  if (v === null || v === undefined || !Number.isFinite(v)) return '–';
  for (const [unit, suffix] of [[1e9, ' G'], [1e6, ' M'], [1e3, ' k']]) {
    if (Math.abs(v) >= unit) return (v / unit).toPrecision(3) + suffix;
  }
  return v >= 100 || Number.isInteger(v) ? v.toFixed(0) : v.toPrecision(2);
}

export const percent = v => v === null || v === undefined ? '–' : `${(100 * v).toFixed(1)} %`;

const two = n => String(n).padStart(2, '0');
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** Unix seconds → "12 Mar 14:30", with seconds or milliseconds when the step needs them. */
export function time(t, step = 60) {
  const d = new Date(t * 1000);
  return `${d.getUTCDate()} ${months[d.getUTCMonth()]} ${clock(t, step)}`;
}

export function clock(t, step = 60) {
  const d = new Date(t * 1000);
  let text = `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}`;
  if (step < 60) text += `:${two(d.getUTCSeconds())}`;
  if (step < 1) text += `.${String(d.getUTCMilliseconds()).padStart(3, '0')}`;
  return text;
}

/** Ticks of a time axis: the label shows a date where a day begins. */
export function tick(t, step) {
  const d = new Date(t * 1000);
  if (step >= 86400 || (t % 86400 === 0)) return `${d.getUTCDate()} ${months[d.getUTCMonth()]}`;
  return clock(t, step);
}
