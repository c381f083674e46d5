import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Database } from '../../platform/postgres.ts';
import { eventually } from '../support/services.ts';
import { openTruth, startModelAt, untilEqual } from './support/compare.ts';
import { startGateways, type Gateways } from './support/gateways.ts';
import { startLoad, untilWritten, type Load } from './support/load.ts';
import type { ModelClient } from './support/model-client.ts';
import { addLeads, startStack, type Stack } from './support/stack.ts';

const TABLES = ['contacts', 'leads', 'tags', 'lead_tags'].map((table) => ({ table }));
const HEALED = 'clarin_gateway_healed_commits_total';

/** Three gateways serve clients of two accounts while writers write; whoever is broken, no client misses anything. */
describe('gateways that fail under load', () => {
  let stack: Stack;
  let truth: Database;
  let gateways: Gateways;
  let redis: Redis;
  let models: { model: ModelClient; accountId: number }[];
  let loads: Load[];

  beforeAll(async () => {
    stack = await startStack();
    truth = openTruth(stack);
    redis = new Redis(stack.redis.url);
    redis.on('error', () => undefined);
    gateways = await startGateways(stack, 3);
    for (const account of stack.accounts) await addLeads(stack, account, 20);
  });
  afterAll(async () => {
    redis.disconnect();
    await truth.close();
    await stack.close();
  });
  beforeEach(async () => {
    await gateways.untilReady();
    models = await Promise.all(
      [0, 1, 2, 3, 4, 5].map(async (index) => {
        const account = stack.accounts[index % 2 === 0 ? 0 : 1];
        const model = await startModelAt({
          stack,
          truth,
          account,
          tables: TABLES,
          server: gateways.next,
        });
        return { model, accountId: account.id };
      }),
    );
    loads = stack.accounts.map((account, index) => startLoad(stack, account, 11 + index));
    await written(30);
  });
  afterEach(async () => {
    await Promise.all(loads.map((load) => load.stop()));
    for (const { model } of models) model.close();
  });

  const written = (count: number): Promise<unknown> =>
    Promise.all(loads.map((load) => untilWritten(load, count)));

  async function expectEqual(): Promise<void> {
    await gateways.untilReady();
    await written(30);
    await Promise.all(loads.map((load) => load.stop()));
    for (const { model, accountId } of models) {
      await untilEqual(model, truth, accountId);
      // What cannot be served now says so and is asked again.
      expect(model.faults.filter((one) => !one.startsWith('unavailable'))).toEqual([]);
      expect(model.resyncs).toEqual([]);
    }
  }

  it('[F27] killed, asked to stop, and started again: clients go on elsewhere from their cursors', async () => {
    await gateways.restart(0);
    await gateways.running[1]?.stop();
    await written(20);
    await gateways.restart(1);
    await expectEqual();
    const closes = models.flatMap(({ model }) => model.closes);
    expect(closes).toContain(1006);
    expect(closes).toContain(1012);
    expect(models.filter(({ model }) => model.subscribedCount > 1).length).toBeGreaterThan(1);
  });

  it('[F27] stopped for longer than the lease and resumed: it catches up, others go on meanwhile', async () => {
    const role = gateways.running[0];
    role?.kill('SIGSTOP');
    await gateways.untilReadiness(0, 0);
    const since = performance.now();
    await eventually(
      async () => {
        await written(10);
        return performance.now() - since > 4_000;
      },
      { timeoutMs: 60_000 },
    );
    role?.kill('SIGCONT');
    await expectEqual();
  });

  it('[F27] its channels cut again and again: what nobody announced is read by range', async () => {
    const before = await gateways.sum(HEALED);
    for (let round = 0; round < 15; round++) {
      await redis.client('KILL', 'TYPE', 'pubsub');
      await written(5);
    }
    await expectEqual();
    expect(await gateways.sum(HEALED)).toBeGreaterThan(before);
    expect(models.flatMap(({ model }) => model.closes)).toEqual([]);
  });

  it('[F28] without Redis, then without a replicator: red, green by itself, no resync', async () => {
    await stack.redis.pause();
    for (const index of [0, 1, 2]) await gateways.untilReadiness(index, 503);
    await eventually(() => models.every(({ model }) => model.closes.includes(1012)), {
      timeoutMs: 20_000,
      says: 'every socket is asked to come again',
    });
    await stack.redis.resume();
    await gateways.untilReady();
    stack.replicator.kill('SIGKILL');
    await stack.replicator.exited;
    for (const index of [0, 1, 2]) await gateways.untilReadiness(index, 503);
    stack.replicator = await stack.spawn('replicator');
    await expectEqual();
  });
});
