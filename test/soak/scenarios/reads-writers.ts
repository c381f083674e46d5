import pg from 'pg';
import { mustParseLsn } from '../../../domain/lsn.ts';
import { listFamily, rowFamily } from '../../../domain/cache-key.ts';
import { tags } from '../../../domain/entities/tags.ts';
import { listKey, parseListKey } from '../../../platform/entity-sql/list-query.ts';
import type { VersionBoard } from './reads-board.ts';
import { markerOf, type ReadEntry } from './reads-orders.ts';

type Table = 'tags' | 'contacts' | 'leads';
const NAMES: Readonly<Record<Table, string>> = { tags: 'name', contacts: 'name', leads: 'title' };

/** A row whose versions are told apart. `comesAndGoes`: it is inserted and deleted in turns, and never changed. */
type Key = {
  readonly key: number;
  readonly table: Table;
  readonly id: number;
  readonly comesAndGoes: boolean;
};
type Ground = { readonly accountId: number; readonly keys: readonly Key[] };

const TAGS = 12;
const PASSING_TAGS = 6;
const CONTACTS = 8;
const LEADS = 24;
export const KEYS_PER_ACCOUNT = TAGS + PASSING_TAGS + CONTACTS + LEADS;

type Sql = (text: string, values: readonly unknown[]) => Promise<Record<string, unknown>[]>;

/**
 * Rows of an account with their first version, and the entries that show them: single rows, leads with contact and tags in
 * them, and the list of tags. `first`: the number of its first key.
 */
export async function layAccount(
  sql: Sql,
  board: VersionBoard,
  { accountId, first }: { accountId: number; first: number },
): Promise<Ground & { entries: ReadEntry[] }> {
  let next = first;
  const keys: Key[] = [];
  const make = async (
    table: Table,
    more: Record<string, unknown> = {},
    comesAndGoes = false,
  ): Promise<Key> => {
    const key = next++;
    const columns = ['account_id', NAMES[table], ...Object.keys(more)];
    const values = [accountId, markerOf(key, board.announce(key)), ...Object.values(more)];
    const [row] = await sql(
      `insert into ${table} (${columns.join()}) values (${columns.map((_, at) => `$${at + 1}`).join()}) returning id`,
      values,
    );
    const made = { key, table, id: Number(row?.['id']), comesAndGoes };
    keys.push(made);
    return made;
  };
  const entries: ReadEntry[] = [];
  const ofRow = (own: Key, shown: readonly Key[] = []): void =>
    void entries.push({
      accountId,
      family: rowFamily(own.table),
      field: String(own.id),
      keys: [own, ...shown].map(({ key }) => key),
    });
  const tagged: Key[] = [];
  for (let n = 0; n < TAGS; n++) tagged.push(await make('tags'));
  const contacts: Key[] = [];
  for (let n = 0; n < CONTACTS; n++) contacts.push(await make('contacts'));
  for (let n = 0; n < LEADS; n++) {
    const contact = contacts[n % CONTACTS];
    const tag = tagged[n % TAGS];
    if (!contact || !tag) throw new Error('no rows');
    const lead = await make('leads', { contact_id: contact.id });
    await sql('insert into lead_tags (account_id, lead_id, tag_id) values ($1, $2, $3)', [
      accountId,
      lead.id,
      tag.id,
    ]);
    ofRow(lead, [contact, tag]);
  }
  for (let n = 0; n < PASSING_TAGS; n++) await make('tags', {}, true);
  for (const key of keys) if (key.table !== 'leads') ofRow(key);
  const query = parseListKey(tags, `list?limit=${TAGS + PASSING_TAGS + 2}`);
  if (!query) throw new Error('no list of tags');
  entries.push({
    accountId,
    family: listFamily('tags'),
    field: listKey(query),
    keys: keys.filter(({ table }) => table === 'tags').map(({ key }) => key),
  });
  return { accountId, keys, entries };
}

type Options = {
  readonly url: string;
  readonly board: VersionBoard;
  readonly ground: Ground;
  /** How many write to this account: each has keys of its own. */
  readonly writers: number;
  /** Resolves when one more commit is due; rejects when it is over. */
  readonly turn: () => Promise<void>;
  readonly signal: AbortSignal;
};

/** One writer: changes of one row or several, renames, deletes and what comes back, savepoints, rollbacks. */
export async function writeOn(options: Options, which: number): Promise<number> {
  const { url, board, ground, writers, turn, signal } = options;
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  const mine = ground.keys.filter(({ key }) => key % writers === which);
  let commits = 0;
  try {
    for (;;) {
      await turn();
      const some = mine.filter(isChosen);
      if (some.length === 0) continue;
      await writeOnce({ client, board, ground, isAlone: writers === 1 }, some);
      commits++;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    return commits;
  } finally {
    await client.end();
  }
}

/** Mostly leads: a tag or contact is in many of them, and its change drops them all. */
function isChosen({ table }: Key): boolean {
  return Math.random() < (table === 'leads' ? 0.12 : 0.03);
}

type Place = { client: pg.Client; board: VersionBoard; ground: Ground; isAlone: boolean };

async function writeOnce(place: Place, keys: readonly Key[]): Promise<void> {
  const { client, board, isAlone } = place;
  const isRolledBack = Math.random() < 0.06 && keys.every((key) => !key.comesAndGoes);
  await client.query('begin');
  const written: [key: number, version: number][] = [];
  for (const key of keys) {
    const version = board.announce(key.key);
    written.push([key.key, version]);
    if (Math.random() < 0.1) await takeBack(place, key);
    await change(place, key, version);
  }
  const before = await currentLsn(client);
  if (isRolledBack) {
    for (const [key, version] of written) board.forget(key, version);
    await client.query('rollback');
    return;
  }
  if (isAlone) for (const [key, version] of written) board.promise(key, version, before);
  await client.query('commit');
  const behind = await currentLsn(client);
  for (const [key, version] of written) board.settle(key, version, behind);
}

async function change({ client, ground }: Place, key: Key, version: number): Promise<void> {
  const { table, id } = key;
  const values = [ground.accountId, id];
  if (key.comesAndGoes && version % 2 === 0) {
    await client.query('delete from tags where account_id = $1 and id = $2', values);
    return;
  }
  const text = key.comesAndGoes
    ? `insert into tags (account_id, id, name) overriding system value values ($1, $2, $3)`
    : `update ${table} set ${NAMES[table]} = $3 where account_id = $1 and id = $2`;
  await client.query(text, [...values, markerOf(key.key, version)]);
}

/** Written behind a savepoint, and never there. */
async function takeBack({ client, ground }: Place, { table, id }: Key): Promise<void> {
  await client.query('savepoint here');
  await client.query(
    `update ${table} set ${NAMES[table]} = 'never' where account_id = $1 and id = $2`,
    [ground.accountId, id],
  );
  await client.query('rollback to here');
}

async function currentLsn(client: pg.Client): Promise<bigint> {
  const { rows } = await client.query<{ lsn: string }>(
    'select pg_current_wal_insert_lsn()::text as lsn',
  );
  return mustParseLsn(rows[0]?.lsn ?? '');
}
