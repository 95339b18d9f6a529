/** Words for a hop's figures. */
import type { Hop } from '../api';
import { count, duration } from '../lib/format';

export const SAYS: Record<Hop['pressure'], string> = { ok: 'keeps up', busy: 'busy', behind: 'behind' };
export const TREND: Record<Hop['lag_trend'], string> = { rising: '↗', falling: '↘', steady: '→' };

/** In seconds where they are known, in records otherwise. */
export const lagText = (hop: Hop): string =>
  hop.lag === 0 ? 'none' : hop.lag_seconds === null ? count(hop.lag) : duration(Math.max(1, Math.round(hop.lag_seconds * 1000)));
