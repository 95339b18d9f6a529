/** Links of this page are followed without loading it again; with a modifier the browser does what it always does. */
import { session } from '../lib/session.svelte';
import type { View } from '../lib/view';

export function follow(event: MouseEvent, change: Partial<View>): void {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  session.go(change, true);
}
