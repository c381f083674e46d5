import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createTestDatabase, eventually } from '../support/services.ts';
import { createWorld, insertTag, untilGreen, type World } from './running.ts';
import { one } from './support.ts';

let world: World;
let account: number;

beforeEach(async () => {
  world = await createWorld(await createTestDatabase());
  account = await world.createAccount('acme');
});

afterEach(() => world.close());

const epochId = async (): Promise<string | undefined> =>
  (await world.control.readControl())?.epoch.id;

/** Takes tags out of the publication, does something, and puts them back as they were. */
async function whileUnpublished(work: () => Promise<unknown>): Promise<void> {
  const { columns } = await one(
    world.client,
    `select array_to_string(attnames, ', ') as columns from pg_publication_tables
     where pubname = 'clarin' and tablename = 'tags'`,
  );
  await world.client.query('alter publication clarin drop table tags');
  await work();
  await world.client.query(`alter publication clarin add table tags (${String(columns)})`);
}

describe('a publication that is altered', () => {
  test.each([
    ['loses a table', 'alter publication clarin drop table tags'],
    ['loses an operation', `alter publication clarin set (publish = 'insert')`],
    ['is dropped', 'drop publication clarin'],
    ['has a trigger of its tables disabled', 'alter table leads disable trigger user'],
  ])('[R24] ends a running replicator within a lease when it %s', async (_name, statement) => {
    const replicator = await world.start();
    await untilGreen(replicator);
    const alteredAtMs = Date.now();
    await world.client.query(statement);
    expect(await replicator.fatal).toMatchObject({ code: 'replication_drift' });
    expect(Date.now() - alteredAtMs).toBeLessThan(3_000);
  });

  test('[R22] ends the epoch of a running replicator when it was altered and put back', async () => {
    const replicator = await world.start();
    await untilGreen(replicator);
    const before = await epochId();
    await whileUnpublished(() => insertTag(world.client, account, 'missed'));
    await eventually(async () => (await epochId()) !== before, { says: 'a new epoch begins' });
    await untilGreen(replicator);
    await insertTag(world.client, account, 'after');
    await eventually(async () => (await world.readNames(account)).includes('after'));
  });

  test('[R22] ends the epoch when it was altered and put back while nobody looked', async () => {
    const first = await world.start();
    await untilGreen(first);
    const before = await epochId();
    await first.stop();
    await whileUnpublished(() => insertTag(world.client, account, 'missed'));
    const second = await world.start();
    await untilGreen(second);
    expect(await epochId()).not.toBe(before);
  });
});
