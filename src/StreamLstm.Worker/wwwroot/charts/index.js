// Charts by uPlot where the build could fetch it, else by the page's own SVG. Both draw the same description:
//
// spec = { t: [unix s], series: [{ values, color, fill?, dash?, width }], bands: [{ high, low, fill }] (columns),
//          marks: [{ t, v, label }], lines: [{ v, color }], now, span: [from, to], fan, step, range: { floor, least } }
//
// chart = { draw(spec), cursor(t | null) }

async function script(src) {
  return new Promise((resolve, reject) => {
    const el = document.createElement('script');
    el.src = src;
    el.onload = resolve;
    el.onerror = () => reject(new Error(`${src} is not served`));
    document.head.append(el);
  });
}

/** Returns { name, create(el, { height, onCursor }) }. */
export async function loadCharts() {
  try {
    await script('lib/uplot/uPlot.iife.min.js');
    const style = document.createElement('link');
    style.rel = 'stylesheet';
    style.href = 'lib/uplot/uPlot.min.css';
    document.head.prepend(style);
    const { UPlotChart } = await import('./uplot.js');
    return { name: 'uPlot', create: (el, options) => new UPlotChart(el, options) };
  } catch {
    // Not an error: a build without npm serves no library.
    const { SvgChart } = await import('./svg.js');
    return { name: 'built-in SVG', create: (el, options) => new SvgChart(el, options) };
  }
}
