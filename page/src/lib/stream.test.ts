import { expect, test } from 'vitest';
import samples from '../api.sample.json';
import type { Window } from '../api';
import { Live, type Source, type World } from './stream';

type Answer = { status: number; body: unknown } | 'down';

class FakeSource implements Source {
  onerror: ((event: Event) => void) | null = null;
  closed = false;
  private listeners = new Map<string, (event: MessageEvent<string>) => void>();
  constructor(readonly url: string) {}
  addEventListener(type: string, listener: (event: MessageEvent<string>) => void): void {
    this.listeners.set(type, listener);
  }
  close(): void {
    this.closed = true;
  }
  send(type: string, data: unknown): void {
    this.listeners.get(type)?.({ data: JSON.stringify(data) } as MessageEvent<string>);
  }
  fail(): void {
    this.onerror?.({} as Event);
  }
}

/** A world whose clock and server the test moves; what happens is text. */
class Stage implements World {
  time = 0;
  log: string[] = [];
  answers: Answer[] = [];
  sources: FakeSource[] = [];
  live!: Live;
  private timers: { at: number; action: () => void }[] = [];

  fetch = async (url: string) => {
    const answer = url === '/readyz' ? { status: 503, body: samples.ready } : (this.answers.shift() ?? 'down');
    if (answer === 'down') throw new TypeError('network');
    this.log.push(`GET ${url.split(/[/?]/).at(url === '/readyz' ? -1 : 4)} ${answer.status}`);
    return { ok: answer.status === 200, status: answer.status, json: async () => answer.body };
  };
  source = (url: string): Source => {
    const source = new FakeSource(url);
    this.sources.push(source);
    this.log.push(`follow from ${new URLSearchParams(url.split('?')[1]).get('from')}`);
    return source;
  };
  now = () => this.time;
  random = () => 0;
  after = (ms: number, action: () => void) => {
    const timer = { at: this.time + ms, action };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((one) => one !== timer);
    };
  };
  async pass(ms: number): Promise<void> {
    const until = this.time + ms;
    for (;;) {
      await settled();
      const due = this.timers.filter((timer) => timer.at <= until).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.timers = this.timers.filter((timer) => timer !== due);
      this.time = due.at;
      due.action();
    }
    this.time = until;
    await settled();
  }
  ask(from: number): void {
    this.live.ask({ day: '2026-11-23', from, count: 50 });
  }
  get last(): FakeSource {
    return this.sources.at(-1)!;
  }
  get open(): number {
    return this.sources.filter((source) => !source.closed).length;
  }
  taken(): string[] {
    return this.log.splice(0);
  }
}

const settled = () => new Promise((resolve) => setTimeout(resolve));
const window = (from = 0, live = true): Window => ({ ...(samples.window as Window), from, live });
const frame = (pos: string) => ({ ...samples.frame, pos });
const beat = { ...samples.heartbeat, state: 'live' };

function start(): Stage {
  const stage = new Stage();
  stage.live = new Live(
    'daily_totals',
    {
      window: (window, fresh) => stage.log.push(`window ${window.from}${fresh ? ' as asked' : ''}`),
      frame: (frame) => stage.log.push(`frame ${frame.pos}`),
      summary: (summary) => stage.log.push(`summary of ${summary.matching}`),
      link: (link) => stage.log.push(link.kind),
      reset: () => stage.log.push('reset'),
      day: (change) => stage.log.push(`day ${change.day}`),
      beat: () => undefined,
      denied: () => stage.log.push('denied'),
    },
    stage,
  );
  stage.ask(0);
  return stage;
}

function following(): Stage {
  const stage = start();
  stage.last.send('heartbeat', beat);
  stage.last.send('window', window());
  stage.taken();
  return stage;
}

test('a window first, then changes of it', () => {
  const stage = start();
  stage.last.send('heartbeat', beat);
  stage.last.send('window', window());
  stage.last.send('message', frame('1'));
  stage.last.send('summary', samples.summary);
  stage.last.send('window', window());
  expect(stage.taken()).toEqual(['loading', 'follow from 0', 'live', 'window 0 as asked', 'frame 1', 'summary of 1', 'window 0']);
});

