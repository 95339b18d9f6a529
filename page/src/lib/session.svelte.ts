/** What the whole page shares: the view, who asks, how what is shown stands. */
import { type Aggregation, type Aggregations, type CountsOfDays, type DayChange, type DayCounts, type Latency, type Me, url } from '../api';
import { get, onDenied } from './http';
import { PINS_MAX, onDay, readView, writeView, type Theme, type View } from './view';

const BOOT_RETRY = 1_000;
/** Milliseconds by which the clocks may seem to differ without doing so. */
const SKEW_NOISE = 500;
const THEMES: readonly Theme[] = ['auto', 'light', 'dark'];
/** A server of one's own that asks nobody's name. */
const NOBODY: Me = { name: null, role: 'operator', limited: false, required: false, local: false, oidc: null };

class Session {
  view = $state.raw<View>(readView(location.search));
  about = $state.raw<Aggregations | null>(null);
  me = $state.raw<Me>(NOBODY);
  denied = $state(false);
  unreachable = $state(false);
  today = $state('');
  rolled = $state.raw<DayChange | null>(null);
  latency = $state.raw<Latency | null>(null);
  days = $state.raw<DayCounts[]>([]);
  /** The browser's clock, once a second. */
  clock = $state(Date.now());
  help = $state(false);
  paused = $state(false);
  private pausedAt = $state<number | null>(null);
  /** The server's clock is this much ahead. */
  private skew = $state(0);

  readonly aggregation: Aggregation | null = $derived(
    this.about?.aggregations.find(({ name }) => name === this.view.aggregation) ?? this.about?.aggregations[0] ?? null,
  );
  readonly day = $derived(this.view.day || this.today);
  readonly zone = $derived(this.aggregation?.zone ?? '');
  readonly operator = $derived(this.me.role === 'operator');
  /** Sees a part of the rows: what is about all of them is not asked for. */
  readonly limited = $derived(this.me.limited);

  constructor() {
    onDenied(() => (this.denied = true));
    this.dress();
    addEventListener('popstate', () => {
      this.view = readView(location.search);
      this.dress();
    });
  }

  get serverNow(): number {
    // Paused, nothing moves that is measured against it.
    return this.pausedAt ?? Date.now() + this.skew;
  }

  beat(serverTime: number, latency: Latency | null, today: string): void {
    const skew = serverTime - Date.now();
    // The way of a message takes this and that long.
    if (Math.abs(skew - this.skew) > SKEW_NOISE) this.skew = skew;
    this.latency = latency;
    // Who was not connected at midnight learns of it now; a server in another zone may be behind.
    if (today > this.today) this.roll({ day: today, previous: this.today });
    else this.today = today;
  }

  address(change: Partial<View>): string {
    const text = writeView({ ...this.view, ...change });
    return text ? `?${text}` : location.pathname;
  }

  /** Another view of the same; `step`: one that the browser's back button leaves. */
  go(change: Partial<View>, step = false): void {
    const address = this.address(change);
    this.view = { ...this.view, ...change };
    // Aggregations may have business days of their own.
    if (change.aggregation) this.today = this.aggregation?.today ?? this.today;
    try {
      if (step) history.pushState(null, '', address);
      else history.replaceState(null, '', address);
    } catch {
      // Some browsers take a hundred in half a minute; the next one that they take says it all.
    }
  }

  showDay(day: string): void {
    if (day === this.today) this.rolled = null;
    this.go({ day: day === this.today ? '' : day }, true);
  }

  /** Midnight: whoever looks at the day that ended goes on looking at it until they say otherwise. */
  roll(change: DayChange): void {
    if (change.day === this.today) return;
    const looksAtOld = this.day === change.previous;
    this.today = change.day;
    if (!looksAtOld) return;
    this.go({ day: change.previous });
    this.rolled = change;
  }

  pause(paused: boolean): void {
    this.pausedAt = paused ? this.serverNow : null;
    this.paused = paused;
  }

  /** Pins are those of any day. */
  isPinned(key: string): boolean {
    return this.view.pins.some((pin) => onDay(pin, this.day) === key);
  }

  togglePin(key: string): void {
    const { pins } = this.view;
    const others = pins.filter((pin) => onDay(pin, this.day) !== key);
    this.go({ pins: others.length < pins.length ? others : [...pins, key].slice(-PINS_MAX) });
  }

  nextTheme(): void {
    const next = THEMES[(THEMES.indexOf(this.view.theme) + 1) % THEMES.length] ?? 'auto';
    this.go({ theme: next });
    this.dress();
  }

  private dress(): void {
    document.documentElement.dataset.theme = this.view.theme;
    document.documentElement.classList.toggle('kiosk', this.view.kiosk);
  }

  async boot(): Promise<void> {
    const [about, me] = await Promise.all([get<Aggregations>(url.aggregations), get<Me>(url.me)]);
    this.me = me ?? NOBODY;
    this.denied = this.me.required && this.me.role === null;
    if (this.limited && (this.view.page === 'pipeline' || this.view.page === 'quarantine')) this.go({ page: 'totals' });
    this.unreachable = about === null && !this.denied;
    if (about && about.aggregations.length > 0) {
      const first = about.aggregations.find(({ name }) => name === this.view.aggregation) ?? about.aggregations[0];
      this.today = first?.today ?? '';
      this.about = about;
      return;
    }
    if (about) this.about = about;
    if (!this.denied) setTimeout(() => void this.boot(), BOOT_RETRY);
  }

  async refreshDays(): Promise<void> {
    const name = this.aggregation?.name;
    if (!name || this.limited) return;
    const found = await get<CountsOfDays>(url.counts(name));
    if (found && this.aggregation?.name === name) this.days = found.days;
  }
}

export const session = new Session();
