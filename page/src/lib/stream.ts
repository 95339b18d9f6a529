/**
 * The hand-off on the browser's side: snapshot, then changes from its position on, for as long as
 * the page lives, whatever the server and the network do.
 *
 * Invariants: rows are taken only if they follow what was taken before (`prev` is our position);
 * what is shown stays while nothing better is there; silence is noticed.
 */
import { type DayChange, type Frame, type Heartbeat, type Ready, type Reset, type Snapshot, url } from '../api';

/** How what is shown stands. */
export type Link =
  | { kind: 'loading' }
  | { kind: 'live' }
  | { kind: 'stored' }
  | { kind: 'catching_up'; percent: number; reason: string | null }
  | { kind: 'stale'; since: number; reason: string }
  | { kind: 'reconnecting'; since: number };

/** What the stream tells. */
export interface Listener {
  snapshot(snapshot: Snapshot): void;
  frame(frame: Frame): void;
  link(link: Link): void;
  /** What is shown may be wrong until the next snapshot. */
  outdated(outdated: boolean): void;
  day(change: DayChange): void;
}

/** The part of EventSource that is used. */
export interface Source {
  readonly readyState: number;
  onopen: ((event: Event) => void) | null;
  onerror: ((event: Event) => void) | null;
  addEventListener(type: string, listener: (event: MessageEvent<string>) => void): void;
  close(): void;
}

/** The world around, replaced in tests. */
export interface World {
  fetch(url: string): Promise<{ ok: boolean; status: number; json(): Promise<unknown> }>;
  source(url: string): Source;
  now(): number;
  after(ms: number, action: () => void): () => void;
}

export const browser: World = {
  fetch: (url) => fetch(url, { cache: 'no-store' }),
  source: (url) => new EventSource(url),
  now: () => Date.now(),
  after: (ms, action) => {
    const timer = setTimeout(action, ms);
    return () => clearTimeout(timer);
  },
};

/** Silence after which a connection is taken for dead: more than two heartbeats. */
const SILENCE_MAX = 12_000;
/** Absence after which a new snapshot is better than what was missed. */
const ABSENCE_MAX = 120_000;
/** A day that no stream tells of is read again this often. */
const STORED_INTERVAL = 15_000;
const RETRY_MIN = 250;
const RETRY_MAX = 2_000;
const CLOSED = 2;

export class Live {
  private position: string | null = null;
  private source: Source | null = null;
  private cancel: () => void = () => undefined;
  private silence: () => void = () => undefined;
  private heardAt: number;
  private retry = RETRY_MIN;
  private stopped = false;
  /** Rises with every attempt: answers to earlier ones are passed over. */
  private attempt = 0;

  constructor(
    readonly aggregation: string,
    readonly day: string,
    private readonly listener: Listener,
    private readonly world: World = browser,
  ) {
    this.heardAt = world.now();
  }

  start(): void {
    this.listener.link({ kind: 'loading' });
    void this.load();
  }

  stop(): void {
    this.stopped = true;
    this.attempt += 1;
    this.close();
    this.cancel();
  }

  private close(): void {
    this.silence();
    this.source?.close();
    this.source = null;
  }

  private later(action: () => void, wait = this.retry): void {
    this.cancel();
    this.retry = Math.min(this.retry * 2, RETRY_MAX);
    this.cancel = this.world.after(wait, action);
  }

  private async load(): Promise<void> {
    const attempt = ++this.attempt;
    this.close();
    let snapshot: Snapshot;
    try {
      const response = await this.world.fetch(url.snapshot(this.aggregation, this.day));
      if (attempt !== this.attempt) return;
      if (!response.ok) return await this.notReady(attempt);
      snapshot = (await response.json()) as Snapshot;
    } catch {
      if (attempt === this.attempt) this.lost(() => void this.load());
      return;
    }
    if (attempt !== this.attempt) return;
    this.heardAt = this.world.now();
    this.retry = RETRY_MIN;
    this.position = snapshot.position;
    this.listener.snapshot(snapshot);
    this.listener.outdated(false);
    if (snapshot.live) {
      this.open();
    } else {
      this.listener.link({ kind: 'stored' });
      this.cancel = this.world.after(STORED_INTERVAL, () => void this.load());
    }
  }

  private async notReady(attempt: number): Promise<void> {
    const response = await this.world.fetch(url.ready);
    const ready = (await response.json()) as Ready;
    if (attempt !== this.attempt) return;
    this.heardAt = this.world.now();
    this.listener.link({ kind: 'catching_up', percent: ready.percent, reason: ready.message });
    this.later(() => void this.load());
  }

  private lost(retry: () => void): void {
    this.listener.link({ kind: 'reconnecting', since: this.heardAt });
    this.later(retry);
  }

  /** Follows from our position on. */
  private open(): void {
    if (this.stopped) return;
    this.close();
    if (this.position === null || this.world.now() - this.heardAt > ABSENCE_MAX) {
      void this.load();
      return;
    }
    const source = this.world.source(url.all(this.aggregation, this.day, this.position));
    this.source = source;
    const on = <T>(type: string, take: (data: T) => void) => {
      source.addEventListener(type, (event) => {
        if (this.source !== source) return;
        this.heard();
        take(JSON.parse(event.data) as T);
      });
    };
    on<Frame>('message', (frame) => this.take(frame));
    on<Heartbeat>('heartbeat', (heartbeat) => this.beat(heartbeat));
    on<DayChange>('day', (change) => this.listener.day(change));
    on<Reset>('reset', () => {
      this.listener.outdated(true);
      this.close();
      this.listener.link({ kind: 'loading' });
      this.later(() => void this.load());
    });
    source.onerror = () => {
      if (this.source !== source) return;
      // A browser reconnects by itself, with the last position, unless the answer was an error.
      if (source.readyState === CLOSED) this.lost(() => this.open());
      else this.listener.link({ kind: 'reconnecting', since: this.heardAt });
    };
    this.watch();
  }

  private heard(): void {
    if (this.world.now() - this.heardAt > ABSENCE_MAX) this.position = null;
    this.heardAt = this.world.now();
    this.retry = RETRY_MIN;
    this.watch();
  }

  private watch(): void {
    this.silence();
    this.silence = this.world.after(SILENCE_MAX, () => {
      this.close();
      this.lost(() => this.open());
    });
  }

  private take(frame: Frame): void {
    if (frame.prev !== this.position) {
      this.open();
      return;
    }
    this.position = frame.pos;
    this.listener.frame(frame);
  }

  private beat(heartbeat: Heartbeat): void {
    const { state, percent, reason } = heartbeat;
    if (this.position === null) {
      void this.load();
    } else if (state === 'live') {
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
