import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type pg from 'pg';
import { eventually, startPostgres, type TestPostgres } from '../support/services.ts';
import { commitInvisibly, setStandby } from './invisible-commit.ts';
import {
  createWorld,
  insertTag,
  isGreen,
  readPosition,
  untilGreen,
  type World,
} from './running.ts';
import { connect, currentLsn, one, readConfirmed } from './support.ts';

let postgres: TestPostgres;
let admin: pg.Client;
let world: World;
let account: number;

beforeAll(async () => {
  postgres = await startPostgres({ conf: { max_prepared_transactions: '4' } });
  admin = await connect(postgres.url);
});

afterAll(async () => {
  await admin.end();
  await postgres.remove();
});

beforeEach(async () => {
  world = await createWorld(await postgres.createDatabase());
  account = await world.createAccount('acme');
});

afterEach(async () => {
  await setStandby(admin, '');
  await world.close();
});

const commitNamed = (name: string): ReturnType<typeof commitInvisibly> =>
  commitInvisibly(admin, world.database.ownerUrl, (client) => insertTag(client, account, name));

const countTags = async (name: string): Promise<unknown> =>
  (await one(world.client, 'select count(*)::int as n from tags where name = $1', [name]))['n'];

describe('the visibility gate', () => {
  test('[R13] nothing of a commit is applied or acknowledged before other sessions see it, and all of it after', async () => {
    const replicator = await world.start();
    await untilGreen(replicator);
    const waits = async (): Promise<number> =>
      (await replicator.metrics.gateWaits.get()).values[0]?.value ?? 0;
    expect(await waits()).toBe(0);
    const { done, client } = await commitNamed('hidden');
    await eventually(async () => (await waits()) > 0, { says: 'the gate holds something back' });
    expect(await countTags('hidden')).toBe(0);
    expect(await world.readNames(account)).toEqual([]);
    const position = await readPosition(world);
    const insertLsn = await currentLsn(world.client);
    expect(position < insertLsn).toBe(true);
    expect((await readConfirmed(world.client, world.config.slot)) <= position).toBe(true);
    // Health says that it is late, while nothing returns.
    await eventually(async () => !(await isGreen(replicator)), { says: 'health is red' });
    expect(await world.readNames(account)).toEqual([]);
    await setStandby(admin, '');
    await done;
    await client.end();
    await eventually(async () => (await world.readNames(account)).includes('hidden'));
    expect(await countTags('hidden')).toBe(1);
    await untilGreen(replicator);
    expect((await readPosition(world)) > position).toBe(true);
  });

  test('[R13] with the gate off, the change is applied while a reader still sees the old row', async () => {
    const replicator = await world.start({ seams: { gate: 'off' } });
    await untilGreen(replicator);
    const { done, client } = await commitNamed('too early');
    await eventually(async () => (await world.readNames(account)).includes('too early'));
    expect(await countTags('too early')).toBe(0);
    await setStandby(admin, '');
    await done;
    await client.end();
  });

  test('a new epoch begins only when commits that its slot will never show are visible', async () => {
    const { done, client } = await commitNamed('before the slot');
    const replicator = await world.start();
    await eventually(() => replicator.isLeading().then(() => true));
    // The slot itself cannot be made while somebody is in between.
    const startedAt = performance.now();
    await eventually(() => performance.now() - startedAt > 1_500);
    expect(await world.control.readControl()).toBeUndefined();
    await setStandby(admin, '');
    await done;
    await client.end();
    await untilGreen(replicator);
    expect(await countTags('before the slot')).toBe(1);
  });

  test('[R3] a prepared transaction comes when it is committed', async () => {
    const replicator = await world.start();
    await untilGreen(replicator);
    await world.client.query('begin');
    await insertTag(world.client, account, 'prepared');
    await world.client.query(`prepare transaction 'later'`);
    await insertTag(world.client, account, 'between');
    await eventually(async () => (await world.readNames(account)).includes('between'));
    await world.client.query(`commit prepared 'later'`);
    await eventually(async () => (await world.readNames(account)).length === 2);
    expect(await world.readNames(account)).toEqual(['between', 'prepared']);
  });
});
