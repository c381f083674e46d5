import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Database } from '../../platform/postgres.ts';
import { eventually, startPostgres, type TestPostgres } from '../support/services.ts';
import { openTruth, startModel, untilEqual } from './support/compare.ts';
import { findStaleReads, startLoad, untilWritten, type Load } from './support/load.ts';
import type { ModelClient } from './support/model-client.ts';
import { addLeads, startStack, type Stack, type TestAccount } from './support/stack.ts';

/** What is broken under load; afterwards everything must be equal, in order, and green by itself. */
describe('services that fail under load', () => {
  let postgres: TestPostgres;
  let stack: Stack;
  let truth: Database;
  let account: TestAccount;
  let model: ModelClient;
  let load: Load;

  beforeAll(async () => {
    postgres = await startPostgres();
    stack = await startStack({ postgres });
    truth = openTruth(stack);
    account = stack.accounts[0];
    await addLeads(stack, account, 30);
  });
  afterAll(async () => {
    await truth.close();
    await stack.close();
    await postgres.remove();
  });
  beforeEach(async () => {
    await untilHealth(200);
    model = await startModel(
      stack,
      truth,
      account,
      ['contacts', 'leads', 'tags', 'lead_tags'].map((table) => ({ table })),
    );
    load = startLoad(stack, account, 7);
    await untilWritten(load, 50);
  });
  afterEach(async () => {
    await load.stop();
    model.close();
  });

  async function health(): Promise<number> {
    const answer = await fetch(`${stack.replicator.url}/health/ready`).catch(() => undefined);
    return answer?.status ?? 0;
  }

  const untilHealth = (status: number): Promise<boolean> =>
    eventually(async () => (await health()) === status, {
      timeoutMs: 40_000,
      says: `health answers ${status}`,
    });

  async function expectEqualAndGreen(): Promise<void> {
    await untilHealth(200);
    await untilWritten(load, 50);
    await load.stop();
    await untilEqual(model, truth, account.id, 60_000);
    expect(model.faults).toEqual([]);
    expect(await findStaleReads(stack, account)).toEqual([]);
  }

  it('[R22] Redis restarted empty: a new epoch, resync, equal again', async () => {
    await stack.redis.stop();
    await untilHealth(503);
    await stack.redis.start();
    await eventually(() => model.resyncs.length > 0, { timeoutMs: 40_000 });
    await expectEqualAndGreen();
    expect(new Set(model.resyncs)).toEqual(new Set(['epoch']));
  });

  it('[R22] Redis flushed: a new epoch within a heartbeat, resync, equal again', async () => {
    const { Redis } = await import('ioredis');
    const redis = new Redis(stack.redis.url);
    await redis.flushall();
    redis.disconnect();
    await eventually(() => model.resyncs.length > 0, { timeoutMs: 20_000 });
    await expectEqualAndGreen();
  });

  it('[R20] Redis stopped for ten seconds: reads go on, nothing is lost, no resync', async () => {
    await stack.redis.pause();
    const since = performance.now();
    await untilHealth(503);
    while (performance.now() - since < 10_000) {
      const read = await stack.request(account, 'GET /api/leads?limit=200');
      expect(read.status).toBe(200);
      if (performance.now() - since > 4_000)
        expect(read.headers.get('clarin-cache')).toBe('bypass');
    }
    await stack.redis.resume();
    await expectEqualAndGreen();
    expect(model.resyncs).toEqual([]);
  });

  it('[R19] Postgres restarted: the stream goes on where it was, no resync', async () => {
    await postgres.restart('fast');
    await expectEqualAndGreen();
    expect(model.resyncs).toEqual([]);
  });

  it('[R19] Postgres killed: old commits come again and change nothing', async () => {
    await postgres.kill();
    await untilHealth(503);
    await postgres.start();
    await expectEqualAndGreen();
    expect(model.resyncs).toEqual([]);
  });

  it('[R23] the slot dropped by hand: red, a new slot, a new epoch, resync, green', async () => {
    const [slot] = await stack.sql(
      'select slot_name from pg_replication_slots where database = current_database()',
    );
    await eventually(
      async () => {
        await stack.sql(
          `select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1 and active`,
          [slot?.['slot_name']],
        );
        await stack.sql('select pg_drop_replication_slot($1)', [slot?.['slot_name']]);
        return true;
      },
      { timeoutMs: 20_000, everyMs: 1, says: 'the slot can be dropped' },
    );
    await eventually(() => model.resyncs.length > 0, { timeoutMs: 40_000 });
    await expectEqualAndGreen();
    const [again] = await stack.sql(
      'select active from pg_replication_slots where database = current_database()',
    );
    expect(again?.['active']).toBe(true);
  });
});
