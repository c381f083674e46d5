import { describe, expect, inject, it } from 'vitest';
import { FAULTS } from '../soak/faults/faults.ts';
import { describe as table } from '../soak/report.ts';
import { runSoak } from '../soak/soak.ts';

/** Of all that `npm run soak` breaks, what is done within seconds: a round of each. */
const CHOSEN = ['leader killed', 'walsender terminated', 'Redis flushed'];

describe('a soak, in short', () => {
  it(
    'every promise holds through a leader that is killed, a walsender that is terminated and a Redis that is flushed',
    { timeout: 300_000 },
    async () => {
      const said: string[] = [];
      const soaked = await runSoak({
        ground: {
          postgres: inject('postgres'),
          redisBinary: inject('redisBinary'),
          directory: inject('runDirectory'),
        },
        seed: 6,
        forMs: 240_000,
        roundsMax: CHOSEN.length,
        workMs: 2_000,
        faults: FAULTS.filter(({ name }) => CHOSEN.includes(name)),
        faultsAtOnce: 1,
        replicators: 2,
        say: (line) => said.push(line),
      });
      expect(soaked.failures, [...said, table(soaked)].join('\n')).toEqual([]);
      for (const what of [
        'events',
        'versions in order',
        'transactions whole',
        'versions compared',
        'settled reads hit',
        'reads because of an event',
        'own writes read',
      ])
        expect(soaked.tally.count(what), what).toBeGreaterThan(0);
    },
  );
});
