import { afterAll, beforeAll, expect, it } from 'vitest';
import { pageQuerySchema, pageStatement } from '../../../platform/entity-sql/messages.ts';
import {
  messageSearchSchema,
  searchMessages,
  searchStatement,
} from '../../../platform/entity-sql/message-search.ts';
import { createLog } from '../../../platform/log.ts';
import { createDatabase, type Database } from '../../../platform/postgres.ts';
import { sql, type Sql } from '../../../platform/sql.ts';
import { createAccount, type AccountFixture } from '../../support/account-fixture.ts';
import { createTestDatabase, type TestDatabase } from '../../support/services.ts';

/** Messages of one account among as many of another's, a fifth of each in the chat that is read. */
const ROWS = 20_000;
let database: TestDatabase;
let db: Database;
let account: AccountFixture;
let chatId: number;
let anchorId: number;

beforeAll(async () => {
  database = await createTestDatabase();
  db = createDatabase({
    url: database.ownerUrl,
    applicationName: 'test',
    max: 2,
    statementTimeoutMs: 60_000,
    log: createLog({ component: 'api', level: 'silent' }),
  });
  account = await createAccount(db, 'ours');
  const theirs = await createAccount(db, 'theirs');
  const fill = ({ accountId, chatIds }: AccountFixture, from: number, to: number) =>
    db.query(sql`
      insert into public.messages (account_id, chat_id, body, is_from_me, status, sent_at)
      select ${accountId}, (${[...chatIds]}::bigint[])[1 + number % 4], 'Text ' || md5(number::text), number % 2 = 0,
        'read', now() - number * interval '1 minute'
      from generate_series(${from}::integer, ${to}::integer) as number`);
  // Of a table that was empty when it was planned for, the trigger's look for what waits would compare every pair.
  for (const each of [account, theirs]) await fill(each, 1, 500);
  await db.query(sql`analyze public.messages`);
  for (const each of [account, theirs]) await fill(each, 501, ROWS);
  await db.query(
    sql`vacuum analyze public.messages, public.chats, public.message_reactions, public.poll_votes`,
  );
  chatId = account.chatIds[2] ?? 0;
  const [row] = await db.query(sql`
    select id from public.messages where account_id = ${account.accountId} and chat_id = ${chatId}
    order by sent_at offset 1000 limit 1`);
  anchorId = Number(row?.['id']);
});

afterAll(async () => {
  await db.close();
  await database.drop();
});

type Plan = {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  Plans?: Plan[];
};

async function explain(statement: Sql): Promise<Plan[]> {
  const [row] = await db.query(
    sql`explain (analyze, costs off, timing off, format json) ${statement}`,
  );
  const [{ Plan: root }] = JSON.parse(Object.values(row ?? {})[0] ?? '[]') as [{ Plan: Plan }];
  const flatten = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(flatten)];
  return flatten(root);
}

/** Rows that a plan took out of this table or one of its indexes. */
const rowsRead = (plans: readonly Plan[], index: string): number[] =>
  plans
    .filter((plan) => plan['Index Name'] === index)
    .map(
      (plan) =>
        (plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0)) * plan['Actual Loops'],
    );
const isScanned = (plans: readonly Plan[]): boolean =>
  plans.some((plan) => plan['Node Type'] === 'Seq Scan' && plan['Relation Name'] === 'messages');

it('every page of a conversation starts at its anchor and reads no more than it shows, and one', async () => {
  for (const anchor of [
    {},
    ...['before', 'after', 'around'].map((kind) => ({ [kind]: String(anchorId) })),
  ]) {
    const query = pageQuerySchema().parse(anchor);
    const plans = await explain(pageStatement(account, { chatId, query }));
    const sides = rowsRead(plans, 'messages_chat_page');
    expect({ anchor, sides: sides.length }).toEqual({ anchor, sides: 'around' in anchor ? 2 : 1 });
    for (const rows of sides) expect(rows).toBeLessThanOrEqual(51);
    expect(isScanned(plans)).toBe(false);
  }
});

