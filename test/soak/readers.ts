import { ENTITIES } from '../../domain/registry.ts';
import { parseCursor } from '../../domain/cursor.ts';
import { formatLsn } from '../../domain/lsn.ts';
import type { SoakAccount } from './accounts.ts';
import { versionOf, type Group } from './ledger.ts';
import { NEVER_CACHED, type RestAnswer } from './rest.ts';
import type { Tally } from './tally.ts';
import type { Row } from './truth.ts';
import type { Means } from './versions.ts';

type Options = Means & { readonly accounts: readonly SoakAccount[]; readonly tally: Tally };

/** What the API answers through the cache for this account: found by asking for everything that is declared. */
export async function findPaths({ rest }: Means, account: SoakAccount): Promise<string[]> {
  const paths: string[] = [];
  const seen = async (path: string): Promise<Row[] | undefined> => {
    const { status, cache, text } = await rest(account.token, `GET ${path}`);
    if (status !== 200 || cache === '') return undefined;
    paths.push(path);
    const { data } = JSON.parse(text) as { data?: Row[] };
    return Array.isArray(data) ? data : undefined;
  };
  for (const { table, list, cache } of ENTITIES) {
    const path = `/api/${table.replaceAll('_', '-')}`;
    const rows = (await seen(path)) ?? [];
    for (const row of cache.row ? rows.slice(0, 3) : []) await seen(`${path}/${String(row['id'])}`);
    if (table === 'chats')
      for (const row of rows.slice(0, 3)) await seen(`${path}/${String(row['id'])}/messages`);
    if (rows.length > 0) await seen(`${path}?limit=200`);
    for (const sort of rows.length > 0 ? (list?.sorts.slice(0, 2) ?? []) : [])
      await seen(`${path}?sort=${sort}&order=asc&limit=20`);
  }
  await seen('/api/stats');
  for (const { rows } of account.groups)
    for (const { table, id } of rows) await seen(`/api/${table}/${id}`);
  return paths;
}

export type Readers = { stop(): Promise<void> };

/** Readers through the cache, while everything goes on. Each answer that shows versioned rows is judged by its cursor. */
export function startReaders(
  options: Options,
  paths: ReadonlyMap<number, readonly string[]>,
): Readers {
  const { accounts, random } = options;
  let isOver = false;
  const loop = async (): Promise<void> => {
    while (!isOver) {
      const account = accounts[random(accounts.length)];
      const known = account ? (paths.get(account.id) ?? []) : [];
      const path = known[random(Math.max(1, known.length))];
      if (account && path)
        await (
          random(3) > 0 ? readOne(options, account, path) : readOwnWrite(options, account)
        ).catch(() => pause(30));
      await pause(3);
    }
  };
  const running = [loop(), loop(), loop()];
  return {
    stop: async () => {
      isOver = true;
      await Promise.all(running);
    },
  };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function readOne(options: Options, account: SoakAccount, path: string): Promise<void> {
  const startedMs = performance.now();
  const answer = await options.rest(account.token, `GET ${path}`);
  judge(options, { path, answer, startedMs });
}

/** A read that names a commit must show what it wrote. */
async function readOwnWrite(options: Options, account: SoakAccount): Promise<void> {
  const { ledger, random, rest, tally } = options;
  const group = account.groups[random(account.groups.length)] as Group;
  const row = group.rows[random(group.rows.length)];
  const newest = ledger.newest(group);
  if (!row || !newest) return;
  const path = `/api/${row.table}/${row.id}`;
  const startedMs = performance.now();
  const answer = await rest(account.token, `GET ${path}`, { minCommit: formatLsn(newest.lsn) });
  const shown = rowsOf(answer).find(({ id }) => id === row.id);
  if (!shown) return;
  const version = versionOf(row.table, shown) ?? 0;
  if (version < newest.version)
    tally.break(
      `${path} with Clarin-Min-Commit shows version ${version}, ${newest.version} was asked for (${answer.cache})`,
    );
  tally.add('own writes read');
  judge(options, { path, answer, startedMs });
}

/** What a client reads because of an event: it must see it. */
export async function readBecauseOf(
  { rest, tally }: Options,
  account: SoakAccount,
  row: { table: string; id: number; version: number },
): Promise<void> {
  const path = `/api/${row.table}/${row.id}`;
  const answer = await rest(account.token, `GET ${path}`);
  const shown = rowsOf(answer).find(({ id }) => id === row.id);
  if (!shown) return;
  const version = versionOf(row.table, shown) ?? 0;
  if (version < row.version)
    tally.break(
      `${path} shows version ${version} (${answer.cache}) after the event of ${row.version}`,
    );
  tally.add('reads because of an event');
}

function rowsOf({ status, text }: RestAnswer): (Row & { id: number })[] {
  if (status !== 200) return [];
  const { data } = JSON.parse(text) as { data?: unknown };
  return (Array.isArray(data) ? data : [data]) as (Row & { id: number })[];
}

function judge(
  { ledger, tally }: Options,
  { path, answer, startedMs }: { path: string; answer: RestAnswer; startedMs: number },
): void {
  tally.add(`reads ${answer.cache || answer.status}`);
  const cursor = answer.cursor === undefined ? undefined : parseCursor(answer.cursor);
  const table = /^\/api\/(leads|contacts)\b/.exec(path)?.[1];
  if (table === undefined) return;
  for (const row of rowsOf(answer)) {
    if (!ledger.groupOf(table, row.id)) continue;
    const version = versionOf(table, row) ?? 0;
    const floor = cursor ? ledger.floorAt(table, row.id, cursor.lsn) : 0;
    if (version < floor)
      tally.break(
        `${path} shows version ${version} of ${table} ${row.id} (${answer.cache}) at ${answer.cursor}, which has ${floor}`,
      );
    tally.add('versions compared');
    if (answer.cache !== 'hit') continue;
    tally.note('stalest hit, ms', ledger.ageOf({ table, id: row.id, version }, startedMs));
  }
}

/** Each answer of the cache and the one of Postgres, under a state that does not change. Answers those that differ. */
export async function compareReads(
  { rest, tally }: Options,
  account: SoakAccount,
  paths: readonly string[],
): Promise<string[]> {
  const stale: string[] = [];
  for (const path of paths) {
    const fresh = await rest(account.token, `GET ${path}`, { minCommit: NEVER_CACHED });
    // Twice: the first may have been a miss.
    for (let time = 0; time < 2; time++) {
      const cached = await rest(account.token, `GET ${path}`);
      tally.add(`settled reads ${cached.cache || cached.status}`);
      if (cached.text !== fresh.text || cached.status !== fresh.status)
        stale.push(
          `account ${account.id}, ${path} (${cached.cache}): ${cached.status} ${differing(cached.text, fresh.text)}`,
        );
    }
  }
  return stale;
}

function differing(left: string, right: string): string {
  let at = 0;
  while (at < left.length && left[at] === right[at]) at++;
  const from = Math.max(0, at - 80);
  return `…${left.slice(from, at + 120)}… is …${right.slice(from, at + 120)}… in Postgres`;
}
