import type pg from 'pg';
import { ENTITIES } from '../../domain/registry.ts';
import { createConversations, createSalesTools } from '../support/conversation-fixture.ts';
import { compile, type Sql } from '../../platform/sql.ts';
import type { Random } from './faults/fault.ts';
import type { SoakAccount } from './accounts.ts';
import { valueOf, type Mutation } from './mutations.ts';

export type Hand = {
  readonly client: pg.PoolClient;
  readonly account: SoakAccount;
  readonly others: readonly SoakAccount[];
  readonly mutations: readonly Mutation[];
  readonly random: Random;
};

/** One transaction of a writer in psql. What the schema refuses is rolled back, and is part of the work. */
export type Operation = (hand: Hand) => Promise<void>;

const TENANT_TABLES = ENTITIES.filter(({ scope }) => scope === 'tenant').map(({ table }) => table);

/** Of nobody's foreign key: what is emptied takes nothing else with it. */
const MAY_BE_TRUNCATED = [
  'poll_votes',
  'message_reactions',
  'chat_tags',
  'quick_replies',
  'import_errors',
  'device_pairings',
];

const run = (client: pg.PoolClient, text: string, values: unknown[] = []) =>
  client.query(text, values);

/** A row of the account that may be touched, by chance. */
function anyRow({ account, random }: Hand, table: string): string {
  const kept = account.kept.get(table) ?? [];
  const scope = table === 'users' || table === 'accounts' ? 'true' : `account_id = ${account.id}`;
  const spared = kept.length > 0 ? `and id <> all('{${kept.join(',')}}'::bigint[])` : '';
  return `(select id from public.${table} where ${scope} ${spared} order by id desc offset ${random(12)} limit 1)`;
}

const pick = <T>(list: readonly T[], random: Random): T => list[random(list.length)] as T;

const changeColumn: Operation = async (hand) => {
  const { table, column, kind } = pick(hand.mutations, hand.random);
  const value = valueOf(kind, hand.account.mark, hand.random);
  // Its own user and account are written too: control tables are published.
  const row =
    table === 'users'
      ? String(hand.account.userId)
      : table === 'accounts'
        ? String(hand.account.id)
        : anyRow(hand, table);
  await run(hand.client, `update public.${table} set ${column} = $1 where id = ${row}`, [value]);
};

/** Many rows at once, of a table that has many. */
const changeMany: Operation = async (hand) => {
  const { account, random } = hand;
  await run(
    hand.client,
    `update public.contacts set notes = $1 where account_id = $2 and id % 11 = $3 and custom_name is null`,
    [`${account.mark} ${random(1e9)}`, account.id, random(11)],
  );
};

const insertPerson: Operation = async ({ client, account, random }) => {
  await run(
    client,
    `with person as (insert into public.contacts (account_id, name) values ($1, $2) returning id)
     insert into public.leads (account_id, contact_id, title) select $1, id, $2 from person`,
    [account.id, `${account.mark} ${random(1e9)}`],
  );
};

const insertTag: Operation = async ({ client, account, random }) => {
  await run(client, `insert into public.tags (account_id, name) values ($1, $2)`, [
    account.id,
    `${account.mark} ${random(1e9)}`,
  ]);
};

const linkTags: Operation = async (hand) => {
  const link = pick(['lead', 'contact', 'chat'], hand.random);
  await run(
    hand.client,
    `insert into public.${link}_tags (account_id, ${link}_id, tag_id)
     select ${hand.account.id}, ${anyRow(hand, `${link}s`)}, ${anyRow(hand, 'tags')} on conflict do nothing`,
  );
};

const deleteRow: Operation = async (hand) => {
  const table = pick(TENANT_TABLES, hand.random);
  await run(hand.client, `delete from public.${table} where id = ${anyRow(hand, table)}`);
};

/** Devices with everything that hangs on them, by cascade; then a row in every table, anew. */
const beginAnew: Operation = async ({ client, account }) => {
  const id = account.id;
  for (const table of [
    'campaigns',
    'imports',
    'kommo_connections',
    'quick_replies',
    'api_keys',
    'media',
    'devices',
  ])
    await run(client, `delete from public.${table} where account_id = $1`, [id]);
  const ids = async (text: string): Promise<number[]> =>
    (await client.query<{ id: string }>(text, [id])).rows.map((row) => Number(row.id));
  const contactIds = await ids(
    'select id from public.contacts where account_id = $1 order by id desc limit 4',
  );
  const leadIds = await ids(
    'select id from public.leads where account_id = $1 order by id desc limit 1',
  );
  const tagIds = await ids('select id from public.tags where account_id = $1 order by id limit 2');
  if (contactIds.length < 4 || tagIds.length < 2 || leadIds.length < 1) return;
  const queries = {
    query: async (statement: Sql) => {
      const { text, values } = compile(statement);
      return (await client.query<Record<string, string | null>>(text, values)).rows;
    },
  };
  const people = { accountId: id, userId: account.userId, contactIds };
  const conversations = await createConversations(queries, { ...people, tagIds });
  await createSalesTools(queries, { ...people, leadIds, ...conversations });
};