it('a page of a role that is restricted to devices reads no more', async () => {
  const query = pageQuerySchema().parse({ before: String(anchorId) });
  const reach = { accountId: account.accountId, devices: account.deviceIds };
  const [rows] = rowsRead(
    await explain(pageStatement(reach, { chatId, query })),
    'messages_chat_page',
  );
  expect(rows).toBe(51);
});

it('reactions and votes are fetched for the messages of the page only', async () => {
  const query = pageQuerySchema().parse({ limit: '10' });
  const plans = await explain(pageStatement(account, { chatId, query }));
  for (const table of ['message_reactions', 'poll_votes']) {
    const scans = plans.filter((plan) => plan['Relation Name'] === table);
    expect(scans.length).toBeGreaterThan(0);
    for (const scan of scans) expect(scan['Actual Loops']).toBeLessThanOrEqual(11);
  }
});

const search = (raw: Record<string, string>): Promise<Plan[]> =>
  explain(searchStatement(account, messageSearchSchema().parse(raw)));

it('a search uses trigrams, of the account only', async () => {
  const plans = await search({ search: 'c4ca4238a0' });
  // The same text stands in the other account: the index has the account in it.
  expect(rowsRead(plans, 'messages_search')).toEqual([1]);
  expect(isScanned(plans)).toBe(false);
  const body = await searchMessages(db, {
    accountId: account.accountId,
    query: messageSearchSchema().parse({ search: 'c4ca4238a0' }),
  });
  expect((JSON.parse(body) as { data: unknown[] }).data).toHaveLength(1);
});

it('a search that finds nothing looks through the newest messages only, and then asks the index', async () => {
  const plans = await search({ search: 'no such words', limit: '1' });
  expect(rowsRead(plans, 'messages_search')).toEqual([0]);
  expect(rowsRead(plans, 'messages_sent_at')).toEqual([5_000]);
});

it('a search for what is said often ends with the page and leaves the index alone', async () => {
  const plans = await search({ search: 'text', limit: '20' });
  const [walked = ROWS] = rowsRead(plans, 'messages_sent_at');
  // Those of the fixture that say something else are passed by.
  expect(walked).toBeLessThanOrEqual(30);
  // The branch behind it is not begun, whichever index it was planned with.
  const others = [
    ...rowsRead(plans, 'messages_sent_at').slice(1),
    ...rowsRead(plans, 'messages_search'),
  ];
  expect(others.filter((rows) => rows > 0)).toEqual([]);
  expect(plans.some((plan) => plan['Node Type'] === 'Sort' && plan['Actual Rows'] > 21)).toBe(
    false,
  );
});

it('whichever way a search goes, it finds the same', async () => {
  // In every message, in one of a hundred or so, and in none.
  for (const word of ['Text', 'a0b', 'zzz']) {
    const expected = await db.query(sql`
      select id from public.messages
      where account_id = ${account.accountId} and body ilike ${`%${word}%`} order by sent_at desc, id desc limit 200`);
    for (const device_id of [undefined, ...account.deviceIds.map(String)]) {
      const query = messageSearchSchema().parse({ search: word, limit: '200', device_id });
      const body = await searchMessages(db, { accountId: account.accountId, query });
      const { data } = JSON.parse(body) as { data: { id: number; device_id: number }[] };
      if (device_id === undefined)
        expect(data.map(({ id }) => id)).toEqual(expected.map((row) => Number(row['id'])));
      else for (const row of data) expect(row.device_id).toBe(Number(device_id));
    }
  }
});

it('a search in one chat reads that chat at most, and no more than fills the page', async () => {
  const plans = await search({ search: 'text', chat_id: String(chatId), limit: '20' });
  expect(rowsRead(plans, 'messages_chat_page')).toEqual([21]);
});
