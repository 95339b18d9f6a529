/**
 * The hand-off on the browser's side: a window of rows, then changes of them, for as long as the page
 * lives, whatever the server and the network do.
 *
 * Invariants: what is shown stays while nothing better is there, also while another window is on its
 * way; silence is noticed; nothing of a stream is taken after another has taken its place.
 */
import {
  type DayChange, type Frame, type Heartbeat, type Latency, type Problem, type Query, type Ready, type Summary, type Window, url,
} from '../api';

/** How what is shown stands. */
export type Link =
  | { kind: 'loading' }
  | { kind: 'live' }
  | { kind: 'stored' }
  | { kind: 'catching_up'; percent: number; reason: string | null }
  | { kind: 'stale'; since: number; reason: string }
  | { kind: 'reconnecting'; since: number }
  | { kind: 'refused'; reason: string };

/** What the stream tells. */
export interface Listener {
  /** `fresh`: the first answer to a question of the reader's. */
  window(window: Window, fresh: boolean): void;
  frame(frame: Frame): void;
  summary(summary: Summary): void;
  link(link: Link): void;
  /** Another log: what is shown may be wrong until the next window. */
  reset(): void;
  day(change: DayChange): void;
  /** The server's clock (milliseconds), how old what is shown is, and the business day. */
  beat(serverTime: number, latency: Latency | null, today: string): void;
  /** The server wants to know who asks. */
  denied(): void;
}

/** The part of EventSource that is used. */
export interface Source {
  onerror: ((event: Event) => void) | null;
  addEventListener(type: string, listener: (event: MessageEvent<string>) => void): void;
  close(): void;
}

/** The world around, replaced in tests. */
export interface World {
  fetch(url: string): Promise<{ ok: boolean; status: number; json(): Promise<unknown> }>;
  source(url: string): Source;
  now(): number;
  /** From 0 to 1. */
  random(): number;
  after(ms: number, action: () => void): () => void;
}

export const browser: World = {
  fetch: (url) => fetch(url, { cache: 'no-store' }),
  source: (url) => new EventSource(url),
  now: () => Date.now(),
  random: () => Math.random(),
  after: (ms, action) => {
    const timer = setTimeout(action, ms);
    return () => clearTimeout(timer);
  },
};

/** Silence after which a connection is taken for dead: more than two heartbeats. */
const SILENCE_MAX = 12_000;
/** A day that no stream tells of is read again this often. */
const STORED_INTERVAL = 15_000;
const RETRY_MIN = 250;
const RETRY_MAX = 2_000;

export class Live {
  private query: Query | null = null;
  private source: Source | null = null;
  /** A stream whose first window has not come yet; the other one is shown meanwhile. */
  private next: Source | null = null;
  private fresh = true;
  private stored = false;
  private cancel: () => void = () => undefined;
  private silence: () => void = () => undefined;
  private heardAt: number;
  private retry = RETRY_MIN;
  /** Rises with every question: answers to earlier ones are passed over. */
  private attempt = 0;

  constructor(
    readonly aggregation: string,
    private readonly listener: Listener,
    private readonly world: World = browser,
  ) {
    this.heardAt = world.now();
    listener.link({ kind: 'loading' });
  }

  /** Asks for these rows from now on. */
  ask(query: Query): void {
    this.query = query;
    this.fresh = true;
    this.cancel();
    if (this.stored) void this.read();
    else this.open();
  }

  /** Follows nothing until `ask` is called again. */
  stop(): void {
    this.attempt += 1;
    this.query = null;
    this.close();
    this.cancel();
  }

  private close(): void {
    this.silence();
    this.source?.close();
    this.next?.close();
    this.source = null;
    this.next = null;
  }

