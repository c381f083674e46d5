import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ENTITIES } from '../../domain/registry.ts';
import type { Database } from '../../platform/postgres.ts';
import { createConversations, createSalesTools } from '../support/conversation-fixture.ts';
import { eventually } from '../support/services.ts';
import { openTruth, startModel, untilEqual } from './support/compare.ts';
import type { ModelClient } from './support/model-client.ts';
import { startStack, type Stack } from './support/stack.ts';

const SECRET = 'secret-of-one';
const TABLES = ENTITIES.filter((entity) => entity.scope !== 'global').map((entity) => ({
  table: entity.table,
}));

/** Two accounts, all entities: nothing of the first reaches the second, whatever happens to it. */
describe('isolation', () => {
  let stack: Stack;
  let truth: Database;
  let mine: ModelClient;
  let theirs: ModelClient;

  beforeAll(async () => {
    stack = await startStack();
    truth = openTruth(stack);
    const [one, two] = stack.accounts;
    mine = await startModel(stack, truth, one, TABLES);
    theirs = await startModel(stack, truth, two, TABLES);
  });
  afterAll(async () => {
    mine.close();
    theirs.close();
    await truth.close();
    await stack.close();
  });

  /** Four people to talk to. */
  async function people(id: number): Promise<number[]> {
    const rows = await stack.sql(
      `insert into contacts (account_id, name)
       select $1, $2 || number from generate_series(1, 4) as number returning id`,
      [id, SECRET],
    );
    return rows.map((row) => Number(row['id']));
  }

  /** A row in every table of the first account, then changes, then deletes. */
  async function liveALife(): Promise<void> {
    const [{ id }] = stack.accounts;
    const one = async (text: string, values: unknown[]): Promise<number> =>
      Number((await stack.sql(text, values))[0]?.['id']);
    const role = await one(
      `insert into roles (account_id, name, permissions) values ($1, $2, '{leads}') returning id`,
      [id, SECRET],
    );
    const user = await one(
      `insert into users (username, password_hash, display_name) values ($1, 'x', $1) returning id`,
      [SECRET],
    );
    const member = await one(
      'insert into memberships (account_id, user_id, role_id) values ($1, $2, $3) returning id',
      [id, user, role],
    );
    const session = await one(
      `insert into sessions (account_id, user_id, expires_at) values ($1, $2, now() + interval '1 day') returning id`,
      [id, user],
    );
    const pipeline = await one(
      'insert into pipelines (account_id, name) values ($1, $2) returning id',
      [id, SECRET],
    );
    const stage = await one(
      'insert into pipeline_stages (account_id, pipeline_id, name) values ($1, $2, $3) returning id',
      [id, pipeline, SECRET],
    );
    const contact = await one(
      'insert into contacts (account_id, name, phone) values ($1, $2, $3) returning id',
      [id, SECRET, '51999999999'],
    );
    const lead = await one(
      'insert into leads (account_id, contact_id, title, stage_id) values ($1, $2, $3, $4) returning id',
      [id, contact, SECRET, stage],
    );
    const tag = await one('insert into tags (account_id, name) values ($1, $2) returning id', [
      id,
      SECRET,
    ]);
    const tag2 = await one('insert into tags (account_id, name) values ($1, $2) returning id', [
      id,
      `${SECRET} too`,
    ]);
    await stack.sql('insert into lead_tags (account_id, lead_id, tag_id) values ($1, $2, $3)', [
      id,
      lead,
      tag,
    ]);
    await stack.sql(
      'insert into contact_tags (account_id, contact_id, tag_id) values ($1, $2, $3)',
      [id, contact, tag],
    );
    await stack.sql(
      'update accounts set name = $2, settings = jsonb_build_object($2::text, 1) where id = $1',
      [id, SECRET],
    );
    const conversations = await createConversations(truth, {
      accountId: id,
      userId: user,
      contactIds: await people(id),
      tagIds: [tag, tag2],
    });
    await createSalesTools(truth, {
      accountId: id,
      userId: user,
      contactIds: await people(id),
      leadIds: [lead],
      ...conversations,
    });
    await stack.sql('update messages set body = $2 where account_id = $1', [id, SECRET]);
    await untilEqual(mine, truth, id);
    for (const table of ['leads', 'contacts', 'tags', 'pipelines', 'roles']) {
      const column = table === 'leads' ? 'title' : 'name';
      await stack.sql(
        `update ${table} set ${column} = ${column} || ' again' where account_id = $1 and ${column} = $2`,
        [id, SECRET],
      );
    }
    await stack.sql('delete from chats where account_id = $1', [id]);
    await stack.sql('delete from devices where account_id = $1', [id]);
    await stack.sql('delete from leads where id = $1', [lead]);
    await stack.sql('delete from contacts where id = $1', [contact]);
    await stack.sql('delete from tags where id = $1', [tag]);
    await stack.sql('delete from sessions where id = $1', [session]);
    await stack.sql('delete from memberships where id = $1', [member]);
    await stack.sql('delete from pipelines where id = $1', [pipeline]);
    await stack.sql('delete from roles where id = $1', [role]);
    await untilEqual(mine, truth, id);
  }

  it('[C20] no commit, no byte and no delete of one account reaches the other', async () => {
    const since = theirs.cursor;
    await liveALife();
    await stack.settle();
    const seen = new Set(mine.commits.flatMap((commit) => commit.changes.map((one) => one.table)));
    expect([...seen].sort()).toEqual(TABLES.map(({ table }) => table).sort());
    expect(theirs.commits).toEqual([]);
    // Nor when they resume from before all that.
    theirs.cursor = since;
    const subscribed = theirs.subscribedCount;
    theirs.drop();
    await eventually(() => theirs.subscribedCount > subscribed);
    expect(theirs.commits).toEqual([]);
    expect(JSON.stringify(theirs.messages)).not.toContain(SECRET);
    expect(theirs.faults).toEqual([]);
  });

  it('[R7] a row that moves to another account leaves one and enters the other', async () => {
    const [one, two] = stack.accounts;
    const [row] = await stack.sql(
      `insert into contacts (account_id, name) values ($1, 'Wanderer') returning id`,
      [one.id],
    );
    const id = Number(row?.['id']);
    await untilEqual(mine, truth, one.id);
    const [mineBefore, theirsBefore] = [mine.commits.length, theirs.commits.length];
    await stack.sql(`update contacts set account_id = $1, notes = 'only theirs' where id = $2`, [
      two.id,
      id,
    ]);
    await untilEqual(mine, truth, one.id);
    await untilEqual(theirs, truth, two.id);
    expect(mine.commits.slice(mineBefore).flatMap((commit) => commit.changes)).toEqual([
      { table: 'contacts', op: 'delete', key: { id } },
    ]);
    const [change] = theirs.commits.slice(theirsBefore).flatMap((commit) => commit.changes);
    expect(change).toMatchObject({
      table: 'contacts',
      op: 'insert',
      key: { id },
      row: { notes: 'only theirs' },
    });
    expect(JSON.stringify(mine.messages)).not.toContain('only theirs');
  });

  it('a foreign id is an absent one, on every route, cached or not', async () => {
    const [one, two] = stack.accounts;
    const [contact] = await stack.sql(
      'insert into contacts (account_id, name) values ($1, $2) returning id',
      [one.id, SECRET],
    );
    await stack.settle();
    const path = `/api/contacts/${String(contact?.['id'])}`;
    for (let round = 0; round < 3; round++) {
      expect((await stack.request(one, `GET ${path}`)).status).toBe(200);
      const foreign = await stack.request(two, `GET ${path}`);
      expect(foreign.status).toBe(404);
      expect(foreign.text).not.toContain(SECRET);
    }
    expect((await stack.request(two, `PATCH ${path}`, { name: 'x' })).status).toBe(404);
    expect((await stack.request(two, `DELETE ${path}`)).status).toBe(404);
  });
});
