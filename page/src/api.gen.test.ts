/** The types written here for reading are those that the server's own description generates: what does not fit does not compile. */
import { expectTypeOf, test } from 'vitest';
import type * as api from './api';
import type { components } from './api.gen';

type Served = components['schemas'];

test('what the server says it answers fits what the page reads', () => {
  expectTypeOf<Served['Window']>().toExtend<api.Window>();
  expectTypeOf<Served['Frame']>().toExtend<api.Frame>();
  expectTypeOf<Served['Summary']>().toExtend<api.Summary>();
  expectTypeOf<Served['Heartbeat']>().toExtend<api.Heartbeat>();
  expectTypeOf<Served['DayChange']>().toExtend<api.DayChange>();
  expectTypeOf<Served['Aggregations']>().toExtend<api.Aggregations>();
  expectTypeOf<Served['Movers']>().toExtend<api.Movers>();
  expectTypeOf<Served['Sparks']>().toExtend<api.Sparks>();
  expectTypeOf<Served['KeyDetail']>().toExtend<api.KeyDetail>();
  expectTypeOf<Served['Pipeline']>().toExtend<api.Pipeline>();
  expectTypeOf<Served['HopDetail']>().toExtend<api.HopDetail>();
  expectTypeOf<Served['CountsOfDays']>().toExtend<api.CountsOfDays>();
  expectTypeOf<Served['Ready']>().toExtend<api.Ready>();
  expectTypeOf<Served['Me']>().toExtend<api.Me>();
  expectTypeOf<Served['Transactions']>().toExtend<api.Transactions>();
  expectTypeOf<Served['Quarantine']>().toExtend<api.Quarantine>();
  expectTypeOf<Served['Quarantined']>().toExtend<api.QuarantineDetail>();
  expectTypeOf<Served['Done']>().toExtend<api.Outcome>();
  expectTypeOf<Served['Problem']>().toExtend<api.Problem>();
});
