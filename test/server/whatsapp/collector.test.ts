import { afterEach, describe, expect, it } from 'vitest';
import { ClarinError } from '../../../domain/errors.ts';
import { createLog } from '../../../platform/log.ts';
import { systemClock } from '../../../server/ingest/clock.ts';
import { createCollector, type Collector } from '../../../server/ingest/whatsapp/collector.ts';
import type { DeviceContext } from '../../../server/ingest/whatsapp/device-context.ts';
import { eventually } from '../../support/eventually.ts';

/** What a collector uses of it. */
const context = {
  clock: systemClock,
  log: createLog({ component: 'ingest', level: 'silent' }),
  signal: new AbortController().signal,
} as DeviceContext;

let collector: Collector<number>;
afterEach(() => collector.stop());

describe('what is collected', () => {
  it('and comes while too much waits is not taken for what is being written', async () => {
    const written: number[] = [];
    let goOn = (): void => undefined;
    const gate = new Promise<void>((resolve) => (goOn = resolve));
    let writes = 0;
    collector = createCollector<number>({
      context,
      what: 'numbers',
      delayMs: 0,
      max: 3,
      batch: 3,
      write: async (items) => {
        writes++;
        if (writes === 1) await gate;
        written.push(...items);
      },
    });
    collector.add([1, 2, 3]);
    await eventually(() => writes === 1);
    collector.add([4, 5, 6]);
    goOn();
    await eventually(() => written.length === 6);
    expect(written).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('is written in its order when the database is back, the newest of what is too much', async () => {
    const written: number[] = [];
    let isAway = true;
    let writes = 0;
    collector = createCollector<number>({
      context,
      what: 'numbers',
      delayMs: 0,
      max: 4,
      batch: 2,
      write: async (items) => {
        writes++;
        if (isAway) throw new ClarinError('unavailable', 'away');
        written.push(...items);
        await Promise.resolve();
      },
    });
    collector.add([1, 2, 3]);
    await eventually(() => writes > 0);
    collector.add([4, 5, 6]);
    isAway = false;
    await eventually(() => written.length === 4);
    expect(written).toEqual([3, 4, 5, 6]);
  });
});