const savepoints: Operation = async (hand) => {
  const { client, account, random } = hand;
  await insertTag(hand);
  await run(client, 'savepoint one');
  await insertPerson(hand);
  await run(client, `update public.contacts set notes = 'never' where account_id = $1`, [
    account.id,
  ]);
  await run(client, 'rollback to savepoint one');
  await run(client, 'savepoint two');
  await run(
    client,
    `update public.tags set color = '#${String(100_000 + random(899_999))}' where id = ${anyRow(hand, 'tags')}`,
  );
  await run(client, 'release savepoint two');
  await insertPerson(hand);
};

/** Rows that move from one tenant to another: the replica identity's first column changes. */
const moveToOther: Operation = async (hand) => {
  const { client, account, others, random } = hand;
  const other = pick(others, random);
  const row = await run(
    client,
    `insert into public.contacts (account_id, name, notes) values ($1, $2, $2) returning id`,
    [account.id, `${account.mark} wanderer`],
  );
  const id = (row.rows[0] as { id: string }).id;
  // Half of them wander when they are known already.
  if (random(2) === 0) await run(client, 'commit and chain');
  const name = `${other.mark} wanderer ${random(1e9)}`;
  await run(
    client,
    'update public.contacts set account_id = $1, name = $2, notes = $2 where id = $3',
    [other.id, name, id],
  );
};

/** The identity's last column changes. */
const moveMessage: Operation = async (hand) => {
  await run(
    hand.client,
    `update public.messages set chat_id = ${anyRow(hand, 'chats')} where id = ${anyRow(hand, 'messages')}`,
  );
};

const writeMessage: Operation = async (hand) => {
  const { client, account, random } = hand;
  await run(
    client,
    `insert into public.messages (account_id, chat_id, message_id, message_type, body, is_from_me, from_jid, sent_at)
     select $1, id, $2, 'text', $3, false, '51999000001@s.whatsapp.net', now() from public.chats where id = ${anyRow(hand, 'chats')}`,
    [account.id, `M${random(1e9)}`, `${account.mark} ${random(1e9)}`],
  );
};

const copyTags: Operation = async ({ client, account, random }) => {
  const last = 5 + random(60);
  await run(
    client,
    `copy public.tags (account_id, name) from program 'seq -f "${account.id},copied ${random(1e9)} %g" 1 ${last}' with (format csv)`,
  );
};

const forgetTags: Operation = async ({ client, account, random }) => {
  await run(client, `delete from public.tags where account_id = $1 and id % 3 = $2`, [
    account.id,
    random(3),
  ]);
};

const truncate: Operation = async ({ client, random }) => {
  await run(client, `truncate public.${pick(MAY_BE_TRUNCATED, random)}`);
};

/** More than a feed carries as rows: `bulk` markers, of their coming and of their going. */
const floodErrors: Operation = async ({ client, account, random }) => {
  const [first] = (
    await client.query<{ id: string }>(
      'select id from public.imports where account_id = $1 limit 1',
      [account.id],
    )
  ).rows;
  if (!first) return;
  await run(
    client,
    `insert into public.import_errors (account_id, import_id, line, field, message)
     select $1, $2, number, 'phone', 'no ' || number from generate_series(3, ${20_100 + random(100)}) as number`,
    [account.id, first.id],
  );
  await run(client, 'commit and chain');
  await run(client, 'delete from public.import_errors where account_id = $1 and line > 2', [
    account.id,
  ]);
};

/** How often each is done, of all. */
export const OPERATIONS: readonly {
  readonly name: string;
  readonly work: Operation;
  readonly weight: number;
}[] = [
  { name: 'a column', work: changeColumn, weight: 300 },
  { name: 'many rows', work: changeMany, weight: 15 },
  { name: 'a person with a lead', work: insertPerson, weight: 60 },
  { name: 'a tag', work: insertTag, weight: 40 },
  { name: 'tags of a row', work: linkTags, weight: 60 },
  { name: 'a row deleted', work: deleteRow, weight: 40 },
  { name: 'devices deleted, all tables anew', work: beginAnew, weight: 20 },
  { name: 'savepoints', work: savepoints, weight: 25 },
  { name: 'a tenant move', work: moveToOther, weight: 25 },
  { name: 'a message moved', work: moveMessage, weight: 20 },
  { name: 'a message', work: writeMessage, weight: 60 },
  { name: 'COPY', work: copyTags, weight: 10 },
  { name: 'many deleted', work: forgetTags, weight: 10 },
  { name: 'TRUNCATE', work: truncate, weight: 6 },
  { name: 'more than a feed carries', work: floodErrors, weight: 1 },
];
