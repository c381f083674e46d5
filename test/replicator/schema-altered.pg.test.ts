import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { migrate } from '../../migrations/run.ts';
import { createTestDatabase, eventually } from '../support/services.ts';
import { createWorld, insertTag, untilGreen, type World } from './running.ts';
import { log } from './support.ts';

let world: World;
let account: number;

beforeEach(async () => {
  world = await createWorld(await createTestDatabase());
  account = await world.createAccount('acme');
});

afterEach(() => world.close());

const epochId = async (): Promise<string | undefined> =>
  (await world.control.readControl())?.epoch.id;

type Alteration = { name: string; alter: string; putBack: string; writes: string };

/** What is written in between stays in the slot in a form that no declaration ever had. */
const ALTERATIONS: readonly Alteration[] = [
  {
    name: 'a column had another name',
    alter: 'alter table tags rename column color to colour',
    putBack: 'alter table tags rename column colour to color',
    writes: 'insert into tags (account_id, name) values ($1, $2)',
  },
  {
    name: 'a column had another type',
    alter: `alter publication clarin drop table tags; alter table tags alter column name type varchar(200);
            alter publication clarin add table tags`,
    putBack: `alter publication clarin drop table tags; alter table tags alter column name type text`,
    writes: 'insert into tags (account_id, name) values ($1, $2)',
  },
  {
    name: 'a table had its whole row for an identity',
    alter: 'alter table tags replica identity full',
    putBack: 'alter table tags replica identity using index tags_identity',
    writes: 'insert into tags (account_id, name) values ($1, $2)',
  },
  {
    name: 'there was no publication',
    alter: 'drop publication clarin',
    putBack: '',
    writes: 'insert into tags (account_id, name) values ($1, $2)',
  },
];

/** As an operator does: what was altered by hand by hand, the rest by `clarin migrate`. */
async function putRight(statement: string): Promise<void> {
  if (statement !== '') await world.client.query(statement);
  await migrate({ url: world.database.ownerUrl, log, publication: 'clarin' });
}

describe('what the slot holds of a time when the tables were otherwise', () => {
  test.each(ALTERATIONS)(
    '[R24] $name, and was put right while nobody read: a new slot and a new epoch, by itself',
    async ({ alter, putBack, writes }) => {
      const first = await world.start();
      await untilGreen(first);
      const before = await epochId();
      await first.stop();
      await world.client.query(alter);
      await world.client.query(writes, [account, 'meanwhile']);
      await putRight(putBack);
      const second = await world.start();
      await untilGreen(second);
      expect(await epochId()).not.toBe(before);
      await insertTag(world.client, account, 'after');
      await eventually(async () => (await world.readNames(account)).includes('after'));
    },
  );

  test('[R24] a column had another name for a moment under a running replicator', async () => {
    const replicator = await world.start();
    await untilGreen(replicator);
    const before = await epochId();
    await world.client.query('begin');
    await world.client.query('alter table tags rename column color to colour');
    await insertTag(world.client, account, 'meanwhile');
    await world.client.query('alter table tags rename column colour to color');
    await world.client.query('commit');
    await eventually(async () => (await epochId()) !== before, { says: 'a new epoch begins' });
    await untilGreen(replicator);
    await insertTag(world.client, account, 'after');
    await eventually(async () => (await world.readNames(account)).includes('after'));
  });

  // Values that were written anew would come in no row message.
  test('Postgres refuses to change the type of a column that is published', async () => {
    const statement = 'alter table tags alter column name type text using upper(name)';
    await expect(world.client.query(statement)).rejects.toThrow(/publication/);
  });
});
