import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { accountKeys, controlKeys } from '../../domain/cache-key.ts';
import type { Database } from '../../platform/postgres.ts';
import { eventually } from '../support/services.ts';
import { openTruth, startModelAt, untilEqual } from './support/compare.ts';
import { startGateways, type Gateways } from './support/gateways.ts';
import { findStaleReads, startLoad, untilWritten, type Load } from './support/load.ts';
import type { ModelClient } from './support/model-client.ts';
import { startRedisCluster, type TestCluster, type TestNode } from './support/redis-cluster.ts';
import { addLeads, startStack, type Stack } from './support/stack.ts';

const TABLES = ['contacts', 'leads', 'tags', 'lead_tags'].map((table) => ({ table }));
const HEALED = 'clarin_gateway_healed_commits_total';
const SPACE = { prefix: 'clarin' };

/** All of Clarin on three nodes; its accounts and its control are on different ones, and one after the other fails. */
describe('a Redis Cluster under load', () => {
  let cluster: TestCluster;
  let stack: Stack;
  let truth: Database;
  let gateways: Gateways;
  let models: { model: ModelClient; accountId: number }[];
  let loads: Load[];

  beforeAll(async () => {
    cluster = await startRedisCluster();
    stack = await startStack({ redis: cluster });
    truth = openTruth(stack);
    gateways = await startGateways(stack, 2);
    for (const account of stack.accounts) await addLeads(stack, account, 20);
  });
  afterAll(async () => {
    await truth.close();
    await stack.close();
  });
  beforeEach(async () => {
    await gateways.untilReady();
    await stack.replicator.waitUntil('ready');
    models = await Promise.all(
      [0, 1, 2, 3].map(async (index) => {
        const account = stack.accounts[index % 2 === 0 ? 0 : 1];
        const server = index < 2 ? () => stack.replicator.url : gateways.next;
        const model = await startModelAt({ stack, truth, account, tables: TABLES, server });
        return { model, accountId: account.id };
      }),
    );
    loads = stack.accounts.map((account, index) => startLoad(stack, account, 31 + index));
    await written(20);
  });
  afterEach(async () => {
    await Promise.all(loads.map((load) => load.stop()));
    for (const { model } of models) model.close();
  });

  const written = (count: number): Promise<unknown> =>
    Promise.all(loads.map((load) => untilWritten(load, count)));
  /** Any key of the account: all are in one slot. */
  const keyOf = (index: 0 | 1): string => accountKeys(SPACE, stack.accounts[index].id, '').head;
  const readEpoch = async (): Promise<unknown> => {
    const { control } = controlKeys(SPACE);
    return (await cluster.holder(control)).command('HGET', control, 'epoch');
  };
  const holdersOfAccounts = async (): Promise<TestNode[]> => [
    await cluster.holder(keyOf(0)),
    await cluster.holder(keyOf(1)),
  ];

  /** A gateway is told of the account's commits by its own node. */
  async function untilListening(index: 0 | 1): Promise<void> {
    const node = await cluster.holder(keyOf(index));
    const { channel } = accountKeys(SPACE, stack.accounts[index].id, String(await readEpoch()));
    await eventually(
      async () => {
        const counted = (await node.command('PUBSUB', 'SHARDNUMSUB', channel)) as [string, number];
        return counted[1] > 0;
      },
      { timeoutMs: 10_000, says: `somebody listens to ${channel}` },
    );
  }

  async function expectEqual(resyncs: readonly string[]): Promise<void> {
    await gateways.untilReady();
    await stack.replicator.waitUntil('ready', 60_000);
    await written(20);
    await Promise.all(loads.map((load) => load.stop()));
    for (const { model, accountId } of models) {
      await untilEqual(model, truth, accountId, 60_000);
      // What cannot be served now says so and is asked again.
      expect(model.faults.filter((one) => !one.startsWith('unavailable'))).toEqual([]);
      expect([...new Set(model.resyncs)]).toEqual(resyncs);
    }
    for (const account of stack.accounts) expect(await findStaleReads(stack, account)).toEqual([]);
  }

  it('[F27] sharded channels tell of commits; cut, and gateways killed, clients resume elsewhere and miss nothing', async () => {
    for (const index of [0, 1] as const) await untilListening(index);
    const before = await gateways.sum(HEALED);
    for (let round = 0; round < 10; round++) {
      for (const node of cluster.nodes) await node.command('CLIENT', 'KILL', 'TYPE', 'pubsub');
      await written(5);
    }
    expect(await gateways.sum(HEALED)).toBeGreaterThan(before);
    await gateways.restart(0);
    for (const index of [0, 1] as const) await untilListening(index);
    await expectEqual([]);
  });

  it('[R20] a node stopped for some seconds: red, nothing is lost, no resync', async () => {
    const [node] = await holdersOfAccounts();
    await node?.pause();
    await gateways.untilReadiness(0, 503);
    await gateways.untilReadiness(1, 503);
    const read = await stack.request(stack.accounts[0], 'GET /api/leads');
    expect([read.status, read.headers.get('clarin-cache')]).toEqual([200, 'bypass']);
    await node?.resume();
    await cluster.untilWhole();
    await expectEqual([]);
  });

  it('[R22] a node with accounts started again, empty, while no leader is there: the next one opens a new epoch', async () => {
    const control = await cluster.holder(controlKeys(SPACE).control);
    const node = (await holdersOfAccounts()).find((one) => one !== control);
    const epoch = await readEpoch();
    stack.replicator.kill('SIGKILL');
    await stack.replicator.exited;
    await node?.restart();
    await cluster.untilWhole();
    expect(await readEpoch()).toBe(epoch);
    const port = String(stack.replicator.port);
    stack.replicator = await stack.spawn('replicator', { FEED_PORT: port });
    await eventually(async () => (await readEpoch()) !== epoch, {
      timeoutMs: 30_000,
      says: 'another epoch is open',
    });
    await expectEqual(['epoch']);
  });

  it('[F27] a slot moved to another node, with the account in it: redirected, nothing lost, no resync', async () => {
    const from = await cluster.holder(keyOf(0));
    const to = cluster.nodes.find((node) => node !== from);
    if (!to) throw new Error('there is one node only');
    await cluster.moveSlot(keyOf(0), to, {
      between: async () => {
        // Whoever asks in the middle is sent to and fro, and answered.
        const read = await stack.request(stack.accounts[0], 'GET /api/leads');
        expect(read.status).toBe(200);
      },
    });
    expect(await cluster.holder(keyOf(0))).toBe(to);
    await expectEqual([]);
  });
});
