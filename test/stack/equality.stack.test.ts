import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Database } from '../../platform/postgres.ts';
import { eventually } from '../support/services.ts';
import { openTruth, startModel } from './support/compare.ts';
import { startStack, type Stack } from './support/stack.ts';

/** Everything that decides how a value prints, set against us. */
const HOSTILE = [
  `DateStyle = 'SQL, DMY'`,
  `TimeZone = 'Asia/Kathmandu'`,
  `IntervalStyle = 'sql_standard'`,
  `bytea_output = 'escape'`,
  `extra_float_digits = -15`,
  `search_path = 'private'`,
  `default_transaction_isolation = 'serializable'`,
];

const TEXTS = [
  '',
  'plain',
  `quotes " ' \\ / back\\slash`,
  'line\nbreak\ttab \u0001 control',
  'Ünïcödé 😀 \u2028',
  '{"json": "like"}',
];

describe('a row in the feed', () => {
  let stack: Stack;
  let truth: Database;

  beforeAll(async () => {
    stack = await startStack({
      prepare: async (sql, database) => {
        for (const setting of HOSTILE) await sql(`alter database ${database.name} set ${setting}`);
        for (const login of [database.url, database.replicationUrl].map(
          (url) => new URL(url).username,
        )) {
          await sql(`alter role ${login} in database ${database.name} set DateStyle = 'German'`);
        }
      },
    });
    truth = openTruth(stack);
  });
  afterAll(async () => {
    await truth.close();
    await stack.close();
  });

  /** The row's JSON text in a commit of one change, and in the answer of its route. */
  function rowTexts(feed: string, rest: string): [string, string] {
    const from = feed.indexOf('"row":') + '"row":'.length;
    const row = feed.slice(from, feed.lastIndexOf('}]}'));
    // REST shows the same row first and what it embeds behind it.
    return [row.slice(0, -1), rest.slice('{"data":'.length, '{"data":'.length + row.length - 1)];
  }

  it.each(TEXTS)('[R5] is byte for byte what REST shows: %j', async (text) => {
    const [account] = stack.accounts;
    const model = await startModel(stack, truth, account, [{ table: 'contacts' }]);
    const before = model.texts.length;
    const [row] = await stack.sql(
      `insert into contacts (account_id, name, notes, age, do_not_contact, custom_fields, do_not_contact_at, created_at)
       values ($1, $2, $2, 41, true, jsonb_build_object('text', $2::text, 'none', null, 'n', 1.50),
         '2024-02-29 23:59:59.000001+05:45', '0099-01-01 00:00:00+00') returning id`,
      [account.id, text],
    );
    await eventually(() => model.texts.length > before);
    const rest = await stack.request(account, `GET /api/contacts/${String(row?.['id'])}`);
    const [inFeed, inRest] = rowTexts(model.texts[before] ?? '', rest.text);
    expect(inFeed).toContain('"do_not_contact_at":"2024-02-29T18:14:59.000001Z"');
    expect(inRest).toBe(inFeed);
    model.close();
  });

  it.each(['0', '0.10', '999999999999.99'])('[R5] numbers keep their digits: %s', async (value) => {
    const [account] = stack.accounts;
    const model = await startModel(stack, truth, account, [{ table: 'leads' }]);
    const before = model.texts.length;
    const [contact] = await stack.sql(
      `insert into contacts (account_id, name) values ($1, 'N') returning id`,
      [account.id],
    );
    const [row] = await stack.sql(
      `insert into leads (account_id, contact_id, title, value, position) values ($1, $2, 'N', $3, 0.1 + 0.2) returning id`,
      [account.id, contact?.['id'], value],
    );
    await eventually(() => model.texts.length > before);
    const rest = await stack.request(account, `GET /api/leads/${String(row?.['id'])}`);
    const [inFeed, inRest] = rowTexts(model.texts[before] ?? '', rest.text);
    expect(inFeed).toContain('"position":0.3');
    expect(inRest).toBe(inFeed);
    model.close();
  });

  it('[R5] arrays keep their order and their quotes', async () => {
    const [account] = stack.accounts;
    const model = await startModel(stack, truth, account, [{ table: 'roles' }]);
    const before = model.texts.length;
    const [row] = await stack.sql(
      `insert into roles (account_id, name, permissions) values ($1, 'array', '{leads,"*",chats}') returning id`,
      [account.id],
    );
    await eventually(() => model.texts.length > before);
    const rest = await stack.request(account, `GET /api/roles/${String(row?.['id'])}`);
    const [inFeed, inRest] = rowTexts(model.texts[before] ?? '', rest.text);
    expect(inFeed).toContain('"permissions":["leads","*","chats"]');
    expect(inRest).toBe(inFeed);
    model.close();
  });

  it('[R6] a large value that was not written again is named, and the copy keeps it', async () => {
    const [account] = stack.accounts;
    const model = await startModel(stack, truth, account, [{ table: 'contacts' }]);
    const [row] = await stack.sql(
      `insert into contacts (account_id, name, notes)
       values ($1, 'T', (select string_agg(md5(n::text), '') from generate_series(1, 300) as n)) returning id`,
      [account.id],
    );
    const id = Number(row?.['id']);
    await stack.sql(`update contacts set company = 'moved on' where id = $1`, [id]);
    const commit = await eventually(() =>
      model.commits.find((one) => one.changes.some((change) => change.op === 'update')),
    );
    expect(commit.changes[0]).toMatchObject({ unchanged: ['notes'] });
    expect(commit.changes[0]).not.toHaveProperty('row.notes');
    expect(model.row('contacts', id)).toHaveProperty('notes');
    model.close();
  });
});
