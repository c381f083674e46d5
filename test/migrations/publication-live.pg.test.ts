import type pg from 'pg';
import { describe, expect, test } from 'vitest';
import { migrate } from '../../migrations/run.ts';
import { syncPublication } from '../../migrations/sync-publication.ts';
import { connectClient } from '../../platform/postgres.ts';
import { createWorld, insertTag, untilGreen, type World } from '../replicator/running.ts';
import { connect, log, one } from '../replicator/support.ts';
import { createTestDatabase, eventually } from '../support/services.ts';

const PUBLICATION = 'clarin';

/** Everything of a connection but the statements that take the lock, as if they had never been written. */
function withoutLock(client: pg.Client): pg.Client {
  const query = (...given: unknown[]): unknown => {
    const [first] = given as [string | { text: string }];
    const text = typeof first === 'string' ? first : first.text;
    const what = /^\s*lock table/.test(text) ? ['select 1'] : given;
    return (client.query as (...words: unknown[]) => unknown).apply(client, what);
  };
  return new Proxy(client, {
    get: (target, name): unknown => (name === 'query' ? query : Reflect.get(target, name)),
  });
}

const insertContact = (client: pg.Client, account: number, name: string): Promise<unknown> =>
  client.query('insert into contacts (account_id, name, company) values ($1, $2, $2)', [
    account,
    name,
  ]);

/** Writers that never pause: each transaction of another length, so that some are open at any moment. */
function startWriters(
  world: World,
  account: number,
  writes: (typeof insertTag)[],
): { stop(): Promise<number> } {
  let isOver = false;
  const write = async (which: number): Promise<number> => {
    const client = await connect(world.database.ownerUrl);
    let commits = 0;
    for (; !isOver; commits++) {
      await client.query('begin');
      const name = `${which}.${commits}`;
      const steps = writes.map((write) => () => write(client, account, name));
      // Each order of the two: no order of the migration's locks is everybody's.
      for (const step of commits % 2 === 0 ? steps : steps.toReversed()) {
        await step();
        await client.query('select pg_sleep($1)', [(((commits * 7 + which) % 5) * 10) / 1_000]);
      }
      await client.query('commit');
    }
    await client.end();
    return commits;
  };
  const writing = Promise.all([0, 1, 2].map(write));
  writing.catch(() => undefined);
  return {
    stop: async () => {
      isOver = true;
      return (await writing).reduce((sum, commits) => sum + commits, 0);
    },
  };
}

type Copy = Map<string, string>;
const SHOWN = `select 'tags ' || id as key, name as value from tags where account_id = $1
  union all select 'contacts ' || id, name || ' of ' || coalesce(company, '-') from contacts where account_id = $1`;

async function readCopy(world: World, account: number): Promise<Copy> {
  const { rows } = await world.client.query<{ key: string; value: string }>(SHOWN, [account]);
  return new Map(rows.map(({ key, value }) => [key, value]));
}

/** What a client holds that has read `copy` when the feed was live, and has followed since. */
async function follow(world: World, account: number, copy: Copy): Promise<Copy> {
  const held = new Map(copy);
  for (const { changes } of await world.readLog(account))
    for (const { table, json } of changes) {
      const { row } = JSON.parse(json) as { row?: Record<string, string | null> };
      if (!row) continue;
      if (table === 'tags') held.set(`tags ${row['id']}`, String(row['name']));
      if (table === 'contacts')
        held.set(`contacts ${row['id']}`, `${row['name']} of ${row['company'] ?? '-'}`);
    }
  return held;
}

/**
 * A table enters the publication, and a column of another one, while three writers write without pause and a transaction
 * that wrote to both before is still open. @returns what a client lacks at the end that read when the feed was live again.
 */
async function migrateAmidWriters(lock: 'held' | 'removed'): Promise<string[]> {
  const world = await createWorld(await createTestDatabase());
  try {
    const account = await world.createAccount('acme');
    const before = await world.start();
    await untilGreen(before);
    await before.stop();
    // Of a column the replicator would notice, loudly: what it is sent lacks it. Of a table nobody can tell.
    await (lock === 'held' ? leavePublication : leaveAlone)(world.client);
    // A relation that some other transaction has made known to the walsender is published to all: the miss needs a quiet table.
    const writes = lock === 'held' ? [insertTag, insertContact] : [insertContact];
    const writers = startWriters(world, account, writes);
    const late = await connect(world.database.ownerUrl);
    await late.query('begin');
    await insertTag(late, account, 'late');
    await insertContact(late, account, 'late');
    const migrator = await connectClient({
      url: world.database.ownerUrl,
      applicationName: 'test',
    });
    if (lock === 'held') {
      const migrating = migrate({ url: world.database.ownerUrl, log, publication: PUBLICATION });
      await eventually(() => isWaiting(world.client), { says: 'the migration waits for writers' });
      await late.query('commit');
      await migrating;
    } else await syncPublication(withoutLock(migrator), PUBLICATION);
    const replicator = await world.start();
    await untilGreen(replicator);
    const copy = await readCopy(world, account);
    if (lock === 'removed') await late.query('commit');
    expect(await writers.stop()).toBeGreaterThan(10);
    await insertTag(world.client, account, 'end');
    await eventually(async () => (await world.readNames(account)).includes('end'));
    const held = await follow(world, account, copy);
    const truth = await readCopy(world, account);
    await Promise.all([late.end(), migrator.end()]);
    return [...truth].flatMap(([key, value]) => (held.get(key) === value ? [] : [value]));
  } finally {
    await world.close();
  }
}

/** As it was before there were tags and companies; and before there were tags. */
async function leavePublication(client: pg.Client): Promise<unknown> {
  const { columns } = await one(
    client,
    `select string_agg(quote_ident(name), ', ') as columns from pg_publication_tables, unnest(attnames) as name
     where pubname = $1 and tablename = 'contacts' and name <> 'company'`,
    [PUBLICATION],
  );
  await client.query(`alter publication ${PUBLICATION} drop table tags, contacts`);
  return client.query(`alter publication ${PUBLICATION} add table contacts (${String(columns)})`);
}

const leaveAlone = (client: pg.Client): Promise<unknown> =>
  client.query(`alter publication ${PUBLICATION} drop table tags`);

async function isWaiting(client: pg.Client): Promise<boolean> {
  const row = await one(
    client,
    `select count(*)::int as waiting from pg_locks where mode = 'ShareLock' and not granted and locktype = 'relation'`,
  );
  return Number(row['waiting']) > 0;
}

describe('a table and a column enter the publication while writers write without pause', () => {
  test('under the lock of the migration nothing is missed', async () => {
    expect(await migrateAmidWriters('held')).toEqual([]);
  });

  test('without it a transaction that wrote before and commits after is missed (hazard H11)', async () => {
    expect(await migrateAmidWriters('removed')).toContain('late');
  });
});
