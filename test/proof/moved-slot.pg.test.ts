import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { UnsafeSeams } from '../../replicator/seams.ts';
import {
  createWorld,
  insertTag,
  untilGreen,
  type Started,
  type World,
} from '../replicator/running.ts';
import { createTestDatabase, eventually } from '../support/services.ts';

/** Trail "start check" of docs/proof: somebody moves the slot between judging the epoch by it and streaming from it. */
let world: World;
let account: number;

beforeEach(async () => {
  world = await createWorld(await createTestDatabase());
  account = await world.createAccount('acme');
});

afterEach(() => world.close());

async function startWithMovedSlot(seams: UnsafeSeams): Promise<Started> {
  let attempts = 0;
  const beforeStream = async (): Promise<void> => {
    if (attempts++ > 0) return;
    await insertTag(world.client, account, 'went by');
    await world.client.query('select pg_replication_slot_advance($1, pg_current_wal_lsn())', [
      world.config.slot,
    ]);
  };
  const replicator = await world.start({ seams: { ...seams, beforeStream } });
  await untilGreen(replicator);
  await insertTag(world.client, account, 'after');
  await eventually(async () => (await world.readNames(account)).includes('after'));
  expect(attempts).toBeGreaterThan(0);
  return replicator;
}

const reasonsOf = async (replicator: Started): Promise<unknown[]> =>
  (await replicator.metrics.epochChanges.get()).values.map((value) => value.labels['reason']);

describe('a slot that is moved after the epoch was judged by it', () => {
  test('[R22] ends the epoch: what went by is older than the next one', async () => {
    const replicator = await startWithMovedSlot({});
    expect(await reasonsOf(replicator)).toEqual(['first_start', 'slot_skipped']);
  });

  test('[R22] without the check the epoch goes on, and a commit is missing in it', async () => {
    const replicator = await startWithMovedSlot({ slotCheck: 'off' });
    expect(await reasonsOf(replicator)).toEqual(['first_start']);
    expect(await world.readNames(account)).toEqual(['after']);
  });
});
