// A page that is left open: 100,000 keys, 10,000 changes a second, for MINUTES (10). Frames a second while it is scrolled through, and
// what the page holds in memory after its garbage was collected, every half minute. While it has not been everywhere, what it has seen
// fills its memory up to its limits: it fails when memory grows by more than a tenth in the second half of the time, or when the middle of the frames a second is below FPS_MIN (50).
//
//   node bench/heap.mjs
import assert from 'node:assert/strict';
import { launch, open, until } from '../page/e2e/browser.mjs';
import { Mock } from '../page/e2e/mock.mjs';

const env = (name, otherwise) => Number(process.env[name] ?? otherwise);
const [minutes, fpsMin] = [env('MINUTES', 10), env('FPS_MIN', 50)];
const PORT = 16_060;
const GROWTH_MAX = 1.1;

const mock = await new Mock({ keys: 100_000, perStep: 1_000 }).listen(PORT);
const browser = await launch();
try {
  const { page, complaints } = await open(browser);
  await page.goto(`http://127.0.0.1:${PORT}/`);
  await until('counted', async () => (await page.getByTestId('size').textContent()).startsWith('100,000'), 30_000);
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Performance.enable');
  const measure = async () => {
    await cdp.send('HeapProfiler.collectGarbage');
    const { metrics } = await cdp.send('Performance.getMetrics');
    const of = (name) => metrics.find((one) => one.name === name).value;
    return { heap: of('JSHeapUsedSize') / 1e6, nodes: of('Nodes'), listeners: of('JSEventListeners') };
  };
  const scroll = () => page.getByRole('grid').evaluate(async (grid) => {
    const begin = performance.now();
    let frames = 0;
    while (performance.now() < begin + 5_000) {
      await new Promise(requestAnimationFrame);
      grid.scrollTop = (grid.scrollTop + 60) % (grid.scrollHeight - grid.clientHeight);
      frames += 1;
    }
    return (frames * 1000) / (performance.now() - begin);
  });
  const heaps = [];
  const rates = [];
  for (let half = 1; half <= minutes * 2; half += 1) {
    await page.waitForTimeout(25_000);
    rates.push(await scroll());
    const { heap, nodes, listeners } = await measure();
    heaps.push(heap);
    console.log(`${(half / 2).toFixed(1)} min: ${heap.toFixed(2)} MB, ${nodes} nodes, ${listeners} listeners, ${rates.at(-1).toFixed(0)} frames/s`);
  }
  const median = [...rates].sort((a, b) => a - b)[Math.floor(rates.length / 2)];
  const half = Math.floor(heaps.length / 2);
  const [first, last] = [Math.max(...heaps.slice(half - 1, half + 1)), Math.max(...heaps.slice(-2))];
  console.log(`heap ${heaps[0].toFixed(2)} MB at first, ${first.toFixed(2)} MB at half time, ${last.toFixed(2)} MB after ${minutes} min; frames a second: median ${median.toFixed(0)}, least ${Math.min(...rates).toFixed(0)}`);
  assert.deepEqual(complaints, []);
  assert.ok(last <= first * GROWTH_MAX, 'the page holds more and more');
  assert.ok(median >= fpsMin, `${median} frames a second`);
} finally {
  await browser.close();
  await mock.stop();
}
