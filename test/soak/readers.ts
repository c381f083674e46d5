import { ENTITIES } from '../../domain/registry.ts';
import { parseCursor } from '../../domain/cursor.ts';
import { formatLsn } from '../../domain/lsn.ts';
import type { SoakAccount } from './accounts.ts';
import { versionOf, type Group } from './ledger.ts';
import type { Pace } from './pace.ts';
import { NEVER_CACHED, type RestAnswer } from './rest.ts';
import type { Tally } from './tally.ts';
import type { Row } from './truth.ts';
import type { Means } from './versions.ts';

type Options = Means & {
  readonly accounts: readonly SoakAccount[];
  readonly tally: Tally;
  readonly pace: Pace;
};
type Asking = Pick<Options, 'rest' | 'tally'>;

/** Lists that the API answers through the cache: found once, by asking for everything that is declared. */
export async function findLists({ rest }: Means, account: SoakAccount): Promise<string[]> {
  const found: string[] = [];
  for (const { table, list } of ENTITIES) {
    const path = `/api/${table.replaceAll('_', '-')}`;
    const sorts = list?.sorts.slice(0, 2).map((sort) => `${path}?sort=${sort}&order=asc&limit=20`);
    for (const one of [path, `${path}?limit=200`, ...(sorts ?? [])]) {
      const { status, cache } = await rest(account.token, `GET ${one}`);
      if (status !== 200 || cache === '') break;
      found.push(one);
    }
  }
  return [...found, '/api/stats'];
}

/** Of the lists some, by chance, and of their rows the first; the versioned rows always. */
export async function choosePaths(
  { rest, random }: Means,
  account: SoakAccount,
  lists: readonly string[],
): Promise<string[]> {
  const paths: string[] = account.groups.flatMap(({ rows }) =>
    rows.map(({ table, id }) => `/api/${table}/${id}`),
  );
  for (const list of lists) {
    if (random(lists.length) >= LISTS_CHOSEN) continue;
    paths.push(list);
    const { text, status } = await rest(account.token, `GET ${list}`);
    const { data } = JSON.parse(text) as { data?: Row[] };
    const [path = ''] = list.split('?');
    if (status !== 200 || !Array.isArray(data)) continue;
    for (const { id } of data.slice(0, 2)) {
      paths.push(`${path}/${String(id)}`);
      if (path === '/api/chats') paths.push(`${path}/${String(id)}/messages`);
    }
  }
  return paths;
}

const LISTS_CHOSEN = 12;
/**
 * The lease dies 3 s after the heartbeat it stands for was sent, and that one vouches for what was committed before: no hit
 * may be older, however slow the machine (C8). Where the clock of Redis is put back the 3 s are each reader's own, from when
 * he first saw the lease: a heartbeat's trip later, and as long as nobody happened to read.
 */
const STALE_MS_MAX = 3_000;
const UNREAD_MS = 250;

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
      path,
      `with Clarin-Min-Commit shows version ${version}, ${newest.version} was asked for (${answer.cache})`,
    );
  tally.add('own writes read');
  judge(options, { path, answer, startedMs });
}

/** What a client reads because of an event: it must see it. */
export async function readBecauseOf(
  { rest, tally }: Asking,
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
      path,
      `shows version ${version} (${answer.cache}) after the event of ${row.version}`,
    );
  tally.add('reads because of an event');
}

function rowsOf({ status, text }: RestAnswer): (Row & { id: number })[] {
  if (status !== 200) return [];
  const { data } = JSON.parse(text) as { data?: unknown };
  return (Array.isArray(data) ? data : [data]) as (Row & { id: number })[];
}

function judge(
  { ledger, tally, pace }: Options,
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
        path,
        `shows version ${version} of ${table} ${row.id} (${answer.cache}) at ${answer.cursor}, which has ${floor}`,
      );
    tally.add('versions compared');
    if (answer.cache !== 'hit') continue;
    const ageMs = ledger.ageOf({ table, id: row.id, version }, startedMs);
    tally.note('stalest hit, ms', ageMs);
    if (ageMs > STALE_MS_MAX + UNREAD_MS + pace.averageMs)
      tally.break(path, `is a hit of version ${version}, which was over for ${ageMs} ms`);
  }
}

/** Each answer of the cache and the one of Postgres, under a state that does not change. Answers those that differ. */
export async function compareReads(
  { rest, tally }: Asking,
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
