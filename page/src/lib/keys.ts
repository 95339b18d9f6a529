/** The keyboard, in one place: what `?` lists is what works. */

export type Action = 'help' | 'search' | 'pause' | 'down' | 'up' | 'open' | 'pin' | 'export' | 'theme' | 'back' | 'totals' | 'pipeline' | 'quarantine';

export const KEYS: readonly { keys: readonly string[]; shown: string; action: Action; says: string }[] = [
  { keys: ['/'], shown: '/', action: 'search', says: 'Search' },
  { keys: [' '], shown: 'Space', action: 'pause', says: 'Pause, and go on' },
  { keys: ['j', 'ArrowDown'], shown: 'j or ↓', action: 'down', says: 'Next row' },
  { keys: ['k', 'ArrowUp'], shown: 'k or ↑', action: 'up', says: 'Row before' },
  { keys: ['Enter'], shown: 'Enter', action: 'open', says: 'Open the row' },
  { keys: ['p'], shown: 'p', action: 'pin', says: 'Pin the row to the top, or let it go' },
  { keys: ['e'], shown: 'e', action: 'export', says: 'Export what is shown as CSV' },
  { keys: ['t'], shown: 't', action: 'theme', says: 'Light, dark, or as the system' },
  { keys: ['1'], shown: '1', action: 'totals', says: 'Totals' },
  { keys: ['2'], shown: '2', action: 'pipeline', says: 'Pipeline' },
  { keys: ['3'], shown: '3', action: 'quarantine', says: 'Quarantine' },
  { keys: ['Escape'], shown: 'Esc', action: 'back', says: 'Close, clear, or back to the totals' },
  { keys: ['?'], shown: '?', action: 'help', says: 'This list' },
];

export interface Press {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  /** Name of the element that has the focus, upper case, and whether one writes in it. */
  tag: string;
  editable: boolean;
  inGrid: boolean;
}

/** What a key means here; `null`: what it always does. */
export function actionFor(press: Press): Action | null {
  if (press.ctrlKey || press.metaKey || press.altKey) return null;
  if (press.editable) return press.key === 'Escape' ? 'back' : null;
  // These act on what has the focus.
  const isControl = ['BUTTON', 'A', 'SELECT', 'SUMMARY'].includes(press.tag);
  if (isControl && (press.key === ' ' || press.key === 'Enter')) return null;
  if (press.key.startsWith('Arrow') && !press.inGrid) return null;
  return KEYS.find(({ keys }) => keys.includes(press.key))?.action ?? null;
}
