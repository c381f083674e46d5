import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDecodedWorld, type DecodedWorld } from './decoded-world.ts';

let world: DecodedWorld;

beforeAll(async () => {
  world = await openDecodedWorld();
});

afterAll(() => world.close());

describe('logical messages of strangers', () => {
  test('[R10] signals beyond a bound are passed over, so that one transaction cannot fill the memory', async () => {
    const account = await world.createAccount();
    await world.client.query(
      `select pg_logical_emit_message(true, 'clarin.signal',
         json_build_object('account_id', $1::int, 'kind', 'typing', 'pad', repeat('x', 4000))::text)
       from generate_series(1, 20000)`,
      [account],
    );
    const [transaction] = await world.decoded.settle(world.client);
    expect(transaction?.bytes).toBeLessThan(8 * 1024 * 1024);
    expect(transaction?.commits[0]?.signals.length).toBeGreaterThan(0);
  });
});
