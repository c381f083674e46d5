import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { failure, openKommoTestWorld, type KommoTestWorld } from './kommo-means.ts';

let world: KommoTestWorld;

beforeAll(async () => {
  world = await openKommoTestWorld({ limiter: { perSecond: 100_000 } });
});

describe('a pause that Kommo asks for', () => {
  test('is for every process behind the address, and for nobody else', async () => {
    const config = { egress: 'pausing', requestsPerSecond: 500 };
    const one = await world.fresh(world.talker({ config }));
    const two = await world.fresh(world.talker({ config }));
    const elsewhere = await world.fresh(world.talker());
    one.fault({ does: { kind: 'status', status: 429, retryAfterSeconds: 300 } });
    const before = Date.now();
    const error = await failure(one.client.leads({}, 'poll'));
    expect(error).toMatchObject({ kind: 'rate_limited', status: 429 });
    expect((error.untilMs ?? 0) - before).toBeGreaterThan(290_000);
    expect((error.untilMs ?? 0) - before).toBeLessThan(360_000);
    const told = await failure(two.client.leads({}, 'interactive'));
    expect(told).toMatchObject({ kind: 'rate_limited' });
    expect(Math.abs((told.untilMs ?? 0) - (error.untilMs ?? 0))).toBeLessThan(1);
    expect(await failure(one.client.contacts({}, 'poll'))).toMatchObject({ kind: 'rate_limited' });
    expect([one.asked().length, two.asked().length]).toEqual([1, 0]);
    await elsewhere.client.leads({}, 'poll');
  });

  test('lasts a minute at least', async () => {
    const { client, fault } = await world.fresh(world.talker({ config: { egress: 'short' } }));
    fault({ does: { kind: 'status', status: 429, as: 'html', retryAfterSeconds: 1 } });
    const { untilMs } = await failure(client.leads({}, 'poll'));
    expect((untilMs ?? 0) - Date.now()).toBeGreaterThan(50_000);
  });

  test('is a quarter of an hour when the address is shut out, and doubles each time up to six hours', async () => {
    const { client, asked, fault } = await world.fresh(
      world.talker({ config: { egress: 'shut-out' } }),
    );
    fault({ does: { kind: 'status', status: 403, as: 'html' } });
    const minutes: number[] = [];
    for (let number = 0; number < 7; number++) {
      const error = await failure(client.leads({}, 'poll'));
      expect(error).toMatchObject({ kind: 'blocked', status: 403 });
      minutes.push(Math.round(((error.untilMs ?? 0) - Date.now()) / 60_000));
      expect(await failure(client.leads({}, 'poll'))).toMatchObject({ kind: 'blocked' });
      expect(asked()).toHaveLength(number + 1);
      await world.owner.query(sql`
        update private.kommo_pauses set paused_until = clock_timestamp() where bucket = 'blocked:shut-out'`);
    }
    expect(minutes).toEqual([15, 30, 60, 120, 240, 360, 360]);
    expect(world.lines.join('')).toContain('Kommo has shut out our address');
  });
});
