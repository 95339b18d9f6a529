import { expect, test } from 'vitest';
import samples from '../api.sample.json';
import { Live, type Source, type World } from './stream';

type Answer = { status: number; body: unknown } | 'down';

class FakeSource implements Source {
  readyState = 1;
  onopen = null;
  onerror: ((event: Event) => void) | null = null;
  private listeners = new Map<string, (event: MessageEvent<string>) => void>();
  constructor(readonly url: string) {}
  addEventListener(type: string, listener: (event: MessageEvent<string>) => void): void {
    this.listeners.set(type, listener);
  }
  close(): void {
    this.readyState = 2;
  }
  send(type: string, data: unknown): void {
    this.listeners.get(type)?.({ data: JSON.stringify(data) } as MessageEvent<string>);
  }
  fail(readyState: number): void {
    this.readyState = readyState;
    this.onerror?.({} as Event);
  }
}

/** A world whose clock and server the test moves; what happens is text. */
class Stage implements World {
  time = 0;
  log: string[] = [];
  answers: Answer[] = [];
  sources: FakeSource[] = [];
  private timers: { at: number; action: () => void }[] = [];

  fetch = async (url: string) => {
    const answer = url === '/readyz' ? { status: 503, body: samples.ready } : (this.answers.shift() ?? 'down');
    if (answer === 'down') throw new TypeError('network');
    this.log.push(`GET ${url.split('/').pop()} ${answer.status}`);
    return { ok: answer.status === 200, status: answer.status, json: async () => answer.body };
  };
  source = (url: string): Source => {
    const source = new FakeSource(url);
    this.sources.push(source);
    this.log.push(`follow ${new URLSearchParams(url.split('?')[1]).get('from')}`);
    return source;
  };
  now = () => this.time;
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
  get last(): FakeSource {
    return this.sources.at(-1)!;
  }
  taken(): string[] {
    return this.log.splice(0);
  }
}

const settled = () => new Promise((resolve) => setTimeout(resolve));

const snapshot = (position: string, live = true): Answer => ({
  status: 200,
  body: { ...samples.snapshot, position, live },
});
const frame = (prev: string | null, pos: string) => ({ ...samples.frame, prev, pos });
const beat = { ...samples.heartbeat, state: 'live' };

function start(...answers: Answer[]): Stage {
  const stage = new Stage();
  stage.answers = answers;
  const live = new Live(
    'daily_totals',
    '2026-11-23',
    {
      snapshot: (snapshot) => stage.log.push(`snapshot ${snapshot.position}`),
      frame: (frame) => stage.log.push(`frame ${frame.pos}`),
      link: (link) => stage.log.push(link.kind),
      outdated: (outdated) => stage.log.push(outdated ? 'outdated' : 'up to date'),
      day: (change) => stage.log.push(`day ${change.day}`),
    },
    stage,
  );
  live.start();
  return stage;
}

async function following(): Promise<Stage> {
  const stage = start(snapshot('e:d:1'));
  await stage.pass(0);
  stage.last.send('heartbeat', beat);
  stage.taken();
  return stage;
}

test('a snapshot first, then changes from its position on', async () => {
  const stage = start(snapshot('e:d:1'));
  await stage.pass(0);
  stage.last.send('heartbeat', beat);
  stage.last.send('message', frame('e:d:1', 'e:d:2'));
  expect(stage.taken()).toEqual([
    'loading', 'GET snapshot?day=2026-11-23 200', 'snapshot e:d:1', 'up to date', 'follow e:d:1', 'live', 'frame e:d:2',
  ]);
});

test('a server that catches up is asked again, and says how far it is', async () => {
  const stage = start({ status: 503, body: samples.problem }, snapshot('e:d:5'));
  await stage.pass(0);
  expect(stage.taken()).toEqual(['loading', 'GET snapshot?day=2026-11-23 503', 'GET readyz 503', 'catching_up']);
  await stage.pass(300);
  expect(stage.taken().slice(1)).toEqual(['snapshot e:d:5', 'up to date', 'follow e:d:5']);
});

test('a frame that does not follow ours is not taken: we ask from where we are', async () => {
  const stage = await following();
  stage.last.send('message', frame('e:d:1', 'e:d:2'));
  stage.last.send('message', frame('e:d:7', 'e:d:8'));
  expect(stage.taken()).toEqual(['frame e:d:2', 'follow e:d:2']);
});

test('a broken connection keeps what is shown and goes on by itself', async () => {
  const stage = await following();
  stage.last.fail(0);
  expect(stage.taken()).toEqual(['reconnecting']);
  stage.last.send('heartbeat', beat);
  stage.last.send('message', frame('e:d:1', 'e:d:2'));
  expect(stage.taken()).toEqual(['live', 'frame e:d:2']);
});

test('an answer that is an error is asked again from our position', async () => {
  const stage = await following();
  stage.last.fail(2);
  await stage.pass(250);
  expect(stage.taken()).toEqual(['reconnecting', 'follow e:d:1']);
  stage.last.fail(2);
  await stage.pass(499);
  expect(stage.taken()).toEqual(['reconnecting']);
  await stage.pass(1);
  expect(stage.taken()).toEqual(['follow e:d:1']);
});

test('silence is noticed', async () => {
  const stage = await following();
  await stage.pass(11_000);
  expect(stage.taken()).toEqual([]);
  await stage.pass(1_300);
  expect(stage.taken()).toEqual(['reconnecting', 'follow e:d:1']);
});

test('after a long absence a new snapshot is taken', async () => {
  const stage = await following();
  await stage.pass(130_000);
  stage.taken();
  stage.answers = [snapshot('e:d:9')];
  await stage.pass(3_000);
  expect(stage.taken()).toContain('snapshot e:d:9');
});

test('a reset greys what is shown until the new snapshot is there', async () => {
  const stage = await following();
  stage.answers = ['down', snapshot('f:d:1')];
  stage.last.send('reset', samples.reset);
  await stage.pass(1_000);
  expect(stage.taken()).toEqual([
    'outdated', 'loading', 'reconnecting', 'GET snapshot?day=2026-11-23 200', 'snapshot f:d:1', 'up to date', 'follow f:d:1',
  ]);
});

test('a stored day is read again now and then, not followed', async () => {
  const stage = start(snapshot('e:d:1', false), snapshot('e:d:2', false));
  await stage.pass(15_000);
  expect(stage.sources).toEqual([]);
  expect(stage.taken().filter((line) => line.startsWith('snapshot'))).toEqual(['snapshot e:d:1', 'snapshot e:d:2']);
});

test('a new day is told', async () => {
  const stage = await following();
  stage.last.send('day', samples.day);
  expect(stage.taken()).toEqual(['day 2026-11-24']);
});
