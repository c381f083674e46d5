import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Database } from '../../platform/postgres.ts';
import { findFreePort } from '../../platform/services/ports.ts';
import { spawnRole } from '../support/spawn-role.ts';
import { openTruth, startModel, untilEqual } from './support/compare.ts';
import { randomOf } from '../soak/random.ts';
import { findStaleReads, startLoad, untilWritten } from './support/load.ts';
import { addLeads, startStack, type Stack } from './support/stack.ts';

const ROUNDS = 20;
const SEED = 20_261_122;

describe('kill -9 of the replicator under load', () => {
  let stack: Stack;
  let truth: Database;

  beforeAll(async () => {
    stack = await startStack({ more: { FEED_PORT: String(await findFreePort()) } });
    truth = openTruth(stack);
  });
  afterAll(async () => {
    await truth.close();
    await stack.close();
  });

  it('[R19] 20 times: the client resumes to exactly what Postgres holds, and no cached read is stale', async () => {
    const [account] = stack.accounts;
    await addLeads(stack, account, 50);
    const tables = ['contacts', 'leads', 'tags', 'lead_tags'].map((table) => ({ table }));
    const model = await startModel(stack, truth, account, tables);
    const load = startLoad(stack, account, SEED);
    const random = randomOf(SEED);
    for (let round = 0; round < ROUNDS; round++) {
      // At a random point of the work; every third time before the replicator is even live again.
      await untilWritten(load, random(150));
      stack.replicator.kill('SIGKILL');
      await stack.replicator.exited;
      stack.replicator = await spawnRole('replicator', stack.environment, { until: 'live' });
      if (round % 3 !== 2) await stack.replicator.waitUntil('ready');
    }
    await stack.replicator.waitUntil('ready');
    await untilWritten(load, 50);
    await load.stop();
    await untilEqual(model, truth, account.id, 60_000);
    // No gap and nothing twice: the client checks the order of every commit it gets.
    expect(model.faults).toEqual([]);
    expect(model.resyncs).toEqual([]);
    expect(await findStaleReads(stack, account)).toEqual([]);
    model.close();
  }, 400_000);
});
