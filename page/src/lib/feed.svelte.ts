/** The one stream of this page and its rows, for whichever view is open. */
import type { Query } from '../api';
import { Rows } from './rows';
import { session } from './session.svelte';
import { Live, type Link } from './stream';

class Feed {
  /** Rises when what is shown may have changed, at most once a frame. */
  tick = $state(0);
  link = $state.raw<Link>({ kind: 'loading' });
  loaded = $state(false);
  /** What is shown may be wrong until the next window. */
  outdated = $state(false);
  held = $state(false);
  rows = new Rows();
  private live: Live | null = null;
  private what = '';
  private asked = '';
  private query: Query | null = null;
  private painting = false;

  /** Follows these rows from now on; the same question again changes nothing. */
  follow(aggregation: string, query: Query): void {
    const what = JSON.stringify([aggregation, query.day]);
    const asked = JSON.stringify([what, query]);
    if (asked === this.asked) return;
    this.asked = asked;
    this.query = query;
    if (what !== this.what || !this.live) {
      this.what = what;
      this.live?.stop();
      const paused = this.rows.paused;
      this.rows = new Rows();
      if (paused) this.rows.pause();
      this.loaded = false;
      this.outdated = false;
      this.live = this.connect(aggregation);
    }
    this.live.ask(query);
  }

  private connect(aggregation: string): Live {
    const { rows } = this;
    return new Live(aggregation, {
      window: (window, fresh) => {
        rows.takeWindow(window, fresh, performance.now());
        this.loaded = true;
        this.outdated = false;
        this.paint();
      },
      frame: (frame) => {
        rows.takeFrame(frame, performance.now());
        this.paint();
      },
      summary: (summary) => {
        rows.takeSummary(summary);
        this.paint();
      },
      link: (link) => (this.link = link),
      reset: () => {
        rows.forgetVersions();
        this.outdated = true;
      },
      day: (change) => session.roll(change),
      beat: (time, latency, today) => session.beat(time, latency, today),
      denied: () => (session.denied = true),
    });
  }

  /** Nobody looks: the stream ends, what is shown stays. */
  sleep(): void {
    this.live?.stop();
  }

  wake(): void {
    if (this.query) this.live?.ask(this.query);
  }

  hold(held: boolean): void {
    if (held === this.held) return;
    this.held = held;
    this.rows.hold(held);
    this.paint();
  }

  togglePause(): void {
    session.pause(!session.paused);
    if (session.paused) this.rows.pause();
    else this.rows.resume(performance.now());
    this.paint();
  }

  paint(): void {
    if (this.painting) return;
    this.painting = true;
    requestAnimationFrame(() => {
      this.painting = false;
      this.tick += 1;
    });
  }
}

export const feed = new Feed();
