/** One browser's stream, as the server sends it by default: windows, changes of what they show, and the sums. */
import { summaryOf, select, toRow, windowOf } from './mock-window.mjs';

const WINDOW_INTERVAL = 500;
const HEARTBEAT_INTERVAL = 4_000;
const SEEN_MAX = 1_000;

export class Stream {
  constructor(mock, name, query, response) {
    Object.assign(this, { mock, name, query, response });
    this.seen = new Map();
    this.position = null;
    this.windowAt = 0;
    this.beatAt = 0;
    this.order = '';
    this.summary = '';
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.on('close', () => mock.streams.delete(this));
    this.flush();
  }

  event(type, data, id) {
    if (this.mock.told.silent) return;
    this.response.write(`${type ? `event: ${type}\n` : ''}${id ? `id: ${id}\n` : ''}data: ${JSON.stringify(data)}\n\n`);
  }

  end(type, data) {
    this.event(type, data);
    this.mock.streams.delete(this);
    this.response.end();
  }

  heartbeat() {
    this.beatAt = Date.now();
    this.event('heartbeat', this.mock.greeting());
  }

  flush() {
    if (Date.now() - this.beatAt >= HEARTBEAT_INTERVAL) this.heartbeat();
    if (this.mock.told.state === 'catching_up') return;
    const rows = this.frame();
    this.window();
    if (rows.length > 0 || this.summary === '') this.sums();
  }

  frame() {
    const changed = [...this.seen.values()].filter(({ row, at }) => row.at > at).map(({ row }) => row);
    if (changed.length === 0) return changed;
    for (const row of changed) this.seen.set(row.id, { row, at: row.at });
    const pos = `m:${this.query.day}:${this.mock.world.changes}`;
    this.event('', { prev: this.position, pos, day: this.query.day, sent_at: this.mock.world.now * 1000, rows: changed.map(toRow) }, pos);
    this.position = pos;
    return changed;
  }

  sums() {
    const summary = summaryOf(this.mock, this.name, this.query);
    const text = JSON.stringify(summary);
    if (text === this.summary) return;
    this.summary = text;
    this.event('summary', { day: this.query.day, ...summary, sent_at: this.mock.world.now * 1000 });
  }

  window() {
    if (Date.now() - this.windowAt < WINDOW_INTERVAL) return;
    const { query } = this;
    const shown = select(this.mock, this.name, query).slice(query.from, query.from + query.count);
    const pinned = query.pin.map((id) => this.mock.find(this.name, query.day, id)).filter(Boolean);
    const order = JSON.stringify([shown.map((row) => row.id), pinned.length]);
    if (order === this.order) return;
    this.windowAt = Date.now();
    this.order = order;
    const window = windowOf(this.mock, this.name, query);
    this.position = window.position;
    for (const row of [...shown, ...pinned]) {
      this.seen.delete(row.id);
      this.seen.set(row.id, { row, at: row.at });
    }
    for (const id of this.seen.keys()) if (this.seen.size > SEEN_MAX) this.seen.delete(id);
    this.event('window', window, window.position);
  }
}
