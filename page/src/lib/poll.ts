/** Asks again and again while somebody looks; what was there stays when an answer fails. */
import { session } from './session.svelte';

/** For an effect: asks at once and every `interval` ms; the last answer wins, stale ones are passed over. */
export function poll(ask: (isCurrent: () => boolean) => Promise<void>, interval: number): () => void {
  let ended = false;
  let attempt = 0;
  const run = () => {
    const mine = ++attempt;
    void ask(() => !ended && mine === attempt);
  };
  run();
  const timer = setInterval(() => {
    if (!document.hidden && !session.paused) run();
  }, interval);
  return () => {
    ended = true;
    clearInterval(timer);
  };
}