test('the old stream goes on until the new one has its window; then nothing of the old is taken', () => {
  const stage = following();
  const old = stage.last;
  stage.ask(100);
  old.send('message', frame('1'));
  expect(stage.open).toBe(2);
  stage.last.send('message', frame('too early'));
  stage.last.send('window', window(100));
  old.send('message', frame('too late'));
  stage.last.send('message', frame('2'));
  expect(stage.taken()).toEqual(['follow from 100', 'frame 1', 'window 100 as asked', 'frame 2']);
  expect(stage.open).toBe(1);
});

test('of many questions only the last is waited for', () => {
  const stage = following();
  for (const from of [100, 200, 300]) stage.ask(from);
  const skipped = stage.sources[2]!;
  skipped.send('window', window(200));
  expect(stage.open).toBe(2);
  stage.last.send('window', window(300));
  expect(stage.taken().at(-1)).toBe('window 300 as asked');
});

test('a broken connection keeps what is shown and goes on by itself, later and later', async () => {
  const stage = following();
  stage.last.fail();
  expect(stage.taken()).toEqual(['reconnecting']);
  await stage.pass(250);
  expect(stage.taken()).toEqual(['follow from 0']);
  stage.last.fail();
  await stage.pass(500);
  // It never spoke: an ordinary request asks why, and gets no answer either.
  expect(stage.taken()).toEqual(['reconnecting', 'reconnecting']);
  stage.answers = [{ status: 200, body: window() }];
  await stage.pass(1_000);
  expect(stage.taken()).toEqual(['GET window 200', 'window 0', 'follow from 0']);
});

test('a window after a break is no answer to the reader: the order may be held, the view paused', async () => {
  const stage = following();
  stage.last.fail();
  await stage.pass(250);
  stage.last.send('window', window());
  expect(stage.taken()).toEqual(['reconnecting', 'follow from 0', 'window 0']);
});

test('a server that catches up is followed, and says how far it is', async () => {
  const stage = start();
  stage.last.send('heartbeat', samples.heartbeat);
  expect(stage.taken()).toEqual(['loading', 'follow from 0', 'catching_up']);
});

test('a server that refuses until it has caught up is asked again', async () => {
  const stage = start();
  stage.answers = [{ status: 503, body: samples.problem }];
  stage.last.fail();
  await stage.pass(250);
  expect(stage.taken().slice(2)).toEqual(['reconnecting', 'GET window 503', 'GET readyz 503', 'catching_up']);
  await stage.pass(500);
  expect(stage.taken()).toEqual(['follow from 0']);
});

test('a server that wants a name is not asked again until there is one', async () => {
  const stage = start();
  stage.answers = [{ status: 401, body: samples.problem }];
  stage.last.fail();
  await stage.pass(60_000);
  expect(stage.taken().slice(2)).toEqual(['reconnecting', 'GET window 401', 'denied']);
});

test('a question that makes no sense is told and not repeated', async () => {
  const stage = start();
  stage.answers = [{ status: 400, body: samples.problem }];
  stage.last.fail();
  await stage.pass(60_000);
  expect(stage.taken().slice(2)).toEqual(['reconnecting', 'GET window 400', 'refused']);
});

test('silence is noticed', async () => {
  const stage = following();
  await stage.pass(11_000);
  expect(stage.taken()).toEqual([]);
  await stage.pass(1_300);
  expect(stage.taken()).toEqual(['reconnecting', 'follow from 0']);
});

test('a reset is told, and another window is asked for', async () => {
  const stage = following();
  stage.last.send('reset', samples.reset);
  await stage.pass(250);
  expect(stage.taken()).toEqual(['reset', 'reconnecting', 'follow from 0']);
});

test('a stored day is read again now and then, not followed', async () => {
  const stage = start();
  stage.last.send('window', window(0, false));
  stage.answers = [{ status: 200, body: window(0, false) }, { status: 200, body: window(50, false) }];
  await stage.pass(15_000);
  stage.ask(50);
  await stage.pass(0);
  expect(stage.taken()).toEqual([
    'loading', 'follow from 0', 'window 0 as asked', 'stored', 'GET window 200', 'window 0', 'stored', 'GET window 200',
    'window 50 as asked', 'stored',
  ]);
  expect(stage.open).toBe(0);
});

test('a new day is told', () => {
  const stage = following();
  stage.last.send('day', samples.day);
  expect(stage.taken()).toEqual(['day 2026-11-24']);
});

test('nothing is taken after the end', async () => {
  const stage = following();
  const source = stage.last;
  stage.live.stop();
  source.send('message', frame('1'));
  await stage.pass(60_000);
  expect([stage.taken(), stage.open]).toEqual([[], 0]);
});