  private open(): void {
    if (!this.query) return;
    this.attempt += 1;
    this.next?.close();
    const source = this.world.source(url.stream(this.aggregation, this.query));
    this.next = source;
    let heard = false;
    const on = <T>(type: string, take: (data: T) => void) => {
      source.addEventListener(type, (event) => {
        if (source !== this.source && source !== this.next) return;
        heard = true;
        this.heard();
        take(JSON.parse(event.data) as T);
      });
    };
    on<Window>('window', (window) => {
      if (this.next === source) {
        this.source?.close();
        this.source = source;
        this.next = null;
      }
      this.took(window);
    });
    on<Frame>('message', (frame) => source === this.source && this.listener.frame(frame));
    on<Summary>('summary', (summary) => source === this.source && this.listener.summary(summary));
    on<Heartbeat>('heartbeat', (heartbeat) => this.beat(heartbeat));
    on<DayChange>('day', (change) => this.listener.day(change));
    on<unknown>('reset', () => {
      this.listener.reset();
      this.lost(() => this.open());
    });
    source.onerror = () => {
      if (source !== this.source && source !== this.next) return;
      // One that never spoke was refused, perhaps: an ordinary request tells why.
      this.lost(() => (heard ? this.open() : void this.read()));
    };
    this.watch();
  }

  /** Reads the window once: for days that no stream tells of, and to learn why a stream was refused. */
  private async read(): Promise<void> {
    if (!this.query) return;
    const attempt = ++this.attempt;
    try {
      const response = await this.world.fetch(url.window(this.aggregation, this.query));
      const answer = await response.json();
      if (attempt !== this.attempt) return;
      if (response.ok) {
        this.heardAt = this.world.now();
        this.took(answer as Window);
        if ((answer as Window).live) this.open();
        return;
      }
      if (response.status === 503) return await this.notReady(attempt);
      if (response.status === 401) return this.listener.denied();
      if (response.status >= 500) return this.lost(() => void this.read());
      this.listener.link({ kind: 'refused', reason: (answer as Problem).detail });
    } catch {
      if (attempt === this.attempt) this.lost(() => void this.read());
    }
  }

  private async notReady(attempt: number): Promise<void> {
    const response = await this.world.fetch(url.ready);
    const ready = (await response.json()) as Ready;
    if (attempt !== this.attempt) return;
    this.heardAt = this.world.now();
    this.listener.link({ kind: 'catching_up', percent: ready.percent, reason: ready.message });
    this.later(() => this.open());
  }

  private took(window: Window): void {
    this.listener.window(window, this.fresh);
    this.fresh = false;
    this.retry = RETRY_MIN;
    this.stored = !window.live;
    if (!this.stored) return;
    this.close();
    this.listener.link({ kind: 'stored' });
    this.cancel();
    this.cancel = this.world.after(STORED_INTERVAL, () => void this.read());
  }

  private later(action: () => void): void {
    this.cancel();
    // Browsers that lost the same server do not come back at the same moment.
    const wait = this.retry * (1 - this.world.random() / 2);
    this.retry = Math.min(this.retry * 2, RETRY_MAX);
    this.cancel = this.world.after(wait, action);
  }

  private lost(retry: () => void): void {
    this.close();
    this.listener.link({ kind: 'reconnecting', since: this.heardAt });
    this.later(retry);
  }

  private heard(): void {
    this.heardAt = this.world.now();
    this.watch();
  }

  private watch(): void {
    this.silence();
    this.silence = this.world.after(SILENCE_MAX, () => this.lost(() => this.open()));
  }

  private beat(heartbeat: Heartbeat): void {
    const { state, percent, reason } = heartbeat;
    this.listener.beat(heartbeat.server_time / 1000, heartbeat.latency, heartbeat.today);
    if (state === 'live') {
      this.listener.link({ kind: 'live' });
    } else if (state === 'catching_up') {
      this.listener.link({ kind: 'catching_up', percent, reason });
    } else {
      // By our clock: the server's may differ.
      const age = (heartbeat.server_time - (heartbeat.stale_since ?? heartbeat.server_time)) / 1000;
      this.listener.link({ kind: 'stale', since: this.world.now() - age, reason: reason ?? '' });
    }
  }
}
